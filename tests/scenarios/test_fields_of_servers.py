"""What Git states of fields that a server would choose is wanted; what it does not, stays."""

from __future__ import annotations

import json
import random

import pytest

from reconciler.plan.model import Action, Change, Plan
from tests.node_ports import unused_node_port
from tests.scenarios.conftest import World
from tests.scenarios.manifests import NAMESPACE

PORTAL = """
apiVersion: v1
kind: Service
metadata: {name: portal, namespace: shop}
spec:
  type: NodePort
  selector: {app: portal}
  ports:
    - {name: http, port: 80, NODE}
    - {name: https, port: 443}
"""
INNER = """
apiVersion: v1
kind: Service
metadata: {name: portal, namespace: shop ANNOTATIONS}
spec:
  selector: {app: portal}
  SAID
  ports: [{name: http, port: 80}]
"""
ALLOWED = ", annotations: {federation.reconciler.dev/recreate: 'true'}"


@pytest.fixture
def port() -> int:
    return unused_node_port(in_a_row=3)


def portal(node: int | str) -> str:
    said = f"nodePort: {node}" if isinstance(node, int) else node
    return NAMESPACE + "---" + PORTAL.replace("NODE", said)


def inner(said: str = "type: ClusterIP", annotations: str = "") -> str:
    return NAMESPACE + "---" + INNER.replace("SAID", said).replace("ANNOTATIONS", annotations)


def node_ports(world: World) -> list[int]:
    return [port["nodePort"] for port in world.get("service", "portal")["spec"]["ports"]]


def set_node_port(world: World, index: int, value: int) -> None:
    patch = [{"op": "replace", "path": f"/spec/ports/{index}/nodePort", "value": value}]
    world.kubectl(
        *("-n", "shop", "patch", "service", "portal", "--type=json", "-p", json.dumps(patch))
    )


def fields(changes: tuple[Change, ...]) -> list[tuple[str, object, object]]:
    return [(f.path, f.before, f.after) for change in changes for f in change.fields]


def test_a_node_port_that_git_states_is_applied(world: World, port: int) -> None:
    world.write("portal.yaml", portal(port))
    assert world.apply().ok
    https = node_ports(world)[1]
    world.write("portal.yaml", portal(port + 1))
    assert fields(world.changes()) == [("spec.ports[name=http].nodePort", port, port + 1)]
    assert world.apply().ok
    assert node_ports(world) == [port + 1, https]
    assert not world.plan().has_changes


def test_a_node_port_that_git_no_longer_states_stays_and_somebody_elses_is_not_drift(
    world: World, port: int
) -> None:
    world.write("portal.yaml", portal(port))
    assert world.apply().ok
    world.write("portal.yaml", portal("protocol: TCP"))
    assert world.apply().ok
    assert node_ports(world)[0] == port
    assert not world.plan().has_changes
    set_node_port(world, 1, port + 1)
    assert not world.plan().has_changes
    assert node_ports(world)[1] == port + 1


def test_a_node_port_that_somebody_changed_is_drift(world: World, port: int) -> None:
    world.write("portal.yaml", portal(port))
    assert world.apply().ok
    set_node_port(world, 0, port + 2)
    assert fields(world.changes()) == [("spec.ports[name=http].nodePort", port + 2, port)]
    assert world.apply().ok
    assert node_ports(world)[0] == port


def test_ports_may_be_renamed_and_put_in_another_order(world: World, port: int) -> None:
    world.write("portal.yaml", portal(port))
    assert world.apply().ok
    https = node_ports(world)[1]
    text = portal(port).replace("name: http,", "name: web,")
    first, second = (
        "    - {name: web, port: 80, nodePort: PORT}\n",
        "    - {name: https, port: 443}\n",
    )
    world.write("portal.yaml", text.replace(first + second, second + first))
    assert world.apply().ok
    assert not world.plan().has_changes
    live = {p["name"]: p["nodePort"] for p in world.get("service", "portal")["spec"]["ports"]}
    assert live == {"web": port, "https": https}


