"""Which verdicts of a former run hold, and which do not."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import astuple, replace

from reconciler.api.errors import Position
from reconciler.api.manifest import Manifest
from reconciler.api.objects import GroupKind, Object, key_of
from reconciler.cluster.discovery import Discovery, GroupVersionKind, RESTMapping
from reconciler.federation.model import DriftRules
from reconciler.inventory.records import AppliedRecord
from reconciler.plan.dry_run import Checked
from reconciler.plan.requests import ApplyTarget
from reconciler.plan.settled import KnownTargets, SettledObjects, kinds_defined_in
from reconciler.plan.targets import Targets, targets_of
from reconciler.render.render import DesiredObject
from tests.definitions import definition

KIND = GroupVersionKind("v1", "ConfigMap")
MAPS = RESTMapping("v1", "ConfigMap", "configmaps", namespaced=True)
DISCOVERY = Discovery({KIND: MAPS})
RECORD = AppliedRecord("request", "entry", "values", "v1", "uid")


def settings(name: str = "a") -> Object:
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {}}


def desired(body: Object) -> DesiredObject:
    return DesiredObject(key_of(body), Manifest(body), Position("a.yaml", 1, 1))


TARGET = targets_of([desired(settings())], DISCOVERY, "set").all[0]
LIVE = settings()


@pytest.fixture
def settled() -> SettledObjects:
    found = SettledObjects()
    found.hold_under(b"key", DriftRules())
    found.keep([(LIVE, RECORD, Checked(TARGET, None, RECORD))], set())
    return found


def among(settled: SettledObjects, **other: Any) -> bool:
    given = {"target": TARGET, "live": LIVE, "record": RECORD, "sampled": False, **other}
    target: ApplyTarget = given["target"]
    rows = {TARGET.key: given["record"]} if given["record"] else {}
    found = settled.among([target], lambda _: given["live"], rows, lambda _: given["sampled"])
    return target.key in found


def test_a_verdict_holds_while_all_is_the_same(settled: SettledObjects) -> None:
    assert among(settled)
    assert among(settled, record=AppliedRecord(*astuple(RECORD)))


@pytest.mark.parametrize(
    "other",
    [
        {"target": targets_of([desired(settings())], DISCOVERY, "set").all[0]},
        {"live": settings()},
        {"live": None},
        {"record": replace(RECORD, values="others")},
        {"record": None},
        {"sampled": True},
    ],
    ids=lambda other: "-".join(f"{k}={bool(v)}" for k, v in other.items()),
)
def test_it_does_not_once_anything_is_another(
    settled: SettledObjects, other: dict[str, Any]
) -> None:
    assert not among(settled, **other)


def test_it_does_not_under_another_key_or_other_rules(settled: SettledObjects) -> None:
    settled.hold_under(b"key", DriftRules())
    assert among(settled)
    settled.hold_under(b"key", DriftRules(additions="Remove"))
    assert not among(settled)
    settled.keep([(LIVE, RECORD, Checked(TARGET, None, RECORD))], set())
    settled.hold_under(b"other", DriftRules(additions="Remove"))
    assert not among(settled)


def test_objects_of_kinds_that_git_defines_are_compared_each_time() -> None:
    targets = targets_of([desired(definition("Claim"))], DISCOVERY, "set").all
    assert kinds_defined_in(targets) == {GroupKind("example.com", "Claim")}
    settled = SettledObjects()
    settled.keep([(LIVE, RECORD, Checked(TARGET, None, RECORD))], {TARGET.key.group_kind})
    assert not among(settled)


def test_what_is_wanted_no_longer_is_forgotten(settled: SettledObjects) -> None:
    assert settled.among([], lambda _: LIVE, {TARGET.key: RECORD}, lambda _: False) == {}
    assert not among(settled)


def test_targets_are_made_again_only_for_other_values() -> None:
    known, wanted = KnownTargets(), (desired(settings()),)

    def of(desired: tuple[DesiredObject, ...], discovery: Discovery, applyset: str) -> Targets:
        return known.of(desired, discovery, applyset, targets_of)

    first = of(wanted, DISCOVERY, "set")
    assert of(wanted, Discovery({KIND: MAPS}, complete=False), "set") is first
    assert of((wanted[0],), DISCOVERY, "set") is not first
    again = of(wanted, DISCOVERY, "set")
    assert of(wanted, DISCOVERY, "other").all[0].applyset == "other"
    assert of(wanted, Discovery({}), "set").all[0].resource is None
    assert again.all[0].resource == MAPS
