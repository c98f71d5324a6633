"""The commands around members, where the command line itself is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from reconciler.cli.command_group import COMMANDS
from reconciler.cli.reconcile import reconcile as command

from .conftest import Command

WRONG = [
    (["join"], "Missing argument 'NAME'"),
    (["join", "a", "--label", "env"], "is not KEY=VALUE"),
    (["join", "a", "--token-lifetime", "1m"], "no token for less than 10m"),
    (["join", "a", "--token-lifetime", "soon"], "is not a duration"),
    (["join", "a", "--auth", "exec"], "needs --user or --group"),
    (["join", "a", "--auth", "exec", "--user", "x", "--group", "y"], "needs --user or --group"),
    (["join", "a", "--user", "x"], "go with --auth exec"),
    (["join", "a", "-o", "yaml"], "goes with --dry-run"),
    (["unjoin", "a", "--orphan", "--prune"], "not both"),
    (["import", "--to", "x"], "Either --context, or files"),
    (["import", "--context", "host"], "Missing option '--to'"),
    (["status", "--timeout", "5s"], "goes with --watch"),
    (["clusters", "-o", "csv"], "'csv' is not one of"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=[" ".join(a) for a, _ in WRONG])
def test_a_wrong_command_line_is_64(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(command, arguments, prog_name="reconcile")
    assert result.exit_code == 64, result.output
    assert words in " ".join(result.stderr.split())


@pytest.mark.parametrize("name", ["clusters", "import", "join", "rotate", "status", "unjoin"])
def test_each_is_listed_and_explains_itself(name: str) -> None:
    assert name in COMMANDS
    result = CliRunner().invoke(command, [name, "--help"], prog_name="reconcile")
    assert result.exit_code == 0, result.output
    assert "Examples:" in result.output


def test_a_context_that_is_not_there_is_told_with_those_that_are(
    reconcile: Command, tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(
        "clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}]\n"
        "contexts: [{name: main, context: {cluster: a}}]\n"
    )
    done = reconcile("join", "aws-eu", "--kubeconfig", kubeconfig)
    assert done.returncode == 1
    assert "no context named 'aws-eu'" in done.stderr
    assert "main" in done.stderr


def test_a_repository_with_a_mistake_is_not_joined_to(reconcile: Command, tmp_path: Path) -> None:
    (tmp_path / "federation.yaml").write_text("kind: Federation\n")
    done = reconcile("unjoin", "aws-eu", "--force", "--repo", tmp_path)
    assert done.returncode == 1
    assert "federation.yaml:1:1" in done.stderr
    assert "Traceback" not in done.stderr
