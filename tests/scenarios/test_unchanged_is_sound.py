"""Whatever is called unchanged, a dry run of the same apply must leave as it is.

Objects are edited at random: by people with kubectl's verbs and with a browser, by controllers, by
an apply under our own manager's name, by somebody who resets or reorders. Real servers have a
mutating admission policy besides, which changes a field that we own during anybody's request.
"""

from __future__ import annotations

import json
import os
import random
from typing import Any

from reconciler.api.errors import ApiError, Position
from reconciler.api.objects import Object, key_of
from reconciler.cluster.client import FIELD_MANAGER, Member
from reconciler.cluster.connect import Connector
from reconciler.cluster.discovery import RESTMapping
from reconciler.federation.model import Cluster
from reconciler.plan.fields import changed_fields
from tests.scenarios.conftest import World
from tests.scenarios.manifests import NAMESPACE, POLICY, SERVICE, SETTINGS, WEB

DEPLOYMENTS = RESTMapping("apps/v1", "Deployment", "deployments", namespaced=True)
SERVICES = RESTMapping("v1", "Service", "services", namespaced=True)
CONFIG_MAPS = RESTMapping("v1", "ConfigMap", "configmaps", namespaced=True)
ROUNDS = int(os.environ.get("RECONCILER_FUZZ_ROUNDS", "25"))

HANDS = ("kubectl-edit", "kubectl-set", "Mozilla", "some-controller", "kube-controller-manager")
_EDITS: dict[str, list[Any]] = {
    "Deployment": [
        {"spec": {"replicas": 5}},
        {"spec": {"replicas": 2}},
        {"spec": {"paused": True}},
        {"spec": {"template": {"metadata": {"labels": {"extra": "yes"}}}}},
        {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "other:1"}]}}}},
        {"metadata": {"annotations": {"note": "x"}}},
        {"spec": {"template": {"spec": {"tolerations": [{"operator": "Exists"}]}}}},
        {"spec": {"template": {"metadata": {"annotations": {"a/restartedAt": "now"}}}}},
        {"metadata": {"labels": {"applyset.kubernetes.io/part-of": None}}},
        {"metadata": {"managedFields": [{}]}},
    ],
    "Service": [
        {"spec": {"ports": [{"name": "http", "port": 80, "targetPort": 9090}]}},
        {"spec": {"selector": {"app": "other"}}},
        {"spec": {"sessionAffinity": "ClientIP"}},
        {"spec": {"ports": [{"name": "http", "port": 80}, {"name": "admin", "port": 81}]}},
        {"spec": {"publishNotReadyAddresses": True}},
        {"metadata": {"managedFields": [{}]}},
    ],
    "ConfigMap": [
        {"data": {"colour": "red"}},
        {"data": {"colour": None}},
        {"data": {"other": "x"}},
        {"metadata": {"finalizers": ["example.com/a"]}},
        {"data": {"size": "3"}},
        {"metadata": {"labels": {"a": "b"}}},
    ],
}


def test_what_is_called_unchanged_is_what_a_dry_run_leaves_alone(world: World) -> None:
    chance = random.Random(20)
    world.write("shop.yaml", "---".join([NAMESPACE, WEB, SETTINGS, SERVICE]))
    assert world.apply().ok
    member = _member(world)
    if _is_real(world):
        path = world.repository.parent / "policy.yaml"
        path.write_text(POLICY.format(version=_policy_version(world)))
        world.kubectl("apply", "-f", str(path))
    claims, mutated = 0, False
    for _ in range(ROUNDS):
        for resource in (DEPLOYMENTS, SERVICES, CONFIG_MAPS):
            if chance.random() < 0.7:
                _edit(member, resource, chance)
        mutated = mutated or world.get("deployment", "web")["spec"].get("replicas") == 42
        claims += _check_claims(world, member)
        if chance.random() < 0.4:
            world.apply()
            assert not world.plan().has_changes
    assert claims > ROUNDS // 3
    assert mutated == _is_real(world), "the admission policy acted"


def _policy_version(world: World) -> str:
    """``admissionregistration.k8s.io/v1``; an earlier one where the server is older than 1.36."""
    lines = world.kubectl("api-resources", "--api-group=admissionregistration.k8s.io").splitlines()
    (line,) = (line for line in lines if line.startswith("mutatingadmissionpolicies "))
    return line.split()[1]


def _is_real(world: World) -> bool:
    """Whether admission policies act here; the sandbox knows them as plain objects only."""
    return "reconciler-sandbox" not in str(world.kubeconfig)


def _member(world: World) -> Member:
    connector = Connector.from_file(str(world.kubeconfig), "federation-system")
    return connector.member(Cluster("aws", Position("", 1, 1)))


def _edit(member: Member, resource: RESTMapping, chance: random.Random) -> None:
    name = "settings" if resource.kind == "ConfigMap" else "web"
    body: Object = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name, "namespace": "shop"},
    }
    key = key_of(body)
    edit = chance.choice(_EDITS[resource.kind])
    way = chance.choice(["patch", "apply as another", "apply as us"])
    try:
        if way == "patch":
            member._body(
                "PATCH",
                resource.item(key),
                query={"fieldManager": chance.choice(HANDS)},
                body=json.loads(json.dumps(edit)),
                headers={"content-type": "application/merge-patch+json"},
            )
        elif "managedFields" not in edit.get("metadata", {}):
            manager = FIELD_MANAGER if way == "apply as us" else "other-tool"
            whole = {**body, **edit, "metadata": {**body["metadata"], **edit.get("metadata", {})}}
            member.apply(resource, key, whole, force=True, manager=manager)
    except ApiError:
        return  # not every edit is valid in every state


def _check_claims(world: World, member: Member) -> int:
    """Every object that the plan calls unchanged, dry-run applied: nothing may differ."""
    prepared = world.prepare()
    work = next(w for w in prepared.works if w.cluster.name == "aws")
    changed = {change.key for change in work.plan.changes}
    desired = {change.key for change in work.plan.changes} | set(work.rows)
    checked = 0
    bodies = _bodies(world)
    for key in desired - changed:
        if key.kind not in ("Deployment", "Service", "ConfigMap"):
            continue
        kind, live = work.observation.members[key]
        resource = work.observation.discovery.find(kind)
        assert resource is not None
        body = _as_we_send_it(bodies[key], key, work.observation.inventory.applyset)
        result = member.apply(resource, key, body, force=True, dry_run=True)
        assert changed_fields(live, result) == (), f"{key} was called unchanged"
        checked += 1
    return checked


def _bodies(world: World) -> dict[Any, Object]:
    from reconciler.api.options import RunOptions
    from reconciler.run.repository import read_repository

    state = read_repository(RunOptions(repo=str(world.repository))).state
    return {workload.key: workload.template for workload in state.workloads}


def _as_we_send_it(body: Object, key: Any, applyset: str) -> Object:
    from reconciler.inventory.applyset import with_membership

    return with_membership(body, key, applyset)
