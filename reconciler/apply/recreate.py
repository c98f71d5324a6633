"""Delete an object and make it anew, where it cannot be changed in place."""

from __future__ import annotations

import time

from reconciler.api.errors import (
    ClusterError,
    ClusterUnreachable,
)
from reconciler.api.objects import Object
from reconciler.apply.common import (
    Otherwise,
    VerbResult,
    recorded,
    request_of,
    rewrite_entries,
    with_identity,
)
from reconciler.apply.create import create_object
from reconciler.apply.prune import delete_as_planned
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.inventory.managed_fields import (
    Fields,
    entries_of,
)
from reconciler.inventory.records import Digester
from reconciler.plan.ignored import disowning
from reconciler.plan.model import Change
from reconciler.plan.prune import deletion_words
from reconciler.plan.refused_updates import try_as_new
from reconciler.plan.requests import with_running_replicas

DELETION_TIMEOUT_SECONDS = 60.0
DELETION_POLL_SECONDS = 0.25
_REPLICAS: Fields = {"f:spec": {"f:replicas": {}}}


def recreate_planned(
    member: Member, resource: RESTMapping, change: Change, otherwise: Otherwise, digester: Digester
) -> VerbResult:
    """Delete the object, wait until it is gone, and make it anew."""
    # What refuses the new one since the plan must be known before the old one is gone.
    try_as_new(member, resource, request_of(change), change.key.namespace, change.live)
    delete_as_planned(member, resource, change, otherwise)
    try:
        _wait_until_gone(member, resource, change)
        if change.replicas is not None:
            live = _start_with_replicas(member, resource, change)
        else:
            live = create_object(member, resource, change, request_of(change))
        return recorded(member, resource, change, live, digester)
    except ClusterUnreachable as error:
        words = f"its deletion was asked for, and it is made by a later run: {error}"
        raise ClusterUnreachable(
            member.name, words, cause=error.cause, hint=error.hint, sent=error.sent
        ) from error


def _start_with_replicas(member: Member, resource: RESTMapping, change: Change) -> Object:
    """Create the workload with as many replicas as ran, disown the field, and apply what Git says.

    As ours, the next apply without it would set the field back to one; owned by nobody it stands
    until whoever scales the workload writes it.
    """
    first, _ = with_running_replicas(request_of(change), change.live or {})
    live = create_object(member, resource, change, first)
    uid = str(live["metadata"]["uid"])

    def entries(now: Object) -> list[Object]:
        return disowning(entries_of(now), _REPLICAS)

    if rewrite_entries(member, resource, change, uid, entries, live) is None:
        raise ClusterError(
            member.name,
            f"was made with {change.replicas} replicas as before, which could not be left to "
            "others",
            hint="run again",
        )
    return member.apply(
        resource, change.key, with_identity(request_of(change), uid=uid), force=change.force
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
                "was deleted, and somebody else recreated it meanwhile",
                hint="run again: it is adopted, or refused, as spec.adoption says",
            )
        time.sleep(DELETION_POLL_SECONDS)
    raise ClusterError(
        member.name,
        f"still there after {DELETION_TIMEOUT_SECONDS:.0f} s: {words}; it is made by a later run",
        hint="look for finalizers that nobody removes",
    )
