"""A Namespace that no rule places goes wherever anything in it goes. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from msgspec.structs import replace

from reconciler.federation.model import DesiredState
from reconciler.scheduling.assignment import Assignment


def with_namespaces(
    state: DesiredState, assignments: Sequence[Assignment]
) -> tuple[Assignment, ...]:
    """The assignments, in which such Namespaces go with what lies in them as it is placed now:
    with the stand-ins of an outage, and with what stays where it is until it is ready elsewhere."""
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
