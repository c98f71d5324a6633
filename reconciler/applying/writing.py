"""One change, carried out in one member."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from reconciler.cluster.answers import understanding
from reconciler.cluster.hearing import about
from reconciler.cluster.member import Member
from reconciler.cluster.resources import Resource
from reconciler.errors import (
    ClusterError,
    ClusterUnauthorized,
    ClusterUnreachable,
    Conflict,
    LeaseLost,
)
from reconciler.federation.overrides import join_pointer
from reconciler.inventory.applyset import IDENTITY
from reconciler.inventory.ownership import (
    Fields,
    claimed,
    disowned,
    entries_of,
    fields_of,
    is_ours,
)
from reconciler.inventory.records import Digester, Record
from reconciler.manifests.marks import PART_OF
from reconciler.objects import Object
from reconciler.planning.comparing import request_digest
from reconciler.planning.custom_kinds import moved_on
from reconciler.planning.fields import changed_fields
from reconciler.planning.ignored import disowning, held, left_out
from reconciler.planning.plan import CHOSEN, Action, Change, FieldChange, Outcome
from reconciler.planning.pruning import deletion_words, is_going
from reconciler.planning.redaction import mask, refusal_words
from reconciler.planning.requests import with_running_replicas
from reconciler.planning.trials import try_as_new

DELETION_TIMEOUT_SECONDS = 60.0
DELETION_POLL_SECONDS = 0.25
REWRITE_TRIES = 10
_REPLICAS: Fields = {"f:spec": {"f:replicas": {}}}


Otherwise = Callable[[Object], str]
"""Why an object that was written to since the plan must not go; empty: it may."""


class Written(Struct, frozen=True):
    """The outcome, and the record to keep (None: nothing to remember, or no longer ours).

    ``lost`` says that the member itself cannot be reached any more, so that the rest can be spared.
    """

    outcome: Outcome
    record: Record | None = None
    fields: Fields | None = None
    lost: str = ""


def write(
    member: Member,
    resource: Resource,
    change: Change,
    otherwise: Otherwise,
    digester: Digester,
) -> Written:
    """Carry out ``change``. Refusals become a failed outcome; LeaseLost is raised."""
    started = time.monotonic()
    try:
        with understanding(member.name), about(change.key):
            record, fields, message = _VERBS[change.action](
                member, resource, change, otherwise, digester
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
    member: Member, resource: Resource, change: Change, otherwise: Otherwise, digester: Digester
) -> _Result:
    del otherwise
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
    settled = _request(change)
    if change.ignored:
        live = _leave_to_others(member, resource, change, live)
        settled = left_out(settled, live, change.ignored, owned=False)
        footprint = digester.footprint(live)
    uid = str(live["metadata"].get("uid", ""))
    if footprint is None:
        return Record(api_version=change.api_version, uid=uid), None, ""
    record = Record(
        request_digest(digester, settled),
        footprint.entry,
        footprint.values,
        change.api_version,
        uid,
    )
    return record, footprint.fields, ""


def _leave_to_others(member: Member, resource: Resource, change: Change, live: Object) -> Object:
    """Disown what is left to others: as ours, the next apply without it would take it away."""

    def entries(now: Object) -> list[Object]:
        return disowning(entries_of(now), held(now, change.ignored))

    uid = str(live["metadata"].get("uid", ""))
    left = _rewrite_entries(member, resource, change, uid, entries, live)
    if left is None:
        text = "was written; what spec.ignore leaves to others is still ours"
        raise ClusterError(member.name, text, hint="run again")
    return left


def _recreate(
    member: Member, resource: Resource, change: Change, otherwise: Otherwise, digester: Digester
) -> _Result:
    # What refuses the new one since the plan must be known before the old one is gone.
    try_as_new(member, resource, _request(change), change.key.namespace, change.live)
    _delete(member, resource, change, otherwise)
    _wait_until_gone(member, resource, change)
    if change.replicas is not None:
        _start_with_replicas(member, resource, change)
    return _apply(member, resource, change, otherwise, digester)


def _delete(
    member: Member, resource: Resource, change: Change, otherwise: Otherwise
) -> Object | None:
    return member.delete_as_decided(
        resource,
        change.key,
        otherwise,
        uid=change.uid,
        resource_version=change.resource_version,
        propagation=change.propagation,
    )


def _start_with_replicas(member: Member, resource: Resource, change: Change) -> None:
    """Create the workload with as many replicas as ran, and disown the field.

    As ours, the next apply without it would set the field back to one; owned by nobody it stands
    until whoever scales the workload writes it.
    """
    first, _ = with_running_replicas(_request(change), change.live or {})
    live = member.apply(resource, change.key, first, force=change.force)
    uid = str(live["metadata"]["uid"])

    def entries(now: Object) -> list[Object]:
        return disowning(entries_of(now), _REPLICAS)

    if _rewrite_entries(member, resource, change, uid, entries, live) is None:
        raise ClusterError(
            member.name,
            f"was made with {change.replicas} replicas as before, which could not be left to "
            "others",
            hint="run again",
        )


def _wait_until_gone(member: Member, resource: Resource, change: Change) -> None:
    give_up = time.monotonic() + DELETION_TIMEOUT_SECONDS
    words = ""
    while time.monotonic() < give_up:
        live = member.get(resource, change.key)
        if live is None:
            return
        words = deletion_words(live)
        if live["metadata"].get("uid") != change.uid:
            raise ClusterError(
                member.name,
                "was deleted, and somebody else made it anew meanwhile",
                hint="run again: it is adopted, or refused, as spec.adoption says",
            )
        time.sleep(DELETION_POLL_SECONDS)
    raise ClusterError(
        member.name,
        f"still there after {DELETION_TIMEOUT_SECONDS:.0f} s: {words}; it is made by a later run",
        hint="look for finalizers that nobody removes",
    )


def _prune(
    member: Member, resource: Resource, change: Change, otherwise: Otherwise, digester: Digester
) -> _Result:
    del digester
    deleted = _delete(member, resource, change, otherwise)
    if deleted is None:
        return None, None, "was gone already"
    # Foreground deletion and Namespaces end by themselves.
    waits = set(deleted["metadata"].get("finalizers") or ()) - {"foregroundDeletion", "orphan"}
    return None, None, deletion_words(deleted) if waits and is_going(deleted) else ""


def _orphan(
    member: Member, resource: Resource, change: Change, otherwise: Otherwise, digester: Digester
) -> _Result:
    """Take our marks off and let go: the object stays as it is."""
    del digester
    live = member.get(resource, change.key)
    if live is None:
        return None, None, "was gone already"
    metadata = live["metadata"]
    if metadata.get("uid") != change.uid:
        return None, None, "is no longer ours"
    if reason := otherwise(live):
        raise ClusterError(
            member.name,
            f"{change.key} is not released: {reason}",
            hint="run again: the next plan decides anew",
        )
    operations = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
        {"op": "remove", "path": join_pointer(("metadata", "labels", PART_OF))},
        {"op": "remove", "path": join_pointer(("metadata", "annotations", IDENTITY))},
    ]
    member.json_patch(resource, change.key, operations)
    return None, None, ""


_VERBS: dict[Action, Callable[[Member, Resource, Change, Otherwise, Digester], _Result]] = {
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

    if _rewrite_entries(member, resource, change, change.uid, entries) is None:
        raise _changed(member)
    body, key = _for_that_object(change), change.key
    after = member.apply(resource, key, body, force=change.force, dry_run=True)
    fields = mask(changed_fields(before[0], after), change.hidden)
    chosen = {field.path for field in change.fields if CHOSEN in repr(field.after)}
    differing = _values(fields) ^ _values(change.fields)
    if paths := sorted({path for path, _, _ in differing} - chosen):
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

    alone = _rewrite_entries(member, resource, change, change.uid, entries, live)
    if alone is None:
        raise _changed(member)
    return alone


def _rewrite_entries(
    member: Member,
    resource: Resource,
    change: Change,
    uid: str,
    entries: Callable[[Object], list[Object]],
    live: Object | None = None,
) -> Object | None:
    """Replace managedFields of the very object, in the state that it is in.

    None where it is gone, or another one by now, or written to too often.
    """
    for _ in range(REWRITE_TRIES):
        live = live or member.get(resource, change.key)
        if live is None or live["metadata"].get("uid") != uid:
            return None
        wanted = entries(live)
        if wanted == entries_of(live):
            return live
        version = live["metadata"].get("resourceVersion")
        operations: list[dict[str, Any]] = [
            # As a field of the patch, and not as a test of it, a mismatch is a Conflict.
            {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
            {"op": "add", "path": "/metadata/managedFields", "value": wanted},
        ]
        try:
            return member.json_patch(resource, change.key, operations)
        except Conflict:
            live = None
    return None


def move_entries(member: Member, resource: Resource, change: Change) -> str:
    """Move our entries on from a version that is dropped; why that failed, or nothing.

    Raises LeaseLost.
    """
    try:
        for _ in range(REWRITE_TRIES):
            live = member.get(resource, change.key)
            if live is None or live["metadata"].get("uid") != change.uid:
                raise _changed(member)
            operations = moved_on(live, change.old_entry, change.new_entry)
            try:
                if operations:
                    member.json_patch(resource, change.key, operations)
            except Conflict:
                continue
            return ""
        raise _changed(member)
    except LeaseLost:
        raise
    except ClusterError as error:
        told = refusal_words(error, change.hidden, change.request, change.live)
        return f"its managedFields could not be moved on from {change.old_entry}: {told}"


def _changed(member: Member) -> ClusterError:
    text = "was changed or made anew since it was planned"
    return ClusterError(member.name, text, hint="run again")


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
