"""``overflow``: one step is filled after the other, and the last one empties first."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.api.errors import Position
from reconciler.api.files import SourceFile
from reconciler.api.manifest import Manifest
from reconciler.api.objects import ObjectKey
from reconciler.federation.compile import compile_documents
from reconciler.federation.model import (
    Cluster,
    DesiredState,
    Federation,
    OverflowStep,
    PlacementTarget,
    ReplicaRule,
    ReplicaShare,
    Selector,
    Workload,
    WorkloadRules,
)
from reconciler.manifests.load import load
from reconciler.scheduler.model import Assignment, FleetView
from reconciler.scheduler.schedule import schedule
from tests.strategies import CAPACITIES, REPLICA_TOTALS, STEPS

CLUSTERS = "".join(
    f"""
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {{name: {name}, labels: {{cloud: {cloud}}}}}
spec: {{{capacity}}}
---"""
    for name, cloud, capacity in (
        ("onprem-1", "own", "capacity: {replicas: 4}"),
        ("onprem-2", "own", "capacity: {replicas: 2}"),
        ("aws", "public", "capacity: {replicas: 3}"),
        ("gcp", "public", ""),
    )
)
WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {replicas: %d}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{kind: Deployment}]
  %s
"""
STEPWISE = (
    "overflow: [{clusterSelector: {matchLabels: {cloud: own}}}, {clusters: [aws]}, "
    "{clusters: [gcp]}]\n  replicas: {mode: Divided}"
)


def read(replicas: int, placement: str):
    text = CLUSTERS + WEB % (replicas, placement)
    manifests = load([SourceFile("all.yaml", text.encode())])
    found = compile_documents(manifests.documents)
    return found.state, [str(p) for p in (*manifests.problems, *found.problems)]


@pytest.mark.parametrize(
    ("replicas", "expected"),
    [
        (3, {"onprem-1": 2, "onprem-2": 1}),
        (6, {"onprem-1": 4, "onprem-2": 2}),
        (8, {"onprem-1": 4, "onprem-2": 2, "aws": 2}),
        (20, {"onprem-1": 4, "onprem-2": 2, "aws": 3, "gcp": 11}),
    ],
)
def test_a_step_is_used_when_those_before_it_are_full(
    replicas: int, expected: dict[str, int]
) -> None:
    state, problems = read(replicas, STEPWISE)
    assert not problems
    (found,) = schedule(state)
    used = {name: count for name, count in found.replicas.items() if count}
    if replicas == 3:
        assert sum(used.values()) == 3
        assert used.keys() <= {"onprem-1", "onprem-2"}
    else:
        assert used == expected
    assert found.shortfall == 0


def test_a_step_that_is_down_is_passed_over() -> None:
    state, _ = read(5, STEPWISE)
    down = {"onprem-1": "down", "onprem-2": "down"}
    (found,) = schedule(state, FleetView(unavailable=down))
    assert dict(found.replicas) == {"onprem-1": 0, "onprem-2": 0, "aws": 3, "gcp": 2}


def test_what_fits_nowhere_is_told() -> None:
    state, _ = read(9, STEPWISE.replace(", {clusters: [gcp]}", ""))
    assert schedule(state)[0].shortfall == 0
    state, _ = read(10, STEPWISE.replace(", {clusters: [gcp]}", ""))
    assert schedule(state)[0].shortfall == 1


@pytest.mark.parametrize(
    ("placement", "words"),
    [
        ("clusters: [aws]\n  " + STEPWISE, "overflow beside clusters (line 3"),
        ("clusterSelector: {}\n  " + STEPWISE, "overflow beside clusterSelector (line 3"),
        ("overflow: [{clusters: [aws]}]", "overflow of replicas that are not divided"),
        ("overflow: [{clusters: [asw]}]\n  replicas: {mode: Divided}", "did you mean aws?"),
        ("overflow: []\n  replicas: {mode: Divided}", "expected at least 1"),
        ("overflow: [{}]\n  replicas: {mode: Divided}", "overflow[0]"),
        ("overflow: [{cluster: [aws]}]\n  replicas: {mode: Divided}", "did you mean clusters?"),
    ],
)
def test_what_cannot_be_meant_is_an_error(placement: str, words: str) -> None:
    _, problems = read(5, placement)
    assert any(words in problem for problem in problems), problems


def test_a_step_without_clusters_or_with_those_of_another_is_told() -> None:
    for step, words in (
        ("{clusterSelector: {matchLabels: {cloud: none}}}", "this step matches no cluster"),
        ("{clusters: [onprem-1]}", "the entries before it have onprem-1 already"),
    ):
        state, problems = read(5, STEPWISE.replace("{clusters: [aws]}", step))
        assert not problems
        assert any(words in str(notice) for notice in state.notices)


def assigned(total: int, steps: list[list[str]], limits: dict[str, int], shares) -> Assignment:
    nowhere = Position("", 1, 1)
    names = sorted({name for step in steps for name in step})
    key = ObjectKey("apps", "Deployment", "shop", "web")
    workload = Workload(
        key,
        Manifest({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}}),
        nowhere,
        WorkloadRules(
            PlacementTarget(
                selector=Selector(), overflow=tuple(OverflowStep(tuple(step)) for step in steps)
            ),
            replicas=ReplicaRule(mode="Divided", total=total, shares=shares),
        ),
    )
    clusters = tuple(Cluster(name, nowhere) for name in names)
    state = DesiredState(Federation("f", nowhere), clusters, (workload,))
    return schedule(state, FleetView(capacity={key: limits}))[0]


@settings(max_examples=300)
@given(
    REPLICA_TOTALS,
    STEPS,
    CAPACITIES,
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 5)),
)
def test_steps_fill_in_order_and_empty_in_reverse(total, steps, limits, weights) -> None:
    shares = {name: ReplicaShare(weight) for name, weight in weights.items()}
    fewer, more = (assigned(n, steps, limits, shares) for n in (total, total + 1))
    assert sum(more.replicas.values()) + more.shortfall == total + 1
    assert all(fewer.replicas[name] <= count for name, count in more.replicas.items())
    seen: set[str] = set()
    for number, step in enumerate(steps):
        members = [name for name in step if name not in seen]
        seen |= set(members)
        beyond = {name for later in steps[number + 1 :] for name in later} - seen
        if any(more.replicas[name] for name in beyond) or more.shortfall:
            # Full: each has as much as it takes.
            for name in members:
                weight = shares.get(name, ReplicaShare()).weight
                assert more.replicas[name] == limits.get(name) or not weight
