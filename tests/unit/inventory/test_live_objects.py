"""The objects of a LIST, looked at as they come: what is seen is what the whole object says."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import orjson
import pytest
from msgspec import Raw
from msgspec.structs import replace

from reconciler.api.annotations import PART_OF
from reconciler.api.objects import Object, ObjectKey
from reconciler.cluster.client import FIELD_MANAGER
from reconciler.cluster.discovery import RESTMapping
from reconciler.cluster.responses import MalformedAnswer
from reconciler.inventory.applyset import IDENTITY, identity_of
from reconciler.inventory.live_objects import (
    BLOCK_OBJECTS,
    MANY_OBJECTS,
    LiveObjects,
    SharedValues,
    read_live_objects,
)
from reconciler.inventory.records import AppliedRecord, Digester

DEPLOYMENTS = RESTMapping("apps/v1", "Deployment", "deployments", namespaced=True)
DIGESTER = Digester(b"k" * 32)
OURS = {
    "f:metadata": {"f:labels": {"f:app": {}}, "f:finalizers": {'v:"example.com/x"': {}}},
    "f:spec": {
        "f:replicas": {},
        "f:template": {
            "f:spec": {"f:containers": {'k:{"name":"web"}': {".": {}, "f:image": {}, "f:name": {}}}}
        },
    },
}
SCALER = {
    "manager": "scaler",
    "operation": "Update",
    "apiVersion": "apps/v1",
    "subresource": "scale",
    "fieldsV1": {"f:spec": {"f:replicas": {}}},
}


def key_of_web(name: str = "web") -> ObjectKey:
    return ObjectKey("apps", "Deployment", "shop", name)


def web(name: str = "web") -> Object:
    return {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"uid-{name}",
            "resourceVersion": "7",
            "labels": {PART_OF: "set", "app": "web"},
            "annotations": {IDENTITY: identity_of(key_of_web(name))},
            "finalizers": ["example.com/x"],
            "managedFields": [
                {
                    "manager": FIELD_MANAGER,
                    "operation": "Apply",
                    "apiVersion": "apps/v1",
                    "fieldsV1": copy.deepcopy(OURS),
                }
            ],
        },
        "spec": {
            "replicas": 3,
            "template": {
                "spec": {
                    "containers": [
                        {"name": "side", "image": "side:1"},
                        {"name": "web", "image": "web:1", "env": [{"name": "A"}]},
                    ]
                }
            },
        },
        "status": {"availableReplicas": 2},
    }


def record_of(obj: Object) -> AppliedRecord:
    whole = {"apiVersion": "apps/v1", "kind": "Deployment", **obj}
    footprint = DIGESTER.footprint(whole)
    assert footprint is not None
    uid = obj["metadata"]["uid"]
    return AppliedRecord("H", footprint.entry, footprint.values, "apps/v1", uid)


def read(
    objects: Sequence[Object],
    rows: dict[ObjectKey, AppliedRecord] | None = None,
    per_page: int = 3,
    shared: SharedValues | None = None,
) -> LiveObjects:
    raw = [Raw(orjson.dumps(obj)) for obj in objects]
    pages = [raw[n : n + per_page] for n in range(0, len(raw), per_page)]
    return read_live_objects(pages, DEPLOYMENTS, "set", rows or {}, DIGESTER, shared)


@pytest.mark.parametrize("many", [0, MANY_OBJECTS])
def test_every_object_is_given_back_as_it_came(monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    monkeypatch.setattr("reconciler.inventory.live_objects.MANY_OBJECTS", many)
    names = [f"web-{n}" for n in range(2 * BLOCK_OBJECTS + 5)]
    objects = [web(name) for name in names]
    live = read(objects, {key_of_web(name): record_of(web(name)) for name in names}, per_page=7)
    whole = {"apiVersion": "apps/v1", "kind": "Deployment"}
    assert dict(live) == {
        key_of_web(name): whole | obj for name, obj in zip(names, objects, strict=True)
    }
    assert len(live) == len(names)
    assert all((glance := live.glance(key)) and glance.as_recorded for key in live)


def test_what_a_glance_tells() -> None:
    obj = web()
    obj["metadata"]["managedFields"].append(SCALER)
    obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    live = read([obj], {key_of_web(): record_of(obj)})
    glance = live.glance(key_of_web())
    assert glance is not None
    assert (glance.as_recorded, glance.terminating, glance.managers) == (True, True, ("scaler",))
    assert (glance.wanted, glance.ready) == (3, 2)
    assert (glance.counted_by_others, glance.scaled) == (True, True)
    assert live.fields(record_of(obj).entry) == OURS
    assert live.fields("another") is None


Change = Callable[[Object], object]
CHANGES: dict[str, tuple[Change, bool]] = {
    "nothing": (lambda o: None, True),
    "status": (lambda o: o.update(status={}), True),
    "a field that is not ours": (lambda o: o["spec"].update(paused=True), True),
    "another's label": (lambda o: o["metadata"]["labels"].update(x="y"), True),
    "an item of another": (
        lambda o: o["spec"]["template"]["spec"]["containers"].pop(0),
        True,
    ),
    "a value of ours": (lambda o: o["spec"].update(replicas=4), False),
    "a value of ours is gone": (lambda o: o["spec"].pop("replicas"), False),
    "all of it is gone": (lambda o: o.pop("spec"), False),
    "a label of ours": (lambda o: o["metadata"]["labels"].update(app="x"), False),
    "a label of ours is gone": (lambda o: o["metadata"]["labels"].pop("app"), False),
    "a finalizer of ours is gone": (lambda o: o["metadata"].pop("finalizers"), False),
    "our item is gone": (lambda o: o["spec"]["template"]["spec"]["containers"].pop(1), False),
    "another object of that name": (lambda o: o["metadata"].update(uid="uid-2"), False),
    "fields were taken": (
        lambda o: o["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"].pop("f:replicas"),
        False,
    ),
    "our entry is of another version": (
        lambda o: o["metadata"]["managedFields"][0].update(apiVersion="apps/v2"),
        False,
    ),
    "our entry is through a subresource": (
        lambda o: o["metadata"]["managedFields"][0].update(subresource="status"),
        False,
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_as_recorded_is_what_the_whole_object_says(change: str) -> None:
    obj = web()
    record = record_of(obj)
    alter, same = CHANGES[change]
    alter(obj)
    live = read([obj], {key_of_web(): record})
    glance = live.glance(key_of_web())
    assert glance is not None
    assert glance.as_recorded is same
    footprint = DIGESTER.footprint({"apiVersion": "apps/v1", "kind": "Deployment", **obj})
    digests = (footprint.entry, footprint.values) if footprint else ("", "")
    uid = obj["metadata"]["uid"]
    assert same is ((*digests, uid) == (record.entry, record.values, record.uid))


PLAIN = {"f:metadata": {"f:labels": {"f:app": {}}}, "f:spec": OURS["f:spec"]}
"""Of the metadata it has only labels and annotations, as most entries do."""


@pytest.mark.parametrize("tree", [OURS, PLAIN], ids=["with finalizers", "plain"])
@pytest.mark.parametrize("space", [0, 1024 * 1024])
def test_what_members_share_changes_nothing_of_what_is_seen(
    tree: Object, space: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One member after the other, each with another change and twice, as its neighbours have it."""
    monkeypatch.setattr("reconciler.inventory.live_objects.SHARED_BYTES", space)
    shared = SharedValues()
    for change in (*CHANGES, *reversed(CHANGES)):
        obj = web()
        obj["metadata"]["managedFields"][0]["fieldsV1"] = copy.deepcopy(tree)
        rows = {key_of_web(): record_of(obj)}
        CHANGES[change][0](obj)
        alone, beside = read([obj], rows), read([obj], rows, shared=shared)
        assert beside.glance(key_of_web()) == alone.glance(key_of_web()), change
        assert dict(beside) == dict(alone)
        assert beside.entries == alone.entries


