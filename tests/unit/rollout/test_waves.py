"""Which clusters are in which wave, and how many of them may begin at once."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.api.errors import Position
from reconciler.federation.model import (
    Cluster,
    Gate,
    RolloutRules,
    Selector,
    StricterRollout,
    Wave,
)
from reconciler.rollout.waves import gates_of, is_manual, limit, soak_of, waves_of
from tests.strategies import CONCURRENCIES, FLEETS, WAVES_OF_RULES

HERE = Position("clusters.yaml", 1, 1)


def fleet(**regions: str) -> tuple[Cluster, ...]:
    return tuple(Cluster(name, HERE, region=region) for name, region in regions.items())


def named(rules: RolloutRules, clusters: tuple[Cluster, ...]) -> dict[str, tuple[str, ...]]:
    return {wave.name: names for wave, names in waves_of(rules, clusters)}


def in_region(region: str) -> Selector:
    return Selector({"topology.kubernetes.io/region": region})


def test_clusters_in_no_wave_form_the_last_one() -> None:
    rules = RolloutRules((Wave("canary", ("lab",)), Wave("eu", selector=in_region("eu"))))
    clusters = fleet(lab="eu-lab", gcp="eu", aws="eu", us="us", asia="asia")
    assert named(rules, clusters) == {
        "canary": ("lab",),
        "eu": ("aws", "gcp"),
        "rest": ("asia", "us"),
    }


def test_the_last_wave_of_the_rules_may_be_that_of_all_others() -> None:
    rules = RolloutRules((Wave("canary", ("lab",)), Wave("everybody", soak=60)))
    assert named(rules, fleet(lab="eu", aws="eu")) == {"canary": ("lab",), "everybody": ("aws",)}


def test_where_each_cluster_has_its_wave_nothing_is_left_for_another() -> None:
    rules = RolloutRules((Wave("canary", ("lab",)), Wave("eu", ("aws",))))
    assert named(rules, fleet(lab="eu", aws="eu")) == {"canary": ("lab",), "eu": ("aws",)}


def test_a_wave_that_lost_its_clusters_keeps_its_place() -> None:
    rules = RolloutRules((Wave("canary", ("lab",)), Wave("eu", ("aws",))))
    assert [names for _, names in waves_of(rules, fleet(aws="eu"))] == [(), ("aws",)]


@given(WAVES_OF_RULES, FLEETS)
def test_each_cluster_is_in_just_one_wave(
    waves: tuple[Wave, ...], clusters: tuple[Cluster, ...]
) -> None:
    found = waves_of(RolloutRules(waves), clusters)
    counted = Counter(name for _, names in found for name in names)
    assert counted == Counter(cluster.name for cluster in clusters)
    assert [wave for wave, _ in found][: len(waves)] == list(waves)
    assert all(list(names) == sorted(names) for _, names in found)
    assert found == waves_of(RolloutRules(waves), clusters[::-1])
    for wave, names in found[len(waves) :]:
        assert wave.name == "rest"
        assert names


@given(CONCURRENCIES, st.lists(CONCURRENCIES, max_size=3), st.integers(1, 300))
def test_a_limit_lets_one_begin_and_is_never_looser_than_any_rule(
    own: tuple[float | None, bool], others: list[tuple[float | None, bool]], count: int
) -> None:
    wave = Wave("eu", max_concurrent=own[0], is_share=own[1])
    stricter = [StricterRollout(max_concurrent=most, is_share=share) for most, share in others]
    found = limit(wave, count, stricter)
    assert 1 <= found <= count
    rules: list[Wave | StricterRollout] = [wave, *stricter]
    for rule in rules:
        if rule.max_concurrent is None:
            continue
        exact = Fraction(str(rule.max_concurrent)) * (count if rule.is_share else 1)
        assert found < exact + 1
    assert found == limit(wave, count, stricter[::-1])
    assert found <= limit(wave, count)


@pytest.mark.parametrize(
    ("share", "count", "expected"),
    [(0.25, 4, 1), (0.25, 5, 2), (0.07, 100, 7), (0.3, 10, 3), (0.01, 3, 1), (1.0, 6, 6)],
)
def test_a_share_of_a_wave_is_rounded_up(share: float, count: int, expected: int) -> None:
    assert limit(Wave("eu", max_concurrent=share, is_share=True), count) == expected


def test_a_placement_makes_a_wave_stricter_only() -> None:
    up = Gate("up", "https://prometheus.example.com", "up", at_least=1)
    errors = Gate("errors", "https://prometheus.example.com", "errors", at_most=0.01)
    wave = Wave("eu", soak=300, gates=(up,))
    slow = StricterRollout(soak=60, manual=True, gates=(errors, up))
    slower = StricterRollout(soak=900)
    assert (soak_of(wave), soak_of(wave, [slow]), soak_of(wave, [slow, slower])) == (300, 300, 900)
    assert not is_manual(wave)
    assert is_manual(wave, [slower, slow])
    assert gates_of(wave, [slow]) == (up, errors)
