"""What an API server's answer must look like before anybody works with it.

A member may be broken, or hostile. Its nonsense is its own trouble: it becomes an error of that
cluster, and the others go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import orjson

from reconciler.api.errors import ClusterUnreachable
from reconciler.api.objects import Object, RedactedRepr


class MalformedAnswer(Exception):
    """A part of an answer is not of the shape that it must have; ``str`` says what it is. Raised
    by those who read that part, and know neither cluster nor request."""


_DEEP = "JSON that is nested too deeply"
_UNREADABLE: tuple[tuple[type[Exception], str, str], ...] = (
    (MalformedAnswer, "", ""),
    (orjson.JSONDecodeError, "", "something that is not JSON"),
    # Its words name types and places, never a value.
    (msgspec.ValidationError, "", ""),
    # orjson writes 254 levels, and Python walks a thousand; neither is a fault of ours.
    (orjson.JSONEncodeError, "Recursion limit reached", _DEEP),
    (RecursionError, "", _DEEP),
)
"""What reading an answer is known to raise: the error, words that it must have, and what the answer
is then (empty: the error's own words). Everything else is a defect of this program, and goes on."""


def unexpected_answer(cluster: str, what: str) -> ClusterUnreachable:
    """The error for an answer that is ``what``."""
    return ClusterUnreachable(
        cluster, f"the server answered {what}; is this address an API server's?", cause="protocol"
    )


def fault_of(obj: Any) -> str:
    """What makes a value no Kubernetes object; empty: it may be one.

    Only what every kind has is looked at.
    """
    metadata = obj.get("metadata") if isinstance(obj, dict) else None
    if not isinstance(metadata, dict):
        return "an object without metadata"
    name = metadata.get("name")
    if not isinstance(name, str) or not name:
        return "an object without a name"
    for part in ("namespace", "uid", "resourceVersion"):
        if not isinstance(metadata.get(part) or "", str):
            return f"an object whose {part} is no text"
    for part in ("labels", "annotations"):
        entries = metadata.get(part)
        if entries is not None and not _are_texts(entries):
            return f"an object whose {part} are no texts"
    managers = metadata.get("managedFields")
    if managers is not None and not (isinstance(managers, list) and all(map(_is_entry, managers))):
        return "an object with damaged managedFields"
    return ""


def _is_entry(entry: Any) -> bool:
    """The tree of fields in it is looked at where it is read: most are not."""
    return (
        isinstance(entry, dict)
        and _TEXTS.issuperset(map(type, map(entry.get, _OF_AN_ENTRY)))
        and isinstance(entry.get("fieldsV1") or {}, dict)
    )


_OF_AN_ENTRY = ("manager", "operation", "apiVersion", "subresource", "time")
_TEXTS = frozenset({str, type(None)})


def _are_texts(entries: Any) -> bool:
    # JSON gives no subclasses, and this is done for each object of each LIST.
    return isinstance(entries, dict) and set(map(type, entries.values())) <= {str}


@contextmanager
def reading_answers(cluster: str) -> Iterator[None]:
    """What a cluster answered is worked with inside. Raises ClusterUnreachable for what is known
    to be raised of an answer without sense; whatever else is raised goes on."""
    try:
        yield
    except tuple(known for known, _, _ in _UNREADABLE) as error:
        for known, words, what in _UNREADABLE:
            if isinstance(error, known) and words in str(error):
                raise unexpected_answer(cluster, what or str(error)) from error
        raise


def document_of(cluster: str, body: bytes) -> Object:
    """The JSON object that an answer is. Raises ClusterUnreachable where it is none."""
    with reading_answers(cluster):
        document = orjson.loads(body)
    if not isinstance(document, dict):
        raise unexpected_answer(cluster, "JSON that is not an object")
    return document


class _ListMeta(msgspec.Struct, frozen=True):
    version: str | None = msgspec.field(default=None, name="resourceVersion")
    token: str | None = msgspec.field(default=None, name="continue")


class _List(msgspec.Struct, frozen=True):
    metadata: _ListMeta | None = None
    items: list[msgspec.Raw] | msgspec.UnsetType | None = msgspec.UNSET


_LIST = msgspec.json.Decoder(_List)


class ListPage(RedactedRepr, frozen=True):
    """A page of a LIST: its objects, each as JSON, the state of the server that it is of, and the
    token of the next page; empty: it is the last one."""

    items: list[msgspec.Raw]
    version: str
    token: str


def page_of(cluster: str, body: bytes) -> ListPage:
    """The page that an answer is. Raises ClusterUnreachable where it is none."""
    try:
        found = _LIST.decode(body)
    except (msgspec.DecodeError, RecursionError):
        document_of(cluster, body)
        raise unexpected_answer(cluster, "a list without items") from None
    # An empty one has them as well, though perhaps as null.
    if found.items is msgspec.UNSET:
        raise unexpected_answer(cluster, "a list without items")
    metadata = found.metadata or _ListMeta()
    return ListPage(found.items or [], metadata.version or "", metadata.token or "")
