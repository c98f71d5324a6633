"""A large fleet, simulated by other processes: how a plan grows, and what dead members cost."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.commands import BEFORE_PAGES, ROOT, Commands
from bench.repositories import write_repository
from bench.rows import Row, longer
from bench.sizes import Sizes
from bench.timing import Command, Figure, Run, in_turns, ratios, run, seconds
from reconciler.cluster.http import READ_TIMEOUT_SECONDS

LIMIT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class FleetPoint:
    """Plans of so many clusters, in seconds: all objects new, and all as they should be; the
    latter by an earlier build as well."""

    clusters: int
    new: float
    unchanged: float
    before: float
    peak_bytes: int
    before_peak_bytes: int


def measure(commands: Commands, sizes: Sizes) -> tuple[list[Row], list[FleetPoint]]:
    """Plans first while the clusters are empty, then fills them and plans again."""
    fleet = _Fleet(commands, sizes)
    living, dying = fleet.names[: -sizes.fleet_dead], fleet.names[-sizes.fleet_dead :]
    with (
        _simulated(living, commands.folder / "living", commands.environment),
        _simulated(dying, commands.folder / "dying", commands.environment) as victims,
    ):
        new = {count: run(fleet.plan(count)) for count in sizes.growth_clusters}
        same, earlier = {}, {}
        for count in sizes.growth_clusters:
            run(fleet.apply(count))
            rounds = sizes.slow_rounds if count < sizes.fleet else 1
            plan = fleet.plan(count)
            runs = in_turns(rounds, ours=plan, before=commands.before_pages(plan))
            same[count], earlier[count] = _middle(runs["ours"]), _middle(runs["before"])
        whole = fleet.plan(sizes.fleet)
        alive = in_turns(sizes.slow_rounds, ours=whole, before=commands.before_pages(whole))
        victims.send_signal(signal.SIGSTOP)
        hanging = run(fleet.plan(sizes.fleet, with_dead=True))
        victims.kill()
        victims.wait()
        gone = run(fleet.plan(sizes.fleet, with_dead=True))
    points = [
        FleetPoint(
            n,
            new[n].seconds,
            same[n].seconds,
            earlier[n].seconds,
            same[n].peak_bytes,
            earlier[n].peak_bytes,
        )
        for n in sizes.growth_clusters
    ]
    rows = _rows(sizes, new[sizes.fleet], alive, hanging, gone)
    return [*rows, *_linear(points, sizes)], points


def _middle(runs: Sequence[Run]) -> Run:
    return sorted(runs, key=lambda one: one.seconds)[len(runs) // 2]


def _rows(
    sizes: Sizes, new: Run, alive: Mapping[str, Sequence[Run]], hanging: Run, gone: Run
) -> list[Row]:
    size = f"{sizes.fleet:,} simulated clusters × {sizes.fleet_objects} objects"
    same, before = alive["ours"], alive["before"]
    usual = Figure.of(seconds(same))
    peaks = [[one.peak_bytes / 1e6 for one in runs] for runs in (same, before)]
    dead = f"the same, {sizes.fleet_dead} of them"
    return [
        Row(f"plan of {size}, all new", Figure.single(new.seconds), at_most=LIMIT_SECONDS),
        Row(f"plan of {size}, nothing to do", usual, at_most=LIMIT_SECONDS),
        longer(
            f"plan of {size}, nothing to do",
            seconds(same),
            seconds(before),
            f"commit {BEFORE_PAGES}",
            0.5,
            judged=sizes.judged,
        ),
        Row(
            "peak memory of that",
            Figure.of(peaks[0]),
            "MB",
            theirs=Figure.of(peaks[1]),
            who=f"commit {BEFORE_PAGES}",
            at_most=250,
            judged=sizes.judged,
        ),
        *(
            Row(
                f"{dead} {how}: seconds more",
                Figure.single(max(0.0, one.seconds - usual.median)),
                at_most=READ_TIMEOUT_SECONDS,
            )
            for how, one in (("never answer", hanging), ("refuse connections", gone))
        ),
    ]


def _linear(points: Sequence[FleetPoint], sizes: Sizes) -> list[Row]:
    """What one cluster costs among many, beside what it costs among a tenth as many."""
    if len(points) < 2:
        return []
    small, large = points[-2:]
    per = [one.unchanged / one.clusters for one in (large, small)]
    return [
        Row(
            f"a cluster of {large.clusters:,}, beside one of {small.clusters:,}",
            Figure.single(per[0]),
            theirs=Figure.single(per[1]),
            ratio=ratios([per[0]], [per[1]]),
            at_most=1.2,
            judged=sizes.judged,
        )
    ]


class _Fleet:
    """The commands for any number of the simulated clusters."""

    def __init__(self, commands: Commands, sizes: Sizes) -> None:
        self.names = [f"member-{number:04}" for number in range(1, sizes.fleet + 1)]
        self._commands, self._sizes = commands, sizes

    def plan(self, count: int, *, with_dead: bool = False) -> Command:
        """``with_dead``: clusters that cannot be reached make the exit code 1."""
        return self._command("--plan", count, accepted=(0, 1) if with_dead else (0,))

    def apply(self, count: int) -> Command:
        return self._command("--yes", count)

    def _command(self, what: str, count: int, accepted: tuple[int, ...] = (0,)) -> Command:
        folder = self._commands.folder
        repository = folder / f"fleet-{count}"
        if not repository.exists():
            # The Namespace is one of the objects.
            write_repository(repository, self._sizes.fleet_objects - 1, self.names[:count])
        command = self._commands.reconcile(what, repository=repository)
        both = f"{folder / 'living.kubeconfig'}:{folder / 'dying.kubeconfig'}"
        return Command(command.argv, {**command.environment, "KUBECONFIG": both}, accepted)


@contextmanager
def _simulated(
    names: Sequence[str], where: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that serves clusters of these names, once it says that it does."""
    argv = [sys.executable, "-m", "kubesim", *names, "--until-stdin-closes"]
    with subprocess.Popen(
        [*argv, "--kubeconfig", f"{where}.kubeconfig"],
        cwd=ROOT,
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise RuntimeError("the simulated clusters did not come up")
        try:
            yield process
        finally:
            process.kill()
