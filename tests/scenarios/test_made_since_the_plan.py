"""What was not there when the plan was made, and is when it is carried out: a creation makes an
object, or leaves alone what somebody else made."""

from __future__ import annotations

from typing import Any

import pytest

from kubesim.fleet import Sandbox
from reconciler.api.objects import Object
from reconciler.plan.model import Action
from reconciler.run.pipeline import apply_plan
from tests.controlplane.fixtures import Fleet
from tests.controlplane.plane import ControlPlane
from tests.controlplane.process import eventually
from tests.scenarios.conftest import FEDERATION, NAMES, World
from tests.scenarios.manifests import NAMESPACE, SERVICE, SETTINGS, SHOP, WEB
from tests.scenarios.test_adoption import by_hand, change_of
from tests.scenarios.test_custom_resources import ROUTE, ROUTES
from tests.scenarios.test_writes_and_other_hands import before_each_write, faults_of

ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: theirs}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
"""
SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: token, namespace: shop}
stringData: {token: ours}
"""
KINDS = {
    "ConfigMap": (SETTINGS, 'size: "3"', 'size: "4", extra: x'),
    "Secret": (SECRET, "token: ours", "token: theirs"),
    "Deployment": (WEB, "replicas: 2", "replicas: 5"),
    "Service": (SERVICE, "8080", "9090"),
    "ClusterRole": (ROLE, "[get]", "[get, list, delete]"),
    "Route": (ROUTE, "host: web", "host: other"),
}
BARE = SETTINGS.replace('data: {colour: green, size: "3"}', "data: {theirs: x}")


def made_first(world: World, prepared: Any, text: str, *arguments: str, at: str) -> None:
    """Somebody makes an object right before the first write after which its Namespace is there."""
    done: list[int] = []

    def act(number: int) -> None:
        if not done and world.exists("namespace", "shop", namespace="default"):
            done.append(number)
            by_hand(world, text, *arguments, cluster=at)

    before_each_write(prepared, act, at)


def stated(live: Object) -> Object:
    """What people say of an object; controllers go on writing status and annotations."""
    rest = {part: value for part, value in live.items() if part not in ("metadata", "status")}
    return {**rest, "labels": live["metadata"].get("labels"), "uid": live["metadata"]["uid"]}


