"""Which clusters are to have an object, and which only because of an outage. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reconciler.api.objects import ObjectKey
from reconciler.api.remembered import remembered
from reconciler.render.render import Rendering
from reconciler.scheduler.model import Assignment


@remembered
def clusters_by_object(rendering: Rendering) -> Mapping[ObjectKey, frozenset[str]]:
    """Object -> the clusters that are to have it."""
    # Most have the very same objects.
    clusters: dict[int, list[str]] = {}
    for name, objects in rendering.objects.items():
        clusters.setdefault(id(objects), []).append(name)
    placed_in: dict[ObjectKey, frozenset[str]] = {}
    # Most go to the same clusters.
    same: dict[tuple[frozenset[str], frozenset[str]], frozenset[str]] = {}

    def add(key: ObjectKey, names: frozenset[str]) -> None:
        before = placed_in.setdefault(key, names)
        if before is not names:
            both = before, names
            if both not in same:
                same[both] = before | names
            placed_in[key] = same[both]

    for some in clusters.values():
        names = frozenset(some)
        for desired in rendering.objects[some[0]]:
            add(desired.key, names)
            if not desired.key.namespace:
                # The member's discovery tells whether it is namespaced; here both are remembered.
                add(desired.key.with_namespace, names)
    return placed_in


def in_either(
    one: Mapping[ObjectKey, frozenset[str]], other: Mapping[ObjectKey, frozenset[str]]
) -> Mapping[ObjectKey, frozenset[str]]:
    """Object -> the clusters that it has in one of them."""
    if one is other:
        return one
    return {
        key: one.get(key, frozenset()) | other.get(key, frozenset())
        for key in one.keys() | other.keys()
    }


def moved_to(
    usual: Sequence[Assignment], assignments: Sequence[Assignment]
) -> dict[str, frozenset[ObjectKey]]:
    """Cluster -> what it is to run, or to run more of, only because others do not; and the
    autoscalers that may do so for that reason."""
    if usual is assignments:
        return {}
    shares = {a.workload: a.replicas for a in usual}
    bounds = {a.workload: a.bounds for a in usual if a.bounds}
    found: dict[str, set[ObjectKey]] = {}
    for one in assignments:
        for name, count in one.replicas.items() if one.replicas != shares[one.workload] else ():
            share = shares[one.workload].get(name, 0)
            if name not in one.leaving and share is not None and (count is None or count > share):
                found.setdefault(name, set()).add(one.workload)
        for name, (_, most) in one.bounds.items() if one.workload in bounds else ():
            if name in bounds[one.workload] and most > bounds[one.workload][name][1]:
                found.setdefault(name, set()).add(one.workload)
    return {name: frozenset(keys) for name, keys in found.items()}
