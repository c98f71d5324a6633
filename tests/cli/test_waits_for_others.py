"""Receivers, holders of the lock, watchers: whoever is waited for, the run ends in time and tells."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.sandbox import Sandbox
from tests.cli.test_deadline import FEDERATION, OWN_LIMIT, ROOT
from tests.controlplane.process import eventually

DEADLINE = 8.0
TELLING = 20.0
"""Seconds that all receivers together may take, and some for the start of Python."""
SYSTEM = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "federation-system"}}
LEASE = {
    "apiVersion": "coordination.k8s.io/v1",
    "kind": "Lease",
    "metadata": {"name": "federation-shop", "namespace": "federation-system"},
}


class Receiver:
    """Accepts whoever comes and never answers, or sends a byte of a header each half second."""

    def __init__(self, *, trickles: bool) -> None:
        self.calls = 0
        self._trickles = trickles
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}/hook"
        self._ended = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                self.calls += 1
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nx-slow: " if self._trickles else b"")
            while not self._ended.wait(0.5):
                if self._trickles:
                    connection.sendall(b"a")

    def close(self) -> None:
        self._ended.set()
        self._server.close()


@contextmanager
def receiver(*, trickles: bool) -> Iterator[Receiver]:
    one = Receiver(trickles=trickles)
    try:
        yield one
    finally:
        one.close()


class Place:
    """A repository and a simulated cluster, which is the host cluster as well."""

    def __init__(self, folder: Path, sandbox: Sandbox, environment: dict[str, str]) -> None:
        self.sandbox, self.environment = sandbox, environment
        self.aws = sandbox.cluster("aws")
        self.aws.create(SYSTEM)
        self.repository = folder / "repository"
        self.repository.mkdir()
        self.write(FEDERATION)

    def write(self, text: str) -> None:
        (self.repository / "all.yaml").write_text(text)

    def start(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        where = ("--repo", self.repository, "--kubeconfig", self.sandbox.kubeconfig)
        return subprocess.Popen(
            [sys.executable, "-m", "reconciler.cli", *map(str, arguments), *map(str, where)],
            cwd=ROOT,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: object, **environment: str) -> tuple[int, str, str, float]:
        """Its exit code, what it printed and noted, and how long it took in seconds."""
        began = time.monotonic()
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=200)
        return process.returncode, out, err, time.monotonic() - began

    @property
    def holder(self) -> str:
        found = self.aws.find("Lease", "federation-shop", "federation-system")
        return str(found["spec"].get("holderIdentity") or "") if found else ""

    def held_by_another(self) -> None:
        """A Lease that somebody has just renewed, and who may be dead."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        times = {"acquireTime": now, "renewTime": now, "leaseTransitions": 1}
        spec = {"holderIdentity": "other", "leaseDurationSeconds": 90, **times}
        self.aws.create({**LEASE, "spec": spec})

    def renew(self) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        found = self.aws.find("Lease", "federation-shop", "federation-system")
        assert found
        self.aws.update({**found, "spec": {**found["spec"], "renewTime": now}})


@pytest.fixture
def place(tmp_path: Path, environment: dict[str, str]) -> Iterator[Place]:
    with Sandbox(["aws"]) as sandbox:
        yield Place(tmp_path, sandbox, environment)


def with_receivers(count: int) -> str:
    """A federation whose ConfigMap is refused, and who is to be told of it."""
    told = [{"type": "Webhook", "urlFrom": {"env": f"HOOK_{n}"}} for n in range(count)]
    documents: list[Any] = list(yaml.safe_load_all(FEDERATION))
    documents[0]["spec"]["notifications"] = told
    return yaml.safe_dump_all(documents)


@pytest.mark.parametrize("trickles", [False, True], ids=["hang", "trickle"])
def test_receivers_that_do_not_answer_hold_up_neither_the_result_nor_the_end(
    place: Place, trickles: bool
) -> None:
    place.write(with_receivers(4))
    place.aws.faults.deny("not today", method="PATCH", path="/configmaps/settings")
    with receiver(trickles=trickles) as hook:
        hooks = {f"HOOK_{n}": f"{hook.url}/{n}" for n in range(4)}
        code, out, err, seconds = place.run(
            "--yes", "--allow-access=plain-http", f"--metrics-push={hook.url}", **hooks
        )
        assert hook.calls >= 5
    assert code == 1, err
    assert "not today" in out
    assert "nobody was told by" in err
    assert seconds < TELLING + OWN_LIMIT


def test_sigterm_while_receivers_hang_leaves_the_result_printed(place: Place) -> None:
    place.write(with_receivers(1))
    place.aws.faults.deny("not today", method="PATCH", path="/configmaps/settings")
    with receiver(trickles=True) as hook:
        process = place.start(
            "--yes", "--grace=2s", "--allow-access=plain-http", HOOK_0=f"{hook.url}/0"
        )
        eventually(lambda: hook.calls > 0, "the receiver is asked")
        sent = time.monotonic()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "not today" in out
    assert time.monotonic() - sent < 15
