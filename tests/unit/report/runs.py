"""Finished runs as metrics, logs, Events and notifications are given them."""

from __future__ import annotations

from msgspec.structs import replace

from reconciler.failover.cluster_health import Absence, ClusterHealth
from reconciler.failover.probe import Signal, text_diagnosis
from reconciler.plan.model import ClusterPlan, Plan, RunResult
from reconciler.report.finished_run import FinishedRun, failures_of_result
from reconciler.state.memory import Phase

STARTED = 1_764_000_000.0
COMMIT = "4f0c1d2e9b7a6553c8d1e0f2a3b4c5d6e7f80912"


def plan(**phases: Phase) -> Plan:
    """A plan in which nothing changes; names of clusters have ``_`` for ``-``."""
    names = [name.replace("_", "-") for name in phases]
    health = [
        ClusterHealth(
            name,
            phase,
            Signal.UNHEALTHY if phase is Phase.DOWN else Signal.HEALTHY,
            diagnosis=text_diagnosis("connection refused" if phase is Phase.DOWN else ""),
            since=STARTED - 600,
            ready_nodes=2,
            nodes=3,
        )
        for name, phase in zip(names, phases.values(), strict=True)
    ]
    clusters = tuple(ClusterPlan(name, "aws", "eu-central-1", unchanged=7) for name in names)
    return Plan("shop", clusters, commit=COMMIT, health=tuple(health))


def run(made: Plan | None = None, *failing: str, **given: object) -> FinishedRun:
    """A run of ``made``; ``failing`` are clusters that did not answer."""
    made = made or plan(aws_eu=Phase.UP)
    if failing:
        made = replace(
            made,
            clusters=tuple(
                replace(c, reachable=False, absence=Absence("connection refused"))
                if c.name in failing
                else c
                for c in made.clusters
            ),
        )
    result = RunResult(made, requests={c.name: 5 for c in made.clusters})
    finished = FinishedRun(
        "20251124T160000Z-abc123",
        STARTED,
        2.5,
        federation="shop",
        plan=made,
        result=result,
        failures=failures_of_result(result),
        applied_commit=COMMIT,
        applied_at=STARTED - 3600,
    )
    return replace(finished, **given)  # type: ignore[arg-type]
