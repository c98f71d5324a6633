"""Which clusters a placement may use at all: names or selector, taints and tolerations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from reconciler.federation.model import Cluster, PlacementTarget, Taint, Toleration
from reconciler.federation.selectors import matches, selects


class Eligible(Struct, frozen=True):
    """The clusters that a target may use.

    names     in order
    left_out  cluster -> the taint that keeps it out, in words
    closed    those of ``left_out`` that are kept out by NoSchedule alone: nothing new goes there,
              and what is there stays
    """

    names: tuple[str, ...]
    left_out: Mapping[str, str]
    closed: frozenset[str]


def eligible(
    target: PlacementTarget,
    clusters: Mapping[str, Cluster],
    tainted: Mapping[str, Mapping[str, float]] | None = None,
) -> Eligible:
    """``tainted``: cluster -> taint as text -> for how many seconds it has been there."""
    chosen, left_out, closed = [], {}, set()
    for name, cluster in sorted(clusters.items()):
        if not selects(target, cluster):
            continue
        ages = (tainted or {}).get(name, {})
        taints = [
            t
            for t in cluster.taints
            if t.effect != "PreferNoSchedule"
            and not tolerated(t, target.tolerations, ages.get(str(t), 0.0))
        ]
        if not taints:
            chosen.append(name)
            continue
        drains = [t for t in taints if t.effect == "NoExecute"]
        left_out[name] = f"taint {(drains or taints)[0]} is not tolerated"
        if not drains:
            closed.add(name)
    return Eligible(tuple(chosen), left_out, frozenset(closed))


def affinity_score(target: PlacementTarget, cluster: Cluster) -> int:
    """The sum of the preferences that a cluster meets, less what its soft taints cost."""
    disliked = sum(
        t.effect == "PreferNoSchedule" and not tolerated(t, target.tolerations, 0.0)
        for t in cluster.taints
    )
    # A preference weighs 100 at most: a taint outweighs any ten of them.
    labels = cluster.all_labels
    return sum(p.weight for p in target.preferred if matches(p.selector, labels)) - 1000 * disliked


def tolerated(taint: Taint, tolerations: Iterable[Toleration], age: float) -> bool:
    """Whether one of the tolerations still bears a taint that has been there for ``age`` seconds.

    ``tolerationSeconds`` counts for NoExecute only, as in Kubernetes.
    """
    return any(
        tolerates(toleration, taint)
        and (
            toleration.toleration_seconds is None
            or taint.effect != "NoExecute"
            or age < toleration.toleration_seconds
        )
        for toleration in tolerations
    )


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """As pods tolerate the taints of nodes; without a key, whatever the taint's is."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return toleration.value == taint.value
