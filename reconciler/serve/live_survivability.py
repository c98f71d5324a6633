"""Which workloads outlive which outage, as the page of the fleet shows it: from Git alone. Pure."""

from __future__ import annotations

from msgspec import Struct

from reconciler.failover.survivability import SEVERITY, Impact, Survivability, assess_survivability
from reconciler.federation.model import DesiredState
from reconciler.report.survivability import cell_words, outage_heading, survivability_summary
from reconciler.report.wording import key_text

SINGLE_CLUSTERS = 24
"""In a larger fleet only outages that hit several clusters are gone through."""
MOST_OUTAGES = 24
MOST_ROWS = 100
_SIGNS = {
    Impact.UNTOUCHED: "",
    Impact.SURVIVES: "ok",
    Impact.DEGRADED: "degraded",
    Impact.DOWN: "down",
}


class MatrixCell(Struct, frozen=True):
    sign: str
    text: str


class MatrixView(Struct, frozen=True):
    """The workloads that suffer most come first. ``left_out`` says what is not shown."""

    summary: str
    outages: tuple[str, ...]
    rows: tuple[tuple[str, tuple[MatrixCell, ...]], ...]
    warnings: tuple[str, ...]
    left_out: str = ""


def survivability_view(state: DesiredState) -> MatrixView | None:
    """None where there is no outage to go through."""
    outages: tuple[str, ...] = ()
    left_out = ""
    if len(state.clusters) > SINGLE_CLUSTERS:
        found = {
            f"{what}={value}"
            for what in ("zone", "region", "provider")
            for cluster in state.clusters
            if (value := getattr(cluster, what))
        }
        every = sorted(found, key=lambda one: (_WIDEST.index(one.partition("=")[0]), one))
        outages = tuple(every[:MOST_OUTAGES])
        left_out = "Outages of single clusters are left out here"
        left_out += f", and {len(every) - len(outages)} more" if len(every) > len(outages) else ""
        left_out += "; reconcile survivability goes through all of them."
        if not outages:
            return None
    if not state.clusters:
        return None
    return _view(assess_survivability(state, outages), left_out)


_WIDEST = ("provider", "region", "zone")


def _view(matrix: Survivability, left_out: str) -> MatrixView:
    rows = sorted(matrix.rows, key=lambda row: (-SEVERITY.index(row.worst), row.workload))
    if len(rows) > MOST_ROWS:
        left_out += f" {len(rows) - MOST_ROWS} more workloads do not fit."
    return MatrixView(
        survivability_summary(matrix),
        tuple(map(outage_heading, matrix.outages)),
        tuple(
            (
                key_text(row.workload),
                tuple(MatrixCell(_SIGNS[cell.impact], cell_words(cell)) for cell in row.cells),
            )
            for row in rows[:MOST_ROWS]
        ),
        matrix.warnings,
        left_out.strip(),
    )
