"""What is ours, live, and no longer wanted: prune, leave orphaned, or keep with a warning.

Pure but for ``strangers_in``, which looks into namespaces and CRDs that would take others' objects
with them. When in doubt, keep.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from msgspec import Struct

from reconciler.cluster.member import Member
from reconciler.cluster.parallel import in_parallel
from reconciler.cluster.resources import Discovery, Resource, VersionedKind
from reconciler.errors import ApiError
from reconciler.federation.model import PruneRules, Selector
from reconciler.inventory.applyset import is_member
from reconciler.manifests.marks import ANNOTATIONS, BOOLEAN, KUBEFED_ORPHAN
from reconciler.objects import GroupKind, Object, ObjectKey, key_of
from reconciler.planning.plan import Action, Change
from reconciler.planning.requests import ORPHAN, PROPAGATION, PROTECT

CRD = GroupKind("apiextensions.k8s.io", "CustomResourceDefinition")
NAMESPACE = GroupKind("", "Namespace")

SYSTEM_NAMESPACES = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})

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
_MADE_IN_EVERY_NAMESPACE = frozenset(
    {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}
)


class PruneQuestion(Struct, frozen=True):
    """One live member of ours that nobody wants here any more."""

    key: ObjectKey
    kind: VersionedKind
    live: Object
    reason: str


def candidates(
    members: Mapping[ObjectKey, tuple[VersionedKind, Object]],
    wanted_here: Collection[ObjectKey],
    reason: Callable[[ObjectKey], str],
) -> Iterator[PruneQuestion]:
    """Members that are not wanted in this cluster, in order, and the ``reason`` of each; those
    already going are left out."""
    for key in sorted(key for key in members if key not in wanted_here):
        kind, live = members[key]
        if live["metadata"].get("deletionTimestamp"):
            continue
        yield PruneQuestion(key, kind, live, reason(key))


def decide(
    question: PruneQuestion,
    rules: PruneRules,
    matches: Callable[[Selector, Mapping[str, str]], bool],
    inventory_namespace: str,
) -> Change | str:
    """A PRUNE or ORPHAN change, or the reason why the object is kept."""
    metadata = question.live["metadata"]
    annotations = metadata.get("annotations") or {}
    key = question.key
    # Anybody may have written these: what is neither yes nor no keeps the object.
    unclear = {
        name: value
        for name in (PROTECT, ORPHAN, KUBEFED_ORPHAN)
        if (value := annotations.get(name, "false")) not in BOOLEAN
    }
    propagation = annotations.get(PROPAGATION, rules.propagation)
    if propagation not in ANNOTATIONS["prune-propagation"]:
        unclear[PROPAGATION] = propagation
    if unclear:
        name, value = next(iter(unclear.items()))
        return f"its annotation {name} is {value!r}, and in doubt it stays"
    if "true" in (annotations.get(ORPHAN), annotations.get(KUBEFED_ORPHAN)):
        return _change(question, Action.ORPHAN, f"{question.reason}, and marked to be orphaned")
    if not rules.enabled:
        return "spec.prune.enabled is false"
    if annotations.get(PROTECT) == "true":
        return f"it is protected by the annotation {PROTECT}"
    if key.group_kind in rules.protected_kinds:
        return f"{key.group_kind} is a protected kind"
    if rules.protected_labels and matches(rules.protected_labels, metadata.get("labels") or {}):
        return "its labels are protected by spec.prune.protect.labels"
    if metadata.get("ownerReferences"):
        return "it has an owner, which will collect it"
    if key.group_kind == NAMESPACE and key.name in {*SYSTEM_NAMESPACES, inventory_namespace}:
        return "the cluster needs this namespace"
    return _change(question, Action.PRUNE, question.reason, propagation)


def _change(
    question: PruneQuestion, action: Action, reason: str, propagation: str = "Background"
) -> Change:
    metadata = question.live["metadata"]
    return Change(
        action,
        question.key,
        question.kind.api_version,
        reason=reason,
        uid=str(metadata.get("uid", "")),
        resource_version=str(metadata.get("resourceVersion", "")),
        propagation=propagation,
        live=question.live,
    )


def staying_in(
    key: ObjectKey, live: Object, members: Collection[ObjectKey], going: Collection[ObjectKey]
) -> str:
    """Our own objects that the Namespace or CRD ``key`` would take along although they stay.

    They are wanted, protected, orphaned, or not gone yet; empty: there are none.
    """
    inside = sorted(str(one) for one in members if _is_inside(one, key, live) and one not in going)
    return ", ".join(inside[:3]) + (f" and {len(inside) - 3} more" if inside[3:] else "")


def _is_inside(one: ObjectKey, key: ObjectKey, live: Object) -> bool:
    if key.group_kind == NAMESPACE:
        return one.namespace == key.name
    spec = live.get("spec") or {}
    return one.group_kind == GroupKind(spec.get("group", ""), spec.get("names", {}).get("kind", ""))


def strangers_in(
    member: Member, change: Change, live: Object, discovery: Discovery, applyset: str
) -> str:
    """What would be deleted along with a Namespace or CRD and is not ours; empty: nothing.

    Costs one metadata LIST per kind that the member serves, and only for such prunes. What the
    account may not look at counts as a stranger. Raises ApiError where a list failed otherwise.
    """
    if change.key.group_kind == CRD:
        names = live.get("spec", {}).get("names", {})
        kinds = [
            r
            for r in discovery.listable()
            if r.kind == names.get("kind")
            and r.api_version.partition("/")[0] == live.get("spec", {}).get("group")
        ]
        namespace = ""
    elif change.key.group_kind == NAMESPACE:
        kinds = [r for r in discovery.listable() if r.namespaced]
        namespace = change.key.name
    else:
        return ""
    if discovery.failed_groups:
        return f"objects of API groups that are down ({', '.join(discovery.failed_groups)})"

    def look(resource: Resource) -> list[str]:
        if GroupKind(_group(resource), resource.kind) in _MADE_BY_THE_CLUSTER:
            return []
        try:
            found = member.list_objects(resource, namespace=namespace, metadata_only=True)
        except ApiError as error:
            if error.code in (404, 405):
                return []
            if error.code == 403:
                return [f"{resource.plural} that cannot be listed"]
            raise
        return [str(key_of(o)) for o in found if _is_stranger(o, applyset)]

    strangers = [text for texts in in_parallel(look, kinds, 8) for text in texts]
    shown = ", ".join(strangers[:3])
    return shown + (f" and {len(strangers) - 3} more" if len(strangers) > 3 else "")


def _group(resource: Resource) -> str:
    group, slash, _ = resource.api_version.partition("/")
    return group if slash else ""


def _is_stranger(obj: Object, applyset: str) -> bool:
    metadata = obj["metadata"]
    if metadata.get("ownerReferences") or metadata.get("deletionTimestamp"):
        return False
    if (obj["kind"], metadata.get("name")) in _MADE_IN_EVERY_NAMESPACE:
        return False
    return not is_member(obj, applyset)
