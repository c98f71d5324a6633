"""What a workload needs is there before it, and leaves after it."""

from __future__ import annotations

from reconciler.plan.model import Action

from .conftest import World

RULES = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec: {dependencies: Follow}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data: {a: "1"}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: web, namespace: shop}
"""
WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop%s}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      serviceAccountName: web
      containers:
        - name: web
          image: registry.example/web:1.0
          envFrom: [{configMapRef: {name: settings}}]
"""
PLACEMENT = """
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{kind: Deployment}]
  clusterSelector: {matchLabels: {cloud: %s}}
"""


def test_it_moves_with_the_workload_and_never_leaves_it_without(world: World) -> None:
    world.write("federation.yaml", RULES)
    world.write("web.yaml", WEB % "" + PLACEMENT % "aws")
    assert world.apply().ok
    assert world.exists("configmap", "settings", "aws")
    assert not world.exists("configmap", "settings", "gcp")
    world.write("web.yaml", WEB % "" + PLACEMENT % "gcp")
    for _ in range(4):
        world.apply(max_deletions=9)
        for cluster in ("aws", "gcp"):
            if world.exists("deployment", "web", cluster):
                assert world.exists("configmap", "settings", cluster)
                assert world.exists("serviceaccount", "web", cluster)
    assert world.exists("deployment", "web", "gcp")


def test_it_stays_with_a_workload_that_is_kept(world: World) -> None:
    world.write("federation.yaml", RULES)
    protected = ", annotations: {federation.reconciler.dev/protect: 'true'}"
    world.write("web.yaml", WEB % protected + PLACEMENT % "aws")
    assert world.apply().ok
    # Both leave Git; the workload is protected, and stays.
    world.write("federation.yaml", RULES.partition("---\napiVersion: v1\nkind: ConfigMap")[0])
    world.write("web.yaml", "")
    world.apply(max_deletions=9)
    assert world.exists("deployment", "web", "aws")
    assert world.exists("configmap", "settings", "aws")
    assert world.exists("serviceaccount", "web", "aws")
    waiting = {c.key.name for c in world.changes("aws") if c.action is Action.WAITING}
    assert waiting == {"settings", "web"}
