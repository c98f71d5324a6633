"""A CustomResourceDefinition that changes in one commit with the objects that it defines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reconciler.plan.model import Action, Change
from reconciler.report.text import render_plan, render_result
from tests.controlplane.process import eventually
from tests.scenarios.conftest import NAMES, World
from tests.scenarios.manifests import NAMESPACE, SETTINGS

DEFINITION = "routes.example.com"


def definition(
    *versions: str, stored: str = "v1", unserved: str = "", size: str = "", rule: str = ""
) -> str:
    """The definition of Routes. ``size`` is the schema of a field that older ones do not have."""
    fields = "host: {type: string%s}" % (rule and f", x-kubernetes-validations: [{rule}]")
    fields += f", size: {size}" if size else ""
    listed = "".join(
        f"""
    - name: {version}
      served: {str(version != unserved).lower()}
      storage: {str(version == stored).lower()}
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec: {{type: object, properties: {{{fields}}}}}"""
        for version in versions or ("v1",)
    )
    return f"""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {DEFINITION}}}
spec:
  group: example.com
  names: {{kind: Route, plural: routes, singular: route, listKind: RouteList}}
  scope: Namespaced
  versions:{listed}
"""


def route(version: str = "v1", name: str = "web", spec: str = "host: a.example.com") -> str:
    return f"""
