"""What may not change in an object that exists, kind by kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kubesim.kinds import Resource
from kubesim.objects import Object
from kubesim.statuses import FieldFault, forbidden_field, invalid_value

_IMMUTABLE = "field is immutable"


def validate_update(old: Object, new: Object, resource: Resource) -> list[FieldFault]:
    """What may not change in an object that exists."""
    metadata, before = new["metadata"], old["metadata"]
    faults: list[FieldFault] = []
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


def _frozen_data(_: Object, new: Object, keys: tuple[str, ...], old: Object) -> list[FieldFault]:
    if not old.get("immutable"):
        return []
    faults = []
    if not new.get("immutable"):
        faults.append(forbidden_field("immutable", "field is immutable when `immutable` is set"))
    for key in keys:
        if old.get(key) != new.get(key):
            faults.append(forbidden_field(key, "field is immutable when `immutable` is set"))
    return faults


def _config_map_update(old: Object, new: Object) -> list[FieldFault]:
    return _frozen_data(old, new, ("data", "binaryData"), old)


def _secret_update(old: Object, new: Object) -> list[FieldFault]:
    faults = _frozen_data(old, new, ("data",), old)
    if old.get("type") != new.get("type"):
        faults.insert(0, invalid_value("type", new.get("type"), _IMMUTABLE))
    return faults


_SET_MAY = (
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
)  # fmt: skip


def _stateful_set_update(old: Object, new: Object) -> list[FieldFault]:
    before, after = old["spec"], new["spec"]
    return [
        invalid_value(f"spec.{key}", after.get(key), _IMMUTABLE)
        for key in sorted(before.keys() | after.keys())
        if key not in _SET_MAY and before.get(key) != after.get(key)
    ]


def _claim_update(old: Object, new: Object) -> list[FieldFault]:
    before, after = dict(old["spec"]), dict(new["spec"])
    for spec in (before, after):
        spec.pop("resources", None)
        spec.pop("volumeAttributesClassName", None)
    for name in ("volumeName", "storageClassName"):
        if before.get(name) is None:
            after.pop(name, None)
    if before == after:
        return []
    message = (
        "spec is immutable after creation except resources.requests and"
        " volumeAttributesClassName for bound claims"
    )
    return [forbidden_field("spec", message)]


def _pod_update(old: Object, new: Object) -> list[FieldFault]:
    allowed = ("containers", "initContainers", "activeDeadlineSeconds", "tolerations",
               "terminationGracePeriodSeconds")  # fmt: skip
    before = {k: v for k, v in old["spec"].items() if k not in allowed}
    after = {k: v for k, v in new["spec"].items() if k not in allowed}
    if before == after:
        return []
    message = "pod updates may not change fields other than `spec.containers[*].image`"
    return [forbidden_field("spec", message)]


_RBAC = "rbac.authorization.k8s.io"
_FIXED: dict[tuple[str, str], tuple[str, ...]] = {
    ("apps", "deployments"): ("spec.selector",),
    ("apps", "daemonsets"): ("spec.selector",),
    ("apps", "replicasets"): ("spec.selector",),
    ("batch", "jobs"): (
        "spec.completions", "spec.selector", "spec.template", "spec.completionMode",
    ),
    ("storage.k8s.io", "storageclasses"): (
        "provisioner", "parameters", "reclaimPolicy", "volumeBindingMode",
    ),
    ("scheduling.k8s.io", "priorityclasses"): ("value", "preemptionPolicy"),
    ("apiextensions.k8s.io", "customresourcedefinitions"): ("spec.group", "spec.scope"),
    (_RBAC, "rolebindings"): ("roleRef",),
    (_RBAC, "clusterrolebindings"): ("roleRef",),
}  # fmt: skip
_UPDATES: dict[tuple[str, str], Callable[[Object, Object], list[FieldFault]]] = {
    ("", "configmaps"): _config_map_update,
    ("", "secrets"): _secret_update,
    ("", "persistentvolumeclaims"): _claim_update,
    ("", "pods"): _pod_update,
    ("apps", "statefulsets"): _stateful_set_update,
}
