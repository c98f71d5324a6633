"""The main job on simulated and on real clusters: plan, apply, no-op, drift, conflict, adopt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from reconciler.api.errors import BadInput
from reconciler.cluster.parallel import in_parallel
from reconciler.plan import desired
from reconciler.plan.model import Action
from tests.controlplane.process import eventually
from tests.definitions import definition_text
from tests.scenarios.conftest import World
from tests.scenarios.manifests import NAMESPACE, SERVICE, SETTINGS, SHOP, WEB


def test_a_plan_writes_nothing_and_an_apply_makes_it_so(world: World) -> None:
    world.write("shop.yaml", SHOP)
    plan = world.plan()
    assert plan.summary()["create"] == 8
    assert not world.exists("deployment", "web")

    assert world.apply().ok
    for cluster in ("aws", "gcp"):
        assert world.get("deployment", "web", cluster)["spec"]["replicas"] == 2
    assert not world.plan().has_changes


def test_a_run_without_changes_costs_one_list_per_kind_and_one_for_the_inventory(
    world: World,
) -> None:
    world.write("shop.yaml", SHOP)
    world.apply()
    prepared = world.prepare()
    assert not prepared.plan.has_changes
    assert {work.member.requests for work in prepared.works} == {1 + 4}


def test_of_many_objects_few_are_held_until_a_server_has_been_asked(
    simulated_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the plan is the same however few."""
    world, together = simulated_world, []
    world.write("shop.yaml", SHOP)
    at_once = world.plan()

    def counted(ask: Any, doubts: Sequence[Any], most: int) -> Any:
        together.append(len(doubts))
        return in_parallel(ask, doubts, most)

    monkeypatch.setattr(desired, "in_parallel", counted)
    monkeypatch.setattr(desired, "LOOKED_AT_TOGETHER", 2)
    assert world.plan() == at_once
    assert sum(together) > 2
    assert max(together) <= 2


DRIFTS = {
    "scaled": ("scale", "deploy/web", "--replicas=5"),
    "image": ("set", "image", "deploy/web", "web=registry.invalid/miner:1"),
    "environment": ("set", "env", "deploy/web", "MODE=slow"),
    "label": ("label", "deploy/web", "applyset.kubernetes.io/part-of-"),
    "data": ("patch", "configmap/settings", "-p", '{"data": {"colour": "red"}}'),
    "port": (
        "patch", "service/web", "--type=json", "-p",
        '[{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 9}]',
    ),
    "deleted": ("delete", "service/web"),
    "deleted key": ("patch", "configmap/settings", "-p", '{"data": {"size": null}}'),
    "reordered": (
        "patch", "deploy/web", "--type=json", "-p",
        '[{"op": "replace", "path": "/spec/template/spec/containers/0/env", "value": '
        '[{"name": "LEVEL", "value": "info"}, {"name": "MODE", "value": "fast"}]}]',
    ),
    "ownership": (
        "patch", "configmap/settings", "--type=merge", "-p",
        '{"metadata": {"managedFields": [{}]}}',
    ),
}  # fmt: skip


