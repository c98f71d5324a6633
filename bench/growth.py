"""How a run on one real cluster, and a process that stays, grow with the number of its objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.commands import Commands
from bench.repositories import write_objects, write_repository
from bench.rows import Row, longer
from bench.sizes import Sizes
from bench.timing import Figure, in_turns, ratios, run, seconds
from bench.watching import ROUND_SECONDS, staying
from tests.controlplane.plane import ControlPlane

PER_FILE = 10
"""Applications in a file; a repository may have no more than 20,000 files."""


@dataclass(frozen=True, slots=True)
class ObjectsPoint:
    """Seconds with so many objects; ``added`` of them are new in the apply. None: not measured.

    ``before`` is the plan of an earlier build; ``quiet`` are the CPU seconds of a round in which a
    process that watches has nothing to do. ``unchanged_each`` and ``floor_each`` are those of runs
    side by side.
    """

    objects: int
    added: int
    apply: float
    unchanged: float
    floor: float
    kubectl: float | None
    before: float
    quiet: float
    peak_bytes: int
    before_peak_bytes: int
    watching_peak_bytes: int
    unchanged_each: tuple[float, ...] = ()
    floor_each: tuple[float, ...] = ()


def rows_of_large_clusters(points: Sequence[ObjectsPoint], sizes: Sizes) -> list[Row]:
    """The largest beside the bare LIST, and its memory beside that of the one before it."""
    before, largest = points[-2:]
    work = f"nothing to do, 1 × {largest.objects:,} objects"
    ours, theirs = (Figure.single(one.peak_bytes / 1e6) for one in (largest, before))
    return [
        longer(
            f"{work}, whole process",
            largest.unchanged_each,
            largest.floor_each,
            "bare LIST, whole process",
            1.4,
            judged=sizes.judged,
        ),
        Row(f"peak memory, {work}", ours, "MB", at_most=250, judged=sizes.judged),
        Row(
            f"peak memory, {work}",
            ours,
            "MB",
            theirs=theirs,
            who=f"{before.objects:,} objects",
            ratio=ratios([largest.peak_bytes], [before.peak_bytes]),
            at_most=1.3,
            judged=sizes.judged,
        ),
    ]


def grow(plane: ControlPlane, commands: Commands, sizes: Sizes) -> Iterator[ObjectsPoint]:
    """The same cluster is filled further and further; kubectl has another one.

    Services are headless: an API server finds each an address the more slowly, the more there are.
    """
    ours, theirs = plane.clusters(2)
    for one in (ours, theirs):
        one.clean()
    kubeconfig = plane.kubeconfig({"member-1": ours})
    before = 0
    for count in sizes.growth_objects:
        folder = commands.folder / f"growth-{count}"
        repository = write_repository(
            folder, count, ["member-1"], per_file=PER_FILE, addresses=False
        )
        command = commands.reconcile("--yes", repository=repository, kubeconfig=kubeconfig)
        applied = run(command)
        plan = commands.reconcile("--plan", repository=repository, kubeconfig=kubeconfig)
        earlier = commands.before_pages(plan)
        found = in_turns(
            sizes.slow_rounds, ours=command, floor=commands.floor(ours), before=earlier
        )
        with staying(
            commands, repository, kubeconfig, "--every", f"{ROUND_SECONDS:g}s"
        ) as watching:
            watching.wait_until_quiet()
            quiet = watching.cpu_of_rounds(4, "loop_quiet_rounds_total")
            watching_peak = watching.peak_bytes()
        kubectl = None
        if count <= sizes.kubectl_up_to:
            plain = commands.folder / f"plain-{count}"
            write_objects(plain, count, per_file=PER_FILE, addresses=False)
            again = commands.kubectl_apply(theirs, plain)
            run(again)
            kubectl = run(again).seconds
        yield ObjectsPoint(
            count,
            count - before,
            applied.seconds,
            Figure.of(seconds(found["ours"])).median,
            Figure.of(seconds(found["floor"])).median,
            kubectl,
            Figure.of(seconds(found["before"])).median,
            quiet,
            max(one.peak_bytes for one in found["ours"]),
            max(one.peak_bytes for one in found["before"]),
            watching_peak,
            tuple(seconds(found["ours"])),
            tuple(seconds(found["floor"])),
        )
        before = count
