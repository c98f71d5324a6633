"""A process that stays: what a round costs in which nothing happened, and how soon a change made
behind its back is repaired."""

from __future__ import annotations

import itertools
import os
import random
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import urllib3

from bench.commands import Commands
from bench.repositories import KINDS, NAMESPACE, commit, write_repository
from bench.rows import Row
from bench.sizes import Sizes
from bench.timing import CommandFailed, Figure, ratios
from tests.controlplane.cluster import Cluster
from tests.controlplane.plane import ControlPlane

WAIT_SECONDS = 900.0
LOOK_SECONDS = 0.01
ROUND_SECONDS = 3.0
UNHEALTHY_AFTER = 30.0
STORM_RATE = 1000.0
"""Changes a second."""
STORM_THREADS = 8


def watching_processes(plane: ControlPlane, commands: Commands, sizes: Sizes) -> list[Row]:
    """Rows of a process that watches, beside the same one that does not."""
    return [
        _quiet_round(plane, commands, sizes),
        *_repairs(plane, commands, sizes),
        *_storm(plane, commands, sizes),
        _outage(plane, commands, sizes),
    ]


def _quiet_round(plane: ControlPlane, commands: Commands, sizes: Sizes) -> Row:
    names = [f"quiet-{number}" for number in range(1, sizes.clusters + 1)]
    clusters = plane.clusters(sizes.clusters)
    for cluster in clusters:
        cluster.clean()
    kubeconfig = plane.kubeconfig(dict(zip(names, clusters, strict=True)))
    repository = write_repository(commands.folder / "quiet", sizes.objects, names)
    every = ("--every", f"{ROUND_SECONDS:g}s")
    with staying(commands, repository, kubeconfig, *every, "--no-watch") as rounds:
        rounds.wait_for(1)
        theirs = [rounds.cpu_of_rounds(2, "loop_runs_total") for _ in range(sizes.slow_rounds)]
    with staying(commands, repository, kubeconfig, *every) as watching:
        watching.wait_until_quiet()
        ours = [
            watching.cpu_of_rounds(4, "loop_quiet_rounds_total") for _ in range(sizes.slow_rounds)
        ]
    return Row(
        f"CPU of a round in which nothing happened, {sizes.clusters} × {sizes.objects:,} objects",
        Figure.of(ours),
        theirs=Figure.of(theirs),
        who="without watches",
        ratio=ratios(ours, theirs),
        at_most=1 / 20,
        judged=sizes.judged,
    )


def _repairs(plane: ControlPlane, commands: Commands, sizes: Sizes) -> list[Row]:
    (cluster,) = plane.clusters(1)
    cluster.clean()
    kubeconfig = plane.kubeconfig({"repaired": cluster})
    repository = write_repository(commands.folder / "repaired", sizes.repaired, ["repaired"])
    picked = random.Random(1)
    found = []
    with staying(commands, repository, kubeconfig, "--every", "60s") as watching:
        watching.wait_until_quiet()
        for number in range(sizes.repairs):
            name = f"web-{picked.randrange(sizes.repaired // KINDS)}"
            found.append(_repaired(cluster, name, f"other-{number}"))
            time.sleep(picked.uniform(0.5, 3.0))
    work = f"change to repair, {sizes.repaired:,} objects, {sizes.repairs} changes"
    return [
        Row(f"{work}: median", Figure.of(found), at_most=0.5, judged=sizes.judged),
        Row(f"{work}: 99th of 100", _99th(found), at_most=2, judged=sizes.judged),
    ]


