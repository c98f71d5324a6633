"""Karmada's division of replicas: recorded inputs and outputs of its scheduler, and its rules."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.scheduler.karmada import Unschedulable, by_webster, divide
from tests.strategies import COUNTS_OF_FIVE

CASES = json.loads((Path(__file__).parent / "karmada-division-cases.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_divides_as_karmada_did(case):
    given_, result = dict(case), case["result"]
    del given_["result"]
    assert divide(**given_) == result


@given(COUNTS_OF_FIVE, st.integers(0, 200))
def test_one_seat_more_lowers_nobody(votes, seats):
    fewer, more = by_webster(seats, votes), by_webster(seats + 1, votes)
    assert all(fewer[name] <= more[name] for name in votes)
    assert sum(fewer.values()) == (seats if any(votes.values()) else 0)
    assert all(votes[name] or not count for name, count in more.items())


def test_largest_remainders_would_take_one_away_here():
    votes = {"a": 170, "b": 110, "c": 60}
    assert by_webster(5, votes) == {"a": 2, "b": 2, "c": 1}
    assert by_webster(6, votes) == {"a": 3, "b": 2, "c": 1}


@given(
    st.sampled_from(["DynamicWeight", "Aggregated"]),
    st.integers(0, 150),
    COUNTS_OF_FIVE,
    COUNTS_OF_FIVE | st.none(),
)
def test_what_is_there_stays_when_more_are_wanted(strategy, replicas, available, previous):
    there = {name: n for name, n in (previous or {}).items() if n and name in available}
    try:
        found = divide(strategy, replicas, sorted(available), None, available, previous)
    except Unschedulable:
        assert sum(available.values()) < replicas - sum(there.values())
        return
    assert sum(found.values()) == replicas
    for name, count in there.items():
        now = found.get(name, 0)
        assert now >= count if replicas >= sum(there.values()) else now <= count
    for name, count in found.items():
        assert count - there.get(name, 0) <= available[name]


@pytest.mark.parametrize(
    ("strategy", "replicas", "previous", "result"),
    [
        ("Aggregated", 0, {"a": 2, "b": 3}, {"b": 0}),
        ("Aggregated", 4, {"a": 0, "b": 3}, {"a": 0, "b": 4}),
        ("Aggregated", 3, {"a": 0, "b": 3}, {"a": 0, "b": 3}),
        ("DynamicWeight", 0, {"a": 2, "b": 3}, {"a": 0, "b": 0}),
        ("DynamicWeight", 1, {"a": 0, "b": 3}, {"a": 0, "b": 1}),
    ],
)
def test_clusters_with_none_are_those_that_karmada_names(strategy, replicas, previous, result):
    # As its scheduler's own code, which was run, has them before it leaves them out.
    room = {"a": 5, "b": 7, "c": 1}
    found = divide(strategy, replicas, ["a", "b", "c"], None, room, previous)
    assert found == result


def test_what_is_no_candidate_any_more_gets_nothing():
    # Karmada's scheduler would leave some on c here, whatever the policy says of it.
    previous = {"a": 5, "b": 4, "c": 9}
    assert divide("DynamicWeight", 6, ["a", "b"], None, {}, previous) == {"a": 3, "b": 3}


def test_no_weights_at_all_are_equal_weights():
    assert divide("StaticWeight", 5, ["b", "a", "c"]) == {"a": 2, "b": 2, "c": 1}
    assert divide("StaticWeight", 4, ["a", "b"], {"other": 3}) == {"a": 2, "b": 2}


@pytest.mark.parametrize("wrong", [("Duplicated", 1), ("StaticWeight", -1)])
def test_what_has_no_meaning_is_an_error(wrong: tuple[str, int]) -> None:
    strategy, replicas = wrong
    with pytest.raises(ValueError, match=r"strategy|negative"):
        divide(strategy, replicas, ["a"])
