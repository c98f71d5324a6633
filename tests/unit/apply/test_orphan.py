"""Releases: our marks go, and all the rest stays."""

from __future__ import annotations

import pytest

from kubesim.cluster import SimulatedCluster
from reconciler.api.annotations import PART_OF
from reconciler.api.objects import Object
from reconciler.apply.common import REWRITE_TRIES
from reconciler.cluster.client import Member
from reconciler.inventory.applyset import IDENTITY
from reconciler.plan.model import Action
from tests.unit.apply.changes import (
    KEY,
    OURS,
    before_write,
    carry_out,
    done,
    failure,
    now,
    recorded,
    removal,
    settings,
    somebody_writes,
    unmarked,
    writes,
)


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
