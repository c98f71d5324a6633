"""One change, carried out in one member."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from reconciler.cluster.answers import understanding
from reconciler.cluster.member import Member
from reconciler.cluster.resources import Resource
from reconciler.errors import (
    ClusterError,
    ClusterUnauthorized,
    ClusterUnreachable,
    Conflict,
    LeaseLost,
)
from reconciler.inventory.applyset import IDENTITY, PART_OF, is_member
from reconciler.inventory.ownership import (
    Fields,
    claimed,
    disowned,
    entries_of,
    fields_of,
    is_ours,
)
from reconciler.inventory.records import Digester, Record
from reconciler.objects import Object
from reconciler.planning.comparing import request_digest
from reconciler.planning.fields import changed_fields
from reconciler.planning.plan import Action, Change, FieldChange, Outcome
from reconciler.planning.redaction import redact_fields, redact_message

DELETION_TIMEOUT_SECONDS = 60.0
DELETION_POLL_SECONDS = 0.25


class Written(Struct, frozen=True):
    """The outcome, and the record to keep (None: nothing to remember, or no longer ours).

    ``lost`` says that the member itself cannot be reached any more, so that the rest can be spared.
    """

    outcome: Outcome
    record: Record | None = None
    fields: Fields | None = None
    lost: str = ""


def write(
    member: Member, resource: Resource, change: Change, applyset: str, digester: Digester
) -> Written:
    """Carry out ``change``. Refusals become a failed outcome; LeaseLost is raised."""
    started = time.monotonic()
    try:
        with understanding(member.name):
            record, fields, message = _VERBS[change.action](
                member, resource, change, applyset, digester
            )
    except LeaseLost:
        raise
    except ClusterError as error:
        text = redact_message(change.key, str(error), change.request)
        gone = isinstance(error, ClusterUnreachable | ClusterUnauthorized)
        outcome = _outcome(member, change, "failed", text, started)
        return Written(outcome, lost=text if gone else "")
    return Written(_outcome(member, change, "done", message, started), record, fields)


def _outcome(member: Member, change: Change, status: Any, message: str, started: float) -> Outcome:
    seconds = round(time.monotonic() - started, 3)
    return Outcome(member.name, change.action, change.key, status, message, seconds)


_Result = tuple[Record | None, Fields | None, str]


def _apply(
    member: Member, resource: Resource, change: Change, applyset: str, digester: Digester
) -> _Result:
    del applyset
    body = _for_that_object(change)
    if change.claim:
        _claim(member, resource, change)
    live = member.apply(resource, change.key, body, force=change.force)
    if change.take_over:
        live = _make_ours_alone(member, resource, change, live)
    footprint = digester.footprint(live)
    if footprint is not None and footprint.has_missing:
        # Server-side apply is not always idempotent: an empty struct may leave a field owned but
        # absent, which a second apply adds. Only an answer that stands may be recorded.
        again = member.apply(resource, change.key, body, force=change.force, dry_run=True)
        if changed_fields(live, again):
            live = member.apply(resource, change.key, body, force=change.force)
            footprint = digester.footprint(live)
    uid = str(live["metadata"].get("uid", ""))
    if footprint is None:
        return Record(api_version=change.api_version, uid=uid), None, ""
    record = Record(
        request_digest(digester, _request(change)),
        footprint.entry,
        footprint.values,
        change.api_version,
        uid,
    )
    return record, footprint.fields, ""


def _recreate(
    member: Member, resource: Resource, change: Change, applyset: str, digester: Digester
) -> _Result:
    member.delete(resource, change.key, uid=change.uid)
    _wait_until_gone(member, resource, change)
    return _apply(member, resource, change, applyset, digester)


def _wait_until_gone(member: Member, resource: Resource, change: Change) -> None:
    give_up = time.monotonic() + DELETION_TIMEOUT_SECONDS
    while time.monotonic() < give_up:
        live = member.get(resource, change.key)
        if live is None or live["metadata"].get("uid") != change.uid:
            return
        time.sleep(DELETION_POLL_SECONDS)
    raise ClusterError(
        member.name,
        f"still terminating after {DELETION_TIMEOUT_SECONDS:.0f} s; it is created by a later run",
        hint="look for finalizers that nobody removes",
    )


def _prune(
    member: Member, resource: Resource, change: Change, applyset: str, digester: Digester
) -> _Result:
    """Delete the very object that was planned; one that changed meanwhile is looked at again.

    Status updates move resourceVersion all the time, so a mismatch is no reason to give up as long
    as the object is the same one (UID) and still ours.
    """
    del digester
    version = change.resource_version
    for _ in range(5):
        try:
            existed = member.delete(
                resource,
                change.key,
                uid=change.uid,
                resource_version=version,
                propagation=change.propagation,
            )
            return None, None, "" if existed else "was gone already"
        except Conflict:
            live = member.get(resource, change.key)
            if live is None:
                return None, None, "was gone already"
            if live["metadata"].get("uid") != change.uid or not is_member(live, applyset):
                raise
            version = str(live["metadata"].get("resourceVersion", ""))
    raise ClusterError(
        member.name, "changes too fast to be deleted safely; a later run tries again"
    )


def _orphan(
    member: Member, resource: Resource, change: Change, applyset: str, digester: Digester
) -> _Result:
    """Take our marks off and let go: the object stays as it is."""
    del digester
    live = member.get(resource, change.key)
    if live is None:
        return None, None, "was gone already"
    metadata = live["metadata"]
    if metadata.get("uid") != change.uid or not is_member(live, applyset):
        return None, None, "is no longer ours"
    operations = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
        {"op": "remove", "path": f"/metadata/labels/{_escape(PART_OF)}"},
        {"op": "remove", "path": f"/metadata/annotations/{_escape(IDENTITY)}"},
    ]
    member.json_patch(resource, change.key, operations)
    return None, None, ""


_VERBS: dict[Action, Callable[[Member, Resource, Change, str, Digester], _Result]] = {
    Action.CREATE: _apply,
    Action.UPDATE: _apply,
    Action.ADOPT: _apply,
    Action.RECREATE: _recreate,
    Action.PRUNE: _prune,
    Action.ORPHAN: _orphan,
}


def _claim(member: Member, resource: Resource, change: Change) -> None:
    """Make ours what is to go with the apply, and see that the apply then does what was planned.

    Raises ClusterError where it would not; nothing but ownership has been written then.
    """
    before: list[Object] = []

    def entries(live: Object) -> list[Object]:
        before[:] = [live]
        known = entries_of(live)
        return claimed(known, change.take_over, dict(change.claim), change.api_version)

    _rewrite_entries(member, resource, change, entries)
    body, key = _for_that_object(change), change.key
    after = member.apply(resource, key, body, force=change.force, dry_run=True)
    fields = redact_fields(key, changed_fields(before[0], after))
    if differing := _values(fields) ^ _values(change.fields):
        paths = sorted({path for path, _, _ in differing})
        raise ClusterError(
            member.name,
            f"it would not become what was planned any more ({', '.join(paths)}); left as it is",
            hint="run again",
        )


def _values(fields: Sequence[FieldChange]) -> set[tuple[str, str, str]]:
    return {(f.path, repr(f.before), repr(f.after)) for f in fields}


def _make_ours_alone(member: Member, resource: Resource, change: Change, live: Object) -> Object:
    """End the part of former managers in what is ours: it shall go when it leaves Git."""

    def entries(now: Object) -> list[Object]:
        known = entries_of(now)
        ours = fields_of(filter(is_ours, known))
        return disowned(known, change.take_over, ours, change.api_version)

    return _rewrite_entries(member, resource, change, entries, live)


def _rewrite_entries(
    member: Member,
    resource: Resource,
    change: Change,
    entries: Callable[[Object], list[Object]],
    live: Object | None = None,
) -> Object:
    """Replace managedFields of the very object that was planned for, in the state it is in."""
    for _ in range(5):
        live = live or member.get(resource, change.key)
        if live is None or live["metadata"].get("uid") != change.uid:
            break
        wanted = entries(live)
        if wanted == entries_of(live):
            return live
        version = live["metadata"].get("resourceVersion")
        operations: list[dict[str, Any]] = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
            {"op": "add", "path": "/metadata/managedFields", "value": wanted},
        ]
        try:
            return member.json_patch(resource, change.key, operations)
        except Conflict:
            live = None
    raise ClusterError(
        member.name, "was changed or made anew since it was planned", hint="run again"
    )


def _for_that_object(change: Change) -> Object:
    """The request with the UID of the object that was looked at: the server refuses it for another
    of its name, and where there is none by now."""
    body = _request(change)
    if change.action not in (Action.UPDATE, Action.ADOPT):
        return body
    return {**body, "metadata": {**body["metadata"], "uid": change.uid}}


def _request(change: Change) -> Object:
    if change.request is None:
        raise ValueError(f"{change.key}: a {change.action} without a request")
    return change.request


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
