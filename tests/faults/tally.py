"""What the fault suite counts, over all test processes, and says at the end of a test run."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

KEY = "fault suite"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    totals: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if not isinstance(report, pytest.TestReport) or report.when != "call":
                continue
            counts = [counted for key, counted in report.user_properties if key == KEY]
            for counted in counts:
                totals.update(counted)
            totals["cases"] += bool(counts)
            totals["survivors"] += bool(counts) and report.passed
    if totals["cases"]:
        terminalreporter.write_line(
            f"Faults: {totals['faults']:,} injected in {totals['cases']:,} cases and "
            f"{totals['runs']:,} runs; survivors: {totals['survivors']:,} of {totals['cases']:,} "
            f"({totals['unharmed']:,} of them within the disturbed run itself)"
        )
