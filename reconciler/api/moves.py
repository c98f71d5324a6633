"""What moves between clusters, waits for that or stays, as values; ``str`` is the sentence. Pure.

Each is about one ``cluster``. Decisions and other processes read the fields; the words are made
here, for people.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct

from reconciler.api.durations import duration_words
from reconciler.api.objects import ObjectKey, first_few


class MovedAway(Struct, frozen=True, tag=True):
    """A workload leaves a cluster that is well, where it was not available; for the ``times``-th
    time."""

    cluster: str
    workload: ObjectKey
    times: int = 1

    @property
    def why(self) -> str:
        """``was not available there (moved away 3 times)``."""
        often = f" (moved away {self.times} times)" if self.times > 1 else ""
        return f"was not available there{often}"

    def __str__(self) -> str:
        return f"{self.workload.namespaced_name}: leaves {self.cluster}: {self.why}"


class StartsWith(Struct, frozen=True, tag=True):
    """A workload that others scale starts in a cluster with the ``count`` that it has in the
    clusters that it ``leaves``."""

    cluster: str
    workload: ObjectKey
    count: int
    leaves: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.workload.namespaced_name}: starts in {self.cluster} with {self.count}, as many "
            f"as it has in {', '.join(self.leaves)}, which it leaves"
        )


class ReplicasKept(Struct, frozen=True, tag=True):
    """A workload keeps ``count`` replicas in a cluster, ``waiting`` of them until as many are ready
    elsewhere.

    ``why`` it is to leave the cluster altogether; empty where it is not. ``shortfall`` is how many
    replicas have no place at all.
    """

    cluster: str
    workload: ObjectKey
    count: int
    waiting: int
    why: str = ""
    shortfall: int = 0

    def __str__(self) -> str:
        until = "until as many are ready elsewhere"
        if self.why:
            until += f"; {self.why}"
            until += f"; {self.shortfall} have no other place" if self.shortfall else ""
        else:
            until = f"of which {self.waiting} {until}"
        return f"{self.workload.namespaced_name}: {self.cluster} keeps {self.count} ({until})"


class BoundsKept(Struct, frozen=True, tag=True):
    """An autoscaler keeps ``bounds`` (minReplicas, None where it is not said, and maxReplicas) in a
    cluster, and gets its ``share`` of them when what it scales is ready with its own in the
    ``homes``."""

    cluster: str
    autoscaler: ObjectKey
    bounds: tuple[int | None, int]
    share: tuple[int | None, int]
    homes: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.autoscaler.kind} {self.autoscaler.namespaced_name}: {self.cluster} keeps "
            f"{_bounds(self.bounds)} until what it scales is ready in "
            f"{first_few(self.homes)}, and gets {_bounds(self.share)} then"
        )


class KeptUntilReady(Struct, frozen=True, tag=True):
    """Objects stay in a cluster until they are ready in another one, ``home``; ``why`` they are
    not yet."""

    cluster: str
    objects: tuple[ObjectKey, ...]
    home: str
    why: str

    def __str__(self) -> str:
        return (
            f"{self.cluster} keeps {_names(self.objects)} until it is ready in {self.home}: "
            f"{self.why}"
        )


class KeptUnplaced(Struct, frozen=True, tag=True):
    """Objects that are to leave a cluster, ``why``, stay, as no other cluster may have them."""

    cluster: str
    objects: tuple[ObjectKey, ...]
    why: str

    def __str__(self) -> str:
        them = "it" if len(self.objects) == 1 else "them"
        return (
            f"{self.cluster} keeps {_names(self.objects)}: {self.why}, and no other cluster may "
            f"have {them} (to give up what it has: delete it from Git, or let its placement say "
            "clusters: [])"
        )


class Degraded(Struct, frozen=True, tag=True):
    """Workloads of which a cluster that is down ran a copy of its own that nobody takes over."""

    cluster: str
    workloads: tuple[ObjectKey, ...]

    def __str__(self) -> str:
        return f"degraded without {self.cluster}: {_workload_names(self.workloads)}"


class StayReason(StrEnum):
    """Why a workload does not leave a cluster that is down. ACTION: of its failover; FOR_A_WHILE:
    its Placement waits longer than the federation."""

    NOT_ENABLED = "FailoverNotEnabled"
    ACTION = "FailoverAction"
    TOLERATED = "Tolerated"
    FOR_A_WHILE = "ForAWhile"
    HAS_RUN = "HasRun"


class Stay(Struct, frozen=True):
    """Why a workload stays; ``value`` is the action or the taint of that reason, ``seconds`` (whole
    ones) how long it still does."""

    reason: StayReason
    value: str = ""
    seconds: int = 0

    @property
    def has_run(self) -> bool:
        """Whether it is done there."""
        return self.reason is StayReason.HAS_RUN

    def __str__(self) -> str:
        match self.reason:
            case StayReason.NOT_ENABLED:
                return "its failover is not enabled"
            case StayReason.ACTION:
                return f"its failover.action is {self.value}"
            case StayReason.TOLERATED:
                return f"it tolerates {self.value}"
            case StayReason.FOR_A_WHILE:
                return f"by its Placement, for {duration_words(self.seconds)} more"
            case StayReason.HAS_RUN:
                return "it has run there"


class NotMoved(Struct, frozen=True, tag=True):
    """Workloads that do not leave a cluster that is down."""

    cluster: str
    workloads: tuple[ObjectKey, ...]
    stay: Stay

    def __str__(self) -> str:
        return f"not moved from {self.cluster}: {_workload_names(self.workloads)} ({self.stay})"


class Unready(Struct, frozen=True):
    """A workload of which ``ready`` replicas serve where ``due`` must."""

    workload: ObjectKey
    ready: int
    due: int

    def __str__(self) -> str:
        return f"{self.workload.namespaced_name} ({self.ready} of {self.due} ready)"


class Returning(Struct, frozen=True, tag=True):
    """A cluster that takes over its share again waits until all of it runs there. ``unready``
    empty: it gets the rest of its share in later runs."""

    cluster: str
    unready: tuple[Unready, ...] = ()

    @property
    def waits_for(self) -> str:
        """``shop/web (0 of 2 ready)``."""
        return first_few(list(map(str, self.unready)), 5) or "the rest of its share, in later runs"

    def __str__(self) -> str:
        return f"{self.cluster} is returning: waits for {self.waits_for}"


Move = (
    MovedAway
    | StartsWith
    | ReplicasKept
    | BoundsKept
    | KeptUntilReady
    | KeptUnplaced
    | Degraded
    | NotMoved
    | Returning
)


def _bounds(bounds: tuple[int | None, int]) -> str:
    low, high = bounds
    return f"at most {high}" if low is None else f"{low} to {high}"


def _names(objects: Sequence[ObjectKey]) -> str:
    return first_few([f"{key.kind} {key.namespaced_name}" for key in objects])


def _workload_names(workloads: Sequence[ObjectKey]) -> str:
    return ", ".join(key.namespaced_name for key in workloads)
