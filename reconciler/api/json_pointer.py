"""JSON pointers (RFC 6901), in their text form and as steps."""

from __future__ import annotations

from collections.abc import Sequence


def split_pointer(pointer: str) -> tuple[str, ...]:
    """A pointer's steps: ``/a~1b/0`` -> ``("a/b", "0")``."""
    return tuple(s.replace("~1", "/").replace("~0", "~") for s in pointer.split("/")[1:])


def join_pointer(steps: Sequence[str | int]) -> str:
    """The inverse of ``split_pointer``."""
    return "".join("/" + str(s).replace("~", "~0").replace("/", "~1") for s in steps)
