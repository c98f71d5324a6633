"""What Git declares and ``spec.ignore`` leaves to others: sent at creation, and never again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reconciler.api.errors import BadInput
from reconciler.api.options import RunOptions
from reconciler.run.repository import read_repository
from tests.scenarios.conftest import FEDERATION, World
from tests.scenarios.manifests import NAMESPACE, SERVICE, SETTINGS, WEB

SHOP = "---".join([NAMESPACE, WEB, SETTINGS, SERVICE])
WEB_POD = "/spec/template/spec/containers/name=web"


def left(world: World, *paths: str, kind: str = "Deployment") -> None:
    rule = {"select": [{"kind": kind}], "paths": list(paths)}
    world.write("federation.yaml", FEDERATION + f"  ignore: [{json.dumps(rule)}]\n")


def put(world: World, kind: str, name: str, body: Any, manager: str = "operator") -> None:
    """As a controller writes: an update under its own name."""
    how = ("--type=strategic", "-p", json.dumps(body), f"--field-manager={manager}")
    world.kubectl("-n", "shop", "patch", kind, name, *how)


def container(world: World) -> Any:
    pod = world.get("deployment", "web")["spec"]["template"]["spec"]
    return next(one for one in pod["containers"] if one["name"] == "web")


def owned(world: World, kind: str = "deployment", name: str = "web") -> str:
    text = world.kubectl("-n", "shop", "get", kind, name, "-o", "json", "--show-managed-fields")
    entries = json.loads(text)["metadata"]["managedFields"]
    ours = [e for e in entries if e["manager"] == "federation-reconciler"]
    return json.dumps([e["fieldsV1"] for e in ours])


def as_pod(container: Any) -> Any:
    return {"spec": {"template": {"spec": {"containers": [{"name": "web", **container}]}}}}


def quiet(world: World) -> bool:
    """Twice no changes: also once the records are rewritten."""
    first = world.plan()
    assert world.apply().ok
    return not first.has_changes and not world.plan().has_changes


def test_it_is_sent_at_creation_and_left_from_then_on(world: World) -> None:
    left(world, f"{WEB_POD}/resources", "/spec/replicas")
    world.write("shop.yaml", SHOP)
    assert world.apply().ok
    assert container(world)["resources"] == {"limits": {"cpu": "1"}}
    assert world.get("deployment", "web")["spec"]["replicas"] == 2
    assert "f:resources" not in owned(world)
    assert "f:replicas" not in owned(world)
    assert quiet(world)
    put(world, "deployment", "web", as_pod({"resources": {"limits": {"cpu": "3"}}}))
    put(world, "deployment", "web", {"spec": {"replicas": 7}})
    assert quiet(world)
    assert container(world)["resources"]["limits"]["cpu"] == "3"
    assert world.get("deployment", "web")["spec"]["replicas"] == 7


def test_other_changes_in_git_are_applied_and_its_own_are_not(world: World) -> None:
    left(world, f"{WEB_POD}/resources", f"{WEB_POD}/image")
    world.write("shop.yaml", SHOP)
    assert world.apply().ok
    changed = (
        SHOP.replace("cpu: 1000m", "cpu: 2").replace("web:1.0", "web:9").replace("fast", "slow")
    )
    world.write("shop.yaml", changed)
    (change,) = world.changes()
    assert [field.path.rpartition(".env")[2] for field in change.fields] == ["[name=MODE].value"]
    assert world.apply().ok
    assert container(world)["resources"] == {"limits": {"cpu": "1"}}
    assert container(world)["image"] == "registry.example/web:1.0"
    assert quiet(world)


def test_what_was_ours_is_handed_over_and_does_not_vanish(world: World) -> None:
    world.write("shop.yaml", SHOP)
    assert world.apply().ok
    put(world, "deployment", "web", as_pod({"env": [{"name": "LEVEL", "value": "debug"}]}))
    left(world, f"{WEB_POD}/resources/limits", f"{WEB_POD}/env/*", "/spec/replicas")
    (change,) = world.changes()
    assert change.fields == ()
    assert {one.note for one in change.stays} == {"left to others"}
    assert world.apply().ok
    assert container(world)["resources"] == {"limits": {"cpu": "1"}}
    assert container(world)["env"] == [
        {"name": "MODE", "value": "fast"},
        {"name": "LEVEL", "value": "debug"},
    ]
    assert world.get("deployment", "web")["spec"]["replicas"] == 2
    for field in ("f:limits", "f:env", "f:replicas"):
        assert field not in owned(world)
    assert quiet(world)
    world.write("shop.yaml", SHOP.replace("          resources: {limits: {cpu: 1000m}}\n", ""))
    assert quiet(world)
    assert container(world)["resources"] == {"limits": {"cpu": "1"}}


def test_others_may_take_it_away_and_git_does_not_bring_it_back(world: World) -> None:
    left(world, "/data/colour", kind="ConfigMap")
    world.write("shop.yaml", SHOP)
    assert world.apply().ok
    put(world, "configmap", "settings", {"data": {"colour": None}})
    assert quiet(world)
    assert world.get("configmap", "settings")["data"] == {"size": "3"}


def test_an_item_is_named_by_its_fields(world: World) -> None:
    left(world, "/spec/ports/name=http/targetPort", kind="Service")
    world.write("shop.yaml", SHOP)
    assert world.apply().ok
    put(world, "service", "web", {"spec": {"ports": [{"port": 80, "targetPort": 9090}]}})
    assert quiet(world)
    assert world.get("service", "web")["spec"]["ports"][0]["targetPort"] == 9090
    more = SERVICE.replace("targetPort: 8080}", "targetPort: 8080}, {name: https, port: 443}")
    world.write("shop.yaml", SHOP.replace(SERVICE, more))
    assert world.apply().ok
    assert [p["targetPort"] for p in world.get("service", "web")["spec"]["ports"]] == [9090, 443]
    assert quiet(world)


def test_of_what_has_one_owner_as_a_whole_a_part_keeps_its_live_value(world: World) -> None:
    web = WEB.replace(
        "      containers:", "      nodeSelector: {disk: ssd, zone: a}\n      containers:"
    )
    left(world, "/spec/template/spec/nodeSelector/zone")
    world.write("shop.yaml", SHOP.replace(WEB, web))
    assert world.apply().ok
    selector = {"disk": "ssd", "zone": "b"}
    put(world, "deployment", "web", {"spec": {"template": {"spec": {"nodeSelector": selector}}}})
    world.apply()
    assert world.get("deployment", "web")["spec"]["template"]["spec"]["nodeSelector"] == selector
    assert quiet(world)
    world.write("shop.yaml", SHOP.replace(WEB, web.replace("disk: ssd", "disk: hdd")))
    assert world.apply().ok
    selector = {"disk": "hdd", "zone": "b"}
    assert world.get("deployment", "web")["spec"]["template"]["spec"]["nodeSelector"] == selector
    assert quiet(world)


def test_it_becomes_ours_again_when_the_rule_goes(world: World) -> None:
    left(world, "/data/colour", kind="ConfigMap")
    world.write("shop.yaml", SHOP)
    assert world.apply().ok
    world.write("federation.yaml", FEDERATION)
    assert world.apply().ok
    assert "f:colour" in owned(world, "configmap", "settings")
    assert quiet(world)


def test_what_people_do_there_is_no_addition(world: World) -> None:
    left(world, "/metadata/labels/team", "/data", kind="ConfigMap")
    world.write("shop.yaml", SHOP)
    assert world.apply().ok
    world.kubectl("-n", "shop", "label", "configmap", "settings", "team=a")
    put(world, "configmap", "settings", {"data": {"new": "1"}}, manager="kubectl-edit")
    assert world.plan().summary()["additions"] == 0
    assert quiet(world)


def test_a_placement_leaves_fields_of_what_it_places(world: World) -> None:
    world.write(
        "placement.yaml",
        """
        apiVersion: federation.reconciler.dev/v1alpha1
        kind: Placement
        metadata: {name: settings}
        spec:
          select: [{kind: ConfigMap}]
          ignore: [/data/colour]
        """,
    )
    world.write("shop.yaml", SHOP)
    assert world.apply().ok
    put(world, "configmap", "settings", {"data": {"colour": "red", "size": "4"}})
    (change,) = world.changes()
    assert [field.path for field in change.fields] == ["data.size"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/metadata/labels", "by it an object is known as ours"),
        ("/metadata/name", "by it an object is known as ours"),
        ("/spec/template/spec/containers/0/image", "'0' names no item of"),
        ("/spec/template/spec/containers/web/image", "'web' names no item of"),
    ],
)
def test_a_pointer_that_cannot_hold_is_an_error_with_its_place(
    simulated_world: World, path: str, said: str
) -> None:
    left(simulated_world, path)
    simulated_world.write("shop.yaml", SHOP)
    with pytest.raises(BadInput) as caught:
        read_repository(RunOptions(repo=str(simulated_world.repository)))
    (problem,) = caught.value.problems
    assert said in problem.message
    assert problem.position.file == "federation.yaml"
    assert problem.position.line == 7
    assert problem.expected


def test_divided_replicas_cannot_be_left_to_others(simulated_world: World) -> None:
    left(simulated_world, "/spec/replicas")
    simulated_world.write("shop.yaml", SHOP)
    simulated_world.write(
        "placement.yaml",
        """
        apiVersion: federation.reconciler.dev/v1alpha1
        kind: Placement
        metadata: {name: web}
        spec: {select: [{kind: Deployment}], replicas: {mode: Divided}}
        """,
    )
    with pytest.raises(BadInput) as caught:
        read_repository(RunOptions(repo=str(simulated_world.repository)))
    assert ["divided" in problem.message for problem in caught.value.problems] == [True]
