"""What is remembered of each apply, so that "unchanged" is known without asking the server.

A record is (H, E, V), digests of:
  H  the exact request;
  E  our Apply entry in the answer's managedFields, with its apiVersion and without its time;
  V  the answer's values at E's paths.
and the UID of the object that answered, as one that was deleted and recreated is another object.
When H, E and V match what is wanted and live now, the same request would change nothing: the
server's answer to it was this very state, and every field that it wrote is as it was. Both sides
of V are the server's own form, so defaults and quantities need no normalising. A stale record
misses; it cannot lie. Digests are keyed, because V of a Secret is made from its values.
"""

from __future__ import annotations

import zlib
from binascii import b2a_base64
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import orjson
from msgspec import Struct
from msgspec.structs import astuple

from reconciler.api.objects import (
    Object,
    ObjectKey,
    RedactedRepr,
    map_of,
    shared_key,
    without_spare_room,
)
from reconciler.cluster.responses import MalformedAnswer
from reconciler.inventory.managed_fields import (
    Fields,
    Reader,
    checked_tree,
    has_missing,
    our_entry,
    reader_of,
)

_DIGEST_BYTES = 15
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class AppliedRecord(Struct, frozen=True, gc=False):
    """Digests as URL-safe base64. All empty: written ahead of an apply that was never confirmed.

    ``api_version`` is the version in which the object was applied and must be read. ``uid`` is
    empty in rows of versions that did not keep it. New columns go last, with a default.
    """

    request: str = ""
    entry: str = ""
    values: str = ""
    api_version: str = ""
    uid: str = ""

    @property
    def confirmed(self) -> bool:
        return bool(self.request)


_FEWEST_COLUMNS = len(ObjectKey._fields) + 4
_MOST_COLUMNS = len(ObjectKey._fields) + len(AppliedRecord.__struct_fields__)
"""Of the rows that are read: older versions wrote no UID, and newer ones may write more."""


def is_recreated_copy(live: Object, record: AppliedRecord | None) -> bool:
    """Whether an object with our marks is a copy of one that we applied.

    Labels and annotations are copied by backups and by people. Our Apply entry is not, and what
    had it taken away is known by its UID.
    """
    return is_copy(our_entry(live) is not None, live["metadata"].get("uid"), record)


def is_copy(has_entry: bool, uid: str | None, record: AppliedRecord | None) -> bool:
    """The same of an object of which only these have been read."""
    if has_entry:
        return False
    if record is None:
        return True
    return record.uid != uid and bool(record.uid or not record.confirmed)


class ParsedEntry(RedactedRepr, frozen=True):
    """Our entry of managedFields: what its digest is made of, and how to ``read`` the values at its
    paths. ``top`` are the fields of the whole object that it has something of; ``plain``: of the
    metadata only labels and annotations."""

    fields: Fields
    canonical: bytes
    read: Reader
    top: tuple[str, ...]
    plain: bool


_PLAIN = frozenset({".", "f:labels", "f:annotations"})


@lru_cache(maxsize=4096)
def parsed_entry(api_version: str | None, fields: bytes) -> ParsedEntry:
    """Of ``fieldsV1`` as JSON. Most objects of a kind share theirs. Raises MalformedAnswer."""
    tree = checked_tree((orjson.loads(fields) if fields else None) or {})
    canonical = without_spare_room(canonical_json([api_version, tree]))
    metadata = tree.get("f:metadata") or {}
    return ParsedEntry(
        tree,
        canonical,
        _reader(canonical),
        tuple(step[2:] for step in tree if step[:2] == "f:"),
        # A path that ends takes all of it.
        not metadata.keys() - _PLAIN and bool(metadata.keys() - {"."}),
    )


class Footprint(Struct, frozen=True):
    """Digests of a live object's state as our apply sees it; ``live`` are the values at the
    entry's ``fields``."""

    entry: str
    values: str
    fields: Fields
    live: Any

    @property
    def has_missing(self) -> bool:
        """Whether the entry owns a path that has no value."""
        return has_missing(self.live)


