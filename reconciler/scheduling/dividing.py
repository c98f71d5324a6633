"""Dividing replicas by weight within minima and maxima, moving as few as possible."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from reconciler.federation.model import ReplicaShare
from reconciler.scheduling.spreading import rank


def divide(
    total: int,
    shares: Mapping[str, ReplicaShare],
    *,
    key: str,
    current: Mapping[str, int] | None = None,
    capacity: Mapping[str, int] | None = None,
) -> tuple[dict[str, int], int]:
    """Replicas per cluster, and how many fit nowhere.

    The ideal is ``weight * level`` clamped to each cluster's minimum and maximum, with one level
    for all such that the sum is ``total``. It is rounded down; what is left over goes first to
    clusters that run more than that now (while none runs less), then to the largest fractions, then
    by a hash of workload and cluster: the same input gives the same result, and little moves.
    """
    current = current or {}
    bounds = {c: _bounds(share, (capacity or {}).get(c)) for c, share in shares.items()}
    highs = sum(high if high is not None else total for _, high in bounds.values())
    if sum(low for low, _ in bounds.values()) >= total:
        return _minima(total, bounds, shares, key)
    ideal = _ideal(min(total, highs), shares, bounds)
    plan = {c: int(value) for c, value in ideal.items()}
    # Where one runs less than it should, what others run more is no reason to leave it there.
    settled = all(current.get(c, 0) >= plan[c] for c in shares)
    order = sorted(
        shares,
        key=lambda c: (
            not settled or current.get(c, 0) <= plan[c],
            -(ideal[c] - plan[c]),
            -rank(key, c),
            c,
        ),
    )
    left = total - sum(plan.values())
    while left > 0:
        before = left
        for cluster in order:
            high = bounds[cluster][1]
            if left and shares[cluster].weight > 0 and (high is None or plan[cluster] < high):
                plan[cluster] += 1
                left -= 1
        if left == before:
            break
    return plan, left


def _bounds(share: ReplicaShare, capacity: int | None) -> tuple[int, int | None]:
    highs = [x for x in (share.maximum, capacity) if x is not None]
    high = min(highs) if highs else None
    return (share.minimum if high is None else min(share.minimum, high)), high


def _minima(
    total: int,
    bounds: Mapping[str, tuple[int, int | None]],
    shares: Mapping[str, ReplicaShare],
    key: str,
) -> tuple[dict[str, int], int]:
    """Too few for all minima: the heavier first."""
    plan = {}
    for cluster in sorted(shares, key=lambda c: (-shares[c].weight, -rank(key, c), c)):
        plan[cluster] = min(bounds[cluster][0], total)
        total -= plan[cluster]
    return plan, 0


def _ideal(
    total: int,
    shares: Mapping[str, ReplicaShare],
    bounds: Mapping[str, tuple[int, int | None]],
) -> dict[str, Fraction]:
    """The clamped shares at the level where they sum to ``total``, exactly."""
    weighted = {c: s.weight for c, s in shares.items() if s.weight > 0}
    fixed = sum(bounds[c][0] for c in shares if c not in weighted)
    # The sum grows piecewise linearly with the level; its corners are where a bound is met.
    corners = sorted(
        {Fraction(b, w) for c, w in weighted.items() for b in bounds[c] if b is not None}
    )
    level = Fraction(0)
    for corner in [*corners, None]:
        at_corner = None if corner is None else fixed + _sum_at(corner, weighted, bounds)
        if at_corner is None or at_corner >= total:
            slope = sum(w for c, w in weighted.items() if _grows(level, w, bounds[c]))
            here = fixed + _sum_at(level, weighted, bounds)
            level += Fraction(total - here, 1) / slope if slope else Fraction(0)
            break
        level = corner or level
    return {c: _clamp(level * weighted.get(c, 0), bounds[c]) for c in shares}


def _sum_at(
    level: Fraction,
    weighted: Mapping[str, int],
    bounds: Mapping[str, tuple[int, int | None]],
) -> Fraction:
    return sum((_clamp(level * w, bounds[c]) for c, w in weighted.items()), Fraction(0))


def _grows(level: Fraction, weight: int, bounds: tuple[int, int | None]) -> bool:
    """Whether a share grows right above ``level``."""
    low, high = bounds
    return level * weight >= low and (high is None or level * weight < high)


def _clamp(value: Fraction, bounds: tuple[int, int | None]) -> Fraction:
    low, high = bounds
    value = max(value, Fraction(low))
    return value if high is None else min(value, Fraction(high))
