"""The members and witnesses of the federation, one row each. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import orjson
from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.errors import ClusterError
from reconciler.api.objects import Object, ObjectKey
from reconciler.cluster.client import Member
from reconciler.cluster.parallel import in_parallel
from reconciler.failover.cluster_health import ClusterHealth
from reconciler.failover.probe import CONCURRENT_PROBES, Signal, probe_all
from reconciler.federation.maintenance import Closed
from reconciler.federation.model import WITNESS, Cluster, FailoverRules
from reconciler.inventory.store import Inventory
from reconciler.plan.member_plan import MemberWork
from reconciler.plan.model import Action, Change, ClusterPlan
from reconciler.report.rollout import cluster_waves
from reconciler.rollout.model import RolloutCluster, RolloutView
from reconciler.state.memory import ClusterMemory, FleetMemory, Phase


class MemberRow(Struct, frozen=True):
    """One member, or a Witness, of which only its vitals are known.

    since    when it began to count as it does (Unix seconds): as runs remember it, else since it
             has an inventory; None where neither is known
    managed  objects in its inventory; None: it could not be looked at, as for the next four
    drift    objects that somebody changed or deleted since they were applied
    added    fields that people added to objects in its inventory, and that stay
    pending  objects that differ from Git for another reason: the next run changes them
    refused  objects that cannot be applied
    commit   the commit that was written there last
    problem  why it could not be looked at, or not at all of it
    seen     from which seats it is seen well and from which not, where they differ
    wave     the wave of a rollout that it is in, empty where commits reach all clusters at once
    rollout  how it is there; None where there are no waves
    closed   why nothing is written to it for now: it is paused, or a maintenance window says so
    """

    cluster: Cluster
    facts: ClusterFacts
    phase: Phase
    since: float | None = None
    managed: int | None = None
    drift: int | None = None
    added: int | None = None
    pending: int | None = None
    refused: int | None = None
    commit: str = ""
    problem: str = ""
    seen: str = ""
    wave: str = ""
    rollout: RolloutCluster | None = None
    closed: Closed | None = None

    @property
    def is_witness(self) -> bool:
        return self.cluster.role == WITNESS

    @property
    def ready(self) -> bool:
        """Whether it answers, is healthy, counts as up, and could be looked at."""
        looked_at = self.managed is not None or self.is_witness
        return looked_at and self.facts.signal is Signal.HEALTHY and self.phase is not Phase.DOWN


def roster(
    clusters: Sequence[Cluster],
    plans: Sequence[ClusterPlan],
    works: Sequence[MemberWork],
    memory: FleetMemory,
    facts: Mapping[str, ClusterFacts],
    health: Mapping[str, ClusterHealth],
    rollout: RolloutView | None = None,
) -> tuple[MemberRow, ...]:
    """Rows in the order of the clusters' names. ``plans`` is what would be done now; ``health`` as
    far as this run decided upon it."""
    waves = cluster_waves(rollout)
    plan_of = {plan.name: plan for plan in plans}
    work_of = {work.cluster.name: work for work in works}
    rows = []
    for cluster in sorted(clusters, key=lambda c: c.name):
        if cluster.role == WITNESS:
            rows.append(MemberRow(cluster, facts[cluster.name], Phase.UP))
            continue
        if cluster.name not in plan_of:
            continue
        remembered = memory.clusters.get(cluster.name, ClusterMemory())
        row = MemberRow(
            cluster,
            facts[cluster.name],
            remembered.phase,
            since=remembered.since or None,
            problem=plan_of[cluster.name].problem,
            seen=health[cluster.name].seen if cluster.name in health else "",
            closed=plan_of[cluster.name].closed,
        )
        if found := waves.get(cluster.name):
            row = replace(row, wave=found[0].name, rollout=found[1])
        work = work_of.get(cluster.name)
        rows.append(_looked_into(row, work) if work else row)
    return tuple(rows)


def _looked_into(row: MemberRow, work: MemberWork) -> MemberRow:
    inventory = work.observation.inventory
    confirmed = {key for key, record in inventory.rows.items() if record.confirmed}
    changes = work.plan.changes
    drift = sum(_is_drift(change, confirmed) for change in changes)
    refused = sum(change.action is Action.FAILED for change in changes)
    return replace(
        row,
        since=row.since or _member_since(inventory),
        managed=len(inventory.rows),
        drift=drift,
        added=work.plan.added,
        pending=len(changes) - drift - refused,
        refused=refused,
        commit=inventory.commit,
        problem=work.plan.prune_blocked,
        seen=row.seen,
        closed=row.closed,
    )


def _member_since(inventory: Inventory) -> float | None:
    parent = inventory.secrets.get(inventory.parent_name) or {"metadata": {}}
    text = str(parent["metadata"].get("creationTimestamp", ""))
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


def _is_drift(change: Change, confirmed: set[ObjectKey]) -> bool:
    if change.action is Action.CREATE:
        return change.key in confirmed
    return change.action is Action.UPDATE and change.is_drift


def roster_document(row: MemberRow) -> Object:
    """The row as JSON."""
    cluster, nodes = row.cluster, row.facts.nodes
    return {
        "name": cluster.name,
        "role": cluster.role or "Member",
        "provider": cluster.provider,
        "region": cluster.region,
        "zone": cluster.zone,
        "labels": dict(cluster.labels),
        "version": row.facts.version,
        "ready": row.ready,
        "health": str(row.facts.signal),
        "reason": row.facts.reason or row.problem,
        "seen": row.seen,
        "phase": None if row.is_witness else str(row.phase),
        "since": row.since,
        "nodes": {"ready": nodes[0], "total": nodes[1]} if nodes else None,
        "managed": row.managed,
        "drift": row.drift,
        "added": row.added,
        "pending": row.pending,
        "refused": row.refused,
        "commit": row.commit,
        "wave": row.wave,
        "wantedCommit": row.rollout.commit if row.rollout else None,
        "step": str(row.rollout.step) if row.rollout else None,
        "closed": str(row.closed or ""),
    }


# -- what a member says of itself ------------------------------------------------------------------


VERSION_TIMEOUT_SECONDS = 5.0


class ClusterFacts(Struct, frozen=True):
    """``version`` is the server's gitVersion, empty where it did not tell; ``nodes`` are Ready
    ones and all, None where they cannot be listed."""

    signal: Signal
    reason: str = ""
    version: str = ""
    nodes: tuple[int, int] | None = None


def read_cluster_facts(
    connect: Callable[[Cluster], Member],
    clusters: Sequence[Cluster],
    rules: FailoverRules,
    known: Mapping[str, ClusterHealth],
) -> dict[str, ClusterFacts]:
    """Every cluster's vitals, side by side. ``known`` have been probed in this run already."""
    unknown = [cluster for cluster in clusters if cluster.name not in known]
    found = {
        probe.cluster: ClusterFacts(
            probe.signal,
            probe.reason,
            nodes=(probe.nodes.ready, probe.nodes.total) if probe.nodes else None,
        )
        for probe in probe_all(connect, unknown, rules)
    }
    for name, health in known.items():
        nodes = None
        if health.ready_nodes is not None and health.nodes is not None:
            nodes = (health.ready_nodes, health.nodes)
        found[name] = ClusterFacts(health.signal, health.reason, nodes=nodes)
    asked = [c for c in clusters if found[c.name].signal is Signal.HEALTHY]
    versions = in_parallel(lambda c: _version(connect, c), asked, CONCURRENT_PROBES)
    for cluster, version in zip(asked, versions, strict=True):
        one = found[cluster.name]
        found[cluster.name] = ClusterFacts(one.signal, one.reason, version, one.nodes)
    return found


def _version(connect: Callable[[Cluster], Member], cluster: Cluster) -> str:
    try:
        answer = connect(cluster).get_raw("/version", timeout=VERSION_TIMEOUT_SECONDS)
        document = orjson.loads(answer.body) if answer.status == 200 else None
    except (ClusterError, orjson.JSONDecodeError):
        return ""
    return str(document.get("gitVersion", "")) if isinstance(document, dict) else ""
