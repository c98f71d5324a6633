"""Karmada's division of replicas, case for case.

Source: the documented behaviour of Karmada 1.16 and later (``replicaScheduling``), restated, and
checked against inputs and outputs that its scheduler gave in August 2026
(``tests/unit/scheduler``). Since 1.16 it divides by the method of Webster and Sainte-Laguë. Where
it would break a tie by the object's UID, which Git does not know, the smaller name wins here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fractions import Fraction
from heapq import heapify, heapreplace
from typing import Literal

from reconciler.api.errors import ReconcileError

Strategy = Literal["StaticWeight", "DynamicWeight", "Aggregated"]


class Unschedulable(ReconcileError):
    """The clusters have room for fewer replicas than are to be added."""


def divide(
    strategy: Strategy,
    replicas: int,
    clusters: Collection[str],
    weights: Mapping[str, int] | None = None,
    available: Mapping[str, int] | None = None,
    previous: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """Cluster -> replicas, of ``replicas`` over the candidates ``clusters``.

    ``StaticWeight``   by ``weights``; a cluster without one gets no entry. No weights: 1 each.
    ``DynamicWeight``  by the replicas for which each has room (``available``); a cluster that was
                       considered and comes to none has 0.
    ``Aggregated``     over as few as have room for all of them together, those in use first, then
                       those with more room; the others get no entry.

    The latter two leave what is there (``previous``) in place: more replicas are added to it, by
    the room that is left; of fewer, each keeps by what it has. What is elsewhere than on a
    candidate counts for nothing, although Karmada shares fewer replicas out to that, too.

    Raises Unschedulable where there is too little room, ValueError for a strategy that is none of
    these or a negative number.
    """
    numbers = (
        replicas,
        *(n for given in (weights, available, previous) for n in (given or {}).values()),
    )
    if min(numbers) < 0:
        raise ValueError("replicas, weights and room are not negative")
    if strategy == "StaticWeight":
        given = {c: w for c in clusters if (w := (weights or {}).get(c, 0)) > 0}
        return by_webster(replicas, given or dict.fromkeys(clusters, 1))
    if strategy not in ("DynamicWeight", "Aggregated"):
        raise ValueError(f"{strategy!r} is no strategy of division")
    room = {c: (available or {}).get(c, 0) for c in clusters}
    there = {c: previous[c] for c in clusters if c in previous} if previous else {}
    placed = sum(there.values())
    if replicas == placed:
        return there
    if replicas < placed:
        # What each keeps is a share of what it has.
        shares = _fewest(there, (), replicas) if strategy == "Aggregated" else there
        return by_webster(replicas, shares)
    missing = replicas - placed
    if sum(room.values()) < missing:
        raise Unschedulable(
            f"{missing} more replicas are wanted, and there is room for {sum(room.values())}"
        )
    if strategy == "Aggregated":
        room = _fewest(room, [c for c, n in there.items() if n], missing)
    added = by_webster(missing, room)
    return {c: there.get(c, 0) + added.get(c, 0) for c in clusters if c in there or c in added}


def by_webster(seats: int, votes: Mapping[str, int]) -> dict[str, int]:
    """Each of ``seats`` goes to the largest ``votes / (2 * its seats + 1)``; of equal ones to the
    one with fewer seats, then to the smaller name. Without any votes nobody gets one."""
    found = dict.fromkeys(votes, 0)
    queue = [(Fraction(1, n), 0, name) for name, n in votes.items() if n > 0]
    heapify(queue)
    for _ in range(seats if queue else 0):
        _, has, name = queue[0]
        found[name] = has + 1
        heapreplace(queue, (Fraction(2 * has + 3, votes[name]), has + 1, name))
    return found


def _fewest(room: Mapping[str, int], first: Collection[str], replicas: int) -> dict[str, int]:
    """The clusters that have room for so many together, those of ``first`` before the others."""
    found: dict[str, int] = {}
    for name in sorted(room, key=lambda c: (c not in first, -room[c], c)):
        found[name] = room[name]
        if sum(found.values()) >= replicas:
            break
    return found
