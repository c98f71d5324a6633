"""The statuses that the built-in workload controllers write, as functions of object and room."""

from __future__ import annotations

import hashlib

import orjson

from kubesim.objects import Object

REVISION = "deployment.kubernetes.io/revision"


def revision(obj: Object) -> str:
    """A short hash that stands for the Pod template, as in names of ReplicaSets."""
    digest = hashlib.sha256(orjson.dumps(obj["spec"].get("template"), option=orjson.OPT_SORT_KEYS))
    return digest.hexdigest()[:10]


def wanted(obj: Object) -> int:
    """The replicas asked for; 1 when the spec is silent."""
    replicas = obj["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def _count(**numbers: int) -> Object:
    """Counts are left out of a status when they are zero."""
    return {name: number for name, number in numbers.items() if number}


def _condition(
    kind: str, status: bool, reason: str, message: str, now: str, before: list[Object]
) -> Object:
    text = "True" if status else "False"
    found: Object = {
        "type": kind,
        "status": text,
        "lastUpdateTime": now,
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    }
    for old in before:
        if old.get("type") == kind and old.get("status") == text:
            found["lastTransitionTime"] = old.get("lastTransitionTime", now)
            if (old.get("reason"), old.get("message")) == (reason, message):
                found["lastUpdateTime"] = old.get("lastUpdateTime", now)
    return found


def _minimum(obj: Object) -> int:
    """How many replicas make a Deployment available: wanted minus maxUnavailable."""
    strategy = obj["spec"].get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return wanted(obj)
    allowed = (strategy.get("rollingUpdate") or {}).get("maxUnavailable", "25%")
    if isinstance(allowed, str):
        allowed = wanted(obj) * int(allowed.rstrip("%") or 0) // 100
    return wanted(obj) - int(allowed)


def deployment(obj: Object, available: int, now: str, *, overdue: bool) -> Object:
    """``overdue``: the progress deadline has passed without all replicas being available."""
    replicas, before = wanted(obj), (obj.get("status") or {}).get("conditions") or []
    if available >= _minimum(obj):
        reason, message = "MinimumReplicasAvailable", "Deployment has minimum availability."
        up = _condition("Available", True, reason, message, now, before)
    else:
        reason = "MinimumReplicasUnavailable"
        message = "Deployment does not have minimum availability."
        up = _condition("Available", False, reason, message, now, before)
    name = f"{obj['metadata']['name']}-{revision(obj)}"
    if available >= replicas:
        message = f'ReplicaSet "{name}" has successfully progressed.'
        moving = _condition("Progressing", True, "NewReplicaSetAvailable", message, now, before)
    elif overdue:
        message = f'ReplicaSet "{name}" has timed out progressing.'
        moving = _condition("Progressing", False, "ProgressDeadlineExceeded", message, now, before)
    else:
        message = f'ReplicaSet "{name}" is progressing.'
        moving = _condition("Progressing", True, "ReplicaSetUpdated", message, now, before)
    return {
        "observedGeneration": obj["metadata"].get("generation", 1),
        **_count(
            replicas=replicas,
            updatedReplicas=replicas,
            readyReplicas=available,
            availableReplicas=available,
            unavailableReplicas=replicas - available,
        ),
        "terminatingReplicas": 0,
        "conditions": [up, moving],
    }


def stateful_set(obj: Object, available: int) -> Object:
    """All replicas are of the current revision."""
    replicas = wanted(obj)
    name = f"{obj['metadata']['name']}-{revision(obj)}"
    return {
        "observedGeneration": obj["metadata"].get("generation", 1),
        "replicas": replicas,
        **_count(
            readyReplicas=available,
            currentReplicas=replicas,
            updatedReplicas=replicas,
        ),
        "currentRevision": name,
        "updateRevision": name,
        "collisionCount": 0,
        "availableReplicas": available,
    }


def daemon_set(obj: Object, nodes: int, available: int) -> Object:
    """One Pod on each node; ``available`` of them are ready."""
    return {
        "currentNumberScheduled": nodes,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": nodes,
        "numberReady": available,
        "observedGeneration": obj["metadata"].get("generation", 1),
        **_count(
            updatedNumberScheduled=nodes,
            numberAvailable=available,
            numberUnavailable=nodes - available,
        ),
    }


def replica_set(obj: Object, available: int) -> Object:
    """The status of a ReplicaSet that nobody controls."""
    replicas = wanted(obj)
    return {
        "replicas": replicas,
        **_count(
            fullyLabeledReplicas=replicas, readyReplicas=available, availableReplicas=available
        ),
        "observedGeneration": obj["metadata"].get("generation", 1),
    }


def job(obj: Object, now: str) -> Object:
    """A Job that has completed at ``now``."""
    count = obj["spec"].get("completions") or 1
    reason, message = "CompletionsReached", "Reached expected number of succeeded pods"
    return {
        "conditions": [
            {
                "type": kind,
                "status": "True",
                "lastProbeTime": now,
                "lastTransitionTime": now,
                "reason": reason,
                "message": message,
            }
            for kind in ("SuccessCriteriaMet", "Complete")
        ],
        "startTime": (obj.get("status") or {}).get("startTime", now),
        "completionTime": now,
        "succeeded": count,
        "terminating": 0,
        "uncountedTerminatedPods": {},
        "ready": 0,
    }


def pod(now: str) -> Object:
    """A Pod that runs and is ready since ``now``."""
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    return {
        "phase": "Running",
        "conditions": [
            {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
            for kind in kinds
        ],
        "startTime": now,
        "qosClass": "BestEffort",
    }


def claim(obj: Object) -> Object:
    """A claim that is bound to as much as it asked for."""
    spec = obj["spec"]
    requests = (spec.get("resources") or {}).get("requests") or {}
    return {
        "phase": "Bound",
        "accessModes": spec.get("accessModes") or [],
        "capacity": {"storage": requests.get("storage", "1Gi")},
    }
