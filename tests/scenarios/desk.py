"""Somebody at a desk, who saves plans and applies them: the command, as a process of its own."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.command import run_command, user_environment
from tests.scenarios.conftest import World
from tests.scenarios.manifests import SHOP
from tests.unit.git.repositories import commit, git

STALE = "what the plan was made of is no longer so. Nothing was written."
BLUE = SHOP.replace("green", "blue")
"""Another value in the ConfigMap ``settings``."""


@dataclass
class Desk:
    """Somebody with a shell, who saves a plan and applies it: the command, as a process."""

    world: World
    file: Path
    sandbox: bool = False

    def reconcile(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        fleet = ["--sandbox"] if self.sandbox else ["--kubeconfig", str(self.world.kubeconfig)]
        environment = user_environment(self.file.parent)
        return run_command(*fleet, *arguments, cwd=self.world.repository, env=environment)

    def save(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = self.reconcile("--plan", "--out", str(self.file), *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def apply(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.reconcile("--apply-plan", str(self.file), *arguments)

    def refused(self, *arguments: str) -> str:
        """What is said of a plan that no longer fits; all differences, and nothing written."""
        before = self.fleet()
        done = self.apply(*arguments)
        assert done.returncode == 1, done.stdout + done.stderr
        assert STALE in done.stderr
        assert done.stdout == ""
        assert self.fleet() == before
        return done.stderr

    def fleet(self) -> dict[str, Any]:
        """Every object that a run might write, of clusters that answer, with its version."""
        kinds = "namespaces,configmaps,secrets,services,deployments,horizontalpodautoscalers"
        return {
            name: self.world.kubectl(
                *("get", kinds, "-A", "--request-timeout=2s", "-o"),
                "jsonpath={range .items[*]}{.kind}/{.metadata.name}"
                "@{.metadata.resourceVersion} {end}",
                cluster=name,
                check=False,
            )
            for name in ("aws", "gcp")
        }

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.file.read_text())
        return found

    def commit(self, **files: str) -> str:
        """Commits the work tree with these files in it; ``settings`` is settings.yaml."""
        folder = self.world.repository
        if not (folder / ".git").exists():
            git(folder, "init", "-q", "-b", "main")
        return commit(folder, {f"{name}.yaml": text for name, text in files.items()})


@pytest.fixture
def desk(world: World, tmp_path: Path) -> Desk:
    """The shop is applied; what is in Git since then waits to be planned."""
    return _opened(world, tmp_path)


@pytest.fixture
def simulated_desk(simulated_world: World, tmp_path: Path) -> Desk:
    return _opened(simulated_world, tmp_path)


def _opened(world: World, tmp_path: Path) -> Desk:
    desk = Desk(world, tmp_path / "plan.json")
    desk.commit(shop=SHOP)
    assert desk.reconcile("--yes").returncode == 0
    return desk
