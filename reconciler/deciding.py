"""What runs where, and whom to leave alone: probes, memory and what runs now -> FleetDecision.

Made once for a run; of pods that share one, the first makes it for all (``sharding``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.cluster.member import Member
from reconciler.cluster.probing import probe_all
from reconciler.cluster.resources import VersionedKind
from reconciler.dns.step import asks_for_records
from reconciler.federation.model import Cluster, DesiredState
from reconciler.health.decision import ClusterHealth
from reconciler.health.memory import FleetMemory, Phase
from reconciler.health.probe import Probe, Signal
from reconciler.inventory.belonging import changed_servers
from reconciler.objects import Object, ObjectKey
from reconciler.options import Progress
from reconciler.planning.availability import assess
from reconciler.planning.looking import (
    Seen,
    kinds_in,
    live_workloads,
    look_at_all,
    shared_workloads,
    spread_workloads,
)
from reconciler.planning.placing import place
from reconciler.rendering import Rendering
from reconciler.scheduling import Assignment
from reconciler.sharding.decision import FleetDecision
from reconciler.source.owner import Claimant

Connect = Callable[[Cluster], Member]


class Fleet(Struct, frozen=True):
    """What a run begins with.

    usual   the assignments if everything were well, and what they come to
    mine    the clusters that this run plans; others are looked at where that matters
    claimant  whose inventories are this run's
    """

    state: DesiredState
    usual: tuple[Assignment, ...]
    rendering: Rendering
    mine: frozenset[str]
    claimant: Claimant
    commit: str = ""


class Decided(Struct, frozen=True):
    """A decision, and what this process saw and knows besides.

    unavailable  cluster -> why its DNS records are withdrawn
    memory       what to remember; None where another pod does that
    """

    decision: FleetDecision
    seen: Sequence[Seen]
    live: Mapping[ObjectKey, Mapping[str, Object]]
    unavailable: Mapping[str, str] = field(default_factory=dict)
    health: tuple[ClusterHealth, ...] = ()
    memory: FleetMemory | None = None
    warnings: tuple[str, ...] = ()

    @property
    def returning(self) -> frozenset[str]:
        """The clusters that take over their share again, and have not taken over all of it."""
        known = self.memory.clusters if self.memory else {}
        return frozenset(n for n, one in known.items() if one.phase is Phase.RETURNING)

    @property
    def answered(self) -> frozenset[str]:
        """The clusters that could be looked at."""
        return frozenset(one.cluster.name for one in self.seen if one.observation is not None)


def decide(
    fleet: Fleet,
    memory: FleetMemory,
    outages: Mapping[str, str],
    connect: Connect,
    now: float,
    progress: Progress,
) -> Decided:
    """Ask the clusters how they are and what they run, and share everything out. Writes nothing.

    ``outages``: cluster -> the outage to imagine. ``now`` is Unix time in seconds.
    """
    state = fleet.state
    availability = assess(state, memory, _probe(connect, state, outages, progress), outages, now)
    # Replicas are shared out over all clusters, what is spread stands in for others, and names
    # answer for all of them.
    everywhere = bool(shared_workloads(state) or spread_workloads(state)) or asks_for_records(state)
    looked_at = [c for c in state.clusters if everywhere or c.name in fleet.mine]
    others = {c.name for c in looked_at} - fleet.mine
    seen, live = _look(
        fleet,
        looked_at,
        availability.left_alone,
        # Whether a returning cluster is well is told by all that it runs.
        others - availability.returning,
        connect,
        progress,
    )
    # Of a cluster whose workloads could not be listed nobody knows what it runs.
    moving = {
        VersionedKind.of(w.template) for w in (*shared_workloads(state), *spread_workloads(state))
    }
    answered = {one.cluster.name for one in seen if one.answers_for(moving)}
    placing = place(state, availability, fleet.usual, live, answered, now)
    servers, changed = changed_servers(
        memory.servers, {o.cluster.name: o.observation.inventory for o in seen if o.observation}
    )
    decision = FleetDecision(
        fleet.commit,
        placing.assignments,
        availability.left_alone,
        availability.lost,
        placing.moves,
    )
    return Decided(
        decision,
        seen,
        live,
        unavailable=availability.unavailable,
        health=availability.health,
        memory=replace(placing.memory, servers=servers),
        warnings=(
            *availability.warnings,
            *changed,
            *placing.warnings,
            *(text for a in placing.assignments for text in _remarks(a)),
        ),
    )


def follow(fleet: Fleet, decision: FleetDecision, connect: Connect, progress: Progress) -> Decided:
    """What another pod decided, with a look at the clusters that are this one's."""
    looked_at = [c for c in fleet.state.clusters if c.name in fleet.mine]
    seen, live = _look(fleet, looked_at, decision.left_alone, (), connect, progress)
    return Decided(decision, seen, live)


def _look(
    fleet: Fleet,
    clusters: Sequence[Cluster],
    left_alone: Mapping[str, str],
    partly: Collection[str],
    connect: Connect,
    progress: Progress,
) -> tuple[list[Seen], Mapping[ObjectKey, Mapping[str, Object]]]:
    progress.phase("observe", len(clusters))
    seen = look_at_all(
        connect,
        clusters,
        fleet.state,
        kinds_in(fleet.rendering),
        left_alone,
        partly,
        fleet.claimant,
        lambda: progress.advance("observe"),
    )
    return seen, live_workloads(fleet.state, fleet.usual, seen)


def _probe(
    connect: Connect,
    state: DesiredState,
    simulated: Mapping[str, str],
    progress: Progress,
) -> tuple[Probe, ...]:
    """One probe per cluster where failover is enabled; simulated outages are not asked."""
    rules = state.federation.failover
    if not rules.enabled:
        return ()
    asked = [cluster for cluster in state.clusters if cluster.name not in simulated]
    progress.phase("probe", len(asked))
    found = probe_all(connect, asked, rules, done=lambda: progress.advance("probe"))
    return (*found, *(Probe(name, Signal.UNHEALTHY, why) for name, why in simulated.items()))


def _remarks(assignment: Assignment) -> list[str]:
    remarks = list(assignment.warnings)
    if assignment.shortfall:
        remarks.append(f"{assignment.workload}: {assignment.shortfall} replicas fit nowhere")
    return remarks
