"""A rollout in plans and results: what a reviewer reads in text, Markdown, HTML and JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
from msgspec.structs import replace

from reconciler.plan.model import AgainstBase, Plan, RunResult
from reconciler.report.html import render_html
from reconciler.report.json_report import plan_document, report_as_json
from reconciler.report.markdown import render_plan_markdown
from reconciler.report.rollout import changes_text, headline
from reconciler.report.text import render_plan, render_result
from reconciler.rollout.model import ClusterStep, RolloutCluster, RolloutView, RolloutWave
from tests.unit.report.fleets import quiet
from tests.unit.report.hostile import HOSTILE, hostile
from tests.unit.report.rollouts import CANDIDATE, NEWER, STABLE, STARTED, road, rolling

SCHEMA = json.loads((Path(__file__).parents[3] / "schemas" / "plan.json").read_text())
HEADLINE = 'Rollout of 3f2c1ab (stable 9be01d2): wave 2 of 3 "eu", waits for soak (12 min left)'


def test_the_road_follows_what_this_run_does_wave_by_wave() -> None:
    text = render_plan(rolling(events=(STARTED,), waiting=(NEWER,)))
    block = text[text.index(HEADLINE) :]
    assert text.index("Replicas\n") < text.index(HEADLINE) < text.index("Plan: 8 to create")
    assert block.splitlines()[1:8] == [
        '  This run: 3f2c1ab begins in wave 1 of 3 "canary"',
        "  1 canary  done",
        "      aws-eu: on 3f2c1ab, well",
        "  2 eu      now, takes at least 12 min",
        "      gcp-eu: on 3f2c1ab, not well yet: Deployment shop/web: 1 of 3 ready",
        "  3 rest    to come, takes at least 30 min, gates errors, a person promotes it",
        "      gcp-us: on 9be01d2, waits; 3 to create, 1 to update, 1 failed",
    ]
    assert "  At least 42 min until every cluster has it, 1 wave waits for a person, " in block
    assert "  Newer commits that wait until it ends: 77ce210.\n" in block


@pytest.mark.parametrize("complete", [False, True])
@pytest.mark.parametrize("phase", ["Held", "Failed"])
def test_what_does_not_go_on_is_said_first_and_with_the_next_command(
    phase: str, *, complete: bool
) -> None:
    plan = rolling(phase=phase, reason="checkout is slow", complete=complete)
    words = {"Held": 'is held in wave 2 of 3 "eu":', "Failed": "has failed in"}[phase]
    text = render_plan(plan)
    sentence = f"{words} checkout is slow"
    flat = " ".join(text.split())
    assert flat.count(sentence) == 2
    assert flat.index(sentence) < flat.index("aws-eu, gcp-eu"), "before the changes"
    assert "Next: " in text
    assert "**Rollout:**" in render_plan_markdown(plan)
    assert "<b>Rollout:</b>" in render_html(plan)


def test_all_at_once_is_told_loudly() -> None:
    plan = rolling(at_once=True)
    loud = "a person lets 3f2c1ab reach all clusters at once, 2 of them before it is proven"
    text = render_plan(plan, colour=True)
    assert re.search(rf"\x1b\[31;1m! Rollout: {loud}", text)
    assert f"🛑 **Rollout:** {loud}" in render_plan_markdown(plan)


def test_a_plan_without_waves_and_a_steady_one_say_nothing_of_them() -> None:
    steady = replace(quiet(), rollout=RolloutView(STABLE))
    for plan in (quiet(), steady):
        for text in (render_plan(plan), render_plan_markdown(plan)):
            assert "ollout" not in text
        assert 'id="rollout"' not in render_html(plan)
    assert "rollout" not in plan_document(quiet())
    assert plan_document(steady)["rollout"]["phase"] == "Steady"


def test_a_pull_request_has_the_whole_fleet_first_and_then_the_order() -> None:
    base = AgainstBase("main", "a" * 40)
    plan = replace(rolling(complete=True, events=(STARTED,)), base=base)
    for text in (render_plan(plan), render_plan_markdown(plan, limit=20_000)):
        flat = " ".join(text.replace("> ", "").split())
        assert "his is what the whole fleet comes to; the order is below" in flat
        assert flat.index("whole fleet") < flat.index("Rollout of 3f2c1ab")
        assert "This run" not in flat
    assert "the whole fleet comes to" in render_html(plan)


def test_a_run_that_only_waits_says_so_in_a_line() -> None:
    plan = replace(quiet(), rollout=road(), notices=(), health=())
    assert render_result(RunResult(plan)).splitlines()[0] == HEADLINE


def test_markdown_has_a_row_for_each_wave() -> None:
    rows = [line for line in render_plan_markdown(rolling()).splitlines() if "**gcp-eu**" in line]
    assert rows == [
        "| 2 eu | ▶️ now, takes at least 12 min | **gcp-eu**: on 3f2c1ab, not well yet: "
        "Deployment shop/web: 1 of 3 ready |"
    ]


def test_the_page_draws_waves_as_columns_and_lists_the_commit_of_each_cluster() -> None:
    page = render_html(rolling())
    columns = re.findall(r'<li class="wave (\w+)"( aria-current="step")?>', page)
    assert columns == [("done", ""), ("current", ' aria-current="step"'), ("coming", "")]
    assert '<a href="#search=gcp-us">gcp-us</a>' in page
    assert "<td>rest<br><code>9be01d2</code></td>" in page
    assert "wave eu, on 3f2c1ab, not well yet" in page


def test_a_wave_of_hundreds_is_cut_to_what_can_be_seen() -> None:
    many = tuple(RolloutCluster(f"c{n:03}", STABLE, ClusterStep.WAITS) for n in range(300))
    plan = rolling(waves=(RolloutWave("all", "coming", many),))
    assert "240 more clusters" in render_html(plan)
    assert "c000, c001, c002, c003, c004 and 295 more: on 9be01d2, waits" in render_plan(plan)


def test_json_has_it_as_the_schema_says() -> None:
    for plan in (rolling(events=(STARTED,)), rolling(since=0.0, phase="Held", reason="so")):
        document = json.loads(report_as_json(plan_document(plan)))
        jsonschema.validate(document, SCHEMA)
    found = plan_document(rolling(events=(STARTED,)))["rollout"]
    assert found["candidate"] == CANDIDATE
    assert found["since"] == "2026-03-01T10:00:00+00:00"
    assert found["waves"][2]["clusters"][0]["changes"] == {"create": 3, "update": 1, "failed": 1}
    assert found["events"] == [{"event": "Started", "text": STARTED[1]}]


def test_names_of_waves_and_reasons_act_in_no_report() -> None:
    wave = RolloutWave(
        HOSTILE, "current", (RolloutCluster(HOSTILE, HOSTILE, ClusterStep.BEGUN, HOSTILE),)
    )
    view = road(waves=(wave,), reason=HOSTILE, phase="Failed")
    plan: Plan = replace(hostile(), rollout=view)
    page = render_html(plan)
    assert HOSTILE not in page
    assert "<script>window" not in page
    assert HOSTILE not in render_plan_markdown(plan)
    assert "\x1b" not in render_plan(plan)


def test_the_length_of_the_road_is_that_of_what_is_left() -> None:
    assert headline(road(complete=True)).endswith(
        ": at least 42 min until every cluster has it, 1 wave waits for a person, 1 wave has gates"
    )
    assert headline(road(complete=True, waves=())).endswith(": 0 waves to go")


def test_counts_are_in_the_order_of_summaries() -> None:
    one = RolloutCluster("a", STABLE, ClusterStep.WAITS, changes={"prune": 1, "create": 2})
    assert changes_text(one) == "2 to create, 1 to prune"
