"""The matrix workload x outage for people, pull requests and programs. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from reconciler.cluster.warnings import server_warnings
from reconciler.failover.survivability import Cell, Impact, Outage, Row, Survivability, impacts
from reconciler.report.markdown import escape
from reconciler.report.terminal import painted, shown
from reconciler.report.wording import kind_name, object_name

VERSION = 1
_WORDS = {
    Impact.UNTOUCHED: "·",
    Impact.SURVIVES: "survives",
    Impact.DEGRADED: "",
    Impact.DOWN: "DOWN",
}
_COLOURS = {Impact.SURVIVES: ("32",), Impact.DEGRADED: ("33",), Impact.DOWN: ("31", "1")}
_SIGNS = {Impact.UNTOUCHED: "·", Impact.SURVIVES: "✅", Impact.DEGRADED: "⚠️", Impact.DOWN: "❌"}
_GAP = "  "


def render_survivability_text(
    matrix: Survivability, *, colour: bool = False, width: int = 100
) -> str:
    """A table where the outages fit in a line; otherwise each outage with what it hits."""
    lines = [f"Warning: {text}" for text in matrix.warnings]
    lines += [""] if lines else []
    if matrix.rows:
        lines += _table(matrix, width) or _by_outage(matrix)
        lines += ["", *_legend(matrix)]
    lines.append(survivability_summary(matrix))
    lines += _live(matrix)
    return "".join(f"{shown(line, colour=colour)}\n" for line in lines)


def survivability_summary(matrix: Survivability) -> str:
    """``9 workloads, 6 outages: 5 survive all, 3 are degraded by some, 1 is down in some.``"""
    count = impacts(matrix)
    well = count[Impact.SURVIVES] + count[Impact.UNTOUCHED]
    return (
        f"{len(matrix.rows)} workloads, {len(matrix.outages)} outages: {well} survive all, "
        f"{count[Impact.DEGRADED]} lose replicas in some, {count[Impact.DOWN]} are down in some."
    )


def render_survivability_markdown(matrix: Survivability) -> str:
    """For a pull request's comment."""
    lines = ["<!-- federation-reconciler:survivability -->", "### Survivability", ""]
    lines += [f"> **Warning:** {escape(text)}" for text in matrix.warnings]
    lines += [escape(survivability_summary(matrix)), ""]
    if matrix.rows:
        lines.append(
            "| workload | " + " | ".join(escape(outage_heading(o)) for o in matrix.outages) + " |"
        )
        lines.append("|---" * (len(matrix.outages) + 1) + "|")
        for row in matrix.rows:
            cells = [f"{_SIGNS[cell.impact]} {escape(_detail(cell))}".strip() for cell in row.cells]
            lines.append(f"| {escape(_name(row))} | " + " | ".join(cells) + " |")
        lines += ["", *(f"- {escape(text)}" for text in _legend(matrix))]
    lines += ["", *(f"- {escape(text)}" for text in _live(matrix))]
    return "\n".join(lines).rstrip() + "\n"


def render_survivability_json(matrix: Survivability) -> str:
    """Versioned; ``schemas/survivability.json`` describes it."""
    document: dict[str, object] = {
        "apiVersion": f"federation.reconciler.dev/survivability.v{VERSION}",
        "federation": matrix.federation,
        "warnings": list(matrix.warnings),
        "outages": [
            {"names": list(o.names), "clusters": list(o.clusters), "remark": o.remark}
            for o in matrix.outages
        ],
        "workloads": [
            {
                "kind": str(row.workload.group_kind),
                "namespace": row.workload.namespace,
                "name": row.workload.name,
                "worst": row.worst,
                "outages": [
                    {
                        "outage": outage.title,
                        "fate": cell.impact,
                        "before": cell.before,
                        "lost": cell.lost,
                        "after": cell.after,
                    }
                    for outage, cell in zip(matrix.outages, row.cells, strict=True)
                ],
            }
            for row in matrix.rows
        ],
        "summary": {str(impact): count for impact, count in impacts(matrix).items()},
    }
    if matrix.live is not None:
        document["live"] = {
            "tried": matrix.live.tried,
            "refused": [
                {
                    "kind": str(one.workload.group_kind),
                    "namespace": one.workload.namespace,
                    "name": one.workload.name,
                    "cluster": one.cluster,
                    "message": one.message,
                    "certain": one.certain,
                }
                for one in matrix.live.refused
            ],
            "unanswered": dict(sorted(matrix.live.unanswered.items())),
            "warnings": sorted(map(str, server_warnings(matrix.live.server_warnings))),
        }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n"


