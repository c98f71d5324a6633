"""The room on a member's nodes: one LIST of its nodes, and one of its Pods in pages."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from reconciler.api.errors import ClusterError, Gone
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import DEFAULT_NAMESPACE, Object, ObjectKey, map_of, maps_of
from reconciler.api.quantities import thousandths
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.cluster.parallel import in_parallel
from reconciler.cluster.responses import reading_answers
from reconciler.federation.model import DesiredState, Selector, Taint, Workload
from reconciler.federation.selectors import matches, parse_selector, selects
from reconciler.plan.live_state import CONCURRENT_MEMBERS, MemberState
from reconciler.scheduler.capacity import needs_room
from reconciler.scheduler.room import ClusterRoom, FreeNode, requests_of

NODES = RESTMapping("v1", "Node", "nodes", namespaced=False)
PODS = RESTMapping("v1", "Pod", "pods", namespaced=True)
_DONE = ("Succeeded", "Failed")


def rooms_of(
    state: DesiredState,
    seen: Sequence[MemberState],
    silent: Collection[str],
    known: Collection[str],
) -> tuple[Mapping[str, ClusterRoom | None], frozenset[str], tuple[Notice, ...]]:
    """Cluster -> its room, or None where it takes nothing new, which is told where it is odd; and
    the clusters that may run what nobody sees.

    Only clusters are asked that a workload may use which goes by room, and whose capacity Git does
    not say. ``silent``: those that could not be looked at. One of them that is ``known`` from
    earlier runs may run what is lacking; another one takes nothing before it answers.
    """
    workloads = [w for w in state.workloads if needs_room(w)]
    asked = [
        one
        for one in seen
        if one.member is not None
        and one.observation is not None
        and one.cluster.capacity is None
        and any(
            w.rules.target is not None and selects(w.rules.target, one.cluster) for w in workloads
        )
    ]

    def read(one: MemberState) -> ClusterRoom | Notice:
        try:
            if one.member is None:
                raise ClusterError(one.cluster.name, "it was not looked at")
            with reading_answers(one.cluster.name):
                try:
                    return read_room(one.member, workloads)
                except Gone:
                    # A page token expired: from the beginning, once.
                    return read_room(one.member, workloads)
        except ClusterError as error:
            return notice(NoticeCause.ROOM_UNKNOWN, one.cluster.name, error=str(error))

    found = in_parallel(read, asked, CONCURRENT_MEMBERS) if asked else []
    rooms = {
        one.cluster.name: None if isinstance(room, Notice) else room
        for one, room in zip(asked, found, strict=True)
    }
    rooms |= dict.fromkeys(set(silent) - set(known))
    unseen = frozenset(set(silent) & set(known))
    return rooms, unseen, tuple(room for room in found if isinstance(room, Notice))


class _Own(Struct, frozen=True):
    key: ObjectKey
    namespace: str
    selector: Selector


def read_room(member: Member, workloads: Sequence[Workload]) -> ClusterRoom:
    """What is free on the nodes, and how many Pods of each of these workloads they run.

    Raises ClusterError; Gone when listing the Pods took too long.
    """
    nodes = [node for node in member.list_objects(NODES) if _takes_pods(node)]
    own = [
        _Own(w.key, w.key.namespace or DEFAULT_NAMESPACE, parse_selector(selector))
        for w in workloads
        if (selector := map_of(map_of(w.template.get("spec")).get("selector")))
    ]
    used: dict[str, Counter[str]] = defaultdict(Counter)
    scheduled: Counter[ObjectKey] = Counter()

    def count(pod: Object) -> None:
        spec, metadata = map_of(pod.get("spec")), map_of(pod.get("metadata"))
        name, phase = spec.get("nodeName"), map_of(pod.get("status")).get("phase")
        if not name or phase in _DONE:
            return
        used[str(name)].update(requests_of(spec))
        labels, namespace = map_of(metadata.get("labels")), metadata.get("namespace")
        for one in own:
            if one.namespace == namespace and matches(one.selector, labels):
                scheduled[one.key] += 1

    member.for_each(PODS, count)
    return ClusterRoom(
        tuple(_free_node(node, used[str(node["metadata"]["name"])]) for node in nodes),
        dict(scheduled),
    )


def _takes_pods(node: Object) -> bool:
    conditions = maps_of(map_of(node.get("status")).get("conditions"))
    ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
    return ready and not map_of(node.get("spec")).get("unschedulable")


def _free_node(node: Object, used: Mapping[str, int]) -> FreeNode:
    metadata, allocatable = node["metadata"], map_of(map_of(node.get("status")).get("allocatable"))
    taints = maps_of(map_of(node.get("spec")).get("taints"))
    return FreeNode(
        str(metadata["name"]),
        {
            name: amount - used.get(name, 0)
            for name, quantity in allocatable.items()
            if (amount := thousandths(quantity)) is not None
        },
        {str(k): str(v) for k, v in map_of(metadata.get("labels")).items()},
        tuple(
            Taint(str(t.get("key")), str(t.get("value") or ""), t["effect"])
            for t in taints
            if t.get("effect") in ("NoSchedule", "NoExecute", "PreferNoSchedule")
        ),
    )
