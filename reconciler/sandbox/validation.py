"""Which objects the server refuses (422), in its words: names, labels, enums, ranges, immutables."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from reconciler.objects import Object
from reconciler.sandbox.kinds import Resource
from reconciler.sandbox.schema import Shape
from reconciler.sandbox.selectors import selects
from reconciler.sandbox.statuses import (
    Fault,
    duplicate,
    forbidden_field,
    invalid_value,
    required,
    unsupported,
)

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_SUBDOMAIN_ERROR = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or"
    " '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used"
    " for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_ERROR = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and"
    " must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex"
    " used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_VALUE_ERROR = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or"
    " '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',"
    "  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_KEY_ERROR = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end"
    " with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for"
    " validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_DNS_1035_ERROR = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an"
    " alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or"
    " 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_FREE_NAMES = frozenset({"rbac.authorization.k8s.io"})
_IMMUTABLE = "field is immutable"


def validate(obj: Object, resource: Resource) -> list[Fault]:
    """What is wrong with an object by itself."""
    faults = _metadata(obj["metadata"], resource)
    if resource.custom:
        body = {k: v for k, v in obj.items() if k not in ("metadata", "apiVersion", "kind")}
        return faults + _against_schema(body, resource.shape, "", required_too=resource.shape)
    special = _KINDS.get(resource.table)
    if special is not None:
        faults += special(obj)
    faults += _enums(obj, resource.shape, "")
    return faults


def validate_update(old: Object, new: Object, resource: Resource) -> list[Fault]:
    """What may not change in an object that exists."""
    metadata, before = new["metadata"], old["metadata"]
    faults: list[Fault] = []
    for key in ("uid", "creationTimestamp", "deletionTimestamp"):
        if metadata.get(key) != before.get(key):
            faults.append(invalid_value(f"metadata.{key}", metadata.get(key), _IMMUTABLE))
    for path in _FIXED.get(resource.table, ()):
        keys = path.split(".")
        was, now = _at(old, keys), _at(new, keys)
        if was != now:
            faults.append(invalid_value(path, now, _IMMUTABLE))
    special = _UPDATES.get(resource.table)
    return faults + (special(old, new) if special else [])


def _at(value: Any, keys: list[str]) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _metadata(metadata: Object, resource: Resource) -> list[Fault]:
    faults: list[Fault] = []
    name = metadata.get("name") or ""
    if not name:
        return [required("metadata.name", "name or generateName is required")]
    if resource.group not in _FREE_NAMES:
        if resource.table == ("", "namespaces"):
            if not _LABEL.fullmatch(name) or len(name) > 63:
                faults.append(invalid_value("metadata.name", name, _LABEL_ERROR))
        elif resource.table == ("", "services"):
            # Relaxed to RFC 1123 labels by a feature that is on since v1.36.
            if not _LABEL.fullmatch(name) or len(name) > 63:
                faults.append(invalid_value("metadata.name", name, _LABEL_ERROR))
        elif not _SUBDOMAIN.fullmatch(name):
            faults.append(invalid_value("metadata.name", name, _SUBDOMAIN_ERROR))
        elif len(name) > 253:
            faults.append(invalid_value("metadata.name", name, "must be no more than 253 bytes"))
    faults += _labels(metadata.get("labels"), "metadata.labels")
    total = 0
    for key, value in (metadata.get("annotations") or {}).items():
        total += len(key) + len(value)
        if not _qualified(key.lower()):
            faults.append(invalid_value("metadata.annotations", key, _KEY_ERROR))
    if total > 256 * 1024:
        message = "may not be more than 262144 bytes"
        faults.append(Fault("metadata.annotations", "FieldValueTooLong", f"Too long: {message}"))
    return faults


def _labels(labels: Any, path: str) -> list[Fault]:
    faults: list[Fault] = []
    for key, value in (labels or {}).items():
        if not _qualified(key):
            faults.append(invalid_value(path, key, _KEY_ERROR))
        if not isinstance(value, str):
            continue
        if len(value) > 63:
            faults.append(invalid_value(path, value, "must be no more than 63 bytes"))
        elif not _VALUE.fullmatch(value):
            faults.append(invalid_value(path, value, _VALUE_ERROR))
    return faults


def _qualified(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    if slash and not _SUBDOMAIN.fullmatch(prefix):
        return False
    return len(name) <= 63 and _QUALIFIED.fullmatch(name) is not None


def _enums(value: Any, shape: Shape, path: str) -> list[Fault]:
    faults: list[Fault] = []
    if shape.kind == "struct" and isinstance(value, dict):
        for key, child in value.items():
            known = shape.fields.get(key)
            if known is None or key in ("metadata", "status"):
                continue
            where = f"{path}.{key}" if path else key
            if known.enum and child not in known.enum and isinstance(child, str) and child:
                faults.append(unsupported(where, child, known.enum))
            elif isinstance(child, (dict, list)):
                faults += _enums(child, known.shape, where)
    elif shape.kind == "list" and shape.item is not None and isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, (dict, list)):
                faults += _enums(item, shape.item, f"{path}[{index}]")
    return faults


_TYPE_NAMES = {
    "string": ("string", (str,)),
    "int64": ("integer", (int,)),
    "bool": ("boolean", (bool,)),
    "number": ("number", (int, float)),
    "intstr": ("integer,string", (int, str)),
    "list": ("array", (list,)),
    "map": ("object", (dict,)),
    "struct": ("object", (dict,)),
}


def _against_schema(
    value: Any, shape: Shape, path: str, *, required_too: Shape | None = None
) -> list[Fault]:
    if value is None and shape.nullable:
        return []
    expected = _TYPE_NAMES.get(shape.kind)
    if expected is not None and type(value) not in expected[1]:
        shown = _schema_type(value)
        return [
            Fault(
                path,
                "FieldValueTypeInvalid",
                f'Invalid value: "{shown}": {path} in body must be of type {expected[0]}:'
                f' "{shown}"',
            )
        ]
    faults: list[Fault] = []
    if shape.kind == "struct":
        for name in shape.required:
            if name not in value and name not in ("metadata", "apiVersion", "kind"):
                faults.append(required(f"{path}.{name}" if path else name))
        for name, child in value.items():
            known = shape.fields.get(name)
            if known is not None and not known.shape.name:
                where = f"{path}.{name}" if path else name
                faults += _against_schema(child, known.shape, where)
    elif shape.kind == "map" and shape.item is not None:
        for name, child in value.items():
            faults += _against_schema(child, shape.item, f"{path}.{name}")
    elif shape.kind == "list" and shape.item is not None:
        for index, child in enumerate(value):
            faults += _against_schema(child, shape.item, f"{path}[{index}]")
    return faults + _rules(value, shape.rules, path)


def _rules(value: Any, rules: Object, path: str) -> list[Fault]:
    faults: list[Fault] = []
    choices = rules.get("enum")
    if choices and value not in choices:
        faults.append(unsupported(path, value, choices))
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and "minimum" in rules and value < rules["minimum"]:
        message = f"{path} in body should be greater than or equal to {rules['minimum']}"
        faults.append(invalid_value(path, value, message))
    if number and "maximum" in rules and value > rules["maximum"]:
        message = f"{path} in body should be less than or equal to {rules['maximum']}"
        faults.append(invalid_value(path, value, message))
    if isinstance(value, str) and "pattern" in rules and not re.search(rules["pattern"], value):
        message = f"{path} in body should match '{rules['pattern']}'"
        faults.append(invalid_value(path, value, message))
    return faults


def _schema_type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    for kind, name in ((str, "string"), (int, "integer"), (float, "number"), (list, "array")):
        if isinstance(value, kind):
            return name
    return "object" if isinstance(value, dict) else "null"


def _workload(obj: Object) -> list[Fault]:
    spec = obj.get("spec") or {}
    faults: list[Fault] = []
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
    faults += _labels(labels, "spec.template.metadata.labels")
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


def _negative(path: str, value: int) -> Fault:
    return invalid_value(path, value, "must be greater than or equal to 0")


def _pod(spec: Object, path: str, claims: frozenset[str] | set[Any] = frozenset()) -> list[Fault]:
    faults: list[Fault] = []
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
            elif not _LABEL.fullmatch(name):
                faults.append(invalid_value(f"{where}.name", name, _LABEL_ERROR))
            elif name in names:
                faults.append(duplicate(f"{where}.name", name))
            names.add(name)
            if not container.get("image"):
                faults.append(required(f"{where}.image"))
            for number, port in enumerate(container.get("ports") or ()):
                faults += _port(port.get("containerPort"), f"{where}.ports[{number}].containerPort")
            for number, mount in enumerate(container.get("volumeMounts") or ()):
                if mount.get("name") not in volumes:
                    field = f"{where}.volumeMounts[{number}].name"
                    shown = f'Not found: "{mount.get("name")}"'
                    faults.append(Fault(field, "FieldValueNotFound", shown))
    return faults


_VOLUME_ORDER = (
    "emptyDir", "hostPath", "gitRepo", "awsElasticBlockStore", "secret", "nfs",
    "persistentVolumeClaim", "configMap", "downwardAPI", "csi", "projected", "ephemeral", "image",
)  # fmt: skip


def _port(port: Any, path: str) -> list[Fault]:
    if not port:
        return [required(path)]
    if isinstance(port, int) and not 1 <= port <= 65535:
        return [invalid_value(path, port, "must be between 1 and 65535, inclusive")]
    return []


def _service(obj: Object) -> list[Fault]:
    spec = obj.get("spec") or {}
    faults: list[Fault] = []
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


def _job(obj: Object) -> list[Fault]:
    template = (obj.get("spec") or {}).get("template") or {}
    faults = _pod(template.get("spec") or {}, "spec.template.spec")
    policy = template.get("spec", {}).get("restartPolicy")
    if policy not in ("Never", "OnFailure"):
        faults.append(
            Fault(
                "spec.template.spec.restartPolicy",
                "FieldValueRequired" if not policy else "FieldValueNotSupported",
                f'Unsupported value: "{policy}": supported values: "OnFailure", "Never"',
            )
        )
    return faults


def _cron_job(obj: Object) -> list[Fault]:
    spec = obj.get("spec") or {}
    if not spec.get("schedule"):
        return [required("spec.schedule")]
    return []


def _autoscaler(obj: Object) -> list[Fault]:
    spec = obj.get("spec") or {}
    highest, lowest = spec.get("maxReplicas", 0), spec.get("minReplicas", 1)
    if highest < 1:
        return [invalid_value("spec.maxReplicas", highest, "must be greater than 0")]
    if highest < lowest:
        message = "must be greater than or equal to `minReplicas`"
        return [invalid_value("spec.maxReplicas", highest, message)]
    return []


def _claim(obj: Object) -> list[Fault]:
    spec = obj.get("spec") or {}
    faults: list[Fault] = []
    if not spec.get("accessModes"):
        faults.append(required("spec.accessModes", "at least 1 access mode is required"))
    if not (spec.get("resources") or {}).get("requests", {}).get("storage"):
        faults.append(required("spec.resources[storage]"))
    return faults


def _binding(obj: Object) -> list[Fault]:
    role = obj.get("roleRef") or {}
    return [] if role.get("name") else [required("roleRef.name")]


def _definition(obj: Object) -> list[Fault]:
    spec = obj.get("spec") or {}
    names = spec.get("names") or {}
    wanted = f"{names.get('plural', '')}.{spec.get('group', '')}"
    faults: list[Fault] = []
    if obj["metadata"].get("name") != wanted:
        message = f'must be spec.names.plural+"."+spec.group'
        faults.append(invalid_value("metadata.name", obj["metadata"].get("name"), message))
    for index, version in enumerate(spec.get("versions") or ()):
        if not (version.get("schema") or {}).get("openAPIV3Schema"):
            field = f"spec.versions[{index}].schema.openAPIV3Schema"
            faults.append(required(field, "schemas are required"))
    return faults


def _frozen_data(_: Object, new: Object, keys: tuple[str, ...], old: Object) -> list[Fault]:
    if not old.get("immutable"):
        return []
    faults = []
    if not new.get("immutable"):
        faults.append(forbidden_field("immutable", "field is immutable when `immutable` is set"))
    for key in keys:
        if old.get(key) != new.get(key):
            faults.append(forbidden_field(key, "field is immutable when `immutable` is set"))
    return faults


def _config_map_update(old: Object, new: Object) -> list[Fault]:
    return _frozen_data(old, new, ("data", "binaryData"), old)


def _secret_update(old: Object, new: Object) -> list[Fault]:
    faults = _frozen_data(old, new, ("data",), old)
    if old.get("type") != new.get("type"):
        faults.insert(0, invalid_value("type", new.get("type"), _IMMUTABLE))
    return faults


_SET_MAY = (
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
)  # fmt: skip


def _stateful_set_update(old: Object, new: Object) -> list[Fault]:
    before = {k: v for k, v in old["spec"].items() if k not in _SET_MAY}
    after = {k: v for k, v in new["spec"].items() if k not in _SET_MAY}
    if before == after:
        return []
    message = (
        "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template',"
        " 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and"
        " 'minReadySeconds' are forbidden"
    )
    return [forbidden_field("spec", message)]


def _claim_update(old: Object, new: Object) -> list[Fault]:
    before, after = dict(old["spec"]), dict(new["spec"])
    for spec in (before, after):
        spec.pop("resources", None)
        spec.pop("volumeAttributesClassName", None)
    for late in ("volumeName", "storageClassName"):
        if before.get(late) is None:
            after.pop(late, None)
    if before == after:
        return []
    message = (
        "spec is immutable after creation except resources.requests and"
        " volumeAttributesClassName for bound claims"
    )
    return [forbidden_field("spec", message)]


def _pod_update(old: Object, new: Object) -> list[Fault]:
    allowed = ("containers", "initContainers", "activeDeadlineSeconds", "tolerations",
               "terminationGracePeriodSeconds")  # fmt: skip
    before = {k: v for k, v in old["spec"].items() if k not in allowed}
    after = {k: v for k, v in new["spec"].items() if k not in allowed}
    if before == after:
        return []
    message = "pod updates may not change fields other than `spec.containers[*].image`"
    return [forbidden_field("spec", message)]


def _role_ref_update(old: Object, new: Object) -> list[Fault]:
    if old.get("roleRef") == new.get("roleRef"):
        return []
    return [invalid_value("roleRef", new.get("roleRef"), "cannot change roleRef")]


_RBAC = "rbac.authorization.k8s.io"
_FIXED: dict[tuple[str, str], tuple[str, ...]] = {
    ("apps", "deployments"): ("spec.selector",),
    ("apps", "daemonsets"): ("spec.selector",),
    ("apps", "replicasets"): ("spec.selector",),
    ("batch", "jobs"): ("spec.completions", "spec.selector", "spec.template", "spec.completionMode"),
    ("storage.k8s.io", "storageclasses"): (
        "provisioner", "parameters", "reclaimPolicy", "volumeBindingMode",
    ),
    ("scheduling.k8s.io", "priorityclasses"): ("value", "preemptionPolicy"),
    ("apiextensions.k8s.io", "customresourcedefinitions"): ("spec.group", "spec.scope"),
}  # fmt: skip
_UPDATES: dict[tuple[str, str], Callable[[Object, Object], list[Fault]]] = {
    ("", "configmaps"): _config_map_update,
    ("", "secrets"): _secret_update,
    ("", "persistentvolumeclaims"): _claim_update,
    ("", "pods"): _pod_update,
    ("apps", "statefulsets"): _stateful_set_update,
    (_RBAC, "rolebindings"): _role_ref_update,
    (_RBAC, "clusterrolebindings"): _role_ref_update,
}
_KINDS: dict[tuple[str, str], Callable[[Object], list[Fault]]] = {
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
