"""``DesiredState`` + what is seen of the fleet -> where everything goes. Pure and deterministic."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from msgspec.structs import replace

from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import ObjectKey
from reconciler.cluster.kstatus import stated_replicas
from reconciler.federation.model import (
    Cluster,
    DesiredState,
    PlacementTarget,
    ReplicaShare,
    Workload,
)
from reconciler.scheduler.capacity import FreeCapacity, own_count
from reconciler.scheduler.commits import mixed
from reconciler.scheduler.divide import divide_by_weight
from reconciler.scheduler.filter_score import Eligible, affinity_score, eligible
from reconciler.scheduler.kubefed_planner import OTHERS, plan_replicas
from reconciler.scheduler.model import Assignment, FleetView
from reconciler.scheduler.spread import spread


def schedule(state: DesiredState, view: FleetView | None = None) -> tuple[Assignment, ...]:
    """One assignment per workload, sorted by key.

    A cluster that is unavailable gets none of the replicas that are divided, but stays in the
    assignment (with 0, or None where nothing is divided), so that what it runs is not taken for
    something to prune. The capacity of a cluster is shared by all: what is duplicated comes first,
    then what is divided, in the order of keys. Namespaces that no rule places come last.
    """
    view = view or FleetView()
    if (commits := state.commits) is not None:
        by_commit = {commit: schedule(one, view) for commit, one in commits.states.items()}
        return with_namespaces(state, mixed(state, commits, by_commit))
    clusters = {cluster.name: cluster for cluster in state.clusters}
    room = FreeCapacity({c.name: c.capacity for c in state.clusters if c.capacity is not None})
    # Divided ones take what the duplicated leave.
    ordered = sorted(state.workloads, key=lambda w: (w.replicas.mode != "Duplicated", w.key))
    allowed = _AllowedClusters(clusters, view)
    found = [_assign(workload, clusters, view, room, allowed) for workload in ordered]
    return with_namespaces(state, sorted(found, key=lambda assignment: assignment.workload))


class _AllowedClusters:
    """The clusters that targets may use, found once for each: many workloads share a Placement."""

    def __init__(self, clusters: Mapping[str, Cluster], view: FleetView) -> None:
        self._clusters, self._view = clusters, view
        # With the target, or another one could get its number.
        self._found: dict[int, tuple[PlacementTarget, Eligible]] = {}

    def of(
        self, target: PlacementTarget, here: Collection[str]
    ) -> tuple[list[str], dict[str, str]]:
        """Names in order, and why others are left out. ``here``: where the workload is now."""
        if id(target) not in self._found:
            found = eligible(target, self._clusters, self._view.tainted)
            self._found[id(target)] = (target, found)
        found = self._found[id(target)][1]
        staying = found.closed & set(here) if found.closed and here else frozenset()
        left_out = {n: why for n, why in found.left_out.items() if n not in staying}
        return sorted({*found.names, *staying}) if staying else list(found.names), left_out

    def closed(self, target: PlacementTarget) -> frozenset[str]:
        """The clusters that take nothing new."""
        return self._found[id(target)][1].closed


def _assign(
    workload: Workload,
    clusters: Mapping[str, Cluster],
    view: FleetView,
    room: FreeCapacity,
    allowed: _AllowedClusters,
) -> Assignment:
    if workload.target is None:
        return Assignment(workload.key, {})
    if workload.follows:
        return Assignment(workload.key, {}, placed_by=workload.target.placed_by)
    here = view.present.get(workload.key, {})
    names, left_out = allowed.of(workload.target, here)
    closed = allowed.closed(workload.target)
    if workload.namespace_placement is not None:
        inside, _ = allowed.of(workload.namespace_placement, here)
        closed |= allowed.closed(workload.namespace_placement)
        for name in set(names) - set(inside):
            left_out[name] = f"FederatedNamespace {workload.key.namespace} does not go there"
        names = [name for name in names if name in inside]
    if workload.only_in is not None:
        for name in set(names) - workload.only_in:
            left_out[name] = f"the chart {workload.chart} renders no such object for it"
        names = [name for name in names if name in workload.only_in]
    # What one chart renders belongs together.
    text = workload.chart or f"{workload.key.namespace}/{workload.key.name}"
    rules = workload.target.spread
    affinities = {name: affinity_score(workload.target, clusters[name]) for name in names if rules}
    gone = view.unavailable_for(workload.key)
    kept, crowded, notices = spread(names, rules, clusters, gone, text, affinities)
    left_out |= crowded
    most = {name: here[name] for name in closed if name in here}
    replicas, shortfall = _replicas(workload, kept, clusters, gone, view, room, most)
    # What would run there but for the outage must not look abandoned.
    if gone:
        usual, _, _ = spread(names, rules, clusters, (), text, affinities)
        for name in (n for n in usual if n in gone):
            left_out.pop(name, None)
            if name not in replicas:
                duplicated = workload.replicas.mode == "Duplicated"
                replicas[name] = duplicated_count(workload, name) if duplicated else 0
    notices += _doubts_of_minima(workload, [n for n in kept if n not in gone])
    notices += room.take(workload, replicas, gone)
    return Assignment(
        workload.key,
        dict(sorted(replicas.items())),
        placed_by=workload.target.placed_by,
        left_out=dict(sorted(left_out.items())),
        shortfall=shortfall,
        spare=tuple(name for name in names if name not in replicas),
        notices=tuple(replace(one, subject=str(workload.key)) for one in notices),
    )


def _replicas(
    workload: Workload,
    names: Sequence[str],
    clusters: Mapping[str, Cluster],
    unavailable: Mapping[str, str],
    view: FleetView,
    room: FreeCapacity,
    most: Mapping[str, int],
) -> tuple[dict[str, int | None], int]:
    """``most``: clusters that take nothing new, and what they have."""
    rule = workload.replicas
    if rule.mode == "Duplicated":
        return {name: duplicated_count(workload, name) for name in names}, 0
    key = f"{workload.key.namespace}/{workload.key.name}"
    up = [name for name in names if name not in unavailable]
    # A fleet that recovers goes back to what it was, wherever replicas stand in the meantime.
    settled = not view.returning or rule.mode == "KubeFed"
    current = view.current.get(workload.key, {}) if settled else {}
    capacity = view.capacity.get(workload.key, {})
    total = rule.total if rule.total is not None else own_count(workload)
    plan: dict[str, int | None] = {n: 0 for n in names if n in unavailable}
    limits = room.limits(up, capacity)
    limits |= {name: min(count, limits.get(name, count)) for name, count in most.items()}
    if rule.mode == "KubeFed":
        preferences = dict(rule.shares)
        if rule.default_share is not None:
            preferences[OTHERS] = rule.default_share
        counts, _ = plan_replicas(
            total,
            preferences,
            up,
            key=key,
            rebalance=rule.rebalance,
            current=current,
            capacity=limits,
        )
        placed = sum(counts.values())
        # KubeFed writes a placement of just the clusters that get something.
        plan.update({name: count for name, count in counts.items() if count > 0})
        return plan, max(0, total - placed)
    shares = {n: _share(workload, clusters[n], view) for n in up}
    divided, missing = divide_by_weight(total, shares, key=key, current=current, capacity=limits)
    plan.update(divided)
    return plan, missing


def _doubts_of_minima(workload: Workload, names: Sequence[str]) -> list[Notice]:
    """Whether the clusters' minima are more than there is to share out. 0 says: none at all."""
    rule = workload.replicas
    if rule.mode == "Duplicated":
        return []
    total = rule.total if rule.total is not None else own_count(workload)
    shares = [rule.shares.get(name) or rule.default_share or ReplicaShare(0) for name in names]
    least = sum(share.minimum for share in shares)
    if not 0 < total < least:
        return []
    return [notice(NoticeCause.MINIMA_TOO_HIGH, least=least, total=total)]


