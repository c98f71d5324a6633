"""What runs where, and whom to leave alone: probes, memory and what runs now -> FleetDecision.

Made once for a run; of pods that share one, the first makes it for all (``shard``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.durations import duration_words
from reconciler.api.errors import ClusterError, with_hint
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import ObjectKey, RedactedRepr, map_of
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import GroupVersionKind
from reconciler.cluster.responses import reading_answers
from reconciler.dns.pipeline_step import asks_for_records
from reconciler.failover.availability import Availability, assess
from reconciler.failover.clock import clock_offsets, clock_step, shifted_by, with_clock_offsets
from reconciler.failover.cluster_health import Absence, ClusterHealth
from reconciler.failover.health_votes import HealthVotes, SeatVotes, health_votes_of
from reconciler.failover.probe import Probe, Signal, probe_all, text_diagnosis
from reconciler.federation.model import Cluster, DesiredState, Workload
from reconciler.git.owner import Claimant
from reconciler.inventory.applyset import IDENTITY, identity_of
from reconciler.inventory.ownership import (
    Servers,
    changed_servers,
    clusters_that_left,
    identified,
    servers_now,
    uid_of_kube_system,
)
from reconciler.plan.live_state import (
    Live,
    MemberState,
    kinds_of,
    live_bounds,
    live_workloads,
    observe_all,
    shared_workloads,
    spread_workloads,
)
from reconciler.plan.placement import place_workloads
from reconciler.render import run_once
from reconciler.render.render import Rendering
from reconciler.run.progress import Progress
from reconciler.scheduler.capacity import needs_room
from reconciler.scheduler.keep_until_ready import is_current, keep_until_ready, serves_at_once
from reconciler.scheduler.model import Assignment
from reconciler.scheduler.placement_warnings import placement_warnings, separations
from reconciler.shard.decision import FleetDecision
from reconciler.state.memory import FleetMemory, Phase

if TYPE_CHECKING:
    from reconciler.scheduler.room import ClusterRoom

Connect = Callable[[Cluster], Member]


class RunInputs(Struct, frozen=True):
    """What a run begins with.

    usual   the assignments if everything were well, and what they come to
    in_scope  the clusters that this run plans; others are looked at where that matters
    claimant  whose inventories are this run's
    servers  which API server each cluster was
    """

    state: DesiredState
    usual: tuple[Assignment, ...]
    rendering: Rendering
    in_scope: frozenset[str]
    claimant: Claimant
    commit: str = ""
    servers: Servers = Servers()


class FleetAssessment(RedactedRepr, frozen=True):
    """A decision, and what this process saw and knows besides.

    memory       what to remember; None where another pod does that
    servers      which API server each cluster is, to be remembered whichever pod this is
    votes        how this run saw the clusters, to be written at its seat; None where another
                 pod probed them
    """

    decision: FleetDecision
    seen: Sequence[MemberState]
    live: Live
    health: tuple[ClusterHealth, ...] = ()
    memory: FleetMemory | None = None
    servers: Mapping[str, str] = {}
    notices: tuple[Notice, ...] = ()
    votes: HealthVotes | None = None

    @property
    def answered(self) -> frozenset[str]:
        """The clusters that could be looked at."""
        return frozenset(one.cluster.name for one in self.seen if one.observation is not None)


class LookedAt(RedactedRepr, frozen=True):
    """How the fleet is, before anything is decided.

    probes      of every cluster that was asked; ``measured`` are the same before doubts
    step        by how many seconds this machine's clock was set since the last run
    taken       cluster -> the API server that it is taken for from now on
    """

    probes: tuple[Probe, ...]
    measured: tuple[Probe, ...]
    step: int
    taken: Mapping[str, str]
    availability: Availability
    seen: Sequence[MemberState]


def look_at_fleet(
    fleet: RunInputs,
    memory: FleetMemory,
    outages: Mapping[str, str],
    connect: Connect,
    now: float,
    progress: Progress,
    seat_votes: SeatVotes | None = None,
    wholly: Collection[str] = (),
    asked: tuple[Probe, ...] | None = None,
) -> LookedAt:
    """Ask the clusters how they are and what they run. Writes nothing.

    ``outages``: cluster -> the outage to simulate. ``now`` is Unix time in seconds.
    ``seat_votes``: how the clusters look from the seats, None where the federation has none.
    ``wholly``: clusters that are looked at as those that this run plans. ``asked``: the probes,
    where they were just made.
    """
    state = fleet.state
    measured = probes = asked or probes_of(connect, state, outages, progress)
    step = clock_step(memory, clock_offsets(measured)) if memory.clock_offsets else 0
    memory = shifted_by(memory, step)
    probes, taken = _identified(fleet, memory, probes, connect)
    availability = assess(state, memory, probes, outages, now, seat_votes)
    # Replicas are shared out over all clusters, what is spread stands in for others, names answer
    # for all of them, and so do the waves of a rollout.
    everywhere = (
        bool(shared_workloads(state) or spread_workloads(state))
        or asks_for_records(state)
        or state.federation.rollout is not None
    )
    looked_at = [c for c in state.clusters if everywhere or c.name in fleet.in_scope]
    others = {c.name for c in looked_at} - fleet.in_scope
    seen = _look(
        fleet,
        looked_at,
        availability.left_alone,
        # Whether a returning cluster is well is told by all that it runs.
        others - availability.returning - set(wholly),
        connect,
        progress,
    )
    if mistaken := {one.cluster.name: one.absence.reason for one in seen if one.mistaken}:
        # How another cluster is says nothing of this one, which may be down or not.
        probes = tuple(_unknown(p, mistaken.get(p.cluster, "")) for p in probes)
        availability = assess(state, memory, probes, outages, now, seat_votes)
    return LookedAt(probes, measured, step, taken, availability, seen)


def just_asked(kept: Any, state: DesiredState) -> tuple[Probe, ...] | None:
    """How these very clusters were a moment ago, where a process that stays (``kept``, else None)
    has asked them."""
    if kept is None:
        return None
    (found, until), kept.probed = kept.probed, (None, 0.0)
    names = {cluster.name for cluster in state.clusters}
    fresh = found and time.monotonic() < until and {one.cluster for one in found} == names
    return found if fresh else None


def decide_fleet(
    fleet: RunInputs,
    memory: FleetMemory,
    outages: Mapping[str, str],
    connect: Connect,
    now: float,
    looked: LookedAt,
) -> FleetAssessment:
    """Share everything out, by how the fleet looked. Of the members, only those are asked that may
    have what is not ours."""
    state, availability, seen = fleet.state, looked.availability, looked.seen
    live, foreign_objects = live_workloads(state, fleet.usual, seen)
    # Of a cluster whose workloads could not be listed nobody knows what it runs.
    moving = {
        GroupVersionKind.of_manifest(w.manifest)
        for w in (*shared_workloads(state), *spread_workloads(state))
    }
    answered = {one.cluster.name for one in seen if one.answers_for(moving)}
    rooms: Mapping[str, ClusterRoom | None] = {}
    unseen: Collection[str] = ()
    unknown_rooms: Sequence[Notice] = ()
    if any(map(needs_room, state.workloads)):
        from reconciler.plan.node_room import rooms_of

        silent = {c.name for c in state.clusters} - answered - availability.unavailable.keys()
        rooms, unseen, unknown_rooms = rooms_of(state, seen, silent, fleet.servers.uids)
    placing = place_workloads(
        state,
        availability,
        fleet.usual,
        live,
        answered,
        now,
        foreign_objects,
        rooms,
        unseen,
        live_bounds(state, seen),
    )
    servers, moved = _servers(fleet, seen)
    servers |= looked.taken
    known = {cluster.name for cluster in state.clusters}
    left = clusters_that_left(
        memory.servers,
        known,
        state.federation.name,
        state.federation.namespace,
        [one.name for one in memory.inventory.profiles] if memory.inventory else (),
    )
    servers = {name: uid for name, uid in servers.items() if name in known}
    decision = FleetDecision(
        fleet.commit,
        placing.assignments,
        availability.left_alone,
        availability.lost,
        placing.moves,
        placing.unconfirmed | availability.seen_unhealthy,
        availability.tainted,
        {name: why.reason for name, why in availability.unavailable.items()},
    )
    return FleetAssessment(
        _with_what_stays(fleet, decision, seen, connect),
        seen,
        live,
        health=tuple(
            replace(one, outlook=f"waits for {placing.waits[one.cluster].waits_for}")
            if one.cluster in placing.waits
            else one
            for one in availability.health
        ),
        memory=with_clock_offsets(
            replace(_with_ran(placing.memory, fleet, seen), servers=servers),
            lambda: clock_offsets(looked.measured),
        ),
        servers=servers,
        notices=(
            *_clock_was_set(looked.step),
            *availability.notices,
            *moved,
            *left,
            *placing.notices,
            *unknown_rooms,
            *placement_warnings(state, placing.assignments),
            *separations(state, fleet.usual),
        ),
        votes=health_votes_of(looked.probes, now, outages),
    )


def probe_clusters(
    connect: Connect, state: DesiredState, now: float, progress: Progress
) -> HealthVotes:
    """The votes of a run that decides nothing, as it waits for its turn."""
    return health_votes_of(probes_of(connect, state, {}, progress), now)


def _clock_was_set(step: int) -> list[Notice]:
    if not step:
        return []
    where = f"{duration_words(abs(step))} {'forward' if step > 0 else 'back'}"
    return [notice(NoticeCause.CLOCK_SET, step=where)]


def _with_ran(memory: FleetMemory, fleet: RunInputs, seen: Sequence[MemberState]) -> FleetMemory:
    """What each cluster has done of the Jobs that others could stand in for: it is not done again
    elsewhere when that cluster is down."""
    jobs = [w for w in spread_workloads(fleet.state) if run_once.runs_once(w.template)]
    if not fleet.state.federation.failover.enabled or not (jobs or memory.ran):
        return memory
    known = {cluster.name for cluster in fleet.state.clusters}
    ran = {name: found for name, found in memory.ran.items() if name in known and jobs}
    for one in seen:
        if one.observation is not None:
            name = one.cluster.name
            ran[name] = dict(
                run_once.finished_in(one.observation, fleet.rendering.objects[name], jobs)
            )
    return replace(memory, ran={name: found for name, found in ran.items() if found})


def follow_decision(
    fleet: RunInputs, decision: FleetDecision, connect: Connect, progress: Progress, *, names: bool
) -> FleetAssessment:
    """What another pod decided, with a look at the clusters that are this one's.

    ``names``: this pod writes the DNS records, which all clusters answer to.
    """
    everywhere = names and asks_for_records(fleet.state)
    looked_at = [c for c in fleet.state.clusters if everywhere or c.name in fleet.in_scope]
    others = {c.name for c in looked_at} - fleet.in_scope
    seen = _look(fleet, looked_at, decision.left_alone, others, connect, progress)
    live, _ = live_workloads(fleet.state, fleet.usual, seen)
    servers, moved = _servers(fleet, seen)
    decision = _with_what_stays(fleet, decision, seen, connect)
    return FleetAssessment(decision, seen, live, servers=servers, notices=tuple(moved))


def _with_what_stays(
    fleet: RunInputs, decision: FleetDecision, seen: Sequence[MemberState], connect: Connect
) -> FleetDecision:
    """The decision with what stays in this run's clusters until it is ready elsewhere."""
    in_scope = {one.cluster.name: one for one in seen if one.cluster.name in fleet.in_scope}
    observations = {
        n: one.observation for n, one in in_scope.items() if one.observation is not None
    }
    clusters = {cluster.name: cluster for cluster in fleet.state.clusters}
    sure = identified(connect, fleet.claimant, fleet.servers)

    def not_ready(workload: Workload, key: ObjectKey, name: str, due: int) -> str:
        if name in decision.unconfirmed:
            why = "the cluster looks unhealthy"
        elif name in observations:
            _, live = observations[name].members.get(key, (None, None))
            if live is None and serves_at_once(workload.template):
                # This run puts it there, and prunes only then.
                return ""
            why = is_current(live, due)
        elif name in in_scope or name in decision.left_alone:
            why = str(decision.left_alone.get(name) or in_scope[name].absence)
        else:
            why = _state_elsewhere(sure, clusters[name], workload, key, due)
        return why

    here = {name: observation.members for name, observation in observations.items()}
    assignments, kept = keep_until_ready(
        fleet.state, decision.assignments, here, not_ready, decision.tainted
    )
    return replace(decision, assignments=assignments, moves=(*decision.moves, *kept))


