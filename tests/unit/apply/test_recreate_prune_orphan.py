"""Recreations, prunes and releases: what goes, on what condition, and what stays."""

from __future__ import annotations

from typing import Any

import pytest

from kubesim.cluster import SimulatedCluster
from kubesim.faults import InjectedFault
from reconciler.api.annotations import PART_OF
from reconciler.api.objects import Object
from reconciler.apply import recreate
from reconciler.apply.common import REWRITE_TRIES
from reconciler.cluster.client import Member
from reconciler.inventory.applyset import IDENTITY
from reconciler.plan.model import Action, Change
from tests.controlplane.process import eventually
from tests.unit.apply.changes import (
    APPLIES,
    CONFIG_MAPS,
    DEPLOYMENTS,
    KEY,
    OURS,
    PATH,
    WEB,
    before_write,
    carry_out,
    done,
    failure,
    now,
    recorded,
    removal,
    seen,
    settings,
    somebody_writes,
    unmarked,
    workload,
    writes,
)

# -- recreate --------------------------------------------------------------------------------------


def recreation(live: Object, **more: Any) -> Change:
    return removal(live, Action.RECREATE, request=settings(colour="blue"), **more)


def test_a_recreated_object_is_another_one(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    with recorded(cluster) as requests:
        result = carry_out(member, recreation(live))
    assert done(result) == ""
    assert writes(requests) == [("DELETE", 200), ("PATCH", 201)]
    after = now(cluster)
    assert after["data"] == {"colour": "blue"}
    assert after["metadata"]["uid"] != live["metadata"]["uid"]
    assert result.record is not None
    assert result.record.uid == after["metadata"]["uid"]


def test_what_must_stay_is_not_recreated(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    somebody_writes(cluster, taste="sour")
    before = now(cluster)
    text = failure(carry_out(member, recreation(live), lambda _: "it is protected"))
    assert "it is protected" in text
    assert now(cluster) == before


def test_a_recreation_that_is_cut_off_after_its_deletion_says_that(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    cluster.faults.unauthorized(method="PATCH", path=APPLIES, writes_only=True)
    assert failure(carry_out(member, recreation(live)))
    assert cluster.find(KEY.kind, KEY.name, KEY.namespace) is None
    cluster.faults.clear()
    again = member.apply(CONFIG_MAPS, KEY, settings(colour="red"))
    cluster.faults.answer({"kind": "Nonsense"}, method="GET")
    result = carry_out(member, recreation(again))
    assert "its deletion was asked for, and it is made by a later run" in failure(result)
    assert result.lost


def test_an_object_that_does_not_go_is_made_by_a_later_run(
    member: Member, cluster: SimulatedCluster, live: Object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recreate, "DELETION_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(recreate, "DELETION_POLL_SECONDS", 0.05)
    held = {"metadata": {"finalizers": ["example.org/hold"]}}
    held_live = cluster.edit(KEY.kind, KEY.name, held, namespace=KEY.namespace)
    text = failure(carry_out(member, recreation(held_live)))
    assert "still there after 0 s: it is being deleted since" in text
    assert "waits for its finalizers: example.org/hold" in text
    assert now(cluster)["metadata"]["deletionTimestamp"]


def test_a_cluster_that_is_lost_while_the_old_object_goes_is_told_with_what_it_waits_for(
    member: Member, cluster: SimulatedCluster, live: Object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recreate, "DELETION_POLL_SECONDS", 0.01)
    held = {"metadata": {"finalizers": ["example.org/hold"]}}
    held_live = cluster.edit(KEY.kind, KEY.name, held, namespace=KEY.namespace)
    cluster.faults.add(InjectedFault("answer", "GET", PATH, skip=1, body=b"[]"))
    result = carry_out(member, recreation(held_live))
    text = failure(result)
    assert "its deletion was asked for, and it is made by a later run: still there: it is" in text
    assert "example.org/hold" in text
    assert "the server answered JSON that is not an object" in text
    assert result.lost


def test_a_recreation_whose_deletion_got_no_answer_goes_on(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    cluster.faults.reset(when="after", method="DELETE", count=1)
    assert done(carry_out(member, recreation(live))) == ""
    assert now(cluster)["data"] == {"colour": "blue"}


# -- prune -----------------------------------------------------------------------------------------


def test_a_pruned_object_is_gone_and_forgotten(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    with recorded(cluster) as requests:
        result = carry_out(member, removal(live))
    assert done(result) == ""
    assert (result.record, result.fields) == (None, None)
    assert [(r.method, r.status) for r in requests] == [("DELETE", 200)]
    assert cluster.find(KEY.kind, KEY.name, KEY.namespace) is None


def test_what_is_gone_already_is_pruned(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    cluster.delete(KEY.kind, KEY.name, namespace=KEY.namespace)
    assert done(carry_out(member, removal(live))) == "was gone already"


def test_an_object_that_was_written_to_since_is_pruned_only_if_it_still_may(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    somebody_writes(cluster, taste="sour")
    asked: list[Object] = []

    def protected(one: Object) -> str:
        asked.append(one)
        return "it is protected"

    assert "is not deleted: it is protected" in failure(carry_out(member, removal(live), protected))
    assert [one["data"]["taste"] for one in asked] == ["sour"]
    assert now(cluster)["data"]["taste"] == "sour"
    assert done(carry_out(member, removal(live))) == ""


def test_another_object_of_the_same_name_is_not_pruned(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    cluster.delete(KEY.kind, KEY.name, namespace=KEY.namespace)
    rival = cluster.create(settings(colour="red"))
    assert "deleted and made again" in failure(carry_out(member, removal(live)))
    assert now(cluster) == rival


def test_a_prune_whose_answer_was_lost_is_done(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    cluster.faults.reset(when="after", method="DELETE", count=1)
    assert done(carry_out(member, removal(live))) == "was gone already"
    assert cluster.find(KEY.kind, KEY.name, KEY.namespace) is None


@pytest.mark.parametrize(
    ("finalizers", "told"),
    [(["example.org/hold"], True), (["foregroundDeletion"], False), (["orphan"], False)],
)
def test_what_waits_for_finalizers_of_others_is_told(
    member: Member, cluster: SimulatedCluster, live: Object, finalizers: list[str], told: bool
) -> None:
    hold = {"metadata": {"finalizers": finalizers}}
    held = cluster.edit(KEY.kind, KEY.name, hold, namespace=KEY.namespace)
    message = done(carry_out(member, removal(held)))
    assert ("waits for its finalizers: example.org/hold" in message) == told
    assert bool(message) == told


@pytest.mark.parametrize("propagation", ["Background", "Orphan"])
def test_dependents_go_or_stay_as_the_plan_says(
    member: Member, cluster: SimulatedCluster, propagation: str
) -> None:
    live = member.apply(DEPLOYMENTS, WEB, workload())
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": WEB.name}
    owned = unmarked(colour="red")
    owned["metadata"]["ownerReferences"] = [{**owner, "uid": live["metadata"]["uid"]}]
    cluster.create(owned)
    change = Change(Action.PRUNE, WEB, "apps/v1", propagation=propagation, **seen(live))
    done(carry_out(member, change, resource=DEPLOYMENTS))

    def state() -> str:
        found = cluster.find(KEY.kind, KEY.name, KEY.namespace)
        if found is None:
            return "gone"
        return "owned" if found["metadata"].get("ownerReferences") else "free"

    eventually(lambda: state() != "owned", "the garbage collector comes by")
    assert state() == ("gone" if propagation == "Background" else "free")


# -- orphan ----------------------------------------------------------------------------------------


def test_an_orphaned_object_loses_our_marks_and_nothing_else(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    mine = {"labels": {"team": "a"}, "annotations": {"example.org/note": "b"}}
    marked = cluster.edit(KEY.kind, KEY.name, {"metadata": mine}, namespace=KEY.namespace)
    with recorded(cluster) as requests:
        result = carry_out(member, removal(marked, Action.ORPHAN))
    assert done(result) == ""
    assert (result.record, result.fields) == (None, None)
    assert writes(requests) == [("PATCH", 200)]
    after = now(cluster)
    assert after["data"] == live["data"]
    assert after["metadata"]["labels"] == {"team": "a"}
    assert after["metadata"]["annotations"] == {"example.org/note": "b"}
    assert after["metadata"]["uid"] == live["metadata"]["uid"]


@pytest.mark.parametrize("part", ["labels", "annotations"])
def test_one_mark_that_is_left_is_taken_off(
    member: Member, cluster: SimulatedCluster, live: Object, part: str
) -> None:
    half = cluster.edit(KEY.kind, KEY.name, {"metadata": {part: None}}, namespace=KEY.namespace)
    assert part not in half["metadata"]
    assert done(carry_out(member, removal(half, Action.ORPHAN))) == ""
    metadata = now(cluster)["metadata"]
    assert PART_OF not in (metadata.get("labels") or {})
    assert IDENTITY not in (metadata.get("annotations") or {})


def test_nothing_is_written_to_what_is_released_already(
    member: Member, cluster: SimulatedCluster
) -> None:
    free = cluster.create(unmarked(colour="red"))
    with recorded(cluster) as requests:
        assert done(carry_out(member, removal(free, Action.ORPHAN))) == ""
    assert writes(requests) == []


def test_what_is_gone_need_not_be_released(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    cluster.delete(KEY.kind, KEY.name, namespace=KEY.namespace)
    assert done(carry_out(member, removal(live, Action.ORPHAN))) == "was gone already"


def test_another_object_of_the_same_name_keeps_its_marks(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    cluster.delete(KEY.kind, KEY.name, namespace=KEY.namespace)
    rival = cluster.create(settings(colour="red"))
    assert done(carry_out(member, removal(live, Action.ORPHAN))) == "is no longer ours"
    assert now(cluster) == rival


def test_what_must_stay_ours_is_not_released(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    text = failure(carry_out(member, removal(live, Action.ORPHAN), lambda _: "Git wants it"))
    assert f"{KEY} is not released: Git wants it" in text
    assert now(cluster) == live


def test_a_release_whose_answer_was_lost_is_done(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    lost = cluster.faults.reset(when="after", method="PATCH", count=1)
    assert done(carry_out(member, removal(live, Action.ORPHAN))) == ""
    assert lost.hits == 1
    assert PART_OF not in (now(cluster)["metadata"].get("labels") or {})


def test_a_release_that_the_server_finds_invalid_is_not_tried_again(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    cluster.faults.error(422, message="no such patch", method="PATCH")
    with recorded(cluster) as requests:
        text = failure(carry_out(member, removal(live, Action.ORPHAN)))
    assert "no such patch" in text
    assert len(writes(requests)) == 1


def test_a_release_asks_again_when_the_object_was_written_to(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    before_write(member, 1, lambda: somebody_writes(cluster, taste="sour"))
    asked: list[Object] = []

    def otherwise(one: Object) -> str:
        asked.append(one)
        return ""

    assert done(carry_out(member, removal(live, Action.ORPHAN), otherwise)) == ""
    assert [one["data"].get("taste") for one in asked] == [None, "sour"]
    assert now(cluster)["data"]["taste"] == "sour"


def test_what_is_written_to_all_the_time_is_not_released(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    numbers = iter(range(1000))
    member.fence = lambda: somebody_writes(cluster, taste=str(next(numbers)))
    with recorded(cluster) as requests:
        text = failure(carry_out(member, removal(live, Action.ORPHAN)))
    assert f"{KEY} is written to too often to be released" in text
    assert len(writes(requests)) == REWRITE_TRIES
    assert now(cluster)["metadata"]["labels"][PART_OF] == OURS
