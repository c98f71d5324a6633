"""Plain tables, as kubectl prints them: columns, no rules, no wrapping."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import click

GAP = 3


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Lines with columns as wide as their widest cell; colours do not count as width."""
    all_rows = [list(headings), *(list(row) for row in rows)]
    widths = [max(len(click.unstyle(row[i])) for row in all_rows) for i in range(len(headings))]
    for row in all_rows:
        cells = [
            cell + " " * (width - len(click.unstyle(cell)))
            for cell, width in zip(row, widths, strict=True)
        ]
        yield (" " * GAP).join(cells).rstrip()


def age(seconds: float) -> str:
    """``45s``, ``12m``, ``5h``, ``3d``: the largest unit that says enough."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)}{unit}"
    return f"{max(0, int(seconds))}s"
