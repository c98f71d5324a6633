"""Where a field is in an object: its steps, and the text that people read. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson

Step = str | Mapping[str, Any] | int
"""A map key, a list item told by its identifying fields, or a list position."""


class _Order(str):
    """The step to the order of a list's items, which is no key of a map."""

    __slots__ = ()


ORDER = _Order("order")


class FieldPath(str):
    """A path as people write it, ``spec.template.spec.containers[name=web].image``, that knows its
    ``steps``. Odd keys are quoted: ``labels["a.b/c"]``."""

    __slots__ = ("steps",)
    steps: tuple[Step, ...]

    def __new__(cls, steps: Sequence[Step]) -> FieldPath:
        path = super().__new__(cls, "".join(map(_step_text, steps)).removeprefix("."))
        path.steps = tuple(steps)
        return path

    def __reduce__(self) -> tuple[Any, ...]:
        return FieldPath, (self.steps,)

    @property
    def without_items(self) -> FieldPath:
        """The path without the values that tell items of lists from others: ``rules[name=***]``."""
        return FieldPath(
            [dict.fromkeys(s, "***") if isinstance(s, Mapping) else s for s in self.steps]
        )


def ends_of(paths: Collection[FieldPath]) -> list[FieldPath]:
    """The paths that no other one continues, sorted."""
    steps = [path.steps for path in paths]
    return sorted(
        path
        for path in paths
        if not any(len(s) > len(path.steps) and s[: len(path.steps)] == path.steps for s in steps)
    )


def _step_text(step: Step) -> str:
    if isinstance(step, str):
        return _name_text(step)
    if isinstance(step, int):
        return f"[{step}]"
    return "[" + ",".join(f"{key}={_key_text(value)}" for key, value in step.items()) + "]"


@lru_cache(maxsize=4096)
def _name_text(name: str) -> str:
    """Most objects have the same names in them."""
    plain = name.replace("-", "").replace("_", "").isalnum()
    return f".{name}" if plain else f"[{_quoted(name)}]"


_ENDS_AN_ITEM = frozenset(',[]"\\')


def _key_text(value: Any) -> str:
    """What tells an item from the others: ``web``, ``80``, and ``"80"`` where that is a string."""
    if not isinstance(value, str) or reads_as_other_type(value) or _ENDS_AN_ITEM & {*value}:
        return _quoted(value)
    return value


def _quoted(value: Any) -> str:
    return orjson.dumps(value).decode()


def reads_as_other_type(text: str) -> bool:
    """Whether a string looks like a number, a boolean, null, a list or a map: ``"80"``."""
    try:
        return not isinstance(orjson.loads(text), str)
    except orjson.JSONDecodeError:
        return False
