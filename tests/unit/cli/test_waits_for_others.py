"""Receivers, holders of the lock, watchers: whoever is waited for, the run ends and tells."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubesim.fleet import Sandbox
from tests.command import start_command
from tests.controlplane.process import eventually
from tests.definitions import definition_text
from tests.unit.cli.test_deadline import FEDERATION, OWN_LIMIT

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
        return start_command(*arguments, *where, env={**self.environment, **environment})

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
        self.aws.edit(
            "Lease", "federation-shop", {"spec": {"renewTime": now}}, namespace="federation-system"
        )


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
    assert "no notification was sent by" in err
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


@pytest.mark.parametrize("alive", [True, False], ids=["alive", "looking dead"])
def test_a_lock_of_another_is_not_waited_for_past_the_deadline(place: Place, alive: bool) -> None:
    place.held_by_another()
    ended = threading.Event()

    def renew() -> None:
        while alive and not ended.wait(0.5):
            place.renew()

    renewing = threading.Thread(target=renew, daemon=True)
    renewing.start()
    code, _, err, seconds = place.run(
        "--yes", f"--deadline={DEADLINE}s", "--lock-timeout=5m", "--host-context=aws"
    )
    ended.set()
    renewing.join(10)
    assert (code, seconds < DEADLINE + OWN_LIMIT) == (1, True), err
    assert "other" in err
    assert "the lock" in err
    if not alive:
        assert "may be dead; the time of this run is over" in err
    assert place.holder == "other"
    assert place.aws.find("ConfigMap", "settings", "default") is None


def test_sigterm_ends_the_wait_for_a_lock_and_leaves_it_to_its_holder(place: Place) -> None:
    place.held_by_another()
    process = place.start("--yes", "--lock-timeout=5m", "--host-context=aws")
    assert process.stderr is not None
    assert "checking whether it still renews it" in process.stderr.readline()
    sent = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert (process.returncode, time.monotonic() - sent < 10) == (143, True)
    assert place.holder == "other"


@pytest.mark.parametrize("trickles", [False, True], ids=["hang", "trickle"])
def test_a_host_that_hangs_does_not_hold_up_the_end_when_the_lock_is_given_back(
    environment: dict[str, str], tmp_path: Path, trickles: bool
) -> None:
    """The members answer, the host cluster no more from the moment when it gave the lock."""
    with Sandbox(["aws", "host"]) as sandbox:
        place = Place(tmp_path, sandbox, environment)
        host = sandbox.cluster("host")
        host.create(SYSTEM)
        place.aws.faults.hang(method="GET", path="/configmaps")
        process = place.start("--yes", f"--deadline={DEADLINE}s", "--host-context=host")
        eventually(lambda: host.find("Lease", "federation-shop", "federation-system"), "the lock")
        if trickles:
            host.faults.latency(9, path="/leases")
        else:
            host.faults.hang(path="/leases")
        began = time.monotonic()
        _, err = process.communicate(timeout=200)
    assert process.returncode == 1, err
    assert time.monotonic() - began < DEADLINE + 10 + OWN_LIMIT
    assert "Traceback" not in err


@pytest.mark.parametrize("what", ["asleep", "looking"])
def test_sigterm_ends_a_watch_with_143(place: Place, what: str) -> None:
    if what == "looking":
        place.aws.faults.hang(method="GET", path="/configmaps")
    process = place.start("status", "settings", "--watch", "--interval=5m", "-o", "json")
    assert process.stdout is not None
    if what == "asleep":
        process.stdout.readline()
        time.sleep(1)
    else:
        eventually(lambda: place.aws.faults.hits > 0, "it looks")
    sent = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert (process.returncode, time.monotonic() - sent < 10) == (143, True)


def test_a_watch_ends_with_its_timeout_though_a_member_hangs(place: Place) -> None:
    place.aws.faults.hang(method="GET", path="/configmaps")
    code, _, err, seconds = place.run("status", "settings", "--watch", "--timeout=4s")
    assert code == 1, err
    assert "Traceback" not in err
    assert seconds < 4 + OWN_LIMIT / 2


STAND_IN = """
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: another}
spec: {access: {context: aws}, region: elsewhere}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{kind: Deployment, namespace: default, name: web}]
  spread: [{by: cluster, maxGroups: 1}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "web:1"}]}
