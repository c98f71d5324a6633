"""What single kinds do on their way into the store: fields that the server sets or keeps."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

from kubesim.decode import Decoder
from kubesim.defaults import DEFAULTS, TEMPLATE_GENERATION
from kubesim.kinds import Resource
from kubesim.objects import Object
from kubesim.statuses import FieldFault, invalid_value

Table = tuple[str, str]

# Kinds whose metadata.generation counts changes of the spec.
_COUNTED: frozenset[Table] = frozenset(
    {
        ("apps", "deployments"),
        ("apps", "statefulsets"),
        ("apps", "daemonsets"),
        ("apps", "replicasets"),
        ("", "replicationcontrollers"),
        ("", "pods"),
        ("batch", "jobs"),
        ("batch", "cronjobs"),
        ("autoscaling", "horizontalpodautoscalers"),
        ("networking.k8s.io", "ingresses"),
        ("networking.k8s.io", "networkpolicies"),
        ("networking.k8s.io", "ingressclasses"),
        ("policy", "poddisruptionbudgets"),
        ("discovery.k8s.io", "endpointslices"),
        ("scheduling.k8s.io", "priorityclasses"),
        ("flowcontrol.apiserver.k8s.io", "flowschemas"),
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"),
        ("apiextensions.k8s.io", "customresourcedefinitions"),
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
        ("admissionregistration.k8s.io", "mutatingadmissionpolicies"),
        ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"),
    }
)
_COUNTS_EVERYTHING: frozenset[str] = frozenset({"admissionregistration.k8s.io"})
# Kinds whose deletion answers with the object instead of a Status.
RETURNED_WHEN_DELETED: frozenset[Table] = frozenset(
    {
        ("", "services"),
        ("", "serviceaccounts"),
        ("", "pods"),
        ("", "persistentvolumes"),
        ("", "persistentvolumeclaims"),
        ("", "podtemplates"),
        ("", "resourcequotas"),
        ("storage.k8s.io", "storageclasses"),
        ("storage.k8s.io", "volumeattachments"),
    }
)
_RBAC = "rbac.authorization.k8s.io"
# Kinds that an update creates when they are not there (AllowCreateOnUpdate).
CREATED_BY_UPDATE: frozenset[Table] = frozenset(
    {
        ("", "services"),
        ("", "endpoints"),
        ("", "events"),
        ("", "limitranges"),
        ("coordination.k8s.io", "leases"),
        ("node.k8s.io", "runtimeclasses"),
        (_RBAC, "roles"),
        (_RBAC, "rolebindings"),
        (_RBAC, "clusterroles"),
        (_RBAC, "clusterrolebindings"),
    }
)
# Groups in which an update must name the version that it replaces (AllowUnconditionalUpdate).
_CONDITIONAL: frozenset[str] = frozenset(
    {
        "coordination.k8s.io", "policy", "node.k8s.io", "admissionregistration.k8s.io",
        "apiextensions.k8s.io", "apiregistration.k8s.io",
    }
)  # fmt: skip


def needs_version(resource: Resource) -> bool:
    """Whether an update without metadata.resourceVersion is refused."""
    return resource.custom or resource.group in _CONDITIONAL


@dataclass(frozen=True, slots=True)
class Allocators:
    """What a cluster hands out: free service addresses and node ports, and names."""

    cluster_ip: Callable[[str], str]
    node_port: Callable[[], int]
    in_service_range: Callable[[str], bool]
    is_taken: Callable[[int], bool] = lambda _port: False


def has_status(resource: Resource) -> bool:
    """Whether the status is written through a subresource of its own."""
    return "status" in resource.subresources


def counts_generation(resource: Resource) -> bool:
    """Whether changes of the spec are counted in metadata.generation."""
    return resource.custom or resource.table in _COUNTED


def prepare_create(obj: Object, resource: Resource, allocators: Allocators) -> list[FieldFault]:
    """Completes a new object in place."""
    if resource.custom:
        if has_status(resource):
            obj.pop("status", None)
        obj["metadata"]["generation"] = 1
        return []
    if has_status(resource):
        _reset_status(obj, resource)
    if counts_generation(resource):
        obj["metadata"]["generation"] = 1
    special = _CREATE.get(resource.table)
    return special(obj, allocators) if special else []


def prepare_update(
    old: Object, new: Object, resource: Resource, subresource: str, allocators: Allocators
) -> list[FieldFault]:
    """Takes from the old object what this endpoint may not change; counts the generation."""
    if subresource == "status":
        kept = copy.deepcopy(old)
        if "status" in new:
            kept["status"] = new["status"]
        else:
            kept.pop("status", None)
        metadata = dict(new["metadata"])
        if resource.custom or resource.group == "apps":
            for key in ("labels", "annotations", "finalizers", "ownerReferences"):
                if key == "labels" or resource.custom:
                    _carry(old["metadata"], metadata, key)
        kept["metadata"] = metadata
        new.clear()
        new.update(kept)
    elif has_status(resource):
        _carry(old, new, "status")
    metadata, before = new["metadata"], old["metadata"]
    for key in ("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
                "generation", "selfLink"):  # fmt: skip
        _carry(before, metadata, key)
    special = _UPDATE.get(resource.table)
    faults = special(old, new, allocators) if special and not subresource else []
    if subresource == "status":
        return faults
    if counts_generation(resource) and _content(old, resource) != _content(new, resource):
        metadata["generation"] = before.get("generation", 0) + 1
    return faults


def _carry(source: Object, target: Object, key: str) -> None:
    if key in source:
        target[key] = source[key]
    else:
        target.pop(key, None)


def _content(obj: Object, resource: Resource) -> Object:
    if resource.custom:
        ignored = {"metadata"} | ({"status"} if has_status(resource) else set())
        return {key: value for key, value in obj.items() if key not in ignored}
    if resource.group in _COUNTS_EVERYTHING or "spec" not in obj:
        return {key: value for key, value in obj.items() if key not in ("metadata", "status")}
    if resource.table in (("apps", "deployments"), ("apps", "daemonsets")):
        annotations = obj["metadata"].get("annotations")
        deployment = resource.plural == "deployments"
        return {"spec": obj["spec"], "annotations": annotations if deployment else None}
    return {"spec": obj["spec"]}


def _reset_status(obj: Object, resource: Resource) -> None:
    known = resource.shape.fields.get("status")
    if known is None:
        return
    if known.zero != "write":
        obj.pop("status", None)
        return
    obj["status"] = Decoder(DEFAULTS).decode({}, known.shape)


def _namespace_create(obj: Object, _: Allocators) -> list[FieldFault]:
    obj["spec"] = {**obj.get("spec", {})}
    finalizers = obj["spec"].setdefault("finalizers", [])
    if "kubernetes" not in finalizers:
        finalizers.append("kubernetes")
    obj["status"] = {"phase": "Active"}
    return []


def _namespace_update(old: Object, new: Object, _: Allocators) -> list[FieldFault]:
    new["spec"] = old.get("spec", {})
    return []


def _service_create(obj: Object, allocators: Allocators) -> list[FieldFault]:
    spec = obj["spec"]
    kind = spec.get("type")
    if kind == "ExternalName":
        return []
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    spec.setdefault("ipFamilies", ["IPv4"])
    wanted = spec.get("clusterIP", "")
    if wanted and wanted != "None" and not allocators.in_service_range(wanted):
        message = (
            f"failed to allocate IP {wanted}: the provided network does not match the current range"
        )
        return [invalid_value("spec.clusterIPs", [wanted], message)]
    if not wanted:
        spec["clusterIP"] = allocators.cluster_ip("")
    elif wanted != "None":
        allocators.cluster_ip(wanted)
    spec["clusterIPs"] = [spec["clusterIP"]]
    return _node_ports(spec, allocators, {})


def _node_ports(spec: Object, allocators: Allocators, before: Object) -> list[FieldFault]:
    """Hands out node ports; one that another Service has is refused."""
    own = {port.get("nodePort") for port in before.get("ports") or ()}
    for index, port in enumerate(spec.get("ports") or ()):
        wanted = port.get("nodePort")
        if wanted and wanted not in own and allocators.is_taken(wanted):
            where = f"spec.ports[{index}].nodePort"
            return [invalid_value(where, wanted, "provided port is already allocated")]
    external = spec.get("type") == "NodePort" or (
        spec.get("type") == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True)
    )
    for port in spec.get("ports") or ():
        if external and not port.get("nodePort"):
            port["nodePort"] = allocators.node_port()
    return []


def _service_update(old: Object, new: Object, allocators: Allocators) -> list[FieldFault]:
    before, after = old["spec"], new["spec"]
    was_external = before.get("type") == "ExternalName"
    if after.get("type") == "ExternalName":
        for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            after.pop(key, None)
        return []
    if was_external:
        return _service_create(new, allocators)
    for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if not after.get(key) and key in before:
            after[key] = before[key]
    if after.get("clusterIP") != before.get("clusterIP"):
        return [
            invalid_value("spec.clusterIPs[0]", [after["clusterIP"]], "may not change once set")
        ]
    known = {(port.get("port"), port.get("protocol")): port for port in before.get("ports") or ()}
    for port in after.get("ports") or ():
        earlier = known.get((port.get("port"), port.get("protocol")), {})
        if not port.get("nodePort") and earlier.get("nodePort"):
            port["nodePort"] = earlier["nodePort"]
    if after.get("type") == "ClusterIP" and before.get("type") != "ClusterIP":
        for port in after.get("ports") or ():
            port.pop("nodePort", None)
    return _node_ports(after, allocators, before)


def _job_create(obj: Object, _: Allocators) -> list[FieldFault]:
    spec = obj["spec"]
    if spec.get("manualSelector"):
        return []
    uid, name = obj["metadata"]["uid"], obj["metadata"]["name"]
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    for prefix in ("batch.kubernetes.io/", ""):
        labels[f"{prefix}controller-uid"] = uid
        labels[f"{prefix}job-name"] = name
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    return []


def _definition_create(obj: Object, _: Allocators) -> list[FieldFault]:
    versions = obj["spec"].get("versions") or []
    stored = [version["name"] for version in versions if version.get("storage")]
    obj["status"] = {
        "conditions": None,
        "acceptedNames": {"plural": "", "kind": ""},
        "storedVersions": stored,
    }
    return []


def _claim_create(obj: Object, _: Allocators) -> list[FieldFault]:
    obj["metadata"].setdefault("finalizers", ["kubernetes.io/pvc-protection"])
    obj["status"] = {"phase": "Pending"}
    return []


def _volume_create(obj: Object, _: Allocators) -> list[FieldFault]:
    obj["metadata"].setdefault("finalizers", ["kubernetes.io/pv-protection"])
    obj["status"] = {"phase": "Pending"}
    return []


def _pod_create(obj: Object, _: Allocators) -> list[FieldFault]:
    obj["status"] = {"phase": "Pending", "qosClass": "BestEffort"}
    obj["spec"].setdefault("priority", 0)
    obj["spec"].setdefault("preemptionPolicy", "PreemptLowerPriority")
    obj["spec"].setdefault("serviceAccountName", "default")
    obj["spec"].setdefault("serviceAccount", obj["spec"]["serviceAccountName"])
    return []


def _daemon_set_create(obj: Object, _: Allocators) -> list[FieldFault]:
    obj["metadata"]["annotations"][TEMPLATE_GENERATION] = "1"
    return []


def _daemon_set_update(old: Object, new: Object, _: Allocators) -> list[FieldFault]:
    count = int(old["metadata"].get("annotations", {}).get(TEMPLATE_GENERATION, "1"))
    changed = old["spec"].get("template") != new["spec"].get("template")
    new["metadata"]["annotations"][TEMPLATE_GENERATION] = str(count + changed)
    return []


_CREATE: dict[Table, Callable[[Object, Allocators], list[FieldFault]]] = {
    ("", "namespaces"): _namespace_create,
    ("", "services"): _service_create,
    ("", "persistentvolumeclaims"): _claim_create,
    ("", "persistentvolumes"): _volume_create,
    ("", "pods"): _pod_create,
    ("batch", "jobs"): _job_create,
    ("apps", "daemonsets"): _daemon_set_create,
    ("apiextensions.k8s.io", "customresourcedefinitions"): _definition_create,
}
_UPDATE: dict[Table, Callable[[Object, Object, Allocators], list[FieldFault]]] = {
    ("", "namespaces"): _namespace_update,
    ("", "services"): _service_update,
    ("apps", "daemonsets"): _daemon_set_update,
}
