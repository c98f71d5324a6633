"""What the rules of waves come to: where they begin, what they wait for, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from reconciler.api.errors import MemoryChanged, ReconcileError, UsageError
from reconciler.api.options import RunOptions
from reconciler.cluster.client import Member
from reconciler.cluster.endpoint import Endpoint, bearer
from reconciler.cluster.http import Transport
from reconciler.report.rollout import headline
from reconciler.run.pipeline import apply_plan
from reconciler.saved_plans.file import save_plan
from reconciler.state.memory import RolloutPhase
from tests.controlplane.process import eventually
from tests.definitions import definition
from tests.scenarios.failover_world import CLUSTER, FEDERATION, NAMES, WEB
from tests.scenarios.rollout_world import (
    BROKEN,
    FIRST,
    LAST,
    SECOND,
    RolloutWorld,
    config_map,
    rules,
    simulated,
    web,
)

__all__ = ["simulated"]


@pytest.fixture
def world(simulated: RolloutWorld) -> RolloutWorld:
    """Everything is on the first commit."""
    simulated.begin()
    return simulated


def all_on(tag: str) -> dict[str, str]:
    return dict.fromkeys(NAMES, tag)


def test_the_commit_that_brings_the_rules_goes_by_them(simulated: RolloutWorld) -> None:
    world = simulated
    world.begin(federation=FEDERATION, waves=False)
    world.commit({"federation.yaml": rules()}, web=web(BROKEN))
    world.freeze()
    for _ in range(4):
        world.run()
    assert world.versions() == {FIRST: BROKEN, SECOND: "1", LAST: "1"}


def test_rules_that_leave_git_let_the_newest_commit_everywhere(world: RolloutWorld) -> None:
    world.fail()
    world.thaw()
    world.commit({"federation.yaml": FEDERATION}, web=web("3"))
    assert world.run().ok
    assert world.versions() == all_on("3")
    world.commit({"federation.yaml": rules()}, web=web("4"))
    world.run()
    assert world.versions() == {FIRST: "4", SECOND: "3", LAST: "3"}


def test_a_memory_lost_without_rules_brings_no_older_commit_back(world: RolloutWorld) -> None:
    world.fail()
    world.thaw()
    world.commit({"federation.yaml": FEDERATION})
    world.commit(web=web("3"))
    assert world.run().ok
    world.state.unlink()
    world.commit({"federation.yaml": rules()}, web=web("4"))
    for _ in range(3):
        world.run()
    assert "1" not in world.versions().values()
    assert BROKEN not in world.versions().values()


def test_rules_that_return_after_a_failed_run_bring_no_older_commit_back(
    world: RolloutWorld,
) -> None:
    world.fail()
    world.thaw()
    world.hosts[LAST].faults.deny("not on my watch", path="/configmaps/more")
    world.commit({"federation.yaml": FEDERATION, "more.yaml": config_map("more")}, web=web("3"))
    assert not world.run().ok
    assert world.versions() == all_on("3")
    world.hosts[LAST].faults.clear()
    world.commit({"federation.yaml": rules()}, web=web("4"))
    world.run()
    assert world.versions() == {FIRST: "4", SECOND: "3", LAST: "3"}


def test_what_cannot_be_applied_in_the_first_wave_goes_no_further(world: RolloutWorld) -> None:
    world.hosts[FIRST].faults.deny("not on my watch", path="/deployments")
    world.commit(web=web("2"))
    for _ in range(14):
        world.run()
    assert world.versions() == all_on("1")
    assert world.rollout.phase is RolloutPhase.FAILED
    world.hosts[FIRST].faults.clear()
    world.commit(web=web("3"))
    world.run_until_stable()
    assert world.versions() == all_on("3")


@pytest.mark.parametrize("way", ["forward", "revert"])
def test_what_fails_in_its_second_wave_is_put_right_from_the_first_on(
    world: RolloutWorld, way: str
) -> None:
    world.commit(web=web("2"))
    world.freeze(SECOND)
    for _ in range(14):
        world.run()
    assert world.rollout.phase is RolloutPhase.FAILED
    assert world.versions() == {FIRST: "2", SECOND: "2", LAST: "1"}
    tag = "3" if way == "forward" else "1"
    world.commit(web=web("3")) if way == "forward" else world.revert()
    world.run()
    assert world.versions() == {FIRST: tag, SECOND: "2", LAST: "1"}
    world.thaw()
    world.run_until_stable()
    assert world.versions() == all_on(tag)


def test_a_wave_that_fails_later_returns_alone(simulated: RolloutWorld) -> None:
    world = simulated
    world.begin(federation=rules(onFailure="Return"))
    world.commit(web=web("2"))
    world.freeze(SECOND)
    for _ in range(14):
        world.run()
    world.thaw()
    world.run()
    assert world.versions() == {FIRST: "2", SECOND: "1", LAST: "1"}


def test_a_cluster_that_does_not_answer_for_a_moment_gets_its_commit_after_that(
    world: RolloutWorld,
) -> None:
    world.hosts[FIRST].stop()
    world.commit(web=web("2"))
    world.run()
    world.run()
    assert world.versions(SECOND, LAST) == {SECOND: "1", LAST: "1"}
    world.hosts[FIRST].start()
    world.run()
    assert world.versions() == {FIRST: "2", SECOND: "1", LAST: "1"}
    world.run_until_stable()
    assert world.versions() == all_on("2")


WIDGET = """apiVersion: example.com/v1
kind: Widget
metadata: {name: one, namespace: shop}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: widgets}
spec:
  select: [{kind: Widget}]
  clusters: [%s]