"""
HANGING: dict[str, tuple[str, ...]] = {
    "survivability": ("survivability", "--live"),
    "join": ("join", "aws", "--dry-run", "--host-context=aws"),
    "unjoin": ("unjoin", "aws", "--orphan", "--yes", "--host-context=aws"),
    "rotate": ("rotate", "--host-context=aws"),
    "failback": ("failback", "--host-context=aws"),
    "import": ("import", "--context=aws", "--to=never"),
}


@pytest.mark.parametrize("end", ["deadline", "SIGTERM"])
@pytest.mark.parametrize("command", HANGING)
def test_every_command_that_asks_a_cluster_ends_in_time(
    place: Place, command: str, end: str
) -> None:
    if command == "survivability":
        place.write(FEDERATION + STAND_IN)
    hanging = place.aws.faults.hang()
    arguments = list(HANGING[command])
    process = _start(place, command, [f"--deadline={3 if end == 'deadline' else 300}s", *arguments])
    if end == "SIGTERM":
        eventually(lambda: hanging.hits > 0, "the cluster is asked")
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
    else:
        began = time.monotonic()
    out, err = process.communicate(timeout=200)
    seconds = time.monotonic() - began
    assert "Traceback" not in err
    if end == "SIGTERM":
        assert (process.returncode, seconds < 10) == (143, True), (seconds, out, err)
    else:
        assert seconds < 3 + OWN_LIMIT / 2, (seconds, out, err)
        # That a cluster does not answer is no failure of survivability, which tells of it.
        assert process.returncode == (0 if command == "survivability" else 1), (out, err)


def _start(place: Place, command: str, arguments: list[str]) -> subprocess.Popen[str]:
    if command != "import":
        return place.start(*arguments)
    # It reads no repository.
    kubeconfig = ("--kubeconfig", place.sandbox.kubeconfig)
    return start_command(*arguments, *kubeconfig, env=place.environment)


@pytest.mark.parametrize("end", ["deadline", "SIGTERM"])
def test_a_saved_plan_that_never_comes_is_not_waited_for(
    place: Place, tmp_path: Path, end: str
) -> None:
    """``--apply-plan <(a program that hangs)``."""
    fifo = tmp_path / "plan.json"
    os.mkfifo(fifo)
    process = place.start("--apply-plan", fifo, f"--deadline={3 if end == 'deadline' else 300}s")
    began = time.monotonic()
    if end == "SIGTERM":
        time.sleep(3)
        process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=100)
    assert process.returncode == (1 if end == "deadline" else 143), (out, err)
    assert time.monotonic() - began < 3 + OWN_LIMIT / 2


def test_sigterm_between_two_rounds_ends_at_once(place: Place) -> None:
    process = place.start("--every=10m")
    eventually(lambda: place.aws.find("ConfigMap", "settings", "default"), "a round is done")
    assert process.stdout is not None
    while "1 created" not in process.stdout.readline():
        pass
    time.sleep(1)
    sent = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, time.monotonic() - sent < 5) == (0, True), err


def test_sigterm_ends_requests_in_flight_and_the_result_and_the_lock_are_given(
    place: Place,
) -> None:
    hanging = place.aws.faults.hang(method="PATCH", path="^(?!.*dryRun).*/configmaps/settings")
    process = place.start("--yes", "--grace=12s", "--host-context=aws")
    eventually(lambda: hanging.hits >= 1, "a write hangs")
    sent = time.monotonic()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, time.monotonic() - sent < 14) == (143, True), err
    assert "whether it was carried out is not known" in out
    assert place.holder == ""


SEALED = """
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: sealed
  namespace: default
  annotations: {federation.reconciler.dev/recreate: "true"}
