"""Get, list and watch."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import replace

import orjson

from kubesim import selectors, statuses
from kubesim.bodies import RequestTarget
from kubesim.kinds import Resource
from kubesim.messages import Request, Response
from kubesim.objects import Object
from kubesim.server import DEFINITIONS, ApiServer
from kubesim.store import Event, StoredObject
from kubesim.writes import require

_PARTIAL = "as=PartialObjectMetadata"


def _metadata_only(request: Request) -> bool:
    accept = request.headers.get("accept", "")
    return _PARTIAL in accept


def _partial(raw: bytes) -> bytes:
    obj = orjson.loads(raw)
    return orjson.dumps(
        {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": obj["metadata"],
        }
    )


def get(server: ApiServer, request: Request, target: RequestTarget) -> Response:
    """One object, or its metadata alone. Raises Refusal (404)."""
    record = require(server, target)
    raw = server.raw(record, target.resource)
    return Response(200, _partial(raw) if _metadata_only(request) else raw)


Filter = Callable[[StoredObject], bool]


def selection(request: Request, resource: Resource) -> Filter | None:
    """What labelSelector and fieldSelector let through. Raises Refusal (400)."""
    by_labels = selectors.parse_labels(request.query.get("labelSelector", ""))
    by_fields = selectors.parse_fields(request.query.get("fieldSelector", ""), resource.table)
    if by_labels is None and by_fields is None:
        return None

    def matches(record: StoredObject) -> bool:
        if by_labels is not None and not by_labels(record.labels):
            return False
        return by_fields is None or by_fields(record.namespace, record.name, lambda: record.obj)

    return matches


def list_objects(server: ApiServer, request: Request, target: RequestTarget) -> Response:
    """A LIST: selected, in pages if asked. Raises Refusal (400)."""
    resource = target.resource
    wanted = selection(request, resource)
    limit = _number(request.query.get("limit", ""))
    token = request.query.get("continue")
    version, after = _continued(token) if token else (_NOW, ("", ""))
    records: list[StoredObject] | None
    if version == _NOW:
        version = server.store.resource_version
        records = server.store.records(resource.table, target.namespace)
    else:
        # All pages are of the state that the first one was of.
        records = server.store.records_at(resource.table, target.namespace, version)
    if records is None:
        raise statuses.expired_page(_token(_NOW, after))
    if wanted is not None:
        records = [record for record in records if wanted(record)]
    metadata: Object = {"resourceVersion": str(version)}
    if token:
        records = [record for record in records if (record.namespace, record.name) > after]
    if limit and len(records) > limit:
        last = records[limit - 1]
        metadata["continue"] = _token(version, (last.namespace, last.name))
        if wanted is None:
            metadata["remainingItemCount"] = len(records) - limit
        records = records[:limit]
    partial = _metadata_only(request)
    if partial:
        kind, api_version = "PartialObjectMetadataList", "meta.k8s.io/v1"
        items = [_partial(server.raw(record, resource)) for record in records]
    else:
        kind, api_version = resource.list_kind, resource.api_version
        items = [server.raw(record, resource) for record in records]
        if not resource.custom:
            # The items of a built-in list do not repeat their kind.
            start = len(orjson.dumps({"kind": resource.kind, "apiVersion": api_version})) - 1
            items = [b"{" + raw[start + 1 :] for raw in items]
    head = orjson.dumps({"kind": kind, "apiVersion": api_version, "metadata": metadata})
    return Response(200, b'%b,"items":[%b]}' % (head[:-1], b",".join(items)))


def _number(text: str) -> int:
    if not text:
        return 0
    try:
        return int(text)
    except ValueError as error:
        message = f'strconv.ParseInt: parsing "{text}": invalid syntax'
        raise statuses.bad_request(message) from error


_NOW = -1
"""The version of a token that goes on with what there is by then, whatever the first pages had."""


def _token(version: int, last: tuple[str, str]) -> str:
    start = {"v": "meta.k8s.io/v1", "rv": version, "start": "/".join(last)}
    return base64.urlsafe_b64encode(orjson.dumps(start)).decode().rstrip("=")


def _continued(token: str) -> tuple[int, tuple[str, str]]:
    try:
        decoded = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        namespace, _, name = decoded["start"].partition("/")
        return int(decoded["rv"]), (namespace, name)
    except (ValueError, binascii.Error, KeyError, TypeError) as error:
        raise statuses.bad_request(
            f"invalid continue token: continue key is not valid: {error}"
        ) from error


def _watched_since(text: str) -> int:
    try:
        return _number(text)
    except statuses.Refusal:
        fault = f'strconv.ParseUint: parsing "{text}": invalid syntax'
        message = f'resourceVersion: Invalid value: "{text}": {fault}'
        raise statuses.Refusal(500, "", message) from None


def _is_another(event: Event) -> bool:
    """Whether a definition says something else than before."""
    before, now = event.previous, event.record
    return event.kind == "DELETED" or not before or before.obj["spec"] != now.obj["spec"]


def _numbered(former: StoredObject, now: StoredObject) -> StoredObject:
    obj = former.obj
    obj["metadata"]["resourceVersion"] = str(now.resource_version)
    return replace(former, resource_version=now.resource_version, raw=orjson.dumps(obj))


def watch(server: ApiServer, request: Request, target: RequestTarget) -> Response:
    """Events since ``resourceVersion``, then as they come, until ``timeoutSeconds``."""
    resource = target.resource
    wanted = selection(request, resource)
    since = _watched_since(request.query.get("resourceVersion", ""))
    partial = _metadata_only(request)
    if since and since < server.store.oldest:
        gone = statuses.expired(f"too old resource version: {since} ({server.store.oldest})")
        return Response(
            200, stream=lambda send: _told(send, {"type": "ERROR", "object": gone.body})
        )

    def line(kind: str, record: StoredObject) -> bytes:
        raw = server.raw(record, resource)
        return b'{"type":"%b","object":%b}\n' % (kind.encode(), _partial(raw) if partial else raw)

    def report(event: Event) -> bytes | None:
        record = event.record
        if event.table != resource.table:
            return None
        if target.namespace and record.namespace != target.namespace:
            return None
        if target.name and record.name != target.name:
            return None
        if wanted is None or event.kind == "DELETED":
            if wanted is not None and not wanted(record):
                return None
            return line(event.kind, record)
        previous = event.previous if event.previous and wanted(event.previous) else None
        if wanted(record):
            return line("MODIFIED" if previous else "ADDED", record)
        # It left the selection: as it was in it, with the version of now.
        return line("DELETED", _numbered(previous, record)) if previous else None

    own_definition = f"{resource.table[1]}.{resource.table[0]}"
    moved_on = False

    def stream(send: Callable[[bytes], None]) -> Callable[[], None]:
        initial = request.flag("sendInitialEvents")
        if since and not initial:
            past = [event for event in server.store.history if event.resource_version > since]
            lines = [text for event in past if (text := report(event))]
        else:
            found = server.store.records(resource.table, target.namespace)
            lines = [
                line("ADDED", record)
                for record in found
                if (wanted is None or wanted(record))
                and (not target.name or record.name == target.name)
            ]
        if initial:
            lines.append(_bookmark(server, resource, partial, first=True))
        if lines:
            send(b"".join(lines))

        def listener(event: Event) -> None:
            nonlocal moved_on
            moved_on = moved_on or event.table == resource.table
            if text := report(event):
                send(text)
            its_own = event.table == DEFINITIONS and event.record.name == own_definition
            if its_own and _is_another(event):
                # What there is may read otherwise by now.
                send(b"")

        server.store.listeners.append(listener)

        def cancel() -> None:
            if listener in server.store.listeners:
                server.store.listeners.remove(listener)

        return cancel

    def bookmark() -> bytes:
        with server.lock:
            return _bookmark(server, resource, partial)

    bookmarks = bookmark if request.flag("allowWatchBookmarks") else None
    return Response(200, stream=stream, bookmark=bookmarks, moved_on=lambda: moved_on)


def _told(send: Callable[[bytes], None], event: Object) -> Callable[[], None]:
    """One event, after which nothing comes."""
    send(orjson.dumps(event) + b"\n")
    return lambda: None


def _bookmark(
    server: ApiServer, resource: Resource, partial: bool, *, first: bool = False
) -> bytes:
    """How far a watch is; ``first``: the end of the initial events of a streamed list."""
    metadata: Object = {"resourceVersion": str(server.store.resource_version)}
    if first:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    obj = {
        "kind": "PartialObjectMetadata" if partial else resource.kind,
        "apiVersion": "meta.k8s.io/v1" if partial else resource.api_version,
        "metadata": metadata,
    }
    return orjson.dumps({"type": "BOOKMARK", "object": obj}) + b"\n"
