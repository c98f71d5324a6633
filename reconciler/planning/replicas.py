"""Replicas by workload and cluster: what runs, for the scheduler; before and after, for reports."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec.structs import replace

from reconciler.federation.known_kinds import REPLICATED
from reconciler.federation.model import DesiredState, Workload
from reconciler.health.object_status import stated_replicas
from reconciler.objects import Object, ObjectKey, map_of, number_of
from reconciler.planning.looking import Live
from reconciler.planning.plan import Action, ClusterPlan, Outcome, WorkloadRow
from reconciler.planning.requests import leaves_count
from reconciler.rendering import Rendering
from reconciler.scheduling.assignment import Assignment


def workload_rows(
    assignments: Sequence[Assignment],
    before: Mapping[ObjectKey, Mapping[str, int]],
    after: Mapping[ObjectKey, Mapping[str, int]],
    known: Collection[str],
) -> list[WorkloadRow]:
    """Replicas of each workload that has any, by cluster, as they are and as they will be.

    Of clusters outside ``known``, which could not be looked at, nothing is said.
    """
    return [
        WorkloadRow(
            assignment.workload,
            before=_of(known, before.get(assignment.workload, {})),
            after=_of(known, after.get(assignment.workload, {})),
            shortfall=assignment.shortfall,
            placed_by=assignment.placed_by,
        )
        for assignment in assignments
        if assignment.workload in after or before.get(assignment.workload)
    ]


def _of(known: Collection[str], counts: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in sorted(counts.items()) if name in known}


def replicas_in(rendering: Rendering) -> dict[ObjectKey, dict[str, int]]:
    """spec.replicas of every rendered object that has it, by cluster."""
    counts: dict[ObjectKey, dict[str, int]] = {}
    for name, objects in rendering.objects.items():
        for desired in objects:
            replicas = stated_replicas(desired.body)
            if replicas is not None:
                counts.setdefault(desired.key, {})[name] = replicas
    return counts


def replicas_now(
    live: Live,
    usual: Mapping[ObjectKey, Mapping[str, int]],
    outages: Collection[str],
) -> dict[ObjectKey, dict[str, int]]:
    """What runs; a cluster whose outage is only simulated is taken to run what it should."""
    counts = {key: {c: _asked(o) for c, o in objects.items()} for key, objects in live.items()}
    for key, by_cluster in usual.items():
        for name in by_cluster.keys() & set(outages):
            counts.setdefault(key, {})[name] = by_cluster[name]
    return counts


def replicas_to_be(
    rendering: Rendering,
    live: Live,
    outages: Collection[str],
    left: Mapping[str, Collection[ObjectKey]],
) -> dict[ObjectKey, dict[str, int]]:
    """What will run: nothing where it is down, the live count where an autoscaler sets it, or where
    Git does not say any; of what is new, then, the server's default of one.

    ``left``: cluster -> workloads whose count is left to an autoscaler that is not in Git.
    """
    counts = replicas_in(rendering)
    for name, objects in rendering.objects.items():
        for desired in objects:
            now = live.get(desired.key, {}).get(name)
            if name not in counts.get(desired.key, {}):
                if desired.key.kind not in REPLICATED:
                    continue
                counts.setdefault(desired.key, {})[name] = 1 if now is None else _asked(now)
            if name in outages:
                counts[desired.key][name] = 0
            elif now is not None and (
                leaves_count(desired, now) or desired.key in left.get(name, ())
            ):
                counts[desired.key][name] = _asked(now)
    return counts


def with_strangers(live: Live, strangers: Mapping[str, Mapping[ObjectKey, Object]]) -> Live:
    """The live workloads with those that are there and not ours (yet): what runs counts.

    ``strangers``: cluster -> the objects that no LIST of ours showed.
    """
    found = {key: dict(objects) for key, objects in live.items()}
    for cluster, objects in strangers.items():
        for key, obj in objects.items():
            found.setdefault(key, {}).setdefault(cluster, obj)
    return found


def as_it_comes(
    counts: Mapping[ObjectKey, Mapping[str, int]],
    before: Mapping[ObjectKey, Mapping[str, int]],
    clusters: Sequence[ClusterPlan],
) -> dict[ObjectKey, dict[str, int]]:
    """The counts that will be, where a change is refused or nothing is pruned: what runs stays."""
    found = {key: dict(by_cluster) for key, by_cluster in counts.items()}
    for cluster in clusters:
        refused = {c.key for c in cluster.changes if c.action is Action.FAILED}
        going = {c.key for c in cluster.changes if c.action is Action.PRUNE}
        for key in before if cluster.reachable else ():
            now = before[key].get(cluster.name)
            if now and cluster.name not in found.get(key, {}) and key not in going:
                found.setdefault(key, {})[cluster.name] = now
        for key in refused & found.keys():
            _set(found[key], cluster.name, before.get(key, {}).get(cluster.name))
    return found


def as_it_came(rows: Sequence[WorkloadRow], outcomes: Sequence[Outcome]) -> tuple[WorkloadRow, ...]:
    """The rows of a plan after a run: what was not done is as before."""
    undone: dict[ObjectKey, list[str]] = {}
    for outcome in outcomes:
        if outcome.status != "done":
            undone.setdefault(outcome.key, []).append(outcome.cluster)
    found = []
    for row in rows:
        after = dict(row.after)
        for name in undone.get(row.key, ()):
            _set(after, name, row.before.get(name))
        found.append(replace(row, after=after))
    return tuple(found)


def _set(counts: dict[str, int], name: str, count: int | None) -> None:
    if count is None:
        counts.pop(name, None)
    else:
        counts[name] = count


def running_counts(
    state: DesiredState,
    live: Live,
    usual: Sequence[Assignment],
    unseen: Collection[str],
) -> dict[ObjectKey, dict[str, int]]:
    """What the scheduler may build on: KubeFed counts ready replicas, division what was asked.

    A cluster that cannot be looked at is taken to run its usual share: not answering once is no
    reason to move what it may well be running.
    """
    counts: dict[ObjectKey, dict[str, int]] = {}
    shares = {assignment.workload: assignment.replicas for assignment in usual}
    for workload in state.workloads:
        if workload.replicas.mode == "Duplicated":
            continue
        seen = {c: _count(workload, obj) for c, obj in live.get(workload.key, {}).items()}
        assumed = {c: n for c, n in shares[workload.key].items() if c in unseen and n}
        if seen:
            counts[workload.key] = {**seen, **assumed}
    return counts


def _count(workload: Workload, live: Object) -> int:
    if workload.replicas.mode == "KubeFed":
        return number_of(map_of(live.get("status")).get("readyReplicas"))
    return _asked(live)


def _asked(live: Object) -> int:
    return number_of(map_of(live.get("spec")).get("replicas"))
