"""Curves as small SVG files: both axes logarithmic, readable on light and on dark pages."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 40, 48

_STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 15px }
.grid { stroke: #d0d7de; stroke-width: 1 }
polyline { fill: none; stroke-width: 2.5 }
.c0 { stroke: #0969da; fill: #0969da } .c1 { stroke: #bc4c00; fill: #bc4c00 }
.c2 { stroke: #1a7f37; fill: #1a7f37 } .c3 { stroke: #8250df; fill: #8250df }
.c4 { stroke: #cf222e; fill: #cf222e }
polyline[class] { fill: none } text[class] { stroke: none }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .grid { stroke: #3d444d }
  .c0 { stroke: #4493f8; fill: #4493f8 } .c1 { stroke: #f0883e; fill: #f0883e }
  .c2 { stroke: #3fb950; fill: #3fb950 } .c3 { stroke: #ab7df8; fill: #ab7df8 }
  .c4 { stroke: #f85149; fill: #f85149 }
}
"""


@dataclass(frozen=True, slots=True)
class Curve:
    """``points`` are (x, y), both above 0, in the order of x."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class _Axis:
    """Whole decades around the values; ``at`` gives 0..1."""

    lowest: int
    highest: int

    @classmethod
    def around(cls, values: Sequence[float]) -> _Axis:
        lowest = math.floor(math.log10(min(values)) + 1e-9)
        highest = math.ceil(math.log10(max(values)) - 1e-9)
        return cls(lowest, max(highest, lowest + 1))

    @property
    def decades(self) -> range:
        return range(self.lowest, self.highest + 1)

    def at(self, value: float) -> float:
        return (math.log10(value) - self.lowest) / (self.highest - self.lowest)


def log_log(title: str, x_label: str, y_label: str, curves: Sequence[Curve]) -> str:
    """One picture; each curve has its name at its end. Raises ValueError without any point."""
    points = [point for curve in curves for point in curve.points]
    across = _Axis.around([x for x, _ in points])
    up = _Axis.around([y for _, y in points])

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + across.at(x) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - up.at(y) * (HEIGHT - TOP - BOTTOM),
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<text class="title" x="{LEFT}" y="20">{escape(title)}</text>',
        f'<text x="{LEFT}" y="{HEIGHT - 10}">{escape(x_label)}</text>',
        f'<text x="8" y="{TOP - 8}">{escape(y_label)}</text>',
        *_grid(across, up, place),
    ]
    heights = _apart([place(*curve.points[-1])[1] for curve in curves])
    for number, (curve, height) in enumerate(zip(curves, heights, strict=True)):
        placed = [place(x, y) for x, y in curve.points]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f'<polyline class="c{number}" points="{line}"/>')
        parts += [f'<circle class="c{number}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in placed]
        parts.append(
            f'<text class="c{number}" x="{placed[-1][0] + 8:.1f}" y="{height + 4:.1f}">'
            f"{escape(curve.name)}</text>"
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _grid(
    across: _Axis, up: _Axis, place: Callable[[float, float], tuple[float, float]]
) -> list[str]:
    parts = []
    for decade in across.decades:
        x, bottom = place(10.0**decade, 10.0**up.lowest)
        parts.append(f'<path class="grid" d="M{x:.1f} {TOP}V{bottom:.1f}"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{bottom + 18:.1f}" text-anchor="middle">{10**decade:,}</text>'
        )
    for decade in up.decades:
        left, y = place(10.0**across.lowest, 10.0**decade)
        parts.append(f'<path class="grid" d="M{left:.1f} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(
            f'<text x="{left - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{10.0**decade:g}</text>'
        )
    return parts


def _apart(heights: Sequence[float], *, least: float = 16) -> list[float]:
    """The heights of names, moved down where they would lie on each other."""
    order = sorted(range(len(heights)), key=lambda n: heights[n])
    moved = list(heights)
    for above, below in itertools.pairwise(order):
        moved[below] = max(moved[below], moved[above] + least)
    return moved
