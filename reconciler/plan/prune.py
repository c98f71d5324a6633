"""What is ours, live, and no longer wanted: prune, leave orphaned, or keep with a warning.

Pure but for ``foreign_objects_in``, which looks into namespaces and CRDs that would take others'
objects with them. When in doubt, keep.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import orjson
from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.annotations import ANNOTATIONS, BOOLEAN, KUBEFED_ORPHAN
from reconciler.api.errors import ApiError
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
)
from reconciler.api.reasons import Cause, Reason, remark
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import Discovery, GroupVersionKind, RESTMapping
from reconciler.cluster.parallel import in_parallel
from reconciler.federation.model import PruneRules
from reconciler.federation.selectors import matches
from reconciler.inventory.applyset import is_member
from reconciler.inventory.managed_fields import our_entry
from reconciler.plan.model import Action, Change
from reconciler.plan.requests import ORPHAN, PROPAGATION, PROTECT

CRD = GroupKind("apiextensions.k8s.io", "CustomResourceDefinition")
NAMESPACE = GroupKind("", "Namespace")
PVC = GroupKind("", "PersistentVolumeClaim")
PV = GroupKind("", "PersistentVolume")
STATEFUL_SET = GroupKind("apps", "StatefulSet")
HOLDERS = (NAMESPACE, CRD)
"""Kinds whose objects take others along when they are deleted."""

_SNAPSHOT_GROUPS = ("snapshot.storage.k8s.io", "groupsnapshot.storage.k8s.io")

USED_BY_OTHERS = frozenset(
    {
        CRD,
        NAMESPACE,
        GroupKind("", "ConfigMap"),
        GroupKind("", "Secret"),
        GroupKind("", "ServiceAccount"),
        GroupKind("", "PersistentVolume"),
        GroupKind("", "PersistentVolumeClaim"),
        GroupKind("rbac.authorization.k8s.io", "Role"),
        GroupKind("rbac.authorization.k8s.io", "RoleBinding"),
        GroupKind("rbac.authorization.k8s.io", "ClusterRole"),
        GroupKind("rbac.authorization.k8s.io", "ClusterRoleBinding"),
        GroupKind("storage.k8s.io", "StorageClass"),
        GroupKind("scheduling.k8s.io", "PriorityClass"),
        GroupKind("networking.k8s.io", "IngressClass"),
    }
)
"""Kinds that are gone before what uses them: they wait for whatever may still be there."""

SYSTEM_NAMESPACES = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})

MANAGED_BY, NAME = "app.kubernetes.io/managed-by", "federation-reconciler"
_OWN_KINDS = frozenset(
    {
        GroupKind("", "Secret"),
        GroupKind("", "ConfigMap"),
        GroupKind("", "ServiceAccount"),
        GroupKind("coordination.k8s.io", "Lease"),
        GroupKind("rbac.authorization.k8s.io", "Role"),
        GroupKind("rbac.authorization.k8s.io", "RoleBinding"),
    }
)

_MADE_BY_THE_CLUSTER = frozenset(
    {
        GroupKind("", "Event"),
        GroupKind("events.k8s.io", "Event"),
        GroupKind("", "Endpoints"),
        GroupKind("discovery.k8s.io", "EndpointSlice"),
        GroupKind("metrics.k8s.io", "PodMetrics"),
        GroupKind("coordination.k8s.io", "Lease"),
    }
)
_NAMESPACE_HOLDS = frozenset(
    {
        "NamespaceContentRemaining",
        "NamespaceFinalizersRemaining",
        "NamespaceDeletionContentFailure",
        "NamespaceDeletionDiscoveryFailure",
        "NamespaceDeletionGroupVersionParsingFailure",
    }
)
_MADE_IN_EVERY_NAMESPACE = frozenset(
    {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}
)


def is_terminating(obj: Object) -> bool:
    """Whether it was deleted, and is still there."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def deletion_words(obj: Object) -> str:
    """Since when it is being deleted, and for what that waits."""
    metadata = obj["metadata"]
    text = f"it is being deleted since {metadata.get('deletionTimestamp')}"
    finalizers = list(metadata.get("finalizers") or ())
    if finalizers:
        text += f", and waits for its finalizers: {', '.join(map(str, finalizers))}"
    # A Namespace says itself what is left of its content.
    left = [
        str(condition.get("message"))
        for condition in maps_of(map_of(obj.get("status")).get("conditions"))
        if condition.get("status") == "True" and condition.get("type") in _NAMESPACE_HOLDS
    ]
    return "; ".join([text, *left])


