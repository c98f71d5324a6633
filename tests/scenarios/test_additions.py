"""What people's tools add to objects of ours is seen, and removed where the rules say so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reconciler.plan.model import Action, Addition, Plan
from tests.scenarios.conftest import FEDERATION, World
from tests.scenarios.manifests import NAMESPACE, SERVICE, SETTINGS, WEB

SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: login, namespace: shop}
data: {user: YWRtaW4=}
"""
SHOP = "---".join([NAMESPACE, WEB, SETTINGS, SERVICE, SECRET])
CANARY = "correct horse battery staple"
TEMPLATE = "spec.template.spec"
SIDECAR = {"name": "shell", "image": "registry.example/shell:1"}
ADMIN = {"name": "admin", "port": 9090, "protocol": "TCP", "targetPort": 9090}
TOLERATION = {"key": "edge", "operator": "Exists"}


def patch(kind: str, name: str, kind_of: str, body: Any) -> tuple[str, ...]:
    return ("patch", kind, name, f"--type={kind_of}", "-p", json.dumps(body))


def pods(body: Any) -> Any:
    return {"spec": {"template": {"spec": body}}}


HANDS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "a variable": (
        ("set", "env", "deployment/web", "DEBUG=1"),
        "kubectl-set",
        f"{TEMPLATE}.containers[name=web].env[name=DEBUG].value",
    ),
    "a container": (
        patch("deployment", "web", "strategic", pods({"containers": [SIDECAR]})),
        "kubectl-patch",
        f"{TEMPLATE}.containers[name=shell].image",
    ),
    "a port": (
        patch("service", "web", "strategic", {"spec": {"ports": [ADMIN]}}),
        "kubectl-patch",
        "spec.ports[name=admin].targetPort",
    ),
    "a toleration": (
        patch("deployment", "web", "merge", pods({"tolerations": [TOLERATION]})),
        "kubectl-patch",
        f"{TEMPLATE}.tolerations",
    ),
    "a key": (
        patch("configmap", "settings", "merge", {"data": {"extra": "1"}}),
        "kubectl-patch",
        "data.extra",
    ),
    "a label": (
        ("label", "configmap", "settings", "team=a"),
        "kubectl-label",
        "metadata.labels.team",
    ),
    "an annotation": (
        ("annotate", "service", "web", "example.com/note=x"),
        "kubectl-annotate",
        'metadata.annotations["example.com/note"]',
    ),
    "a pause": (("rollout", "pause", "deployment/web"), "kubectl-rollout", "spec.paused"),
}


@pytest.fixture
def shop(world: World) -> World:
    world.write("shop.yaml", SHOP)
    assert world.apply().ok
    return world


def says(world: World, drift: str) -> None:
    world.write("federation.yaml", FEDERATION + f"  drift: {drift}\n")


def by_hand(world: World, *arguments: str) -> None:
    world.kubectl("-n", "shop", *arguments)


def added(plan: Plan, cluster: str = "aws") -> list[Addition]:
    found = next(c for c in plan.clusters if c.name == cluster)
    return [field for one in found.additions for field in one.fields]


def state(world: World) -> dict[str, Any]:
    """What the objects are, but for what servers and controllers count up."""
    found = {}
    for kind, name in (
        ("deployment", "web"),
        ("service", "web"),
        ("configmap", "settings"),
        ("secret", "login"),
    ):
        live = world.get(kind, name)
        metadata = {k: live["metadata"].get(k) for k in ("labels", "annotations", "finalizers")}
        (metadata["annotations"] or {}).pop("deployment.kubernetes.io/revision", None)
        rest = {k: v for k, v in live.items() if k not in ("metadata", "status")}
        found[f"{kind}/{name}"] = {**rest, "metadata": metadata}
    return found


@pytest.mark.parametrize("hand", HANDS.values(), ids=HANDS.keys())
def test_an_addition_is_listed_and_nothing_is_written(
    shop: World, hand: tuple[tuple[str, ...], str, str]
) -> None:
    command, manager, path = hand
    by_hand(shop, *command)
    there = state(shop)
    plan = shop.plan()
    assert not plan.has_changes
    assert not plan.has_failures
    found = {one.path: one for one in added(plan)}
    assert found[path].managers == (manager,)  # type: ignore[index]
    assert found[path].time  # type: ignore[index]
    assert plan.summary()["additions"] == len(found)
    assert added(plan, "gcp") == []
    assert shop.apply().ok
    assert state(shop) == there
    assert added(shop.plan()) == added(plan)


