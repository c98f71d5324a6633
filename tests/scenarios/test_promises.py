"""A plan is a promise: what it shows of an object is what becomes of it, field by field.

Objects are made at random by kubectl, by controllers and by other appliers, with more and with
other fields than Git; then adopted by random rules, edited in Git, interfered with, edited again.
"""

from __future__ import annotations

import json
import os
import random
from contextlib import suppress
from typing import Any

import pytest

from reconciler.api.errors import ApiError, Conflict, Position
from reconciler.api.field_path import FieldPath
from reconciler.api.objects import Object, key_of
from reconciler.cluster.client import Member
from reconciler.cluster.connect import Connector
from reconciler.cluster.discovery import RESTMapping
from reconciler.federation.model import Cluster
from reconciler.plan.fields import changed_fields
from reconciler.plan.model import Action
from tests.scenarios.conftest import FEDERATION, World
from tests.scenarios.manifests import NAMESPACE

RESOURCES = {
    "ConfigMap": RESTMapping("v1", "ConfigMap", "configmaps", namespaced=True),
    "Service": RESTMapping("v1", "Service", "services", namespaced=True),
    "Deployment": RESTMapping("apps/v1", "Deployment", "deployments", namespaced=True),
}
ROUNDS = int(os.environ.get("RECONCILER_FUZZ_ROUNDS", "12"))
MANAGERS = (
    "kubectl-create",
    "kubectl-client-side-apply",
    "controller-manager",
    "helm",
    "kubectl-edit",
)
RULES = (
    "",
    "",
    '  adoption: {takeOver: ["kubectl*", "before-first-apply"]}\n',
    '  adoption: {takeOver: ["*"]}\n',
    "  drift: {additions: Remove}\n",
    "  adoption: {takeOver: []}\n  drift: {additions: Remove}\n",
)


def some(chance: random.Random, values: dict[str, list[Any]], share: float = 0.5) -> dict[str, Any]:
    return {k: chance.choice(v) for k, v in values.items() if chance.random() < share}


def config_map(chance: random.Random) -> Object:
    data = some(chance, {"colour": ["red", "blue"], "size": ["1", "2"], "shape": ["round"]})
    return {**about(chance, "v1", "ConfigMap", "settings"), **({"data": data} if data else {})}


def service(chance: random.Random) -> Object:
    ports = [
        {"name": name, "port": number, "protocol": protocol, **some(chance, {"targetPort": [8080]})}
        for name, number, protocol in (
            ("http", 80, "TCP"),
            ("dns", 53, "UDP"),
            ("dns-tcp", 53, "TCP"),
        )
        if chance.random() < 0.6
    ] or [{"name": "https", "port": 443, "protocol": "TCP"}]
    spec = some(
        chance, {"sessionAffinity": ["ClientIP", "None"], "publishNotReadyAddresses": [True]}
    )
    selector = {"app": "web", **some(chance, {"tier": ["one", "two"]})}
    return {
        **about(chance, "v1", "Service", "web"),
        "spec": {**spec, "selector": selector, "ports": ports},
    }


def deployment(chance: random.Random) -> Object:
    containers = [container(chance, "web")]
    if chance.random() < 0.5:
        containers.insert(chance.randrange(2), container(chance, "sidecar"))
    pod = some(
        chance,
        {
            "terminationGracePeriodSeconds": [30, 60],
            "nodeSelector": [{"disk": "ssd"}, {"disk": "ssd", "zone": "a"}],
            "tolerations": [
                [{"key": "a", "operator": "Exists"}],
                [{"key": "b", "operator": "Exists"}],
            ],
            "securityContext": [{}, {"runAsUser": 1}],
            "volumes": [
                [{"name": "v", "emptyDir": {}}],
                [{"name": "w", "configMap": {"name": "x"}}],
            ],
        },
        0.4,
    )
    spec = some(
        chance,
        {
            "replicas": [1, 2],
            "revisionHistoryLimit": [5],
            "strategy": [
                {"type": "Recreate"},
                {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            ],
        },
        0.4,
    )
    labels = {"app": "web", **some(chance, {"tier": ["one", "two"]})}
    template = {"metadata": {"labels": labels}, "spec": {**pod, "containers": containers}}
    return {
        **about(chance, "apps/v1", "Deployment", "web"),
        "spec": {**spec, "selector": {"matchLabels": {"app": "web"}}, "template": template},
    }


def container(chance: random.Random, name: str) -> Object:
    limits = some(chance, {"cpu": ["1", "1000m"], "memory": ["1Gi"]})
    return {
        "name": name,
        "image": chance.choice(["registry.example/a:1", "registry.example/a:2"]),
        **({"resources": {"limits": limits}} if limits else {}),
        **some(
            chance,
            {
                "env": [
                    [{"name": "A", "value": "1"}],
                    [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}],
                ],
                "args": [["-v"], ["-v", "-x"]],
                "ports": [
                    [{"containerPort": 80}],
                    [{"name": "admin", "containerPort": 81, "protocol": "UDP"}],
                ],
            },
            0.4,
        ),
    }


def about(chance: random.Random, api_version: str, kind: str, name: str) -> Object:
    metadata: Object = {"name": name, "namespace": "shop"}
    for part in ("labels", "annotations"):
        if found := some(chance, {"team": ["a", "b"], "example.com/x": ["1"]}, 0.3):
            metadata[part] = found
    if chance.random() < 0.2:
        metadata["finalizers"] = chance.choice(
            [["example.com/a"], ["example.com/b", "example.com/a"]]
        )
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


