"""Sets of field paths, as ``managedFields`` record them, and what is done with them.

A set is a tree of path elements in the notation of fieldsV1: ``f:`` a field, ``k:`` a list item
by its keys, ``v:`` an element of a set; ``"."`` marks that the path up to here is itself a member.
The rules are those of structured merge and diff (https://sigs.k8s.io/structured-merge-diff).
"""

from __future__ import annotations

from typing import Any

import orjson

from kubesim.schema import DEDUCED, DEDUCED_LIST, KEY_DEFAULTS, Shape

FieldSet = dict[str, Any]
MEMBER: FieldSet = {}

MISSING: Any = type("Missing", (), {"__repr__": lambda _: "MISSING", "__bool__": lambda _: False})()


class SchemaMismatch(ValueError):
    """A value does not fit the schema: ``path`` in dotted form, and what is wrong with it."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path


def decode_fieldset(fields: Any) -> FieldSet:
    """fieldsV1 as it is written in an object -> a set."""
    if not isinstance(fields, dict):
        return {}
    return {
        key: MEMBER if key == "." else (decode_fieldset(child) or {".": MEMBER})
        for key, child in fields.items()
    }


def encode_fieldset(fields: FieldSet) -> FieldSet:
    """A set -> fieldsV1 in the order in which the server writes it."""
    return {
        key: {} if key == "." or (len(child) == 1 and "." in child) else encode_fieldset(child)
        for key, child in sorted(fields.items())
    }


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    """Members of either set."""
    if not left or left is right:
        return right
    if not right:
        return left
    merged = dict(left)
    for key, child in right.items():
        child_before = merged.get(key)
        merged[key] = (
            child if child_before is None else union(child_before, child) if key != "." else MEMBER
        )
    return merged


def difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """The members of ``left`` that are not members of ``right``; their children stay."""
    if not right:
        return left
    kept: FieldSet = {}
    for key, child in left.items():
        other = right.get(key)
        if other is None:
            kept[key] = child
        elif key != "." and (rest := difference(child, other)):
            kept[key] = rest
    return kept


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    """Members of both sets."""
    kept: FieldSet = {}
    for key, child in left.items():
        other = right.get(key)
        if other is None:
            continue
        if key == ".":
            kept[key] = MEMBER
        elif both := intersection(child, other):
            kept[key] = both
    return kept


def without_prefixes(fields: FieldSet, paths: tuple[tuple[str, ...], ...]) -> FieldSet:
    """Drops everything at or below each of the paths (``("f:status",)``)."""
    for path in paths:
        fields = _without(fields, path)
    return fields


def only_prefixes(fields: FieldSet, paths: tuple[tuple[str, ...], ...]) -> FieldSet:
    """Keeps what is at or below one of the paths."""
    kept: FieldSet = {}
    for path in paths:
        node: Any = fields
        for element in path:
            node = node.get(element) if node else None
        if node:
            branch = node
            for element in reversed(path):
                branch = {element: branch}
            kept = union(kept, branch)
    return kept


def _without(fields: FieldSet, path: tuple[str, ...]) -> FieldSet:
    if path[0] not in fields:
        return fields
    rest = dict(fields)
    if len(path) == 1:
        del rest[path[0]]
    elif child := _without(fields[path[0]], path[1:]):
        rest[path[0]] = child
    else:
        del rest[path[0]]
    return rest


def members(fields: FieldSet, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every path in the set, in the server's order: members of a level before what is deeper."""
    ordered = sorted(item for item in fields.items() if item[0] != ".")
    found = [(*prefix, key) for key, child in ordered if "." in child]
    for key, child in ordered:
        found += members(child, (*prefix, key))
    return found


def dotted(path: tuple[str, ...]) -> str:
    """``.spec.template.spec.containers[name="web"].image``, as conflicts name a field."""
    text = ""
    for element in path:
        kind, _, rest = element.partition(":")
        if kind == "f":
            text += f".{rest}"
        elif kind == "k":
            keys = orjson.loads(rest)
            text += "[" + ",".join(f"{k}={_json(v)}" for k, v in sorted(keys.items())) + "]"
        else:
            text += f"[={rest}]"
    return text


def child_shape(shape: Shape, name: str) -> Shape | None:
    """The shape below a field; None where the schema does not know it."""
    if shape.kind == "struct":
        known = shape.fields.get(name)
        if known is not None:
            return known.shape
        return DEDUCED if shape.preserve_unknown else None
    if shape.kind == "map":
        return shape.of
    return DEDUCED


def concrete(shape: Shape, value: Any) -> Shape:
    """What a deduced shape is for this value: maps by field, lists atomic."""
    if shape.kind == "deduced" and isinstance(value, list):
        return DEDUCED_LIST
    return shape


def item_element(shape: Shape, item: Any) -> str:
    """The path element of a list's item. Raises SchemaMismatch when a key is missing."""
    if not shape.keys:
        return "v:" + _json(item)
    if not isinstance(item, dict):
        raise SchemaMismatch("", "associative list with keys may not have non-map elements")
    keys = {}
    for key in shape.keys:
        value = item.get(key)
        if value is None:
            if key not in KEY_DEFAULTS:
                if len(shape.keys) == 1:
                    message = (
                        f"associative list with keys has an element that omits key field {key!r}"
                        " (and doesn't have default value)"
                    ).replace("'", '"')
                    raise SchemaMismatch("", message)
                continue
            value = KEY_DEFAULTS[key]
        keys[key] = value
    return "k:" + _json(dict(sorted(keys.items())))


def is_leaf(shape: Shape) -> bool:
    """Whether a value of this shape has one owner as a whole."""
    return shape.atomic or shape.kind not in ("struct", "map", "list", "deduced")


def fieldset_of(value: Any, shape: Shape) -> FieldSet:
    """The paths that an applied configuration claims."""
    shape = concrete(shape, value)
    if is_leaf(shape) or (shape.kind == "deduced" and not isinstance(value, dict)):
        return {".": MEMBER}
    found: FieldSet = {}
    if shape.kind == "list":
        for item in value or ():
            element = item_element(shape, item)
            found[element] = {".": MEMBER, **fieldset_of(item, shape.of)}
        return found
    for name, child in (value or {}).items():
        below = child_shape(shape, name) or DEDUCED
        fields = fieldset_of(child, below) if child is not None or is_leaf(below) else {}
        if child is None or child == {} or shape.kind != "struct" or name not in shape.fields:
            fields = {".": MEMBER, **fields}
        if fields:
            found[f"f:{name}"] = fields
    return found


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
