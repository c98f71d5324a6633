"""What an object's own status says of it, by the rules known as kstatus.

Source: the conventions of Kubernetes' API (observedGeneration, conditions, ``Ready``) and the
rules for built-in kinds that sigs.k8s.io/cli-utils, package kstatus, describes in prose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct

from reconciler.api.objects import GroupKind, Object, api_group, map_of, number_of


class Status(StrEnum):
    """CURRENT: as asked for. FAILED: will not get there by itself. NOT_FOUND: is not there."""

    CURRENT = "Current"
    IN_PROGRESS = "InProgress"
    FAILED = "Failed"
    TERMINATING = "Terminating"
    NOT_FOUND = "NotFound"


class ObjectStatus(Struct, frozen=True):
    """``message`` is a sentence for people, in the server's words where it has some."""

    status: Status
    message: str = ""


_DECISIVE = (
    *("phase", "active", "readyReplicas", "desiredNumberScheduled"),
    *("loadBalancer", "addresses"),
)
"""Of a status, beside its conditions and what is made of it here, all that a run asks for."""


def object_status(obj: Object | None) -> ObjectStatus:
    """The status of one live object; None stands for an object that is not there."""
    if obj is None:
        return ObjectStatus(Status.NOT_FOUND, "it does not exist")
    metadata = map_of(obj.get("metadata"))
    if metadata.get("deletionTimestamp"):
        return ObjectStatus(Status.TERMINATING, "it is being deleted")
    kind = GroupKind(api_group(str(obj.get("apiVersion", ""))), str(obj.get("kind", "")))
    return _behind(obj) or _RULES.get(kind, _by_conditions)(obj)


def ready_replicas(obj: Object) -> int:
    """How many replicas of a workload can serve now."""
    status = map_of(obj.get("status"))
    for name in ("availableReplicas", "readyReplicas", "numberAvailable"):
        if name in status:
            return number_of(status[name])
    return 0


def has_finished(obj: Object) -> bool:
    """Whether a Job or a Pod has ended, well or not, and will not begin again by itself."""
    if obj.get("kind") == "Pod":
        return map_of(obj.get("status")).get("phase") in ("Succeeded", "Failed")
    conditions = _conditions(obj)
    return any(conditions.get(name, {}).get("status") == "True" for name in ("Complete", "Failed"))


def is_unavailable(obj: Object) -> bool:
    """Whether a workload that should run does not serve as it must.

    A Deployment says so itself (condition Available); others when not one replica is ready.
    """
    if wanted_replicas(obj) == 0:
        return False
    available = _conditions(obj).get("Available")
    if available is not None:
        return available.get("status") == "False"
    return ready_replicas(obj) == 0


def decisive_status(obj: Object) -> tuple[object, ...]:
    """What of an object's status may decide something: two objects that differ in nothing else but
    the rest of their status are treated alike, and only told of in other words."""
    status = map_of(obj.get("status"))
    conditions = {name: one.get("status") for name, one in _conditions(obj).items()}
    others = tuple(status.get(name) for name in _DECISIVE)
    return object_status(obj).status, ready_replicas(obj), is_unavailable(obj), conditions, others


def stated_replicas(obj: Object) -> int | None:
    """``spec.replicas``; None where there is none: null says no more than leaving it out."""
    count = map_of(obj.get("spec")).get("replicas")
    return count if isinstance(count, int) else None


def wanted_replicas(obj: Object) -> int:
    """``spec.replicas``; 1 where it is not given."""
    replicas = map_of(obj.get("spec")).get("replicas")
    return 1 if replicas is None else number_of(replicas)


def _behind(obj: Object) -> ObjectStatus | None:
    """The controller has not looked at the newest spec yet."""
    observed = map_of(obj.get("status")).get("observedGeneration")
    generation = map_of(obj.get("metadata")).get("generation")
    if isinstance(observed, int) and isinstance(generation, int) and observed < generation:
        return ObjectStatus(
            Status.IN_PROGRESS, f"generation {generation} is not observed yet, only {observed}"
        )
    return None


