"""What becomes of objects that others made: adopted, and what of them stays or goes, as planned."""

from __future__ import annotations

import base64
import contextlib
import json
import zlib
from typing import Any

import pytest
from msgspec.structs import astuple

from reconciler.api.errors import Conflict, Position
from reconciler.api.objects import Object, key_of
from reconciler.cluster.connect import Connector
from reconciler.federation.model import Cluster
from reconciler.inventory.records import decode_rows
from reconciler.plan.fields import changed_fields
from reconciler.plan.model import ABSENT, Action, Change
from reconciler.report.json_report import plan_document, report_as_json
from reconciler.report.markdown import render_plan_markdown
from reconciler.report.text import render_plan
from reconciler.run.pipeline import apply_plan
from tests.scenarios.conftest import FEDERATION, World
from tests.scenarios.manifests import NAMESPACE, SERVICE, SETTINGS, SHOP, WEB
from tests.scenarios.test_interruptions import Killed, kill_after

TAKE_OVER = FEDERATION + '  adoption: {takeOver: ["kubectl*", "before-first-apply"]}\n'
BARE_SETTINGS = SETTINGS.replace(', size: "3"', "")


def by_hand(world: World, text: str, *arguments: str, cluster: str = "aws") -> None:
    """Somebody applies with kubectl."""
    path = world.repository.parent / "by-hand.yaml"
    path.write_text(text)
    world.kubectl("apply", *arguments, "-f", str(path), cluster=cluster)


def put(world: World, kind: str, name: str, change: Any, manager: str) -> None:
    """A controller reads an object, changes it and puts it back, as KubeFed's does: again, when
    another one has written to it meanwhile."""
    for _ in range(20):
        live = world.get(kind, name)
        change(live)
        with contextlib.suppress(Conflict):
            call(world, "PUT", live, live, manager, "application/json")
            return
    raise AssertionError(f"{kind} {name} never stays as it is for long enough")


def call(
    world: World, verb: str, about: Object, body: Any, manager: str, content_type: str
) -> None:
    connector = Connector.from_file(str(world.kubeconfig), "federation-system")
    member = connector.member(Cluster("aws", Position("", 1, 1)))
    key = key_of(about)
    plural = {"ConfigMap": "api/v1", "Deployment": "apis/apps/v1", "Service": "api/v1"}[key.kind]
    path = f"/{plural}/namespaces/{key.namespace}/{key.kind.lower()}s/{key.name}"
    query = {"fieldManager": manager}
    headers = {"content-type": content_type}
    member._body(verb, path, query=query, body=body, headers=headers, write=True)


def change_of(world: World, kind: str, **options: Any) -> Change:
    (found,) = [c for c in world.changes(**options) if c.key.kind == kind]
    return found


def stays(change: Change) -> dict[str, tuple[Any, tuple[str, ...]]]:
    return {field.path: (field.value, field.managers) for field in change.stays}


def settle(world: World) -> None:
    """Apply what is planned; nothing is left to do afterwards, and nothing comes up later."""
    assert world.apply().ok
    assert not world.plan().has_changes


def test_what_git_does_not_say_stays_and_is_listed(world: World) -> None:
    by_hand(world, NAMESPACE.replace("name: shop", "name: shop, labels: {pod-security: strict}"))
    extra = "namespace: shop, labels: {team: web}, annotations: {note: x}"
    by_hand(world, SETTINGS.replace("namespace: shop", extra))
    world.write("shop.yaml", NAMESPACE + "---" + BARE_SETTINGS)

    change = change_of(world, "ConfigMap")
    assert change.action is Action.ADOPT
    assert change.fields == ()
    kubectl = ("kubectl-client-side-apply",)
    listed = stays(change)
    assert listed.pop('metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]')
    assert listed == {
        "data.size": ("3", kubectl),
        "metadata.labels.team": ("web", kubectl),
        "metadata.annotations.note": ("x", kubectl),
    }
    space = change_of(world, "Namespace")
    assert stays(space)["metadata.labels.pod-security"] == ("strict", kubectl)
    settle(world)
    assert world.get("configmap", "settings")["data"] == {"colour": "green", "size": "3"}
    assert world.get("namespace", "shop")["metadata"]["labels"]["pod-security"] == "strict"

    world.write("shop.yaml", NAMESPACE + "---" + BARE_SETTINGS.replace("green", "blue"))
    change = change_of(world, "ConfigMap")
    assert [field.path for field in change.fields] == ["data.colour"]
    assert change.stays == ()
    settle(world)
    assert world.get("configmap", "settings")["data"] == {"colour": "blue", "size": "3"}


