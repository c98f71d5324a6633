"""Variables of the cluster in a manifest: only where its annotation asks for them."""

from __future__ import annotations

from reconciler.api.files import SourceFile
from reconciler.api.objects import Object
from reconciler.federation.compile import compile_documents
from reconciler.manifests.load import load
from reconciler.render.render import render
from reconciler.scheduler.model import FleetView
from reconciler.scheduler.schedule import schedule

FLEET = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec: {defaults: {placement: {clusterSelector: {}}}}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws-eu, labels: {env: prod, example.com/tier: gold}}
spec: {provider: aws, region: eu-central-1, zone: eu-central-1a}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: gcp-us, labels: {env: test}}
spec: {provider: gcp, region: us-east4}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
  namespace: shop
  annotations: {ANNOTATION}
data:
  plain: ${cluster.name}
  several: "${cluster.provider}/${cluster.region}/${cluster.zone}"
  label: ${cluster.labels.env}
  long: ${cluster.labels.example.com/tier}
  other: "${HOME} $cluster.name {{ cluster.name }}"
"""
ASKED = '{federation.reconciler.dev/substitute: "true"}'


def settings(annotations: str) -> dict[str, Object]:
    file = SourceFile("fleet.yaml", FLEET.replace("{ANNOTATION}", annotations).encode())
    found = compile_documents(load([file]).documents)
    assert found.state, found.problems
    rendered = render(found.state, schedule(found.state, FleetView()))
    assert not rendered.problems
    return {name: objects[0].body for name, objects in rendered.objects.items()}


def test_each_cluster_gets_its_own_values() -> None:
    found = settings(ASKED)
    assert found["aws-eu"]["data"]["plain"] == "aws-eu"
    assert found["aws-eu"]["data"]["several"] == "aws/eu-central-1/eu-central-1a"
    assert found["aws-eu"]["data"]["label"] == "prod"
    assert found["aws-eu"]["data"]["long"] == "gold"
    assert found["gcp-us"]["data"]["plain"] == "gcp-us"
    assert found["gcp-us"]["data"]["several"] == "gcp/us-east4/"


def test_what_is_no_variable_of_ours_stays_as_it_is() -> None:
    data = settings(ASKED)["aws-eu"]["data"]
    assert data["other"] == "${HOME} $cluster.name {{ cluster.name }}"


def test_nothing_is_filled_in_unasked() -> None:
    for unasked in ("{}", '{federation.reconciler.dev/substitute: "false"}'):
        assert settings(unasked)["aws-eu"]["data"]["plain"] == "${cluster.name}"


def test_the_annotation_does_not_reach_the_cluster() -> None:
    assert "annotations" not in settings(ASKED)["aws-eu"]["metadata"]
