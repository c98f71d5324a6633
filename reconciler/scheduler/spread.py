"""Choosing groups of clusters (providers, regions, zones) within a minimum and a maximum."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.federation.model import Cluster, Spread


def spread(
    names: Sequence[str],
    rules: Sequence[Spread],
    clusters: Mapping[str, Cluster],
    avoid: Collection[str],
    key: str,
    affinities: Mapping[str, int] | None = None,
) -> tuple[list[str], dict[str, str], list[Notice]]:
    """The clusters kept, the reasons for those left out, and notices of minima not reached.

    Groups with the better liked clusters come first (``affinities``: cluster -> weight). Equal ones
    are ranked by a hash of group and workload (rendezvous hashing): every workload spreads
    differently, and a new group changes the choice only where it ranks among the best. Groups
    without any cluster outside ``avoid`` (those that are down) come last.
    """
    kept, left_out, notices = list(names), {}, []
    for rule in rules:
        groups: dict[str, list[str]] = defaultdict(list)
        for name in kept:
            groups[_group(clusters[name], rule.by)].append(name)
        live = {g for g, members in groups.items() if not set(members) <= set(avoid)}
        best = {g: max((affinities or {}).get(n, 0) for n in groups[g]) for g in groups}
        order = {g: (g not in live, -best[g], -rank(key, g), g) for g in groups}
        ranked = sorted(groups, key=order.__getitem__)
        chosen = ranked[: rule.max_groups] if rule.max_groups is not None else ranked
        if len(live & set(chosen)) < rule.min_groups:
            notices.append(
                notice(
                    NoticeCause.TOO_FEW_GROUPS,
                    count=len(live & set(chosen)),
                    least=rule.min_groups,
                    part=rule.by,
                )
            )
        for group in set(groups) - set(chosen):
            for name in groups[group]:
                left_out[name] = f"spread over at most {rule.max_groups} {rule.by} groups"
        kept = [name for name in kept if name not in left_out]
    return kept, left_out, notices


def rank(key: str, name: str) -> int:
    """A stable pseudo-random rank of ``name`` for one workload."""
    digest = hashlib.blake2b(f"{key}\x00{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _group(cluster: Cluster, by: str) -> str:
    if by == "cluster":
        return cluster.name
    # A cluster that does not say where it is forms a group of its own.
    return str(getattr(cluster, by)) or f"cluster {cluster.name}"
