"""Only what is read as it was committed counts as the applied commit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.state.memory import decode_memory
from tests.scenarios.conftest import World
from tests.scenarios.manifests import SHOP
from tests.unit.git.repositories import git

MORE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more, namespace: shop}\n"


def ignored(folder: Path) -> None:
    (folder / ".git" / "info" / "exclude").write_text("secret.yaml\n")
    (folder / "secret.yaml").write_text(MORE)


def taken_as_unchanged(folder: Path) -> None:
    git(folder, "update-index", "--assume-unchanged", "shop.yaml")
    (folder / "shop.yaml").write_text(SHOP + "---\n" + MORE)


def staged(folder: Path) -> None:
    (folder / "more.yaml").write_text(MORE)
    git(folder, "add", "--all")


CHANGES: list[Callable[[Path], object]] = [
    ignored,
    taken_as_unchanged,
    staged,
    lambda folder: (folder / "more.yaml").write_text(MORE),
    lambda folder: (folder / "shop.yaml").write_text(SHOP + "---\n" + MORE),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_work_tree_is_not_the_applied_commit(
    simulated_world: World, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    world, memory = simulated_world, tmp_path / "memory.json"
    world.options |= {"state": str(memory), "plan_only": False}
    world.write("shop.yaml", SHOP)
    git(world.repository, "init", "--quiet")
    git(world.repository, "add", "--all")
    git(world.repository, "commit", "--quiet", "--message", "one")
    first = git(world.repository, "rev-parse", "HEAD")
    result = world.apply()
    assert (result.plan.commit, decode_memory(memory.read_bytes()).commit) == (first, first)
    git(world.repository, "commit", "--quiet", "--allow-empty", "--message", "two")
    change(world.repository)
    result = world.apply()
    assert result.ok
    assert result.plan.commit == ""
    assert decode_memory(memory.read_bytes()).commit == first
