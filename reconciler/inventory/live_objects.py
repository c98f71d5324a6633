"""The objects of one kind as a LIST showed them: compared as they come, and kept small.

A cluster may hold a hundred thousand objects, of which next to none has changed. So each is read
once, as far as the comparison with its record needs it: its marks, the managers of its fields, and
the values that our apply set. What that found is its ``Glance``. The object itself is kept as the
server sent it, together with its neighbours, and parsed again by whoever asks for it; of many
objects most are kept compressed.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from sys import intern
from threading import RLock
from typing import Any, NamedTuple

import msgspec
import orjson
from msgspec import UNSET, Raw, Struct, UnsetType

from reconciler.api.kinds import REPLICATED
from reconciler.api.objects import (
    Object,
    ObjectKey,
    api_group,
    map_of,
    shared_key,
    without_spare_room,
)
from reconciler.cluster.client import FIELD_MANAGER
from reconciler.cluster.discovery import RESTMapping
from reconciler.cluster.kstatus import ready_replicas
from reconciler.cluster.responses import MalformedAnswer, fault_of
from reconciler.inventory.applyset import is_marked, is_member
from reconciler.inventory.managed_fields import Fields, owns
from reconciler.inventory.records import (
    AppliedRecord,
    Digester,
    ParsedEntry,
    canonical_json,
    is_copy,
    is_recreated_copy,
    parsed_entry,
)

BLOCK_OBJECTS = 64
BLOCK_BYTES = 256 * 1024
"""Neighbours are compressed together until there are so many, or so much of them."""
KEPT_RAW_BYTES = 16 * 1024 * 1024
"""So much of all lists is kept as it came: to compress a thousand objects takes a tenth of the time
of a run that finds nothing to do, and saves two megabytes."""
MANY_OBJECTS = 50_000
"""Of a member that has so many, all is compressed: there it is a fiftieth of the time."""
SHARED_BYTES = 16 * 1024 * 1024
"""So much of what one member's objects hold is kept for those of the next ones."""
PARSED_BLOCKS = 16
"""Of all clusters: they are asked for in the order in which they were listed."""


class Glance(Struct, frozen=True):
    """What was seen of an object as it came.

    as_recorded    it is the object that was applied last, with the answer's entry of our field
                   manager and the values at its paths: E, V and the UID of its record
    terminating    it was deleted, and is still there
    managers       of the entries in managedFields that are not ours
    wanted         ``spec.replicas``, where it has any
    ready          how many of these can serve now; None: it was not looked at
    counted_by_others, scaled  another manager holds ``spec.replicas``; one of those by a
                   subresource
    """

    as_recorded: bool
    terminating: bool
    managers: tuple[str, ...]
    wanted: int | None = None
    ready: int | None = None
    counted_by_others: bool = False
    scaled: bool = False


_AS_RECORDED, _DIFFERS = (Glance(same, terminating=False, managers=()) for same in (True, False))
"""Of most objects: without replicas, and in nobody else's hands."""


class LiveObjects(Mapping[ObjectKey, Object]):
    """What is ours of the objects of one kind, each parsed when it is asked for.

    ``entries`` are the trees of our apply by their digest, of objects that are as recorded.
    """

    def __init__(self, resource: RESTMapping, *, compressed: bool = False) -> None:
        self._resource = resource
        self._compressed = compressed
        self._places: dict[ObjectKey, int] = {}
        self._glances: list[Glance | None] = []
        self._blocks: list[_Block] = []
        self._starts: list[int] = []
        self.entries: dict[str, tuple[str | None, bytes]] = {}

    def glance(self, key: ObjectKey) -> Glance | None:
        """None where nothing but the object itself tells."""
        place = self._places.get(key)
        return None if place is None else self._glances[place]

    def fields(self, entry: str) -> Fields | None:
        """The tree of an entry, by its digest."""
        found = self.entries.get(entry)
        return parsed_entry(*found).fields if found else None

    def __getitem__(self, key: ObjectKey) -> Object:
        place = self._places[key]
        block = bisect_right(self._starts, place) - 1
        objects = _parsed(self._blocks[block], self._resource.api_version, self._resource.kind)
        return objects[place - self._starts[block]]

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __iter__(self) -> Iterator[ObjectKey]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def _add(self, key: ObjectKey, glance: Glance | None) -> None:
        self._places[key] = len(self._glances)
        self._glances.append(glance)

    def _add_block(self, items: Sequence[Raw | bytes]) -> None:
        self._starts.append(len(self._glances) - len(items))
        self._blocks.append(_Block(b"[%b]" % b",".join(items), compressed=self._compressed))


class _Block:
    """Neighbours, as a list in JSON; compressed where that is asked for, or enough of others is
    kept as it came."""

    raw_bytes = 0
    _counting = RLock()

    def __init__(self, text: bytes, *, compressed: bool = False) -> None:
        size = 0 if compressed else len(text)
        with self._counting:
            self._size = size if _Block.raw_bytes + size <= KEPT_RAW_BYTES else 0
            _Block.raw_bytes += self._size
        self._kept = text if self._size else zlib.compress(text, 1)

    def __del__(self) -> None:
        # By its own name it is no longer known when the interpreter ends.
        with self._counting:
            type(self).raw_bytes -= self._size

    @property
    def text(self) -> bytes:
        return self._kept if self._size else zlib.decompress(self._kept)