"""


def test_a_kind_that_the_last_wave_does_not_serve_stops_the_first(world: RolloutWorld) -> None:
    world.commit({"widget.yaml": WIDGET % LAST}, web=web("2"))
    with world.writes() as writes:
        for _ in range(3):
            world.run()
    assert not any(writes.values())
    assert world.rollout.phase is RolloutPhase.FAILED
    assert f"{LAST} does not serve Widget" in world.rollout.reason
    (world.repository / "widget.yaml").unlink()
    world.commit(web=web("3"))
    world.run_until_stable()
    assert world.versions() == all_on("3")


def test_clusters_of_a_wave_go_one_after_the_other(simulated: RolloutWorld) -> None:
    world = simulated
    one = FEDERATION + "  rollout: {waves: [{name: all, maxConcurrent: 1, soak: 1m}]}\n"
    world.begin(federation=one)
    world.commit(web=web("2"))
    counts = []
    for _ in range(6):
        world.run()
        counts.append(list(world.versions().values()).count("2"))
    assert counts[:3] == [1, 2, 3]
    assert world.ready() == 6


def test_a_manual_wave_waits_for_a_person(simulated: RolloutWorld) -> None:
    world = simulated
    world.begin(federation=rules(wave="manual: true"))
    world.commit(web=web("2"))
    for _ in range(20):
        world.run()
    assert world.versions() == {FIRST: "2", SECOND: "1", LAST: "1"}
    assert world.rollout.phase is RolloutPhase.PROGRESSING
    world.steer(promoted=True)
    world.run()
    assert world.versions() == {FIRST: "2", SECOND: "2", LAST: "1"}
    for _ in range(3):
        world.run()
    assert world.versions() == {FIRST: "2", SECOND: "2", LAST: "1"}


MIGRATION = """
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, namespace: shop}
spec:
  ttlSecondsAfterFinished: 10
  template:
    spec:
      restartPolicy: Never
      containers: [{name: migrate, image: "registry.invalid/migrate:1"}]
"""


def test_a_job_that_has_run_and_is_gone_holds_no_wave_up(simulated: RolloutWorld) -> None:
    world = simulated
    world.begin(federation=rules(wave="soak: 2m"))
    new = world.commit({"migration.yaml": MIGRATION})
    for _ in range(12):
        world.run()
        for host in world.hosts.values():
            if host.find("Job", "migrate", "shop"):
                host.delete("Job", "migrate", namespace="shop")
    assert world.rollout.stable == new, world.rollout.reason


PREFERENCE = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: types.kubefed.io/v1beta1
kind: FederatedNamespace
metadata: {name: shop, namespace: shop}
spec: {placement: {clusterSelector: {}}}
---
apiVersion: types.kubefed.io/v1beta1
kind: FederatedDeployment
metadata: {name: web, namespace: shop}
spec:
  template:
    metadata: {labels: {app: web}}
    spec:
      selector: {matchLabels: {app: web}}
      template:
        metadata: {labels: {app: web}}
        spec: {containers: [{name: web, image: "registry.invalid/web:TAG"}]}
  placement: {clusterSelector: {}}
---
apiVersion: scheduling.kubefed.io/v1alpha1
kind: ReplicaSchedulingPreference
metadata: {name: web, namespace: shop}
spec:
  targetKind: FederatedDeployment
  totalReplicas: 6
  clusters: {aws-eu: {weight: 1}, gcp-eu: {weight: 1}, gcp-us: {weight: WEIGHT}}
"""


