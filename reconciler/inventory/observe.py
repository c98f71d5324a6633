"""What a member runs of ours: the inventory and one LIST per group-kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from msgspec import field
from msgspec.structs import replace

from reconciler.api.annotations import PART_OF
from reconciler.api.errors import ApiError, NotFound
from reconciler.api.objects import GroupKind, Object, ObjectKey, RedactedRepr, key_of
from reconciler.cluster.allocator import keep_memory_small
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import Discovery, GroupVersionKind, RESTMapping
from reconciler.cluster.parallel import in_parallel
from reconciler.inventory.applyset import is_member
from reconciler.inventory.live_objects import (
    Glance,
    LiveObjects,
    SharedValues,
    read_live_objects,
)
from reconciler.inventory.managed_fields import Fields, our_entry
from reconciler.inventory.records import is_recreated_copy
from reconciler.inventory.store import Inventory

CONCURRENT_LISTS = 4
FEW_OBJECTS = 4000


class Observation(RedactedRepr, frozen=True, dict=True):
    """One member as this run saw it.

    live      objects with our label and their own identity, by the kind and version they were
              read in; without those that another hand made, marks and all
    unserved  kinds that the server surely does not have
    failed    kinds that could not be listed, with the reason; nothing of them is known
    """

    inventory: Inventory
    discovery: Discovery
    live: Mapping[GroupVersionKind, KindObjects] = field(default_factory=dict)
    unserved: frozenset[GroupVersionKind] = frozenset()
    failed: Mapping[GroupVersionKind, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether everything that the inventory could hold has been seen."""
        return not self.failed

    def find(self, kind: GroupVersionKind, key: ObjectKey) -> Object | None:
        return self.live.get(kind, {}).get(key)

    def glance(self, kind: GroupVersionKind, key: ObjectKey) -> Glance | None:
        """What was seen of an object as it came; None where only the object itself tells."""
        found = self.live.get(kind)
        return found.glance(key) if isinstance(found, LiveObjects) else None

    def fields(self, kind: GroupVersionKind, entry: str) -> Fields | None:
        """The tree of an entry by its digest, of objects that are as recorded."""
        found = self.live.get(kind)
        return found.fields(entry) if isinstance(found, LiveObjects) else None

    @cached_property
    def members(self) -> Members:
        """Every live object that is ours, once, whatever versions it was read in."""
        return Members(self.live)

    @cached_property
    def objects(self) -> Mapping[ObjectKey, Object]:
        """The same without their kinds."""
        return _Objects(self.members)


class Members(Mapping[ObjectKey, tuple[GroupVersionKind, Object]]):
    """Objects of all kinds, each parsed when it is asked for; in the last of several versions."""

    def __init__(self, live: Mapping[GroupVersionKind, KindObjects]) -> None:
        self._live = live
        self._kinds: dict[tuple[str, str], list[GroupVersionKind]] = {}
        for kind in live:
            self._kinds.setdefault(kind.group_kind, []).insert(0, kind)

    def _kind(self, key: ObjectKey) -> GroupVersionKind | None:
        # To make a GroupKind of it would take most of the time of a plan without changes.
        for kind in self._kinds.get(key[:2], ()):
            if key in self._live[kind]:
                return kind
        return None

    def glance(self, key: ObjectKey) -> Glance | None:
        """As ``Observation.glance``."""
        kind = self._kind(key)
        found = self._live[kind] if kind else None
        return found.glance(key) if isinstance(found, LiveObjects) else None

    def __getitem__(self, key: ObjectKey) -> tuple[GroupVersionKind, Object]:
        kind = self._kind(key)
        if kind is None:
            raise KeyError(key)
        return kind, self._live[kind][key]

    def __contains__(self, key: object) -> bool:
        return isinstance(key, ObjectKey) and self._kind(key) is not None

    def __iter__(self) -> Iterator[ObjectKey]:
        for kinds in self._kinds.values():
            if len(kinds) == 1:
                yield from self._live[kinds[0]]
            else:
                yield from dict.fromkeys(key for kind in kinds for key in self._live[kind])

    def __len__(self) -> int:
        return sum(map(self.count, self._kinds))

    def count(self, kind: tuple[str, str]) -> int:
        """How many there are of a kind, whatever versions they were read in."""
        read_in = [self._live[one] for one in self._kinds.get(kind, ())]
        return len(read_in[0]) if len(read_in) == 1 else len(set().union(*read_in))


class _Objects(Mapping[ObjectKey, Object]):
    def __init__(self, members: Members) -> None:
        self._members = members

    def __getitem__(self, key: ObjectKey) -> Object:
        return self._members[key][1]

    def __iter__(self) -> Iterator[ObjectKey]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, key: object) -> bool:
        return key in self._members


KindObjects = Mapping[ObjectKey, Object]
ListKind = Callable[[Member, RESTMapping, Inventory], KindObjects]
"""Gives what is ours of a kind, all of it as of one moment. Raises ApiError where it cannot."""


