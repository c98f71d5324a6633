"""KubeFed's replica planner, decision for decision.

Source: the algorithm of KubeFed v0.8.1, ``pkg/controller/util/planner``, restated; recorded inputs
and outputs of the original are in ``tests/unit/scheduler``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reconciler.federation.model import ReplicaShare

OTHERS = "*"


def plan_replicas(
    total: int,
    preferences: Mapping[str, ReplicaShare],
    clusters: Sequence[str],
    *,
    key: str,
    rebalance: bool,
    current: Mapping[str, int] | None = None,
    capacity: Mapping[str, int] | None = None,
) -> tuple[dict[str, int], dict[str, int]]:
    """Replicas per cluster, and the overflow: replicas that a cluster was due but cannot hold.

    ``preferences`` may have an entry ``*`` for clusters without one; clusters with neither get 0.
    ``key`` is ``namespace/name``: it breaks ties between equal weights differently for each
    workload. ``current`` counts what runs, ``capacity`` the most that a cluster can hold.
    """
    current, capacity = current or {}, capacity or {}
    shares = {c: s for c in clusters if (s := preferences.get(c, preferences.get(OTHERS)))}
    order = sorted(shares, key=lambda c: (-shares[c].weight, _fnv1_32(c + key)))
    plan = dict.fromkeys(clusters, 0)
    remaining = total
    for cluster in order:
        least = min(shares[cluster].minimum, remaining, capacity.get(cluster, remaining))
        plan[cluster] = least
        remaining -= least
    preallocated: dict[str, int] = {}
    if not rebalance:
        for cluster in order:
            bound = _bound(current.get(cluster, 0), shares[cluster], capacity.get(cluster))
            extra = max(0, min(bound - plan[cluster], remaining))
            preallocated[cluster] = extra
            plan[cluster] += extra
            remaining -= extra
    remaining, overflow = _distribute(remaining, shares, order, plan, preallocated, capacity)
    if not rebalance:
        # Only what found no place anywhere is overflow when running replicas may not be moved.
        overflow = {c: min(n, remaining) for c, n in overflow.items()}
    return plan, {c: n for c, n in overflow.items() if n > 0}


def _bound(count: int, share: ReplicaShare, capacity: int | None) -> int:
    limits = [x for x in (count, share.maximum, capacity) if x is not None]
    return min(limits)


def _distribute(
    remaining: int,
    shares: Mapping[str, ReplicaShare],
    order: Sequence[str],
    plan: dict[str, int],
    preallocated: dict[str, int],
    capacity: Mapping[str, int],
) -> tuple[int, dict[str, int]]:
    """Rounds by weight, fractions rounded up, until nothing is left or nothing changes."""
    overflow: dict[str, int] = {}
    open_clusters = list(order)
    modified = True
    while modified and remaining > 0:
        modified = False
        weights = sum(shares[c].weight for c in open_clusters)
        if weights <= 0:
            break
        at_start, still_open = remaining, []
        for cluster in open_clusters:
            share, start = shares[cluster], plan[cluster]
            extra = min(-(-at_start * share.weight // weights), remaining)
            used = min(extra, preallocated.get(cluster, 0))
            if used > 0:
                preallocated[cluster] -= used
                extra -= used
                modified = True
            wanted, full = start + extra, False
            if share.maximum is not None and wanted > share.maximum:
                wanted, full = share.maximum, True
            if cluster in capacity and wanted > capacity[cluster]:
                overflow[cluster] = overflow.get(cluster, 0) + wanted - capacity[cluster]
                wanted, full = capacity[cluster], True
            if not full:
                still_open.append(cluster)
            remaining -= wanted - start
            plan[cluster] = wanted
            modified = modified or wanted > start
        open_clusters = still_open
    return remaining, overflow


def _fnv1_32(text: str) -> int:
    value = 0x811C9DC5
    for byte in text.encode():
        value = (value * 0x01000193) & 0xFFFFFFFF
        value ^= byte
    return value
