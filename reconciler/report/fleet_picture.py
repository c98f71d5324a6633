"""Where each cluster stands in the drawing of a fleet: providers around regions around tiles.

Only geometry, in pixels; the page draws it. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import ceil, sqrt
from typing import Literal, NamedTuple

from msgspec import Struct

Detail = Literal["card", "label", "dot"]

_CARDS, _LABELS = 24, 160
"""Up to so many clusters have cards with all there is to say, and labels with their names."""

_TILES: dict[Detail, tuple[range, int, int]] = {
    "card": (range(150, 331, 3), 96, 8),
    "label": (range(120, 231, 5), 28, 6),
    "dot": (range(14, 15), 14, 4),
}
"""Widths to try, height, and the gap between two tiles."""

_PAD, _GAP = 10, 12
_PROVIDER_HEAD, _REGION_HEAD = 28, 24
_LETTER = 6.6
"""Width of an average letter of a frame's label."""


class Frame(NamedTuple):
    """A labelled rectangle around what is inside of it."""

    x: int
    y: int
    width: int
    height: int
    label: str


class Tile(NamedTuple):
    """The place of the cluster that came as number ``cluster``, counted from 0."""

    x: int
    y: int
    cluster: int


class Picture(Struct, frozen=True):
    """A drawing of ``width`` by ``height``; all tiles are of one size."""

    width: int
    height: int
    detail: Detail
    tile_width: int
    tile_height: int
    providers: tuple[Frame, ...]
    regions: tuple[Frame, ...]
    tiles: tuple[Tile, ...]


class _Block(Struct, frozen=True):
    """Something drawn around its own origin, to be put somewhere."""

    width: int
    height: int
    label: str
    tiles: tuple[Tile, ...] = ()
    inner: tuple[Frame, ...] = ()


def draw(places: Sequence[tuple[str, str]], width: int) -> Picture:
    """The fleet, ``places`` being each cluster's (provider, region), at most ``width`` wide.

    Providers and regions are in alphabetical order, those without a name last. Of the widths that
    a tile may have, the one is taken that makes the picture low and still has room for names.
    """
    count = len(places)
    detail: Detail = "card" if count <= _CARDS else "label" if count <= _LABELS else "dot"
    widths, height, gap = _TILES[detail]
    room = width - 6 * _PAD
    drawn = [
        _drawn(places, width, detail, min(tile, room), height, gap) for tile in reversed(widths)
    ]
    # A pixel of a label's width tells more than one of a card, on which names have room enough.
    worth = 2 if detail == "label" else 0.5
    return min(drawn, key=lambda picture: picture.height - worth * picture.tile_width)


def _drawn(
    places: Sequence[tuple[str, str]], width: int, detail: Detail, tile: int, height: int, gap: int
) -> Picture:
    order = sorted(range(len(places)), key=lambda n: [(not p, p) for p in places[n]])
    providers: list[_Block] = []
    for provider, members in groupby(order, key=lambda n: places[n][0]):
        regions = [
            _region(region, tuple(same), width - 4 * _PAD, tile, height, gap)
            for region, same in groupby(members, key=lambda n: places[n][1])
        ]
        providers.append(_provider(provider, regions, width - 2 * _PAD))
    return _fleet(providers, width, detail, tile, height)


def _region(
    name: str, members: Sequence[int], room: int, tile: int, height: int, gap: int
) -> _Block:
    """Tiles in rows; about as wide as high, or in one row where there are few."""
    fit = max((room - 2 * _PAD + gap) // (tile + gap), 1)
    wanted = len(members) if len(members) <= 3 else ceil(sqrt(len(members) * height * 3 / tile))
    columns = max(min(fit, wanted), 1)
    head = _REGION_HEAD if name else _PAD
    tiles = tuple(
        Tile(
            _PAD + (place % columns) * (tile + gap),
            head + (place // columns) * (height + gap),
            index,
        )
        for place, index in enumerate(members)
    )
    rows = ceil(len(members) / columns)
    inside = min(columns, len(members)) * (tile + gap) - gap
    label = min(ceil(len(name) * _LETTER), room - 2 * _PAD)
    return _Block(
        max(inside, label) + 2 * _PAD, head + rows * (height + gap) - gap + _PAD, name, tiles
    )


def _provider(name: str, regions: Sequence[_Block], room: int) -> _Block:
    spots, width, height = _shelves(regions, room)
    tiles: list[Tile] = []
    frames = []
    for region, (x, y, high) in zip(regions, spots, strict=True):
        left, top = x + _PAD, y + _PROVIDER_HEAD
        frames.append(Frame(left, top, region.width, high, region.label))
        tiles += (Tile(t.x + left, t.y + top, t.cluster) for t in region.tiles)
    label = ceil(len(name) * _LETTER)
    whole = max(width, min(label, room)) + 2 * _PAD
    return _Block(whole, height + _PROVIDER_HEAD + _PAD, name, tuple(tiles), tuple(frames))


def _fleet(
    providers: Sequence[_Block], room: int, detail: Detail, tile: int, height: int
) -> Picture:
    spots, width, high = _shelves(providers, room)
    frames: list[Frame] = []
    regions: list[Frame] = []
    tiles: list[Tile] = []
    rows = [y for _, y, _ in spots]
    for number, (block, (x, y, tall)) in enumerate(zip(providers, spots, strict=True)):
        # The last of a row goes to the edge, so that the whole is a rectangle.
        last = rows[number + 1 : number + 2] != [y]
        frames.append(Frame(x, y, width - x if last else block.width, tall, block.label))
        regions += (f._replace(x=f.x + x, y=f.y + y) for f in block.inner)
        tiles += (Tile(t.x + x, t.y + y, t.cluster) for t in block.tiles)
    return Picture(width, high, detail, tile, height, tuple(frames), tuple(regions), tuple(tiles))


def _shelves(blocks: Sequence[_Block], room: int) -> tuple[list[tuple[int, int, int]], int, int]:
    """((x, y, height of its row) of each block, width, height): row after row, left to right."""
    rows: list[list[_Block]] = []
    used = 0
    for block in blocks:
        if not rows or used + block.width > room:
            rows.append([])
            used = 0
        rows[-1].append(block)
        used += block.width + _GAP
    spots: list[tuple[int, int, int]] = []
    y = widest = 0
    for row in rows:
        x, high = 0, max(block.height for block in row)
        for block in row:
            spots.append((x, y, high))
            x += block.width + _GAP
        widest = max(widest, x - _GAP)
        y += high + _GAP
    return spots, widest, max(y - _GAP, 0)
