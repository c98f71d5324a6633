"""Replicas that an autoscaler outside of Git sets: whose they are, and whether it is still there.

managedFields tell that something else set the count, but not whether it still would: an autoscaler
that is gone leaves its entry behind. So the member is asked, by one LIST of its
HorizontalPodAutoscalers (KEDA makes one, too), and only where a count differs from Git's.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Collection, Mapping, Sequence

from msgspec.structs import replace

from reconciler.cluster.member import Member
from reconciler.cluster.resources import Resource
from reconciler.errors import ApiError
from reconciler.federation.autoscalers import ScaleTarget, scale_target, scaled_as
from reconciler.federation.known_kinds import REPLICAS
from reconciler.health.object_status import stated_replicas
from reconciler.objects import Object, ObjectKey, maps_of
from reconciler.planning.requests import Target, count_owners

AUTOSCALERS = Resource(
    "autoscaling/v1", "HorizontalPodAutoscaler", "horizontalpodautoscalers", namespaced=True
)
_ASK_FOR = ("kube-controller-manager", "keda*")
"""Managers that scale for a HorizontalPodAutoscaler; their entries outlive it."""
_OTHERS = ("*autoscal*",)
"""Managers that scale by themselves."""


def with_autoscalers(
    member: Member,
    targets: Sequence[Target],
    live: Sequence[Object | None],
    leaving: Callable[[], Collection[str]],
) -> tuple[Sequence[Target], frozenset[ObjectKey], list[str]]:
    """The targets, which of them leave their count to an autoscaler, and what to tell of those.

    ``leaving``: UIDs of what this run prunes; an autoscaler among it scales nothing any more.
    """
    asked = [_is_anothers(t, obj) for t, obj in zip(targets, live, strict=True)]
    if not any(asked):
        return targets, frozenset(), []
    scalers = _scalers(member, leaving)
    remarks: list[str] = []
    settled = [
        _settled(target, obj, scalers, remarks) if ask and obj is not None else target
        for target, obj, ask in zip(targets, live, asked, strict=True)
    ]
    left = frozenset(
        new.key for new, old in zip(settled, targets, strict=True) if new.desired is not old.desired
    )
    return settled, left, remarks


def _is_anothers(target: Target, live: Object | None) -> bool:
    """Whether the live count is not Git's, and somebody else has set it."""
    desired = target.desired
    stated = stated_replicas(target.body)
    if live is None or stated is None or desired.force_conflicts:
        return False
    if REPLICAS in desired.retain and stated:
        return False
    return stated_replicas(live) != stated and bool(count_owners(live))


def _scalers(
    member: Member, leaving: Callable[[], Collection[str]]
) -> dict[ScaleTarget, str] | None:
    """What the member's autoscalers scale; None where they cannot be listed."""
    try:
        found = member.list_objects(AUTOSCALERS)
    except ApiError:
        return None
    gone = set(leaving())
    return {
        target: f"HorizontalPodAutoscaler {scaler['metadata']['name']}"
        for scaler in found
        if (target := scale_target(scaler)) and not gone & _uids(scaler)
    }


def _uids(obj: Object) -> set[str]:
    """Of the object and its owners, with which it goes."""
    metadata = obj["metadata"]
    owners = maps_of(metadata.get("ownerReferences"))
    return {str(metadata.get("uid")), *(str(owner.get("uid")) for owner in owners)}


def _settled(
    target: Target,
    live: Object,
    scalers: Mapping[ScaleTarget, str] | None,
    remarks: list[str],
) -> Target:
    holders = [
        str(entry.get("manager"))
        for entry in count_owners(live)
        if entry.get("subresource") == "scale"
    ]
    stated = stated_replicas(target.body)
    if scalers is None:
        scaler = next((name for name in holders if _is_one_of(name, _ASK_FOR)), "")
    else:
        scaler = scalers.get(scaled_as(target.key), "")
    scaler = scaler or next((name for name in holders if _is_one_of(name, _OTHERS)), "")
    if scaler and stated:
        now = stated_replicas(live)
        remarks.append(
            f"{target.key}: spec.replicas is left at {now} to {scaler}, which is not in Git; Git "
            f"says {stated}: leave it out there, or take it with the annotation "
            'federation.reconciler.dev/force-conflicts: "true"'
        )
        retain = tuple(dict.fromkeys((*target.desired.retain, REPLICAS)))
        return replace(target, desired=replace(target.desired, retain=retain, autoscaler=scaler))
    # Whoever has only scaled it is no lasting owner: nothing sets it again.
    return replace(target, takes_count=len(holders) == len(count_owners(live)))


def _is_one_of(manager: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(manager, pattern) for pattern in patterns)
