"""Plans and results as the terminal shows them."""

from __future__ import annotations

import dataclasses

import pytest
from msgspec.structs import replace

from reconciler.failover.cluster_health import Absence
from reconciler.plan.model import (
    ABSENT,
    ClusterPlan,
    FieldChange,
    Plan,
    RecordOutcome,
    RunResult,
    WorkloadRow,
)
from reconciler.report.markdown import render_plan_markdown
from reconciler.report.text import render_plan, render_result
from tests.unit.report.changes import CANARY, CATALOG, FRONTEND_DRIFT, SECRET_UPDATE, deployment
from tests.unit.report.fleets import (
    failover,
    guarded,
    large_fleet,
    quiet,
    run_of_web_shop,
    web_shop,
)
from tests.unit.report.hostile import hostile, run_of_hostile


def one_cluster(*fields: FieldChange) -> Plan:
    change = dataclasses.replace(FRONTEND_DRIFT, fields=fields)
    return Plan("shop", (ClusterPlan("aws-eu", changes=(change,)),))


def test_what_clusters_share_is_told_once_and_what_is_odd_comes_first() -> None:
    text = render_plan(web_shop(), width=80)
    assert "aws-eu, gcp-eu, gcp-us\n  Service\n    + shop/reviews  port 8080, 9090\n" in text
    assert text.count("shop/catalog  changed in Git") == 1
    assert "…catalog:5.2.1 -> …catalog:5.3.0" in text
    first = text.splitlines()[0]
    assert first.startswith("Warning: nothing is pruned in gcp-us: the API group")
    assert "    ± shop/catalog-import  needs recreate: spec.template is immutable" in text
    assert text.rstrip().endswith("1 failed over 3 clusters; 103 unchanged.")


def test_replicas_of_a_workload_are_told_by_what_changes_alike() -> None:
    text = render_plan(web_shop())
    assert "  shop/catalog: aws-eu, gcp-eu 4 -> 5; gcp-us 2; in all 10 -> 12\n" in text
    assert "shop/recommendations: gcp-eu 2 -> 0; gcp-us 2 -> 4; in all 4\n" in text
    assert "      2 fit nowhere\n" in text
    assert "shop/gateway" not in text


def test_a_failover_tells_the_outage_the_moves_and_the_records() -> None:
    text = render_plan(failover())
    assert text.startswith("Simulated: an outage of region=eu-central-1\n! aws-eu is left out")
    assert "Moves\n  not moved from aws-eu: shop/api (it has run there)\n" in text
    assert "  ~ frontend.shop.example.com. A: 192.0.2.10, 198.51.100.7 -> 198.51.100.7" in text


def test_a_guard_is_told_first_and_again_with_what_to_do_at_the_end() -> None:
    text = render_plan(guarded())
    assert text.startswith("Stopped by a guard: aws-eu: 14 deletions")
    assert "Nothing will be written. Look at what would be deleted; pass" in text


def test_a_large_fleet_is_named_by_what_its_clusters_have_in_common() -> None:
    plan = large_fleet()
    text = render_plan(plan, width=80)
    assert "39 of 40 clusters: all but gcp-us-central1-07\n" in text
    assert text.count("shop/catalog  changed in Git") == 1
    assert "17 more clusters; in all 183 -> 213" in text
    assert len(text.splitlines()) < 40
    everything = render_plan(plan, width=80, verbose=True)
    assert all(c.name in everything for c in plan.clusters if c.provider == "aws")


def test_all_clusters_of_a_provider_are_called_so() -> None:
    clusters = tuple(
        replace(c, changes=(FRONTEND_DRIFT,) if c.provider == "aws" else ())
        for c in large_fleet(48).clusters
    )
    aws = [cluster.name for cluster in clusters if cluster.provider == "aws"]
    text = render_plan(Plan("shop", clusters))
    assert f"{len(aws)} of 48 clusters: all of aws\n" in text
    some = tuple(replace(c, changes=c.changes if c.name not in aws[1:8] else ()) for c in clusters)
    assert f"clusters: {aws[0]}, {aws[8]}" in render_plan(Plan("shop", some))
    assert aws[-1] in render_plan(Plan("shop", some), verbose=True)


def test_clusters_that_are_away_for_one_reason_share_a_line() -> None:
    away = [
        ClusterPlan(f"edge-{n}", reachable=False, absence=Absence("no route")) for n in range(9)
    ]
    text = render_plan(Plan("shop", tuple(away)))
    assert "! edge-0, edge-1, edge-2, edge-3, edge-4 and 4 more are left out: no route\n" in text


