"""minReplicas and maxReplicas are divided like the replicas that they bound."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from reconciler.api.moves import BoundsKept
from reconciler.api.objects import ObjectKey
from reconciler.federation.model import DesiredState
from reconciler.render.render import render
from reconciler.scheduler.autoscaler_bounds import LiveBounds, divide_bounds, with_held_bounds
from reconciler.scheduler.commits import with_commits
from reconciler.scheduler.model import Assignment, Bounds, FleetView
from reconciler.scheduler.placement_warnings import placement_warnings
from reconciler.scheduler.schedule import schedule
from tests.strategies import AUTOSCALER_BOUNDS, COUNTS_BY_CLUSTER, COUNTS_OF_THREE
from tests.unit.dns.fleets import understood

WEB = ObjectKey("apps", "Deployment", "shop", "web")
SCALER = ObjectKey("autoscaling", "HorizontalPodAutoscaler", "shop", "web")
CLUSTERS = "---".join(
    f"""
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {{name: {name}}}
spec: {{}}
"""
    for name in ("a", "b", "c")
)
SHOP = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec: {dependencies: Follow}
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 6
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
---
apiVersion: autoscaling/%s
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: shop}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  %s
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{kind: Deployment, name: web}]
  clusterSelector: {}
  replicas: {mode: Divided, %s}
---
"""
DIVIDED = "autoscalers: Divided, clusters: [{name: a, weight: 3}, {name: b, weight: 2}]"


def shop(
    bounds: str = "{minReplicas: 6, maxReplicas: 12}",
    rule: str = DIVIDED,
    version: str = "v2",
) -> DesiredState:
    said = "\n  ".join(bounds.strip("{}").split(", "))
    return understood(SHOP % (version, said, rule) + CLUSTERS)


def of(assignments: tuple[Assignment, ...], key: ObjectKey = SCALER) -> Assignment:
    return next(one for one in assignments if one.workload == key)


def rendered(state: DesiredState, assignments: tuple[Assignment, ...]) -> dict[str, Bounds]:
    return {
        name: (d.body["spec"].get("minReplicas"), d.body["spec"]["maxReplicas"])
        for name, objects in render(state, assignments).objects.items()
        for d in objects
        if d.key == SCALER
    }


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(
    ("bounds", "each"),
    [
        ("{minReplicas: 6, maxReplicas: 12}", {"a": (3, 6), "b": (2, 4), "c": (1, 2)}),
        ("{minReplicas: 0, maxReplicas: 12}", {"a": (0, 6), "b": (0, 4), "c": (0, 2)}),
        ("{maxReplicas: 12}", {"a": (None, 6), "b": (None, 4), "c": (None, 2)}),
        ("{minReplicas: 3, maxReplicas: 3}", {"a": (1, 1), "b": (1, 1), "c": (1, 1)}),
        ("{minReplicas: 1, maxReplicas: 2}", {"a": (1, 1), "b": (1, 1), "c": (1, 1)}),
    ],
)
def test_they_are_divided_as_the_replicas_are(version: str, bounds: str, each: object) -> None:
    state = shop(bounds, version=version)
    assignments = schedule(state)
    assert of(assignments, WEB).replicas == {"a": 3, "b": 2, "c": 1}
    assert rendered(state, assignments) == each


def test_who_does_not_ask_keeps_them_whole() -> None:
    state = shop(rule="clusters: [{name: a, weight: 3}]")
    assert rendered(state, schedule(state)) == dict.fromkeys("abc", (6, 12))


def test_who_takes_over_gets_the_bounds_of_what_is_down() -> None:
    state = shop()
    assignments = schedule(state, FleetView(unavailable={"a": "down"}))
    found = rendered(state, assignments)
    assert found == {"a": (1, 1), "b": (4, 8), "c": (2, 4)}
    assert sum(found[name][1] for name in "bc") == 12


