"""Five processes take turns at a register of three seats while everything breaks; then porcupine
judges what they saw. ``SEATS_HISTORY_SECONDS`` makes it longer than it is by default."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from reconciler.api.errors import ReconcileError
from reconciler.cluster.connect import Connector
from reconciler.seats.document import RegisterDocument
from reconciler.seats.register import Register
from tests.chaos.hosts import _kubeconfig
from tests.chaos.proxy import FaultProxy, fault_proxy
from tests.controlplane import build
from tests.controlplane.cluster import Cluster
from tests.controlplane.fixtures import give_up
from tests.e2e.seats.conftest import NAMES, NAMESPACE, Registers
from tests.e2e.seats.histories import NEVER, Operation, checker, is_linearizable, of_lines
from tests.e2e.seats.taking_turns import turn_of

SECONDS = float(os.environ.get("SEATS_HISTORY_SECONDS", "40"))
PROCESSES = 5
SIDES = ("left", "right")
COPY = f"/api/v1/namespaces/{NAMESPACE}/configmaps/federation-shop-seat"

pytestmark = pytest.mark.timeout(SECONDS + 260)


class Side:
    """A network of its own to the three seats: one proxy in front of each."""

    def __init__(self, folder: Path, clusters: Mapping[str, Cluster], stack: ExitStack) -> None:
        folder.mkdir()
        self.proxies: dict[str, FaultProxy] = {}
        certificates = {}
        for name, cluster in clusters.items():
            proxy = fault_proxy(cluster.url, cluster.certificate, folder / f"{name}.pem")
            self.proxies[name] = stack.enter_context(proxy)
            certificates[name] = folder / f"{name}.crt"
            certificates[name].write_text(self.proxies[name].certificate)
        urls = {name: proxy.url for name, proxy in self.proxies.items()}
        tokens = {name: cluster.tokens["admin"] for name, cluster in clusters.items()}
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(_kubeconfig(urls, certificates, tokens))


class Turns:
    """The processes, and what befalls them. ``told`` counts what was done."""

    def __init__(
        self, folder: Path, clusters: Mapping[str, Cluster], sides: list[Side], seed: int
    ) -> None:
        self.told: dict[str, int] = {}
        self._chance = random.Random(seed)
        self._folder, self._clusters, self._sides = folder, clusters, sides
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._started = 0
        self._wiped = ""

    def start(self, number: int) -> None:
        self._started += 1
        side = self._sides[number % len(self._sides)]
        # Each life of a process has a history of its own.
        file = self._folder / f"history-{number}-{self._started}.jsonl"
        arguments = [str(side.kubeconfig), str(self._started), str(file)]
        self._processes[number] = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.seats.taking_turns", *arguments],
            stdin=subprocess.DEVNULL,
        )

    def befall(self) -> None:
        """One thing that breaks, for a moment."""
        what = self._chance.choice(
            [self.kill, self.pause, self.hang, self.cut_off, self.lose_answers, self.delay,
             self.freeze, self.wipe]
        )  # fmt: skip
        self.told[what.__name__] = self.told.get(what.__name__, 0) + 1
        what()

    def _moment(self) -> None:
        time.sleep(self._chance.uniform(0.2, 2.5))

    def _anybody(self) -> int:
        return self._chance.choice(list(self._processes))

    def _proxy(self) -> FaultProxy:
        side = self._chance.choice(self._sides)
        return side.proxies[self._chance.choice(NAMES)]

    def kill(self) -> None:
        number = self._anybody()
        self._processes[number].kill()
        self._processes[number].wait()
        self.start(number)

    def pause(self) -> None:
        process = self._processes[self._anybody()]
        process.send_signal(signal.SIGSTOP)
        self._moment()
        process.send_signal(signal.SIGCONT)

    def hang(self) -> None:
        faults = self._proxy().faults
        rule = faults.hang()
        self._moment()
        faults.remove(rule)

    def cut_off(self) -> None:
        """One side from one seat, or from two."""
        side = self._chance.choice(self._sides)
        seats = self._chance.sample(NAMES, self._chance.choice([1, 2]))
        rules = [(side.proxies[name].faults, side.proxies[name].faults.reset()) for name in seats]
        self._moment()
        for faults, rule in rules:
            faults.remove(rule)

    def lose_answers(self) -> None:
        faults = self._proxy().faults
        rule = faults.reset(when="after", count=self._chance.randint(1, 5), writes_only=True)
        self._moment()
        faults.remove(rule)

    def delay(self) -> None:
        """One write is carried out long after it was sent, and others after a moment."""
        faults = self._proxy().faults
        rules = [faults.hold_write(1), faults.latency(self._chance.uniform(0.1, 1.0))]
        self._moment()
        for rule in rules:
            rule.released.set()
            faults.remove(rule)

    def freeze(self) -> None:
        cluster = self._clusters[self._chance.choice(NAMES)]
        cluster.pause()
        self._moment()
        cluster.resume()

    def wipe(self) -> None:
        """A seat's copy is deleted, and recreated as ``reconcile seats repair`` does it."""
        name = self._wiped or self._chance.choice(NAMES)
        if not self._wiped:
            self._clusters[name].request("DELETE", COPY)
        self._wiped = name
        self._moment()
        with suppress(ReconcileError):
            seats = {
                one: Connector.from_file(
                    str(self._sides[0].kubeconfig), NAMESPACE, host_context=one
                ).host()
                for one in NAMES
            }
            Register(seats, NAMESPACE, "shop", request_seconds=3.0, patience=10.0).repair_seat(name)
            # Only then may another one be lost: a majority must keep its disk.
            self._wiped = ""

    def end(self) -> list[Operation]:
        for process in self._processes.values():
            process.kill()
            process.wait()
        found: list[Operation] = []
        for number, file in enumerate(sorted(self._folder.glob("history-*.jsonl"))):
            found += of_lines(number, file.read_text(encoding="utf-8").splitlines())
        return found


