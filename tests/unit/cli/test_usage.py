"""A wrong command line ends in 64 and says what would be right; never in a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from reconciler import __version__
from reconciler.cli.reconcile import reconcile as command

from .conftest import Command

WRONG = [
    (["--nonsense"], "No such option"),
    (["--output", "xml"], "'xml' is not one of"),
    (["--max-deletions", "-1"], "--max-deletions"),
    (["--deadline", "soon"], "'soon' is not a duration"),
    (["--deadline", "0s"], "longer than nothing"),
    (["--plan", "--simulate-outage", "aws-eu"], "cluster=NAME"),
    (["--plan", "--simulate-outage", "planet=mars"], "cluster=NAME"),
    (["--simulate-outage", "cluster=aws-eu"], "goes with --plan"),
    (["--detailed-exitcode"], "goes with --plan"),
    (["--plan", "--sandbox", "--kubeconfig", "x"], "leave out --kubeconfig"),
    (["--plan", "--report", "plan.docx"], ".json, .md"),
    (["--plan", "--report", "nowhere/plan.json"], "no such directory"),
    (["valdate"], "Did you mean 'validate'?"),
    (["validate", "--nonsense"], "No such option"),
    (["validate", "--output", "markdown"], "'github'"),
    (["completion"], "Missing argument"),
    (["completion", "tcsh"], "'bash', 'zsh', 'fish'"),
    (["explain"], "Missing argument"),
    (["demo", "--nonsense"], "No such option"),
    (["rollout", "-o", "json", "hold"], "--output goes with reconcile rollout alone, not hold"),
    (["rollout", "--watch", "promote"], "--watch goes with reconcile rollout alone, not promote"),
    (["seats", "-o", "json", "repair"], "--output goes with reconcile seats alone, not repair"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=[" ".join(a) for a, _ in WRONG])
def test_a_wrong_command_line_is_64(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(command, arguments, prog_name="reconcile")
    assert result.exit_code == 64, result.output
    assert words in " ".join(result.stderr.split())
    assert result.stdout == ""


def test_a_real_process_ends_in_64_too(reconcile: Command) -> None:
    for arguments in (["--nonsense"], ["validate", "--nonsense"]):
        done = reconcile(*arguments)
        assert (done.returncode, done.stdout) == (64, "")
        assert "Traceback" not in done.stderr


def test_a_wrong_value_in_the_environment_is_64(reconcile: Command) -> None:
    done = reconcile("--plan", env={"RECONCILE_MAX_DELETIONS": "many"})
    assert done.returncode == 64
    assert "--max-deletions" in done.stderr


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("RECONCILE_REQUIRE_SIGNATUR", "RECONCILE_REQUIRE_SIGNATURE"),
        ("RECONCILE_CLUSTER", "RECONCILE_CLUSTERS"),
    ],
)
def test_a_variable_that_sets_nothing_is_64(reconcile: Command, variable: str, meant: str) -> None:
    """What was meant to protect a run, say, must not be left out unheard."""
    done = reconcile("--plan", "--sandbox", env={variable: "gpg"})
    assert done.returncode == 64
    assert f"The variable {variable} sets no option. Did you mean {meant}?" in done.stderr


def test_variables_of_others_do_not_matter(reconcile: Command) -> None:
    """Kubernetes tells each pod of the Services around it; options of one command are its own."""
    others = {
        "RECONCILE_SERVICE_HOST": "10.0.0.1",
        "RECONCILE_SERVICE_PORT_HTTP": "80",
        "RECONCILE_PORT": "tcp://10.0.0.1:80",
        "RECONCILE_METRICS_PORT_8080_TCP_ADDR": "10.0.0.2",
        "RECONCILE_ROTATE_EVERY": "1",
        "RECONCILE_DEBUG": "1",
        "RECONCILER_OF_SOMEBODY": "1",
    }
    assert reconcile("schema", "--help", env=others).returncode == 0
    done = reconcile("--plan", "--repo", "nowhere", env=others)
    assert done.returncode == 1
    assert "sets no option" not in done.stderr


def test_a_directory_in_the_place_of_a_command_is_understood(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, [str(tmp_path)], prog_name="reconcile")
    assert result.exit_code == 64
    assert f"--repo {tmp_path}" in result.stderr


def test_the_version(reconcile: Command) -> None:
    assert reconcile("--version").stdout == f"reconcile {__version__}\n"


def test_the_version_is_not_taken_from_the_environment(reconcile: Command) -> None:
    done = reconcile("explain", "Nothing", env={"RECONCILE_VERSION": "1"})
    assert __version__ not in done.stdout


@pytest.mark.parametrize("name", ["", "validate", "schema", "explain", "completion", "demo"])
def test_every_command_has_help_with_examples(name: str) -> None:
    result = CliRunner().invoke(command, [*filter(None, [name]), "--help"], prog_name="reconcile")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: reconcile {name}".rstrip())
    assert "Examples:" in result.stdout


def test_the_help_tells_every_exit_code_and_groups_the_options() -> None:
    text = CliRunner().invoke(command, ["--help"], prog_name="reconcile").stdout
    words = " ".join(text.split())
    for code in ("0 done", "1 something failed", "2 the plan has changes", "64 wrong", "130 inter"):
        assert code in words
    for heading in ("What to do:", "Repository:", "Fleet:", "Output:", "Terminal:", "Commands:"):
        assert f"\n{heading}\n" in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(shell: str) -> None:
    result = CliRunner().invoke(command, ["completion", shell])
    assert result.exit_code == 0
    assert "_RECONCILE_COMPLETE" in result.stdout


def test_the_shell_is_told_commands_and_options(reconcile: Command) -> None:
    def completed(words: str, index: int) -> list[str]:
        variables = {
            "_RECONCILE_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(index),
        }
        lines = reconcile(env=variables).stdout.splitlines()
        return [line.partition(",")[2] for line in lines]

    assert completed("reconcile val", 1) == ["validate"]
    assert "--simulate-outage" in completed("reconcile --sim", 1)
    assert completed("reconcile explain Placement.spec.repl", 2) == ["Placement.spec.replicas"]
