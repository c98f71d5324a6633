"""Random repositories, and random hands in member clusters: drawn by hypothesis or from a seed."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kubesim.cluster import Rejected, SimulatedCluster
from tests.chaos.invariants import CANARY
from tests.chaos.scenarios import clusters

Object = dict[str, Any]
NAMES = ("aws", "gcp")
NAMESPACES = ("shop", "lab")
FEDERATION: Object = {
    "apiVersion": "federation.reconciler.dev/v1alpha1",
    "kind": "Federation",
    "metadata": {"name": "random"},
    "spec": {"defaults": {"placement": {"clusterSelector": {}}}},
}
_WORDS = ("red", "green", "blue", "1", "", "ä\n", "true")
_HEADS = {
    "ConfigMap": "v1",
    "Secret": "v1",
    "Service": "v1",
    "ServiceAccount": "v1",
    "Deployment": "apps/v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "Namespace": "v1",
}


class Draw:
    """Draws from one seed. ``some`` are distinct and in the order of the choices."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def one(self, choices: Sequence[Any]) -> Any:
        return self._random.choice(choices)

    def some(self, choices: Sequence[Any]) -> list[Any]:
        return [choice for choice in choices if self.maybe()]

    def maybe(self) -> bool:
        return self._random.random() < 0.5

    def shuffled(self, items: Sequence[Any]) -> list[Any]:
        return self._random.sample(items, len(items))


# -- a repository -----------------------------------------------------------------------------


def repository(draw: Draw) -> list[Object]:
    """Manifests and Placements; every Namespace that is used is among them."""
    found: list[Object] = []
    for kind in _HEADS:
        for name in draw.some(("one", "two")) if kind != "Namespace" else ():
            for namespace in draw.some(NAMESPACES):
                found.append(manifest(draw, kind, name, namespace))
    used = {obj["metadata"]["namespace"] for obj in found}
    spaces = [_headed("Namespace", {"name": n, **_marks(draw)}) for n in NAMESPACES if n in used]
    placements = [
        _placement(draw, kind) for kind in draw.some(("ConfigMap", "Secret", "Deployment"))
    ]
    return [*spaces, *found, *placements]


def manifest(draw: Draw, kind: str, name: str, namespace: str) -> Object:
    head = _headed(kind, {"name": name, "namespace": namespace, **_marks(draw)})
    return head | _BODIES[kind](draw)


def files(documents: Sequence[Object], shares: Callable[[int], int]) -> dict[str, str]:
    """The documents as files; ``shares`` tells for each, by its number, which file it is in."""
    texts: dict[str, list[str]] = {}
    for number, document in enumerate(documents):
        # As JSON: a plain y is a text to some writers of YAML, and true to kubectl.
        text = json.dumps(document) + "\n"
        texts.setdefault(f"{shares(number)}.yaml", []).append(text)
    rules = {"federation.yaml": json.dumps(FEDERATION), "clusters.yaml": clusters(NAMES)}
    return rules | {name: "---\n".join(parts) for name, parts in texts.items()}


def documents_in(texts: Sequence[str]) -> list[Object]:
    return [json.loads(part) for text in texts for part in text.split("---\n")]


def _headed(kind: str, metadata: Object) -> Object:
    return {"apiVersion": _HEADS[kind], "kind": kind, "metadata": metadata}


def _marks(draw: Draw) -> Object:
    found: Object = {}
    if draw.maybe():
        found["labels"] = _map(draw, "ab", ("x", "y"))
    if draw.maybe():
        found["annotations"] = _map(draw, "cd", _WORDS)
    return found


def _map(draw: Draw, keys: Sequence[str], values: Sequence[str] = _WORDS) -> dict[str, str]:
    return {key: draw.one(values) for key in draw.some(keys)}


def _config_map(draw: Draw) -> Object:
    return {"data": _map(draw, "efg")} if draw.maybe() else {}


