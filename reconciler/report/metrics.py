"""A run as Prometheus metrics, and the ways out: a file, a Pushgateway, an HTTP endpoint.

Everything is a gauge that tells of one run, because a run is a process that ends. No label holds
what a user did not name: clusters, zones and workloads come from the repository, the rest is fixed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from reconciler import __version__
from reconciler.plan.model import NOT_WRITTEN, Action, Plan, RunResult
from reconciler.report.delivery import NotDelivered, send
from reconciler.report.finished_run import FailureKind, FinishedRun
from reconciler.report.rollout import STEADY, cluster_waves, current_wave
from reconciler.rollout.model import ClusterStep, RolloutView
from reconciler.state.memory import Phase, RolloutPhase

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Gauge

PREFIX = "federation_reconciler_"
JOB = "federation-reconciler"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATUSES = ("done", "failed", "skipped")
DNS_ACTIONS = ("create", "update", "prune")

Headers = Iterable[tuple[str, str]]
_Make = Callable[..., "Gauge"]


def metrics_of(run: FinishedRun) -> CollectorRegistry:
    """All that is measured of one run. Pure; without a plan only what concerns the run itself."""
    from prometheus_client import CollectorRegistry, Gauge

    registry = CollectorRegistry()

    def gauge(name: str, meaning: str, *labels: str) -> Any:
        made = Gauge(PREFIX + name, meaning, ["federation", *labels], registry=registry)
        return made if labels else made.labels(run.federation)

    _of_run(run, gauge)
    if run.plan:
        _of_clusters(run, run.plan, gauge)
        _of_health(run, run.plan, gauge)
        _of_fleet(run, run.plan, gauge)
        _of_rollout(run, run.plan, gauge)
    if run.result:
        _of_result(run, run.result, gauge)
    return registry


def _of_run(run: FinishedRun, gauge: _Make) -> None:
    gauge("build_info", "The version that ran.", "version").labels(run.federation, __version__).set(
        1
    )
    gauge("run_started_timestamp_seconds", "When the last run began.").set(run.started)
    gauge("run_finished_timestamp_seconds", "When the last run ended.").set(run.finished)
    gauge("run_duration_seconds", "How long the last run took.").set(run.seconds)
    gauge("run_success", "1 when the last run did all it should, else 0.").set(run.ok)
    gauge("run_plan_only", "1 when the last run was asked for a plan only.").set(run.plan_only)
    failures = gauge("failures", "What failed in the last run, by sort.", "kind")
    for kind in FailureKind:
        count = sum(failure.kind is kind for failure in run.failures)
        failures.labels(run.federation, kind).set(count)


def _of_clusters(run: FinishedRun, plan: Plan, gauge: _Make) -> None:
    objects = gauge(
        "objects", "Objects of the plan, by what is to be done with them.", "cluster", "action"
    )
    drift = gauge("drift_objects", "Objects that somebody else had changed.", "cluster")
    added = gauge("drift_additions", "Fields that people added to objects of ours.", "cluster")
    up = gauge("cluster_up", "1 when the cluster could be looked at, else 0.", "cluster")
    blocked = gauge("prune_blocked", "1 when the cluster's prunes wait, else 0.", "cluster")
    failed = gauge("cluster_failures", "What failed in this cluster in the last run.", "cluster")
    requests = gauge("requests", "Requests that the last run sent to the cluster.", "cluster")
    sent = run.result.requests if run.result else {}
    for cluster in plan.clusters:
        up.labels(run.federation, cluster.name).set(cluster.reachable)
        blocked.labels(run.federation, cluster.name).set(bool(cluster.prune_blocked))
        requests.labels(run.federation, cluster.name).set(sent.get(cluster.name, cluster.requests))
        failed.labels(run.federation, cluster.name).set(
            sum(failure.cluster == cluster.name for failure in run.failures)
        )
        # What a cluster holds that did not answer is not known, and certainly not nothing.
        for action in Action if cluster.reachable else ():
            count = sum(change.counts_as is action for change in cluster.changes)
            count += cluster.unchanged if action is Action.UNCHANGED else 0
            objects.labels(run.federation, cluster.name, action).set(count)
        if cluster.reachable:
            drifted = sum(change.is_drift for change in cluster.changes)
            drift.labels(run.federation, cluster.name).set(drifted)
            added.labels(run.federation, cluster.name).set(cluster.added)


def _of_health(run: FinishedRun, plan: Plan, gauge: _Make) -> None:
    phases = gauge(
        "cluster_phase", "1 for what the cluster counts as, 0 for the others.", "cluster", "phase"
    )
    since = gauge("cluster_phase_since_timestamp_seconds", "Since when it does.", "cluster")
    nodes = gauge("cluster_nodes", "Nodes that the probe counted.", "cluster")
    ready = gauge("cluster_ready_nodes", "Those of them that are ready.", "cluster")
    for one in plan.health:
        for phase in Phase:
            phases.labels(run.federation, one.cluster, phase).set(one.phase is phase)
        if one.since:
            since.labels(run.federation, one.cluster).set(one.since)
        if one.nodes is not None:
            nodes.labels(run.federation, one.cluster).set(one.nodes)
        if one.ready_nodes is not None:
            ready.labels(run.federation, one.cluster).set(one.ready_nodes)


def _of_fleet(run: FinishedRun, plan: Plan, gauge: _Make) -> None:
    gauge("moves", "Replicas moved by failover or failback, in sentences of the plan.").set(
        len(plan.moves)
    )
    silent = plan.without_git
    gauge("without_git", "1 when the run went on from the kept commit, else 0.").set(bool(silent))
    if silent:
        gauge("without_git_since_timestamp_seconds", "Since when runs do.").set(silent.since)
    gauge("warnings", "Warnings of the plan.").set(len(plan.warnings))
    gauge("guard_violations", "Limits that the plan passes.").set(len(plan.violations))
    short = [row for row in plan.workloads if row.shortfall]
    gauge("shortfall_replicas", "Replicas that fit nowhere, over all workloads.").set(
        sum(row.shortfall for row in short)
    )
    by_workload = gauge(
        "workload_shortfall_replicas",
        "Replicas that fit nowhere, for each workload that has some.",
        *("kind", "namespace", "name"),
    )
    for row in short:
        by_workload.labels(run.federation, row.key.kind, row.key.namespace, row.key.name).set(
            row.shortfall
        )
    dns = gauge("dns_changes", "Record sets of the plan that change.", "zone", "action")
    for zone in sorted({str(row.get("zone", "")) for row in plan.dns}):
        for action in DNS_ACTIONS:
            count = sum(row.get("zone") == zone and row.get("action") == action for row in plan.dns)
            dns.labels(run.federation, zone, action).set(count)
    if run.applied_commit:
        gauge(
            "applied_commit_timestamp_seconds",
            "When the commit that the fleet runs was first applied without a failure.",
        ).set(run.applied_at)
        gauge("commit_applied", "1 when that is the commit that Git asks for, else 0.").set(
            run.applied_commit == plan.commit
        )


def _of_rollout(run: FinishedRun, plan: Plan, gauge: _Make) -> None:
    """All of it is there without waves as well, as if every commit were steady at once."""
    view = plan.rollout or RolloutView("")
    phases = gauge("rollout_phase", "1 for the phase of the rollout, 0 for the others.", "phase")
    for phase in (STEADY, *RolloutPhase):
        phases.labels(run.federation, phase).set(view.phase == phase)
    found = current_wave(view)
    gauge("rollout_wave", "The wave that the candidate is in, from 1; 0: none.").set(
        found[0] + 1 if found else 0
    )
    gauge("rollout_waves", "How many waves there are.").set(len(view.waves))
    progress = (view.progress or view.wave_since) if view.candidate else 0.0
    gauge(
        "rollout_seconds_since_progress",
        "Since a cluster last began with the candidate or became well; 0: there is none.",
    ).set(max(0.0, run.finished - progress) if progress else 0)
    gauge("rollout_soak_seconds", "For how long the candidate's wave must stay well.").set(
        found[1].soak if found else 0
    )
    clusters = gauge("rollout_clusters", "Clusters of all waves, by how far they are.", "step")
    for step in ClusterStep:
        count = sum(one.step is step for _, one in cluster_waves(view).values())
        clusters.labels(run.federation, step).set(count)


def _of_result(run: FinishedRun, result: RunResult, gauge: _Make) -> None:
    outcomes = gauge(
        "outcomes", "Changes that were tried, by what came of them.", "cluster", "action", "status"
    )
    for cluster in result.plan.clusters:
        for action in Action:
            if action in NOT_WRITTEN:
                continue
            for status in STATUSES:
                count = sum(
                    (o.cluster, o.action, o.status) == (cluster.name, action, status)
                    for o in result.outcomes
                )
                outcomes.labels(run.federation, cluster.name, action, status).set(count)


def render_metrics(registry: CollectorRegistry) -> bytes:
    """The text format of Prometheus (``CONTENT_TYPE``)."""
    from prometheus_client import generate_latest

    return generate_latest(registry)


def write_file(run: FinishedRun, path: Path) -> str:
    """For the node exporter's textfile collector; replaced as a whole. Gives a warning, or ""."""
    from prometheus_client import write_to_textfile

    try:
        write_to_textfile(str(path), metrics_of(run))
    except OSError as error:
        return f"the metrics were not written to {path}: {error.strerror}"
    return ""


