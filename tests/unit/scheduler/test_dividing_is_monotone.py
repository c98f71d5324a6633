"""A larger total lowers nobody, a smaller one raises nobody: Webster's method, one by one."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.federation.model import ReplicaShare
from reconciler.scheduler.divide import divide_by_weight
from reconciler.scheduler.spread import rank
from tests.strategies import CAPACITIES, COUNTS_BY_CLUSTER, REPLICA_TOTALS, SHARES_BY_CLUSTER


def of(**shares: tuple[int, int, int | None]) -> dict[str, ReplicaShare]:
    return {name: ReplicaShare(*share) for name, share in shares.items()}


@pytest.mark.parametrize(
    ("fewer", "shares"),
    [
        (4, of(a=(3, 0, None), b=(6, 0, None), c=(1, 0, None))),
        (
            23,
            of(
                a=(2, 0, None),
                b=(170, 0, 5),
                c=(110, 2, None),
                d=(5, 0, None),
                e=(110, 0, None),
            ),
        ),
        (5, of(a=(170, 0, None), b=(110, 0, None), c=(60, 0, None))),
    ],
)
def test_one_replica_more_is_one_more_for_one_cluster(
    fewer: int, shares: dict[str, ReplicaShare]
) -> None:
    """What largest remainders get wrong: a cluster that loses one because all have one more."""
    before, _ = divide_by_weight(fewer, shares, key="shop/web")
    for current in ({}, before):
        after, _ = divide_by_weight(fewer + 1, shares, key="shop/web", current=current)
        assert sorted(after[c] - before[c] for c in shares) == [0] * (len(shares) - 1) + [1]


@settings(max_examples=500)
@given(REPLICA_TOTALS, REPLICA_TOTALS, SHARES_BY_CLUSTER, CAPACITIES, COUNTS_BY_CLUSTER)
def test_a_larger_total_lowers_nobody(one, other, shares, capacity, current) -> None:
    fewer, more = sorted((one, other))
    before, _ = divide_by_weight(fewer, shares, key="k", current=current, capacity=capacity)
    after, _ = divide_by_weight(more, shares, key="k", current=current, capacity=capacity)
    assert all(before[name] <= after[name] for name in shares)


@settings(max_examples=500)
@given(
    st.lists(REPLICA_TOTALS, min_size=2, max_size=6),
    SHARES_BY_CLUSTER,
    CAPACITIES,
    COUNTS_BY_CLUSTER,
)
def test_nor_does_it_when_each_run_knows_what_the_last_one_made(
    totals, shares, capacity, start
) -> None:
    current, last = start, None
    for total in totals:
        plan, _ = divide_by_weight(total, shares, key="k", current=current, capacity=capacity)
        if last is not None:
            grows, shrinks = total >= last, total <= last
            assert not grows or all(plan[c] >= current[c] for c in shares)
            assert not shrinks or all(plan[c] <= current[c] for c in shares)
        current, last = plan, total


@settings(max_examples=300)
@given(REPLICA_TOTALS, SHARES_BY_CLUSTER, CAPACITIES)
def test_it_is_what_one_replica_after_the_other_comes_to(total, shares, capacity) -> None:
    highs = {
        c: min(x for x in (s.maximum, capacity.get(c), 10**9) if x is not None)
        for c, s in shares.items()
    }
    slow = {c: min(s.minimum, highs[c]) for c, s in shares.items()}
    left = total - sum(slow.values())
    if left < 0:
        return
    for _ in range(left):
        able = [c for c, s in shares.items() if s.weight and slow[c] < highs[c]]
        if not able:
            break
        claims = {c: Fraction(shares[c].weight, 2 * slow[c] + 1) for c in able}
        slow[max(able, key=lambda c: (claims[c], rank("k", c)))] += 1
    assert divide_by_weight(total, shares, key="k", capacity=capacity) == (
        slow,
        total - sum(slow.values()),
    )


@given(REPLICA_TOTALS, SHARES_BY_CLUSTER, st.integers(0, 9))
def test_a_cluster_that_joins_only_takes_and_one_that_leaves_only_gives(
    total, shares, weight
) -> None:
    with_it = {**shares, "new": ReplicaShare(weight)}
    without, _ = divide_by_weight(total, shares, key="k")
    together, _ = divide_by_weight(total, with_it, key="k")
    assert all(together[name] <= without[name] for name in shares)


def test_a_million_replicas_are_divided_at_once() -> None:
    shares = {f"c{n}": ReplicaShare(n % 7 + 1, n % 3, None if n % 2 else 900) for n in range(50)}
    began = time.perf_counter()
    plan, missing = divide_by_weight(1_000_000, shares, key="k")
    assert time.perf_counter() - began < 1.0
    assert (sum(plan.values()), missing) == (1_000_000, 0)
