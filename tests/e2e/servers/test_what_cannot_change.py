"""What cannot be changed is told by what servers do, not by their words: of every kind."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from reconciler.plan.model import Action, Change
from tests.definitions import definition_text
from tests.node_ports import unused_node_port
from tests.scenarios.conftest import (  # noqa: F401
    World,
    real_kubeconfig,
    repository,
)

pytestmark = pytest.mark.integration

POD = "containers: [{name: a, image: 'registry.invalid/a:1'}]"
DEFINITION = definition_text(
    "Box",
    plural="boxes",
    schema="""
x-kubernetes-validations:
  - {rule: "!has(oldSelf.spec.shape) || self.spec.shape == oldSelf.spec.shape",
     message: "a box keeps its looks"}
properties:
  spec:
    type: object
    properties:
      size:
        type: integer
        x-kubernetes-validations: [{rule: self == oldSelf, message: "nie wieder!"}]
      shape: {type: string}
      colour:
        type: string
        x-kubernetes-validations:
          - rule: "!oldSelf.hasValue() || oldSelf.value() == self"
            optionalOldSelf: true
            message: "paint does not come off"
      weight: {type: integer}
""",
)
NAMESPACE = "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}"


def box(name: str, spec: str) -> str:
    return f"{{apiVersion: example.com/v1, kind: Box, metadata: {{name: {name}}}, spec: {spec}}}"


RBAC = "rbac.authorization.k8s.io"
TABLE = {
    "a RoleBinding's role": (
        f"{{apiVersion: {RBAC}/v1, kind: RoleBinding, metadata: {{name: a}}, "
        f"roleRef: {{apiGroup: {RBAC}, kind: ClusterRole, name: view}}}}",
        "name: view",
        "name: edit",
    ),
    "a ClusterRoleBinding's role": (
        f"{{apiVersion: {RBAC}/v1, kind: ClusterRoleBinding, metadata: {{name: a}}, "
        f"roleRef: {{apiGroup: {RBAC}, kind: ClusterRole, name: view}}}}",
        "name: view",
        "name: edit",
    ),
    "a Service's address": (
        "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {type: ClusterIP, "
        "selector: {a: b}, ports: [{port: 80}]}}",
        "type: ClusterIP",
        "clusterIP: None",
    ),
    "the address of a Service with a node port of its own": (
        "{apiVersion: v1, kind: Service, metadata: {name: node}, spec: {type: NodePort, "
        "clusterIP: 10.1.0.77, selector: {a: b}, ports: [{port: 80, nodePort: NODE_PORT}]}}",
        "10.1.0.77",
        "10.1.0.78",
    ),
    "a StatefulSet's service": (
        "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: a}, spec: {serviceName: a, "
        "selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, "
        f"spec: {{{POD}}}}}}}}}",
        "serviceName: a",
        "serviceName: b",
    ),
    "a Job's template": (
        "{apiVersion: batch/v1, kind: Job, metadata: {name: a}, spec: {template: {spec: "
        f"{{restartPolicy: Never, {POD}}}}}}}}}",
        "a:1",
        "a:2",
    ),
    "a Deployment's selector": (
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {"
        "selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, "
        f"spec: {{{POD}}}}}}}}}",
        "{a: b}",
        "{a: c}",
    ),
    "a DaemonSet's selector": (
        "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: a}, spec: {"
        "selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, "
        f"spec: {{{POD}}}}}}}}}",
        "{a: b}",
        "{a: c}",
    ),
    "a Pod's account": (
        "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {serviceAccountName: robot, "
        f"automountServiceAccountToken: false, hostname: one, {POD}}}}}",
        "hostname: one",
        "hostname: two",
    ),
    "an EndpointSlice's type": (
        "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a}, "
        "addressType: IPv4, endpoints: []}",
        "IPv4",
        "IPv6",
    ),
    "a StorageClass's parameters": (
        "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: a}, "
        "provisioner: example.com/disk, parameters: {type: slow}}",
        "slow",
        "fast",
    ),
    "a StorageClass's provisioner": (
        "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: b}, "
        "provisioner: example.com/disk}",
        "com/disk",
        "com/other",
    ),
    "a PriorityClass's value": (
        "{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: a}, value: 7}",
        "value: 7",
        "value: 8",
    ),
    "an IngressClass's controller": (
        "{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: a}, "
        "spec: {controller: example.com/one}}",
        "com/one",
        "com/two",
    ),
    "a CSIDriver's attachment": (
        "{apiVersion: storage.k8s.io/v1, kind: CSIDriver, metadata: {name: a.example.com}, "
        "spec: {attachRequired: true}}",
        "attachRequired: true",
        "attachRequired: false",
    ),
    "a RuntimeClass's handler": (
        "{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: a}, handler: one}",
        "handler: one",
        "handler: two",
    ),
    "a Secret that is immutable": (
        "{apiVersion: v1, kind: Secret, metadata: {name: a}, immutable: true, data: {a: YQ==}}",
        "YQ==",
        "Yg==",
    ),
    "a Secret's type": (
        "{apiVersion: v1, kind: Secret, metadata: {name: b}, type: Opaque, data: {a: YQ==}}",
        "type: Opaque",
        "type: example.com/key",
    ),
    "a ConfigMap that is immutable": (
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, immutable: true, data: {a: b}}",
        "a: b}",
        "a: c}",
    ),
    "a ConfigMap that is to be mutable": (
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: b}, immutable: true, data: {a: b}}",
        "immutable: true",
        "immutable: false",
    ),
    "a field of a custom resource": (box("a", "{size: 1}"), "size: 1", "size: 2"),
    "a whole custom resource": (box("b", "{shape: round}"), "round", "square"),
    "a field that may be set once": (box("c", "{colour: red}"), "red", "blue"),
    "several causes": (box("d", "{size: 1, shape: round}"), "1, shape: round", "2, shape: flat"),
    "a ControllerRevision": (
        "{apiVersion: apps/v1, kind: ControllerRevision, metadata: {name: a}, revision: 1, "
        "data: {a: b}}",
        "a: b}",
        "a: c}",
    ),
}
CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: slow
  resources: {requests: {storage: 1Gi}}
"""


