"""``DesiredState`` + what is seen of the fleet -> where everything goes. Pure and deterministic."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import ObjectKey
from reconciler.federation.model import (
    Cluster,
    DesiredState,
    PlacementTarget,
    ReplicaShare,
    Workload,
)
from reconciler.federation.selectors import is_in_step
from reconciler.scheduler.capacity import FreeCapacity, own_count
from reconciler.scheduler.commits import mixed, removed_in
from reconciler.scheduler.divide import divide_by_weight
from reconciler.scheduler.filter_score import Eligible, affinity_score, eligible
from reconciler.scheduler.kubefed_planner import OTHERS, plan_replicas
from reconciler.scheduler.model import Assignment, Bounds, FleetView

if TYPE_CHECKING:
    from reconciler.scheduler.room import FreeRoom
from reconciler.scheduler.spread import spread


def schedule(state: DesiredState, view: FleetView | None = None) -> tuple[Assignment, ...]:
    """One assignment per workload, sorted by key.

    A cluster that is unavailable gets none of the replicas that are divided, but stays in the
    assignment (with 0, or None where nothing is divided), so that what it runs is not taken for
    something to prune. The capacity of a cluster is shared by all: what is duplicated comes first,
    then what is divided, in the order of keys. What follows others comes last.
    """
    view = view or FleetView()
    if (commits := state.commits) is not None:
        by_commit = {commit: schedule(one, view) for commit, one in commits.states.items()}
        return _finished(state, mixed(state, commits, by_commit))
    clusters = {cluster.name: cluster for cluster in state.clusters}
    capacity = {c.name: c.capacity for c in state.clusters if c.capacity is not None}
    room = FreeCapacity(capacity, _free_room(view))
    # Divided ones take what the duplicated leave.
    ordered = sorted(state.workloads, key=lambda w: (w.rules.replicas.mode != "Duplicated", w.key))
    allowed = _AllowedClusters(clusters, view)
    found = [_assign(workload, clusters, view, room, allowed) for workload in ordered]
    return _finished(state, sorted(found, key=lambda assignment: assignment.workload))


def _finished(state: DesiredState, assignments: Sequence[Assignment]) -> tuple[Assignment, ...]:
    placed = with_followers_placed(state, assignments)
    if not state.divides_autoscalers:
        return placed
    # Few fleets do.
    from reconciler.scheduler.autoscaler_bounds import with_divided_bounds

    return with_divided_bounds(state, placed)


def _free_room(view: FleetView) -> FreeRoom | None:
    """None where nobody has looked, as nothing goes by it."""
    if not view.rooms:
        return None
    from reconciler.scheduler.room import FreeRoom

    return FreeRoom(view.rooms)


_NOBODY: Mapping[str, str] = {}
_NO_BOUNDS: Mapping[str, Bounds] = {}


class _AllowedClusters:
    """The clusters that targets may use, found once for each: many workloads share a Placement."""

    def __init__(self, clusters: Mapping[str, Cluster], view: FleetView) -> None:
        self._clusters, self._view = clusters, view
        # With the target, or another one could get its number.
        self._found: dict[int, tuple[PlacementTarget, Eligible]] = {}
        self._shares: dict[tuple[tuple[str, int | None], ...], Mapping[str, int | None]] = {}
        self._everywhere: dict[
            tuple[int, int | None], tuple[Mapping[str, int | None], Mapping[str, str]]
        ] = {}

    def shared(self, replicas: Mapping[str, int | None]) -> Mapping[str, int | None]:
        """The same by cluster, sorted; one for all workloads that have the same."""
        items = tuple(sorted(replicas.items())) if len(replicas) > 1 else tuple(replicas.items())
        return self._shares.setdefault(items, replicas if len(items) < 2 else dict(items))

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

    def everywhere(
        self, workload: Workload
    ) -> tuple[Mapping[str, int | None], Mapping[str, str]] | None:
        """The replicas by cluster, and why others are left out, of a workload that runs the same in
        all clusters that its target may use, where these are up and take what is new: most do. None
        for any other."""
        target, rule = workload.rules.target, workload.rules.replicas
        if (
            target is None
            or target.karmada
            or target.spread
            or workload.rules.namespace_placement is not None
            or workload.rules.only_in is not None
            or rule.mode != "Duplicated"
            or rule.shares
            or self._view.unavailable
            or workload.key in self._view.away
        ):
            return None
        known = self._everywhere.get((id(target), rule.total))
        if known is None:
            names, left_out = self.of(target, ())
            if self.closed(target):
                return None
            replicas = self.shared(dict.fromkeys(names, rule.total))
            known = replicas, dict(sorted(left_out.items())) if left_out else _NOBODY
            self._everywhere[id(target), rule.total] = known
        return known

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
    if workload.rules.target is None:
        return Assignment(workload.key, {})
    if workload.rules.follows:
        return Assignment(workload.key, {}, placed_by=workload.rules.target.placed_by)
    if (plain := allowed.everywhere(workload)) is not None:
        everywhere, reasons = plain
        return Assignment(
            workload.key,
            everywhere,
            placed_by=workload.rules.target.placed_by,
            left_out=reasons,
            notices=tuple(
                replace(one, subject=str(workload.key))
                for one in room.take(workload, everywhere, _NOBODY)
            ),
            bounds=_NO_BOUNDS,
        )
    here = view.present.get(workload.key, {})
    names, left_out = allowed.of(workload.rules.target, here)
    closed = allowed.closed(workload.rules.target)
    if workload.rules.namespace_placement is not None:
        inside, _ = allowed.of(workload.rules.namespace_placement, here)
        closed |= allowed.closed(workload.rules.namespace_placement)
        for name in set(names) - set(inside):
            left_out[name] = f"FederatedNamespace {workload.key.namespace} does not go there"
        names = [name for name in names if name in inside]
    if workload.rules.only_in is not None:
        for name in set(names) - workload.rules.only_in:
            left_out[name] = f"the chart {workload.rules.chart} renders no such object for it"
        names = [name for name in names if name in workload.rules.only_in]
    if workload.rules.target.karmada:
        return _assign_karmadas(workload, names, left_out, clusters, view, room)
    # What one chart renders belongs together.
    text = workload.rules.chart or f"{workload.key.namespace}/{workload.key.name}"
    rules = workload.rules.target.spread
    affinities = {
        name: affinity_score(workload.rules.target, clusters[name]) for name in names if rules
    }
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
                duplicated = workload.rules.replicas.mode == "Duplicated"
                replicas[name] = duplicated_count(workload, name) if duplicated else 0
    notices += _doubts_of_minima(workload, [n for n in kept if n not in gone])
    notices += room.take(workload, replicas, gone)
    return Assignment(
        workload.key,
        allowed.shared(replicas),
        placed_by=workload.rules.target.placed_by,
        left_out=dict(sorted(left_out.items())) if left_out else _NOBODY,
        shortfall=shortfall,
        spare=tuple(name for name in names if name not in replicas),
        notices=tuple(replace(one, subject=str(workload.key)) for one in notices),
        bounds=_NO_BOUNDS,
    )


def _assign_karmadas(
    workload: Workload,
    names: Sequence[str],
    left_out: Mapping[str, str],
    clusters: Mapping[str, Cluster],
    view: FleetView,
    room: FreeCapacity,
) -> Assignment:
    """By one of Karmada's policies. A cluster that takes nothing new is in ``names`` where it has
    the workload, and keeps what it has at most."""
    target = workload.rules.target
    if target is None:
        return Assignment(workload.key, {})
    # Few fleets have such policies.
    from reconciler.scheduler.karmada_choice import Demand, choose_clusters
    from reconciler.scheduler.karmada_planner import plan_karmada_replicas

    here = view.present.get(workload.key, {})
    # What people or autoscalers make of a copy must not move replicas of the others.
    before = {**here, **view.divided.get(workload.key, {})}
    gone = view.unavailable_for(workload.key)
    total = workload.rules.replicas.total
    total = own_count(workload) if total is None else total
    divided = workload.rules.replicas.mode == "Karmada"
    limits = room.limits(names, view.capacity.get(workload.key, {}), workload, here)
    tainted = eligible(target, clusters, view.tainted).closed
    limits |= {
        n: min(before[n], limits.get(n, before[n])) for n in names if n in tainted and n in before
    }
    by_room = divided and workload.rules.replicas.strategy != "StaticWeight"
    demand = Demand(
        here,
        total if by_room else None,
        {n: max(0, limit - here.get(n, 0)) for n, limit in limits.items()},
        settled=not view.returning,
    )
    choice = choose_clusters(target, names, clusters, gone, demand)
    replicas: dict[str, int | None] = {n: duplicated_count(workload, n) for n in choice.names}
    shortfall = 0
    if divided:
        counts, shortfall = (
            plan_karmada_replicas(
                workload.rules.replicas, total, choice.names, clusters, limits, before, view.unseen
            )
            if choice.fits
            else ({n: before[n] for n in choice.names}, 0)
        )
        shortfall = max(shortfall, total - sum(counts.values()))
        replicas = dict(counts)
    reasons = {**left_out, **choice.left_out}
    if gone:
        usual = choose_clusters(target, names, clusters, (), Demand({})).names
        for name in (n for n in usual if n in gone and n not in replicas):
            reasons.pop(name, None)
            replicas[name] = 0 if divided else duplicated_count(workload, name)
    notices = [*choice.notices, *room.take(workload, replicas, gone)]
    return Assignment(
        workload.key,
        dict(sorted(replicas.items())),
        placed_by=target.placed_by + (f", group {choice.group}" if choice.group else ""),
        left_out=dict(sorted(reasons.items())),
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
    rule = workload.rules.replicas
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
    limits = room.limits(up, capacity, workload, view.present.get(workload.key, {}))
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
    missing = total
    for step in _steps(workload, up, clusters):
        shares = {n: _share(workload, clusters[n], view) for n in step}
        divided, missing = divide_by_weight(
            missing, shares, key=key, current=current, capacity=limits
        )
        plan.update(divided)
    return plan, missing


def _steps(
    workload: Workload, names: Sequence[str], clusters: Mapping[str, Cluster]
) -> list[list[str]]:
    """The clusters in the order in which they are filled: all at once, or step by step. A cluster
    is in the first step that has it."""
    overflow = workload.rules.target.overflow if workload.rules.target is not None else ()
    if not overflow:
        return [list(names)]
    found: list[list[str]] = []
    for step in overflow:
        taken = {name for one in found for name in one}
        found.append([n for n in names if n not in taken and is_in_step(step, clusters[n])])
    return found


def _doubts_of_minima(workload: Workload, names: Sequence[str]) -> list[Notice]:
    """Whether the clusters' minima are more than there is to share out. 0 says: none at all."""
    rule = workload.rules.replicas
    if rule.mode == "Duplicated":
        return []
    total = rule.total if rule.total is not None else own_count(workload)
    shares = [rule.shares.get(name) or rule.default_share or ReplicaShare(0) for name in names]
    least = sum(share.minimum for share in shares)
    if not 0 < total < least:
        return []
    return [notice(NoticeCause.MINIMA_TOO_HIGH, least=least, total=total)]


