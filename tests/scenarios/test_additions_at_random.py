"""People and controllers write into our objects at random; what a plan says of it holds.

With Report, no field of what is called unchanged differs from Git, and nothing is asked besides the
LISTs. With Remove, just what the plan shows goes, and nothing that a controller or Git holds.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.api.errors import ApiError, Position
from reconciler.api.manifest import Manifest
from reconciler.api.objects import Object, ObjectKey
from reconciler.cluster.client import Member
from reconciler.cluster.connect import Connector
from reconciler.cluster.discovery import RESTMapping
from reconciler.federation.model import Cluster
from reconciler.inventory.applyset import with_membership
from reconciler.inventory.managed_fields import entries_of, is_ours, owned_values
from reconciler.plan.fields import changed_fields
from reconciler.plan.model import ClusterPlan
from reconciler.render.render import DesiredObject, render
from reconciler.run.pipeline import Prepared, apply_plan
from reconciler.scheduler.model import FleetView
from reconciler.scheduler.schedule import schedule
from tests.scenarios.conftest import FEDERATION, World
from tests.scenarios.manifests import NAMESPACE, SERVICE, SETTINGS, WEB

ROUNDS = int(os.environ.get("RECONCILER_FUZZ_ROUNDS", "6"))
PEOPLE = ("kubectl-edit", "kubectl-patch", "Mozilla", "node-fetch", "kubectl")
CONTROLLERS = ("operator", "kube-controller-manager", "vpa-recommender")
SHOP = "---".join([NAMESPACE, WEB, SETTINGS, SERVICE])
OBJECTS = {
    ObjectKey("apps", "Deployment", "shop", "web"): RESTMapping(
        "apps/v1", "Deployment", "deployments", namespaced=True
    ),
    ObjectKey("", "Service", "shop", "web"): RESTMapping(
        "v1", "Service", "services", namespaced=True
    ),
    ObjectKey("", "ConfigMap", "shop", "settings"): RESTMapping(
        "v1", "ConfigMap", "configmaps", namespaced=True
    ),
}


def container(**body: Any) -> Object:
    return {"spec": {"template": {"spec": {"containers": [{"name": "web", **body}]}}}}


def pod(**body: Any) -> Object:
    return {"spec": {"template": {"spec": body}}}


def port(name: str, number: int, protocol: str = "TCP") -> Object:
    return {"name": name, "port": number, "protocol": protocol, "targetPort": number}


METADATA: list[Object] = [
    {"metadata": {"labels": {"team": "a"}}},
    {"metadata": {"labels": {"team": "b", "tier": "one"}}},
    {"metadata": {"annotations": {"example.com/note": "x"}}},
    {"metadata": {"finalizers": ["example.com/a"]}},
]
EDITS: dict[str, list[Object]] = {
    "Deployment": [
        container(env=[{"name": "DEBUG", "value": "1"}]),
        container(env=[{"name": "DEBUG", "value": "2"}, {"name": "TRACE", "value": "1"}]),
        container(env=[{"name": "MODE", "value": "slow"}]),
        container(resources={"limits": {"memory": "1Gi"}}),
        container(resources={"requests": {"cpu": "100m", "memory": "64Mi"}}),
        container(ports=[{"containerPort": 80, "protocol": "TCP"}]),
        container(livenessProbe={"tcpSocket": {"port": 80}}),
        container(volumeMounts=[{"name": "scratch", "mountPath": "/tmp"}]),
        pod(volumes=[{"name": "scratch", "emptyDir": {}}]),
        pod(containers=[{"name": "shell", "image": "registry.example/shell:1"}]),
        pod(tolerations=[{"key": "edge", "operator": "Exists"}]),
        pod(nodeSelector={"disk": "ssd"}),
        pod(terminationGracePeriodSeconds=60),
        {"spec": {"paused": True}},
        {"spec": {"replicas": 3}},
        {"spec": {"template": {"metadata": {"labels": {"extra": "yes"}}}}},
        {"spec": {"template": {"metadata": {"annotations": {"x/restartedAt": "now"}}}}},
        *METADATA,
    ],
    "Service": [
        {"spec": {"ports": [port("admin", 9090)]}},
        {"spec": {"ports": [port("http-udp", 80, "UDP")]}},
        {"spec": {"selector": {"tier": "one"}}},
        {"spec": {"sessionAffinity": "ClientIP"}},
        {"spec": {"publishNotReadyAddresses": True}},
        *METADATA,
    ],
    "ConfigMap": [
        {"data": {"extra": "1"}},
        {"data": {"extra": "2", "colour": "red"}},
        {"binaryData": {"blob": "AAAA"}},
        *METADATA,
    ],
}


@pytest.mark.parametrize("seed", range(3))
def test_what_a_plan_says_of_additions_holds(world: World, seed: int) -> None:
    chance = random.Random(seed)
    world.write("shop.yaml", SHOP)
    assert world.apply().ok
    fewest = part(world.plan()).requests
    connector = Connector.from_file(str(world.kubeconfig), "federation-system")
    member = connector.member(Cluster("aws", Position("", 1, 1)))
    reported = removed = 0
    for _ in range(ROUNDS):
        for key in OBJECTS:
            for _ in range(chance.randrange(3)):
                write(member, key, chance)
        world.write("federation.yaml", FEDERATION)
        assert world.apply().ok
        settled = world.prepare()
        assert part(settled.plan).changes == ()
        assert part(settled.plan).requests == fewest
        reported += part(settled.plan).added
        desired = {one.key: one.body for one in bodies(settled)}
        for key, resource in OBJECTS.items():
            live = looked_at(member, key)
            as_applied = member.apply(resource, key, desired[key], force=True, dry_run=True)
            assert changed_fields(live, as_applied) == ()
        if chance.random() < 0.5:
            removed += keeps_its_promise(world, member)
    removed += keeps_its_promise(world, member)
    assert reported
    assert removed


def keeps_its_promise(world: World, member: Member) -> int:
    """Plans and applies with Remove; how many fields went."""
    world.write("federation.yaml", FEDERATION + "  drift: {additions: Remove}\n")
    prepared = world.prepare()
    changes = {change.key: change for change in part(prepared.plan).changes}
    before = {key: looked_at(member, key) for key in OBJECTS}
    assert apply_plan(prepared).ok, [c for c in changes.values() if c.error]
    for key in OBJECTS:
        after = looked_at(member, key)
        planned = changes[key].fields if key in changes else ()
        assert told(changed_fields(before[key], after)) == told(planned)
        for entry in entries_of(before[key]):
            if is_ours(entry) or entry.get("manager") in CONTROLLERS:
                fields = {k: v for k, v in entry["fieldsV1"].items() if k != "f:status"}
                if not entry.get("subresource"):
                    assert owned_values(fields, before[key]) == owned_values(fields, after)
    again = part(world.plan())
    assert again.changes == ()
    left = {field.path.partition("[")[0] for one in again.additions for field in one.fields}
    assert left <= {"metadata.finalizers"}
    return sum(len(change.fields) for change in changes.values())


def write(member: Member, key: ObjectKey, chance: random.Random) -> None:
    manager = chance.choice([*PEOPLE, *CONTROLLERS])
    resource, edit = OBJECTS[key], chance.choice(EDITS[key.kind])
    if chance.random() < 0.2:
        identity = {"name": key.name, "namespace": key.namespace}
        metadata = {**edit.get("metadata", {}), **identity}
        body = {"apiVersion": resource.api_version, "kind": key.kind, **edit, "metadata": metadata}
        try:
            member.apply(resource, key, body, force=True, manager=manager)
        except ApiError:
            return  # not every edit is valid in every state
        return
    headers = {"content-type": "application/strategic-merge-patch+json"}
    query = {"fieldManager": manager}
    try:
        member._body(
            "PATCH", resource.item(key), query=query, body=edit, headers=headers, write=True
        )
    except ApiError:
        return


def looked_at(member: Member, key: ObjectKey) -> Object:
    live = member.get(OBJECTS[key], key)
    assert live is not None
    return json.loads(json.dumps(live))  # type: ignore[no-any-return]


def part(plan: Any) -> ClusterPlan:
    return next(cluster for cluster in plan.clusters if cluster.name == "aws")


def bodies(prepared: Prepared) -> Iterator[DesiredObject]:
    """What one cluster should have, as it is applied."""
    state = prepared.state
    work = next(work for work in prepared.works if work.cluster.name == "aws")
    applyset = work.observation.inventory.applyset
    for one in render(state, schedule(state, FleetView())).objects["aws"]:
        yield replace(one, manifest=Manifest(with_membership(one.body, one.key, applyset)))


def told(fields: Any) -> list[tuple[str, str, str]]:
    """Without the number that the Deployment's controller counts up afterwards."""
    return [(f.path, repr(f.before), repr(f.after)) for f in fields if "revision" not in f.path]