def test_what_git_says_and_somebody_changed_is_drift_and_no_addition(shop: World) -> None:
    by_hand(shop, "set", "image", "deployment/web", "web=web:by-hand")
    by_hand(shop, "set", "env", "deployment/web", "DEBUG=1")
    plan = shop.plan()
    (change,) = [change for _, change in plan.writes()]
    assert [field.path.rpartition(".")[2] for field in change.fields] == ["image"]
    assert [one.path for one in added(plan)] == [HANDS["a variable"][2]]


@pytest.mark.parametrize("hand", HANDS.values(), ids=HANDS.keys())
def test_a_removal_is_planned_and_leaves_what_there_was(
    shop: World, hand: tuple[tuple[str, ...], str, str]
) -> None:
    command, manager, path = hand
    before = state(shop)
    by_hand(shop, *command)
    says(shop, "{additions: Remove}")
    plan = shop.plan()
    (change,) = next(c for c in plan.clusters if c.name == "aws").changes
    assert (change.action, change.reason) == (Action.UPDATE, f"drift: added by {manager}")
    assert path in {field.path for field in change.fields}
    assert added(plan) == []
    assert shop.apply().ok
    assert state(shop) == before
    after = shop.plan()
    assert not after.has_changes
    assert added(after) == []


def test_a_secret_key_is_listed_without_its_value(shop: World) -> None:
    by_hand(shop, *patch("secret", "login", "merge", {"stringData": {"pin": CANARY}}))
    (field,) = added(shop.plan())
    assert (field.path, field.value) == ("data.pin", "***")
    says(shop, "{additions: Remove}")
    assert shop.apply().ok
    assert shop.get("secret", "login")["data"] == {"user": "YWRtaW4="}


def test_of_an_item_that_is_ours_as_well_only_their_fields_go(shop: World) -> None:
    """Their entry has our container's key; ours stays, with all that Git says of it."""
    before = state(shop)
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
        **pods(
            {
                "containers": [
                    {
                        "name": "web",
                        "image": "registry.example/web:1.0",
                        "env": [{"name": "MODE", "value": "fast"}, {"name": "MINE", "value": "1"}],
                        "resources": {"limits": {"memory": "1Gi"}},
                    }
                ]
            }
        ),
    }
    path = shop.repository.parent / "theirs.json"
    path.write_text(json.dumps(body))
    by_hand(shop, "apply", "--server-side", "-f", str(path))
    says(shop, "{additions: Remove}")
    (change,) = shop.changes()
    assert {field.path for field in change.fields} == {
        f"{TEMPLATE}.containers[name=web].env[name=MINE].name",
        f"{TEMPLATE}.containers[name=web].env[name=MINE].value",
        f"{TEMPLATE}.containers[name=web].resources.limits.memory",
    }
    assert shop.apply().ok
    assert state(shop) == before
    assert not shop.plan().has_changes


def test_a_second_item_with_our_key_ends_as_ours_alone(shop: World) -> None:
    before = state(shop)
    twice = [{"name": "MODE", "value": "slow"}]
    path = "/spec/template/spec/containers/0/env/-"
    by_hand(
        shop, *patch("deployment", "web", "json", [{"op": "add", "path": path, "value": twice[0]}])
    )
    says(shop, "{additions: Remove}")
    assert shop.apply().ok
    assert state(shop) == before
    assert not shop.plan().has_changes


def test_a_restart_by_hand_is_not_undone(shop: World) -> None:
    by_hand(shop, "rollout", "restart", "deployment/web")
    by_hand(shop, "set", "env", "deployment/web", "DEBUG=1")
    assert [one.path for one in added(shop.plan())] == [HANDS["a variable"][2]]
    says(shop, "{additions: Remove}")
    assert shop.apply().ok
    metadata = shop.get("deployment", "web")["spec"]["template"]["metadata"]
    assert "kubectl.kubernetes.io/restartedAt" in metadata["annotations"]
    assert not shop.plan().has_changes
    path = "/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt"
    says(shop, f"{{rules: [{{paths: [{path}], additions: Remove}}]}}")
    assert shop.apply().ok
    metadata = shop.get("deployment", "web")["spec"]["template"]["metadata"]
    assert "annotations" not in metadata


