"""A moment that knows until when whatever was made of it stays the same.

A plan is a function of the time, among others; but few plans change with every second. What they
depend on is how a moment compares with others: whether a grace period, a soak or a window is over.
``Moment`` is a number like any other, and notes of each comparison when it will come out otherwise.
So no rule with a time in it can be forgotten: those who wrote it need not know of this.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import floor, inf
from typing import Any, TypeVar, cast

from msgspec import Struct, structs

T = TypeVar("T")


class TimeUse:
    """What a run made of the time, which was ``began`` (Unix seconds).

    ``always`` is whether it made something that changes with every moment, such as a text.
    """

    def __init__(self, began: float) -> None:
        self.began = began
        self.always = False
        self._bounds: list[float] = []

    def moment(self, now: float) -> Moment:
        """The time, to be used by the run."""
        return Moment(now, self, 1)

    @property
    def until(self) -> float:
        """The first moment (Unix seconds) at which a comparison comes out otherwise; inf: none."""
        return min(self._bounds, default=inf)

    def holds(self, now: float) -> bool:
        """Whether a run at ``now`` would make the same of the time."""
        return not self.always and self.began <= now < self.until

    def bound(self, seconds: float) -> None:
        """Something comes out otherwise in so many seconds. Called by several threads."""
        self._bounds.append(self.began + seconds)


class Moment(float):
    """A number of seconds that goes up (``slope`` 1) or down (-1) as time passes."""

    __slots__ = ("_slope", "_use")
    _use: TimeUse
    _slope: int

    def __new__(cls, value: float, use: TimeUse, slope: int) -> Moment:
        """Not to be made but by ``TimeUse`` and by reckoning."""
        made = super().__new__(cls, value)
        made._use, made._slope = use, slope
        return made

    @property
    def _plain(self) -> float:
        return float.__add__(self, 0.0)

    def _crosses(self, other: float) -> None:
        """Notes when this is to be ``other``, if it ever is. At that moment already counts."""
        if isinstance(other, Moment):
            if other._slope != self._slope:
                self._use.always = True
            return
        ahead = (other - self._plain) * self._slope
        if ahead >= 0:
            # A comparison may tell being there from being past it.
            self._use.bound(ahead or 1e-6)

    def _with(self, value: float, slope: int) -> float:
        if slope in (1, -1):
            return Moment(value, self._use, slope)
        if slope:
            self._use.always = True
        return value

    def __add__(self, other: Any) -> Any:
        value = float.__add__(self, other)
        if value is NotImplemented:
            return value
        slope = other._slope if isinstance(other, Moment) else 0
        return self._with(value, self._slope + slope)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        value = float.__sub__(self, other)
        if value is NotImplemented:
            return value
        slope = other._slope if isinstance(other, Moment) else 0
        return self._with(value, self._slope - slope)

    def __rsub__(self, other: Any) -> Any:
        value = float.__rsub__(self, other)
        return value if value is NotImplemented else self._with(value, -self._slope)

    def __neg__(self) -> Any:
        return self._with(float.__neg__(self), -self._slope)

    def __abs__(self) -> Any:
        self._crosses(0.0)
        return self if self._plain >= 0 else -self

    def __bool__(self) -> bool:
        self._crosses(0.0)
        return self._plain != 0

    def __floordiv__(self, other: Any) -> Any:
        value = float.__floordiv__(self, other)
        if value is NotImplemented or isinstance(other, Moment) or other <= 0:
            self._use.always = True
            return value
        step = floor(self._plain / other)
        edge = (step + 1) * other if self._slope > 0 else step * other
        self._crosses(edge)
        return value

    def _compared(self, other: Any, outcome: Any) -> Any:
        if outcome is not NotImplemented:
            self._crosses(other)
        return outcome

    def __lt__(self, other: Any) -> Any:
        return self._compared(other, float.__lt__(self, other))

    def __le__(self, other: Any) -> Any:
        return self._compared(other, float.__le__(self, other))

    def __gt__(self, other: Any) -> Any:
        return self._compared(other, float.__gt__(self, other))

    def __ge__(self, other: Any) -> Any:
        return self._compared(other, float.__ge__(self, other))

    def __eq__(self, other: object) -> Any:
        return self._compared(other, float.__eq__(self, other))

    def __ne__(self, other: object) -> Any:
        return self._compared(other, float.__ne__(self, other))


def _always(name: str) -> Any:
    plain = getattr(float, name)

    def method(self: Moment, *rest: Any) -> Any:
        self._use.always = True
        return plain(self, *rest)

    method.__name__ = name
    return method


for _name in (
    *("__mul__", "__rmul__", "__truediv__", "__rtruediv__", "__mod__", "__rmod__", "__divmod__"),
    *("__rdivmod__", "__pow__", "__rpow__", "__rfloordiv__", "__int__", "__float__", "__round__"),
    *("__trunc__", "__floor__", "__ceil__", "__hash__", "__repr__", "__format__", "hex"),
    *("is_integer", "as_integer_ratio"),
):
    setattr(Moment, _name, _always(_name))
Moment.__str__ = Moment.__repr__  # type: ignore[method-assign]


def plain_numbers(value: T) -> T:
    """The same with plain numbers for moments: a value to be kept, as it is now."""
    return cast("T", _settled(value))


def _settled(value: Any) -> Any:
    if isinstance(value, Moment):
        return value._plain
    if isinstance(value, Struct):
        changed = {
            name: new
            for name in value.__struct_fields__
            if (new := _settled(old := getattr(value, name))) is not old
        }
        return structs.replace(value, **changed) if changed else value
    if isinstance(value, Mapping):
        found = {key: _settled(one) for key, one in value.items()}
        return found if any(found[key] is not one for key, one in value.items()) else value
    if type(value) is tuple:
        rest = tuple(map(_settled, value))
        return rest if any(a is not b for a, b in zip(rest, value, strict=True)) else value
    return value
