"""People are told of failures, failovers and recoveries: once for each change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from msgspec.structs import replace

from reconciler.federation.model import SecretReference
from reconciler.report.delivery import NotDelivered
from reconciler.report.finished_run import Failure, FailureKind, FinishedRun, failures_of_result
from reconciler.report.notifications import (
    NotificationReason,
    Receiver,
    address_from_environment,
    deliver_notifications,
    message,
    notifications_of,
    receivers_of,
)
from reconciler.shard.split import Shard
from reconciler.state.memory import NotifiedState, Phase
from tests.unit.report.fleets import run_of_web_shop
from tests.unit.report.hostile import HOSTILE, run_of_hostile
from tests.unit.report.runs import STARTED, plan, run

SCHEMA = json.loads((Path(__file__).parents[3] / "schemas" / "notification.json").read_text())
WEBHOOK = Receiver("Webhook", env="HOOK_URL")
SLACK = Receiver("Slack", env="SLACK_URL")


def history(*runs: FinishedRun) -> list[list[str]]:
    """The titles that somebody is told by one run after the other."""
    states: dict[str, str] = {}
    told = []
    for one in runs:
        tidings, states = notifications_of(one, states)
        told.append([tiding.title for tiding in tidings])
    return told


def test_a_failure_is_told_once_and_its_end_is_told() -> None:
    well, ill = run(), run(None, "aws-eu")
    assert history(well, ill, ill, ill, well, well) == [
        [],
        ["Federation shop does not run as Git says"],
        [],
        [],
        ["Federation shop runs as Git says again"],
        [],
    ]


def test_another_failure_is_told_as_such() -> None:
    both = plan(aws_eu=Phase.UP, gcp_eu=Phase.UP)
    assert history(run(both, "aws-eu"), run(both, "aws-eu", "gcp-eu"))[1] == [
        "Federation shop fails otherwise than before"
    ]


def test_figures_that_change_are_no_news() -> None:
    def guard(count: int) -> FinishedRun:
        text = f"aws-eu: {count} deletions, maxDeletions allows 10"
        failure = Failure(FailureKind.GUARD, text, subject="aws-eu: # deletions")
        return run(failures=(failure,))

    assert history(guard(41), guard(42)) == [["Federation shop does not run as Git says"], []]


def test_an_outage_and_the_return_are_told_by_cluster() -> None:
    up, down, back = (plan(aws_eu=p) for p in (Phase.UP, Phase.DOWN, Phase.RETURNING))
    assert history(run(up), run(down), run(down), run(back), run(up)) == [
        [],
        ["aws-eu (aws, eu-central-1) counts as down"],
        [],
        ["aws-eu (aws, eu-central-1) answers again and takes over its share again"],
        [],
    ]


def test_what_a_stopped_or_locked_run_did_not_see_is_no_recovery() -> None:
    ill = run(None, "aws-eu")
    for kind in (FailureKind.STOPPED, FailureKind.LOCKED):
        stopped = run(failures=(Failure(kind, "another run holds the lock"),))
        assert history(ill, stopped, ill) == [["Federation shop does not run as Git says"], [], []]


def test_a_cluster_that_left_git_is_forgotten() -> None:
    down = run(plan(aws_eu=Phase.DOWN, gcp_eu=Phase.UP))
    _, states = notifications_of(down, {})
    assert "cluster/aws-eu" in states
    tidings, states = notifications_of(run(plan(gcp_eu=Phase.UP)), states)
    assert states == {}
    assert not tidings


def test_pods_that_share_a_run_tell_each_of_itself() -> None:
    def pod(index: int, *failing: str) -> FinishedRun:
        alone = replace(plan(aws_eu=Phase.UP), health=())
        return run(alone, *failing, shard=Shard(index, 2, "round"))

    assert history(pod(0), pod(1, "aws-eu"), pod(0), pod(1, "aws-eu"), pod(0), pod(1)) == [
        [],
        ["Federation shop (shard 1/2) does not run as Git says"],
        [],
        [],
        [],
        ["Federation shop (shard 1/2) runs as Git says again"],
    ]


def test_one_run_of_all_clusters_speaks_for_the_pods_before_it() -> None:
    pod = run(None, "aws-eu", shard=Shard(3, 4, "round"))
    assert history(pod, run())[1] == ["Federation shop runs as Git says again"]
    fewer = run(shard=Shard(0, 2, "round"))
    assert history(pod, fewer)[1] == ["Federation shop (shard 0/2) runs as Git says again"]


def test_what_could_not_be_delivered_is_told_by_the_next_run() -> None:
    sent: list[str] = []
    works = False

    def deliver(address: str, body: bytes, headers: Any) -> None:
        if not works:
            raise NotDelivered("answers HTTP 503")
        sent.append(json.loads(body)["tidings"][0]["title"])

    ill = run(None, "aws-eu")
    told, warnings = deliver_notifications(
        ill, [WEBHOOK], NotifiedState(), lambda _: "http://there", deliver
    )
    assert warnings == [
        "no notification was sent by Webhook (variable HOOK_URL): it answers HTTP 503"
    ]
    works = True
    told, warnings = deliver_notifications(ill, [WEBHOOK], told, lambda _: "http://there", deliver)
    assert not warnings
    assert sent == ["Federation shop does not run as Git says"]
    assert deliver_notifications(ill, [WEBHOOK], told, lambda _: "http://there", deliver)[0] == told
    assert len(sent) == 1


def test_each_receiver_is_told_what_it_asked_for() -> None:
    sent: list[tuple[str, list[str]]] = []

    def deliver(address: str, body: bytes, headers: Any) -> None:
        sent.append((address, [one["on"] for one in json.loads(body)["tidings"]]))

    only_outages = replace(
        SLACK, type="Webhook", occasions=frozenset({NotificationReason.FAILOVER})
    )
    both = run(plan(aws_eu=Phase.DOWN, gcp_eu=Phase.UP), "gcp-eu")
    deliver_notifications(both, [WEBHOOK, only_outages], NotifiedState(), lambda r: r.env, deliver)
    assert sent == [("HOOK_URL", ["failover", "failure"]), ("SLACK_URL", ["failover"])]


def test_receivers_are_read_as_they_are_written() -> None:
    found = receivers_of(
        [
            {"type": "Slack", "urlFrom": {"secretRef": {"name": "slack"}}},
            {"type": "Webhook", "urlFrom": {"env": "HOOK_URL"}, "on": ["failover"]},
        ]
    )
    assert found == (
        Receiver("Slack", secret=SecretReference("slack", "", "url")),
        Receiver("Webhook", "HOOK_URL", occasions=frozenset({NotificationReason.FAILOVER})),
    )
    assert found[0].name == "Slack (Secret slack)"


def test_a_variable_that_is_empty_is_named() -> None:
    with pytest.raises(NotDelivered, match="the variable HOOK_URL is empty"):
        address_from_environment(WEBHOOK, {"HOOK_URL": " "})


def ill_runs() -> list[FinishedRun]:
    hostile, shop = run_of_hostile(), run_of_web_shop()
    return [
        run(plan(aws_eu=Phase.DOWN), "aws-eu"),
        FinishedRun("id", STARTED, 1.0, failures=(Failure(FailureKind.SOURCE, "no connection"),)),
        *(
            FinishedRun("id", STARTED, 1.0, "shop", one.plan, one, failures=failures_of_result(one))
            for one in (hostile, shop)
        ),
    ]


@pytest.mark.parametrize("ill", ill_runs())
def test_a_webhook_gets_what_the_schema_says(ill: FinishedRun) -> None:
    tidings, _ = notifications_of(ill, {})
    body, headers = message(WEBHOOK, ill, tidings)
    assert headers == {"content-type": "application/json"}
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(body))


@pytest.mark.parametrize("ill", ill_runs())
def test_slack_gets_blocks_within_its_limits_and_no_live_markup(ill: FinishedRun) -> None:
    tidings, _ = notifications_of(ill, {})
    body, _ = message(SLACK, ill, tidings)
    document = json.loads(body)
    assert 0 < len(document["text"]) <= 3000
    assert 0 < len(document["blocks"]) <= 50
    for block in document["blocks"]:
        for text in [block["text"]] if "text" in block else block["elements"]:
            assert len(text["text"]) <= 3000
            assert "<" not in text["text"]
            assert ">" not in text["text"]
    assert HOSTILE not in body.decode()
