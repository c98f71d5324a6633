"""ConfigMaps, Secrets and ServiceAccounts that leave Git while an old revision still names them.

A name that changes with its content (kustomize's hash) is rolled out: until that is done, old Pods
that are started again, and Jobs that run, need the old object. So its prune waits.

The Pods, ReplicaSets and the like of a namespace are looked at only where such an object is to be
pruned, and where something there is ours to roll out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from reconciler.api.errors import ApiError, Forbidden
from reconciler.api.objects import (
    GroupKind,
    Object,
    ObjectKey,
    RedactedRepr,
    first_few,
    key_of,
    map_of,
    maps_of,
    number_of,
)
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.cluster.kstatus import Status, has_finished, object_status
from reconciler.cluster.parallel import in_parallel
from reconciler.federation.references import ACCOUNT, CONFIG_MAP, SECRET, named_in
from reconciler.plan.model import Change

USED_BY_PODS = (CONFIG_MAP, SECRET, ACCOUNT)
_PODS = RESTMapping("v1", "Pod", "pods", namespaced=True)
_REVISIONS = (
    RESTMapping("apps/v1", "ReplicaSet", "replicasets", namespaced=True),
    RESTMapping("apps/v1", "ControllerRevision", "controllerrevisions", namespaced=True),
)
_JOBS = RESTMapping("batch/v1", "Job", "jobs", namespaced=True)
_RUNS_PODS = frozenset(
    {
        GroupKind("", "Pod"),
        GroupKind("", "ReplicationController"),
        GroupKind("apps", "Deployment"),
        GroupKind("apps", "StatefulSet"),
        GroupKind("apps", "DaemonSet"),
        GroupKind("apps", "ReplicaSet"),
        GroupKind("batch", "Job"),
        GroupKind("batch", "CronJob"),
    }
)


class Users(RedactedRepr, frozen=True):
    """What is ours in one member: ``live`` objects, those that Git ``wanted``, as it has them, and
    the keys of those that this plan prunes."""

    live: Mapping[ObjectKey, Object]
    wanted: Mapping[ObjectKey, Object]
    going: Collection[ObjectKey]


def waiting(member: Member, prunes: Sequence[Change], users: Users) -> dict[ObjectKey, str]:
    """Which of the prunes must wait, and for what. Costs four LISTs for each namespace with such a
    prune and workloads of ours. Where these may not be listed, every rollout in the namespace
    is waited for."""
    found: dict[ObjectKey, str] = {}
    asked = [c.key for c in prunes if c.key.group_kind in USED_BY_PODS]
    for namespace in sorted({key.namespace for key in asked}):
        here = {k: users.live[k] for k in users.live if k.namespace == namespace}
        workloads = [k for k in here if k.group_kind in _RUNS_PODS and k not in users.going]
        keys = [key for key in asked if key.namespace == namespace]
        if not workloads:
            continue
        left, kept = _left_by_this_run(here, users), _named_by_kept(here, users)
        still = [key for key in keys if _as_named(key) not in {**left, **kept}]
        old, unknown = (
            _named_by_old_revisions(member, namespace, here, users) if still else ({}, "")
        )
        for key in keys:
            if names := left.get(_as_named(key)):
                found[key] = f"until the rollout that leaves it is done: {first_few(names)}"
            elif names := kept.get(_as_named(key)) or old.get(_as_named(key)):
                found[key] = f"while it is still named by {first_few(names)}"
            elif unknown:
                found[key] = unknown
    return found


def _as_named(key: ObjectKey) -> tuple[GroupKind, str]:
    return key.group_kind, key.name


def _left_by_this_run(
    here: Mapping[ObjectKey, Object], users: Users
) -> dict[tuple[GroupKind, str], list[str]]:
    """What workloads name in the cluster and no longer in Git, with those workloads."""
    found: dict[tuple[GroupKind, str], list[str]] = {}
    for key, live in sorted(here.items()):
        if key not in users.wanted or key.group_kind in USED_BY_PODS or has_finished(live):
            continue
        for named in named_in(live.get("spec")) - named_in(users.wanted[key].get("spec")):
            found.setdefault(named, []).append(str(key))
    return found


def _named_by_kept(
    here: Mapping[ObjectKey, Object], users: Users
) -> dict[tuple[GroupKind, str], list[str]]:
    """What is named by workloads that stay although Git no longer wants them here (as they are
    protected, say), with those workloads."""
    found: dict[tuple[GroupKind, str], list[str]] = {}
    for key, live in sorted(here.items()):
        stays = key.group_kind in _RUNS_PODS and key not in users.wanted and key not in users.going
        if stays and not has_finished(live):
            for named in named_in(live.get("spec")):
                found.setdefault(named, []).append(str(key))
    return found


def _named_by_old_revisions(
    member: Member, namespace: str, here: Mapping[ObjectKey, Object], users: Users
) -> tuple[dict[tuple[GroupKind, str], list[str]], str]:
    """What is named by Pods, by revisions of workloads that are being rolled out, and by Jobs that
    run, and not by Git's version of what they belong to; and why anything may be (else empty)."""

    def look(resource: RESTMapping) -> list[Object]:
        return member.list_objects(resource, namespace=namespace)

    try:
        pods, replica_sets, revisions, jobs = in_parallel(look, [_PODS, *_REVISIONS, _JOBS], 4)
    except Forbidden:
        unfinished = [str(key) for key, obj in sorted(here.items()) if _is_unfinished(obj)]
        why = f"until these are rolled out, as Pods may not be listed: {first_few(unfinished)}"
        return {}, why if unfinished else ""
    except ApiError as error:
        return {}, f"as the Pods that may use it cannot be listed: {error}"
    by_uid = {_uid(obj): obj for obj in (*here.values(), *replica_sets, *jobs)}
    found: dict[tuple[GroupKind, str], list[str]] = {}
    for obj in (*pods, *replica_sets, *revisions, *jobs):
        top = _top_of(obj, by_uid)
        if not _may_run(obj, top):
            continue
        key = key_of(top)
        if key in users.going or (key not in users.live and not _is_job(obj)):
            continue
        content = obj.get("data") if "data" in obj else obj.get("spec")
        git = named_in(users.wanted[key].get("spec")) if key in users.wanted else frozenset()
        for named in named_in(content) - git:
            found.setdefault(named, []).append(str(key_of(obj)))
    return found, ""


