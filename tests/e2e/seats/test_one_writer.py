"""Five runs after another at three seats, all the time, while everything breaks: of the fleet's
objects no two runs write at once, by the audit logs of all members.

``SEATS_WRITERS_SECONDS`` makes it longer than it is by default.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from tests.command import start_command, user_environment
from tests.controlplane.cluster import Cluster
from tests.e2e.seats.conftest import NAMES, Registers
from tests.e2e.seats.test_history import SIDES, Side

SECONDS = float(os.environ.get("SEATS_WRITERS_SECONDS", "40"))
RUNNERS = 5
OBJECTS = 12
LEASE_SECONDS = 4.0
LONGEST_PAUSE = 1.5
"""Below the gap between fence and takeover: what a process that sleeps longer may still send is
told in docs/seats.md, and tried one by one in tests/unit/apply/test_paused_run.py."""

pytestmark = pytest.mark.timeout(SECONDS + 260)

FEDERATION = f"""
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {{name: shop}}
spec:
  seats: [{", ".join(NAMES)}]
  defaults: {{placement: {{clusterSelector: {{}}}}}}
  prune: {{enabled: false}}
""" + "".join(
    f"""---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {{name: {name}}}
spec: {{provider: any, region: {name}, access: {{context: {name}}}}}
"""
    for name in NAMES
)


def settings(run: str) -> str:
    """The objects of one run, which are called after it."""
    return "---\n".join(
        f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {run}-{n}, namespace: default}}\n"
        for n in range(OBJECTS)
    )


@dataclass(frozen=True)
class Write:
    """A write of one of the objects; times are Unix seconds by the servers' clocks, which are one
    here."""

    run: str
    cluster: str
    began: float
    ended: float


class Runner:
    """Run after run at one seat, each with content of its own; ``process`` is the one now."""

    def __init__(self, number: int, folder: Path, kubeconfig: Path, ended: threading.Event) -> None:
        self.number, self.folder, self._kubeconfig = number, folder, kubeconfig
        self.process: subprocess.Popen[str] | None = None
        self.codes: list[int] = []
        self._ended = ended
        self._seat = NAMES[number % len(NAMES)]
        folder.mkdir()
        (folder / "federation.yaml").write_text(FEDERATION)
        for arguments in (
            ["init", "--quiet"],
            # All are clones of one repository.
            ["remote", "add", "origin", "https://git.example.invalid/shop.git"],
        ):
            subprocess.run(["git", *arguments], cwd=folder, check=True)
        self.thread = threading.Thread(target=self._runs)

    def _runs(self) -> None:
        count = 0
        while not self._ended.is_set():
            count += 1
            (self.folder / "settings.yaml").write_text(settings(f"run-{self.number}-{count}"))
            home = self.folder.parent
            self.process = start_command(
                *("--yes", "--output", "none", "--events", "none"),
                *("--repo", self.folder, "--kubeconfig", self._kubeconfig),
                *("--seat", self._seat, "--host-context", self._seat),
                *("--lease-duration", f"{LEASE_SECONDS:g}s", "--lock-timeout", "10s"),
                *("--deadline", "25s", "--allow-rollback"),
                env=user_environment(home, XDG_STATE_HOME=str(home)),
                stdout=subprocess.DEVNULL,
            )
            _, err = self.process.communicate()
            self.codes.append(self.process.returncode)
            assert "defect" not in err, err


class Fleet:
    """The runners, and what befalls them."""

    def __init__(self, runners: list[Runner], sides: list[Side], seed: int) -> None:
        self.told: dict[str, int] = {}
        self._runners, self._sides, self._chance = runners, sides, random.Random(seed)

    def befall(self) -> None:
        what = self._chance.choice([self.kill, self.pause, self.hang, self.cut_off, self.lose])
        self.told[what.__name__] = self.told.get(what.__name__, 0) + 1
        what()

    def _process(self) -> subprocess.Popen[str] | None:
        return self._chance.choice(self._runners).process

    def _moment(self, longest: float = 6.0) -> None:
        time.sleep(self._chance.uniform(0.2, longest))

    def kill(self) -> None:
        if process := self._process():
            process.kill()

    def pause(self) -> None:
        if process := self._process():
            process.send_signal(signal.SIGSTOP)
            self._moment(LONGEST_PAUSE)
            process.send_signal(signal.SIGCONT)

    def hang(self) -> None:
        faults = self._chance.choice(self._sides).proxies[self._chance.choice(NAMES)].faults
        rule = faults.hang()
        self._moment()
        faults.remove(rule)

    def cut_off(self) -> None:
        """One side from two seats: whoever holds the lock there loses it."""
        side = self._chance.choice(self._sides)
        rules = [
            (side.proxies[name].faults, side.proxies[name].faults.reset())
            for name in self._chance.sample(NAMES, 2)
        ]
        self._moment()
        for faults, rule in rules:
            faults.remove(rule)

    def lose(self) -> None:
        """Answers to writes get lost."""
        faults = self._chance.choice(self._sides).proxies[self._chance.choice(NAMES)].faults
        rule = faults.reset(when="after", count=self._chance.randint(1, 5), writes_only=True)
        self._moment()
        faults.remove(rule)


@pytest.fixture
def sides(clusters: Mapping[str, Cluster], tmp_path: Path) -> Iterator[list[Side]]:
    with ExitStack() as stack:
        yield [Side(tmp_path / name, clusters, stack) for name in SIDES]


def writes_in(cluster: str, log: Path, offset: int) -> Iterator[Write]:
    """What was carried out of the runs' writes."""
    with log.open("rb") as file:
        file.seek(offset)
        events = [json.loads(line) for line in file if line.endswith(b"\n")]
    for event in events:
        target, code = event.get("objectRef", {}), event.get("responseStatus", {}).get("code", 0)
        name = str(target.get("name", ""))
        written = event["verb"] in ("create", "update", "patch") and 200 <= code < 300
        if not (written and name.startswith("run-")) or "dryRun=" in event["requestURI"]:
            continue
        began, ended = (
            datetime.fromisoformat(event[moment].replace("Z", "+00:00")).timestamp()
            for moment in ("requestReceivedTimestamp", "stageTimestamp")
        )
        yield Write(name.rpartition("-")[0], cluster, began, ended)


