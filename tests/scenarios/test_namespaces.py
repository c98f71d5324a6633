"""Namespaces that no rule places: they go and stay with what lies in them."""

from __future__ import annotations

from .conftest import World

SPACE = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
"""
RULES = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
"""
MAPS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: first, namespace: shop}
data: {a: "1"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: second, namespace: shop}
data: {a: "1"}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: first}
spec:
  select: [{kind: ConfigMap, name: first}]
  clusterSelector: {matchLabels: {cloud: aws}}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: second}
spec:
  select: [{kind: ConfigMap, name: second}]
  clusterSelector: {matchLabels: {cloud: %s}}
"""


def test_a_namespace_is_made_wherever_something_in_it_goes(world: World) -> None:
    world.write("federation.yaml", RULES)
    world.write("space.yaml", SPACE)
    world.write("maps.yaml", MAPS % "gcp")
    assert world.apply().ok
    assert world.exists("configmap", "first", "aws")
    assert world.exists("configmap", "second", "gcp")
    assert not world.plan().has_changes


def test_a_namespace_leaves_a_cluster_with_the_last_that_lies_in_it(world: World) -> None:
    world.write("federation.yaml", RULES)
    world.write("space.yaml", SPACE)
    world.write("maps.yaml", MAPS % "gcp")
    assert world.apply().ok
    world.write("maps.yaml", MAPS % "aws")
    results = [world.apply(max_deletions=9) for _ in range(3)]
    undone = world.changes("gcp")
    left = world.kubectl("get", "namespace", "shop", cluster="gcp", check=False)
    assert not undone, results
    assert "NotFound" in left or "Terminating" in left
    assert world.exists("configmap", "second", "aws")
