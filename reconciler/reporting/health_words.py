"""How a cluster is, in the words and signs that every report uses. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from msgspec import Struct

from reconciler.health.decision import ClusterHealth
from reconciler.health.memory import Phase
from reconciler.health.probe import Signal
from reconciler.planning.plan import ClusterPlan, Plan
from reconciler.reporting.grouping import together
from reconciler.reporting.wording import visible


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
        return Health("down", "unreachable", visible(cluster.problem))
    sign, word = _sign(probed)
    reason = _reason(probed)
    if not cluster.reachable and sign in ("ok", "degraded"):
        # It answered the probe, and not what was asked of it later.
        sign, word = "down", "unreachable"
    if not cluster.reachable and not (probed.reason and probed.reason in cluster.problem):
        reason = f"{cluster.problem}; {reason}" if reason else cluster.problem
    return Health(sign, word, visible(reason or ("" if cluster.reachable else cluster.problem)))


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


def _reason(probed: ClusterHealth) -> str:
    """``connection refused; since 2026-03-01 10:00 UTC``."""
    return "; ".join(part for part in _parts(probed) if part)


def _parts(probed: ClusterHealth) -> Iterator[str]:
    yield probed.reason
    if probed.nodes and probed.ready_nodes != probed.nodes and "nodes" not in probed.reason:
        yield f"{probed.ready_nodes} of {probed.nodes} nodes ready"
    imagined = probed.reason.startswith("simulated outage")
    if probed.phase is not Phase.UP and probed.since and not imagined:
        yield f"since {datetime.fromtimestamp(probed.since, UTC):%Y-%m-%d %H:%M} UTC"
    yield probed.outlook


def away(plan: Plan) -> list[tuple[str, list[str]]]:
    """(``down: ...`` or ``left out: ...``, the clusters' names) of those not looked at."""
    health = fleet_health(plan)
    return together((_absence(health[c.name]), c.name) for c in plan.clusters if not c.reachable)


def _absence(health: Health) -> str:
    return f"{'down' if health.word == 'down' else 'left out'}: {health.reason}"


def health_notices(plan: Plan) -> Iterator[str]:
    """``aws-eu is unhealthy: ...`` of those that can be looked at and are not well."""
    looked_at = {cluster.name for cluster in plan.clusters if cluster.reachable}
    health = fleet_health(plan)
    for one in plan.health:
        if one.cluster in looked_at and health[one.cluster].sign != "ok":
            found = health[one.cluster]
            word = "of unknown health" if found.sign == "unknown" else found.word
            yield f"{one.cluster} is {word}" + (f": {found.reason}" if found.reason else "")
