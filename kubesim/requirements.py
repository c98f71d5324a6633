"""What single built-in kinds demand of an object beyond its types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kubesim.naming import LABEL, LABEL_ERROR, check_labels
from kubesim.objects import Object
from kubesim.selectors import selects
from kubesim.statuses import (
    FieldFault,
    duplicate,
    forbidden_field,
    invalid_value,
    required,
    unsupported,
)

_RBAC = "rbac.authorization.k8s.io"


def _workload(obj: Object) -> list[FieldFault]:
    spec = obj.get("spec") or {}
    faults: list[FieldFault] = []
    replicas = spec.get("replicas")
    if isinstance(replicas, int) and replicas < 0:
        faults.append(_negative("spec.replicas", replicas))
    selector = spec.get("selector")
    labels = (spec.get("template", {}).get("metadata") or {}).get("labels")
    if not selector:
        faults.append(required("spec.selector"))
    elif not selector.get("matchLabels") and not selector.get("matchExpressions"):
        message = "empty selector is invalid for deployment"
        faults.append(invalid_value("spec.selector", selector, message))
    if not selector or not selects(selector, labels or {}):
        message = "`selector` does not match template `labels`"
        faults.append(invalid_value("spec.template.metadata.labels", labels, message))
    faults += check_labels(labels, "spec.template.metadata.labels")
    claims = {
        (claim.get("metadata") or {}).get("name")
        for claim in spec.get("volumeClaimTemplates") or ()
    }
    faults += _pod(spec.get("template", {}).get("spec") or {}, "spec.template.spec", claims)
    policy = spec.get("template", {}).get("spec", {}).get("restartPolicy")
    if policy in ("Never", "OnFailure"):
        faults.append(unsupported("spec.template.spec.restartPolicy", policy, ["Always"]))
    strategy = spec.get("strategy") or {}
    if strategy.get("type") == "Recreate" and strategy.get("rollingUpdate"):
        message = "may not be specified when strategy `type` is 'Recreate'"
        faults.append(forbidden_field("spec.strategy.rollingUpdate", message))
    return faults


def _negative(path: str, value: int) -> FieldFault:
    return invalid_value(path, value, "must be greater than or equal to 0")


def _pod(
    spec: Object, path: str, claims: frozenset[str] | set[Any] = frozenset()
) -> list[FieldFault]:
    faults: list[FieldFault] = []
    if not spec.get("containers"):
        faults.append(required(f"{path}.containers"))
    names: set[str] = set()
    volumes = {volume.get("name") for volume in spec.get("volumes") or ()} | claims
    for index, volume in enumerate(spec.get("volumes") or ()):
        types = [key for key in _VOLUME_ORDER if key in volume]
        for extra in types[1:]:
            message = "may not specify more than 1 volume type"
            faults.append(forbidden_field(f"{path}.volumes[{index}].{extra}", message))
    for kind in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(kind) or ()):
            where = f"{path}.{kind}[{index}]"
            name = container.get("name")
            if not name:
                faults.append(required(f"{where}.name"))
            elif not LABEL.fullmatch(name):
                faults.append(invalid_value(f"{where}.name", name, LABEL_ERROR))
            elif name in names:
                faults.append(duplicate(f"{where}.name", name))
            names.add(name)
            if not container.get("image"):
                faults.append(required(f"{where}.image"))
            ports: set[str] = set()
            for number, port in enumerate(container.get("ports") or ()):
                if port.get("name") in ports:
                    faults.append(duplicate(f"{where}.ports[{number}].name", port["name"]))
                ports.add(port.get("name") or "")
                faults += _port(port.get("containerPort"), f"{where}.ports[{number}].containerPort")
            for number, mount in enumerate(container.get("volumeMounts") or ()):
                if mount.get("name") not in volumes:
                    field = f"{where}.volumeMounts[{number}].name"
                    shown = f'Not found: "{mount.get("name")}"'
                    faults.append(FieldFault(field, "FieldValueNotFound", shown))
    return faults


_VOLUME_ORDER = (
    "emptyDir", "hostPath", "gitRepo", "awsElasticBlockStore", "secret", "nfs",
    "persistentVolumeClaim", "configMap", "downwardAPI", "csi", "projected", "ephemeral", "image",
)  # fmt: skip


def _port(port: Any, path: str) -> list[FieldFault]:
    if not port:
        return [required(path)]
    if isinstance(port, int) and not 1 <= port <= 65535:
        return [invalid_value(path, port, "must be between 1 and 65535, inclusive")]
    return []


def _service(obj: Object) -> list[FieldFault]:
    spec = obj.get("spec") or {}
    faults: list[FieldFault] = []
    kind = spec.get("type")
    ports = spec.get("ports") or []
    if not ports and kind != "ExternalName" and spec.get("clusterIP") != "None":
        faults.append(required("spec.ports"))
    if kind == "ExternalName" and not spec.get("externalName"):
        faults.append(required("spec.externalName"))
    names: set[str] = set()
    for index, port in enumerate(ports):
        if port.get("name") in names:
            faults.append(duplicate(f"spec.ports[{index}].name", port["name"]))
        names.add(port.get("name") or "")
        if len(ports) > 1 and not port.get("name"):
            faults.append(required(f"spec.ports[{index}].name"))
        number = port.get("port")
        if not isinstance(number, int) or not 1 <= number <= 65535:
            message = "must be between 1 and 65535, inclusive"
            faults.append(invalid_value(f"spec.ports[{index}].port", number, message))
    return faults


def _job(obj: Object) -> list[FieldFault]:
    template = (obj.get("spec") or {}).get("template") or {}
    faults = _pod(template.get("spec") or {}, "spec.template.spec")
    policy = template.get("spec", {}).get("restartPolicy")
    if policy not in ("Never", "OnFailure"):
        faults.append(
            FieldFault(
                "spec.template.spec.restartPolicy",
                "FieldValueRequired" if not policy else "FieldValueNotSupported",
                f'Unsupported value: "{policy}": supported values: "OnFailure", "Never"',
            )
        )
    return faults


def _cron_job(obj: Object) -> list[FieldFault]:
    spec = obj.get("spec") or {}
    if not spec.get("schedule"):
        return [required("spec.schedule")]
    return []


def _autoscaler(obj: Object) -> list[FieldFault]:
    spec = obj.get("spec") or {}
    highest, lowest = spec.get("maxReplicas", 0), spec.get("minReplicas", 1)
    if highest < 1:
        return [invalid_value("spec.maxReplicas", highest, "must be greater than 0")]
    if highest < lowest:
        message = "must be greater than or equal to `minReplicas`"
        return [invalid_value("spec.maxReplicas", highest, message)]
    return []


def _claim(obj: Object) -> list[FieldFault]:
    spec = obj.get("spec") or {}
    faults: list[FieldFault] = []
    if not spec.get("accessModes"):
        faults.append(required("spec.accessModes", "at least 1 access mode is required"))
    if not (spec.get("resources") or {}).get("requests", {}).get("storage"):
        faults.append(required("spec.resources[storage]"))
    return faults


def _binding(obj: Object) -> list[FieldFault]:
    role = obj.get("roleRef") or {}
    return [] if role.get("name") else [required("roleRef.name")]


def _definition(obj: Object) -> list[FieldFault]:
    spec = obj.get("spec") or {}
    names = spec.get("names") or {}
    wanted = f"{names.get('plural', '')}.{spec.get('group', '')}"
    faults: list[FieldFault] = []
    if obj["metadata"].get("name") != wanted:
        message = 'must be spec.names.plural+"."+spec.group'
        faults.append(invalid_value("metadata.name", obj["metadata"].get("name"), message))
    for index, version in enumerate(spec.get("versions") or ()):
        if not (version.get("schema") or {}).get("openAPIV3Schema"):
            field = f"spec.versions[{index}].schema.openAPIV3Schema"
            faults.append(required(field, "schemas are required"))
    return faults


REQUIREMENTS: dict[tuple[str, str], Callable[[Object], list[FieldFault]]] = {
    ("apps", "deployments"): _workload,
    ("apps", "statefulsets"): _workload,
    ("apps", "daemonsets"): _workload,
    ("apps", "replicasets"): _workload,
    ("", "services"): _service,
    ("", "pods"): lambda obj: _pod(obj.get("spec") or {}, "spec"),
    ("", "persistentvolumeclaims"): _claim,
    ("batch", "jobs"): _job,
    ("batch", "cronjobs"): _cron_job,
    ("autoscaling", "horizontalpodautoscalers"): _autoscaler,
    (_RBAC, "rolebindings"): _binding,
    (_RBAC, "clusterrolebindings"): _binding,
    ("apiextensions.k8s.io", "customresourcedefinitions"): _definition,
}
