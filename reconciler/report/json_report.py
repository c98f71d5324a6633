"""Plans and results as JSON, in the form that ``schemas/plan.json`` documents. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
from msgspec import Struct

from reconciler.api.notices import Notice
from reconciler.api.objects import ObjectKey
from reconciler.failover.cluster_health import ClusterHealth
from reconciler.plan.model import (
    ABSENT,
    AddedTo,
    AgainstBase,
    Change,
    ClusterPlan,
    DecisionChange,
    Plan,
    RunResult,
    WithoutGit,
)
from reconciler.report.rollout import headline
from reconciler.rollout.model import RolloutView, RolloutWave

FORMAT_VERSION = 1


def plan_document(plan: Plan) -> dict[str, Any]:
    """The plan. A field without ``from`` (or ``to``) was (or will be) absent."""
    compared = {"base": _base(plan.base)} if plan.base else {}
    silent = {"withoutGit": _without_git(plan.without_git)} if plan.without_git else {}
    road = {"rollout": rollout_document(plan.rollout)} if plan.rollout else {}
    return {
        "formatVersion": FORMAT_VERSION,
        "federation": plan.federation,
        "commit": plan.commit,
        **compared,
        **silent,
        **road,
        "summary": plan.summary(),
        "clusters": [_cluster(cluster) for cluster in plan.clusters],
        "warnings": list(plan.warnings),
        "notices": [_notice(one) for one in plan.notices],
        "violations": [str(one) for one in plan.violations],
        "violationHint": plan.violation_hint,
        "despiteGuards": list(map(str, plan.despite_guards)),
        "simulatedOutages": list(plan.simulated_outages),
        "health": [_health(one) for one in plan.health],
        "moves": list(map(str, plan.moves)),
        "moveDetails": [{"type": type(one).__name__, **_parts(one)} for one in plan.moves],
        "dns": list(plan.dns),
        "dnsErrors": list(plan.dns_errors),
        **({"decisions": [_decision(one) for one in plan.decisions]} if plan.decisions else {}),
        "workloads": [
            {
                "group": row.key.group,
                "kind": row.key.kind,
                "namespace": row.key.namespace,
                "name": row.key.name,
                "placedBy": row.placed_by,
                "before": dict(row.before),
                "after": dict(row.after),
                "shortfall": row.shortfall,
            }
            for row in plan.workloads
        ],
    }


def _decision(one: DecisionChange) -> dict[str, Any]:
    return {
        "action": str(one.action),
        "namespace": one.namespace,
        "name": one.name,
        "from": one.before,
        "to": one.after,
    }


def result_document(result: RunResult) -> dict[str, Any]:
    """The plan with what became of it."""
    return {
        **plan_document(result.plan),
        "warnings": [*result.plan.warnings, *result.warnings],
        "notices": [_notice(one) for one in (*result.plan.notices, *result.notices)],
        "ok": result.ok,
        "errors": list(map(str, result.errors)),
        "stopped": result.stopped,
        "requests": dict(result.requests),
        "outcomes": [
            {
                "cluster": o.cluster,
                "action": str(o.action),
                "group": o.key.group,
                "kind": o.key.kind,
                "namespace": o.key.namespace,
                "name": o.key.name,
                "status": o.status,
                "message": o.message,
                "seconds": round(o.seconds, 3),
            }
            for o in result.outcomes
        ],
        "records": [
            {
                "zone": r.zone,
                "name": r.name,
                "type": r.type,
                "action": r.action,
                "status": r.status,
                "message": r.message,
                "seconds": round(r.seconds, 3),
            }
            for r in result.records
        ],
    }


def report_as_json(document: dict[str, Any]) -> str:
    """Indented, keys in a fixed order."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n"


def _cluster(cluster: ClusterPlan) -> dict[str, Any]:
    return {
        "name": cluster.name,
        "provider": cluster.provider,
        "region": cluster.region,
        "zone": cluster.zone,
        "reachable": cluster.reachable,
        "problem": cluster.problem,
        "unchanged": cluster.unchanged,
        "pruneBlocked": cluster.prune_blocked,
        "requests": cluster.requests,
        "closed": str(cluster.closed or ""),
        "changes": [_change(change) for change in cluster.changes],
        "additions": [_added(one) for one in cluster.additions],
    }


