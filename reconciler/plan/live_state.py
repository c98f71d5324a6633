"""Looking at every member side by side: inventory, live objects, what runs. Writes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.api.errors import ApiError, ClusterError, with_hint
from reconciler.api.kinds import REPLICATED
from reconciler.api.objects import Object, ObjectKey, map_of, number_of
from reconciler.api.remembered import remembered
from reconciler.cluster.allocator import keep_memory_small
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import GroupVersionKind, RESTMapping
from reconciler.cluster.kstatus import ready_replicas, wanted_replicas
from reconciler.cluster.parallel import in_parallel
from reconciler.cluster.responses import reading_answers
from reconciler.failover.cluster_health import Absence
from reconciler.federation.model import Cluster, DesiredState, Federation, Workload
from reconciler.git.owner import Claimant
from reconciler.inventory.live_objects import Glance, SharedValues
from reconciler.inventory.observe import (
    CONCURRENT_LISTS,
    ListKind,
    Members,
    Observation,
    list_from_server,
    observe,
)
from reconciler.inventory.ownership import Servers, as_ours, cluster_identity_problems
from reconciler.inventory.store import Inventory, read_inventory
from reconciler.render.render import Rendering
from reconciler.scheduler.model import Assignment, Bounds
from reconciler.scheduler.schedule import template_replicas

CONCURRENT_MEMBERS = 128
"""Threads mostly wait; those that wait for dead members must not hold up the others."""

FEW_MEMBERS = 32
"""Of more, each is asked one thing after the other: that many are asked at once is enough, and a
thread and a connection for each list would cost more than the lists."""

Live = Mapping[ObjectKey, Mapping[str, Object]]
"""Workload -> cluster -> the object as it is there."""


class LiveCopies(Mapping[str, Object]):
    """Cluster -> the object of one workload there, parsed when it is asked for."""

    __slots__ = ("_key", "_members")

    def __init__(self, key: ObjectKey, members: Mapping[str, Members]) -> None:
        """``members``: cluster -> the objects there, among them this one."""
        self._key = key
        self._members = members

    def glance(self, cluster: str) -> Glance | None:
        """What was seen of it as it came; None where only the object itself tells."""
        return self._members[cluster].glance(self._key)

    def __getitem__(self, cluster: str) -> Object:
        return self._members[cluster][self._key][1]

    def __contains__(self, cluster: object) -> bool:
        return cluster in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


def _glance(copies: Mapping[str, Object], cluster: str) -> Glance | None:
    return copies.glance(cluster) if isinstance(copies, LiveCopies) else None


def wanted_by_cluster(copies: Mapping[str, Object]) -> dict[str, int]:
    """``spec.replicas`` of the copies of a workload; 1 where it is not given."""
    found = {}
    for name in copies:
        glance = _glance(copies, name)
        if glance is None:
            found[name] = wanted_replicas(copies[name])
        else:
            found[name] = 1 if glance.wanted is None else number_of(glance.wanted)
    return found


def stated_in(copies: Mapping[str, Object], cluster: str) -> int:
    """``spec.replicas`` of the copy there; 0 where it is not given."""
    glance = _glance(copies, cluster)
    if glance is None:
        return number_of(map_of(copies[cluster].get("spec")).get("replicas"))
    return number_of(glance.wanted)


def ready_by_cluster(copies: Mapping[str, Object]) -> dict[str, int]:
    """How many replicas of the copies of a workload can serve now."""
    found = {}
    for name in copies:
        glance = _glance(copies, name)
        ready = glance.ready if glance else None
        found[name] = ready_replicas(copies[name]) if ready is None else ready
    return found


class MemberState(Struct):
    """One member while the plan is made; ``absence`` is set when it cannot be looked at,
    ``mistaken`` when that is because it is not the cluster that Git means."""

    cluster: Cluster
    member: Member | None = None
    observation: Observation | None = None
    absence: Absence = field(default_factory=Absence)
    mistaken: bool = False

    def answers_for(self, kinds: Collection[GroupVersionKind]) -> bool:
        """Whether it could be looked at, and all of these kinds could be listed."""
        return self.observation is not None and not any(k in self.observation.failed for k in kinds)


def observe_all(
    connect: Callable[[Cluster], Member],
    clusters: Sequence[Cluster],
    state: DesiredState,
    kinds: Mapping[str, set[GroupVersionKind]],
    left_alone: Mapping[str, Absence],
    partly: Collection[str],
    claimant: Claimant,
    known: Servers,
    done: Callable[[], None],
) -> list[MemberState]:
    """Each member as it is, in the order given. ``left_alone``: cluster -> why it is not asked.

    One whose inventory belongs to another repository than ``claimant``, or to another Cluster, or
    which is another API server than ``known``, is not looked into.

    ``partly``: clusters that this run does not plan, of which only the workloads matter whose
    replicas are shared out over all, or that may take over from others.
    """
    shared = {GroupVersionKind.of_manifest(w.manifest) for w in shared_workloads(state)}
    if state.divides_autoscalers:
        from reconciler.scheduler.autoscaler_bounds import divided_autoscalers

        shared |= {GroupVersionKind.of_manifest(w.manifest) for w in divided_autoscalers(state)}
    # Such may be where they usually are not.
    spread_kinds = {GroupVersionKind.of_manifest(w.manifest) for w in spread_workloads(state)} | {
        GroupVersionKind.of_manifest(w.manifest)
        for w in shared_workloads(state)
        if w.rules.replicas.mode in ("KubeFed", "Karmada")
    }

    lists_at_once = CONCURRENT_LISTS
    if len(clusters) > FEW_MEMBERS:
        lists_at_once = 1
        keep_memory_small()

    values = SharedValues() if len(clusters) > 1 else None
    list_kind = partial(list_from_server, shared=values)

    def look(cluster: Cluster) -> MemberState:
        whole = cluster.name not in partly
        wanted = kinds[cluster.name] if whole else (kinds[cluster.name] & shared) | spread_kinds
        why = left_alone.get(cluster.name)
        seen = _look(
            connect, cluster, state, wanted, why, claimant, list_kind, lists_at_once, whole=whole
        )
        done()
        return seen

    return _told_apart(in_parallel(look, clusters, CONCURRENT_MEMBERS), claimant, known)


def _told_apart(seen: list[MemberState], claimant: Claimant, known: Servers) -> list[MemberState]:
    """What is not the cluster that Git means counts as not looked at; the rest is what it is."""
    inventories = {one.cluster.name: one.observation.inventory for one in seen if one.observation}
    doubts = cluster_identity_problems(inventories, claimant, known)
    for one in seen:
        if one.cluster.name in doubts:
            one.absence = Absence(doubts[one.cluster.name])
            one.observation, one.mistaken = None, True
        elif one.observation:
            inventory = replace(one.observation.inventory, cluster=one.cluster.name)
            one.observation = replace(one.observation, inventory=inventory)
    return seen


def _look(
    connect: Callable[[Cluster], Member],
    cluster: Cluster,
    state: DesiredState,
    kinds: set[GroupVersionKind],
    left_alone: Absence | None,
    claimant: Claimant,
    list_kind: ListKind,
    lists_at_once: int,
    *,
    whole: bool,
) -> MemberState:
    if left_alone is not None:
        return MemberState(cluster, absence=left_alone)
    try:
        member = connect(cluster)
        federation = state.federation
        with reading_answers(cluster.name):
            inventory = _inventory(member, federation)
            inventory = as_ours(member, inventory, cluster.name, claimant)
            observation = observe(
                member,
                inventory,
                kinds,
                whole=whole,
                list_kind=None if member.keeps_lists else list_kind,
                lists_at_once=lists_at_once,
            )
            if lists_at_once > 1 or member.keeps_lists:
                member.rest()
            else:
                member.close()
            return MemberState(cluster, member, observation)
    except ClusterError as error:
        return MemberState(cluster, absence=Absence(with_hint(error)))


def _inventory(member: Member, federation: Federation) -> Inventory:
    """Raises ClusterError that names what could not be listed."""
    try:
        return read_inventory(member, federation.name, federation.namespace)
    except ApiError as error:
        raise ClusterError(
            member.name,
            f"the inventory (Secrets in {federation.namespace}) could not be listed: {error} "
            f"(HTTP {error.code})",
            hint=error.hint,
        ) from error


@remembered
def shared_workloads(state: DesiredState) -> list[Workload]:
    """Those whose replicas are shared out over the clusters."""
    return [w for w in state.workloads if w.rules.replicas.mode != "Duplicated"]


@remembered
def spread_workloads(state: DesiredState) -> list[Workload]:
    """Those that run in some of the clusters that they may run in."""
    return [
        w
        for w in state.workloads
        if w.rules.target is not None
        and (w.rules.target.spread or len(w.rules.target.affinities) > 1)
    ]


@remembered
def kinds_of(rendering: Rendering) -> dict[str, set[GroupVersionKind]]:
    """The kinds that each cluster should have."""
    found: dict[int, set[GroupVersionKind]] = {}
    for objects in rendering.objects.values():
        # Most clusters have the very same objects.
        if id(objects) not in found:
            found[id(objects)] = {GroupVersionKind.of_manifest(d.manifest) for d in objects}
    return {name: found[id(objects)] for name, objects in rendering.objects.items()}


def live_workloads(
    state: DesiredState, assignments: Sequence[Assignment], seen: Sequence[MemberState]
) -> tuple[Live, frozenset[tuple[ObjectKey, str]]]:
    """The live objects of workloads with replicas, and of those that are spread, by cluster; and
    which of them are not ours.

    Those whose replicas are shared out are looked for by name where the inventory does not have
    them: what runs before a migration counts as running.
    """
    counted = _counted(state)
    shared = {w.key: w for w in shared_workloads(state)}
    possible = {a.workload: set(a.replicas) for a in assignments} if shared else {}
    holders: dict[ObjectKey, list[str]] = {}
    members_of: dict[str, Members] = {}
    sought_and_found: dict[ObjectKey, dict[str, Object]] = {}
    foreign_objects: set[tuple[ObjectKey, str]] = set()
    for one in seen:
        if one.member is None or one.observation is None:
            continue
        members = one.observation.members
        members_of[one.cluster.name] = members
        for key in counted:
            if key in members:
                holders.setdefault(key, []).append(one.cluster.name)
        sought = [
            SoughtObject(resource, key)
            for key, workload in shared.items()
            if key not in members
            and (kind := GroupVersionKind.of_manifest(workload.manifest))
            not in one.observation.failed
            and one.cluster.name in possible.get(key, ())
            and (resource := one.observation.discovery.find(kind))
        ]
        try:
            lookup = find_by_name(one.member, sought)
        except ClusterError as error:
            one.absence, one.observation = Absence(with_hint(error)), None
            continue
        failed = {**one.observation.failed, **lookup.failed}
        one.observation = replace(one.observation, failed=failed)
        for key, live in lookup.found.items():
            sought_and_found.setdefault(key, {})[one.cluster.name] = live
            foreign_objects.add((key, one.cluster.name))
    # Most are in the same clusters, and share the table of these.
    tables: dict[tuple[str, ...], Mapping[str, Members]] = {}
    copies: dict[ObjectKey, LiveCopies] = {}
    for key, some in holders.items():
        names = tuple(some)
        if names not in tables:
            tables[names] = {name: members_of[name] for name in names}
        copies[key] = LiveCopies(key, tables[names])
    found: dict[ObjectKey, Mapping[str, Object]] = {**copies}
    for key, by_cluster in sought_and_found.items():
        found[key] = {**copies.get(key, {}), **by_cluster}
    return found, frozenset(foreign_objects)


@remembered
def _counted(state: DesiredState) -> frozenset[ObjectKey]:
    """Workloads with replicas, and those that may run in other clusters than now."""
    replicated = {w.key for w in state.workloads if w.key.kind in REPLICATED}
    moving = {w.key for w in (*shared_workloads(state), *spread_workloads(state))}
    return frozenset({*replicated, *template_replicas(state), *moving})


def live_bounds(
    state: DesiredState, seen: Sequence[MemberState]
) -> dict[ObjectKey, dict[str, Bounds]]:
    """The bounds of our live autoscalers by cluster, of those whose bounds are divided."""
    found: dict[ObjectKey, dict[str, Bounds]] = {}
    if not state.divides_autoscalers:
        return found
    from reconciler.scheduler.autoscaler_bounds import bounds_in, divided_autoscalers

    for scaler in divided_autoscalers(state):
        for one in seen:
            if one.observation is None or scaler.key not in one.observation.members:
                continue
            bounds = bounds_in(one.observation.members[scaler.key][1])
            if bounds is not None:
                found.setdefault(scaler.key, {})[one.cluster.name] = bounds
    return found


# -- objects that the label query did not show -----------------------------------------------------


MAX_GETS_PER_KIND = 3
CONCURRENT = 8


class SoughtObject(NamedTuple):
    """One object to look for."""

    resource: RESTMapping
    key: ObjectKey


class FoundObjects(NamedTuple):
    """Those of the sought that exist; and the kinds that the member refused to tell of, with the
    reason: of their objects nobody knows."""

    found: dict[ObjectKey, Object]
    failed: dict[GroupVersionKind, str]


def _its_name(obj: Object) -> Object:
    return {"name": obj["metadata"]["name"]}


def find_by_name(member: Member, sought: Iterable[SoughtObject]) -> FoundObjects:
    """Look for objects by name. Raises ClusterError when the member stops answering altogether."""
    groups: dict[tuple[RESTMapping, str], list[SoughtObject]] = defaultdict(list)
    for item in sought:
        groups[(item.resource, item.key.namespace)].append(item)
    failed: dict[GroupVersionKind, str] = {}

    def refused(resource: RESTMapping, error: ApiError) -> None:
        kind = GroupVersionKind(resource.api_version, resource.kind)
        failed[kind] = f"{error} (HTTP {error.code})"

    def present(group: list[SoughtObject]) -> list[SoughtObject]:
        if len(group) <= MAX_GETS_PER_KIND:
            return group
        resource, namespace = group[0].resource, group[0].key.namespace
        try:
            listed = member.list_objects(
                resource, namespace=namespace, metadata_only=True, keep=_its_name
            )
        except ApiError as error:
            refused(resource, error)
            return []
        names = {str(item["name"]) for item in listed}
        return [item for item in group if item.key.name in names]

    def fetch(item: SoughtObject) -> Object | None:
        try:
            return member.get(item.resource, item.key)
        except ApiError as error:
            refused(item.resource, error)
            return None

    to_fetch = [
        item for part in in_parallel(present, list(groups.values()), CONCURRENT) for item in part
    ]
    fetched = in_parallel(fetch, to_fetch, CONCURRENT)
    found = {item.key: obj for item, obj in zip(to_fetch, fetched, strict=True) if obj is not None}
    return FoundObjects(found, failed)