def test_replicas_that_stay_where_they_run_are_as_wanted(simulated: RolloutWorld) -> None:
    """KubeFed's preferences move none without rebalance, whatever the weights say by now."""
    world = simulated
    world.begin(web=PREFERENCE.replace("TAG", "1").replace("WEIGHT", "1"))
    new = world.commit(web=PREFERENCE.replace("TAG", "2").replace("WEIGHT", "4"))
    for _ in range(12):
        world.run()
    assert world.rollout.stable == new, world.rollout.reason
    assert world.versions() == all_on("2")
    assert world.shares() == {FIRST: 2, SECOND: 2, LAST: 2}
    for host in world.hosts.values():
        host.controllers.broken = BROKEN
    world.commit(web=PREFERENCE.replace("TAG", BROKEN).replace("WEIGHT", "4"))
    for _ in range(14):
        world.run()
    assert world.rollout.phase is RolloutPhase.FAILED
    assert world.versions() == {FIRST: BROKEN, SECOND: "2", LAST: "2"}


CAREFUL = """---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: settings}
spec:
  select: [{kind: ConfigMap, name: settings}]
  clusterSelector: {}
  rollout: {manual: true}
"""


def test_what_a_person_must_promote_is_deleted_wave_by_wave_too(simulated: RolloutWorld) -> None:
    world = simulated
    world.begin()
    world.commit({"settings.yaml": config_map("settings", a="b") + CAREFUL})
    world.run()
    for _ in range(5):
        if world.rollout.candidate:
            world.steer(promoted=True)
        world.run()
    assert not world.rollout.candidate
    (world.repository / "settings.yaml").unlink()
    world.commit(web=web("1"))
    for _ in range(4):
        world.run()
    there = [name for name in NAMES if world.find(name, "ConfigMap", "settings")]
    assert there == [SECOND, LAST]
    assert "a person" in world.view().waves[0].waits


def test_a_quiet_fleet_is_asked_no_more_than_without_rules(world: RolloutWorld) -> None:
    with_rules = requests(world)
    world.commit({"federation.yaml": FEDERATION})
    for _ in range(2):
        world.run()
    assert with_rules == requests(world)


def requests(world: RolloutWorld) -> dict[str, list[str]]:
    before = {name: len(host.requests) for name, host in world.hosts.items()}
    assert not world.run().outcomes
    return {
        name: sorted(f"{r.method} {r.path}" for r in list(host.requests)[before[name] :])
        for name, host in world.hosts.items()
    }


def test_a_change_in_no_commit_can_be_planned_and_not_applied(world: RolloutWorld) -> None:
    world.write("web.yaml", web("2"))
    prepared = world.prepare(plan_only=True)
    assert [change.key.name for _, change in prepared.plan.writes()] == ["web"]
    assert prepared.plan.rollout is not None
    assert headline(prepared.plan.rollout).startswith("Rollout of uncommitted (stable ")
    file = world.repository.parent / "plan.json"
    with pytest.raises(ReconcileError, match="in no commit"):
        save_plan(file, prepared, RunOptions(plan_only=True))
    assert not file.exists()
    with world.writes() as writes, pytest.raises(UsageError, match="in no commit"):
        world.run()
    assert not any(writes.values())


def test_the_end_of_the_road_is_every_cluster_on_the_newest_commit(world: RolloutWorld) -> None:
    world.fail()
    world.commit(web=web("3"))
    now = world.plan(plan_only=True)
    assert [one.name for one, _ in now.writes()] == [FIRST]
    complete = world.plan(plan_only=True, rollout="complete")
    assert [one.name for one, _ in complete.writes()] == list(NAMES)


def test_a_plan_that_another_run_has_overtaken_is_not_applied(world: RolloutWorld) -> None:
    world.commit(web=web("2"))
    prepared = world.prepare()
    for _ in range(2):
        world.run()
    assert world.versions() == {FIRST: "2", SECOND: "2", LAST: "1"}
    with world.writes() as writes, pytest.raises(MemoryChanged):
        apply_plan(prepared)
    assert not any(writes.values())


