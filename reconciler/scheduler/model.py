"""The scheduler's answer: which cluster runs what, and how much of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct, field

from reconciler.api.notices import Notice
from reconciler.api.objects import ObjectKey
from reconciler.api.remembered import remembered

if TYPE_CHECKING:
    from reconciler.scheduler.room import ClusterRoom


Bounds = tuple[int | None, int]
"""minReplicas (None: not said) and maxReplicas of an autoscaler."""


class Assignment(Struct, frozen=True, gc=False):
    """Where one workload goes.

    ``replicas`` maps each chosen cluster (in name order) to its replica count, or to None where
    the template's own count stands. A chosen cluster may have 0. ``left_out`` says why clusters
    that could have been chosen were not (``cluster -> reason``). ``shortfall`` counts replicas
    that fit nowhere. ``spare`` are clusters that may run it and have no part in it now. ``leaving``
    are those of ``replicas`` that it is to leave once it is ready in others. ``as_stable``: it
    only stays there as the stable commit has it, while clusters are on several (see ``commits``);
    ``nowhere`` are then the clusters whose own commit has it and lets it go to no cluster at all.
    ``bounds``: cluster -> what an autoscaler gets there of bounds that are divided; in other
    clusters the template's stand.
    """

    workload: ObjectKey
    replicas: Mapping[str, int | None]
    placed_by: str = ""
    left_out: Mapping[str, str] = field(default_factory=dict)
    shortfall: int = 0
    spare: tuple[str, ...] = ()
    leaving: frozenset[str] = frozenset()
    as_stable: frozenset[str] = frozenset()
    nowhere: frozenset[str] = frozenset()
    notices: tuple[Notice, ...] = ()
    bounds: Mapping[str, Bounds] = field(default_factory=dict)


@remembered
def assignments_by_workload(assignments: Sequence[Assignment]) -> Mapping[ObjectKey, Assignment]:
    """The assignments by the keys of their workloads."""
    return {one.workload: one for one in assignments}


# -- what the scheduler sees -----------------------------------------------------------------------


class FleetView(Struct, frozen=True):
    """Observed facts, all optional; an empty view means that everything is up and nothing runs.

    unavailable  cluster -> why it gets no replicas (declared down, drained)
    returning    clusters that take over their share again, or may have to
    present      workload -> cluster that has it now, as ours -> replicas that it asks for there, of
                 workloads that are divided or spread
    divided      workload -> cluster -> replicas that it got of the last division, where somebody
                 else has set another count since
    staying      workload -> unavailable clusters that it does not leave all the same
    away         workload -> cluster that is up -> why this one workload gets no replicas there
    tainted      cluster -> taint (``key=value:effect``) -> for how many seconds it has been there
    current      workload -> cluster -> replicas that run and are ready there now
    capacity     workload -> cluster -> the most replicas of it that the cluster can hold
    spare        cluster -> replicas' worth of free room, for weighing by capacity
    rooms        cluster -> the room on its nodes, where that matters; None: nobody could look at it
    unseen       clusters that are up as far as is known, and could not be looked at
    """

    unavailable: Mapping[str, str] = field(default_factory=dict)
    returning: Collection[str] = ()
    present: Mapping[ObjectKey, Mapping[str, int]] = field(default_factory=dict)
    divided: Mapping[ObjectKey, Mapping[str, int]] = field(default_factory=dict)
    staying: Mapping[ObjectKey, Collection[str]] = field(default_factory=dict)
    away: Mapping[ObjectKey, Mapping[str, str]] = field(default_factory=dict)
    tainted: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    current: Mapping[ObjectKey, Mapping[str, int]] = field(default_factory=dict)
    capacity: Mapping[ObjectKey, Mapping[str, int]] = field(default_factory=dict)
    spare: Mapping[str, int] = field(default_factory=dict)
    rooms: Mapping[str, ClusterRoom | None] = field(default_factory=dict)
    unseen: Collection[str] = ()

    @property
    def is_empty(self) -> bool:
        """Whether all is as Git alone would have it."""
        return not any(getattr(self, name) for name in self.__struct_fields__)

    def unavailable_for(self, workload: ObjectKey) -> dict[str, str]:
        """Cluster -> why this workload gets no replicas there."""
        staying = self.staying.get(workload, ())
        gone = {name: why for name, why in self.unavailable.items() if name not in staying}
        return gone | dict(self.away.get(workload, {}))