@pytest.fixture
def world(repository: Path, real_kubeconfig: Path) -> World:  # noqa: F811
    world = World(repository, real_kubeconfig)
    world.write("shop.yaml", f"{NAMESPACE}\n---\n{DEFINITION}")
    assert world.apply().ok
    return world


def manifests(*, changed: bool, recreate: bool = False, port: int) -> str:
    found = []
    for text, old, new in [*TABLE.values(), (CLAIM, "slow", "fast")]:
        text = text.replace("NODE_PORT", str(port))
        body = yaml.safe_load(text.replace(old, new) if changed else text)
        cluster_wide = body["kind"].endswith(("Class", "CSIDriver", "ClusterRoleBinding"))
        body["metadata"] |= {} if cluster_wide else {"namespace": "shop"}
        if recreate:
            body["metadata"]["annotations"] = {"federation.reconciler.dev/recreate": "true"}
        found.append(yaml.safe_dump(body))
    return "\n---\n".join(found)


def identity(change: Change) -> tuple[str, str]:
    return change.key.kind, change.key.name


def test_what_the_server_takes_as_new_only_is_recreated_where_that_is_allowed(
    world: World,
) -> None:
    world.kubectl("create", "serviceaccount", "robot", "-n", "shop")
    world.options["clusters"] = ("aws",)
    port = unused_node_port()
    world.write("objects.yaml", manifests(changed=False, port=port))
    result = world.apply()
    assert result.ok, [o for o in result.outcomes if o.status != "done"]

    world.write("objects.yaml", manifests(changed=True, port=port))
    plan = world.plan()
    assert not plan.violations
    changes = {identity(c): c for c in world.changes()}
    assert len(changes) == len(TABLE) + 1
    others = {i: c.error or c.action for i, c in changes.items() if "needs recreate" not in c.error}
    assert not others
    assert {c.action for c in changes.values()} == {Action.FAILED}
    assert not [c for c in changes.values() if "allow it with the annotation" not in c.error]

    world.write("objects.yaml", manifests(changed=True, recreate=True, port=port))
    changes = {identity(c): c for c in world.changes()}
    claim = changes.pop(("PersistentVolumeClaim", "data"))
    assert "spec.recreation.allowDataLoss" in claim.error
    waiting = {i: c.error for i, c in changes.items() if "; recreation waits: " not in c.error}
    assert not waiting

    (world.repository / "federation.yaml").write_text(
        (world.repository / "federation.yaml").read_text()
        + "  recreation: {allowDataLoss: [PersistentVolumeClaim]}\n"
    )
    changes = {identity(c): c for c in world.changes()}
    assert {c.action for c in changes.values()} == {Action.RECREATE}
    world.kubectl("patch", "pvc", "data", "-n", "shop", "-p", '{"metadata":{"finalizers":null}}')
    result = world.apply(max_deletions=len(TABLE) + 1)
    assert result.ok, [o for o in result.outcomes if o.status != "done"]
    assert not world.plan().has_changes