def observe(
    member: Member,
    inventory: Inventory,
    wanted: Iterable[GroupVersionKind],
    *,
    whole: bool = True,
    list_kind: ListKind | None = None,
    lists_at_once: int = CONCURRENT_LISTS,
) -> Observation:
    """List every kind that is wanted or in the inventory, each in one version if possible.

    Not ``whole``: only what is wanted, which is not enough to plan this member.
    Discovery is asked only when a kind is not in the inventory's memory of it, or when a LIST
    finds that memory wrong. ``list_kind`` tells what there is; None: by LISTs, or by what a process
    that watches has of them. Each of the ``lists_at_once`` takes a thread and a connection.
    Raises ClusterError when the member stops answering altogether.
    """
    known = Discovery(inventory.resources, complete=False)
    held = inventory if whole else replace(inventory, rows={}, group_kinds=frozenset())
    kinds = _kinds_to_list(held, wanted, known)
    if kinds is None or any(known.find(kind) is None for kind in kinds):
        known = member.discover()
        kinds = _kinds_to_list(held, wanted, known) or []
    read = list_kind or (list_as_kept if member.keeps_lists else list_from_server)

    def list_all(
        some: Iterable[GroupVersionKind],
    ) -> dict[GroupVersionKind, KindObjects | ApiError]:
        resources = [resource for kind in some if (resource := known.find(kind))]
        return _list_all(member, resources, inventory, read, lists_at_once)

    lists = list_all(kinds)
    if not known.complete and any(isinstance(r, NotFound) for r in lists.values()):
        # A remembered resource is gone or has moved: ask once, then list what has changed.
        known = member.discover()
        kinds = _kinds_to_list(held, wanted, known) or []
        again = [k for k in kinds if k not in lists or isinstance(lists[k], ApiError)]
        lists = {k: v for k, v in lists.items() if not isinstance(v, ApiError)}
        lists |= list_all(again)
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
    member: Member,
    resources: Sequence[RESTMapping],
    inventory: Inventory,
    list_kind: ListKind,
    at_once: int,
) -> dict[GroupVersionKind, KindObjects | ApiError]:
    def list_one(resource: RESTMapping) -> KindObjects | ApiError:
        try:
            return list_kind(member, resource, inventory)
        except ApiError as error:
            return error

    if len(inventory.rows) > FEW_OBJECTS:
        keep_memory_small()
    results = in_parallel(list_one, resources, at_once)
    return {
        GroupVersionKind(resource.api_version, resource.kind): result
        for resource, result in zip(resources, results, strict=True)
    }


def list_from_server(
    member: Member,
    resource: RESTMapping,
    inventory: Inventory,
    shared: SharedValues | None = None,
) -> KindObjects:
    """What is ours of a kind, by one consistent read. ``shared``: what other members' objects hold.
    Raises ApiError, ClusterUnreachable."""
    return member.read_list(
        resource,
        lambda pages: read_live_objects(
            (page.items for page in pages),
            resource,
            inventory.applyset,
            inventory.rows,
            inventory.digester,
            shared,
        ),
        label_selector=f"{PART_OF}={inventory.applyset}",
    )


class OwnObjects:
    """Which objects of a member's lists are ours, so that only those are looked at that changed.

    A list that is the same gives the same mapping. Safe for threads with a resource each.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[RESTMapping, str], _OwnList] = {}

    def among(
        self, listed: list[Object], resource: RESTMapping, inventory: Inventory
    ) -> KindObjects:
        """Those of a list that is kept, as are its objects: they are told by being the same."""
        name, rows = (resource, inventory.applyset), inventory.rows
        before = self._known.get(name, _OwnList())
        if before.listed is listed and len(before.keys) == len(listed):
            return before.ours
        keys: dict[int, ObjectKey] = {}
        ours: dict[ObjectKey, Object] = {}
        for obj in listed:
            key = before.keys.get(id(obj))
            if key is None:
                key = key_of(obj)
                if not is_member(obj, inventory.applyset, key):
                    continue
                if our_entry(obj) is None:
                    # That depends on the record, which another run may have written since.
                    if not is_recreated_copy(obj, rows.get(key)):
                        ours[key] = obj
                    continue
            keys[id(obj)] = key
            ours[key] = obj
        self._known[name] = _OwnList(listed, keys, ours)
        return ours


class _OwnList(RedactedRepr, frozen=True):
    """``keys`` are those of objects that are ours whatever their records say, by their ``id``,
    which holds as long as ``listed`` does."""

    listed: list[Object] = field(default_factory=list)
    keys: Mapping[int, ObjectKey] = field(default_factory=dict)
    ours: KindObjects = field(default_factory=dict)


def list_as_kept(member: Member, resource: RESTMapping, inventory: Inventory) -> KindObjects:
    """The same from a list that is kept up by a watch, where it is surely up to date."""
    found = member.labelled(resource, f"{PART_OF}={inventory.applyset}")
    known = member.remembered(OwnObjects) or OwnObjects()
    return known.among(found, resource, inventory)


def _gather(
    inventory: Inventory,
    discovery: Discovery,
    kinds: Sequence[GroupVersionKind],
    lists: Mapping[GroupVersionKind, KindObjects | ApiError],
) -> Observation:
    live: dict[GroupVersionKind, KindObjects] = {}
    failed: dict[GroupVersionKind, str] = {}
    unserved = set()
    for kind in kinds:
        result = lists.get(kind)
        if isinstance(result, Mapping):
            live[kind] = result
        elif kind.group_kind.group in discovery.failed_groups:
            failed[kind] = "the API group cannot be discovered (an aggregated API is down)"
        elif result is None or (isinstance(result, NotFound) and discovery.find(kind) is None):
            unserved.add(kind)
        else:
            failed[kind] = f"{result} (HTTP {result.code})"
    return Observation(inventory, discovery, live, frozenset(unserved), failed)
