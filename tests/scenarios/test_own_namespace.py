"""The namespace of the inventory, and what lies in it, may come from Git; it never goes with it."""

from __future__ import annotations

from tests.scenarios.conftest import World
from tests.scenarios.manifests import SHOP

OWN = """
apiVersion: v1
kind: Namespace
metadata: {name: federation-system, labels: {team: platform}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: reconciler, namespace: federation-system}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: note, namespace: federation-system}
data: {a: b}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: note, namespace: default}
data: {a: b}
"""


def test_what_leaves_git_stays_where_reconcile_needs_it(world: World) -> None:
    world.write("shop.yaml", SHOP)
    world.write("own.yaml", OWN)
    assert world.apply().ok
    world.remove("own.yaml")
    result = world.apply()
    assert result.ok
    own = "federation-system"
    assert "team" in world.get("namespace", own)["metadata"]["labels"]
    assert world.exists("serviceaccount", "reconciler", namespace=own)
    assert world.exists("configmap", "note", namespace=own)
    assert not world.exists("configmap", "note", namespace="default")
    said = str(result.plan)
    assert "reconcile itself needs it" in said
    # Nothing is forgotten either.
    assert world.apply().ok
    assert not world.plan().has_failures