def test_nothing_to_do_is_one_line() -> None:
    assert render_plan(quiet()) == "No changes over 2 clusters; 78 objects as Git says.\n"


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("make", [web_shop, large_fleet, failover, guarded])
def test_lines_fit_the_terminal(make: object, width: int) -> None:
    text = render_plan(make(), width=width)  # type: ignore[operator]
    assert [line for line in text.splitlines() if len(line) > width] == []


def test_long_values_are_cut_where_they_are_alike() -> None:
    name = "registry.example.com/a/very/long/path/to/the/image/of/web"
    plan = one_cluster(FieldChange("spec.image", f"{name}:1", f"{name}:2"))
    assert "…web:1 -> …web:2" in render_plan(plan, width=80)


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        (1, "1", 'data.x: 1 -> "1"'),
        ("true", True, 'data.x: "true" -> true'),
        ("null", None, 'data.x: "null" -> null'),
        ("[1]", [1], 'data.x: "[1]" -> [1]'),
        ("(absent)", ABSENT, 'data.x: "(absent)" -> (absent)'),
        ("caf\u00e9", "cafe\u0301", 'data.x: "caf\\u00e9" -> "cafe\\u0301"'),
        ("1", "2", "data.x: 1 -> 2"),
    ],
)
def test_values_that_differ_are_written_differently(
    before: object, after: object, line: str
) -> None:
    plan = one_cluster(FieldChange("data.x", before, after))
    assert f"{line}\n" in render_plan(plan)
    sides = line.removeprefix("data.x: ").split(" -> ")
    markdown = render_plan_markdown(plan)
    for sign, value, text in zip("-+", (before, after), sides, strict=True):
        assert (f"{sign}     data.x: {text}" in markdown) is (value is not ABSENT)


def test_a_record_that_was_not_written_hides_nothing_of_the_plan() -> None:
    refused = RecordOutcome("example.com.", "web", "A", "update", "failed", "refused")
    text = render_result(RunResult(web_shop(), records=(refused,)))
    assert text.startswith(render_plan(web_shop()))
    assert "! DNS example.com.: 1 record not written, the next run tries again: refused" in text


def test_many_fields_are_counted_unless_all_are_asked_for() -> None:
    plan = one_cluster(*(FieldChange(f"data.key{n}", n, n + 1) for n in range(20)))
    assert "… and 8 more fields (--verbose shows all)" in render_plan(plan)
    assert "data.key19: 19 -> 20" in render_plan(plan, verbose=True)


def test_verbose_tells_where_in_git_an_object_stands() -> None:
    plan = Plan("shop", (ClusterPlan("aws-eu", changes=(CATALOG,)),))
    assert CATALOG.origin in render_plan(plan, verbose=True)
    assert CATALOG.origin not in render_plan(plan)


def test_colours_are_used_only_where_asked_for() -> None:
    assert "\x1b" not in render_plan(web_shop())
    assert "\x1b[33m~ shop/catalog" in render_plan(web_shop(), colour=True)


def test_control_characters_do_not_reach_the_terminal() -> None:
    for text in (render_plan(hostile()), render_result(run_of_hostile())):
        assert "\x1b" not in text
        assert "\u202e" not in text


def test_what_is_in_a_secret_is_never_shown() -> None:
    assert SECRET_UPDATE in web_shop().clusters[0].changes
    assert CANARY not in render_plan(web_shop(), verbose=True)
    assert CANARY not in render_result(run_of_web_shop(), verbose=True)


def test_a_result_tells_what_failed_and_what_was_skipped() -> None:
    text = render_result(run_of_web_shop(), with_plan=False)
    assert text == (
        "! gcp-eu: Job shop/catalog-import: recreate failed: admission webhook "
        "quota.example.com denied the\n  request\n"
        "· gcp-eu: CronJob shop/nightly-report: prune skipped: pruning waits for what failed\n"
        "Done: 8 created, 7 updated, 1 adopted, 1 orphaned, 2 failed, 1 skipped.\n"
    )


def test_replicas_that_leave_a_cluster_are_a_change() -> None:
    row = WorkloadRow(deployment("web"), {"a": 2, "b": 0}, {"a": 2})
    assert "Replicas" not in render_plan(Plan("shop", (), workloads=(row,)))
    gone = replace(row, after={})
    assert "shop/web: a 2 -> 0; b 0; in all 2 -> 0" in render_plan(
        Plan("shop", (), workloads=(gone,))
    )


def test_every_action_has_its_own_mark() -> None:
    text = render_plan(web_shop())
    marks = {
        line[4] for line in text.splitlines() if line[:4] == "    " and line[4] != line[5] == " "
    }
    assert marks == set("!-±~&o+")
