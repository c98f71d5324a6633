"""managedFields: which fields an apply of ours owns, and what they hold now.

The format is that of ``FieldsV1`` (structured-merge-diff): ``f:name`` a field, ``k:{…}`` the item
of a list that has those keys, ``v:…`` a member of a set, ``.`` the thing itself. A path that ends
takes the whole value, as an atomic list or map does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from reconciler.cluster.member import FIELD_MANAGER
from reconciler.objects import Object

Fields = dict[str, Any]
"""A parsed fieldsV1 tree."""

MISSING = "\x00missing"
"""Stands for an owned path with no value; no JSON string of an API server can be equal to it."""


def our_entry(live: Object, manager: str = FIELD_MANAGER) -> Object | None:
    """Our own server-side-apply entry of an object, or None when it has none."""
    entries = live["metadata"].get("managedFields")
    if not isinstance(entries, list):
        return None
    for entry in entries:
        if (
            entry.get("manager") == manager
            and entry.get("operation") == "Apply"
            and not entry.get("subresource")
        ):
            return dict(entry)
    return None


Reader = Callable[[Any], Any]
"""Takes a live value apart as a tree of fields says."""


def owned_values(fields: Fields, value: Any) -> Any:
    """The live values at every path of ``fields``, in a shape that can be compared or digested.

    Maps become ``{step: value}``; items found by key keep the live order among themselves, so
    that a reordering shows. ``MISSING`` stands where an owned path has no value.
    """
    return reader_of(fields)(value)


def reader_of(fields: Fields) -> Reader:
    """``owned_values`` of one tree, prepared for many objects: most of a kind share their tree."""
    steps = [(step, inner) for step, inner in fields.items() if step != "."]
    if not steps:
        return _whole
    named = [(step[2:], _inner_reader(inner)) for step, inner in steps]
    finders = [_finder(step, _inner_reader(inner)) for step, inner in steps]

    def read(value: Any) -> Any:
        if isinstance(value, dict):
            found = {}
            for name, inner in named:
                if name not in value:
                    found[name] = MISSING
                elif inner is None:
                    found[name] = value[name]
                else:
                    found[name] = inner(value[name])
            return found
        if not isinstance(value, list):
            return MISSING
        items = [find(value) for find in finders]
        items.sort(key=_place)
        return [item for _, item in items]

    return read


def _whole(value: Any) -> Any:
    return value


def _inner_reader(fields: Fields) -> Reader | None:
    """None where the path ends: the whole value is taken, without a call."""
    return reader_of(fields) if fields.keys() - {"."} else None


_Found = tuple[int, list[Any]]
"""Where an item is in its list (-1: nowhere), and its step with its owned values."""


def _place(found: _Found) -> int:
    return found[0]


def _finder(step: str, inner: Reader | None) -> Callable[[list[Any]], _Found]:
    """Finds the item that a step means: ``k:`` by keys, ``v:`` by value, ``i:`` by index."""
    kind, text = step[:2], step[2:]
    keys = list(orjson.loads(text).items()) if kind == "k:" else []
    member = orjson.loads(text) if kind == "v:" else None
    position = int(text) if kind == "i:" else -1

    def by_keys(items: list[Any]) -> _Found:
        for index, item in enumerate(items):
            if not isinstance(item, dict):
                continue
            for key, wanted in keys:
                if item.get(key) != wanted:
                    break
            else:
                return index, [step, inner(item) if inner else item]
        return -1, [step, MISSING]

    def by_value(items: list[Any]) -> _Found:
        return (items.index(member), [step, member]) if member in items else (-1, [step, MISSING])

    def by_index(items: list[Any]) -> _Found:
        there = 0 <= position < len(items)
        return (position, [step, items[position]]) if there else (-1, [step, MISSING])

    return {"k:": by_keys, "v:": by_value}.get(kind, by_index)


def has_missing(values: Any) -> bool:
    """Whether some owned path had no value (see ``owned_values``)."""
    if isinstance(values, dict):
        return any(map(has_missing, values.values()))
    if isinstance(values, list):
        return any(map(has_missing, values))
    return bool(values == MISSING)


def owns(fields: Fields, path: tuple[str, ...]) -> bool:
    """Whether the tree holds the field path, given as plain names: ``("spec", "replicas")``."""
    for name in path:
        step = f"f:{name}"
        if step not in fields:
            return False
        fields = fields[step]
    return True


def owned_paths(fields: Fields, prefix: str = "") -> set[str]:
    """Every path of the tree as API servers word it in conflicts: ``.spec.ports[port=80].name``."""
    found: set[str] = set()
    for step, inner in fields.items():
        if step == ".":
            continue
        path = prefix + _step_text(step)
        found.add(path)
        found |= owned_paths(inner, path)
    return found


def _step_text(step: str) -> str:
    kind, text = step[:2], step[2:]
    if kind == "k:":
        keys = orjson.loads(text)
        return "[" + ",".join(f"{k}={orjson.dumps(keys[k]).decode()}" for k in sorted(keys)) + "]"
    if kind == "v:":
        return f"[={text}]"
    return f"[{text}]" if kind == "i:" else f".{text}"
