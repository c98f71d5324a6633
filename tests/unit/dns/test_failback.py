"""Which names wait for a cluster that returns."""

from __future__ import annotations

import pytest

from reconciler.api.objects import ObjectKey
from reconciler.dns.failback import returning_objects
from reconciler.scheduler.schedule import schedule
from tests.unit.dns.fleets import CLUSTERS, WEB, understood

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: %s, namespace: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: %s}}
  template: {metadata: {labels: {app: %s}}, spec: {containers: [{name: a, image: a}]}}
---
"""
INGRESS = """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: front, namespace: shop}
spec: {defaultBackend: {service: {name: web, port: {number: 443}}}}
---
"""
SERVICE = ObjectKey("", "Service", "shop", "web")
FRONT = ObjectKey("networking.k8s.io", "Ingress", "shop", "front")


@pytest.mark.parametrize(
    ("deployment", "ready", "not_yet_ready"),
    [
        ("web", 2, {"aws-eu": {SERVICE, FRONT}}),
        ("web", None, {"aws-eu": {SERVICE, FRONT}}),
        ("web", 3, {}),
        # What the Service does not select has no say in its name.
        ("worker", 0, {}),
    ],
)
def test_a_name_waits_for_all_replicas_behind_it(
    deployment: str, ready: int | None, not_yet_ready: dict[str, set[ObjectKey]]
) -> None:
    state = understood(CLUSTERS, WEB, DEPLOYMENT % ((deployment,) * 3), INGRESS)
    key = ObjectKey("apps", "Deployment", "shop", deployment)
    spec = {"replicas": 3}
    there = {"spec": spec, "status": {"readyReplicas": ready}} if ready is not None else None
    live = {key: {"aws-eu": there, "gcp-eu": {"status": {}}}} if there else {}
    assert returning_objects(state, schedule(state), live, ["aws-eu"]) == not_yet_ready
    assert returning_objects(state, schedule(state), live, []) == {}


def test_a_name_waits_for_what_the_live_object_asks_for_not_for_what_git_once_said() -> None:
    """An autoscaler asks for two of the three; nobody will ever make it three."""
    state = understood(CLUSTERS, WEB, DEPLOYMENT % (("web",) * 3), INGRESS)
    key = ObjectKey("apps", "Deployment", "shop", "web")
    live = {key: {"aws-eu": {"spec": {"replicas": 2}, "status": {"readyReplicas": 2}}}}
    assert returning_objects(state, schedule(state), live, ["aws-eu"]) == {}
