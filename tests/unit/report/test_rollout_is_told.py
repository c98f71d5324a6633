"""A rollout wherever runs tell of themselves: metrics, Events, messages and logs."""

from __future__ import annotations

from msgspec.structs import replace

from reconciler.report.events import event_drafts_of
from reconciler.report.finished_run import FinishedRun
from reconciler.report.logs import log_entries_of
from reconciler.report.metrics import metrics_of, render_metrics
from reconciler.report.notifications import Notification, NotificationReason, notifications_of
from reconciler.rollout.model import RolloutEvent, RolloutView
from reconciler.shard.split import Shard
from tests.unit.report.rollouts import CANDIDATE, FAILED, STARTED, road
from tests.unit.report.runs import STARTED as BEGUN
from tests.unit.report.runs import plan, run

PROMOTED = (RolloutEvent.PROMOTED, 'wave 3 of 3 "rest" begins: gcp-us')
COMPLETED = (RolloutEvent.COMPLETED, "3f2c1ab is the stable commit")
STEADY = RolloutView(CANDIDATE)


def rolled(view: RolloutView | None) -> FinishedRun:
    return run(replace(plan(), rollout=view))


def told(view: RolloutView | None, known: dict[str, str]) -> tuple[Notification, ...]:
    """What is new to a receiver, who knows it from then on."""
    news, after = notifications_of(rolled(view), known)
    known.clear()
    known.update(after)
    return news


def third_wave() -> RolloutView:
    first, second, third = road().waves
    return road(waves=(first, replace(second, state="done"), replace(third, state="current")))


def test_metrics_have_phase_wave_progress_and_clusters() -> None:
    text = render_metrics(metrics_of(rolled(road(progress=BEGUN - 60)))).decode()
    label = 'federation_reconciler_rollout_{}{{federation="shop"{}}} {}'
    for name, labels, value in (
        ("phase", ',phase="Progressing"', "1.0"),
        ("phase", ',phase="Steady"', "0.0"),
        ("wave", "", "2.0"),
        ("waves", "", "3.0"),
        ("seconds_since_progress", "", "62.5"),
        ("soak_seconds", "", "900.0"),
        ("clusters", ',step="well"', "1.0"),
        ("clusters", ',step="down"', "0.0"),
    ):
        assert label.format(name, labels, value) in text


def test_without_waves_every_commit_is_steady_at_once() -> None:
    for view in (None, STEADY):
        text = render_metrics(metrics_of(rolled(view))).decode()
        assert 'rollout_phase{federation="shop",phase="Steady"} 1.0' in text
        assert 'rollout_seconds_since_progress{federation="shop"} 0.0' in text


def test_each_thing_that_a_run_brings_is_an_event_once() -> None:
    (begun,) = event_drafts_of(rolled(road(events=(STARTED,))), {})
    assert (begun.reason, begun.type, begun.note) == ("RolloutStarted", "Normal", STARTED[1])
    (failed,) = event_drafts_of(rolled(road(events=(FAILED,), phase="Failed")), {})
    assert (failed.reason, failed.type) == ("RolloutFailed", "Warning")
    assert not event_drafts_of(rolled(road()), {})
    again, later = (
        event_drafts_of(rolled(replace(view, events=(PROMOTED,))), {})[0].key
        for view in (road(), third_wave())
    )
    assert again != later, "two promotions of one commit are two Events"


def test_receivers_are_told_of_start_promotion_and_end_once() -> None:
    known: dict[str, str] = {}
    (begins,) = told(road(events=(STARTED,)), known)
    assert begins.occasion is NotificationReason.ROLLOUT
    assert begins.title == "Federation shop: a commit begins to reach the fleet"
    assert begins.lines[0] == STARTED[1]
    assert not told(road(events=(STARTED,)), known)
    assert not told(road(), known)
    (goes_on,) = told(replace(third_wave(), events=(PROMOTED,)), known)
    assert goes_on.title == "Federation shop: a commit goes on to the next wave"
    (ends,) = told(replace(STEADY, events=(COMPLETED,)), known)
    assert ends.title == "Federation shop: a commit has reached every cluster"
    assert not told(STEADY, known)


def test_a_failure_is_told_to_those_who_want_failures() -> None:
    known: dict[str, str] = {}
    told(road(), known)
    (fails,) = told(road(phase="Failed", reason="wave 2, eu: no progress", events=(FAILED,)), known)
    assert fails.occasion is NotificationReason.FAILURE
    assert any("has failed in wave 2, eu: no progress" in line for line in fails.lines)


def test_what_could_not_be_delivered_is_told_by_the_next_run_as_it_is_then() -> None:
    known: dict[str, str] = {}
    told(road(), known)
    (late,) = told(road(phase="Failed", reason="wave 2, eu: no progress"), known)
    assert late.occasion is NotificationReason.FAILURE
    assert late.title.startswith("Federation shop: Rollout of 3f2c1ab (stable 9be01d2) has failed")


def test_who_is_told_for_the_first_time_is_told_nothing_old() -> None:
    assert not told(road(), {})
    assert not told(STEADY, {})


def test_rules_that_are_gone_leave_nothing_behind() -> None:
    known: dict[str, str] = {}
    told(road(events=(STARTED,)), known)
    assert not told(None, known)
    assert not known


def test_of_several_pods_one_tells() -> None:
    view = road(events=(STARTED,))
    other = replace(rolled(view), shard=Shard(1, 2, "round"))
    assert not notifications_of(other, {})[0]


def test_logs_have_it_with_what_the_run_brings() -> None:
    entries = [
        one for one in log_entries_of(rolled(road(events=(STARTED,)))) if one.event == "rollout"
    ]
    assert [one.fields.get("change") for one in entries] == [None, "Started"]
    assert entries[0].fields["candidate"] == CANDIDATE
    assert not [one for one in log_entries_of(rolled(STEADY)) if one.event == "rollout"]
