"""Dividing replicas by weight within minima and maxima: more for all never means fewer for one.

The divisor method of Webster and Sainte-Laguë. Every cluster begins with its minimum; each further
replica goes to the cluster below its maximum with the largest ``weight / (2 * replicas + 1)``. As
the replicas come one after the other, a larger total only adds to what a smaller one gives, a new
cluster only takes from the others, and one that leaves only gives to them. Largest remainders, the
common other way, promises none of this.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from reconciler.federation.model import ReplicaShare
from reconciler.scheduler.spread import rank

if TYPE_CHECKING:
    from fractions import Fraction

Bounds = Mapping[str, tuple[int, int | None]]
"""Cluster -> its least and most replicas; None: no limit."""


def divide_by_weight(
    total: int,
    shares: Mapping[str, ReplicaShare],
    *,
    key: str,
    current: Mapping[str, int] | None = None,
    capacity: Mapping[str, int] | None = None,
) -> tuple[dict[str, int], int]:
    """Replicas per cluster, and how many fit nowhere.

    Clusters with equal claims to the last replicas are distinguished by who runs more than that
    already (``current``, while none runs less than is certainly its own), then by a hash of
    workload and cluster. ``current`` decides nothing else: it cannot outweigh the rule above.
    ``capacity`` bounds a cluster as its maximum does.
    """
    bounds = {c: _bounds(share, (capacity or {}).get(c)) for c, share in shares.items()}
    if sum(low for low, _ in bounds.values()) >= total:
        return _minima(total, bounds, shares, key)
    weights = {c: share.weight for c, share in shares.items() if share.weight > 0}
    plan = {c: low for c, (low, _) in bounds.items()} | _certain(total, weights, bounds)
    left = total - sum(plan.values())
    claims = [(_claim(weights[c], plan[c]), c) for c in weights if _has_room(plan[c], bounds[c])]
    heapify(claims)
    while left and claims:
        equal = [heappop(claims)]
        while claims and claims[0][0] == equal[0][0]:
            equal.append(heappop(claims))
        if len(equal) > left:
            names = [c for _, c in equal]
            for cluster in _preferred(names, plan, current or {}, key)[:left]:
                plan[cluster] += 1
            return plan, 0
        for _, cluster in equal:
            plan[cluster] += 1
            if _has_room(plan[cluster], bounds[cluster]):
                heappush(claims, (_claim(weights[cluster], plan[cluster]), cluster))
        left -= len(equal)
    return plan, left


def _claim(weight: int, replicas: int) -> Fraction:
    """The smaller, the sooner a cluster with so many replicas gets another one."""
    from fractions import Fraction

    return Fraction(2 * replicas + 1, weight)


def _has_room(replicas: int, bounds: tuple[int, int | None]) -> bool:
    return bounds[1] is None or replicas < bounds[1]


def _certain(total: int, weights: Mapping[str, int], bounds: Bounds) -> dict[str, int]:
    """What the first replicas come to, nearly all of them, without giving them out one by one.

    All claims up to one limit are met: ``weight * level`` rounded to the nearest, within bounds,
    at the highest level (in steps of one by the sum of weights) where that is not too much.
    """
    step = sum(weights.values())

    def met(level: int) -> dict[str, int]:
        return {
            c: _within((2 * weight * level + step) // (2 * step), bounds[c])
            for c, weight in weights.items()
        }

    if not weights:
        return {}
    fixed = sum(low for c, (low, _) in bounds.items() if c not in weights)
    levels = range((total + 1) * step)
    beyond = bisect_right(levels, total - fixed, key=lambda level: sum(met(level).values()))
    return met(beyond - 1)


def _within(replicas: int, bounds: tuple[int, int | None]) -> int:
    low, high = bounds
    return max(low, replicas if high is None else min(replicas, high))


def _preferred(
    names: list[str], plan: Mapping[str, int], current: Mapping[str, int], key: str
) -> list[str]:
    """Clusters with equal claims, in order."""
    # Where one runs less than it should, what others run more is no reason to leave it there.
    settled = all(current.get(c, 0) >= count for c, count in plan.items())
    return sorted(
        names, key=lambda c: (not settled or current.get(c, 0) <= plan[c], -rank(key, c), c)
    )


def _bounds(share: ReplicaShare, capacity: int | None) -> tuple[int, int | None]:
    highs = [x for x in (share.maximum, capacity) if x is not None]
    high = min(highs) if highs else None
    return (share.minimum if high is None else min(share.minimum, high)), high


def _minima(
    total: int, bounds: Bounds, shares: Mapping[str, ReplicaShare], key: str
) -> tuple[dict[str, int], int]:
    """Too few for all minima: the heavier first."""
    plan = {}
    for cluster in sorted(shares, key=lambda c: (-shares[c].weight, -rank(key, c), c)):
        plan[cluster] = min(bounds[cluster][0], total)
        total -= plan[cluster]
    return plan, 0