class DeletionRules(Struct, frozen=True):
    """What decides on a deletion beside the object. ``own`` are the namespaces where this program
    keeps what it needs (inventory, memory, credentials, lock); of the kinds ``data_loss``, even
    what takes data along may be recreated."""

    prune: PruneRules
    own: frozenset[str]
    data_loss: tuple[GroupKind, ...] = ()


class PruneQuestion(RedactedRepr, frozen=True):
    """One live member of ours that nobody wants here any more."""

    key: ObjectKey
    kind: GroupVersionKind
    live: Object
    reason: Reason


def candidates(
    members: Mapping[ObjectKey, tuple[GroupVersionKind, Object]],
    wanted_here: Collection[ObjectKey],
    reason: Callable[[ObjectKey], Reason],
) -> Iterator[PruneQuestion]:
    """Members that are not wanted in this cluster, in order, and the ``reason`` of each."""
    for key in sorted(key for key in members if key not in wanted_here):
        kind, live = members[key]
        yield PruneQuestion(key, kind, live, reason(key))


def decide_prune(question: PruneQuestion, rules: DeletionRules) -> Change | str:
    """A PRUNE or ORPHAN change, or the reason why the object is kept. One that is being deleted by
    now is TERMINATING, whatever the rules say.

    An owner that somebody gave to an object of ours is reported, and keeps nothing: where it goes
    too both do, and where it stays the object has left Git all the same.
    """
    metadata = question.live["metadata"]
    annotations = metadata.get("annotations") or {}
    key, prune = question.key, rules.prune
    if is_terminating(question.live):
        going = _change(question, Action.TERMINATING, (question.reason,))
        return dataclasses.replace(going, error=deletion_words(question.live))
    # Anybody may have written these: what is neither yes nor no keeps the object.
    unclear = {
        name: value
        for name in (PROTECT, ORPHAN, KUBEFED_ORPHAN)
        if (value := annotations.get(name, "false")) not in BOOLEAN
    }
    propagation = annotations.get(PROPAGATION, prune.propagation)
    if propagation not in ANNOTATIONS["prune-propagation"]:
        unclear[PROPAGATION] = propagation
    if unclear:
        name, value = next(iter(unclear.items()))
        return f"its annotation {name} is {value!r}, and in doubt it stays"
    if "true" in (annotations.get(ORPHAN), annotations.get(KUBEFED_ORPHAN)):
        return _change(question, Action.ORPHAN, (question.reason, Reason(Cause.ORPHANED)))
    if not prune.enabled:
        return "spec.prune.enabled is false"
    if annotations.get(PROTECT) == "true":
        return f"it is protected by the annotation {PROTECT}"
    if key.group_kind in prune.protected_kinds:
        return f"{key.group_kind} is a protected kind"
    if prune.protected_labels and matches(prune.protected_labels, metadata.get("labels") or {}):
        return "its labels are protected by spec.prune.protect.labels"
    if key.group_kind == NAMESPACE and key.name in SYSTEM_NAMESPACES:
        return "the cluster needs this namespace"
    if _is_our_own(key, metadata.get("labels") or {}, rules.own):
        return "reconcile itself needs it; for a member that leaves there is: reconcile unjoin"
    owners = ", ".join(
        f"{o.get('kind')} {o.get('name')}" for o in owner_references_of(question.live)
    )
    remarks = [f"owned by {owners}" if owners else ""]
    if key.group_kind not in HOLDERS:
        remarks.append(data_deleted_with(key, question.live, propagation))
    reasons = (question.reason, *(remark(text) for text in remarks if text))
    return _change(question, Action.PRUNE, reasons, propagation)


def _is_our_own(key: ObjectKey, labels: Mapping[str, str], own: Collection[str]) -> bool:
    """Whether runs keep something in it, or get their rights by it, wherever else it comes from."""
    if labels.get(MANAGED_BY) == NAME:
        return True
    if key.group_kind == NAMESPACE:
        return key.name in own
    return key.namespace in own and key.group_kind in _OWN_KINDS


