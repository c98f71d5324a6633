"""Replicas by workload and cluster: what runs, for the scheduler; before and after, for reports."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Collection, Mapping, Sequence

from msgspec.structs import replace

from reconciler.api.errors import ApiError
from reconciler.api.kinds import REPLICAS, REPLICATED, ScaleTarget, scale_target, scaled_as
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import Object, ObjectKey, map_of, maps_of, number_of
from reconciler.api.remembered import remembered
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.cluster.kstatus import stated_replicas
from reconciler.federation.model import DesiredState, Workload
from reconciler.inventory.live_objects import Glance
from reconciler.plan.live_state import Live, shared_workloads, stated_in
from reconciler.plan.model import Action, ClusterPlan, Outcome, WorkloadRow
from reconciler.plan.requests import ApplyTarget, count_owners, leaves_count
from reconciler.render.render import DesiredObject, Rendering
from reconciler.scheduler.model import Assignment


def workload_rows(
    assignments: Sequence[Assignment],
    before: Mapping[ObjectKey, Mapping[str, int]],
    after: Mapping[ObjectKey, Mapping[str, int]],
    known: Collection[str],
) -> list[WorkloadRow]:
    """Replicas of each workload that has any, by cluster, as they are and as they will be.

    Of clusters outside ``known``, which could not be looked at, nothing is said.
    """
    # Most are as many in the same clusters.
    alike: dict[tuple[object, ...], Mapping[str, int]] = {}

    def of(counts: Mapping[str, int]) -> Mapping[str, int]:
        found = {name: count for name, count in sorted(counts.items()) if name in known}
        # To Python, true is 1 as well.
        return alike.setdefault((*found.items(), *map(type, found.values())), found)

    return [
        WorkloadRow(
            assignment.workload,
            before=of(before.get(assignment.workload, {})),
            after=of(after.get(assignment.workload, {})),
            shortfall=assignment.shortfall,
            placed_by=assignment.placed_by,
        )
        for assignment in assignments
        if assignment.workload in after or before.get(assignment.workload)
    ]


@remembered
def replicas_in(rendering: Rendering) -> Mapping[ObjectKey, Mapping[str, int]]:
    """spec.replicas of every rendered object that has it, by cluster."""
    counts: dict[ObjectKey, dict[str, int]] = {}
    for name, objects in _with_replicas(rendering).items():
        for desired in objects:
            replicas = desired.manifest.stated_replicas
            if replicas is not None:
                counts.setdefault(desired.key, {})[name] = replicas
    return counts


def _with_replicas(rendering: Rendering) -> dict[str, list[DesiredObject]]:
    """The objects of each cluster that state replicas, or whose kind has them unstated too."""
    found: dict[int, list[DesiredObject]] = {}
    for objects in rendering.objects.values():
        # Most clusters have the very same objects.
        if id(objects) not in found:
            found[id(objects)] = [
                desired
                for desired in objects
                if desired.key.kind in REPLICATED or desired.manifest.stated_replicas is not None
            ]
    return {name: found[id(objects)] for name, objects in rendering.objects.items()}


def replicas_now(
    live: Live,
    usual: Mapping[ObjectKey, Mapping[str, int]],
    outages: Collection[str],
) -> dict[ObjectKey, dict[str, int]]:
    """What runs; a cluster whose outage is only simulated is taken to run what it should."""
    counts = {key: {c: stated_in(copies, c) for c in copies} for key, copies in live.items()}
    for key, by_cluster in usual.items():
        for name in by_cluster.keys() & set(outages):
            counts.setdefault(key, {})[name] = by_cluster[name]
    return counts


def replicas_to_be(
    rendering: Rendering,
    live: Live,
    outages: Collection[str],
    left_to_autoscalers: Mapping[str, Collection[ObjectKey]],
) -> Mapping[ObjectKey, Mapping[str, int]]:
    """What will run: nothing where it is down, the live count where an autoscaler sets it, or where
    Git does not say any; of what is new, then, the server's default of one.

    ``left_to_autoscalers``: cluster -> workloads whose count is left to an autoscaler that is not
    in Git.
    """
    counts = _Counts(replicas_in(rendering))
    for name, objects in _with_replicas(rendering).items():
        for desired in objects:
            copies = live.get(desired.key, {})
            if name not in counts.of(desired.key):
                counts.own(desired.key)[name] = stated_in(copies, name) if name in copies else 1
            if name in outages:
                counts.own(desired.key)[name] = 0
            elif name in copies and (
                desired.key in left_to_autoscalers.get(name, ())
                or (REPLICAS in desired.rules.retain and leaves_count(desired, copies[name]))
            ):
                counts.own(desired.key)[name] = stated_in(copies, name)
    return counts.all


class _Counts:
    """Counts by workload and cluster that begin as others are. Of these, only what is changed is
    copied."""

    def __init__(self, others: Mapping[ObjectKey, Mapping[str, int]]) -> None:
        self.all = dict(others)
        self._own: dict[ObjectKey, dict[str, int]] = {}

    def of(self, key: ObjectKey) -> Mapping[str, int]:
        return self.all.get(key, {})

    def own(self, key: ObjectKey) -> dict[str, int]:
        """Those of a workload, to be changed."""
        if key not in self._own:
            self.all[key] = self._own[key] = dict(self.of(key))
        return self._own[key]


def with_foreign_objects(live: Live, foreign: Mapping[str, Mapping[ObjectKey, Object]]) -> Live:
    """The live workloads with those that are there and not ours (yet): what runs counts.

    ``foreign``: cluster -> the objects that no LIST of ours showed.
    """
    found = dict(live)
    for cluster, objects in foreign.items():
        for key, obj in objects.items():
            if cluster not in found.get(key, {}):
                found[key] = {**found.get(key, {}), cluster: obj}
    return found


def expected_counts(
    counts: Mapping[ObjectKey, Mapping[str, int]],
    before: Mapping[ObjectKey, Mapping[str, int]],
    clusters: Sequence[ClusterPlan],
) -> Mapping[ObjectKey, Mapping[str, int]]:
    """The counts that will be, where a change is refused or nothing is pruned: what runs stays."""
    found = _Counts(counts)
    for cluster in clusters:
        refused = {c.key for c in cluster.changes if c.action is Action.FAILED or c.waits}
        going = {c.key for c in cluster.changes if c.action is Action.PRUNE and not c.waits}
        for key in before if cluster.reachable else ():
            now = before[key].get(cluster.name)
            if now and cluster.name not in found.of(key) and key not in going:
                found.own(key)[cluster.name] = now
        for key in refused & found.all.keys():
            _set(found.own(key), cluster.name, before.get(key, {}).get(cluster.name))
    return found.all


def rows_after_run(
    rows: Sequence[WorkloadRow], outcomes: Sequence[Outcome]
) -> tuple[WorkloadRow, ...]:
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
    workloads = shared_workloads(state)
    shares = {one.workload: one.replicas for one in usual} if workloads else {}
    for workload in workloads:
        copies = live.get(workload.key, {})
        seen = {name: _count(workload, copies, name) for name in copies}
        assumed = {c: n for c, n in shares[workload.key].items() if c in unseen and n}
        if seen:
            counts[workload.key] = {**seen, **assumed}
    return counts


def _count(workload: Workload, copies: Mapping[str, Object], cluster: str) -> int:
    if workload.rules.replicas.mode == "KubeFed":
        return number_of(map_of(copies[cluster].get("status")).get("readyReplicas"))
    return stated_in(copies, cluster)


# -- replicas that an autoscaler outside of Git sets -----------------------------------------------


AUTOSCALERS = RESTMapping(
    "autoscaling/v1", "HorizontalPodAutoscaler", "horizontalpodautoscalers", namespaced=True
)
_ASK_FOR = ("kube-controller-manager", "keda*")
"""Managers that scale for a HorizontalPodAutoscaler; their entries outlive it."""
_OTHERS = ("*autoscal*",)
"""Managers that scale by themselves."""


def with_autoscaled_counts(
    member: Member,
    targets: Sequence[ApplyTarget],
    live: Mapping[ObjectKey, Object],
    leaving: Callable[[], Collection[str]],
) -> tuple[Sequence[ApplyTarget], frozenset[ObjectKey], list[Notice]]:
    """The targets, which of them leave their count to an autoscaler, and what to tell of those.

    ``live`` has the objects of those that ``may_be_anothers``. ``leaving``: UIDs of what this run
    prunes; an autoscaler among it scales nothing any more.
    """
    asked = {t.key: live[t.key] for t in targets if t.key in live and _is_anothers(t, live[t.key])}
    if not asked:
        return targets, frozenset(), []
    scalers = _scalers(member, leaving)
    remarks: list[Notice] = []
    settled = [
        _settled(target, asked[target.key], scalers, remarks) if target.key in asked else target
        for target in targets
    ]
    left = frozenset(
        new.key for new, old in zip(settled, targets, strict=True) if new.desired is not old.desired
    )
    return settled, left, remarks


def may_be_anothers(target: ApplyTarget, glance: Glance | None) -> bool:
    """Whether the live count may be another's than Git's; where nothing is known, it may."""
    stated = target.stated
    if stated is None:
        return False
    return glance is None or (glance.counted_by_others and glance.wanted not in (None, stated))


def _is_anothers(target: ApplyTarget, live: Object) -> bool:
    """Whether the live count is not Git's, and somebody else has set it."""
    desired = target.desired
    stated = target.stated
    if stated is None or desired.rules.force_conflicts:
        return False
    if REPLICAS in desired.rules.retain and stated:
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
    target: ApplyTarget,
    live: Object,
    scalers: Mapping[ScaleTarget, str] | None,
    remarks: list[Notice],
) -> ApplyTarget:
    holders = [
        str(entry.get("manager"))
        for entry in count_owners(live)
        if entry.get("subresource") == "scale"
    ]
    stated = target.stated
    if scalers is None:
        scaler = next((name for name in holders if _is_one_of(name, _ASK_FOR)), "")
    else:
        scaler = scalers.get(scaled_as(target.key), "")
    scaler = scaler or next((name for name in holders if _is_one_of(name, _OTHERS)), "")
    if scaler and stated:
        now = stated_replicas(live)
        remarks.append(
            notice(
                NoticeCause.REPLICAS_LEFT,
                subject=target.key,
                count=now,
                scaler=scaler,
                stated=stated,
            )
        )
        retain = tuple(dict.fromkeys((*target.desired.rules.retain, REPLICAS)))
        rules = replace(target.desired.rules, retain=retain, autoscaler=scaler)
        return replace(target, desired=replace(target.desired, rules=rules))
    # Whoever has only scaled it is no lasting owner: nothing sets it again.
    return replace(target, takes_count=len(holders) == len(count_owners(live)))


def _is_one_of(manager: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(manager, pattern) for pattern in patterns)
