"""Rules, memory, probes and clock -> what the scheduler and the members' plans respect. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.api.errors import UsageError
from reconciler.api.moves import Stay, StayReason
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import ObjectKey
from reconciler.failover.cluster_health import (
    Absence,
    ClusterHealth,
    HealthDecision,
    Transition,
    decide_cluster_health,
)
from reconciler.failover.health_votes import SeatVotes, count_votes
from reconciler.failover.probe import Probe, Signal, text_diagnosis
from reconciler.federation.model import Cluster, DesiredState, FailoverRules, Taint, Workload
from reconciler.render.run_once import template_digest
from reconciler.scheduler.filter_score import tolerated
from reconciler.state.memory import ClusterMemory, FleetMemory, Phase

DOWN_TAINT = Taint("federation.reconciler.dev/down", effect="NoExecute")
"""As if every cluster that counts as down had it: a toleration keeps a workload there, or for so
many seconds, as with Kubernetes' own node.kubernetes.io/unreachable."""


class Availability(Struct, frozen=True):
    """What this run may use.

    health       each cluster, for reports; empty where failover is not enabled
    unavailable  cluster -> why its replicas run in other clusters
    left_alone   cluster -> why it is neither looked at nor written to
    lost         clusters whose replicas are gone as of this run: declared down now, or simulated
    staying      workload -> unavailable cluster that it does not leave -> why
    returning    clusters that take over their share again
    new          clusters that were seen well for the first time, or since the memory was lost
    assumed      clusters that may be taken to run their share when they cannot be looked at
    silent       clusters that looked unhealthy to this run, whatever they count as
    """

    memory: FleetMemory
    health: tuple[ClusterHealth, ...] = ()
    unavailable: Mapping[str, Absence] = field(default_factory=dict)
    left_alone: Mapping[str, Absence] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()
    staying: Mapping[ObjectKey, Mapping[str, Stay]] = field(default_factory=dict)
    returning: frozenset[str] = frozenset()
    new: frozenset[str] = frozenset()
    assumed: frozenset[str] = frozenset()
    seen_unhealthy: frozenset[str] = frozenset()
    tainted: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    transitions: tuple[Transition, ...] = ()
    notices: tuple[Notice, ...] = ()


def assess(
    state: DesiredState,
    memory: FleetMemory,
    probes: Sequence[Probe],
    simulated: Mapping[str, str],
    now: float,
    seat_votes: SeatVotes | None = None,
) -> Availability:
    """``probes`` say nothing where failover is not enabled. ``simulated``: cluster -> the outage
    to simulate. ``seat_votes``: how the seats see the clusters; None: there are no seats.

    A simulated outage is one that has lasted long enough, and is judged by the same rules: what
    they do not allow does not move. Seats do not see it, and are not asked.
    """
    rules = state.federation.failover
    first_seen, ages = _taints(state.clusters, memory, now)
    memory = replace(memory, taints=first_seen)
    if not rules.enabled:
        return _without_failover(state, memory, simulated, ages)
    before = dict(memory.clusters) | {
        name: _long_unhealthy(rules, memory.clusters.get(name, ClusterMemory()), now)
        for name in simulated
    }
    counted_probes = [
        Probe(p.cluster, Signal.UNHEALTHY, text_diagnosis(simulated[p.cluster]), answers=False)
        if p.cluster in simulated
        else p
        for p in probes
    ]
    asked = [p for p in probes if p.cluster not in simulated]
    seen = count_votes(asked, seat_votes, rules, now) if seat_votes else None
    decision = decide_cluster_health(rules, before, counted_probes, now, seen)
    down = decision.down
    unavailable = {n: Absence(one.reason, down=n not in simulated) for n, one in down.items()}
    unreachable = {p.cluster: Absence(p.reason) for p in counted_probes if not p.answers}
    since = {n: 0.0 if n in simulated else one.since for n, one in down.items()}
    return Availability(
        memory=replace(memory, clusters=decision.memory),
        health=decision.health,
        unavailable=unavailable,
        left_alone=unreachable | unavailable,
        lost=frozenset(
            {t.cluster for t in decision.transitions if t.after is Phase.DOWN} | simulated.keys()
        ),
        staying=_staying(state, memory, since, now),
        returning=frozenset(
            n for n, one in decision.memory.items() if one.phase is Phase.RETURNING
        ),
        new=frozenset(
            n
            for n, one in decision.memory.items()
            if one.known and not memory.clusters.get(n, ClusterMemory()).known
        ),
        assumed=frozenset(
            n for n, one in decision.memory.items() if one.known and n not in unavailable
        )
        - simulated.keys(),
        seen_unhealthy=frozenset(p.cluster for p in counted_probes if p.signal is Signal.UNHEALTHY),
        tainted=ages,
        transitions=decision.transitions,
        notices=tuple(_notices(decision, simulated)),
    )


def failover_rules_of(workload: Workload, state: DesiredState) -> FailoverRules:
    """The failover rules of one workload: its Placement's, else the Federation's."""
    return workload.rules.failover or state.federation.failover