def test_a_service_that_is_no_longer_open_loses_its_node_ports(world: World, port: int) -> None:
    world.write("portal.yaml", portal(port))
    assert world.apply().ok
    text = portal("protocol: TCP").replace("type: NodePort", "type: ClusterIP")
    world.write("portal.yaml", text)
    assert ("spec.ports[name=http].nodePort", port) in {f[:2] for f in fields(world.changes())}
    assert world.apply().ok
    assert "nodePort" not in world.get("service", "portal")["spec"]["ports"][0]
    assert not world.plan().has_changes


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("type: ClusterIP", "clusterIP: None"),
        ("clusterIP: None", "clusterIP: ADDRESS"),
    ],
)
def test_another_cluster_ip_needs_a_recreation(world: World, before: str, after: str) -> None:
    world.write("other.yaml", inner().replace("portal", "other"))
    assert world.apply().ok
    address = world.get("service", "other")["spec"]["clusterIP"]
    world.write("portal.yaml", inner(before).replace(NAMESPACE + "---", ""))
    assert world.apply().ok
    uid = world.get("service", "portal")["metadata"]["uid"]
    # Servers choose among the addresses above the first 256, and keep one for a while.
    network = ".".join(address.split(".")[:2])
    free = f"{network}.0.{random.randrange(20, 250)}"
    said = after.replace("ADDRESS", free)
    world.write("portal.yaml", inner(said).replace(NAMESPACE + "---", ""))
    (change,) = world.changes()
    assert change.action is Action.FAILED
    assert change.error.startswith("needs recreate: spec.clusterIP")
    assert not world.apply().ok
    assert world.get("service", "portal")["metadata"]["uid"] == uid

    world.options["clusters"] = ("aws",)
    world.write("portal.yaml", inner(said, ALLOWED).replace(NAMESPACE + "---", ""))
    (change,) = world.changes()
    assert change.action is Action.RECREATE
    assert "spec.clusterIP" in {f.path.partition("[")[0].rstrip("s") for f in change.fields}
    assert world.apply().ok
    wanted = "None" if "None" in after else free
    assert world.get("service", "portal")["spec"]["clusterIP"] == wanted
    assert not world.plan().has_changes


def test_what_git_gives_up_and_the_server_keeps_is_named(world: World) -> None:
    world.write("portal.yaml", inner("clusterIP: None"))
    assert world.apply().ok
    world.write("portal.yaml", inner("# somebody else's choice"))
    change = world.changes()[0]
    assert fields((change,)) == []
    assert change.reason == "no longer in Git, and stays as it is: spec.clusterIP"
    assert world.apply().ok
    assert not world.plan().has_changes


def test_a_claims_volume_needs_a_recreation_which_is_refused(world: World) -> None:
    claim = """
    apiVersion: v1
    kind: PersistentVolumeClaim
    metadata: {name: data, namespace: shop}
    spec:
      accessModes: [ReadWriteOnce]
      storageClassName: ""
      volumeName: one
      resources: {requests: {storage: 1Gi}}
    """
    world.write("namespace.yaml", NAMESPACE)
    world.write("claim.yaml", claim)
    assert world.apply().ok
    world.write("claim.yaml", claim.replace("volumeName: one", "volumeName: two"))
    change = world.changes()[0]
    assert change.action is Action.FAILED
    assert "needs recreate" in change.error


FEDERATED = """
apiVersion: types.kubefed.io/v1beta1
kind: FederatedService
metadata: {name: portal, namespace: shop}
spec:
  placement: {clusterSelector: {}}
  template:
    spec:
      type: NodePort
      selector: {app: portal}
      ports: [{name: http, port: 80, nodePort: NODE}]
  overrides: OVERRIDES
---
apiVersion: types.kubefed.io/v1beta1
kind: FederatedNamespace
metadata: {name: shop, namespace: shop}
spec: {placement: {clusterSelector: {}}}
"""


def federated(node: int, overrides: str = "[]") -> str:
    return FEDERATED.replace("NODE", str(node)).replace("OVERRIDES", overrides)


def told(plan: Plan) -> list[str]:
    return [warning for warning in plan.warnings if "portal" in warning]


def test_kubefed_keeps_a_node_port_and_the_plan_says_that_git_states_another(
    world: World, port: int
) -> None:
    world.write("portal.yaml", federated(port))
    assert world.apply().ok
    assert told(world.plan()) == []
    world.write("portal.yaml", federated(port + 1))
    plan = world.plan()
    assert not plan.has_changes
    assert told(plan)[0] == (
        f"aws: Service shop/portal: spec.ports[port=80].nodePort stays {port}, as KubeFed keeps "
        f"it; Git says {port + 1} (an override would set it)"
    )


def test_an_override_goes_before_what_kubefed_keeps(world: World, port: int) -> None:
    world.write("portal.yaml", federated(port))
    assert world.apply().ok
    override = f"{{path: /spec/ports/0/nodePort, value: {port + 1}}}"
    override = f"[{{clusterName: aws, clusterOverrides: [{override}]}}]"
    world.write("portal.yaml", federated(port, override))
    assert [len(c.changes) for c in world.plan().clusters] == [1, 0]
    assert world.apply().ok
    assert node_ports(world) == [port + 1]
    assert not world.plan().has_changes
