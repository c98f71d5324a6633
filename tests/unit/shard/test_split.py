"""Which pod looks after which clusters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.api.errors import UsageError
from reconciler.shard.split import Shard, parse_shard, split
from tests.strategies import CLUSTER_NAMES, SHARD_COUNTS


@given(CLUSTER_NAMES, SHARD_COUNTS)
def test_every_cluster_is_of_exactly_one_pod(names: set[str], count: int) -> None:
    shares = [Shard(index, count).clusters_of(names) for index in range(count)]
    assert frozenset().union(*shares) == names
    assert sum(map(len, shares)) == len(names)


@given(CLUSTER_NAMES, SHARD_COUNTS)
def test_no_pod_has_more_than_its_even_share(names: set[str], count: int) -> None:
    found = split(names, count)
    loads = [list(found.values()).count(index) for index in range(count)]
    assert max(loads) <= -(-len(names) // count)


@given(st.permutations(sorted(f"cluster-{n}" for n in range(20))), SHARD_COUNTS)
def test_the_order_of_the_names_does_not_matter(names: list[str], count: int) -> None:
    assert split(names, count) == split(sorted(names), count)


def test_a_cluster_that_joins_moves_few_others() -> None:
    names = [f"cluster-{number}" for number in range(100)]
    before = split(names, 5)
    after = split([*names, "one-more"], 5)
    moved = [name for name in names if before[name] != after[name]]
    assert len(moved) <= 20


@pytest.mark.parametrize("wrong", ["", "1", "4/4", "a/b", "-1/4", "1/", "/4", "0/0"])
def test_what_is_no_shard_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="not a shard"):
        parse_shard(wrong)


def test_a_shard_is_written_as_it_is_read() -> None:
    assert str(parse_shard("2/4", "job")) == "2/4"
    assert parse_shard("0/4").decides
    assert not parse_shard("3/4").decides
