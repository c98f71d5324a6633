"""What the verbs share: the answer that is remembered, what is disowned, and entries moved on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from kubesim.cluster import SimulatedCluster
from kubesim.faults import InjectedFault
from reconciler.api.errors import LeaseLost
from reconciler.api.objects import Object, ObjectKey
from reconciler.apply.common import REWRITE_TRIES, move_entries
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.inventory.applyset import with_membership
from reconciler.inventory.managed_fields import entries_of, our_entry
from reconciler.inventory.records import AppliedRecord
from reconciler.plan.diff import Question, compare
from reconciler.plan.fields import changed_fields
from reconciler.plan.model import Action, Change
from tests.unit.apply.changes import (
    CONFIG_MAPS,
    CRON_JOBS,
    DEPLOYMENTS,
    DIGESTER,
    KEY,
    NIGHTLY,
    OURS,
    PATH,
    WEB,
    before_write,
    carry_out,
    creation,
    done,
    failure,
    now,
    recorded,
    removal,
    seen,
    settings,
    workload,
    writes,
)

# -- the answer that is remembered -----------------------------------------------------------------


def secured(context: Object) -> Object:
    """Of a kind that no controller writes to."""
    containers = [{"name": "a", "image": "registry.example/a:1", "securityContext": context}]
    pod = {"restartPolicy": "Never", "containers": containers}
    spec = {"schedule": "0 4 * * *", "jobTemplate": {"spec": {"template": {"spec": pod}}}}
    metadata = {"name": NIGHTLY.name, "namespace": NIGHTLY.namespace}
    body = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec}
    return with_membership(body, NIGHTLY, OURS)


def container(live: Object | None) -> Object:
    assert live is not None
    pod = live["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    found: Object = pod["containers"][0]
    return found


def context_of(live: Object | None) -> Any:
    return container(live).get("securityContext")


@pytest.fixture
def emptied(member: Member) -> Change:
    """An apply of which the first answer does not stand: it owns a struct that it emptied, and that
    is not there until the same is applied again."""
    live = member.apply(CRON_JOBS, NIGHTLY, secured({"runAsUser": 0}))
    body = secured({})
    after = member.apply(CRON_JOBS, NIGHTLY, body, dry_run=True)
    assert context_of(after) is None
    fields = changed_fields(live, after)
    return Change(Action.UPDATE, NIGHTLY, "batch/v1", request=body, fields=fields, **seen(live))


def test_only_an_answer_that_stands_is_remembered(
    member: Member, cluster: SimulatedCluster, emptied: Change
) -> None:
    with recorded(cluster) as requests:
        result = carry_out(member, emptied, resource=CRON_JOBS)
    assert done(result) == ""
    assert writes(requests) == [("PATCH", 200), ("PATCH", 200)]
    live = member.get(CRON_JOBS, NIGHTLY)
    assert context_of(live) == {}
    assert live is not None
    assert result.record is not None
    assert result.record.confirmed
    assert emptied.request is not None
    assert compare(DIGESTER, emptied.request, live, result.record).question is Question.NONE


def test_an_answer_that_does_not_stand_is_looked_at_again_when_others_write(
    member: Member, cluster: SimulatedCluster, emptied: Change
) -> None:
    note = {"metadata": {"annotations": {"example.org/note": "b"}}}
    before_write(
        member,
        2,
        lambda: cluster.edit(NIGHTLY.kind, NIGHTLY.name, note, namespace=NIGHTLY.namespace),
    )
    with recorded(cluster) as requests:
        result = carry_out(member, emptied, resource=CRON_JOBS)
    assert done(result) == ""
    assert writes(requests) == [("PATCH", 200), ("PATCH", 409), ("PATCH", 200)]
    assert result.record is not None
    assert result.record.confirmed


def test_what_others_wrote_since_is_neither_taken_back_nor_remembered(
    member: Member, cluster: SimulatedCluster, emptied: Change
) -> None:
    theirs = {"spec": {"schedule": "0 5 * * *"}}
    before_write(
        member,
        2,
        lambda: cluster.edit(NIGHTLY.kind, NIGHTLY.name, theirs, namespace=NIGHTLY.namespace),
    )
    result = carry_out(member, replace(emptied, force=True), resource=CRON_JOBS)
    assert done(result) == ""
    assert result.record == AppliedRecord(api_version="batch/v1", uid=emptied.uid)
    live = member.get(CRON_JOBS, NIGHTLY)
    assert live is not None
    assert live["spec"]["schedule"] == "0 5 * * *"


@pytest.mark.parametrize("anew", [False, True])
def test_of_an_object_that_is_gone_before_its_answer_stands_nothing_is_remembered(
    member: Member, cluster: SimulatedCluster, emptied: Change, anew: bool
) -> None:
    def rival() -> None:
        cluster.delete(NIGHTLY.kind, NIGHTLY.name, namespace=NIGHTLY.namespace)
        if anew:
            cluster.create(secured({"runAsUser": 7}))

    before_write(member, 2, rival)
    result = carry_out(member, emptied, resource=CRON_JOBS)
    assert result.record == AppliedRecord(api_version="batch/v1", uid=emptied.uid)
    live = member.get(CRON_JOBS, NIGHTLY)
    assert (context_of(live) if anew else live) == ({"runAsUser": 7} if anew else None)


def test_of_a_new_object_that_is_gone_before_its_answer_stands_nothing_is_remembered(
    member: Member, cluster: SimulatedCluster
) -> None:
    """A server leaves out ``paused: false``, which says the same as nothing, and counts it ours."""
    change = Change(Action.CREATE, WEB, "apps/v1", request=workload(paused=False))
    held = cluster.faults.add(InjectedFault("hold-before", "PATCH", "dryRun=All", count=1))
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(carry_out, member, change, resource=DEPLOYMENTS)
        assert held.reached.wait(30)
        uid = cluster.get(WEB.kind, WEB.name, WEB.namespace)["metadata"]["uid"]
        cluster.delete(WEB.kind, WEB.name, namespace=WEB.namespace)
        held.released.set()
        result = run.result()
    assert done(result) == ""
    assert result.record == AppliedRecord(api_version="apps/v1", uid=uid)
    assert cluster.find(WEB.kind, WEB.name, WEB.namespace) is None


def test_an_answer_that_never_stands_is_left_to_the_next_run(
    member: Member, cluster: SimulatedCluster, emptied: Change
) -> None:
    numbers = iter(range(1000))

    def busy() -> None:
        number = next(numbers)
        if number:
            note = {"metadata": {"annotations": {"example.org/note": str(number)}}}
            cluster.edit(NIGHTLY.kind, NIGHTLY.name, note, namespace=NIGHTLY.namespace)

    member.fence = busy
    result = carry_out(member, emptied, resource=CRON_JOBS)
    assert done(result) == ""
    assert next(numbers) == REWRITE_TRIES + 1
    assert result.record == AppliedRecord(api_version="batch/v1", uid=emptied.uid)


# -- what is left to others ------------------------------------------------------------------------


def test_a_field_that_is_left_to_others_is_written_once_and_disowned(
    member: Member, cluster: SimulatedCluster
) -> None:
    change = replace(creation(colour="red", shape="round"), ignored=("/data/colour",))
    result = carry_out(member, change)
    assert done(result) == ""
    live = now(cluster)
    assert live["data"] == {"colour": "red", "shape": "round"}
    ours = our_entry(live)
    assert ours is not None
    assert set(ours["fieldsV1"]["f:data"]) == {"f:shape"}
    next_request = settings(shape="round")
    assert result.record is not None
    assert result.record.confirmed
    assert compare(DIGESTER, next_request, live, result.record).question is Question.NONE
    member.apply(CONFIG_MAPS, KEY, next_request)
    assert now(cluster)["data"]["colour"] == "red"


def test_what_could_not_be_left_to_others_is_said(
    member: Member, cluster: SimulatedCluster
) -> None:
    def rival() -> None:
        cluster.delete(KEY.kind, KEY.name, namespace=KEY.namespace)

    before_write(member, 2, rival)
    change = replace(creation(colour="red", shape="round"), ignored=("/data/colour",))
    # The object is gone when it is to be disowned.
    cluster.faults.error(409, path=PATH, method="PATCH", skip=1, count=1)
    text = failure(carry_out(member, change))
    assert "was written; what spec.ignore leaves to others is still ours" in text


# -- the request -----------------------------------------------------------------------------------


def test_a_change_that_writes_without_a_request_is_a_defect_and_not_an_empty_object(
    member: Member, cluster: SimulatedCluster
) -> None:
    with pytest.raises(ValueError, match="without a request"):
        carry_out(member, Change(Action.CREATE, KEY, "v1"))
    assert cluster.find(KEY.kind, KEY.name, KEY.namespace) is None


# -- entries of a version that is dropped ----------------------------------------------------------


def moved(live: Object) -> Change:
    return removal(live, Action.UPDATE, old_entry="v1", new_entry="v2")


def versions(live: Object) -> dict[str, str]:
    return {e["manager"]: e["apiVersion"] for e in entries_of(live)}


@pytest.fixture
def autoscaled(cluster: SimulatedCluster, member: Member) -> tuple[RESTMapping, ObjectKey, Object]:
    """An autoscaler, of a group that is served in two versions."""
    key = ObjectKey("autoscaling", "HorizontalPodAutoscaler", "federation-system", "web")
    resource = RESTMapping("autoscaling/v2", key.kind, "horizontalpodautoscalers", namespaced=True)
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    body = {
        "apiVersion": "autoscaling/v2",
        "kind": key.kind,
        "metadata": {"name": key.name, "namespace": key.namespace},
        "spec": {"maxReplicas": 3, "scaleTargetRef": target},
    }
    member.apply(resource, key, body)
    cluster.apply({**body, "spec": {"minReplicas": 2, **body["spec"]}}, manager="flux")
    return resource, key, member.get(resource, key) or {}


def on_from_v2(live: Object, key: ObjectKey) -> Change:
    return Change(
        Action.UPDATE,
        key,
        "autoscaling/v1",
        old_entry="autoscaling/v2",
        new_entry="autoscaling/v1",
        **seen(live),
    )


def test_our_entry_is_moved_on_and_that_of_others_stays(
    member: Member, autoscaled: tuple[RESTMapping, ObjectKey, Object]
) -> None:
    resource, key, live = autoscaled
    assert move_entries(member, resource, on_from_v2(live, key)) == ""
    after = member.get(resource, key)
    assert after is not None
    assert versions(after) == {
        "federation-reconciler": "autoscaling/v1",
        "flux": "autoscaling/v2",
    }


def test_nothing_is_written_where_no_entry_is_of_the_old_version(
    member: Member, cluster: SimulatedCluster, autoscaled: tuple[RESTMapping, ObjectKey, Object]
) -> None:
    resource, key, live = autoscaled
    change = replace(on_from_v2(live, key), old_entry="autoscaling/v2beta1")
    with recorded(cluster) as requests:
        assert move_entries(member, resource, change) == ""
    assert writes(requests) == []


def test_entries_of_another_object_are_not_moved(
    member: Member, cluster: SimulatedCluster, autoscaled: tuple[RESTMapping, ObjectKey, Object]
) -> None:
    resource, key, live = autoscaled
    change = replace(on_from_v2(live, key), uid="another")
    with recorded(cluster) as requests:
        text = move_entries(member, resource, change)
    assert text.startswith("its managedFields could not be moved on from autoscaling/v2: ")
    assert "was changed or recreated" in text
    assert writes(requests) == []


def test_entries_of_an_object_that_is_written_to_meanwhile_are_moved_all_the_same(
    member: Member, cluster: SimulatedCluster, autoscaled: tuple[RESTMapping, ObjectKey, Object]
) -> None:
    resource, key, live = autoscaled
    note = {"metadata": {"annotations": {"example.org/note": "b"}}}
    before_write(member, 1, lambda: cluster.edit(key.kind, key.name, note, namespace=key.namespace))
    with recorded(cluster) as requests:
        assert move_entries(member, resource, on_from_v2(live, key)) == ""
    assert writes(requests) == [("PATCH", 409), ("PATCH", 200)]


def test_entries_that_cannot_be_moved_are_told_with_the_servers_words(
    member: Member, cluster: SimulatedCluster, autoscaled: tuple[RESTMapping, ObjectKey, Object]
) -> None:
    resource, key, live = autoscaled
    cluster.faults.deny("not today")
    assert "not today" in move_entries(member, resource, on_from_v2(live, key))
    cluster.faults.clear()
    numbers = iter(range(1000))

    def busy() -> None:
        note = {"metadata": {"annotations": {"example.org/note": str(next(numbers))}}}
        cluster.edit(key.kind, key.name, note, namespace=key.namespace)

    member.fence = busy
    assert "was changed or recreated" in move_entries(member, resource, on_from_v2(live, key))
    assert next(numbers) == REWRITE_TRIES


def test_who_has_lost_the_lock_moves_no_entries(
    member: Member, cluster: SimulatedCluster, autoscaled: tuple[RESTMapping, ObjectKey, Object]
) -> None:
    resource, key, live = autoscaled

    def fence() -> None:
        raise LeaseLost("another run holds the lock")

    member.fence = fence
    with pytest.raises(LeaseLost), recorded(cluster) as requests:
        move_entries(member, resource, on_from_v2(live, key))
    assert writes(requests) == []
