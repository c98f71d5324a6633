"""Looking at every member side by side: inventory, live objects, what runs. Writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from reconciler.cluster.answers import understanding
from reconciler.cluster.member import Member
from reconciler.cluster.parallel import in_parallel
from reconciler.cluster.resources import VersionedKind
from reconciler.errors import ApiError, ClusterError
from reconciler.federation.known_kinds import REPLICATED
from reconciler.federation.model import Cluster, DesiredState, Federation, Workload
from reconciler.inventory.belonging import Servers, as_ours, doubts_about_clusters
from reconciler.inventory.observation import Observation, observe
from reconciler.inventory.store import Inventory, read_inventory
from reconciler.objects import Object, ObjectKey
from reconciler.planning.missing import Sought, find_missing
from reconciler.rendering import Rendering
from reconciler.scheduling.assignment import Assignment
from reconciler.scheduling.schedule import template_replicas
from reconciler.source.owner import Claimant

CONCURRENT_MEMBERS = 128
"""Threads mostly wait; those that wait for dead members must not hold up the others."""

Live = Mapping[ObjectKey, Mapping[str, Object]]
"""Workload -> cluster -> the object as it is there."""
"""Workload -> cluster -> its live object."""


@dataclass
class Seen:
    """One member while the plan is made; ``problem`` is set when it cannot be looked at,
    ``mistaken`` when that is because it is not the cluster that Git means."""

    cluster: Cluster
    member: Member | None = None
    observation: Observation | None = None
    problem: str = ""
    mistaken: bool = False

    def answers_for(self, kinds: Collection[VersionedKind]) -> bool:
        """Whether it could be looked at, and all of these kinds could be listed."""
        return self.observation is not None and not any(k in self.observation.failed for k in kinds)


def look_at_all(
    connect: Callable[[Cluster], Member],
    clusters: Sequence[Cluster],
    state: DesiredState,
    kinds: Mapping[str, set[VersionedKind]],
    left_alone: Mapping[str, str],
    partly: Collection[str],
    claimant: Claimant,
    known: Servers,
    done: Callable[[], None],
) -> list[Seen]:
    """Each member as it is, in the order given. ``left_alone``: cluster -> why it is not asked.

    One whose inventory belongs to another repository than ``claimant``, or to another Cluster, or
    which is another API server than ``known``, is not looked into.

    ``partly``: clusters that this run does not plan, of which only the workloads matter whose
    replicas are shared out over all, or that may stand in for others.
    """
    shared = {VersionedKind.of(w.template) for w in shared_workloads(state)}
    # Such may be where they usually are not.
    wandering = {VersionedKind.of(w.template) for w in spread_workloads(state)} | {
        VersionedKind.of(w.template)
        for w in shared_workloads(state)
        if w.replicas.mode == "KubeFed"
    }

    def look(cluster: Cluster) -> Seen:
        whole = cluster.name not in partly
        wanted = kinds[cluster.name] if whole else (kinds[cluster.name] & shared) | wandering
        why = left_alone.get(cluster.name)
        seen = _look(connect, cluster, state, wanted, why, claimant, whole=whole)
        done()
        return seen

    return _told_apart(in_parallel(look, clusters, CONCURRENT_MEMBERS), claimant, known)


def _told_apart(seen: list[Seen], claimant: Claimant, known: Servers) -> list[Seen]:
    """What is not the cluster that Git means counts as not looked at; the rest is what it is."""
    inventories = {one.cluster.name: one.observation.inventory for one in seen if one.observation}
    doubts = doubts_about_clusters(inventories, claimant, known)
    for one in seen:
        if one.cluster.name in doubts:
            one.problem, one.observation, one.mistaken = doubts[one.cluster.name], None, True
        elif one.observation:
            inventory = replace(one.observation.inventory, cluster=one.cluster.name)
            one.observation = replace(one.observation, inventory=inventory)
    return seen


def _look(
    connect: Callable[[Cluster], Member],
    cluster: Cluster,
    state: DesiredState,
    kinds: set[VersionedKind],
    left_alone: str | None,
    claimant: Claimant,
    *,
    whole: bool,
) -> Seen:
    if left_alone is not None:
        return Seen(cluster, problem=left_alone)
    try:
        member = connect(cluster)
        federation = state.federation
        with understanding(cluster.name):
            inventory = _inventory(member, federation)
            inventory = as_ours(member, inventory, cluster.name, claimant)
            observation = observe(member, inventory, kinds, whole=whole)
            member.rest()
            return Seen(cluster, member, observation)
    except ClusterError as error:
        return Seen(cluster, problem=words_of(error))


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


def shared_workloads(state: DesiredState) -> list[Workload]:
    """Those whose replicas are shared out over the clusters."""
    return [w for w in state.workloads if w.replicas.mode != "Duplicated"]


def spread_workloads(state: DesiredState) -> list[Workload]:
    """Those that run in some of the clusters that they may run in."""
    return [w for w in state.workloads if w.target is not None and w.target.spread]


def words_of(error: ClusterError) -> str:
    """What went wrong, with the hint in brackets."""
    return f"{error}" + (f" ({error.hint})" if error.hint else "")


def kinds_in(rendering: Rendering) -> dict[str, set[VersionedKind]]:
    """The kinds that each cluster should have."""
    return {
        name: {VersionedKind.of(desired.body) for desired in objects}
        for name, objects in rendering.objects.items()
    }


def live_workloads(
    state: DesiredState, assignments: Sequence[Assignment], seen: Sequence[Seen]
) -> tuple[Live, frozenset[tuple[ObjectKey, str]]]:
    """The live objects of workloads with replicas, and of those that are spread, by cluster; and
    which of them are not ours.

    Those whose replicas are shared out are looked for by name where the inventory does not have
    them: what runs before a migration counts as running.
    """
    replicated = {w.key for w in state.workloads if w.key.kind in REPLICATED}
    replicated |= template_replicas(state).keys()
    shared = {w.key: w for w in shared_workloads(state)}
    spread = {w.key for w in spread_workloads(state)}
    possible = {a.workload: set(a.replicas) for a in assignments}
    found: dict[ObjectKey, dict[str, Object]] = {}
    strangers: set[tuple[ObjectKey, str]] = set()
    for one in seen:
        if one.member is None or one.observation is None:
            continue
        members = one.observation.members
        for key in {*replicated, *shared, *spread}:
            if key in members:
                found.setdefault(key, {})[one.cluster.name] = members[key][1]
        sought = [
            Sought(resource, key)
            for key, workload in shared.items()
            if key not in members
            and VersionedKind.of(workload.template) not in one.observation.failed
            and one.cluster.name in possible.get(key, ())
            and (resource := one.observation.discovery.find(VersionedKind.of(workload.template)))
        ]
        try:
            looked = find_missing(one.member, sought)
        except ClusterError as error:
            one.problem, one.observation = words_of(error), None
            continue
        failed = {**one.observation.failed, **looked.failed}
        one.observation = replace(one.observation, failed=failed)
        for key, live in looked.found.items():
            found.setdefault(key, {})[one.cluster.name] = live
            strangers.add((key, one.cluster.name))
    return found, frozenset(strangers)
