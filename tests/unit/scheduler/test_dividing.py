"""Dividing replicas: what must hold for any weights, minima, maxima and counts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.federation.model import ReplicaShare
from reconciler.scheduler.divide import divide_by_weight
from tests.strategies import SHARES_BY_CLUSTER


@given(st.integers(0, 60), SHARES_BY_CLUSTER)
def test_everything_is_placed_that_fits_and_bounds_hold(total, shares) -> None:
    plan, missing = divide_by_weight(total, shares, key="ns/web")
    assert sum(plan.values()) + missing == total
    minima = sum(s.minimum for s in shares.values())
    for name, count in plan.items():
        assert shares[name].maximum is None or count <= shares[name].maximum
        assert minima > total or count >= shares[name].minimum
    if missing:
        for name, s in shares.items():
            assert s.weight == 0 or plan[name] == s.maximum


@given(st.integers(0, 60), SHARES_BY_CLUSTER)
def test_the_result_stays_when_nothing_changes(total, shares) -> None:
    plan, _ = divide_by_weight(total, shares, key="ns/web")
    again, _ = divide_by_weight(total, shares, key="ns/web", current=plan)
    assert again == plan


@given(st.integers(0, 60), SHARES_BY_CLUSTER)
def test_the_order_of_clusters_does_not_matter(total, shares) -> None:
    turned = dict(reversed(shares.items()))
    assert divide_by_weight(total, shares, key="k") == divide_by_weight(total, turned, key="k")


@given(st.integers(0, 100), st.integers(2, 7))
def test_a_new_cluster_takes_from_others_and_nothing_moves_between_them(total, count) -> None:
    shares = {f"c{n}": ReplicaShare(1) for n in range(count)}
    before, _ = divide_by_weight(total, shares, key="ns/web")
    shares["new"] = ReplicaShare(1)
    after, _ = divide_by_weight(total, shares, key="ns/web", current=before)
    assert all(after[name] <= before[name] for name in before)


def test_weights_divide_and_capacity_limits() -> None:
    shares = {"a": ReplicaShare(2), "b": ReplicaShare(1), "c": ReplicaShare(1)}
    assert divide_by_weight(8, shares, key="k")[0] == {"a": 4, "b": 2, "c": 2}
    assert divide_by_weight(8, shares, key="k", capacity={"a": 1})[0]["a"] == 1
    assert divide_by_weight(8, shares, key="k", capacity={"a": 1, "b": 1, "c": 1}) == (
        {"a": 1, "b": 1, "c": 1},
        5,
    )
