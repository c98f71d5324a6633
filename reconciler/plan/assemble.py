"""All members' parts put together: the Plan. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from msgspec.structs import replace

from reconciler.api.moves import Move
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import ObjectKey
from reconciler.cluster.discovery import GroupVersionKind
from reconciler.cluster.warnings import server_warnings
from reconciler.failover.availability import simulated_outages as clusters_hit
from reconciler.failover.cluster_health import Absence, ClusterHealth
from reconciler.federation.model import Cluster, DesiredState
from reconciler.plan.guards import InvalidManifest
from reconciler.plan.member_plan import MemberWork
from reconciler.plan.model import Action, Change, ClusterPlan, Plan, WorkloadRow
from reconciler.plan.prune import HOLDERS, staying_in

_UNDONE = {Action.FAILED: "refused", Action.TERMINATING: "being deleted"}
HINT = "look at what would be deleted; raise spec.guards, or pass --max-deletions once"


def unreachable_plan(cluster: Cluster, absence: Absence) -> ClusterPlan:
    """The part of a member that could not be looked at: nothing is known, nothing is written."""
    return ClusterPlan(
        cluster.name,
        cluster.provider,
        cluster.region,
        cluster.zone,
        reachable=False,
        absence=absence,
    )


def hold_prunes_of_moved(
    works: Sequence[MemberWork],
    unreachable: Sequence[ClusterPlan],
    placed: Mapping[ObjectKey, frozenset[str]],
) -> list[MemberWork]:
    """Without the prunes of objects that are wanted in other clusters and will not get there.

    Nobody can write to those that cannot be looked at, and some refuse. ``placed`` tells in which
    clusters each object is wanted. What holds an object that stays, stays.
    """
    away = {one.name for one in unreachable}
    undone: dict[ObjectKey, dict[str, str]] = {}
    for work in works:
        for change in work.plan.changes:
            if why := _UNDONE.get(change.action) or _waiting(change):
                undone.setdefault(change.key, {})[work.cluster.name] = why

    def missing(change: Change) -> str:
        placed_in = placed.get(change.key, frozenset())
        unseen = placed_in & away
        found = {n: why for n, why in undone.get(change.key, {}).items() if n in placed_in}
        reasons = [f"{', '.join(sorted(unseen))} cannot be looked at"] if unseen else []
        reasons += [
            f"it is {why} in {', '.join(sorted(n for n in found if found[n] == why))}"
            for why in dict.fromkeys(found.values())
        ]
        return " and ".join(reasons)

    return [_without(work, missing) for work in works]


def _waiting(change: Change) -> str:
    makes = change.waits and change.action not in (Action.PRUNE, Action.ORPHAN)
    return "still to be written" if makes else ""


def _without(work: MemberWork, missing: Callable[[Change], str]) -> MemberWork:
    prunes = [c for c in work.plan.changes if c.action is Action.PRUNE]
    held = {
        c.key: f"it is wanted in other clusters as well, and {why}"
        for c in prunes
        if (why := missing(c))
    }
    for change in prunes if held else ():
        if change.key.group_kind in HOLDERS and change.key not in held:
            inside = staying_in(change.key, change.live or {}, held, ())
            if inside:
                held[change.key] = f"it holds objects that stay: {inside}"
    if not held:
        return work
    kept = tuple(c for c in work.plan.changes if c.action is not Action.PRUNE or c.key not in held)
    name = work.cluster.name
    waits = (notice(NoticeCause.PRUNE_WAITS, name, key, reason=why) for key, why in held.items())
    return replace(work, plan=replace(work.plan, changes=kept), notices=(*work.notices, *waits))


def assemble(
    state: DesiredState,
    works: Sequence[MemberWork],
    unreachable: Sequence[ClusterPlan],
    rows: Sequence[WorkloadRow],
    placed: Mapping[ObjectKey, frozenset[str]],
    *,
    commit: str = "",
    notices: Sequence[Notice] = (),
    moves: Sequence[Move] = (),
    health: Sequence[ClusterHealth] = (),
    simulated_outages: Sequence[str] = (),
) -> Plan:
    """Sort everything, so that the same input gives the same plan, byte for byte.

    ``placed`` tells in which clusters each object is wanted, those of other runs among them.
    """
    simulated = clusters_hit(state, simulated_outages)
    clusters = [work.plan for work in works]
    clusters += [replace(one, simulated=one.name in simulated) for one in unreachable]
    violations = [one for work in works for one in work.violations]
    hint = HINT if violations else ""
    if state.federation.guards.on_invalid == "Stop":
        # The same manifest is refused by every cluster alike; once is enough to read.
        planned = {cluster.name for cluster in clusters}
        wanted_in_other_shards = {
            key for key, placed_in in placed.items() if not placed_in <= planned
        }
        wrong = [
            *_malformed_everywhere(works, wanted_in_other_shards),
            *_unservable_everywhere(works, state),
        ]
        refused = {InvalidManifest(key=c.key, origin=c.origin, error=c.error) for c in wrong}
        if refused and not violations:
            hint = "mend the manifests, or let the others through with spec.guards.onInvalid: Skip"
        violations += refused
    every = [*state.notices, *notices, *(one for work in works for one in work.notices)]
    every += server_warnings({work.cluster.name: work.server_warnings for work in works})
    return Plan(
        federation=state.federation.name,
        clusters=tuple(sorted(clusters, key=lambda c: c.name)),
        commit=commit,
        notices=tuple(sorted(set(every), key=str)),
        violations=tuple(sorted(violations, key=str)),
        violation_hint=hint,
        workloads=tuple(sorted(rows, key=lambda row: row.key)),
        moves=tuple(moves),
        health=tuple(health),
        simulated_outages=tuple(simulated_outages),
    )


def _malformed_everywhere(
    works: Sequence[MemberWork], wanted_in_other_shards: Collection[ObjectKey]
) -> list[Change]:
    """What no member that was asked takes for an object at all: a mistake in Git. What only some
    refuse is their trouble, such as an older version or a webhook.

    Nobody knows of what is wanted ``wanted_in_other_shards`` too: where another shard looks, or
    nobody.
    """
    if not any(work.invalid for work in works):
        return []
    taken = {key for work in works for key in _takes(work, work.invalid)} | {
        *wanted_in_other_shards
    }
    return [change for work in works for change in work.invalid if change.key not in taken]


def _unservable_everywhere(works: Sequence[MemberWork], state: DesiredState) -> list[Change]:
    """Manifests whose kind or namespace no member has: a mistake in Git, not in a cluster.

    Nobody knows of the members that were not asked for it, or that ``--cluster`` leaves out.
    """
    if {cluster.name for cluster in state.clusters} - {work.cluster.name for work in works}:
        return []
    unservable = {change.key: change for work in works for change in work.unservable}
    if not unservable:
        return []
    servable = {key for work in works for key in _takes(work, work.unservable)}

    def is_only_lacking_here(change: Change) -> bool:
        kind = GroupVersionKind(change.api_version, change.key.kind)
        lacking = [kind in work.observation.unserved for work in works]
        return any(lacking) and not all(lacking)

    return [
        change
        for key, change in sorted(unservable.items())
        if key not in servable and not is_only_lacking_here(change)
    ]


def _takes(work: MemberWork, refused: Collection[Change]) -> set[ObjectKey]:
    """What the member was asked about and did not refuse so."""
    asked = {c.key for c in work.plan.changes if c not in refused and c.verified}
    return {*work.rows, *asked}
