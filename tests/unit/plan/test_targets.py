"""What many members should have alike is made once, and is what each of them would have alone."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from reconciler.api.errors import Position
from reconciler.api.manifest import Manifest, ManifestBlock
from reconciler.api.objects import Object, key_of
from reconciler.cluster.discovery import Discovery, GroupVersionKind, RESTMapping
from reconciler.inventory.records import Digester
from reconciler.plan.diff import request_digest
from reconciler.plan.live_state import kinds_of
from reconciler.plan.replicas import replicas_in
from reconciler.plan.targets import TargetsOfRun, targets_of
from reconciler.render.render import DesiredObject, Rendering

SERVED = (
    RESTMapping("v1", "ConfigMap", "configmaps", namespaced=True),
    RESTMapping("example.org/v1", "Shop", "shops", namespaced=True),
)


def discovery(*served: RESTMapping) -> Discovery:
    return Discovery({GroupVersionKind(one.api_version, one.kind): one for one in served})


def thing(kind: str, version: str) -> DesiredObject:
    metadata = {"name": "x", "namespace": "shop"}
    body: Object = {"apiVersion": version, "kind": kind, "metadata": metadata}
    return DesiredObject(key_of(body), Manifest(body), Position("a.yaml", 1, 1))


DESIRED = (thing("ConfigMap", "v1"), thing("Shop", "example.org/v1"))


def test_members_that_serve_the_same_share_their_targets() -> None:
    run = TargetsOfRun()
    first = run.of(DESIRED, discovery(*SERVED), "set")
    assert run.of(DESIRED, discovery(*SERVED), "set") is first
    assert first == targets_of(DESIRED, discovery(*SERVED), "set")


def test_one_that_serves_a_kind_otherwise_or_has_another_inventory_has_its_own() -> None:
    run = TargetsOfRun()
    first = run.of(DESIRED, discovery(*SERVED), "set")
    wide = RESTMapping("example.org/v1", "Shop", "shops", namespaced=False)
    for served, applyset in (((SERVED[0],), "set"), ((SERVED[0], wide), "set"), (SERVED, "other")):
        found = run.of(DESIRED, discovery(*served), applyset)
        assert found is not first
        assert found == targets_of(DESIRED, discovery(*served), applyset)
    other = DESIRED[:1]
    assert run.of(other, discovery(*SERVED), "set").all == first.all[:1]


def test_requests_have_the_digest_of_their_bodies_whether_they_are_shared_or_not() -> None:
    run = TargetsOfRun()
    digesters = [Digester(bytes([number]) * 32) for number in range(3)]
    for digester in digesters:
        for target in run.of(DESIRED, discovery(*SERVED), "set").all:
            wanted = request_digest(digester, target.body)
            assert digester.of_bytes(run.requests.of(target)) == wanted


def test_requests_are_kept_only_where_another_member_may_ask_for_them() -> None:
    run = TargetsOfRun()
    (target, _) = run.of(DESIRED, discovery(*SERVED), "set").all
    assert run.requests.of(target) is not run.requests.of(target)
    run.of(DESIRED, discovery(*SERVED), "set")
    assert run.requests.of(target) is run.requests.of(target)


def test_what_every_run_asks_of_every_manifest_parses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster may have a hundred thousand."""
    settings = thing("ConfigMap", "v1")
    block = ManifestBlock.of([settings.manifest.json])
    manifest = Manifest.of_block(block, 0, settings.manifest.facts)
    kept = replace(settings, manifest=manifest)
    parsed: list[Manifest] = []
    monkeypatch.setattr("reconciler.api.manifest._parsed", parsed.append)
    rendering = Rendering({"aws": (kept,)}, ())
    assert replicas_in(rendering) == {}
    assert kinds_of(rendering) == {"aws": {GroupVersionKind("v1", "ConfigMap")}}
    assert targets_of((kept,), discovery(*SERVED), "set").keys == {kept.key}
    assert parsed == []
