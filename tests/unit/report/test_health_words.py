"""How the health of clusters is told, in every format."""

from __future__ import annotations

from msgspec.structs import replace

from reconciler.api.moves import ReplicasKept
from reconciler.api.objects import ObjectKey
from reconciler.failover.cluster_health import Absence
from reconciler.plan.model import ClusterPlan, Plan, RunResult
from reconciler.report.headlines import Health, fleet_health
from reconciler.report.html import render_html
from reconciler.report.json_report import plan_document
from reconciler.report.markdown import render_plan_markdown
from reconciler.report.text import render_plan, render_result
from tests.unit.report.fleets import quiet, unwell


def test_every_state_has_a_sign_and_a_word() -> None:
    assert fleet_health(unwell()) == {
        "aws-eu": Health(
            "down", "down", "10.0.0.1:6443 refused the connection; since 2026-03-01 12:00 UTC"
        ),
        "aws-us": Health(
            "degraded",
            "unhealthy",
            "1 of 4 nodes are ready; counts as down when it stays so for 2m more",
        ),
        "gcp-asia": Health("degraded", "coming back", "since 2026-03-01 12:00 UTC"),
        "gcp-eu": Health("ok", "healthy", "3 of 4 nodes ready"),
        "gcp-us": Health("unknown", "unknown", "no credential; its writes wait, nothing moves"),
    }


def test_without_probes_it_counts_whether_a_cluster_could_be_looked_at() -> None:
    plan = Plan(
        "shop", (ClusterPlan("a"), ClusterPlan("b", reachable=False, absence=Absence("no route")))
    )
    assert fleet_health(plan) == {
        "a": Health("ok", "reachable"),
        "b": Health("down", "unreachable", "no route"),
    }


def test_a_cluster_that_is_well_and_does_not_answer_is_unreachable() -> None:
    plan = unwell()
    gone = replace(plan.clusters[3], reachable=False, absence=Absence("timed out"))
    health = fleet_health(replace(plan, clusters=(gone,)))["gcp-eu"]
    assert health == Health("down", "unreachable", "timed out; 3 of 4 nodes ready")


def test_the_terminal_tells_who_is_unwell_and_what_comes_of_it() -> None:
    text = render_plan(unwell(), width=200)
    assert (
        "! aws-eu is down: 10.0.0.1:6443 refused the connection; since 2026-03-01 12:00 UTC" in text
    )
    assert "! gcp-us is left out: no credential; its writes wait, nothing moves\n" in text
    assert "Warning: aws-us is unhealthy: 1 of 4 nodes are ready; counts as down when" in text
    assert "Warning: gcp-asia is coming back: since 2026-03-01 12:00 UTC\n" in text
    assert "gcp-eu is" not in text


def test_a_run_with_nothing_to_do_tells_all_the_same_who_is_unwell() -> None:
    plan = unwell()
    names = ("aws-us", "gcp-asia")
    well = tuple(replace(c, changes=()) for c in plan.clusters if c.name in names)
    text = render_result(RunResult(replace(plan, clusters=well, notices=())), width=200)
    assert "Warning: aws-us is unhealthy: 1 of 4 nodes are ready" in text
    assert "Warning: gcp-asia is coming back" in text
    web = ObjectKey("apps", "Deployment", "shop", "web")
    waiting = replace(quiet(), moves=(ReplicasKept("aws-eu", web, 3, 1),))
    told = "shop/web: aws-eu keeps 3 (of which 1 until as many are ready elsewhere)"
    assert told in render_result(RunResult(waiting))


def test_the_comment_has_a_sign_for_each_cluster() -> None:
    text = render_plan_markdown(unwell())
    assert "| aws-eu | ❌ down |" in text
    assert "| aws-us | ⚠️ unhealthy |" in text
    assert "| gcp-us | ❔ unknown |" in text
    assert "| gcp-eu | ✅ healthy |" in text


def test_the_page_draws_each_state_differently() -> None:
    page = render_html(unwell())
    for sign, name in (
        ("down", "aws-eu: down"),
        ("degraded", "aws-us: unhealthy"),
        ("degraded", "gcp-asia: coming back"),
        ("ok busy", "gcp-eu: healthy"),
        ("unknown", "gcp-us: unknown"),
    ):
        assert f'<a class="tile {sign}" href="#search={name.partition(":")[0]}"' in page
        assert f'aria-label="{name}' in page


APART = "seen well from aws-eu and onprem, not from gcp-eu"


def test_that_seats_see_a_cluster_differently_is_told_in_every_format() -> None:
    plan = unwell()
    health = tuple(
        replace(one, seen=APART)
        if one.cluster == "gcp-eu"
        else replace(one, seen=APART, outlook=f"not declared down: {APART}")
        if one.cluster == "aws-us"
        else one
        for one in plan.health
    )
    plan = replace(plan, health=health)
    text = render_plan(plan, width=200)
    assert f"Warning: gcp-eu is healthy: 3 of 4 nodes ready; {APART}\n" in text
    assert f"1 of 4 nodes are ready; not declared down: {APART}\n" in text, "and only once"
    assert render_plan_markdown(plan).count(APART) >= 2
    assert render_html(plan).count(APART) >= 2
    told = {one["cluster"]: one["seen"] for one in plan_document(plan)["health"]}
    assert (told["gcp-eu"], told["aws-eu"]) == (APART, "")
