"""Planning and applying by the command itself, on simulated clusters, as shells and people do."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.api.objects import ObjectKey
from reconciler.cli.run import question
from reconciler.plan.model import Action, Change, ClusterPlan, Plan
from tests.command import ROOT, run_command, start_command

from .conftest import FEDERATION, SAMPLE, Command

Write = Callable[[str], Path]


def config_maps(*names: str) -> str:
    return "---\n".join(
        f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: default\n"
        for name in names
    )


def test_a_repository_is_planned_applied_and_then_left_alone(
    reconcile: Command, repository: Write
) -> None:
    folder = repository(config_maps("a", "b"))
    sandbox = ("--sandbox", "--repo", folder)
    assert reconcile("--plan", *sandbox).returncode == 0
    assert reconcile("--plan", "--detailed-exitcode", *sandbox).returncode == 2
    done = reconcile(*sandbox)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 created" in done.stdout
    again = reconcile("--plan", "--detailed-exitcode", *sandbox)
    assert again.returncode == 0
    assert "No changes" in again.stdout
    assert reconcile("--plan", "--detailed-exitcode", "--sandbox-reset", *sandbox).returncode == 2


def test_json_on_stdout_is_json_and_nothing_else(reconcile: Command, repository: Write) -> None:
    folder = repository(config_maps("a"))
    plan = json.loads(reconcile("--plan", "--sandbox", "--repo", folder, "-o", "json").stdout)
    assert plan["summary"]["create"] == 1
    [change] = plan["clusters"][0]["changes"]
    assert (change["action"], change["kind"], change["name"]) == ("create", "ConfigMap", "a")
    result = json.loads(reconcile("--sandbox", "--repo", folder, "-o", "json").stdout)
    assert result["summary"]["create"] == 1


def test_reports_are_written_beside_the_output(
    reconcile: Command, repository: Write, tmp_path: Path
) -> None:
    files = [tmp_path / name for name in ("plan.json", "plan.md", "plan.txt", "plan.html")]
    arguments = [word for file in files for word in ("--report", file)]
    done = reconcile("--plan", "--sandbox", "--repo", repository(config_maps("a")), *arguments)
    assert done.returncode == 0
    assert json.loads(files[0].read_text())["summary"]["create"] == 1
    assert "default/a" in files[1].read_text()
    assert files[2].read_text() == done.stdout
    assert "default/a" in files[3].read_text()


def test_a_report_that_cannot_be_written_fails_in_words(
    reconcile: Command, repository: Write, tmp_path: Path
) -> None:
    (tmp_path / "plan.json").mkdir()
    report = tmp_path / "plan.json" / "plan.json"
    report.symlink_to(tmp_path / "nowhere" / "plan.json")
    folder = repository(config_maps("a"))
    done = reconcile("--plan", "--sandbox", "--repo", folder, "--report", report)
    assert done.returncode == 1
    assert f"the report {report} was not written" in done.stderr
    assert "defect" not in done.stderr


def test_a_report_that_cannot_be_written_costs_neither_the_others_nor_the_saved_plan(
    reconcile: Command, repository: Write, tmp_path: Path
) -> None:
    lost, also, kept = tmp_path / "no" / "plan.md", tmp_path / "no" / "a.html", tmp_path / "a.json"
    lost.parent.mkdir()
    for report in (lost, also):
        report.symlink_to(tmp_path / "nowhere" / "plan")
    folder, saved = repository(config_maps("a")), tmp_path / "plan.saved"
    reports = [word for file in (lost, also, kept) for word in ("--report", file)]
    done = reconcile("--plan", "--sandbox", "--repo", folder, *reports, "--out", saved)
    assert done.returncode == 1
    assert "default/a" in done.stdout
    assert json.loads(kept.read_text())["summary"]["create"] == 1
    assert saved.exists()
    assert f"the report {lost} was not written" in done.stderr
    assert f"the report {also} was not written" in done.stderr
    done = reconcile("--sandbox", "--repo", folder, *reports)
    assert done.returncode == 1
    assert "1 created" in done.stdout
    assert json.loads(kept.read_text())["summary"]["create"] == 1


@pytest.mark.parametrize(
    "where", [("--metrics-push", "http://127.0.0.1:1"), ("--metrics-file", "{tmp}/no/a.prom")]
)
def test_metrics_that_cannot_be_told_cost_neither_the_plan_nor_the_outcome(
    reconcile: Command, repository: Write, tmp_path: Path, where: tuple[str, str]
) -> None:
    option, value = where
    folder = repository(config_maps("a"))
    environment = {"RECONCILE_ALLOW_ACCESS": "plain-http"}
    told = (option, value.format(tmp=tmp_path))
    for plan in (("--plan",), ()):
        done = reconcile(*plan, "--sandbox", "--repo", folder, *told, env=environment)
        assert done.returncode == 0
        assert "default/a" in done.stdout
        assert "etrics" in done.stderr
    assert "1 created" in done.stdout


def test_clusters_are_simulated_whatever_their_access(
    reconcile: Command, repository: Write
) -> None:
    folder = repository(config_maps("a"))
    one = FEDERATION.replace("    context: one", '    context: "arn:aws:eks:eu:1:cluster/one"')
    secret = FEDERATION.partition("---\n")[2].replace("name: one", "name: two")
    two = secret.replace("    context: one", "    secretRef: {name: two, namespace: fleet}")
    (folder / "federation.yaml").write_text(f"{one}---\n{two}")
    done = reconcile("--sandbox", "--repo", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 created" in done.stdout


def test_a_simulation_never_looks_at_the_host_for_credentials(
    reconcile: Command, repository: Write
) -> None:
    """In a pod, the host cluster would have the Secrets that lead to the real clusters."""
    folder = repository(config_maps("a"))
    by_secret = FEDERATION.replace("    context: one", "    secretRef: {name: one, namespace: f}")
    (folder / "federation.yaml").write_text(by_secret)
    # An address of its own: at 127.0.0.1 a client of an earlier server may try this port again.
    with socket.create_server(("127.45.67.89", 0)) as host:
        pod = {
            "KUBERNETES_SERVICE_HOST": "127.45.67.89",
            "KUBERNETES_SERVICE_PORT": str(host.getsockname()[1]),
        }
        assert reconcile("--sandbox", "--repo", folder, env=pod).returncode == 0
        assert not select.select([host], [], [], 0)[0]


def test_too_many_deletions_stop_the_run_unless_they_are_allowed(
    reconcile: Command, repository: Write
) -> None:
    names = [f"settings-{number}" for number in range(20)]
    folder = repository(config_maps(*names))
    sandbox = ("--sandbox", "--repo", folder)
    assert reconcile(*sandbox).returncode == 0
    repository(config_maps(*names[:5]))
    assert reconcile("--plan", *sandbox).returncode == 1
    stopped = reconcile(*sandbox)
    assert stopped.returncode == 1
    assert "--max-deletions" in stopped.stderr
    assert "Nothing was written" in stopped.stderr
    allowed = reconcile(*sandbox, "--max-deletions", 15)
    assert allowed.returncode == 0, allowed.stderr
    assert "15 pruned" in allowed.stdout


def test_a_cluster_that_the_repository_does_not_have_is_a_usage_error(
    reconcile: Command, repository: Write
) -> None:
    done = reconcile("--plan", "--sandbox", "--repo", repository(""), "--cluster", "oen")
    assert done.returncode == 64
    assert "one" in done.stderr


def test_a_fleet_that_cannot_be_reached_is_1(
    reconcile: Command, repository: Write, tmp_path: Path
) -> None:
    folder = repository(config_maps("a"))
    done = reconcile("--plan", "--repo", folder, "--kubeconfig", tmp_path / "none")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_early_is_no_error(
    environment: dict[str, str], repository: Write
) -> None:
    folder = repository(config_maps(*(f"settings-{number}" for number in range(50))))
    line = f"{sys.executable} -m reconciler.cli --plan --sandbox --repo {folder} | head -n 1"
    done = subprocess.run(
        ["sh", "-c", line],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "defect" not in done.stderr


@pytest.fixture
def silent_server(tmp_path: Path) -> Iterator[Path]:
    """A kubeconfig for clusters that take connections and never answer."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        contexts = "".join(
            f"- {{name: {name}, context: {{cluster: silent, user: nobody}}}}\n"
            for name in ("aws-eu", "gcp-eu", "gcp-us")
        )
        file = tmp_path / "kubeconfig"
        file.write_text(
            "apiVersion: v1\nkind: Config\n"
            f"clusters: [{{name: silent, cluster: {{server: '{url}'}}}}]\n"
            "users: [{name: nobody, user: {token: none}}]\n"
            f"contexts:\n{contexts}"
        )
        yield file


