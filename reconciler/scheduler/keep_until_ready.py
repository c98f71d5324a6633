"""What has another home stays where it is until it is ready there; what has none stays. Pure.

Replicas that are shared out are handed over by count (``make_before_break``). This is for all
else: single copies, and the objects that workloads need.

- A NoSchedule taint keeps new things out of a cluster, and removes nothing from it.
- What is to leave a cluster (a taint, a label, a selector, a list of clusters) leaves when it is
  in place and Current in every cluster that it goes to, with all of its namespace that leaves.
- What no cluster may have any more stays, until Git no longer has it, or its placement names no
  cluster (``clusters: []``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from msgspec.structs import replace

from reconciler.api.kinds import API_VERSIONS, CLUSTER_SCOPED, REPLICAS, REPLICATED
from reconciler.api.moves import KeptUnplaced, KeptUntilReady, Move
from reconciler.api.objects import Object, ObjectKey
from reconciler.api.remembered import remembered
from reconciler.cluster.discovery import GroupVersionKind
from reconciler.cluster.kstatus import Status, object_status, ready_replicas
from reconciler.federation.model import DesiredState, Workload
from reconciler.scheduler.capacity import own_count
from reconciler.scheduler.commits import removed_in, version_in
from reconciler.scheduler.filter_score import eligible
from reconciler.scheduler.make_before_break import leave_reason
from reconciler.scheduler.model import Assignment, assignments_by_workload
from reconciler.scheduler.schedule import duplicated_count, with_followers_placed

RunningHere = Mapping[str, Mapping[ObjectKey, tuple[GroupVersionKind, Object]]]
"""Cluster that was looked at -> its live objects that are ours."""

NotReady = Callable[[Workload, ObjectKey, str, int], str]
"""Workload, its key in a member, cluster, replicas due there -> why it does not serve there;
nothing: it does."""


def keep_until_ready(
    state: DesiredState,
    assignments: Sequence[Assignment],
    here: RunningHere,
    not_ready: NotReady,
    tainted: Mapping[str, Mapping[str, float]],
) -> tuple[tuple[Assignment, ...], list[Move]]:
    """The assignments with what stays for now where it is, and which that is."""
    found = dict(assignments_by_workload(assignments))
    leaving = _leaving(state, found, here)
    if not leaving:
        return tuple(assignments), []
    closed = _closed(state, tainted)
    wanted = dict(found)  # A copy that stays is not the new home of another one.
    moves: list[Move] = []
    for cluster, workloads in sorted(leaving.items()):
        kept = {w.key for w, _ in workloads if cluster in closed(w)}
        waits: dict[ObjectKey, tuple[str, str]] = {}
        unassigned: dict[ObjectKey, str] = {}
        for workload, key in workloads:
            if workload.key in kept:
                continue
            placed_in = {n: c for n, c in wanted[workload.key].replicas.items() if c != 0}
            if not placed_in:
                unassigned[key] = leave_reason(wanted[workload.key], cluster)
                continue
            for home, count in placed_in.items():
                version = version_in(state, workload, wanted[workload.key], home)
                if why := not_ready(workload, key, home, _due(version, count)):
                    waits[key] = home, why
                    break
        spaces = {_space(key) for key in (*waits, *unassigned)}
        spaces |= {_space(a.workload) for a in assignments if cluster in a.leaving}
        for workload, key in workloads:
            # What a workload needs goes with it, and not before.
            together = bool(spaces) and (not _space(key) or _space(key) in spaces)
            if workload.key in kept:
                _keep(found, workload, cluster, leaving=False)
            elif key in waits or key in unassigned or together:
                _keep(found, workload, cluster, leaving=True)
        moves += _kept(cluster, waits, unassigned)
    return with_followers_placed(state, [found[a.workload] for a in assignments]), moves


def _leaving(
    state: DesiredState, found: Mapping[ObjectKey, Assignment], here: RunningHere
) -> dict[str, list[tuple[Workload, ObjectKey]]]:
    """Cluster -> what is there, with its key there, and wanted in other clusters or in none."""
    result: dict[str, list[tuple[Workload, ObjectKey]]] = defaultdict(list)
    workloads = _by_member_key(state)
    removed = removed_in(state)
    for cluster, objects in here.items():
        for key in objects:
            workload = workloads.get(key)
            if (
                workload is not None
                and workload.key not in removed.get(cluster, ())
                and cluster not in found[workload.key].replicas
                and workload.rules.replicas.mode == "Duplicated"
                and not objects[key][1]["metadata"].get("deletionTimestamp")
                and not (workload.rules.orphan or workload.rules.follows or workload.is_given_up)
            ):
                result[cluster].append((workload, key))
    return result


@remembered
def _by_member_key(state: DesiredState) -> Mapping[ObjectKey, Workload]:
    """By the keys that a member may know them by: whether a kind of somebody's own has namespaces,
    only a member knows."""
    others = {
        w.key.with_namespace: w
        for w in state.workloads
        if not w.key.namespace and w.key.kind not in CLUSTER_SCOPED
    }
    return {**state.by_key, **others} if others else state.by_key


def _closed(
    state: DesiredState, tainted: Mapping[str, Mapping[str, float]]
) -> Callable[[Workload], Collection[str]]:
    """The clusters that a workload's placement selects and that a NoSchedule taint closes to it."""
    clusters = {cluster.name: cluster for cluster in state.clusters}

    def closed(workload: Workload) -> Collection[str]:
        allowed: set[str] | None = None
        barred: set[str] = set()
        for target in (workload.rules.target, workload.rules.namespace_placement):
            if target is None:
                continue
            one = eligible(target, clusters, tainted)
            barred |= one.closed
            possible = {*one.names, *one.closed}
            allowed = possible if allowed is None else allowed & possible
        return barred & (allowed or set())

    return closed