def _share(workload: Workload, cluster: Cluster, view: FleetView) -> ReplicaShare:
    rule = workload.replicas
    share = rule.shares.get(cluster.name) or rule.default_share or ReplicaShare(0, 0, 0)
    if rule.weigh_by == "Capacity":
        room = view.spare.get(cluster.name, cluster.capacity)
        if room is not None:
            return ReplicaShare(room, share.minimum, share.maximum)
    return share


def duplicated_count(workload: Workload, cluster: str) -> int | None:
    """A count within the cluster's bounds; None where the template's own stands, or what is shared
    out decides."""
    rule = workload.replicas
    if rule.mode != "Duplicated":
        return None
    share = rule.shares.get(cluster)
    if share is None or (share.minimum == 0 and share.maximum is None):
        return rule.total
    count = rule.total if rule.total is not None else own_count(workload, cluster)
    count = max(count, share.minimum)
    return count if share.maximum is None else min(count, share.maximum)


def template_replicas(state: DesiredState) -> dict[ObjectKey, int]:
    """The counts that templates themselves have, for those that have one."""
    return {
        w.key: count for w in state.workloads if (count := stated_replicas(w.template)) is not None
    }


# -- Namespaces ------------------------------------------------------------------------------------


def with_namespaces(
    state: DesiredState, assignments: Sequence[Assignment]
) -> tuple[Assignment, ...]:
    """The assignments, in which such Namespaces go with what lies in them as it is placed now:
    with the replacements of an outage, and with what stays until it is ready in other clusters."""
    following = {w.key: w for w in state.workloads if w.follows}
    if not following:
        return tuple(assignments)
    inside: dict[str, list[Assignment]] = defaultdict(list)
    for one in assignments:
        inside[one.workload.namespace].append(one)
    clusters = {cluster.name for cluster in state.clusters}
    found = []
    for one in assignments:
        if one.workload in following:
            there = inside[one.workload.name]
            placed = sorted({name for a in there for name in a.replicas})
            staying = {name for a in there for name in a.replicas.keys() - a.leaving}
            spare = {name for a in there for name in a.spare} - set(placed)
            one = replace(
                one,
                replicas=dict.fromkeys(placed),
                left_out=dict.fromkeys(
                    sorted(clusters - set(placed) - spare), "nothing in it goes there"
                ),
                spare=tuple(sorted(spare)),
                leaving=frozenset(placed) - staying,
            )
        found.append(one)
    return tuple(found)
