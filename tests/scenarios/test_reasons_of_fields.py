"""Why each field changes, who loses it, and what is not promised because the server chooses it."""

from __future__ import annotations

import json

import pytest

from reconciler.plan.model import Action, Change, Plan, is_server_chosen
from reconciler.report.html import render_html
from reconciler.report.json_report import plan_document
from reconciler.report.markdown import render_plan_markdown
from reconciler.report.text import render_plan
from tests.node_ports import unused_node_port
from tests.scenarios.conftest import World
from tests.scenarios.manifests import NAMESPACE, SERVICE, SETTINGS, SHOP

CHOSEN = "(chosen by the server)"


def with_data(said: str) -> str:
    return "---".join([NAMESPACE, SETTINGS.replace('{colour: green, size: "3"}', said)])


def apply_as(world: World, manager: str, data: dict[str, str], *flags: str) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": "shop"},
        "data": data,
    }
    path = world.repository.parent / "other.json"
    path.write_text(json.dumps(body))
    world.kubectl("apply", "--server-side", f"--field-manager={manager}", *flags, "-f", str(path))


def edit(world: World, manager: str, **data: str) -> None:
    patch = json.dumps({"data": data})
    world.kubectl(
        *("-n", "shop", "patch", "configmap", "settings", f"--field-manager={manager}"),
        *("--type=merge", "-p", patch),
    )


def only_change(plan: Plan) -> Change:
    (change,) = next(cluster for cluster in plan.clusters if cluster.name == "aws").changes
    return change


def reasons(change: Change) -> dict[str, str]:
    return {field.path: field.reason for field in change.fields}


def everywhere(plan: Plan, words: str) -> bool:
    return all(
        words in text.replace("\n", " ")
        for text in (
            render_plan(plan, width=200),
            render_plan_markdown(plan),
            render_html(plan),
            json.dumps(plan_document(plan)),
        )
    )


def test_an_edit_in_git_of_what_another_applier_holds_as_well_is_no_drift(world: World) -> None:
    world.write("shop.yaml", with_data("{colour: green}"))
    assert world.apply().ok
    apply_as(world, "alice", {"colour": "green"})
    world.write("shop.yaml", with_data("{colour: blue}"))
    plan = world.plan()
    change = only_change(plan)
    assert change.reason == "changed in Git; taken by force from alice"
    assert reasons(change) == {"data.colour": "changed in Git; taken by force from alice"}
    assert not change.is_drift
    assert everywhere(plan, "taken by force from alice")
    assert world.apply().ok
    assert world.get("configmap", "settings")["data"] == {"colour": "blue"}


def test_drift_and_an_edit_in_git_are_told_apart_by_field(world: World) -> None:
    world.write("shop.yaml", with_data("{colour: green, size: small, age: old, gone: soon}"))
    assert world.apply().ok
    edit(world, "kubectl-edit", size="large")
    apply_as(world, "flux", {"age": "new"}, "--force-conflicts")
    world.write("shop.yaml", with_data("{colour: blue, size: small, age: old, more: new}"))
    plan = world.plan()
    change = only_change(plan)
    assert reasons(change) == {
        "data.age": "drift: changed by flux; taken by force from flux",
        "data.colour": "changed in Git",
        "data.gone": "no longer in Git",
        "data.more": "changed in Git",
        "data.size": "drift: changed by kubectl-edit",
    }
    assert change.reason == (
        "changed in Git; drift: changed by flux, kubectl-edit; taken by force from flux"
    )
    assert change.is_drift
    for words in ("drift: changed by kubectl-edit", "drift: changed by flux", "no longer in Git"):
        assert everywhere(plan, words)


def test_what_is_set_already_when_git_asks_for_it_is_no_drift(world: World) -> None:
    world.write("shop.yaml", with_data("{colour: green, size: small}"))
    assert world.apply().ok
    edit(world, "kubectl-edit", colour="blue")
    world.write("shop.yaml", with_data("{colour: blue, size: large}"))
    change = only_change(world.plan())
    assert reasons(change) == {"data.size": "changed in Git"}
    assert change.reason == "changed in Git"


def test_what_somebody_deleted_is_drift(world: World) -> None:
    world.write("shop.yaml", with_data("{colour: green, size: small}"))
    assert world.apply().ok
    world.kubectl(
        *("-n", "shop", "patch", "configmap", "settings", "--type=json"),
        *("-p", '[{"op": "remove", "path": "/data/colour"}]'),
    )
    change = only_change(world.plan())
    assert reasons(change) == {"data.colour": "drift"}
    assert change.reason == "drift"


