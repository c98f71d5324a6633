"""Apply to an object that is there: as planned, or not at all. Adoption is the same."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from reconciler.api.errors import (
    ClusterError,
    Conflict,
)
from reconciler.api.objects import Object
from reconciler.apply.common import (
    REWRITE_TRIES,
    Otherwise,
    VerbResult,
    changed_since_planned,
    recorded,
    request_in_state,
    request_of,
    rewrite_entries,
)
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.inventory.managed_fields import (
    BEFORE_FIRST_APPLY,
    Fields,
    claimed,
    entries_of,
    is_ours,
    tree_of,
)
from reconciler.inventory.records import Digester
from reconciler.plan.fields import changed_fields
from reconciler.plan.model import Change, is_server_chosen
from reconciler.plan.redact import mask
from reconciler.plan.refused_updates import entries_for_apply


def update_planned(
    member: Member, resource: RESTMapping, change: Change, otherwise: Otherwise, digester: Digester
) -> VerbResult:
    """Change or adopt the object as planned, and remember it."""
    del otherwise
    live = _apply_as_planned(member, resource, change)
    return recorded(member, resource, change, live, digester)


def _apply_as_planned(member: Member, resource: RESTMapping, change: Change) -> Object:
    """Apply to the very object that the plan looked at, in the state that it had there.

    Status updates move the resourceVersion all the time, so an object that was written to since is
    looked at again: it is applied to as long as that does what was planned. Raises ClusterError
    where it would not; nothing has been written then.
    """
    if not change.claim:
        return _apply_when_as_planned(member, resource, change, change.live)
    before: list[Object] = []
    wanted: list[Object] = []

    def entries(live: Object) -> list[Object]:
        nonlocal before, wanted
        # Written alone, our entry would leave all the rest to nobody, and it would go with the
        # last of ours beside it. What the apply will write down is nobody's yet.
        known = entries_for_apply(member, resource, change.key, live, request_of(change))
        former = change.take_over if entries_of(live) else (*change.take_over, BEFORE_FIRST_APPLY)
        found = claimed(known, former, dict(change.claim), change.api_version)
        if not wanted or _our_fields(entries_of(live)) != _our_fields(wanted):
            # Else it is claimed already, by a try whose answer was lost.
            before, wanted = entries_of(live), found
        return found

    ours = rewrite_entries(member, resource, change, change.uid, entries)
    if ours is None:
        raise changed_since_planned(member)
    try:
        return _apply_when_as_planned(member, resource, change, None)
    except ClusterError:
        _give_back(member, resource, change, before, wanted, entries_of(ours))
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
                    raise changed_since_planned(member)
                _check_it_is_as_planned(member, resource, change, live, whole=whole)
            return member.apply(
                resource, change.key, request_in_state(change, live), force=change.force
            )
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
    after = member.apply(
        resource, change.key, request_in_state(change, live), force=change.force, dry_run=True
    )
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
    differing -= {field.path for field in change.fields if is_server_chosen(field.after)}
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
    wanted: Sequence[Object],
    answered: Sequence[Object],
) -> None:
    """Undo a claim that no apply followed. The entries of managedFields were ``before`` it, are
    ``wanted`` by it, and ``answered`` once it was written. Entries that were written by others
    since ``before`` stay. Where that fails too, the next plan names what would go, as any does."""
    claim = [entry for entry in answered if is_ours(entry)]
    written = [(_who(entry), tree_of(entry)) for entry in wanted]

    def entries(now: Object) -> list[Object]:
        known = entries_of(now)
        if [entry for entry in known if is_ours(entry)] != claim:
            return known  # The apply was carried out, and only its answer was lost.
        kept = [entry for entry in known if (_who(entry), tree_of(entry)) not in written]
        writers = {_who(entry) for entry in kept}
        return [*kept, *(entry for entry in before if _who(entry) not in writers)]

    with suppress(ClusterError):
        rewrite_entries(member, resource, change, change.uid, entries)


def _our_fields(entries: Sequence[Object]) -> list[Fields]:
    return [tree_of(entry) for entry in entries if is_ours(entry)]


def _who(entry: Object) -> tuple[Any, ...]:
    return tuple(entry.get(part) for part in ("manager", "operation", "apiVersion", "subresource"))
