"""Text for people, escaped once, where it is written; what is ours may be coloured. Pure.

Whoever composes a line marks what is to be coloured, by ``painted``; whoever writes it calls
``shown`` once. Names, values and messages of others can then neither colour, nor move the cursor,
nor begin a line: the marks have a number in them that is new in each process.
"""

from __future__ import annotations

import os
import re
import unicodedata

_MARK = f"\x1b{os.urandom(8).hex()}"
_MARKED = re.compile(_MARK + r"\[([0-9;]*)m")


def painted(text: str, *codes: str) -> str:
    """``text`` to be shown with these codes (of SGR: ``31`` is red), where there are colours."""
    begin = "".join(f"{_MARK}[{code}m" for code in codes)
    return f"{begin}{text}{_MARK}[0m" if text and codes else text


def unpainted(text: str) -> str:
    """The text without the marks of ``painted``: as wide as it is shown."""
    return _MARKED.sub("", text)


def shown(line: str, *, colour: bool) -> str:
    """One line as it is written: escaped, with colours or without. Tabs stay."""
    if line.isascii() and line.isprintable():
        return line
    parts = _MARKED.split(line)
    return "".join(
        (f"\x1b[{part}m" if colour else "")
        if at % 2
        else visible(part.replace("\n", "⏎"), keep_lines=True)
        for at, part in enumerate(parts)
    )


def visible(text: str, *, keep_lines: bool = False) -> str:
    """``text`` on one line with every control, direction and invisible character spelled out.

    ``keep_lines`` leaves line feeds and tabs alone.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(sign, keep_lines) for sign in text)


def _shown(sign: str, keep_lines: bool) -> str:
    if sign == "\n":
        return sign if keep_lines else "⏎"
    if sign == "\t":
        return sign if keep_lines else " "
    # Control, format (bidirectional overrides, zero width), private use, surrogates, separators.
    if unicodedata.category(sign) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp"):
        return f"\\u{ord(sign):04x}" if ord(sign) != 0x1B else "␛"
    return sign
