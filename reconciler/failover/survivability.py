"""What would every outage of a cluster, region or provider leave of each workload? Pure.

Asks the same scheduler and the same rules as a run, for every outage in turn, from Git alone: what
the rules do not allow to move does not move here either.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.kinds import REPLICATED, RUN_PODS, ScaleTarget, scaled_as
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import ObjectKey, map_of
from reconciler.cluster.warnings import ServerWarnings
from reconciler.failover.availability import assess, simulated_outages
from reconciler.failover.probe import Probe, Signal
from reconciler.federation.model import DesiredState, Workload
from reconciler.scheduler.capacity import own_count
from reconciler.scheduler.model import Assignment, FleetView
from reconciler.scheduler.placement_warnings import needs_in, unmet_needs
from reconciler.scheduler.schedule import schedule
from reconciler.state.memory import FleetMemory

_WIDER = ("cluster", "zone", "region", "provider")
KEDA_DEFAULT = 100
"""Of a ScaledObject's maxReplicaCount. A HorizontalPodAutoscaler states its own."""
_MUCH_LATER = 1e9
"""Seconds since the outage began: every grace period and toleration has passed."""


class Impact(StrEnum):
    """SURVIVES: all replicas run in other clusters. DEGRADED: some. UNTOUCHED: nothing of it ran
    there."""

    UNTOUCHED = "untouched"
    SURVIVES = "survives"
    DEGRADED = "degraded"
    DOWN = "down"


SEVERITY = tuple(Impact)
"""The least serious first."""


class Outage(Struct, frozen=True):
    """Clusters that fail together; ``names``, such as ``provider=aws``, with the widest last."""

    names: tuple[str, ...]
    clusters: tuple[str, ...]
    remark: str = ""

    @property
    def title(self) -> str:
        """The widest of its names, which says most."""
        return self.names[-1]


class Cell(Struct, frozen=True):
    """One workload in one outage: replicas without it, lost with it, and placed after it."""

    impact: Impact
    before: int
    lost: int
    after: int


class Row(Struct, frozen=True):
    """One workload, with a cell for each outage in order."""

    workload: ObjectKey
    cells: tuple[Cell, ...]

    @property
    def worst(self) -> Impact:
        return max(
            (cell.impact for cell in self.cells), key=SEVERITY.index, default=Impact.UNTOUCHED
        )


class Refused(Struct, frozen=True, order=True):
    """A workload that ``cluster`` would refuse, or (``certain`` False) that it cannot judge yet."""

    workload: ObjectKey
    cluster: str
    message: str
    certain: bool = True


class FailoverTargets(Struct, frozen=True):
    """What clusters say to what they would take over; ``unanswered``: cluster -> why it says
    nothing; ``server_warnings``: cluster -> what its API server warned of."""

    refused: tuple[Refused, ...] = ()
    unanswered: Mapping[str, str] = {}
    tried: int = 0
    server_warnings: Mapping[str, ServerWarnings] = {}


class Survivability(Struct, frozen=True):
    """The matrix. Rows are sorted by workload, outages from narrow to wide. ``live`` None: nobody
    was asked."""

    federation: str
    outages: tuple[Outage, ...]
    rows: tuple[Row, ...]
    notices: tuple[Notice, ...] = ()
    live: FailoverTargets | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """The notices in words."""
        return tuple(map(str, self.notices))

    def count(self, impact: Impact) -> int:
        """How many workloads have this as their worst."""
        return sum(row.worst is impact for row in self.rows)


def assess_survivability(state: DesiredState, outages: Sequence[str] = ()) -> Survivability:
    """The matrix of ``outages`` (``region=...``), or of every cluster, zone, region and provider.

    Raises UsageError for an outage that hits no cluster.
    """
    found = _given(state, outages) if outages else _every(state)
    usual = schedule(state)
    workloads = {workload.key: workload for workload in state.workloads}
    shown = [
        a
        for a in usual
        if _matters(workloads[a.workload]) and any(_counts(a, workloads[a.workload]).values())
    ]
    limits = _limits(state)
    divided = {a.workload: bool(a.bounds) for a in usual}
    needed = needs_in(state)
    columns = []
    remarked = []
    for outage in found:
        view, remark = _view(state, outage)
        after = {a.workload: a for a in schedule(state, view)}
        remarked.append(replace(outage, remark=remark))
        columns.append(
            {
                a.workload: _cell(
                    a,
                    _able(a, after, needed.get(a.workload, ())),
                    workloads[a.workload],
                    outage.clusters,
                    _limit_by_cluster(limits.get(scaled_as(a.workload)), after),
                )
                for a in shown
            }
        )
    notices = []
    if not state.federation.failover.enabled:
        notices.append(notice(NoticeCause.FAILOVER_DISABLED))
    notices += [
        notice(
            NoticeCause.REPLICAS_BY_LOAD,
            subject=a.workload,
            limit=limit.whole,
            where="over all clusters" if divided[limit.scaler] else "in each cluster",
        )
        for a in shown
        if (limit := limits.get(scaled_as(a.workload)))
    ]
    notices += unmet_needs(state, usual)
    return Survivability(
        state.federation.name,
        tuple(remarked),
        tuple(Row(a.workload, tuple(column[a.workload] for column in columns)) for a in shown),
        tuple(notices),
    )


