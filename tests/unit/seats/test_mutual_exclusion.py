"""No two runs write to a member at once: a search through clocks, sleep and writes that are slow.

The model is discrete. Time passes in ticks; each process may sleep at any time for as long as it
likes, and finds out afterwards, by its own clock. A write that was sent reaches the member within
``Rules.write`` ticks, or never, as its server gives it up then. The register itself is one value
here: that it behaves as one is searched for elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import pytest

DURATION = 4


@dataclass(frozen=True)
class Rules:
    """In ticks, by the process's own clock: ``fence`` after the renewal was *sent*, ``takeover``
    after a record was *seen* that did not change since; ``write`` is a write's time limit."""

    fence: int = DURATION // 2
    takeover: int = DURATION
    write: int = DURATION // 2 - 1
    watched_from_seen: bool = True
    counted_from_sent: bool = True


class Process(NamedTuple):
    """``at``: what it does next. ``renewed`` and ``seen_at`` are ticks ago, by its own clock, which
    counts its sleep as well; ``seen`` is the register's version then. ``write``: ticks that a write
    which it sent may still take; None: there is none."""

    at: str = "watch"
    renewed: int = 0
    seen: int = -1
    seen_at: int = 0
    write: int | None = None
    base: int = -1


class Moment(NamedTuple):
    """``holder`` of the register and its version, which each renewal makes higher."""

    processes: tuple[Process, ...]
    holder: int = -1
    version: int = 0
    ticks: int = 0


LONGEST = DURATION + 2


def steps(moment: Moment, rules: Rules) -> list[Moment]:
    """All that can be next; a process that is not chosen sleeps."""
    found = [_tick(moment, rules)]
    for number in range(len(moment.processes)):
        found += _own_steps(moment, number, rules)
    return [one for one in found if one is not None]


def _tick(moment: Moment, rules: Rules) -> Moment | None:
    if moment.ticks >= 3 * DURATION:
        return None
    after = []
    for process in moment.processes:
        write = None if process.write is None or process.write == 0 else process.write - 1
        after.append(
            process._replace(
                renewed=min(process.renewed + 1, LONGEST),
                seen_at=min(process.seen_at + 1, LONGEST),
                write=write,
            )
        )
    return moment._replace(processes=tuple(after), ticks=moment.ticks + 1)


def _own_steps(moment: Moment, number: int, rules: Rules) -> list[Moment]:
    process = moment.processes[number]
    found = []

    def changed(process: Process, **world: int) -> None:
        processes = list(moment.processes)
        processes[number] = process
        found.append(moment._replace(processes=tuple(processes), **world))

    if process.at == "watch":
        if moment.version != process.seen:
            begun = process._replace(seen=moment.version, seen_at=0)
            changed(begun)
        free = moment.holder == -1
        if free or (moment.version == process.seen and process.seen_at >= rules.takeover):
            # What it will write is bound to the version that it has seen.
            changed(process._replace(at="take", renewed=0, base=moment.version))
    elif process.at in ("take", "renew"):
        if moment.version == process.base:
            kept = process.renewed if rules.counted_from_sent else 0
            held = process._replace(at="hold", renewed=kept, base=moment.version + 1)
            changed(held, holder=number, version=moment.version + 1)
        else:
            # Somebody was quicker; whoever held it stops for good.
            changed(process._replace(at="watch" if process.at == "take" else "over"))
    elif process.at == "hold":
        fenced = process.renewed > rules.fence
        if process.write is None and not fenced:
            changed(process._replace(at="checked"))
        if not fenced:
            # Renewed at the same moment at which its request is sent.
            changed(process._replace(at="renew", renewed=0))
    elif process.at == "checked":
        # Between the look at the fence and the write nothing is done, and no time passes for it.
        changed(process._replace(at="hold", write=rules.write))
    return found


def can_write(process: Process) -> bool:
    return process.write is not None


def explore(rules: Rules, processes: int = 2) -> int:
    """How many moments there are. AssertionError where two can write at once."""
    first = Moment((Process(),) * processes)
    visited, waiting = {first}, [first]
    while waiting:
        moment = waiting.pop()
        for after in steps(moment, rules):
            if after in visited:
                continue
            writing = [n for n, process in enumerate(after.processes) if can_write(process)]
            assert len(writing) < 2, f"{writing} write at once: {after}"
            visited.add(after)
            waiting.append(after)
    return len(visited)


def test_no_two_runs_ever_write_at_once() -> None:
    assert explore(Rules()) > 1000
