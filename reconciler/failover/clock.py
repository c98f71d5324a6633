"""Whether this machine's clock was set between two runs. Pure.

No process lives from one run to the next, so only the wall clock spans the time between them, and
that may be set, forward or back. The API servers are the reference: each of their answers carries
their own time. How far each is ahead of this machine is remembered as long as an age is measured.
When most of them have moved against this machine's clock, it was this clock that was set, and all
remembered moments are moved along: no age changes by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from msgspec.structs import replace

from reconciler.failover.probe import Probe
from reconciler.state.memory import FleetMemory, Phase

NOTICED_SECONDS = 10
"""Servers say their time in whole seconds, and an answer is on its way for some."""


def clock_offsets(probes: Iterable[Probe]) -> dict[str, int]:
    """Cluster -> seconds by which its clock is ahead of this machine's, of those that gave their
    time."""
    from email.utils import parsedate_to_datetime

    found = {}
    for probe in probes:
        if probe.server_time is not None:
            with suppress(ValueError):
                date = parsedate_to_datetime(probe.server_time.date)
                found[probe.cluster] = round(date.timestamp() - probe.server_time.at)
    return found


def clock_step(memory: FleetMemory, offsets: Mapping[str, int]) -> int:
    """By how many seconds this machine's clock was set forward (negative: back); 0 for not at all.

    ``offsets``: cluster -> seconds by which its clock is ahead of this machine's now.
    """
    moved = sorted(
        (memory.clock_offsets[n] - offsets[n] for n in memory.clock_offsets if n in offsets),
        key=abs,
    )
    step = moved[(len(moved) - 1) // 2] if moved else 0
    return step if abs(step) > NOTICED_SECONDS else 0


def shifted_by(memory: FleetMemory, step: int) -> FleetMemory:
    """``memory`` with all moments from which an age is measured moved by ``step`` seconds."""
    if not step:
        return memory
    return replace(
        memory,
        clusters={
            name: replace(
                one,
                since=_moved(one.since, step) if one.phase is Phase.DOWN else one.since,
                seen=_moved(one.seen, step),
            )
            for name, one in memory.clusters.items()
        },
        workloads={
            name: {
                key: replace(one, seen=_moved(one.seen, step), away=_moved(one.away, step))
                for key, one in found.items()
            }
            for name, found in memory.workloads.items()
        },
        taints={
            name: {taint: _moved(first, step) for taint, first in taints.items()}
            for name, taints in memory.taints.items()
        },
        clock_offsets={name: seconds - step for name, seconds in memory.clock_offsets.items()},
    )


def with_clock_offsets(
    memory: FleetMemory, offsets: Callable[[], Mapping[str, int]]
) -> FleetMemory:
    """A memory, moved by ``shifted_by``, with the clock offsets for the next run; without any where
    nothing ages.

    What is within the usual deviation stays, so that a run with nothing new has nothing to write.
    """
    if not _something_ages(memory):
        return replace(memory, clock_offsets={}) if memory.clock_offsets else memory
    known, now = memory.clock_offsets, offsets()
    return replace(
        memory,
        clock_offsets={
            name: known[name]
            if name in known and abs(known[name] - now.get(name, known[name])) <= NOTICED_SECONDS
            else now[name]
            for name in known.keys() | now.keys()
        },
    )


def _moved(moment: float, step: int) -> float:
    """0 means that there is none, and stays."""
    return max(moment + step, 1.0) if moment else 0.0


def _something_ages(memory: FleetMemory) -> bool:
    return (
        any(one.seen or one.phase is Phase.DOWN for one in memory.clusters.values())
        or any(
            one.seen or one.away for found in memory.workloads.values() for one in found.values()
        )
        or any(memory.taints.values())
    )
