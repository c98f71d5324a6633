"""What clusters can still hold, while one workload after the other is placed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from reconciler.api.kinds import REPLICAS, REPLICATED
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import Object
from reconciler.cluster.kstatus import wanted_replicas
from reconciler.federation.model import Workload

if TYPE_CHECKING:
    from reconciler.scheduler.room import FreeRoom


class FreeCapacity:
    """Free replicas by cluster, as Git says; where it does not, what is free on the nodes counts
    for what goes by room. A cluster of which neither is known is without limit."""

    def __init__(self, capacity: Mapping[str, int], nodes: FreeRoom | None = None) -> None:
        self._free = dict(capacity)
        self._nodes = nodes

    def limits(
        self,
        names: Sequence[str],
        own: Mapping[str, int],
        workload: Workload,
        here: Mapping[str, int],
    ) -> dict[str, int]:
        """The most that each cluster takes of one workload with the limits ``own``, which asks for
        ``here`` now."""
        found = dict(own)
        nodes = self._nodes if needs_room(workload) else None
        for name in names:
            free: int | None = None
            if name in self._free:
                free = max(0, self._free[name])
            elif nodes is not None:
                free = nodes.limit(name, workload, here.get(name, 0))
            if free is not None:
                found[name] = min(free, found.get(name, free))
        return found

    def take(
        self, workload: Workload, replicas: Mapping[str, int | None], gone: Collection[str]
    ) -> list[Notice]:
        """Uses up what the workload needs; tells where duplicated ones are too many."""
        if not (_runs_replicas(workload) or workload.rules.replicas.mode != "Duplicated"):
            return []
        notices = []
        nodes = self._nodes if needs_room(workload) else None
        for name, count in replicas.items():
            if nodes is not None and name not in self._free and name not in gone:
                nodes.take(name, workload, count or 0)
            if name not in self._free or name in gone:
                continue
            self._free[name] -= own_count(workload, name) if count is None else count
            if self._free[name] < 0 and workload.rules.replicas.mode == "Duplicated":
                notices.append(
                    notice(NoticeCause.NO_ROOM, name, workload.key, count=-self._free[name])
                )
        return notices


def needs_room(workload: Workload) -> bool:
    """Whether it matters how much room the clusters have for a workload."""
    if workload.rules.target is not None and workload.rules.target.overflow:
        return workload.rules.replicas.mode == "Divided"
    return (
        workload.rules.replicas.mode == "Karmada"
        and workload.rules.replicas.strategy != "StaticWeight"
    )


def own_count(workload: Workload, cluster: str = "") -> int:
    """The template's replicas, or its form's in a cluster; one that does not say runs one."""
    count = workload.form_in(cluster).stated_replicas
    return 1 if count is None else count


def replicas_due(workload: Workload, count: int | None, live: Object | None) -> int:
    """How many replicas must be ready in a cluster where an assignment says ``count``.

    Of a count that is not shared out, or is left to an autoscaler, it is what the live object asks
    for. An object that is not there yet lacks one at least.
    """
    if workload.rules.replicas.mode != "Duplicated" and REPLICAS not in workload.rules.retain:
        return count or 0
    if count == 0:
        return 0
    return 1 if live is None else wanted_replicas(live)


def _runs_replicas(workload: Workload) -> bool:
    return workload.key.kind in REPLICATED
