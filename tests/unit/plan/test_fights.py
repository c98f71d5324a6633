"""What somebody changes again whenever it was put back."""

from __future__ import annotations

from msgspec.structs import replace

from reconciler.api.objects import ObjectKey
from reconciler.api.reasons import Cause, Reason
from reconciler.plan.fights import (
    FORGOTTEN_AFTER,
    LONGEST_PAUSE,
    Fights,
    fights_after,
    notices_of_fights,
    why_it_waits,
)
from reconciler.plan.model import Action, Change, ClusterPlan, FieldChange, Plan

NOW = 1_800_000_000.0
KEY = ObjectKey("", "ConfigMap", "shop", "settings")


def change(*causes: Cause, action: Action = Action.UPDATE) -> Change:
    fields = tuple(
        FieldChange("data.a", "1", "2", ("flux",), (Reason(cause),))  # type: ignore[arg-type]
        for cause in causes
    )
    return Change(action, KEY, "v1", fields=fields)


def repaired(fights: Fights, at: float, one: Change | None = None) -> Fights:
    plan = Plan("shop", (ClusterPlan("aws", changes=(one or change(Cause.DRIFT),)),))
    return fights_after(fights, plan, at)


def test_pauses_double_from_the_third_repair_on_up_to_ten_minutes() -> None:
    fights: Fights = {}
    pauses, now = [], NOW
    for _ in range(14):
        fights = repaired(fights, now)
        fight = fights["aws", KEY]
        pauses.append(fight.until - fight.last)
        now = fight.until
    assert pauses[:6] == [0, 0, 2, 4, 8, 16]
    assert pauses[-1] == LONGEST_PAUSE
    assert fight.opponents == ("flux",)


def test_what_is_changed_every_few_minutes_is_put_back_at_once_and_told() -> None:
    fights: Fights = {}
    for number in range(30):
        now = NOW + 200 * number
        assert why_it_waits(fights, "aws", change(Cause.DRIFT), now) == ""
        fights = repaired(fights, now)
    (told,) = notices_of_fights(fights, now)
    assert "30 times" in str(told)


def test_pauses_begin_anew_where_an_object_stood_for_long() -> None:
    fights: Fights = {}
    now = NOW
    for _ in range(8):
        fights = repaired(fights, now)
        now = fights["aws", KEY].until
    assert fights["aws", KEY].pause == 64
    still = repaired(fights, now + 60)
    assert still["aws", KEY].pause == 128
    over = repaired(fights, now + 65)
    assert over["aws", KEY].pause == 0


def test_only_what_puts_back_waits_and_only_so_long() -> None:
    fights: Fights = {}
    for _ in range(3):
        fights = repaired(fights, NOW)
    drift = change(Cause.DRIFT)
    assert "flux" in why_it_waits(fights, "aws", drift, NOW + 1.9)
    assert why_it_waits(fights, "aws", drift, NOW + 2) == ""
    assert why_it_waits(fights, "gcp", drift, NOW) == ""
    edited = change(Cause.DRIFT, Cause.IN_GIT)
    assert why_it_waits(fights, "aws", edited, NOW) == "", "Git says something new"
    gone = change(Cause.REMOVED, action=Action.PRUNE)
    assert why_it_waits(fights, "aws", gone, NOW) == ""


def test_what_git_changes_is_no_fight_and_an_old_one_is_over() -> None:
    fights: Fights = {}
    for _ in range(9):
        fights = repaired(fights, NOW, change(Cause.IN_GIT))
    assert fights == {}
    for _ in range(5):
        fights = repaired(fights, NOW)
    (told,) = notices_of_fights(fights, NOW)
    assert "aws" in str(told)
    assert "5 times" in str(told)
    later = NOW + FORGOTTEN_AFTER + 1
    assert notices_of_fights(fights, later) == []
    assert fights_after(fights, replace(Plan("shop", ())), later) == {}


def test_a_clock_that_is_set_back_makes_nothing_wait_for_longer() -> None:
    fights: Fights = {}
    for _ in range(5):
        fights = repaired(fights, NOW)
    earlier = NOW - 3600
    assert why_it_waits(fights, "aws", change(Cause.DRIFT), earlier) == ""
    assert notices_of_fights(fights, earlier) == []
    assert repaired(fights, earlier)["aws", KEY].repairs == 1