def push(run: FinishedRun, address: str, seconds_left: Callable[[], float] = lambda: inf) -> str:
    """To a Pushgateway, in the group of this federation. Gives a warning, or "".

    A run with a plan replaces the group. One without replaces only what it knows, so that an
    unreadable repository does not look like a fleet without clusters.
    """
    from prometheus_client import push_to_gateway, pushadd_to_gateway

    def deliver(
        url: str, method: str, timeout: float | None, headers: Headers, data: bytes
    ) -> Callable[[], None]:
        del timeout  # Every request here has the same.
        return lambda: send(url, data, dict(headers), method=method, seconds_left=seconds_left)

    base = address if "://" in address else f"http://{address}"
    to_gateway = push_to_gateway if run.plan else pushadd_to_gateway
    # An empty label is as one that is not there, and would be a group of its own.
    group = {"federation": run.federation} if run.federation else {}
    if run.shard:
        # Each pod tells of its own clusters, and must not replace what the others told.
        group["shard"] = str(run.shard)
    # A plan made elsewhere must not look like what the fleet's own runs come to.
    job = f"{JOB}-plan" if run.plan_only else JOB
    try:
        to_gateway(base.rstrip("/"), job, metrics_of(run), grouping_key=group, handler=deliver)
    except NotDelivered as error:
        return f"the metrics were not pushed: the Pushgateway {error}"
    except ValueError:
        return "the metrics were not pushed: the Pushgateway's address is no URL"
    return ""


class LatestMetrics:
    """What ``/metrics`` answers between two runs; safe to read while a run ends."""

    content_type = CONTENT_TYPE

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: FinishedRun | None = None
        self._last_success = 0.0
        self._text = b""

    def update(self, run: FinishedRun) -> None:
        """A run ended. What only a plan tells stays as the last run with a plan found it."""
        from prometheus_client import Gauge

        with self._lock:
            if run.plan:
                self._planned = run
            elif before := self._planned:
                run = replace(
                    run,
                    federation=before.federation,
                    plan=before.plan,
                    applied_commit=before.applied_commit,
                    applied_at=before.applied_at,
                )
            if run.ok and not run.plan_only:
                self._last_success = run.finished
            registry = metrics_of(run)
            if self._last_success:
                Gauge(
                    PREFIX + "last_success_timestamp_seconds",
                    "When a run of this process last did all it should.",
                    ["federation"],
                    registry=registry,
                ).labels(run.federation).set(self._last_success)
            self._text = render_metrics(registry)

    def render(self) -> bytes:
        """Empty before the first run has ended."""
        with self._lock:
            return self._text
