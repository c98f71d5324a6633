"""What the page of the fleet keeps of a run: small values, and none of the objects it looked at.

Taken while the run still holds its members' objects, so nothing here is drawn or put into words
that need not be. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.objects import ObjectKey
from reconciler.cluster.kstatus import Status
from reconciler.failover.probe import Signal
from reconciler.federation.model import WITNESS, Cluster, DesiredState
from reconciler.plan.model import Action, ClusterPlan, Plan
from reconciler.report.events import EventDraft, event_drafts_of
from reconciler.report.finished_run import FinishedRun
from reconciler.run.pipeline import Prepared
from reconciler.status.fleet_status import WorkloadStatus, fleet_status
from reconciler.status.roster import ClusterFacts, MemberRow, roster

MOST_OBJECTS = 20_000
"""Objects in clusters that are kept to be listed; those that are not well, or have replicas, go
first. What has replicas is counted all the same."""


class Remaining(Struct, frozen=True):
    """A change that the run did not make; ``why`` in words."""

    action: Action
    key: ObjectKey
    why: str


class FleetFindings(Struct, frozen=True):
    """What the run ``run_id`` found out of the fleet.

    ``objects`` are without the objects themselves; ``objects_left_out`` do not fit. ``remaining``:
    cluster -> changes that the run did not make.
    """

    run_id: str
    plan: Plan
    state: DesiredState
    members: tuple[MemberRow, ...]
    objects: tuple[WorkloadStatus, ...]
    objects_left_out: int
    remaining: Mapping[str, tuple[Remaining, ...]]


class FleetSnapshot(Struct, frozen=True):
    """One run. ``findings`` None: it ended before there was a plan."""

    run: FinishedRun
    drafts: tuple[EventDraft, ...]
    findings: FleetFindings | None = None


def snapshot_of(run: FinishedRun, prepared: Prepared | None) -> FleetSnapshot:
    """The run as it ended, its result included."""
    if prepared is None or run.plan is None:
        return FleetSnapshot(run, event_drafts_of(run, {}))
    before = {name: one.phase for name, one in prepared.run_memory.before.clusters.items()}
    plan = run.result.plan if run.result else run.plan
    outcomes = run.result.outcomes if run.result else ()
    made = frozenset((o.cluster, o.key, o.action) for o in outcomes if o.status == "done")
    messages = {(o.cluster, o.key): o.message for o in outcomes if o.status != "done"}
    rows = fleet_status(run.plan, prepared.works, prepared.placed)
    objects, left_out = _kept([_after(row, made) for row in rows])
    state = prepared.state
    found = FleetFindings(
        run.id,
        plan,
        state,
        _members(state.clusters, plan, prepared),
        objects,
        left_out,
        {
            cluster.name: tuple(
                Remaining(
                    change.counts_as,
                    change.key,
                    messages.get((cluster.name, change.key))
                    or change.waits
                    or change.error
                    or change.reason,
                )
                for change in cluster.changes
                if (cluster.name, change.key, change.action) not in made
            )
            for cluster in plan.clusters
            if cluster.changes
        },
    )
    return FleetSnapshot(run, event_drafts_of(run, before), found)


_Made = frozenset[tuple[str, ObjectKey, Action]]
_WRITTEN = (Action.CREATE, Action.UPDATE, Action.ADOPT, Action.RECREATE)


def _after(row: WorkloadStatus, made: _Made) -> WorkloadStatus:
    """The row after the run: what it wrote is on its way, and was not looked at since."""
    parts = []
    for one in row.clusters:
        written = any((one.cluster, row.key, action) in made for action in _WRITTEN)
        if written and not one.fine:
            status = Status.IN_PROGRESS
            one = replace(one, status=status, message="applied by the last run", live=None)
        parts.append(replace(one, live=None))
    return replace(row, clusters=tuple(parts))


def _kept(rows: Sequence[WorkloadStatus]) -> tuple[tuple[WorkloadStatus, ...], int]:
    """(in order of their keys, how many objects in clusters are left out)."""
    if sum(len(row.clusters) for row in rows) <= MOST_OBJECTS:
        return tuple(rows), 0
    kept: set[int] = set()
    room, left_out = MOST_OBJECTS, 0
    by_weight = sorted(range(len(rows)), key=lambda n: (rows[n].fine, not rows[n].replicated, n))
    for number in by_weight:
        row = rows[number]
        if row.replicated or len(row.clusters) <= room:
            kept.add(number)
            room -= len(row.clusters)
        else:
            left_out += len(row.clusters)
    return tuple(row for number, row in enumerate(rows) if number in kept), left_out


def _members(clusters: Sequence[Cluster], plan: Plan, prepared: Prepared) -> tuple[MemberRow, ...]:
    """As `reconcile clusters` has them, without asking anybody anything more."""
    plans = {one.name: one for one in plan.clusters}
    health = {one.cluster: one for one in plan.health}
    facts = {}
    members = [one for one in clusters if one.role != WITNESS and one.name in plans]
    for cluster in members:
        if one := health.get(cluster.name):
            nodes = (one.ready_nodes or 0, one.nodes) if one.nodes is not None else None
            facts[cluster.name] = ClusterFacts(one.signal, one.reason, nodes=nodes)
        else:
            facts[cluster.name] = _facts(plans[cluster.name])
    memory = prepared.run_memory.memory
    return roster(
        members, plan.clusters, prepared.works, memory, facts, health, rollout=plan.rollout
    )


def _facts(plan: ClusterPlan) -> ClusterFacts:
    if plan.reachable:
        return ClusterFacts(Signal.HEALTHY)
    return ClusterFacts(Signal.UNKNOWN, plan.problem)
