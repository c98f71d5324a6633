"""What servers and files say is shown by every command, and acts on no terminal."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import reconciler
from kubesim.fleet import Sandbox
from reconciler.cli.console import Console, styled
from reconciler.cli.reconcile import reconcile
from reconciler.report.terminal import painted, shown, unpainted
from tests.scenarios.conftest import World
from tests.scenarios.manifests import SHOP

HOSTILE = "evil\x1b[45m\x1b[2J\u202e\x07\rtext"
CLI = Path(reconciler.__file__).parent / "cli"


def unhealthy(sandbox: Sandbox) -> None:
    def change(answer: Any) -> Any:
        for item in answer.get("items", []):
            reason = {"reason": "ProgressDeadlineExceeded", "message": HOSTILE}
            item["status"] = {"conditions": [{"type": "Progressing", "status": "False", **reason}]}
        return answer

    sandbox.cluster("aws").faults.distort(change, path="/deployments")


def strange_version(sandbox: Sandbox) -> None:
    sandbox.cluster("aws").faults.answer({"gitVersion": HOSTILE}, path="^/version")


def refusing(sandbox: Sandbox) -> None:
    sandbox.cluster("aws").faults.error(403, message=HOSTILE, reason="Forbidden")


def denying(sandbox: Sandbox) -> None:
    sandbox.cluster("aws").faults.deny(HOSTILE, path="deployments")


def nothing(_: Sandbox) -> None:
    pass


BAD = f'apiVersion: apps/v1\nkind: "Deployment"\nmetadata: {{name: "{HOSTILE!a}"}}\n'.replace(
    "'", ""
).replace("\\x1b", "\\e")
COMMANDS: tuple[tuple[str, Callable[[Sandbox], None], str], ...] = (
    ("status", unhealthy, ""),
    ("status -o wide", unhealthy, ""),
    ("clusters", strange_version, ""),
    ("--plan", refusing, ""),
    ("--yes", denying, SHOP.replace("replicas: 3", "replicas: 4").replace("web:1", "web:2")),
    ("join aws --cluster-context aws --host-context gcp --dry-run", refusing, ""),
    ("unjoin aws --cluster-context aws --host-context gcp --dry-run", refusing, ""),
    ("import --context aws --to imported", refusing, ""),
    ("rotate --all --host-context aws", refusing, ""),
    ("validate", nothing, BAD),
    ("survivability", nothing, BAD),
)


@pytest.mark.parametrize("colour", ["1", ""])
@pytest.mark.parametrize(("line", "befall", "manifest"), COMMANDS, ids=[c[0] for c in COMMANDS])
def test_no_command_lets_them_through(
    simulated_world: World,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    befall: Callable[[Sandbox], None],
    manifest: str,
    colour: str,
) -> None:
    world = simulated_world
    world.write("shop.yaml", SHOP)
    world.apply()
    if manifest:
        world.write("shop.yaml", manifest)
    befall(sandbox)
    monkeypatch.setenv("KUBECONFIG", str(world.kubeconfig))
    monkeypatch.setenv("FORCE_COLOR", colour)
    monkeypatch.chdir(world.repository.parent)
    arguments = line.split()
    if arguments[0] != "import":
        arguments += ["--repo", str(world.repository)]
    done = CliRunner().invoke(reconcile, arguments, prog_name="reconcile", color=True)
    assert "evil" in done.output, done.output
    ours = re.compile(r"\x1b\[(?:0|1|2|3[0-9])(?:;1)?m")
    rest = ours.sub("", done.output)
    assert bool(colour) or rest == done.output
    assert not set(rest) & set("\x1b\u202e\x07\r"), ascii(rest)


def test_a_line_stays_a_line_and_our_colours_stay_ours() -> None:
    line = f"{styled('name', fg='red', bold=True)}: one\nError: two \x1b[31mred\tend"
    assert shown(line, colour=True) == ("\x1b[31m\x1b[1mname\x1b[0m: one⏎Error: two ␛[31mred\tend")
    assert shown(line, colour=False) == "name: one⏎Error: two ␛[31mred\tend"
    assert unpainted(painted("wide", "31")) == "wide"


def test_the_console_escapes_whatever_it_is_given(capfd: pytest.CaptureFixture[str]) -> None:
    console = Console(stdout_colour=True, stderr_colour=True)
    console.out(f"{styled('out', fg='green')} {HOSTILE}")
    console.note(HOSTILE)
    said = capfd.readouterr()
    assert said.out == "\x1b[32mout\x1b[0m evil␛[45m␛[2J\\u202e\\u0007\\u000dtext\n"
    assert "\x1b" not in said.err


def test_commands_write_by_the_console_alone() -> None:
    """``document`` takes what is finished: no more places than these."""
    finished: set[tuple[str, str]] = set()
    for file in sorted(CLI.glob("*.py")):
        if file.name == "console.py":
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            called = ast.unparse(node.func)
            assert called not in ("click.style", "click.secho", "click.prompt", "click.confirm")
            if called == "click.echo" and file.name not in (
                "reconcile.py",  # our version
                "completion.py",  # a script of click's
                "credential.py",  # JSON for a client of Kubernetes
            ):
                raise AssertionError(f"{file.name}:{node.lineno}: say it through the console")
            if called.endswith(".document"):
                finished.add((file.name, ast.unparse(node.args[0])))
    assert finished == {
        ("clusters.py", "_as_data(federation, commit, rows, output)"),
        ("demo_story.py", "text.rstrip('\\n')"),
        ("join.py", "plan.manifest"),
        ("join.py", "steps_as_json(steps, plan.warnings)"),
        ("join.py", "steps_as_yaml(steps)"),
        ("output.py", "text"),
        ("rollout.py", "text.rstrip('\\n')"),
        ("run.py", "output.plan_as_text(plan, console)"),
        ("schema.py", "json.dumps(settings, indent=2)"),
        ("seats.py", "json.dumps(seats_document(status), indent=2)"),
        ("status.py", "line"),
        ("survivability.py", "_rendered(matrix, output, settings)"),
        ("unjoin.py", "steps_as_json(steps, plan.warnings)"),
        ("validate.py", "_as_json(problems, warnings, counts, fixed if fix else None)"),
    }
