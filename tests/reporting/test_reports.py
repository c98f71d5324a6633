"""The same plan as text, JSON and Markdown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from markdown_it import MarkdownIt

from reconciler.objects import ObjectKey
from reconciler.planning.plan import (
    ABSENT,
    Action,
    Change,
    ClusterPlan,
    FieldChange,
    Outcome,
    Plan,
    RunResult,
    WorkloadRow,
)
from reconciler.reporting.json_report import as_json, plan_document, result_document
from reconciler.reporting.markdown import LIMIT, render_markdown
from reconciler.reporting.text import render_plan, render_result

SCHEMA = json.loads((Path(__file__).parents[2] / "schemas" / "plan.json").read_text())
WEB = ObjectKey("apps", "Deployment", "shop", "web")
IMAGE = FieldChange("spec.image", "web:1", "web:2", ("kubectl-set",))
UPDATE = Change(Action.UPDATE, WEB, "apps/v1", (IMAGE,), reason="drift: changed by kubectl-set")
PRUNE = Change(
    Action.PRUNE, ObjectKey("", "ConfigMap", "shop", "old"), "v1", reason="removed from Git"
)


@pytest.fixture
def plan() -> Plan:
    return Plan(
        "shop",
        (
            ClusterPlan("aws", "aws", "eu", changes=(UPDATE, PRUNE), unchanged=10),
            ClusterPlan("gcp", "gcp", "us", changes=(UPDATE,), unchanged=11),
            ClusterPlan("lab", reachable=False, problem="connection refused"),
        ),
        warnings=("something is odd",),
        workloads=(WorkloadRow(WEB, {"aws": 2}, {"aws": 3}, shortfall=1),),
    )


def test_text_tells_what_clusters_share_once_and_sums_up(plan: Plan) -> None:
    text = render_plan(plan)
    assert text.count("~ Deployment.apps shop/web") == 1
    assert "aws, gcp\n  ~ Deployment.apps shop/web  drift: changed by kubectl-set" in text
    assert "spec.image: web:1 -> web:2" in text
    assert "! lab is left out: connection refused" in text
    assert text.index("Warning: something is odd") < text.index("aws, gcp")
    assert "shop/web: aws 2 -> 3  1 fit nowhere" in text
    assert text.endswith(
        "Plan: 2 to update, 1 to prune over 3 clusters; 21 unchanged. 1 could not be looked at.\n"
    )
    assert "\x1b" not in text
    assert "\x1b[33m" in render_plan(plan, colour=True)


def test_long_values_are_cut_where_they_are_alike() -> None:
    name = "registry.example.com/a/very/long/path/to/the/image/of/web"
    field = FieldChange("spec.image", f"{name}:1", f"{name}:2")
    change = replace(UPDATE, fields=(field,))
    text = render_plan(Plan("shop", (ClusterPlan("aws", changes=(change,)),)), width=80)
    assert "…web:1 -> …web:2" in text


def test_control_characters_in_values_do_not_reach_the_terminal() -> None:
    field = FieldChange("data.x", "a\x1b[2J", "b")
    change = replace(UPDATE, fields=(field,))
    assert "\x1b" not in render_plan(Plan("shop", (ClusterPlan("aws", changes=(change,)),)))


def test_json_follows_its_schema_and_is_the_same_each_time(plan: Plan) -> None:
    document = plan_document(plan)
    jsonschema.validate(document, SCHEMA)
    assert as_json(document) == as_json(plan_document(plan))
    assert document["summary"]["update"] == 2
    (field,) = document["clusters"][0]["changes"][0]["fields"]
    assert (field["from"], field["to"], field["managers"]) == ("web:1", "web:2", ["kubectl-set"])


def test_a_field_that_is_absent_has_no_value_in_json() -> None:
    change = replace(UPDATE, fields=(FieldChange("a", ABSENT, None), FieldChange("b", 1, ABSENT)))
    document = plan_document(Plan("shop", (ClusterPlan("aws", changes=(change,)),)))
    assert document["clusters"][0]["changes"][0]["fields"] == [
        {"path": "a", "to": None},
        {"path": "b", "from": 1},
    ]


def test_a_result_tells_what_failed_and_what_was_skipped(plan: Plan) -> None:
    outcomes = (
        Outcome("aws", Action.UPDATE, WEB, "done"),
        Outcome("aws", Action.PRUNE, PRUNE.key, "skipped", "pruning waits"),
        Outcome("gcp", Action.UPDATE, WEB, "failed", "denied"),
    )
    result = RunResult(plan, outcomes)
    assert not result.ok
    jsonschema.validate(result_document(result), SCHEMA)
    text = render_result(result, with_plan=False)
    assert "! gcp: Deployment.apps shop/web failed (update)  denied" in text
    assert "Done: 1 updated, 1 failed, 1 skipped." in text


def test_markdown_is_marked_warns_first_and_folds_clusters(plan: Plan) -> None:
    text = render_markdown(plan)
    assert text.startswith("<!-- reconcile-plan:shop -->\n")
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    kinds = [token.type for token in tokens]
    assert kinds.count("table_open") == 2
    fences = [token for token in tokens if token.type == "fence"]
    assert [fence.info for fence in fences] == ["diff", "diff"]
    assert "- ConfigMap shop/old" in fences[0].content
    assert kinds.index("bullet_list_open") < kinds.index("table_open")


def test_nothing_in_a_value_breaks_out_of_its_place() -> None:
    hostile = "```\n</details><script>alert(1)</script> @everyone | [x](http://y)"
    field = FieldChange("data.x", hostile, "b")
    change = replace(UPDATE, fields=(field,), reason="")
    plan = Plan("shop", (ClusterPlan("aws", changes=(change,)),), warnings=(hostile,))
    tokens = MarkdownIt("commonmark").enable("table").parse(render_markdown(plan))
    html = [t.content for t in tokens if t.type == "html_block"]
    assert not any("script" in content for content in html)
    links = [c for t in tokens if t.children for c in t.children if c.type == "link_open"]
    assert not links
    assert "@everyone" not in "".join(t.content for t in tokens if t.type == "inline")


def test_a_comment_is_cut_to_the_limit_and_says_so() -> None:
    changes = tuple(replace(UPDATE, key=WEB._replace(name=f"web-{n}")) for n in range(2000))
    text = render_markdown(Plan("shop", (ClusterPlan("aws", changes=changes),)))
    assert len(text) <= LIMIT
    assert "was cut" in text