def moves_away(rules: FailoverRules) -> bool:
    """Whether replicas move to other clusters when a cluster is down."""
    return rules.enabled and rules.action == "Reschedule"


def _without_failover(
    state: DesiredState,
    memory: FleetMemory,
    simulated: Mapping[str, str],
    ages: Mapping[str, Mapping[str, float]],
) -> Availability:
    notices = (notice(NoticeCause.FAILOVER_DISABLED),) if simulated else ()
    return Availability(
        memory=memory,
        left_alone={name: Absence(outage) for name, outage in simulated.items()},
        lost=frozenset(simulated),
        assumed=frozenset(c.name for c in state.clusters) - simulated.keys(),
        tainted=ages,
        notices=notices,
    )


def _long_unhealthy(rules: FailoverRules, one: ClusterMemory, now: float) -> ClusterMemory:
    if one.phase is Phase.DOWN:
        return one
    return replace(one, streak=rules.unhealthy_after, seen=now)


def _staying(
    state: DesiredState, memory: FleetMemory, since: Mapping[str, float], now: float
) -> dict[ObjectKey, dict[str, Stay]]:
    """Workloads that stay in clusters that are down, by their rules or as long as tolerated: why.

    ``since``: cluster -> when it was declared down.
    """
    found = {}
    # A clock that went back since does not bring anything back.
    ages = {name: max(0.0, now - began) for name, began in since.items()}
    for workload in state.workloads if since else ():
        stays = {n: why for n, age in ages.items() if (why := _stays(workload, state, age))}
        stays |= {
            name: Stay(StayReason.HAS_RUN)
            for name in ages
            if has_run(workload, memory.ran.get(name, {}))
        }
        if stays:
            found[workload.key] = stays
    return found


def has_run(workload: Workload, ran: Mapping[str, str]) -> bool:
    """Whether it is a Job or the like of which a cluster's ``ran`` says that it is done."""
    known = ran.get(str(workload.key))
    return known is not None and known == template_digest(workload)


def _stays(workload: Workload, state: DesiredState, age: float) -> Stay | None:
    """Why a workload does not leave a cluster that is down for ``age`` seconds; or nothing."""
    rules = failover_rules_of(workload, state)
    if not rules.enabled:
        return Stay(StayReason.NOT_ENABLED)
    if not moves_away(rules):
        return Stay(StayReason.ACTION, rules.action)
    tolerations = workload.rules.target.tolerations if workload.rules.target else ()
    named = [t for t in tolerations if t.key == DOWN_TAINT.key and tolerated(DOWN_TAINT, [t], age)]
    if any(t.toleration_seconds is None for t in named):
        return Stay(StayReason.TOLERATED, DOWN_TAINT.key)
    ends = [rules.unhealthy_after - state.federation.failover.unhealthy_after]
    ends += [float(t.toleration_seconds or 0) for t in named]
    left = max(ends) - age
    return Stay(StayReason.FOR_A_WHILE, seconds=max(1, round(left))) if left > 0 else None


def _taints(
    clusters: Sequence[Cluster], memory: FleetMemory, now: float
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """When each NoExecute taint was first seen, and for how many seconds it has been there."""
    first: dict[str, dict[str, float]] = {}
    for cluster in clusters:
        known = memory.taints.get(cluster.name, {})
        taints = [str(t) for t in cluster.taints if t.effect == "NoExecute"]
        if taints:
            first[cluster.name] = {t: min(known.get(t, now), now) for t in taints}
    ages = {
        name: {taint: now - began for taint, began in taints.items()}
        for name, taints in first.items()
    }
    return first, ages


def _notices(decision: HealthDecision, simulated: Collection[str]) -> list[Notice]:
    found = []
    if hold := decision.hold:
        found.append(notice(NoticeCause.FAILOVER_HELD, subject=hold.reason, reason=hold))
    for transition in decision.transitions:
        if transition.cluster in simulated:
            continue
        if transition.after is Phase.DOWN:
            cause, why = NoticeCause.DECLARED_DOWN, transition.reason
            found.append(notice(cause, transition.cluster, reason=why))
        elif transition.after is Phase.RETURNING:
            found.append(notice(NoticeCause.RETURNED, transition.cluster))
    return found


def simulated_outages(state: DesiredState, outages: Sequence[str]) -> dict[str, str]:
    """``region=eu-central-1`` and the like -> the clusters that would be down, with the reason."""
    down: dict[str, str] = {}
    for outage in outages:
        what, _, value = outage.partition("=")
        attribute = "name" if what == "cluster" else what
        hit = [c.name for c in state.clusters if getattr(c, attribute, None) == value]
        if not hit:
            known = sorted({str(getattr(c, attribute, "")) for c in state.clusters} - {""})
            raise UsageError(
                f"--simulate-outage {outage}: no cluster has that {what}",
                hint=f"there are: {', '.join(known)}",
            )
        down |= dict.fromkeys(hit, f"simulated outage of {outage}")
    return down
