"""Dry runs that tell what the refusal of an apply means. No wording of a server decides.

An update that is refused (422) although the object would be taken as new is refused for what is
there already: either for something that Git does not have, which can go in place (a member of a
union that was defaulted, an entry of another applier), or for fields that cannot be changed.

A wrong verdict here once deleted live objects in other tools. So a field counts as one that cannot
be changed only where the server takes the object as new, refuses it in place in every other form,
and takes it in place with the fields in question left as they are. What names no field, and a
policy that refuses every change, fails that; what a webhook says of an update is never taken so.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import orjson
from msgspec import Struct

from reconciler.api.errors import ApiError, Invalid
from reconciler.api.json_pointer import join_pointer
from reconciler.api.objects import Object, ObjectKey, api_group
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.inventory.managed_fields import (
    Fields,
    entries_of,
    fields_of,
    is_ours,
    item_at,
    tree_of,
    union,
    without,
)

_IDENTITY = ("apiVersion", "kind", "metadata", "status")
_MOVABLE = ("labels", "annotations", "finalizers", "ownerReferences")
_STEP = re.compile(r"\[([^\]]*)\]|([^.\[\]]+)")
_Path = tuple[str, ...]
"""Steps of a fieldsV1 tree, down to where a path ends."""
DryRun = Callable[[Object], Object]
"""What the server makes of an object in the place of the one that is there. Raises ApiError."""


# -- as a new object -------------------------------------------------------------------------------


def try_as_new(
    member: Member, resource: RESTMapping, body: Object, namespace: str, live: Object | None = None
) -> Object:
    """Dry-run the apply of the object under a name that nothing has, as long as its own.

    The answer, and what a refusal says, have the object's own name and namespace. With ``live``,
    whose place the new one is to take, that one's address and ports do not count as taken. Raises
    ApiError.
    """
    try:
        return _apply_as_new(member, resource, body, namespace)
    except Invalid as error:
        freed, taken = _without_own_values(body, live or {}, error)
        if not taken:
            raise
    fresh = _apply_as_new(member, resource, freed, namespace)
    for steps, value in taken:
        inner = _walk(fresh, steps[:-1])
        if isinstance(inner, dict):
            inner[steps[-1]] = value
    return fresh


def _apply_as_new(member: Member, resource: RESTMapping, body: Object, namespace: str) -> Object:
    fresh = apply_by_another_name(member, resource, body, namespace)
    metadata = body["metadata"]
    fresh = dict(_renamed(fresh, fresh["metadata"]["name"], str(metadata["name"])))
    there = {"namespace": metadata["namespace"]} if namespace and "namespace" in metadata else {}
    fresh["metadata"] = {**fresh["metadata"], **there}
    return fresh


def apply_by_another_name(
    member: Member, resource: RESTMapping, body: Object, namespace: str
) -> Object:
    """Dry-run the apply of the object under a name that nothing has, as long as its own.

    The answer has that name, what a refusal says the object's own. Raises ApiError.
    """
    metadata = body["metadata"]
    name = str(metadata["name"])
    other = f"{name[: max(len(name) - 6, 1)].rstrip('.')}-{os.urandom(3).hex()[:5]}"
    key = ObjectKey(api_group(resource.api_version), resource.kind, namespace, other)
    there = {"namespace": namespace} if namespace else {}
    new = {**body, "metadata": {**metadata, "name": other, **there}}
    try:
        return member.apply(resource, key, new, dry_run=True)
    except ApiError as error:
        home = str(metadata.get("namespace", namespace))
        renamed = ((f"{namespace}/{other}", f"{home}/{name}"), (other, name))
        raise error.described_for(lambda text: _replaced(text, renamed)) from None


def _replaced(text: str, pairs: Iterable[tuple[str, str]]) -> str:
    for old, new in pairs:
        text = text.replace(old, new)
    return text


def _renamed(value: Any, old: str, new: str) -> Any:
    """With the name wherever the server puts it: in labels, and as part of other names."""
    if isinstance(value, dict):
        return {key: _renamed(inner, old, new) for key, inner in value.items()}
    if isinstance(value, list):
        return [_renamed(item, old, new) for item in value]
    return value.replace(old, new) if isinstance(value, str) else value


def _without_own_values(
    body: Object, live: Object, error: Invalid
) -> tuple[Object, list[tuple[_Path, Any]]]:
    """The body without the refused values that ``live`` has in the same field; and those."""
    freed, taken = copy.deepcopy(body), []
    for field in _fields_of(error):
        steps = tuple(item or name for item, name in _STEP.findall(field))
        value = _walk(body, steps)
        inner = _walk(freed, steps[:-1])
        is_live = isinstance(value, str | int) and value in _values(live, _names(field))
        if is_live and isinstance(inner, dict) and inner.pop(steps[-1], None) is not None:
            taken.append((steps, value))
    return freed, taken


def _walk(value: Any, steps: Sequence[str]) -> Any:
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def _values(value: Any, names: Sequence[str]) -> list[Any]:
    """What is at the names, in every item of the lists on the way."""
    if isinstance(value, list):
        return [found for item in value for found in _values(item, names)]
    if not names:
        return [value]
    return (
        _values(value[names[0]], names[1:]) if isinstance(value, dict) and names[0] in value else []
    )


def entries_for_apply(
    member: Member, resource: RESTMapping, key: ObjectKey, live: Object, body: Object
) -> list[Object]:
    """The entries of managedFields; where somebody emptied them, those that the apply of ``body``
    will write down of what is there. Raises ApiError.

    Asked by an apply of no field at all, as those of ``body`` may not go with what is there.
    """
    if known := entries_of(live):
        return known
    return entries_of(member.apply(resource, key, without_fields(body), dry_run=True))


def without_fields(body: Object) -> Object:
    """The apply of no field at all, of the same object."""
    metadata = {part: v for part, v in body["metadata"].items() if part in ("name", "namespace")}
    return {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": metadata}


# -- in place --------------------------------------------------------------------------------------


def dry_run_replacing(
    member: Member, resource: RESTMapping, key: ObjectKey, live: Object
) -> DryRun:
    """Dry runs that put other content into ``live``, whatever its version is by then."""

    def dry_run(wanted: Object) -> Object:
        operations: list[dict[str, Any]] = []
        for path, now, then in (
            *_parts((), live, wanted, (*live, *wanted), _IDENTITY),
            *_parts(("metadata",), live["metadata"], wanted["metadata"], _MOVABLE, ()),
        ):
            if then is not None:
                operations.append({"op": "add", "path": path, "value": then})
            elif now is not None:
                operations.append({"op": "remove", "path": path})
        return member.json_patch(resource, key, operations, dry_run=True)

    return dry_run


def _parts(
    above: _Path, live: Object, wanted: Object, names: Iterable[str], but: Sequence[str]
) -> Iterator[tuple[str, Any, Any]]:
    for name in dict.fromkeys(names):
        if name not in but:
            yield join_pointer((*above, name)), live.get(name), wanted.get(name)


class UpdateRefusal(Struct, frozen=True):
    """Why it cannot be made in place: ``fixed``: its fields cannot be changed."""

    fixed: bool


def removals_needed(
    live: Object, wanted: Object, fresh: Object, body: Object, error: Invalid, dry_run: DryRun
) -> Fields | UpdateRefusal:
    """What must go from ``wanted`` besides, for the server to take it in place; as little as can
    be, as a fieldsV1 tree. Or why nothing helps.

    ``wanted`` is what the refused apply would make of ``live``; ``fresh`` what the server would
    make of ``body`` as a new object. Raises ApiError where the server refuses for another reason.
    """
    ours = fields_of(filter(is_ours, entries_of(fresh)))
    known = union(fields_of(entries_of(live)), ours)
    found = [
        path for path in _paths(_leftovers(wanted, fresh, known)) if path[0][2:] not in _IDENTITY
    ]

    def takes(gone: Sequence[_Path]) -> Invalid | None:
        return refusal_of(without(wanted, _tree(gone), ours), dry_run)

    refusal: Invalid | None = error
    gone: list[_Path] = []
    while refusal:
        named = [_names(field) for field in _fields_of(refusal)] or [()]
        more = [path for path in found if path not in gone and _concerns(path, named)]
        if not more:
            return UpdateRefusal(_is_fixed(live, wanted, fresh, body, error, dry_run))
        gone += more
        refusal = takes(gone)
    for path in list(gone) if len(gone) > 1 else ():
        fewer = [other for other in gone if other != path]
        if fewer and not takes(fewer):
            gone = fewer
    return _tree(gone)


def refusal_of(wanted: Object, dry_run: DryRun) -> Invalid | None:
    """Why the server does not take it in place, or None. Raises ApiError for another refusal."""
    try:
        dry_run(wanted)
    except Invalid as error:
        if error.code != 422:
            raise
        return error
    return None


def _is_fixed(
    live: Object, wanted: Object, fresh: Object, body: Object, error: Invalid, dry_run: DryRun
) -> bool:
    """Whether the refusal is about changing the very fields that it names."""
    if live["metadata"].get("deletionTimestamp") or error.by_admission:
        return False
    sections = {next(iter(_names(field)), "") for field in _fields_of(error)}
    if not sections or len(_fields_of(error)) < len(error.causes) or "metadata" in sections:
        return False
    if "" in sections:
        sections = {*live, *wanted}.difference(_IDENTITY)

    def with_sections(of: Object) -> Object:
        rest = {name: value for name, value in wanted.items() if name not in sections}
        return {**rest, **{name: of[name] for name in sections if name in of}}

    as_new = (with_sections(fresh), {**body, "metadata": wanted["metadata"]})
    in_place = any(refusal_of(other, dry_run) is None for other in as_new)
    return not in_place and refusal_of(with_sections(live), dry_run) is None


def _fields_of(error: ApiError) -> list[str]:
    """The fields that the causes name. ``<nil>`` is a rule's on a whole custom resource."""
    return [str(cause["field"]) for cause in error.causes if cause.get("field")]


