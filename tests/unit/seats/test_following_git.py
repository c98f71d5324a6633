"""One step from the register's seats towards those in Git: never more, never without a majority."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.api.errors import Position, SourceError
from reconciler.seats.access import SeatChange, next_change
from tests.strategies import SEATS_IN_GIT

HERE = Position("federation.yaml", 4, 1)
NAMES = "abcdefg"


@pytest.mark.parametrize(
    ("now", "wanted", "living", "change"),
    [
        ("abc", "abc", "abc", None),
        ("abc", "abd", "abc", SeatChange("c", "d")),
        # The one that is dead may be the one that leaves.
        ("abc", "abd", "ab", SeatChange("c", "d")),
        ("abc", "abcde", "abc", SeatChange("", "d")),
        ("abcd", "abcde", "abcd", SeatChange("", "e")),
        ("abcde", "abc", "abcde", SeatChange("d", "")),
        ("abce", "abc", "abc", SeatChange("e", "")),
    ],
)
def test_one_seat_at_a_time(now: str, wanted: str, living: str, change: SeatChange | None) -> None:
    assert next_change(now, wanted, living, HERE) == change


@pytest.mark.parametrize(
    ("now", "wanted", "living", "words", "hint"),
    [
        ("abc", "ade", "abc", "changes b, c, d, e at once", "one seat with each commit"),
        ("abc", "abcdefg", "abc", "changes d, e, f, g at once", "two that are both new"),
        ("abc", "abd", "c", "no majority would be alive", "seats replace a NEW"),
        ("abcde", "abc", "ade", "no majority would be alive", "seats replace"),
    ],
)
def test_what_is_too_much_is_refused_with_its_line_and_the_way_out(
    now: str, wanted: str, living: str, words: str, hint: str
) -> None:
    with pytest.raises(SourceError) as refused:
        next_change(now, wanted, living, HERE)
    assert "federation.yaml:4" in str(refused.value)
    assert words in str(refused.value)
    assert hint in refused.value.hint


@given(SEATS_IN_GIT, SEATS_IN_GIT, st.sets(st.sampled_from(NAMES)))
def test_a_step_changes_one_seat_and_leaves_a_majority_alive(
    now: set[str], wanted: set[str], living: set[str]
) -> None:
    living &= now
    try:
        change = next_change(now, wanted, living, HERE)
    except SourceError:
        return
    if change is None:
        assert now == wanted
        return
    after = (now - {change.leaves}) | ({change.comes} - {""})
    assert len(after ^ wanted) < len(now ^ wanted)
    assert len((living | {change.comes}) & after) * 2 > len(after)
