"""Objects that were deleted and are still there: nothing is done yet, and the plan says so."""

from __future__ import annotations

import json

import pytest

from reconciler.plan.model import Action, Change
from reconciler.report.text import render_plan, render_result
from tests.controlplane.process import eventually
from tests.scenarios.conftest import NAMES, World
from tests.scenarios.manifests import NAMESPACE, SERVICE, SETTINGS, SHOP
from tests.scenarios.test_changing_definitions import definition, route

HOLD = json.dumps({"metadata": {"finalizers": ["example.com/slow"]}})
FREE = json.dumps({"metadata": {"finalizers": None}})
OTHER = SETTINGS.replace("name: settings", "name: other")


def patch(world: World, kind: str, name: str, body: str) -> None:
    for cluster in NAMES:
        world.kubectl(
            "-n", "shop", "patch", kind, name, "--type=merge", "-p", body, cluster=cluster
        )


def delete(world: World, kind: str, name: str) -> None:
    for cluster in NAMES:
        world.kubectl("-n", "shop", "delete", kind, name, "--wait=false", cluster=cluster)


def one(changes: tuple[Change, ...], name: str = "settings") -> Change:
    (found,) = [change for change in changes if change.key.name == name]
    return found


@pytest.mark.parametrize("kind", ["configmap", "routes.example.com"])
def test_an_object_of_git_that_hangs_in_deletion_is_told_and_made_anew_later(
    world: World, kind: str
) -> None:
    name = "settings" if kind == "configmap" else "web"
    world.write("shop.yaml", "---".join([NAMESPACE, SETTINGS, OTHER, definition(), route()]))
    assert world.apply().ok
    patch(world, kind, name, HOLD)
    delete(world, kind, name)
    world.remove("shop.yaml")
    world.write("shop.yaml", "---".join([NAMESPACE, SETTINGS, definition(), route()]))

    plan = world.plan()
    change = one(plan.clusters[0].changes, name)
    assert change.action is Action.TERMINATING
    assert "it is being deleted since 20" in change.error
    assert "waits for its finalizers: example.com/slow" in change.error
    assert plan.summary()["terminating"] == 2
    assert plan.has_failures
    assert "2 terminating" in render_plan(plan)
    # What replaces the other one may be just what hangs.
    assert "could not be applied first" in plan.clusters[0].prune_blocked
    assert not world.apply().ok
    assert world.exists("configmap", "other")

    patch(world, kind, name, FREE)
    assert one(world.changes(), name).action is Action.CREATE
    assert world.apply().ok
    assert not world.exists("configmap", "other")
    assert not world.plan().has_failures


def test_a_prune_that_does_not_end_is_told_by_every_plan(world: World) -> None:
    world.write("shop.yaml", "---".join([NAMESPACE, SETTINGS, OTHER]))
    assert world.apply().ok
    patch(world, "configmap", "other", HOLD)
    world.write("shop.yaml", "---".join([NAMESPACE, SETTINGS]))
    told = render_result(world.apply(), with_plan=False)
    assert "ConfigMap shop/other: prune done: it is being deleted since" in told
    for _ in range(2):
        plan = world.plan()
        change = one(plan.clusters[0].changes, "other")
        assert change.action is Action.TERMINATING
        assert change.reason == "removed from Git"
        assert "example.com/slow" in change.error
        assert not plan.has_changes
        assert "No changes" not in render_plan(plan)
        assert not world.apply().ok
    patch(world, "configmap", "other", FREE)
    plan = world.plan()
    assert not plan.has_failures
    assert "No changes" in render_plan(plan)


def test_a_namespace_that_hangs_is_told_with_what_is_to_lie_in_it(world: World) -> None:
    world.write("shop.yaml", SHOP)
    assert world.apply().ok
    patch(world, "configmap", "settings", HOLD)
    delete(world, "namespace", "shop")
    world.write("shop.yaml", SHOP + "---" + OTHER + "---" + SERVICE.replace("web", "api"))
    changes = world.changes()
    assert {change.action for change in changes} == {Action.TERMINATING}
    assert "its Namespace shop: it is being deleted" in one(changes, "other").error
    assert not world.apply().ok


def test_what_is_to_lie_in_a_namespace_of_others_that_hangs_waits_for_it(world: World) -> None:
    path = world.repository.parent / "by-hand.yaml"
    path.write_text(NAMESPACE)
    for cluster in NAMES:
        world.kubectl("apply", "--server-side", "-f", str(path), cluster=cluster)
        world.create_config_map("foreign", cluster)
    patch(world, "configmap", "foreign", HOLD)
    delete(world, "namespace", "shop")
    world.write("shop.yaml", SETTINGS)
    plan = world.plan()
    change = one(plan.clusters[0].changes)
    assert change.action is Action.TERMINATING
    assert "its Namespace shop is being deleted" in change.error
    assert not plan.violations


def test_what_a_definition_that_hangs_defines_waits_for_it(world: World) -> None:
    world.write("shop.yaml", "---".join([NAMESPACE, definition(), route()]))
    assert world.apply().ok
    patch(world, "routes.example.com", "web", HOLD)
    for cluster in NAMES:
        world.kubectl("delete", "crd", "routes.example.com", "--wait=false", cluster=cluster)
    world.write("shop.yaml", "---".join([NAMESPACE, definition(), route(), route(name="api")]))

    def told() -> bool:
        return {c.action for c in world.changes()} == {Action.TERMINATING}

    eventually(told, "the server deletes what the definition defines")
    going = one(world.changes(), "api").error
    assert "its CustomResourceDefinition.apiextensions.k8s.io routes.example.com" in going
    patch(world, "routes.example.com", "web", FREE)

    def made_anew() -> bool:
        return world.apply().ok and not world.plan().has_changes

    eventually(made_anew, "both are recreated")
    assert world.exists("routes.example.com", "api")
