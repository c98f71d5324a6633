"""Which names wait until a cluster that returns from an outage carries its share again. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from reconciler.api.kinds import REPLICATED
from reconciler.api.objects import Object, ObjectKey, map_of
from reconciler.cluster.kstatus import ready_replicas
from reconciler.dns.targets import backends_of
from reconciler.federation.model import DesiredState, Workload
from reconciler.scheduler.capacity import replicas_due
from reconciler.scheduler.model import Assignment


def returning_objects(
    state: DesiredState,
    usual: Sequence[Assignment],
    live: Mapping[ObjectKey, Mapping[str, Object]],
    returning: Iterable[str],
) -> dict[str, frozenset[ObjectKey]]:
    """Cluster -> Services and Ingresses behind which not all replicas of its share are ready.

    One ready Pod of ten makes a Service ready, and would get the requests of all ten. ``usual``:
    the shares when all is well. ``live``: workload -> cluster -> its live object.
    """
    shares = {assignment.workload: assignment.replicas for assignment in usual}
    found = {}
    for cluster in sorted(returning):
        short = [
            w
            for w in state.workloads
            if w.key.kind in REPLICATED and _is_short(w, cluster, shares[w.key], live)
        ]
        services = {
            w.key.with_namespace
            for w in state.workloads
            if w.key.kind == "Service" and any(_is_behind(one, w) for one in short)
        }
        ingresses = {
            w.key.with_namespace
            for w in state.workloads
            if w.key.kind == "Ingress" and _leads_to(w, services)
        }
        if services or ingresses:
            found[cluster] = frozenset(services | ingresses)
    return found


def _is_short(
    workload: Workload,
    cluster: str,
    shares: Mapping[str, int | None],
    live: Mapping[ObjectKey, Mapping[str, Object]],
) -> bool:
    if cluster not in shares:
        return False
    there = live.get(workload.key, {}).get(cluster)
    ready = 0 if there is None else ready_replicas(there)
    return ready < replicas_due(workload, shares[cluster], there)


def _is_behind(workload: Workload, service: Workload) -> bool:
    """Whether a Service selects a workload's Pods."""
    if workload.key.with_namespace.namespace != service.key.with_namespace.namespace:
        return False
    selector = map_of(map_of(service.template.get("spec")).get("selector"))
    pods = map_of(map_of(map_of(workload.template.get("spec")).get("template")).get("metadata"))
    return bool(selector) and selector.items() <= map_of(pods.get("labels")).items()


def _leads_to(ingress: Workload, services: Collection[ObjectKey]) -> bool:
    namespace = ingress.key.with_namespace.namespace
    behind = {(namespace, name) for name in backends_of(ingress.template)}
    return any((key.namespace, key.name) in behind for key in services)
