"""What clusters can still hold, while one workload after the other is placed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from reconciler.api.kinds import REPLICAS, REPLICATED
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import Object
from reconciler.cluster.kstatus import stated_replicas, wanted_replicas
from reconciler.federation.model import Workload


class FreeCapacity:
    """Free replicas by cluster; those whose capacity is not known are without limit."""

    def __init__(self, capacity: Mapping[str, int]) -> None:
        self._free = dict(capacity)

    def limits(self, names: Sequence[str], own: Mapping[str, int]) -> dict[str, int]:
        """The most that each cluster takes of one workload with the limits ``own``."""
        found = dict(own)
        for name in names:
            if name in self._free:
                free = max(0, self._free[name])
                found[name] = min(free, found.get(name, free))
        return found

    def take(
        self, workload: Workload, replicas: Mapping[str, int | None], gone: Collection[str]
    ) -> list[Notice]:
        """Uses up what the workload needs; tells where duplicated ones are too many."""
        if not (_runs_replicas(workload) or workload.replicas.mode != "Duplicated"):
            return []
        notices = []
        for name, count in replicas.items():
            if name not in self._free or name in gone:
                continue
            self._free[name] -= own_count(workload, name) if count is None else count
            if self._free[name] < 0 and workload.replicas.mode == "Duplicated":
                notices.append(
                    notice(NoticeCause.NO_ROOM, name, workload.key, count=-self._free[name])
                )
        return notices


def own_count(workload: Workload, cluster: str = "") -> int:
    """The template's replicas, or its form's in a cluster; one that does not say runs one."""
    count = stated_replicas(workload.form_in(cluster))
    return 1 if count is None else count


def replicas_due(workload: Workload, count: int | None, live: Object | None) -> int:
    """How many replicas must be ready in a cluster where an assignment says ``count``.

    Of a count that is not shared out, or is left to an autoscaler, it is what the live object asks
    for. An object that is not there yet lacks one at least.
    """
    if workload.replicas.mode != "Duplicated" and REPLICAS not in workload.retain:
        return count or 0
    if count == 0:
        return 0
    return 1 if live is None else wanted_replicas(live)


def _runs_replicas(workload: Workload) -> bool:
    return workload.key.kind in REPLICATED
