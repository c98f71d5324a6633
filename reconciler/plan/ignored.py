"""What a manifest declares and is left to others once it is created (``spec.ignore``). Pure.

While our apply owns such a field, it is sent with its live value: left out, it would go. Right
after that apply it is disowned, and from then on left out. What has one owner as a whole (an atomic
list or map) cannot be shared so: the part of it that is left to others is sent as it is, always.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from msgspec import Struct

from reconciler.api.objects import Object
from reconciler.federation.drift import Pointers, below, below_item, pointer_steps
from reconciler.inventory.managed_fields import (
    Fields,
    difference,
    entries_of,
    fields_of,
    is_ours,
    item_at,
    our_entry,
    tree_of,
)
from reconciler.plan.fields import naming

_ABSENT: Any = object()


def without_ignored(
    body: Object, live: Object, ignored: tuple[str, ...], *, owned: bool = True
) -> Object:
    """What to send: ``body`` without what is left to others, or with its live value where it is
    ``owned`` by our apply, or was before somebody took its entry out."""
    entry = our_entry(live) if owned else {}
    ours = tree_of(entry) if entry is not None else {}
    return _to_send(body, live, ignored, ours, unknown=entry is None)


def with_live_ignored(body: Object, live: Object, ignored: tuple[str, ...]) -> Object:
    """``body`` for a new object in place of ``live``: what is left to others has its live value."""
    return _to_send(body, live, ignored, {}, unknown=True)


def _to_send(
    body: Object, live: Object, ignored: tuple[str, ...], ours: Fields, *, unknown: bool
) -> Object:
    where = _Where(ours=ours, every=fields_of(entries_of(live)), unknown=unknown)
    return _sent_map(body, live, pointer_steps(ignored), where)


def owned_ignored_fields(live: Object, ignored: tuple[str, ...]) -> Fields:
    """What our apply owns of all that is left to others, as a fieldsV1 tree."""
    entry = our_entry(live)
    if entry is None or not ignored:
        return {}
    return _held(tree_of(entry), live, pointer_steps(ignored))[0]


def owned_but_not_sent(live: Object, ignored: tuple[str, ...], body: Object) -> Fields:
    """What our apply owns of what is left to others and ``body`` does not send."""
    return _besides(owned_ignored_fields(live, ignored), live, body)


def _besides(tree: Fields, value: Any, sent: Any) -> Fields:
    found: Fields = {}
    counterparts: dict[str, Any] = {}
    if isinstance(sent, dict):
        counterparts = {f"f:{name}": inner for name, inner in sent.items()}
    elif isinstance(sent, list) and isinstance(value, list):
        counterparts = {_counterpart(item, sent, value, tree)[0]: item for item in sent}
    for step, inner in tree.items():
        if step == ".":
            continue  # What it is of is sent.
        if step not in counterparts:
            found[step] = inner
        elif inner:
            now = value.get(step[2:]) if isinstance(value, dict) else item_at(step, value)
            if rest := _besides(inner, now, counterparts[step]):
                found[step] = rest
    return found


def disowning(entries: Sequence[Object], fields: Fields) -> list[Object]:
    """managedFields in which our Apply entry does not own ``fields``."""
    return [
        {**entry, "fieldsV1": difference(tree_of(entry), fields)} if is_ours(entry) else entry
        for entry in entries
    ]


def _held(tree: Fields, value: Any, pointers: Pointers) -> tuple[Fields, bool]:
    """(the part of the tree that is left to others, whether that is all but the thing itself)."""
    found: Fields = {}
    inner = [step for step in tree if step != "."]
    for step in inner:
        named = step[:2] == "f:"
        if named:
            rest = below(pointers, step[2:])
            now = value.get(step[2:]) if isinstance(value, dict) else None
        else:
            now = item_at(step, value) if isinstance(value, list) else None
            rest = below_item(pointers, now)
        if not all(rest):
            found[step] = tree[step]
        elif rest:
            part, everything = _held(tree[step], now, rest)
            if everything and named:
                # A map or list of which nothing is sent any more is not sent either.
                found[step] = tree[step]
            elif part:
                found[step] = part
    return found, bool(inner) and all(found.get(step) == tree[step] for step in inner)


class _Where(Struct, frozen=True):
    """A place: what is owned below it by our apply, and by anybody. ``unknown``: all may be ours;
    ``whole``: it lies in what has one owner."""

    ours: Fields | None
    every: Fields | None
    unknown: bool
    whole: bool = False

    def at(self, step: str) -> _Where:
        ours = (self.ours or {}).get(step)
        every = (self.every or {}).get(step)
        # A path that ends has one owner with all that is below it.
        return _Where(ours, every, self.unknown, self.whole or every == {})

    def keeps(self, inner: _Where) -> bool:
        """Whether what is left to others at ``inner`` is sent with its live value."""
        return self.whole or self.unknown or inner.ours is not None


def _sent(wanted: Any, live: Any, pointers: Pointers, where: _Where) -> Any:
    if isinstance(wanted, dict):
        return _sent_map(wanted, live if isinstance(live, dict) else {}, pointers, where)
    if isinstance(wanted, list):
        return _sent_list(wanted, live if isinstance(live, list) else [], pointers, where)
    return wanted


def _sent_map(wanted: Object, live: Object, pointers: Pointers, where: _Where) -> Object:
    found: Object = {}
    for key in dict.fromkeys((*wanted, *live)):
        rest = below(pointers, key)
        now, there = live.get(key, _ABSENT), where.at(f"f:{key}")
        value = wanted.get(key, _ABSENT)
        if not rest:
            if value is not _ABSENT:
                found[key] = value
        elif not all(rest):
            if now is not _ABSENT and where.keeps(there):
                found[key] = now
        elif value is not _ABSENT:
            sent = _sent(value, now, rest, there)
            if sent or not value:
                found[key] = sent
        elif isinstance(now, dict | list) and where.keeps(there):
            # Git has nothing of it any more; what is left to others there must not go with it.
            sent = _sent(type(now)(), now, rest, there)
            if sent:
                found[key] = sent
    return found


def _sent_list(wanted: list[Any], live: list[Any], pointers: Pointers, where: _Where) -> list[Any]:
    found = []
    known = []
    for item in wanted:
        step, counterpart = _counterpart(item, wanted, live, where.every or {})
        known.append(counterpart)
        rest = below_item(pointers, item, *([] if counterpart is _ABSENT else [counterpart]))
        there = where.at(step)
        if not rest or (counterpart is _ABSENT and all(rest)):
            found.append(item)  # One that is new is made as it is written.
        elif all(rest):
            found.append(_sent(item, counterpart, rest, there))
        elif counterpart is not _ABSENT and where.keeps(there):
            found.append(counterpart)
    for item in live:
        if any(item is counterpart for counterpart in known) or all(
            below_item(pointers, item) or ["-"]
        ):
            continue
        if where.keeps(where.at(_counterpart(item, live, live, where.every or {})[0])):
            found.append(item)
    return found


def _counterpart(item: Any, wanted: list[Any], live: list[Any], every: Fields) -> tuple[str, Any]:
    """The live item that a wanted one means, and its step in the trees, if any."""
    if not isinstance(item, dict):
        return f"v:{orjson.dumps(item).decode()}", item if item in live else _ABSENT
    full = {"protocol": "TCP", **item}  # What the server fills in where a key is not said.
    steps = {step: orjson.loads(step[2:]) for step in every if step[:2] == "k:"}
    for strict in (True, False):
        for step, keys in steps.items():
            known = keys if strict else keys.keys() & item.keys()
            if known and all(full.get(key) == keys[key] for key in known):
                now = item_at(step, live)
                return step, _ABSENT if now is None else now
    name = naming(wanted, item)
    return "", next((one for one in live if naming(live, one) == name), _ABSENT)
