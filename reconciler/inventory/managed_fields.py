"""managedFields: which fields an apply of ours owns, and what they hold now.

The format is that of ``FieldsV1`` (structured-merge-diff): ``f:name`` a field, ``k:{…}`` the item
of a list that has those keys, ``v:…`` a member of a set, ``.`` the thing itself. A path that ends
takes the whole value, as an atomic list or map does.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import orjson

from reconciler.api.field_path import FieldPath, Step
from reconciler.api.objects import Object, map_of
from reconciler.cluster.client import FIELD_MANAGER
from reconciler.cluster.responses import MalformedAnswer

Fields = dict[str, Any]
"""A parsed fieldsV1 tree."""

MISSING = "\x00missing"
"""Stands for an owned path with no value; no JSON string of an API server can be equal to it."""


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
    # Each is made once, not for maps and again for lists: a tree would take twice as long a level.
    steps = [(step, _inner_reader(inner)) for step, inner in fields.items() if step != "."]
    if not steps:
        return _whole
    named = [(step[2:], inner) for step, inner in steps]
    finders = [_finder(step, inner) for step, inner in steps]

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


def item_at(step: str, items: list[Any]) -> Any:
    """The item of a list that a step means, or None."""
    at = _finder(step, None)(items)[0]
    return items[at] if at >= 0 else None


def has_missing(values: Any) -> bool:
    """Whether some owned path had no value (see ``owned_values``)."""
    if isinstance(values, dict):
        return any(map(has_missing, values.values()))
    if isinstance(values, list):
        return any(map(has_missing, values))
    return bool(values == MISSING)


def owns(fields: Fields, path: tuple[str, ...]) -> bool:
    """Whether the tree holds the field path, given as plain names: ``("spec", "replicas")``. One
    that nobody has checked yet holds what it holds."""
    for name in path:
        step = f"f:{name}"
        if step not in fields:
            return False
        fields = map_of(fields[step])
    return True


def owned_fields(fields: Fields, above: tuple[Step, ...] = ()) -> set[FieldPath]:
    """Every path of the tree, as plans have them."""
    found: set[FieldPath] = set()
    for step, inner in fields.items():
        if step != ".":
            steps = (*above, _step_of(step))
            found |= {FieldPath(steps), *owned_fields(inner, steps)}
    return found


def _step_of(step: str) -> Step:
    kind, text = step[:2], step[2:]
    if kind == "f:":
        return text
    found: Any = orjson.loads(text)
    if kind == "v:":
        return {"": found}
    return int(found) if kind == "i:" else dict(sorted(found.items()))


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


# -- trees as sets of paths ----------------------------------------------------------------------


def union(*trees: Fields) -> Fields:
    """The paths of any of the trees."""
    found: Fields = {}
    for tree in trees:
        found = _union(found, _spelled_out(tree))
    return _written(found)


def difference(tree: Fields, other: Fields) -> Fields:
    """The paths of ``tree`` that ``other`` does not have; what is below them stays."""
    return _written(_difference(_spelled_out(tree), _spelled_out(other)))


def with_all_below(ends: Fields, tree: Fields) -> Fields:
    """``ends`` and, wherever a path of it ends, all the paths of ``tree`` below."""
    return {
        step: with_all_below(inner, tree.get(step, {}))
        if inner
        else _with_itself(tree.get(step, {}))
        for step, inner in ends.items()
    }


def _with_itself(tree: Fields) -> Fields:
    return {".": {}, **tree} if tree else {}


def holds_itself(fields: Fields) -> bool:
    """Whether the path up to this subtree is itself in the set, not only what is below it."""
    return not fields or "." in fields


def _spelled_out(fields: Fields) -> Fields:
    """With ``.`` in every path that is in the set, also in those that end."""
    return {
        step: {} if step == "." else (_spelled_out(inner) or {".": {}})
        for step, inner in fields.items()
    }


def _written(fields: Fields) -> Fields:
    """The inverse of ``_spelled_out``."""
    return {
        step: {} if step == "." or inner.keys() == {"."} else _written(inner)
        for step, inner in fields.items()
    }


def _union(one: Fields, other: Fields) -> Fields:
    return {
        step: _union(one.get(step, {}), other.get(step, {}))
        for step in dict.fromkeys([*one, *other])
    }


def _difference(tree: Fields, other: Fields) -> Fields:
    found = {}
    for step, inner in tree.items():
        if step == "." and step in other:
            continue
        rest = _difference(inner, other[step]) if step in other else inner
        if rest or step == ".":
            found[step] = rest
    return found


def without(value: Any, given_up: Fields, kept: Fields) -> Any:
    """``value`` as a server-side apply leaves it whose manager gives up some paths.

    ``kept`` are the paths that it or somebody else still owns. As servers do it: a field goes with
    all below it unless something in it is kept, an item of a list unless the item itself is.
    """
    if isinstance(value, dict):
        found = dict(value)
        for step, inner in given_up.items():
            name = step[2:]
            if step[:2] != "f:" or name not in found:
                continue
            if step not in kept:
                del found[name]
            elif found[name] and not (rest := without(found[name], inner, kept[step])):
                # Emptied maps and lists go.
                del found[name]
            elif found[name]:
                found[name] = rest
        return found
    if not isinstance(value, list):
        return value
    places: dict[int, Any] = {}
    for step, inner in given_up.items():
        if step == ".":
            continue
        at = _finder(step, None)(value)[0]
        if at < 0:
            continue
        held = kept.get(step)
        gone = holds_itself(inner) and (held is None or not holds_itself(held))
        places[at] = MISSING if gone else without(value[at], inner, held or {})
    items = [places.get(at, item) for at, item in enumerate(value)]
    return [item for item in items if not (isinstance(item, str) and item == MISSING)]


# -- entries of managedFields --------------------------------------------------------------------

BEFORE_FIRST_APPLY = "before-first-apply"
"""The name under which the server keeps what it finds at an apply when managedFields is empty."""


def tree_of(entry: Object) -> Fields:
    """The paths that an entry of managedFields is about. Raises MalformedAnswer where they are
    none."""
    return checked_tree(entry.get("fieldsV1") or {})


def checked_tree(fields: Any) -> Fields:
    """The same, where it is a fieldsV1 tree. Raises MalformedAnswer where it is none."""
    if not _is_tree(fields):
        raise MalformedAnswer("an object with damaged managedFields")
    return cast(Fields, fields)


def _is_tree(fields: Any) -> bool:
    return isinstance(fields, dict) and all(
        _is_step(step) and _is_tree(inner) for step, inner in fields.items()
    )


def _is_step(step: str) -> bool:
    kind, text = step[:2], step[2:]
    if kind == "k:":
        return isinstance(orjson.loads(text), dict)
    if kind == "v:":
        orjson.loads(text)
        return True
    return kind == "f:" or step == "." or (kind == "i:" and text.isdecimal())


def entries_of(live: Object) -> list[Object]:
    """The entries of managedFields; none where there are none, or they make no sense."""
    entries = live["metadata"].get("managedFields")
    return [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []


def our_entry(live: Object) -> Object | None:
    """The entry of our applies, or None when the object has none."""
    return next((entry for entry in entries_of(live) if is_ours(entry)), None)


def is_ours(entry: Object) -> bool:
    """Whether it is the entry of our applies."""
    ours = (entry.get("manager"), entry.get("operation")) == (FIELD_MANAGER, "Apply")
    return ours and not entry.get("subresource")


def is_former(entry: Object, patterns: Iterable[str], api_version: str) -> bool:
    """Whether it belongs to one of the managers, names fields as ``api_version`` does, and is not
    about a subresource (status, scale), which is not ours to set."""
    name = str(entry.get("manager", ""))
    return (
        not is_ours(entry)
        and not entry.get("subresource")
        and entry.get("apiVersion") == api_version
        and any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    )


def fields_of(entries: Iterable[Object]) -> Fields:
    """The paths of all the entries."""
    return union(*map(tree_of, entries))


def resource_version_test(live: Object) -> dict[str, Any]:
    """The operation with which a JSON patch holds for an object in this state only. As a field of
    the patch, and not as a test of it, a mismatch is a Conflict."""
    version = live["metadata"].get("resourceVersion")
    return {"op": "replace", "path": "/metadata/resourceVersion", "value": version}


def disowned(
    entries: Sequence[Object], former: Sequence[str], fields: Fields, api_version: str
) -> list[Object]:
    """The entries in which the former managers no longer hold ``fields``."""
    found = []
    for entry in entries:
        if is_former(entry, former, api_version):
            rest = difference(tree_of(entry), fields)
            if not rest:
                continue
            entry = {**entry, "fieldsV1": rest}
        found.append(entry)
    return found


def claimed(
    entries: Sequence[Object], former: Sequence[str], fields: Fields, api_version: str
) -> list[Object]:
    """The entries in which ``fields`` are ours, and no longer the former managers'."""
    ours: Object = {"manager": FIELD_MANAGER, "operation": "Apply", "apiVersion": api_version}
    ours = next((entry for entry in entries if is_ours(entry)), ours)
    whole = union(tree_of(ours), fields)
    others = [e for e in disowned(entries, former, fields, api_version) if not is_ours(e)]
    return [*others, {**ours, "fieldsType": "FieldsV1", "fieldsV1": whole}]