def test_finalizers_counts_and_our_own_marks_are_reported_and_stay(shop: World) -> None:
    shop.write("shop.yaml", SHOP.replace("  replicas: 2\n", ""))
    assert shop.apply().ok
    marks = {"federation.reconciler.dev/protect": "true"}
    body = {"metadata": {"annotations": marks, "finalizers": ["example.com/a"]}}
    by_hand(shop, *patch("configmap", "settings", "merge", body))
    by_hand(shop, *patch("deployment", "web", "merge", {"spec": {"replicas": 3}}))
    says(shop, "{additions: Remove}")
    plan = shop.plan()
    assert not plan.has_changes
    assert {one.path for one in added(plan)} == {
        'metadata.annotations["federation.reconciler.dev/protect"]',
        "metadata.finalizers[=example.com/a]",
        "spec.replicas",
    }


def test_controllers_and_subresources_are_never_touched(shop: World) -> None:
    by_hand(shop, "scale", "deployment/web", "--replicas=4")
    by_hand(
        shop,
        *patch("configmap", "settings", "merge", {"data": {"k": "1"}}),
        "--field-manager=operator",
    )
    shop.write("shop.yaml", SHOP.replace("  replicas: 2\n", ""))
    says(shop, "{additions: Remove}")
    assert shop.apply().ok
    assert shop.get("deployment", "web")["spec"]["replicas"] == 4
    assert shop.get("configmap", "settings")["data"]["k"] == "1"
    plan = shop.plan()
    assert not plan.has_changes
    assert added(plan) == []
    says(shop, '{additions: Ignore, rules: [{managers: ["oper*"], additions: Remove}]}')
    assert shop.apply().ok
    assert "k" not in shop.get("configmap", "settings")["data"]


def test_the_closest_rule_decides(shop: World) -> None:
    by_hand(shop, *HANDS["a key"][0])
    by_hand(shop, *HANDS["a label"][0])
    by_hand(shop, *HANDS["a variable"][0])

    def planned(drift: str, settings: str = SETTINGS) -> tuple[set[str], set[str]]:
        says(shop, drift)
        shop.write("shop.yaml", SHOP.replace(SETTINGS, settings))
        plan = shop.plan()
        changes = next(c for c in plan.clusters if c.name == "aws").changes
        paths = {field.path for change in changes for field in change.fields}
        going = {
            path for path in paths if not path.endswith(('reconciler.dev/additions"]', ".name"))
        }
        return going, {one.path for one in added(plan)}

    key, label, variable = "data.extra", "metadata.labels.team", HANDS["a variable"][2]
    assert planned("{additions: Ignore}") == (set(), set())
    rules = "{additions: Remove, rules: [{kinds: [ConfigMap], additions: Report}]}"
    assert planned(rules) == ({variable}, {key, label})
    rules = "{additions: Remove, rules: [{paths: [/metadata/labels/*], additions: Ignore}]}"
    assert planned(rules) == ({variable, key}, set())
    marked = SETTINGS.replace(
        "namespace: shop}",
        "namespace: shop, annotations: {federation.reconciler.dev/additions: Remove}}",
    )
    assert planned("{additions: Report}", marked) == ({key, label}, {variable})
    rules = (
        "{rules: [{kinds: [ConfigMap], additions: Ignore}, {paths: [/data], additions: Report}]}"
    )
    assert planned(rules, marked) == ({label}, {key, variable})


def test_a_placement_may_say_otherwise(shop: World) -> None:
    by_hand(shop, *HANDS["a key"][0])
    by_hand(shop, *HANDS["a variable"][0])
    shop.write(
        "placement.yaml",
        """
        apiVersion: federation.reconciler.dev/v1alpha1
        kind: Placement
        metadata: {name: settings}
        spec:
          select: [{kind: ConfigMap}]
          drift: {additions: Remove}
        """,
    )
    plan = shop.plan()
    (change,) = next(c for c in plan.clusters if c.name == "aws").changes
    assert [field.path for field in change.fields] == ["data.extra"]
    assert [one.path for one in added(plan)] == [HANDS["a variable"][2]]


