"""Lengths of time, for people. Pure."""

from __future__ import annotations


def duration_words(seconds: float) -> str:
    """``2m30s``."""
    whole = max(1, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, rest = divmod(rest, 60)
    parts = ((hours, "h"), (minutes, "m"), (rest, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number)
