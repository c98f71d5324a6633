"""One table of inputs: what a real server takes is valid here, what is invalid here it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reconciler.api.files import SourceFile
from reconciler.manifests.load import load
from tests.controlplane.cluster import APPLY
from tests.controlplane.fixtures import Fleet

Object = dict[str, Any]


def _web(container: Object | None = None, pod: Object | None = None, **spec: Any) -> Object:
    containers = [{"name": "web", "image": "x", **(container or {})}]
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers, **(pod or {})}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "spec": {"selector": {"matchLabels": labels}, "template": template, **spec},
    }


def _map(metadata: Object | None = None, **fields: Any) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata or {}, **fields}


def _service(**port: Any) -> Object:
    return {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80, **port}]}}


def _budget(**spec: Any) -> Object:
    spec |= {"selector": {"matchLabels": {"a": "b"}}}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "spec": spec}


OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "u"}

TAKEN = {
    "replicas null": _web(replicas=None),
    "cpu as a number": _web({"resources": {"limits": {"cpu": 2, "memory": 128974848}}}),
    "cpu as a fraction": _web({"resources": {"limits": {"cpu": 0.5}}}),
    "memory as a power": _web({"resources": {"limits": {"memory": "129e6"}}}),
    "an empty size": _web(pod={"volumes": [{"name": "a", "emptyDir": {"sizeLimit": 5}}]}),
    "a port as text": _web({"readinessProbe": {"httpGet": {"port": "http"}}}),
    "a target port by number": _service(targetPort=8080),
    "a target port by name": _service(targetPort="http"),
    "half of them": _budget(minAvailable="50%"),
    "one of them": _budget(minAvailable=1),
    "no data": _map(data=None),
    "an owner": _map({"ownerReferences": [OWNER]}),
    "no arguments": _web({"args": None, "env": None}),
    "a variable without value": _web({"env": [{"name": "A"}]}),
    "a mode": _web(
        pod={"volumes": [{"name": "a", "configMap": {"name": "a", "defaultMode": 420}}]}
    ),
    "a budget of rolling": _web(
        strategy={"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}}
    ),
}
REFUSED = {
    "replicas as text": _web(replicas="2"),
    "half a replica": _web(replicas=2.5),
    "replicas as a boolean": _web(replicas=True),
    "an argument that is a number": _web({"args": ["a", 3]}),
    "a command that is text": _web({"command": "sleep"}),
    "a variable that is a number": _web({"env": [{"name": "A", "value": 3}]}),
    "a variable that is a boolean": _web({"env": [{"name": "A", "value": True}]}),
    "a variable's name": _web({"env": [{"name": True, "value": "a"}]}),
    "a port that is text": _web({"ports": [{"containerPort": "80"}]}),
    "a port's name": _web({"ports": [{"containerPort": 80, "name": 80}]}),
    "a period that is text": _web({"readinessProbe": {"periodSeconds": "3"}}),
    "an image": _web({"image": 3}),
    "a boolean that is text": _web(pod={"hostNetwork": "true"}),
    "a node label": _web(pod={"nodeSelector": {"a": True}}),
    "a toleration": _web(pod={"tolerations": [{"key": "a", "value": True}]}),
    "a quantity with words": _web({"resources": {"limits": {"cpu": "2 cores"}}}),
    "a quantity that is a boolean": _web({"resources": {"limits": {"cpu": True}}}),
    "data that is a number": _map(data={"a": 3}),
    "data that is a boolean": _map(data={"a": True}),
    "data that is a map": _map(data={"a": {"b": "c"}}),
    "immutable as text": _map(immutable="true"),
    "a label": _map({"labels": {"a": 3}}),
    "an annotation": _map({"annotations": {"a": True}}),
    "finalizers as text": _map({"finalizers": "a.b/c"}),
    "an owner's name": _map({"ownerReferences": [{**OWNER, "name": 3}]}),
    "an unknown part of metadata": _map({"lables": {"a": "b"}}),
    "a service port that is text": _service(port="80"),
    "a service's selector": {
        "apiVersion": "v1",
        "kind": "Service",
        "spec": {"selector": {"a": 1}, "ports": [{"port": 80}]},
    },
    "a fraction of them": _budget(minAvailable=0.5),
    "verbs as text": {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": "get"}],
    },
}
PLURALS = {
    "Deployment": "/apis/apps/v1/namespaces/default/deployments",
    "ConfigMap": "/api/v1/namespaces/default/configmaps",
    "Service": "/api/v1/namespaces/default/services",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/default/poddisruptionbudgets",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles",
}


def _named(body: Object) -> Object:
    metadata = {"name": "probe", "namespace": "default", **body.get("metadata", {})}
    return {**body, "metadata": metadata}


def _problems(body: Object) -> list[str]:
    text = json.dumps(_named(body))
    return [str(problem) for problem in load([SourceFile("a.json", text.encode())]).problems]


@pytest.mark.parametrize("case", TAKEN)
def test_what_servers_take_is_valid(case: str) -> None:
    assert _problems(TAKEN[case]) == []


@pytest.mark.parametrize("case", REFUSED)
def test_what_servers_refuse_is_told(case: str) -> None:
    assert len(_problems(REFUSED[case])) == 1


@pytest.mark.integration
def test_real_servers_judge_the_same_way(fleet: Fleet) -> None:
    [cluster] = fleet(1)
    query = {"fieldManager": "probe", "dryRun": "All"}
    wrong = []
    for case, body in {**TAKEN, **REFUSED}.items():
        path = f"{PLURALS[body['kind']]}/probe"
        answer = cluster.request("PATCH", path, _named(body), content_type=APPLY, query=query)
        if (answer.status < 300) != (case in TAKEN):
            wrong.append((case, answer))
    assert not wrong
