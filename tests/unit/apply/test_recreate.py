"""Recreations: what goes first, what is made then, and when neither happens."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from kubesim.cluster import SimulatedCluster
from kubesim.faults import InjectedFault
from kubesim.fleet import Sandbox
from reconciler.api.objects import Object
from reconciler.apply import recreate
from reconciler.cluster.client import Member
from reconciler.plan.model import Action, Change
from tests.unit.apply.changes import (
    APPLIES,
    CONFIG_MAPS,
    DEPLOYMENTS,
    KEY,
    PATH,
    WEB,
    carry_out,
    done,
    failure,
    managers,
    now,
    recorded,
    removal,
    settings,
    somebody_writes,
    workload,
    writes,
)


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
    text = failure(result)
    assert "its deletion was asked for, and it is made by a later run: the server" in text
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


# -- workloads -------------------------------------------------------------------------------------


def deployment(app: str) -> Object:
    labels = {"app": app}
    containers = [{"name": "web", "image": "registry.example/web:1.0"}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    return workload(selector={"matchLabels": labels}, template=template)


def recreation_of_workload(host: Member) -> Change:
    live = host.apply(DEPLOYMENTS, WEB, deployment("web"))
    return Change(
        Action.RECREATE,
        WEB,
        "apps/v1",
        request=deployment("other"),
        uid=live["metadata"]["uid"],
        resource_version=live["metadata"]["resourceVersion"],
        replicas=4,
        live={**live, "spec": {**live["spec"], "replicas": 4}},
    )


def test_what_is_made_anew_runs_as_many_and_owns_no_count(host: Member) -> None:
    written = carry_out(host, recreation_of_workload(host), resource=DEPLOYMENTS)
    assert done(written) == ""
    live = host.get(DEPLOYMENTS, WEB)
    assert live is not None
    assert live["spec"]["replicas"] == 4
    assert live["spec"]["selector"] == {"matchLabels": {"app": "other"}}
    owned = [e["fieldsV1"].get("f:spec", {}) for e in live["metadata"]["managedFields"]]
    assert not any("f:replicas" in fields for fields in owned)


@pytest.mark.parametrize(
    ("disowned", "words"),
    [
        (False, "was made with 4 replicas as before, which could not be left to others"),
        (True, "metadata.uid"),
    ],
)
def test_what_somebody_makes_after_our_new_one_is_left_as_it_is(
    member: Member, cluster: SimulatedCluster, disowned: bool, words: str
) -> None:
    change = recreation_of_workload(member)
    theirs: list[Object] = []

    def rival() -> None:
        found = cluster.find(WEB.kind, WEB.name, WEB.namespace)
        if found is None or found["metadata"]["uid"] == change.uid or theirs:
            return
        ours = managers(found)["federation-reconciler"]["f:spec"]
        if ("f:replicas" not in ours) is disowned:
            cluster.delete(WEB.kind, WEB.name, namespace=WEB.namespace)
            theirs.append(cluster.create(deployment("other")))

    member.fence = rival
    text = failure(carry_out(member, change, resource=DEPLOYMENTS))
    assert words in text
    live = cluster.get(WEB.kind, WEB.name, WEB.namespace)
    assert [(live["metadata"]["uid"], live["spec"])] == [
        (one["metadata"]["uid"], one["spec"]) for one in theirs
    ]
    assert "federation-reconciler" not in managers(live)


def test_what_would_be_refused_as_new_is_not_deleted_first(
    sandbox: Sandbox, simulated_host: Member
) -> None:
    host = simulated_host
    change = recreation_of_workload(host)
    sandbox.cluster("host").faults.deny("no new workloads", method="PATCH", path="/deployments/w-")
    written = carry_out(host, change, resource=DEPLOYMENTS)
    assert "no new workloads" in failure(written)
    live = host.get(DEPLOYMENTS, WEB)
    assert live is not None
    assert live["metadata"]["uid"] == change.uid


def test_what_somebody_else_makes_in_between_is_not_written_over(host: Member) -> None:
    """An operator takes its finalizer off and makes the Deployment anew at once."""
    held = deployment("web")
    held["metadata"]["finalizers"] = ["example.org/operator"]
    host.apply(DEPLOYMENTS, WEB, held, manager="operator")
    change = recreation_of_workload(host)

    def operator() -> None:
        while not (host.get(DEPLOYMENTS, WEB) or {"metadata": {}})["metadata"].get(
            "deletionTimestamp"
        ):
            time.sleep(0.02)
        finalizers = [{"op": "remove", "path": "/metadata/finalizers"}]
        host.json_patch(DEPLOYMENTS, WEB, finalizers)
        host.create(DEPLOYMENTS, deployment("rival"), namespace=WEB.namespace)

    with ThreadPoolExecutor(1) as pool:
        rival = pool.submit(operator)
        written = carry_out(host, change, resource=DEPLOYMENTS)
        rival.result()
    assert "somebody else recreated it" in failure(written)
    live = host.get(DEPLOYMENTS, WEB)
    assert live is not None
    assert live["spec"]["selector"] == {"matchLabels": {"app": "rival"}}
