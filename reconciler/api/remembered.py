"""The last results of pure functions, given again for the very same values.

Values that flow through a run never change, and a process that stays keeps those of Git between its
runs: what is made of them alone need not be made again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from operator import is_
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def remembered(function: Callable[P, T]) -> Callable[P, T]:
    """For pure functions of values that nobody changes, whose result nobody changes either.

    One result is kept, and with it the arguments, given by position: only where each is the same
    object is the result the same, as equality would cost as much as the function.
    """
    last: tuple[tuple[object, ...], T] | None = None

    @wraps(function)
    def again(*values: P.args, **named: P.kwargs) -> T:
        nonlocal last
        known = last
        if known and not named and len(known[0]) == len(values) and all(map(is_, known[0], values)):
            return known[1]
        found = function(*values, **named)
        if not named:
            last = (values, found)
        return found

    return again