apiVersion: example.com/{version}
kind: Route
metadata: {{name: {name}, namespace: shop}}
spec: {{{spec}}}
"""


def write(world: World, *documents: str) -> None:
    world.write("shop.yaml", "---".join([NAMESPACE, *documents]))


def of_kind(changes: tuple[Change, ...], kind: str = "Route") -> list[Change]:
    return [change for change in changes if change.key.kind == kind]


def one(changes: tuple[Change, ...], kind: str = "Route") -> Change:
    (found,) = of_kind(changes, kind)
    return found


def spec_of(world: World, name: str = "web") -> Any:
    return world.get(DEFINITION, name)["spec"]


def test_an_object_may_use_a_field_that_its_definition_gets_with_it(world: World) -> None:
    write(world, definition(), route(), SETTINGS)
    assert world.apply().ok
    write(
        world,
        definition(size="{type: integer}"),
        route(spec="host: a.example.com, size: 3"),
        SETTINGS.replace("name: settings", "name: settings-2"),
    )
    plan = world.plan()
    assert not plan.violations
    change = one(plan.clusters[0].changes)
    assert (change.action, change.verified) == (Action.UPDATE, False)
    assert change.reason.endswith("once its CustomResourceDefinition is written")
    assert [(f.path, f.after) for f in change.fields] == [("spec.size", 3)]
    assert not plan.clusters[0].prune_blocked
    result = world.apply()
    assert result.ok, result.outcomes
    assert spec_of(world) == {"host": "a.example.com", "size": 3}
    assert not world.exists("configmap", "settings")
    assert one(result.plan.clusters[0].changes).verified
    assert not world.plan().has_changes


def test_a_new_object_may_use_a_field_that_its_definition_gets_with_it(world: World) -> None:
    write(world, definition(), route())
    assert world.apply().ok
    write(
        world,
        definition(size="{type: integer}"),
        route(),
        route(name="api", spec="host: b.example.com, size: 3"),
    )
    change = one(world.changes())
    assert (change.action, change.verified) == (Action.CREATE, False)
    assert world.apply().ok
    assert spec_of(world, "api") == {"host": "b.example.com", "size": 3}
    assert not world.plan().has_changes


def test_what_the_check_finds_is_told_as_in_a_plan(world: World) -> None:
    write(world, definition(), route())
    assert world.apply().ok
    write(world, definition(size="{type: integer, default: 7}"), route(spec="host: b.example.com"))
    planned = one(world.changes())
    assert not planned.verified
    assert [f.path for f in planned.fields] == ["spec.host"]
    result = world.apply()
    assert result.ok, result.outcomes
    found = one(result.plan.clusters[0].changes)
    assert found.verified
    assert "spec.host" in [f.path for f in found.fields]
    assert spec_of(world) == {"host": "b.example.com", "size": 7}
    told = render_result(result, with_plan=False)
    assert "Route.example.com, as checked before it was written" in told
    assert "spec.host: a.example.com -> b.example.com" in told


def test_what_the_new_definition_refuses_fails_and_holds_the_prunes(world: World) -> None:
    write(world, definition(), route(), SETTINGS)
    assert world.apply().ok
    write(
        world,
        definition(size="{type: integer, maximum: 5}"),
        route(spec="host: a.example.com, size: 9"),
    )
    assert [c.action for c in of_kind(world.changes(), "ConfigMap")] == [Action.PRUNE]
    result = world.apply()
    assert not result.ok
    (failed,) = [o for o in result.outcomes if o.cluster == "aws" and o.status == "failed"]
    assert failed.key.kind == "Route"
    assert "spec.size" in failed.message
    assert spec_of(world) == {"host": "a.example.com"}
    assert world.exists("configmap", "settings")


@pytest.mark.integration
def test_an_object_that_the_new_definition_does_not_let_change_is_left_as_it_is(
    repository: Path, real_kubeconfig: Path
) -> None:
    world = World(repository, real_kubeconfig)
    annotation = 'annotations: {federation.reconciler.dev/recreate: "true"}'
    before, after = (
        route(spec=spec).replace("namespace: shop}", f"namespace: shop, {annotation}}}")
        for spec in ("host: a.example.com", "host: b.example.com, size: 3")
    )
    write(world, definition(), before)
    assert world.apply().ok
    uid = world.get(DEFINITION, "web")["metadata"]["uid"]
    rule = "{rule: self == oldSelf, message: host stays}"
    write(world, definition(size="{type: integer}", rule=rule), after)
    result = world.apply()
    assert not result.ok
    message = next(o.message for o in result.outcomes if o.status == "failed")
    assert "host stays" in message or "which was not planned" in message
    # Whatever the annotation says: a deletion is agreed to by a plan that shows it.
    assert world.get(DEFINITION, "web")["metadata"]["uid"] == uid


def test_a_definition_of_which_only_a_label_changes_leaves_its_objects_alone(world: World) -> None:
    write(world, definition(), route())
    assert world.apply().ok
    labelled = definition().replace(
        f"name: {DEFINITION}}}", f"name: {DEFINITION}, labels: {{team: shop}}}}"
    )
    write(world, labelled, route(spec="host: b.example.com"))
    assert one(world.changes()).verified


# -- versions --------------------------------------------------------------------------------------


def test_an_object_that_moves_to_another_served_version_is_the_same_object(world: World) -> None:
    write(world, definition("v1", "v1beta1"), route("v1beta1"), route("v1beta1", "api"))
    assert world.apply().ok
    uid = world.get(DEFINITION, "web")["metadata"]["uid"]
    write(world, definition("v1", "v1beta1"), route("v1"), route("v1beta1", "api"))
    change = one(world.changes())
    assert (change.action, change.fields) == (Action.UPDATE, ())
    assert change.reason == "applied in example.com/v1, no longer in example.com/v1beta1"
    assert world.apply().ok
    assert world.get(DEFINITION, "web")["metadata"]["uid"] == uid
    assert not world.plan().has_changes


def test_an_object_may_move_to_a_version_that_its_definition_gets_with_it(world: World) -> None:
    write(world, definition("v1"), route("v1"))
    assert world.apply().ok
    uid = world.get(DEFINITION, "web")["metadata"]["uid"]
    write(
        world,
        definition("v1", "v2", size="{type: integer}"),
        route("v2", spec="host: a.example.com, size: 3"),
        route("v2", "api"),
    )
    web, api = sorted(of_kind(world.changes()), key=lambda c: c.key.name, reverse=True)
    assert (web.action, web.verified, api.action) == (Action.UPDATE, False, Action.CREATE)
    assert [(f.path, f.after) for f in web.fields] == [("spec.size", 3)]
    result = world.apply()
    assert result.ok, result.outcomes
    assert world.get(DEFINITION, "web")["metadata"]["uid"] == uid
    assert spec_of(world)["size"] == 3
    assert not world.plan().has_changes


def test_an_object_of_others_in_an_older_version_is_adopted_not_created(world: World) -> None:
    write(world, definition("v1"))
    assert world.apply().ok
    path = world.repository.parent / "by-hand.yaml"
    path.write_text(route("v1"))
    for cluster in NAMES:
        world.kubectl("apply", "--server-side", "-f", str(path), cluster=cluster)
    write(world, definition("v1", "v2"), route("v2"))
    assert one(world.changes()).action is Action.ADOPT
    write(world, definition("v1", "v2"), route("v2"))
    assert world.apply().ok
    assert not world.plan().has_changes


def test_an_object_in_a_version_that_its_definition_will_not_serve_is_refused(
    world: World,
) -> None:
    write(world, definition("v1", "v1beta1"), route("v1beta1"))
    assert world.apply().ok
    write(world, definition("v1", "v1beta1", unserved="v1beta1"), route("v1beta1"))
    plan = world.plan()
    assert one(plan.clusters[0].changes).error == (
        "the cluster does not serve Route in example.com/v1beta1; it has it in example.com/v1"
    )
    assert plan.violations
    write(world, definition("v1", "v1beta1", unserved="v1beta1"), route("v1"))
    assert world.apply().ok
    assert not world.plan().has_changes


# -- versions that are dropped ---------------------------------------------------------------------


def move_storage(world: World) -> None:
    """What a storage migration does: every object rewritten, and the old version forgotten."""
    for cluster in NAMES:
        listed = world.kubectl("get", DEFINITION, "-A", "-o", "json", cluster=cluster)
        for item in json.loads(listed)["items"]:
            path = world.repository.parent / "migrated.json"
            path.write_text(json.dumps(item))
            world.kubectl("replace", "-f", str(path), cluster=cluster)
        patch = json.dumps({"status": {"storedVersions": ["v1"]}})
        world.kubectl(
            *("patch", "crd", DEFINITION, "--subresource=status", "--type=merge", "-p", patch),
            cluster=cluster,
        )


def versions_in(world: World, name: str = "web") -> set[tuple[str, str]]:
    shown = world.kubectl(
        "get", DEFINITION, name, "-n", "shop", "--show-managed-fields", "-o", "json"
    )
    entries = json.loads(shown)["metadata"]["managedFields"]
    return {(entry["manager"], entry["apiVersion"]) for entry in entries}


def applied_in_the_old_version(world: World) -> None:
    write(world, definition("v1", "v1alpha1", stored="v1alpha1"), route("v1alpha1"))
    assert world.apply().ok
    write(world, definition("v1", "v1alpha1"), route("v1alpha1"))
    assert world.apply().ok
    move_storage(world)


def test_a_definition_may_drop_the_version_that_an_object_was_applied_in(world: World) -> None:
    applied_in_the_old_version(world)
    write(world, definition("v1"), route("v1", spec="host: b.example.com"))
    change = one(world.changes())
    assert change.action is Action.UPDATE
    assert "applied in example.com/v1, no longer in example.com/v1alpha1" in change.reason
    result = world.apply()
    assert result.ok, [o for o in result.outcomes if o.status != "done"]
    assert spec_of(world) == {"host": "b.example.com"}
    assert ("federation-reconciler", "example.com/v1") in versions_in(world)
    assert not world.plan().has_changes
    write(world, definition("v1"), route("v1"))
    assert world.apply().ok
    assert spec_of(world) == {"host": "a.example.com"}


@pytest.mark.integration
def test_an_object_that_is_stuck_already_is_healed(repository: Path, real_kubeconfig: Path) -> None:
    world = World(repository, real_kubeconfig)
    applied_in_the_old_version(world)
    for cluster in NAMES:
        patch = json.dumps([{"op": "remove", "path": "/spec/versions/1"}])
        world.kubectl("patch", "crd", DEFINITION, "--type=json", "-p", patch, cluster=cluster)
    write(world, definition("v1"), route("v1", spec="host: b.example.com"))
    eventually(lambda: one(world.changes()).action is Action.UPDATE, "the version is dropped")
    change = one(world.changes())
    assert not change.verified
    assert [f.path for f in change.fields] == ["spec.host"]
    assert world.apply().ok
    assert spec_of(world) == {"host": "b.example.com"}
    assert not world.plan().has_changes


def edit(world: World, name: str) -> None:
    for cluster in NAMES:
        world.kubectl(
            *("-n", "shop", "patch", "routes.v1alpha1.example.com", name, "--type=merge"),
            *("--field-manager=kubectl-edit", "-p", '{"metadata": {"labels": {"team": "shop"}}}'),
            cluster=cluster,
        )


def test_a_version_is_not_dropped_under_the_entries_of_others_in_what_git_wants(
    world: World,
) -> None:
    applied_in_the_old_version(world)
    edit(world, "web")
    write(world, definition("v1"), route("v1"))
    plan = world.plan()
    refused = one(plan.clusters[0].changes, "CustomResourceDefinition")
    assert refused.action is Action.FAILED
    assert "Route.example.com shop/web (kubectl-edit)" in refused.error
    assert not world.apply().ok
    # The plan says how a person moves the entry on.
    for cluster in NAMES:
        plan = world.plan()
        planned = next(c for c in plan.clusters if c.name == cluster)
        said = next(c.error for c in planned.changes if c.error)
        command = said.partition("move their entries on: kubectl ")[2]
        before, _, patch = command.partition(" -p ")
        world.kubectl(*before.split(), "-p", patch.strip("'"), cluster=cluster)
    result = world.apply()
    assert result.ok, [o for o in result.outcomes if o.status != "done"]
    assert not world.plan().has_changes


def test_the_entries_of_others_in_what_is_not_in_git_are_named(world: World) -> None:
    applied_in_the_old_version(world)
    path = world.repository.parent / "by-hand.yaml"
    path.write_text(route("v1alpha1", "foreign"))
    for cluster in NAMES:
        world.kubectl(
            *("apply", "--server-side", "--field-manager=helm", "-f", str(path)), cluster=cluster
        )
    write(world, definition("v1"), route("v1"))
    plan = world.plan()
    assert any("Route.example.com shop/foreign (helm)" in text for text in plan.warnings)
    assert "example.com/v1alpha1" in render_plan(plan)
