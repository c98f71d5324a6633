"""Structured comparison, merge and removal: what server-side apply does with whole values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kubesim.fieldsets import (
    MEMBER,
    MISSING,
    FieldSet,
    child_shape,
    concrete,
    is_leaf,
    item_element,
)
from kubesim.schema import DEDUCED, Shape


@dataclass(slots=True)
class StructuredComparison:
    """Paths that appear, change or go between two objects."""

    added: FieldSet = field(default_factory=dict)
    modified: FieldSet = field(default_factory=dict)
    removed: FieldSet = field(default_factory=dict)


def compare_values(old: Any, new: Any, shape: Shape) -> StructuredComparison:
    """Which paths differ; MISSING on either side means all of the other."""
    comparison = StructuredComparison()
    _compare(old, new, shape, (), comparison)
    return comparison


def _insert(fields: FieldSet, path: tuple[str, ...]) -> None:
    for element in path:
        fields = fields.setdefault(element, {})
    fields["."] = MEMBER


def _leaf(old: Any, new: Any, path: tuple[str, ...], into: StructuredComparison) -> None:
    if old is MISSING:
        _insert(into.added, path)
    elif new is MISSING:
        _insert(into.removed, path)
    elif old != new or type(old) is not type(new):
        _insert(into.modified, path)


def _compare(
    old: Any, new: Any, shape: Shape, path: tuple[str, ...], into: StructuredComparison
) -> None:
    if old is new:
        return
    shape = concrete(shape, new if new is not MISSING and new is not None else old)
    if is_leaf(shape) or not (_filled(old) or _filled(new)):
        _leaf(old, new, path, into)
        return
    if shape.kind == "list":
        _compare_items(old or (), new or (), shape, path, into)
    elif isinstance(old or {}, dict) and isinstance(new or {}, dict):
        before, after = old or {}, new or {}
        for name in {**before, **after}:
            below = child_shape(shape, name) or DEDUCED
            _compare(
                before.get(name, MISSING),
                after.get(name, MISSING),
                below,
                (*path, f"f:{name}"),
                into,
            )
    else:
        _leaf(old, new, path, into)
        return
    if path:
        if old is MISSING:
            _insert(into.added, path)
        elif new is MISSING:
            _insert(into.removed, path)


def _filled(value: Any) -> bool:
    return isinstance(value, (dict, list)) and bool(value)


def _compare_items(
    old: Any, new: Any, shape: Shape, path: tuple[str, ...], into: StructuredComparison
) -> None:
    before, after = _by_element(old, shape), _by_element(new, shape)
    for element in {**before, **after}:
        left, right = before.get(element, []), after.get(element, [])
        if len(left) <= 1 and len(right) <= 1:
            _compare(
                left[0] if left else MISSING,
                right[0] if right else MISSING,
                shape.of,
                (*path, element),
                into,
            )
        elif len(left) >= 2 and len(right) >= 2:
            if left != right:
                _insert(into.modified, (*path, element))
        elif len(left) >= 2:
            _insert(into.removed, (*path, element))
        else:
            _insert(into.added, (*path, element))


def _by_element(items: Any, shape: Shape) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for item in items:
        found.setdefault(item_element(shape, item), []).append(item)
    return found


def merge(live: Any, config: Any, shape: Shape) -> Any:
    """The live value with the configuration laid over it; the configuration's order wins."""
    if config is MISSING:
        return live
    if live is MISSING or config is None:
        return config
    shape = concrete(shape, config)
    if is_leaf(shape):
        return config
    if shape.kind == "list":
        if not live or not config:
            return live or config
        return _merge_items(live, config, shape)
    if not isinstance(live, dict) or not isinstance(config, dict):
        return config
    if not live or not config:
        return live or config
    merged = dict(live)
    for name, value in config.items():
        below = child_shape(shape, name) or DEDUCED
        merged[name] = merge(live.get(name, MISSING), value, below)
    return merged


def _merge_items(live: list[Any], config: list[Any], shape: Shape) -> list[Any]:
    """Walks both lists at once, as the server does: shared items follow the configuration."""
    left = [item_element(shape, item) for item in live]
    right = [item_element(shape, item) for item in config]
    left_items: dict[str, Any] = {}
    for element, item in zip(left, live, strict=True):
        left_items[element] = MISSING if element in left_items else item
    theirs = dict(zip(right, config, strict=True))
    shared = [element for element in right if element in left_items]
    turn = 0
    done: set[str] = set()
    merged: list[Any] = []

    def take(element: str) -> None:
        done.add(element)
        merged.append(merge(left_items.get(element, MISSING), theirs[element], shape.of))

    i = j = 0
    while i < len(left) or j < len(right):
        if i < len(left) and j < len(right):
            if left[i] == right[j]:
                take(left[i])
                i, j, turn = i + 1, j + 1, turn + 1
                continue
            if left[i] in theirs and turn < len(shared) and shared[turn] != left[i]:
                i += 1
                continue
        if i < len(left):
            if left[i] not in theirs:
                merged.append(live[i])
                i += 1
                continue
            if left[i] in done:
                i += 1
        if j < len(right):
            if turn < len(shared) and shared[turn] == right[j]:
                turn += 1
            take(right[j])
            j += 1
    return merged


def remove_fields(value: Any, gone: FieldSet, shape: Shape) -> Any:
    """The value without the paths of ``gone``; MISSING when nothing is left of it."""
    shape = concrete(shape, value)
    if not _filled(value):
        return value if is_leaf(shape) else MISSING
    if is_leaf(shape):
        return MISSING if shape.kind in ("list", "map", "struct") else value
    if shape.kind == "list":
        kept = []
        for item in value:
            below = gone.get(item_element(shape, item))
            if below is None:
                kept.append(item)
            elif "." not in below and (rest := remove_fields(item, below, shape.of)) is not MISSING:
                kept.append(rest)
        return kept or MISSING
    left: dict[str, Any] = {}
    for name, child in value.items():
        below = gone.get(f"f:{name}")
        if below is None:
            left[name] = child
        elif "." not in below:
            rest = remove_fields(child, below, child_shape(shape, name) or DEDUCED)
            # An emptied map stays as null, which decoding then drops or writes by its type.
            left[name] = None if rest is MISSING else rest
    return left or MISSING


def with_named_fields(fields: FieldSet, shape: Shape) -> FieldSet:
    """Also the structs on the way to a member: fields that the schema names."""
    found: FieldSet = {}
    for key, child in fields.items():
        if key == ".":
            found[key] = MEMBER
            continue
        below: Shape = DEDUCED
        named = False
        if key.startswith("f:"):
            if shape.kind == "struct" and key[2:] in shape.fields:
                named = True
            below = child_shape(shape, key[2:]) or DEDUCED
        elif key.startswith("k:") and shape.item is not None:
            below = shape.of
        found[key] = with_named_fields(child, below)
        if named:
            found[key] = {".": MEMBER, **found[key]}
    return found
