"""The command as a shell sees it: a process of its own, without a terminal."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command import ROOT, run_command, user_environment

SAMPLE = ROOT / "sample-repo"
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """No variable of ours, no home, no kubeconfig of whoever runs the tests."""
    return user_environment(tmp_path, XDG_STATE_HOME=str(tmp_path / "state"))


@pytest.fixture
def reconcile(environment: dict[str, str], tmp_path: Path) -> Command:
    """Runs `reconcile ARGUMENTS` in an empty directory or in ``cwd``, with ``env`` added."""

    def run(
        *arguments: object, cwd: Path | None = None, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return run_command(
            *arguments, cwd=cwd or tmp_path, env={**environment, **(env or {})}, timeout=60
        )

    return run


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Writes documents into a repository of one file, beside a Federation and a cluster."""

    def write(documents: str) -> Path:
        folder = tmp_path / "repository"
        folder.mkdir(exist_ok=True)
        (folder / "federation.yaml").write_text(FEDERATION, encoding="utf-8")
        (folder / "manifests.yaml").write_text(documents, encoding="utf-8")
        return folder

    return write


FEDERATION = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata:
  name: test
spec:
  defaults:
    placement:
      clusterSelector: {}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata:
  name: one
spec:
  provider: aws
  region: eu-central-1
  access:
    context: one
"""
