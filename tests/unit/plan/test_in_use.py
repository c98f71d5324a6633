"""What an old revision still needs is told without holding all objects of a namespace at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import pytest

from reconciler.api.objects import Object, ObjectKey, key_of
from reconciler.cluster.discovery import RESTMapping
from reconciler.plan.in_use import Users, waiting
from reconciler.plan.model import Action, Change

OLD = ObjectKey("", "ConfigMap", "shop", "settings-1")
PRUNE = Change(Action.PRUNE, OLD, "v1")


class CountedObject(dict[str, Any]):
    """Knows how many there are."""

    alive = most = 0

    def __init__(self, content: Object) -> None:
        super().__init__(content)
        CountedObject.alive += 1
        CountedObject.most = max(CountedObject.most, CountedObject.alive)

    def __del__(self) -> None:
        CountedObject.alive -= 1


class MadeWhenAsked(Mapping[ObjectKey, Object]):
    """Objects by key, each made anew for whoever asks."""

    def __init__(self, *objects: Object) -> None:
        self._objects = {key_of(obj): obj for obj in objects}

    def __getitem__(self, key: ObjectKey) -> Object:
        return CountedObject(self._objects[key])

    def __iter__(self) -> Iterator[ObjectKey]:
        return iter(self._objects)

    def __len__(self) -> int:
        return len(self._objects)


class WantedObject(NamedTuple):
    """Stands for a target."""

    manifest: Object

    @property
    def body(self) -> Object:
        return CountedObject(self.manifest)


class Namespace:
    """Stands for a member: what a LIST of a kind gives."""

    def __init__(self, **items: list[Object]) -> None:
        self._items = items

    def list_objects(
        self, resource: RESTMapping, *, namespace: str, keep: Callable[[Object], Object]
    ) -> list[Object]:
        assert namespace == "shop"
        return [keep(item) for item in self._items.get(resource.plural, [])]


def named(kind: str, name: str, **more: Any) -> Object:
    group = {"ReplicaSet": "apps/v1", "Deployment": "apps/v1"}
    metadata = {"name": name, "namespace": "shop", "uid": f"uid-of-{name}"}
    return {"apiVersion": group.get(kind, "v1"), "kind": kind, "metadata": metadata, **more}


def running(name: str, settings: str) -> Object:
    pods = {"spec": {"volumes": [{"configMap": {"name": settings}}]}}
    return named("Deployment", name, spec={"replicas": 1, "template": pods})


def owned_by(owner: Object, obj: Object, **other: str) -> Object:
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        **other,
    }
    return {**obj, "metadata": {**obj["metadata"], "ownerReferences": [reference]}}


def told(member: Namespace, live: MadeWhenAsked, *wanted: Object) -> dict[ObjectKey, str]:
    targets = {key_of(obj): WantedObject(obj) for obj in wanted}
    users = Users(live, targets, {OLD})  # type: ignore[arg-type]
    return waiting(member, [PRUNE], users)  # type: ignore[arg-type]


def test_of_many_objects_few_are_held_at_a_time() -> None:
    some = [running(f"web-{number}", "settings-2") for number in range(300)]
    pods = [owned_by(one, named("Pod", f"{one['metadata']['name']}-x")) for one in some]
    CountedObject.most = 0
    live = MadeWhenAsked(*some, named("ConfigMap", OLD.name))
    assert told(Namespace(pods=pods), live, *some) == {}
    assert 0 < CountedObject.most < 8


@pytest.mark.parametrize(
    ("other", "waits"),
    [
        ({}, True),
        # Somebody else's, of a workload that had the same name.
        ({"uid": "uid-of-another"}, False),
        ({"kind": "StatefulSet"}, False),
    ],
)
def test_pods_are_of_the_workload_that_their_owners_are_of(
    other: dict[str, str], waits: bool
) -> None:
    web = running("web", "settings-2")
    replicas = owned_by(web, named("ReplicaSet", "web-1", spec={"replicas": 0}), **other)
    volumes = {"volumes": [{"configMap": {"name": OLD.name}}]}
    pod = owned_by(replicas, named("Pod", "web-1-x", spec=volumes, status={"phase": "Running"}))
    live = MadeWhenAsked(web, named("ConfigMap", OLD.name))
    found = told(Namespace(pods=[pod], replicasets=[replicas]), live, web)
    assert (found == {OLD: "while it is still named by Pod shop/web-1-x"}) is waits
