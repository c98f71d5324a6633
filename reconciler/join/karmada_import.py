"""A Karmada API server's objects, live or exported -> the files of a repository.

Its Clusters and policies are kept as they are, and so are the manifests that policies select, and
those that these name where a policy says ``propagateDeps``. What controllers and servers wrote into
them goes. Secrets stay out, unless they are asked for.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from reconciler.api.objects import Object, ObjectKey, api_group, key_of, map_of
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import Discovery, GroupVersionKind
from reconciler.federation.karmada import RETAIN_REPLICAS, is_reserved
from reconciler.federation.karmada_kinds import (
    CLUSTER_GROUP,
    MANAGED_BY_KARMADA,
    POLICY_GROUP,
)
from reconciler.federation.references import has_needs, named_in
from reconciler.federation.resource_selectors import CLUSTER_WIDE, entries_about, namespace_of
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
from reconciler.manifests.yaml_text import as_yaml

_PLACING = ("PropagationPolicy", "ClusterPropagationPolicy")
_POLICIES = (*_PLACING, "OverridePolicy", "ClusterOverridePolicy")
_NOTES = (
    "propagationpolicy.karmada.io/",
    "clusterpropagationpolicy.karmada.io/",
    "overridepolicy.karmada.io/",
    "clusteroverridepolicy.karmada.io/",
    "resourcebinding.karmada.io/",
    "clusterresourcebinding.karmada.io/",
    "resourcetemplate.karmada.io/",
    "policy.karmada.io/",
    "work.karmada.io/",
    "namespace.karmada.io/",
)
"""Where Karmada notes in labels and annotations what it made of an object."""
_OF_CLUSTERS = "cluster.karmada.io/"
_OF_EVERY_NAMESPACE = (("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default"))
_TOKEN_TYPES = ("kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token")


def read_karmada(host: Member) -> list[Object]:
    """Clusters, policies, and what these select or let follow. Raises ClusterError.

    One LIST for each kind, one GET for each object that follows, and for each Namespace.
    """
    discovery = host.discover()
    own = [
        obj
        for resource in discovery.listable()
        if (group := api_group(resource.api_version)) in (CLUSTER_GROUP, POLICY_GROUP)
        and resource.kind in (("Cluster",) if group == CLUSTER_GROUP else _POLICIES)
        for obj in host.list_objects(resource)
    ]
    policies = [obj for obj in own if obj["kind"] in _PLACING]
    kinds = {
        GroupVersionKind(entry["apiVersion"], entry["kind"])
        for policy in policies
        for entry in map_of(policy.get("spec")).get("resourceSelectors") or ()
    }
    found = {
        key_of(obj): obj
        for kind in sorted(kinds)
        if (resource := discovery.find(kind)) is not None
        for obj in host.list_objects(resource)
        if _policies_of(obj, policies)
    }
    for key in sorted(_following(found.values(), policies) - found.keys()):
        if obj := _got(host, discovery, key):
            found[key] = obj
    spaces = {key.namespace for key in found if key.namespace} | {
        str(obj["metadata"].get("namespace") or "") for obj in own
    }
    for name in sorted(spaces - {""}):
        key = ObjectKey("", "Namespace", "", name)
        namespace = None if key in found else host.get(NAMESPACE, key)
        if namespace is not None:
            found[key] = namespace
    return [*own, *found.values()]


def _got(host: Member, discovery: Discovery, key: ObjectKey) -> Object | None:
    resource = discovery.preferred(key.group_kind)
    return host.get(resource, key) if resource is not None else None


def _policies_of(manifest: Object, policies: Iterable[Object]) -> list[Object]:
    """The placing policies that select a manifest."""
    reserved = is_reserved(namespace_of(manifest))
    return [
        policy
        for policy in policies
        if any(True for _ in entries_about(policy, manifest))
        and not (reserved and policy["kind"] in CLUSTER_WIDE)
    ]


def _following(manifests: Iterable[Object], policies: Collection[Object]) -> set[ObjectKey]:
    """What workloads name whose policy lets that follow."""
    following = [
        policy
        for policy in policies
        if any(map_of(policy.get("spec")).get(name) for name in ("propagateDeps", "association"))
    ]
    return {
        ObjectKey(kind.group, kind.kind, str(obj["metadata"].get("namespace") or ""), name)
        for obj in manifests
        if has_needs(obj) and _policies_of(obj, following)
        for kind, name in named_in(obj.get("spec"))
    }


def export_of_karmada(objects: Iterable[Object], request: ImportRequest) -> Export:
    """The repository's files. Pure; the same objects give the same files."""
    given = sorted(objects, key=key_of)
    policies = [obj for obj in given if _is_policy(obj) and obj["kind"] in _PLACING]
    selected = {key_of(obj) for obj in given if _is_plain(obj) and _policies_of(obj, policies)}
    chosen = [obj for obj in given if key_of(obj) in selected]
    following = _following(chosen, policies)
    spaces = {key.namespace for key in (*selected, *following)}
    kept: dict[ObjectKey, Object] = {}
    left_out: list[str] = []
    for obj in given:
        key = key_of(obj)
        reason = _refusal(obj, request, selected | following, spaces)
        if reason:
            left_out += [f"{key}: {reason}"] if reason != _SILENT else []
        elif key in kept:
            left_out.append(f"{key}: it is there twice, the first one is taken")
        else:
            kept[key] = _cleaned(obj, request)
    files: dict[str, str] = {"federation.yaml": _federation(request, policies)}
    for key, obj in kept.items():
        files[path_of(key, files)] = as_yaml([obj])
    counts: dict[str, int] = {}
    for obj in kept.values():
        counts[obj["kind"]] = counts.get(obj["kind"], 0) + 1
    return Export(files, left_out=tuple(left_out), counts=dict(sorted(counts.items())))


