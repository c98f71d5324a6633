"""One change, carried out in one member."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from msgspec import Struct

from reconciler.api.annotations import PART_OF
from reconciler.api.errors import (
    ClusterError,
    ClusterUnauthorized,
    ClusterUnreachable,
    Conflict,
    Invalid,
    LeaseLost,
)
from reconciler.api.json_pointer import join_pointer
from reconciler.api.objects import Object
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.cluster.responses import reading_answers
from reconciler.cluster.warnings import warnings_about
from reconciler.inventory.applyset import IDENTITY, owner_of
from reconciler.inventory.managed_fields import (
    BEFORE_FIRST_APPLY,
    Fields,
    claimed,
    disowned,
    entries_of,
    fields_of,
    in_the_state_of,
    is_ours,
    our_entry,
)
from reconciler.inventory.records import AppliedRecord, Digester
from reconciler.plan.custom_resources import moved_on
from reconciler.plan.diff import request_digest
from reconciler.plan.fields import changed_fields
from reconciler.plan.ignored import disowning, held, left_out
from reconciler.plan.model import ABSENT, Action, Change, Outcome, is_chosen
from reconciler.plan.prune import deletion_words, is_going
from reconciler.plan.redact import mask, refusal_words
from reconciler.plan.refused_updates import entries_for_apply, try_as_new
from reconciler.plan.requests import with_running_replicas

DELETION_TIMEOUT_SECONDS = 60.0
DELETION_POLL_SECONDS = 0.25
REWRITE_TRIES = 10
_OF_NO_OBJECT = "1"
"""A resourceVersion that etcd gives to nothing: its first write has the revision 2. No other number
is as good: with 0, many kinds are merged into whatever is there."""
_REPLICAS: Fields = {"f:spec": {"f:replicas": {}}}


Otherwise = Callable[[Object], str]
"""Why an object that was written to since the plan must not go; empty: it may."""


class ChangeResult(Struct, frozen=True):
    """The outcome, and the record to keep (None: nothing to remember, or no longer ours).

    ``lost`` says that the member itself cannot be reached any more, so that the rest can be spared;
    ``preceded`` that somebody else made the object before us, which was left as it is.
    """

    outcome: Outcome
    record: AppliedRecord | None = None
    fields: Fields | None = None
    lost: str = ""
    preceded: bool = False


def apply_change(
    member: Member,
    resource: RESTMapping,
    change: Change,
    otherwise: Otherwise,
    digester: Digester,
) -> ChangeResult:
    """Carry out ``change``. Refusals become a failed outcome; LeaseLost is raised."""
    started = time.monotonic()
    try:
        with reading_answers(member.name), warnings_about(change.key):
            record, fields, message = _VERBS[change.action](
                member, resource, change, otherwise, digester
            )
    except LeaseLost:
        raise
    except ClusterError as error:
        text = refusal_words(error, change.hidden, change.request, change.live)
        gone = isinstance(error, ClusterUnreachable | ClusterUnauthorized)
        outcome = _outcome(member, change, "failed", text, started)
        preceded = isinstance(error, _Preceded)
        return ChangeResult(outcome, lost=text if gone else "", preceded=preceded)
    return ChangeResult(_outcome(member, change, "done", message, started), record, fields)


def _outcome(member: Member, change: Change, status: Any, message: str, started: float) -> Outcome:
    seconds = round(time.monotonic() - started, 3)
    return Outcome(member.name, change.action, change.key, status, message, seconds)


_Result = tuple[AppliedRecord | None, Fields | None, str]


class _Preceded(ClusterError):
    """Somebody else made the object that was to be created."""


def _apply(
    member: Member, resource: RESTMapping, change: Change, otherwise: Otherwise, digester: Digester
) -> _Result:
    del otherwise
    live = _apply_as_planned(member, resource, change)
    return _recorded(member, resource, change, live, digester)


def _recorded(
    member: Member, resource: RESTMapping, change: Change, live: Object, digester: Digester
) -> _Result:
    """What to remember of an object that was applied, once all is as planned."""
    if change.take_over:
        live = _make_ours_alone(member, resource, change, live)
    footprint = digester.footprint(live)
    if footprint is not None and footprint.has_missing:
        stands = _until_it_stands(member, resource, change, live)
        live, footprint = stands or live, digester.footprint(stands) if stands else None
    settled = _request(change)
    if change.ignored:
        live = _leave_to_others(member, resource, change, live)
        settled = left_out(settled, live, change.ignored, owned=False)
        footprint = digester.footprint(live) if footprint is not None else None
    uid = str(live["metadata"].get("uid", ""))
    if footprint is None:
        return AppliedRecord(api_version=change.api_version, uid=uid), None, ""
    record = AppliedRecord(
        request_digest(digester, settled),
        footprint.entry,
        footprint.values,
        change.api_version,
        uid,
    )
    return record, footprint.fields, ""


def _until_it_stands(
    member: Member, resource: RESTMapping, change: Change, live: Object
) -> Object | None:
    """The object when the same apply changes nothing any more; None: that is for the next run.

    Server-side apply is not always idempotent: an empty struct may leave a field owned but absent,
    which a second apply adds. Only an answer that stands may be recorded.
    """
    for _ in range(REWRITE_TRIES):
        body = _at(change, live)
        try:
            again = member.apply(resource, change.key, body, force=change.force, dry_run=True)
            missing = changed_fields(live, again)
            if not missing:
                return live
            if any(field.before is not ABSENT for field in missing):
                return None  # What others wrote since is not taken back unseen.
            return member.apply(resource, change.key, body, force=change.force)
        except Conflict:
            now = member.get(resource, change.key)
            if now is None or now["metadata"].get("uid") != live["metadata"].get("uid"):
                return None
            live = now
    return None


def _leave_to_others(member: Member, resource: RESTMapping, change: Change, live: Object) -> Object:
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
    member: Member, resource: RESTMapping, change: Change, otherwise: Otherwise, digester: Digester
) -> _Result:
    # What refuses the new one since the plan must be known before the old one is gone.
    try_as_new(member, resource, _request(change), change.key.namespace, change.live)
    _delete(member, resource, change, otherwise)
    try:
        _wait_until_gone(member, resource, change)
        if change.replicas is not None:
            live = _start_with_replicas(member, resource, change)
        else:
            live = _create(member, resource, change, _request(change))
        return _recorded(member, resource, change, live, digester)
    except ClusterUnreachable as error:
        words = f"its deletion was asked for, and it is made by a later run: {error}"
        raise ClusterUnreachable(
            member.name, words, cause=error.cause, hint=error.hint, sent=error.sent
        ) from error


def _delete(
    member: Member, resource: RESTMapping, change: Change, otherwise: Otherwise
) -> Object | None:
    return member.delete_as_decided(
        resource,
        change.key,
        otherwise,
        uid=change.uid,
        resource_version=change.resource_version,
        propagation=change.propagation,
    )


def _start_with_replicas(member: Member, resource: RESTMapping, change: Change) -> Object:
    """Create the workload with as many replicas as ran, disown the field, and apply what Git says.

    As ours, the next apply without it would set the field back to one; owned by nobody it stands
    until whoever scales the workload writes it.
    """
    first, _ = with_running_replicas(_request(change), change.live or {})
    live = _create(member, resource, change, first)
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
    return member.apply(resource, change.key, _held(_request(change), uid=uid), force=change.force)


def _create(member: Member, resource: RESTMapping, change: Change, body: Object) -> Object:
    """Make the object; one that somebody else made since the plan is not merged into.

    An apply of a new object takes any resourceVersion, and one of an object that is there only
    that which it has. Raises _Preceded.
    """
    new = _held(body, resourceVersion=_OF_NO_OBJECT)
    try:
        return member.apply(resource, change.key, new, force=change.force)
    except Conflict as conflict:
        live = member.get(resource, change.key)
        if live is None:
            raise
        if conflict.repeated and our_entry(live) and owner_of(live) == owner_of(body):
            # It is by a first try, whose answer was lost.
            sent = _held(body, uid=live["metadata"]["uid"])
            return member.apply(resource, change.key, sent, force=change.force)
    raise _Preceded(
        member.name,
        "somebody else made it since it was planned; left as it is",
        hint="run again: it is adopted, or refused, as spec.adoption says",
    )


def _wait_until_gone(member: Member, resource: RESTMapping, change: Change) -> None:
    give_up = time.monotonic() + DELETION_TIMEOUT_SECONDS
    words = ""
    while time.monotonic() < give_up:
        try:
            live = member.get(resource, change.key)
        except ClusterUnreachable as error:
            if not words:
                raise
            raise ClusterUnreachable(
                member.name, f"still there: {words}; {error}", cause=error.cause, hint=error.hint
            ) from error
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
    member: Member, resource: RESTMapping, change: Change, otherwise: Otherwise, digester: Digester
) -> _Result:
    del digester
    deleted = _delete(member, resource, change, otherwise)
    if deleted is None:
        return None, None, "was gone already"
    # Foreground deletion and Namespaces end by themselves.
    waits = set(deleted["metadata"].get("finalizers") or ()) - {"foregroundDeletion", "orphan"}
    return None, None, deletion_words(deleted) if waits and is_going(deleted) else ""


def _orphan(
    member: Member, resource: RESTMapping, change: Change, otherwise: Otherwise, digester: Digester
) -> _Result:
    """Take our marks off and let go: the object stays as it is."""
    del digester
    for _ in range(REWRITE_TRIES):
        live = member.get(resource, change.key)
        if live is None:
            return None, None, "was gone already"
        metadata = live["metadata"]
        if metadata.get("uid") != change.uid:
            return None, None, "is no longer ours"
        marks = [
            {"op": "remove", "path": join_pointer(("metadata", part, name))}
            for part, name in (("labels", PART_OF), ("annotations", IDENTITY))
            if name in (metadata.get(part) or {})
        ]
        if not marks:
            return None, None, ""
        if reason := otherwise(live):
            raise ClusterError(
                member.name,
                f"{change.key} is not released: {reason}",
                hint="run again: the next plan decides anew",
            )
        try:
            member.json_patch(resource, change.key, [in_the_state_of(live), *marks])
            return None, None, ""
        except (Conflict, Invalid) as refusal:
            # Marks that a first try took off cannot be taken off again, which is a 422.
            if isinstance(refusal, Invalid) and not refusal.repeated:
                raise
    raise ClusterError(
        member.name, f"{change.key} is written to too often to be released", hint="run again"
    )


_VERBS: dict[Action, Callable[[Member, RESTMapping, Change, Otherwise, Digester], _Result]] = {
    Action.CREATE: _apply,
    Action.UPDATE: _apply,
    Action.ADOPT: _apply,
    Action.RECREATE: _recreate,
    Action.PRUNE: _prune,
    Action.ORPHAN: _orphan,
}


def _apply_as_planned(member: Member, resource: RESTMapping, change: Change) -> Object:
    """Apply to the very object that the plan looked at, in the state that it had there.

    Status updates move the resourceVersion all the time, so an object that was written to since is
    looked at again: it is applied to as long as that does what was planned. Raises ClusterError
    where it would not; nothing has been written then.
    """
    if change.action is Action.CREATE:
        return _create(member, resource, change, _request(change))
    if not change.claim:
        return _apply_when_as_planned(member, resource, change, change.live)
    before: list[Object] = []

    def entries(live: Object) -> list[Object]:
        before[:] = before or entries_of(live)
        # Written alone, our entry would leave all the rest to nobody, and it would go with the
        # last of ours beside it. What the apply will write down is nobody's yet.
        known = entries_for_apply(member, resource, change.key, live, _request(change))
        former = change.take_over if entries_of(live) else (*change.take_over, BEFORE_FIRST_APPLY)
        return claimed(known, former, dict(change.claim), change.api_version)

    ours = _rewrite_entries(member, resource, change, change.uid, entries)
    if ours is None:
        raise _changed(member)
    try:
        return _apply_when_as_planned(member, resource, change, None)
    except ClusterError:
        _give_back(member, resource, change, before, entries_of(ours))
        raise


def _apply_when_as_planned(
    member: Member, resource: RESTMapping, change: Change, live: Object | None
) -> Object:
    """``live`` is the object that the plan was made of; None: look at it again first."""
    whole = bool(change.claim)
    for _ in range(REWRITE_TRIES):
        try:
            if live is None:
                live = member.get(resource, change.key)
                if live is None or live["metadata"].get("uid") != change.uid:
                    raise _changed(member)
                _check_it_is_as_planned(member, resource, change, live, whole=whole)
            return member.apply(resource, change.key, _at(change, live), force=change.force)
        except Conflict as conflict:
            if conflict.causes:
                raise  # About fields, and who owns them.
            live = None
            # By a try whose answer was lost, all may be done already.
            whole = whole and not conflict.repeated
    raise ClusterError(
        member.name, "it is written to too often to be changed safely", hint="run again"
    )


def _check_it_is_as_planned(
    member: Member, resource: RESTMapping, change: Change, live: Object, *, whole: bool
) -> None:
    """Raises ClusterError where the apply would now change another field than the plan shows, or
    another value of it, or (``whole``) not all of them; Conflict where the object was
    written to in between."""
    after = member.apply(resource, change.key, _at(change, live), force=change.force, dry_run=True)
    now = changed_fields(live, after)
    shown = {field.path for field in change.fields}
    masked = [field.path for field in mask(now, change.hidden)]
    then = {(f.path, repr(f.before)) for f in changed_fields(change.live or live, after)}
    differing = {
        path
        for field, path in zip(now, masked, strict=True)
        if path not in shown or (field.path, repr(field.before)) not in then
    }
    if whole:
        differing |= shown - set(masked)
    # What the server chooses it may have chosen by now, or have no need to.
    differing -= {field.path for field in change.fields if is_chosen(field.after)}
    if differing:
        raise ClusterError(
            member.name,
            f"it would not become what was planned any more ({', '.join(sorted(differing))}); "
            "left as it is",
            hint="run again",
        )


def _give_back(
    member: Member,
    resource: RESTMapping,
    change: Change,
    before: Sequence[Object],
    ours: Sequence[Object],
) -> None:
    """Undo a claim that no apply followed: ``before`` are the entries of managedFields without it,
    ``ours`` with it. Where that fails too, the next plan names what would go, as any plan does."""
    claim = [entry for entry in ours if is_ours(entry)]

    def entries(now: Object) -> list[Object]:
        known = entries_of(now)
        if [entry for entry in known if is_ours(entry)] != claim:
            return known  # The apply was carried out, and only its answer was lost.
        kept = [entry for entry in known if entry not in ours]
        held = {_who(entry) for entry in kept}
        return [*kept, *(entry for entry in before if _who(entry) not in held)]

    with suppress(ClusterError):
        _rewrite_entries(member, resource, change, change.uid, entries)


def _who(entry: Object) -> tuple[Any, ...]:
    return tuple(entry.get(part) for part in ("manager", "operation", "apiVersion", "subresource"))


def _make_ours_alone(member: Member, resource: RESTMapping, change: Change, live: Object) -> Object:
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
    resource: RESTMapping,
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
        operations: list[dict[str, Any]] = [
            in_the_state_of(live),
            {"op": "add", "path": "/metadata/managedFields", "value": wanted},
        ]
        try:
            return member.json_patch(resource, change.key, operations)
        except Conflict:
            live = None
    return None


def move_entries(member: Member, resource: RESTMapping, change: Change) -> str:
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
        refused_as = refusal_words(error, change.hidden, change.request, change.live)
        return f"its managedFields could not be moved on from {change.old_entry}: {refused_as}"


def _changed(member: Member) -> ClusterError:
    text = "was changed or made anew since it was planned"
    return ClusterError(member.name, text, hint="run again")


def _at(change: Change, live: Object | None) -> Object:
    """The request for an object in this state: the server refuses it with a Conflict for another
    of its name, for another state, and where there is none by now."""
    now = (live or {}).get("metadata", {})
    version = str(now.get("resourceVersion") or change.resource_version)
    return _held(_request(change), uid=str(now.get("uid") or change.uid), resourceVersion=version)


def _held(body: Object, **identity: str) -> Object:
    """A request for the object of this identity alone."""
    return {**body, "metadata": {**body["metadata"], **identity}}


def _request(change: Change) -> Object:
    if change.request is None:
        raise ValueError(f"{change.key}: a {change.action} without a request")
    return change.request
