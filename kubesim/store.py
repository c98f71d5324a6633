"""Where a simulated cluster keeps its objects: as JSON bytes, with what queries need beside them.

Bytes are what a LIST sends, take a third of the memory of parsed objects, and cannot be changed
behind the store's back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import orjson

from kubesim.objects import Object

Table = tuple[str, str]
"""(group, plural)"""

_HISTORY = 5000


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One stored object; ``raw`` holds the whole of it, in the version ``api_version``."""

    namespace: str
    name: str
    uid: str
    resource_version: int
    api_version: str
    labels: dict[str, str]
    owners: tuple[str, ...]
    raw: bytes

    @property
    def obj(self) -> Object:
        """A fresh copy that the caller may change."""
        parsed: Object = orjson.loads(self.raw)
        return parsed


@dataclass(frozen=True, slots=True)
class Event:
    """What a watch reports; a DELETED event carries the object as it was, newly numbered."""

    kind: Literal["ADDED", "MODIFIED", "DELETED"]
    resource_version: int
    table: Table
    record: StoredObject
    previous: StoredObject | None = None


class Store:
    """Objects by table and (namespace, name); every write takes the next resource version."""

    def __init__(self) -> None:
        self.resource_version = 100
        self._tables: dict[Table, dict[tuple[str, str], StoredObject]] = {}
        self._sorted: dict[Table, list[StoredObject]] = {}
        self._owned: dict[str, set[tuple[Table, str, str]]] = {}
        self.history: deque[Event] = deque(maxlen=_HISTORY)
        self.compacted = 0
        self.listeners: list[Callable[[Event], None]] = []

    def get(self, table: Table, namespace: str, name: str) -> StoredObject | None:
        rows = self._tables.get(table)
        return None if rows is None else rows.get((namespace, name))

    def records(self, table: Table, namespace: str = "") -> list[StoredObject]:
        """In the order of namespace and name; all namespaces when none is given."""
        found = self._sorted.get(table)
        if found is None:
            rows = self._tables.get(table, {})
            found = self._sorted[table] = [rows[key] for key in sorted(rows)]
        if namespace:
            return [record for record in found if record.namespace == namespace]
        return found

    def records_at(self, table: Table, namespace: str, version: int) -> list[StoredObject] | None:
        """Those of ``records`` as they were at an earlier version; None: that is forgotten."""
        if version < self.oldest:
            return None
        rows = dict(self._tables.get(table, {}))
        for event in reversed(self.history):
            if event.resource_version <= version:
                break
            if event.table != table:
                continue
            key = (event.record.namespace, event.record.name)
            if event.previous is None:
                del rows[key]
            else:
                rows[key] = event.previous
        return [rows[key] for key in sorted(rows) if not namespace or key[0] == namespace]

    def tables(self) -> list[Table]:
        return [table for table, rows in self._tables.items() if rows]

    def __iter__(self) -> Iterator[tuple[Table, StoredObject]]:
        for table in sorted(self.tables()):
            for record in self.records(table):
                yield table, record

    def put(self, table: Table, obj: Object) -> StoredObject:
        """Stores ``obj``, whose metadata.resourceVersion is set to the new one."""
        self.resource_version += 1
        metadata = obj["metadata"]
        metadata["resourceVersion"] = str(self.resource_version)
        record = make_record(obj, self.resource_version)
        key = (record.namespace, record.name)
        rows = self._tables.setdefault(table, {})
        before = rows.get(key)
        rows[key] = record
        self._index(table, before, record)
        self._publish(
            Event("MODIFIED" if before else "ADDED", self.resource_version, table, record, before)
        )
        return record

    def remove(self, table: Table, record: StoredObject) -> None:
        self.resource_version += 1
        del self._tables[table][record.namespace, record.name]
        self._index(table, record, None)
        last = record.obj
        last["metadata"]["resourceVersion"] = str(self.resource_version)
        gone = replace(record, raw=orjson.dumps(last), resource_version=self.resource_version)
        self._publish(Event("DELETED", self.resource_version, table, gone, record))

    def owned_by(self, uid: str) -> list[tuple[Table, StoredObject]]:
        found = []
        for table, namespace, name in sorted(self._owned.get(uid, ())):
            record = self.get(table, namespace, name)
            if record is not None:
                found.append((table, record))
        return found

    def has_uid(self, uid: str) -> bool:
        return any(record.uid == uid for rows in self._tables.values() for record in rows.values())

    def load(self, table: Table, obj: Object) -> None:
        """Puts back an object of an earlier process, with the version that it had."""
        version = int(obj["metadata"]["resourceVersion"])
        record = make_record(obj, version)
        self._tables.setdefault(table, {})[record.namespace, record.name] = record
        self._index(table, None, record)
        self.resource_version = max(self.resource_version, version)

    def clear(self) -> None:
        self._tables.clear()
        self._sorted.clear()
        self._owned.clear()
        self.history.clear()

    def _index(self, table: Table, before: StoredObject | None, after: StoredObject | None) -> None:
        self._sorted.pop(table, None)
        for uid in before.owners if before else ():
            self._owned.get(uid, set()).discard((table, before.namespace, before.name))  # type: ignore[union-attr]
        for uid in after.owners if after else ():
            self._owned.setdefault(uid, set()).add((table, after.namespace, after.name))  # type: ignore[union-attr]

    def compact(self) -> None:
        """Forgets what happened so far: no watch begins earlier, and no page is of then."""
        self.compacted = self.resource_version
        self.history.clear()

    @property
    def oldest(self) -> int:
        """The resource version from which on all events are known."""
        full = len(self.history) == self.history.maxlen
        return max(self.compacted, self.history[0].resource_version - 1 if full else 0)

    def _publish(self, event: Event) -> None:
        self.history.append(event)
        for listener in tuple(self.listeners):
            listener(event)


def make_record(obj: Object, resource_version: int) -> StoredObject:
    """Kind and version come first in the bytes, so that a LIST can leave them out."""
    metadata = obj["metadata"]
    return StoredObject(
        metadata.get("namespace") or "",
        metadata["name"],
        metadata["uid"],
        resource_version,
        obj["apiVersion"],
        metadata.get("labels") or {},
        tuple(owner["uid"] for owner in metadata.get("ownerReferences") or ()),
        orjson.dumps({"kind": obj["kind"], "apiVersion": obj["apiVersion"], **obj}),
    )
