"""Whole processes, timed in turns, so that what disturbs the machine disturbs all of them."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_SPAWN = Path(__file__).with_name("spawn.py")


@dataclass(frozen=True, slots=True)
class Command:
    """A process to time. ``accepted`` are exit codes that mean success (``kubectl diff`` says 1
    for a difference); ``before`` is called right before, and not timed."""

    argv: Sequence[str | Path]
    environment: Mapping[str, str]
    accepted: tuple[int, ...] = (0,)
    before: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Run:
    """``seconds`` by the clock, ``cpu_seconds`` of the process itself, ``peak_bytes`` of memory."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    output: bytes = field(repr=False, default=b"")


class CommandFailed(Exception):
    """A timed command ended with another exit code than expected."""


def run(command: Command) -> Run:
    """One process from its start to its end. Raises CommandFailed with what it said."""
    command.before()
    with (
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as errors,
        tempfile.NamedTemporaryFile("r") as report,
    ):
        subprocess.run(
            [sys.executable, "-I", "-S", _SPAWN, report.name, *map(str, command.argv)],
            env=dict(command.environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            check=True,
        )
        used = json.load(report)
        if used["exit"] not in command.accepted:
            errors.seek(0)
            words = errors.read().decode(errors="replace")[-2000:]
            raise CommandFailed(f"{command.argv[:4]}: exit {used['exit']}: {words}")
        output.seek(0)
        return Run(used["seconds"], used["cpu_seconds"], used["peak_bytes"], output.read())


@dataclass(frozen=True, slots=True)
class Figure:
    """A median with the lowest and the highest of ``count`` measurements."""

    median: float
    lowest: float
    highest: float
    count: int = 1

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        return cls(statistics.median(values), min(values), max(values), len(values))

    @classmethod
    def single(cls, value: float) -> Figure:
        return cls(value, value, value)


def in_turns(rounds: int, **commands: Command) -> dict[str, list[Run]]:
    """Every command once, then every command again, ...: each round's figures belong together."""
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            runs[name].append(run(command))
    return runs


def seconds(runs: Sequence[Run]) -> list[float]:
    return [one.seconds for one in runs]


def ratios(above: Sequence[float], below: Sequence[float]) -> Figure:
    """Round by round, since only what ran side by side can be compared."""
    return Figure.of([a / b for a, b in zip(above, below, strict=True)])
