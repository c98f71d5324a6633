"""minReplicas and maxReplicas of HorizontalPodAutoscalers, divided like the replicas they bound.

Where a workload's rule says ``autoscalers: Divided``, the manifest's bounds are those of the whole
fleet. Each cluster that runs the workload gets its part, in proportion to the replicas that it has
there, by the same method (``divide``), at least 1 of each; a minReplicas of 0 is 0 everywhere.

Nobody's bounds fall before others carry them: only what clusters have beyond the manifest's own may
go, of those that have as many ready replicas as their new minReplicas. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.kinds import ScaleTarget, has_bounds, scaled_as
from reconciler.api.moves import BoundsKept, Move
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import Object, ObjectKey, map_of
from reconciler.federation.model import DesiredState, ReplicaShare, Workload
from reconciler.scheduler.commits import version_in
from reconciler.scheduler.divide import divide_by_weight
from reconciler.scheduler.model import Assignment, Bounds


class LiveBounds(Struct, frozen=True):
    """What clusters have now, of those that could be looked at.

    bounds  autoscaler -> cluster -> the bounds of its live object
    ready   workload -> cluster -> replicas that serve
    """

    bounds: Mapping[ObjectKey, Mapping[str, Bounds]]
    ready: Mapping[ObjectKey, Mapping[str, int]]


def divided_autoscalers(state: DesiredState) -> list[Workload]:
    """The autoscalers whose bounds are divided in some cluster."""
    return [scaler for scaler, _ in _pairs(state)]


def _pairs(state: DesiredState) -> list[tuple[Workload, Workload]]:
    """Autoscalers with what they scale."""
    states = state.commits.states.values() if state.commits else (state,)
    asked = {
        w.key for s in states for w in s.workloads if w.rules.replicas.autoscalers == "Divided"
    }
    scaled: dict[ScaleTarget, Workload] = {
        scaled_as(w.key): w for w in state.workloads if w.key in asked
    }
    return [
        (one, scaled[target])
        for one in state.workloads
        if has_bounds(one.key)
        and (target := one.manifest.scale_target) is not None
        and target in scaled
    ]


def bounds_in(body: Object) -> Bounds | None:
    """minReplicas, None where it is not said, and maxReplicas; None where there is no such."""
    spec = map_of(body.get("spec"))
    low, high = spec.get("minReplicas"), spec.get("maxReplicas")
    if not isinstance(high, int):
        return None
    return (low if isinstance(low, int) else None), high


def divide_bounds(bounds: Bounds, replicas: Mapping[str, int], key: str) -> dict[str, Bounds]:
    """Bounds per cluster that runs any replicas. What is not enough for all is 1 for each."""
    low, high = bounds
    shares = {name: ReplicaShare(count, 1) for name, count in replicas.items() if count > 0}
    if not shares:
        return {}
    highs, _ = divide_by_weight(max(high, len(shares)), shares, key=key)
    if not low:
        return {name: (low, highs[name]) for name in shares}
    lows, _ = divide_by_weight(max(low, len(shares)), shares, key=key)
    return {name: (lows[name], highs[name]) for name in shares}


def with_divided_bounds(
    state: DesiredState, assignments: Sequence[Assignment]
) -> tuple[Assignment, ...]:
    """The assignments, those of autoscalers with their bounds by cluster, as all should be."""
    return with_held_bounds(state, assignments, assignments, None)[0]


def with_held_bounds(
    state: DesiredState,
    wanted: Sequence[Assignment],
    held: Sequence[Assignment],
    live: LiveBounds | None,
) -> tuple[tuple[Assignment, ...], list[Move]]:
    """``held`` with the bounds of this run, and which are kept for now.

    ``wanted``: what is to become of the replicas; ``held``: with those that may not go yet.
    ``live`` None: nothing is known of what runs.
    """
    goals = {one.workload: one for one in wanted}
    found = {one.workload: replace(one, bounds={}) if one.bounds else one for one in held}
    moves: list[Move] = []
    for scaler, workload in _pairs(state):
        division = _Division(state, scaler, workload, goals[workload.key], found, live)
        one = found[scaler.key]
        others = [n for n in one.notices if n.cause is not NoticeCause.BOUNDS_TOO_SMALL]
        found[scaler.key] = replace(
            one, bounds=division.bounds(), notices=(*others, *division.notices())
        )
        moves += division.kept
    return tuple(found[one.workload] for one in held), moves


class _Division:
    """The bounds of one autoscaler. ``kept`` is filled by ``bounds``."""

    def __init__(
        self,
        state: DesiredState,
        scaler: Workload,
        workload: Workload,
        wanted: Assignment,
        found: Mapping[ObjectKey, Assignment],
        live: LiveBounds | None,
    ) -> None:
        held, own = found[workload.key], found[scaler.key]
        self._key = f"{workload.key.namespace}/{workload.key.name}"
        self._scaler = scaler.key
        self._held = {n: count or 0 for n, count in held.replicas.items()}
        self._counts = {n: count for n, count in wanted.replicas.items() if count}
        self._live = live.bounds.get(self._scaler, {}) if live else {}
        self._ready = live.ready.get(workload.key, {}) if live else {}
        self._known = live is not None
        self.kept: list[BoundsKept] = []
        # By each cluster's own commit.
        self._said: dict[str, Bounds] = {}
        for name in sorted({*self._held, *own.replicas}):
            rule = version_in(state, workload, held, name).rules.replicas
            said = bounds_in(version_in(state, scaler, own, name).template)
            if said is not None and rule.autoscalers == "Divided":
                self._said[name] = said

    def bounds(self) -> dict[str, Bounds]:
        goal = self._goal()
        found = {}
        for name, (low, high) in self._said.items():
            if name in goal:
                found[name] = goal[name]
            elif not self._held.get(name):
                # Nothing runs there; servers want 1 at least.
                found[name] = (low and 1, 1)
            elif name in self._live:
                # What is to leave has them until it does.
                found[name] = self._live[name]
            else:
                found[name] = low, high
        # Where a commit does not divide them, a cluster has all there is.
        if self._known and goal and self._counts.keys() <= self._said.keys():
            found |= self._not_yet_less(goal)
        return found

    def _goal(self) -> dict[str, Bounds]:
        parts = {
            said: divide_bounds(said, self._counts, self._key) for said in {*self._said.values()}
        }
        return {n: parts[said][n] for n, said in self._said.items() if n in self._counts}

    def _not_yet_less(self, goal: Mapping[str, Bounds]) -> dict[str, Bounds]:
        """What is more than the goal for now."""
        carrying = {
            name: self._live[name]
            for name, (low, _) in goal.items()
            if name in self._live and self._ready.get(name, 0) >= _least(low)
        }
        lows = _held_up(
            {n: _least(low) for n, (low, _) in goal.items()},
            {n: _least(low) for n, (low, _) in carrying.items()},
            min(low or 0 for low, _ in self._said.values()),
        )
        highs = _held_up(
            {n: high for n, (_, high) in goal.items()},
            {n: high for n, (_, high) in carrying.items()},
            min(high for _, high in self._said.values()),
        )
        lacking = [n for n, one in goal.items() if n not in carrying or _is_less(carrying[n], one)]
        found: dict[str, Bounds] = {}
        for name in sorted({*lows, *highs}):
            low, high = goal[name]
            high = highs.get(name, high)
            # None and 0 are the same for the whole fleet.
            found[name] = (min(lows.get(name, low), high) if low else low), high
            if found[name] != goal[name]:
                homes = tuple(n for n in lacking if n != name)
                self.kept.append(BoundsKept(name, self._scaler, found[name], goal[name], homes))
        return found

    def notices(self) -> list[Notice]:
        """Which bounds are less than 1 for each cluster."""
        by_bounds: dict[Bounds, int] = defaultdict(int)
        for name in self._said:
            by_bounds[self._said[name]] = len(self._counts)
        return [
            notice(
                NoticeCause.BOUNDS_TOO_SMALL,
                subject=self._scaler,
                field=field,
                total=total,
                count=count,
            )
            for (low, high), count in sorted(by_bounds.items(), key=str)
            for field, total in (("minReplicas", low), ("maxReplicas", high))
            if total and total < count
        ]


def _held_up(goal: Mapping[str, int], carrying: Mapping[str, int], total: int) -> dict[str, int]:
    """What stays above the goal, of what clusters carry now: only what all carry beyond the total
    may go."""
    excess = max(0, sum(carrying.values()) - total)
    found = {}
    for name in sorted(carrying):
        drop = max(0, carrying[name] - goal[name])
        given = min(drop, excess)
        excess -= given
        if given < drop:
            found[name] = carrying[name] - given
    return found


def _is_less(one: Bounds, other: Bounds) -> bool:
    return _least(one[0]) < _least(other[0]) or one[1] < other[1]


def _least(low: int | None) -> int:
    """A minReplicas as servers take it."""
    return 1 if low is None else low