def named_by(error: Invalid, fields: Fields) -> Fields:
    """Those of the fields that a refusal is about: at, above or below what its causes name."""
    named = [_names(field) for field in _fields_of(error)]
    return _tree(path for path in _paths(fields) if _concerns(path, named))


def _names(field: str) -> _Path:
    """``spec.ports[0].name`` -> ``("spec", "ports", "name")``; none for the whole object."""
    plain = re.sub(r"\[[^\]]*\]", "", field).removeprefix("<nil>").strip(".")
    return tuple(plain.split(".")) if plain else ()


def _concerns(path: _Path, named: Iterable[_Path]) -> bool:
    """Whether one of the fields is the path, above it, or below it."""
    names = tuple(step[2:] for step in path if step.startswith("f:"))
    return any(all(a == b for a, b in zip(names, other, strict=False)) for other in named)


def _leftovers(value: Any, fresh: Any, known: Fields) -> Fields:
    """The paths of ``value`` that ``fresh`` does not have; ``known`` tells the keys of lists."""
    found: Fields = {}
    if isinstance(value, dict) and isinstance(fresh, dict):
        counterparts = [(f"f:{name}", inner, fresh.get(name)) for name, inner in value.items()]
    elif isinstance(value, list) and isinstance(fresh, list):
        steps = [step for step in known if step[:2] in ("k:", "v:")]
        counterparts = [(step, item_at(step, value), item_at(step, fresh)) for step in steps]
    else:
        return found
    for step, inner, counterpart in counterparts:
        if inner is not None and counterpart is None:
            found[step] = {}
        elif below := _leftovers(inner, counterpart, known.get(step, {})):
            found[step] = below
    return found


