"""Handing replicas over: nobody gives up what nobody else carries."""

from __future__ import annotations

import pytest
from hypothesis import given

from reconciler.api.moves import ReplicasKept
from reconciler.api.objects import ObjectKey
from reconciler.scheduler.make_before_break import Running, hold_replicas, return_limits
from reconciler.scheduler.model import Assignment
from tests.strategies import COUNTS_OF_FOUR

WEB = ObjectKey("apps", "Deployment", "shop", "web")


def held(
    wanted: dict[str, int], asked: dict[str, int], ready: dict[str, int]
) -> dict[str, int | None]:
    kept, _ = hold_replicas(Assignment(WEB, wanted), Running(asked, ready))
    return dict(kept.replicas)


def test_a_stand_in_keeps_its_replicas_until_the_returned_cluster_carries_its_own() -> None:
    wanted = {"aws": 5, "gcp": 5}
    assert held(wanted, {"aws": 0, "gcp": 10}, {"gcp": 10}) == {"aws": 5, "gcp": 10}
    assert held(wanted, {"aws": 5, "gcp": 10}, {"aws": 3, "gcp": 10}) == {"aws": 5, "gcp": 7}
    assert held(wanted, {"aws": 5, "gcp": 7}, {"aws": 5, "gcp": 7}) == wanted


def test_scaling_down_in_git_is_not_held_up() -> None:
    ready = {"aws": 5, "gcp": 5}
    assert held({"aws": 2, "gcp": 2}, ready, ready) == {"aws": 2, "gcp": 2}


def test_what_is_not_ready_serves_nobody_and_may_go() -> None:
    assert held({"aws": 2, "gcp": 2}, {"aws": 9, "gcp": 2}, {"gcp": 2}) == {"aws": 2, "gcp": 2}


def test_the_stand_in_of_a_cluster_that_cannot_be_looked_at_stays() -> None:
    """aws does not answer, whatever is remembered of it."""
    assert held({"aws": 5, "gcp": 5}, {"gcp": 10}, {"gcp": 10})["gcp"] == 10


def test_a_stand_in_that_has_no_part_in_it_any_more_is_held_like_others() -> None:
    """Where a workload is in one region, the other is not even in the assignment."""
    home = Assignment(WEB, {"aws": 5}, spare=("gcp",), shortfall=2)
    kept, moves = hold_replicas(home, Running({"gcp": 7}, {"gcp": 7}))
    assert (dict(kept.replicas), kept.spare, kept.shortfall) == ({"aws": 5, "gcp": 7}, (), 0)
    assert moves == [ReplicasKept("gcp", WEB, count=7, waiting=7, shortfall=2)]
    kept, _ = hold_replicas(home, Running({"aws": 5, "gcp": 7}, {"aws": 5, "gcp": 7}))
    assert (dict(kept.replicas), kept.shortfall) == ({"aws": 5, "gcp": 2}, 0)


@given(wanted=COUNTS_OF_FOUR, asked=COUNTS_OF_FOUR, broken=COUNTS_OF_FOUR)
def test_what_serves_never_falls_below_what_is_wanted(
    wanted: dict[str, int], asked: dict[str, int], broken: dict[str, int]
) -> None:
    ready = {c: max(0, n - broken.get(c, 0)) for c, n in asked.items()}
    after = held(wanted, asked, ready)
    assert all((after[c] or 0) >= n for c, n in wanted.items())
    assert all((n or 0) <= max(wanted.get(c, 0), asked.get(c, 0)) for c, n in after.items())
    # A cluster outside the assignment is left: what it has is pruned once it need not be kept.
    serving = sum(min(ready[c], after.get(c) or 0) for c in asked)
    assert serving >= min(sum(wanted.values()), sum(ready.values()))


@given(wanted=COUNTS_OF_FOUR, start=COUNTS_OF_FOUR)
def test_run_after_run_it_ends_at_what_is_wanted(
    wanted: dict[str, int], start: dict[str, int]
) -> None:
    now = dict(start)
    for _ in range(3):
        now = {c: n or 0 for c, n in held(wanted, now, now).items()}
    assert now == wanted


def test_only_so_many_replicas_return_in_one_run() -> None:
    api = ObjectKey("apps", "Deployment", "shop", "api")
    assignments = [Assignment(api, {"aws": 4, "gcp": 1}), Assignment(WEB, {"aws": 5, "gcp": 5})]
    asked = {api: {"aws": 0, "gcp": 5}, WEB: {"aws": 1, "gcp": 9}}
    ready = asked
    assert return_limits(assignments, asked, ready, {"aws"}, 6) == {WEB: {"aws": 3}}
    assert return_limits(assignments, asked, ready, {"aws"}, 2) == {
        api: {"aws": 2},
        WEB: {"aws": 1},
    }
    assert return_limits(assignments, asked, ready, {"aws"}, None) == {}
    assert return_limits(assignments, asked, ready, {"gcp"}, 60) == {}


@pytest.mark.parametrize(
    ("ready_in_gcp", "limits"),
    [(10, {WEB: {"aws": 1}}), (7, {WEB: {"aws": 4}}), (5, {})],
)
def test_what_serves_nowhere_returns_without_a_limit(
    ready_in_gcp: int, limits: dict[ObjectKey, dict[str, int]]
) -> None:
    wanted = [Assignment(WEB, {"aws": 5, "gcp": 5})]
    asked, ready = {WEB: {"aws": 0, "gcp": 10}}, {WEB: {"gcp": ready_in_gcp}}
    assert return_limits(wanted, asked, ready, {"aws"}, 1) == limits
