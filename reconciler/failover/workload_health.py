"""Which workloads leave a healthy cluster because they do not run there. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.moves import MovedAway
from reconciler.api.objects import ObjectKey
from reconciler.state.memory import FleetMemory, WorkloadMemory

LONGEST_BREAK = 24 * 3600.0
"""Seconds; however often it was moved away, it gets another chance every day."""


class WorkloadReading(Struct, frozen=True):
    """A workload in a cluster that this run could look at.

    ``unavailable_after`` is its rule, in seconds; ``healthy_after`` how long it stays away at
    least, None where only a person may send it back. ``template`` stands for its version.
    """

    cluster: str
    workload: ObjectKey
    available: bool
    wanted: int
    unavailable_after: float
    healthy_after: float | None
    template: str = ""


def decide_workload_health(
    memory: FleetMemory, seen: Sequence[WorkloadReading], looked_at: Collection[str], now: float
) -> tuple[dict[str, dict[str, WorkloadMemory]], list[MovedAway]]:
    """What to remember, and what is kept away from where, sorted by workload and cluster.

    It leaves only for clusters where it does run: what runs nowhere is broken itself, and moving
    it would only take it from one place after the other. Of clusters outside ``looked_at`` all
    stays as it was.
    """
    runs: dict[ObjectKey, set[str]] = defaultdict(set)
    for one in seen:
        if one.available and one.wanted:
            runs[one.workload].add(one.cluster)
    remembered: dict[str, dict[str, WorkloadMemory]] = defaultdict(dict)
    away: list[MovedAway] = []
    for cluster in memory.workloads.keys() - set(looked_at):
        remembered[cluster] |= memory.workloads[cluster]
    for one in sorted(seen, key=lambda s: (s.cluster, s.workload)):
        before = memory.workloads.get(one.cluster, {}).get(str(one.workload), WorkloadMemory())
        after = _next(
            before, one, now, runs_in_other_clusters=bool(runs[one.workload] - {one.cluster})
        )
        if after != WorkloadMemory():
            remembered[one.cluster][str(one.workload)] = after
        if after.away:
            away.append(MovedAway(one.cluster, one.workload, after.moves))
    return dict(remembered), sorted(away, key=lambda move: (move.workload, move.cluster))


def _next(
    before: WorkloadMemory, one: WorkloadReading, now: float, *, runs_in_other_clusters: bool
) -> WorkloadMemory:
    if before.away:
        if one.template != before.template:
            return WorkloadMemory()
        if one.healthy_after is not None and now - before.away >= pause(before, one.healthy_after):
            # Its moves stay remembered: when it fails again it stays away for longer.
            return replace(before, away=0.0, streak=0.0, seen=0.0)
        return before
    if one.available or not one.wanted:
        kept = before.moves and one.template == before.template
        return replace(before, streak=0.0, seen=0.0) if kept else WorkloadMemory()
    gap = min(max(0.0, now - before.seen), one.unavailable_after / 2) if before.seen else 0.0
    after = replace(before, streak=before.streak + gap, seen=now, template=one.template)
    if runs_in_other_clusters and before.seen and after.streak >= one.unavailable_after:
        return replace(after, streak=0.0, seen=0.0, away=now, moves=before.moves + 1)
    return after


def pause(memory: WorkloadMemory, healthy_after: float) -> float:
    """For how many seconds it stays away; doubled by each move that did not help."""
    return float(min(healthy_after * 2 ** (memory.moves - 1), LONGEST_BREAK))
