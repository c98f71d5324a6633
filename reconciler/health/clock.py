"""How much of the time between two runs counts. Pure.

No process lives from one run to the next, so only the wall clock spans the time between them, and
that may be set, forward or back. The spacing of the runs is the witness: a gap counts only as far
as the gaps around it are as long. What does not count is added to every moment from which an age
is measured, so that all ages are of counted time, whatever the clock did.
"""

from __future__ import annotations

from msgspec.structs import replace

from reconciler.health.memory import Clock, FleetMemory, Phase

KEPT_GAPS = 9
ENOUGH_GAPS = 3
"""With so many, one that the clock made up does not change their median."""


def aligned(memory: FleetMemory, now: float) -> FleetMemory:
    """``memory`` with its moments moved, so that ``now`` minus each of them is counted time."""
    clock = memory.clock
    if not clock.last:
        return memory
    gap = now - clock.last
    shift = gap - _counted(gap, clock.gaps)
    if not shift:
        return memory
    return replace(
        memory,
        clusters={
            name: replace(
                one,
                since=_moved(one.since, shift) if one.phase is Phase.DOWN else one.since,
                seen=_moved(one.seen, shift),
            )
            for name, one in memory.clusters.items()
        },
        workloads={
            name: {
                key: replace(one, seen=_moved(one.seen, shift), away=_moved(one.away, shift))
                for key, one in found.items()
            }
            for name, found in memory.workloads.items()
        },
        taints={
            name: {taint: _moved(first, shift) for taint, first in taints.items()}
            for name, taints in memory.taints.items()
        },
    )


def looked(memory: FleetMemory, now: float) -> FleetMemory:
    """``memory`` with this run's moment, as long as an age is measured or the spacing is unknown.

    Otherwise without one: a run that finds all well has nothing to write.
    """
    last, gaps = memory.clock.last, memory.clock.gaps
    if last and now > last:
        gaps = (*gaps, now - last)[-KEPT_GAPS:]
    going_on = len(gaps) < ENOUGH_GAPS or _something_ages(memory)
    return replace(memory, clock=Clock(now if going_on else 0.0, gaps))


def _counted(gap: float, gaps: tuple[float, ...]) -> float:
    """Of ``gap`` seconds, those that earlier ``gaps`` make plausible; none without any."""
    if not gaps:
        return 0.0
    usual = sorted(gaps)[len(gaps) // 2] if len(gaps) >= ENOUGH_GAPS else min(gaps)
    return min(max(0.0, gap), usual)


def _moved(moment: float, shift: float) -> float:
    """0 means that there is none, and stays."""
    return max(moment + shift, 1.0) if moment else 0.0


def _something_ages(memory: FleetMemory) -> bool:
    return (
        any(one.seen or one.phase is Phase.DOWN for one in memory.clusters.values())
        or any(
            one.seen or one.away for found in memory.workloads.values() for one in found.values()
        )
        or any(memory.taints.values())
    )
