"""What one member has and another has not: a kind, a version of it, a field of its definition.

The cluster that lacks it is told; the others get what Git says, and nothing is pruned by mistake.
The definitions are not in Git here: each cluster's own people brought them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reconciler.api.errors import GuardViolation
from reconciler.plan.model import Action, Change, Plan, RunResult
from reconciler.report.text import render_plan
from tests.scenarios.conftest import World
from tests.scenarios.manifests import NAMESPACE, SETTINGS
from tests.scenarios.test_changing_definitions import definition, route

OLD, NEW = "aws", "gcp"
OTHER = SETTINGS.replace("name: settings", "name: other")
CLAIM = """
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: gpu, namespace: shop}
spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: gpu.example.com}}]}}
"""
MUTATION = """
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: marks}
spec:
  reinvocationPolicy: Never
  matchConstraints:
    resourceRules:
      - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [secrets]}
  mutations:
    - patchType: ApplyConfiguration
      applyConfiguration: {expression: 'Object{metadata: Object.metadata{labels: {"a": "b"}}}'}
"""
RECENT = [
    ("ResourceClaim", "resource.k8s.io/v1", CLAIM, "gpu"),
    ("MutatingAdmissionPolicy", "admissionregistration.k8s.io/v1", MUTATION, "marks"),
]


@pytest.fixture
def world(repository: Path, real_kubeconfig: Path) -> World:
    return World(repository, real_kubeconfig)


pytestmark = pytest.mark.integration


def define(world: World, cluster: str, text: str) -> None:
    path = world.repository.parent / f"definition-{cluster}.yaml"
    path.write_text(text)
    world.kubectl("apply", "--server-side", "-f", str(path), cluster=cluster)
    world.kubectl("wait", "--for=condition=established", "crd", "--all", cluster=cluster)


def write(world: World, *documents: str) -> None:
    world.write("shop.yaml", "---".join([NAMESPACE, *documents]))


def of(plan: Plan, cluster: str, kind: str = "Route") -> list[Change]:
    (found,) = (c for c in plan.clusters if c.name == cluster)
    return [change for change in found.changes if change.key.kind == kind]


def spec(world: World, cluster: str, name: str = "web") -> dict[str, Any]:
    spec: dict[str, Any] = world.get("routes.example.com", name, cluster=cluster)["spec"]
    return spec


def begun(world: World) -> RunResult:
    """Both have what was good for both; the newer one's definition is one field and version on."""
    define(world, OLD, definition())
    define(world, NEW, definition("v1", "v2", size="{type: integer}"))
    write(world, route(), SETTINGS)
    result = world.apply()
    assert result.ok, result.outcomes
    return result


def test_a_field_that_one_definition_has_is_written_there_and_refused_elsewhere(
    world: World,
) -> None:
    begun(world)
    write(world, route(spec="host: b.example.com, size: 3"), OTHER)
    plan = world.plan()
    assert not plan.violations
    (refused,) = of(plan, OLD)
    assert refused.action is Action.FAILED
    assert "size" in refused.error
    (update,) = of(plan, NEW)
    assert {f.path for f in update.fields} == {"spec.host", "spec.size"}
    assert "spec.size" in render_plan(plan)
    result = world.apply()
    assert not result.ok
    assert spec(world, NEW) == {"host": "b.example.com", "size": 3}
    # Refused as a whole, and nothing goes where something was refused.
    assert spec(world, OLD) == {"host": "a.example.com"}
    assert world.exists("configmap", "settings", cluster=OLD)
    assert not world.exists("configmap", "settings", cluster=NEW)
    assert all(world.exists("configmap", "other", cluster=name) for name in (OLD, NEW))
    again = world.plan()
    assert not of(again, NEW)
    assert [c.action for c in of(again, OLD)] == [Action.FAILED]
    # Its people catch up.
    define(world, OLD, definition("v1", "v2", size="{type: integer}"))
    assert world.apply().ok
    assert spec(world, OLD) == {"host": "b.example.com", "size": 3}
    assert not world.exists("configmap", "settings", cluster=OLD)
    assert not world.plan().has_changes


