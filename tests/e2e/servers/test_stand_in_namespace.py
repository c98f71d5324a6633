"""What the namespace `default` has against an object says nothing about one that is yet to come."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.plan.model import Action
from tests.definitions import definition_text
from tests.scenarios.conftest import (  # noqa: F401
    World,
    real_kubeconfig,
    repository,
)

pytestmark = pytest.mark.integration

POD = "{containers: [{name: a, image: 'registry.invalid/a:1'}], serviceAccountName: robot}"
LONG = "a-report-with-a-name-that-is-exactly-52-characters-l"
FRESH = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: fresh}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings, namespace: fresh}}
data: {{a: b}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: robot, namespace: fresh}}
---
apiVersion: v1
kind: Pod
metadata: {{name: pod, namespace: fresh}}
spec: {POD}
---
apiVersion: batch/v1
kind: CronJob
metadata: {{name: {LONG}, namespace: fresh}}
spec:
  schedule: "0 3 * * *"
  jobTemplate:
    spec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: a, image: a}}]}}}}}}
"""
STRICT = """
apiVersion: v1
kind: ResourceQuota
metadata: {name: none, namespace: default}
spec: {hard: {configmaps: "0", pods: "0"}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: nothing-in-default}
spec:
  matchConstraints:
    resourceRules:
      - apiGroups: ["*"]
        apiVersions: ["*"]
        operations: [CREATE]
        resources: [configmaps, cronjobs]
  validations: [{expression: "object.metadata.namespace != 'default'", message: "not in default"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: nothing-in-default}
spec: {policyName: nothing-in-default, validationActions: [Deny]}
"""


@pytest.fixture
def world(repository: Path, real_kubeconfig: Path) -> World:  # noqa: F811
    return World(repository, real_kubeconfig)


def test_what_default_refuses_is_not_invalid_and_runs_where_it_belongs(world: World) -> None:
    strict = world.repository.parent / "strict.yaml"
    strict.write_text(STRICT)
    world.kubectl("apply", "-f", str(strict))
    world.write("fresh.yaml", FRESH)
    plan = world.plan()
    assert not plan.violations
    changes = {c.key.kind: c for c in world.changes("aws")}
    assert {c.action for c in changes.values()} == {Action.CREATE}
    assert not changes["Pod"].verified
    assert "to be checked once its namespace is there (default: " in changes["Pod"].reason
    assert changes["ServiceAccount"].verified
    result = world.apply()
    assert result.ok, [o for o in result.outcomes if o.status != "done"]
    assert world.exists("pod", "pod", namespace="fresh")
    assert world.exists("cronjob", LONG, namespace="fresh")


@pytest.mark.parametrize(
    ("right", "wrong"),
    [('"0 3 * * *"', "never"), (LONG, LONG + "x")],
)
def test_a_fault_of_form_still_stops_every_write(world: World, right: str, wrong: str) -> None:
    world.write("fresh.yaml", FRESH.replace(right, wrong))
    (violation,) = map(str, world.plan().violations)
    assert "refused as invalid" in violation


TWICE = """
apiVersion: example.com/v1
kind: Box
metadata: {name: parcel, namespace: fresh}
spec: {items: [{name: a, size: 1}, {name: a, size: 2}]}
"""
KEYED = definition_text(
    "Box",
    plural="boxes",
    schema="""
properties:
  spec:
    type: object
    properties:
      items:
        type: array
        x-kubernetes-list-type: map
        x-kubernetes-list-map-keys: [name]
        items:
          type: object
          required: [name]
          properties: {name: {type: string}, size: {type: integer}}
""",
)


def test_what_an_apply_alone_refuses_is_known_before_its_namespace_is_made(world: World) -> None:
    world.write("kind.yaml", KEYED)
    assert world.apply().ok
    world.write("fresh.yaml", "{apiVersion: v1, kind: Namespace, metadata: {name: fresh}}")
    world.write("box.yaml", TWICE)
    (violation,) = map(str, world.plan().violations)
    assert "Box.example.com fresh/parcel (box.yaml:2:1)" in violation
    assert "(fresh/parcel; example.com/v1, Kind=Box)" in violation
    assert 'duplicate entries for key [name="a"]' in violation
    assert not world.exists("namespace", "fresh")


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret"])
def test_what_is_too_large_with_its_ownership_is_known_beforehand(world: World, kind: str) -> None:
    import json

    values = {f"key-{i:055d}": "eHh4eHh4" for i in range(14000)}
    body = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "many", "namespace": "fresh"}}
    world.write("fresh.yaml", "{apiVersion: v1, kind: Namespace, metadata: {name: fresh}}")
    world.write("many.yaml", json.dumps({**body, "data": values}))
    (change,) = [c for c in world.changes() if c.key.name == "many"]
    assert change.action is Action.FAILED
    assert "too large: " in change.error
    assert "managedFields" in change.error
    assert "divide it into several objects" in change.error
    fewer = dict(list(values.items())[:6000])
    world.write("many.yaml", json.dumps({**body, "data": fewer}))
    assert world.apply().ok
    # What the server alone finds too large is told with the way out, too.
    world.write("many.yaml", json.dumps({**body, "data": {"a": "eHh4" * 400_000}}))
    plan = world.plan()
    told = [*map(str, plan.violations), *(c.error for cl in plan.clusters for c in cl.changes)]
    assert any("too large" in text or "1 MiB of values" in text for text in told), told
