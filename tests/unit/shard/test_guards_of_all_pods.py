"""What one run would not do, several pods that share it do not do either."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from kubesim.fleet import Sandbox
from reconciler.api.errors import GuardViolation, SourceError
from reconciler.plan.model import Action
from reconciler.run.pipeline import Prepared, apply_plan, make_plan
from reconciler.shard.split import split
from tests.unit.shard.conftest import FEDERATION, NAMES, ShardedWorld

INDEX = split(NAMES, 3)
FIRST, *OTHERS = sorted(NAMES, key=INDEX.__getitem__)
PAIR = split(NAMES, 2)
ALONE = next(n for n in NAMES if list(PAIR.values()).count(PAIR[n]) == 1)
LEFT, RIGHT = (name for name in NAMES if name != ALONE)


def config_map(name: str, *clusters: str) -> str:
    return f"""
apiVersion: v1
kind: ConfigMap
metadata: {{name: {name}, namespace: default}}
data: {{colour: green}}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {{name: {name}}}
spec: {{select: [{{kind: ConfigMap, name: {name}}}], clusters: [{", ".join(clusters)}]}}
---"""


def has(world: ShardedWorld, name: str, cluster: str) -> bool:
    return world.exists("configmap", name, cluster, "default")


def limited(world: ShardedWorld) -> None:
    world.commit("federation.yaml", FEDERATION.replace("spec:\n", LIMIT, 1))


LIMIT = "spec:\n  guards: {maxDeletions: 1}\n"


def test_a_limit_that_one_pod_passes_keeps_the_others_from_deleting(world: ShardedWorld) -> None:
    limited(world)
    names = [config_map(f"gone-{n}", OTHERS[0]) for n in range(3)]
    stays = config_map("stays", *NAMES)
    world.commit("all.yaml", stays + config_map("old", FIRST) + "".join(names))
    assert all(result.ok for result in world.run())
    world.commit("all.yaml", stays + config_map("new", OTHERS[1]))
    job = world.job()
    with ThreadPoolExecutor(3) as pool:
        pods = [job.start(pool, index) for index in range(3)]
    for index in (0, 1):
        with pytest.raises(GuardViolation, match=f"{OTHERS[0]}: 3 deletions"):
            pods[index].result()
    assert pods[2].result().ok
    assert has(world, "old", FIRST)
    assert all(has(world, f"gone-{n}", OTHERS[0]) for n in range(3))
    assert has(world, "new", OTHERS[1])


def test_pods_within_their_limits_delete_together(simulated: ShardedWorld) -> None:
    limited(simulated)
    stays = config_map("stays", *NAMES)
    simulated.commit("all.yaml", stays + config_map("old", *NAMES))
    simulated.run()
    commit = simulated.commit("all.yaml", stays)
    assert all(result.ok for result in simulated.run())
    assert not any(has(simulated, "old", name) for name in NAMES)
    assert simulated.memory().commit == commit


def test_a_pod_that_ended_without_a_word_holds_up_no_deletion(simulated: ShardedWorld) -> None:
    (where, *_) = (name for name in NAMES if PAIR[name] == 1)
    stays = config_map("stays", *NAMES)
    simulated.commit("all.yaml", stays + config_map("old", where))
    simulated.run()
    simulated.commit("all.yaml", stays)
    job = simulated.job(2)

    def fail_first(prepared: Prepared) -> None:
        if prepared.round and prepared.round.shard.index == 0:
            raise SourceError("something broke")

    job.before_write = fail_first
    with pytest.raises(SourceError):
        job.pod(0)
    began = time.monotonic()
    assert job.pod(1).ok
    assert time.monotonic() - began < 60
    assert not has(simulated, "old", where)


def refuse(fleet: Sandbox, cluster: str) -> None:
    fleet.cluster(cluster).faults.error(
        400, message="strict decoding error", method="PATCH", path="/configmaps/odd"
    )


def test_what_one_pods_cluster_refuses_is_no_mistake_in_git_while_another_pods_takes_it(
    simulated: ShardedWorld, simulated_fleet: Sandbox
) -> None:
    refuse(simulated_fleet, LEFT)
    simulated.commit("all.yaml", config_map("odd", LEFT, ALONE) + config_map("other", RIGHT))
    results = simulated.run(2)
    assert has(simulated, "other", RIGHT)
    assert has(simulated, "odd", ALONE)
    changes = [c for result in results for cluster in result.plan.clusters for c in cluster.changes]
    assert [c.key.name for c in changes if c.action is Action.FAILED] == ["odd"]


def test_what_a_chosen_cluster_refuses_is_its_own_trouble(
    simulated: ShardedWorld, simulated_fleet: Sandbox
) -> None:
    refuse(simulated_fleet, LEFT)
    simulated.commit("all.yaml", config_map("odd", LEFT, ALONE) + config_map("other", LEFT))
    prepared = make_plan(simulated.given(clusters=(LEFT,)))
    assert not prepared.plan.violations
    (one,) = prepared.plan.clusters
    assert [c.key.name for c in one.changes if c.action is Action.FAILED] == ["odd"]
    assert not apply_plan(prepared).ok
    assert has(simulated, "other", LEFT)


def test_what_is_wanted_only_where_it_is_refused_stops_the_pod_that_knows(
    simulated: ShardedWorld, simulated_fleet: Sandbox
) -> None:
    refuse(simulated_fleet, LEFT)
    simulated.commit("all.yaml", config_map("odd", LEFT) + config_map("other", RIGHT))
    with pytest.raises(GuardViolation, match="refused as invalid: ConfigMap default/odd"):
        apply_plan(make_plan(simulated.given(clusters=(LEFT, RIGHT))))
    assert not has(simulated, "other", RIGHT)