@lru_cache(maxsize=PARSED_BLOCKS)
def _parsed(block: _Block, api_version: str, kind: str) -> list[Object]:
    objects: list[Object] = orjson.loads(block.text)
    for obj in objects:
        # Lists leave these out of their items, unlike GET.
        obj["apiVersion"], obj["kind"] = api_version, kind
    return objects


def read_live_objects(
    pages: Iterable[Sequence[Raw]],
    resource: RESTMapping,
    applyset: str,
    rows: Mapping[ObjectKey, AppliedRecord],
    digester: Digester,
    shared: SharedValues | None = None,
) -> LiveObjects:
    """The objects with our label and their own identity, without those that another hand made,
    marks and all. ``shared``: what other members' objects hold. Raises MalformedAnswer, and what
    parsing JSON raises."""
    live = LiveObjects(resource, compressed=len(rows) > MANY_OBJECTS)
    look = _Look(live, resource, applyset, rows, digester, shared)
    block: list[Raw | bytes] = []
    size = 0
    for page in pages:
        for item in page:
            if not look.take(item):
                continue
            block.append(item)
            size += len(memoryview(item))
            if len(block) == BLOCK_OBJECTS or size >= BLOCK_BYTES:
                live._add_block(block)
                block, size = [], 0
        # Or all of the page would stay for the sake of these.
        block = [bytes(item) for item in block]
    if block:
        live._add_block(block)
    return live


# -- one object ------------------------------------------------------------------------------------


class _Entry(Struct, frozen=True, gc=False):
    """An entry of managedFields; most trees are never looked at."""

    manager: str | None = None
    operation: str | None = None
    apiVersion: str | None = None
    subresource: str | None = None
    time: str | None = None
    fieldsV1: Raw = Raw()


class _Metadata(Struct, frozen=True, gc=False):
    name: str
    namespace: str | None = None
    uid: str | None = None
    resourceVersion: str | None = None
    labels: dict[str, str] | UnsetType | None = UNSET
    annotations: dict[str, str] | UnsetType | None = UNSET
    managedFields: list[_Entry] | None = None
    deletionTimestamp: Any = None


class _Owned(NamedTuple):
    """What an object holds at the paths of our entry, as ``canonical_json``; and of its ``spec``
    what a glance is at, None where that has to be parsed."""

    data: bytes
    spec: Object | None


class SharedValues:
    """What objects hold at the paths of our entries, by all that it is read from: the objects of
    many members are alike, but for their metadata, and are taken apart once. The first ones stay.
    Used by several threads, of which two may take the same apart."""

    def __init__(self) -> None:
        self._space = SHARED_BYTES
        self._known: dict[tuple[object, ...], _Owned] = {}

    def get(self, source: tuple[object, ...]) -> _Owned | None:
        return self._known.get(source)

    def add(self, source: tuple[object, ...], owned: _Owned) -> None:
        # The source is about as large.
        if self._space > 2 * len(owned.data):
            self._space -= 2 * len(owned.data)
            self._known[source] = owned._replace(data=without_spare_room(owned.data))


_PARTS = msgspec.json.Decoder(dict[str, Raw])
_METADATA = msgspec.json.Decoder(_Metadata)