def decide_recreation(
    question: PruneQuestion, wanted: Object, rules: DeletionRules, applyset: str
) -> Change | str:
    """The deletion that a recreation begins with, or why the object must not be recreated.

    ``wanted`` is what will be made instead: its labels and annotations protect the object, and say
    how its dependents are deleted, before those that are on it.
    """
    live = question.live
    if not is_member(live, applyset):
        return "it is not in this federation's inventory: delete it yourself, or leave it"
    verdict = decide_prune(question, rules)
    if isinstance(verdict, Change):
        verdict = decide_prune(replace(question, live=_with_marks_of(wanted, live)), rules)
    if isinstance(verdict, str):
        return verdict
    if verdict.action is not Action.PRUNE:
        return "it is marked to be orphaned"
    along = data_deleted_with(question.key, live, verdict.propagation)
    if question.key.group_kind in HOLDERS:
        return along
    return data_loss(question.key, along, rules) or verdict


def data_loss(key: ObjectKey, along: str, rules: DeletionRules) -> str:
    """Why an object with which ``along`` is deleted must not be recreated; empty: it may be."""
    if not along or key.group_kind in rules.data_loss:
        return ""
    return f"{along}; spec.recreation.allowDataLoss: [{key.group_kind}] would allow it"


def _with_marks_of(wanted: Object, live: Object) -> Object:
    merged = {
        name: {**map_of(live["metadata"].get(name)), **map_of(wanted["metadata"].get(name))}
        for name in ("labels", "annotations")
    }
    return {**live, "metadata": {**live["metadata"], **merged}}


def data_deleted_with(key: ObjectKey, live: Object, propagation: str) -> str:
    """The data that is deleted with the object, as a sentence; empty: none."""
    spec = map_of(live.get("spec"))
    if key.group_kind in HOLDERS:
        return "all that it holds would be deleted with it"
    if key.group_kind == PVC:
        return "the data of its volume is deleted with it, unless that is retained"
    if key.group_kind == PV:
        policy = spec.get("persistentVolumeReclaimPolicy", "Delete")
        kept = (
            "its claim loses it" if policy == "Retain" else "the volume itself is deleted with it"
        )
        return f"{kept} (persistentVolumeReclaimPolicy: {policy})"
    if key.group in _SNAPSHOT_GROUPS and "Class" not in key.kind:
        return "the data of its snapshot is deleted with it, unless that is retained"
    policy = map_of(spec.get("persistentVolumeClaimRetentionPolicy"))
    deletes = key.group_kind == STATEFUL_SET and policy.get("whenDeleted") == "Delete"
    if deletes and propagation != "Orphan":
        return "its PersistentVolumeClaims are deleted with it (whenDeleted: Delete)"
    return ""


def recheck_prune(change: Change, live: Object, rules: DeletionRules, applyset: str) -> str:
    """Why an object that was written to since the plan must not be deleted, recreated or released
    as planned any more; empty: all that was decided on is as it was.

    ``change.live`` is the object that was decided on, ``live`` the same one read again.
    """
    if live["metadata"].get("uid") != change.uid:
        return "it was deleted and made again since the plan"
    if is_terminating(live):
        return ""
    if not is_member(live, applyset):
        return "it is no longer ours"
    if change.action is Action.RECREATE:
        same = change.live is not None and _substance(live) == _substance(change.live)
        return "" if same else "it was changed since the plan"
    kind = GroupVersionKind(change.api_version, change.key.kind)
    then, now = (
        decide_prune(PruneQuestion(change.key, kind, obj, remark("it is no longer wanted")), rules)
        for obj in (change.live or live, live)
    )
    if isinstance(then, str) or then.action is not change.action:
        return ""  # Released by somebody who asked for it, whatever the rules say.
    if isinstance(now, str):
        return now
    if (then.action, then.reasons, then.propagation) == (now.action, now.reasons, now.propagation):
        return ""
    return f"since the plan it is to {now.action} ({now.propagation} deletion): {now.reason}"


def _substance(obj: Object) -> bytes:
    """What people and rules decide by: all but the status and the server's own book-keeping. As
    JSON, which tells 1 from true."""
    kept = ("resourceVersion", "generation", "managedFields")
    metadata = {k: v for k, v in obj["metadata"].items() if k not in kept}
    content = {**{k: v for k, v in obj.items() if k != "status"}, "metadata": metadata}
    return orjson.dumps(content, option=orjson.OPT_SORT_KEYS)