def _99th(found: list[float]) -> Figure:
    return Figure.single(sorted(found)[-(-len(found) * 99 // 100) - 1])


def _repaired(cluster: Cluster, name: str, colour: str) -> float:
    path = f"/api/v1/namespaces/{NAMESPACE}/configmaps/{name}"
    began = time.perf_counter()
    cluster.patch(path, {"data": {"colour": colour}})
    while cluster.call("GET", path)["data"]["colour"] == colour:
        if time.perf_counter() - began > WAIT_SECONDS:
            raise CommandFailed(f"{name} was not repaired")
        time.sleep(LOOK_SECONDS)
    return time.perf_counter() - began


def _storm(plane: ControlPlane, commands: Commands, sizes: Sizes) -> list[Row]:
    """What somebody else costs who changes objects of one member as quickly as its server takes it,
    up to ``STORM_RATE``, and how soon another member is repaired meanwhile."""
    stormy, calm = plane.clusters(2)
    for cluster in (stormy, calm):
        cluster.clean()
    kubeconfig = plane.kubeconfig({"stormy": stormy, "calm": calm})
    repository = write_repository(commands.folder / "storm", sizes.objects, ["stormy", "calm"])
    names = [f"web-{number}" for number in range(sizes.objects // KINDS)]
    repairs: list[float] = []
    with staying(commands, repository, kubeconfig, "--every", "60s") as watching:
        watching.wait_until_quiet()
        with _changes_of_others(stormy, names):
            # The runs that may follow one another at once are over by then.
            time.sleep(sizes.storm_seconds / 4)
            began, cpu = time.perf_counter(), watching.cpu()
            told = watching.count("watch_events_total")
            while time.perf_counter() - began < sizes.storm_seconds:
                name = names[len(repairs) % len(names)]
                repairs.append(_repaired(calm, name, f"other-{len(repairs)}"))
                time.sleep(0.5)
            seconds = time.perf_counter() - began
            share = (watching.cpu() - cpu) / seconds
            rate = (watching.count("watch_events_total") - told) / seconds
    work = f"storm of changes by somebody else, 2 × {sizes.objects:,} objects"
    return [
        Row(f"{work}: changes a second", Figure.single(rate), unit=""),
        Row(f"{work}: CPU of a second", Figure.single(share), at_most=1, judged=sizes.judged),
        Row(
            f"{work}: change to repair in the other member",
            Figure.of(repairs),
            at_most=2,
            judged=sizes.judged,
        ),
    ]


@contextmanager
def _changes_of_others(cluster: Cluster, names: list[str]) -> Iterator[None]:
    """While it lasts, annotations of ConfigMaps change that nobody takes back."""
    over = threading.Event()

    def change(mine: list[str]) -> None:
        numbers = itertools.count()
        while not over.is_set():
            began = time.perf_counter()
            for name in mine:
                path = f"/api/v1/namespaces/{NAMESPACE}/configmaps/{name}"
                cluster.patch(path, {"metadata": {"annotations": {"storm": str(next(numbers))}}})
                if over.is_set():
                    return
            due = began + len(mine) * STORM_THREADS / STORM_RATE
            time.sleep(max(0.0, due - time.perf_counter()))

    with ThreadPoolExecutor(STORM_THREADS) as pool:
        for number in range(STORM_THREADS):
            pool.submit(change, names[number::STORM_THREADS])
        try:
            yield
        finally:
            over.set()


_FAILOVER = f"""
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {{name: web}}
spec:
  select: [{{kind: Deployment, namespace: {NAMESPACE}, name: web-0}}]
  replicas: {{mode: Divided, total: 6}}
"""


def _outage(plane: ControlPlane, commands: Commands, sizes: Sizes) -> Row:
    """From SIGKILL of an API server to its replicas elsewhere, beyond ``unhealthyAfter``."""
    lost, *others = plane.clusters(3)
    for cluster in (lost, *others):
        cluster.clean()
    names = ["lost", "left", "third"]
    kubeconfig = plane.kubeconfig(dict(zip(names, (lost, *others), strict=True)))
    repository = write_repository(commands.folder / "failover", KINDS * 5, names)
    rules = repository / "federation.yaml"
    rules.write_text(
        rules.read_text().replace(
            "spec: {",
            "spec: {failover: {enabled: true, maxUnhealthy: 1, unhealthyAfter: "
            f"{UNHEALTHY_AFTER:g}s, probe: {{timeout: 2s}}}}, ",
            1,
        )
    )
    (repository / "placement.yaml").write_text(_FAILOVER)
    commit(repository)
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/web-0"
    with staying(commands, repository, kubeconfig, "--every", "60s") as watching:
        watching.wait_until_quiet()
        lost.stop()
        began = time.perf_counter()
        while sum(one.call("GET", path)["spec"]["replicas"] for one in others) < 6:
            if time.perf_counter() - began > WAIT_SECONDS:
                raise CommandFailed("the replicas were not moved")
            time.sleep(LOOK_SECONDS)
        beyond = time.perf_counter() - began - UNHEALTHY_AFTER
        lost.start()
    return Row(
        "SIGKILL of an API server to its replicas elsewhere, beyond unhealthyAfter",
        Figure.of([beyond]),
        at_most=2,
        judged=sizes.judged,
    )


class Staying:
    """A process, and the port at which it tells how it is."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port

    def count(self, name: str) -> int:
        """The sum of a counter's values."""
        text = urllib3.request("GET", f"http://127.0.0.1:{self.port}/metrics").data.decode()
        found = re.findall(rf"^federation_reconciler_{name}\S* (\d+)", text, re.MULTILINE)
        return sum(map(int, found))

    def wait_for(self, runs: int) -> None:
        """Until so many runs have ended."""
        self._until(lambda: self.count("loop_runs_total") >= runs, f"{runs} runs")

    def wait_until_quiet(self) -> None:
        """Until it is settled, and rounds make no runs."""
        was = self.count("loop_quiet_rounds_total")
        if was == 0:
            self.wait_for(2)
        self._until(self._is_quiet, "a quiet round")

    def _is_quiet(self) -> bool:
        runs = self.count("loop_runs_total")
        time.sleep(5)
        return self.count("loop_runs_total") == runs

    def cpu_of_rounds(self, rounds: int, name: str) -> float:
        """CPU seconds of a round, with those of its programs, by so many of them."""
        self._next(name)
        began, cpu = self.count(name), self.cpu()
        self._until(lambda: self.count(name) >= began + rounds, "rounds", look=1.0)
        return (self.cpu() - cpu) / (self.count(name) - began)

    def _next(self, name: str) -> None:
        was = self.count(name)
        self._until(lambda: self.count(name) > was, "the next round", look=0.05)

    def cpu(self) -> float:
        """CPU seconds so far, with those of its programs."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def peak_bytes(self) -> int:
        """The most memory that it has had, without its programs'."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
        assert found
        return int(found[1]) * 1024

    def _until(self, reached: Callable[[], bool], what: str, look: float = 0.1) -> None:
        ends = time.monotonic() + WAIT_SECONDS
        while not reached():
            if time.monotonic() > ends or self.process.poll() is not None:
                raise CommandFailed(f"not within {WAIT_SECONDS:.0f} s: {what}")
            time.sleep(look)


@contextmanager
def staying(
    commands: Commands, repository: Path | str, kubeconfig: Path, *arguments: str
) -> Iterator[Staying]:
    """The process while it lasts."""
    listening = ("--yes", "--listen", "127.0.0.1:0")
    command = commands.reconcile(
        "--repo", repository, *listening, *arguments, kubeconfig=kubeconfig
    )
    process = subprocess.Popen(
        [str(part) for part in command.argv],
        env={**command.environment, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        port = re.search(r"port (\d+)", line)
        if port is None:
            raise CommandFailed(f"{command.argv[:4]}: {line}")
        # A pipe that nobody empties would stop it.
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield Staying(process, int(port[1]))
    finally:
        process.terminate()
        process.wait(60)
