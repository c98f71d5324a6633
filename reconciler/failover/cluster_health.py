"""Who counts as down: a pure function of rules, memory, probes and clock.

Time is measured by what runs saw, not by the clock alone: of the time between two runs at most
half the grace period counts. So at least three runs must see a cluster unhealthy before it counts
as down, and neither a clock that jumps nor a tool that slept for a day declares anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.durations import duration_words
from reconciler.failover.health_votes import VoteCount
from reconciler.failover.probe import Diagnosis, Probe, Signal, text_diagnosis
from reconciler.federation.model import FailoverRules
from reconciler.state.memory import ClusterMemory, Phase


class ClusterHealth(Struct, frozen=True):
    """One cluster as this run sees it, for people and for the scheduler.

    ``diagnosis`` is this run's, or the remembered one of a cluster that is down. ``outlook`` says
    what would change the phase. ``since`` is when the phase began (0: unknown). ``seen``: from
    which seats it is seen well and from which not, where they differ.
    """

    cluster: str
    phase: Phase
    signal: Signal
    diagnosis: Diagnosis = Diagnosis()
    since: float = 0.0
    outlook: str = ""
    ready_nodes: int | None = None
    nodes: int | None = None
    seen: str = ""

    @property
    def reason(self) -> str:
        """Its diagnosis in words."""
        return str(self.diagnosis)


class Absence(Struct, frozen=True):
    """Why a cluster is neither looked at nor written to; ``down``: it is declared so."""

    reason: str = ""
    down: bool = False

    def __str__(self) -> str:
        return f"down: {self.reason}" if self.down else self.reason


class Transition(Struct, frozen=True):
    """A cluster's phase changed in this run, as it is found to be now."""

    cluster: str
    before: Phase
    after: Phase
    diagnosis: Diagnosis = Diagnosis()

    @property
    def reason(self) -> str:
        """Its diagnosis in words."""
        return str(self.diagnosis)


class HoldReason(StrEnum):
    """Why clusters that are due are not declared down."""

    CUT_OFF = "CutOff"
    TOO_FEW_LEFT = "TooFewLeft"
    TOO_MANY_DOWN = "TooManyDown"


class Hold(Struct, frozen=True):
    """What keeps ``clusters`` from being declared down: a ``limit`` of the rules.

    ``count`` is what is measured by it: of CUT_OFF the clusters are, of ``fleet`` many, those that
    look unhealthy; of TOO_FEW_LEFT how many healthy ones would remain; of TOO_MANY_DOWN how many
    are down.
    """

    reason: HoldReason
    clusters: tuple[str, ...]
    count: int
    limit: int
    fleet: int

    def __str__(self) -> str:
        names = ", ".join(self.clusters)
        match self.reason:
            case HoldReason.CUT_OFF:
                return (
                    f"{self.count} of {self.fleet} clusters look unhealthy ({names}), and "
                    f"maxUnhealthy allows {self.limit}: this run may itself be cut off, so nothing "
                    "moves"
                )
            case HoldReason.TOO_FEW_LEFT:
                return (
                    f"only {self.count} healthy clusters would remain, and minAvailableClusters is "
                    f"{self.limit}: nothing moves"
                )
            case HoldReason.TOO_MANY_DOWN:
                return (
                    f"{names} cannot be declared down: {self.count} are, and maxUnhealthy says no"
                )


class HealthDecision(Struct, frozen=True):
    """``memory`` is what to remember; ``hold`` why not all that is due is declared down."""

    health: tuple[ClusterHealth, ...]
    memory: Mapping[str, ClusterMemory]
    transitions: tuple[Transition, ...] = ()
    hold: Hold | None = None

    @property
    def down(self) -> dict[str, ClusterMemory]:
        return {name: one for name, one in self.memory.items() if one.phase is Phase.DOWN}