def _notice(one: Notice) -> dict[str, Any]:
    return {
        "cause": str(one.cause),
        "cluster": one.cluster,
        "subject": one.subject,
        "path": one.path,
        "place": one.place,
        "details": dict(one.details),
    }


def _added(one: AddedTo) -> dict[str, Any]:
    return {
        "apiVersion": one.api_version,
        "kind": one.key.kind,
        "namespace": one.key.namespace,
        "name": one.key.name,
        "fields": [
            {"path": f.path, "value": f.value, "managers": list(f.managers), "time": f.time}
            for f in one.fields
        ],
    }


def _base(base: AgainstBase) -> dict[str, Any]:
    return {
        "ref": base.ref,
        "commit": base.commit,
        "problem": base.problem,
        "leftOut": {
            "changes": base.left_out.changes,
            "refused": base.left_out.refused,
            "records": base.left_out.records,
            "warnings": base.left_out.warnings,
        },
        "avoided": [
            {"cluster": one.cluster, "change": _change(one.change)} for one in base.avoided
        ],
        "avoidedRecords": list(base.avoided_records),
    }


def _without_git(one: WithoutGit) -> dict[str, Any]:
    since = datetime.fromtimestamp(one.since, UTC).isoformat(timespec="seconds")
    return {"since": since, "reason": one.reason}


def rollout_document(view: RolloutView) -> dict[str, Any]:
    """How far a commit has come. Times that are not known are null."""
    return {
        "headline": headline(view),
        "phase": view.phase,
        "reason": view.reason,
        "stable": view.stable,
        "candidate": view.candidate,
        "since": _moment(view.since),
        "waveSince": _moment(view.wave_since),
        "progress": _moment(view.progress),
        "complete": view.complete,
        "atOnce": view.at_once,
        "waiting": list(view.waiting),
        "waves": [_wave(wave) for wave in view.waves],
        "events": [{"event": str(event), "text": text} for event, text in view.events],
    }


def _wave(wave: RolloutWave) -> dict[str, Any]:
    return {
        "name": wave.name,
        "state": wave.state,
        "waits": wave.waits,
        "soakSeconds": wave.soak,
        "leastSeconds": wave.least,
        "manual": wave.manual,
        "gates": list(wave.gates),
        "clusters": [
            {
                "name": one.name,
                "commit": one.commit,
                "step": str(one.step),
                "why": one.why,
                "changes": dict(one.changes),
            }
            for one in wave.clusters
        ],
    }


def _moment(seconds: float) -> str | None:
    if not seconds:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _parts(value: Any) -> Any:
    """The fields of a value, and of those in it; an object by its group, kind, namespace, name."""
    if isinstance(value, ObjectKey):
        return value._asdict()
    if isinstance(value, Struct):
        return {name: _parts(getattr(value, name)) for name in value.__struct_fields__}
    return list(map(_parts, value)) if isinstance(value, tuple) else value


def _health(one: ClusterHealth) -> dict[str, Any]:
    since = datetime.fromtimestamp(one.since, UTC) if one.since else None
    return {
        "cluster": one.cluster,
        "phase": str(one.phase),
        "signal": str(one.signal),
        "reason": one.reason,
        "outlook": one.outlook,
        "seen": one.seen,
        "since": since.isoformat(timespec="seconds") if since else None,
        "readyNodes": one.ready_nodes,
        "nodes": one.nodes,
    }


def _change(change: Change) -> dict[str, Any]:
    fields = []
    for field in change.fields:
        entry: dict[str, Any] = {"path": field.path}
        if field.before is not ABSENT:
            entry["from"] = field.before
        if field.after is not ABSENT:
            entry["to"] = field.after
        if field.managers:
            entry["managers"] = list(field.managers)
        if field.reason:
            entry["reason"] = field.reason
        fields.append(entry)
    return {
        "action": str(change.action),
        "apiVersion": change.api_version,
        "kind": change.key.kind,
        "namespace": change.key.namespace,
        "name": change.key.name,
        "fields": fields,
        "stays": [
            {
                "path": field.path,
                "value": field.value,
                "managers": list(field.managers),
                "note": field.note,
            }
            for field in change.stays
        ],
        "reason": change.reason,
        "error": change.error,
        "origin": change.origin,
        "verified": change.verified,
        "force": change.force,
        "propagation": change.propagation,
        "waits": change.waits,
    }
