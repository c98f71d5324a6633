"""What names an item of a hidden list is hidden, whatever signs are in it."""

from __future__ import annotations

import json

import pytest

from reconciler.api.objects import ObjectKey
from reconciler.api.reasons import Cause, Reason
from reconciler.inventory.managed_fields import owned_paths
from reconciler.plan.fields import changed_fields, path_text
from reconciler.plan.model import Action, Change
from reconciler.plan.redact import mask, without_items, without_values

SIGNS = ["plain", "a]b", "a,b", 'a"b', "a\\b", "a=b", "[a]", "a].b[c", '","', "80", "a b"]


def body(value: str) -> dict[str, object]:
    rules = [{"name": value, "value": "x"}, {"name": "other", "value": "y"}]
    return {"metadata": {}, "spec": {"rules": rules, "map": {value: "x"}}}


@pytest.mark.parametrize("value", SIGNS)
def test_no_sign_ends_an_item_too_early(value: str) -> None:
    path = path_text(("spec", "rules", {"name": value, "port": 80}, "value"))
    assert without_items(path) == "spec.rules[name=***,port=***].value"
    step = "v:" + json.dumps(value)
    assert {*map(without_items, owned_paths({"f:rules": {step: {}}}))} == {".rules", ".rules[=***]"}


@pytest.mark.parametrize("value", SIGNS)
def test_a_pointer_finds_what_lies_in_such_an_item(value: str) -> None:
    fields = changed_fields(body(value), {"metadata": {}})
    hidden = mask(fields, ("/spec/rules/0/value", "/spec/map"))
    told = {field.before for field in hidden if field.path.endswith("].value")}
    assert told == {"*** (before)"}
    (of_map,) = [field for field in hidden if field.path.startswith("spec.map")]
    assert of_map.before == "*** (before)"


def test_reasons_and_refusals_name_no_item_either() -> None:
    change = Change(
        Action.UPDATE,
        ObjectKey("", "Secret", "shop", "key"),
        "v1",
        reasons=(Reason(Cause.STAYS_AS_IT_IS, detail='rules[name="a]b, c"].value'),),
        error="it has what Git does not say: rules[name=canary].value",
    )
    shown = without_values(change, {})
    assert shown.reason == "no longer in Git, and stays as it is: rules[name=***].value"
    assert shown.error == "it has what Git does not say: rules[name=***].value"
