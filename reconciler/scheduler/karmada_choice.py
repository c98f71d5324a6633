"""Which clusters a policy of Karmada uses, of those that it may use: groups in order, and spread.

Source: the behaviour of Karmada's scheduler (1.16), which was run beside this one: clusters that
have the workload already come first, then those with more room, counting what they have, then the
smaller name. Of regions (or zones, or providers) those are taken that together have the most, of
all sets that have enough clusters and would not without their last; and at least one cluster of
each. Karmada knows regions only, and gives up where what it takes has no room; here, the next set
that has some is taken.

Where nothing fits, Karmada schedules nothing and leaves what is there; so it is here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice

from msgspec import Struct

from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.federation.model import Cluster, ClusterAffinity, PlacementTarget, Spread
from reconciler.federation.selectors import affine, zones_of

_MOST_SETS = 2_000
"""Sets of groups that are compared: a fleet in hundreds of zones must not take for ever."""


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
        return sum(self.most_in(n) for n in names) >= self.wanted

    def most_in(self, name: str) -> float:
        """What a cluster has and has room for."""
        return self.here.get(name, 0) + self.room.get(name, float("inf"))

    def rank(self, name: str) -> tuple[bool, float, str]:
        """The smaller, the sooner a cluster is used."""
        return self.here.get(name, 0) == 0, -self.most_in(name), name


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
    """The groups that are used, of which each has its clusters in order; None: there are too few.

    ``least``: clusters that are needed. Groups with the most together win, then those with more
    clusters; but not with a group that is worth less than all others, and not needed.
    """
    most = min(rule.max_groups or len(groups), len(groups))
    worth = {name: _worth(inside, rule, least, demand) for name, inside in groups.items()}
    sizes = sorted((len(inside), -worth[name], name) for name, inside in groups.items())
    found = [
        sorted(names, key=lambda name: (-worth[name], name))
        for names in islice(_sets(sizes, rule.min_groups, most, least), _MOST_SETS)
    ]
    if not found:
        return None
    found.sort(key=lambda s: (-sum(worth[n] for n in s), -sum(len(groups[n]) for n in s)))
    best = found[0]
    for one in found[1:]:
        if one == best[: len(one)]:
            best = one
    return next((one for one in (best, *found) if _hold(one, groups, demand)), best)


def _hold(names: Sequence[str], groups: Mapping[str, Sequence[str]], demand: Demand) -> bool:
    return demand.holds({cluster for name in names for cluster in groups[name]})


def _worth(inside: Sequence[str], rule: Spread, least: int, demand: Demand) -> float:
    """What counts for a group of clusters: its share of the replicas as far as there is room, then
    how many of the clusters have the workload already."""
    if demand.wanted is None:
        return len(inside) * 1000 + _settled(inside, demand)
    share, enough = -(-demand.wanted // rule.min_groups), max(least, rule.min_groups)
    room: float = 0
    for number, name in enumerate(inside, 1):
        room += demand.most_in(name)
        if number >= enough and room >= share:
            return share * 1000 + _settled(inside[:number], demand)
    return min(room, share) * 1000 + _settled(inside, demand)


def _settled(names: Sequence[str], demand: Demand) -> int:
    """The share of clusters that have the workload, in percent."""
    return 100 * sum(demand.here.get(name, 0) > 0 for name in names) // len(names)


def _sets(
    sizes: Sequence[tuple[int, float, str]],
    fewest: int,
    most: int,
    least: int,
    chosen: tuple[str, ...] = (),
) -> Iterator[tuple[str, ...]]:
    """Sets of ``fewest`` to ``most`` groups with ``least`` clusters, each without one more than it
    needs. ``sizes``: the groups that are left, the smallest one first."""
    left = most - len(chosen)
    if least <= 0 and len(chosen) >= fewest:
        yield chosen
        return
    for number, (size, _, name) in enumerate(sizes):
        rest = sizes[number + 1 :]
        largest = sum(other for other, *_ in rest[len(rest) - min(left - 1, len(rest)) :])
        if left > 0 and size + largest >= least and len(chosen) + 1 + len(rest) >= fewest:
            yield from _sets(rest, fewest, most, least - size, (*chosen, name))


def _with_room(
    seeds: Sequence[str], names: Sequence[str], count: int, demand: Demand
) -> frozenset[str]:
    """So many clusters, ``seeds`` among them: in order; where they lack room, the last ones give
    way to those with the most."""
    others = sorted((n for n in names if n not in seeds), key=demand.rank)
    used, rest = others[: count - len(seeds)], others[count - len(seeds) :]
    for place in reversed(range(len(used))):
        if not rest or demand.holds([*seeds, *used]):
            break
        roomy = max(rest, key=demand.most_in)
        if demand.most_in(roomy) > demand.most_in(used[place]):
            rest[rest.index(roomy)], used[place] = used[place], roomy
    return frozenset((*seeds, *used))


def _too_few(rule: Spread, count: int) -> Notice:
    return notice(NoticeCause.TOO_FEW_GROUPS, count=count, least=rule.min_groups, part=rule.by)
