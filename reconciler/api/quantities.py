"""Durations and shares, as the formats write them."""

from __future__ import annotations

import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")


def parse_duration(text: str) -> float:
    """``1h30m`` -> 5400.0 seconds. The schema has made sure of the form."""
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def parse_share(text: str) -> float:
    """``30%`` -> 0.3."""
    return float(text.rstrip("%")) / 100