def test_what_was_in_git_goes_when_it_leaves_git_and_the_rest_stays(world: World) -> None:
    by_hand(world, NAMESPACE + "---" + SETTINGS.replace("size:", "shape: round, size:"))
    world.write("shop.yaml", NAMESPACE + "---" + SETTINGS)
    settle(world)
    world.write("shop.yaml", NAMESPACE + "---" + BARE_SETTINGS)
    (field,) = change_of(world, "ConfigMap").fields
    assert (field.path, field.before, field.after) == ("data.size", "3", ABSENT)
    settle(world)
    assert world.get("configmap", "settings")["data"] == {"colour": "green", "shape": "round"}


def test_take_over_lets_what_git_does_not_say_go_as_the_plan_says(world: World) -> None:
    by_hand(
        world,
        NAMESPACE
        + "---"
        + SETTINGS.replace("namespace: shop", "namespace: shop, labels: {team: web}"),
    )
    world.write("federation.yaml", TAKE_OVER)
    world.write("shop.yaml", NAMESPACE + "---" + BARE_SETTINGS)
    change = change_of(world, "ConfigMap")
    gone = {f.path: (f.before, f.after, f.managers) for f in change.fields}
    kubectl = ("kubectl-client-side-apply",)
    annotation = 'metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]'
    assert gone.pop(annotation)[1] is ABSENT
    assert gone == {
        "data.size": ("3", ABSENT, kubectl),
        "metadata.labels.team": ("web", ABSENT, kubectl),
    }
    settle(world)
    live = world.get("configmap", "settings")
    assert live["data"] == {"colour": "green"}
    assert "team" not in live["metadata"]["labels"]


RICH = (
    WEB.replace(
        "    spec:\n",
        "    spec:\n      nodeSelector: {disk: ssd}\n      terminationGracePeriodSeconds: 60\n",
    )
    + """\
        - name: sidecar
          image: registry.example/sidecar:1
          ports: [{name: admin, containerPort: 9000}]
"""
)
RICH_SERVICE = SERVICE.replace(
    "}]", "}, {name: admin, port: 81}, {name: dns, port: 81, protocol: UDP}]"
)


@pytest.mark.parametrize("manager", ["create", "apply", "kubefed"])
def test_a_deployment_keeps_its_sidecar_limits_and_node_selector(
    world: World, manager: str
) -> None:
    world.write(
        "shop.yaml", "---".join([NAMESPACE, WEB.replace("cpu: 1000m", "memory: 1Gi"), SERVICE])
    )
    make(world, manager)
    before = {kind: world.get(kind, "web") for kind in ("deployment", "service")}
    change = change_of(world, "Deployment")
    assert change.action is Action.ADOPT
    pod = "spec.template.spec"
    listed = {path: value for path, (value, _) in stays(change).items()}
    assert listed[f"{pod}.nodeSelector.disk"] == "ssd"
    assert listed[f"{pod}.terminationGracePeriodSeconds"] == 60
    assert listed[f"{pod}.containers[name=sidecar].image"] == "registry.example/sidecar:1"
    assert listed[f"{pod}.containers[name=web].resources.limits.cpu"] == "1"
    assert not {path for path in listed if "revisionHistory" in path}, "a default is no news"
    ports = stays(change_of(world, "Service"))
    assert {path for path in ports if "name" in path} >= {
        "spec.ports[name=admin].port",
        "spec.ports[name=dns].port",
    }
    plan = promised(world)
    settle(world)
    for kind in ("deployment", "service"):
        after = world.get(kind, "web")
        assert told(changed_fields(before[kind], after)) == told(plan[kind].fields)


def make(world: World, manager: str) -> None:
    """The objects, before the federation knows them, with more than Git says."""
    text = "---".join([NAMESPACE, RICH, RICH_SERVICE])
    path = world.repository.parent / "by-hand.yaml"
    path.write_text(text)
    if manager == "kubefed":
        world.kubectl("create", "--field-manager=controller-manager", "-f", str(path))

        def label(live: Object) -> None:
            live["metadata"].setdefault("labels", {})["kubefed.io/managed"] = "true"

        put(world, "deployment", "web", label, "controller-manager")
        put(world, "service", "web", label, "controller-manager")
    else:
        world.kubectl(manager, "-f", str(path))