def test_what_is_taken_in_an_adoption_is_named_by_field(world: World) -> None:
    world.write("shop.yaml", NAMESPACE)
    assert world.apply().ok
    apply_as(world, "kubectl-client-side-apply", {"colour": "red", "size": "small"})
    world.write("shop.yaml", with_data("{colour: green, age: new}"))
    plan = world.plan()
    change = only_change(plan)
    assert change.action is Action.ADOPT
    taken = "adopted; taken by force from kubectl-client-side-apply"
    assert reasons(change) == {"data.age": "adopted", "data.colour": taken}
    assert everywhere(plan, "kubectl-client-side-apply")


# -- what the server chooses ---------------------------------------------------------------------

LATER = {
    "a node port": ("type: NodePort", {"spec.ports[name=http].nodePort"}),
    "a load balancer's checks": (
        "type: LoadBalancer\n  externalTrafficPolicy: Local",
        {"spec.ports[name=http].nodePort", "spec.healthCheckNodePort"},
    ),
}


@pytest.mark.parametrize(("said", "chosen"), LATER.values(), ids=LATER.keys())
@pytest.mark.integration
def test_a_port_that_the_server_chooses_is_not_promised(
    repository: object, real_kubeconfig: object, said: str, chosen: set[str]
) -> None:
    world = World(repository, real_kubeconfig)  # type: ignore[arg-type]
    world.write("shop.yaml", "---".join([NAMESPACE, SERVICE]))
    assert world.apply().ok
    world.write("shop.yaml", "---".join([NAMESPACE, SERVICE.replace("spec:", f"spec:\n  {said}")]))
    plan = world.plan()
    assert {f.path for f in only_change(plan).fields if is_server_chosen(f.after)} == chosen
    assert everywhere(plan, CHOSEN)
    assert world.apply().ok
    assert not world.plan().has_changes


@pytest.mark.integration
def test_an_address_that_the_server_chooses_is_not_promised(
    repository: object, real_kubeconfig: object
) -> None:
    world = World(repository, real_kubeconfig)  # type: ignore[arg-type]
    outside = """
    apiVersion: v1
    kind: Service
    metadata: {name: web, namespace: shop}
    spec: {type: ExternalName, externalName: web.example.com}
    """
    world.write("shop.yaml", "---".join([NAMESPACE, outside]))
    assert world.apply().ok
    world.write(
        "shop.yaml", "---".join([NAMESPACE, SERVICE.replace("spec:", "spec:\n  type: ClusterIP")])
    )
    told = {f.path: f.after for f in only_change(world.plan()).fields}
    assert told["spec.clusterIP"] == CHOSEN  # type: ignore[index]
    assert told["spec.clusterIPs"] == [CHOSEN]  # type: ignore[index]
    assert world.apply().ok
    assert not world.plan().has_changes


@pytest.mark.integration
def test_a_port_that_git_states_or_the_service_has_is_promised(
    repository: object, real_kubeconfig: object
) -> None:
    world = World(repository, real_kubeconfig)  # type: ignore[arg-type]
    node = SERVICE.replace("spec:", "spec:\n  type: NodePort")
    world.write("shop.yaml", "---".join([NAMESPACE, node]))
    assert world.apply().ok
    number = unused_node_port()
    more = node.replace(
        "targetPort: 8080}",
        f"targetPort: 8081}}, {{name: b, port: 81, nodePort: {number}}}, {{name: c, port: 82}}",
    )
    world.write("shop.yaml", "---".join([NAMESPACE, more]))
    told = {f.path: f.after for f in only_change(world.plan()).fields}
    assert told["spec.ports[name=b].nodePort"] == number  # type: ignore[index]
    assert told["spec.ports[name=c].nodePort"] == CHOSEN  # type: ignore[index]
    assert "spec.ports[name=http].nodePort" not in told


def test_a_service_without_such_values_is_promised_whole(world: World) -> None:
    world.write("shop.yaml", SHOP)
    assert world.apply().ok
    world.write("shop.yaml", SHOP.replace("targetPort: 8080", "targetPort: 8081"))
    (field,) = only_change(world.plan()).fields
    assert (field.before, field.after) == (8080, 8081)