def test_what_was_added_since_the_plan_stays_and_what_was_planned_goes(shop: World) -> None:
    by_hand(shop, *HANDS["a key"][0])
    says(shop, "{additions: Remove}")
    prepared = shop.prepare()
    by_hand(shop, *patch("configmap", "settings", "merge", {"data": {"later": "1"}}))
    from reconciler.run.pipeline import apply_plan

    assert apply_plan(prepared).ok
    assert set(shop.get("configmap", "settings")["data"]) == {"colour", "size", "later"}
    (change,) = shop.changes()
    assert [field.path for field in change.fields] == ["data.later"]


EMPTY = {
    "a security context": ("securityContext: {}", {"securityContext": {"runAsUser": 7}}),
    "a list of volumes": ("volumes: []", {"volumes": [{"name": "v", "emptyDir": {}}]}),
    "a directory": (
        "volumes: [{name: v, emptyDir: {}}]",
        {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}]},
    ),
    "a selector": ("nodeSelector: {}", {"nodeSelector": {"disk": "ssd"}}),
    "an affinity": ("affinity: {}", {"affinity": {"nodeAffinity": {}}}),
}


@pytest.mark.parametrize("empty", EMPTY.values(), ids=EMPTY.keys())
def test_what_git_has_empty_ends_as_git_says(world: World, empty: tuple[str, Any]) -> None:
    said, body = empty
    web = WEB.replace("      containers:", f"      {said}\n      containers:")
    world.write("shop.yaml", SHOP.replace(WEB, web))
    assert world.apply().ok
    before = state(world)
    by_hand(world, *patch("deployment", "web", "strategic", pods(body)))
    says(world, "{additions: Remove}")
    assert world.apply().ok
    assert state(world) == before
    assert not world.plan().has_changes
    assert added(world.plan()) == []


def test_what_the_server_sets_again_is_nobodys_then(shop: World) -> None:
    before = state(shop)
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
        **pods({"terminationGracePeriodSeconds": 30}),
    }
    path = shop.repository.parent / "theirs.json"
    path.write_text(json.dumps(body))
    by_hand(shop, "apply", "--server-side", "-f", str(path))
    assert [one.path for one in added(shop.plan())] == [f"{TEMPLATE}.terminationGracePeriodSeconds"]
    says(shop, "{additions: Remove}")
    assert shop.apply().ok
    assert state(shop) == before
    plan = shop.plan()
    assert not plan.has_changes
    assert added(plan) == []


def test_objects_that_are_adopted_lose_what_people_added_at_once(world: World) -> None:
    path = world.repository.parent / "theirs.yaml"
    extra = SETTINGS.replace("colour: green,", "colour: green, extra: x,")
    path.write_text("---".join([NAMESPACE, extra]))
    world.kubectl("apply", "-f", str(path))
    world.write("shop.yaml", "---".join([NAMESPACE, SETTINGS]))
    adopted = {change.key.kind: change for change in world.changes()}["ConfigMap"]
    assert "data.extra" in {one.path for one in adopted.stays}
    says(world, "{additions: Remove}")
    adopted = {change.key.kind: change for change in world.changes()}["ConfigMap"]
    assert [field.path for field in adopted.fields] == ["data.extra"]
    assert world.apply().ok
    assert world.get("configmap", "settings")["data"] == {"colour": "green", "size": "3"}
    assert not world.plan().has_changes


def test_the_map_that_a_person_made_is_no_addition_once_its_keys_are_ours(world: World) -> None:
    settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: shop}\n"
    path = world.repository.parent / "theirs.yaml"
    path.write_text("---\n".join([NAMESPACE, settings + 'data: {size: "1"}\n']))
    world.kubectl("create", "--field-manager=kubectl-edit", "-f", str(path))
    says(world, "{additions: Remove}")
    ours = settings + 'data: {size: "1", shape: round}\n'
    world.write("shop.yaml", "---\n".join([NAMESPACE, ours]))
    assert world.apply().ok
    assert world.get("configmap", "settings")["data"] == {"size": "1", "shape": "round"}
    assert not next(c for c in world.plan().clusters if c.name == "aws").changes