def _state_elsewhere(
    connect: Connect, cluster: Cluster, workload: Workload, key: ObjectKey, due: int
) -> str:
    """Why an object is not ready in a cluster that this run does not plan; nothing: it is."""
    try:
        member = connect(cluster)
        with reading_answers(cluster.name):
            resource = member.discover().find(GroupVersionKind.of_manifest(workload.manifest))
            live = member.get(resource, key) if resource else None
    except ClusterError as error:
        return with_hint(error)
    marks = map_of(map_of((live or {}).get("metadata")).get("annotations"))
    if live is not None and marks.get(IDENTITY) != identity_of(key):
        return "what is there is not ours"
    return is_current(live, due)


def _look(
    fleet: RunInputs,
    clusters: Sequence[Cluster],
    left_alone: Mapping[str, Absence],
    partly: Collection[str],
    connect: Connect,
    progress: Progress,
) -> list[MemberState]:
    progress.phase("observe", len(clusters))
    return observe_all(
        connect,
        clusters,
        fleet.state,
        kinds_of(fleet.rendering),
        {**{n: Absence(why) for n, why in fleet.state.unrendered.items()}, **left_alone},
        partly,
        fleet.claimant,
        fleet.servers,
        lambda: progress.advance("observe"),
    )


def probes_of(
    connect: Connect,
    state: DesiredState,
    simulated: Mapping[str, str],
    progress: Progress,
) -> tuple[Probe, ...]:
    """One probe per cluster where failover is enabled, or an age is measured without it.

    Simulated outages are not asked.
    """
    rules = state.federation.failover
    if not rules.enabled:
        if not any(t.effect == "NoExecute" for cluster in state.clusters for t in cluster.taints):
            return ()
        # Of these only the clocks are of interest.
        rules = replace(rules, probe=replace(rules.probe, attempts=1))
    asked = [cluster for cluster in state.clusters if cluster.name not in simulated]
    progress.phase("probe", len(asked))
    found = probe_all(connect, asked, rules, done=lambda: progress.advance("probe"))
    return (
        *found,
        *(Probe(name, Signal.UNHEALTHY, text_diagnosis(why)) for name, why in simulated.items()),
    )


