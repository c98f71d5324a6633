"""Until when a run would make the same of the time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from reconciler.api.moments import Moment, TimeUse, plain_numbers
from tests.strategies import TIME_RULES, TimeRule

NOW = 1_800_000_000.0


def outcome(rule: TimeRule, now: float) -> Any:
    """What such rules come to in the code of a plan: never a number that goes on with the time."""
    then = NOW + rule.first
    if rule.sort == "before":
        return now < then, now >= then + rule.second
    if rule.sort == "age":
        return now - then > rule.second
    if rule.sort == "capped":
        return 3 + min(max(0.0, now - then), rule.second / 2) >= rule.second
    if rule.sort == "left":
        return max(0.0, then + rule.second - now) <= 0
    if rule.sort == "turn":
        return int(now // rule.second) % 7
    if rule.sort == "window":
        return then <= now < then + rule.second
    if rule.sort == "first":
        return sorted([then, now, then + rule.second]).index(now)
    if rule.sort == "text":
        return f"{now - then:.0f} s"
    if rule.sort == "same":
        return now == then, now != then
    return bool(now - then) or abs(now - then) > rule.second


@given(TIME_RULES, st.floats(0, 120, allow_nan=False))
def test_as_long_as_it_holds_everything_comes_out_the_same(
    rules: list[TimeRule], later: float
) -> None:
    use = TimeUse(NOW)
    found = [outcome(rule, use.moment(NOW)) for rule in rules]
    assert found == [outcome(rule, NOW) for rule in rules]
    if use.holds(NOW + later):
        assert found == [outcome(rule, NOW + later) for rule in rules]


def test_it_holds_to_the_moment_at_which_something_changes() -> None:
    use = TimeUse(NOW)
    now = use.moment(NOW)
    assert not now - (NOW - 100) >= 180
    assert now < NOW + 500
    assert use.until == NOW + 80
    assert use.holds(NOW + 79.9)
    assert not use.holds(NOW + 80)
    assert not use.holds(NOW - 1), "the clock was set back"


def test_what_is_over_and_what_was_not_asked_holds_for_ever() -> None:
    use = TimeUse(NOW)
    assert use.moment(NOW) > NOW - 5
    assert use.moment(NOW) - use.moment(NOW) == 0
    assert use.holds(NOW + 1e9)


@pytest.mark.parametrize(
    "made", [str, repr, hash, int, round, float, lambda now: now * 2, lambda now: f"{now:.1f}"]
)
def test_what_changes_with_every_moment_holds_for_none(made: Any) -> None:
    use = TimeUse(NOW)
    made(use.moment(NOW))
    assert not use.holds(NOW)


class _Memory(Struct, frozen=True):
    since: float
    names: dict[str, tuple[float, str]]


def test_what_is_kept_has_plain_numbers() -> None:
    use = TimeUse(NOW)
    kept = plain_numbers(_Memory(use.moment(NOW) - 5, {"a": (use.moment(NOW), "x")}))
    assert kept == _Memory(NOW - 5, {"a": (NOW, "x")})
    assert type(kept.since) is float
    assert type(kept.names["a"][0]) is float
    plain = _Memory(NOW, {})
    assert plain_numbers(plain) is plain
    assert not use.always
    assert isinstance(use.moment(NOW), Moment)
