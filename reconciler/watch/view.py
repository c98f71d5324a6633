"""One LIST kept up to date by the events of a watch. Pure: no clock, no I/O.

The rules are those of the Kubernetes API ("Efficient detection of changes", and KEP-956 for
bookmarks): a watch from the resourceVersion of a LIST tells every later change once, in order.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec
import orjson

from reconciler.api.objects import (
    Object,
    ObjectKey,
    RedactedRepr,
    key_of,
    map_of,
    maps_of,
    read_in_threads,
    without_spare_room,
)
from reconciler.cluster.kstatus import decisive_status
from reconciler.cluster.responses import fault_of

EXPIRED = 410
SHARED_TREES = 1000
"""Different ones of which a list remembers the text."""


class EventType(StrEnum):
    """The types that the API has."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"
    ERROR = "ERROR"


class WatchEvent(RedactedRepr, frozen=True):
    """One line of a watch. ``object`` is a Status where the type is ERROR."""

    type: EventType
    object: dict[str, Any]


read_in_threads(WatchEvent)
_DECODER = msgspec.json.Decoder(WatchEvent)


class OutOfStep(Exception):
    """The view can no longer be told from events, and must be listed anew; the text says why.

    ``code`` is the HTTP code of the server's own word; 0: it said nothing.
    """

    def __init__(self, why: str, code: int = 0) -> None:
        super().__init__(why)
        self.code = code


def decode_event(line: bytes) -> WatchEvent:
    """Raises OutOfStep for what is no event."""
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise OutOfStep(f"an event that cannot be read: {error}") from None


class ChangedObject(NamedTuple):
    """``is_urgent``: a run may decide otherwise by it. Else no more than words and times of its
    status are others, as controllers write them again and again."""

    key: ObjectKey
    is_urgent: bool


def _is_urgent(before: Object, after: Object) -> bool:
    if _without_status(before) != _without_status(after):
        return True
    return decisive_status(before) != decisive_status(after)


def _without_status(obj: Object) -> Object:
    """Of ``managedFields``, too, without what was written by way of the status alone."""
    metadata = map_of(obj.get("metadata"))
    entries = maps_of(metadata.get("managedFields"))
    others = {
        "resourceVersion": None,
        "managedFields": [one for one in entries if one.get("subresource") != "status"],
    }
    return {**obj, "status": None, "metadata": {**metadata, **others}}


class View:
    """The objects that a LIST of one resource and selector would give.

    ``version`` is the resourceVersion from which a watch goes on. ``revision`` is this process's
    own count, which goes up with every change of what the objects are: two readings with the same
    revision are of the same objects.
    """

    def __init__(self) -> None:
        self.version = ""
        self.revision = 0
        self._objects: dict[ObjectKey, Object] = {}
        self._keys: list[ObjectKey] | None = None
        self._sorted: list[Object] | None = None
        self._trees: dict[bytes, Object] = {}

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: ObjectKey) -> Object | None:
        """The object of that name; None where there is none."""
        return self._objects.get(key)

    @property
    def objects(self) -> list[Object]:
        """In the order of a LIST: by namespace and name. Not to be changed; the same list while
        nothing changed."""
        if self._keys is None:
            self._keys = sorted(self._objects, key=lambda key: f"{key.namespace}/{key.name}")
        if self._sorted is None:
            self._sorted = [self._objects[key] for key in self._keys]
        return self._sorted

    def list_again(self, items: Iterable[Object], version: str) -> tuple[ObjectKey, ...]:
        """Take over what a LIST gave; which objects were not as believed.

        Of one that is as it was, the former value stays.
        """
        listed = {key_of(item): self._shared(item) for item in items}
        wrong = [key for key in self._objects if key not in listed]
        for key, item in listed.items():
            before = self._objects.get(key)
            if before == item:
                listed[key] = before
            else:
                wrong.append(key)
        self._objects, self.version = listed, version
        self._keys = None
        if wrong:
            self._changed()
        return tuple(wrong)

    def take(self, event: WatchEvent) -> ChangedObject | None:
        """Take one event over; the object that changed, None where none did.

        Raises OutOfStep: then nothing is changed but what events before said.
        """
        if event.type is EventType.ERROR:
            code = event.object.get("code")
            words = str(event.object.get("message") or "the watch ended in an error")
            raise OutOfStep(words[:300], code if isinstance(code, int) else 0)
        metadata = event.object.get("metadata")
        version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
        if not isinstance(version, str) or not version:
            raise OutOfStep("an event without a resourceVersion")
        if event.type is EventType.BOOKMARK:
            self.version = version
            return None
        if fault := fault_of(event.object):
            raise OutOfStep(f"an event with {fault}")
        key = key_of(event.object)
        before = self._objects.get(key)
        self.version = version
        is_urgent = True
        if event.type is EventType.DELETED:
            if before is None:
                return None
            del self._objects[key]
            self._keys = None
        elif before == event.object:
            return None
        else:
            self._objects[key] = self._shared(event.object)
            self._keys = None if before is None else self._keys
            is_urgent = before is None or _is_urgent(before, event.object)
        self._changed()
        return ChangedObject(key, is_urgent)

    def _shared(self, obj: Object) -> Object:
        """The object, which nobody has seen yet, with the trees of fields that others have, too:
        they are half of what an object takes, and most of a kind have the same."""
        for entry in maps_of(obj["metadata"].get("managedFields")):
            if tree := entry.get("fieldsV1"):
                try:
                    text = without_spare_room(orjson.dumps(tree))
                except orjson.JSONEncodeError:
                    # Deeper than it writes.
                    continue
                known = self._trees.get(text)
                if known is not None:
                    entry["fieldsV1"] = known
                    continue
                if len(self._trees) >= SHARED_TREES:
                    # Of objects as they were once, for the most part.
                    self._trees.clear()
                self._trees[text] = tree
        return obj

    def _changed(self) -> None:
        self.revision += 1
        self._sorted = None


class LineSplitter:
    """A stream of bytes in pieces -> whole lines, none longer than ``largest`` bytes."""

    def __init__(self, largest: int) -> None:
        self.largest = largest
        self._rest = bytearray()

    def lines(self, piece: bytes) -> list[bytes]:
        """Those that are whole by now. Raises OutOfStep for one that is too long."""
        if b"\n" not in piece:
            self._rest += piece
            self._check(len(self._rest))
            return []
        first, *others = piece.split(b"\n")
        last = others.pop()
        whole = [bytes(self._rest) + first, *others] if self._rest else [first, *others]
        self._rest = bytearray(last)
        self._check(max(len(self._rest), *map(len, whole)))
        return [line for line in whole if line]

    def _check(self, length: int) -> None:
        if length > self.largest:
            raise OutOfStep(f"an event of more than {self.largest // 1_048_576} MiB")
