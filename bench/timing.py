"""Whole processes, timed in turns, so that what disturbs the machine disturbs all of them."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


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
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command.argv],
            env=dict(command.environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
        # Not process.wait(): only this tells what the process used.
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        if process.returncode not in command.accepted:
            words = errors.read().decode(errors="replace")[-2000:]
            raise CommandFailed(f"{command.argv[:4]}: exit {process.returncode}: {words}")
        output.seek(0)
        # Linux gives ru_maxrss in KiB.
        cpu_seconds = used.ru_utime + used.ru_stime
        return Run(seconds, cpu_seconds, used.ru_maxrss * 1024, output.read())


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
