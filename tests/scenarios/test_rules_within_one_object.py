"""Fields left to others, objects taken over whole and removed additions, all in one object."""

from __future__ import annotations

import json

import pytest

from reconciler.run.pipeline import apply_plan
from tests.scenarios.conftest import FEDERATION, World
from tests.scenarios.manifests import NAMESPACE, WEB
from tests.scenarios.test_adoption import TAKE_OVER, by_hand
from tests.scenarios.test_fields_left_to_others import WEB_POD, as_pod, container, put
from tests.scenarios.test_rules_that_meet import settled

RECREATED = WEB.replace(
    "spec:\n  replicas: 2", "spec:\n  replicas: 2\n  strategy: {type: Recreate}"
)
"""Over a rollingUpdate that nobody owns this is refused, and done by a patch in place."""
LEFT = json.dumps([f"{WEB_POD}/resources", f"{WEB_POD}/env/name=LEVEL", "/spec/replicas"])
IGNORE = f"  ignore: [{{select: [{{kind: Deployment}}], paths: {LEFT}}}]\n"


def shown(world: World) -> set[str]:
    (change,) = [c for c in world.changes() if c.key.kind == "Deployment"]
    assert not change.error
    return {
        field.path.removeprefix("spec.template.spec.containers[name=web].")
        for field in change.fields
    }


@pytest.mark.parametrize("managed", ["--server-side", "--server-side=false"])
def test_what_is_left_to_others_stays_where_the_rest_is_taken_over(
    world: World, managed: str
) -> None:
    theirs = WEB.replace("fast}", "slow}, {name: TRACE, value: x}").replace("1000m", "2")
    by_hand(world, "---".join([NAMESPACE, theirs]), managed)
    world.write("federation.yaml", TAKE_OVER + IGNORE)
    world.write("shop.yaml", "---".join([NAMESPACE, RECREATED]))
    paths = shown(world)
    assert {"env[name=MODE].value", "env[name=TRACE].value", "spec.strategy.type"} <= paths
    assert not [path for path in paths if "LEVEL" in path or "resources" in path]
    settled(world)
    web = container(world)
    assert web["resources"] == {"limits": {"cpu": "2"}}
    assert web["env"] == [{"name": "MODE", "value": "fast"}, {"name": "LEVEL", "value": "info"}]


@pytest.mark.parametrize("rules", ["", "  drift: {additions: Remove}\n"])
def test_what_is_handed_over_stays_where_the_rest_is_done_in_place(
    world: World, rules: str
) -> None:
    world.write("federation.yaml", FEDERATION + rules)
    world.write("shop.yaml", "---".join([NAMESPACE, WEB]))
    assert apply_plan(world.prepare()).ok
    world.write("federation.yaml", FEDERATION + rules + IGNORE)
    world.write("shop.yaml", "---".join([NAMESPACE, RECREATED]))
    assert {path.partition(".rolling")[0] for path in shown(world)} <= {
        "spec.strategy",
        "spec.strategy.type",
    }
    settled(world)
    assert world.get("deployment", "web")["spec"]["replicas"] == 2
    assert container(world)["resources"] == {"limits": {"cpu": "1"}}
    assert [one["name"] for one in container(world)["env"]] == ["MODE", "LEVEL"]


def test_an_addition_that_git_does_not_go_with_is_removed_with_the_change(world: World) -> None:
    world.write("federation.yaml", FEDERATION + "  drift: {additions: Remove}\n")
    world.write("shop.yaml", "---".join([NAMESPACE, WEB]))
    assert apply_plan(world.prepare()).ok
    strategy = json.dumps({"spec": {"strategy": {"rollingUpdate": {"maxSurge": 3}}}})
    world.kubectl("-n", "shop", "patch", "deployment", "web", "-p", strategy)
    world.write("shop.yaml", "---".join([NAMESPACE, RECREATED]))
    assert "spec.strategy.rollingUpdate.maxSurge" in shown(world)
    settled(world)
    assert world.get("deployment", "web")["spec"]["strategy"] == {"type": "Recreate"}


def test_an_item_left_to_others_in_a_list_that_somebody_else_made(world: World) -> None:
    by_hand(world, "---".join([NAMESPACE, WEB]), "--server-side=false")
    world.write("federation.yaml", FEDERATION + IGNORE)
    world.write("shop.yaml", "---".join([NAMESPACE, WEB]))
    settled(world)
    # All that is left of kubectl's is the list itself, and of the list what is left to others.
    world.write(
        "shop.yaml", "---".join([NAMESPACE, WEB.replace("{name: MODE, value: fast}, ", "")])
    )
    settled(world)
    world.write("shop.yaml", "---".join([NAMESPACE, WEB.replace("web:1.0", "web:2.0")]))
    settled(world)
    assert [one["name"] for one in container(world)["env"]] == ["MODE", "LEVEL"]


def test_an_addition_goes_with_what_another_person_made_around_it(world: World) -> None:
    bare = WEB.replace("          resources: {limits: {cpu: 1000m}}\n", "")
    world.write("shop.yaml", "---".join([NAMESPACE, bare]))
    settled(world)
    by_hand(
        world, bare.replace("- name: web", "- name: web\n          resources: {}"), "--server-side"
    )
    put(world, "deployment", "web", as_pod({"resources": {"limits": {"memory": "1Gi"}}}), "k9s")
    world.write("federation.yaml", FEDERATION + "  drift: {additions: Remove}\n")
    assert shown(world) == {"resources.limits.memory"}
    settled(world)
    assert container(world)["resources"] == {}
