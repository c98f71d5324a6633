"""A rollout as plans, reports and people see it: values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct, field
from msgspec.structs import replace


class ClusterStep(StrEnum):
    """Where a cluster is in a rollout. WAITS: its wave has not begun, or its turn in it has not
    come. BEGUN: it is on the candidate, and not well yet. WELL: on the candidate, and well.
    DOWN: it does not count."""

    WAITS = "waits"
    BEGUN = "begun"
    WELL = "well"
    DOWN = "down"


class RolloutCluster(Struct, frozen=True):
    """One cluster: ``commit`` is the one that this run gives it; ``why`` says what is not well yet,
    or what it waits for, in words. ``changes``: what the candidate would change there, by action
    (``create`` -> 3), where that was planned."""

    name: str
    commit: str
    step: ClusterStep
    why: str = ""
    changes: Mapping[str, int] = field(default_factory=dict)


class RolloutWave(Struct, frozen=True):
    """``state``: done, current or coming. ``least``: for how many seconds it takes at least from
    now on (what it must soak yet). ``waits`` is what it waits for, in words; empty: nothing."""

    name: str
    state: str
    clusters: tuple[RolloutCluster, ...]
    soak: float = 0.0
    least: float = 0.0
    waits: str = ""
    manual: bool = False
    gates: tuple[str, ...] = ()


class RolloutEvent(StrEnum):
    """What a run brings to a rollout, for Events and notifications."""

    STARTED = "Started"
    PROMOTED = "Promoted"
    HELD = "Held"
    FAILED = "Failed"
    RETURNED = "Returned"
    COMPLETED = "Completed"
    ABORTED = "Aborted"


class RolloutView(Struct, frozen=True):
    """A rollout in one run. ``candidate`` empty: every cluster is on ``stable``, or about to be.

    ``phase`` is Steady, Progressing, Held or Failed; ``reason`` says why; ``since`` is when that
    candidate began, ``wave_since`` when its wave did, ``progress`` when a cluster last began or
    became well (Unix seconds, 0: not known). ``waiting`` are
    newer commits that wait. ``events`` are what this run brings: what and in words. ``complete``:
    the plan shows the end of the road, and not what this run would do. ``at_once``: a person lets
    it reach all clusters at once.
    """

    stable: str
    candidate: str = ""
    phase: str = "Steady"
    reason: str = ""
    since: float = 0.0
    wave_since: float = 0.0
    waves: tuple[RolloutWave, ...] = ()
    waiting: tuple[str, ...] = ()
    events: tuple[tuple[RolloutEvent, str], ...] = ()
    complete: bool = False
    at_once: bool = False
    progress: float = 0.0


def with_planned(view: RolloutView, planned: Mapping[str, Mapping[str, int]]) -> RolloutView:
    """The view with what the candidate changes: cluster -> action -> how many objects."""
    waves = tuple(
        replace(
            wave,
            clusters=tuple(replace(c, changes=planned.get(c.name, {})) for c in wave.clusters),
        )
        for wave in view.waves
    )
    return replace(view, waves=waves)
