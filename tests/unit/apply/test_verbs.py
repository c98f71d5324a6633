"""What holds for every verb, and creations: conditions, lost answers, lost races, records."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from kubesim.cluster import SimulatedCluster
from reconciler.api.errors import LeaseLost
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
    removal,
    settings,
    unmarked,
    update,
    writes,
)

# -- any verb --------------------------------------------------------------------------------------


def changes_of_every_action(member: Member) -> dict[Action, Change]:
    live = member.apply(CONFIG_MAPS, KEY, settings(colour="red"))
    changed = update(member, live, settings(colour="blue"))
    return {
        Action.UPDATE: changed,
        Action.ADOPT: replace(changed, action=Action.ADOPT),
        Action.RECREATE: replace(changed, action=Action.RECREATE),
        Action.PRUNE: removal(live),
        Action.ORPHAN: removal(live, Action.ORPHAN),
    }


ACTIONS = [Action.UPDATE, Action.ADOPT, Action.RECREATE, Action.PRUNE, Action.ORPHAN]


@pytest.mark.parametrize("action", ACTIONS)
def test_who_has_lost_the_lock_writes_nothing(
    member: Member, cluster: SimulatedCluster, action: Action
) -> None:
    change = changes_of_every_action(member)[action]
    before = now(cluster)

    def fence() -> None:
        raise LeaseLost("another run holds the lock")

    member.fence = fence
    with pytest.raises(LeaseLost), recorded(cluster) as requests:
        carry_out(member, change)
    assert writes(requests) == []
    assert now(cluster) == before


@pytest.mark.parametrize("action", ACTIONS)
def test_a_refusal_is_a_failed_outcome_that_names_member_object_and_reason(
    member: Member, cluster: SimulatedCluster, action: Action
) -> None:
    change = changes_of_every_action(member)[action]
    before = now(cluster)
    cluster.faults.deny("not on a Friday")
    result = carry_out(member, change)
    assert "not on a Friday" in failure(result)
    assert (result.outcome.cluster, result.outcome.action) == (member.name, action)
    assert result.outcome.key == KEY
    assert not result.lost
    assert not result.preceded
    assert now(cluster) == before


@pytest.mark.parametrize("action", ACTIONS)
def test_a_credential_that_is_refused_means_that_the_member_is_lost(
    member: Member, cluster: SimulatedCluster, action: Action
) -> None:
    change = changes_of_every_action(member)[action]
    cluster.faults.unauthorized()
    result = carry_out(member, change)
    assert "the credential was refused" in failure(result)
    assert result.lost == result.outcome.message


def test_an_answer_that_makes_no_sense_is_the_members_trouble(
    member: Member, cluster: SimulatedCluster
) -> None:
    cluster.faults.answer({"kind": "Nonsense"}, method="PATCH")
    result = carry_out(member, creation(colour="red"))
    assert "the server answered" in failure(result)
    assert result.lost


def test_an_outcome_tells_how_long_it_took(member: Member, cluster: SimulatedCluster) -> None:
    cluster.faults.latency(0.2, method="PATCH")
    result = carry_out(member, creation(colour="red"))
    assert 0.2 <= result.outcome.seconds < 30


def test_a_change_that_writes_without_a_request_is_a_defect_and_not_an_empty_object(
    member: Member, cluster: SimulatedCluster
) -> None:
    with pytest.raises(ValueError, match="without a request"):
        carry_out(member, Change(Action.CREATE, KEY, "v1"))
    assert cluster.find(KEY.kind, KEY.name, KEY.namespace) is None


# -- create ----------------------------------------------------------------------------------------


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
    assert result.preceded
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
    assert result.preceded
    assert now(cluster)["data"] == {"colour": "green"}


def test_a_creation_that_was_done_and_then_deleted_and_made_anew_is_not_written_over(
    member: Member, cluster: SimulatedCluster
) -> None:
    cluster.faults.reset(when="after", method="PATCH", count=1)

    def rival() -> None:
        cluster.delete(KEY.kind, KEY.name, namespace=KEY.namespace)
        cluster.create(unmarked(colour="green"))

    before_write(member, 2, rival)
    assert carry_out(member, creation(colour="red")).preceded
    assert now(cluster)["data"] == {"colour": "green"}


def test_a_conflict_about_an_object_that_is_not_there_is_told_as_it_is(
    member: Member, cluster: SimulatedCluster
) -> None:
    cluster.faults.error(409, message="try later", method="PATCH", count=1)
    result = carry_out(member, creation(colour="red"))
    assert "try later" in failure(result)
    assert not result.preceded


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
