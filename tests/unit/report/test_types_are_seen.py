"""A value of another type, or one that differs only by what the eye misses, is seen in reports."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from reconciler.api.objects import Object
from reconciler.plan.fields import changed_fields
from reconciler.plan.model import ClusterPlan, FieldChange, Plan
from reconciler.report.html import render_html
from reconciler.report.json_report import plan_document
from reconciler.report.markdown import render_plan_markdown
from reconciler.report.text import render_plan
from tests.unit.report.changes import FRONTEND_DRIFT

PAIRS: list[tuple[Any, Any, str, str]] = [
    (1, "1", "1", '"1"'),
    ("true", True, '"true"', "true"),
    (None, "null", "null", '"null"'),
    (1, True, "1", "true"),
    (0, False, "0", "false"),
    (1, 1.0, "1", "1.0"),
    ("1", "1.0", "1", "1.0"),
    ("[]", [], '"[]"', "[]"),
    ({}, "{}", "{}", '"{}"'),
    ([1], ["1"], "[1]", '["1"]'),
    ([True], ["true"], "[true]", '["true"]'),
    ([None], ["null"], "[null]", '["null"]'),
    ("", None, '""', "null"),
    ("a", "a ", '"a"', '"a "'),
    ("5", 6, '"5"', "6"),
    (1, "two", "1", "two"),
    ("25%", 1, "25%", "1"),
    (2**53, 2**53 + 1, str(2**53), str(2**53 + 1)),
]


def thing(value: Any) -> Object:
    return {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": value}


def plan_of(*fields: FieldChange) -> Plan:
    change = dataclasses.replace(FRONTEND_DRIFT, fields=fields)
    return Plan("shop", (ClusterPlan("aws-eu", changes=(change,)),))


def in_html(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&#34;")


@pytest.mark.parametrize(("before", "after", "old", "new"), PAIRS)
@pytest.mark.parametrize("nested", [lambda v: {"x": v}, lambda v: {"l": [{"name": "b", "x": v}]}])
def test_values_of_another_type_are_told_apart(
    before: Any, after: Any, old: str, new: str, nested: Any
) -> None:
    (field,) = changed_fields(thing(nested(before)), thing(nested(after)))
    plan = plan_of(field)
    assert f"{field.path}: {old} -> {new}" in render_plan(plan)
    markdown = render_plan_markdown(plan)
    assert f"-     {field.path}: {old}" in markdown
    assert f"+     {field.path}: {new}" in markdown
    page = re.sub("<[^>]*>", " ", render_html(plan)).replace("&quot;", "&#34;")
    assert f" {in_html(old)} " in page
    assert f" {in_html(new)} " in page
    told = plan_document(plan)["clusters"][0]["changes"][0]["fields"][0]
    assert [type(told["from"]), type(told["to"])] == [type(before), type(after)]


def test_null_is_not_absent() -> None:
    (gone,) = changed_fields(thing({"x": None}), thing({}))
    assert "spec.x: null -> (absent)" in render_plan(plan_of(gone))
    (come,) = changed_fields(thing({}), thing({"x": None}))
    assert "spec.x: (absent) -> null" in render_plan(plan_of(come))
    (said,) = changed_fields(thing({}), thing({"x": "(absent)"}))
    assert 'spec.x: (absent) -> "(absent)"' in render_plan(plan_of(said))


def test_items_that_a_key_of_another_type_tells_apart_have_names_of_their_own() -> None:
    before = thing({"l": [{"name": 1, "x": "a"}]})
    after = thing({"l": [{"name": "1", "x": "a"}]})
    fields = changed_fields(before, after)
    paths = [field.path for field in fields]
    assert len(paths) == len(set(paths)) > 1
    text = render_plan(plan_of(*fields))
    assert "spec.l[name=1].x: a -> (absent)" in text
    assert 'spec.l[name="1"].x: (absent) -> a' in text


@pytest.mark.parametrize(("one", "other"), [(1, True), (1, "1"), (0, False), (None, "null")])
def test_clusters_that_have_values_of_another_type_are_not_told_together(
    one: Any, other: Any
) -> None:
    def cluster(name: str, before: Any) -> ClusterPlan:
        field = FieldChange("spec.x", before, "z")
        return ClusterPlan(name, changes=(dataclasses.replace(FRONTEND_DRIFT, fields=(field,)),))

    text = render_plan(Plan("shop", (cluster("aws", one), cluster("gcp", other))))
    assert text.count("spec.x: ") == 2
