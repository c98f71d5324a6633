"""The drawing of a fleet: everything in its place, nothing on top of another."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given

from reconciler.report.fleet_picture import Frame, Picture, draw
from tests.strategies import PAGE_WIDTHS, PROVIDERS_AND_REGIONS


def tiles(picture: Picture) -> dict[int, Frame]:
    size = picture.tile_width, picture.tile_height
    return {tile.cluster: Frame(tile.x, tile.y, *size, "") for tile in picture.tiles}


def inside(inner: Frame, outer: Frame) -> bool:
    return (
        outer.x <= inner.x
        and outer.y <= inner.y
        and inner.x + inner.width <= outer.x + outer.width
        and inner.y + inner.height <= outer.y + outer.height
    )


def overlap(one: Frame, other: Frame) -> bool:
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


@given(PROVIDERS_AND_REGIONS, PAGE_WIDTHS)
def test_each_cluster_stands_in_its_provider_and_region(
    places: list[tuple[str, str]], width: int
) -> None:
    picture = draw(places, width)
    assert sorted(tiles(picture)) == list(range(len(places)))
    for cluster, tile in tiles(picture).items():
        provider, region = places[cluster]
        (around,) = [frame for frame in picture.providers if inside(tile, frame)]
        assert around.label == provider
        (within,) = [frame for frame in picture.regions if inside(tile, frame)]
        assert within.label == region
        assert inside(within, around)


@given(PROVIDERS_AND_REGIONS, PAGE_WIDTHS)
def test_nothing_overlaps_and_nothing_is_outside(places: list[tuple[str, str]], width: int) -> None:
    picture = draw(places, width)
    paper = Frame(0, 0, picture.width, picture.height, "")
    assert picture.width <= width
    for layer in (picture.providers, picture.regions, list(tiles(picture).values())):
        assert all(inside(frame, paper) for frame in layer)
        assert not any(overlap(one, other) for one, other in combinations(layer, 2))


def test_the_more_clusters_the_less_is_said_of_each() -> None:
    place = [("aws", "eu")]
    assert draw(place * 3, 1080).detail == "card"
    assert draw(place * 40, 1080).detail == "label"
    assert draw(place * 1000, 1080).detail == "dot"


def test_three_clusters_stand_in_one_row() -> None:
    places = [("aws", "eu-central-1"), ("gcp", "europe-west1"), ("gcp", "us-central1")]
    for width in (1080, 760):
        picture = draw(places, width)
        assert len({tile.y for tile in picture.tiles}) == 1
        assert picture.width > 0.85 * width


def test_a_thousand_regions_are_drawn_as_well() -> None:
    picture = draw([("edge", f"site-{number:04}") for number in range(1000)], 1080)
    assert len(picture.regions) == 1000
    assert [frame.label for frame in picture.regions][:2] == ["site-0000", "site-0001"]