def promised(world: World) -> dict[str, Change]:
    return {change.key.kind.lower(): change for change in world.changes()}


def told(fields: Any) -> list[tuple[str, str, str]]:
    """Without the number that the Deployment's controller counts up afterwards."""
    return [(f.path, repr(f.before), repr(f.after)) for f in fields if "revision" not in f.path]


def test_what_kubefed_made_is_adopted_and_nothing_else_changes(world: World) -> None:
    make(world, "kubefed")
    world.write("shop.yaml", "---".join([NAMESPACE, WEB, SERVICE]))
    before = {kind: world.get(kind, "web") for kind in ("deployment", "service")}
    assert {change.fields for change in world.changes()} == {()}
    settle(world)
    for kind, live in before.items():
        assert changed_fields(live, world.get(kind, "web")) == ()
        assert world.get(kind, "web")["metadata"]["labels"]["kubefed.io/managed"] == "true"


@pytest.mark.parametrize("manager", ["create", "apply"])
def test_a_deployment_taken_over_becomes_just_what_the_plan_says(
    world: World, manager: str
) -> None:
    make(world, manager)
    world.write("federation.yaml", TAKE_OVER)
    world.write(
        "shop.yaml", "---".join([NAMESPACE, WEB.replace("cpu: 1000m", "memory: 1Gi"), SERVICE])
    )
    before = {kind: world.get(kind, "web") for kind in ("deployment", "service")}
    plan = promised(world)
    gone = {f.path: f.after for f in plan["deployment"].fields}
    pod = "spec.template.spec"
    assert gone[f"{pod}.terminationGracePeriodSeconds"] == 30  # type: ignore[index]
    assert gone[f"{pod}.nodeSelector.disk"] is ABSENT  # type: ignore[index]
    assert gone[f"{pod}.containers[name=sidecar].image"] is ABSENT  # type: ignore[index]
    assert {f.path for f in plan["service"].fields} >= {"spec.ports[name=dns].port"}
    settle(world)
    for kind in ("deployment", "service"):
        assert told(changed_fields(before[kind], world.get(kind, "web"))) == told(plan[kind].fields)


def reset(world: World, kind: str, name: str) -> None:
    world.kubectl(
        "patch", kind, name, "-n", "shop", "--type=merge", "-p",
        '{"metadata": {"managedFields": [{}]}}',
    )  # fmt: skip


@pytest.mark.parametrize("other_hand", [False, True], ids=["", "somebody else applies"])
def test_a_key_that_leaves_git_goes_although_managed_fields_were_emptied(
    world: World, other_hand: bool
) -> None:
    world.write("shop.yaml", NAMESPACE + "---" + SETTINGS)
    settle(world)
    world.kubectl("patch", "configmap/settings", "-n", "shop", "-p", '{"data": {"own": "x"}}')
    reset(world, "configmap", "settings")
    if other_hand:
        by_hand(world, SETTINGS.replace('colour: green, size: "3"', "tone: dark"), "--server-side")
    world.write("shop.yaml", NAMESPACE + "---" + BARE_SETTINGS)
    (field,) = change_of(world, "ConfigMap").fields
    assert (field.path, field.before, field.after) == ("data.size", "3", ABSENT)
    settle(world)
    rest = {"colour": "green", "own": "x", **({"tone": "dark"} if other_hand else {})}
    assert world.get("configmap", "settings")["data"] == rest
    world.write("shop.yaml", NAMESPACE + "---" + BARE_SETTINGS.replace("green", "blue"))
    settle(world)
    assert world.get("configmap", "settings")["data"] == {**rest, "colour": "blue"}


