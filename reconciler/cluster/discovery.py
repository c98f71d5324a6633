"""Discovery: from a kind to the URL under which its objects live."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote

from msgspec import Struct, convert, field

from reconciler.api.manifest import Manifest
from reconciler.api.objects import GroupKind, Object, ObjectKey, api_group, read_in_threads

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

    @classmethod
    def of_manifest(cls, manifest: Manifest) -> GroupVersionKind:
        return _shared_kind(manifest.api_version, manifest.kind)


@lru_cache(maxsize=512)
def _shared_kind(api_version: str, kind: str) -> GroupVersionKind:
    """Kinds are few, and what is of them may be much."""
    return GroupVersionKind(api_version, kind)


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


class _Metadata(Struct):
    name: str = ""


class _Kind(Struct):
    kind: str | None = None


class _Resource(Struct):
    resource: str
    response_kind: _Kind | None = field(name="responseKind", default=None)
    scope: str = ""
    verbs: list[str] | None = None


class _Version(Struct):
    version: str
    freshness: str = ""
    resources: list[_Resource] | None = None


class _Group(Struct):
    metadata: _Metadata = field(default_factory=_Metadata)
    versions: list[_Version] | None = None


class _GroupDiscoveryList(Struct):
    items: list[_Group] | None = None


class _Entry(Struct):
    name: str
    kind: str
    namespaced: bool | None = None
    verbs: list[str] | None = None


class _ResourceList(Struct):
    resources: list[_Entry] | None = None


class _GroupVersion(Struct):
    group_version: str = field(name="groupVersion")


class _Served(Struct):
    preferred: _GroupVersion = field(name="preferredVersion")
    versions: list[_GroupVersion]


class _Root(Struct):
    versions: list[str] | None = None
    groups: list[_Served] | None = None


read_in_threads(_GroupDiscoveryList, _ResourceList, _Root)


def parse_aggregated(document: Mapping[str, Any]) -> tuple[list[RESTMapping], list[str]]:
    """An APIGroupDiscoveryList -> its resources and the groups that the server calls stale.

    Raises ValidationError where it is none, as do the others.
    """
    resources, failed = [], []
    for group in convert(document, _GroupDiscoveryList).items or ():
        name = group.metadata.name
        for version in group.versions or ():
            if version.freshness == "Stale":
                failed.append(name)
            api_version = f"{name}/{version.version}" if name else version.version
            resources += [
                RESTMapping(
                    api_version,
                    entry.response_kind.kind,
                    entry.resource,
                    entry.scope == "Namespaced",
                    tuple(entry.verbs or ()),
                )
                for entry in version.resources or ()
                if entry.response_kind and entry.response_kind.kind
            ]
    return resources, failed


def parse_groups(root: str, document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """An APIVersions of ``/api`` or an APIGroupList of ``/apis``, as older servers answer -> paths
    and versions, each group's preferred one first."""
    served = convert(document, _Root)
    versions = [(f"{root}/{v}", v) for v in served.versions or () if root == "/api"]
    for group in served.groups or ():
        ordered = [one.group_version for one in (group.preferred, *group.versions)]
        versions += [(f"{root}/{v}", v) for v in dict.fromkeys(ordered)]
    return versions


def parse_resource_list(api_version: str, document: Mapping[str, Any]) -> list[RESTMapping]:
    """An APIResourceList, the form that older servers answer with."""
    return [
        RESTMapping(
            api_version, entry.kind, entry.name, bool(entry.namespaced), tuple(entry.verbs or ())
        )
        for entry in convert(document, _ResourceList).resources or ()
        if "/" not in entry.name
    ]
