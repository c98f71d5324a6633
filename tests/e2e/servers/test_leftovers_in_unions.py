"""What a change leaves behind, and Git does not have nor anybody own, is dropped in place."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.plan.model import ABSENT, Action
from tests.scenarios.conftest import (  # noqa: F401
    World,
    real_kubeconfig,
    repository,
)

pytestmark = pytest.mark.integration

NAMESPACE = "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}\n---\n"
WORKLOAD = """
apiVersion: apps/v1
kind: KIND
metadata:
  name: web
  namespace: shop
  annotations: {federation.reconciler.dev/recreate: "true"}
spec:
  selector: {matchLabels: {a: b}}
  STRATEGY
  template:
    metadata: {labels: {a: b}}
    spec:
      containers:
        - name: web
          image: registry.invalid/web:1
          PROBE
          volumeMounts: [{name: v, mountPath: /v}]
      volumes: [{name: v, VOLUME}]
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: shop
  annotations: {federation.reconciler.dev/recreate: "true"}
spec:
  selector: {a: b}
  SPEC
  ports: [{name: http, port: 80}]
"""


def workload(
    kind: str = "Deployment", strategy: str = "", volume: str = "emptyDir: {}", probe: str = ""
) -> str:
    text = WORKLOAD.replace("KIND", kind).replace("VOLUME", volume).replace("PROBE", probe)
    return text.replace("STRATEGY", strategy)


def service(spec: str = "") -> str:
    return SERVICE.replace("SPEC", spec)


def probe(action: str) -> str:
    return f"livenessProbe: {{{action}}}"


CASES = {
    "a Deployment that is to be stopped first": (
        workload(),
        workload(strategy="strategy: {type: Recreate}"),
        "spec.strategy.rollingUpdate.maxSurge",
    ),
    "a StatefulSet that is to wait": (
        workload("StatefulSet"),
        workload("StatefulSet", "updateStrategy: {type: OnDelete}"),
        "spec.updateStrategy.rollingUpdate.partition",
    ),
    "a DaemonSet that is to wait": (
        workload("DaemonSet"),
        workload("DaemonSet", "updateStrategy: {type: OnDelete}"),
        "",  # the server lets it stay
    ),
    "a volume of another type": (
        workload(volume="configMap: {name: a}"),
        workload(volume="secret: {secretName: a}"),
        "spec.template.spec.volumes[name=v].configMap.defaultMode",
    ),
    "a volume that was of the host": (
        workload(volume="hostPath: {path: /a}"),
        workload(volume="emptyDir: {}"),
        "spec.template.spec.volumes[name=v].hostPath.type",
    ),
    "a probe of another type": (
        workload(probe=probe("httpGet: {path: /, port: 80}")),
        workload(probe=probe("exec: {command: ['true']}")),
        "spec.template.spec.containers[name=web].livenessProbe.httpGet.scheme",
    ),
    "a probe that was of gRPC": (
        workload(probe=probe("grpc: {port: 80}")),
        workload(probe=probe("tcpSocket: {port: 80}")),
        "spec.template.spec.containers[name=web].livenessProbe.grpc.service",
    ),
    "a Service without affinity": (
        service("sessionAffinity: ClientIP"),
        service("sessionAffinity: None"),
        "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
    ),
    "a Service that is closed": (
        service("type: NodePort\n  externalTrafficPolicy: Local"),
        service("type: ClusterIP"),
        "spec.externalTrafficPolicy",
    ),
    "a Service of a load balancer that is closed": (
        service("type: LoadBalancer"),
        service("type: ClusterIP"),
        "spec.allocateLoadBalancerNodePorts",
    ),
    "a Service that becomes a name": (
        service(),
        service("type: ExternalName\n  externalName: a.example.com"),
        "spec.clusterIP",
    ),
}


@pytest.fixture
def world(repository: Path, real_kubeconfig: Path) -> World:  # noqa: F811
    found = World(repository, real_kubeconfig)
    found.options["clusters"] = ("aws",)
    return found


@pytest.mark.parametrize("case", CASES)
def test_a_leftover_that_nobody_owns_goes_in_place_and_is_in_the_plan(
    world: World, case: str
) -> None:
    before, after, gone = CASES[case]
    world.write("shop.yaml", NAMESPACE + before)
    assert world.apply().ok
    kind = "service" if "kind: Service" in before else before.split("kind: ")[1].split()[0].lower()
    uid = world.get(kind, "web")["metadata"]["uid"]
    world.write("shop.yaml", NAMESPACE + after)
    (change,) = world.changes()
    assert change.action is Action.UPDATE, change.error
    planned = {f.path: f.after for f in change.fields}
    assert not gone or planned.get(gone) is ABSENT, planned
    result = world.apply()
    assert result.ok, result.outcomes
    live = world.get(kind, "web")
    assert live["metadata"]["uid"] == uid
    assert not world.plan().has_changes
    again = next(c for c in result.plan.clusters if c.name == "aws").changes[0]
    assert {f.path: f.after for f in again.fields} == planned
    # Back again: what was dropped is not ours for ever.
    world.write("shop.yaml", NAMESPACE + before)
    result = world.apply()
    assert result.ok, [c.error for c in result.plan.clusters[0].changes]
    assert not world.plan().has_changes


def test_a_leftover_of_somebody_else_is_named_and_force_drops_it(world: World) -> None:
    world.write("shop.yaml", NAMESPACE + service())
    assert world.apply().ok
    theirs = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
    }
    apply_as(world, "argocd", theirs)
    uid = world.get("service", "web")["metadata"]["uid"]
    world.write("shop.yaml", NAMESPACE + service().replace("port: 80", "port: 8080"))
    (change,) = world.changes()
    assert change.action is Action.FAILED
    assert "argocd" in change.error
    assert "spec.ports[port=80,protocol=TCP] is owned by argocd" in change.error
    assert "--force-conflicts" in change.error
    assert "needs recreate" not in change.error
    assert not world.plan().violations
    (change,) = world.changes(force_conflicts=True)
    assert change.action is Action.UPDATE
    assert "argocd" in change.reason
    result = world.apply(force_conflicts=True)
    assert result.ok, result.outcomes
    live = world.get("service", "web")
    assert live["metadata"]["uid"] == uid
    assert [p["port"] for p in live["spec"]["ports"]] == [8080]
    assert not world.plan().has_changes


def test_only_the_leftover_that_stands_in_the_way_goes(world: World) -> None:
    world.write("shop.yaml", NAMESPACE + workload())
    assert world.apply().ok
    sidecar = '[{"op":"add","path":"/spec/template/spec/containers/-",'
    sidecar += '"value":{"name":"side","image":"registry.invalid/side:1"}}]'
    world.kubectl("patch", "deploy", "web", "-n", "shop", "--type=json", "-p", sidecar)
    world.write("shop.yaml", NAMESPACE + workload(strategy="strategy: {type: Recreate}"))
    (change,) = world.changes()
    assert change.action is Action.UPDATE, change.error
    assert world.apply().ok
    containers = world.get("deployment", "web")["spec"]["template"]["spec"]["containers"]
    assert {c["name"] for c in containers} == {"web", "side"}


def apply_as(world: World, manager: str, body: dict[str, object]) -> None:
    import json

    path = world.repository.parent / "theirs.json"
    path.write_text(json.dumps(body))
    world.kubectl("apply", "--server-side", f"--field-manager={manager}", "-f", str(path))


def test_a_leftover_of_a_service_that_is_sensitive_in_the_cluster_is_named_without_its_port(
    world: World,
) -> None:
    """Git no longer says that it is sensitive; the object in the cluster still does."""
    world.write("shop.yaml", NAMESPACE + service())
    assert world.apply().ok
    theirs = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "web",
            "namespace": "shop",
            "annotations": {"federation.reconciler.dev/sensitive": "true"},
        },
        "spec": {"ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
    }
    apply_as(world, "argocd", theirs)
    world.write("shop.yaml", NAMESPACE + service().replace("port: 80", "port: 8080"))
    (change,) = world.changes()
    assert change.action is Action.FAILED
    assert "spec.ports[port=***,protocol=***] is owned by argocd" in change.error
