"""What the page of the fleet remembers of runs, and what it says of them first."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from reconciler.api.errors import SourceError
from reconciler.plan.model import Action
from reconciler.report.events import EventDraft, event_drafts_of
from reconciler.report.finished_run import failures_of_error, failures_of_plan
from reconciler.report.page_changes import change_anchors
from reconciler.serve import run_history
from reconciler.serve.attention import ill_items, waiting_items
from reconciler.serve.fleet_snapshot import FleetSnapshot, Remaining
from reconciler.serve.live_page import LivePage
from reconciler.serve.live_view import live_view
from reconciler.serve.run_history import MOST_RUNS, RunHistory
from tests.unit.report.changes import CATALOG, deployment
from tests.unit.report.fleets import (
    guarded,
    large_fleet,
    run_of_web_shop,
    unwell,
    web_shop,
)
from tests.unit.serve.live_fleets import calm_fleet, snapshot, with_one_down

NO_GIT = failures_of_error(SourceError("no such ref"))
DOWN = EventDraft("Warning", "ClusterDown", "Failover", "aws-eu counts as down", "aws-eu@1")
BACK = EventDraft("Normal", "ClusterBack", "Failback", "aws-eu answers again", "aws-eu@9")


def kept(*snapshots: FleetSnapshot) -> RunHistory:
    history = RunHistory()
    for one in snapshots:
        history.add(one)
    return history


def test_the_newest_run_comes_first_and_the_oldest_goes() -> None:
    plans = (calm_fleet(8), calm_fleet(9))
    history = kept(*(snapshot(plans[n % 2], n) for n in range(MOST_RUNS + 5)))
    assert len(history.rows) == MOST_RUNS
    assert history.rows[0].id.endswith(f"{MOST_RUNS + 4:06x}")
    assert [row for row in history.rows if not row.href] == []
    assert history.report(snapshot(None, 4).run.id) is None
    assert history.report(snapshot(None, 5).run.id)


def test_runs_that_found_the_same_share_their_report() -> None:
    history = kept(*(snapshot(calm_fleet(8), n) for n in range(3)), snapshot(calm_fleet(9), 3))
    bodies = [history.report(row.id) for row in history.rows]
    assert bodies[1] is bodies[2] is bodies[3]
    assert bodies[0] != bodies[1]


def test_reports_have_so_many_bytes_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(kept(snapshot(web_shop())).report(snapshot(None).run.id) or b"")
    monkeypatch.setattr(run_history, "MOST_REPORT_BYTES", 2 * size + size // 2)
    history = kept(*(snapshot(web_shop(), n) for n in range(5)))
    assert [bool(row.href) for row in history.rows] == [True, True, False, False, False]


def test_a_cluster_that_stays_down_is_told_once_and_that_it_is_back() -> None:
    plan = calm_fleet(8)
    history = kept(
        *(snapshot(plan, n, drafts=(DOWN,)) for n in range(3)),
        snapshot(plan, 4, drafts=(BACK,)),
        snapshot(plan, 5),
        snapshot(plan, 6, drafts=(DOWN,)),
    )
    told = [entry.what for entry in history.entries]
    assert told == ["Cluster down", "Cluster back", "Cluster down"]


def test_runs_that_fail_for_the_same_reason_are_told_once_and_their_end() -> None:
    def failing(number: int) -> FleetSnapshot:
        one = snapshot(None, number, failures=NO_GIT)
        return FleetSnapshot(one.run, event_drafts_of(one.run, {}))

    history = kept(failing(1), failing(2), failing(3), snapshot(calm_fleet(8), 4))
    assert [entry.what for entry in history.entries] == ["Runs are well again", "Run failed"]
    assert history.entries[0].text == "after 3 min"
    assert [row.word for row in history.rows] == ["plan", "failed", "failed", "failed"]


def test_a_run_that_fails_leaves_the_fleet_as_it_was_seen_last() -> None:
    page = LivePage(print)
    page.show(snapshot(calm_fleet(8), 1))
    page.show(snapshot(None, 2, failures=NO_GIT))
    page.flush()
    view = page.fragments.content.view
    assert view is not None
    assert len(view.clusters) == 8
    assert view.headline == ("All 8 clusters are well; the last run came to no plan")
    assert [(one.who, one.text) for one in view.ill] == [("The last run", "no such ref")]
    page.close()


# -- what is said first ----------------------------------------------------------------------------


def said(one: FleetSnapshot) -> tuple[list[str], list[str]]:
    assert one.findings
    ill, waiting = ill_items(one, one.findings), waiting_items(one, one.findings)
    return [f"{i.sign} {i.who}: {i.text}" for i in ill], [f"{i.who}: {i.text}" for i in waiting]


def test_clusters_that_are_not_well_the_gravest_first() -> None:
    ill, _ = said(snapshot(unwell()))
    assert [one.partition(":")[0] for one in ill[:4]] == [
        "down aws-eu",
        "unknown gcp-us",
        "degraded aws-us",
        "degraded gcp-asia",
    ]
    assert "10.0.0.1:6443 refused the connection" in ill[0]


def test_of_many_only_some_are_named_and_the_others_counted() -> None:
    plan = calm_fleet(60)
    for cluster in plan.clusters[:30]:
        plan = with_one_down(plan, cluster.name)
    ill, _ = said(snapshot(plan))
    assert len(ill) < 20
    assert "down 22 more clusters are not well: " in ill


def test_a_workload_that_is_not_ready_says_where_and_why() -> None:
    ill, _ = said(snapshot(calm_fleet(8), ready=1))
    assert any("Deployment shop/cart" in one and "1 are missing" in one for one in ill)


def test_changes_wait_for_whoever_may_write() -> None:
    _, waiting = said(snapshot(large_fleet(8)))
    assert any("runs of this process only plan; 9 changes" in one for one in waiting)
    _, waiting = said(snapshot(web_shop(), result=run_of_web_shop(), plan_only=False))
    assert any(one.startswith("gcp-eu: not made by the last run:") for one in waiting)
    assert any("nothing is pruned: the API group metrics.k8s.io" in one for one in waiting)


def test_what_waits_for_a_window_says_until_when() -> None:
    one = snapshot(calm_fleet(8))
    assert one.findings
    why = "waits until 2026-12-01 02:00 CET (Cluster aws-eu: maintenance)"
    name = one.findings.plan.clusters[0].name
    left = {name: (Remaining(Action.WAITING, deployment("web"), why),)}
    found = replace(one.findings, remaining=left)
    _, waiting = said(FleetSnapshot(one.run, (), found))
    assert waiting == [f"{name}: {why}; 1 change (Deployment shop/web)"]
    row = live_view(one, found).clusters[0]
    assert row.waits == (why,)


def test_a_guard_says_that_nothing_is_written() -> None:
    plan = guarded()
    _, waiting = said(snapshot(plan, failures=failures_of_plan(plan)))
    assert waiting[0].startswith("Stopped by a guard: aws-eu: 14 deletions")


def test_a_commit_that_waits_is_named() -> None:
    plan = calm_fleet(8)
    one = snapshot(plan)
    assert one.findings
    change = Remaining(Action.UPDATE, deployment("web"), "changed in Git")
    name = plan.clusters[0].name
    members = tuple(replace(m, commit="0123456789") for m in one.findings.members)
    found = replace(one.findings, remaining={name: (change,)}, members=members)
    first, second = live_view(one, found).clusters[:2]
    assert (first.commit, first.wanted_commit) == ("0123456", plan.commit[:7])
    assert (second.commit, second.wanted_commit) == (plan.commit[:7], "")


def test_every_change_on_the_report_can_be_linked_to() -> None:
    anchors = change_anchors(web_shop())
    assert len({*anchors.values()}) == 13
    assert anchors["aws-eu", CATALOG.key] == anchors["gcp-eu", CATALOG.key]
    assert len(change_anchors(web_shop(), most=3).keys() & anchors.keys()) < len(anchors)
