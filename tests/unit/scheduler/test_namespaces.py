"""A Namespace that no rule places goes wherever anything in it goes."""

from __future__ import annotations

import textwrap

import pytest
from msgspec.structs import replace

from reconciler.api.files import SourceFile
from reconciler.api.objects import ObjectKey
from reconciler.federation.compile import compile_documents
from reconciler.federation.model import DesiredState
from reconciler.manifests.load import load
from reconciler.scheduler.model import Assignment, FleetView
from reconciler.scheduler.placement_warnings import why_unplaced
from reconciler.scheduler.schedule import schedule, with_followers_placed

SHOP = ObjectKey("", "Namespace", "", "shop")
FLEET = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws, labels: {cloud: aws}}
spec: {provider: aws, region: eu-central-1}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: edge, labels: {cloud: edge}}
spec: {provider: own, taints: [{key: edge, value: "true", effect: NoSchedule}]}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: gcp, labels: {cloud: gcp}}
spec: {provider: gcp, region: europe-west1}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
"""
MAP = """
---
apiVersion: v1
kind: ConfigMap
metadata: {name: %s, namespace: shop}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: %s}
spec: {select: [{kind: ConfigMap, name: %s}], %s}
"""


def _state(text: str) -> DesiredState:
    manifests = load([SourceFile("all.yaml", (FLEET + textwrap.dedent(text)).encode())])
    found = compile_documents(manifests.documents)
    assert found.state is not None, [*manifests.problems, *found.problems]
    return found.state


def _map(name: str, where: str) -> str:
    return MAP % (name, name, name, where)


def _namespace(state: DesiredState, view: FleetView | None = None) -> Assignment:
    return next(a for a in schedule(state, view) if a.workload == SHOP)


BY_CLOUD = "clusterSelector: {matchLabels: {cloud: %s}}"


@pytest.mark.parametrize(
    ("content", "clusters"),
    [
        (_map("a", BY_CLOUD % "aws") + _map("b", BY_CLOUD % "gcp"), ["aws", "gcp"]),
        (_map("a", BY_CLOUD % "gcp") + _map("b", "clusters: [aws]"), ["aws", "gcp"]),
        (_map("a", "clusters: [gcp]") + _map("b", "clusters: []"), ["gcp"]),
        (
            _map("a", "clusters: [gcp]")
            + _map("b", "clusters: [edge], tolerations: [{key: edge, operator: Exists}]"),
            ["edge", "gcp"],
        ),
        (_map("a", "clusters: [edge, gcp]"), ["gcp"]),
        (_map("a", "affinity: {required: [{matchLabels: {cloud: aws}}]}"), ["aws"]),
        (
            """
            ---
            apiVersion: types.kubefed.io/v1beta1
            kind: FederatedConfigMap
            metadata: {name: a, namespace: shop}
            spec: {template: {data: {}}, placement: {clusters: [{name: gcp}]}}
            """,
            ["gcp"],
        ),
    ],
)
def test_it_goes_where_all_of_its_content_goes(content: str, clusters: list[str]) -> None:
    state = _state(textwrap.dedent(content))
    assert list(_namespace(state).replicas) == clusters
    assert not [w for w in state.warnings if "Namespace" in w]


def test_it_goes_where_spreading_takes_its_content_and_with_it_in_an_outage() -> None:
    state = _state(_map("a", "spread: [{by: provider, maxGroups: 1}]"))
    usual = _namespace(state)
    [home] = usual.replicas
    assert usual.spare == () or home not in usual.spare
    moved = _namespace(state, FleetView(unavailable={home: "down"}))
    content = next(
        a for a in schedule(state, FleetView(unavailable={home: "down"})) if a.workload.name == "a"
    )
    assert moved.replicas.keys() == content.replicas.keys() > usual.replicas.keys()


def test_clusters_that_only_an_outage_would_use_are_spare_for_it_too() -> None:
    state = _state(
        """
        ---
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: web, namespace: shop}
        spec: {replicas: 2, template: {spec: {containers: [{name: web, image: x}]}}}
        ---
        apiVersion: federation.reconciler.dev/v1alpha1
        kind: Placement
        metadata: {name: web}
        spec:
          select: [{kind: Deployment}]
          spread: [{by: cluster, maxGroups: 1}]
          affinity: {preferred: [{weight: 9, selector: {matchLabels: {cloud: gcp}}}]}
        """
    )
    found = {a.workload.kind: a for a in schedule(state)}
    assert list(found["Namespace"].replicas) == ["gcp"]
    assert found["Namespace"].spare == found["Deployment"].spare == ("aws",)


def test_it_leaves_a_cluster_with_the_last_that_leaves() -> None:
    state = _state(_map("a", "clusters: [gcp]") + _map("b", "clusters: [gcp]"))
    held = [
        replace(a, replicas={"aws": None, "gcp": None}, leaving=frozenset({"aws"}))
        if a.workload.name == "a"
        else a
        for a in schedule(state)
    ]
    namespace = next(a for a in with_followers_placed(state, held) if a.workload == SHOP)
    assert list(namespace.replicas) == ["aws", "gcp"]
    assert namespace.leaving == {"aws"}


def test_it_is_given_up_with_all_that_is_in_it() -> None:
    state = _state(_map("a", "clusters: []"))
    [namespace] = [w for w in state.workloads if w.key == SHOP]
    assert namespace.is_given_up
    assert not why_unplaced(state, schedule(state)).nowhere


def test_why_a_cluster_is_not_to_have_it_is_told() -> None:
    state = _state(_map("a", BY_CLOUD % "gcp"))
    absent = why_unplaced(state, schedule(state))
    assert str(absent.reason(SHOP, "aws")) == "no longer placed here (nothing in it goes there)"
    lost = _state(_map("a", BY_CLOUD % "azure"))
    absent = why_unplaced(lost, schedule(lost))
    assert absent.nowhere[SHOP] == "nothing in it goes anywhere"


def test_one_that_a_rule_places_goes_where_the_rule_says() -> None:
    state = _state(
        _map("a", "clusters: [gcp]")
        + """
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: spaces}
spec: {select: [{kind: Namespace}], clusters: [aws, gcp]}
"""
    )
    assert list(_namespace(state).replicas) == ["aws", "gcp"]
