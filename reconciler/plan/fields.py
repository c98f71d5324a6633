"""Which fields differ between two states of an object, named as a person would name them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import orjson
from msgspec.structs import replace

from reconciler.api.annotations import PART_OF
from reconciler.api.field_path import ORDER, FieldPath, Step
from reconciler.api.objects import Object
from reconciler.api.reasons import Reason
from reconciler.cluster.client import FIELD_MANAGER
from reconciler.inventory.applyset import IDENTITY
from reconciler.inventory.managed_fields import (
    Fields,
    difference,
    entries_of,
    fields_of,
    is_ours,
    item_at,
    tree_of,
)
from reconciler.plan.model import ABSENT, SERVER_CHOSEN, FieldChange, KeptField

REPLICAS_FIELD = "spec.replicas"
"""As plans write the path of the count that ``api.kinds.REPLICAS`` points to."""

BOUNDS_FIELDS = frozenset({"spec.minReplicas", "spec.maxReplicas"})
"""Those of a HorizontalPodAutoscaler."""

_VOLATILE = frozenset(
    {"managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink"}
)
_BOOKKEEPING = frozenset({PART_OF, IDENTITY})

_ITEM_KEYS = (
    ("name",),
    ("containerPort", "protocol"),
    ("port", "protocol"),
    ("port",),
    ("mountPath",),
    ("devicePath",),
    ("key",),
    ("type",),
    ("ip",),
    ("topologyKey", "whenUnsatisfiable"),
    ("uid",),
)
"""How items of Kubernetes lists are told apart, most usual first; only for naming them."""


def changed_fields(
    before: Object,
    after: Object,
    why: Callable[[tuple[Step, ...]], tuple[Reason, ...]] = lambda _steps: (),
) -> tuple[FieldChange, ...]:
    """Every field that differs, leaving out status, what servers count up, and our own marks.

    ``before``'s managedFields say who owns a field now; ``why`` gives its reasons. Sorted by path.
    """
    found = (
        FieldChange(FieldPath(steps), old, new, field_owners(before, steps), why(steps))
        for steps, old, new in _differences((), _plain(before), _plain(after))
    )
    return tuple(sorted(found, key=lambda change: change.path))


def recreated_fields(live: Object, fresh: Object, second_answer: Object) -> tuple[FieldChange, ...]:
    """What a recreation changes: ``fresh`` and ``second_answer`` are two answers to the new object.

    What differs between them is the server's choice, and what follows from its new UID no news.
    """
    chosen = {change.path for change in changed_fields(fresh, second_answer)}
    uid = live["metadata"].get("uid")
    return tuple(
        replace(change, after=SERVER_CHOSEN) if change.path in chosen else change
        for change in changed_fields(live, fresh)
        if change.path not in chosen or (change.before != uid and change.before is not ABSENT)
    )


def kept_fields(live: Object, other: Object, note: str) -> tuple[KeptField, ...]:
    """What ``live`` has and ``other`` has not, or has otherwise, with a note on each field.

    Their managers are those that hold more of the field than our applies do. Sorted by path.
    """
    beyond_ours = _without_ours(live)
    found = (
        KeptField(FieldPath(steps), value, field_owners(beyond_ours, steps), note)
        for steps, value, _ in _differences((), _plain(live), _plain(other))
        if value is not ABSENT
    )
    return tuple(sorted(found, key=lambda field: field.path))


def fields_at(live: Object, tree: Fields, note: str) -> tuple[KeptField, ...]:
    """The fields of ``live`` at which the paths of a fieldsV1 tree end. Sorted by path."""
    plain = _plain(live)
    found = (
        KeptField(FieldPath(steps), value, field_owners(live, steps), note)
        for steps, value in _ends((), tree, plain)
        if steps
    )
    return tuple(sorted(found, key=lambda field: field.path))


def _ends(
    steps: tuple[Step, ...], tree: Fields, value: Any
) -> Iterator[tuple[tuple[Step, ...], Any]]:
    inner = [step for step in tree if step != "."]
    if not inner:
        yield steps, value
    for step in inner:
        if isinstance(value, dict) and step[2:] in value:
            yield from _ends((*steps, step[2:]), tree[step], value[step[2:]])
        elif isinstance(value, list) and (item := item_at(step, value)) is not None:
            identifying = naming(value, item)
            below = {s: t for s, t in tree[step].items() if s[2:] not in identifying}
            yield from _ends((*steps, identifying), below, item)


def _without_ours(live: Object) -> Object:
    ours = fields_of(filter(is_ours, entries_of(live)))
    entries = [
        {**entry, "fieldsV1": difference(tree_of(entry), ours)}
        for entry in entries_of(live)
        if not entry.get("subresource")
    ]
    return {**live, "metadata": {**live["metadata"], "managedFields": entries}}


def leaf_fields(obj: Object) -> tuple[FieldChange, ...]:
    """The fields that creating ``obj`` would set, identity left out."""
    plain = {k: v for k, v in _plain(obj).items() if k not in ("apiVersion", "kind")}
    metadata = {
        k: v for k, v in plain.get("metadata", {}).items() if k not in ("name", "namespace")
    }
    plain["metadata"] = metadata
    found = [FieldChange(_leaf_path(steps), ABSENT, value) for steps, value in _leaves((), plain)]
    return tuple(sorted(found, key=lambda change: change.path))


def _leaf_path(steps: tuple[Step, ...]) -> FieldPath:
    try:
        return _path_of_names(steps)
    except TypeError:  # Items of lists are told by maps.
        return FieldPath(steps)


@lru_cache(maxsize=4096)
def _path_of_names(steps: tuple[Step, ...]) -> FieldPath:
    """Most objects of a kind have the same fields. Raises TypeError for a map among the steps."""
    return FieldPath(steps)


def field_owners(
    live: Object, steps: tuple[Step, ...], *, appliers: bool = False
) -> tuple[str, ...]:
    """The field managers whose managedFields entries hold the path, sorted; or only ``appliers``.

    Our own applies are left out; somebody who edits under our name is not.
    """
    return tuple(
        sorted(
            {
                str(entry.get("manager"))
                for entry in entries_of(live)
                if (entry.get("manager"), entry.get("operation")) != (FIELD_MANAGER, "Apply")
                and (not appliers or entry.get("operation") == "Apply")
                and entry_holds(tree_of(entry), live, steps)
            }
        )
    )


def entry_holds(fields: Mapping[str, Any], value: Any, steps: tuple[Step, ...]) -> bool:
    """Whether the tree has the path in ``value``, or a part of it that has one owner as a whole."""
    for at, step in enumerate(steps):
        if at and not [name for name in fields if name != "."]:
            return True
        inner = None
        if isinstance(step, str):
            inner = fields.get(f"f:{step}")
            value = value.get(step) if isinstance(value, dict) else None
        elif isinstance(step, Mapping):
            # A plan tells a Service's ports by their names, the server by number and protocol.
            value = next((item for item in _items(value) if _has(item, step)), step)
            keyed = (name for name in fields if name.startswith("k:"))
            inner = next((fields[n] for n in keyed if _has(value, orjson.loads(n[2:]))), None)
        if inner is None:
            return False
        fields = inner
    return True


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _has(item: Any, keys: Mapping[str, Any]) -> bool:
    return isinstance(item, Mapping) and all(item.get(k) == v for k, v in keys.items())


def _plain(obj: Object) -> Object:
    metadata = {k: v for k, v in obj.get("metadata", {}).items() if k not in _VOLATILE}
    for part in ("labels", "annotations"):
        if isinstance(metadata.get(part), dict):
            kept = {k: v for k, v in metadata[part].items() if k not in _BOOKKEEPING}
            metadata[part] = kept
            if not kept:
                del metadata[part]
    return {**{k: v for k, v in obj.items() if k != "status"}, "metadata": metadata}


def _differences(
    steps: tuple[Step, ...], before: Any, after: Any
) -> Iterator[tuple[tuple[Step, ...], Any, Any]]:
    if _same(before, after):
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            yield from _differences((*steps, key), before.get(key, ABSENT), after.get(key, ABSENT))
    elif isinstance(before, list) and isinstance(after, list):
        yield from _item_differences(steps, before, after)
    elif before is ABSENT and isinstance(after, dict) and after:
        for inner, value in _leaves(steps, after):
            yield inner, ABSENT, value
    elif after is ABSENT and isinstance(before, dict) and before:
        for inner, value in _leaves(steps, before):
            yield inner, value, ABSENT
    else:
        yield steps, before, after


def _same(one: Any, other: Any) -> bool:
    """JSON equality: Python takes True for 1, which a reader of a plan must not."""
    if one is ABSENT or other is ABSENT:
        return one is other
    if isinstance(one, dict | list):
        return type(one) is type(other) and _dump(one) == _dump(other)
    return type(one) is type(other) and bool(one == other)


def _dump(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _item_differences(
    steps: tuple[Step, ...], before: list[Any], after: list[Any]
) -> Iterator[tuple[tuple[Step, ...], Any, Any]]:
    keys = _keys_of(before, after)
    if keys is None:
        yield steps, before, after
        return
    old = {_identity(item, keys): item for item in before}
    new = {_identity(item, keys): item for item in after}
    for identity in dict.fromkeys((*old, *new)):
        step = dict(zip(keys, identity, strict=True))
        yield from _differences(
            (*steps, {k: v for k, v in step.items() if v is not None}),
            old.get(identity, ABSENT),
            new.get(identity, ABSENT),
        )
    order_before = [i for i in old if i in new]
    order_after = [i for i in new if i in old]
    if order_before != order_after:
        yield (
            (*steps, ORDER),
            [_short(i) for i in order_before],
            [_short(i) for i in order_after],
        )


def _short(identity: tuple[Any, ...]) -> Any:
    return identity[0] if len(identity) == 1 else list(identity)


def _identity(item: Any, keys: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(item.get(key) for key in keys)


def _keys_of(before: list[Any], after: list[Any]) -> tuple[str, ...] | None:
    items = [*before, *after]
    if not items or not all(isinstance(item, dict) for item in items):
        return None
    for keys in _ITEM_KEYS:
        known = all(
            isinstance(item.get(keys[0]), str | int)
            and not any(isinstance(item.get(key), dict | list) for key in keys)
            for item in items
        )
        if known and all(
            len({_identity(item, keys) for item in side}) == len(side) for side in (before, after)
        ):
            return keys
    return None


def naming(items: list[Any], item: Any) -> Mapping[str, Any]:
    """How plans name an item of a list: by the fields that tell it from the others."""
    keys = _keys_of(items, []) or ()
    return {k: item[k] for k in keys if item.get(k) is not None} or {"": item}


def _leaves(steps: tuple[Step, ...], value: Any) -> Iterator[tuple[tuple[Step, ...], Any]]:
    if isinstance(value, dict) and value:
        for key in sorted(value):
            yield from _leaves((*steps, key), value[key])
    elif isinstance(value, list) and (keys := _keys_of(value, [])):
        for item in value:
            step = {k: item[k] for k in keys if item.get(k) is not None}
            yield from _leaves((*steps, step), item)
    elif value != {} or not steps:
        yield steps, value
