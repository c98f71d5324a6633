"""Laws of the parts that need no server: sets of fields, merging, quantities, selectors."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubesim import fieldsets, quantities, selectors, structured_merge
from kubesim.patches import json_patch, merge_patch
from kubesim.schema import builtin_shape
from kubesim.statuses import Refusal
from tests.strategies import DEPLOYMENTS, FIELD_SETS

DEPLOYMENT = builtin_shape("apps", "v1", "Deployment")
assert DEPLOYMENT is not None


@given(FIELD_SETS)
def test_a_set_survives_being_written(fields: dict[str, Any]) -> None:
    assert fieldsets.decode_fieldset(fieldsets.encode_fieldset(fields)) == fields


@given(FIELD_SETS, FIELD_SETS)
def test_union_difference_and_intersection_fit_together(
    left: dict[str, Any], right: dict[str, Any]
) -> None:
    only, shared = fieldsets.difference(left, right), fieldsets.intersection(left, right)
    assert set(fieldsets.members(only)).isdisjoint(fieldsets.members(right))
    assert set(fieldsets.members(shared)) == set(fieldsets.members(left)) & set(
        fieldsets.members(right)
    )
    assert fieldsets.union(only, shared) == left
    assert fieldsets.union(left, right) == fieldsets.union(right, left)


@given(DEPLOYMENTS)
def test_a_value_differs_in_nothing_from_itself(obj: dict[str, Any]) -> None:
    found = structured_merge.compare_values(obj, {**obj, "spec": {**obj["spec"]}}, DEPLOYMENT)
    assert (found.added, found.modified, found.removed) == ({}, {}, {})


@given(DEPLOYMENTS, DEPLOYMENTS)
def test_comparing_backwards_swaps_what_came_and_what_went(
    one: dict[str, Any], two: dict[str, Any]
) -> None:
    there, back = (
        structured_merge.compare_values(one, two, DEPLOYMENT),
        structured_merge.compare_values(two, one, DEPLOYMENT),
    )
    assert (there.added, there.removed) == (back.removed, back.added)
    assert there.modified == back.modified


@given(DEPLOYMENTS, DEPLOYMENTS)
def test_what_was_merged_in_once_changes_nothing_again(
    live: dict[str, Any], config: dict[str, Any]
) -> None:
    merged = structured_merge.merge(live, config, DEPLOYMENT)
    assert structured_merge.merge(merged, config, DEPLOYMENT) == merged


@given(DEPLOYMENTS, DEPLOYMENTS)
def test_everything_that_was_applied_is_in_the_result(
    live: dict[str, Any], config: dict[str, Any]
) -> None:
    merged = structured_merge.merge(live, config, DEPLOYMENT)
    wanted = fieldsets.members(fieldsets.fieldset_of(config, DEPLOYMENT))
    assert set(wanted) <= set(fieldsets.members(fieldsets.fieldset_of(merged, DEPLOYMENT)))


@pytest.mark.parametrize(
    ("given_text", "canonical"),
    [
        ("1000m", "1"), ("0.5", "500m"), ("1500m", "1500m"), ("1000", "1k"), ("1024Mi", "1Gi"),
        ("0.5Gi", "512Mi"), ("1.5Gi", "1536Mi"), ("1000Ki", "1000Ki"), ("512", "512"),
        ("1e3", "1e3"), ("0", "0"), ("1e0", "1e0"), ("-1", "-1"), ("0.1u", "100n"),
        ("1M", "1M"), ("100Mi", "100Mi"), (2, "2"), (0.25, "250m"),
    ],
)  # fmt: skip
def test_quantities_are_spelled_as_the_server_spells_them(given_text: Any, canonical: str) -> None:
    assert quantities.canonical(given_text) == canonical


@pytest.mark.parametrize("text", ["", "abc", "1 Gi", "1GiB", "--1", "1e"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(quantities.BadQuantity):
        quantities.canonical(text)


@given(st.integers(0, 10**9), st.sampled_from(["m", "", "k", "M", "Ki", "Mi", "e3"]))
def test_the_spelling_does_not_change_the_amount(number: int, suffix: str) -> None:
    text = f"{number}{suffix}"
    assert quantities.amount(quantities.canonical(text)) == quantities.amount(text)
    assert isinstance(quantities.amount(text), Decimal)


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ("a=1", True), ("a==1,b!=1", True), ("a!=1", False), ("a in (1,2)", True),
        ("a notin (1, 2)", False), ("c notin (1)", True), ("a", True), ("!c", True), ("!a", False),
        ("a>0", True), ("a<1", False), ("example.com/x=", False),
    ],
)  # fmt: skip
def test_label_selectors(selector: str, chosen: bool) -> None:
    matches = selectors.parse_labels(selector)
    assert matches is not None
    assert matches({"a": "1", "b": "2"}) is chosen


@pytest.mark.parametrize("selector", ["a in b", "a b", "=", "a in (b", "(a)"])
def test_what_is_no_selector(selector: str) -> None:
    with pytest.raises(Refusal):
        selectors.parse_labels(selector)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    )
)
def test_a_merge_patch_leaves_its_target_alone(patch: Any) -> None:
    target = {"a": {"b": 1}, "c": 2}
    merge_patch(target, patch)
    assert target == {"a": {"b": 1}, "c": 2}


def test_a_json_patch_follows_its_pointers() -> None:
    target = {"metadata": {"annotations": {"a/b": "1"}}, "items": [1, 2]}
    operations = [
        {"op": "replace", "path": "/metadata/annotations/a~1b", "value": "2"},
        {"op": "add", "path": "/items/-", "value": 3},
        {"op": "remove", "path": "/items/0"},
        {"op": "copy", "from": "/items/0", "path": "/first"},
        {"op": "move", "from": "/metadata/annotations", "path": "/annotations"},
    ]
    assert json_patch(target, operations) == {
        "metadata": {},
        "items": [2, 3],
        "first": 2,
        "annotations": {"a/b": "2"},
    }
