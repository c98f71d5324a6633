"""Saved plans and comparisons with a base, where additions, fields left to others and what can only
be done in place or in order are in them: what they show is done, and nothing else."""

from __future__ import annotations

import json
from typing import Any

from tests.definitions import definition_text
from tests.node_ports import unused_node_port
from tests.scenarios.conftest import FEDERATION
from tests.scenarios.desk import Desk, desk, simulated_desk
from tests.scenarios.manifests import SHOP, node_port_service
from tests.scenarios.test_branch_plans import against_main, as_json, branch, changed
from tests.scenarios.test_fields_left_to_others import container
from tests.scenarios.test_rules_within_one_object import IGNORE

__all__ = ["desk", "simulated_desk"]

REMOVE = FEDERATION + "  drift: {additions: Remove}\n"
RECREATED = SHOP.replace("  replicas: 2", "  replicas: 2\n  strategy: {type: Recreate}")
CUSTOM = f"""
{definition_text("Widget", schema="{properties: {spec: {type: object, properties: {}}}}")}
---
apiVersion: example.com/v1
kind: Widget
metadata: {{name: one, namespace: shop}}
spec: {{}}
"""


def put(desk: Desk, data: dict[str, Any], cluster: str = "aws") -> None:
    patch = ("patch", "configmap/settings", "--field-manager=kubectl-edit", "-p")
    desk.world.kubectl("-n", "shop", *patch, json.dumps({"data": data}), cluster=cluster)


def data(desk: Desk) -> Any:
    return desk.world.get("configmap", "settings")["data"]


def done(desk: Desk) -> None:
    """The saved plan is applied as it is, and nothing is left to do."""
    run = desk.apply()
    assert run.returncode == 0, run.stdout + run.stderr
    again = desk.reconcile("--plan", "--detailed-exitcode")
    assert again.returncode == 0, again.stdout


def test_only_the_additions_that_it_shows_go(desk: Desk) -> None:
    desk.commit(federation=REMOVE)
    put(desk, {"extra": "1"})
    desk.save()
    put(desk, {"later": "2"})
    told = desk.refused()
    assert "ConfigMap shop/settings" in told
    assert "data.later" in told
    assert data(desk) == {"colour": "green", "size": "3", "extra": "1", "later": "2"}
    desk.save()
    done(desk)
    assert data(desk) == {"colour": "green", "size": "3"}


def test_what_is_handed_over_keeps_the_value_that_it_has_by_then(desk: Desk) -> None:
    desk.commit(federation=FEDERATION + IGNORE, shop=SHOP.replace("web:1.0", "web:2.0"))
    desk.save()
    desk.world.kubectl("-n", "shop", "scale", "deployment/web", "--replicas=5")
    run = desk.apply()
    replicas = desk.world.get("deployment", "web")["spec"]["replicas"]
    assert replicas == 5
    if run.returncode == 1:
        desk.save()
        done(desk)
    assert desk.world.get("deployment", "web")["spec"]["replicas"] == 5
    assert container(desk.world)["image"] == "registry.example/web:2.0"


def test_what_can_only_be_done_in_place_is_done_as_saved(desk: Desk) -> None:
    desk.commit(federation=REMOVE + IGNORE, shop=RECREATED)
    put(desk, {"extra": "1"})
    desk.save()
    done(desk)
    assert desk.world.get("deployment", "web")["spec"]["strategy"] == {"type": "Recreate"}
    assert desk.world.get("deployment", "web")["spec"]["replicas"] == 2


def test_a_kind_and_an_object_of_it_come_in_one_commit(desk: Desk) -> None:
    desk.commit(widget=CUSTOM)
    desk.save()
    done(desk)
    assert desk.world.exists("widgets.example.com", "one")


def test_a_port_moves_by_a_saved_plan(desk: Desk) -> None:
    number = unused_node_port()
    desk.commit(port=node_port_service("old", number))
    assert desk.reconcile("--yes").returncode == 0
    desk.commit(port=node_port_service("new", number))
    told = desk.save().stdout
    assert str(number) in told
    done(desk)
    assert desk.world.exists("service", "new")
    assert not desk.world.exists("service", "old")


def test_a_federation_that_was_renamed_is_taken_over_by_a_saved_plan(desk: Desk) -> None:
    renamed = REMOVE.replace("metadata: {name: shop}", "metadata: {name: store}")
    put(desk, {"extra": "1"})
    desk.commit(federation=renamed)
    desk.save("--take-over")
    run = desk.apply("--take-over")
    assert run.returncode == 0, run.stdout + run.stderr
    assert data(desk) == {"colour": "green", "size": "3"}
    again = desk.reconcile("--plan", "--detailed-exitcode")
    assert again.returncode == 0, again.stdout


def test_additions_that_the_base_removes_alike_are_not_the_branch_s(simulated_desk: Desk) -> None:
    desk = simulated_desk
    desk.commit(federation=REMOVE)
    put(desk, {"extra": "1"})
    branch(desk, shop=SHOP.replace("green", "blue"))
    changes = as_json(desk)["clusters"][0]["changes"]
    assert changes
    for one in changes:
        assert [field["path"] for field in one["fields"]] == ["data.colour"]


def test_a_branch_that_removes_additions_shows_them(simulated_desk: Desk) -> None:
    desk = simulated_desk
    put(desk, {"extra": "1"})
    desk.commit(readme="# words\n")
    branch(desk, federation=REMOVE)
    (change,) = as_json(desk)["clusters"][0]["changes"]
    assert [field["path"] for field in change["fields"]] == ["data.extra"]
    assert "Against main: 1 to update" in against_main(desk)


def test_a_branch_that_leaves_fields_to_others_shows_that(simulated_desk: Desk) -> None:
    desk = simulated_desk
    desk.commit(shop=SHOP.replace("green", "blue"))
    branch(desk, federation=FEDERATION + IGNORE)
    assert changed(as_json(desk)) == {"aws": ["web"], "gcp": ["web"]}
    (change,) = as_json(desk)["clusters"][0]["changes"]
    assert change["fields"] == []
    assert {one["note"] for one in change["stays"]} == {"left to others"}


def test_what_the_base_does_in_place_alike_is_not_the_branch_s(simulated_desk: Desk) -> None:
    desk = simulated_desk
    desk.commit(shop=RECREATED)
    branch(desk, shop=RECREATED.replace("web:1.0", "web:2.0"), widget=CUSTOM)
    plan = as_json(desk)
    (image,) = [c for c in plan["clusters"][0]["changes"] if c["kind"] == "Deployment"]
    assert [field["path"] for field in image["fields"]] == [
        "spec.template.spec.containers[name=web].image"
    ]
    assert {c["kind"] for c in plan["clusters"][0]["changes"]} >= {"Widget", "Deployment"}