def test_the_plan_of_a_recreation_names_what_differs_and_no_default(world: World) -> None:
    world.kubectl("create", "serviceaccount", "robot", "-n", "shop")
    world.options["clusters"] = ("aws",)
    port = unused_node_port()
    world.write("objects.yaml", manifests(changed=False, recreate=True, port=port))
    assert world.apply().ok
    world.write(
        "federation.yaml",
        (world.repository / "federation.yaml").read_text()
        + "  recreation: {allowDataLoss: [PersistentVolumeClaim]}\n",
    )
    world.write("objects.yaml", manifests(changed=True, recreate=True, port=port))
    changes = {identity(c): [f.path for f in c.fields] for c in world.changes()}
    image = "spec.template.spec.containers[name=a].image"
    assert changes["Job", "a"] == [image]
    labels = ["spec.selector.matchLabels.a", "spec.template.metadata.labels.a"]
    assert changes["Deployment", "a"] == labels
    assert changes["StatefulSet", "a"] == ["spec.serviceName"]
    assert changes["DaemonSet", "a"] == labels
    assert changes["Box", "d"] == ["spec.shape", "spec.size"]
    assert changes["PersistentVolumeClaim", "data"] == ["spec.storageClassName"]
    assert changes["RoleBinding", "a"] == ["roleRef.name"]
    # The port is the same as before, though nobody else could have it while this one is there.
    assert changes["Service", "node"] == ["spec.clusterIP", "spec.clusterIPs"]


# -- refusals that are not about fields that cannot change -----------------------------------------

FREEZE = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: freeze}
spec:
  matchConstraints:
    resourceRules:
      - {apiGroups: [""], apiVersions: ["*"], operations: [UPDATE], resources: [configmaps]}
  matchConditions: [{name: only-shop, expression: "object.metadata.namespace == 'shop'"}]
  validations: [{expression: "RULE", message: "data: field is immutable"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: freeze}
spec: {policyName: freeze, validationActions: [Deny]}
"""
SETTINGS = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
  namespace: shop
  annotations: {federation.reconciler.dev/recreate: "true"}
data: {a: b}
"""


@pytest.mark.parametrize("rule", ["false", "object.data == oldObject.data"])
def test_a_policy_that_refuses_a_change_is_not_got_round_by_a_recreation(
    world: World, rule: str
) -> None:
    from tests.controlplane.process import eventually

    world.write("settings.yaml", SETTINGS)
    assert world.apply().ok
    uid = world.get("configmap", "settings")["metadata"]["uid"]
    policy = world.repository.parent / "policy.yaml"
    policy.write_text(FREEZE.replace("RULE", rule))
    world.kubectl("apply", "-f", str(policy))
    edit = ("patch", "cm", "settings", "-n", "shop", "--dry-run=server", "-p", '{"data":{"a":"x"}}')
    eventually(lambda: "denied" in world.kubectl(*edit, check=False), "the policy acts")
    world.write("settings.yaml", SETTINGS.replace("a: b", "a: c"))
    (change,) = world.changes()
    assert change.action is Action.FAILED
    assert "freeze" in change.error
    assert "needs recreate" not in change.error
    assert not world.plan().violations
    world.apply()
    assert world.get("configmap", "settings")["metadata"]["uid"] == uid


def test_what_is_refused_as_new_too_is_no_field_that_cannot_change(world: World) -> None:
    mark = "annotations: {federation.reconciler.dev/recreate: 'true'}"
    text = TABLE["a Deployment's selector"][0].replace("name: a}, spec", f"name: a, {mark}}}, spec")
    text = text.replace(mark, f"namespace: shop, {mark}")
    world.write("web.yaml", text)
    assert world.apply().ok
    # Neither does the template's label fit the new selector.
    world.write("web.yaml", text.replace("matchLabels: {a: b}", "matchLabels: {a: c}"))
    changes = world.changes()
    assert [c.action for c in changes] == [Action.FAILED]
    assert "needs recreate" not in changes[0].error
