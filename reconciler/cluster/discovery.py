"""Discovery: from a kind to the URL under which its objects live."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from msgspec import Struct

from reconciler.api.objects import GroupKind, Object, ObjectKey, api_group

AGGREGATED = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)
"""Accept header for aggregated discovery (Kubernetes 1.26+): two requests tell everything."""


class GroupVersionKind(NamedTuple):
    """``apps/v1`` + ``Deployment``: what a manifest names."""

    api_version: str
    kind: str

    @property
    def group_kind(self) -> GroupKind:
        return GroupKind(api_group(self.api_version), self.kind)

    @classmethod
    def of(cls, obj: Object) -> GroupVersionKind:
        return cls(obj["apiVersion"], obj["kind"])


class RESTMapping(Struct, frozen=True):
    """One kind as one member serves it."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: tuple[str, ...] = ()

    @property
    def base(self) -> str:
        """``/apis/apps/v1`` or ``/api/v1``."""
        return (
            f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        )

    def collection(self, namespace: str = "") -> str:
        """The path of all objects, or of those of one namespace."""
        if self.namespaced and namespace:
            return f"{self.base}/namespaces/{namespace}/{self.plural}"
        return f"{self.base}/{self.plural}"

    def item(self, key: ObjectKey) -> str:
        """The path of one object; quoted, because a hostile server could name one ``../x``."""
        return f"{self.collection(quote(key.namespace, safe=''))}/{quote(key.name, safe=':')}"


class Discovery(Struct, frozen=True):
    """What a member serves. ``failed_groups`` could not be listed (a broken aggregated API).

    ``complete`` False means that these are only remembered or partial: a kind that is missing
    here may exist.
    """

    resources: Mapping[GroupVersionKind, RESTMapping]
    failed_groups: tuple[str, ...] = ()
    complete: bool = True

    def find(self, kind: GroupVersionKind) -> RESTMapping | None:
        return self.resources.get(kind)

    def preferred(self, kind: GroupKind) -> RESTMapping | None:
        """The resource of a kind in the server's preferred version, which comes first."""
        for versioned, resource in self.resources.items():
            if versioned.group_kind == kind:
                return resource
        return None

    def versions(self, kind: GroupKind) -> list[str]:
        return [v.api_version for v in self.resources if v.group_kind == kind]

    def listable(self) -> Iterable[RESTMapping]:
        """One resource per group-kind that can be listed, in the preferred version."""
        seen: set[GroupKind] = set()
        for versioned, resource in self.resources.items():
            if versioned.group_kind not in seen and "list" in resource.verbs:
                seen.add(versioned.group_kind)
                yield resource


def parse_aggregated(document: Mapping[str, Any]) -> tuple[list[RESTMapping], list[str]]:
    """An APIGroupDiscoveryList -> its resources and the groups that the server calls stale."""
    resources, failed = [], []
    for group in document.get("items") or ():
        name = group.get("metadata", {}).get("name", "")
        for version in group.get("versions") or ():
            if version.get("freshness") == "Stale":
                failed.append(name)
            api_version = f"{name}/{version['version']}" if name else version["version"]
            for entry in version.get("resources") or ():
                kind = (entry.get("responseKind") or {}).get("kind")
                if kind:
                    resources.append(
                        RESTMapping(
                            api_version,
                            kind,
                            entry["resource"],
                            entry.get("scope") == "Namespaced",
                            tuple(entry.get("verbs") or ()),
                        )
                    )
    return resources, failed


def parse_resource_list(api_version: str, document: Mapping[str, Any]) -> list[RESTMapping]:
    """An APIResourceList, the form that older servers answer with."""
    return [
        RESTMapping(
            api_version,
            entry["kind"],
            entry["name"],
            bool(entry.get("namespaced")),
            tuple(entry.get("verbs") or ()),
        )
        for entry in document.get("resources") or ()
        if "/" not in entry["name"]
    ]