def test_too_few_for_all_clusters_are_told_with_the_line_of_the_manifest() -> None:
    state = shop("{minReplicas: 1, maxReplicas: 2}")
    told = [str(one) for one in placement_warnings(state, schedule(state))]
    assert len(told) == 2
    for field, total in (("minReplicas", 1), ("maxReplicas", 2)):
        words = f"{field} {total} is less than 1 for each of 3 clusters: each gets 1"
        assert any(words in one and ".yaml:" in one for one in told), told
    enough = shop("{minReplicas: 3, maxReplicas: 3}")
    assert not placement_warnings(enough, schedule(enough))


# -- never lowered before others are raised --------------------------------------------------------


def live(
    bounds: dict[str, Bounds], ready: dict[str, int]
) -> tuple[dict[str, Bounds], list[BoundsKept]]:
    """What a fleet gets that should have 3 to 6, 2 to 4 and 1 to 2."""
    state = shop()
    wanted = schedule(state)
    seen = LiveBounds({SCALER: bounds}, {WEB: ready})
    held, moves = with_held_bounds(state, wanted, wanted, seen)
    kept = [move for move in moves if isinstance(move, BoundsKept)]
    assert len(kept) == len(moves)
    return dict(of(held).bounds), kept


GOAL: dict[str, Bounds] = {"a": (3, 6), "b": (2, 4), "c": (1, 2)}
WITHOUT_A: dict[str, Bounds] = {"a": (1, 1), "b": (4, 8), "c": (2, 4)}


def test_nobody_gives_up_what_nobody_else_carries_yet() -> None:
    found, kept = live(WITHOUT_A, {"b": 4, "c": 2})
    assert found == {"a": (3, 6), "b": (4, 8), "c": (2, 4)}
    assert kept == [
        BoundsKept("b", SCALER, (4, 8), (2, 4), ("a",)),
        BoundsKept("c", SCALER, (2, 4), (1, 2), ("a",)),
    ]
    # Its bounds are raised, and its Pods are not ready.
    found, kept = live({**WITHOUT_A, "a": (3, 6)}, {"a": 2, "b": 4, "c": 2})
    assert found == {"a": (3, 6), "b": (4, 8), "c": (2, 4)}
    assert len(kept) == 2


def test_they_go_once_it_is_ready() -> None:
    assert live({**WITHOUT_A, "a": (3, 6)}, {"a": 3, "b": 4, "c": 2}) == (GOAL, [])


def test_a_cluster_that_cannot_be_seen_may_not_have_its_part() -> None:
    found, kept = live({"b": (4, 8), "c": (2, 4)}, {"b": 4, "c": 2})
    assert found["b"] == (4, 8)
    assert [move.homes for move in kept] == [("a",), ("a",)]


def test_a_cluster_that_is_not_ready_raises_nobody() -> None:
    assert live(GOAL, {"a": 0, "b": 2, "c": 1}) == (GOAL, [])
    assert live({}, {}) == (GOAL, [])


def test_nothing_above_the_manifests_own_is_kept() -> None:
    found, _ = live({"a": (3, 6), "b": (40, 80), "c": (1, 2)}, {"a": 0, "b": 40, "c": 1})
    assert found == {"a": (3, 6), "b": (5, 10), "c": (1, 2)}


def test_what_is_to_leave_has_them_until_it_does() -> None:
    state = shop()
    wanted = schedule(state, FleetView(unavailable={"a": "drained"}))
    web = of(wanted, WEB)
    busy = Assignment(WEB, {**web.replicas, "a": 3})
    held = tuple(busy if one is web else one for one in wanted)
    seen = LiveBounds({SCALER: GOAL}, {WEB: {"a": 3, "b": 2, "c": 1}})
    found, moves = with_held_bounds(state, wanted, held, seen)
    assert of(found).bounds == {"a": (3, 6), "b": (4, 8), "c": (2, 4)}
    assert not moves


def test_each_cluster_has_its_part_of_what_its_own_commit_says() -> None:
    old, new = shop(), shop("{minReplicas: 12, maxReplicas: 24}")
    commits = {"a": "new", "b": "old", "c": "old"}
    state = with_commits(new, "old", commits, {"old": old, "new": new})
    assert rendered(state, schedule(state)) == {"a": (6, 12), "b": (2, 4), "c": (1, 2)}
    whole = shop(rule="clusters: [{name: a, weight: 3}, {name: b, weight: 2}]")
    state = with_commits(new, "old", commits, {"old": whole, "new": new})
    assert rendered(state, schedule(state)) == {"a": (6, 12), "b": (6, 12), "c": (6, 12)}


