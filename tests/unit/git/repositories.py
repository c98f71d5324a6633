"""Git repositories as a team would have them, made with the git command."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

FEDERATION = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  defaults:
    placement: {clusterSelector: {}}
"""
CLUSTER = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: one}
spec: {provider: aws, region: eu-central-1, access: {context: one}}
"""


def config_map(name: str, **data: str) -> str:
    lines = [f"  {key}: {value}" for key, value in data.items()]
    head = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: shop}}\n"
    return head + "\n".join(["data:", *lines] if lines else []) + "\n"


def git(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Runs git as a person with a name and no settings of their own."""
    identity = ["-c", "user.name=Tester", "-c", "user.email=tester@example.com"]
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        **(env or {}),
    }
    done = subprocess.run(
        ["git", "-C", folder, *identity, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")


def commit(folder: Path, files: Mapping[str, str], *sign: str, **env: str) -> str:
    """Writes files and commits everything; ``sign``: options in front of ``commit``."""
    write(folder, files)
    git(folder, "add", "-A")
    git(folder, *sign, "commit", "-q", "--allow-empty", "-m", "a change", env=env)
    return git(folder, "rev-parse", "HEAD")


def new_repository(folder: Path, files: Mapping[str, str]) -> Path:
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    commit(folder, files)
    return folder
