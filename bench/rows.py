"""What was found, as rows of one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.timing import Figure, ratios

Unit = Literal["s", "MB", "requests", ""]
HEADINGS = ("work", "ours", "theirs", "ratio", "target", "met?")


@dataclass(frozen=True, slots=True)
class Row:
    """``theirs`` is what ``who`` takes; without it there is nobody to compare with.

    ``ratio`` tells how many times as ``ratio_of`` (fast, long) we are. ``at_least`` bounds it from
    below, ``at_most`` from above, or where there is no ratio our own figure; without a bound the
    row is there to be read. ``judged`` False: the sizes are not those that the bound is about.
    """

    work: str
    ours: Figure
    unit: Unit = "s"
    theirs: Figure | None = None
    who: str = ""
    ratio: Figure | None = None
    ratio_of: Literal["fast", "long"] = "long"
    at_least: float | None = None
    at_most: float | None = None
    judged: bool = True

    @property
    def judged_value(self) -> float:
        return (self.ratio or self.ours).median

    @property
    def met(self) -> bool | None:
        """None where there is no target, or where the sizes are not those it is about."""
        if not self.judged or (self.at_least is None and self.at_most is None):
            return None
        if self.at_least is not None and self.judged_value < self.at_least:
            return False
        return self.at_most is None or self.judged_value <= self.at_most

    @property
    def target(self) -> str:
        times = "×" if self.ratio else f" {self.unit}".rstrip()
        if self.at_least is not None:
            return f"≥ {self.at_least:g}{times}"
        return f"≤ {self.at_most:g}{times}" if self.at_most is not None else ""

    def cells(self) -> tuple[str, ...]:
        """As ``HEADINGS`` say."""
        theirs = f"{_shown(self.theirs, self.unit)} {self.who}".strip() if self.theirs else ""
        met = {True: "yes", False: "NO", None: ""}[self.met]
        ratio = f"{_shown(self.ratio, '×')} as {self.ratio_of}" if self.ratio else ""
        return (self.work, _shown(self.ours, self.unit), theirs, ratio, self.target, met)


def faster(
    work: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    who: str,
    at_least: float | None = None,
    *,
    judged: bool = True,
) -> Row:
    """Seconds of the same rounds: how many times as fast as ``who`` we are."""
    return Row(
        work,
        Figure.of(ours),
        theirs=Figure.of(theirs),
        who=who,
        ratio=ratios(theirs, ours),
        ratio_of="fast",
        at_least=at_least,
        judged=judged,
    )


def longer(
    work: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    who: str,
    at_most: float | None = None,
    *,
    judged: bool = True,
) -> Row:
    """Seconds of the same rounds: how many times as long as ``who`` we take."""
    return Row(
        work,
        Figure.of(ours),
        theirs=Figure.of(theirs),
        who=who,
        ratio=ratios(ours, theirs),
        at_most=at_most,
        judged=judged,
    )


def _shown(figure: Figure, unit: str) -> str:
    """The median, with the spread where there was more than one measurement."""
    if unit == "requests":
        return f"{figure.median:.0f}"
    gap = "" if unit == "×" else " "
    text = f"{_number(figure.median)}{gap}{unit}".rstrip()
    if figure.count < 2:
        return text
    return f"{text} ({_number(figure.lowest)}–{_number(figure.highest)})"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def as_text(rows: Sequence[Row]) -> str:
    """Columns for a terminal."""
    table = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(cells[n]) for cells in table) for n in range(len(HEADINGS))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in table
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def as_markdown(rows: Sequence[Row]) -> str:
    """The same for ``docs/``."""
    lines = [f"| {' | '.join(HEADINGS)} |", "| --- " * len(HEADINGS) + "|"]
    lines += [f"| {' | '.join(row.cells())} |" for row in rows]
    return "\n".join(lines)
