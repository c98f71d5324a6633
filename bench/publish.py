"""``python -m bench.publish``: the last results -> the table and the plots of ``docs/performance``.

Writes what stands between the markers of ``docs/performance.md``, and the two SVG files beside it.
"""

from __future__ import annotations

import json
from typing import Any

from bench.__main__ import RESULTS
from bench.commands import BEFORE_PAGES, ROOT
from bench.plots import Curve, log_log
from bench.rows import Row, as_markdown
from bench.timing import Figure

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- measured -->", "<!-- end of measured -->"


def main() -> None:
    """Raises SystemExit for the results of a quick run: their sizes are nobody's."""
    results = json.loads(RESULTS.read_text())
    if results["quick"]:
        raise SystemExit("these are the results of a quick run; run `make bench` first")
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{_measured(results)}\n{END}{after}")
    for name, picture in _pictures(results["growth"]).items():
        (PAGE.parent / name).write_text(picture)


def _measured(results: dict[str, Any]) -> str:
    one = results["machine"]
    rows = [_row(saved) for saved in results["rows"]]
    said = (
        f"Measured on {one['date']}: {one['processor']}, {one['cores']} cores, {one['memory']}, "
        f"{one['system']}, Python {one['python']}. Medians, with the lowest and the highest; a "
        "ratio is the median of the ratios of runs side by side."
    )
    return f"{said}\n\n{as_markdown(rows)}"


def _row(saved: dict[str, Any]) -> Row:
    kept: dict[str, Any] = {name: value for name, value in saved.items() if name != "met"}
    for name in ("ours", "theirs", "ratio"):
        kept[name] = Figure(**saved[name]) if saved[name] else None
    return Row(**kept)


def _pictures(growth: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    pictures = {}
    if points := growth.get("objects"):
        pictures["performance-objects.svg"] = log_log(
            "One real cluster, nothing to do",
            "objects",
            "seconds",
            [
                _curve("kubectl apply", points, "objects", "kubectl"),
                _curve(f"commit {BEFORE_PAGES}", points, "objects", "before"),
                _curve("reconcile", points, "objects", "unchanged"),
                _curve("bare LIST", points, "objects", "floor"),
                _curve("quiet round", points, "objects", "quiet"),
            ],
        )
        pictures["performance-objects-memory.svg"] = log_log(
            "One real cluster, nothing to do: peak memory",
            "objects",
            "MB",
            [
                _curve(f"commit {BEFORE_PAGES}", points, "objects", "before_peak_bytes", 1e6),
                _curve("reconcile", points, "objects", "peak_bytes", 1e6),
                _curve("--every", points, "objects", "watching_peak_bytes", 1e6),
            ],
        )
    if points := growth.get("clusters"):
        pictures["performance-clusters.svg"] = log_log(
            "Simulated clusters of 50 objects",
            "clusters",
            "seconds",
            [
                _curve("plan, all new", points, "clusters", "new"),
                _curve("plan, nothing to do", points, "clusters", "unchanged"),
                _curve(f"commit {BEFORE_PAGES}", points, "clusters", "before"),
            ],
        )
        pictures["performance-clusters-memory.svg"] = log_log(
            "Simulated clusters of 50 objects, nothing to do: peak memory",
            "clusters",
            "MB",
            [
                _curve(f"commit {BEFORE_PAGES}", points, "clusters", "before_peak_bytes", 1e6),
                _curve("reconcile", points, "clusters", "peak_bytes", 1e6),
            ],
        )
    return pictures


def _curve(name: str, points: list[dict[str, Any]], x: str, y: str, unit: float = 1) -> Curve:
    return Curve(name, [(p[x], p[y] / unit) for p in points if p[y] is not None])


if __name__ == "__main__":
    main()
