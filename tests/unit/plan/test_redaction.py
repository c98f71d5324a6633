"""What names an item of a hidden list is hidden, whatever signs are in it."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest

from reconciler.api.field_path import FieldPath, ends_of
from reconciler.api.objects import ObjectKey
from reconciler.api.reasons import Cause, Reason
from reconciler.federation.sensitive import SENSITIVE
from reconciler.inventory.managed_fields import owned_fields
from reconciler.plan.fields import changed_fields
from reconciler.plan.model import Action, Change
from reconciler.plan.redact import mask, shown_paths, without_values

SIGNS = ["plain", "a]b", "a,b", 'a"b', "a\\b", "a=b", "[a]", "a].b[c", '","', "80", "a b"]


def body(value: str) -> dict[str, Any]:
    rules = [{"name": value, "value": "x"}, {"name": "other", "value": "y"}]
    return {"metadata": {}, "spec": {"rules": rules, "map": {value: "x"}}}


@pytest.mark.parametrize("value", SIGNS)
def test_no_sign_ends_an_item_too_early(value: str) -> None:
    path = FieldPath(("spec", "rules", {"name": value, "port": 80}, "value"))
    assert path.without_items == "spec.rules[name=***,port=***].value"
    fields = {"f:rules": {"v:" + json.dumps(value): {}, "k:" + json.dumps({"name": value}): {}}}
    shown = {path.without_items for path in owned_fields(fields)}
    assert shown == {"rules", "rules[=***]", "rules[name=***]"}


def test_a_key_that_looks_like_an_item_is_shown() -> None:
    path = FieldPath(("data", "[name=web]", "a.b"))
    assert path == 'data["[name=web]"]["a.b"]'
    assert path.without_items == path


@pytest.mark.parametrize("value", SIGNS)
def test_a_pointer_finds_what_lies_in_such_an_item(value: str) -> None:
    fields = changed_fields(body(value), {"metadata": {}})
    hidden = mask(fields, ("/spec/rules/0/value", "/spec/map"))
    told = {field.before for field in hidden if field.path.endswith("].value")}
    assert told == {"*** (before)"}
    (of_map,) = [field for field in hidden if field.path.startswith("spec.map")]
    assert of_map.before == "*** (before)"


@pytest.mark.parametrize("pointer", ["/spec/rules", "/spec/rules/0/name", "/spec/rules/*/name"])
def test_the_order_of_a_hidden_list_names_no_item(pointer: str) -> None:
    before, after = body("canary"), body("canary")
    after["spec"]["rules"].reverse()
    (moved,) = mask(changed_fields(before, after), (pointer,))
    assert (moved.path, moved.before) == ("spec.rules.order", "*** (before)")


def test_a_map_with_a_key_named_order_is_hidden_by_its_own_pointer_only() -> None:
    fields = changed_fields({"metadata": {}, "spec": {"order": 1}}, {"metadata": {}, "spec": {}})
    assert mask(fields, ("/spec/0",)) == fields
    assert mask(fields, ("/spec/order",)) != fields


CANARY = FieldPath(("rules", {"name": "a]b, canary"}, "value"))


def test_reasons_name_no_item_either() -> None:
    change = Change(
        Action.UPDATE,
        ObjectKey("", "Secret", "shop", "key"),
        "v1",
        reasons=(Reason(Cause.STAYS_AS_IT_IS, paths=(CANARY,)),),
    )
    shown = without_values(change, {})
    assert shown.reason == "no longer in Git, and stays as it is: rules[name=***].value"
    plain = replace(change, key=ObjectKey("", "ConfigMap", "shop", "key"))
    assert without_values(plain, {}) == plain


def test_a_refusal_names_no_item_of_what_only_the_live_object_says_is_sensitive() -> None:
    live = {"metadata": {"annotations": {SENSITIVE: "true"}}}
    assert shown_paths([CANARY], (), {}, live) == "rules[name=***].value"
    assert shown_paths([CANARY], ("/spec/rules",), {}, {}) == "rules[name=***].value"
    assert shown_paths([CANARY], (), {}, None) == 'rules[name="a]b, canary"].value'


def test_a_path_is_copied_with_its_steps() -> None:
    again = copy.deepcopy(CANARY)
    assert (again, again.steps) == (CANARY, CANARY.steps)


def test_of_fields_that_others_continue_the_ends_are_told() -> None:
    rules, item, name = (FieldPath(("a", "rules", {"n": 1}, "x")[:end]) for end in (2, 3, 4))
    alike = FieldPath(("a", "rules-of-others"))
    assert ends_of({rules, item, name, alike}) == [alike, name]
    assert ends_of({rules, alike}) == [rules, alike]
