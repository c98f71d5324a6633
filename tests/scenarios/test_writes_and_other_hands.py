"""Each write meets another's: its answer is lost, its race is lost, or the object changed hands."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from kubesim.fleet import Sandbox
from reconciler.api.errors import ReconcileError
from reconciler.api.moves import MovedAway
from reconciler.api.objects import ObjectKey
from reconciler.apply.fleet import apply_to_fleet
from reconciler.plan.model import Action, RunResult
from reconciler.run.pipeline import apply_plan
from reconciler.state.memory import FleetMemory
from reconciler.state.stores import Remembered
from tests.scenarios.conftest import FEDERATION, NAMES, World
from tests.scenarios.manifests import NAMESPACE, SETTINGS, SHOP
from tests.scenarios.test_adoption import by_hand, change_of
from tests.scenarios.test_jobs import collect, finish, job

TAKE_OVER = FEDERATION + '  adoption: {takeOver: ["kubectl*"]}\n'
THEIRS = NAMESPACE + "---" + SETTINGS.replace('size: "3"', 'size: "3", extra: "x"')
LEAVING = SETTINGS.replace("settings", "leaving").replace(
    "namespace: shop", "namespace: shop, annotations: {federation.reconciler.dev/orphan: 'true'}"
)


def before_each_write(prepared: Any, act: Callable[[int], None], member: str = "aws") -> None:
    """``act`` is called with the number of each write to a member, from 0, right before it."""
    (work,) = [w for w in prepared.works if w.cluster.name == member]
    count = iter(range(10_000))
    lock = threading.Lock()

    def fence() -> None:
        with lock:
            number = next(count)
        act(number)

    work.member.fence = fence


def faults_of(result: RunResult) -> list[str]:
    return [
        f"{o.cluster} {o.action} {o.key}: {o.message}"
        for o in result.outcomes
        if o.status != "done"
    ] + list(map(str, result.errors))


# -- a Job that ran and is gone, and another one of its name -------------------------------------


@pytest.mark.parametrize("policy", ["Never", "IfUnclaimed"])
def test_another_job_of_the_name_of_one_that_ran_is_told_of(world: World, policy: str) -> None:
    world.write("job.yaml", job("# forever"))
    assert world.apply().ok
    finish(world)
    assert world.apply().ok
    collect(world)
    assert not world.plan().has_changes
    for cluster in NAMES:
        by_hand(world, job("# forever").replace("1.0", "2.0"), "--server-side", cluster=cluster)
    if policy == "Never":
        world.write("federation.yaml", FEDERATION + "  adoption: {policy: Never}\n")
    change = change_of(world, "Job")
    assert change.action is Action.FAILED
    told = "exists already" if policy == "Never" else "needs recreate"
    assert told in change.error
    image = world.get("job", "migrate")["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image.endswith(":2.0")


# -- answers that are lost, races that are lost ---------------------------------------------------


def _mixed(world: World) -> None:
    """A run with something of everything: create, update, adopt whole, orphan, prune, inventory."""
    world.write("federation.yaml", TAKE_OVER)
    world.write("shop.yaml", NAMESPACE)
    world.write("leaving.yaml", LEAVING)
    world.write("gone.yaml", SETTINGS.replace("settings", "gone"))
    world.write("kept.yaml", SETTINGS.replace("settings", "kept"))
    assert world.apply().ok
    for cluster in NAMES:
        by_hand(world, THEIRS, "--server-side", cluster=cluster)
    world.write("shop.yaml", SHOP)
    world.write("kept.yaml", SETTINGS.replace("settings", "kept").replace("green", "blue"))
    world.remove("leaving.yaml")
    world.remove("gone.yaml")


def _is_done(world: World) -> None:
    assert not world.plan().has_changes
    assert world.get("configmap", "kept")["data"]["colour"] == "blue"
    assert "extra" not in world.get("configmap", "settings")["data"]
    assert not world.exists("configmap", "gone")
    labels = world.get("configmap", "leaving")["metadata"].get("labels") or {}
    assert not any("applyset" in name for name in labels)


@pytest.mark.parametrize("number", range(12))
def test_a_write_whose_answer_is_lost_knows_its_own_success(
    simulated_world: World, sandbox: Sandbox, number: int
) -> None:
    _mixed(simulated_world)
    fault = sandbox.cluster("aws").faults.reset(
        when="after", count=1, skip=number, writes_only=True
    )
    result = simulated_world.apply()
    sandbox.cluster("aws").faults.clear()
    assert fault.hits == 1 or number > 9
    assert result.ok, faults_of(result)
    _is_done(simulated_world)


@pytest.mark.parametrize("number", range(4))
def test_a_first_inventory_whose_answer_is_lost_is_ours(
    simulated_world: World, sandbox: Sandbox, number: int
) -> None:
    simulated_world.write("shop.yaml", SHOP)
    sandbox.cluster("aws").faults.reset(when="after", count=1, skip=number, writes_only=True)
    result = simulated_world.apply()
    assert result.ok, faults_of(result)


def _touch(world: World) -> Callable[[int], None]:
    """Somebody writes to everything right before each write of ours: to annotations alone."""

    def act(number: int) -> None:
        for name in ("kept", "settings", "leaving", "gone"):
            world.kubectl(
                *("-n", "shop", "annotate", "--overwrite", "configmap", name, f"seen=at-{number}"),
                check=False,
            )

    return act


def test_a_busy_object_is_written_to_all_the_same(world: World) -> None:
    _mixed(world)
    prepared = world.prepare()
    before_each_write(prepared, _once_each(_touch(world)))
    result = apply_plan(prepared)
    assert result.ok, faults_of(result)
    assert not world.exists("configmap", "gone")
    assert world.get("configmap", "kept")["data"]["colour"] == "blue"
    assert world.get("configmap", "settings")["metadata"]["annotations"]["seen"]


def _once_each(act: Callable[[int], None], every: int = 3) -> Callable[[int], None]:
    return lambda number: act(number) if number % every == 0 else None


# -- what changed since the plan --------------------------------------------------------------


WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "registry.example/web:1.0"}]}
"""