def test_emptied_managed_fields_are_repaired_so_that_a_later_removal_works(world: World) -> None:
    world.write("shop.yaml", NAMESPACE + "---" + SETTINGS)
    settle(world)
    reset(world, "configmap", "settings")
    change = change_of(world, "ConfigMap")
    assert change.reason == "drift: ownership of fields was taken or dropped"
    assert {(f.path, f.note) for f in change.stays} == {
        ("data.colour", "becomes ours"),
        ("data.size", "becomes ours"),
    }
    settle(world)
    world.write("shop.yaml", NAMESPACE + "---" + BARE_SETTINGS)
    assert [f.path for f in change_of(world, "ConfigMap").fields] == ["data.size"]
    settle(world)
    assert world.get("configmap", "settings")["data"] == {"colour": "green"}


def test_a_key_goes_although_only_our_entry_was_taken_out(world: World) -> None:
    world.write("shop.yaml", NAMESPACE + "---" + SETTINGS)
    settle(world)
    by_hand(world, SETTINGS.replace('colour: green, size: "3"', "tone: dark"), "--server-side")
    live = world.get("configmap", "settings")
    path = ["get", "configmap/settings", "-n", "shop", "-o", "json", "--show-managed-fields"]
    entries = json.loads(world.kubectl(*path))["metadata"]["managedFields"]
    others = [e for e in entries if e["manager"] != "federation-reconciler"]
    operation = {"op": "replace", "path": "/metadata/managedFields", "value": others}
    call(world, "PATCH", live, [operation], "somebody", "application/json-patch+json")
    world.write("shop.yaml", NAMESPACE + "---" + BARE_SETTINGS)
    assert [f.path for f in change_of(world, "ConfigMap").fields] == ["data.size"]
    settle(world)
    assert world.get("configmap", "settings")["data"] == {"colour": "green", "tone": "dark"}


def test_a_key_that_leaves_git_and_is_somebody_elses_too_stays_and_is_told(world: World) -> None:
    world.write("shop.yaml", NAMESPACE + "---" + SETTINGS)
    settle(world)
    by_hand(world, SETTINGS, "--server-side")
    world.write("shop.yaml", NAMESPACE + "---" + BARE_SETTINGS)
    change = change_of(world, "ConfigMap")
    assert change.fields == ()
    assert stays(change) == {"data.size": ("3", ("kubectl",))}
    settle(world)
    assert world.get("configmap", "settings")["data"] == {"colour": "green", "size": "3"}


def test_a_key_that_somebody_changed_and_that_leaves_git_stays_and_is_told(world: World) -> None:
    world.write("shop.yaml", NAMESPACE + "---" + SETTINGS)
    settle(world)
    world.kubectl("patch", "configmap/settings", "-n", "shop", "-p", '{"data": {"size": "4"}}')
    world.write("shop.yaml", NAMESPACE + "---" + BARE_SETTINGS)
    assert stays(change_of(world, "ConfigMap")) == {"data.size": ("4", ("kubectl-patch",))}
    settle(world)
    assert world.get("configmap", "settings")["data"] == {"colour": "green", "size": "4"}


def test_an_object_without_managed_fields_is_adopted_and_loses_nothing(world: World) -> None:
    by_hand(world, NAMESPACE + "---" + SETTINGS)
    reset(world, "configmap", "settings")
    world.write("shop.yaml", NAMESPACE + "---" + BARE_SETTINGS)
    change = change_of(world, "ConfigMap")
    assert stays(change)["data.size"] == ("3", ("before-first-apply",))
    settle(world)
    world.write(
        "shop.yaml", NAMESPACE + "---" + BARE_SETTINGS.replace("colour: green", "tone: red")
    )
    assert [f.path for f in change_of(world, "ConfigMap").fields] == ["data.colour", "data.tone"]
    settle(world)
    assert world.get("configmap", "settings")["data"] == {"size": "3", "tone": "red"}