def _paths(tree: Fields, above: _Path = ()) -> list[_Path]:
    if not tree:
        return [above] if above else []
    return [path for step, below in tree.items() for path in _paths(below, (*above, step))]


def _tree(paths: Iterable[_Path]) -> Fields:
    def one(path: _Path) -> Fields:
        return {path[0]: one(path[1:])} if path else {}

    return union(*map(one, paths))


# -- what an apply would make ----------------------------------------------------------------------


def with_values_of(live: Any, fresh: Any, fields: Fields) -> Any:
    """``live`` with the values of ``fresh`` at the paths of ``fields``, as an apply merges them."""
    steps = {step: below for step, below in fields.items() if step != "."}
    if not steps or not isinstance(fresh, dict | list):
        return fresh
    if isinstance(fresh, dict):
        found = dict(live) if isinstance(live, dict) else {}
        for step, below in steps.items():
            name = step[2:]
            if name in fresh:
                found[name] = with_values_of(found.get(name), fresh[name], below)
        return found
    items = list(live) if isinstance(live, list) else []
    ours = {
        step: (item, below)
        for step, below in steps.items()
        if (item := item_at(step, fresh)) is not None
    }
    stated = sorted(ours, key=lambda step: fresh.index(ours[step][0]))
    old = {step: item for step in stated if (item := item_at(step, items)) is not None}
    places = {items.index(item): step for step, item in old.items()}
    merged: list[Any] = []
    for place in _in_order([places.get(n, n) for n in range(len(items))], stated):
        if isinstance(place, int):
            merged.append(items[place])
            continue
        new, below = ours[place]
        keys = {k: new[k] for k in _keys(place) if k in new} if isinstance(new, dict) else None
        merged.append(with_values_of(old.get(place, keys), new, below))
    return merged