def _share(workload: Workload, cluster: Cluster, view: FleetView) -> ReplicaShare:
    rule = workload.rules.replicas
    share = rule.shares.get(cluster.name) or rule.default_share or ReplicaShare(0, 0, 0)
    if rule.weigh_by == "Capacity":
        room = view.spare.get(cluster.name, cluster.capacity)
        if room is not None:
            return ReplicaShare(room, share.minimum, share.maximum)
    return share


def duplicated_count(workload: Workload, cluster: str) -> int | None:
    """A count within the cluster's bounds; None where the template's own stands, or what is shared
    out decides."""
    rule = workload.rules.replicas
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
        w.key: count for w in state.workloads if (count := w.manifest.stated_replicas) is not None
    }


# -- what follows others ---------------------------------------------------------------------------


def with_followers_placed(
    state: DesiredState, assignments: Sequence[Assignment]
) -> tuple[Assignment, ...]:
    """The assignments, in which what follows goes with those that need it, and then Namespaces with
    all that lies in them, as these are placed now: with the replacements of an outage, and with
    what stays until it is ready in other clusters."""
    following = {w.key: w for w in state.workloads if w.rules.follows or w.rules.leaders}
    if not following:
        return tuple(assignments)
    found = {one.workload: one for one in assignments}
    lacking = removed_in(state)
    clusters = {cluster.name for cluster in state.clusters}
    spaces = [key for key in following if key.group_kind == ("", "Namespace")]
    for key in (*(key for key in following if key not in spaces), *spaces):
        workload = following[key]
        leaders = [_led(found[one], key, state) for one in workload.rules.leaders if one in found]
        if workload.rules.follows and not workload.rules.leaders:
            leaders = [one for one in found.values() if one.workload.namespace == key.name]
        where = {name for name in clusters if key not in lacking.get(name, ())}
        # Clusters on other commits may have it by a placement.
        besides = bool(workload.rules.leaders) and not (
            workload.rules.follows and state.commits is None
        )
        own = found[key] if besides else replace(found[key], replicas={}, spare=(), left_out={})
        found[key] = _beside(own, leaders, clusters, where)
    return tuple(found[one.workload] for one in assignments)