def worse_than(before: Survivability, after: Survivability) -> Survivability:
    """Only the rows of ``after`` in which some outage hits harder than it did ``before``.

    A workload that is new counts as untouched before, so that one that cannot survive is reported.
    """
    known: dict[tuple[ObjectKey, str], Impact] = {
        (row.workload, name): cell.impact
        for row in before.rows
        for outage, cell in zip(before.outages, row.cells, strict=True)
        for name in outage.names
    }
    worse = [
        row
        for row in after.rows
        if any(
            SEVERITY.index(cell.impact)
            > max(
                SEVERITY.index(known.get((row.workload, n), Impact.SURVIVES)) for n in outage.names
            )
            for outage, cell in zip(after.outages, row.cells, strict=True)
        )
    ]
    return replace(after, rows=tuple(worse))


def _every(state: DesiredState) -> list[Outage]:
    """Every single cluster, zone, region and provider; those that hit the same clusters once."""
    names: dict[frozenset[str], list[str]] = defaultdict(list)
    for what in _WIDER:
        groups: dict[str, set[str]] = defaultdict(set)
        for cluster in state.clusters:
            value = cluster.name if what == "cluster" else str(getattr(cluster, what))
            if value:
                groups[value].add(cluster.name)
        for value in sorted(groups):
            names[frozenset(groups[value])].append(f"{what}={value}")
    return sorted(
        (Outage(tuple(found), tuple(sorted(hit))) for hit, found in names.items()),
        key=lambda outage: (len(outage.clusters), outage.clusters),
    )


def _given(state: DesiredState, outages: Iterable[str]) -> list[Outage]:
    return [Outage((one,), tuple(sorted(simulated_outages(state, [one])))) for one in outages]


def _view(state: DesiredState, outage: Outage) -> tuple[FleetView, str]:
    """The fleet long after the outage began, and what the rules have to say to it."""
    simulated = dict.fromkeys(outage.clusters, outage.title)
    probes = [
        Probe(c.name, Signal.UNHEALTHY if c.name in simulated else Signal.HEALTHY)
        for c in state.clusters
    ]
    known = assess(state, FleetMemory(), probes, simulated, _MUCH_LATER)
    view = FleetView(
        unavailable={name: str(why) for name, why in known.unavailable.items()},
        staying=known.staying,
    )
    if not state.federation.failover.enabled:
        return view, ""
    return view, str(known.notices[0]) if known.notices else ""


def _matters(workload: Workload) -> bool:
    """Kinds that run something, and whatever else has its replicas divided."""
    return workload.key.kind in RUN_PODS or workload.rules.replicas.mode != "Duplicated"


def _counts(assignment: Assignment, workload: Workload) -> dict[str, int]:
    """Replicas by cluster; one of everything that has no count, such as a CronJob."""
    own = own_count(workload) if workload.key.kind in REPLICATED else 1
    return {name: own if n is None else n for name, n in assignment.replicas.items()}


class _Limit(NamedTuple):
    """How many replicas an autoscaler of Git's allows what it scales, in each cluster where its
    bounds are not divided."""

    scaler: ObjectKey
    whole: int


def _limits(state: DesiredState) -> dict[ScaleTarget, _Limit]:
    found = {}
    for workload in state.workloads:
        if target := workload.manifest.scale_target:
            spec = map_of(workload.template.get("spec"))
            limit = spec.get("maxReplicas", spec.get("maxReplicaCount", KEDA_DEFAULT))
            limit = limit if isinstance(limit, int) else KEDA_DEFAULT
            found[target] = _Limit(workload.key, limit)
    return found


def _limit_by_cluster(
    limit: _Limit | None, after: Mapping[ObjectKey, Assignment]
) -> Callable[[str], int] | None:
    if limit is None:
        return None
    divided = after[limit.scaler].bounds
    return lambda name: divided[name][1] if name in divided else limit.whole


def _cell(
    usual: Assignment,
    after: Assignment,
    workload: Workload,
    clusters: Sequence[str],
    limit: Callable[[str], int] | None,
) -> Cell:
    """``limit``: how many an autoscaler, which makes up for what is lost, allows in a cluster."""
    before = _counts(usual, workload)
    lost = sum(before.get(name, 0) for name in clusters)
    left = {name: n for name, n in _counts(after, workload).items() if name not in clusters and n}
    total = sum(before.values())
    placed = sum(left.values()) if limit is None else min(total, sum(map(limit, left)))
    return Cell(_impact(total, lost, placed), total, lost, placed)


def _able(
    usual: Assignment, after: Mapping[ObjectKey, Assignment], needed: Collection[ObjectKey]
) -> Assignment:
    """What is placed after an outage, without stand-ins in clusters to which something that its
    Pods need does not go. Where it usually runs, it has what it needs."""
    assignment = after[usual.workload]
    able = {
        name: count
        for name, count in assignment.replicas.items()
        if usual.replicas.get(name, 0) != 0 or all(name in after[key].replicas for key in needed)
    }
    return replace(assignment, replicas=able)


def _impact(before: int, lost: int, after: int) -> Impact:
    if after == 0:
        return Impact.DOWN
    if after < before:
        return Impact.DEGRADED
    return Impact.SURVIVES if lost else Impact.UNTOUCHED


def impacts(matrix: Survivability) -> Mapping[Impact, int]:
    """Workloads by their worst impact, all impacts named."""
    return {impact: matrix.count(impact) for impact in Impact}