class _Look:
    """Looks at the objects of one kind, one after the other."""

    def __init__(
        self,
        live: LiveObjects,
        resource: RESTMapping,
        applyset: str,
        rows: Mapping[ObjectKey, AppliedRecord],
        digester: Digester,
        shared: SharedValues | None,
    ) -> None:
        self._live = live
        self._shared = shared
        self._resource = resource
        self._group = api_group(resource.api_version)
        self._applyset = applyset
        self._rows = rows
        self._digester = digester
        # Most objects of a kind look the same.
        self._same: dict[Glance, Glance] = {}

    def take(self, item: Raw) -> bool:
        """Whether it is ours, and added."""
        try:
            parts = _PARTS.decode(item)
            metadata = _METADATA.decode(parts.get("metadata", b"null"))
            entries = metadata.managedFields or ()
            sound = metadata.name and all(_is_map(entry.fieldsV1) for entry in entries)
        except (msgspec.DecodeError, RecursionError):
            sound = False
        return self._take_read(parts, metadata) if sound else self._take_whole(item)

    def _take_read(self, parts: Mapping[str, Raw], metadata: _Metadata) -> bool:
        namespace = intern(metadata.namespace or "")
        key = shared_key(ObjectKey(self._group, self._resource.kind, namespace, metadata.name))
        labels, annotations = metadata.labels or {}, metadata.annotations or {}
        if not is_marked(labels, annotations, self._applyset, key):
            return False
        ours = next((e for e in metadata.managedFields or () if _is_our_entry(e)), None)
        record = self._rows.get(key)
        if is_copy(ours is not None, metadata.uid, record):
            return False
        values: dict[str, Any] = {}
        as_recorded = (
            ours is not None
            and record is not None
            and record.confirmed
            and record.uid == metadata.uid
            and bool(record.uid)
            and self._is_as_recorded(ours, record, parts, metadata, values)
        )
        self._live._add(key, self._glance(parts, metadata, ours, values, as_recorded=as_recorded))
        return True

    def _is_as_recorded(
        self,
        ours: _Entry,
        record: AppliedRecord,
        parts: Mapping[str, Raw],
        metadata: _Metadata,
        values: dict[str, Any],
    ) -> bool:
        """``values`` is filled with what had to be parsed."""
        entry = parsed_entry(ours.apiVersion, bytes(ours.fieldsV1))
        if self._digester.of_entry(entry) != record.entry:
            return False
        if self._digester.of_bytes(self._owned(entry, parts, metadata, values)) != record.values:
            return False
        if record.entry not in self._live.entries:
            self._live.entries[record.entry] = (ours.apiVersion, bytes(ours.fieldsV1))
        return True

    def _owned(
        self,
        entry: ParsedEntry,
        parts: Mapping[str, Raw],
        metadata: _Metadata,
        values: dict[str, Any],
    ) -> bytes:
        """The values that the entry owns, as ``canonical_json``. ``values`` is filled as above."""
        shared = self._shared if entry.plain or "metadata" not in entry.top else None
        source: tuple[object, ...] = ()
        if shared is not None:
            source = (
                entry.canonical,
                self._resource.kind,
                self._resource.api_version,
                _entries_of(metadata.labels),
                _entries_of(metadata.annotations),
                *[
                    bytes(parts[name]) if name in parts else None
                    for name in entry.top
                    if name != "metadata"
                ],
            )
            if (found := shared.get(source)) is not None:
                if found.spec is not None:
                    values["spec"] = found.spec
                return found.data
        for name in entry.top:
            if name == "metadata" and entry.plain:
                marks = {"labels": metadata.labels, "annotations": metadata.annotations}
                values[name] = {n: v for n, v in marks.items() if v is not UNSET}
            elif name in parts:
                values[name] = orjson.loads(memoryview(parts[name]))
        values |= {"apiVersion": self._resource.api_version, "kind": self._resource.kind}
        data = canonical_json(entry.read(values))
        if shared is not None:
            spec = {n: v for n, v in map_of(values.get("spec")).items() if n == "replicas"}
            shared.add(source, _Owned(data, spec if "spec" in values else None))
        return data

    def _glance(
        self,
        parts: Mapping[str, Raw],
        metadata: _Metadata,
        ours: _Entry | None,
        values: Mapping[str, Any],
        *,
        as_recorded: bool,
    ) -> Glance | None:
        entries = metadata.managedFields or ()
        others = [entry for entry in entries if entry is not ours]
        spec = values.get("spec")
        if spec is None and "spec" in parts:
            spec = orjson.loads(memoryview(parts["spec"]))
        wanted, ready = map_of(spec).get("replicas"), None
        if not isinstance(wanted, int | None):
            return None
        if wanted is not None or self._resource.kind in REPLICATED:
            status = orjson.loads(memoryview(parts["status"])) if "status" in parts else None
            ready = ready_replicas({"status": status})
        elif not (others or metadata.deletionTimestamp):
            return _AS_RECORDED if as_recorded else _DIFFERS
        holders = [entry for entry in others if _holds_replicas(bytes(entry.fieldsV1))]
        glance = Glance(
            as_recorded,
            bool(metadata.deletionTimestamp),
            tuple(dict.fromkeys(str(entry.manager) for entry in others)),
            wanted,
            ready,
            bool(holders),
            any(entry.subresource for entry in holders),
        )
        return self._same.setdefault(glance, glance)

    def _take_whole(self, item: Raw) -> bool:
        """One that is not of the usual shape: nothing is known of it but that it may be ours."""
        obj: Object = orjson.loads(memoryview(item))
        if fault := fault_of(obj):
            raise MalformedAnswer(f"a list with {fault}")
        obj["apiVersion"], obj["kind"] = self._resource.api_version, self._resource.kind
        metadata = obj["metadata"]
        namespace = metadata.get("namespace") or ""
        key = ObjectKey(self._group, self._resource.kind, namespace, metadata["name"])
        if not is_member(obj, self._applyset, key) or is_recreated_copy(obj, self._rows.get(key)):
            return False
        self._live._add(key, None)
        return True


def _entries_of(marks: dict[str, str] | UnsetType | None) -> object:
    return tuple(marks.items()) if isinstance(marks, dict) else marks


def _is_our_entry(entry: _Entry) -> bool:
    """As ``managed_fields.is_ours``."""
    ours = entry.manager == FIELD_MANAGER and entry.operation == "Apply"
    return ours and not entry.subresource


@lru_cache(maxsize=4096)
def _holds_replicas(tree: bytes) -> bool:
    return owns(map_of(orjson.loads(tree or b"null")), ("spec", "replicas"))


def _is_map(tree: Raw) -> bool:
    start = memoryview(tree)[:1].tobytes()
    return start in (b"{", b"n", b"")
