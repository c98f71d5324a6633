"""What a member runs of ours: the inventory and one LIST per group-kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from msgspec import field
from msgspec.structs import replace

from reconciler.api.annotations import PART_OF
from reconciler.api.errors import ApiError, NotFound
from reconciler.api.objects import GroupKind, Object, ObjectKey, RedactedRepr, key_of
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import Discovery, GroupVersionKind, RESTMapping
from reconciler.cluster.parallel import in_parallel
from reconciler.inventory.applyset import is_member
from reconciler.inventory.records import is_recreated_copy
from reconciler.inventory.store import Inventory

CONCURRENT_LISTS = 4


class Observation(RedactedRepr, frozen=True, dict=True):
    """One member as this run saw it.

    live      objects with our label and their own identity, by the kind and version they were
              read in; without those that another hand made, marks and all
    unserved  kinds that the server surely does not have
    failed    kinds that could not be listed, with the reason; nothing of them is known
    """

    inventory: Inventory
    discovery: Discovery
    live: Mapping[GroupVersionKind, Mapping[ObjectKey, Object]] = field(default_factory=dict)
    unserved: frozenset[GroupVersionKind] = frozenset()
    failed: Mapping[GroupVersionKind, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether everything that the inventory could hold has been seen."""
        return not self.failed

    def find(self, kind: GroupVersionKind, key: ObjectKey) -> Object | None:
        return self.live.get(kind, {}).get(key)

    @cached_property
    def members(self) -> Mapping[ObjectKey, tuple[GroupVersionKind, Object]]:
        """Every live object that is ours, once, whatever versions it was read in."""
        return {
            key: (kind, obj) for kind, objects in self.live.items() for key, obj in objects.items()
        }


def observe(
    member: Member, inventory: Inventory, wanted: Iterable[GroupVersionKind], *, whole: bool = True
) -> Observation:
    """List every kind that is wanted or in the inventory, each in one version if possible.

    Not ``whole``: only what is wanted, which is not enough to plan this member.
    Discovery is asked only when a kind is not in the inventory's memory of it, or when a LIST
    finds that memory wrong. Raises ClusterError when the member stops answering altogether.
    """
    known = Discovery(inventory.resources, complete=False)
    held = inventory if whole else replace(inventory, rows={}, group_kinds=frozenset())
    kinds = _kinds_to_list(held, wanted, known)
    if kinds is None or any(known.find(kind) is None for kind in kinds):
        known = member.discover()
        kinds = _kinds_to_list(held, wanted, known) or []
    lists = _list_all(member, [r for k in kinds if (r := known.find(k))], inventory.applyset)
    if not known.complete and any(isinstance(r, NotFound) for r in lists.values()):
        # A remembered resource is gone or has moved: ask once, then list what has changed.
        known = member.discover()
        kinds = _kinds_to_list(held, wanted, known) or []
        again = [k for k in kinds if k not in lists or isinstance(lists[k], ApiError)]
        lists = {k: v for k, v in lists.items() if not isinstance(v, ApiError)}
        lists |= _list_all(member, [r for k in again if (r := known.find(k))], inventory.applyset)
    return _gather(inventory, known, kinds, lists)


def _kinds_to_list(
    inventory: Inventory, wanted: Iterable[GroupVersionKind], known: Discovery
) -> list[GroupVersionKind] | None:
    """None when an inventory kind's version can only be told by discovery."""
    kinds = dict.fromkeys(sorted(set(wanted)))
    # What is wanted in a version that is not served (yet) may be there in another.
    covered = {kind.group_kind for kind in kinds if known.find(kind) or not known.complete}
    uncovered = [(k, r) for k, r in inventory.rows.items() if k[:2] not in covered]
    for key, record in sorted(uncovered):
        if key.group_kind not in covered and record.api_version:
            kind = GroupVersionKind(record.api_version, key.kind)
            if known.complete and known.find(kind) is None:
                continue
            kinds[kind] = None
            covered.add(key.group_kind)
    owned = inventory.group_kinds | {key.group_kind for key, _ in uncovered}
    for group_kind in sorted(owned - covered):
        resource = known.preferred(group_kind)
        if resource:
            kinds[GroupVersionKind(resource.api_version, resource.kind)] = None
        elif not known.complete:
            return None
        else:
            kinds[GroupVersionKind(_any_version(group_kind), group_kind.kind)] = None
    return list(kinds)


def _any_version(kind: GroupKind) -> str:
    return f"{kind.group}/v1" if kind.group else "v1"


def _list_all(
    member: Member, resources: Sequence[RESTMapping], applyset: str
) -> dict[GroupVersionKind, list[Object] | ApiError]:
    def list_one(resource: RESTMapping) -> list[Object] | ApiError:
        try:
            return member.labelled(resource, f"{PART_OF}={applyset}")
        except ApiError as error:
            return error

    results = in_parallel(list_one, resources, CONCURRENT_LISTS)
    return {
        GroupVersionKind(resource.api_version, resource.kind): result
        for resource, result in zip(resources, results, strict=True)
    }


def _gather(
    inventory: Inventory,
    discovery: Discovery,
    kinds: Sequence[GroupVersionKind],
    lists: Mapping[GroupVersionKind, list[Object] | ApiError],
) -> Observation:
    live: dict[GroupVersionKind, dict[ObjectKey, Object]] = {}
    failed: dict[GroupVersionKind, str] = {}
    unserved = set()
    for kind in kinds:
        result = lists.get(kind)
        if isinstance(result, list):
            keyed = ((key_of(obj), obj) for obj in result)
            applyset = inventory.applyset
            rows = inventory.rows
            live[kind] = {
                key: obj
                for key, obj in keyed
                if is_member(obj, applyset, key) and not is_recreated_copy(obj, rows.get(key))
            }
        elif kind.group_kind.group in discovery.failed_groups:
            failed[kind] = "the API group cannot be discovered (an aggregated API is down)"
        elif result is None or (isinstance(result, NotFound) and discovery.find(kind) is None):
            unserved.add(kind)
        else:
            failed[kind] = f"{result} (HTTP {result.code})"
    return Observation(inventory, discovery, live, frozenset(unserved), failed)
