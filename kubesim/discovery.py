"""What ``/api`` and ``/apis`` answer, in the aggregated and in the older form."""

from __future__ import annotations

from typing import Any

from kubesim.kinds import Kinds, Resource, builtin_groups
from kubesim.objects import Object

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def aggregated(kinds: Kinds, *, core: bool, failing: frozenset[str]) -> Object:
    """APIGroupDiscoveryList; a group in ``failing`` is listed as stale, without resources."""
    items: list[Any] = []
    for item in builtin_groups():
        if (item["metadata"].get("name", "") == "") == core:
            items.append(item)
    if not core:
        items += _custom_items(kinds)
        for name in sorted(failing):
            group, _, version = name.partition("/")
            items.append(
                {
                    "metadata": {"name": group},
                    "versions": [{"version": version or "v1beta1", "freshness": "Stale"}],
                }
            )
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }


def _custom_items(kinds: Kinds) -> list[Object]:
    groups: dict[str, dict[str, list[Object]]] = {}
    for resource in kinds.custom():
        versions = groups.setdefault(resource.group, {})
        versions.setdefault(resource.version, []).append(_aggregated_resource(resource))
    return [
        {
            "metadata": {"name": group},
            "versions": [
                {"version": version, "resources": resources, "freshness": "Current"}
                for version, resources in versions.items()
            ],
        }
        for group, versions in sorted(groups.items())
    ]


def _aggregated_resource(resource: Resource) -> Object:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    found: Object = {
        "resource": resource.plural,
        "responseKind": kind,
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        found["shortNames"] = list(resource.short_names)
    if resource.categories:
        found["categories"] = list(resource.categories)
    if resource.subresources:
        scale = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
        found["subresources"] = [
            {
                "subresource": name,
                "responseKind": scale if name == "scale" else kind,
                "verbs": ["get", "patch", "update"],
            }
            for name in resource.subresources
        ]
    return found


def group_list(kinds: Kinds, failing: frozenset[str]) -> Object:
    """``/apis``: APIGroupList."""
    names = [item["metadata"]["name"] for item in builtin_groups() if item["metadata"]]
    names += sorted({resource.group for resource in kinds.custom()} - set(names))
    groups = [group(kinds, name) for name in names]
    groups += [_failing_group(name) for name in sorted(failing)]
    return {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [
            {key: value for key, value in found.items() if key not in ("kind", "apiVersion")}
            for found in groups
            if found is not None
        ],
    }


def _failing_group(name: str) -> Object:
    group_name, _, version = name.partition("/")
    version = version or "v1beta1"
    described = {"groupVersion": f"{group_name}/{version}", "version": version}
    return {"name": group_name, "versions": [described], "preferredVersion": described}


def group(kinds: Kinds, name: str) -> Object | None:
    """``/apis/GROUP``: APIGroup; None where there is no such group."""
    versions: list[str] = []
    for item in builtin_groups():
        if item["metadata"].get("name") == name:
            versions += [version["version"] for version in item["versions"]]
    versions += [resource.version for resource in kinds.custom() if resource.group == name]
    if not versions:
        return None
    described = [
        {"groupVersion": f"{name}/{version}", "version": version}
        for version in dict.fromkeys(versions)
    ]
    return {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": name,
        "versions": described,
        "preferredVersion": described[0],
    }


def resource_list(kinds: Kinds, group_name: str, version: str) -> Object | None:
    """``/api/v1`` and ``/apis/GROUP/VERSION``: APIResourceList; None where it is not served."""
    resources = [
        resource
        for resource in kinds.all()
        if resource.group == group_name and resource.version == version
    ]
    if not resources:
        return None
    listed: list[Object] = []
    for resource in resources:
        listed.append(_resource(resource))
        listed += [_subresource(resource, name) for name in resource.subresources]
    api_version = f"{group_name}/{version}" if group_name else version
    found: Object = {"kind": "APIResourceList", "groupVersion": api_version, "resources": listed}
    if group_name:
        found["apiVersion"] = "v1"
    return found


def _resource(resource: Resource) -> Object:
    found: Object = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        found["shortNames"] = list(resource.short_names)
    if resource.categories:
        found["categories"] = list(resource.categories)
    return found


def _subresource(resource: Resource, name: str) -> Object:
    described = dict(resource.subresource_kinds).get(name)
    found: Object = {
        "name": f"{resource.plural}/{name}",
        "singularName": "",
        "namespaced": resource.namespaced,
    }
    if described is not None:
        kind = described.get("responseKind") or {}
        found["kind"] = kind.get("kind", resource.kind)
        if kind.get("version"):
            found["group"] = kind.get("group", "")
            found["version"] = kind["version"]
        found["verbs"] = described["verbs"]
    else:
        found["kind"] = "Scale" if name == "scale" else resource.kind
        if name == "scale":
            found["group"], found["version"] = "autoscaling", "v1"
        found["verbs"] = ["get", "patch", "update"]
    return found


def openapi(kinds: Kinds, path: str) -> Object | None:
    """``/openapi/v3``: not the types, only what kubectl looks for before it sends an object.

    It asks whether PATCH of a kind knows the parameter fieldValidation; then the server validates.
    """
    versions: dict[str, list[Resource]] = {}
    for resource in kinds.all():
        prefix = "apis" if resource.group else "api"
        versions.setdefault(f"{prefix}/{resource.api_version}", []).append(resource)
    if not path:
        return {
            "paths": {
                name: {"serverRelativeURL": f"/openapi/v3/{name}"} for name in sorted(versions)
            }
        }
    if path not in versions:
        return None
    parameters = [
        {"name": "fieldValidation", "in": "query", "schema": {"type": "string"}},
        {"name": "dryRun", "in": "query", "schema": {"type": "string"}},
    ]
    paths: Object = {}
    for resource in versions[path]:
        where = "/namespaces/{namespace}" if resource.namespaced else ""
        kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
        operation = {"parameters": parameters, "responses": {}}
        paths[f"/{path}{where}/{resource.plural}/{{name}}"] = {
            "patch": {
                **operation,
                "x-kubernetes-action": "patch",
                "x-kubernetes-group-version-kind": kind,
            }
        }
    info = {"title": "Kubernetes", "version": "sandbox"}
    return {"openapi": "3.0.0", "info": info, "paths": paths}
