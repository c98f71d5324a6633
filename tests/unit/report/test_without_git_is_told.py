"""A run that goes on from the kept commit says so, and since when, wherever runs tell of
themselves."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from reconciler.plan.model import Plan, WithoutGit
from reconciler.report.events import event_drafts_of
from reconciler.report.finished_run import FinishedRun
from reconciler.report.json_report import plan_document
from reconciler.report.metrics import metrics_of, render_metrics
from reconciler.report.notifications import NotificationReason, notifications_of
from reconciler.shard.split import Shard
from tests.unit.report.runs import plan, run

SINCE = 1_772_359_200.0  # 2026-03-01 10:00 UTC
SILENT = WithoutGit("a" * 40, SINCE, "https://git.example.com/fleet: no connection")


def silent() -> Plan:
    return replace(plan(), without_git=SILENT, notices=(SILENT.notice,))


def test_the_sentence_names_the_commit_and_the_time() -> None:
    assert str(SILENT) == (
        "Git does not answer since 2026-03-01 10:00 UTC; this goes on from commit aaaaaaaaaaaa, "
        "which was applied last and kept (https://git.example.com/fleet: no connection)"
    )


def test_json_has_it_as_data() -> None:
    found = plan_document(silent())["withoutGit"]
    assert found == {"since": "2026-03-01T10:00:00+00:00", "reason": SILENT.reason}
    assert "withoutGit" not in plan_document(plan())


def test_metrics_count_it() -> None:
    text = render_metrics(metrics_of(run(silent()))).decode()
    assert 'federation_reconciler_without_git{federation="shop"} 1.0' in text
    assert "without_git_since_timestamp_seconds" in text
    text = render_metrics(metrics_of(run(plan()))).decode()
    assert 'federation_reconciler_without_git{federation="shop"} 0.0' in text
    assert "without_git_since_timestamp_seconds{" not in text


def test_an_event_lasts_as_long_as_the_silence() -> None:
    first, later = (
        replace(SILENT, reason=reason) for reason in ("no connection", "the server does not answer")
    )
    keys = set()
    for one in (first, later):
        (draft,) = event_drafts_of(run(replace(plan(), without_git=one)), {})
        assert draft.reason == "GitUnreachable"
        assert draft.type == "Warning"
        assert "2026-03-01 10:00" in draft.note
        keys.add(draft.key)
    assert len(keys) == 1


def titles(*runs: FinishedRun) -> list[list[str]]:
    states: dict[str, str] = {}
    told = []
    for one in runs:
        news, states = notifications_of(one, states)
        told.append([f"{new.occasion}: {new.title}" for new in news])
    return told


def test_people_are_told_once_when_it_begins_and_when_it_ends() -> None:
    assert titles(run(plan()), run(silent()), run(silent()), run(plan()), run(plan())) == [
        [],
        [f"{NotificationReason.FAILURE}: Federation shop goes on without Git"],
        [],
        [f"{NotificationReason.RECOVERY}: Federation shop has Git again"],
        [],
    ]


def test_of_pods_that_share_a_run_one_tells() -> None:
    first, second = (replace(run(silent()), shard=Shard(index, 2)) for index in (0, 1))
    assert [len(one) for one in titles(second, first)] == [0, 1]


def test_a_run_that_saw_no_repository_changes_nothing() -> None:
    (begun, failed, ended) = titles(
        run(silent()), FinishedRun("id", SINCE, 1.0, federation="shop"), run(plan())
    )
    assert (len(begun), failed, len(ended)) == (1, [], 1)


@pytest.mark.parametrize("of", [silent, plan])
def test_the_document_fits_the_schema(of: object) -> None:
    import jsonschema

    from reconciler.manifests.own_schemas import load_schema

    assert callable(of)
    jsonschema.validate(json.loads(json.dumps(plan_document(of()))), load_schema("plan.json"))
