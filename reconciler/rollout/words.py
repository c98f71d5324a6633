"""How commits, waves and times of a rollout are called wherever people read of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from reconciler.api.objects import first_few

SHORT = 7
UNCOMMITTED = "uncommitted"
"""Stands for the commit of a work tree with changes that are in none."""
A_PERSON = "a person"
"""What a manual wave waits for."""


def short_commit(commit: str) -> str:
    """``3f2c1ab``; ``none`` where there is no commit; ``uncommitted`` as it is."""
    return commit if commit == UNCOMMITTED else commit[:SHORT] or "none"


def aborted(commit: str) -> str:
    """Why the newest commit is nobody's candidate."""
    return f"{short_commit(commit)} was aborted, and does not begin again" if commit else ""


def wave_name(index: int, count: int, name: str) -> str:
    """``wave 2 of 3 "eu"``; ``index`` counts from 0."""
    return f'wave {index + 1} of {count} "{name}"'


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``2 h 5 min``, ``3 d 4 h``: rounded up, two units at most."""
    if seconds < 60:
        return f"{ceil(max(seconds, 0))} s"
    minutes = ceil(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"))
    first = next(number for number, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count)


def to_come_back(clusters: Sequence[str]) -> str:
    """``gcp-eu to come back, or a person``: what a wave waits for that is down as a whole."""
    one = "" if len(clusters) == 1 else "one of "
    return f"{one}{first_few(clusters)} to come back, or {A_PERSON}"


def time_left(seconds: float) -> str:
    """``12 min left``."""
    return f"{duration(seconds)} left"
