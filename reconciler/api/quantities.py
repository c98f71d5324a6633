"""Kubernetes' quantities: ``250m``, ``2Gi``, ``1e3``."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal

_FORM = re.compile(
    r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?[0-9]+))?"
)
_POWERS_OF_TEN = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_SUFFIXES = {
    **{suffix: Decimal(10) ** power for suffix, power in _POWERS_OF_TEN.items()},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)},
}
_LARGEST_EXPONENT = 30


def thousandths(quantity: object) -> int | None:
    """A quantity in thousandths of its unit, rounded up; None: it is none."""
    text = str(quantity).strip()
    match = _FORM.fullmatch(text)
    if match is None or len(text) > 40:
        return None
    number, suffix, exponent = match.groups()
    if exponent and abs(int(exponent)) > _LARGEST_EXPONENT:
        return None
    scale = Decimal(10) ** int(exponent) if exponent else _SUFFIXES.get(suffix, Decimal(1))
    return int((Decimal(number) * scale * 1000).to_integral_value(ROUND_CEILING))