def _keep(
    found: dict[ObjectKey, Assignment], workload: Workload, cluster: str, *, leaving: bool
) -> None:
    one = found[workload.key]
    replicas = {**one.replicas, cluster: duplicated_count(workload, cluster)}
    found[workload.key] = replace(
        one,
        replicas=dict(sorted(replicas.items())),
        spare=tuple(name for name in one.spare if name != cluster),
        leaving=one.leaving | {cluster} if leaving else one.leaving,
    )


def _due(workload: Workload, count: int | None) -> int:
    """How many replicas must be ready: none is asked of other kinds, or of an autoscaler."""
    if workload.key.kind not in REPLICATED or REPLICAS in workload.rules.retain:
        return 0
    return own_count(workload) if count is None else count


def _space(key: ObjectKey) -> str:
    """The namespace that an object belongs to; empty where it is the whole cluster's."""
    return key.name if key.kind == "Namespace" else key.namespace


def _kept(
    cluster: str,
    waits: Mapping[ObjectKey, tuple[str, str]],
    unassigned: Mapping[ObjectKey, str],
) -> Iterator[Move]:
    """What stays in a cluster, by why. ``waits``: object -> where it is not ready yet, and why."""
    nowhere: dict[str, list[ObjectKey]] = defaultdict(list)
    for key, why in sorted(unassigned.items()):
        nowhere[why].append(key)
    for why, keys in sorted(nowhere.items()):
        yield KeptUnplaced(cluster, tuple(keys), why)
    waiting: dict[tuple[str, str], list[ObjectKey]] = defaultdict(list)
    for key, where in sorted(waits.items()):
        waiting[where].append(key)
    for (home, why), keys in sorted(waiting.items()):
        yield KeptUntilReady(cluster, tuple(keys), home, why)


def is_current(live: Object | None, due: int = 0) -> str:
    """Why an object is not ready, by its own status and by the replicas that are due; nothing: it
    is Current.

    What asks for no replicas is Current with none, and serves nobody.
    """
    status = object_status(live)
    if live is not None and status.status is Status.CURRENT and ready_replicas(live) < due:
        return f"{ready_replicas(live)} of {due} replicas are ready"
    return "" if status.status is Status.CURRENT else status.message or str(status.status)


def serves_at_once(template: Object) -> bool:
    """Whether an object of a built-in kind is Current as soon as it is in place.

    A kind of somebody's own may have a controller that still has everything to do.
    """
    builtin = API_VERSIONS.get(str(template.get("kind"))) == template.get("apiVersion")
    return builtin and not is_current(template)