def test_no_two_runs_write_at_once_whatever_breaks(
    clusters: Mapping[str, Cluster], registers: Registers, sides: list[Side], tmp_path: Path
) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    registers().initialise(NAMES)
    offsets = {name: one.audit_log.path.stat().st_size for name, one in clusters.items()}
    ended = threading.Event()
    runners = [
        Runner(n, tmp_path / f"runner-{n}", sides[n % len(sides)].kubeconfig, ended)
        for n in range(RUNNERS)
    ]
    fleet = Fleet(runners, sides, seed)
    for runner in runners:
        runner.thread.start()
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends:
        fleet.befall()
        time.sleep(0.5)
    ended.set()
    for runner in runners:
        runner.thread.join()

    writes = [
        write
        for name, one in clusters.items()
        for write in writes_in(name, one.audit_log.path, offsets[name])
    ]
    spans: dict[str, tuple[float, float]] = {}
    for write in writes:
        first, last = spans.get(write.run, (write.began, write.ended))
        spans[write.run] = (min(first, write.began), max(last, write.ended))
    ordered = sorted((first, last, run) for run, (first, last) in spans.items())
    codes = [code for runner in runners for code in runner.codes]
    print(
        f"{SECONDS:g} s: {len(codes)} runs ({codes.count(0)} ended well), {len(ordered)} of which "
        f"wrote {len(writes)} objects; what broke: {json.dumps(fleet.told)}"
    )
    assert len(ordered) >= 3, "too few runs wrote anything to tell"
    together = [(one, other) for one, other in itertools.pairwise(ordered) if other[0] <= one[1]]
    assert together == []
