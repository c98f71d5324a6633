"""How a cluster is, in the words and signs that every report uses. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from reconciler.failover.cluster_health import ClusterHealth
from reconciler.failover.probe import Finding, Signal
from reconciler.plan.model import Action, ClusterPlan, Plan, RunResult
from reconciler.report.grouping import few_names, grouped_by_text
from reconciler.report.wording import key_text, unwritten_records
from reconciler.state.memory import Phase

if TYPE_CHECKING:
    from reconciler.rollout.model import RolloutView


class Health(Struct, frozen=True):
    """``sign`` is one of ok, degraded, down, unknown: what is drawn. ``reason`` is for people."""

    sign: str
    word: str
    reason: str = ""


def fleet_health(plan: Plan) -> dict[str, Health]:
    """Every cluster of the plan by name: as probed, or where nothing was, as it was looked at."""
    probed = {one.cluster: one for one in plan.health}
    return {c.name: _health(c, probed.get(c.name)) for c in plan.clusters}


def _health(cluster: ClusterPlan, probed: ClusterHealth | None) -> Health:
    if probed is None:
        if cluster.reachable:
            return Health("ok", "reachable")
        return Health("down", "unreachable", cluster.problem)
    sign, word = _sign(probed)
    reason = _reason(probed, simulated=cluster.simulated)
    if not cluster.reachable and sign in ("ok", "degraded"):
        # It answered the probe, and not what was asked of it later.
        sign, word = "down", "unreachable"
    absence = cluster.absence
    if not cluster.reachable and not (probed.reason and probed.reason == absence.reason):
        # That it is down, the word says.
        why = absence.reason if word == "down" else str(absence)
        reason = f"{why}; {reason}" if reason else why
    return Health(sign, word, reason or ("" if cluster.reachable else cluster.problem))


def _sign(probed: ClusterHealth) -> tuple[str, str]:
    if probed.phase is Phase.DOWN:
        return "down", "down"
    if probed.phase is Phase.RETURNING:
        return "degraded", "coming back"
    if probed.signal is Signal.UNHEALTHY:
        return "degraded", "unhealthy"
    if probed.signal is Signal.UNKNOWN:
        return "unknown", "unknown"
    return "ok", "healthy"


def _reason(probed: ClusterHealth, *, simulated: bool) -> str:
    """``connection refused; since 2026-03-01 10:00 UTC``."""
    return "; ".join(part for part in _parts(probed, simulated) if part)


def _parts(probed: ClusterHealth, simulated: bool) -> Iterator[str]:
    yield probed.reason
    few_nodes = probed.diagnosis.finding is Finding.FEW_NODES
    if probed.nodes and probed.ready_nodes != probed.nodes and not few_nodes:
        yield f"{probed.ready_nodes} of {probed.nodes} nodes ready"
    if probed.phase is not Phase.UP and probed.since and not simulated:
        yield f"since {datetime.fromtimestamp(probed.since, UTC):%Y-%m-%d %H:%M} UTC"
    yield probed.outlook
    if probed.seen not in probed.outlook:
        yield probed.seen


def unreachable_clusters(plan: Plan) -> list[tuple[str, list[str]]]:
    """(``down: ...`` or ``left out: ...``, the clusters' names) of those not looked at."""
    health = fleet_health(plan)
    return grouped_by_text(
        (_absence(health[c.name]), c.name) for c in plan.clusters if not c.reachable
    )


def _absence(health: Health) -> str:
    return f"{'down' if health.word == 'down' else 'left out'}: {health.reason}"


def health_headlines(plan: Plan) -> Iterator[str]:
    """``aws-eu is unhealthy: ...`` of those that can be looked at and are not well, or not well
    to some seats."""
    looked_at = {cluster.name for cluster in plan.clusters if cluster.reachable}
    health = fleet_health(plan)
    for one in plan.health:
        if one.cluster in looked_at and (health[one.cluster].sign != "ok" or one.seen):
            found = health[one.cluster]
            word = "of unknown health" if found.sign == "unknown" else found.word
            yield f"{one.cluster} is {word}" + (f": {found.reason}" if found.reason else "")


def closed_clusters(plan: Plan) -> list[tuple[str, list[str]]]:
    """(``waits until ...``, the clusters' names) of those to which nothing is written for now."""
    return grouped_by_text((str(c.closed), c.name) for c in plan.clusters if c.closed)


# -- what must be known before the rest ------------------------------------------------------------


MOST_HEADLINES = 100


class Headline(Struct, frozen=True):
    """``level`` is stop, down, outage or warning: it chooses the sign and the colour."""

    level: str
    word: str
    text: str


def headlines(plan: Plan, result: RunResult | None = None) -> Iterator[Headline]:
    """All of them, the gravest first, each sort up to a limit; what a run did if it is one."""
    rollout = list(rollout_warnings(plan.rollout))
    for level, word, texts in (
        ("stop", "Stopped by a guard", list(map(str, plan.violations))),
        ("warning", "Under the guard", list(map(str, plan.despite_guards))),
        ("stop", "Run stopped", [result.stopped] if result and result.stopped else []),
        ("stop", "Error", list(map(str, result.errors)) if result else []),
        ("outage", "Simulated outage", list(plan.simulated_outages)),
        (
            "down",
            "Cluster",
            [
                f"{few_names(names)} {_is(names)} {text}"
                for text, names in unreachable_clusters(plan)
            ],
        ),
        ("warning", "Health", list(health_headlines(plan))),
        ("stop", "Rollout", [text for text, loud in rollout if loud]),
        ("warning", "Rollout", [text for text, loud in rollout if not loud]),
        (
            "warning",
            "Closed",
            [f"{few_names(names)}: {text}" for text, names in closed_clusters(plan)],
        ),
        ("stop", "Refused", list(_refused(plan))),
        ("stop", "DNS", list(_dns(plan, result))),
        ("stop", "Failed", list(_undone(result, "failed"))),
        ("warning", "Skipped", list(_undone(result, "skipped"))),
        ("warning", "Nothing is pruned", list(_blocked(plan.clusters))),
        ("warning", "Warning", [*plan.warnings, *(result.warnings if result else ())]),
    ):
        yield from (Headline(level, word, text) for text in texts[:MOST_HEADLINES])
        if len(texts) > MOST_HEADLINES:
            yield Headline(level, word, f"and {len(texts) - MOST_HEADLINES} more like these")
    if plan.violations and plan.violation_hint:
        what = "Nothing else" if plan.despite_guards else "Nothing"
        yield Headline("stop", f"{what} will be written", plan.violation_hint)


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _blocked(clusters: Sequence[ClusterPlan]) -> Iterator[str]:
    blocked = ((c.prune_blocked, c.name) for c in clusters if c.prune_blocked)
    for reason, names in grouped_by_text(blocked):
        yield f"in {few_names(names)}: {reason}"


def _dns(plan: Plan, result: RunResult | None) -> Iterator[str]:
    yield from (failure.text for failure in plan.dns_failures)
    if result:
        yield from (f"{zone}: {text}" for zone, text in unwritten_records(result))


def _refused(plan: Plan) -> Iterator[str]:
    refused = (
        (f"{key_text(change.key)}: {change.error}", cluster.name)
        for cluster in plan.clusters
        for change in cluster.changes
        if change.action in (Action.FAILED, Action.TERMINATING)
    )
    for text, names in grouped_by_text(refused):
        yield f"{few_names(names)}: {text}"


def _undone(result: RunResult | None, status: str) -> Iterator[str]:
    outcomes = result.outcomes if result else ()
    pairs = (
        (f"{o.action} of {key_text(o.key)}" + (f": {o.message}" if o.message else ""), o.cluster)
        for o in outcomes
        if o.status == status
    )
    for text, names in grouped_by_text(pairs):
        yield f"{few_names(names)}: {text}"


def rollout_warnings(view: RolloutView | None) -> Iterator[tuple[str, bool]]:
    """What must be known of a rollout before the rest is read, and whether it is grave."""
    if view is not None:
        from reconciler.report.rollout import warnings_of

        yield from warnings_of(view)