FAR = "oci-far"


@pytest.fixture
def wider(repository: Path) -> Iterator[RolloutWorld]:
    with Sandbox([*NAMES, FAR], settings=ClusterSettings(nodes=2)) as sandbox:
        hosts = {name: sandbox.cluster(name) for name in (*NAMES, FAR)}
        world = RolloutWorld(repository, sandbox.kubeconfig, hosts=hosts)
        world.begin()
        yield world


def test_a_cluster_that_joins_meanwhile_has_what_is_stable_until_its_turn(
    wider: RolloutWorld,
) -> None:
    wider.fail()
    wider.commit(
        {"far.yaml": "---\n" + CLUSTER % (FAR, "oci", "far-1"), "more.yaml": config_map("more")}
    )
    wider.run()
    assert wider.versions(*NAMES) == {FIRST: BROKEN, SECOND: "1", LAST: "1"}
    assert wider.versions(FAR) == {FAR: "1"}
    wider.thaw()
    wider.commit(web=web("3"))
    wider.run_until_stable()
    assert wider.versions(*NAMES, FAR) == {**all_on("3"), FAR: "3"}


def test_a_cluster_that_leaves_meanwhile_holds_nothing_up(wider: RolloutWorld) -> None:
    wider.commit({"far.yaml": "---\n" + CLUSTER % (FAR, "oci", "far-1")})
    wider.run_until_stable()
    wider.commit(web=web("2"))
    wider.run()
    (wider.repository / "far.yaml").unlink()
    wider.commit()
    for _ in range(8):
        wider.run()
    assert wider.versions() == all_on("2")
    assert not wider.rollout.candidate


FEDERATED_WIDGET = """
apiVersion: types.kubefed.io/v1beta1
kind: FederatedWidget
metadata: {name: one, namespace: shop}
spec: {template: {spec: {size: %d}}, placement: {clusterSelector: {}}}
"""


def test_a_kind_that_only_members_know_is_known_in_every_commit(
    simulated: RolloutWorld,
) -> None:
    world = simulated
    for name in NAMES:
        world.hosts[name].create(definition("Widget"))
    eventually(lambda: all(_serves_widgets(world, name) for name in NAMES), "they are served")
    world.begin(WEB + "---" + FEDERATED_WIDGET % 1)
    world.commit(web=WEB + "---" + FEDERATED_WIDGET % 2)
    world.run()
    assert _sizes(world) == {FIRST: 2, SECOND: 1, LAST: 1}
    # On its own commit a cluster is kept as that says.
    world.hosts[LAST].delete("Deployment", "web", namespace="shop")
    prepared = world.prepare()
    assert not [one for one in prepared.plan.notices if one.cause == "CommitUnreadable"]
    assert apply_plan(prepared).ok
    assert world.deployment(LAST)
    world.run_until_stable()
    assert _sizes(world) == {FIRST: 2, SECOND: 2, LAST: 2}


def _serves_widgets(world: RolloutWorld, name: str) -> bool:
    host = world.hosts[name]
    member = Member(name, Transport(name, Endpoint(host.url, bearer(host.token))))
    return any(kind.kind == "Widget" for kind in member.discover().resources)


def _sizes(world: RolloutWorld) -> dict[str, int]:
    return {n: world.hosts[n].get("Widget", "one", "shop")["spec"]["size"] for n in NAMES}


def test_what_waited_for_a_commit_begins_by_what_it_changes_then(simulated: RolloutWorld) -> None:
    """A revert changes nothing beside what was stable before the commit that it reverts, but all
    beside that one; so the Placement's limit holds."""
    world = simulated
    world.begin(
        federation=FEDERATION + "  rollout: {waves: [{name: all}], queue: InOrder}\n",
        web=WEB + "  rollout: {maxConcurrent: 1}\n",
    )
    world.commit(web=web("2") + "  rollout: {maxConcurrent: 1}\n")
    world.run()
    world.revert()
    seen = []
    for _ in range(8):
        world.run()
        seen.append(tuple(world.versions().values()))
    assert seen[1:5] == [("2", "2", "2"), ("1", "2", "2"), ("1", "1", "2"), ("1", "1", "1")]