def _in_order(there: Sequence[str | int], stated: Sequence[str]) -> list[str | int]:
    """The order of a list of both: what is stated in its order, what only is there before the
    stated item that it stands before. As structured-merge-diff merges lists (its
    ``mergingWalker.visitListItems``), which is what servers go by."""
    shared = [step for step in stated if step in there]
    merged: list[str | int] = []
    left = right = 0
    while left < len(there) or right < len(stated):
        if left < len(there):
            one = there[left]
            awaited = shared[:1] == [one]
            if one not in stated:
                merged.append(one)
                left += 1
                continue
            if one in merged or (right < len(stated) and shared and not awaited):
                # It has its place further up, or gets one further down.
                left += 1
                continue
        step = stated[right]
        merged.append(step)
        right += 1
        if shared[:1] == [step]:
            shared = shared[1:]
    return merged


def without_server_additions(live: Object, result: Object) -> Object:
    """The answer to a dry run without what the server added to ``live`` by itself: an address that
    it picked in one dry run is not one that it takes in the next."""
    ours = fields_of(filter(is_ours, entries_of(result)))
    known = union(fields_of(entries_of(live)), ours)
    added = [
        path
        for path in _paths(_leftovers(result, live, known))
        if _is_content(path) and not _is_within(path, ours)
    ]
    return dict(without(result, _tree(added), ours))


def _is_within(path: _Path, tree: Fields) -> bool:
    """Whether the path is part of a value that the tree has as a whole."""
    for step in path:
        if not tree.keys() - {"."}:
            return True
        if step not in tree:
            return False
        tree = tree[step]
    return True


def _is_content(path: _Path) -> bool:
    return path[0][2:] not in _IDENTITY


def _keys(step: str) -> Iterable[str]:
    return dict(orjson.loads(step[2:])) if step.startswith("k:") else ()


def holders_of(live: Object, fields: Fields) -> list[str]:
    """The managers, other than we, of which an entry has some of the paths, sorted."""
    return sorted(
        {
            str(entry.get("manager"))
            for entry in entries_of(live)
            if fields and not is_ours(entry) and _meet(fields, tree_of(entry))
        }
    )


def _meet(fields: Fields, other: Fields) -> bool:
    """Whether the trees have a path in common, one that ends counting as all below it."""
    if not fields or not other:
        return True
    return any(_meet(below, other[step]) for step, below in fields.items() if step in other)
