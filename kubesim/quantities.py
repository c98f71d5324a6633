"""Resource quantities in the form in which an API server gives them back (``1000m`` -> ``1``)."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal, InvalidOperation, localcontext

_PATTERN = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?")
_DECIMAL = {-9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P", 18: "E"}
_DECIMAL_POWERS = {suffix: power for power, suffix in _DECIMAL.items()}
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")


class BadQuantity(ValueError):
    """The text is no quantity; the message is the server's own."""

    def __init__(self) -> None:
        super().__init__(
            "quantities must match the regular expression "
            "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        )


def amount(quantity: str | int | float) -> Decimal:
    """The number that a quantity stands for. Raises BadQuantity."""
    return _parse(str(quantity))[0]


def canonical(quantity: str | int | float) -> str:
    """The server's spelling: the largest suffix that leaves a whole number. Raises BadQuantity."""
    value, style = _parse(str(quantity).strip())
    with localcontext() as context:
        context.prec = 60
        value = value.quantize(Decimal("1e-9"), rounding=ROUND_CEILING)
        if value == 0:
            return "0"
        if style == "binary" and abs(value) >= 1024 and value == int(value):
            number, step = int(value), 0
            while number % 1024 == 0 and step < len(_BINARY) - 1:
                number, step = number // 1024, step + 1
            return f"{number}{_BINARY[step]}"
        power = 18 if style != "exponent" else 27
        while value.scaleb(-power) != int(value.scaleb(-power)):
            power -= 3
        number = int(value.scaleb(-power))
        if style == "exponent":
            return f"{number}e{power}"
        return f"{number}{_DECIMAL[power]}"


def _parse(text: str) -> tuple[Decimal, str]:
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise BadQuantity
    number, suffix = match[1], match[2] or ""
    try:
        value = Decimal(number)
    except InvalidOperation as error:
        raise BadQuantity from error
    if suffix in _DECIMAL_POWERS:
        return value.scaleb(_DECIMAL_POWERS[suffix]), "decimal"
    if suffix in _BINARY:
        return value * 1024 ** _BINARY.index(suffix), "binary"
    return value.scaleb(int(suffix[1:])), "exponent"
