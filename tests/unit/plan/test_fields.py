"""Naming what differs; DeepDiff is the independent witness of whether anything does."""

from __future__ import annotations

from deepdiff import DeepDiff
from hypothesis import given

from reconciler.plan.fields import changed_fields, leaf_fields
from reconciler.plan.model import ABSENT
from tests.strategies import JSON_FOR_DEEPDIFF


def manifest(spec: object) -> dict:
    return {"apiVersion": "v1", "kind": "X", "metadata": {"name": "a"}, "spec": spec}


@given(JSON_FOR_DEEPDIFF, JSON_FOR_DEEPDIFF)
def test_something_differs_exactly_when_deepdiff_says_so(one: object, other: object) -> None:
    before, after = manifest({"v": one}), manifest({"v": other})
    differs = bool(DeepDiff(before, after, ignore_type_in_groups=[]))
    assert bool(changed_fields(before, after)) == differs


@given(JSON_FOR_DEEPDIFF)
def test_equal_states_differ_in_nothing(value: object) -> None:
    assert changed_fields(manifest(value), manifest(value)) == ()


def containers(*pairs: tuple[str, str]) -> dict:
    return manifest({"containers": [{"name": name, "image": image} for name, image in pairs]})


def test_list_items_are_told_by_their_names() -> None:
    (change,) = changed_fields(containers(("web", "a:1")), containers(("web", "a:2")))
    assert (change.path, change.before, change.after) == (
        "spec.containers[name=web].image",
        "a:1",
        "a:2",
    )


def test_a_new_item_and_a_lost_one_are_named_field_by_field() -> None:
    changes = changed_fields(containers(("web", "a")), containers(("log", "b")))
    assert {(c.path, c.before, c.after) for c in changes} == {
        ("spec.containers[name=log].image", ABSENT, "b"),
        ("spec.containers[name=log].name", ABSENT, "log"),
        ("spec.containers[name=web].image", "a", ABSENT),
        ("spec.containers[name=web].name", "web", ABSENT),
    }


def test_another_order_shows() -> None:
    (change,) = changed_fields(
        containers(("a", "x"), ("b", "y")), containers(("b", "y"), ("a", "x"))
    )
    assert (change.path, change.before, change.after) == (
        "spec.containers.order",
        ["a", "b"],
        ["b", "a"],
    )


def test_true_is_not_one_and_null_is_not_absent() -> None:
    assert changed_fields(manifest({"v": True}), manifest({"v": 1}))
    assert changed_fields(manifest({"v": None}), manifest({}))


def test_the_fields_of_a_new_object_leave_out_its_identity() -> None:
    paths = [field.path for field in leaf_fields(containers(("web", "a")))]
    assert paths == ["spec.containers[name=web].image", "spec.containers[name=web].name"]
