"""A saved plan holds for its wave, and says in which way the rollout is another one."""

from __future__ import annotations

from msgspec.structs import replace

from reconciler.plan.model import Plan
from reconciler.rollout.model import RolloutView
from reconciler.saved_plans.staleness import differences_of
from tests.unit.report.fleets import web_shop
from tests.unit.report.rollouts import CANDIDATE, NEWER, road, rolling
from tests.unit.saved_plans.test_documents import saved


def differences(before: Plan, after: Plan) -> list[str]:
    return list(differences_of(saved(before), saved(after)))


def test_time_that_passes_in_a_wave_makes_no_plan_stale() -> None:
    waves = road().waves
    later = replace(waves[1], least=60.0, waits="soak (1 min left)")
    assert not differences(rolling(), rolling(waves=(waves[0], later, waves[2])))


def test_another_candidate_is_named() -> None:
    assert "the rollout: the commit on its way was 3f2c1ab, and is now 77ce210" in differences(
        rolling(), rolling(candidate=NEWER)
    )


def test_a_rollout_that_ended_is_named() -> None:
    found = differences(rolling(), replace(web_shop(), rollout=RolloutView(CANDIDATE)))
    assert "the rollout: the commit on its way was 3f2c1ab, and is now none" in found
    assert "the rollout: the stable commit was 9be01d2, and is now 3f2c1ab" in found


def test_another_wave_and_the_commits_of_its_clusters_are_named() -> None:
    first, second, third = road().waves
    begun = replace(
        third, state="current", clusters=(replace(third.clusters[0], commit=CANDIDATE),)
    )
    found = differences(rolling(), rolling(waves=(first, replace(second, state="done"), begun)))
    assert found == [
        'the rollout: it was in wave 2 of 3 "eu", and is now in wave 3 of 3 "rest"',
        "gcp-us: it was to be on 9be01d2, and is now to be on 3f2c1ab",
    ]


def test_a_plan_that_a_person_let_reach_all_at_once_is_another_one() -> None:
    assert differences(rolling(), rolling(at_once=True)) == [
        "the rollout: it now reaches all clusters at once"
    ]


def test_rules_that_came_or_went_are_named() -> None:
    assert differences(web_shop(), rolling()) == ["commits now reach the fleet in waves"]
    assert differences(rolling(), web_shop()) == ["commits no longer reach the fleet in waves"]
