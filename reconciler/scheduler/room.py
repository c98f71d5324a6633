"""For how many replicas of a workload a cluster has room: by its nodes, and the Pods on them.

A Pod fits where a node is Ready and schedulable, bears its node selector and required node
affinity, has no taint that it does not tolerate, and has as much free of each resource as it
requests. What depends on other Pods (spreading, affinity, host ports) and volumes is not looked at.

Pure; the nodes are read by ``plan.node_room``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, field

from reconciler.api.objects import Object, ObjectKey, RedactedRepr, map_of, maps_of
from reconciler.api.quantities import thousandths
from reconciler.federation.model import Taint, Toleration, Workload
from reconciler.scheduler.filter_score import tolerates

PODS = "pods"
_KEEPS_AWAY = ("NoSchedule", "NoExecute")

Amounts = Mapping[str, int]
"""Resource -> amount in thousandths; ``pods`` counts Pods."""


class FreeNode(Struct, frozen=True):
    """A node that takes Pods, and what is free on it."""

    name: str
    free: Amounts
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()


class ClusterRoom(Struct, frozen=True):
    """``scheduled``: workload -> its Pods that are on nodes now."""

    nodes: tuple[FreeNode, ...] = ()
    scheduled: Mapping[ObjectKey, int] = field(default_factory=dict)


class PodNeeds(RedactedRepr, frozen=True):
    """What a node must have for a Pod. One of ``terms`` (expressions of labels, and of fields) must
    hold, if there are any."""

    requests: Amounts
    selector: Mapping[str, str] = field(default_factory=dict)
    terms: tuple[tuple[tuple[Object, ...], tuple[Object, ...]], ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    node: str = ""


def requests_of(pod_spec: Object) -> dict[str, int]:
    """What a Pod requests, as the scheduler counts: its containers together, or an init container
    where that is more; sidecars beside both; and the overhead."""
    together: dict[str, int] = {}
    for container in maps_of(pod_spec.get("containers")):
        _add(together, _requests(container))
    most: dict[str, int] = {}
    sidecars: dict[str, int] = {}
    for container in maps_of(pod_spec.get("initContainers")):
        own = _requests(container)
        if container.get("restartPolicy") == "Always":
            _add(sidecars, own)
            own = sidecars
        else:
            own = _sum(sidecars, own)
        most = {name: max(most.get(name, 0), own.get(name, 0)) for name in {*most, *own}}
    _add(together, sidecars)
    found = {n: max(together.get(n, 0), most.get(n, 0)) for n in {*together, *most}}
    found |= _requests(pod_spec)
    _add(found, _amounts(pod_spec.get("overhead")))
    return {**found, PODS: 1000}


def _requests(holder: Object) -> dict[str, int]:
    """A limit counts as the request where there is none."""
    resources = map_of(holder.get("resources"))
    return {**_amounts(resources.get("limits")), **_amounts(resources.get("requests"))}


def _amounts(body: Any) -> dict[str, int]:
    return {name: n for name, q in map_of(body).items() if (n := thousandths(q)) is not None}


def _add(to: dict[str, int], more: Amounts) -> None:
    for name, amount in more.items():
        to[name] = to.get(name, 0) + amount


def _sum(one: Amounts, other: Amounts) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {*one, *other}}


def needs_of(template: Object) -> PodNeeds:
    """The needs of one Pod of a workload."""
    spec = map_of(map_of(map_of(template.get("spec")).get("template")).get("spec"))
    affinity = map_of(map_of(spec.get("affinity")).get("nodeAffinity"))
    required = map_of(affinity.get("requiredDuringSchedulingIgnoredDuringExecution"))
    return PodNeeds(
        requests_of(spec),
        {str(k): str(v) for k, v in map_of(spec.get("nodeSelector")).items()},
        tuple(
            (tuple(maps_of(t.get("matchExpressions"))), tuple(maps_of(t.get("matchFields"))))
            for t in maps_of(required.get("nodeSelectorTerms"))
        ),
        tuple(
            Toleration(
                str(t.get("key") or ""),
                "Exists" if t.get("operator") == "Exists" else "Equal",
                str(t.get("value") or ""),
                str(t.get("effect") or ""),
            )
            for t in maps_of(spec.get("tolerations"))
        ),
        str(spec.get("nodeName") or ""),
    )


class FreeRoom:
    """The room of all clusters, while one workload after the other is placed."""

    def __init__(self, rooms: Mapping[str, ClusterRoom | None]) -> None:
        self._rooms = rooms
        self._free = {
            cluster: [dict(node.free) for node in room.nodes]
            for cluster, room in rooms.items()
            if room is not None
        }

    def limit(self, cluster: str, workload: Workload, here: int) -> int | None:
        """The most replicas that a cluster holds of a workload: those on its nodes, and those that
        still fit. ``here``: what it asks for there, which is all where the room could not be
        looked at. None: nobody looked."""
        if cluster not in self._rooms:
            return None
        room = self._rooms[cluster]
        if room is None:
            return here
        needs = needs_of(workload.template)
        fitting = sum(
            _times(free, needs)
            for node, free in zip(room.nodes, self._free[cluster], strict=True)
            if _suits(node, needs)
        )
        return room.scheduled.get(workload.key, 0) + fitting

    def take(self, cluster: str, workload: Workload, count: int) -> None:
        """Uses up what so many replicas need, beyond those that are on nodes already."""
        room = self._rooms.get(cluster)
        if room is None:
            return
        needs = needs_of(workload.template)
        left = count - room.scheduled.get(workload.key, 0)
        for node, free in zip(room.nodes, self._free[cluster], strict=True):
            if left <= 0:
                return
            if not _suits(node, needs):
                continue
            some = min(left, _times(free, needs))
            for name, amount in needs.requests.items():
                free[name] = free.get(name, 0) - some * amount
            left -= some


def _times(free: Amounts, needs: PodNeeds) -> int:
    asked = {name: amount for name, amount in needs.requests.items() if amount > 0}
    return max(0, min(free.get(name, 0) // amount for name, amount in asked.items()))


def _suits(node: FreeNode, needs: PodNeeds) -> bool:
    if needs.node and needs.node != node.name:
        return False
    if any(node.labels.get(key) != value for key, value in needs.selector.items()):
        return False
    if any(
        taint.effect in _KEEPS_AWAY and not any(tolerates(t, taint) for t in needs.tolerations)
        for taint in node.taints
    ):
        return False
    return not needs.terms or any(_term_holds(term, node) for term in needs.terms)


def _term_holds(term: tuple[tuple[Object, ...], tuple[Object, ...]], node: FreeNode) -> bool:
    expressions, fields = term
    if not (expressions or fields):
        return False
    return _hold(expressions, node.labels) and _hold(fields, {"metadata.name": node.name})


def _hold(requirements: Iterable[Object], labels: Mapping[str, str]) -> bool:
    return all(_requirement_holds(one, labels.get(str(one.get("key")))) for one in requirements)


def _requirement_holds(requirement: Object, value: str | None) -> bool:
    values = [str(one) for one in requirement.get("values") or ()]
    match requirement.get("operator"):
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            if value is None or not _is_number(value) or len(values) != 1:
                return False
            if not _is_number(values[0]):
                return False
            bound, number = int(values[0]), int(value)
            return number > bound if operator == "Gt" else number < bound
    return False


def _is_number(text: str) -> bool:
    return text.lstrip("-").isdecimal() and len(text) < 20
