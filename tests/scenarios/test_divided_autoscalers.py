"""An autoscaler's bounds are divided over the clusters, follow an outage, and never fall early."""

from __future__ import annotations

import pytest

from reconciler.api.moves import BoundsKept
from reconciler.plan.model import Action
from tests.scenarios.conftest import World
from tests.scenarios.failover_world import CLUSTERS, FEDERATION, WEB, FailoverWorld, real, simulated
from tests.scenarios.manifests import NAMESPACE
from tests.scenarios.manifests import WEB as SHOP_WEB

AUTOSCALER = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: shop}
spec:
  minReplicas: 6
  maxReplicas: 12
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
"""
PLACEMENT = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{kind: Deployment, name: web}]
  clusterSelector: {}
  replicas:
    mode: Divided
    total: 6
    autoscalers: Divided
    clusters: [{name: aws, weight: %d}, {name: gcp, weight: %d}]
"""
FOLLOW = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec: {dependencies: Follow}
"""


def bounds(world: World, *names: str) -> dict[str, tuple[int, int]]:
    found = {}
    for name in names:
        spec = world.get("horizontalpodautoscaler", "web", cluster=name)["spec"]
        found[name] = spec["minReplicas"], spec["maxReplicas"]
    return found


def all_ready(world: World, **counts: int) -> None:
    for name, count in counts.items():
        world.kubectl(
            *("-n", "shop", "wait", "deployment", "web", "--timeout=20s"),
            f"--for=jsonpath={{.status.readyReplicas}}={count}",
            cluster=name,
        )


def shop(aws: int, gcp: int, autoscaler: str = AUTOSCALER) -> str:
    return "---".join([NAMESPACE, SHOP_WEB, autoscaler, PLACEMENT % (aws, gcp)])


def test_each_cluster_gets_its_part_and_the_plan_says_so(world: World) -> None:
    world.write("federation.yaml", FOLLOW)
    world.write("shop.yaml", shop(2, 1))
    assert world.apply().ok
    assert bounds(world, "aws", "gcp") == {"aws": (4, 8), "gcp": (2, 4)}
    assert not [change for name in ("aws", "gcp") for change in world.changes(name)]
    # One more goes to one cluster, and is all that changes.
    world.write("shop.yaml", shop(2, 1, AUTOSCALER.replace("12", "13")))
    changes = [change for name in ("aws", "gcp") for change in world.changes(name)]
    assert len(changes) == 1
    assert [(f.path, f.after - f.before) for f in changes[0].fields] == [("spec.maxReplicas", 1)]
    assert changes[0].reason == "its share of the replicas changes"


def test_somebodys_hand_is_drift(simulated_world: World) -> None:
    world = simulated_world
    world.write("federation.yaml", FOLLOW)
    world.write("shop.yaml", shop(2, 1))
    assert world.apply().ok
    all_ready(world, aws=4, gcp=2)
    patch = '{"spec": {"maxReplicas": 50}}'
    world.kubectl("-n", "shop", "patch", "hpa", "web", "--type=merge", "-p", patch)
    (change,) = world.changes("aws")
    assert change.is_drift
    assert [(f.path, f.before, f.after) for f in change.fields] == [("spec.maxReplicas", 50, 8)]


def test_what_rises_comes_before_what_falls(simulated_world: World) -> None:
    world = simulated_world
    world.write("federation.yaml", FOLLOW)
    world.write("shop.yaml", shop(2, 1))
    assert world.apply().ok
    all_ready(world, aws=4, gcp=2)
    world.write("shop.yaml", shop(1, 2))
    plan = world.plan()
    assert [move.homes for move in plan.moves if isinstance(move, BoundsKept)] == [("gcp",)]
    assert world.apply().ok
    assert bounds(world, "aws", "gcp") == {"aws": (4, 8), "gcp": (4, 8)}
    # As the autoscaler does, which the simulator has none of.
    assert not [c for c in world.changes("aws") if c.action is Action.UPDATE]
    world.kubectl("-n", "shop", "scale", "deployment", "web", "--replicas=4", cluster="gcp")
    all_ready(world, gcp=4)
    assert world.apply().ok
    assert bounds(world, "aws", "gcp") == {"aws": (2, 4), "gcp": (4, 8)}
    assert not any(isinstance(move, BoundsKept) for move in world.plan().moves)


DIVIDED = WEB.replace("mode: Divided", "mode: Divided, autoscalers: Divided") + "---" + AUTOSCALER

__all__ = ["real", "simulated"]


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.integration)])
def failing(request: pytest.FixtureRequest) -> FailoverWorld:
    world: FailoverWorld = request.getfixturevalue(request.param)
    begin(world)
    return world


def begin(world: FailoverWorld) -> None:
    world.begin(
        DIVIDED,
        FEDERATION.replace(
            "  defaults: {placement: {clusterSelector: {}}}", "  dependencies: Follow"
        ),
    )


def test_who_takes_over_gets_the_bounds_and_gives_them_back(failing: FailoverWorld) -> None:
    world = failing
    each = dict.fromkeys(("aws-eu", "gcp-eu", "gcp-us"), (2, 4))
    assert bounds(world, *each) == each
    world.hosts["aws-eu"].stop()
    for _ in range(5):
        world.run()
    assert bounds(world, "gcp-eu", "gcp-us") == {"gcp-eu": (3, 6), "gcp-us": (3, 6)}
    world.hosts["aws-eu"].start()
    serving = []
    for _ in range(8):
        world.run()
        now = bounds(world, *each)
        serving.append(sum(most for _, most in now.values()))
    assert now == each
    assert min(serving) >= 12
    assert not world.plan().moves


def test_a_closed_cluster_gets_the_bounds_that_an_outage_asks_for(simulated: FailoverWorld) -> None:
    world = simulated
    begin(world)
    closed = "spec: {paused: true, provider: gcp, region: europe-west1"
    world.write(
        "clusters.yaml", CLUSTERS.replace("spec: {provider: gcp, region: europe-west1", closed)
    )
    world.hosts["aws-eu"].stop()
    for _ in range(5):
        world.run()
    assert bounds(world, "gcp-eu", "gcp-us") == {"gcp-eu": (3, 6), "gcp-us": (3, 6)}
    world.hosts["aws-eu"].start()
    for _ in range(8):
        world.run()
    # What it has too much of, it gives up when it is open again.
    now = bounds(world, "aws-eu", "gcp-eu", "gcp-us")
    assert now == {"aws-eu": (2, 4), "gcp-eu": (3, 6), "gcp-us": (2, 4)}
