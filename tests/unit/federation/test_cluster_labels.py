"""Every selector over clusters sees a cluster's labels and its place, and sees them alike."""

from __future__ import annotations

import textwrap

import pytest

from reconciler.api.files import SourceFile
from reconciler.api.objects import Object
from reconciler.federation.compile import Compiled, compile_documents
from reconciler.manifests.load import load
from reconciler.render.render import render
from reconciler.scheduler.schedule import schedule

CLUSTERS = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws}
spec: {provider: aws, region: eu-central-1, zone: eu-central-1a}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: gcp, labels: {topology.kubernetes.io/region: europe-west1}}
spec: {provider: gcp}
---
apiVersion: core.kubefed.io/v1beta1
kind: KubeFedCluster
metadata:
  name: old
  labels: {federation.reconciler.dev/provider: own, topology.kubernetes.io/zone: cellar}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
  annotations: {federation.reconciler.dev/substitute: "true"}
spec:
  replicas: 7
  template:
    spec:
      containers:
        - name: web
          image: x
          env:
            - {name: PROVIDER, value: "${cluster.labels.federation.reconciler.dev/provider}"}
            - {name: REGION, value: "${cluster.region}"}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{kind: Deployment}]
"""
SELECTORS = [
    ("{matchLabels: {federation.reconciler.dev/provider: aws}}", {"aws"}),
    ("{matchLabels: {topology.kubernetes.io/region: europe-west1}}", {"gcp"}),
    ("{matchLabels: {topology.kubernetes.io/zone: cellar}}", {"old"}),
    (
        "{matchExpressions: [{key: federation.reconciler.dev/provider, operator: NotIn, "
        "values: [aws]}]}",
        {"gcp", "old"},
    ),
    ("{matchExpressions: [{key: topology.kubernetes.io/zone, operator: Exists}]}", {"aws", "old"}),
]


def _understand(rules: str) -> Compiled:
    text = CLUSTERS + textwrap.indent(textwrap.dedent(rules), "  ")
    manifests = load([SourceFile("all.yaml", text.encode())])
    return compile_documents(manifests.documents)


def _rendered(rules: str) -> dict[str, Object]:
    found = _understand(rules)
    assert found.state is not None, found.problems
    rendering = render(found.state, schedule(found.state))
    return {name: objects[0].body for name, objects in rendering.objects.items() if objects}


@pytest.mark.parametrize(("selector", "chosen"), SELECTORS)
def test_overrides_see_it(selector: str, chosen: set[str]) -> None:
    bodies = _rendered(f"overrides: [{{clusterSelector: {selector}, replicas: 3}}]")
    assert {name for name, body in bodies.items() if body["spec"]["replicas"] == 3} == chosen


@pytest.mark.parametrize(("selector", "chosen"), SELECTORS)
def test_shares_see_it(selector: str, chosen: set[str]) -> None:
    bodies = _rendered(
        f"replicas: {{mode: Divided, clusters: [{{selector: {selector}, weight: 0}}]}}"
    )
    assert {name for name, body in bodies.items() if body["spec"]["replicas"] == 0} == chosen


@pytest.mark.parametrize(("selector", "chosen"), SELECTORS)
def test_placements_see_it(selector: str, chosen: set[str]) -> None:
    assert set(_rendered(f"clusterSelector: {selector}")) == chosen
    assert set(_rendered(f"affinity: {{required: [{selector}]}}")) == chosen


@pytest.mark.parametrize(("selector", "chosen"), SELECTORS)
def test_preferences_see_it(selector: str, chosen: set[str]) -> None:
    liked = f"spread: [{{by: cluster, maxGroups: {len(chosen)}}}]\n"
    liked += f"affinity: {{preferred: [{{weight: 1, selector: {selector}}}]}}"
    assert set(_rendered(liked)) == chosen


def test_variables_see_it() -> None:
    bodies = _rendered("clusters: [aws, gcp]")
    env = {
        name: [e["value"] for e in body["spec"]["template"]["spec"]["containers"][0]["env"]]
        for name, body in bodies.items()
    }
    assert env == {"aws": ["aws", "eu-central-1"], "gcp": ["gcp", "europe-west1"]}


def test_a_spread_groups_by_the_same_place() -> None:
    found = _understand("spread: [{by: provider, minGroups: 3}]")
    assert found.state is not None
    assert {c.name: c.provider for c in found.state.clusters} == {
        "aws": "aws",
        "gcp": "gcp",
        "old": "own",
    }


def test_a_label_that_says_another_place_is_told() -> None:
    text = CLUSTERS.replace("spec: {provider: gcp}", "spec: {provider: gcp, region: us-east1}")
    found = compile_documents(load([SourceFile("all.yaml", text.encode())]).documents)
    assert found.state is not None
    [warning] = [w for w in found.state.warnings if "its region is" in w]
    assert warning.startswith("all.yaml:7: gcp: its region is us-east1, and its label ")
