"""``python -m bench [--quick] [--only PART ...]``: measures, prints a table, writes JSON.

What cannot be measured here (no Go to build the API servers with, say) is skipped, with the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import machine, rows, simulated_fleet, starting
from bench.commands import ROOT, Commands
from bench.counting import requests_of_nothing_to_do
from bench.growth import grow, rows_of_large_clusters
from bench.page import chromium, page_of_the_fleet
from bench.pushes import pushes_to_objects
from bench.real_clusters import RealClusters
from bench.rows import Row
from bench.seats import seats_beside_one_host
from bench.sizes import FULL, QUICK, Sizes
from bench.timing import CommandFailed
from bench.watching import watching_processes
from bench.waves import rollout_beside_none
from tests.controlplane import build
from tests.controlplane.audit import Level
from tests.controlplane.plane import ControlPlane

RESULTS = ROOT / "bench" / "results.json"
PARTS = (
    "start",
    "loading",
    "real",
    "requests",
    "seats",
    "waves",
    "pushes",
    "watching",
    "fleet",
    "page",
    "growth",
)


class Skipped(Exception):
    """A part that cannot be measured on this machine, with the reason."""


class Bench:
    """Runs the parts one after the other, so that none disturbs another; keeps what they find."""

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        self.folder, self.sizes = folder, sizes
        self.rows: list[Row] = []
        self.growth: dict[str, list[dict[str, Any]]] = {}
        self.skipped: dict[str, str] = {}

    def part(self, name: str) -> None:
        """Raises nothing for what may be missing; a command that fails is an error."""
        parts: dict[str, Callable[[Commands], None]] = {
            "start": lambda commands: self.rows.extend(starting.start_up(commands, self.sizes)),
            "loading": lambda commands: self.rows.extend(starting.loading(commands, self.sizes)),
            "real": self._real,
            "requests": self._requests,
            "seats": self._seats,
            "waves": self._waves,
            "pushes": self._pushes,
            "watching": self._watching,
            "fleet": self._fleet,
            "page": self._page,
            "growth": self._growth,
        }
        began = time.monotonic()
        note(f"{name} ...")
        folder = self.folder / name
        folder.mkdir()
        try:
            parts[name](Commands(folder))
        except Skipped as reason:
            self.skipped[name] = str(reason)
            note(f"{name}: skipped: {reason}")
        else:
            note(f"{name}: {time.monotonic() - began:.0f} s")

    def _real(self, commands: Commands) -> None:
        with self._servers(None) as plane:
            self.rows += RealClusters(plane, commands, self.sizes).measure()

    def _requests(self, commands: Commands) -> None:
        with self._servers("Metadata") as plane:
            self.rows += requests_of_nothing_to_do(plane, commands, (1, self.sizes.clusters))

    def _seats(self, commands: Commands) -> None:
        with self._servers(None) as plane:
            self.rows += seats_beside_one_host(plane, commands, self.sizes)

    def _waves(self, commands: Commands) -> None:
        with self._servers(None) as plane:
            self.rows += rollout_beside_none(plane, commands, self.sizes)

    def _pushes(self, commands: Commands) -> None:
        with self._servers(None) as plane:
            self.rows += pushes_to_objects(plane, commands, self.sizes)

    def _watching(self, commands: Commands) -> None:
        with self._servers(None) as plane:
            self.rows += watching_processes(plane, commands, self.sizes)

    def _fleet(self, commands: Commands) -> None:
        found, points = simulated_fleet.measure(commands, self.sizes)
        self.rows += found
        self.growth["clusters"] = [asdict(point) for point in points]

    def _page(self, commands: Commands) -> None:
        del commands
        if (program := chromium()) is None:
            raise Skipped("there is no Chromium")
        self.rows += page_of_the_fleet(program, self.sizes)

    def _growth(self, commands: Commands) -> None:
        with self._servers(None) as plane:
            points = []
            for point in grow(plane, commands, self.sizes):
                note(f"  {point}")
                points.append(point)
        self.growth["objects"] = [asdict(point) for point in points]
        self.rows += rows_of_large_clusters(points, self.sizes)

    def _servers(self, level: Level | None) -> ControlPlane:
        try:
            programs = build.ensure_each(os.environ)
        except build.Unavailable as reason:
            raise Skipped(str(reason)) from reason
        folder = Path(tempfile.mkdtemp(dir=self.folder, prefix="servers-"))
        return ControlPlane(programs, folder, audit_level=level)

    def as_json(self) -> dict[str, Any]:
        """For ``bench.publish``, and for comparing with other runs."""
        return {
            "machine": machine.describe(),
            "quick": not self.sizes.judged,
            "rows": [asdict(row) | {"met": row.met} for row in self.rows],
            "growth": self.growth,
            "skipped": self.skipped,
        }


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Exits with 0 whatever the figures say: they are for people to judge."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, no judgement")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART")
    arguments = parser.parse_args()
    before = machine.describe()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        bench = Bench(Path(folder), QUICK if arguments.quick else FULL)
        for name in arguments.only:
            try:
                bench.part(name)
            except CommandFailed as error:
                raise SystemExit(f"{name}: {error}") from None
    print(f"{before['processor']}, {before['cores']} cores, load before: {before['load']}")
    print("Medians (lowest and highest); ratios are of runs side by side.\n")
    print(rows.as_text(bench.rows))
    for name, reason in bench.skipped.items():
        print(f"Skipped: {name}: {reason}")
    RESULTS.write_text(json.dumps(bench.as_json(), indent=2) + "\n")
    note(f"\nwritten: {RESULTS.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