MAKERS = (config_map, service, deployment)


@pytest.mark.parametrize("seed", range(4))
def test_what_a_plan_shows_is_what_is_written(world: World, seed: int) -> None:
    chance = random.Random(seed)
    world.write("shop.yaml", NAMESPACE)
    assert world.apply().ok
    connector = Connector.from_file(str(world.kubeconfig), "federation-system")
    member = connector.member(Cluster("aws", Position("", 1, 1)))
    kept = 0
    for _ in range(ROUNDS):
        for make in MAKERS:
            foreign = make(chance)
            put_there(member, foreign, chance)
        world.write("federation.yaml", FEDERATION + chance.choice(RULES))
        for _ in range(3):
            world.write("objects.yaml", "\n---\n".join(json.dumps(make(chance)) for make in MAKERS))
            kept += keeps_its_promise(world, member)
            for make in MAKERS:
                if chance.random() < 0.5:
                    interfere(member, make(chance), chance)
        clear(world, member)
    assert kept > ROUNDS


def put_there(member: Member, body: Object, chance: random.Random) -> None:
    """One of the ways in which objects come into being and are written later."""
    resource, key = RESOURCES[body["kind"]], key_of(body)
    if chance.random() < 0.3:
        member.apply(resource, key, body, manager=chance.choice(["kubectl", "argocd"]))
    else:
        write(member, "POST", resource.collection("shop"), body, chance.choice(MANAGERS), "json")
    if chance.random() < 0.5:
        interfere(member, MAKERS[list(RESOURCES).index(body["kind"])](chance), chance)


def interfere(member: Member, body: Object, chance: random.Random) -> None:
    resource, key = RESOURCES[body["kind"]], key_of(body)
    way = chance.choice(["merge", "merge", "apply", "reset", "labels"])
    try:
        if way == "apply":
            member.apply(resource, key, body, manager="kubectl", force=True)
        elif way == "reset":
            patch: Object = {"metadata": {"managedFields": [{}]}}
            write(member, "PATCH", resource.item(key), patch, "somebody", "merge-patch+json")
        else:
            patch = {"metadata": {"labels": {"note": "x"}}} if way == "labels" else body
            manager = chance.choice(MANAGERS)
            write(member, "PATCH", resource.item(key), patch, manager, "strategic-merge-patch+json")
    except ApiError:
        return  # not every edit is valid in every state


def write(member: Member, verb: str, path: str, body: Object, manager: str, content: str) -> None:
    headers = {"content-type": f"application/{content}"}
    query = {"fieldManager": manager}
    member._body(verb, path, query=query, body=body, headers=headers, write=True)


def keeps_its_promise(world: World, member: Member) -> int:
    """Plan, apply, compare; how many objects were written just as planned."""
    prepared = world.prepare()
    changes = {c.key: c for c in next(c for c in prepared.plan.clusters if c.name == "aws").changes}
    keys = [key_of(json.loads(text)) for text in objects(world)]
    before = {key: member.get(RESOURCES[key.kind], key) for key in keys}
    if prepared.plan.violations:
        # A leftover that does not go with what Git says is refused when it is planned.
        return 0
    from reconciler.run.pipeline import apply_plan

    result = apply_plan(prepared)
    failed = {o.key: o.message for o in result.outcomes if o.status == "failed"}
    assert not failed
    count = 0
    for key in keys:
        after = member.get(RESOURCES[key.kind], key)
        change, live = changes.get(key), before[key]
        if change is None or change.action is Action.FAILED or live is None or after is None:
            assert live is None or after is None or changed_fields(live, after) == (), key
            continue
        assert told(changed_fields(live, after)) == told(change.fields), (key, change)
        values = leaves(after)
        for field in change.stays:
            if "revision" not in field.path:
                assert values.get(field.path, field.value) == field.value, (key, field)
        count += 1
    again = world.plan()
    quiet = {c.key for c in changes.values() if c.action is Action.FAILED}
    left = [c for cl in again.clusters for c in cl.changes if c.key not in quiet]
    assert not [(c.reason, c.fields, c.stays, c.error, c.claim, c.take_over) for c in left]
    return count


def objects(world: World) -> list[str]:
    return (world.repository / "objects.yaml").read_text().split("\n---\n")


def leaves(value: Any) -> dict[str, Any]:
    from reconciler.plan.fields import _leaves

    return {FieldPath(steps): leaf for steps, leaf in _leaves((), value)}


def told(fields: Any) -> list[tuple[str, str, str]]:
    """Without the number that the Deployment's controller counts up afterwards."""
    return [(f.path, repr(f.before), repr(f.after)) for f in fields if "revision" not in f.path]


def clear(world: World, member: Member) -> None:
    """The next round begins with none of them."""
    for text in objects(world):
        key = key_of(json.loads(text))
        resource = RESOURCES[key.kind]
        patch: Object = {"metadata": {"finalizers": None}}
        write(member, "PATCH", resource.item(key), patch, "somebody", "merge-patch+json")
        while (live := member.get(resource, key)) is not None:
            now = live["metadata"]
            with suppress(Conflict):  # Its controller was faster.
                member.delete(
                    resource, key, uid=now["uid"], resource_version=now["resourceVersion"]
                )
                break
    world.remove("objects.yaml")
