"""What somebody may have meant."""

from __future__ import annotations

from collections.abc import Iterable


def close_matches(word: str, known: Iterable[str], n: int = 1, cutoff: float = 0.6) -> list[str]:
    """As ``difflib.get_close_matches``, which is loaded where something is misspelt."""
    from difflib import get_close_matches

    return get_close_matches(word, list(known), n, cutoff)
