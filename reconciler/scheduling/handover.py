"""From what runs to what should, without a dip: nobody gives up what nobody else carries yet.

These two rules bring a cluster back after an outage: it grows first, by so many replicas a run as
the rules allow, and the others shrink only by what is ready beyond the total that is wanted. The
same rule makes a lost memory harmless: what stands in for a dead cluster stays.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from reconciler.objects import ObjectKey
from reconciler.scheduling.assignment import Assignment


class Running(Struct, frozen=True):
    """Replicas of one workload by cluster, of clusters that could be looked at.

    asked    ``spec.replicas`` of the live objects
    ready    those that serve
    assumed  what clusters that could not be looked at are taken to serve
    """

    asked: Mapping[str, int]
    ready: Mapping[str, int]
    assumed: Mapping[str, int]


def hold(assignment: Assignment, running: Running) -> tuple[Assignment, list[str]]:
    """The assignment with counts kept up where they may not fall yet, and why, for people.

    What is not ready serves nobody and may go at once; of what is ready only the excess over the
    total that is wanted.
    """
    wanted = dict.fromkeys(assignment.spare, 0)
    wanted |= {name: count or 0 for name, count in assignment.replicas.items()}
    serving = sum(min(running.ready.get(c, 0), n) for c, n in running.asked.items())
    excess = serving + sum(running.assumed.values()) - sum(wanted.values()) - assignment.shortfall
    excess = max(0, excess)
    kept: dict[str, int] = {}
    for name, asked in sorted(running.asked.items()):
        if name not in wanted or asked <= wanted[name]:
            continue
        drop = asked - wanted[name]
        idle = min(drop, max(0, asked - running.ready.get(name, 0)))
        given = min(drop - idle, excess)
        excess -= given
        if asked - idle - given > wanted[name]:
            kept[name] = asked - idle - given
    if not kept:
        return assignment, []
    waits = [
        f"{_short(assignment.workload)}: {name} keeps {count} (of which {count - wanted[name]} "
        "until as many are ready elsewhere)"
        for name, count in kept.items()
    ]
    replicas = dict(sorted({**assignment.replicas, **kept}.items()))
    spare = tuple(name for name in assignment.spare if name not in kept)
    more = sum(kept.values()) - sum(wanted[name] for name in kept)
    short = max(0, assignment.shortfall - more)
    return replace(assignment, replicas=replicas, spare=spare, shortfall=short), waits


def return_limits(
    assignments: Sequence[Assignment],
    asked: Mapping[ObjectKey, Mapping[str, int]],
    ready: Mapping[ObjectKey, Mapping[str, int]],
    returning: Collection[str],
    moves: int | None,
) -> dict[ObjectKey, dict[str, int]]:
    """Workload -> cluster -> the most that a returning cluster takes in this run.

    ``asked``: what its live objects ask for now; clusters without an entry there at all could not
    be looked at and are not limited. ``moves``: how many replicas may return in one run, or None.
    Only those count that serve elsewhere for it: what serves nowhere is not to wait.
    """
    limits: dict[ObjectKey, dict[str, int]] = {}
    if moves is None:
        return limits
    left = moves
    for assignment in assignments:
        here = asked.get(assignment.workload, {})
        serving = ready.get(assignment.workload, {})
        stand_ins = sum(
            max(0, min(count, serving.get(c, 0)) - (assignment.replicas.get(c) or 0))
            for c, count in here.items()
        )
        for name in sorted(set(returning) & assignment.replicas.keys()):
            wanted = assignment.replicas[name]
            now = here.get(name, 0)
            if wanted is None or wanted <= now:
                continue
            moved = min(wanted - now, stand_ins)
            stand_ins -= moved
            granted = wanted - now - max(0, moved - left)
            left -= min(moved, left)
            if now + granted < wanted:
                limits.setdefault(assignment.workload, {})[name] = now + granted
    return limits


def has_settled(
    name: str,
    assignments: Sequence[Assignment],
    ready: Mapping[ObjectKey, Mapping[str, int]],
) -> bool:
    """Whether a returning cluster serves all the replicas that it should."""
    return all(
        ready.get(assignment.workload, {}).get(name, 0) >= count
        for assignment in assignments
        if (count := assignment.replicas.get(name))
    )


def _short(key: ObjectKey) -> str:
    return f"{key.namespace}/{key.name}" if key.namespace else key.name
