"""What the fault suite counts, over all test processes, and says at the end of a test run."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

KEY = "fault suite"
MEMORY = "memory under --every"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    totals: Counter[str] = Counter()
    lines: list[str] = []
    for reports in terminalreporter.stats.values():
        for report in reports:
            if not isinstance(report, pytest.TestReport) or report.when != "call":
                continue
            said = [f"{key}: {text}" for key, text in report.user_properties if key == MEMORY]
            lines += [line[0].upper() + line[1:] for line in said]
            counts = [counted for key, counted in report.user_properties if key == KEY]
            for counted in counts:
                totals.update(counted)
            totals["cases"] += bool(counts)
            totals["survivors"] += bool(counts) and report.passed
    if totals["cases"]:
        lines.append(
            f"Faults: {totals['faults']:,} injected in {totals['cases']:,} cases and "
            f"{totals['runs']:,} runs; survivors: {totals['survivors']:,} of {totals['cases']:,} "
            f"({totals['unharmed']:,} of them within the disturbed run itself)"
        )
    for line in lines:
        terminalreporter.write_line(line)
