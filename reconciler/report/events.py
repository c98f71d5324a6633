"""Kubernetes Events of a run: on the host cluster, and if asked for on changed objects in members.

The same thing happening again lengthens the series of one Event instead of making another: the
name of an Event is a digest of what it is about. What tells it apart from others is never a
figure or a time that differs from run to run. Written with ``events.k8s.io/v1``.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.errors import Conflict, ReconcileError
from reconciler.api.objects import Object, ObjectKey, map_of, number_of
from reconciler.cluster.client import FIELD_MANAGER, Member
from reconciler.cluster.discovery import GroupVersionKind, RESTMapping
from reconciler.plan.member_plan import MemberWork
from reconciler.plan.model import Action, Change, Outcome, Plan, RunResult
from reconciler.report.finished_run import NOTHING_FAILED, Failure, FailureKind, FinishedRun, digest
from reconciler.report.rollout import TROUBLE, current_wave
from reconciler.rollout.model import RolloutEvent
from reconciler.state.memory import Phase

EVENTS = RESTMapping("events.k8s.io/v1", "Event", "events", namespaced=True)
NOTE_BYTES = 1024
"""The API server refuses longer notes."""
MOST_IN_A_MEMBER = 50
"""In one run: a first apply of a thousand objects is not a thousand Events."""
MOST_NAMED = 10


class EventDraft(Struct, frozen=True):
    """``key`` tells it apart from others of the same reason; ``note`` is for people."""

    type: Literal["Normal", "Warning"]
    reason: str
    action: str
    note: str
    key: str


class Regarding(Struct, frozen=True):
    """The object that an Event is about; ``uid`` lets `kubectl describe` find it."""

    api_version: str
    key: ObjectKey
    uid: str = ""


def event_drafts_of(run: FinishedRun, before: Mapping[str, Phase]) -> tuple[EventDraft, ...]:
    """What the host's Events should tell. ``before``: the phases that the run began with. Pure."""
    found = list(_failures(run))
    if run.plan:
        found += _without_git(run.plan)
        found += _phases(run.plan, before)
        found += _rollout(run.plan)
    if run.result:
        found += _prunes(run.result)
    return tuple(found)


def _failures(run: FinishedRun) -> Iterator[EventDraft]:
    guards = [one for one in run.failures if one.kind is FailureKind.GUARD]
    others = [one for one in run.failures if one.kind not in {*NOTHING_FAILED, FailureKind.GUARD}]
    for reason, failures in (("GuardViolated", guards), ("RunFailed", others)):
        if failures:
            key = digest(*sorted({one.identity for one in failures}))
            yield EventDraft("Warning", reason, "Reconcile", _list_of(failures), key)


def _without_git(plan: Plan) -> Iterator[EventDraft]:
    if plan.without_git:
        key = f"git@{plan.without_git.since:.0f}"
        yield EventDraft("Warning", "GitUnreachable", "Reconcile", str(plan.without_git), key)


