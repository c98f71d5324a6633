"""Deletions, one by one: exactly what was decided on, and nothing that became something else."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from kubesim.fleet import Sandbox
from reconciler.api.errors import ClusterError, Conflict
from reconciler.api.objects import Object, ObjectKey
from reconciler.apply.verbs import apply_change
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.inventory.records import Digester
from reconciler.inventory.store import SECRETS, read_inventory, write_inventory
from reconciler.plan.ignored import disowning
from reconciler.plan.model import Action, Change

CONFIG_MAPS = RESTMapping("v1", "ConfigMap", "configmaps", namespaced=True)
DEPLOYMENTS = RESTMapping("apps/v1", "Deployment", "deployments", namespaced=True)
KEY = ObjectKey("", "ConfigMap", "federation-system", "settings")
WEB = ObjectKey("apps", "Deployment", "federation-system", "web")


def as_ever(_live: Object) -> str:
    return ""


def settings(**more: Any) -> Object:
    metadata = {"name": KEY.name, "namespace": KEY.namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **more}


def made(host: Member) -> dict[str, str]:
    """A ConfigMap, and by what it is known."""
    metadata = host.create(CONFIG_MAPS, settings(), namespace=KEY.namespace)["metadata"]
    return {"uid": metadata["uid"], "resource_version": metadata["resourceVersion"]}


def write_to(host: Member, value: str) -> None:
    host.apply(CONFIG_MAPS, KEY, settings(data={"colour": value}), manager="somebody", force=True)


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
        host.delete_as_decided(CONFIG_MAPS, KEY, as_ever, **seen)
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


def test_a_part_of_the_inventory_that_another_run_wrote_is_not_deleted(host: Member) -> None:
    inventory = read_inventory(host, "shop", "federation-system")
    same = {"ran": {}, "group_kinds": (), "resources": {}, "new_fields": {}, "commit": ""}
    inventory = write_inventory(host, inventory, rows={}, **same)
    part = ObjectKey("", "Secret", "federation-system", "federation-shop-1")
    secret = {"apiVersion": "v1", "kind": "Secret", "type": "federation.reconciler.dev/inventory"}
    metadata = {"name": part.name, "labels": {"federation.reconciler.dev/inventory": "shop"}}
    host.create(SECRETS, {**secret, "metadata": metadata}, namespace=part.namespace)
    inventory = read_inventory(host, "shop", "federation-system")
    other = {**secret, "metadata": {"name": part.name, "annotations": {"example.org/run": "2"}}}
    host.apply(SECRETS, part, other, manager="somebody")
    with pytest.raises(ClusterError, match="another run changed the inventory"):
        write_inventory(host, inventory, rows={}, **same)
    assert host.get(SECRETS, part) is not None
    write_inventory(host, read_inventory(host, "shop", "federation-system"), rows={}, **same)
    assert host.get(SECRETS, part) is None


# -- recreations -----------------------------------------------------------------------------------


def workload(app: str) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": WEB.name, "namespace": WEB.namespace},
        "spec": {
            "selector": {"matchLabels": {"app": app}},
            "template": {
                "metadata": {"labels": {"app": app}},
                "spec": {"containers": [{"name": "web", "image": "registry.example/web:1.0"}]},
            },
        },
    }


def recreation(host: Member) -> Change:
    live = host.apply(DEPLOYMENTS, WEB, workload("web"))
    return Change(
        Action.RECREATE,
        WEB,
        "apps/v1",
        request=workload("other"),
        uid=live["metadata"]["uid"],
        resource_version=live["metadata"]["resourceVersion"],
        replicas=4,
        live={**live, "spec": {**live["spec"], "replicas": 4}},
    )


def test_what_is_made_anew_runs_as_many_and_owns_no_count(host: Member) -> None:
    written = apply_change(host, DEPLOYMENTS, recreation(host), as_ever, Digester(b"key"))
    assert written.outcome.status == "done", written.outcome.message
    live = host.get(DEPLOYMENTS, WEB)
    assert live is not None
    assert live["spec"]["replicas"] == 4
    assert live["spec"]["selector"] == {"matchLabels": {"app": "other"}}
    owned = [e["fieldsV1"].get("f:spec", {}) for e in live["metadata"]["managedFields"]]
    assert not any("f:replicas" in fields for fields in owned)


def test_what_would_be_refused_as_new_is_not_deleted_first(
    sandbox: Sandbox, simulated_host: Member
) -> None:
    host = simulated_host
    change = recreation(host)
    sandbox.cluster("host").faults.deny("no new workloads", method="PATCH", path="/deployments/w-")
    written = apply_change(host, DEPLOYMENTS, change, as_ever, Digester(b"key"))
    assert written.outcome.status == "failed"
    assert "no new workloads" in written.outcome.message
    live = host.get(DEPLOYMENTS, WEB)
    assert live is not None
    assert live["metadata"]["uid"] == change.uid


def test_what_somebody_else_makes_in_between_is_not_written_over(host: Member) -> None:
    """An operator takes its finalizer off and makes the Deployment anew at once."""
    held = workload("web")
    held["metadata"]["finalizers"] = ["example.org/operator"]
    host.apply(DEPLOYMENTS, WEB, held, manager="operator")
    change = recreation(host)

    def operator() -> None:
        while not (host.get(DEPLOYMENTS, WEB) or {"metadata": {}})["metadata"].get(
            "deletionTimestamp"
        ):
            time.sleep(0.02)
        finalizers = [{"op": "remove", "path": "/metadata/finalizers"}]
        host.json_patch(DEPLOYMENTS, WEB, finalizers)
        host.create(DEPLOYMENTS, workload("rival"), namespace=WEB.namespace)

    with ThreadPoolExecutor(1) as pool:
        rival = pool.submit(operator)
        written = apply_change(host, DEPLOYMENTS, change, as_ever, Digester(b"key"))
        rival.result()
    assert written.outcome.status == "failed"
    assert "somebody else made it anew" in written.outcome.message
    live = host.get(DEPLOYMENTS, WEB)
    assert live is not None
    assert live["spec"]["selector"] == {"matchLabels": {"app": "rival"}}


def test_only_our_own_entry_gives_up_the_count() -> None:
    def entry(manager: str, operation: str = "Apply", **more: Any) -> Object:
        fields = {"f:spec": {"f:replicas": {}, "f:template": {}}}
        return {"manager": manager, "operation": operation, "fieldsV1": fields, **more}

    ours = entry("federation-reconciler")
    others = [
        entry("somebody"),
        entry("federation-reconciler", "Update"),
        entry("federation-reconciler", subresource="scale"),
    ]
    first, *rest = disowning([ours, *others], {"f:spec": {"f:replicas": {}}})
    assert first["fieldsV1"] == {"f:spec": {"f:template": {}}}
    assert rest == others
    assert ours["fieldsV1"]["f:spec"]["f:replicas"] == {}
