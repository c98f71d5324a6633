"""``spec.failover`` of the Federation, and what a Placement may narrow of it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from reconciler.api.objects import Object
from reconciler.federation.model import FailoverRules, ProbeRules
from reconciler.manifests.document import Document
from reconciler.manifests.problems import ProblemCollector

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")

PATH = ("spec", "failover")


def parse_failover(body: Mapping[str, Any] | None) -> FailoverRules:
    """The Federation's rules; what is left out has its default."""
    base, body = FailoverRules(), body or {}
    probe, failback = body.get("probe") or {}, body.get("failback") or {}
    limit = body.get("maxUnhealthy", base.max_unhealthy)
    least = body.get("minReadyNodes")
    return FailoverRules(
        enabled=body.get("enabled", base.enabled),
        probe=ProbeRules(
            timeout=_seconds(probe, "timeout", base.probe.timeout),
            attempts=probe.get("attempts", base.probe.attempts),
            interval=_seconds(probe, "interval", base.probe.interval),
        ),
        unhealthy_after=_seconds(body, "unhealthyAfter", base.unhealthy_after),
        healthy_after=_seconds(body, "healthyAfter", base.healthy_after),
        max_unhealthy=parse_share(limit) if isinstance(limit, str) else float(limit),
        max_unhealthy_is_share="maxUnhealthy" not in body or isinstance(limit, str),
        min_available_clusters=body.get("minAvailableClusters", base.min_available_clusters),
        min_ready_nodes=base.min_ready_nodes if least is None else parse_share(least),
        action=body.get("action", base.action),
        failback=failback.get("mode", base.failback),
        failback_max_moves=failback.get("maxMovesPerRun", base.failback_max_moves),
        workload_unavailable_after=_unavailable_after(body, None),
    )


def narrowed(body: Mapping[str, Any], base: FailoverRules) -> FailoverRules:
    """A Placement's rules: the Federation's, of which it may have less or later, never more."""
    return replace(
        base,
        enabled=base.enabled and body.get("enabled", True),
        unhealthy_after=_seconds(body, "unhealthyAfter", base.unhealthy_after),
        action=body.get("action", base.action),
        workload_unavailable_after=_unavailable_after(body, base.workload_unavailable_after),
    )


def _seconds(body: Mapping[str, Any], name: str, default: float) -> float:
    return parse_duration(body[name]) if name in body else default


def _unavailable_after(body: Mapping[str, Any], default: float | None) -> float | None:
    name = "workloadUnavailableAfter"
    return parse_duration(body[name]) if name in body else default


def check_failover(
    document: Document, rules: FailoverRules, faults: ProblemCollector, clusters: int | None
) -> None:
    """Rules that contradict each other, or that could never act with that many ``clusters``."""
    body: Object = (document.body.get("spec") or {}).get("failover") or {}
    attempts = rules.probe.attempts
    probing = rules.probe.timeout * attempts + rules.probe.interval * (attempts - 1)
    for name, seconds in (
        ("unhealthyAfter", rules.unhealthy_after),
        ("healthyAfter", rules.healthy_after),
    ):
        if seconds < probing:
            faults.problem(
                document,
                (*PATH, name),
                f"{name} ({seconds:g} s) is shorter than one probe may take",
                f"at least {probing:g} s: so long do {attempts} tries of probe.timeout take",
            )
    if rules.max_unhealthy_is_share and rules.max_unhealthy > 1:
        faults.problem(document, (*PATH, "maxUnhealthy"), "more than 100 %", "at most 100%")
    if rules.min_ready_nodes > 1:
        faults.problem(document, (*PATH, "minReadyNodes"), "more than 100 %", "at most 100%")
    if clusters is None:
        return
    allowed = rules.max_unhealthy * (clusters if rules.max_unhealthy_is_share else 1)
    if "maxUnhealthy" in body and clusters and allowed >= clusters:
        every = "the only cluster" if clusters == 1 else f"all {clusters} clusters"
        faults.problem(
            document,
            (*PATH, "maxUnhealthy"),
            f"lets {every} be declared down at once",
            "fewer: when all look down, it is this tool that is cut off",
        )
    if rules.enabled and "maxUnhealthy" in body and clusters > 1 and allowed + 1e-9 < 1:
        faults.problem(
            document,
            (*PATH, "maxUnhealthy"),
            f"of {clusters} clusters it lets none be declared down, so nothing ever moves",
            f"at least 1, or {math.ceil(100 / clusters)}%; or enabled: false",
        )
    if "minAvailableClusters" in body and rules.min_available_clusters > clusters:
        faults.problem(
            document,
            (*PATH, "minAvailableClusters"),
            f"there are only {clusters} clusters",
            f"at most {max(1, clusters - 1)}",
        )
    elif rules.enabled and clusters > 1 and rules.min_available_clusters == clusters:
        faults.problem(
            document,
            (*PATH, "minAvailableClusters"),
            f"all {clusters} clusters must remain, so that none can be declared down",
            f"at most {clusters - 1}; or enabled: false",
        )


def check_narrowed(
    document: Document, rules: FailoverRules, base: FailoverRules, faults: ProblemCollector
) -> None:
    """What a Placement says against the Federation's rules."""
    body: Object = (document.body.get("spec") or {}).get("failover") or {}
    if rules.unhealthy_after < base.unhealthy_after:
        faults.problem(
            document,
            (*PATH, "unhealthyAfter"),
            f"{body['unhealthyAfter']} is sooner than the Federation declares a cluster down "
            f"({base.unhealthy_after:g} s)",
            f"at least {base.unhealthy_after:g} s: a Placement can only wait longer",
        )
    if body.get("enabled") and not base.enabled:
        faults.problem(
            document,
            (*PATH, "enabled"),
            "failover is not enabled in the Federation",
            "spec.failover.enabled: true there; a Placement can only leave it",
        )


def parse_duration(text: str) -> float:
    """``1h30m`` -> 5400.0 seconds. The schema has made sure of the form."""
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def parse_share(text: str) -> float:
    """``30%`` -> 0.3."""
    return float(text.rstrip("%")) / 100
