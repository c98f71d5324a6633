"""`--deadline` holds whatever hangs: the run ends, with 1, and has written nothing."""

from __future__ import annotations

import fcntl
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from kubesim.cluster import SimulatedCluster
from kubesim.fleet import Sandbox
from reconciler.api.errors import DeadlinePassed
from reconciler.cli.console import Console
from reconciler.cli.stop import Stop
from tests.command import run_command

DEADLINE = 3.0
OWN_LIMIT = 30.0
"""Seconds for the start of Python on a busy machine, and what ends by a limit of its own."""
FEDERATION = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec: {defaults: {placement: {clusterSelector: {}}}}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: default}
data: {a: "1"}
"""

HANGS: dict[str, Callable[[SimulatedCluster], object]] = {
    "every request": lambda aws: aws.faults.hang(),
    "429 with a long Retry-After": lambda aws: aws.faults.throttle(3600),
    "429 on discovery": lambda aws: aws.faults.throttle(2, path="^/apis?(/|$)"),
    "429 on the inventory": lambda aws: aws.faults.throttle(2, path="/secrets"),
    "429 on one kind": lambda aws: aws.faults.throttle(2, path="/configmaps"),
    "503 without Retry-After": lambda aws: aws.faults.error(503),
    "the LIST of one kind": lambda aws: aws.faults.hang(method="GET", path="/configmaps"),
    "slow answers": lambda aws: aws.faults.latency(20),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "all.yaml").write_text(FEDERATION)
    return folder


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(["aws"]) as sandbox:
        yield sandbox


def reconcile(environment: dict[str, str], *arguments: object) -> tuple[int, str, float]:
    """Its exit code, what it told, and how long it took in seconds."""
    began = time.monotonic()
    done = run_command(*arguments, f"--deadline={DEADLINE}s", env=environment, timeout=120)
    return done.returncode, done.stdout + done.stderr, time.monotonic() - began


@pytest.mark.parametrize("what", HANGS)
def test_a_run_ends_whatever_hangs_in_a_member(
    environment: dict[str, str], folder: Path, sandbox: Sandbox, what: str
) -> None:
    aws = sandbox.cluster("aws")
    HANGS[what](aws)
    code, said, seconds = reconcile(
        environment, "--yes", "--repo", folder, "--kubeconfig", sandbox.kubeconfig
    )
    assert (code, seconds < DEADLINE + OWN_LIMIT) == (1, True), said
    assert aws.find("ConfigMap", "settings", "default") is None


def test_a_git_server_that_hangs_is_not_waited_for_past_the_deadline(
    environment: dict[str, str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.git"
        code, said, seconds = reconcile(environment, "--plan", "--repo", url)
    assert code == 1, said
    # On a busy machine the start of Python takes the time that Git would have had.
    assert re.search("did not (finish|end) within 3 s", said)
    assert seconds < DEADLINE + OWN_LIMIT


def test_a_lock_is_not_waited_for_past_the_deadline(
    environment: dict[str, str], folder: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    with ExitStack() as stack:
        other = stack.enter_context(Path(f"{state}.run.lock").open("w"))
        fcntl.flock(other, fcntl.LOCK_EX)
        where = ("--repo", folder, "--kubeconfig", sandbox.kubeconfig, "--state", state)
        code, said, seconds = reconcile(environment, "--yes", "--lock-timeout=5m", *where)
    assert code == 1, said
    assert "another run holds the lock" in said
    assert seconds < DEADLINE + OWN_LIMIT


class _SlowField:
    """What a class is made of, and takes its time over it."""

    def __set_name__(self, owner: type, name: str) -> None:
        time.sleep(10)


def test_a_deadline_that_an_import_makes_something_else_of_is_told_as_one() -> None:
    """As where C code of a module that is cut off goes on with what is only half there."""

    def imports() -> None:
        try:
            time.sleep(10)
        except KeyboardInterrupt:
            raise AttributeError("half a module") from None

    with Stop(Console()) as stop, pytest.raises(DeadlinePassed), stop.within(0.1):
        imports()


def test_a_fault_before_the_deadline_stays_what_it_is() -> None:
    with Stop(Console()) as stop, pytest.raises(AttributeError), stop.within(60):
        raise AttributeError("a defect")


def test_a_deadline_that_falls_into_the_making_of_a_class_is_told_as_one() -> None:
    """Python 3.11 makes a RuntimeError of whatever ``__set_name__`` raises, a signal's as well."""
    with Stop(Console()) as stop, pytest.raises(DeadlinePassed), stop.within(0.1):
        type("Imported", (), {"field": _SlowField()})