@pytest.mark.parametrize("copied", [False, True], ids=["new", "with our marks"])
@pytest.mark.parametrize("policy", ["IfUnclaimed", "Never"])
def test_an_object_made_anew_by_another_hand_is_a_new_one(
    world: World, copied: bool, policy: str
) -> None:
    world.write("federation.yaml", FEDERATION + f"  adoption: {{policy: {policy}}}\n")
    world.write("shop.yaml", NAMESPACE + "---" + SETTINGS)
    settle(world)
    live = world.get("configmap", "settings")
    made = {**live, "data": {"colour": "green", "size": "3", "chart": "1"}}
    made["metadata"] = {"name": "settings", "namespace": "shop"}
    if copied:
        for part in ("labels", "annotations"):
            made["metadata"][part] = live["metadata"][part]
    path = world.repository.parent / "chart.json"
    path.write_text(json.dumps(made))
    world.kubectl("delete", "configmap/settings", "-n", "shop")
    world.kubectl("create", "--field-manager=helm", "-f", str(path))

    change = change_of(world, "ConfigMap")
    if policy == "Never":
        assert change.action is Action.FAILED
        assert "not the one that this federation made" in change.error
        assert not world.apply().ok
        assert world.get("configmap", "settings")["data"]["chart"] == "1"
    else:
        assert change.action is Action.ADOPT
        assert stays(change)["data.chart"] == ("1", ("helm",))
        settle(world)
        assert world.get("configmap", "settings")["data"]["chart"] == "1"
        return
    world.write("shop.yaml", NAMESPACE)
    plan = world.plan()
    assert plan.summary()["prune"] == 1, "of the other cluster"
    assert any("ConfigMap" in warning for warning in plan.warnings) or not copied
    result = world.apply()
    assert result.ok, (result.plan.warnings, [c.prune_blocked for c in result.plan.clusters])
    assert world.exists("configmap", "settings")


def test_values_of_an_adopted_secret_are_in_no_report(world: World) -> None:
    secret = """
apiVersion: v1
kind: Secret
metadata: {name: key, namespace: shop}
stringData: {password: canary-one, other: canary-two}
"""
    by_hand(world, NAMESPACE + "---" + secret)
    world.write("shop.yaml", NAMESPACE + "---" + secret.replace(", other: canary-two", ""))
    for rules in (FEDERATION, TAKE_OVER):
        world.write("federation.yaml", rules)
        plan = world.plan()
        said = (
            report_as_json(plan_document(plan))
            + render_plan_markdown(plan)
            + render_plan(plan, verbose=True)
        )
        assert "data.other" in said
        assert "canary" not in said
        assert "Y2FuYXJ5" not in said
    settle(world)
    assert list(world.get("secret", "key")["data"]) == ["password"]


def test_every_report_lists_what_stays(world: World) -> None:
    by_hand(world, NAMESPACE + "---" + SETTINGS)
    world.write("shop.yaml", NAMESPACE + "---" + BARE_SETTINGS)
    plan = world.plan()
    line = "data.size stays: 3  (not in Git; owned by kubectl-client-side-apply)"
    assert line in render_plan(plan)
    assert line in render_plan_markdown(plan)
    (aws, _) = plan_document(plan)["clusters"]
    change = next(c for c in aws["changes"] if c["kind"] == "ConfigMap")
    assert {
        "path": "data.size",
        "value": "3",
        "managers": ["kubectl-client-side-apply"],
        "note": "not in Git",
    } in change["stays"]


def test_a_shop_made_by_kubectl_is_adopted_without_a_single_value_changing(world: World) -> None:
    by_hand(world, SHOP)
    world.write("shop.yaml", SHOP)
    assert {change.fields for change in world.changes()} == {()}
    settle(world)


@pytest.mark.parametrize("made_anew", [True, False], ids=["recreated", "deleted"])
def test_an_object_that_was_deleted_since_it_was_planned_is_not_written(
    world: World, made_anew: bool
) -> None:
    world.write("shop.yaml", NAMESPACE + "---" + SETTINGS)
    settle(world)
    world.write("shop.yaml", NAMESPACE + "---" + SETTINGS.replace("green", "blue"))
    prepared = world.prepare()
    world.kubectl("delete", "configmap/settings", "-n", "shop")
    if made_anew:
        by_hand(world, SETTINGS.replace("green", "red"))
    result = apply_plan(prepared)
    assert [o.status for o in result.outcomes if o.cluster == "aws"] == ["failed"]
    if made_anew:
        assert world.get("configmap", "settings")["data"]["colour"] == "red"
    settle(world)
    assert world.get("configmap", "settings")["data"]["colour"] == "blue"