@pytest.mark.parametrize(
    "record",
    [None, AppliedRecord(), replace(record_of(web()), uid="")],
    ids=["none", "written ahead", "of a version without UIDs"],
)
def test_without_a_whole_record_nothing_is_as_recorded(record: AppliedRecord | None) -> None:
    live = read([web()], {key_of_web(): record} if record else {})
    glance = live.glance(key_of_web())
    assert glance is not None
    assert not glance.as_recorded


NOT_OURS: dict[str, Change] = {
    "no label": lambda o: o["metadata"]["labels"].pop(PART_OF),
    "another's label": lambda o: o["metadata"]["labels"].update({PART_OF: "other"}),
    "a copied label": lambda o: o["metadata"]["annotations"].pop(IDENTITY),
    "a copied identity": lambda o: o["metadata"].update(name="copy"),
    "a copy, marks and all": lambda o: o["metadata"].update(uid="2", managedFields=[]),
}


@pytest.mark.parametrize("case", NOT_OURS)
def test_what_is_not_ours_is_left_out(case: str) -> None:
    obj = web()
    record = record_of(obj)
    NOT_OURS[case](obj)
    assert not read([obj], {key_of_web(): record})


ODD: dict[str, Change] = {
    "a count that is none": lambda o: o["spec"].update(replicas="3"),
    "a UID that is none": lambda o: o["metadata"].update(uid=0),
}


@pytest.mark.parametrize("case", ODD)
def test_of_what_is_odd_only_the_object_tells(case: str) -> None:
    obj = web()
    ODD[case](obj)
    live = read([obj], {})
    assert live.glance(key_of_web()) is None
    assert live[key_of_web()]["metadata"]["name"] == "web"


DAMAGED: dict[str, Change] = {
    "an object without metadata": lambda o: o.pop("metadata"),
    "an object without a name": lambda o: o["metadata"].pop("name"),
    "an object whose labels are no texts": lambda o: o["metadata"]["labels"].update(a=1),
    "an object whose annotations are no texts": lambda o: o["metadata"].update(annotations=[]),
    "an object whose uid is no text": lambda o: o["metadata"].update(uid=5),
    "an object with damaged managedFields": lambda o: o["metadata"]["managedFields"][0].update(
        fieldsV1=["x"]
    ),
}


@pytest.mark.parametrize("fault", DAMAGED)
def test_damage_is_told(fault: str) -> None:
    obj = copy.deepcopy(web())
    DAMAGED[fault](obj)
    with pytest.raises(MalformedAnswer, match=f"a list with {fault}"):
        read([web("first"), obj])