def _led(leader: Assignment, follower: ObjectKey, state: DesiredState) -> Assignment:
    """``leader`` with only those clusters whose commit has it lead: what another commit asks for
    comes with that one."""
    commits = state.commits
    if commits is None:
        return leader

    def leads(cluster: str) -> bool:
        as_stable = cluster in leader.as_stable
        commit = commits.stable if as_stable else commits.of_cluster.get(cluster, commits.stable)
        version = commits.workloads[commit].get(follower)
        return version is not None and leader.workload in version.rules.leaders

    return replace(
        leader,
        replicas={name: count for name, count in leader.replicas.items() if leads(name)},
        spare=tuple(name for name in leader.spare if leads(name)),
    )


def _beside(
    own: Assignment,
    leaders: Sequence[Assignment],
    clusters: Collection[str],
    where: Collection[str],
) -> Assignment:
    """``own`` with the clusters of the leaders as well. ``where``: those whose commit has it."""
    placed = {name for a in leaders for name in a.replicas} & {*where} | own.replicas.keys()
    staying = {name for a in (own, *leaders) for name in a.replicas.keys() - a.leaving}
    spare = {name for a in (own, *leaders) for name in a.spare} - placed
    why = "nothing in it goes there" if own.workload.kind == "Namespace" else _NOT_NEEDED
    left_out = dict.fromkeys({*clusters} - placed - spare, why)
    left_out |= {name: text for name, text in own.left_out.items() if name in left_out}
    return replace(
        own,
        replicas=dict(sorted({**dict.fromkeys(placed), **own.replicas}.items())),
        left_out=dict(sorted(left_out.items())),
        spare=tuple(sorted(spare)),
        leaving=frozenset(placed) - staying,
    )


_NOT_NEEDED = "nothing that needs it goes there"
