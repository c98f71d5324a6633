"""What the scheduler may know of the fleet besides Git: who is down, what runs where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.objects import ObjectKey


@dataclass(frozen=True, slots=True)
class FleetView:
    """Observed facts, all optional; an empty view means that everything is up and nothing runs.

    unavailable  cluster -> why it gets no replicas (declared down, drained)
    current      workload -> cluster -> replicas that run and are ready there now
    capacity     workload -> cluster -> the most replicas of it that the cluster can hold
    spare        cluster -> replicas' worth of free room, for weighing by capacity
    """

    unavailable: Mapping[str, str] = field(default_factory=dict)
    current: Mapping[ObjectKey, Mapping[str, int]] = field(default_factory=dict)
    capacity: Mapping[ObjectKey, Mapping[str, int]] = field(default_factory=dict)
    spare: Mapping[str, int] = field(default_factory=dict)
