"""A KubeFed host's objects, live or exported -> the files of a repository.

KubeFed's kinds are kept as they are; what its controllers and the API server wrote into them goes.
Secrets stay out, unless they are asked for.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable

from reconciler.api.kinds import API_VERSIONS
from reconciler.api.objects import Object, ObjectKey, api_group, key_of
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import Discovery, RESTMapping
from reconciler.federation.kubefed import TYPES_GROUP
from reconciler.join.exported import (
    NAME_LABEL,
    OWN,
    Export,
    ImportRequest,
    in_order,
    path_of,
)
from reconciler.join.member_objects import NAMESPACE
from reconciler.manifests.metadata import without_server_fields
from reconciler.manifests.old_versions import is_old
from reconciler.manifests.yaml_text import as_yaml

CORE, SCHEDULING, DNS = "core.kubefed.io", "scheduling.kubefed.io", "multiclusterdns.kubefed.io"

_KEPT = {
    CORE: ("KubeFedCluster", "FederatedTypeConfig"),
    SCHEDULING: ("ReplicaSchedulingPreference",),
    DNS: ("Domain", "ServiceDNSRecord", "IngressDNSRecord"),
}
"""Of KubeFed's own groups; the other kinds in them are its controllers' notes."""


def read_host(host: Member) -> list[Object]:
    """Every object of KubeFed's kinds, and the Namespaces that are federated.

    Raises ClusterError. One LIST for each kind.
    """
    discovery = host.discover()
    configs = _listed(host, discovery, CORE, {"FederatedTypeConfig"})
    objects = [*configs]
    for group, kinds in _KEPT.items():
        objects += _listed(host, discovery, group, {*kinds} - {"FederatedTypeConfig"})
    for group in sorted({TYPES_GROUP, *(_federated_group(c) for c in configs)}):
        objects += _listed(host, discovery, group, None)
    federated = {key_of(o).name for o in objects if o["kind"] == "FederatedNamespace"}
    namespaces = [
        host.get(NAMESPACE, ObjectKey("", "Namespace", "", name)) for name in sorted(federated)
    ]
    return [*objects, *(namespace for namespace in namespaces if namespace)]


def _federated_group(config: Object) -> str:
    federated = (config.get("spec") or {}).get("federatedType") or {}
    return str(federated.get("group") or TYPES_GROUP)


def _listed(
    host: Member, discovery: Discovery, group: str, kinds: Collection[str] | None
) -> list[Object]:
    found: list[RESTMapping] = [
        resource
        for resource in discovery.listable()
        if api_group(resource.api_version) == group
        and (resource.kind in kinds if kinds is not None else _is_federated(resource.kind))
    ]
    return [obj for resource in found for obj in host.list_objects(resource)]


def _is_federated(kind: str) -> bool:
    """``FederatedServiceStatus`` is a controller's note, no wish of anybody's."""
    return kind.startswith("Federated") and not kind.endswith("Status")


def export_of(objects: Iterable[Object], request: ImportRequest) -> Export:
    """The repository's files. Pure; the same objects give the same files."""
    kept: dict[ObjectKey, Object] = {}
    left_out: list[str] = []
    converted: list[str] = []
    given = sorted(objects, key=key_of)
    groups = {TYPES_GROUP, *(_federated_group(o) for o in given if _is_config(o))}
    namespaces = {key_of(o).name for o in given if o["kind"] == "FederatedNamespace"}
    for obj in given:
        reason = _refusal(obj, request, groups, namespaces)
        key = key_of(obj)
        if reason:
            left_out += [f"{key}: {reason}"] if reason != _SILENT else []
        elif key in kept:
            left_out.append(f"{key}: it is there twice, the first one is taken")
        else:
            kept[key] = _of_today(_cleaned(obj, request), converted, left_out)
    kept = {key: obj for key, obj in kept.items() if obj}
    files: dict[str, str] = {"federation.yaml": _federation(request)}
    for key, obj in kept.items():
        path = path_of(key, files)
        files[path] = as_yaml([obj])
    counts: dict[str, int] = {}
    for obj in kept.values():
        counts[obj["kind"]] = counts.get(obj["kind"], 0) + 1
    return Export(files, tuple(left_out), tuple(converted), dict(sorted(counts.items())))