@pytest.mark.parametrize("drift", DRIFTS.values(), ids=DRIFTS.keys())
def test_drift_is_found_in_its_cluster_only_and_repaired(
    world: World, drift: tuple[str, ...]
) -> None:
    world.write("shop.yaml", SHOP)
    world.apply()
    world.kubectl("-n", "shop", *drift)

    plan = world.plan()
    assert [len(cluster.changes) for cluster in plan.clusters] == [1, 0]
    assert world.apply().ok
    assert not world.plan().has_changes
    container = world.get("deployment", "web")["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "registry.example/web:1.0"
    assert [e["name"] for e in container["env"]] == ["MODE", "LEVEL"]
    assert world.get("configmap", "settings")["data"] == {"colour": "green", "size": "3"}


def test_a_change_names_its_field_with_old_and_new_value_and_who_made_it(world: World) -> None:
    world.write("shop.yaml", SHOP)
    world.apply()
    world.kubectl("-n", "shop", "set", "image", "deploy/web", "web=registry.invalid/x:1")
    (change,) = world.changes()
    (field,) = change.fields
    assert field.path == "spec.template.spec.containers[name=web].image"
    assert (field.before, field.after) == ("registry.invalid/x:1", "registry.example/web:1.0")
    assert field.managers == ("kubectl-set",)
    assert change.reason == "drift: changed by kubectl-set"


def test_what_nobody_applied_is_left_alone(world: World) -> None:
    world.write("shop.yaml", SHOP)
    world.apply()
    world.kubectl("-n", "shop", "annotate", "deploy/web", "note=by-hand")
    assert not world.plan().has_changes


def test_a_field_taken_out_of_git_is_taken_out_of_the_cluster(world: World) -> None:
    world.write("shop.yaml", SHOP)
    world.apply()
    world.write("shop.yaml", SHOP.replace(', size: "3"', ""))
    assert world.apply().ok
    assert world.get("configmap", "settings")["data"] == {"colour": "green"}


def test_a_field_of_another_manager_is_a_conflict_until_force_is_allowed(world: World) -> None:
    world.write("shop.yaml", SHOP)
    world.apply()
    world.kubectl("-n", "shop", "patch", "configmap/settings", "-p", '{"data": {"shape": "round"}}')
    world.write("shop.yaml", SHOP.replace("colour: green", "colour: green, shape: square"))

    (change,) = world.changes()
    assert change.action is Action.FAILED
    assert "data.shape is owned by kubectl-patch" in change.error
    assert not world.apply().ok
    assert world.get("configmap", "settings")["data"]["shape"] == "round"

    assert world.apply(force_conflicts=True).ok
    assert world.get("configmap", "settings")["data"]["shape"] == "square"


def test_an_object_that_exists_is_adopted_and_its_old_fields_can_be_removed(world: World) -> None:
    world.write("elsewhere.yaml.txt", NAMESPACE + "---" + SETTINGS)
    for cluster in ("aws", "gcp"):
        path = str(world.repository / "elsewhere.yaml.txt")
        world.kubectl("apply", "-f", path, cluster=cluster)
    world.write("shop.yaml", NAMESPACE + "---" + SETTINGS.replace("green", "blue"))
    assert {change.action for change in world.changes()} == {Action.ADOPT}
    assert world.apply().ok
    assert not world.plan().has_changes
    world.write("shop.yaml", NAMESPACE + "---" + SETTINGS.replace('green, size: "3"', "blue"))
    assert world.apply().ok
    assert world.get("configmap", "settings")["data"] == {"colour": "blue"}


def test_an_immutable_field_needs_recreation_which_must_be_allowed(world: World) -> None:
    world.write("shop.yaml", SHOP)
    world.apply()
    before = world.get("deployment", "web")["metadata"]["uid"]
    other = SHOP.replace("{app: web}}\n  template", "{app: shop}}\n  template").replace(
        "labels: {app: web}}\n    spec", "labels: {app: shop}}\n    spec"
    )
    world.write("shop.yaml", other)
    (change,) = world.changes()
    assert change.action is Action.FAILED
    assert "needs recreate: spec.selector" in change.error

    allowed = 'annotations: {federation.reconciler.dev/recreate: "true"}}'
    world.write(
        "shop.yaml",
        other.replace("name: web, namespace: shop}", f"name: web, namespace: shop, {allowed}", 1),
    )
    assert world.changes()[0].action is Action.RECREATE
    assert world.apply().ok
    assert world.get("deployment", "web")["metadata"]["uid"] != before
    assert not world.plan().has_changes


@pytest.mark.parametrize(
    "wrong",
    [
        WEB.replace("replicas: 2", "replicas: -1"),
        WEB.replace("replicas: 2", "replicsa: 2"),
        SERVICE.replace("port: 80", "port: 99999999"),
    ],
    ids=["sign", "field", "value"],
)
def test_what_a_server_refuses_as_invalid_stops_every_write(world: World, wrong: str) -> None:
    from reconciler.api.errors import GuardViolation

    world.write("shop.yaml", NAMESPACE + "---" + SETTINGS + "---" + wrong)
    assert world.plan().violations
    with pytest.raises(GuardViolation):
        world.apply()
    assert not world.exists("namespace", "shop", namespace="default")


def test_bad_input_of_any_file_writes_nothing(world: World) -> None:
    world.write("shop.yaml", SHOP)
    world.write("broken.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: Bad_Name}\n")
    with pytest.raises(BadInput) as caught:
        world.apply()
    assert caught.value.problems[0].position.line == 3
    assert not world.exists("namespace", "shop", namespace="default")


WIDGET = """
apiVersion: example.com/v1
kind: Widget
metadata: {name: first, namespace: shop}
spec: {size: 3}
"""


def test_custom_resources_come_after_their_definition_in_the_same_run(world: World) -> None:
    widgets = definition_text(
        "Widget", schema="properties: {spec: {type: object, properties: {size: {type: integer}}}}"
    )
    world.write("widgets.yaml", WIDGET + "---" + NAMESPACE + "---" + widgets)
    assert world.apply().ok
    assert world.get("widgets.example.com", "first")["spec"] == {"size": 3}
    assert not world.plan().has_changes
    world.write("widgets.yaml", "# all gone\n")
    assert world.apply(max_deletions=10).ok
    # A server finalises the definition after it has accepted its deletion.
    eventually(
        lambda: not world.exists("crd", "widgets.example.com", namespace="default"),
        "the CRD is gone",
    )


def test_values_of_secrets_are_in_no_plan(world: World) -> None:
    secret = """
    apiVersion: v1
    kind: Secret
    metadata: {name: key, namespace: shop}
    stringData: {password: canary-one}
    """
    world.write("shop.yaml", NAMESPACE)
    world.write("secret.yaml", secret)
    first = world.prepare()
    world.apply()
    world.write("secret.yaml", secret.replace("canary-one", "canary-two"))
    second = world.prepare()
    from reconciler.report.json_report import plan_document, report_as_json
    from reconciler.report.markdown import render_plan_markdown
    from reconciler.report.text import render_plan

    for prepared in (first, second):
        plan = prepared.plan
        told = report_as_json(plan_document(plan)) + render_plan_markdown(plan)
        told += render_plan(plan, verbose=True)
        assert "canary" not in told
        assert "Y2FuYXJ5" not in told
    (change,) = second.plan.clusters[0].changes
    assert [(f.before, f.after) for f in change.fields if f.path == "data.password"] == [
        ("*** (before)", "*** (after)")
    ]


def test_values_of_string_data_are_watched_and_removed_like_all_others(world: World) -> None:
    import base64

    secret = """
    apiVersion: v1
    kind: Secret
    metadata: {name: key, namespace: shop}
    stringData: {password: canary-one, other: canary-two}
    """
    world.write("shop.yaml", NAMESPACE)
    world.write("secret.yaml", secret)
    assert world.apply().ok
    stolen = '{"stringData": {"password": "stolen"}}'
    world.kubectl("patch", "secret", "key", "-n", "shop", "--patch", stolen)
    (change,) = world.changes()
    assert change.reason == "drift: changed by kubectl-patch"
    world.write("secret.yaml", secret.replace(", other: canary-two", ""))
    assert world.apply().ok
    kept = {k: base64.b64decode(v) for k, v in world.get("secret", "key")["data"].items()}
    assert kept == {"password": b"canary-one"}


@pytest.mark.parametrize(
    "lost",
    [
        SETTINGS.replace("namespace: shop", "namespace: nowhere"),
        "\napiVersion: example.com/v1\nkind: Unheard\nmetadata: {name: of}\n",
        WEB.replace("apps/v1", "apps/v9"),
    ],
    ids=["namespace", "kind", "version"],
)
def test_what_no_cluster_has_a_place_for_stops_every_write(world: World, lost: str) -> None:
    from reconciler.api.errors import GuardViolation

    world.write("shop.yaml", NAMESPACE + "---" + lost)
    with pytest.raises(GuardViolation):
        world.apply()
    assert not world.exists("namespace", "shop", namespace="default")
