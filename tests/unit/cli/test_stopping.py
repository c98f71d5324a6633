"""Ctrl-C and SIGTERM: at once before anything is written, in order afterwards, in time always."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubesim.fleet import Sandbox
from reconciler.api.errors import ReconcileError
from reconciler.cli.console import Console
from reconciler.cli.exit_codes import Exit
from reconciler.cli.stop import Stop
from tests.command import start_command
from tests.controlplane.process import eventually

FEDERATION = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec: {defaults: {placement: {clusterSelector: {}}}}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws}
"""
SETTINGS = """---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings-%d, namespace: default}
"""
WRITES = "^(?!.*dryRun).*/configmaps/settings-"


@pytest.fixture(autouse=True)
def not_as_under_nohup() -> Iterator[None]:
    """Who starts the tests may have it so that SIGHUP is ignored, which is inherited."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def test_ctrl_c_in_order_waits_and_the_second_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    with Stop(Console()) as stop:
        stop.in_order()
        assert not stop.reason
        signal.raise_signal(signal.SIGINT)
        assert stop.reason == "Ctrl-C was pressed"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert stop.code is Exit.INTERRUPTED
    assert "Ctrl-C again stops at once" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_before_anything_is_written_both_end_at_once(number: signal.Signals) -> None:
    with Stop(Console()) as stop, pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
    assert stop.code is (Exit.INTERRUPTED if number is signal.SIGINT else Exit.TERMINATED)


def test_under_nohup_a_terminal_that_is_closed_ends_nothing() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stop(Console()) as stop:
            signal.raise_signal(signal.SIGHUP)
            assert stop.code is None
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_what_fails_because_it_was_cut_off_is_no_defect(number: signal.Signals) -> None:
    def load() -> None:
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            raise AttributeError("half a module") from None

    with Stop(Console()) as stop:
        with pytest.raises(KeyboardInterrupt), stop.within(60):
            load()
        assert stop.hides_behind(AttributeError())
        assert not stop.hides_behind(ReconcileError("of ours"))


def test_what_fails_after_a_signal_that_is_followed_in_order_stays_a_defect() -> None:
    with Stop(Console()) as stop:
        stop.in_order()
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(AttributeError), stop.within(60):
            raise AttributeError("a defect")


def test_sigterm_in_order_leaves_requests_a_part_of_the_grace_period() -> None:
    with Stop(Console(), grace=10) as stop:
        stop.in_order()
        assert stop.time_left() == float("inf")
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert stop.reason == "SIGTERM was received"
        assert 7 < stop.time_left() <= 8


def test_what_hangs_beyond_the_grace_period_is_left_behind(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended = threading.Event()
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    with Stop(Console(), grace=0.05, end=end) as stop:
        stop.in_order()
        signal.raise_signal(signal.SIGTERM)
        assert ended.wait(20)
    assert codes == [143]
    assert "ending without them" in capsys.readouterr().err


def test_waiting_ends_with_the_signal() -> None:
    with Stop(Console()) as stop:
        stop.in_order()
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        began = time.monotonic()
        stop.wait(60)
        assert time.monotonic() - began < 30
        assert stop.code is Exit.TERMINATED


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    text = FEDERATION + "".join(SETTINGS % number for number in range(40))
    (folder / "all.yaml").write_text(text)
    return folder


def kubeconfig(path: Path, port: int) -> Path:
    path.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: aws\n"
        f"clusters: [{{name: aws, cluster: {{server: 'http://127.0.0.1:{port}'}}}}]\n"
        "users: [{name: nobody, user: {token: none}}]\n"
        "contexts: [{name: aws, context: {cluster: aws, user: nobody}}]\n"
    )
    return path


@pytest.mark.parametrize("plan", [True, False])
def test_sigterm_while_planning_ends_at_once_with_143(
    environment: dict[str, str], folder: Path, tmp_path: Path, plan: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = kubeconfig(tmp_path / "config", silent.getsockname()[1])
        what = "--plan" if plan else "--yes"
        process = start_command(what, "--repo", folder, "--kubeconfig", config, env=environment)
        connection, _ = silent.accept()
        assert select.select([connection], [], [], 30)[0]
        sent = time.monotonic()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
        assert time.monotonic() - sent < 10
        connection.close()
    assert process.returncode == 143, err
    assert out == ""
    assert "before anything was written" in err


def leases(sandbox: Sandbox) -> dict[str, str]:
    return {
        key.name: obj["spec"].get("holderIdentity", "")
        for key, obj in sandbox.cluster("aws").objects.items()
        if key.kind == "Lease"
    }


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_sigterm_while_applying_finishes_what_is_in_flight_and_gives_the_lease_back(
    environment: dict[str, str], folder: Path, number: signal.Signals
) -> None:
    with Sandbox(["aws"]) as sandbox:
        aws = sandbox.cluster("aws")
        aws.create(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "federation-system"}}
        )
        slow = aws.faults.latency(0.5, method="PATCH", path=WRITES)
        process = start_command(
            *("--yes", "--repo", folder, "--kubeconfig", sandbox.kubeconfig),
            *("--host-context", "aws"),
            env=environment,
        )
        eventually(lambda: slow.hits >= 8, "the first objects are being written")
        held = leases(sandbox)["federation-shop"]
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        written = [key for key in aws.objects if key.name.startswith("settings-")]
        assert held
        assert leases(sandbox) == {"federation-shop": ""}
    assert process.returncode == 143, err
    assert 8 <= len(written) < 40
    assert f"{number.name} was received" in out
    assert "Traceback" not in err


def test_sigterm_ends_in_the_grace_period_though_a_member_does_not_answer(
    environment: dict[str, str], folder: Path
) -> None:
    with Sandbox(["aws"]) as sandbox:
        faults = sandbox.cluster("aws").faults
        process = start_command(
            *("--yes", "--grace", "5s", "--repo", folder, "--kubeconfig", sandbox.kubeconfig),
            env=environment,
        )
        hanging = faults.hang(method="PATCH", path=WRITES)
        eventually(lambda: hanging.hits >= 1, "a write hangs")
        sent = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
        assert time.monotonic() - sent < 15
    assert process.returncode == 143, err
