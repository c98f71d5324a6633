"""What is done while something breaks: the repository before and after, and what comes of it."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import yaml

from reconciler.api.objects import ObjectKey
from tests.chaos.hosts import Host
from tests.chaos.invariants import CANARY
from tests.chaos.world import World
from tests.scenarios.manifests import NAMESPACE, SERVICE, SETTINGS, WEB

VICTIM, STAND_IN, GONE = "aws", "gcp", "edge"

FEDERATION = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  defaults: {placement: {clusterSelector: {}}}
"""
FAILOVER = """
  failover:
    enabled: true
    probe: {timeout: 1s, attempts: 1}
    unhealthyAfter: 1010ms
    healthyAfter: 1010ms
    maxUnhealthy: 1
"""
BETWEEN_RUNS = 0.505
"""Seconds: of the time between two runs at most half the period counts."""


def clusters(names: Iterable[str]) -> str:
    return "---".join(
        f"""
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {{name: {name}, labels: {{cloud: {name}}}}}
spec: {{provider: {name}, region: {name}-1}}
"""
        for name in names
    )


def secret(name: str, value: str) -> str:
    encoded = base64.b64encode(f"{value} of {name}".encode()).decode()
    return f"""
apiVersion: v1
kind: Secret
metadata: {{name: {name}, namespace: shop}}
data: {{encoded: {encoded}}}
stringData: {{plain: "{value}"}}
"""


def placed(name: str, cloud: str, kinds: str) -> str:
    return f"""
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {{name: {name}}}
spec: {{select: [{kinds}], clusterSelector: {{matchLabels: {{cloud: {cloud}}}}}}}
"""