def _phases(plan: Plan, before: Mapping[str, Phase]) -> Iterator[EventDraft]:
    for one in plan.health:
        key = f"{one.cluster}@{one.since:.0f}"
        if one.phase is Phase.DOWN:
            since = datetime.fromtimestamp(one.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            note = f"{one.cluster} counts as down since {since}: {one.reason}"
            yield EventDraft("Warning", "ClusterDown", "Failover", note, key)
        elif before.get(one.cluster) is Phase.DOWN:
            note = f"{one.cluster} answers again and gets its share back"
            yield EventDraft("Normal", "ClusterBack", "Failback", note, key)


def _rollout(plan: Plan) -> Iterator[EventDraft]:
    view = plan.rollout
    if view is None:
        return
    found = current_wave(view)
    for event, text in view.events:
        kind: Literal["Normal", "Warning"] = "Normal"
        if event in {*TROUBLE, RolloutEvent.HELD}:
            kind = "Warning"
        key = digest(view.stable, view.candidate, str(found[0] if found else ""))
        yield EventDraft(kind, f"Rollout{event}", "Rollout", text, key)


def _prunes(result: RunResult) -> Iterator[EventDraft]:
    for cluster in result.plan.clusters:
        gone = [
            str(outcome.key)
            for outcome in result.outcomes
            if outcome.cluster == cluster.name
            and outcome.action is Action.PRUNE
            and outcome.status == "done"
        ]
        if gone:
            count = f"{len(gone)} object{'s' * (len(gone) != 1)}"
            note = f"pruned {count} from {cluster.name}: {_named(gone)}"
            yield EventDraft("Normal", "Pruned", "Prune", note, digest(cluster.name, *gone))


def changes_of(
    result: RunResult, work: MemberWork
) -> Iterator[tuple[Outcome, Change | None, EventDraft]]:
    """What Events on the objects of one member should tell, failures first; not skipped ones."""
    changes = {(change.key, change.action): change for change in work.plan.changes}
    here = [o for o in result.outcomes if o.cluster == work.cluster.name and o.status != "skipped"]
    for outcome in sorted(here, key=lambda o: o.status != "failed")[:MOST_IN_A_MEMBER]:
        change = changes.get((outcome.key, outcome.action))
        yield outcome, change, _of_object(outcome, change, result.plan)


_PAST = {
    Action.CREATE: "Created",
    Action.UPDATE: "Updated",
    Action.ADOPT: "Adopted",
    Action.RECREATE: "Recreated",
    Action.PRUNE: "Pruned",
    Action.ORPHAN: "Orphaned",
}


def _of_object(outcome: Outcome, change: Change | None, plan: Plan) -> EventDraft:
    commit = f"commit {plan.commit[:12]}" if plan.commit else ""
    if outcome.status == "failed":
        note = f"{outcome.action} failed: {outcome.message}"
        return EventDraft("Warning", "ReconcileFailed", "Reconcile", note, str(outcome.action))
    parts = [plan.federation, commit]
    if change:
        # Paths only: a value may be anything.
        parts += [change.origin, change.reason, _named([field.path for field in change.fields])]
    done = _PAST.get(outcome.action, str(outcome.action))
    note = "; ".join(part for part in parts if part)
    return EventDraft("Normal", done, "Reconcile", f"{done} by {note}", plan.commit)


def _list_of(failures: list[Failure]) -> str:
    return _named([str(failure) for failure in failures], separator="; ")


def _named(names: list[str], separator: str = ", ") -> str:
    more = len(names) - MOST_NAMED
    kept = separator.join(names[:MOST_NAMED])
    return f"{kept}{separator}and {more} more" if more > 0 else kept


# -- writing -----------------------------------------------------------------------------------


def write_event(member: Member, regarding: Regarding, what: EventDraft, now: float) -> None:
    """Make the Event, or lengthen the series of the one that there is. Raises ClusterError."""
    body = event(regarding, what, now)
    namespace = body["metadata"]["namespace"]
    try:
        member.create(EVENTS, body, namespace=namespace)
        return
    except Conflict:
        # It is there already.
        key = ObjectKey("events.k8s.io", "Event", namespace, body["metadata"]["name"])
    found = member.get(EVENTS, key)
    if found is None:
        # It ended its hour in this very moment.
        member.create(EVENTS, body, namespace=namespace)
        return
    count = (number_of(map_of(found.get("series")).get("count")) or 1) + 1
    series = {"count": count, "lastObservedTime": body["eventTime"]}
    member.json_patch(EVENTS, key, [{"op": "add", "path": "/series", "value": series}])


def event(regarding: Regarding, what: EventDraft, now: float) -> Object:
    """The body. An Event of a cluster-scoped object lives in ``default``, as the API asks."""
    key = regarding.key
    about: Object = {"apiVersion": regarding.api_version, "kind": key.kind, "name": key.name}
    if key.namespace:
        about["namespace"] = key.namespace
    if regarding.uid:
        about["uid"] = regarding.uid
    stem = re.sub(r"[^a-z0-9.-]+", "-", key.name.lower())[:200].strip(".-") or "object"
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {
            "name": f"{stem}.{digest(str(key), what.reason, what.key)}",
            "namespace": key.with_namespace.namespace,
        },
        "eventTime": stamp,
        "reportingController": FIELD_MANAGER,
        "reportingInstance": f"{FIELD_MANAGER}-{socket.gethostname()}"[:128],
        "action": what.action,
        "reason": what.reason,
        "type": what.type,
        "regarding": about,
        "note": _cut(what.note),
    }


def _cut(note: str) -> str:
    data = note.encode()
    if len(data) <= NOTE_BYTES:
        return note
    return data[: NOTE_BYTES - 3].decode(errors="ignore") + "…"


def write_host_events(
    host: Member, regarding: Regarding, happenings: tuple[EventDraft, ...], now: float
) -> list[str]:
    """All of them, until one cannot be written. Gives warnings."""
    try:
        for what in happenings:
            write_event(host, regarding, what, now)
    except ReconcileError as error:
        return [f"no Events were written in the host cluster: {error}"]
    return []


def write_member_events(result: RunResult, work: MemberWork, now: float) -> list[str]:
    """On the objects that this run changed in one member. Gives warnings."""
    member = work.member
    try:
        for outcome, change, what in changes_of(result, work):
            regarding = _regarding(work, outcome, change)
            # An object that was recreated is another one, and so are its Events.
            of_this = replace(what, key=f"{what.key} {regarding.uid}")
            write_event(member, regarding, of_this, now)
    except ReconcileError as error:
        return [f"{work.cluster.name}: no Events were written on changed objects: {error}"]
    return []


def _regarding(work: MemberWork, outcome: Outcome, change: Change | None) -> Regarding:
    api_version = change.api_version if change else "v1"
    uid = change.uid if change else ""
    created = outcome.action in (Action.CREATE, Action.RECREATE) and outcome.status == "done"
    if created:
        # The plan could not know it.
        resource = work.resources.get(GroupVersionKind(api_version, outcome.key.kind))
        live = work.member.get(resource, outcome.key) if resource else None
        uid = str(live["metadata"].get("uid", "")) if live else ""
    return Regarding(api_version, outcome.key, uid)
