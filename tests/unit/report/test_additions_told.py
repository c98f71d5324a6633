"""What people added is in every report, by object, field, owner and time, and is no change."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
from msgspec.structs import replace

from reconciler.api.objects import ObjectKey
from reconciler.plan.model import AddedTo, Addition, ClusterPlan, Plan, RunResult
from reconciler.report.html import render_html
from reconciler.report.json_report import plan_document, report_as_json
from reconciler.report.markdown import render_plan_markdown
from reconciler.report.metrics import metrics_of, render_metrics
from reconciler.report.text import render_plan, render_result
from reconciler.report.wording import summary_line
from tests.unit.report.runs import run

SCHEMA = json.loads((Path(__file__).parents[3] / "schemas" / "plan.json").read_text())
DEBUG = "spec.template.spec.containers[name=web].env[name=DEBUG].value"
TIME = "2026-11-28T10:00:00Z"
FIELDS = (
    Addition("metadata.labels.team", "a\x1b[31m<b>", ("Mozilla", "k9s"), ""),
    Addition(DEBUG, "1", ("kubectl-set",), TIME),
)
ADDED = AddedTo(ObjectKey("apps", "Deployment", "shop", "web"), "apps/v1", FIELDS)
PLAN = Plan(
    "shop",
    (ClusterPlan("aws-eu", unchanged=40, additions=(ADDED,)), ClusterPlan("gcp-eu", unchanged=1)),
)


def test_the_text_lists_each_with_its_owner_and_time() -> None:
    text = render_plan(PLAN)
    assert "  aws-eu: Deployment shop/web\n" in text
    assert f"      {DEBUG}: 1  (kubectl-set, {TIME})\n" in text
    assert "(Mozilla, k9s)" in text
    assert "\x1b[31m" not in text
    end = "No changes over 2 clusters; 41 objects as Git says. 2 fields added by others.\n"
    assert text.endswith(end)
    assert not PLAN.has_changes
    assert DEBUG in render_result(RunResult(PLAN))


def test_a_long_list_is_cut_and_says_so() -> None:
    many = replace(ADDED, fields=tuple(replace(FIELDS[1], path=f"data.k{n}") for n in range(40)))
    cluster = replace(PLAN.clusters[0], additions=(many,) * 40)
    plan = replace(PLAN, clusters=(cluster,))
    text = render_plan(plan)
    assert "28 more fields (--verbose shows all)" in text
    assert "28 more objects (--verbose shows all)" in text
    assert render_plan(plan, verbose=True).count("data.k39") == 40
    assert "1600 fields added by others" in text


def test_json_has_them_by_object_and_in_the_summary() -> None:
    document = json.loads(report_as_json(plan_document(PLAN)))
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert document["summary"]["additions"] == 2
    (one,) = document["clusters"][0]["additions"]
    assert (one["kind"], one["namespace"], one["name"]) == ("Deployment", "shop", "web")
    assert one["fields"][1] == {
        "path": DEBUG,
        "value": "1",
        "managers": ["kubectl-set"],
        "time": TIME,
    }
    assert document["clusters"][1]["additions"] == []


def test_the_same_line_is_not_written_twice() -> None:
    text = render_result(RunResult(PLAN))
    assert text == render_plan(PLAN)
    assert text.endswith(f"{summary_line(PLAN)}\n")
    stopped = render_result(RunResult(PLAN, stopped="SIGTERM was received"))
    assert stopped.count(summary_line(PLAN)) == 1
    assert stopped.endswith("Stopped: SIGTERM was received\nNothing was written.\n")


def test_markdown_and_html_list_them_and_let_nothing_act() -> None:
    markdown, page = render_plan_markdown(PLAN), render_html(PLAN)
    for text in (markdown, page):
        assert "Added by others" in text
        assert "DEBUG" in text
        assert "kubectl-set" in text
        assert "<b>" not in text.partition("Added by others")[2].partition("Mozilla")[0]


def test_a_gauge_counts_them_for_each_cluster() -> None:
    text = render_metrics(metrics_of(run(PLAN))).decode()
    name = "federation_reconciler_drift_additions"
    assert f'{name}{{cluster="aws-eu",federation="shop"}} 2.0' in text
    assert f'{name}{{cluster="gcp-eu",federation="shop"}} 0.0' in text
