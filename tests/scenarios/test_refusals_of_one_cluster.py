"""What one cluster refuses is its own trouble; what every cluster refuses is a mistake in Git."""

from __future__ import annotations

import pytest

from kubesim.fleet import Sandbox
from reconciler.plan.model import Action
from tests.definitions import definition_text
from tests.scenarios.conftest import World
from tests.scenarios.manifests import NAMESPACE, SETTINGS

OLD = """
apiVersion: v1
kind: ConfigMap
metadata: {name: old, namespace: shop}
data: {a: b}
"""
OTHER = OLD.replace("name: old", "name: other")
DEFINITION = definition_text("Box", plural="boxes")
BOX = "{apiVersion: example.com/v1, kind: Box, metadata: {name: a, namespace: shop}}"


@pytest.fixture
def world(simulated_world: World) -> World:
    simulated_world.write("shop.yaml", NAMESPACE)
    simulated_world.write("old.yaml", OLD)
    assert simulated_world.apply().ok
    return simulated_world


def define(world: World, cluster: str) -> None:
    path = world.repository.parent / "definition.yaml"
    path.write_text(DEFINITION)
    world.kubectl("apply", "-f", str(path), cluster=cluster)
    world.kubectl("wait", "--for=condition=established", "crd", "--all", cluster=cluster)


def refuse(sandbox: Sandbox, name: str, how: str) -> None:
    faults = sandbox.cluster(name).faults
    if how == "webhook":
        faults.deny("no", code=400, path="/configmaps/settings")
    else:
        faults.error(
            400, message="strict decoding error", method="PATCH", path="/configmaps/settings"
        )


@pytest.mark.parametrize("how", ["webhook", "older version"])
def test_a_refusal_in_one_cluster_costs_that_object_and_the_prunes_there(
    world: World, sandbox: Sandbox, how: str
) -> None:
    refuse(sandbox, "aws", how)
    world.remove("old.yaml")
    world.write("settings.yaml", SETTINGS)
    world.write("other.yaml", OTHER)
    assert not world.plan().violations
    result = world.apply()
    assert not result.ok
    assert [c.key.name for c in result.plan.clusters[0].changes if c.error] == ["settings"]
    assert world.exists("configmap", "settings", cluster="gcp")
    assert not world.exists("configmap", "old", cluster="gcp")
    assert world.exists("configmap", "other", cluster="aws")
    assert world.exists("configmap", "old", cluster="aws")


def test_what_every_cluster_refuses_as_malformed_stops_all(world: World, sandbox: Sandbox) -> None:
    for name in ("aws", "gcp"):
        refuse(sandbox, name, "older version")
    world.write("settings.yaml", SETTINGS)
    (violation,) = map(str, world.plan().violations)
    assert "ConfigMap shop/settings" in violation


def test_webhooks_of_every_cluster_do_not_make_a_manifest_invalid(
    world: World, sandbox: Sandbox
) -> None:
    for name in ("aws", "gcp"):
        refuse(sandbox, name, "webhook")
    world.write("settings.yaml", SETTINGS)
    world.write("other.yaml", OTHER)
    assert not world.plan().violations
    assert not world.apply().ok
    assert world.exists("configmap", "other")


@pytest.mark.parametrize("chosen", [(), ("gcp",)])
def test_a_kind_that_one_cluster_lacks_is_its_own_trouble(
    world: World, chosen: tuple[str, ...]
) -> None:
    define(world, "aws")
    world.write("box.yaml", BOX)
    world.write("other.yaml", OTHER)
    world.options["clusters"] = chosen
    assert not world.plan().violations
    (refused,) = [c for c in world.changes("gcp") if c.action is Action.FAILED]
    assert refused.key.kind == "Box"
    assert not world.apply().ok
    assert world.exists("configmap", "other", cluster="gcp")


def test_a_kind_that_is_wanted_only_where_it_is_lacking_is_that_clusters_trouble(
    world: World,
) -> None:
    define(world, "aws")
    world.write("box.yaml", BOX)
    world.write(
        "placement.yaml",
        "apiVersion: federation.reconciler.dev/v1alpha1\nkind: Placement\nmetadata: {name: box}\n"
        "spec: {select: [{kind: Box}], clusters: [gcp]}\n",
    )
    assert not world.plan().violations
    assert [c.key.kind for c in world.changes("gcp") if c.action is Action.FAILED] == ["Box"]


def test_a_kind_that_no_cluster_has_is_a_mistake_in_git(world: World) -> None:
    world.write("box.yaml", BOX)
    (violation,) = map(str, world.plan().violations)
    assert "does not serve Box" in violation
