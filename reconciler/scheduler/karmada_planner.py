"""The replicas of a workload that one of Karmada's policies divides."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from reconciler.federation.model import Cluster, ReplicaRule
from reconciler.federation.selectors import affine
from reconciler.scheduler.karmada import Unschedulable, by_webster, divide


def plan_karmada_replicas(
    rule: ReplicaRule,
    total: int,
    names: Sequence[str],
    clusters: Mapping[str, Cluster],
    limits: Mapping[str, int],
    before: Mapping[str, int],
    unseen: Collection[str] = (),
) -> tuple[dict[str, int], int]:
    """Replicas per cluster, and how many fit nowhere. A cluster that gets none has no entry, as
    Karmada does not put a workload there; where none at all are wanted, all have 0.

    ``limits``: the most that a cluster takes, where that is known; of the others, each has room for
    all. ``before``: what each was given last, which stays where more are wanted. ``unseen``:
    clusters of which nobody knows what they run; they are taken to run what is lacking.
    """
    if total == 0:
        return dict.fromkeys(names, 0), 0
    if rule.strategy == "StaticWeight":
        counts = _by_weights(rule, total, names, clusters, limits)
    else:
        previous = {n: before[n] for n in names if before.get(n)}
        lacking = total - sum(previous.values())
        if lacking > 0:
            silent = [n for n in names if n in unseen]
            previous |= by_webster(lacking, dict.fromkeys(silent, 1))
        room = {n: max(0, limits.get(n, total) - previous.get(n, 0)) for n in names}
        try:
            counts = divide(rule.strategy, total, names, None, room, previous)
        except Unschedulable:
            counts = previous
    counts = {name: count for name, count in counts.items() if count}
    return counts, max(0, total - sum(counts.values()))


def _by_weights(
    rule: ReplicaRule,
    total: int,
    names: Sequence[str],
    clusters: Mapping[str, Cluster],
    limits: Mapping[str, int],
) -> dict[str, int]:
    """By the largest weight that matches each cluster; what one cannot take goes to the others."""
    weights = {
        name: max((w for a, w in rule.weights if affine(a, clusters[name])), default=0)
        for name in names
    }
    if any(weights.values()):
        names = [name for name in names if weights[name]]
    full: dict[str, int] = {}
    while True:
        open_names = [name for name in names if name not in full]
        left = total - sum(full.values())
        found = divide("StaticWeight", left, open_names, weights) if open_names else {}
        over = {n: limits[n] for n, count in found.items() if n in limits and count > limits[n]}
        if not over:
            return full | found
        full |= over
