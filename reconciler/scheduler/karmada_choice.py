"""Which clusters a policy of Karmada uses, of those that it may use: groups in order, and spread.

Source: the documented behaviour of Karmada 1.16 and later, restated. Its scheduler ranks clusters
by scores that depend on what it remembers; here, clusters that have the workload already come
first, then those with more room, then the smaller name. Of regions (or zones, or providers) as few
are taken as have enough clusters, from the minimum up, and at least one cluster of each.

Where nothing fits, Karmada schedules nothing and leaves what is there; so it is here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.federation.model import Cluster, ClusterAffinity, PlacementTarget, Spread
from reconciler.federation.selectors import affine, zones_of


class Demand(Struct, frozen=True):
    """What a workload has and wants.

    here    cluster -> replicas that it has there now
    wanted  the replicas that are shared out by room; None: room does not matter
    room    cluster -> how many more it has room for; without an entry: as many as are wanted
    settled  whether it stays with the group of clusters where it is
    """

    here: Mapping[str, int]
    wanted: int | None = None
    room: Mapping[str, int] = {}
    settled: bool = True

    def holds(self, names: Collection[str]) -> bool:
        """Whether clusters have room for all replicas together."""
        if self.wanted is None or any(name not in self.room for name in names):
            return True
        return sum(self.here.get(n, 0) + self.room[n] for n in names) >= self.wanted

    def rank(self, name: str) -> tuple[bool, float, str]:
        """The smaller, the sooner a cluster is used."""
        return self.here.get(name, 0) == 0, -self.room.get(name, float("inf")), name


class ClusterChoice(Struct, frozen=True):
    """The clusters that are used. ``fits`` False: none are by the rules, and ``names`` are those
    that have the workload and keep what they have. ``group`` is the affinity's name."""

    names: tuple[str, ...]
    left_out: Mapping[str, str] = {}
    notices: tuple[Notice, ...] = ()
    fits: bool = True
    group: str = ""


def choose_clusters(
    target: PlacementTarget,
    names: Sequence[str],
    clusters: Mapping[str, Cluster],
    avoid: Collection[str],
    demand: Demand,
) -> ClusterChoice:
    """Of ``names``, which match one of the affinities, those that are used. ``avoid``: clusters
    that are down."""
    up = [name for name in names if name not in avoid]
    groups = _in_order(target.affinities, up, clusters, demand)
    doubts: list[Notice] = []
    for group in groups:
        members = [n for n in up if group is None or affine(group, clusters[n])]
        if not members and len(groups) > 1:
            continue
        found = _spread(members, target.spread, clusters, demand)
        if isinstance(found, Notice):
            doubts = doubts or [found]
            continue
        kept, left_out = found
        # One group alone is not left for want of room: what fits nowhere is told as such.
        if len(groups) > 1 and not demand.holds(kept):
            continue
        words = f"group {group.name} goes first" if group and len(groups) > 1 else ""
        others = dict.fromkeys(set(names) - set(members) - set(avoid), words) if words else {}
        name = group.name if group and len(groups) > 1 else ""
        return ClusterChoice(tuple(kept), {**others, **left_out}, group=name)
    staying = tuple(name for name in up if demand.here.get(name) is not None)
    if up and not doubts:
        doubts = [notice(NoticeCause.NO_GROUP_FITS)]
    why = "nothing fits its placement"
    left_out = {name: why for name in up if name not in staying}
    return ClusterChoice(staying, left_out, tuple(doubts), fits=not up)


def _in_order(
    affinities: Sequence[ClusterAffinity],
    up: Sequence[str],
    clusters: Mapping[str, Cluster],
    demand: Demand,
) -> list[ClusterAffinity | None]:
    """The groups as they are tried: as written, but the one that has all of it first."""
    if len(affinities) < 2:
        return [affinities[0] if affinities else None]
    used = [clusters[name] for name in up if demand.here.get(name)]
    if not (used and demand.settled):
        return list(affinities)
    first = [one for one in affinities if all(affine(one, cluster) for cluster in used)]
    return [*first, *(one for one in affinities if one not in first)]


def _spread(
    names: Sequence[str],
    rules: Sequence[Spread],
    clusters: Mapping[str, Cluster],
    demand: Demand,
) -> tuple[list[str], dict[str, str]] | Notice:
    """The clusters kept and why others are not, or which rule cannot be met."""
    kept, left_out = list(names), {}
    by_cluster = next((rule for rule in rules if rule.by == "cluster"), None)
    least = by_cluster.min_groups if by_cluster else 1
    seeds: list[str] = []
    for rule in rules:
        if rule is by_cluster:
            continue
        groups: dict[str, list[str]] = defaultdict(list)
        for name in sorted(kept, key=demand.rank):
            for value in _values(clusters[name], rule.by):
                groups[value].append(name)
        chosen = _groups(groups, rule, least, demand)
        if chosen is None:
            return _too_few(rule, len(groups))
        inside = {name for group in chosen for name in groups[group]}
        for name in set(kept) - inside:
            known = any(_values(clusters[name], rule.by))
            most = f"spread over {len(chosen)} {rule.by} groups"
            left_out[name] = most if known else f"it has no {rule.by}"
        kept = [name for name in kept if name in inside]
        seeds = list(dict.fromkeys(groups[group][0] for group in chosen))
    if by_cluster is None:
        return kept, left_out
    if len(kept) < least or (by_cluster.max_groups or len(kept)) < len(seeds):
        return _too_few(by_cluster, len(kept))
    most_clusters = min(by_cluster.max_groups or len(kept), len(kept))
    used = _with_room(seeds, kept, most_clusters, demand)
    for name in set(kept) - set(used):
        left_out[name] = f"spread over at most {by_cluster.max_groups} clusters"
    return [name for name in kept if name in used], left_out


def _values(cluster: Cluster, by: str) -> tuple[str, ...]:
    """The groups that a cluster is in: one for each of its zones."""
    if by == "zone":
        return zones_of(cluster)
    value = str(getattr(cluster, by))
    return (value,) if value else ()


def _groups(
    groups: Mapping[str, Sequence[str]], rule: Spread, least: int, demand: Demand
) -> list[str] | None:
    """As few groups as have enough clusters, and room; None: there are none such."""
    if len(groups) < rule.min_groups:
        return None
    ordered = sorted(groups, key=lambda g: (*demand.rank(groups[g][0])[:2], g))
    largest = sorted(groups, key=lambda g: (-len(groups[g]), ordered.index(g)))
    most = min(rule.max_groups or len(groups), len(groups))
    for count in range(rule.min_groups, most + 1):
        for some in (ordered[:count], largest[:count]):
            inside = {name for group in some for name in groups[group]}
            if len(inside) >= least and (demand.holds(inside) or count == most):
                return some
    return None


def _with_room(
    seeds: Sequence[str], names: Sequence[str], count: int, demand: Demand
) -> frozenset[str]:
    """So many clusters, ``seeds`` among them: in order, or with more room where that is needed."""
    others = sorted((n for n in names if n not in seeds), key=demand.rank)
    used = [*seeds, *others[: count - len(seeds)]]
    if not demand.holds(used):
        roomy = sorted(others, key=lambda n: -(demand.here.get(n, 0) + demand.room.get(n, 0)))
        used = [*seeds, *roomy[: count - len(seeds)]]
    return frozenset(used)


def _too_few(rule: Spread, count: int) -> Notice:
    return notice(NoticeCause.TOO_FEW_GROUPS, count=count, least=rule.min_groups, part=rule.by)