def _identified(
    fleet: RunInputs, memory: FleetMemory, probes: tuple[Probe, ...], connect: Connect
) -> tuple[tuple[Probe, ...], dict[str, str]]:
    """The probes without those of another API server that answers where a cluster is down: such
    does not make it return. And which ones are taken for it from now on. A request for each
    cluster that counts as down and answers; of the others, the inventory tells."""
    clusters = {cluster.name: cluster for cluster in fleet.state.clusters}
    found, taken = [], {}
    for probe in probes:
        name, uid = probe.cluster, ""
        one = memory.clusters.get(name)
        back = one is not None and one.phase is Phase.DOWN and probe.signal is Signal.HEALTHY
        if back and name in fleet.servers.uids:
            try:
                uid = uid_of_kube_system(connect(clusters[name]))
            except ClusterError as error:
                found.append(_unknown(probe, with_hint(error)))
                continue
            probe = _unknown(probe, changed_servers(name, uid, fleet.claimant, fleet.servers))
        if uid and probe.answers:
            taken[name] = uid
        found.append(probe)
    return tuple(found), taken


def _unknown(probe: Probe, why: str) -> Probe:
    return (
        Probe(probe.cluster, Signal.UNKNOWN, text_diagnosis(why), answers=False) if why else probe
    )


def _servers(fleet: RunInputs, seen: Sequence[MemberState]) -> tuple[dict[str, str], list[Notice]]:
    inventories = {o.cluster.name: o.observation.inventory for o in seen if o.observation}
    return servers_now(fleet.servers, inventories, fleet.claimant)
