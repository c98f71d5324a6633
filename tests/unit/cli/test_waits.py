"""What knows of no deadline by itself ends with the run's all the same, and with SIGTERM."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from kubesim.fleet import Sandbox
from tests.command import start_command
from tests.controlplane.process import eventually
from tests.definitions import definition_text
from tests.unit.cli.test_deadline import FEDERATION, OWN_LIMIT

DEADLINE = 8.0
HANGING = "#!/bin/sh\n: > {began}\nexec {sleep} 300\n"


class Place:
    """A repository, a simulated cluster, and the programs that the command finds."""

    def __init__(self, folder: Path, sandbox: Sandbox, environment: dict[str, str]) -> None:
        self.sandbox = sandbox
        self.aws = sandbox.cluster("aws")
        self.repository = folder / "repository"
        self.repository.mkdir()
        (self.repository / "all.yaml").write_text(FEDERATION)
        self.programs = folder / "programs"
        self.programs.mkdir()
        self.began = folder / "began"
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_bytes(Path(sandbox.kubeconfig).read_bytes())
        path = f"{self.programs}{os.pathsep}{environment['PATH']}"
        self.environment = {**environment, "PATH": path}

    def hanging(self, name: str) -> Path:
        program = self.programs / name
        program.write_text(HANGING.format(began=self.began, sleep=shutil.which("sleep")))
        program.chmod(0o755)
        return program

    def start(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        where = ("--repo", self.repository, "--kubeconfig", self.kubeconfig)
        piped = subprocess.PIPE if stdin == subprocess.DEVNULL else stdin
        return start_command(*arguments, *where, env=self.environment, stdin=stdin, stderr=piped)


@pytest.fixture
def place(tmp_path: Path, environment: dict[str, str]) -> Iterator[Place]:
    with Sandbox(["aws"]) as sandbox:
        yield Place(tmp_path, sandbox, environment)


def _kustomize(place: Place) -> None:
    place.hanging("kustomize")
    place.hanging("kubectl")
    folder = place.repository / "built"
    folder.mkdir()
    (folder / "kustomization.yaml").write_text("resources: [a.yaml]\n")
    (folder / "a.yaml").write_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}\n")


def _sops(place: Place) -> None:
    place.hanging("sops")
    enabled = FEDERATION.replace(
        "spec: {defaults", "spec: {source: {sops: {enabled: true}}, defaults"
    )
    (place.repository / "all.yaml").write_text(enabled)
    (place.repository / "secret.yaml").write_text(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: default}\n"
        "stringData: {a: 'ENC[AES256_GCM,data:AAAA,iv:AAAA,tag:AAAA,type:str]'}\n"
        "sops:\n  version: 3.9.0\n  mac: 'ENC[AES256_GCM,data:A,iv:A,tag:A,type:str]'\n"
        "  lastmodified: '2026-01-01T00:00:00Z'\n  age: [{recipient: age1x, enc: x}]\n"
    )


def _exec_plugin(place: Place) -> None:
    program = place.hanging("credentials")
    config = yaml.safe_load(place.kubeconfig.read_text())
    for user in config["users"]:
        user["user"] = {
            "exec": {
                "apiVersion": "client.authentication.k8s.io/v1",
                "command": str(program),
                "interactiveMode": "Never",
            }
        }
    place.kubeconfig.write_text(yaml.safe_dump(config))


PROGRAMS: dict[str, Callable[[Place], None]] = {
    "kustomize": _kustomize,
    "sops": _sops,
    "exec plugin": _exec_plugin,
}


@pytest.mark.parametrize("command", ["--yes", "--plan", "status", "clusters"])
@pytest.mark.parametrize("what", PROGRAMS)
def test_a_program_that_hangs_is_not_waited_for_past_the_deadline(
    place: Place, what: str, command: str
) -> None:
    PROGRAMS[what](place)
    reads = command in ("status", "clusters")
    limit = (f"--deadline={DEADLINE}s", command) if reads else (command, f"--deadline={DEADLINE}s")
    began = time.monotonic()
    process = place.start(*limit)
    out, err = process.communicate(timeout=120)
    seconds = time.monotonic() - began
    assert place.began.exists(), out + err
    assert (process.returncode, seconds < DEADLINE + 20) == (1, True), (seconds, out + err)
    assert "Traceback" not in err
    assert place.aws.find("ConfigMap", "settings", "default") is None


@pytest.mark.parametrize("command", ["--yes", "status"])
@pytest.mark.parametrize("what", PROGRAMS)
def test_sigterm_does_not_wait_for_a_program_that_hangs(
    place: Place, what: str, command: str
) -> None:
    PROGRAMS[what](place)
    process = place.start(command)
    eventually(place.began.exists, "the program runs")
    sent = time.monotonic()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, time.monotonic() - sent < 10) == (143, True), out + err
    assert place.aws.find("ConfigMap", "settings", "default") is None


def test_a_question_that_nobody_answers_ends_with_the_deadline(place: Place) -> None:
    ours, theirs = pty.openpty()
    began = time.monotonic()
    process = place.start(f"--deadline={DEADLINE}s", stdin=theirs)
    os.close(theirs)
    assert process.wait(timeout=60) == 1
    assert time.monotonic() - began < DEADLINE + OWN_LIMIT
    said = ""
    with suppress(OSError):  # The other end of a terminal that is gone.
        while chunk := os.read(ours, 65536):
            said += chunk.decode(errors="replace")
    os.close(ours)
    assert f"did not end within {DEADLINE:g} s; nothing was written" in " ".join(said.split()), said
    assert place.aws.find("ConfigMap", "settings", "default") is None


def test_a_definition_that_is_never_served_is_not_waited_for_past_the_deadline(
    place: Place,
) -> None:
    (place.repository / "crd.yaml").write_text(definition_text("Apple", "example.org"))
    place.aws.faults.hang(method="GET", path="/apis/example.org/")
    began = time.monotonic()
    process = place.start("--yes", f"--deadline={DEADLINE}s")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, time.monotonic() - began < DEADLINE + 20) == (1, True), out + err
