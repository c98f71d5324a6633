"""Everything that is known of the fleet -> where everything goes in this run. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import orjson
from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.api.kinds import REPLICAS, REPLICATED, RUN_PODS, ScaleTarget, scaled_as
from reconciler.api.moves import (
    Degraded,
    Move,
    MovedAway,
    NotMoved,
    ReplicasKept,
    Returning,
    StartsWith,
    Stay,
    Unready,
)
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import Object, ObjectKey
from reconciler.api.remembered import remembered
from reconciler.cluster.kstatus import is_unavailable, ready_replicas, wanted_replicas
from reconciler.failover import workload_health
from reconciler.failover.availability import Availability, failover_rules_of, moves_away
from reconciler.failover.cluster_health import settle
from reconciler.federation.model import DesiredState, Workload
from reconciler.inventory.managed_fields import our_entry, owns
from reconciler.plan.live_state import (
    Live,
    ready_by_cluster,
    shared_workloads,
    spread_workloads,
    wanted_by_cluster,
)
from reconciler.plan.replicas import running_counts
from reconciler.plan.requests import count_owners
from reconciler.scheduler.capacity import own_count, replicas_due
from reconciler.scheduler.commits import version_in
from reconciler.scheduler.make_before_break import Running, hold_replicas, return_limits, starting
from reconciler.scheduler.model import Assignment, Bounds, FleetView, assignments_by_workload
from reconciler.scheduler.schedule import schedule, with_followers_placed
from reconciler.state.memory import FleetMemory

if TYPE_CHECKING:
    from reconciler.scheduler.room import ClusterRoom


class WorkloadPlacement(Struct, frozen=True):
    """The assignments of this run, and what to remember after it.

    ``moves`` are what waits, what left and what is short; ``notices`` tell what is down.
    ``waits``: returning cluster -> what does not run there yet. ``unconfirmed`` are
    clusters that may be dead, as nobody remembers to have seen them well.
    """

    assignments: tuple[Assignment, ...]
    memory: FleetMemory
    moves: tuple[Move, ...] = ()
    notices: tuple[Notice, ...] = ()
    waits: Mapping[str, Returning] = field(default_factory=dict)
    unconfirmed: frozenset[str] = frozenset()


def place_workloads(
    state: DesiredState,
    availability: Availability,
    usual: Sequence[Assignment],
    live: Live,
    looked_at: Collection[str],
    now: float,
    foreign_objects: Collection[tuple[ObjectKey, str]] = (),
    rooms: Mapping[str, ClusterRoom | None] = {},
    unseen: Collection[str] = (),
    bounds: Mapping[ObjectKey, Mapping[str, Bounds]] = {},
) -> WorkloadPlacement:
    """Schedule with all that was seen, then keep up what nobody else carries yet.

    ``usual``: the assignments if everything were well. ``looked_at``: the clusters that answered.
    ``foreign_objects``: workloads and clusters where what is ``live`` is not ours. ``rooms``: what
    is free on nodes, where that matters; ``unseen``: clusters that may run what goes by it.
    ``bounds``: of the live autoscalers whose bounds are divided, by cluster.
    """
    memory, away = _workloads(state, availability, usual, live, looked_at, now)
    # Not answering once is no reason to take that it runs less than its share.
    assumed = availability.assumed - set(looked_at)
    unconfirmed = _unconfirmed(state, availability, looked_at)
    present = _present(state, live, foreign_objects)
    view = FleetView(
        unavailable={name: str(why) for name, why in availability.unavailable.items()},
        returning=availability.returning | availability.new,
        present=present,
        divided=_divided_before(state, live, present, memory),
        staying=availability.staying,
        away=_kept_away(away),
        tainted=availability.tainted,
        current=running_counts(state, live, usual, assumed),
        rooms=rooms,
        unseen=unseen,
    )
    assignments = tuple(usual) if view.is_empty else schedule(state, view)
    asked = {key: wanted_by_cluster(copies) for key, copies in live.items()}
    ready = {key: ready_by_cluster(copies) for key, copies in live.items()}
    limits = return_limits(
        assignments,
        asked,
        ready,
        availability.returning & set(looked_at),
        state.federation.failover.failback_max_moves,
    )
    if limits:
        assignments = schedule(state, replace(view, capacity=limits))
    moves: list[Move] = [*away]
    out = frozenset(availability.unavailable.keys() | availability.lost)
    unplaced = _unplaced(usual, assignments, out) - {
        w
        for w, stays in availability.staying.items()
        if any(stay.has_run for stay in stays.values())
    }
    moves += _degraded(usual, assignments, state, out, unplaced)
    moves += _staying(usual, state, availability.staying)
    workloads, scalers = state.by_key, _scalers_by_target(state)

    def asked_of(a: Assignment) -> dict[str, int]:
        return _ours(a, asked.get(a.workload, {}), foreign_objects)

    def running(a: Assignment) -> Running:
        return Running(
            asked=asked_of(a),
            ready=ready.get(a.workload, {}),
            unconfirmed=unconfirmed,
            scaled=scaled_as(a.workload) in scalers or _is_scaled(live.get(a.workload, {})),
        )

    placed = assignments_by_workload(assignments)

    def scaled_in(w: Workload) -> Collection[str]:
        if w.is_given_up:
            return ()
        scaler = w.key if REPLICAS in w.rules.retain else scalers.get(scaled_as(w.key))
        return placed[scaler].replicas.keys() & set(looked_at) if scaler else ()

    def started_by(a: Assignment) -> tuple[Assignment, list[StartsWith]]:
        there = asked.get(a.workload)
        if not there or there.keys() <= a.replicas.keys():
            return a, []  # It leaves no cluster.
        workload = workloads[a.workload]
        shared = workload.rules.replicas.mode != "Duplicated"
        return starting(a, asked_of(a), scaled_in(workload), own_count(workload), shared=shared)

    wanted = assignments
    started = [started_by(a) for a in assignments]
    moves += [start for _, starts in started for start in starts]
    assignments = tuple(a for a, _ in started)
    kept: list[ReplicasKept] = []
    if shared_workloads(state):
        assignments, kept = _held(assignments, workloads, running)
    assignments = with_followers_placed(state, assignments)
    moves += kept
    if state.divides_autoscalers:
        from reconciler.scheduler.autoscaler_bounds import LiveBounds, with_held_bounds

        serving = {
            key: {n: count for n, count in counts.items() if n not in unconfirmed}
            for key, counts in ready.items()
        }
        assignments, later = with_held_bounds(
            state, wanted, assignments, LiveBounds(bounds, serving)
        )
        moves += later
    back = sorted(availability.returning & set(looked_at))
    waits: dict[str, Returning] = {}
    for name in back:
        unready = _unready(name, state, assignments, workloads, live)
        if unready or any(name in limit for limit in limits.values()):
            waits[name] = Returning(name, tuple(unready))
    clusters = {
        name: settle(one, now) if name in back and name not in waits else one
        for name, one in memory.clusters.items()
    }
    moves += waits.values()
    # What is made of the usual assignments alone is there already.
    assignments = tuple(usual) if assignments == tuple(usual) else assignments
    return WorkloadPlacement(
        assignments,
        replace(memory, clusters=clusters, divided=_divided_now(state, wanted)),
        tuple(moves),
        tuple(_down(usual, unplaced, out)),
        waits,
        unconfirmed,
    )


@remembered
def _scalers_by_target(state: DesiredState) -> Mapping[ScaleTarget | None, ObjectKey]:
    return {workload.manifest.scale_target: workload.key for workload in state.workloads}


def _is_scaled(live: Mapping[str, Object]) -> bool:
    return any(entry.get("subresource") for obj in live.values() for entry in count_owners(obj))


def _ours(
    assignment: Assignment,
    asked: Mapping[str, int],
    foreign_objects: Collection[tuple[ObjectKey, str]],
) -> dict[str, int]:
    """Without what is not ours in clusters that are to be left: it is not ours to keep either."""
    return {
        name: count
        for name, count in asked.items()
        if name in assignment.replicas or (assignment.workload, name) not in foreign_objects
    }


def _unready(
    cluster: str,
    state: DesiredState,
    assignments: Sequence[Assignment],
    workloads: Mapping[ObjectKey, Workload],
    live: Live,
) -> list[Unready]:
    """The workloads whose replicas are not all ready in a cluster.

    Of a count that is not shared out, what the live object asks for must be ready: an autoscaler
    may have set it.
    """
    found = []
    for one in assignments:
        if one.workload.kind not in REPLICATED or cluster not in one.replicas.keys() - one.leaving:
            continue
        workload = version_in(state, workloads[one.workload], one, cluster)
        there = live.get(one.workload, {}).get(cluster)
        must = replicas_due(workload, one.replicas[cluster], there)
        ready = 0 if there is None else ready_replicas(there)
        if ready < must:
            found.append(Unready(one.workload, ready, must))
    return found


def _unconfirmed(
    state: DesiredState, availability: Availability, looked_at: Collection[str]
) -> frozenset[str]:
    """Clusters that may be dead, as nobody remembers to have seen them well."""
    known = availability.assumed | availability.unavailable.keys() | availability.lost
    well = set(looked_at) - availability.seen_unhealthy
    return frozenset(c.name for c in state.clusters) - known - well


def _present(
    state: DesiredState, live: Live, foreign_objects: Collection[tuple[ObjectKey, str]]
) -> dict[ObjectKey, dict[str, int]]:
    """Where workloads that are divided or spread are now, and what they ask for there."""
    found = {}
    for w in (*shared_workloads(state), *spread_workloads(state)):
        here = live.get(w.key, {})
        if here:
            found[w.key] = {
                name: count
                for name, count in wanted_by_cluster(here).items()
                if (w.key, name) not in foreign_objects
            }
    return found


def _divided_before(
    state: DesiredState,
    live: Live,
    present: Mapping[ObjectKey, Mapping[str, int]],
    memory: FleetMemory,
) -> dict[ObjectKey, dict[str, int]]:
    """What was shared out last to copies of which somebody else has set the count since."""
    found = {}
    for key in _divided_by_the_last(state) if memory.divided else ():
        last, here = memory.divided.get(str(key), {}), present.get(key, {})
        others = {
            name: count
            for name, count in last.items()
            if here.get(name, count) != count and _is_counted_by_others(live[key][name])
        }
        if others:
            found[key] = others
    return found


def _is_counted_by_others(live: Object) -> bool:
    """Whether our apply has lost spec.replicas to somebody else."""
    entry = our_entry(live)
    return entry is not None and not owns(entry.get("fieldsV1") or {}, ("spec", "replicas"))


def _divided_now(
    state: DesiredState, assignments: Sequence[Assignment]
) -> dict[str, dict[str, int]]:
    """What each cluster is given, for the division after this one."""
    keys = _divided_by_the_last(state)
    found = {
        str(one.workload): {name: count for name, count in one.replicas.items() if count}
        for one in assignments
        if one.workload in keys
    }
    return {key: counts for key, counts in found.items() if counts}


def _divided_by_the_last(state: DesiredState) -> frozenset[ObjectKey]:
    """The workloads of which only the difference to the last division is divided."""
    return frozenset(
        w.key
        for w in state.workloads
        if w.rules.replicas.mode == "Karmada" and w.rules.replicas.strategy != "StaticWeight"
    )


def _held(
    assignments: Sequence[Assignment],
    workloads: Mapping[ObjectKey, Workload],
    running: Callable[[Assignment], Running],
) -> tuple[tuple[Assignment, ...], list[ReplicasKept]]:
    """With the replicas that may not go yet, of what is shared out; and which."""
    held = []
    kept: list[ReplicasKept] = []
    for assignment in assignments:
        workload = workloads[assignment.workload]
        if workload.rules.replicas.mode != "Duplicated" and not workload.is_given_up:
            assignment, more = hold_replicas(assignment, running(assignment))
            kept += more
        held.append(assignment)
    return tuple(held), kept


def _unplaced(
    usual: Sequence[Assignment], assignments: Sequence[Assignment], out: Collection[str]
) -> frozenset[ObjectKey]:
    """Workloads that ran in clusters which are ``out``, and that no other cluster runs."""
    if not out and assignments is usual:
        return frozenset()
    left = {a.workload for a in assignments if _clusters_of(a) - set(out)}
    return frozenset(
        a.workload
        for a in usual
        if a.workload.kind in RUN_PODS and _clusters_of(a) and a.workload not in left
    )


def _clusters_of(assignment: Assignment) -> set[str]:
    return {name for name, count in assignment.replicas.items() if count is None or count > 0}


def _down(
    usual: Sequence[Assignment], unplaced: Collection[ObjectKey], out: Collection[str]
) -> list[Notice]:
    """What an outage takes away altogether, by the clusters that it is gone with."""
    if not unplaced:
        return []
    gone: dict[str, list[str]] = {}
    for one in usual:
        if one.workload in unplaced:
            kind = "" if one.workload.kind == "Deployment" else f"{one.workload.kind} "
            where = ", ".join(sorted(_clusters_of(one) & set(out)))
            gone.setdefault(where, []).append(kind + one.workload.namespaced_name)
    return [
        notice(
            NoticeCause.NOTHING_ELSE_RUNS,
            clusters=where,
            objects=", ".join(names),
            them="it" if len(names) == 1 else "them",
        )
        for where, names in sorted(gone.items())
    ]


def _degraded(
    usual: Sequence[Assignment],
    now: Sequence[Assignment],
    state: DesiredState,
    out: Collection[str],
    unplaced: Collection[ObjectKey],
) -> list[Degraded]:
    """Workloads of which a down cluster ran a copy of its own that nobody else takes over."""
    if not out:
        return []
    copied = {w.key for w in state.workloads if w.rules.replicas.mode == "Duplicated"} - set(
        unplaced
    )
    copies = {a.workload: len(a.replicas) for a in usual}
    # What is spread has as many copies elsewhere.
    copied -= {a.workload for a in now if len(a.replicas.keys() - out) >= copies[a.workload]}
    found = []
    for cluster in sorted(out):
        gone = tuple(
            a.workload
            for a in usual
            if a.workload in copied and a.workload.kind in REPLICATED and cluster in a.replicas
        )
        if gone:
            found.append(Degraded(cluster, gone))
    return found


def _staying(
    usual: Sequence[Assignment],
    state: DesiredState,
    staying: Mapping[ObjectKey, Mapping[str, Stay]],
) -> list[NotMoved]:
    """Divided workloads that do not leave a cluster that is down, by cluster and reason."""
    if not staying:
        return []
    divided = {w.key for w in shared_workloads(state)}
    found: dict[tuple[str, Stay], list[ObjectKey]] = {}
    for one in usual:
        for cluster, stay in staying.get(one.workload, {}).items():
            if one.workload in divided and one.replicas.get(cluster):
                found.setdefault((cluster, stay), []).append(one.workload)
    moves = [NotMoved(cluster, tuple(keys), stay) for (cluster, stay), keys in found.items()]
    return sorted(moves, key=lambda move: (move.cluster, str(move.stay)))


def _workloads(
    state: DesiredState,
    availability: Availability,
    usual: Sequence[Assignment],
    live: Live,
    looked_at: Collection[str],
    now: float,
) -> tuple[FleetMemory, list[MovedAway]]:
    """Workloads that leave a cluster that is well, because they do not run there."""
    watched = _leaving_where_unavailable(state)
    placed = assignments_by_workload(usual) if watched else {}
    seen = [
        _seen(workload, after, name, live.get(workload.key, {}), state)
        for workload, after in watched
        for name in sorted(placed[workload.key].replicas)
        if name in looked_at
    ]
    memory = availability.memory
    if not seen and not memory.workloads:
        return memory, []
    remembered, away = workload_health.decide_workload_health(memory, seen, looked_at, now)
    known = {cluster.name for cluster in state.clusters}
    return replace(
        memory, workloads={name: found for name, found in remembered.items() if name in known}
    ), away


@remembered
def _leaving_where_unavailable(state: DesiredState) -> Sequence[tuple[Workload, float]]:
    """The workloads that leave a cluster where they have not been available for so many seconds."""
    return [
        (workload, rules.workload_unavailable_after)
        for workload in shared_workloads(state)
        if moves_away(rules := failover_rules_of(workload, state))
        and rules.workload_unavailable_after is not None
    ]


def _seen(
    workload: Workload,
    after: float,
    cluster: str,
    copies: Mapping[str, Object],
    state: DesiredState,
) -> workload_health.WorkloadReading:
    rules = failover_rules_of(workload, state)
    live = copies.get(cluster)
    return workload_health.WorkloadReading(
        cluster,
        workload.key,
        available=live is not None and not is_unavailable(live),
        wanted=wanted_replicas(live) if live is not None else 0,
        unavailable_after=after,
        healthy_after=rules.healthy_after if rules.failback == "Automatic" else None,
        template=hashlib.sha256(
            orjson.dumps(workload.template, option=orjson.OPT_SORT_KEYS)
        ).hexdigest()[:12],
    )


def _kept_away(away: Sequence[MovedAway]) -> dict[ObjectKey, dict[str, str]]:
    found: dict[ObjectKey, dict[str, str]] = {}
    for move in away:
        found.setdefault(move.workload, {})[move.cluster] = move.why
    return found
