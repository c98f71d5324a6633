"""Which clusters a policy of Karmada uses: whatever the fleet, within its minima and maxima."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.api.errors import Position
from reconciler.federation.model import Cluster, PlacementTarget, Selector, Spread
from reconciler.scheduler.karmada_choice import Demand, choose_clusters
from tests.strategies import COUNTS_BY_CLUSTER, PLACES


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