def _scale(world: World, count: int) -> None:
    """As an autoscaler and ``kubectl scale`` do."""
    world.kubectl("-n", "shop", "scale", "deployment/web", f"--replicas={count}")


@pytest.mark.parametrize("again", [8, 5])
def test_a_count_that_was_set_since_the_plan_is_not_overwritten(world: World, again: int) -> None:
    world.write("web.yaml", NAMESPACE + "---" + WEB)
    assert world.apply().ok
    _scale(world, 5)
    prepared = world.prepare()
    (change,) = [c for c in prepared.plan.clusters[0].changes if c.key.kind == "Deployment"]
    assert (change.force, [f.before for f in change.fields]) == (True, [5])
    _scale(world, 7)
    _scale(world, again)
    result = apply_plan(prepared)
    if again == 5:
        assert result.ok, faults_of(result)
        assert world.get("deployment", "web")["spec"]["replicas"] == 3
        return
    (fault,) = [o for o in result.outcomes if o.status == "failed"]
    assert "spec.replicas" in fault.message
    assert world.get("deployment", "web")["spec"]["replicas"] == 8


def test_a_field_that_others_changed_since_the_plan_is_not_overwritten(world: World) -> None:
    world.write("shop.yaml", NAMESPACE + "---" + SETTINGS)
    assert world.apply().ok

    def edit(colour: str) -> None:
        said = json.dumps({"data": {"colour": colour}})
        world.kubectl("-n", "shop", "patch", "configmap", "settings", "-p", said)

    edit("red")
    prepared = world.prepare()
    edit("black")
    result = apply_plan(prepared)
    (fault,) = [o for o in result.outcomes if o.status == "failed"]
    assert "data.colour" in fault.message
    assert world.get("configmap", "settings")["data"]["colour"] == "black"


# -- a claim that the apply did not follow -------------------------------------------------------


def _owners(world: World) -> list[tuple[str, str, str]]:
    """Who owns what of ``settings``."""
    path = ("get", "configmap/settings", "-n", "shop", "-o", "json", "--show-managed-fields")
    entries = json.loads(world.kubectl(*path))["metadata"]["managedFields"]
    return sorted(
        (e["manager"], e["operation"], json.dumps(e["fieldsV1"], sort_keys=True)) for e in entries
    )


def _to_be_taken_over(world: World) -> None:
    world.write("federation.yaml", TAKE_OVER)
    for cluster in NAMES:
        by_hand(world, THEIRS, "--server-side", cluster=cluster)
    world.write("shop.yaml", NAMESPACE + "---" + SETTINGS)