@pytest.fixture
def turns(clusters: Mapping[str, Cluster], tmp_path: Path) -> Iterator[Turns]:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    with ExitStack() as stack:
        sides = [Side(tmp_path / name, clusters, stack) for name in SIDES]
        turns = Turns(tmp_path, clusters, sides, seed)
        yield turns
        turns.end()


@pytest.fixture(scope="module", autouse=True)
def judge() -> None:
    """Built before the clock runs."""
    try:
        checker()
    except build.Unavailable as error:
        give_up(str(error))


def test_what_processes_see_is_linearizable_whatever_breaks(
    turns: Turns, registers: Registers
) -> None:
    registers().initialise(NAMES, RegisterDocument(memory={"value": ""}))
    for number in range(PROCESSES):
        turns.start(number)

    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends:
        turns.befall()
        time.sleep(0.3)
    history = turns.end()

    called = time.monotonic_ns()
    last = turn_of(registers(patience=30.0), "")
    history.append(Operation(99, False, "", True, last["saw"], called, time.monotonic_ns()))
    known = [one for one in history if one.known]
    swaps = sum(one.swap for one in known)
    print(
        f"{SECONDS:g} s: {len(history)} operations, of {len(known)} of which the answer is known "
        f"({swaps} changes, {len(known) - swaps} reads); what broke: {json.dumps(turns.told)}"
    )
    assert swaps > SECONDS / 2
    assert is_linearizable(history)


def test_a_lost_change_and_an_old_read_are_seen_in_a_history() -> None:
    first = Operation(0, True, "x", True, "", 1, 2)
    lost = Operation(1, True, "y", True, "", 3, 4)
    old = Operation(1, False, "", True, "", 3, 4)
    half_done = Operation(1, True, "z", False, "", 0, NEVER)
    done = Operation(1, True, "z", False, "", 3, 4)

    assert is_linearizable([first, Operation(1, True, "y", True, "x", 3, 4)])
    assert is_linearizable([first, half_done, Operation(2, False, "", True, "z", 5, 6)])
    assert not is_linearizable([first, lost])
    assert not is_linearizable([first, old])
    assert not is_linearizable([first, done, Operation(2, False, "", True, "x", 5, 6)])
    assert is_linearizable([first, half_done, Operation(2, False, "", True, "x", 5, 6)])


def test_a_fork_is_found_beside_many_changes_of_which_nothing_is_known() -> None:
    """An answer in time is what makes this test one: all places for each of them are too many."""
    lost = [Operation(9, True, f"lost-{n}", False, "", 10 * n, NEVER) for n in range(40)]
    chain = [
        Operation(0, True, f"{n}", True, f"{n - 1}" if n else "", 10 * n, 10 * n + 5)
        for n in range(60)
    ]
    fork = Operation(1, True, "fork", True, "30", 500, 505)

    assert is_linearizable([*chain, *lost])
    assert not is_linearizable([*chain, *lost, fork])
