"""Random writes by several managers, sent to both sides; the answers must be the same."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.contract.sides import APPLY, JSON_PATCH, MERGE, STRATEGIC, Answer, Api, path_of, stable

Object = dict[str, Any]

pytestmark = pytest.mark.integration

MANAGERS = ["ours", "ours", "theirs", "kubectl"]


class Chance:
    """Draws objects and writes from one seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def maybe(self, share: float) -> bool:
        return self._random.random() < share

    def one(self, choices: list[Any]) -> Any:
        return self._random.choice(choices)

    def some(self, choices: list[Any], most: int) -> list[Any]:
        return self._random.sample(choices, self._random.randint(0, most))

    def labels(self) -> dict[str, str]:
        return {key: self.one(["1", "2", "3"]) for key in "abc" if self.maybe(0.5)}

    def metadata(self) -> Object:
        found: Object = {"name": "subject", "namespace": "default"}
        if self.maybe(0.6):
            found["labels"] = self.labels()
        if self.maybe(0.3):
            found["annotations"] = self.labels()
        if self.maybe(0.1):
            found["finalizers"] = self.some(["example.com/a", "example.com/b"], 2)
        return found

    def container(self, name: str) -> Object:
        found: Object = {"name": name, "image": self.one(["x:1", "x:2", "x"])}
        options = {
            "env": [
                {"name": key, "value": self.one(["1", "2", ""])}
                for key in self.some(list("ABC"), 3)
            ],
            "ports": [{"containerPort": port} for port in self.some([80, 81, 82], 2)],
            "resources": self.one([{}, {"limits": {"cpu": self.one(["1", "1000m", "0.5"])}}]),
            "args": self.one([["a"], ["b", "c"], []]),
            "securityContext": self.one([{}, {"runAsUser": 0}, {"runAsUser": 1}]),
            "livenessProbe": {"httpGet": {"port": self.one([80, "http"])}},
            "tty": self.one([True, False]),
        }
        return found | {key: value for key, value in options.items() if self.maybe(0.35)}

    def deployment(self) -> Object:
        names = self._random.sample(["c1", "c2", "c3"], self._random.randint(1, 3))
        pod: Object = {"containers": [self.container(name) for name in names]}
        options = {
            "volumes": [{"name": name} for name in self.some(["v1", "v2"], 2)],
            "nodeSelector": self.labels(),
            "tolerations": self.one([[{"key": "a", "operator": "Exists"}], []]),
            "securityContext": self.one([{}, {"runAsUser": 0}, {"fsGroup": 5}]),
        }
        pod |= {key: value for key, value in options.items() if self.maybe(0.35)}
        spec: Object = {
            "selector": {"matchLabels": {"app": "w"}},
            "template": {"metadata": {"labels": {"app": "w", **self.labels()}}, "spec": pod},
        }
        strategies = [{"type": "RollingUpdate"}, {"rollingUpdate": {"maxSurge": 1}}, {}]
        options = {
            "replicas": self._random.randint(0, 3),
            "strategy": self.one(strategies),
            "minReadySeconds": self.one([0, 5]),
        }
        spec |= {key: value for key, value in options.items() if self.maybe(0.4)}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": self.metadata(),
            "spec": spec,
        }

    def settings(self) -> Object:
        found = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": self.metadata()}
        return found | ({"data": self.labels()} if self.maybe(0.8) else {})

    def service(self) -> Object:
        ports = [
            {"name": f"p{port}", "port": port, "protocol": self.one(["TCP", "UDP"])}
            for port in self._random.sample([80, 81, 82], self._random.randint(1, 3))
        ]
        spec = {"ports": ports} | ({"selector": self.labels()} if self.maybe(0.7) else {})
        return {"apiVersion": "v1", "kind": "Service", "metadata": self.metadata(), "spec": spec}

    def role(self) -> Object:
        rule = {"apiGroups": [""], "resources": self.some(["pods"], 1) or ["*"], "verbs": ["get"]}
        version = "rbac.authorization.k8s.io/v1"
        found = {"apiVersion": version, "kind": "Role", "metadata": self.metadata()}
        return found | ({"rules": [rule]} if self.maybe(0.8) else {})

    def write(self, obj: Object) -> tuple[str, str, Any, str, dict[str, str]]:
        """(method, path, body, content type, query)"""
        path, manager = path_of(obj), self.one(MANAGERS)
        by = {"fieldManager": manager}
        plain = "application/json"
        kind = self.one(
            ["apply"] * 5 + ["dry-run", "create", "put", "merge", "strategic", "reset", "status"]
        )
        if kind == "apply":
            return "PATCH", path, obj, APPLY, by | {"force": self.one(["true", "false"])}
        if kind == "dry-run":
            return "PATCH", path, obj, APPLY, by | {"force": "true", "dryRun": "All"}
        if kind == "create":
            return "POST", path.rpartition("/")[0], obj, plain, by
        if kind == "put":
            return "PUT", path, obj, plain, by
        if kind in ("merge", "strategic"):
            return "PATCH", path, obj, MERGE if kind == "merge" else STRATEGIC, by
        if kind == "reset":
            operation = {"op": "replace", "path": "/metadata/managedFields", "value": [{}]}
            return "PATCH", path, [operation], JSON_PATCH, by
        status = {"status": {"replicas": self._random.randint(0, 3)}}
        return "PATCH", f"{path}/status", status, MERGE, by


def comparable(answer: Answer) -> Any:
    """The order in which several managers' conflicts are listed is random on a real server."""
    body = answer.body
    if answer.status == 409 and isinstance(body, dict) and "causes" in body.get("details", {}):
        return 409, sorted(answer.causes)
    return answer.status, stable(body)


@pytest.mark.parametrize("kind", ["deployment", "settings", "service", "role"])
@pytest.mark.parametrize("seed", range(6))
def test_random_writes_end_alike(both: tuple[Api, Api], kind: str, seed: int) -> None:
    chance = Chance(seed)
    for _ in range(3):
        draw = getattr(chance, kind)
        path = path_of(draw())
        for api in both:
            api("PATCH", path, {"metadata": {"finalizers": None}}, content_type=MERGE)
            api("DELETE", path)
        history = []
        for _ in range(6):
            method, target, body, content_type, query = chance.write(draw())
            history.append((method, target, body, content_type, query))
            sandbox, real = (
                api(method, target, body, content_type=content_type, **query) for api in both
            )
            assert comparable(sandbox) == comparable(real), history
            sandbox, real = (api("GET", path) for api in both)
            assert comparable(sandbox) == comparable(real), history
