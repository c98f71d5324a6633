"""This tool, kubectl and the bare LIST on the same kind of real API servers."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from bench.commands import Commands
from bench.repositories import paint, write_objects, write_repository
from bench.rows import Row, faster, longer
from bench.sizes import Sizes
from bench.timing import Command, Figure, Run, in_turns, run, seconds
from tests.controlplane.cluster import Cluster
from tests.controlplane.plane import ControlPlane

APPLY, DIFF, LIST = "kubectl apply", "kubectl diff", "bare LIST"
FLOOR = "bare dry runs and applies"
Rounds = dict[str, list[Run]]


class RealClusters:
    """Ours and kubectl's clusters, as many of each, so that no manager meets the other's fields."""

    def __init__(self, plane: ControlPlane, commands: Commands, sizes: Sizes) -> None:
        found = plane.clusters(2 * sizes.clusters)
        self.ours, self.theirs = found[: sizes.clusters], found[sizes.clusters :]
        names = [f"member-{number}" for number in range(1, sizes.clusters + 1)]
        folder = commands.folder
        self.kubeconfig = plane.kubeconfig(dict(zip(names, self.ours, strict=True)))
        self.one = write_repository(folder / "one", sizes.objects, names[:1])
        self.all = write_repository(folder / "all", sizes.objects, names)
        self.plain = write_objects(folder / "plain", sizes.objects)
        self.commands, self.sizes = commands, sizes

    def measure(self) -> list[Row]:
        """Every row that is about real clusters; leaves the objects where they are."""
        return [
            *self._first_apply(),
            *self._nothing_to_do(),
            *self._one_changed(),
            *self._inside(),
            *self._whole_fleet(),
        ]

    # -- rows --------------------------------------------------------------------------------

    def _first_apply(self) -> list[Row]:
        found = in_turns(
            self.sizes.slow_rounds,
            ours=self._reconcile(self.one, empty=self.ours[:1]),
            theirs=self._apply(self.theirs[0], empty=True),
            floor=self.commands.floor_of_writes(
                self.ours[1], self.plain, before=lambda: _clean(self.ours[1:2])
            ),
        )
        work = f"first apply of {self._objects}"
        floor = [sum(json.loads(one.output).values()) for one in found["floor"]]
        return [
            self._faster(work, found, APPLY, 2),
            longer(work, seconds(found["ours"]), floor, FLOOR, judged=self.sizes.judged),
        ]

    def _nothing_to_do(self) -> list[Row]:
        work = f"nothing to do, 1 × {self._objects}"
        found = in_turns(
            self.sizes.rounds,
            ours=self._reconcile(self.one),
            theirs=self._apply(self.theirs[0]),
        )
        rows = [self._faster(work, found, APPLY, 10)]
        found = in_turns(
            self.sizes.slow_rounds,
            ours=self._reconcile(self.one),
            theirs=self.commands.kubectl_diff(self.theirs[0], self.plain),
        )
        rows.append(self._faster(work, found, DIFF, 20))
        found = in_turns(
            self.sizes.rounds,
            ours=self._reconcile(self.one),
            theirs=self.commands.floor(self.ours[0]),
        )
        rows.append(self._longer(f"{work}, whole process", found, f"{LIST}, whole process", 1.35))
        return rows

    def _one_changed(self) -> list[Row]:
        colours = iter(range(1_000_000))
        changed = self.commands.reconcile(
            "--yes",
            repository=self.one,
            kubeconfig=self.kubeconfig,
            before=lambda: paint(self.one, f"colour-{next(colours)}"),
        )
        found = in_turns(self.sizes.rounds, ours=changed, theirs=self._reconcile(self.one))
        return [self._longer(f"one of {self._objects} changed", found, "nothing to do", 1.2)]

    def _inside(self) -> list[Row]:
        times = run(
            self.commands.inside(
                self.ours[0], self.one, self.kubeconfig, rounds=2 * self.sizes.rounds
            )
        )
        found = json.loads(times.output)
        return [
            longer(
                "observe and diff, inside the process",
                found["ours"],
                found["floor"],
                f"{LIST}, inside the process",
                2,
                judged=self.sizes.judged,
            )
        ]

    def _whole_fleet(self) -> list[Row]:
        size = f"{self.sizes.clusters} × {self._objects}"
        found = in_turns(
            1, ours=self._reconcile(self.all, empty=self.ours), theirs=self._apply_all(empty=True)
        )
        rows = [self._faster(f"first apply, {size}", found, APPLY)]
        found = in_turns(
            self.sizes.slow_rounds, ours=self._reconcile(self.all), theirs=self._apply_all()
        )
        rows.append(self._faster(f"nothing to do, {size}", found, APPLY, 20))
        peak = Figure.of([one.peak_bytes / 1e6 for one in found["ours"]])
        rows.append(Row(f"peak memory, {size}", peak, "MB", at_most=200, judged=self.sizes.judged))
        return rows

    # -- commands ----------------------------------------------------------------------------

    def _reconcile(self, repository: Path, *, empty: Sequence[Cluster] = ()) -> Command:
        return self.commands.reconcile(
            "--yes",
            repository=repository,
            kubeconfig=self.kubeconfig,
            before=lambda: _clean(empty),
        )

    def _apply(self, cluster: Cluster, *, empty: bool = False) -> Command:
        return self.commands.kubectl_apply(
            cluster, self.plain, before=lambda: _clean([cluster] if empty else [])
        )

    def _apply_all(self, *, empty: bool = False) -> Command:
        """kubectl for one cluster after the other, as a script would do it."""
        script = " && ".join(
            shlex.join(str(part) for part in self._apply(cluster).argv) for cluster in self.theirs
        )
        return Command(
            ["sh", "-c", script],
            self.commands.environment,
            before=lambda: _clean(self.theirs if empty else ()),
        )

    @property
    def _objects(self) -> str:
        return f"{self.sizes.objects:,} objects"

    def _faster(self, work: str, found: Rounds, who: str, at_least: float | None = None) -> Row:
        ours, theirs = seconds(found["ours"]), seconds(found["theirs"])
        return faster(work, ours, theirs, who, at_least, judged=self.sizes.judged)

    def _longer(self, work: str, found: Rounds, who: str, at_most: float | None = None) -> Row:
        ours, theirs = seconds(found["ours"]), seconds(found["theirs"])
        return longer(work, ours, theirs, who, at_most, judged=self.sizes.judged)


def _clean(clusters: Sequence[Cluster]) -> None:
    for cluster in clusters:
        cluster.clean()