def test_a_claim_that_would_do_other_than_planned_writes_no_value(world: World) -> None:
    by_hand(world, NAMESPACE + "---" + SETTINGS)
    world.write("federation.yaml", TAKE_OVER)
    world.write("shop.yaml", NAMESPACE + "---" + BARE_SETTINGS)
    prepared = world.prepare()
    world.kubectl("patch", "configmap/settings", "-n", "shop", "-p", '{"data": {"size": "4"}}')
    result = apply_plan(prepared)
    (failed,) = [o for o in result.outcomes if o.status == "failed"]
    assert "would not become what was planned any more (data.size)" in failed.message
    assert world.get("configmap", "settings")["data"] == {"colour": "green", "size": "4"}
    assert [f.before for f in change_of(world, "ConfigMap").fields if f.path == "data.size"] == [
        "4"
    ]
    settle(world)


def test_a_run_that_was_cut_off_before_it_remembered_what_it_made_still_knows_it(
    world: World,
) -> None:
    world.write("shop.yaml", NAMESPACE + "---" + SETTINGS)
    world.write("federation.yaml", FEDERATION + "  adoption: {policy: Never}\n")
    settle(world)
    world.kubectl("delete", "configmap/settings", "-n", "shop")
    prepared = world.prepare()
    kill_after(prepared, 1)
    with pytest.raises(Killed):
        apply_plan(prepared)
    assert world.exists("configmap", "settings")
    settle(world)


def test_rows_without_a_uid_are_read_and_learn_it(simulated_world: World) -> None:
    world = simulated_world
    world.write("shop.yaml", NAMESPACE + "---" + SETTINGS)
    settle(world)
    secret = world.get("secret", "federation-shop", namespace="federation-system")
    rows = decode_rows(base64.b64decode(secret["data"]["records"]))
    old = "\n".join("\t".join((*key, *astuple(row)[:4])) for key, row in sorted(rows.items()))
    records = base64.b64encode(zlib.compress(old.encode())).decode()
    patch = json.dumps({"data": {"records": records}})
    world.kubectl("patch", "secret", "federation-shop", "-n", "federation-system", "-p", patch)
    assert not world.plan().has_changes
    assert world.apply().ok
    again = world.get("secret", "federation-shop", namespace="federation-system")
    assert decode_rows(base64.b64decode(again["data"]["records"])) == rows
    assert {len(row.uid) for row in rows.values()} == {36}


def test_a_default_that_leaves_git_is_told_to_stay(world: World) -> None:
    world.write(
        "shop.yaml", NAMESPACE + "---" + SERVICE.replace("port: 80,", "port: 80, protocol: TCP,")
    )
    settle(world)
    world.write(
        "shop.yaml", NAMESPACE + "---" + SERVICE.replace("spec:", "spec:\n  sessionAffinity: None")
    )
    settle(world)
    world.write("shop.yaml", NAMESPACE + "---" + SERVICE)
    change = change_of(world, "Service")
    assert change.fields == ()
    assert stays(change) == {"spec.sessionAffinity": ("None", ())}
    settle(world)


def test_a_namespace_with_a_copy_of_an_object_of_ours_is_kept(world: World) -> None:
    world.write("shop.yaml", NAMESPACE + "---" + SETTINGS)
    settle(world)
    live = world.get("configmap", "settings")
    del live["metadata"]["uid"], live["metadata"]["resourceVersion"]
    path = world.repository.parent / "backup.json"
    path.write_text(json.dumps(live))
    world.kubectl("replace", "--force", "-f", str(path))
    world.write("shop.yaml", "# all gone\n")
    plan = world.plan(max_deletions=10)
    assert [c.action for c in plan.clusters[0].changes] == []
    assert any("Namespace shop" in w and "not ours" in w for w in plan.warnings), plan.warnings


def test_a_leftover_that_does_not_go_with_git_is_named_and_stops_no_other_object(
    world: World,
) -> None:
    strategy = "spec:\n  strategy: {rollingUpdate: {maxSurge: 2}}\n  replicas"
    by_hand(world, NAMESPACE + "---" + WEB.replace("spec:\n  replicas", strategy, 1))
    recreate = WEB.replace(
        "spec:\n  replicas", "spec:\n  strategy: {type: Recreate}\n  replicas", 1
    )
    world.write("shop.yaml", "---".join([NAMESPACE, recreate, SETTINGS]))
    change = change_of(world, "Deployment")
    assert change.action is Action.FAILED
    assert "it has what Git does not say: " in change.error
    assert "spec.strategy.rollingUpdate is owned by kubectl" in change.error
    assert not world.apply().ok
    assert world.exists("configmap", "settings")