class Digester:
    """Makes the digests of one inventory, with its key (32 random bytes)."""

    def __init__(self, key: bytes) -> None:
        self._keyed = blake2b(key=key, digest_size=_DIGEST_BYTES)
        # Most objects of a kind share their entry.
        self._entries: dict[bytes, str] = {}

    def of(self, value: Any) -> str:
        """A digest that is equal for equal JSON values, whatever the order of map keys."""
        return self.of_bytes(canonical_json(value))

    def of_bytes(self, data: bytes) -> str:
        """The same of what ``canonical_json`` made of a value."""
        digest = self._keyed.copy()
        digest.update(data)
        return b2a_base64(digest.digest(), newline=False).translate(_URL_SAFE).decode()

    def of_entry(self, entry: ParsedEntry) -> str:
        """E of our entry."""
        return self._of_entry(entry.canonical)

    def _of_entry(self, canonical: bytes) -> str:
        found = self._entries.get(canonical)
        if found is None:
            found = self._entries[canonical] = self.of_bytes(canonical)
        return found

    def footprint(self, live: Object) -> Footprint | None:
        """E and V of a live object, or None when nothing in it was applied by us."""
        entry = our_entry(live)
        if entry is None:
            return None
        fields = entry.get("fieldsV1") or {}
        canonical = without_spare_room(canonical_json([entry.get("apiVersion"), fields]))
        values = _reader(canonical)(live)
        return Footprint(
            entry=self._of_entry(canonical),
            values=self.of(values),
            fields=fields,
            live=values,
        )


def canonical_json(value: Any) -> bytes:
    """Equal for equal JSON values, whatever the order of map keys."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


@lru_cache(maxsize=4096)
def _reader(entry: bytes) -> Reader:
    return reader_of(checked_tree(orjson.loads(entry)[1]))


def encode_rows(rows: Mapping[ObjectKey, AppliedRecord]) -> bytes:
    """Rows as sorted, compressed lines; the same rows give the same bytes."""
    lines = ["\t".join((*key, *astuple(rows[key]))) for key in sorted(rows)]
    return zlib.compress("\n".join(lines).encode(), 6)


def decode_rows(data: bytes) -> dict[ObjectKey, AppliedRecord]:
    """The inverse of ``encode_rows``. Raises ValueError for anything else."""
    try:
        text = _inflate(data).decode()
    except (zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"damaged inventory records: {error}") from None
    rows = {}
    # Kinds, namespaces and entries are few.
    same: dict[str, str] = {}
    one = same.setdefault
    for line in text.split("\n") if text else ():
        parts = line.split("\t")
        if len(parts) < _FEWEST_COLUMNS:
            raise ValueError("damaged inventory records: a row of the wrong length")
        group, kind, namespace, name, request, entry, values, version, *uid = parts[:_MOST_COLUMNS]
        key = ObjectKey(one(group, group), one(kind, kind), one(namespace, namespace), name)
        key = shared_key(key)
        rows[key] = AppliedRecord(request, one(entry, entry), values, one(version, version), *uid)
    return rows


def encode_fields(fields: Mapping[str, Fields]) -> bytes:
    """The entries' field trees by E; many objects share one."""
    return zlib.compress(orjson.dumps(dict(fields), option=orjson.OPT_SORT_KEYS), 6)


def decode_fields(data: bytes) -> dict[str, Fields]:
    """The inverse of ``encode_fields``; damaged data is as good as none."""
    try:
        decoded = map_of(orjson.loads(_inflate(data)))
        return {entry: checked_tree(tree) for entry, tree in decoded.items()}
    except (zlib.error, ValueError, MalformedAnswer):
        return {}


def used_fields(rows: Iterable[AppliedRecord], fields: Mapping[str, Fields]) -> dict[str, Fields]:
    """Only those field trees that some row still points to."""
    return {row.entry: fields[row.entry] for row in rows if row.entry in fields}


def _inflate(data: bytes) -> bytes:
    # A Secret holds at most 1 MiB, which could still inflate to a gigabyte.
    decompressor = zlib.decompressobj()
    content = decompressor.decompress(data, 64 * 1024 * 1024)
    if not decompressor.eof:
        raise ValueError("damaged inventory records: cut short, or too large")
    return content
