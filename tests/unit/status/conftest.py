"""Two simulated clusters with a shop in them, and the command that looks at them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from tests.command import run_command, user_environment
from tests.scenarios.conftest import CLUSTERS, FEDERATION
from tests.scenarios.manifests import SHOP

KUBECTL = Path(sys.executable).with_name("kubectl")


@dataclass
class Fleet:
    """`aws` and `gcp`, reached by contexts of those names."""

    sandbox: Sandbox
    repository: Path
    home: Path

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        environment = user_environment(
            self.home,
            KUBECONFIG=str(self.sandbox.kubeconfig),
            XDG_STATE_HOME=str(self.home / "state"),
        )
        return run_command(*arguments, cwd=self.repository, env=environment, code=code, timeout=60)

    def kubectl(self, cluster: str, *arguments: str) -> str:
        done = subprocess.run(
            [KUBECTL, "--kubeconfig", self.sandbox.kubeconfig, "--context", cluster, *arguments],
            env={**os.environ, "HOME": str(self.home)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout


@pytest.fixture
def shop_fleet(tmp_path: Path) -> Iterator[Fleet]:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "federation.yaml").write_text(FEDERATION)
    (repository / "clusters.yaml").write_text(CLUSTERS)
    (repository / "shop.yaml").write_text(SHOP)
    settings: Any = ClusterSettings(nodes=2)
    with Sandbox(["aws", "gcp"], settings=settings) as sandbox:
        yield Fleet(sandbox, repository, tmp_path)
