"""What a plain YAML scalar means to kubectl.

kubectl reads YAML with go-yaml v2 and turns it into JSON: YAML 1.1 words for booleans, C-style
integers, no sexagesimal numbers, timestamps as strings. PyYAML's own rules differ, and a port of
``010`` must not be 10 here and 8 there.
"""

from __future__ import annotations

import re

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(
        ("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True
    ),
    **dict.fromkeys(
        ("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False
    ),
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
}
_NUMERIC_START = frozenset("+-.0123456789")
_FLOAT = re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
_INTEGER = re.compile(
    r"^[-+]?(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<bin>[01]+)|0[oO]?(?P<oct>[0-7]+)|(?:0|[1-9][0-9]*))$"
)
_NOT_FINITE = re.compile(r"^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$")
_LARGEST = 2**64
_MOST_DIGITS = 20
"""No decimal number below has more; Python refuses to read those of thousands."""


class NotJson(ValueError):
    """The scalar has no JSON form (infinities, not-a-number)."""


def resolve_plain(text: str) -> str | int | float | bool | None:
    """The JSON value of an unquoted scalar. Raises NotJson for .inf and .nan."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMERIC_START:
        return text
    digits = text.replace("_", "")
    match = _INTEGER.match(digits)
    if match:
        value = _integer(match, digits)
        if -_LARGEST // 2 <= value < _LARGEST:
            return value
    if _FLOAT.match(digits):
        return _float(text, digits)
    if _NOT_FINITE.match(text):
        raise NotJson(text)
    return text


def _integer(match: re.Match[str], digits: str) -> int:
    for name, base in (("hex", 16), ("bin", 2), ("oct", 8)):
        if match[name]:
            value = int(match[name], base)
            return -value if digits.startswith("-") else value
    return int(digits) if len(digits) <= _MOST_DIGITS + 1 else _LARGEST


def _float(text: str, digits: str) -> int | float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise NotJson(text)
    # JSON knows no difference between 1000 and 1e3, and Kubernetes' integers accept either.
    return int(value) if value.is_integer() and abs(value) < 2**53 else value
