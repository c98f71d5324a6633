"""What the verbs share: requests for one state of an object, and what is recorded of an apply."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reconciler.api.errors import (
    ClusterError,
    Conflict,
    LeaseLost,
)
from reconciler.api.objects import Object
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.inventory.managed_fields import (
    Fields,
    disowned,
    entries_of,
    fields_of,
    is_ours,
    resource_version_test,
)
from reconciler.inventory.records import AppliedRecord, Digester
from reconciler.plan.custom_resources import migrated_entries
from reconciler.plan.diff import request_digest
from reconciler.plan.fields import changed_fields
from reconciler.plan.ignored import disowning, owned_ignored_fields, without_ignored
from reconciler.plan.model import ABSENT, Change
from reconciler.plan.redact import refusal_words

REWRITE_TRIES = 10

Otherwise = Callable[[Object], str]
"""Why an object that was written to since the plan must not go; empty: it may."""

VerbResult = tuple[AppliedRecord | None, Fields | None, str]
"""The record to keep, the fields that it counts as ours, and words for the report."""


def recorded(
    member: Member, resource: RESTMapping, change: Change, live: Object, digester: Digester
) -> VerbResult:
    """What to remember of an object that was applied, once all is as planned."""
    if change.take_over:
        live = _make_ours_alone(member, resource, change, live)
    footprint = digester.footprint(live)
    if footprint is not None and footprint.has_missing:
        stands = _until_it_stands(member, resource, change, live)
        live, footprint = stands or live, digester.footprint(stands) if stands else None
    settled = request_of(change)
    if change.ignored:
        live = _leave_to_others(member, resource, change, live)
        settled = without_ignored(settled, live, change.ignored, owned=False)
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
        body = request_in_state(change, live)
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
        return disowning(entries_of(now), owned_ignored_fields(now, change.ignored))

    uid = str(live["metadata"].get("uid", ""))
    left = rewrite_entries(member, resource, change, uid, entries, live)
    if left is None:
        text = "was written; what spec.ignore leaves to others is still ours"
        raise ClusterError(member.name, text, hint="run again")
    return left


def _make_ours_alone(member: Member, resource: RESTMapping, change: Change, live: Object) -> Object:
    """End the part of former managers in what is ours: it shall go when it leaves Git."""

    def entries(now: Object) -> list[Object]:
        known = entries_of(now)
        ours = fields_of(filter(is_ours, known))
        return disowned(known, change.take_over, ours, change.api_version)

    alone = rewrite_entries(member, resource, change, change.uid, entries, live)
    if alone is None:
        raise changed_since_planned(member)
    return alone


def rewrite_entries(
    member: Member,
    resource: RESTMapping,
    change: Change,
    uid: str,
    entries: Callable[[Object], list[Object]],
    live: Object | None = None,
) -> Object | None:
    """Replace managedFields of that object, only in the state that it is in.

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
            resource_version_test(live),
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
                raise changed_since_planned(member)
            operations = migrated_entries(live, change.old_entry, change.new_entry)
            try:
                if operations:
                    member.json_patch(resource, change.key, operations)
            except Conflict:
                continue
            return ""
        raise changed_since_planned(member)
    except LeaseLost:
        raise
    except ClusterError as error:
        refused_as = refusal_words(error, change.hidden, change.request, change.live)
        return f"its managedFields could not be moved on from {change.old_entry}: {refused_as}"


def changed_since_planned(member: Member) -> ClusterError:
    """The error for an object that is no longer the one that was planned."""
    text = "was changed or recreated since it was planned"
    return ClusterError(member.name, text, hint="run again")


def request_in_state(change: Change, live: Object | None) -> Object:
    """The request for an object in this state: the server refuses it with a Conflict for another
    of its name, for another state, and where there is none by now."""
    now = (live or {}).get("metadata", {})
    version = str(now.get("resourceVersion") or change.resource_version)
    return with_identity(
        request_of(change), uid=str(now.get("uid") or change.uid), resourceVersion=version
    )


def with_identity(body: Object, **identity: str) -> Object:
    """A request for the object of this identity alone."""
    return {**body, "metadata": {**body["metadata"], **identity}}


def request_of(change: Change) -> Object:
    """What the plan applies. Raises ValueError where the action has no request."""
    if change.request is None:
        raise ValueError(f"{change.key}: a {change.action} without a request")
    return change.request
