"""Creations: conditions, lost answers, lost races, and what no refusal tells."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from kubesim.cluster import SimulatedCluster
from reconciler.api.objects import Object
from reconciler.cluster.client import Member
from reconciler.inventory.applyset import with_membership
from reconciler.inventory.managed_fields import our_entry
from reconciler.plan.diff import Question, compare
from reconciler.plan.model import Action, Change
from tests.unit.apply.changes import (
    CONFIG_MAPS,
    DIGESTER,
    KEY,
    OURS,
    SECRETS,
    THEIRS,
    before_write,
    carry_out,
    creation,
    done,
    failure,
    now,
    recorded,
    settings,
    unmarked,
    writes,
)


def test_an_object_is_created_by_one_request_and_next_time_nothing_is_to_be_done(
    member: Member, cluster: SimulatedCluster
) -> None:
    change = creation(colour="red")
    with recorded(cluster) as requests:
        result = carry_out(member, change)
    assert done(result) == ""
    assert writes(requests) == [("PATCH", 201)]
    assert len(requests) == 1
    live = now(cluster)
    assert live["data"] == {"colour": "red"}
    record, body = result.record, change.request
    assert record is not None
    assert body is not None
    assert (record.uid, record.api_version) == (live["metadata"]["uid"], "v1")
    assert compare(DIGESTER, body, live, record).question is Question.NONE
    edited = settings(colour="blue")
    assert compare(DIGESTER, edited, live, record).question is Question.EDITED
    assert result.fields == our_entry(live)["fieldsV1"]  # type: ignore[index]


def test_an_object_that_somebody_else_made_meanwhile_is_left_as_it_is(
    member: Member, cluster: SimulatedCluster
) -> None:
    theirs = cluster.create(unmarked(colour="green"))
    with recorded(cluster) as requests:
        result = carry_out(member, creation(colour="red"))
    assert "somebody else made it since it was planned" in failure(result)
    assert result.already_exists
    assert writes(requests) == [("PATCH", 409)]
    assert now(cluster) == theirs


def test_a_creation_whose_answer_was_lost_is_known_as_our_own(
    member: Member, cluster: SimulatedCluster
) -> None:
    lost = cluster.faults.reset(when="after", method="PATCH", count=1)
    result = carry_out(member, creation(colour="red"))
    assert lost.hits == 1
    assert done(result) == ""
    live = now(cluster)
    assert result.record is not None
    assert result.record.confirmed
    assert result.record.uid == live["metadata"]["uid"]


def test_a_creation_that_never_arrived_is_sent_again(
    member: Member, cluster: SimulatedCluster
) -> None:
    cluster.faults.reset(when="before", method="PATCH", count=1)
    assert done(carry_out(member, creation(colour="red"))) == ""
    assert now(cluster)["data"] == {"colour": "red"}


@pytest.mark.parametrize(
    ("theirs", "manager"),
    [
        pytest.param(unmarked(colour="green"), "kubectl", id="without our marks"),
        pytest.param(settings(colour="green"), "kubectl", id="with copied marks"),
        pytest.param(
            settings(THEIRS, colour="green"), "federation-reconciler", id="of another federation"
        ),
    ],
)
def test_between_two_tries_of_a_creation_somebody_else_may_win(
    member: Member, cluster: SimulatedCluster, theirs: Object, manager: str
) -> None:
    cluster.faults.reset(when="before", method="PATCH", count=1)
    before_write(member, 2, lambda: cluster.apply(theirs, manager=manager))
    result = carry_out(member, creation(colour="red"))
    assert "somebody else made it" in failure(result)
    assert result.already_exists
    assert now(cluster)["data"] == {"colour": "green"}


@pytest.mark.parametrize("number", [2, 3])
def test_a_creation_that_was_done_and_then_deleted_and_made_anew_is_not_written_over(
    member: Member, cluster: SimulatedCluster, number: int
) -> None:
    """Before the second try, and before the one that is for our own object alone."""
    cluster.faults.reset(when="after", method="PATCH", count=1)
    theirs: list[Object] = []

    def rival() -> None:
        cluster.delete(KEY.kind, KEY.name, namespace=KEY.namespace)
        theirs.append(cluster.create(unmarked(colour="green")))

    before_write(member, number, rival)
    result = carry_out(member, replace(creation(colour="red"), force=True))
    assert failure(result)
    assert result.already_exists is (number == 2)
    assert [now(cluster)] == theirs


def test_an_object_that_another_run_of_ours_made_meanwhile_is_left_as_it_is(
    member: Member, cluster: SimulatedCluster
) -> None:
    theirs = member.apply(CONFIG_MAPS, KEY, settings(colour="green"))
    assert carry_out(member, creation(colour="red")).already_exists
    assert now(cluster) == theirs


def test_a_conflict_about_an_object_that_is_not_there_is_told_as_it_is(
    member: Member, cluster: SimulatedCluster
) -> None:
    cluster.faults.error(409, message="try later", method="PATCH", count=1)
    result = carry_out(member, creation(colour="red"))
    assert "try later" in failure(result)
    assert not result.already_exists


def test_a_value_of_a_secret_is_in_no_refusal(member: Member, cluster: SimulatedCluster) -> None:
    key = KEY._replace(kind="Secret")
    value = base64.b64encode(b"canary-value").decode()
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": key.name}}
    body["metadata"]["namespace"] = key.namespace  # type: ignore[index]
    request = with_membership({**body, "data": {"password": value}}, key, OURS)
    cluster.faults.deny(f"the password {value} is weak")
    change = Change(Action.CREATE, key, "v1", request=request, hidden=("",))
    text = failure(carry_out(member, change, resource=SECRETS))
    assert value not in text
    assert "policy.example.com" in text or "webhook" in text


def test_a_hidden_value_of_another_kind_is_in_no_refusal(
    member: Member, cluster: SimulatedCluster
) -> None:
    cluster.faults.deny("canary-value is not allowed")
    change = replace(creation(password="canary-value"), hidden=("/data/password",))
    assert "canary-value" not in failure(carry_out(member, change))
    open_one = carry_out(member, creation(password="canary-value"))
    assert "canary-value" in failure(open_one)
