"""A change keeps its objects in little room, and gives them as they were."""

from __future__ import annotations

import dataclasses
import tracemalloc
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from reconciler.api.objects import Object, ObjectKey, without_spare_room
from reconciler.plan.model import SERVER_CHOSEN, Action, Change, is_server_chosen

KEY = ObjectKey("", "ConfigMap", "shop", "settings")
OBJECT: Object = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "settings", "labels": {f"label-{n}": f"value-{n}" for n in range(20)}},
    "data": {"b": "2", "a": "1"},
}


def bytes_of_each(make: Callable[[], object], many: int = 200) -> float:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = [make() for _ in range(many)]
        return (tracemalloc.get_traced_memory()[0] - before) / len(kept)
    finally:
        tracemalloc.stop()


def test_bytes_that_are_kept_take_what_they_are_long() -> None:
    length = len(orjson.dumps(OBJECT))
    assert bytes_of_each(lambda: without_spare_room(orjson.dumps(OBJECT))) < length + 100


def test_a_change_keeps_its_objects_as_json() -> None:
    length = len(orjson.dumps(OBJECT))
    text = orjson.dumps(OBJECT)

    def change() -> Change:
        return Change(Action.UPDATE, KEY, "v1", request=orjson.loads(text), live=orjson.loads(text))

    assert bytes_of_each(change) < 2 * length + 1000
    one = change()
    assert one.request == one.live == OBJECT
    assert list(one.request or {}) == list(OBJECT)
    assert dataclasses.replace(one, live=None) == one
    assert dataclasses.replace(one, request=None) != one
    assert (Change(Action.PRUNE, KEY, "v1").request, Change(Action.PRUNE, KEY, "v1").live) == (
        None,
        None,
    )


def deep(levels: int) -> Object:
    found: Object = {}
    for _ in range(levels):
        found = {"inner": found}
    return found


@pytest.mark.parametrize("odd", [SERVER_CHOSEN, deep(400), 2**70, {1: 2}])
def test_what_json_does_not_hold_is_kept_as_it_is(odd: Any) -> None:
    change = Change(Action.CREATE, KEY, "v1", request={"spec": odd})
    assert change.request == {"spec": odd}
    assert is_server_chosen(change.request) is (odd is SERVER_CHOSEN)
