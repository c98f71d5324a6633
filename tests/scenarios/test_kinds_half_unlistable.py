"""One kind that answers one request and not the next: it costs that kind alone, and is named, in
whatever step of a plan the member refuses to tell of it, and no command waits for long."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from kubesim.fleet import Sandbox
from reconciler.plan.model import Action, ClusterPlan
from reconciler.run.pipeline import apply_plan
from tests.scenarios.conftest import World
from tests.scenarios.desk import Desk
from tests.scenarios.manifests import NAMESPACE, SERVICE, SETTINGS, SHOP, WEB
from tests.scenarios.test_custom_resources import ROUTE, ROUTES

FAILED_LIST = "Route (example.com/v1) could not be listed"
DEAD = 'conversion webhook for example.com/v1, Kind=Route failed: Post "https://convert/": EOF'


SHARED = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: shared}
spec: {select: [{kind: Deployment}], replicas: {mode: Divided}}
"""


def routes(count: int) -> str:
    return "---".join(ROUTE.replace("name: web", f"name: r{n}") for n in range(count))


def strangers(world: World, count: int) -> None:
    path = world.repository.parent / "strangers.yaml"
    path.write_text("---".join(ROUTE.replace("name: web", f"name: x{n}") for n in range(count)))
    world.kubectl("apply", "--server-side", "-f", str(path))


@pytest.fixture
def world(simulated_world: World) -> World:
    """The kind is there, none of ours is yet, and there is something else to do."""
    simulated_world.write("shop.yaml", SHOP)
    simulated_world.write("routes.yaml", ROUTES)
    assert simulated_world.apply().ok
    simulated_world.write("shop.yaml", SHOP.replace("8080", "9090"))
    return simulated_world


def aws_of(world: World) -> ClusterPlan:
    return next(one for one in world.plan().clusters if one.name == "aws")


def expired(sandbox: Sandbox) -> None:
    faults = sandbox.cluster("aws").faults
    faults.small_pages(2)
    faults.expire_lists(path="/routes")


def refused_by_name(code: int, message: str = "", **more: float) -> Callable[[Sandbox], None]:
    def act(sandbox: Sandbox) -> None:
        faults = sandbox.cluster("aws").faults
        for path in ("/routes/", r"/namespaces/shop/routes\?"):
            faults.error(code, path=path, method="GET", message=message, **more)

    return act


FAULTS = {
    "a page token that always expires": expired,
    "a dead conversion webhook": refused_by_name(500, DEAD),
    "no right to get": refused_by_name(403),
    "put off for minutes": refused_by_name(429, retry_after=240),
    "a dead aggregated API": refused_by_name(503),
}


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_kind_whose_objects_cannot_be_looked_for_by_name_costs_that_kind(
    world: World, sandbox: Sandbox, fault: str, count: int
) -> None:
    strangers(world, 5)
    world.write("wanted.yaml", routes(count))
    FAULTS[fault](sandbox)
    began = time.monotonic()
    plan = aws_of(world)
    if fault.startswith("a page") and count == 1:
        assert {c.action for c in plan.changes} == {Action.CREATE, Action.UPDATE}
        return
    assert plan.reachable, plan.problem
    assert FAILED_LIST in plan.prune_blocked
    by_kind = {c.key.kind: c for c in plan.changes}
    assert by_kind["Route"].action is Action.FAILED
    assert FAILED_LIST in by_kind["Route"].error
    assert by_kind["Service"].action is Action.UPDATE
    assert not world.apply().ok
    port = world.get("service", "web")["spec"]["ports"][0]
    assert port["targetPort"] == 9090
    assert time.monotonic() - began < 60
    sandbox.cluster("aws").faults.clear()
    assert not world.exists("routes.example.com", "r0")
    assert world.apply().ok
    assert not world.plan().has_changes


def test_a_page_token_that_expires_once_starts_the_list_over(
    world: World, sandbox: Sandbox
) -> None:
    strangers(world, 5)
    world.write("wanted.yaml", routes(5))
    faults = sandbox.cluster("aws").faults
    faults.small_pages(2)
    fault = faults.expire_lists(path="/routes", count=1, skip=1)
    assert world.apply().ok
    assert fault.hits == 1


def test_replicas_that_are_shared_out_leave_the_other_kinds_alone(
    simulated_world: World, sandbox: Sandbox
) -> None:
    """What runs already is looked for by name; what cannot be looked for is not counted as none."""
    world = simulated_world
    world.write("shop.yaml", NAMESPACE + "---" + SETTINGS)
    assert world.apply().ok
    world.write("placement.yaml", SHARED)
    world.write("shop.yaml", NAMESPACE + "---" + WEB + "---" + SETTINGS.replace("green", "blue"))
    sandbox.cluster("aws").faults.error(500, path="/deployments/web", method="GET")
    plan = aws_of(world)
    assert plan.reachable, plan.problem
    by_kind = {c.key.kind: c for c in plan.changes}
    assert by_kind["ConfigMap"].action is Action.UPDATE
    assert "Deployment (apps/v1) could not be listed" in by_kind["Deployment"].error


def test_the_kind_that_keeps_a_namespace_from_being_looked_into_is_named(
    world: World, sandbox: Sandbox
) -> None:
    """A Namespace takes along objects of any kind, ours or not."""
    world.write("shop.yaml", SERVICE.replace("namespace: shop", "namespace: default"))
    sandbox.cluster("aws").faults.error(500, path="/routes", message=DEAD)
    changes = world.changes(max_deletions=9)
    (kept,) = [c for c in changes if c.key.kind == "Namespace"]
    assert kept.action is Action.FAILED
    assert "Route (example.com/v1)" in kept.error
    assert [c for c in changes if c.action is Action.PRUNE and c.key.kind == "ConfigMap"]


def test_a_discovery_that_fails_is_named(world: World, sandbox: Sandbox) -> None:
    world.write("wanted.yaml", routes(1))
    sandbox.cluster("aws").faults.error(500, path=r"^/apis\?")
    plan = aws_of(world)
    assert "what it serves (/apis) could not be listed" in plan.problem


@pytest.mark.parametrize("command", ["--plan", "", "status", "clusters", "survivability --live"])
def test_no_command_waits_for_a_kind_that_is_put_off_for_minutes(
    world: World, sandbox: Sandbox, command: str
) -> None:
    world.write("wanted.yaml", routes(2))
    sandbox.cluster("aws").faults.error(429, path="/routes", retry_after=240)
    desk = Desk(world, world.repository.parent / "plan.json")
    began = time.monotonic()
    done = desk.reconcile(*command.split())
    assert time.monotonic() - began < 45
    if not command.startswith("survivability"):
        assert FAILED_LIST in " ".join((done.stdout + done.stderr).split())
        assert done.returncode == 1
    if not command:
        assert world.get("service", "web")["spec"]["ports"][0]["targetPort"] == 9090


def test_an_aggregated_api_that_is_stale_in_discovery_is_named(
    world: World, sandbox: Sandbox
) -> None:
    world.write("wanted.yaml", routes(2))
    assert apply_plan(world.prepare()).ok
    world.remove("wanted.yaml")
    sandbox.cluster("aws").faults.fail_group("example.com/v1")
    plan = aws_of(world)
    assert plan.reachable
    assert "Route (example.com/v1)" in plan.prune_blocked
    assert not [c for c in plan.changes if c.action is Action.PRUNE]
    world.apply()
    sandbox.cluster("aws").faults.clear()
    pruned = [c.key.name for c in aws_of(world).changes if c.action is Action.PRUNE]
    assert sorted(pruned) == ["r0", "r1"]
