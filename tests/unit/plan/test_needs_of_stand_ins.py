"""A stand-in runs only where what its Pods name goes, too: the matrix and the warnings know it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.api.options import RunOptions
from reconciler.failover.survivability import assess_survivability
from reconciler.run.repository import validate_repository
from tests.scenarios.failover_world import CLUSTERS, FEDERATION

DATABASE = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: "registry.invalid/db:1"}]NEEDS}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: db}
spec:
  select: [{kind: StatefulSet}]
  spread: [{by: region, maxGroups: 1}]
  affinity: {preferred: [{weight: 10, selector: {matchExpressions: [PREFER]}}]}
""".replace(
    "PREFER",
    "{key: federation.reconciler.dev/provider, operator: In, values: [aws]}",
)
HELD = """
---
apiVersion: VERSION
kind: KIND
metadata: {name: needed, namespace: shop}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: needed}
spec: {select: [{kind: KIND, name: needed}], clusters: [CLUSTERS]}
"""
NEEDS = {
    "ServiceAccount": "serviceAccountName: needed",
    "ConfigMap": "volumes: [{name: c, configMap: {name: needed}}]",
    "Secret": "volumes: [{name: c, projected: {sources: [{secret: {name: needed}}]}}]",
    "PersistentVolumeClaim": "volumes: [{name: c, persistentVolumeClaim: {claimName: needed}}]",
    "PriorityClass": "priorityClassName: needed",
    "RuntimeClass": "runtimeClassName: needed",
}
VERSIONS = {"PriorityClass": "scheduling.k8s.io/v1", "RuntimeClass": "node.k8s.io/v1"}

Look = Callable[[str], tuple[str, tuple[str, ...]]]


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """Manifests -> what becomes of db without aws-eu, and what is warned of."""

    def calculate(manifests: str) -> tuple[str, tuple[str, ...]]:
        for name, text in (("f", FEDERATION), ("m", manifests), ("c", CLUSTERS)):
            (tmp_path / f"{name}.yaml").write_text(text)
        state = validate_repository(RunOptions(repo=str(tmp_path))).state
        matrix = assess_survivability(state, ["cluster=aws-eu"])
        (row,) = [row for row in matrix.rows if row.workload.name == "db"]
        assert matrix.warnings == state.warnings
        return str(row.cells[0].impact), state.warnings

    return calculate


def held(kind: str, clusters: str) -> str:
    text = HELD.replace("KIND", kind).replace("VERSION", VERSIONS.get(kind, "v1"))
    if kind in VERSIONS:
        text = text.replace(", namespace: shop", "", 1)
    if kind == "PriorityClass":
        text = text.replace("kind: PriorityClass\n", "kind: PriorityClass\nvalue: 5\n", 1)
    if kind == "RuntimeClass":
        text = text.replace("kind: RuntimeClass\n", "kind: RuntimeClass\nhandler: runc\n", 1)
    return text.replace("CLUSTERS", clusters)


@pytest.mark.parametrize("kind", sorted(NEEDS))
def test_what_lacks_something_in_its_other_clusters_does_not_survive(look: Look, kind: str) -> None:
    manifests = DATABASE.replace("NEEDS", f", {NEEDS[kind]}") + held(kind, "aws-eu")
    fate, warnings = look(manifests)
    assert fate == "down"
    (told,) = warnings
    assert "StatefulSet.apps shop/db may go to gcp-eu, gcp-us, where" in told
    assert kind in told
    assert "does not go, which it needs" in told


@pytest.mark.parametrize("kind", sorted(NEEDS))
def test_what_finds_all_that_it_needs_survives(look: Look, kind: str) -> None:
    manifests = DATABASE.replace("NEEDS", f", {NEEDS[kind]}")
    fate, warnings = look(manifests + held(kind, "aws-eu, gcp-eu, gcp-us"))
    assert (fate, warnings) == ("survives", ())


def test_what_may_be_missing_is_not_needed(look: Look) -> None:
    optional = ", volumes: [{name: c, configMap: {name: needed, optional: true}}]"
    fate, warnings = look(DATABASE.replace("NEEDS", optional) + held("ConfigMap", "aws-eu"))
    assert (fate, warnings) == ("survives", ())


def test_what_is_not_in_git_may_be_there(look: Look) -> None:
    fate, warnings = look(DATABASE.replace("NEEDS", ", serviceAccountName: needed"))
    assert (fate, warnings) == ("survives", ())


SPACE = """
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
"""
SPACE_PLACED = """
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: space}
spec: {select: [{kind: Namespace}], clusters: [CLUSTERS]}
"""


def test_a_namespace_that_does_not_go_along_is_lacking(look: Look) -> None:
    manifests = DATABASE.replace("NEEDS", "") + SPACE
    assert look(manifests) == ("survives", ()), "it goes wherever anything in it goes"
    fate, warnings = look(manifests + SPACE_PLACED.replace("CLUSTERS", "aws-eu"))
    assert fate == "down"
    (told,) = warnings
    assert "StatefulSet.apps shop/db may go to gcp-eu, gcp-us, where Namespace shop" in told
