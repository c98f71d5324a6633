"""Whatever Git changes about where things go: no write of a run leaves fewer serving than before.

Copies, spread workloads, preferred clusters and shares alike, over taints, placements, capacities.
"""

from __future__ import annotations

from functools import cache

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reconciler.federation.model import DesiredState
from reconciler.scheduler.schedule import schedule
from tests.strategies import edits_of_placements
from tests.unit.dns.fleets import understood
from tests.unit.plan.failover_fleet import (
    DEPLOYMENT,
    FEDERATION,
    NAMES,
    PLACEMENT,
    PREFERENCE,
    Fleet,
)

CLUSTER = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: %s, labels: {kind: %s}}
spec: {provider: %s, region: %s, capacity: {replicas: %d}%s}
"""
TAINTS = ("", ", taints: [{key: a, effect: NoSchedule}]", ", taints: [{key: a, effect: NoExecute}]")
WHERE = (
    "clusterSelector: {}",
    "clusterSelector: {matchLabels: {kind: left}}",
    "clusterSelector: {matchLabels: {kind: right}}",
    "clusters: [aws-eu]",
    "clusters: [gcp-eu, gcp-us]",
)
HOW = {
    "copied": ("replicas: {mode: Duplicated}",),
    "spread": (
        "spread: [{by: region, maxGroups: 1}]",
        "spread: [{by: region, maxGroups: 2}]",
        "spread: [{by: provider, maxGroups: 1}]",
    ),
    "divided": (
        "replicas: {mode: Divided}",
        "replicas: {mode: Divided, clusters: [{name: aws-eu, weight: 3, max: 4}, {name: gcp-us}]}",
        "replicas: {mode: Divided}, spread: [{by: region, maxGroups: 1}]",
    ),
}
EDITS = edits_of_placements(len(NAMES), TAINTS, WHERE, tuple(HOW.values()))


@cache
def repository(edit: tuple) -> DesiredState:
    clusters, *placements = edit
    documents = "---".join(
        CLUSTER % (name, kind, name[:3], name, room, taints)
        for name, (kind, room, taints) in zip(NAMES, clusters, strict=True)
    )
    workloads = "".join(
        DEPLOYMENT % (name, 4)
        + (PLACEMENT % (name, name, how)).replace("clusterSelector: {}", where)
        for name, (where, how) in zip(HOW, placements, strict=True)
    )
    return understood(FEDERATION % (1, 1, 3), documents, workloads + PREFERENCE)


class EditedFleet(Fleet):
    """A fleet in which Git changes."""

    def edit(self, edit: tuple) -> None:
        self.state = repository(edit)
        self.usual = schedule(self.state)
        self.workloads = {w.key: w for w in self.state.workloads}

    def wanted(self, key) -> int:
        (one,) = [a for a in self.usual if a.workload == key]
        return sum(self.count_of(one, name) for name in one.replicas)

    def settle(self) -> None:
        for _ in range(4):
            self.run()
            self.start_pods()


@settings(max_examples=40)
@given(edits=st.lists(EDITS, min_size=2, max_size=4), starts=st.lists(st.booleans(), max_size=8))
def test_nothing_moves_before_its_new_home_serves(edits, starts) -> None:
    fleet = EditedFleet()
    fleet.members = {name: type(m)({}, {}) for name, m in fleet.members.items()}
    fleet.edit(edits[0])
    fleet.settle()
    assume(any(fleet.serving(key) for key in fleet.workloads))
    ready = iter([*starts, *[True] * 99])
    for edit in edits[1:]:
        fleet.edit(edit)
        for _ in range(3):
            before = {key: fleet.serving(key) for key in fleet.workloads}
            fleet.run()
            # Members only lose by what is written; what they gain is not ready yet.
            for key, serving in before.items():
                least = min(serving, max(1, fleet.wanted(key)))
                assert fleet.serving(key) >= least, (key, before[key], fleet.members)
            if next(ready):
                fleet.start_pods()
