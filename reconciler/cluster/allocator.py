"""The C library's memory, for runs over much: what threads have freed is given back.

glibc keeps an arena for each of several threads, and keeps what was freed in them. Of a fleet of a
thousand clusters that was half of all memory, and free.
"""

from __future__ import annotations

from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Of malloc.h."""
_LARGE = 128 * 1024
"""Bytes: what is larger has pages of its own, and they go when it goes."""

_SPARE = 8 * 1024 * 1024
"""Bytes that stay for what comes next."""


@cache
def keep_memory_small() -> None:
    """One arena for all threads from now on: Python allocates in one of them at a time anyway."""
    # Most runs need none of it.
    import ctypes

    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:  # Other C libraries have none of this, and need none.
        for option, value in (
            (_ARENA_MAX, 1),
            (_MMAP_THRESHOLD, _LARGE),
            (_TRIM_THRESHOLD, _SPARE),
        ):
            set_option(option, value)
