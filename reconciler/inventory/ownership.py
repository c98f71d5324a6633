"""managedFields: which fields an apply of ours owns, and what they hold now.

The format is that of ``FieldsV1`` (structured-merge-diff): ``f:name`` a field, ``k:{…}`` the item
of a list that has those keys, ``v:…`` a member of a set, ``.`` the thing itself. A path that ends
takes the whole value, as an atomic list or map does.
"""

from __future__ import annotations

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


def owned_values(fields: Fields, value: Any) -> Any:
    """The live values at every path of ``fields``, in a shape that can be compared or digested.

    Maps become ``{step: value}``; items found by key keep the live order among themselves, so
    that a reordering shows. ``MISSING`` stands where an owned path has no value.
    """
    steps = [step for step in fields if step != "."]
    if not steps:
        return value
    if isinstance(value, list):
        return _owned_items(fields, steps, value)
    if not isinstance(value, dict):
        return MISSING
    found: dict[str, Any] = {}
    for step in steps:
        name = step[2:]
        found[name] = owned_values(fields[step], value[name]) if name in value else MISSING
    return found


def _owned_items(fields: Fields, steps: list[str], items: list[Any]) -> list[Any]:
    found: list[tuple[int, Any]] = []
    for step in steps:
        if step.startswith("k:"):
            index = _index_by_keys(orjson.loads(step[2:]), items)
            inner = owned_values(fields[step], items[index]) if index >= 0 else None
        elif step.startswith("v:"):
            member = orjson.loads(step[2:])
            index = items.index(member) if member in items else -1
            inner = member
        else:
            position = int(step[2:]) if step.startswith("i:") else -1
            index = position if 0 <= position < len(items) else -1
            inner = items[index] if index >= 0 else None
        found.append((index, [step, inner] if index >= 0 else [step, MISSING]))
    found.sort(key=lambda item: item[0])
    return [value for _, value in found]


def _index_by_keys(keys: dict[str, Any], items: list[Any]) -> int:
    for index, item in enumerate(items):
        if isinstance(item, dict) and all(item.get(k) == v for k, v in keys.items()):
            return index
    return -1


def has_missing(values: Any) -> bool:
    """Whether some owned path had no value (see ``owned_values``)."""
    if isinstance(values, dict):
        return any(has_missing(value) for value in values.values())
    if isinstance(values, list):
        return any(has_missing(value) for value in values)
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