def _secret(draw: Draw) -> Object:
    values = [f"{CANARY}-{number}" for number in range(4)]
    found: Object = {"stringData": _map(draw, "ef", values)}
    encoded = base64.b64encode(draw.one(values).encode()).decode()
    return found | ({"data": {"g": encoded}} if draw.maybe() else {})


def _service(draw: Draw) -> Object:
    ports = [{"name": f"p{n}", "port": n, "targetPort": draw.one((n, 8080))} for n in (80, 443)]
    return {"spec": {"ports": ports[: draw.one((1, 2))], "selector": {"app": draw.one("xy")}}}


def _account(draw: Draw) -> Object:
    return {"automountServiceAccountToken": draw.maybe()} if draw.maybe() else {}


def _role(draw: Draw) -> Object:
    verbs = draw.some(("get", "list", "watch")) or ["get"]
    return {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": verbs}]}


def _deployment(draw: Draw) -> Object:
    container: Object = {"name": "main", "image": draw.one(("x:1", "x:2"))}
    if draw.maybe():
        container["env"] = [{"name": n, "value": draw.one(_WORDS)} for n in draw.some("AB")]
    if draw.maybe():
        container["resources"] = {"limits": {"cpu": draw.one(("1", "1000m", "0.5"))}}
    spec: Object = {
        "selector": {"matchLabels": {"app": "main"}},
        "template": {"metadata": {"labels": {"app": "main"}}, "spec": {"containers": [container]}},
    }
    return {"spec": spec | ({"replicas": draw.one((0, 1, 4))} if draw.maybe() else {})}


_BODIES: Mapping[str, Callable[[Draw], Object]] = {
    "ConfigMap": _config_map,
    "Secret": _secret,
    "Service": _service,
    "ServiceAccount": _account,
    "Deployment": _deployment,
    "Role": _role,
}


def _placement(draw: Draw, kind: str) -> Object:
    spec: Object = {"select": [{"kind": kind}], "clusters": draw.some(NAMES)}
    if kind == "Deployment" and spec["clusters"] and draw.maybe():
        spec["replicas"] = {"mode": "Divided", "total": draw.one((2, 5))}
    if draw.maybe():
        spec["overrides"] = [{"clusters": ["aws"], "labels": {"where": draw.one(("x", "y"))}}]
    return {
        "apiVersion": "federation.reconciler.dev/v1alpha1",
        "kind": "Placement",
        "metadata": {"name": f"of-{kind.lower()}s"},
        "spec": spec,
    }


# -- other hands in the members ---------------------------------------------------------------


def meddle(draw: Draw, cluster: SimulatedCluster) -> None:
    """Somebody creates, changes and deletes what may be in the repository as well, or will be."""
    for kind in draw.some(tuple(_BODIES)):
        name, namespace = draw.one(("one", "two", "three")), draw.one(NAMESPACES)
        # What is refused (no such Namespace, an immutable field) has simply not been done.
        try:
            _one_deed(draw, cluster, kind, name, namespace)
        except (Rejected, KeyError):
            continue


def _one_deed(draw: Draw, cluster: SimulatedCluster, kind: str, name: str, namespace: str) -> None:
    deed = draw.one(("create", "apply", "edit", "label", "unlabel", "delete"))
    if deed == "create":
        cluster.create(manifest(draw, kind, name, namespace), manager="somebody")
    elif deed == "apply":
        cluster.apply(manifest(draw, kind, name, namespace), manager="kubectl", force=True)
    elif deed == "edit":
        body = _BODIES[kind](draw)
        cluster.edit(kind, name, body, namespace=namespace, manager="somebody")
    elif deed == "label":
        labels = {"metadata": {"labels": {"a": "z", "theirs": "1"}}}
        cluster.edit(kind, name, labels, namespace=namespace, manager="somebody")
    elif deed == "unlabel":
        bare = {"metadata": {"labels": None}}
        cluster.edit(kind, name, bare, namespace=namespace, manager="somebody")
    else:
        cluster.delete(kind, name, namespace=namespace)
