"""Several pods, one run: the same result, one decision, one lock, nothing lost in between."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec.structs import replace

from kubesim.fleet import Sandbox
from reconciler.api.errors import LeaseLost, ReconcileError, SourceError, StalePlan, UsageError
from reconciler.lock.run_lock import RunLock
from reconciler.run.pipeline import Prepared, apply_plan, make_plan
from reconciler.shard.split import Shard, split
from tests.controlplane.process import eventually
from tests.unit.shard.conftest import NAMES, ShardedWorld, git

WEB = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 6
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "registry.invalid/web:1"}]}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{kind: Deployment, name: web}]
  clusterSelector: {}
  replicas: {mode: Divided}
"""
SETTINGS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: default}
data: {colour: green}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: settings}
spec:
  select: [{kind: ConfigMap, name: settings}]
  clusters: [%s]
"""
INDEX = split(NAMES, 3)
FIRST, *OTHERS = sorted(NAMES, key=INDEX.__getitem__)


def test_the_pods_do_together_what_one_run_would_do(world: ShardedWorld) -> None:
    commit = world.commit("web.yaml", WEB)
    results = world.run()
    assert all(result.ok for result in results)
    assert sorted(c.name for r in results for c in r.plan.clusters) == sorted(NAMES)
    assert all(len(result.plan.clusters) == 1 for result in results)
    assert world.replicas() == dict.fromkeys(NAMES, 2)
    assert world.memory().commit == commit
    assert world.holder() == ""
    assert not make_plan(world.given()).plan.has_changes


def test_the_next_job_follows_git(world: ShardedWorld) -> None:
    world.commit("web.yaml", WEB)
    world.run()
    commit = world.commit("web.yaml", WEB.replace("replicas: 6", "replicas: 9"))
    assert all(result.ok for result in world.run())
    assert world.replicas() == dict.fromkeys(NAMES, 3)
    assert world.memory().commit == commit


def test_only_the_first_pod_asks_how_the_clusters_are(
    simulated: ShardedWorld, simulated_fleet: Sandbox
) -> None:
    simulated.commit("web.yaml", WEB)
    simulated.run()
    for name in NAMES:
        probes = [r for r in simulated_fleet.cluster(name).requests if r.path == "/readyz"]
        assert len(probes) == 1, name


def test_replicas_of_a_dead_cluster_run_elsewhere_whoever_looks_after_it(
    simulated: ShardedWorld, simulated_fleet: Sandbox
) -> None:
    simulated.commit("web.yaml", WEB)
    simulated.run()
    simulated.run()
    dead = OTHERS[0]
    simulated_fleet.cluster(dead).stop()
    for _ in range(5):
        simulated.run()
    living = [name for name in NAMES if name != dead]
    counts = {
        name: simulated_fleet.cluster(name).find("Deployment", "web", "shop")["spec"]["replicas"]  # type: ignore[index]
        for name in living
    }
    assert counts == dict.fromkeys(living, 3)
    simulated_fleet.cluster(dead).start()
    for _ in range(8):
        simulated.run()
    assert simulated.replicas() == dict.fromkeys(NAMES, 2)


@pytest.mark.parametrize("mode", ["Duplicated", "Divided"])
def test_what_stands_in_serves_until_the_returned_cluster_does_whoever_looks_after_them(
    simulated: ShardedWorld, simulated_fleet: Sandbox, mode: str
) -> None:
    spread = f"{{mode: {mode}}}\n  spread: [{{by: region, maxGroups: 1}}]"
    simulated.commit("web.yaml", WEB.replace("{mode: Divided}", spread))

    def homes() -> dict[str, int]:
        found = {n: simulated_fleet.cluster(n).find("Deployment", "web", "shop") for n in NAMES}
        return {
            name: (live.get("status") or {}).get("readyReplicas", 0)
            for name, live in found.items()
            if live
        }

    simulated.run()
    eventually(lambda: list(homes().values()) == [6], "Pods")
    (home,) = homes()
    simulated.run()
    simulated_fleet.cluster(home).stop()
    for _ in range(4):
        simulated.run()
    eventually(lambda: list(homes().values()).count(6) == 2, "Pods of the stand-in")
    simulated_fleet.cluster(home).start()
    # What it ran is gone, as after a rebuilt cluster, and nothing starts at once.
    scaled = ("scale", "deployment/web", "-n", "shop", "--replicas=0")
    simulated.kubectl(*scaled, cluster=home)
    eventually(lambda: homes()[home] == 0, "the loss")
    asked = 0
    for _ in range(8):
        simulated.run()
        assert sum(homes().values()) >= 6
        before, asked = asked, simulated.replicas_at(home)
        # A pod that looks after the other one has may have made it ready within this run.
        assert mode == "Duplicated" or before == asked or len(homes()) == 2
    assert asked == 6
    eventually(lambda: homes() == {home: 6}, "everything at home")


def test_pods_that_begin_early_wait_for_the_decision(simulated: ShardedWorld) -> None:
    simulated.commit("web.yaml", WEB)
    job = simulated.job()
    with ThreadPoolExecutor(3) as pool:
        early = [job.start(pool, 1), job.start(pool, 2)]
        assert not any(future.done() for future in early)
        assert job.pod(0).ok
        assert all(future.result().ok for future in early)
    assert simulated.replicas() == dict.fromkeys(NAMES, 2)


def test_a_pod_reads_the_commit_that_was_decided_upon(simulated: ShardedWorld) -> None:
    """The branch moves on between the start of one pod and that of another."""
    decided = simulated.commit("web.yaml", WEB)
    job = simulated.job(2)
    assert job.pod(0).ok
    simulated.commit("web.yaml", WEB.replace("replicas: 6", "replicas: 60"))
    result = job.pod(1)
    assert result.ok
    assert result.plan.commit == decided
    assert simulated.replicas() == dict.fromkeys(NAMES, 2)


def test_pods_do_not_wait_for_a_decision_that_will_not_come(simulated: ShardedWorld) -> None:
    simulated.commit("web.yaml", WEB)
    simulated.run()
    # A step back, which the first pod refuses before it decides anything.
    git(simulated.repository, "reset", "--quiet", "--hard", "HEAD~1")
    job = simulated.job()
    with pytest.raises(SourceError):
        job.pod(0)
    with pytest.raises(ReconcileError, match="ended before it had decided"):
        job.pod(1)
    assert simulated.replicas() == dict.fromkeys(NAMES, 2)


def test_a_pod_that_fails_holds_up_no_other_and_its_commit_is_not_remembered(
    simulated: ShardedWorld, simulated_fleet: Sandbox
) -> None:
    simulated.commit("web.yaml", WEB)
    simulated_fleet.cluster(OTHERS[0]).stop()
    results = simulated.run()
    assert [result.ok for result in results].count(False) >= 1
    assert simulated.exists("deployment", "web", cluster=FIRST)
    assert simulated.memory().commit == ""
    assert simulated.holder() == ""


def test_other_runs_wait_until_the_last_pod_has_ended(simulated: ShardedWorld) -> None:
    simulated.commit("web.yaml", WEB)
    job = simulated.job()
    may_go_on = threading.Event()

    def hold(prepared: Prepared) -> None:
        assert prepared.round is not None
        if prepared.round.shard.index == 1:
            assert may_go_on.wait(60)

    job.before_write = hold
    with ThreadPoolExecutor(3) as pool:
        slow = job.start(pool, 1)
        for index in (0, 2):
            assert job.start(pool, index).result().ok
        assert simulated.holder() == f"round-{job.round}"
        alone = simulated.given()
        with RunLock(alone) as lock, pytest.raises(LeaseLost, match=job.round):
            make_plan(alone, lock=lock)
        may_go_on.set()
        assert slow.result().ok
    assert simulated.holder() == ""


def test_a_pod_that_comes_after_another_run_asks_and_writes_nothing(
    simulated: ShardedWorld, simulated_fleet: Sandbox
) -> None:
    simulated.commit("web.yaml", WEB)
    simulated.lease_duration = 2.0
    job = simulated.job(2)
    assert job.pod(0).ok
    alone = simulated.given()
    with RunLock(alone) as lock:
        assert apply_plan(make_plan(alone, lock=lock)).ok
    mine = [simulated_fleet.cluster(n) for n in Shard(1, 2).clusters_of(NAMES)]
    before = [len(cluster.requests) for cluster in mine]
    with pytest.raises(StalePlan, match="another run held the lock"):
        job.pod(1)
    assert [len(cluster.requests) for cluster in mine] == before


def test_an_object_that_moves_to_another_pods_cluster_is_never_in_none(
    world: ShardedWorld,
) -> None:
    old, new = OTHERS
    world.commit("settings.yaml", SETTINGS % old)
    world.run()
    world.commit("settings.yaml", SETTINGS % new)
    for _ in range(2):
        world.run()
        held = [n for n in NAMES if world.exists("configmap", "settings", n, "default")]
        assert new in held
    assert held == [new]


def test_what_moves_waits_while_its_new_cluster_does_not_answer(
    simulated: ShardedWorld, simulated_fleet: Sandbox
) -> None:
    old, new = OTHERS
    simulated.commit("settings.yaml", SETTINGS % old)
    simulated.run()
    simulated.commit("settings.yaml", SETTINGS % new)
    simulated_fleet.cluster(new).stop()
    results = simulated.run()
    assert simulated.exists("configmap", "settings", old, "default")
    told = [move for r in results for move in r.plan.moves]
    assert any(f"{old} keeps ConfigMap default/settings until it is ready" in str(m) for m in told)


def test_a_run_of_some_clusters_may_prune_what_is_in_place_in_another(
    simulated: ShardedWorld,
) -> None:
    old, new = OTHERS
    simulated.commit("settings.yaml", SETTINGS % old)
    simulated.run()
    simulated.commit("settings.yaml", SETTINGS % new)
    first = make_plan(simulated.given(clusters=(old,)))
    assert not first.plan.has_changes
    assert first.plan.moves
    assert apply_plan(make_plan(simulated.given(clusters=(new,)))).ok
    assert apply_plan(make_plan(simulated.given(clusters=(old,)))).ok
    assert not simulated.exists("configmap", "settings", old, "default")


def test_a_foreign_object_of_that_name_elsewhere_counts_for_nothing(
    simulated: ShardedWorld, simulated_fleet: Sandbox
) -> None:
    old, new = OTHERS
    simulated.commit("settings.yaml", SETTINGS % old)
    simulated.run()
    foreign = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": "default"},
    }
    simulated_fleet.cluster(new).create(foreign)
    simulated.commit("settings.yaml", SETTINGS % new)
    prepared = make_plan(simulated.given(clusters=(old,)))
    assert any("is not ours" in str(move) for move in prepared.plan.moves)
    apply_plan(prepared)
    assert simulated.exists("configmap", "settings", old, "default")


def test_a_directory_that_is_no_commit_cannot_be_shared(simulated: ShardedWorld) -> None:
    simulated.commit("web.yaml", WEB)
    (simulated.repository / "more.yaml").write_text("# not committed\n")
    options = replace(simulated.given(Shard(0, 2, "round")), repo=str(simulated.repository))
    with pytest.raises(UsageError, match="needs a commit"), RunLock(options) as lock:
        make_plan(options, lock=lock)


def test_others_wait_for_the_names_and_learn_what_failed(
    simulated: ShardedWorld,
) -> None:
    simulated.commit("web.yaml", WEB)
    job = simulated.job(2)
    with RunLock(job.options(0)) as first:
        make_plan(job.options(0), lock=first)
        with RunLock(job.options(1)) as other:
            make_plan(job.options(1), lock=other)
            assert first.round
            assert other.round
            assert "has not written the DNS records" in other.round.await_names(0)
            first.round.publish_names("DNS web A: refused")
            assert other.round.await_names(0) == "DNS web A: refused"
            first.round.publish_names("")
            assert other.round.await_names(0) == ""