def _change(
    question: PruneQuestion,
    action: Action,
    reasons: tuple[Reason, ...],
    propagation: str = "Background",
) -> Change:
    metadata = question.live["metadata"]
    return Change(
        action,
        question.key,
        question.kind.api_version,
        reasons=reasons,
        uid=str(metadata.get("uid", "")),
        resource_version=str(metadata.get("resourceVersion", "")),
        propagation=propagation,
        live=question.live,
    )


def staying_in(
    key: ObjectKey, live: Object, members: Collection[ObjectKey], going: Collection[ObjectKey]
) -> str:
    """Our own objects that the Namespace or CRD ``key`` would delete with it although they stay.

    They are wanted, protected, orphaned, or not gone yet; empty: there are none.
    """
    inside = sorted(str(one) for one in members if _is_inside(one, key, live) and one not in going)
    return first_few(inside)


def _is_inside(one: ObjectKey, key: ObjectKey, live: Object) -> bool:
    if key.group_kind == NAMESPACE:
        return one.namespace == key.name
    spec = live.get("spec") or {}
    return one.group_kind == GroupKind(spec.get("group", ""), spec.get("names", {}).get("kind", ""))


def foreign_objects_in(
    member: Member,
    change: Change,
    live: Object,
    discovery: Discovery,
    applyset: str,
    going: Collection[str],
) -> str:
    """What would be deleted along with a Namespace or CRD and is not ours; empty: nothing.

    ``going`` are the UIDs of objects that go anyway, and whose dependents therefore go as well.
    Costs one metadata LIST per kind that the member serves, and only for such prunes. What the
    account may not look at counts as foreign. Raises ApiError where a list failed otherwise.
    """
    if change.key.group_kind == CRD:
        spec = map_of(live.get("spec"))
        names = map_of(spec.get("names"))
        kinds = [
            r
            for r in discovery.listable()
            if r.kind == names.get("kind") and api_group(r.api_version) == spec.get("group")
        ]
        namespace = ""
        if not kinds and _is_established(live):
            return f"{names.get('plural')} that cannot be listed, as no version is served"
    elif change.key.group_kind == NAMESPACE:
        kinds = [r for r in discovery.listable() if r.namespaced]
        namespace = change.key.name
    else:
        return ""
    if down := groups_down(change.key, live, discovery):
        return f"objects of API groups that are down ({', '.join(down)})"

    def look(resource: RESTMapping) -> list[Object] | str:
        if GroupKind(api_group(resource.api_version), resource.kind) in _MADE_BY_THE_CLUSTER:
            return []
        try:
            return member.list_objects(resource, namespace=namespace, metadata_only=True)
        except ApiError as error:
            if error.code in (404, 405):
                return []
            if error.code == 403:
                return f"{resource.plural} that cannot be listed"
            kind = f"{resource.kind} ({resource.api_version})"
            raise error.described_for(lambda text: f"{kind}: {text}") from None

    found = in_parallel(look, kinds, 8)
    inside = [obj for one in found if not isinstance(one, str) for obj in one]
    gone = {*going, change.uid}
    if change.key.group_kind == NAMESPACE:
        listed = {
            GroupKind(api_group(r.api_version), r.kind)
            for r, one in zip(kinds, found, strict=True)
            if not isinstance(one, str)
        }
        gone |= _owners_gone(inside, listed - _MADE_BY_THE_CLUSTER)
    leaving = _with_dependents(gone, inside)
    foreign_objects = [one for one in found if isinstance(one, str)]
    foreign_objects += [str(key_of(o)) for o in inside if _is_foreign_object(o, applyset, leaving)]
    return first_few(foreign_objects)


def groups_down(key: ObjectKey, live: Object, discovery: Discovery) -> tuple[str, ...]:
    """The API groups that cannot be listed now, of those whose objects would be deleted with it: a
    Namespace may hold some of any, a CRD only has those of its own."""
    if key.group_kind == CRD:
        own = map_of(live.get("spec")).get("group")
        return tuple(group for group in discovery.failed_groups if group == own)
    return discovery.failed_groups


def _is_established(crd: Object) -> bool:
    conditions = maps_of(map_of(crd.get("status")).get("conditions"))
    return any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions)


def uids_to_delete(changes: Iterable[Change]) -> set[str]:
    """The UIDs of what is pruned such that its dependents go as well."""
    return {c.uid for c in changes if c.action is Action.PRUNE and c.propagation != "Orphan"}


