"""ConfigMaps, Secrets and ServiceAccounts that leave Git while an old revision still names them.

A name that changes with its content (kustomize's hash) is rolled out: until that is done, old Pods
that are started again, and Jobs that run, need the old object. So its prune waits.

The Pods, ReplicaSets and the like of a namespace are looked at only where such an object is to be
pruned, and where something there is ours to roll out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from reconciler.api.errors import ApiError, Forbidden
from reconciler.api.objects import (
    GroupKind,
    Object,
    ObjectKey,
    RedactedRepr,
    api_group,
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
from reconciler.federation.references import ACCOUNT, CONFIG_MAP, SECRET, Named, named_in
from reconciler.plan.model import Change
from reconciler.plan.requests import ApplyTarget

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
    """What is ours in one member: ``live`` objects, the targets of those that are ``wanted``, and
    the keys of those that this plan prunes.

    Objects are asked for one after the other, and none is held: there may be a hundred thousand.
    """

    live: Mapping[ObjectKey, Object]
    wanted: Mapping[ObjectKey, ApplyTarget]
    going: Collection[ObjectKey]


def waiting(member: Member, prunes: Sequence[Change], users: Users) -> dict[ObjectKey, str]:
    """Which of the prunes must wait, and for what. Costs four LISTs for each namespace with such a
    prune and workloads of ours. Where these may not be listed, every rollout in the namespace
    is waited for."""
    found: dict[ObjectKey, str] = {}
    asked = [c.key for c in prunes if c.key.group_kind in USED_BY_PODS]
    for namespace in sorted({key.namespace for key in asked}):
        here = sorted(key for key in users.live if key.namespace == namespace)
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
    here: Sequence[ObjectKey], users: Users
) -> dict[tuple[GroupKind, str], list[str]]:
    """What workloads name in the cluster and no longer in Git, with those workloads."""
    found: dict[tuple[GroupKind, str], list[str]] = {}
    for key in here:
        if key not in users.wanted or key.group_kind in USED_BY_PODS:
            continue
        live = users.live[key]
        if has_finished(live):
            continue
        for named in named_in(live.get("spec")) - _named_in_git(users, key):
            found.setdefault(named, []).append(str(key))
    return found


def _named_in_git(users: Users, key: ObjectKey) -> Named:
    return named_in(users.wanted[key].body.get("spec"))


def _named_by_kept(
    here: Sequence[ObjectKey], users: Users
) -> dict[tuple[GroupKind, str], list[str]]:
    """What is named by workloads that stay although Git no longer wants them here (as they are
    protected, say), with those workloads."""
    found: dict[tuple[GroupKind, str], list[str]] = {}
    for key in here:
        stays = key.group_kind in _RUNS_PODS and key not in users.wanted and key not in users.going
        if stays and not has_finished(live := users.live[key]):
            for named in named_in(live.get("spec")):
                found.setdefault(named, []).append(str(key))
    return found


def _named_by_old_revisions(
    member: Member, namespace: str, here: Sequence[ObjectKey], users: Users
) -> tuple[dict[tuple[GroupKind, str], list[str]], str]:
    """What is named by Pods, by revisions of workloads that are being rolled out, and by Jobs that
    run, and not by Git's version of what they belong to; and why anything may be (else empty)."""

    def look(resource: RESTMapping) -> list[Object]:
        return member.list_objects(resource, namespace=namespace, keep=_in_short)

    try:
        pods, replica_sets, revisions, jobs = in_parallel(look, [_PODS, *_REVISIONS, _JOBS], 4)
    except Forbidden:
        unfinished = [
            str(key)
            for key in here
            if key.group_kind in _RUNS_PODS and _is_unfinished(users.live[key])
        ]
        why = f"until these are rolled out, as Pods may not be listed: {first_few(unfinished)}"
        return {}, why if unfinished else ""
    except ApiError as error:
        return {}, f"as the Pods that may use it cannot be listed: {error}"
    others = {_uid(obj): obj for obj in (*replica_sets, *jobs)}

    def owner(reference: Object) -> Object | None:
        """What of ours, or of these, it means."""
        uid, version = str(reference.get("uid", "")), str(reference.get("apiVersion", ""))
        if uid in others:
            return others[uid]
        kind, name = str(reference.get("kind", "")), str(reference.get("name", ""))
        live = users.live.get(ObjectKey(api_group(version), kind, namespace, name))
        return live if live is not None and _uid(live) == uid else None

    found: dict[tuple[GroupKind, str], list[str]] = {}
    for obj in (*pods, *replica_sets, *revisions, *jobs):
        top = _top_of(obj, owner)
        if not _may_run(obj, top):
            continue
        key = key_of(top)
        if key in users.going or (key not in users.live and not _is_job(obj)):
            continue
        git = _named_in_git(users, key) if key in users.wanted else frozenset()
        for named in obj[_NAMED] - git:
            found.setdefault(named, []).append(str(key_of(obj)))
    return found, ""


_NAMED = "named"


def _in_short(obj: Object) -> Object:
    """What is asked of a Pod, a revision or a Job here, and what it names: all of a namespace's
    would take much room."""
    metadata, spec = obj["metadata"], map_of(obj.get("spec"))
    kept = ("name", "namespace", "uid", "generation", "deletionTimestamp", "ownerReferences")
    return {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "metadata": {name: metadata[name] for name in kept if name in metadata},
        "spec": {k: v for k, v in spec.items() if k != "template"} if obj["kind"] != "Pod" else {},
        "status": map_of(obj.get("status")),
        _NAMED: named_in(obj.get("data") if "data" in obj else obj.get("spec")),
    }


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


def _top_of(obj: Object, owner: Callable[[Object], Object | None]) -> Object:
    """What it belongs to in the end: a Pod's Deployment, a Job's CronJob; itself if to nothing."""
    for _ in range(8):
        references = maps_of(obj["metadata"].get("ownerReferences"))
        above = next((one for ref in references if (one := owner(ref)) is not None), None)
        if above is None:
            return obj
        obj = above
    return obj


def _uid(obj: Object) -> str:
    return str(obj["metadata"].get("uid", ""))
