"""On what kind of machine the figures were measured, without its name."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path


def describe() -> dict[str, str]:
    """What a reader needs to judge the figures; ``load`` shows how quiet it was at that moment."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": _first("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB",
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "load": " ".join(f"{value:.1f}" for value in os.getloadavg()),
    }


def _first(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
