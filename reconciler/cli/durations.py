"""``90s``, ``10m``, ``1h30m``: durations as Kubernetes writes them, on the command line."""

from __future__ import annotations

import re

import click

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


class Duration(click.ParamType[float]):
    """Seconds as a float; a bare number is seconds."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float | int):
            return float(value)
        text = str(value).strip()
        if re.fullmatch(r"\d+(\.\d+)?", text):
            seconds = float(text)
        elif re.fullmatch(f"({_PART.pattern})+", text):
            seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
        else:
            self.fail(f"{text!r} is not a duration such as 90s, 10m or 1h30m", param, ctx)
        if seconds <= 0:
            self.fail("a duration is longer than nothing", param, ctx)
        return seconds


DURATION = Duration()