def decide_cluster_health(
    rules: FailoverRules,
    memory: Mapping[str, ClusterMemory],
    probes: Sequence[Probe],
    now: float,
    seen: Mapping[str, VoteCount] | None = None,
) -> HealthDecision:
    """The phase of each probed cluster. Clusters that are not probed are forgotten.

    At most one phase change per cluster; never more than ``max_unhealthy`` clusters down.
    ``seen``: how the seats see the clusters, of which none is declared down but where most agree.
    Of the others this run decides alone.
    """
    seen = seen or {}
    probes = sorted(probes, key=lambda probe: probe.cluster)
    before = {p.cluster: memory.get(p.cluster, ClusterMemory()) for p in probes}
    hold = _cut_off(rules, probes, before)
    aged = {p.cluster: _aged(rules, before[p.cluster], p, now, hold is not None) for p in probes}
    after = {p.cluster: _returned(rules, aged[p.cluster], now) for p in probes}
    if hold is None:
        due = [
            p
            for p in probes
            if _is_due(rules, aged[p.cluster]) and seen.get(p.cluster, _ALONE).agreed
        ]
        declared, hold = _declarable(rules, due, probes, after)
        for probe in declared:
            after[probe.cluster] = _declared(after[probe.cluster], probe, now)
    for probe in probes:
        one = after[probe.cluster]
        if one.phase is Phase.UP and probe.signal is Signal.HEALTHY and not one.known:
            # Never seen well: others may stand in for it, and the memory of that be lost.
            late = probe.cluster in memory
            after[probe.cluster] = (
                replace(one, phase=Phase.RETURNING, since=now) if late else replace(one, known=True)
            )
    health = tuple(
        _health(rules, after[p.cluster], p, hold, seen.get(p.cluster, _ALONE)) for p in probes
    )
    transitions = tuple(
        Transition(one.cluster, before[one.cluster].phase, one.phase, one.diagnosis)
        for one in health
        if one.phase is not before[one.cluster].phase
    )
    return HealthDecision(health, after, transitions, hold)


_ALONE = VoteCount(unwell=("",))
"""No seats: what this run sees is all there is."""


def limit_of(rules: FailoverRules, clusters: int) -> int:
    """How many of so many clusters may be down at once; never all of them."""
    limit = rules.max_unhealthy * (clusters if rules.max_unhealthy_is_share else 1)
    # 34% of 50 is 17, whatever floating point makes of it.
    return min(int(limit + 1e-9), clusters - 1)


def settle(memory: ClusterMemory, now: float) -> ClusterMemory:
    """A returning cluster carries its share again."""
    return replace(memory, phase=Phase.UP, since=now, reason="", known=True)


def _cut_off(
    rules: FailoverRules, probes: Sequence[Probe], before: Mapping[str, ClusterMemory]
) -> Hold | None:
    """Whether it is more likely that this run is cut off than that so many clusters are down."""
    suspects = tuple(
        p.cluster
        for p in probes
        if p.signal is Signal.UNHEALTHY
        or (p.signal is Signal.UNKNOWN and before[p.cluster].phase is Phase.DOWN)
    )
    limit = limit_of(rules, len(probes))
    if len(suspects) <= limit:
        return None
    return Hold(HoldReason.CUT_OFF, suspects, len(suspects), limit, len(probes))


def _aged(
    rules: FailoverRules, one: ClusterMemory, probe: Probe, now: float, frozen: bool
) -> ClusterMemory:
    """The memory with the streak longer, begun or ended by what this run saw."""
    down = one.phase is Phase.DOWN
    against = Signal.HEALTHY if down else Signal.UNHEALTHY
    grace = rules.healthy_after if down else rules.unhealthy_after
    if probe.signal is not against or (frozen and not down):
        reason = one.reason if down or probe.signal is Signal.UNKNOWN else probe.reason
        return replace(one, streak=0.0, seen=0.0, reason=reason)
    gap = min(max(0.0, now - one.seen), grace / 2) if one.seen else 0.0
    return replace(
        one, streak=one.streak + gap, seen=now, reason=one.reason if down else probe.reason
    )