def _of_today(body: Object, converted: list[str], left_out: list[str]) -> Object:
    """Converted where its API version is gone; empty where nothing came after that. What only a
    person can decide stays, and the check of the new repository tells it."""
    if not is_old(body):
        return body
    from reconciler.manifests.conversions import conversion_of

    found = conversion_of(body)
    if found is None:
        return body
    key = key_of(body)
    if not found.version.successor:
        left_out.append(f"{key}: {found.verdict}; {found.version.instead}")
        return {}
    if not found.is_possible:
        return body
    converted.append(
        f"{key}: {found.kind} of {found.before} is written as {found.version.successor}"
    )
    return found.body


_SILENT = "-"


def _refusal(
    obj: Object, request: ImportRequest, groups: Collection[str], namespaces: Collection[str]
) -> str:
    """Why an object is not taken over; empty: it is."""
    group, kind = api_group(obj["apiVersion"]), obj["kind"]
    if obj["metadata"].get("deletionTimestamp"):
        return "it is being deleted"
    if kind == "Secret" and not group:
        return "a Secret is never taken over; create it again where it is needed"
    if kind == "FederatedSecret" and not request.with_secrets:
        return "it holds a Secret's values; --with-secrets writes them, to be encrypted with sops"
    if kind == "Namespace" and not group:
        return "" if obj["metadata"]["name"] in namespaces and _says_something(obj) else _SILENT
    if kind == "FederatedTypeConfig":
        return "" if _is_needed(obj) else _SILENT
    if kind in _KEPT.get(group, ()):
        return ""
    if group in groups and _is_federated(kind):
        return ""
    if group in _KEPT or group in groups:
        return _SILENT
    return "it is none of KubeFed's kinds"


def _is_config(obj: Object) -> bool:
    return bool(obj["kind"] == "FederatedTypeConfig" and api_group(obj["apiVersion"]) == CORE)


def _is_needed(config: Object) -> bool:
    """Whether a type configuration says more than is known without it."""
    spec = config.get("spec") or {}
    target = str((spec.get("targetType") or {}).get("kind", ""))
    usual = _federated_group(config) == TYPES_GROUP and target in API_VERSIONS
    return not usual or spec.get("propagation") == "Disabled"


def _says_something(namespace: Object) -> bool:
    metadata = namespace["metadata"]
    labels = {k: v for k, v in (metadata.get("labels") or {}).items() if k != NAME_LABEL}
    return bool(labels or metadata.get("annotations"))


def _cleaned(obj: Object, request: ImportRequest) -> Object:
    body = copy.deepcopy(obj)
    if body["kind"] == "KubeFedCluster":
        native = request.native or request.seats
        body = _native_cluster(body, request) if native else _with_its_place(body)
    else:
        body.pop("status", None)
    without_server_fields(body)
    if body["kind"] == "Namespace":
        body.pop("spec", None)
        body["metadata"].get("labels", {}).pop(NAME_LABEL, None)
    metadata = body["metadata"]
    # A finalizer that came along would wait for a controller that is not there any more.
    for part in ("finalizers", "ownerReferences", "deletionTimestamp"):
        metadata.pop(part, None)
    for part in ("labels", "annotations"):
        if part in metadata and not metadata[part]:
            del metadata[part]
    body["metadata"] = in_order(metadata, ("name", "namespace", "labels", "annotations"))
    return in_order(body, ("apiVersion", "kind", "metadata", "spec"))


def _with_its_place(cluster: Object) -> Object:
    """Region and zones, which KubeFed's controller found out, are all that is kept of the status:
    placements that spread need them."""
    status = cluster.pop("status", None) or {}
    place = {name: status[name] for name in ("region", "zones") if status.get(name)}
    return {**cluster, **({"status": place} if place else {})}


def _native_cluster(cluster: Object, request: ImportRequest) -> Object:
    status = cluster.get("status") or {}
    zones = status.get("zones") or []
    spec = {"region": status.get("region"), "zone": zones[0] if len(zones) == 1 else None}
    metadata = {"name": cluster["metadata"]["name"]}
    if cluster["metadata"].get("labels"):
        metadata["labels"] = cluster["metadata"]["labels"]
    joined = {"secretRef": {"name": metadata["name"]}}
    return {
        "apiVersion": OWN,
        "kind": "Cluster",
        "metadata": metadata,
        "spec": {
            **{name: value for name, value in spec.items() if value},
            "access": joined if request.seats else {"context": metadata["name"]},
        },
    }


def _federation(request: ImportRequest) -> str:
    seats = {"seats": list(request.seats)} if request.seats else {}
    body = {
        "apiVersion": OWN,
        "kind": "Federation",
        "metadata": {"name": request.federation},
        # The label that KubeFed put on everything stays, so that nothing changes by moving.
        "spec": {**seats, "kubefed": {"labels": True}},
    }
    return as_yaml([body])
