"""A Federation with another name or namespace, or a cluster that left Git: told, with the way."""

from __future__ import annotations

import pytest

from reconciler.api.errors import SourceError
from reconciler.inventory.applyset import owner_of
from reconciler.plan.model import Action
from tests.scenarios.conftest import CLUSTERS, FEDERATION, World
from tests.scenarios.manifests import NAMESPACE, SETTINGS

RENAMES = {
    "the Federation": FEDERATION.replace("{name: shop}", "{name: store}"),
    "its namespace": FEDERATION + "  namespace: fleet\n",
}


@pytest.mark.parametrize("renamed", RENAMES.values(), ids=RENAMES.keys())
def test_a_rename_names_what_happened_and_the_command_for_it(world: World, renamed: str) -> None:
    world.options["state"] = str(world.repository.parent / "memory.json")
    world.write("shop.yaml", "---".join([NAMESPACE, SETTINGS]))
    assert world.apply().ok
    before = world.get("configmap", "settings")
    world.write("federation.yaml", renamed)
    changes = world.changes()
    assert {change.action for change in changes} == {Action.FAILED}
    for change in changes:
        assert "belongs to the inventory federation-system/federation-shop" in change.error
        assert "was renamed" in change.error
        assert "reconcile --plan --take-over, and without --plan" in change.error

    assert {c.action for c in world.changes(take_over=True)} == {Action.ADOPT}
    assert world.apply(take_over=True).ok
    after = world.get("configmap", "settings")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["data"] == before["data"]
    assert owner_of(after) != owner_of(before)
    assert not world.plan().has_changes

    # By the new name it is pruned as anything else.
    world.write("shop.yaml", NAMESPACE)
    assert world.apply().ok
    assert not world.exists("configmap", "settings")


def test_where_runs_remember_the_former_name_the_same_command_is_named(
    simulated_world: World,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = simulated_world
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    world.write("shop.yaml", NAMESPACE)
    assert world.apply().ok
    world.write("federation.yaml", RENAMES["the Federation"])
    with pytest.raises(SourceError) as error:
        world.apply(plan_only=False)
    assert "another name than 'store'" in str(error.value)
    assert "--take-over" in error.value.hint
    assert world.apply(take_over=True, plan_only=False).ok
    assert not world.plan().has_changes


def test_what_another_repository_has_is_not_taken_along(simulated_world: World) -> None:
    world = simulated_world
    world.options["state"] = str(world.repository.parent / "memory.json")
    world.write("shop.yaml", "---".join([NAMESPACE, SETTINGS]))
    assert world.apply().ok
    other = world.repository.parent / "other"
    world.repository.rename(other)
    world.repository.mkdir()
    for name in ("clusters.yaml", "shop.yaml"):
        world.write(name, (other / name).read_text())
    world.write("federation.yaml", RENAMES["the Federation"])
    elsewhere = World(other, world.kubeconfig, {"state": str(other.parent / "elsewhere.json")})
    elsewhere.write("federation.yaml", RENAMES["the Federation"])
    changes = elsewhere.changes(take_over=True)
    assert {change.action for change in changes} == {Action.FAILED}
    assert all("belongs to another inventory" in change.error for change in changes)


def test_a_cluster_that_left_git_is_named_with_what_stays_there(simulated_world: World) -> None:
    world = simulated_world
    world.options["state"] = str(world.repository.parent / "memory.json")
    world.write("shop.yaml", "---".join([NAMESPACE, SETTINGS]))
    assert world.apply().ok
    world.write("clusters.yaml", CLUSTERS.partition("---")[0])
    for _ in range(2):
        (told,) = [text for text in world.plan().warnings if "no longer in Git" in text]
        assert told.startswith("gcp is no longer in Git")
        assert "Secret federation-system/federation-shop" in told
        assert "reconcile unjoin gcp --orphan" in told
    assert world.apply().ok
    assert world.exists("configmap", "settings", "gcp")
    assert not any("no longer in Git" in text for text in world.plan().warnings)