def test_ctrl_c_ends_a_plan_at_once_though_every_member_hangs(
    environment: dict[str, str], silent_server: Path
) -> None:
    arguments = ["--plan", "--repo", str(SAMPLE), "--kubeconfig", str(silent_server)]
    process = start_command(*arguments, env=environment)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2)
    pressed = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert time.monotonic() - pressed < 2
    assert (process.returncode, out, err.strip()) == (130, "", "Interrupted.")


class Terminal:
    """The command with a terminal on stdin, stdout and stderr."""

    def __init__(self, environment: dict[str, str], *arguments: object) -> None:
        self.master, slave = pty.openpty()
        self.process = start_command(
            *arguments,
            env={**environment, "TERM": "xterm"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            text=False,
            start_new_session=True,
        )
        os.close(slave)
        self.text = ""

    def read_until(self, words: str) -> None:
        deadline = time.monotonic() + 30
        while words not in self.text:
            assert time.monotonic() < deadline, self.text
            if select.select([self.master], [], [], 0.1)[0]:
                self.text += self._read()

    def type(self, line: str) -> None:
        os.write(self.master, line.encode())

    def end(self) -> int:
        while chunk := self._read():
            self.text += chunk
        os.close(self.master)
        return self.process.wait(30)

    def _read(self) -> str:
        try:
            return os.read(self.master, 65536).decode(errors="replace")
        except OSError:
            return ""


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        ("yes\n", 0, "1 created"),
        ("y\n", 1, "Nothing was changed."),
        ("\n", 1, "Nothing was changed."),
        ("\x04", 130, "Interrupted."),
    ],
    ids=["yes", "y is not yes", "just Enter", "Ctrl-D"],
)
def test_on_a_terminal_it_shows_the_plan_and_asks(
    environment: dict[str, str], repository: Write, answer: str, code: int, words: str
) -> None:
    folder = repository(config_maps("a"))
    terminal = Terminal(environment, "--sandbox", "--repo", folder)
    terminal.read_until("Only 'yes' is taken for a yes")
    assert "default/a" in terminal.text
    terminal.type(answer)
    assert terminal.end() == code, terminal.text
    assert words in terminal.text
    assert "Traceback" not in terminal.text