def owner_references_of(obj: Object) -> list[Object]:
    """The object's ownerReferences, as they are."""
    return maps_of(obj["metadata"].get("ownerReferences"))


def _owners_gone(objects: Collection[Object], listed: Collection[GroupKind]) -> set[str]:
    """The UIDs of owners that are no longer there, of kinds of which all in a namespace are seen:
    the garbage collector has yet to come to what they owned."""
    there = {_uid(o) for o in objects}
    return {
        str(r.get("uid"))
        for o in objects
        for r in owner_references_of(o)
        if r.get("uid") not in there
        and GroupKind(api_group(str(r.get("apiVersion", ""))), str(r.get("kind"))) in listed
    }


def _with_dependents(going: set[str], objects: Collection[Object]) -> set[str]:
    """The UIDs ``going``, and of all that the garbage collector removes after them.

    It removes what has owners and none of them any more: one owner that stays keeps its object.
    """
    leaving = going | {_uid(o) for o in objects if _takes_dependents(o)}
    waiting = [o for o in objects if owner_references_of(o) and _uid(o) not in leaving]
    while True:
        found = {
            _uid(o)
            for o in waiting
            if _uid(o) not in leaving
            and all(r.get("uid") in leaving for r in owner_references_of(o))
        }
        if not found:
            return leaving
        leaving |= found


def _takes_dependents(obj: Object) -> bool:
    metadata = obj["metadata"]
    orphans = "orphan" in (metadata.get("finalizers") or ())
    return bool(metadata.get("deletionTimestamp")) and not orphans


def _uid(obj: Object) -> str:
    return str(obj["metadata"].get("uid", ""))


def _is_foreign_object(obj: Object, applyset: str, leaving: Collection[str]) -> bool:
    metadata = obj["metadata"]
    if metadata.get("deletionTimestamp") or _uid(obj) in leaving:
        return False
    if (obj["kind"], metadata.get("name")) in _MADE_IN_EVERY_NAMESPACE:
        return False
    # Our marks without an apply of ours may have been copied from an object of ours.
    return not is_member(obj, applyset) or our_entry(obj) is None


def owned_claims(member: Member, key: ObjectKey, live: Object) -> str:
    """PersistentVolumeClaims that are deleted with a custom resource; empty: none.

    Those that it owns, also through what it owns. Costs discovery, one metadata LIST, and a GET for
    each other owner that a claim has. What may not be looked at counts as going along. Raises
    ApiError.
    """
    if "." not in key.group or key.group.endswith(".k8s.io"):
        return ""
    discovery = member.discover()
    resource = discovery.find(GroupVersionKind("v1", PVC.kind))
    if resource is None:
        return ""
    try:
        claims = member.list_objects(resource, namespace=key.namespace, metadata_only=True)
    except ApiError as error:
        if error.code != 403:
            raise
        return "PersistentVolumeClaims, which may not be listed, may be deleted with it"
    owners: dict[str, list[Object] | None] = {}

    def descends(claim: Object) -> bool:
        above, seen = [claim], set[str]()
        while above:
            obj = above.pop()
            for reference in owner_references_of(obj):
                uid = str(reference.get("uid", ""))
                if uid == _uid(live):
                    return True
                if uid not in owners:
                    owners[uid] = _owner(member, reference, obj, discovery)
                if (found := owners[uid]) is None:
                    return True
                if uid not in seen:
                    seen.add(uid)
                    above += found
        return False

    found = [str(key_of(claim)) for claim in claims if descends(claim)]
    return f"{first_few(found)} would be deleted with it" if found else ""


def _owner(
    member: Member, reference: Object, owned: Object, discovery: Discovery
) -> list[Object] | None:
    """The object that an ownerReference names, if it is there; None: it may not be looked at."""
    kind = GroupVersionKind(str(reference.get("apiVersion", "")), str(reference.get("kind", "")))
    resource = discovery.find(kind)
    if resource is None:
        return []
    namespace = str(owned["metadata"].get("namespace") or "") if resource.namespaced else ""
    group = api_group(kind.api_version)
    key = ObjectKey(group, kind.kind, namespace, str(reference.get("name", "")))
    try:
        live = member.get(resource, key)
    except ApiError as error:
        if error.code == 403:
            return None
        raise
    return [live] if live and _uid(live) == reference.get("uid") else []