def test_a_version_that_one_definition_has_is_used_there_and_told_elsewhere(world: World) -> None:
    begun(world)
    write(world, route("v2", spec="host: b.example.com"), OTHER)
    plan = world.plan()
    assert not plan.violations
    (refused,) = of(plan, OLD)
    assert refused.action is Action.FAILED
    assert refused.error == (
        "the cluster does not serve Route in example.com/v2; it has it in example.com/v1"
    )
    assert [c.action for c in of(plan, NEW)] == [Action.UPDATE]
    assert not world.apply().ok
    assert spec(world, NEW) == {"host": "b.example.com"}
    assert spec(world, OLD) == {"host": "a.example.com"}
    assert world.exists("configmap", "settings", cluster=OLD)
    assert world.exists("configmap", "other", cluster=OLD)
    assert not world.exists("configmap", "settings", cluster=NEW)
    assert not of(world.plan(), NEW)


def test_an_object_that_leaves_git_goes_from_both_whichever_version_it_had(world: World) -> None:
    begun(world)
    write(world, SETTINGS)
    assert world.apply().ok
    assert "not found" in world.kubectl(
        "get", "routes.example.com", "web", "-n", "shop", cluster=OLD, check=False
    )
    assert "not found" in world.kubectl(
        "get", "routes.example.com", "web", "-n", "shop", cluster=NEW, check=False
    )


def test_an_object_that_was_written_in_the_newer_version_stays_where_its_kind_is_gone(
    world: World,
) -> None:
    """Its people take the definition's newer version away again; nothing is taken for pruned."""
    begun(world)
    write(world, route("v2"), SETTINGS)
    assert not world.apply().ok
    define(world, NEW, definition("v1", "v2", unserved="v2", size="{type: integer}"))
    write(world, route("v2"), OTHER)
    plan = world.plan()
    for name in (OLD, NEW):
        (refused,) = of(plan, name)
        assert refused.action is Action.FAILED
    with pytest.raises(GuardViolation):
        world.apply()
    for name in (OLD, NEW):
        assert spec(world, name) == {"host": "a.example.com"}
        assert world.exists("configmap", "settings", cluster=name)


def served(world: World, kind: str, version: str) -> dict[str, bool]:
    def has(cluster: str) -> bool:
        said = world.kubectl("get", "--raw", f"/apis/{version}", cluster=cluster, check=False)
        return f'"kind":"{kind}"' in said

    return {name: has(name) for name in (OLD, NEW)}


@pytest.mark.parametrize(("kind", "version", "manifest", "named"), RECENT)
def test_a_kind_that_only_newer_servers_have_is_told_of_the_others(
    world: World, kind: str, version: str, manifest: str, named: str
) -> None:
    has = served(world, kind, version)
    write(world, SETTINGS)
    assert world.apply().ok
    write(world, manifest, OTHER)
    plan = world.plan()
    if not any(has.values()):
        (violation,) = map(str, plan.violations)
        assert f"does not serve {kind}" in violation
        return
    assert not plan.violations
    for name, there in has.items():
        (change,) = of(plan, name, kind)
        assert change.action is (Action.CREATE if there else Action.FAILED)
        assert there or f"does not serve {kind}" in change.error
    result = world.apply()
    assert result.ok is all(has.values())
    for name, there in has.items():
        assert world.exists("configmap", "other", cluster=name)
        assert world.exists("configmap", "settings", cluster=name) is not there
        if there:
            assert world.exists(kind, named, cluster=name)
    again = world.plan()
    assert {name: not of(again, name, kind) for name in has} == has
    # What leaves Git is pruned where it was; elsewhere there is nothing to say any more.
    write(world, OTHER)
    assert world.apply().ok
    assert not world.plan().has_changes
    assert not any(world.exists("configmap", "settings", cluster=name) for name in has)
