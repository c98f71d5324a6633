"""Where two rules meet in one object: what is planned is done, once, and then it is quiet."""

from __future__ import annotations

import json

from reconciler.run.pipeline import apply_plan
from tests.node_ports import unused_node_port
from tests.scenarios.conftest import FEDERATION, World
from tests.scenarios.manifests import NAMESPACE, SETTINGS, WEB, node_port_service

REMOVE = "  drift: {additions: Remove}\n"
SETTINGS_LEFT = "  ignore: [{select: [{kind: ConfigMap}], paths: [/data/colour, /data/extra]}]\n"
RECREATED = (
    '{name: web, namespace: shop, annotations: {federation.reconciler.dev/recreate: "true"}}'
)


def settled(world: World) -> None:
    prepared = world.prepare()
    result = apply_plan(prepared)
    assert result.ok, [(o.key, o.message) for o in result.outcomes]
    again = world.plan()
    assert not again.has_changes, [
        (c.key, c.reason, c.fields) for k in again.clusters for c in k.changes
    ]


def test_additions_beside_a_field_left_to_others(world: World) -> None:
    world.write("federation.yaml", FEDERATION + SETTINGS_LEFT + REMOVE)
    world.write("shop.yaml", "---".join([NAMESPACE, SETTINGS]))
    settled(world)
    world.kubectl(
        "-n",
        "shop",
        "patch",
        "cm",
        "settings",
        "--type=merge",
        "-p",
        json.dumps({"data": {"colour": "red", "extra": "1", "other": "2", "size": "9"}}),
    )
    (change,) = world.changes()
    assert sorted(f.path for f in change.fields) == ["data.other", "data.size"]
    settled(world)
    assert world.get("cm", "settings")["data"] == {"colour": "red", "extra": "1", "size": "3"}


def test_an_immutable_field_beside_an_addition(world: World) -> None:
    world.write("federation.yaml", FEDERATION + REMOVE)
    world.write("shop.yaml", "---".join([NAMESPACE, WEB]))
    settled(world)
    world.kubectl("-n", "shop", "set", "env", "deployment/web", "DEBUG=1")
    other = WEB.replace("{app: web}", "{app: shop}")
    world.write("shop.yaml", "---".join([NAMESPACE, other]))
    (change,) = world.changes()
    assert change.action.value in ("failed", "recreate"), change
    assert "recreate" in change.error, change
    assert not world.apply().ok
    env = world.get("deployment", "web")["spec"]["template"]["spec"]["containers"][0]["env"]
    assert "DEBUG" in json.dumps(env)
    annotated = other.replace("{name: web, namespace: shop}", RECREATED)
    world.write("shop.yaml", "---".join([NAMESPACE, annotated]))
    (change,) = world.changes()
    paths = [f.path for f in change.fields]
    assert any("DEBUG" in path for path in paths), paths
    settled(world)
    env = world.get("deployment", "web")["spec"]["template"]["spec"]["containers"][0]["env"]
    assert "DEBUG" not in json.dumps(env)


def test_what_is_left_to_others_outlives_a_recreation(world: World) -> None:
    ignore = (
        "  ignore: [{select: [{kind: Deployment}], "
        "paths: [/spec/template/spec/containers/name=web/image, /spec/replicas]}]\n"
    )
    world.write("federation.yaml", FEDERATION + ignore)
    world.write("shop.yaml", "---".join([NAMESPACE, WEB]))
    settled(world)
    patch = {
        "spec": {
            "replicas": 5,
            "template": {"spec": {"containers": [{"name": "web", "image": "r.example/x:9"}]}},
        }
    }
    world.kubectl(
        "-n",
        "shop",
        "patch",
        "deployment",
        "web",
        "--field-manager=operator",
        "-p",
        json.dumps(patch),
    )
    other = WEB.replace("{app: web}", "{app: shop}").replace(
        "{name: web, namespace: shop}", RECREATED
    )
    world.write("shop.yaml", "---".join([NAMESPACE, other]))
    (change,) = world.changes()
    image = "spec.template.spec.containers[name=web].image"
    assert not {image, "spec.replicas"} & {field.path for field in change.fields}
    settled(world)
    after = world.get("deployment", "web")["spec"]
    assert after["template"]["spec"]["containers"][0]["image"] == "r.example/x:9"
    assert after["replicas"] == 5


def added_port(number: int) -> str:
    port = {"name": "admin", "port": 90, "protocol": "TCP", "nodePort": number}
    return json.dumps({"spec": {"ports": [port]}})


def test_a_fixed_port_that_moves_while_people_added_one(world: World) -> None:
    number = unused_node_port()
    world.write("federation.yaml", FEDERATION + "  prune: {enabled: true}\n" + REMOVE)
    world.write("shop.yaml", "---".join([NAMESPACE, node_port_service("a", number), SETTINGS, WEB]))
    settled(world)
    world.kubectl("-n", "shop", "patch", "svc", "a", "-p", added_port(unused_node_port()))
    world.write("shop.yaml", "---".join([NAMESPACE, node_port_service("b", number), SETTINGS, WEB]))
    settled(world)
    assert not world.exists("svc", "a")


def test_an_added_port_holds_the_number_that_git_gives_another(world: World) -> None:
    """The addition goes in the very run that needs its number."""
    world.write("federation.yaml", FEDERATION + REMOVE)
    number, a = unused_node_port(), node_port_service("a", unused_node_port())
    world.write("shop.yaml", "---".join([NAMESPACE, a]))
    settled(world)
    world.kubectl("-n", "shop", "patch", "svc", "a", "-p", added_port(number))
    world.write("shop.yaml", "---".join([NAMESPACE, a, node_port_service("b", number)]))
    settled(world)
