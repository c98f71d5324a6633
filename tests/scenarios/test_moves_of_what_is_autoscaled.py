"""What an autoscaler has scaled moves with as many replicas as it has, not with Git's first few."""

from __future__ import annotations

import pytest

from reconciler.api.moves import StartsWith
from tests.scenarios.conftest import World
from tests.scenarios.manifests import NAMESPACE, WEB

AUTOSCALER = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: shop}
spec:
  minReplicas: 2
  maxReplicas: 9
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
"""
PLACEMENT = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{namespace: shop}]
  clusters: [aws]
"""
SCALER_STAYS = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: scaler}
spec:
  priority: 1
  select: [{kind: HorizontalPodAutoscaler}]
  clusterSelector: {matchLabels: {cloud: aws}}
"""
DIVIDED = (
    PLACEMENT.replace("{namespace", "{kind: Deployment, namespace")
    + "  replicas: {mode: Divided, total: 2}\n"
)


def scaled(world: World, placement: str, *others: str) -> None:
    """Web runs in aws with eight replicas, which its autoscaler has set."""
    world.write("shop.yaml", "---".join([NAMESPACE, WEB, AUTOSCALER, placement, *others]))
    assert world.apply().ok
    world.kubectl("-n", "shop", "scale", "deployment", "web", "--replicas=8")


def moved(world: World, placement: str, *others: str) -> None:
    placement = placement.replace("[aws]", "[gcp]")
    world.write("shop.yaml", "---".join([NAMESPACE, WEB, AUTOSCALER, placement, *others]))


def count(world: World, cluster: str) -> int:
    replicas: int = world.get("deployment", "web", cluster=cluster)["spec"]["replicas"]
    return replicas


@pytest.mark.parametrize("placement", [PLACEMENT, DIVIDED], ids=["whole", "divided"])
def test_it_starts_in_its_new_cluster_with_as_many_as_it_has(world: World, placement: str) -> None:
    scaled(world, placement)
    moved(world, placement)
    plan = world.plan()
    row = next(row for row in plan.workloads if row.key.name == "web")
    assert row.after == {"aws": 8, "gcp": 8}
    assert StartsWith("gcp", row.key, 8, leaves=("aws",)) in plan.moves
    assert world.apply().ok
    assert (count(world, "aws"), count(world, "gcp")) == (8, 8)
    world.apply()
    assert count(world, "gcp") == 8
    assert not any(isinstance(move, StartsWith) for move in world.plan().moves)


def test_where_no_autoscaler_goes_gits_count_starts(world: World) -> None:
    scaled(world, PLACEMENT, SCALER_STAYS)
    moved(world, PLACEMENT, SCALER_STAYS)
    row = next(row for row in world.plan().workloads if row.key.name == "web")
    assert row.after == {"aws": 8, "gcp": 2}


KUBEFED = """
apiVersion: types.kubefed.io/v1beta1
kind: FederatedNamespace
metadata: {name: shop, namespace: shop}
spec: {placement: {clusterSelector: {}}}
---
apiVersion: types.kubefed.io/v1beta1
kind: FederatedDeployment
metadata: {name: web, namespace: shop}
spec:
  retainReplicas: true
  template:
    spec:
      replicas: 2
      selector: {matchLabels: {app: web}}
      template:
        metadata: {labels: {app: web}}
        spec: {containers: [{name: web, image: "registry.example/web:1.0"}]}
  placement: {clusters: [{name: aws}]}
"""


def test_replicas_that_kubefed_retains_move_as_well(world: World) -> None:
    world.write("shop.yaml", KUBEFED)
    assert world.apply().ok
    world.kubectl("-n", "shop", "scale", "deployment", "web", "--replicas=7")
    world.write("shop.yaml", KUBEFED.replace("{name: aws}", "{name: gcp}"))
    assert world.apply().ok
    world.apply()
    assert count(world, "gcp") == 7
