"""One change, carried out in one member."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from reconciler.cluster.answers import understanding
from reconciler.cluster.member import FIELD_MANAGER, Member
from reconciler.cluster.resources import Resource
from reconciler.errors import (
    ApiError,
    ClusterError,
    ClusterUnauthorized,
    ClusterUnreachable,
    Conflict,
    LeaseLost,
)
from reconciler.inventory.applyset import IDENTITY, PART_OF, is_member
from reconciler.inventory.ownership import Fields
from reconciler.inventory.records import Digester, Record
from reconciler.objects import Object
from reconciler.planning.comparing import request_digest
from reconciler.planning.fields import changed_fields
from reconciler.planning.plan import Action, Change, Outcome
from reconciler.planning.redaction import refusal_words

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
        text = refusal_words(error, change.hidden, change.request, change.live)
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
    body = _request(change)
    if change.take_over:
        _fold_managers(member, resource, change)
    live = member.apply(resource, change.key, body, force=change.force)
    footprint = digester.footprint(live)
    if footprint is not None and footprint.has_missing:
        # Server-side apply is not always idempotent: an empty struct may leave a field owned but
        # absent, which a second apply adds. Only an answer that stands may be recorded.
        again = member.apply(resource, change.key, body, force=change.force, dry_run=True)
        if changed_fields(live, again):
            live = member.apply(resource, change.key, body, force=change.force)
            footprint = digester.footprint(live)
    if footprint is None:
        return Record(api_version=change.api_version), None, ""
    record = Record(
        request_digest(digester, body), footprint.entry, footprint.values, change.api_version
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


def _fold_managers(member: Member, resource: Resource, change: Change) -> None:
    """Make what ``kubectl apply`` and the like set ours, so that it can be removed later.

    A field that only such a manager owns would otherwise survive its removal from Git for ever.
    Their entries are merged into one Apply entry of ours, under the object's resourceVersion.
    """
    live = member.get(resource, change.key)
    if live is None:
        return
    entries = live["metadata"].get("managedFields") or []
    merged = merge_managers(entries, change.take_over)
    if merged == entries:
        return
    operations: list[dict[str, Any]] = [
        {
            "op": "test",
            "path": "/metadata/resourceVersion",
            "value": live["metadata"]["resourceVersion"],
        },
        {"op": "replace", "path": "/metadata/managedFields", "value": merged},
    ]
    try:
        member.json_patch(resource, change.key, operations)
    except ApiError as error:
        # Losing this race costs cleanliness, not correctness: the apply itself decides.
        if not isinstance(error, Conflict):
            raise


def merge_managers(entries: Sequence[Object], patterns: Sequence[str]) -> list[Object]:
    """managedFields in which the named managers' entries are part of our Apply entry. Pure.

    Entries for a subresource (status, scale) stay as they are: they are not ours to set.
    """

    def is_taken(entry: Object) -> bool:
        name = str(entry.get("manager", ""))
        ours = name == FIELD_MANAGER and entry.get("operation") == "Apply"
        known = any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
        return not entry.get("subresource") and (ours or known)

    taken = [entry for entry in entries if is_taken(entry)]
    if not taken or (len(taken) == 1 and taken[0].get("manager") == FIELD_MANAGER):
        return list(entries)
    fields: Fields = {}
    for entry in taken:
        fields = _union(fields, entry.get("fieldsV1") or {})
    ours = {
        **taken[-1],
        "manager": FIELD_MANAGER,
        "operation": "Apply",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    return [entry for entry in entries if not is_taken(entry)] + [ours]


def _union(one: Fields, other: Fields) -> Fields:
    return {
        step: _union(one.get(step, {}), other.get(step, {}))
        for step in dict.fromkeys([*one, *other])
    }


def _request(change: Change) -> Object:
    if change.request is None:
        raise ValueError(f"{change.key}: a {change.action} without a request")
    return change.request


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