@pytest.mark.parametrize("how", [("--server-side",), ()], ids=["applied", "written"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_object_that_somebody_made_since_the_plan_is_not_merged_into(
    world: World, kind: str, how: tuple[str, ...]
) -> None:
    manifest, ours, theirs = KINDS[kind]
    for cluster in NAMES:
        by_hand(world, NAMESPACE, cluster=cluster)
    if kind == "Route":
        world.write("routes.yaml", ROUTES)
        assert world.apply().ok
    world.write("object.yaml", manifest)
    prepared = world.prepare()
    (change,) = [c for c in prepared.plan.clusters[0].changes if c.key.kind == kind]
    assert change.action is Action.CREATE
    by_hand(world, manifest.replace(ours, theirs), *how)
    before = stated(world.get(kind, change.key.name))
    result = apply_plan(prepared)
    (fault,) = [o for o in result.outcomes if o.status != "done"]
    assert (fault.cluster, fault.key) == ("aws", change.key)
    assert "somebody else made it since it was planned" in fault.message
    assert stated(world.get(kind, change.key.name)) == before
    # The next plan shows what becomes of it.
    change = change_of(world, kind)
    assert change.action is Action.ADOPT
    assert any(field.before not in ("", None) for field in change.fields)
    assert world.apply().ok
    assert not world.plan().has_changes


@pytest.mark.parametrize("policy", ["IfUnclaimed", "Never"])
def test_what_loses_nothing_is_adopted_where_the_rules_allow_it(world: World, policy: str) -> None:
    world.write("federation.yaml", FEDERATION + f"  adoption: {{policy: {policy}}}\n")
    world.write("shop.yaml", NAMESPACE + "---" + SETTINGS)
    prepared = world.prepare()
    made_first(world, prepared, BARE, at="aws")
    result = apply_plan(prepared)
    data = world.get("configmap", "settings")["data"]
    if policy == "Never":
        assert ["somebody else made it" in told for told in faults_of(result)] == [True]
        assert data == {"theirs": "x"}
        return
    assert result.ok, faults_of(result)
    assert data == {"theirs": "x", "colour": "green", "size": "3"}
    (told,) = [o.message for o in result.outcomes if o.message]
    assert told == "somebody else made it since it was planned: adopted, with all that it has"
    assert not world.plan().has_changes


def test_what_another_inventory_holds_is_left_to_it(world: World) -> None:
    world.write("shop.yaml", NAMESPACE + "---" + SETTINGS)
    prepared = world.prepare()
    claimed = BARE.replace(
        "namespace: shop", "namespace: shop, labels: {applyset.kubernetes.io/part-of: other}"
    )
    made_first(world, prepared, claimed, at="aws")
    (told,) = faults_of(apply_plan(prepared))
    assert "somebody else made it" in told
    assert world.get("configmap", "settings")["data"] == {"theirs": "x"}


RECREATED = WEB.replace(
    "namespace: shop",
    'namespace: shop, annotations: {federation.reconciler.dev/recreate: "true"}',
    1,
)


def _to_be_recreated(world: World, *, stated: bool) -> None:
    manifest = RECREATED if stated else RECREATED.replace("  replicas: 2\n", "")
    world.write("shop.yaml", NAMESPACE + "---" + manifest)
    assert world.apply().ok
    if not stated:
        world.kubectl("-n", "shop", "scale", "deployment/web", "--replicas=4")
    world.write("shop.yaml", NAMESPACE + "---" + manifest.replace("app: web", "app: new"))


@pytest.mark.parametrize("stated", [True, False])
def test_what_somebody_makes_in_the_middle_of_a_recreation_stays_as_it_is(
    world: World, stated: bool
) -> None:
    _to_be_recreated(world, stated=stated)
    prepared = world.prepare()
    assert [c.action for c in prepared.plan.clusters[0].changes] == [Action.RECREATE]
    theirs = WEB.replace("replicas: 2", "replicas: 7").replace("app: web", "app: other")

    def act(_number: int) -> None:
        # Before each write, also the one between the deletion and the new object.
        if not world.exists("deployment", "web"):
            by_hand(world, theirs, "--server-side")

    before_each_write(prepared, act)
    result = apply_plan(prepared)
    (told,) = [t for t in faults_of(result) if t.startswith("aws")]
    assert "somebody else made it" in told
    live = world.get("deployment", "web")
    assert live["spec"]["replicas"] == 7
    assert live["spec"]["selector"] == {"matchLabels": {"app": "other"}}


@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize("number", range(5))
def test_a_recreation_whose_answers_are_lost_knows_its_own_success(
    simulated_world: World, sandbox: Sandbox, stated: bool, number: int
) -> None:
    world = simulated_world
    _to_be_recreated(world, stated=stated)
    faults = sandbox.cluster("aws").faults
    faults.reset(when="after", count=1, skip=number, path="deployments/web", writes_only=True)
    result = world.apply()
    faults.clear()
    assert result.ok, faults_of(result)
    live = world.get("deployment", "web")["spec"]
    assert live["replicas"] == (2 if stated else 4)
    assert live["selector"] == {"matchLabels": {"app": "new"}}
    assert not world.plan().has_changes


def test_a_first_try_that_was_lost_on_the_way_is_not_taken_for_a_success(
    simulated_world: World, sandbox: Sandbox
) -> None:
    """The request never arrived, and before it was sent again somebody else made the object."""
    world = simulated_world
    world.write("shop.yaml", NAMESPACE)
    assert world.apply().ok
    world.write("shop.yaml", NAMESPACE + "---" + SETTINGS)
    prepared = world.prepare()
    sandbox.cluster("aws").faults.reset(when="before", count=1, path="configmaps/settings")
    tries: list[int] = []

    def act(number: int) -> None:
        tries.append(number)
        if len(tries) == 3:
            by_hand(world, SETTINGS.replace("green", "theirs"))

    before_each_write(prepared, act)
    (told,) = faults_of(apply_plan(prepared))
    assert "somebody else made it" in told
    assert world.get("configmap", "settings")["data"]["colour"] == "theirs"


ACCOUNT = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: default, namespace: shop}
imagePullSecrets: [{name: registry}]
"""


@pytest.mark.integration
def test_the_account_that_every_namespace_gets_may_be_in_git(
    repository: Any, fleet: Fleet, control_plane: ControlPlane
) -> None:
    """A controller makes it the moment after the Namespace was made, which no plan has seen."""
    clusters = dict(zip(NAMES, fleet(len(NAMES), controllers=True), strict=True))
    world = World(repository, control_plane.kubeconfig(clusters))
    world.write("shop.yaml", NAMESPACE + "---" + ACCOUNT + "---" + SHOP.partition("---")[2])
    prepared = world.prepare()

    def act(_number: int) -> None:
        if world.exists("namespace", "shop", namespace="default"):
            eventually(lambda: world.exists("serviceaccount", "default"), "its account is there")

    before_each_write(prepared, act)
    result = apply_plan(prepared)
    assert result.ok, faults_of(result)
    pulled = world.get("serviceaccount", "default")["imagePullSecrets"]
    assert pulled == [{"name": "registry"}]
    assert not world.plan().has_changes
