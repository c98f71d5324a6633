"""Which clusters a placement may use at all: names or selector, taints and tolerations."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.federation.model import Cluster, PlacementTarget, Taint, Toleration
from reconciler.federation.selectors import matches


def eligible(
    target: PlacementTarget, clusters: Mapping[str, Cluster]
) -> tuple[list[str], dict[str, str]]:
    """Names in order, and for those left out by a taint the reason why."""
    chosen, left_out = [], {}
    for name, cluster in sorted(clusters.items()):
        if not _selected(target, cluster):
            continue
        taint = next((t for t in cluster.taints if _repels(t, target.tolerations)), None)
        if taint is None:
            chosen.append(name)
        else:
            left_out[name] = f"taint {taint.key}={taint.value}:{taint.effect} is not tolerated"
    return chosen, left_out


def labels_of(cluster: Cluster) -> dict[str, str]:
    """A cluster's labels, with its place under the names that Kubernetes has for nodes."""
    place = {
        "topology.kubernetes.io/region": cluster.region,
        "topology.kubernetes.io/zone": cluster.zone,
        "federation.reconciler.dev/provider": cluster.provider,
    }
    return {**{k: v for k, v in place.items() if v}, **cluster.labels}


def liking(target: PlacementTarget, cluster: Cluster) -> int:
    """The sum of the preferences that a cluster meets."""
    labels = labels_of(cluster)
    return sum(p.weight for p in target.preferred if matches(p.selector, labels))


def _selected(target: PlacementTarget, cluster: Cluster) -> bool:
    if target.required and not any(matches(s, labels_of(cluster)) for s in target.required):
        return False
    if target.clusters is not None:
        return cluster.name in target.clusters
    return target.selector is not None and matches(target.selector, labels_of(cluster))


def _repels(taint: Taint, tolerations: tuple[Toleration, ...]) -> bool:
    if taint.effect == "PreferNoSchedule":
        return False
    return not any(tolerates(toleration, taint) for toleration in tolerations)


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """As pods tolerate the taints of nodes."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return bool(toleration.key) and toleration.value == taint.value