immutable: true
data: {a: "%s"}
"""


@pytest.mark.parametrize("end", ["deadline", "SIGTERM"])
def test_a_recreation_that_waits_for_a_finalizer_ends_with_the_run_and_says_where_it_stopped(
    place: Place, end: str
) -> None:
    place.write(FEDERATION + SEALED % 1)
    assert place.run("--yes", "--host-context=aws")[0] == 0
    finalizers = {"metadata": {"finalizers": ["example.org/never"]}}
    place.aws.edit("ConfigMap", "sealed", finalizers, namespace="default")
    place.write(FEDERATION + SEALED % 2)
    limit = f"--deadline={15 if end == 'deadline' else 300}s"
    process = place.start("--yes", limit, "--grace=8s", "--host-context=aws")
    began = time.monotonic()
    if end == "SIGTERM":
        eventually(
            lambda: place.aws.get("ConfigMap", "sealed", "default")["metadata"].get(
                "deletionTimestamp"
            ),
            "it is deleted",
        )
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=100)
    assert process.returncode == (1 if end == "deadline" else 143), (out, err)
    assert time.monotonic() - began < (15 + OWN_LIMIT / 3 if end == "deadline" else 9), (out, err)
    said = " ".join(out.split())
    assert "its deletion was asked for, and it is made by a later run" in said
    assert "example.org/never" in said
    assert place.holder == ""
    place.aws.edit("ConfigMap", "sealed", {"metadata": {"finalizers": None}}, namespace="default")
    assert place.run("--yes", "--host-context=aws")[0] == 0
    assert place.aws.get("ConfigMap", "sealed", "default")["data"] == {"a": "2"}


def test_sigterm_ends_the_wait_for_a_definition_that_is_never_served(place: Place) -> None:
    place.write(FEDERATION + "---" + definition_text("Apple", "example.org"))
    hanging = place.aws.faults.error(404, method="GET", path="/apis/example.org/")
    process = place.start("--yes", "--host-context=aws")
    eventually(lambda: hanging.hits >= 2, "it is waited for")
    sent = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, time.monotonic() - sent < 10) == (143, True), err
    assert place.holder == ""


@pytest.mark.parametrize("end", ["deadline", "SIGTERM"])
def test_what_hangs_in_deletion_is_not_waited_for_past_the_end_of_unjoin(
    place: Place, end: str
) -> None:
    place.write(FEDERATION)
    assert place.run("--yes", "--host-context=aws")[0] == 0
    finalizers = {"metadata": {"finalizers": ["example.org/never"]}}
    place.aws.edit("ConfigMap", "settings", finalizers, namespace="default")
    limit = f"--deadline={10 if end == 'deadline' else 300}s"
    arguments = ("unjoin", "aws", "--prune", "--yes", "--wait=5m", "--keep-manifest")
    process = place.start(limit, *arguments, "--host-context=aws")
    began = time.monotonic()
    if end == "SIGTERM":
        eventually(
            lambda: place.aws.get("ConfigMap", "settings", "default")["metadata"].get(
                "deletionTimestamp"
            ),
            "it is deleted",
        )
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=100)
    assert process.returncode == (1 if end == "deadline" else 143), (out, err)
    assert time.monotonic() - began < (10 if end == "deadline" else 0) + OWN_LIMIT / 3, (out, err)
    assert "Traceback" not in err


NAMES = """
  dns:
    providers:
      bind: {class: octodns_bind.Rfc2136Provider, host: 127.0.0.1, port: %d, timeout: 600}
    zones:
      - {name: example.com., provider: bind}
"""


def test_a_dns_provider_that_hangs_leaves_the_clusters_their_time(place: Place) -> None:
    with receiver(trickles=False) as provider:
        port = int(provider.url.rpartition(":")[2].partition("/")[0])
        rules = FEDERATION.replace(
            "spec: {defaults: {placement: {clusterSelector: {}}}}",
            "spec:\n  defaults: {placement: {clusterSelector: {}}}" + NAMES % port,
        )
        place.write(rules)
        code, out, err, seconds = place.run("--yes", "--deadline=24s")
        assert provider.calls > 0
    assert (code, seconds < 24 + OWN_LIMIT / 3) == (1, True), out + err
    assert "DNS example.com.: no answer within" in out + err
    assert place.aws.find("ConfigMap", "settings", "default"), out + err
