"""Kubernetes Events of a run: a series for what lasts, and never a value of an object."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from kubesim.fleet import Sandbox
from reconciler.api.objects import Object
from reconciler.api.options import RunOptions
from reconciler.cluster.client import Member
from reconciler.cluster.connect import Connector
from reconciler.plan.model import Action
from reconciler.report import events
from reconciler.report.events import Regarding, event_drafts_of, write_host_events
from reconciler.report.finished_run import FinishedRun, failures_of_result
from reconciler.run.pipeline import apply_plan, make_plan
from reconciler.state.memory import Phase
from reconciler.state.stores import config_map_key
from tests.controlplane.fixtures import Fleet
from tests.controlplane.plane import ControlPlane
from tests.scenarios.conftest import World
from tests.unit.report.changes import CANARY
from tests.unit.report.fleets import run_of_web_shop
from tests.unit.report.hostile import run_of_hostile
from tests.unit.report.runs import STARTED, plan, run

REGARDING = Regarding("v1", config_map_key("shop", "federation-system"), "uid-1")
NAMESPACE: Object = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": "federation-system"},
}
SHOP = """
apiVersion: v1
kind: Secret
metadata: {name: token, namespace: default}
stringData: {token: CANARY-in-a-secret}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data: {colour: green}
"""


@pytest.fixture
def simulated_host() -> Iterator[Member]:
    with Sandbox(["host"]) as sandbox:
        sandbox.cluster("host").create(NAMESPACE)
        yield Connector.from_file(str(sandbox.kubeconfig), "federation-system").host()


@pytest.fixture
def real_host(fleet: Fleet, control_plane: ControlPlane) -> Member:
    (cluster,) = fleet(1)
    cluster.call("POST", "/api/v1/namespaces", NAMESPACE)
    file = control_plane.kubeconfig({"host": cluster})
    return Connector.from_file(str(file), "federation-system").host()


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.integration)])
def host(request: pytest.FixtureRequest) -> Member:
    found: Member = request.getfixturevalue(f"{request.param}_host")
    return found


def told(host: Member, finished: FinishedRun, now: float = STARTED, **before: Phase) -> None:
    named = {name.replace("_", "-"): phase for name, phase in before.items()}
    assert write_host_events(host, REGARDING, event_drafts_of(finished, named), now) == []


def in_host(host: Member) -> list[Object]:
    found = host.list_objects(events.EVENTS, namespace="federation-system")
    return sorted(found, key=lambda event: str(event["reason"]))


def test_a_failure_that_lasts_is_one_event_with_a_count(host: Member) -> None:
    for minute in range(3):
        told(host, run(None, "aws-eu"), STARTED + 60 * minute)
    (event,) = in_host(host)
    assert (event["type"], event["reason"]) == ("Warning", "RunFailed")
    assert event["note"] == "aws-eu: connection refused"
    assert event["series"]["count"] == 3
    assert event["series"]["lastObservedTime"] > event["eventTime"]
    assert event["regarding"]["name"] == "federation-shop-memory"
    assert event["reportingController"] == "federation-reconciler"


def test_an_outage_and_the_return_are_told_of(host: Member) -> None:
    told(host, run(plan(aws_eu=Phase.DOWN)), aws_eu=Phase.UP)
    told(host, run(plan(aws_eu=Phase.DOWN)), aws_eu=Phase.DOWN)
    told(host, run(plan(aws_eu=Phase.RETURNING)), aws_eu=Phase.DOWN)
    told(host, run(plan(aws_eu=Phase.UP)), aws_eu=Phase.RETURNING)
    back, down = in_host(host)
    assert (back["type"], back["reason"]) == ("Normal", "ClusterBack")
    assert (down["type"], down["reason"]) == ("Warning", "ClusterDown")
    assert down["series"]["count"] == 2
    assert "connection refused" in down["note"]


def test_what_was_pruned_is_told_by_name(host: Member) -> None:
    result = run_of_web_shop()
    done = tuple(replace(outcome, status="done") for outcome in result.outcomes)
    told(host, run(result.plan, result=replace(result, outcomes=done)))
    pruned = [event["note"] for event in in_host(host) if event["reason"] == "Pruned"]
    gone = [str(o.key) for o in done if o.action is Action.PRUNE]
    assert pruned == [f"pruned 1 object from gcp-eu: {gone[0]}"]


def test_hostile_words_and_long_ones_are_accepted_by_the_server(host: Member) -> None:
    result = run_of_hostile()
    told(host, run(result.plan, result=result, failures=failures_of_result(result)))
    long = plan(**{f"cluster_{'x' * 40}_{n}": Phase.UP for n in range(80)})
    told(host, run(long, *(c.name for c in long.clusters)))
    events = in_host(host)
    assert events
    for event in events:
        assert len(event["note"].encode()) <= 1024


def test_a_run_in_which_nothing_happens_has_no_events(host: Member) -> None:
    told(host, run(), aws_eu=Phase.UP)
    assert in_host(host) == []


def test_a_host_that_refuses_is_a_warning(simulated_host: Member) -> None:
    nowhere = Regarding("v1", config_map_key("shop", "missing"))
    said = write_host_events(simulated_host, nowhere, event_drafts_of(run(None, "aws-eu"), {}), 1.0)
    assert len(said) == 1
    assert said[0].startswith("no Events were written in the host cluster: ")


def applied(world: World, now: float) -> list[str]:
    prepared = make_plan(RunOptions(repo=str(world.repository), kubeconfig=str(world.kubeconfig)))
    result = apply_plan(prepared)
    assert result.ok
    return [w for work in prepared.works for w in events.write_member_events(result, work, now)]


def notes(world: World) -> dict[str, str]:
    """The newest Event of each object in the member, by the object's name."""
    items = json.loads(world.kubectl("get", "events.events.k8s.io", "-A", "-o", "json"))["items"]
    return {e["regarding"]["name"]: e["note"] for e in sorted(items, key=lambda e: e["eventTime"])}


def test_changed_objects_have_events_of_their_own(world: World) -> None:
    world.write("shop.yaml", SHOP)
    assert applied(world, STARTED) == []
    assert set(notes(world)) == {"settings", "shop", "token"}
    settings = "shop; shop.yaml:11:1;"
    assert notes(world)["settings"] == f"Created by {settings} not in the cluster; data.colour"
    world.write("shop.yaml", SHOP.replace("green", "red").replace("CANARY", "CANARY-2"))
    assert applied(world, STARTED + 60) == []
    assert notes(world)["settings"] == f"Updated by {settings} changed in Git; data.colour"
    everything = world.kubectl("get", "events.events.k8s.io", "-A", "-o", "yaml")
    assert "data.token" in everything
    assert "CANARY" not in everything


@pytest.mark.integration
def test_kubectl_describe_shows_them(repository: Path, real_kubeconfig: Path) -> None:
    world = World(repository, real_kubeconfig)
    world.write("shop.yaml", SHOP)
    assert applied(world, STARTED) == []
    described = world.kubectl("describe", "configmap", "settings", "-n", "shop")
    assert "Created by shop" in described


def test_an_event_holds_paths_and_no_values() -> None:
    result = run_of_web_shop()
    text = json.dumps(
        [
            events.event(REGARDING, what, STARTED)
            for what in event_drafts_of(run(result.plan, result=result), {})
        ]
    )
    assert CANARY not in text
