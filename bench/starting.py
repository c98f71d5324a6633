"""Start-up, and reading a large repository: whole processes that talk to no cluster."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from bench.commands import Commands
from bench.repositories import write_repository
from bench.rows import Row
from bench.sizes import Sizes
from bench.timing import Figure, in_turns, seconds


def start_up(commands: Commands, sizes: Sizes) -> list[Row]:
    """The version, and a plan of a repository in which there is nothing yet, which is refused."""
    empty = commands.folder / "empty"
    empty.mkdir()
    found = in_turns(
        2 * sizes.rounds,
        version=commands.reconcile("--version"),
        plan=replace(commands.reconcile("--plan", repository=empty), accepted=(1,)),
    )
    return [
        Row("reconcile --version", Figure.of(seconds(found["version"])), at_most=0.15),
        Row("reconcile --plan, empty repository", Figure.of(seconds(found["plan"])), at_most=0.5),
    ]


def loading(commands: Commands, sizes: Sizes) -> list[Row]:
    """`reconcile validate`: with nothing remembered, and again."""
    folder = commands.folder
    repository = write_repository(folder / "large", sizes.manifests, ["member-1"])
    cold = commands.reconcile(
        "validate",
        repository=repository,
        cache=folder / "cold",
        before=lambda: _forget(folder / "cold"),
    )
    warm = commands.reconcile("validate", repository=repository, cache=folder / "cold")
    found = in_turns(sizes.slow_rounds, cold=cold, warm=warm)
    what = f"load and validate {sizes.manifests:,} manifests"
    return [
        Row(f"{what}, cold", Figure.of(seconds(found["cold"])), at_most=4, judged=sizes.judged),
        Row(f"{what}, again", Figure.of(seconds(found["warm"])), at_most=1, judged=sizes.judged),
    ]


def _forget(cache: Path) -> None:
    shutil.rmtree(cache, ignore_errors=True)
