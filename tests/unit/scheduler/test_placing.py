"""Where things go: names, selectors, affinity, taints, spreading."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from reconciler.api.errors import Position
from reconciler.api.files import SourceFile
from reconciler.api.manifest import Manifest
from reconciler.api.objects import Object, ObjectKey
from reconciler.federation.compile import compile_documents
from reconciler.federation.model import (
    Cluster,
    DesiredState,
    Federation,
    Taint,
    Workload,
    WorkloadRules,
)
from reconciler.manifests.load import load
from reconciler.scheduler.model import FleetView
from reconciler.scheduler.schedule import _AllowedClusters, schedule
from tests.strategies import PLAIN_RULES, VIEWS_OF_FOUR

CLUSTERS = "---".join(
    f"""
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {{name: {name}, labels: {{size: {size}}}}}
spec: {{provider: {provider}, region: {region}{extra}}}
"""
    for name, provider, region, size, extra in (
        ("aws-1", "aws", "eu", "big", ""),
        ("aws-2", "aws", "us", "small", ""),
        ("gcp-1", "gcp", "eu", "small", ""),
        ("edge", "onprem", "eu", "small", ", taints: [{key: edge, effect: NoSchedule}]"),
    )
)
PLACEMENT = """
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec: {select: [{kind: Deployment}], %s}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec: {replicas: 6}
"""


def assigned(rule: str, view: FleetView | None = None) -> dict[str, int | None]:
    manifests = load([SourceFile("a.yaml", (CLUSTERS + PLACEMENT % rule).encode())])
    assert not manifests.problems, [str(p) for p in manifests.problems]
    found = compile_documents(manifests.documents)
    assert found.state is not None, [str(p) for p in found.problems]
    (assignment,) = schedule(found.state, view)
    return dict(assignment.replicas)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("clusters: [aws-1, gcp-1]", {"aws-1", "gcp-1"}),
        ("clusters: []", set()),
        ("clusterSelector: {matchLabels: {size: small}}", {"aws-2", "gcp-1"}),
        ("clusterSelector: {}", {"aws-1", "aws-2", "gcp-1"}),
        ("tolerations: [{key: edge, operator: Exists}]", {"aws-1", "aws-2", "gcp-1", "edge"}),
        (
            "affinity: {required: [{matchLabels: {topology.kubernetes.io/region: eu}}]}",
            {"aws-1", "gcp-1"},
        ),
        (
            "spread: [{by: provider, maxGroups: 1}], affinity: {preferred: [{weight: 5, "
            "selector: {matchLabels: {federation.reconciler.dev/provider: gcp}}}]}",
            {"gcp-1"},
        ),
        (
            "spread: [{by: provider, maxGroups: 1}], affinity: {preferred: [{weight: 5, "
            "selector: {matchLabels: {size: big}}}]}",
            {"aws-1", "aws-2"},
        ),
    ],
)
def test_a_rule_chooses_clusters(rule: str, expected: set[str]) -> None:
    assert set(assigned(rule)) == expected


def test_divided_replicas_leave_a_cluster_that_is_down_and_nothing_is_pruned_there() -> None:
    down = FleetView(unavailable={"aws-1": "down"})
    rule = "replicas: {mode: Divided}"
    assert assigned(rule) == {"aws-1": 2, "aws-2": 2, "gcp-1": 2}
    assert assigned(rule, down) == {"aws-1": 0, "aws-2": 3, "gcp-1": 3}


def test_another_group_steps_in_for_one_that_is_down() -> None:
    rule = (
        "spread: [{by: provider, maxGroups: 1}], replicas: {mode: Divided}, affinity: {preferred: "
        "[{weight: 5, selector: {matchLabels: {federation.reconciler.dev/provider: gcp}}}]}"
    )
    down = FleetView(unavailable={"gcp-1": "down"})
    assert assigned(rule, down) == {"aws-1": 3, "aws-2": 3, "gcp-1": 0}


@settings(max_examples=400, deadline=None)
@given(PLAIN_RULES, VIEWS_OF_FOUR)
def test_what_goes_everywhere_alike_is_placed_as_if_it_were_looked_at_alone(
    rules: list[tuple[str, WorkloadRules]], view: FleetView
) -> None:
    here = Position("", 1, 1)
    taint = (Taint("edge", "", "NoSchedule"),)
    clusters = tuple(
        Cluster(
            name, here, capacity=1 if name == "b" else None, taints=taint if name == "d" else ()
        )
        for name in "abcd"
    )
    workloads = []
    for number, (kind, rule) in enumerate(rules):
        name = f"web-{number}"
        body: Object = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}}
        if kind == "Deployment":
            body["spec"] = {"replicas": number}
        workloads.append(Workload(ObjectKey("apps", kind, "", name), Manifest(body), here, rule))
    state = DesiredState(Federation("f", here), clusters, tuple(workloads))
    found = schedule(state, view)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_AllowedClusters, "everywhere", lambda _self, _workload: None)
        assert schedule(state, view) == found
