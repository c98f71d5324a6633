"""JSON patches (RFC 6902) by the cases that the RFC gives, and what an operation may never do."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.api.errors import Position
from reconciler.api.json_pointer import join_pointer
from reconciler.federation.model import ContainerOperation, PatchOperation
from reconciler.render.json_patch import PatchError, patched, with_changes
from tests.strategies import JSON_WITH_ODD_NAMES


def operation(op: Any, path: str, value: object = None) -> PatchOperation:
    return PatchOperation(op, path, value)


@pytest.mark.parametrize(
    ("before", "op", "path", "value", "after"),
    [
        pytest.param({"a": 1}, "add", "/b", 2, {"a": 1, "b": 2}, id="a new member"),
        pytest.param({"a": 1}, "add", "/a", 2, {"a": 2}, id="a member that is there is replaced"),
        pytest.param({"a": [1, 3]}, "add", "/a/1", 2, {"a": [1, 2, 3]}, id="an item between"),
        pytest.param({"a": [1]}, "add", "/a/0", 0, {"a": [0, 1]}, id="an item at the front"),
        pytest.param({"a": [1]}, "add", "/a/1", 2, {"a": [1, 2]}, id="an item at the length"),
        pytest.param({"a": [1]}, "add", "/a/-", [2], {"a": [1, [2]]}, id="a list as one item"),
        pytest.param({"a": {}}, "add", "/a/b", {"c": 1}, {"a": {"b": {"c": 1}}}, id="nested"),
        pytest.param({"a": 1}, "add", "/b", None, {"a": 1, "b": None}, id="null is a value"),
        pytest.param({"a": 1, "b": 2}, "remove", "/b", None, {"a": 1}, id="a member goes"),
        pytest.param({"a": [1, 2, 3]}, "remove", "/a/1", None, {"a": [1, 3]}, id="an item goes"),
        pytest.param({"a": None}, "remove", "/a", None, {}, id="null goes as well"),
        pytest.param({"a": 1}, "replace", "/a", [2], {"a": [2]}, id="a member by a list"),
        pytest.param({"a": [1, 2]}, "replace", "/a/1", 3, {"a": [1, 3]}, id="an item"),
        pytest.param({"a": None}, "replace", "/a", 1, {"a": 1}, id="null by a value"),
        pytest.param({"a/b": 1}, "replace", "/a~1b", 2, {"a/b": 2}, id="a slash in a name"),
        pytest.param({"a~b": 1}, "replace", "/a~0b", 2, {"a~b": 2}, id="a tilde in a name"),
        pytest.param({"~1": 1}, "replace", "/~01", 2, {"~1": 2}, id="an escaped escape"),
        pytest.param({"": 1}, "replace", "/", 2, {"": 2}, id="an empty name"),
        pytest.param({"0": 1}, "replace", "/0", 2, {"0": 2}, id="a number as a name"),
        pytest.param({"-": 1}, "remove", "/-", None, {}, id="a dash as a name"),
    ],
)
def test_what_an_operation_does(before: Any, op: str, path: str, value: Any, after: Any) -> None:
    given = copy.deepcopy(before)
    assert patched(before, operation(op, path, value)) == after
    assert before == given, "what is shared stays as it is"


@pytest.mark.parametrize(
    ("before", "op", "path", "words"),
    [
        ({"a": 1}, "remove", "/b", "/ has no 'b'; it has a"),
        ({"a": 1}, "replace", "/b", "/ has no 'b'"),
        ({}, "remove", "/b", "it has nothing"),
        ({"a": 1}, "add", "/b/c", "/ has no 'b'"),
        ({"a": {"b": 1}}, "add", "/a/c/d", "/a has no 'c'; it has b"),
        ({"a": 1}, "add", "/a/b", "/a is not a map or a list"),
        ({"a": "text"}, "replace", "/a/0", "/a is not a map or a list"),
        ({"a": [1]}, "add", "/a/2", "/a has 1 items, and no item 2"),
        ({"a": [1]}, "replace", "/a/1", "/a has 1 items, and no item 1"),
        ({"a": [1]}, "remove", "/a/1", "and no item 1"),
        ({"a": [1]}, "remove", "/a/-", "and no item -"),
        ({"a": [1]}, "replace", "/a/-", "and no item -"),
        ({"a": [[1]]}, "add", "/a/-/0", "and no item -"),
        ({"a": [1, 2]}, "remove", "/a/01", "and no item 01"),
        ({"a": [1, 2]}, "remove", "/a/-1", "and no item -1"),
        ({"a": [1, 2]}, "remove", "/a/1e0", "and no item 1e0"),
        ({"a": [1, 2]}, "remove", "/a/\u0661", "and no item \u0661"),
        ({"a": [1, 2]}, "remove", "/a/99999999999999999999", "and no item 9"),
        ({"metadata": {}}, "replace", "/metadata/labels/a", "/metadata has no 'labels'"),
        ({"spec": {}}, "add", "/spec/labels/a", "/spec has no 'labels'"),
        ({"metadata": {"x": {}}}, "add", "/metadata/x/labels/a", "/metadata/x has no 'labels'"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(
    before: Any, op: str, path: str, words: str
) -> None:
    given = copy.deepcopy(before)
    with pytest.raises(PatchError) as caught:
        patched(before, operation(op, path, 1))
    assert words in str(caught.value)
    assert before == given


@pytest.mark.parametrize("metadata", [{}, {"labels": None}, {"labels": {}}])
def test_labels_and_annotations_are_made_where_one_is_added(metadata: Any) -> None:
    """KubeFed does so, and the RFC does not."""
    after = patched({"metadata": metadata}, operation("add", "/metadata/labels/a", "b"))
    assert after == {"metadata": {"labels": {"a": "b"}}}


HERE = Position("placements.yaml", 1, 1)


def places(value: Any, steps: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a value, but for the whole."""
    inner: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [
        place for step, one in inner for place in ((*steps, step), *places(one, (*steps, step)))
    ]