def test_the_question_says_all_that_a_yes_will_do() -> None:
    frontend = Change(Action.RECREATE, ObjectKey("batch", "Job", "shop", "import"), "batch/v1")
    leftover = Change(Action.PRUNE, ObjectKey("", "ConfigMap", "shop", "old"), "v1")
    refused = Change(Action.FAILED, ObjectKey("", "ConfigMap", "shop", "new"), "v1")
    used = Change(Action.WAITING, ObjectKey("", "ConfigMap", "shop", "used"), "v1")
    there = ClusterPlan("aws-eu", changes=(frontend, leftover, refused, used))
    quiet = ClusterPlan("gcp-eu", changes=(refused,))
    withdrawn = {"name": "web.example.com.", "type": "A", "from": ["192.0.2.1"], "to": None}
    for plan, asked in (
        (
            Plan("shop", (there, quiet)),
            (
                "Make 2 changes in 1 cluster (1 to recreate, 1 to prune)",
                "2 deletions among them, 1 change left to a later run",
            ),
        ),
        (
            Plan("shop", (quiet,), dns=(withdrawn,)),
            ("Change 1 DNS record (1 to prune)", "1 deletion among them"),
        ),
        (
            Plan("shop", (there,), dns=(withdrawn,)),
            (
                "Make 2 changes in 1 cluster (1 to recreate, 1 to prune) and change 1 DNS record "
                "(1 to prune)",
                "3 deletions among them, 1 change left to a later run",
            ),
        ),
    ):
        assert question(plan) == asked


def test_with_yes_nobody_is_asked(environment: dict[str, str], repository: Write) -> None:
    folder = repository(config_maps("a"))
    terminal = Terminal(environment, "--sandbox", "--yes", "--repo", folder)
    assert terminal.end() == 0, terminal.text
    assert "taken for a yes" not in terminal.text
    assert "\x1b[" in terminal.text


def test_nothing_is_asked_when_there_is_nothing_to_do(
    environment: dict[str, str], repository: Write, reconcile: Command
) -> None:
    folder = repository(config_maps("a"))
    assert reconcile("--sandbox", "--repo", folder).returncode == 0
    terminal = Terminal(environment, "--sandbox", "--repo", folder)
    assert terminal.end() == 0, terminal.text
    assert "taken for a yes" not in terminal.text


def test_the_demo_tells_its_story(reconcile: Command) -> None:
    done = reconcile("demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every step was checked" in done.stdout


def test_the_demo_leaves_its_repository_where_it_is_told_to(
    reconcile: Command, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    assert reconcile("demo", "--keep", kept).returncode == 0
    assert (kept / "federation.yaml").is_file()
    assert reconcile("demo", "--keep", kept).returncode == 64


def test_without_the_sample_repository_the_demo_says_so(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """As from a wheel, which holds the package and the schemas only."""
    shutil.copytree(ROOT / "reconciler", tmp_path / "site" / "reconciler")
    done = run_command("demo", cwd=tmp_path / "site", env=environment)
    assert done.returncode == 1
    assert "sample-repo" in done.stderr
