"""The register's value as a JSON document, and a copy of it as one seat's object."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson
from msgspec import Struct, ValidationError, convert, field, to_builtins

from reconciler.api.errors import ReconcileError
from reconciler.api.objects import Object, map_of, read_in_threads
from reconciler.seats.protocol import Ballot, Configuration, Copy, Watermark

FORMAT = 1
MAX_BYTES = 900_000
"""Of a document; an object holds 1 MiB, and a copy's own fields and the look beside it."""
MAX_VOTES_BYTES = 60_000
CHANGES_KEPT = 64
"""So many changes back it can be told whether one was carried out."""

COPY, DOCUMENT, LOOK = "copy", "document", "look"


class RegisterDocument(Struct, frozen=True):
    """The value. ``version`` counts the changes; ``lock`` and ``memory`` are their owners' own.

    ``changes`` are the names of the last ones, the newest at the end: that of this version. A
    register that was given up is ``dissolved``, and is never changed again.
    """

    version: int = 0
    configuration: Configuration = Configuration()
    lock: Mapping[str, Any] = field(default_factory=dict)
    memory: Mapping[str, Any] = field(default_factory=dict)
    dissolved: bool = False
    changes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<RegisterDocument {self.version}>"


class CopyRecord(Struct, frozen=True):
    """A copy's own fields as they are written. ``digest`` is of them and the document; ``written``
    is when, by the writer's clock (RFC 3339), for people."""

    promised: Ballot
    accepted: Ballot
    incarnation: int
    acknowledged: Mapping[str, Watermark]
    written: str = ""
    digest: str = ""


read_in_threads(CopyRecord, RegisterDocument)


class DamagedCopy(Exception):
    """The object is no copy that this program reads; the text says why."""


def encode_document(document: RegisterDocument) -> bytes:
    """Sorted JSON: equal documents are equal bytes. Raises ReconcileError when it is too large."""
    fields = {"format": FORMAT, **to_builtins(document)}
    text = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
    if len(text) > MAX_BYTES:
        raise ReconcileError(
            f"the register would hold {len(text)} bytes, more than the {MAX_BYTES} it has room for"
        )
    return text


def decode_document(text: bytes) -> RegisterDocument:
    """The inverse of ``encode_document``. Raises DamagedCopy."""
    try:
        fields = orjson.loads(text)
        if not isinstance(fields, dict) or fields.pop("format", None) != FORMAT:
            raise DamagedCopy(f"its document is not of format {FORMAT}")
        return convert(fields, RegisterDocument)
    except (orjson.JSONDecodeError, ValidationError) as error:
        raise DamagedCopy(f"its document cannot be read: {error}") from None


def data_of(copy: Copy, written: str) -> dict[str, str]:
    """The keys of a ConfigMap's data that hold a copy."""
    record = CopyRecord(
        copy.promised, copy.accepted, copy.incarnation, dict(copy.acknowledged), written
    )
    fields = to_builtins(record) | {"digest": _digest(record, copy.value)}
    text = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS).decode()
    return {COPY: text, DOCUMENT: copy.value.decode()}


def copy_of(found: Object) -> Copy:
    """The copy in an object that anybody may have written. Raises DamagedCopy."""
    data = map_of(found.get("data"))
    value = str(data.get(DOCUMENT, "")).encode()
    try:
        record = convert(orjson.loads(str(data.get(COPY, ""))), CopyRecord)
    except (orjson.JSONDecodeError, ValidationError) as error:
        raise DamagedCopy(f"it cannot be read: {error}") from None
    if record.digest != _digest(record, value):
        raise DamagedCopy("it was changed by somebody else: its digest does not fit")
    return Copy(
        record.promised,
        record.accepted,
        decode_document(value).configuration if value else Configuration(),
        value,
        record.incarnation,
        tuple(sorted(record.acknowledged.items())),
    )


def written_at(found: Object) -> str:
    """When a copy was last written by its writer's clock; empty where nobody can tell."""
    try:
        record = orjson.loads(str(map_of(found.get("data")).get(COPY, "")))
    except orjson.JSONDecodeError:
        return ""
    return str(map_of(record).get("written") or "")


def _digest(record: CopyRecord, value: bytes) -> str:
    fields = to_builtins(record)
    fields.pop("digest")
    text = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text + b"\n" + value).hexdigest()