@pytest.mark.parametrize("when", ["refused", "lost-before", "lost-after"])
@pytest.mark.parametrize("number", range(4))
def test_a_takeover_that_fails_half_way_is_undone_or_done(
    simulated_world: World, sandbox: Sandbox, number: int, when: str
) -> None:
    """Whatever fails of its writes, and whether dry or not: the next plan says what goes."""
    world, faults = simulated_world, sandbox.cluster("aws").faults
    _to_be_taken_over(world)
    prepared = world.prepare()
    before = _owners(world)
    at: dict[str, Any] = {"method": "PATCH", "path": "configmaps/settings", "skip": number}
    if when == "refused":
        faults.error(403, count=1, **at)
    else:
        # As often as it is tried.
        faults.reset(when="before" if when == "lost-before" else "after", count=2, **at)
    result = apply_plan(prepared)
    faults.clear()
    data = world.get("configmap", "settings")["data"]
    if not result.ok and "extra" in data and when == "refused":
        assert _owners(world) == before
    if "extra" in data:
        assert "data.extra" in {f.path for f in change_of(world, "ConfigMap").fields}
    assert world.apply().ok
    assert "extra" not in world.get("configmap", "settings")["data"]
    assert not world.plan().has_changes


def test_a_takeover_that_would_do_something_else_by_now_leaves_no_trace(world: World) -> None:
    _to_be_taken_over(world)
    prepared = world.prepare()
    said = json.dumps({"data": {"extra": "theirs"}})
    world.kubectl(
        *("-n", "shop", "patch", "configmap", "settings", "-p", said, "--field-manager=operator")
    )
    before = _owners(world)
    result = apply_plan(prepared)
    assert not result.ok
    assert world.get("configmap", "settings")["data"]["extra"] == "theirs"
    assert _owners(world) == before


# -- what waits, and what stops ------------------------------------------------------------------


@pytest.mark.parametrize("why", ["", "DNS web.example A: the zone was not written"])
def test_fewer_replicas_wait_for_the_names_that_lead_to_them(
    simulated_world: World, why: str
) -> None:
    world = simulated_world
    world.write("shop.yaml", SHOP)
    assert world.apply().ok
    world.write("shop.yaml", SHOP.replace("replicas: 2", "replicas: 1").replace("green", "blue"))
    prepared = world.prepare()
    result = apply_to_fleet(prepared.plan, prepared.works, prepared.placed, names=lambda: why)
    waiting = [o for o in result.outcomes if o.status == "skipped"]
    assert {str(o.key) for o in waiting} == ({"Deployment.apps shop/web"} if why else set())
    assert all("scaling down waits: DNS web.example" in o.message for o in waiting)
    assert world.get("deployment", "web")["spec"]["replicas"] == (2 if why else 1)
    # What is no scale-down goes on.
    assert world.get("configmap", "settings")["data"]["colour"] == "blue"
    assert world.apply().ok
    assert world.get("deployment", "web")["spec"]["replicas"] == 1


class Unwritable:
    """A memory that can be read only, as when the host cluster refuses to write."""

    where = "ConfigMap federation-system/memory"

    def read(self) -> Remembered:
        return Remembered(FleetMemory())

    def write(self, memory: FleetMemory, version: str) -> str:
        raise ReconcileError("forbidden")

    def namesakes(self) -> tuple[str, ...]:
        return ()


MOVING = ObjectKey("apps", "Deployment", "default", "web")


@pytest.mark.parametrize("moves", [(), (MovedAway("aws", MOVING),)])
def test_nothing_moves_by_what_cannot_be_remembered(
    simulated_world: World, moves: tuple[MovedAway, ...]
) -> None:
    world = simulated_world
    world.write("shop.yaml", SHOP)
    prepared = world.prepare()
    run_memory = replace(
        prepared.run_memory,
        store=Unwritable(),
        memory=FleetMemory(commit="a"),
        before=FleetMemory(),
    )
    prepared = replace(prepared, run_memory=run_memory, plan=replace(prepared.plan, moves=moves))
    if moves:
        with pytest.raises(ReconcileError, match="nothing was written"):
            apply_plan(prepared)
        assert not world.exists("configmap", "settings")
        return
    result = apply_plan(prepared)
    assert "could not be remembered" in str(result.errors[0])
    assert world.exists("configmap", "settings")
