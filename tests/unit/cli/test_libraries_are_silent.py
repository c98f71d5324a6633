"""What libraries log or warn of does not reach the terminal beside our own words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import run_command, user_environment

ROOT = Path(__file__).resolve().parents[3]
REPOSITORY = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec: {defaults: {placement: {clusterSelector: {}}}}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws}
spec: {provider: aws, region: eu-central-1}
"""
PLUGINS = {
    "is not installed": "no-such-plugin",
    "is a path that is not there": "/nowhere/no-such-plugin",
    "fails": "false",
    "says nothing": "true",
    "says no JSON": "hostname",
}


def kubeconfig(command: str) -> str:
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": command,
        "interactiveMode": "Never",
    }
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
            "users": [{"name": "u", "user": {"exec": plugin}}],
            "contexts": [{"name": "aws", "context": {"cluster": "c", "user": "u"}}],
        }
    )


def run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_command(*arguments, cwd=tmp_path, env=user_environment(tmp_path, COLUMNS="300"))


@pytest.mark.parametrize("command", PLUGINS.values(), ids=PLUGINS.keys())
def test_a_plugin_that_gives_nothing_is_told_of_in_our_own_words(
    tmp_path: Path, command: str
) -> None:
    (tmp_path / "federation.yaml").write_text(REPOSITORY)
    (tmp_path / "kubeconfig").write_text(kubeconfig(command))
    for arguments in (("--plan",), ("status",), ("clusters",)):
        done = run(tmp_path, *arguments, "--kubeconfig", "kubeconfig")
        said = done.stdout + done.stderr
        assert "ERROR:" not in said
        assert "Traceback" not in said
        if arguments != ("status",):
            assert "the credential plugin of kubeconfig context 'aws' " in said
        if "no-such" in command and arguments == ("--plan",):
            assert f"{command} is not installed, or not on the PATH" in said


def test_what_a_library_logs_or_warns_of_is_dropped(tmp_path: Path) -> None:
    program = (
        "import logging, warnings; from reconciler.cli.console import open_console; open_console();"
        "logging.error('stray'); logging.getLogger('urllib3').warning('stray');"
        "logging.getLogger('asyncio').error('stray'); warnings.warn('stray', UserWarning)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
