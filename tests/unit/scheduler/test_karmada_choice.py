"""Which clusters a policy of Karmada uses: those that its scheduler used of the same fleet, and
whatever the fleet, within the minima and maxima."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.api.errors import Position
from reconciler.federation.model import Cluster, PlacementTarget, Selector, Spread
from reconciler.scheduler.karmada import divide
from reconciler.scheduler.karmada_choice import Demand, choose_clusters
from tests.strategies import COUNTS_BY_CLUSTER, PLACES

CHOICES = json.loads((Path(__file__).parent / "karmada-choice-cases.json").read_text())
"""Inputs and outputs of Karmada 1.16.0's scheduler, as it was run on random ones."""


@pytest.mark.parametrize("case", CHOICES, ids=range(len(CHOICES)))
def test_uses_the_clusters_that_karmada_used(case: dict[str, Any]) -> None:
    position = Position("", 1, 1)
    clusters = {n: Cluster(n, position, region=region) for n, region in case["regions"].items()}
    rules = sorted(
        (Spread(*rule) for rule in case["spread"]), key=lambda rule: rule.by == "cluster"
    )
    target = PlacementTarget(selector=Selector(), spread=tuple(rules), karmada=True)
    demand = Demand(case["previous"], case["replicas"], case["available"])
    found = choose_clusters(target, sorted(clusters), clusters, (), demand)
    counts = divide(
        case["strategy"],
        case["replicas"],
        found.names,
        None,
        case["available"],
        {n: count for n, count in case["previous"].items() if n in found.names},
    )
    assert {name: count for name, count in counts.items() if count} == case["result"]


def test_many_groups_do_not_take_for_ever() -> None:
    clusters = {
        f"c{n:03}": Cluster(f"c{n:03}", Position("", 1, 1), zone=f"z{n}") for n in range(300)
    }
    rules = (Spread("zone", 2, 200), Spread("cluster", 150, 300))
    target = PlacementTarget(selector=Selector(), spread=rules, karmada=True)
    found = choose_clusters(
        target, sorted(clusters), clusters, (), Demand({}, 400, dict.fromkeys(clusters, 3))
    )
    assert 150 <= len(found.names) <= 200


@settings(max_examples=300)
@given(
    PLACES,
    st.sets(st.sampled_from("abcdefgh"), max_size=3),
    COUNTS_BY_CLUSTER,
    COUNTS_BY_CLUSTER,
    st.integers(1, 3),
    st.none() | st.integers(3, 4),
    st.integers(1, 3),
    st.none() | st.integers(3, 6),
    st.none() | st.integers(0, 40),
)
def test_groups_are_within_their_bounds_and_each_has_a_cluster(
    places, down, here, room, least_regions, most_regions, least, most, wanted
) -> None:
    clusters = {
        name: Cluster(name, Position("", 1, 1), region=region) for name, region in places.items()
    }
    rules = (Spread("region", least_regions, most_regions), Spread("cluster", least, most))
    target = PlacementTarget(selector=Selector(), spread=rules, karmada=True)
    here = {name: count for name, count in here.items() if name in clusters}
    demand = Demand(here, wanted, room)
    found = choose_clusters(target, sorted(clusters), clusters, down, demand)
    up = [name for name in clusters if name not in down]
    regions = {clusters[name].region for name in up} - {""}
    used = {clusters[name].region for name in found.names}
    assert not set(found.names) & down
    if not found.fits:
        # Then nothing is there that was not, and nothing goes.
        assert set(found.names) == {name for name in up if name in here}
        assert found.notices
        enough = [n for n in up if clusters[n].region]
        assert len(regions) < least_regions or len(enough) < least or most_regions is not None
        return
    if up:
        assert "" not in used
        assert least_regions <= len(used) <= (most_regions or len(used))
        assert least <= len(found.names) <= (most or len(found.names))
        assert set(found.names) | found.left_out.keys() >= set(up)
    again = choose_clusters(target, sorted(clusters), clusters, down, demand)
    assert again == found