_SILENT = "-"


def _is_policy(obj: Object) -> bool:
    return api_group(obj["apiVersion"]) == POLICY_GROUP and obj["kind"] in _POLICIES


def _is_plain(obj: Object) -> bool:
    return not api_group(obj["apiVersion"]).endswith("karmada.io")


def _refusal(
    obj: Object,
    request: ImportRequest,
    wanted: Collection[ObjectKey],
    spaces: Collection[str],
) -> str:
    """Why an object is not taken over; empty: it is."""
    group, kind, metadata = api_group(obj["apiVersion"]), obj["kind"], obj["metadata"]
    if metadata.get("deletionTimestamp"):
        return "it is being deleted"
    if _is_policy(obj) or (group, kind) == (CLUSTER_GROUP, "Cluster"):
        return ""
    if not _is_plain(obj):
        return _SILENT if group.startswith("work.") else "it is understood by Karmada only"
    if (kind, metadata["name"]) in _OF_EVERY_NAMESPACE and not group:
        return _SILENT
    if kind == "Namespace" and not group:
        named = key_of(obj) in wanted or metadata["name"] in spaces
        return "" if named and metadata["name"] != "default" else _SILENT
    if key_of(obj) not in wanted:
        return "none of Karmada's propagation policies selects it"
    if any(map_of(owner).get("controller") for owner in metadata.get("ownerReferences") or ()):
        return "its controller makes it again"
    if kind == "Secret" and not group:
        if obj.get("type") in _TOKEN_TYPES:
            return "it is a token of this API server"
        if not request.with_secrets:
            return "it holds values; --with-secrets writes them, to be encrypted with sops"
    return ""


def _cleaned(obj: Object, request: ImportRequest) -> Object:
    body = copy.deepcopy(obj)
    body.pop("status", None)
    without_server_fields(body)
    metadata = body["metadata"]
    for part in ("finalizers", "ownerReferences"):
        metadata.pop(part, None)
    for part in ("labels", "annotations"):
        entries = {k: v for k, v in map_of(metadata.get(part)).items() if not _is_note(k)}
        metadata.pop(part, None)
        if entries:
            metadata[part] = entries
    if api_group(body["apiVersion"]) == CLUSTER_GROUP:
        body = _cluster(body, request)
    elif _is_plain(body):
        _without_chosen_values(body)
    body["metadata"] = in_order(body["metadata"], ("name", "namespace", "labels", "annotations"))
    return in_order(body, ("apiVersion", "kind", "metadata", "spec"))


def _is_note(key: str) -> bool:
    if key == RETAIN_REPLICAS:
        return False
    return key in (MANAGED_BY_KARMADA, NAME_LABEL) or key.startswith(_NOTES)


def _cluster(body: Object, request: ImportRequest) -> Object:
    """Without what Karmada found out and keeps for itself. Taints of its own say how the cluster
    was at that moment."""
    spec = dict(map_of(body.get("spec")))
    for name in ("id", "impersonatorSecretRef", "resourceModels"):
        spec.pop(name, None)
    taints = [
        {name: value for name, value in taint.items() if name != "timeAdded"}
        for taint in spec.pop("taints", None) or ()
        if not str(taint.get("key")).startswith(_OF_CLUSTERS)
    ]
    if taints:
        spec["taints"] = taints
    if not (request.native or request.seats):
        return {**body, "spec": spec}
    name, zones = body["metadata"]["name"], spec.get("zones") or [spec.get("zone")]
    place = {
        "provider": spec.get("provider"),
        "region": spec.get("region"),
        "zone": zones[0] if len(zones) == 1 else None,
        "taints": taints,
    }
    joined = {"secretRef": {"name": name}}
    return {
        **body,
        "apiVersion": OWN,
        "spec": {
            **{part: value for part, value in place.items() if value},
            "access": joined if request.seats else {"context": name},
        },
    }


def _without_chosen_values(body: Object) -> None:
    """What the API server chose for itself, and each member chooses for itself: as Karmada leaves
    it out when it propagates."""
    kind, spec = body["kind"], map_of(body.get("spec"))
    if kind == "Namespace":
        body.pop("spec", None)
    elif kind == "Service" and spec.get("clusterIP") not in (None, "", "None"):
        for name in ("clusterIP", "clusterIPs"):
            spec.pop(name, None)
    elif kind == "ServiceAccount":
        body.pop("secrets", None)
    elif kind == "Job" and not spec.get("manualSelector"):
        spec.pop("selector", None)
        labels = map_of(map_of(map_of(spec.get("template")).get("metadata")).get("labels"))
        for name in ("controller-uid", "job-name"):
            labels.pop(name, None)
            labels.pop(f"batch.kubernetes.io/{name}", None)
    for metadata in _template_metadata(spec):
        if metadata.get("creationTimestamp", "") is None:
            del metadata["creationTimestamp"]


def _template_metadata(spec: Any) -> Iterator[Object]:
    for name in ("template", "jobTemplate"):
        template = map_of(map_of(spec).get(name))
        if template:
            yield map_of(template.get("metadata"))
            yield from _template_metadata(template.get("spec"))


def _federation(request: ImportRequest, policies: Collection[Object]) -> str:
    seats = {"seats": list(request.seats)} if request.seats else {}
    asks = any(map_of(policy.get("spec")).get("failover") for policy in policies)
    failover: Mapping[str, Any] = {"failover": {"enabled": True}} if asks else {}
    body: Object = {
        "apiVersion": OWN,
        "kind": "Federation",
        "metadata": {"name": request.federation},
    }
    spec = {**seats, **failover}
    return as_yaml([{**body, **({"spec": spec} if spec else {})}])
