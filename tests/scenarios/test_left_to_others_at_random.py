"""Whatever anybody does to fields that are left to others, a run neither changes nor loses them."""

from __future__ import annotations

import json
import os
import random
from typing import Any

import pytest

from reconciler.api.errors import Position
from reconciler.cluster.connect import Connector
from reconciler.federation.drift import below, below_item, pointer_steps
from reconciler.federation.model import Cluster
from reconciler.plan.fields import changed_fields
from reconciler.run.pipeline import apply_plan
from tests.scenarios.conftest import FEDERATION, World
from tests.scenarios.test_additions_at_random import OBJECTS, SHOP, looked_at, part, told, write

FORCED = FEDERATION.replace("clusterSelector: {}}", "clusterSelector: {}}, forceConflicts: true")
ROUNDS = int(os.environ.get("RECONCILER_FUZZ_ROUNDS", "6"))
POD = "/spec/template/spec"
PATHS = {
    "Deployment": [
        f"{POD}/containers/name=web/resources",
        f"{POD}/containers/name=web/resources/limits/cpu",
        f"{POD}/containers/*/env/name=MODE",
        f"{POD}/containers/name=web/env/*",
        f"{POD}/containers/name=web/env/name=LEVEL/value",
        f"{POD}/containers/name=web/image",
        f"{POD}/terminationGracePeriodSeconds",
        f"{POD}/nodeSelector/zone",
        "/spec/replicas",
        "/spec/template/metadata/labels/extra",
    ],
    "Service": [
        "/spec/ports/name=http/targetPort",
        "/spec/sessionAffinity",
        "/metadata/labels/*",
        "/spec/selector/tier",
    ],
    "ConfigMap": ["/data/colour", "/data/*", "/data", "/metadata/annotations/example.com~1*"],
}
SAID = [
    ("fast", "slow"),
    ("web:1.0", "web:2.0"),
    ("cpu: 1000m", "cpu: 2, memory: 1Gi"),
    ("          resources: {limits: {cpu: 1000m}}\n", ""),
    ("      containers:", "      nodeSelector: {disk: ssd, zone: a}\n      containers:"),
    ("      containers:", "      terminationGracePeriodSeconds: 20\n      containers:"),
    ("targetPort: 8080", "targetPort: 9000"),
    ("colour: green, ", ""),
    ('size: "3"', 'size: "5"'),
    ("namespace: shop}\ndata", "namespace: shop, annotations: {example.com/a: b}}\ndata"),
]


@pytest.mark.parametrize("seed", range(3))
def test_no_run_touches_what_is_left_to_others(world: World, seed: int) -> None:
    chance = random.Random(seed)
    world.write("shop.yaml", SHOP)
    assert world.apply().ok
    connector = Connector.from_file(str(world.kubeconfig), "federation-system")
    member = connector.member(Cluster("aws", Position("", 1, 1)))
    kept = 0
    for _ in range(ROUNDS * 2):
        chosen = {kind: tuple(chance.sample(paths, 2)) for kind, paths in PATHS.items()}
        rules = [{"select": [{"kind": k}], "paths": list(p)} for k, p in chosen.items()]
        world.write("federation.yaml", FORCED + f"  ignore: {json.dumps(rules)}\n")
        text = SHOP
        for old, new in SAID:
            text = text.replace(old, new, 1) if chance.random() < 0.3 else text
        world.write("shop.yaml", text)
        for key in OBJECTS:
            for _ in range(chance.randrange(3)):
                write(member, key, chance)
        before = {key: looked_at(member, key) for key in OBJECTS}
        prepared = world.prepare()
        changes = {change.key: change for change in part(prepared.plan).changes}
        assert apply_plan(prepared).ok, [c.error for c in changes.values() if c.error]
        for key in OBJECTS:
            after, pointers = looked_at(member, key), pointer_steps(chosen[key.kind])
            left = values(before[key], pointers)
            assert {k: v for k, v in values(after, pointers).items() if k in left} == left
            kept += len(left)
            planned = changes[key].fields if key in changes else ()
            assert told(changed_fields(before[key], after)) == told(planned)
        assert part(world.plan()).changes == ()
    assert kept


def values(value: Any, pointers: Any, at: str = "") -> dict[str, Any]:
    """What the pointers lead to, by place."""
    found: dict[str, Any] = {}
    items: list[tuple[str, Any, Any]] = []
    if isinstance(value, dict):
        items = [(key, inner, below(pointers, key)) for key, inner in value.items()]
    elif isinstance(value, list):
        items = [(str(i.get("name", n)), i, below_item(pointers, i)) for n, i in enumerate(value)]
    for name, inner, rest in items:
        if rest and not all(rest):
            found[f"{at}/{name}"] = inner
        elif rest:
            found |= values(inner, rest, f"{at}/{name}")
    return found
