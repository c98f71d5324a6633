"""Finding wanted objects that the label query did not show.

A label selector hides an object that was never ours, and one whose label somebody took off; neither
may be called absent. One object is asked for by name; many of a kind in one namespace by one
metadata LIST, after which only those that exist are fetched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from reconciler.cluster.member import Member
from reconciler.cluster.parallel import in_parallel
from reconciler.cluster.resources import Resource, VersionedKind
from reconciler.errors import ApiError
from reconciler.objects import Object, ObjectKey

ASK_BY_NAME_UP_TO = 3
CONCURRENT = 8


class Sought(NamedTuple):
    """One object to look for."""

    resource: Resource
    key: ObjectKey


class Missing(NamedTuple):
    """Those of the sought that exist; and the kinds that the member refused to tell of, with the
    reason: of their objects nobody knows."""

    found: dict[ObjectKey, Object]
    failed: dict[VersionedKind, str]


def find_missing(member: Member, sought: Iterable[Sought]) -> Missing:
    """Look for objects by name. Raises ClusterError when the member stops answering altogether."""
    groups: dict[tuple[Resource, str], list[Sought]] = defaultdict(list)
    for item in sought:
        groups[(item.resource, item.key.namespace)].append(item)
    failed: dict[VersionedKind, str] = {}

    def refused(resource: Resource, error: ApiError) -> None:
        kind = VersionedKind(resource.api_version, resource.kind)
        failed[kind] = f"{error} (HTTP {error.code})"

    def present(group: list[Sought]) -> list[Sought]:
        if len(group) <= ASK_BY_NAME_UP_TO:
            return group
        resource, namespace = group[0].resource, group[0].key.namespace
        try:
            listed = member.list_objects(resource, namespace=namespace, metadata_only=True)
        except ApiError as error:
            refused(resource, error)
            return []
        names = {str(item["metadata"]["name"]) for item in listed}
        return [item for item in group if item.key.name in names]

    def fetch(item: Sought) -> Object | None:
        try:
            return member.get(item.resource, item.key)
        except ApiError as error:
            refused(item.resource, error)
            return None

    to_fetch = [
        item for part in in_parallel(present, list(groups.values()), CONCURRENT) for item in part
    ]
    fetched = in_parallel(fetch, to_fetch, CONCURRENT)
    found = {item.key: obj for item, obj in zip(to_fetch, fetched, strict=True) if obj is not None}
    return Missing(found, failed)