def _returned(rules: FailoverRules, one: ClusterMemory, now: float) -> ClusterMemory:
    if one.phase is not Phase.DOWN or not one.seen or one.streak < rules.healthy_after:
        return one
    if rules.failback == "Manual" and not one.released:
        return one
    return replace(
        one, phase=Phase.RETURNING, since=now, streak=0.0, seen=0.0, reason="", released=False
    )


def _is_due(rules: FailoverRules, one: ClusterMemory) -> bool:
    return one.phase is not Phase.DOWN and one.seen > 0 and one.streak >= rules.unhealthy_after


def _declarable(
    rules: FailoverRules,
    due: Sequence[Probe],
    probes: Sequence[Probe],
    after: Mapping[str, ClusterMemory],
) -> tuple[list[Probe], Hold | None]:
    """Those of ``due`` that may be declared down, the longest unhealthy first; why not all."""
    down = sum(one.phase is Phase.DOWN for one in after.values())
    limit = limit_of(rules, len(probes))
    usable = sum(
        p.signal is Signal.HEALTHY and after[p.cluster].phase is not Phase.DOWN for p in probes
    )
    least = max(1, rules.min_available_clusters)
    if due and usable < least:
        held = tuple(p.cluster for p in due)
        return [], Hold(HoldReason.TOO_FEW_LEFT, held, usable, least, len(probes))
    ranked = sorted(due, key=lambda p: (-after[p.cluster].streak, p.cluster))
    room = max(0, limit - down)
    kept, rest = ranked[:room], ranked[room:]
    if not rest:
        return kept, None
    held = tuple(sorted(p.cluster for p in rest))
    return kept, Hold(HoldReason.TOO_MANY_DOWN, held, down + len(kept), limit, len(probes))


def _declared(one: ClusterMemory, probe: Probe, now: float) -> ClusterMemory:
    return replace(
        one,
        phase=Phase.DOWN,
        since=now,
        streak=0.0,
        seen=0.0,
        reason=probe.reason,
        outages=one.outages + 1,
        released=False,
    )


def _health(
    rules: FailoverRules, one: ClusterMemory, probe: Probe, hold: Hold | None, seen: VoteCount
) -> ClusterHealth:
    nodes = probe.nodes
    return ClusterHealth(
        probe.cluster,
        one.phase,
        probe.signal,
        diagnosis=(
            text_diagnosis(one.reason)
            if one.phase is Phase.DOWN and not probe.reason
            else probe.diagnosis
        ),
        since=one.since,
        outlook=_outlook(rules, one, probe, hold, seen),
        ready_nodes=nodes.ready if nodes else None,
        nodes=nodes.total if nodes else None,
        seen=str(seen) if seen.differ else "",
    )


def _outlook(
    rules: FailoverRules, one: ClusterMemory, probe: Probe, hold: Hold | None, seen: VoteCount
) -> str:
    if one.phase is Phase.DOWN:
        if probe.signal is not Signal.HEALTHY:
            return ""
        left = max(0.0, rules.healthy_after - one.streak)
        if left > 0:
            return f"answers again; counts as back when it stays so for {duration_words(left)} more"
        return "answers again; waits to be released: reconcile failback " + probe.cluster
    if probe.signal is Signal.UNHEALTHY:
        if hold:
            return "not declared down"
        left = max(0.0, rules.unhealthy_after - one.streak)
        if not seen.agreed:
            if left <= 0:
                return f"not declared down: {seen}"
            time = duration_words(left)
            return f"counts as down when it stays so for {time} more and most seats see it so"
        return f"counts as down when it stays so for {duration_words(left)} more"
    if probe.signal is Signal.UNKNOWN:
        return "nothing moves" if probe.answers else "its writes wait, nothing moves"
    return ""