def at(value: Any, steps: tuple[str | int, ...]) -> Any:
    for step in steps:
        value = value[step]
    return value


@given(value=JSON_WITH_ODD_NAMES, new=JSON_WITH_ODD_NAMES, data=st.data())
def test_replacing_any_place_changes_that_place_alone(value: Any, new: Any, data: Any) -> None:
    everywhere = places(value)
    if not everywhere:
        return
    steps = data.draw(st.sampled_from(everywhere))
    pointer = join_pointer(steps)
    before = copy.deepcopy(value)
    after = patched(value, operation("replace", pointer, new))
    assert at(after, steps) == new
    assert patched(after, operation("replace", pointer, at(before, steps))) == before
    assert value == before


@given(value=JSON_WITH_ODD_NAMES, new=JSON_WITH_ODD_NAMES, data=st.data())
def test_what_is_added_beside_the_rest_and_removed_leaves_no_trace(
    value: Any, new: Any, data: Any
) -> None:
    roots = [()] if isinstance(value, dict | list) else []
    inside = [*roots, *(s for s in places(value) if isinstance(at(value, s), dict | list))]
    if not inside:
        return
    steps = data.draw(st.sampled_from(inside))
    holder = at(value, steps)
    last = data.draw(st.integers(0, len(holder))) if isinstance(holder, list) else "new name"
    pointer = join_pointer((*steps, last))
    after = patched(value, operation("add", pointer, new))
    assert at(after, (*steps, last)) == new
    assert len(at(after, steps)) == len(holder) + 1
    assert patched(after, operation("remove", pointer)) == value


@given(value=JSON_WITH_ODD_NAMES, new=JSON_WITH_ODD_NAMES, data=st.data())
def test_another_implementation_does_and_refuses_the_same(value: Any, new: Any, data: Any) -> None:
    """At any place, and beside any place, of any value that is a map or a list."""
    jsonpatch = pytest.importorskip("jsonpatch")
    if not isinstance(value, dict | list):
        return
    near = [(), *places(value)]
    steps = data.draw(st.sampled_from(near))
    last = data.draw(st.none() | st.sampled_from(["a", "0", "1", "-", "01"]))
    path = join_pointer(steps if last is None and steps else (*steps, last or "a"))
    op = data.draw(st.sampled_from(["add", "remove", "replace"]))
    try:
        ours = patched(value, operation(op, path, new))
    except PatchError:
        ours = "refused"
    try:
        theirs = jsonpatch.apply_patch(value, [{"op": op, "path": path, "value": new}])
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException):
        theirs = "refused"
    assert ours == theirs


# -- containers ------------------------------------------------------------------------------------


def pod(*containers: Any, **more: Any) -> dict[str, Any]:
    return {"kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [*containers], **more}}


def test_an_environment_keeps_its_order_and_what_is_not_named() -> None:
    env = [
        {"name": "A", "value": "1"},
        {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "A", "value": "2"},
        {"name": "C", "value": "3"},
    ]
    body = pod({"name": "web", "env": env})
    given = copy.deepcopy(body)
    change = ContainerOperation("env", "web", {"B": "b", "A": "a", "Z": "z"}, HERE)
    assert with_changes(body, change)["spec"]["containers"][0]["env"] == [
        {"name": "A", "value": "a"},
        {"name": "B", "value": "b"},
        {"name": "C", "value": "3"},
        {"name": "Z", "value": "z"},
    ]
    assert body == given


def test_the_container_of_that_name_is_changed_wherever_it_stands() -> None:
    body = pod({"name": "a", "image": "a:1"}, initContainers=[{"name": "b", "image": "b:1"}])
    after = with_changes(body, ContainerOperation("image", "b", "b:2", HERE))
    assert after["spec"]["initContainers"] == [{"name": "b", "image": "b:2"}]
    assert after["spec"]["containers"] == body["spec"]["containers"]
    with pytest.raises(PatchError, match="there is no container 'c'") as caught:
        with_changes(body, ContainerOperation("image", "c", "c:2", HERE))
    assert set(caught.value.expected.split(", ")) == {"a", "b"}


def test_a_path_that_an_override_does_not_find_is_told_with_the_way_out() -> None:
    with pytest.raises(PatchError, match="the override path /spec/x does not exist") as caught:
        with_changes(pod(), operation("replace", "/spec/x", 1))
    assert caught.value.hint == "use op: add to make a new field"
    with pytest.raises(PatchError) as caught:
        with_changes(pod(), operation("remove", "/spec/x"))
    assert caught.value.hint == ""