def _may_run(obj: Object, top: Object) -> bool:
    """Whether it runs, or may be started again, as it is."""
    if obj["metadata"].get("deletionTimestamp") and obj["kind"] != "Pod":
        return False
    if obj["kind"] in ("Pod", "Job"):
        return not has_finished(obj)
    if number_of(map_of(obj.get("spec")).get("replicas")):
        return True
    # While a rollout is under way, its controller may go back to an older revision.
    return obj is not top and object_status(top).status is not Status.CURRENT


def _is_unfinished(obj: Object) -> bool:
    """Whether a workload is being rolled out, or has Jobs that run, by its own words."""
    kind = key_of(obj).group_kind
    if kind not in _RUNS_PODS:
        return False
    if kind.kind in ("Pod", "Job"):
        return not has_finished(obj)
    active = bool(map_of(obj.get("status")).get("active"))
    return active or object_status(obj).status is not Status.CURRENT


def _is_job(obj: Object) -> bool:
    return bool(obj["kind"] == "Job")


def _top_of(obj: Object, by_uid: Mapping[str, Object]) -> Object:
    """What it belongs to in the end: a Pod's Deployment, a Job's CronJob; itself if to nothing."""
    for _ in range(8):
        owners = maps_of(obj["metadata"].get("ownerReferences"))
        owner = next((by_uid[o["uid"]] for o in owners if o.get("uid") in by_uid), None)
        if owner is None:
            return obj
        obj = owner
    return obj


def _uid(obj: Object) -> str:
    return str(obj["metadata"].get("uid", ""))