ATTIC = """
apiVersion: v1
kind: Namespace
metadata: {name: attic}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: old, namespace: attic}
data: {dust: much}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: older, namespace: attic}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: ghost, namespace: attic}
"""
DIVIDED = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec: {select: [{kind: Deployment}], clusterSelector: {}, replicas: {mode: Divided, total: 6}}
"""
KEY = secret("key", f"{CANARY}-1")
BASE = {"federation.yaml": FEDERATION}
SHOP = {
    "namespace.yaml": NAMESPACE,
    "web.yaml": WEB,
    "settings.yaml": SETTINGS,
    "service.yaml": SERVICE,
    "key.yaml": KEY,
}

Live = Mapping[ObjectKey, dict]


def live(host: Host) -> Live:
    found = {}
    for obj in host.objects():
        group = obj["apiVersion"].rpartition("/")[0]
        metadata = obj["metadata"]
        key = ObjectKey(group, obj["kind"], metadata.get("namespace", ""), metadata["name"])
        # Without a controller of Namespaces it stays, and is on its way out.
        if "deletionTimestamp" not in metadata:
            found[key] = obj
    return found


def _names(host: Host, namespace: str = "shop") -> set[str]:
    return {
        f"{key.kind}/{key.name}"
        for key, obj in live(host).items()
        if key.namespace == namespace
        and any(
            m["manager"] == "federation-reconciler"
            for m in obj["metadata"].get("managedFields") or ()
        )
        and key.kind != "Event"
    }


WHOLE = {"Deployment/web", "ConfigMap/settings", "Service/web", "Secret/key"}


def _all_is_there(world: World) -> None:
    for host in world.hosts.values():
        assert _names(host) == WHOLE


def _changed(world: World) -> None:
    for host in world.hosts.values():
        assert _names(host) == WHOLE - {"Service/web"}
        found = live(host)
        settings = found[ObjectKey("", "ConfigMap", "shop", "settings")]
        assert settings["data"] == {"colour": "blue", "size": "3"}
        web = found[ObjectKey("apps", "Deployment", "shop", "web")]
        assert web["spec"]["template"]["spec"]["containers"][0]["image"].endswith(":2.0")


def _pool_is_empty(world: World) -> None:
    for name, host in world.hosts.items():
        assert _names(host) == ({"ConfigMap/settings"} if name == VICTIM else set())
        assert not _names(host, "attic")
        assert ObjectKey("", "Namespace", "", "attic") not in live(host)


def _rotated(world: World) -> None:
    for host in world.hosts.values():
        assert _names(host) == WHOLE | {"Secret/new"} - {"Secret/spare"}
        found = live(host)[ObjectKey("", "Secret", "shop", "key")]
        assert base64.b64decode(found["data"]["plain"]).decode() == f"{CANARY}-2"


def _lose_one(world: World) -> None:
    """Two runs see it down; the third one, which is to declare it, is the one that is disturbed."""
    world.hosts[GONE].die()
    for _ in range(2):
        assert world.apply().told == {GONE}
        time.sleep(BETWEEN_RUNS)


def _shares(world: World) -> list[int]:
    web = ObjectKey("apps", "Deployment", "shop", "web")
    return [live(world.hosts[name])[web]["spec"]["replicas"] for name in (VICTIM, STAND_IN)]


def _others_stand_in(world: World) -> None:
    assert _shares(world) == [3, 3]


@dataclass(frozen=True)
class Scenario:
    """``before`` is applied in peace, ``change`` comes on top and is applied while things break.

    ``decided`` tells whether what is to be done is known already, and not only what there is to do.
    ``patience``: the number of runs in peace after which all is as it should be, ``pause``
    seconds apart. ``away``: what does not answer in the end either, so that no run ends well.
    """

    name: str
    before: Mapping[str, str]
    change: Mapping[str, str | None]
    holds: Callable[[World], None]
    prepare: Callable[[World], None] = lambda _: None
    decided: Callable[[World], bool] = lambda _: True
    patience: int = 2
    pause: float = 0.0
    away: frozenset[str] = field(default_factory=frozenset)

    @property
    def names(self) -> tuple[str, ...]:
        """The clusters that it takes."""
        return (VICTIM, STAND_IN, *self.away)

    @property
    def objects(self) -> set[str]:
        """The name of everything that has a part in it."""
        texts = [text for text in (*self.before.values(), *self.change.values()) if text]
        return {d["metadata"]["name"] for text in texts for d in yaml.safe_load_all(text)}


SCENARIOS = (
    Scenario("first apply", BASE, SHOP, _all_is_there),
    Scenario(
        "change and prune",
        {**BASE, **SHOP},
        {
            "web.yaml": WEB.replace("web:1.0", "web:2.0"),
            "settings.yaml": SETTINGS.replace("green", "blue"),
            "service.yaml": None,
        },
        _changed,
    ),
    Scenario(
        "deletion of a placement",
        {
            **BASE,
            "namespace.yaml": NAMESPACE,
            "settings.yaml": SETTINGS,
            "kept.yaml": placed("kept", VICTIM, "{kind: ConfigMap, name: settings}"),
            "pool.yaml": placed("pool", VICTIM, "{namespace: shop, kind: Deployment}"),
            "web.yaml": WEB,
            "attic.yaml": ATTIC,
        },
        {"pool.yaml": None, "web.yaml": None, "attic.yaml": None},
        _pool_is_empty,
    ),
    Scenario(
        "rotation of secrets",
        {**BASE, **SHOP, "spare.yaml": secret("spare", f"{CANARY}-1")},
        {
            "key.yaml": KEY.replace(f"{CANARY}-1", f"{CANARY}-2"),
            "new.yaml": secret("new", f"{CANARY}-3"),
            "spare.yaml": None,
        },
        _rotated,
    ),
    Scenario(
        "failover",
        {**BASE, "federation.yaml": FEDERATION + FAILOVER, **SHOP, "placement.yaml": DIVIDED},
        {},
        _others_stand_in,
        prepare=_lose_one,
        decided=lambda world: _shares(world) == [3, 3],
        # A disturbed look starts the period again, and three runs must agree before one acts.
        patience=4,
        pause=BETWEEN_RUNS,
        away=frozenset({GONE}),
    ),
)


def foreign(name: str, namespace: str, like: Mapping[str, str] = {}) -> list[dict]:
    """Somebody else's objects, one with the labels of ours, one with a value that is secret."""
    metadata = {"name": f"{name}-of-theirs", "namespace": namespace}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**metadata, "labels": dict(like)}},
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "stringData": {"theirs": f"{CANARY}-{json.dumps(name)}"},
        },
    ]