def _deployment(obj: Object) -> ObjectStatus:
    status, wanted = map_of(obj.get("status")), wanted_replicas(obj)
    conditions = _conditions(obj)
    progressing = conditions.get("Progressing", {})
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return ObjectStatus(Status.FAILED, _words(progressing, "the progress deadline has passed"))
    failure = conditions.get("ReplicaFailure", {})
    if failure.get("status") == "True":
        return ObjectStatus(Status.FAILED, _words(failure, "replicas cannot be created"))
    updated, available = number_of(status.get("updatedReplicas")), ready_replicas(obj)
    if updated < wanted:
        return _progress(f"{updated} of {wanted} replicas are updated")
    if number_of(status.get("replicas")) > updated:
        return _progress(
            f"{number_of(status.get('replicas')) - updated} old replicas are still there"
        )
    if available < wanted:
        return _progress(f"{available} of {wanted} replicas are available")
    if conditions.get("Available", {}).get("status") == "False":
        return _progress(_words(conditions["Available"], "not available"))
    return _current(f"{available} of {wanted} replicas are available")


def _stateful_set(obj: Object) -> ObjectStatus:
    spec, status, wanted = map_of(obj.get("spec")), map_of(obj.get("status")), wanted_replicas(obj)
    strategy = map_of(spec.get("updateStrategy"))
    if strategy.get("type") == "OnDelete":
        return _current("updated when its Pods are deleted")
    ready = number_of(status.get("readyReplicas"))
    if ready < wanted:
        return _progress(f"{ready} of {wanted} replicas are ready")
    partition = number_of(map_of(strategy.get("rollingUpdate")).get("partition"))
    updated = number_of(status.get("updatedReplicas"))
    if partition:
        if updated < wanted - partition:
            return _progress(f"{updated} of {wanted - partition} replicas are updated")
    elif status.get("currentRevision") != status.get("updateRevision"):
        return _progress(f"{updated} of {wanted} replicas are updated")
    return _current(f"{ready} of {wanted} replicas are ready")


def _daemon_set(obj: Object) -> ObjectStatus:
    status = map_of(obj.get("status"))
    if "observedGeneration" not in status:
        return _progress("not observed yet")
    wanted = number_of(status.get("desiredNumberScheduled"))
    for name, words in (
        ("currentNumberScheduled", "scheduled"),
        ("updatedNumberScheduled", "updated"),
        ("numberAvailable", "available"),
        ("numberReady", "ready"),
    ):
        if number_of(status.get(name)) < wanted:
            return _progress(f"{number_of(status.get(name))} of {wanted} Pods are {words}")
    return _current(f"{wanted} of {wanted} Pods are available")


def _replica_set(obj: Object) -> ObjectStatus:
    failure = _conditions(obj).get("ReplicaFailure", {})
    if failure.get("status") == "True":
        return ObjectStatus(Status.FAILED, _words(failure, "replicas cannot be created"))
    available, wanted = ready_replicas(obj), wanted_replicas(obj)
    text = f"{available} of {wanted} replicas are available"
    return _current(text) if available >= wanted else _progress(text)


def _job(obj: Object) -> ObjectStatus:
    conditions, status = _conditions(obj), map_of(obj.get("status"))
    failed = conditions.get("Failed", {})
    if failed.get("status") == "True":
        return ObjectStatus(Status.FAILED, _words(failed, "the Job failed"))
    if conditions.get("Complete", {}).get("status") == "True":
        return _current("the Job is complete")
    if conditions.get("Suspended", {}).get("status") == "True":
        return _current("the Job is suspended")
    if "startTime" not in status:
        return _progress("the Job has not begun")
    # A Job that runs does what was asked; that it ends is not for the reconciler to wait for.
    return _current(f"the Job runs ({number_of(status.get('active'))} Pods are active)")


