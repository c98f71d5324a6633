"""A list kept up by events is the list that a server would give."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given

from reconciler.api.objects import Object, key_of
from reconciler.watch.view import LineSplitter, OutOfStep, View, decode_event
from tests.strategies import HISTORIES, History


def event(type_: str, obj: Any) -> bytes:
    return orjson.dumps({"type": type_, "object": obj})


def named(name: str, version: int, **content: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "shop", "resourceVersion": str(version)},
        **content,
    }


def told(view: View, type_: str, obj: Any) -> None:
    view.take(decode_event(event(type_, obj)))


@given(HISTORIES)
def test_whatever_happens_it_has_what_a_list_would_give(history: History) -> None:
    """The server's objects after each write are the view's, wherever the watch began, and however
    often it began anew from where it was, or by another list."""
    view, server, version = View(), dict[str, Object](), 1
    view.list_again([], "1")
    past: list[tuple[int, bytes]] = []
    for step in history:
        version += 1
        if step.deletes and step.name in server:
            gone = server.pop(step.name)
            gone = {**gone, "metadata": {**gone["metadata"], "resourceVersion": str(version)}}
            past.append((version, event("DELETED", gone)))
        elif not step.deletes:
            kind = "MODIFIED" if step.name in server else "ADDED"
            server[step.name] = named(step.name, version, data={"x": step.value})
            past.append((version, event(kind, server[step.name])))
        if step.lists:
            view.list_again([dict(obj) for obj in server.values()], str(version))
        elif step.catches_up:
            for number, line in past:
                if number > int(view.version):
                    view.take(decode_event(line))
            if step.is_marked:
                told(view, "BOOKMARK", {"metadata": {"resourceVersion": str(version)}})
        if step.lists or step.catches_up:
            listed = [server[name] for name in sorted(server)]
            assert view.objects == listed
    assert int(view.version) <= version


def test_the_revision_goes_up_with_what_the_objects_are_and_with_nothing_else() -> None:
    view = View()
    view.list_again([named("a", 5)], "7")
    was = view.revision
    told(view, "BOOKMARK", {"metadata": {"resourceVersion": "9"}})
    told(view, "MODIFIED", named("a", 5))
    assert view.list_again([named("a", 5)], "12") == ()
    assert (view.revision, view.version) == (was, "12")
    told(view, "MODIFIED", named("a", 13))
    assert view.revision == was + 1
    assert view.list_again([named("a", 14)], "14") == (key_of(named("a", 14)),)
    assert view.revision == was + 2
    told(view, "DELETED", named("a", 15))
    assert (view.revision, len(view)) == (was + 3, 0)


def test_what_a_list_finds_as_it_was_stays_the_same_object() -> None:
    view = View()
    before = named("a", 5)
    view.list_again([before], "7")
    view.list_again([named("a", 5), named("b", 8)], "8")
    assert view.objects[0] is before


def owned(name: str, version: int, tree: Any) -> Object:
    obj = named(name, version)
    obj["metadata"]["managedFields"] = [
        {"manager": "one", "fieldsV1": tree},
        {"manager": "two", "time": f"t-{name}", "fieldsV1": {"f:data": {f"f:{name}": {}}}},
    ]
    return copy.deepcopy(obj)


def test_trees_of_fields_that_objects_have_alike_are_held_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tree, deep = {"f:data": {"f:colour": {}}}, {}
    for _ in range(300):
        deep = {"f:x": deep}
    items = [owned("a", 1, tree), owned("b", 2, tree), owned("c", 3, deep), owned("d", 4, None)]
    wanted = copy.deepcopy(items[:2])

    def trees(view: View) -> list[Any]:
        return [o["metadata"]["managedFields"][0]["fieldsV1"] for o in view.objects]

    view = View()
    view.list_again(items, "4")
    told(view, "MODIFIED", owned("d", 5, tree))
    first, second, third, last = trees(view)
    assert first is second is last == tree
    assert third == deep
    assert view.objects[:2] == wanted
    # However many different ones there are, no more than that are remembered.
    monkeypatch.setattr("reconciler.watch.view.SHARED_TREES", 3)
    view.list_again([owned(name, 6, tree) for name in "abcdefgh"], "6")
    assert trees(view) == [tree] * 8
    assert len(view._trees) <= 3


def running(ready: int, version: int, *, words: str = "", **metadata: Any) -> Object:
    """A Deployment, as its controller writes its status."""
    condition = {"type": "Available", "status": "True" if ready else "False", "message": words}
    by_controller = {"manager": "controller", "subresource": "status", "time": str(version)}
    found = named(
        "shop",
        version,
        apiVersion="apps/v1",
        kind="Deployment",
        spec={"replicas": 3},
        status={
            **{"replicas": 3, "updatedReplicas": 3, "availableReplicas": ready},
            "conditions": [condition],
        },
    )
    found["metadata"] |= {"managedFields": [{"manager": "us"}, by_controller], **metadata}
    return found


@pytest.mark.parametrize(
    ("after", "is_urgent"),
    [
        (running(3, 6), False),
        (running(3, 6, words="all is well"), False),
        (running(2, 6), True),
        (running(0, 6), True),
        (running(3, 6, labels={"a": "b"}), True),
        (running(3, 6, managedFields=[{"manager": "them"}]), True),
        (running(3, 6, managedFields=[]), True),
        (running(3, 6, deletionTimestamp="2026-01-01T00:00:00Z"), True),
        (running(3, 6) | {"spec": {"replicas": 4}}, True),
        (running(3, 6) | {"status": None}, True),
    ],
)
def test_words_and_times_of_a_status_can_wait(after: Object, is_urgent: bool) -> None:
    view = View()
    view.list_again([running(3, 5)], "5")
    changed = view.take(decode_event(event("MODIFIED", after)))
    assert changed == (key_of(after), is_urgent)
    assert view.objects == [after]


@pytest.mark.parametrize("type_", ["ADDED", "DELETED"])
def test_what_comes_or_goes_cannot_wait(type_: str) -> None:
    view = View()
    view.list_again([running(3, 5)] if type_ == "DELETED" else [], "5")
    changed = view.take(decode_event(event(type_, running(3, 6))))
    assert changed == (key_of(running(3, 6)), True)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{", "cannot be read"),
        (b"[]", "cannot be read"),
        (b'{"type": "MOVED", "object": {}}', "cannot be read"),
        (b'{"type": "ADDED", "object": {"metadata": {"name": "a"}}}', "without a resourceVersion"),
        (b'{"type": "ADDED", "object": {"metadata": {"resourceVersion": "5"}}}', "without a name"),
        (b'{"type": "BOOKMARK", "object": {}}', "without a resourceVersion"),
        (event("ERROR", {"code": 410, "message": "too old"}), "too old"),
        (b'{"type": "ADDED", "object": ' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}", "read"),
    ],
)
def test_what_is_no_event_ends_the_watch_and_changes_nothing(line: bytes, why: str) -> None:
    view = View()
    view.list_again([named("a", 5)], "7")
    with pytest.raises(OutOfStep, match=why) as raised:
        view.take(decode_event(line))
    assert raised.value.code == (410 if b"410" in line else 0)
    assert (view.revision, view.version, list(view.objects)) == (1, "7", [named("a", 5)])


def test_lines_come_in_pieces_of_any_size() -> None:
    text = b'{"a": 1}\n\n{"b": 2}\n{"c"'
    for size in range(1, len(text) + 1):
        splitter, found = LineSplitter(100), []
        for start in range(0, len(text), size):
            found += splitter.lines(text[start : start + size])
        assert found == [b'{"a": 1}', b'{"b": 2}']


def test_a_line_has_an_end() -> None:
    splitter = LineSplitter(10)
    splitter.lines(b"0123456789")
    with pytest.raises(OutOfStep, match="more than"):
        splitter.lines(b"0")
    with pytest.raises(OutOfStep, match="more than"):
        LineSplitter(10).lines(b"01234567890\n")
