"""Updates and adoptions: what is written, on what condition, and what is claimed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kubesim.cluster import SimulatedCluster
from reconciler.api.objects import Object
from reconciler.apply.common import REWRITE_TRIES
from reconciler.cluster.client import Member
from reconciler.inventory.managed_fields import entries_of
from reconciler.plan.diff import Question, compare
from reconciler.plan.model import ABSENT, SERVER_CHOSEN, Action, Change, FieldChange
from tests.unit.apply.changes import (
    APPLIES,
    CONFIG_MAPS,
    DIGESTER,
    KEY,
    before_write,
    carry_out,
    done,
    failure,
    managers,
    now,
    recorded,
    seen,
    settings,
    somebody_writes,
    unmarked,
    update,
    writes,
)

# -- update ----------------------------------------------------------------------------------------


def test_an_object_as_it_was_planned_is_updated_by_one_request(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    change = update(member, live, settings(colour="blue"))
    with recorded(cluster) as requests:
        result = carry_out(member, change)
    assert done(result) == ""
    assert [(r.method, r.status) for r in requests] == [("PATCH", 200)]
    after = now(cluster)
    assert after["data"] == {"colour": "blue"}
    assert after["metadata"]["uid"] == live["metadata"]["uid"]
    assert compare(DIGESTER, settings(colour="blue"), after, result.record).question is (
        Question.NONE
    )


def test_an_object_that_got_something_else_meanwhile_is_looked_at_and_updated(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    change = update(member, live, settings(colour="blue", shape="round"))
    somebody_writes(cluster, taste="sour")
    with recorded(cluster) as requests:
        assert done(carry_out(member, change)) == ""
    assert writes(requests) == [("PATCH", 409), ("PATCH", 200)]
    assert now(cluster)["data"] == {"colour": "blue", "shape": "round", "taste": "sour"}


def test_a_value_that_somebody_changed_since_the_plan_is_not_written_over(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    change = update(member, live, settings(colour="blue", shape="round"), force=True)
    somebody_writes(cluster, colour="green")
    before = now(cluster)
    text = failure(carry_out(member, change))
    assert "it would not become what was planned any more (data.colour)" in text
    assert now(cluster) == before


def test_a_field_that_the_plan_did_not_show_is_not_written(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    change = update(member, live, settings(colour="blue", shape="round"), force=True)
    somebody_writes(cluster, shape="square")
    before = now(cluster)
    text = failure(carry_out(member, change))
    assert "(data.shape)" in text
    assert now(cluster) == before


def test_a_field_that_a_webhook_adds_since_the_plan_is_not_written_unseen(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    change = update(member, live, settings(colour="blue", shape="round"))
    somebody_writes(cluster, taste="sour")
    before = now(cluster)

    def webhook(obj: Object, _old: Object | None) -> Object:
        return {**obj, "data": {**obj["data"], "injected": "yes"}}

    cluster.faults.mutate(webhook)
    text = failure(carry_out(member, change))
    assert "it would not become what was planned any more (data.injected)" in text
    assert now(cluster) == before


def test_a_field_that_is_as_wanted_by_now_does_not_stop_the_others(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    change = update(member, live, settings(colour="blue", shape="square"), force=True)
    somebody_writes(cluster, shape="square")
    assert done(carry_out(member, change)) == ""
    assert now(cluster)["data"] == {"colour": "blue", "shape": "square"}


def test_a_value_that_the_server_chooses_may_be_chosen_by_now(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    change = update(member, live, settings(colour="blue", shape="round"), force=True)
    chosen = tuple(FieldChange(f.path, f.before, SERVER_CHOSEN) for f in change.fields)
    somebody_writes(cluster, colour="green")
    assert done(carry_out(member, replace(change, fields=chosen))) == ""
    assert now(cluster)["data"]["colour"] == "blue"


def test_a_hidden_item_is_not_named_by_its_value(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    change = update(member, live, settings(colour="blue", shape="round"), force=True)
    somebody_writes(cluster, shape="square")
    hidden = replace(change, hidden=("/data",))
    text = failure(carry_out(member, hidden))
    assert "it would not become what was planned any more" in text
    assert "square" not in text


def test_an_object_that_was_deleted_since_the_plan_is_not_made_anew(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    change = update(member, live, settings(colour="blue"))
    cluster.delete(KEY.kind, KEY.name, namespace=KEY.namespace)
    assert "was changed or recreated since it was planned" in failure(carry_out(member, change))
    assert cluster.find(KEY.kind, KEY.name, KEY.namespace) is None


def test_another_object_of_the_same_name_is_not_updated(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    change = update(member, live, settings(colour="blue"), force=True)
    cluster.delete(KEY.kind, KEY.name, namespace=KEY.namespace)
    theirs = cluster.create(unmarked(colour="red", shape="round"))
    assert "was changed or recreated" in failure(carry_out(member, change))
    assert now(cluster) == theirs


def test_an_update_whose_answer_was_lost_is_found_done(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    change = update(member, live, settings(colour="blue"))
    cluster.faults.reset(when="after", method="PATCH", count=1)
    result = carry_out(member, change)
    assert done(result) == ""
    assert now(cluster)["data"] == {"colour": "blue"}
    assert result.record is not None
    assert result.record.confirmed


def test_a_field_of_another_manager_is_taken_only_by_force(
    member: Member, cluster: SimulatedCluster
) -> None:
    cluster.apply(unmarked(colour="green"), manager="flux")
    live = now(cluster)
    fields = (FieldChange("data.colour", "green", "red"),)
    change = Change(
        Action.ADOPT, KEY, "v1", request=settings(colour="red"), fields=fields, **seen(live)
    )
    with recorded(cluster) as requests:
        assert 'conflict with "flux"' in failure(carry_out(member, change))
    assert writes(requests) == [("PATCH", 409)]
    assert now(cluster)["data"] == {"colour": "green"}
    assert done(carry_out(member, replace(change, force=True))) == ""
    assert now(cluster)["data"] == {"colour": "red"}


def test_what_is_written_to_all_the_time_is_left_to_a_later_run(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    change = update(member, live, settings(colour="blue", shape="round"))
    numbers = iter(range(1000))
    member.fence = lambda: somebody_writes(cluster, taste=str(next(numbers)))
    with recorded(cluster) as requests:
        text = failure(carry_out(member, change))
    assert "written to too often" in text
    assert writes(requests) == [("PATCH", 409)] * REWRITE_TRIES
    assert now(cluster)["data"]["colour"] == "red"


# -- adopt -----------------------------------------------------------------------------------------


@pytest.fixture
def theirs(cluster: SimulatedCluster) -> Object:
    """Made by kubectl, with data of which Git knows a part."""
    return cluster.create(unmarked(colour="red", old="yes"), manager="kubectl-create")


def test_an_adopted_object_is_ours_alone_where_its_manager_is_taken_over(
    member: Member, cluster: SimulatedCluster, theirs: Object
) -> None:
    change = update(member, theirs, settings(colour="red"), take_over=("kubectl-*",))
    assert done(carry_out(member, replace(change, action=Action.ADOPT))) == ""
    live = now(cluster)
    assert live["data"] == {"colour": "red", "old": "yes"}
    assert managers(live)["kubectl-create"] == {"f:data": {".": {}, "f:old": {}}}
    member.apply(CONFIG_MAPS, KEY, settings())
    assert now(cluster)["data"] == {"old": "yes"}, "what left Git goes, as nobody else owns it"


def test_the_entries_of_an_object_that_somebody_made_anew_are_left_as_they_are(
    member: Member, cluster: SimulatedCluster, theirs: Object
) -> None:
    change = update(member, theirs, settings(colour="red"), take_over=("kubectl-*",))
    again: list[Object] = []

    def rival() -> None:
        cluster.delete(KEY.kind, KEY.name, namespace=KEY.namespace)
        again.append(cluster.create(unmarked(colour="red"), manager="kubectl-create"))

    before_write(member, 2, rival)  # After the apply, before its former managers' part ends.
    text = failure(carry_out(member, replace(change, action=Action.ADOPT)))
    assert "was changed or recreated since it was planned" in text
    assert [now(cluster)] == again


def test_the_part_of_managers_that_are_not_taken_over_stays(
    member: Member, cluster: SimulatedCluster, theirs: Object
) -> None:
    change = update(member, theirs, settings(colour="red"), take_over=("flux",))
    assert done(carry_out(member, replace(change, action=Action.ADOPT))) == ""
    assert "f:colour" in managers(now(cluster))["kubectl-create"]["f:data"]


CLAIM = {"f:data": {"f:old": {}}}


def adoption(member: Member, theirs: Object) -> Change:
    """With a claim on ``old``, which goes by it."""
    change = update(member, theirs, settings(colour="red"), take_over=("kubectl-create",))
    gone = FieldChange("data.old", "yes", ABSENT)
    return replace(change, action=Action.ADOPT, claim=CLAIM, fields=(*change.fields, gone))


def test_what_is_claimed_goes_with_the_apply(
    member: Member, cluster: SimulatedCluster, theirs: Object
) -> None:
    result = carry_out(member, adoption(member, theirs))
    assert done(result) == ""
    live = now(cluster)
    assert live["data"] == {"colour": "red"}
    assert live["metadata"]["uid"] == theirs["metadata"]["uid"]
    assert compare(DIGESTER, settings(colour="red"), live, result.record).question is Question.NONE


def test_a_claim_whose_apply_is_refused_is_given_back(
    member: Member, cluster: SimulatedCluster, theirs: Object
) -> None:
    change = adoption(member, theirs)
    cluster.faults.error(403, message="not today", path=APPLIES, writes_only=True)
    assert "not today" in failure(carry_out(member, change))
    live = now(cluster)
    assert live["data"] == theirs["data"]
    assert managers(live) == managers(theirs)


def test_an_entry_that_its_manager_wrote_since_the_claim_is_not_put_back_as_it_was(
    member: Member, cluster: SimulatedCluster, theirs: Object
) -> None:
    change = adoption(member, theirs)
    cluster.faults.error(403, message="not today", path=APPLIES, writes_only=True)

    def again() -> None:
        path = {"data": {"taste": "sour"}}
        cluster.edit(KEY.kind, KEY.name, path, namespace=KEY.namespace, manager="kubectl-create")

    before_write(member, 3, again)
    assert "not today" in failure(carry_out(member, change))
    live = now(cluster)
    assert [entry["manager"] for entry in entries_of(live)] == ["kubectl-create"]
    assert "f:taste" in managers(live)["kubectl-create"]["f:data"]


def test_what_is_given_back_is_put_beside_what_others_wrote_meanwhile(
    member: Member, cluster: SimulatedCluster, theirs: Object
) -> None:
    change = adoption(member, theirs)
    cluster.faults.error(403, message="not today", path=APPLIES, writes_only=True)
    # The claim is written, the apply refused, and then the claim is given back.
    before_write(member, 3, lambda: somebody_writes(cluster, taste="sour"))
    with recorded(cluster) as requests:
        assert "not today" in failure(carry_out(member, change))
    assert [status for _, status in writes(requests)][:3] == [200, 403, 409]
    owners = managers(now(cluster))
    assert owners["kubectl-create"] == managers(theirs)["kubectl-create"]
    assert owners["kubectl-edit"] == {"f:data": {"f:taste": {}}}
    assert set(owners) == {"kubectl-create", "kubectl-edit"}


def test_what_others_wrote_right_before_the_claim_is_still_theirs_once_it_is_given_back(
    member: Member, cluster: SimulatedCluster, theirs: Object
) -> None:
    change = adoption(member, theirs)
    cluster.faults.error(403, message="not today", path=APPLIES, writes_only=True)
    before_write(member, 1, lambda: somebody_writes(cluster, taste="sour"))
    with recorded(cluster) as requests:
        assert "not today" in failure(carry_out(member, change))
    assert [status for _, status in writes(requests)][:3] == [409, 200, 403]
    owners = managers(now(cluster))
    assert owners["kubectl-create"] == managers(theirs)["kubectl-create"]
    assert owners["kubectl-edit"] == {"f:data": {"f:taste": {}}}
    assert set(owners) == {"kubectl-create", "kubectl-edit"}


def test_who_took_a_field_right_before_it_is_claimed_owns_it_after_the_claim_is_given_back(
    host: Member,
) -> None:
    live = host.apply(CONFIG_MAPS, KEY, unmarked(colour="red", old="yes"), manager="flux")
    change = replace(adoption(host, live), take_over=("flux",))
    taken: list[Object] = []

    def somebody() -> None:
        body = unmarked(old="theirs", taste="sour")
        taken.append(host.apply(CONFIG_MAPS, KEY, body, manager="somebody", force=True))

    before_write(host, 1, somebody)
    text = failure(carry_out(host, change))
    assert "it would not become what was planned any more (data.old)" in text
    after = host.get(CONFIG_MAPS, KEY)
    assert after is not None
    assert [(after["data"], managers(after))] == [(one["data"], managers(one)) for one in taken]


@pytest.mark.parametrize("busy", [False, True])
def test_a_claim_whose_answer_was_lost_is_given_back_as_well(
    member: Member, cluster: SimulatedCluster, theirs: Object, busy: bool
) -> None:
    change = adoption(member, theirs)
    cluster.faults.reset(when="after", method="PATCH", writes_only=True, count=1)
    cluster.faults.error(403, message="not today", path=APPLIES, writes_only=True)
    if busy:
        before_write(member, 2, lambda: somebody_writes(cluster, taste="sour"))
    assert "not today" in failure(carry_out(member, change))
    edited = {"kubectl-edit": {"f:data": {"f:taste": {}}}}
    assert managers(now(cluster)) == managers(theirs) | (edited if busy else {})


def test_a_claim_is_not_given_back_where_the_apply_was_done_and_its_answer_lost(
    member: Member, cluster: SimulatedCluster, theirs: Object
) -> None:
    change = adoption(member, theirs)
    cluster.faults.reset(when="after", path=APPLIES, writes_only=True, count=1)
    assert done(carry_out(member, change)) == ""
    live = now(cluster)
    assert live["data"] == {"colour": "red"}
    assert "f:colour" in managers(live)["federation-reconciler"]["f:data"]


def test_nor_where_another_apply_is_refused_after_that(
    member: Member, cluster: SimulatedCluster, theirs: Object
) -> None:
    change = adoption(member, theirs)
    cluster.faults.reset(when="after", path=APPLIES, writes_only=True, count=1)
    cluster.faults.error(403, message="not today", path=APPLIES, writes_only=True, skip=1)
    assert "not today" in failure(carry_out(member, change))
    live = now(cluster)
    assert live["data"] == {"colour": "red"}
    assert "f:colour" in managers(live)["federation-reconciler"]["f:data"]
    assert managers(live).get("kubectl-create", {}).get("f:data", {}).get("f:old") is None


def test_a_claim_and_nothing_else_is_written_to_an_object_that_changed_meanwhile(
    member: Member, cluster: SimulatedCluster, theirs: Object
) -> None:
    """All that was planned has to come, or nothing: what is claimed goes for good."""
    change = adoption(member, theirs)
    somebody_writes(cluster, old="somebody's")
    before = now(cluster)
    text = failure(carry_out(member, change))
    assert "it would not become what was planned any more (data.old)" in text
    live = now(cluster)
    assert live["data"] == before["data"]
    assert "federation-reconciler" not in managers(live)


def test_an_object_that_is_gone_is_not_claimed(
    member: Member, cluster: SimulatedCluster, theirs: Object
) -> None:
    change = adoption(member, theirs)
    cluster.delete(KEY.kind, KEY.name, namespace=KEY.namespace)
    with recorded(cluster) as requests:
        assert "was changed or recreated" in failure(carry_out(member, change))
    assert writes(requests) == []


def test_another_object_of_the_same_name_is_not_claimed(
    member: Member, cluster: SimulatedCluster, theirs: Object
) -> None:
    change = adoption(member, theirs)
    cluster.delete(KEY.kind, KEY.name, namespace=KEY.namespace)
    rival = cluster.create(unmarked(colour="red", old="yes"))
    assert "was changed or recreated" in failure(carry_out(member, change))
    assert now(cluster) == rival


def test_what_an_apply_of_others_wrote_down_as_nobodys_is_not_taken_with_a_claim(
    member: Member, cluster: SimulatedCluster
) -> None:
    """Only where an object has no entries are those that the apply makes of it claimed as well."""
    member.create(CONFIG_MAPS, unmarked(colour="red", old="yes"), namespace=KEY.namespace)
    nobody = {"op": "replace", "path": "/metadata/managedFields", "value": [{}]}
    member.json_patch(CONFIG_MAPS, KEY, [nobody])
    cluster.apply(unmarked(taste="sour"), manager="flux")
    live = now(cluster)
    assert "f:old" in managers(live)["before-first-apply"]["f:data"]
    text = failure(carry_out(member, adoption(member, live)))
    assert "it would not become what was planned any more (data.old)" in text
    assert now(cluster)["data"] == live["data"]
    assert managers(now(cluster)) == managers(live)


def test_of_an_object_whose_owners_somebody_deleted_only_the_claim_goes(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    somebody_writes(cluster, taste="sour")
    nobody = {"op": "replace", "path": "/metadata/managedFields", "value": [{}]}
    member.json_patch(CONFIG_MAPS, KEY, [nobody])
    unowned = now(cluster)
    assert entries_of(unowned) == []
    body = settings()
    del body["data"]
    change = update(member, unowned, body)
    gone = [FieldChange(f"data.{name}", unowned["data"][name], ABSENT) for name in live["data"]]
    claim = {"f:data": {f"f:{name}": {} for name in live["data"]}}
    change = replace(change, claim=claim, fields=(*change.fields, *gone))
    assert done(carry_out(member, change)) == ""
    assert now(cluster)["data"] == {"taste": "sour"}, "all the rest is somebody's, if nobody's name"