# -- for any numbers -------------------------------------------------------------------------------


@settings(max_examples=400)
@given(AUTOSCALER_BOUNDS, COUNTS_BY_CLUSTER)
def test_the_parts_are_valid_and_add_up(bounds: Bounds, counts: dict[str, int]) -> None:
    low, high = bounds
    parts = divide_bounds(bounds, counts, "shop/web")
    assert parts.keys() == {name for name, count in counts.items() if count}
    if not parts:
        return
    assert sum(most for _, most in parts.values()) == max(high, len(parts))
    lows = [least for least, _ in parts.values()]
    assert (
        lows == [low] * len(parts)
        if not low
        else sum(map(int, filter(None, lows))) == max(low, len(parts))
    )
    for least, most in parts.values():
        assert most >= 1
        assert (least or 0) <= most
        assert not low or (least or 0) >= 1
    assert divide_bounds(bounds, dict(reversed(counts.items())), "shop/web") == parts


@settings(max_examples=400)
@given(AUTOSCALER_BOUNDS, COUNTS_BY_CLUSTER)
def test_one_more_is_one_more_for_one_cluster(bounds: Bounds, counts: dict[str, int]) -> None:
    low, high = bounds
    before = divide_bounds((low, high), counts, "shop/web")
    after = divide_bounds((low, high + 1), counts, "shop/web")
    grown = [after[name][1] - before[name][1] for name in before]
    assert min(grown, default=0) >= 0
    assert sum(grown) == (1 if 0 < len(before) <= high else 0)
    assert all(after[name][0] == before[name][0] for name in before)


@settings(max_examples=200)
@given(
    edits=st.lists(COUNTS_OF_THREE, min_size=1, max_size=4),
    broken=st.sets(st.sampled_from("abc")),
    bounds=AUTOSCALER_BOUNDS,
    steps=st.integers(1, 3),
)
def test_bounds_are_handed_over_without_a_dip(edits, broken, bounds, steps) -> None:
    """Replicas become ready a run later, or never; a run dies between two clusters."""
    low, high = bounds
    said = [f"minReplicas: {low}"] if low is not None else []
    state = shop(", ".join([*said, f"maxReplicas: {high}"]))
    seen: dict[str, Bounds] = {"a": bounds}
    ready = {"a": max(low or 0, 1)}
    for counts in edits:
        wanted = tuple(
            replace(one, replicas=counts) if one.workload == WEB else one for one in schedule(state)
        )
        for _ in range(steps):
            goal = divide_bounds(bounds, counts, "shop/web")
            serving = {n for n in seen if ready.get(n, 0) >= _least(goal[n])}
            held, moves = with_held_bounds(
                state, wanted, wanted, LiveBounds({SCALER: seen}, {WEB: ready})
            )
            after = of(held).bounds
            for stop in range(4):
                now = {**seen, **{n: after[n] for n in sorted(after)[:stop]}}
                for had, has, least in (
                    ([seen[n][1] for n in serving], [now[n][1] for n in serving], high),
                    (
                        [_least(seen[n]) for n in serving],
                        [_least(now[n]) for n in serving],
                        low or 0,
                    ),
                ):
                    assert sum(has) >= min(sum(had), least)
            assert all((least or 0) <= most for least, most in after.values())
            assert all(move.bounds != move.share for move in moves if isinstance(move, BoundsKept))
            seen = dict(after)
            ready = {
                n: ready.get(n, 0) if n in broken and n != "a" else max(_least(one), 1)
                for n, one in seen.items()
            }
    if not broken - {"a"}:
        for _ in range(4):
            held, _ = with_held_bounds(
                state, wanted, wanted, LiveBounds({SCALER: seen}, {WEB: ready})
            )
            seen = dict(of(held).bounds)
            ready = {n: max(_least(one), 1) for n, one in seen.items()}
        assert seen == divide_bounds(bounds, counts, "shop/web")


def _least(bounds: Bounds) -> int:
    return 1 if bounds[0] is None else bounds[0]
