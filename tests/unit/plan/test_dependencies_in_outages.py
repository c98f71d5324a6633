"""Random placements and outages: nothing runs where what it needs is not."""

from __future__ import annotations

import os
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.api.moves import KeptUntilReady, ReplicasKept
from reconciler.api.objects import ObjectKey
from reconciler.federation.model import DesiredState
from reconciler.scheduler.model import Assignment
from reconciler.scheduler.schedule import schedule
from tests.strategies import fleet_events, rules_of_workloads
from tests.unit.dns.fleets import understood
from tests.unit.plan.failover_fleet import (
    CANNOT_TELL,
    CLUSTERS,
    FEDERATION,
    LOOKS_DOWN,
    LOOKS_WELL,
    NAMES,
    Fleet,
)
from tests.unit.plan.test_failover_histories import Event

EXAMPLES = 2 * int(os.environ.get("RECONCILER_FUZZ_ROUNDS", "25"))
EVENTS = fleet_events(Event, NAMES, [*LOOKS_DOWN, *LOOKS_WELL, *LOOKS_WELL, *CANNOT_TELL])
RULES = (
    "clusterSelector: {}, replicas: {mode: Divided}",
    "clusters: [aws-eu, gcp-us], replicas: {mode: Divided}",
    "clusterSelector: {}, spread: [{by: region, maxGroups: 1}]",
    "clusterSelector: {}, replicas: {mode: Divided}, spread: [{by: region, maxGroups: 2}]",
    "clusters: [aws-us]",
    "clusters: []",
    "clusterSelector: {}",
)
WORKLOAD = """
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: w%d, namespace: shop}
spec:
  replicas: 4
  selector: {matchLabels: {app: w%d}}
  template:
    metadata: {labels: {app: w%d}}
    spec:
      serviceAccountName: a%d
      containers: [{name: a, image: a, envFrom: [{configMapRef: {name: own%d}}]}]
      volumes: [{name: v, secret: {secretName: shared}}]
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: own%d, namespace: shop}}
---
{apiVersion: v1, kind: Secret, metadata: {name: pull%d, namespace: shop}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: a%d, namespace: shop},
 imagePullSecrets: [{name: pull%d}]}
---
{apiVersion: v1, kind: Service, metadata: {name: w%d, namespace: shop},
 spec: {selector: {app: w%d}, ports: [{port: 80}]}}
"""
SHARED = """
---
{apiVersion: v1, kind: Secret, metadata: {name: shared, namespace: shop}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
"""
PLACEMENT = """
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: w%d}
spec: {select: [{kind: Deployment, name: w%d}], %s}
"""
DEFAULTS = "  defaults: {placement: {clusterSelector: {}}}\n"


@cache
def repository(rules: tuple[str, ...], default: str) -> DesiredState:
    federation = FEDERATION.replace(DEFAULTS, f"  dependencies: Follow\n{default}") % (2, 1, 3)
    workloads = "".join(
        WORKLOAD.replace("%d", str(n)) + PLACEMENT % (n, n, rule) for n, rule in enumerate(rules)
    )
    return understood(federation, CLUSTERS, workloads + SHARED)


def needed_by(number: int) -> set[ObjectKey]:
    return {
        ObjectKey("", "ConfigMap", "shop", f"own{number}"),
        ObjectKey("", "Secret", "shop", f"pull{number}"),
        ObjectKey("", "Secret", "shop", "shared"),
        ObjectKey("", "ServiceAccount", "shop", f"a{number}"),
        ObjectKey("", "Service", "shop", f"w{number}"),
        ObjectKey("", "Namespace", "", "shop"),
    }


class FleetWithNeeds(Fleet):
    """A fleet in which all objects count, not only what has replicas."""

    def __init__(self, state: DesiredState) -> None:
        super().__init__()
        self.state, self.usual = state, schedule(state)
        self.workloads = {w.key: w for w in state.workloads}
        for name, member in self.members.items():
            member.asked = self.share_of(name)
            member.ready = dict(member.asked)

    def count_of(self, assignment: Assignment, name: str) -> int:
        return super().count_of(assignment, name) if assignment.workload.kind == "Deployment" else 1

    def check(self) -> None:
        for name, member in self.members.items():
            for key in member.asked:
                if key.kind == "Deployment":
                    missing = needed_by(int(key.name[1:])) - member.asked.keys()
                    assert not missing, f"{key} is in {name} without {missing}"


@settings(max_examples=EXAMPLES)
@given(
    rules_of_workloads(RULES, 3),
    st.sampled_from(["", "  defaults: {placement: {clusters: [gcp-eu]}}\n"]),
    st.sampled_from(NAMES),
    st.lists(EVENTS, max_size=8),
)
def test_nothing_runs_anywhere_without_what_it_needs(
    rules: tuple[str, ...], default: str, first: str, events: list[Event]
) -> None:
    fleet = FleetWithNeeds(repository(rules, default))
    fleet.check()
    # Long enough to be declared down and to be back, while nothing is ready there yet.
    out = Event(first, "silent", False, 60.0, "kept", True, 5)
    back = Event(first, "+", False, 60.0, "kept", False, 7)
    for event in [out, back, *events]:
        fleet.suffers(event.cluster, event.sign, rebuilt=event.rebuilt)
        if event.memory != "kept":
            fleet.forget(damaged=event.memory == "damaged")
        for _ in range(event.repeat):
            before = {n: set(m.asked) for n, m in fleet.members.items()}
            run = fleet.run(event.pause)
            fleet.check()
            for name in run.answered:
                kept = fleet.members[name].asked.keys()
                for key in before[name] - kept:
                    users = [w for w in kept if key in needed_by_key(w)]
                    assert not users, f"{key} left {name}, where {users} run"
            if event.pods_start:
                fleet.start_pods()


def needed_by_key(key: ObjectKey) -> set[ObjectKey]:
    return needed_by(int(key.name[1:])) if key.kind == "Deployment" else set()


@settings(max_examples=EXAMPLES)
@given(rules_of_workloads(RULES, 3))
def test_nothing_goes_where_nobody_needs_it(rules: tuple[str, ...]) -> None:
    found = {a.workload: a for a in schedule(repository(rules, ""))}
    for number in range(3):
        workload = found[ObjectKey("apps", "Deployment", "shop", f"w{number}")]
        own = found[ObjectKey("", "ConfigMap", "shop", f"own{number}")]
        assert own.replicas.keys() == workload.replicas.keys()
        assert own.spare == workload.spare


def test_a_stand_in_that_stays_until_its_home_is_ready_keeps_what_it_needs() -> None:
    fleet = FleetWithNeeds(repository((RULES[2], RULES[4], RULES[5]), ""))
    web = ObjectKey("apps", "Deployment", "shop", "w0")
    (home,) = [name for name, member in fleet.members.items() if web in member.asked]
    fleet.suffers(home, "silent")
    for _ in range(6):
        fleet.run()
        fleet.check()
        fleet.start_pods()
    stand_in = {name for name, member in fleet.members.items() if web in member.asked} - {home}
    assert stand_in
    fleet.suffers(home, "+")
    stayed = 0
    for number in range(14):
        run = fleet.run()
        fleet.check()
        stayed += any(isinstance(move, KeptUntilReady | ReplicasKept) for move in run.placing.moves)
        if number > 10:
            fleet.start_pods()
    assert stayed
    left = {name for name, member in fleet.members.items() if web in member.asked}
    assert left == {home}
    own = ObjectKey("", "ConfigMap", "shop", "own0")
    assert {name for name, member in fleet.members.items() if own in member.asked} == {home}