def _pod(obj: Object) -> ObjectStatus:
    status, conditions = map_of(obj.get("status")), _conditions(obj)
    phase = status.get("phase")
    if phase == "Succeeded":
        return _current("the Pod has succeeded")
    if phase == "Failed":
        return ObjectStatus(Status.FAILED, str(status.get("message") or "the Pod failed"))
    if phase == "Running" and conditions.get("Ready", {}).get("status") == "True":
        return _current("the Pod is ready")
    waiting = _waiting_reason(status)
    if waiting in ("CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "InvalidImageName"):
        return ObjectStatus(Status.FAILED, f"a container waits: {waiting}")
    unscheduled = conditions.get("PodScheduled", {})
    if unscheduled.get("status") == "False":
        return _progress(_words(unscheduled, "the Pod is not scheduled"))
    return _progress(f"a container waits: {waiting}" if waiting else f"the Pod is {phase or 'new'}")


def _waiting_reason(status: Mapping[str, Any]) -> str:
    for name in ("initContainerStatuses", "containerStatuses"):
        containers = status.get(name)
        for container in containers if isinstance(containers, list) else ():
            reason = map_of(map_of(map_of(container).get("state")).get("waiting")).get("reason")
            if reason:
                return str(reason)
    return ""


def _claim(obj: Object) -> ObjectStatus:
    phase = map_of(obj.get("status")).get("phase")
    if phase == "Bound":
        return _current("the claim is bound")
    if phase == "Lost":
        return ObjectStatus(Status.FAILED, "the claim has lost its volume")
    return _progress("the claim is not bound")


def _service(obj: Object) -> ObjectStatus:
    if map_of(obj.get("spec")).get("type") != "LoadBalancer":
        return _current("the Service is ready")
    if map_of(map_of(obj.get("status")).get("loadBalancer")).get("ingress"):
        return _current("the load balancer has an address")
    return _progress("the load balancer has no address yet")


def _definition(obj: Object) -> ObjectStatus:
    conditions = _conditions(obj)
    names = conditions.get("NamesAccepted", {})
    if names.get("status") == "False":
        return ObjectStatus(Status.FAILED, _words(names, "its names are taken"))
    if conditions.get("Established", {}).get("status") == "True":
        return _current("the CRD is established")
    return _progress("the CRD is not established yet")


def _budget(obj: Object) -> ObjectStatus:
    status = map_of(obj.get("status"))
    if "observedGeneration" not in status:
        return _progress("not observed yet")
    healthy, wanted = (
        number_of(status.get("currentHealthy")),
        number_of(status.get("desiredHealthy")),
    )
    text = f"{healthy} healthy Pods, at least {wanted} wanted"
    return _current(text) if healthy >= wanted else _progress(text)


def _namespace(obj: Object) -> ObjectStatus:
    if map_of(obj.get("status")).get("phase") == "Terminating":
        return ObjectStatus(Status.TERMINATING, "it is being deleted")
    return _current("the Namespace is active")


def _by_conditions(obj: Object) -> ObjectStatus:
    """Any other kind: Stalled and Reconciling where it has them, else the condition Ready."""
    conditions = _conditions(obj)
    if conditions.get("Stalled", {}).get("status") == "True":
        return ObjectStatus(Status.FAILED, _words(conditions["Stalled"], "stalled"))
    if conditions.get("Reconciling", {}).get("status") == "True":
        return _progress(_words(conditions["Reconciling"], "reconciling"))
    for name in ("Ready", "Available"):
        condition = conditions.get(name)
        if condition is None:
            continue
        if condition.get("status") == "True":
            return _current(_words(condition, name.lower()))
        return _progress(_words(condition, f"not {name.lower()}"))
    return _current("")


_RULES: Mapping[GroupKind, Callable[[Object], ObjectStatus]] = {
    GroupKind("apps", "Deployment"): _deployment,
    GroupKind("apps", "StatefulSet"): _stateful_set,
    GroupKind("apps", "DaemonSet"): _daemon_set,
    GroupKind("apps", "ReplicaSet"): _replica_set,
    GroupKind("batch", "Job"): _job,
    GroupKind("", "Pod"): _pod,
    GroupKind("", "PersistentVolumeClaim"): _claim,
    GroupKind("", "Service"): _service,
    GroupKind("", "Namespace"): _namespace,
    GroupKind("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
    GroupKind("policy", "PodDisruptionBudget"): _budget,
}


def _current(message: str) -> ObjectStatus:
    return ObjectStatus(Status.CURRENT, message)


def _progress(message: str) -> ObjectStatus:
    return ObjectStatus(Status.IN_PROGRESS, message)


def _words(condition: Mapping[str, Any], otherwise: str) -> str:
    return str(condition.get("message") or condition.get("reason") or otherwise)


def _conditions(obj: Object) -> dict[str, Mapping[str, Any]]:
    found = map_of(obj.get("status")).get("conditions")
    if not isinstance(found, list):
        return {}
    return {str(c.get("type")): c for c in found if isinstance(c, dict)}