def _live(matrix: Survivability) -> Iterator[str]:
    """What the clusters said to what they would have to take over."""
    if (live := matrix.live) is None:
        return
    certain = sum(one.certain for one in live.refused)
    yield f"{live.tried} failover placements tried in the clusters, {certain} refused."
    for one in live.refused:
        verb = "refused" if one.certain else "not sure"
        name = f"{kind_name(one.workload)} {object_name(one.workload)}"
        yield f"{one.cluster}: {name} {verb}: {one.message}"
    for cluster, why in sorted(live.unanswered.items()):
        yield f"{cluster}: not asked: {why}"
    yield from sorted(map(str, server_warnings(live.server_warnings)))


def _detail(cell: Cell) -> str:
    if cell.impact is Impact.DEGRADED:
        return f"-{cell.before - cell.after} of {cell.before}"
    if cell.impact is Impact.SURVIVES:
        return f"{cell.lost} moved" if cell.after == cell.before else f"{cell.after} run"
    return "DOWN" if cell.impact is Impact.DOWN else ""


def cell_words(cell: Cell) -> str:
    """``survives``, ``-2 of 4``, ``DOWN``; a dot where nothing of it ran there."""
    return _WORDS[cell.impact] or _detail(cell)


def _name(row: Row) -> str:
    return f"{kind_name(row.workload)} {object_name(row.workload)}"


def outage_heading(outage: Outage) -> str:
    """``aws-eu`` for a single cluster, ``provider gcp`` for a group."""
    what, _, value = outage.title.partition("=")
    return outage.clusters[0] if len(outage.clusters) == 1 else f"{what} {value}"


def _table(matrix: Survivability, width: int) -> list[str]:
    """Lines, or nothing where they would not fit."""
    headings = [outage_heading(outage) for outage in matrix.outages]
    texts = [[cell_words(cell) for cell in row.cells] for row in matrix.rows]
    first = max(len(_name(row)) for row in matrix.rows)
    columns = [
        max(len(heading), *(len(row[at]) for row in texts)) for at, heading in enumerate(headings)
    ]
    if first + sum(columns) + len(_GAP) * len(columns) > width:
        return []
    lines = [_line("", first, zip(headings, columns, strict=True))]
    for row, words in zip(matrix.rows, texts, strict=True):
        padded = [
            _painted(word.ljust(room), cell.impact)
            for word, room, cell in zip(words, columns, row.cells, strict=True)
        ]
        lines.append(_GAP.join([_name(row).ljust(first), *padded]).rstrip())
    return lines


def _line(name: str, room: int, cells: Iterator[tuple[str, int]]) -> str:
    return _GAP.join([name.ljust(room), *(text.ljust(width) for text, width in cells)]).rstrip()


def _by_outage(matrix: Survivability) -> list[str]:
    lines = []
    for at, outage in enumerate(matrix.outages):
        hit = [row for row in matrix.rows if row.cells[at].impact in (Impact.DEGRADED, Impact.DOWN)]
        lines.append(f"{outage_heading(outage)}: " + ("" if hit else "all survive"))
        for row in sorted(hit, key=lambda r: (r.cells[at].impact is not Impact.DOWN, r.workload)):
            cell = row.cells[at]
            lines.append(f"  {_name(row)}  {_painted(cell_words(cell), cell.impact)}")
    return lines


def _legend(matrix: Survivability) -> Iterator[str]:
    if any(cell.impact is Impact.UNTOUCHED for row in matrix.rows for cell in row.cells):
        yield f"{_WORDS[Impact.UNTOUCHED]}: nothing of it runs there"
    for outage in matrix.outages:
        if len(outage.clusters) > 1:
            yield f"{outage_heading(outage)}: {', '.join(outage.clusters)}"
    for outage in matrix.outages:
        if outage.remark:
            yield f"{outage_heading(outage)}: {outage.remark}"
    if any(cell.impact is Impact.DEGRADED for row in matrix.rows for cell in row.cells):
        yield "-2 of 9: two of nine replicas would run nowhere"


def _painted(text: str, impact: Impact) -> str:
    return painted(text, *_COLOURS.get(impact, ()))
