"""No two runs write to a member at once: a search through clocks, sleep and writes that are slow.

The model is discrete. Time passes in ticks; each process may sleep at any time for as long as it
likes, and finds out afterwards, by its own clock. A write that was sent reaches the member within
``Rules.write`` ticks, or never, as its server gives it up then. The register itself is one value
here: that it behaves as one is searched for elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
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
    from_sent: bool = True


class Process(NamedTuple):
    """``at`` is what it does next. ``asked``: ticks since it sent what it is about to write to the
    register, ``renewed``: since what was accepted last was sent; ``watched``: since it saw the
    version ``seen``. ``write``: ticks that a write to a member may still take, once it was sent."""

    at: str = "watch"
    asked: int = 0
    renewed: int = 0
    seen: int = -1
    watched: int = 0
    write: int | None = None


class Moment(NamedTuple):
    """Each change of the register makes ``version`` higher."""

    processes: tuple[Process, ...]
    version: int = 0
    free: bool = True
    ticks: int = 0


LONGEST = DURATION + 2
TICKS = 2 * DURATION + 1


def steps(moment: Moment, rules: Rules) -> Iterator[Moment]:
    """All that can be next; a process that has no step while time passes is asleep."""
    if moment.ticks < TICKS:
        older = tuple(map(_older, moment.processes))
        yield moment._replace(processes=older, ticks=moment.ticks + 1)
    for number, process in enumerate(moment.processes):
        for after, wrote in _own_steps(process, moment, rules):
            processes = (*moment.processes[:number], after, *moment.processes[number + 1 :])
            changed = moment._replace(processes=processes)
            yield changed._replace(version=moment.version + 1, free=False) if wrote else changed


def _older(process: Process) -> Process:
    return process._replace(
        asked=min(process.asked + 1, LONGEST),
        renewed=min(process.renewed + 1, LONGEST),
        watched=min(process.watched + 1, LONGEST),
        # The server gives it up then, and so does whoever sent it.
        write=process.write - 1 if process.write else None,
    )


def _own_steps(process: Process, moment: Moment, rules: Rules) -> Iterator[tuple[Process, bool]]:
    """Each step with whether it changes the register."""
    unchanged = moment.version == process.seen
    match process.at:
        case "watch":
            if not unchanged:
                yield process._replace(seen=moment.version, watched=0), False
            elif moment.free or process.watched >= rules.takeover:
                yield process._replace(at="ask", asked=0), False
        case "ask":
            # A conditional write: of two who take it over, one does.
            if unchanged:
                yield process._replace(at="asked", seen=moment.version + 1), True
            else:
                yield process._replace(at="over"), False
        case "asked":
            # It learns that it was accepted.
            since = process.asked if rules.from_sent else 0
            yield process._replace(at="hold", renewed=since), False
        case "hold":
            # The look at the fence and the sending are one step: whoever is stopped between the
            # two writes all the same, which docs/seats.md says.
            if process.renewed <= rules.fence:
                yield process._replace(write=rules.write), False
                if process.renewed:
                    yield process._replace(at="ask", asked=0), False


def explore(rules: Rules, processes: int = 2) -> int:
    """How many moments there are. AssertionError where two can write at once."""
    first = Moment((Process(),) * processes)
    visited, waiting = {first}, [first]
    while waiting:
        moment = waiting.pop()
        for after in steps(moment, rules):
            if after in visited:
                continue
            writing = [n for n, one in enumerate(after.processes) if one.write is not None]
            assert len(writing) < 2, f"{writing} write at once: {after}"
            visited.add(after)
            waiting.append(after)
    return len(visited)


def test_no_two_runs_ever_write_at_once() -> None:
    assert explore(Rules()) > 1000


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(Rules(fence=DURATION), id="the fence falls no earlier than the takeover"),
        pytest.param(Rules(takeover=DURATION // 2), id="a takeover before the whole duration"),
        pytest.param(Rules(write=DURATION), id="a write may last longer than the gap"),
        pytest.param(Rules(from_sent=False), id="a renewal counts from when it was answered"),
    ],
)
def test_a_broken_rule_of_the_clocks_is_found(broken: Rules) -> None:
    with pytest.raises(AssertionError, match="write at once"):
        explore(broken)
