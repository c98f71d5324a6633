"""Prunes: exactly what was decided on goes, and nothing that became something else."""

from __future__ import annotations

import pytest

from kubesim.cluster import SimulatedCluster
from reconciler.api.errors import ClusterError, Conflict
from reconciler.api.objects import Object
from reconciler.cluster.client import Member
from reconciler.plan.model import Action, Change
from tests.controlplane.process import eventually
from tests.unit.apply.changes import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    KEY,
    WEB,
    carry_out,
    done,
    failure,
    may,
    now,
    recorded,
    removal,
    seen,
    settings,
    somebody_writes,
    unmarked,
    workload,
)


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


# -- deletions as decided --------------------------------------------------------------------------


def made(host: Member) -> dict[str, str]:
    """A ConfigMap, and by what it is known."""
    metadata = host.create(CONFIG_MAPS, unmarked(), namespace=KEY.namespace)["metadata"]
    return {"uid": metadata["uid"], "resource_version": metadata["resourceVersion"]}


def write_to(host: Member, value: str) -> None:
    host.apply(CONFIG_MAPS, KEY, unmarked(colour=value), manager="somebody", force=True)


def test_only_the_very_object_that_was_seen_is_deleted(host: Member) -> None:
    seen = made(host)
    write_to(host, "red")
    with pytest.raises(Conflict):
        host.delete(CONFIG_MAPS, KEY, **seen)
    now = host.get(CONFIG_MAPS, KEY)
    assert now is not None
    seen["resource_version"] = now["metadata"]["resourceVersion"]
    with pytest.raises(Conflict):
        host.delete(CONFIG_MAPS, KEY, **{**seen, "uid": "another"})
    assert host.delete(CONFIG_MAPS, KEY, **seen)
    assert not host.delete(CONFIG_MAPS, KEY, **seen)


def test_what_was_written_to_is_looked_at_again_and_deleted_if_it_still_may(host: Member) -> None:
    seen = made(host)
    write_to(host, "red")
    looked_at = []

    def otherwise(live: Object) -> str:
        looked_at.append(live["data"])
        return ""

    assert host.delete_as_decided(CONFIG_MAPS, KEY, otherwise, **seen)
    assert looked_at == [{"colour": "red"}]
    assert host.get(CONFIG_MAPS, KEY) is None
    assert not host.delete_as_decided(CONFIG_MAPS, KEY, otherwise, **seen)


def test_what_may_not_go_any_more_stays_and_it_is_said_why(host: Member) -> None:
    seen = made(host)
    write_to(host, "red")
    with pytest.raises(ClusterError, match="is not deleted: it is protected"):
        host.delete_as_decided(CONFIG_MAPS, KEY, lambda _: "it is protected", **seen)
    assert host.get(CONFIG_MAPS, KEY) is not None


def test_a_new_object_of_the_same_name_stays(host: Member) -> None:
    seen = made(host)
    host.delete(CONFIG_MAPS, KEY, **seen)
    made(host)
    with pytest.raises(ClusterError, match="made again"):
        host.delete_as_decided(CONFIG_MAPS, KEY, may, **seen)
    assert host.get(CONFIG_MAPS, KEY) is not None


def test_what_is_written_to_all_the_time_is_left_to_a_later_run(host: Member) -> None:
    seen = made(host)
    values = iter("abcdefghij")
    write_to(host, next(values))

    def otherwise(_live: Object) -> str:
        write_to(host, next(values))
        return ""

    with pytest.raises(ClusterError, match="too often"):
        host.delete_as_decided(CONFIG_MAPS, KEY, otherwise, **seen)
    assert host.get(CONFIG_MAPS, KEY) is not None
