"""A cluster is known by its API server: doubles, mix-ups and another one under its name are
refused; a wanted move is one command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from reconciler.failover.probe import Signal
from reconciler.plan.model import Action, Plan
from reconciler.state.memory import Phase
from tests.controlplane.fixtures import Fleet
from tests.controlplane.plane import ControlPlane
from tests.scenarios.conftest import World
from tests.scenarios.failover_world import FailoverWorld
from tests.scenarios.failover_world import simulated as simulated
from tests.scenarios.manifests import SHOP

MORE = """
apiVersion: v1
kind: ConfigMap
metadata: {name: more, namespace: shop}
data: {a: b}
"""


def point(world: World, **servers: str) -> None:
    """Let contexts lead to the servers of other contexts."""
    document = yaml.safe_load(world.kubeconfig.read_text())
    contexts = {one["name"]: one["context"] for one in document["contexts"]}
    led = {name: contexts[server] for name, server in servers.items()}
    document["contexts"] = [
        {"name": name, "context": led.get(name, context)} for name, context in contexts.items()
    ]
    elsewhere = world.repository.parent / "kubeconfig"
    elsewhere.write_text(yaml.safe_dump(document))
    world.options["kubeconfig"] = str(elsewhere)


def problems(plan: Plan) -> dict[str, str]:
    return {cluster.name: cluster.problem for cluster in plan.clusters}


@pytest.fixture
def shop(world: World) -> World:
    world.write("shop.yaml", SHOP)
    return world


def test_two_names_of_one_new_api_server_are_refused_before_the_first_write(shop: World) -> None:
    point(shop, gcp="aws")
    result = shop.apply()
    assert not result.ok
    assert result.outcomes == ()
    assert "the same API server as gcp" in problems(result.plan)["aws"]
    assert "the same API server as aws" in problems(result.plan)["gcp"]
    assert not shop.exists("deployment", "web")


def test_two_names_of_a_known_api_server_are_refused(shop: World) -> None:
    assert shop.apply().ok
    point(shop, gcp="aws")
    result = shop.apply()
    assert result.outcomes == ()
    assert "the same API server as gcp" in problems(result.plan)["aws"]
    assert not [c for cl in result.plan.clusters for c in cl.changes]
    # Not even when somebody wants to take over: one of them has to go.
    assert not any(cluster.reachable for cluster in shop.plan(take_over=True).clusters)


def test_contexts_that_were_exchanged_are_refused(shop: World) -> None:
    assert shop.apply().ok
    point(shop, aws="gcp", gcp="aws")
    plan = shop.plan()
    assert "the API server of the cluster 'gcp'" in problems(plan)["aws"]
    assert "the API server of the cluster 'aws'" in problems(plan)["gcp"]
    assert plan.has_failures


def test_one_cluster_alone_is_known_as_well(shop: World) -> None:
    assert shop.apply().ok
    point(shop, aws="gcp")
    plan = shop.plan(clusters=("aws",))
    assert "the API server of the cluster 'gcp'" in problems(plan)["aws"]


def test_a_renamed_cluster_is_taken_over_on_demand(shop: World) -> None:
    assert shop.apply().ok
    text = (shop.repository / "clusters.yaml").read_text()
    shop.write("clusters.yaml", text.replace("name: aws,", "name: gcp-old,"))
    point_name(shop, "gcp-old", "aws")
    plan = shop.plan()
    assert "the API server of the cluster 'aws'" in problems(plan)["gcp-old"]
    assert "--take-over --cluster gcp-old" in problems(plan)["gcp-old"]
    assert shop.apply(take_over=True).ok
    plan = shop.plan()
    assert not plan.has_changes
    assert not plan.has_failures


def point_name(world: World, name: str, server: str) -> None:
    document = yaml.safe_load(world.kubeconfig.read_text())
    context = next(one["context"] for one in document["contexts"] if one["name"] == server)
    document["contexts"].append({"name": name, "context": context})
    elsewhere = world.repository.parent / "kubeconfig"
    elsewhere.write_text(yaml.safe_dump(document))
    world.options["kubeconfig"] = str(elsewhere)


@pytest.fixture
def spare(tmp_path: Path) -> Iterator[Sandbox]:
    with Sandbox(["spare"], settings=ClusterSettings(nodes=1)) as sandbox:
        yield sandbox


@pytest.fixture
def remembering(simulated_world: World, tmp_path: Path) -> World:
    """What was applied is remembered in a file."""
    world = simulated_world
    world.write("shop.yaml", SHOP)
    world.options |= {"state": str(tmp_path / "memory.json"), "plan_only": False}
    assert world.apply().ok
    return world


def rebuild(world: World, spare: Sandbox, name: str = "aws") -> None:
    """Let the context ``name`` lead to an empty cluster."""
    document = yaml.safe_load(world.kubeconfig.read_text())
    new = yaml.safe_load(spare.kubeconfig.read_text())
    for part in ("clusters", "users"):
        document[part] += new[part]
    (led,) = new["contexts"]
    others = [one for one in document["contexts"] if one["name"] != name]
    document["contexts"] = [*others, {"name": name, "context": led["context"]}]
    elsewhere = world.repository.parent / "rebuilt"
    elsewhere.write_text(yaml.safe_dump(document))
    world.options["kubeconfig"] = str(elsewhere)


def test_an_empty_cluster_under_a_known_name_is_left_out_and_the_others_go_on(
    remembering: World, spare: Sandbox
) -> None:
    world = remembering
    rebuild(world, spare)
    world.write("more.yaml", MORE)
    for _ in range(2):
        plan = world.plan()
        assert "not known to be the API server that it was" in problems(plan)["aws"]
        assert "memory.json remembers" in problems(plan)["aws"]
        assert "reconcile --plan --take-over --cluster aws" in problems(plan)["aws"]
        assert not problems(plan)["gcp"]
    result = world.apply()
    assert not result.ok
    assert {(o.cluster, o.status) for o in result.outcomes} == {("gcp", "done")}
    # The new cluster is as empty as before, and is asked for again.
    assert "now it is" in problems(world.plan())["aws"]


def test_a_wanted_move_is_one_command_and_only_once(remembering: World, spare: Sandbox) -> None:
    world = remembering
    rebuild(world, spare)
    plan = world.plan(take_over=True, clusters=("aws",))
    assert {c.action for c in plan.clusters[0].changes} == {Action.CREATE}
    assert any("aws is another API server from now on" in w for w in plan.warnings)
    # A plan is no promise of the future.
    assert problems(world.plan())["aws"]
    assert world.apply(take_over=True, clusters=("aws",)).ok
    plan = world.plan()
    assert not plan.has_changes
    assert not plan.has_failures
    assert not [w for w in plan.warnings if "API server" in w]


def test_taking_one_cluster_over_says_nothing_of_the_others(
    remembering: World, spare: Sandbox
) -> None:
    world = remembering
    rebuild(world, spare)
    assert problems(world.plan(take_over=True, clusters=("gcp",)))["gcp"] == ""
    assert world.apply(take_over=True, clusters=("gcp",)).ok
    assert problems(world.plan())["aws"]


def test_without_a_memory_an_empty_cluster_is_a_new_one(
    remembering: World, spare: Sandbox, tmp_path: Path
) -> None:
    rebuild(remembering, spare)
    remembering.options["state"] = str(tmp_path / "another.json")
    assert remembering.apply().ok


def test_a_cluster_that_may_not_be_identified_any_more_is_left_out(
    remembering: World, spare: Sandbox
) -> None:
    rebuild(remembering, spare)
    spare.cluster("spare").faults.forbid(path="/namespaces/kube-system")
    assert "now it cannot be read" in problems(remembering.plan())["aws"]


def test_a_simulated_fleet_is_a_new_one_each_time(remembering: World, spare: Sandbox) -> None:
    rebuild(remembering, spare)
    assert not remembering.plan(sandbox=True).has_failures


def test_nothing_more_is_asked_once_it_is_known(simulated_world: World) -> None:
    simulated_world.write("shop.yaml", SHOP)
    assert simulated_world.apply().ok
    # The inventory, and one LIST for each of the four kinds.
    assert {cluster.requests for cluster in simulated_world.plan().clusters} == {5}


def test_a_mistaken_context_moves_nothing_and_ends_no_grace_period(
    simulated: FailoverWorld, spare: Sandbox
) -> None:
    world = simulated
    world.begin()
    rebuild(world, spare, "aws-eu")
    for _ in range(6):
        plan = world.run().plan
    (health,) = (one for one in plan.health if one.cluster == "aws-eu")
    assert health.signal is Signal.UNKNOWN
    assert "that it was" in health.reason
    assert world.counts("gcp-eu", "gcp-us") == {"gcp-eu": 2, "gcp-us": 2}


def test_a_cluster_built_anew_after_an_outage_returns_only_when_it_is_taken_over(
    simulated: FailoverWorld, spare: Sandbox
) -> None:
    world = simulated
    world.begin()
    world.hosts["aws-eu"].stop()
    for _ in range(5):
        world.run()
    assert world.counts("gcp-eu", "gcp-us") == {"gcp-eu": 3, "gcp-us": 3}
    rebuild(world, spare, "aws-eu")
    for _ in range(6):
        plan = world.run().plan
    assert world.counts("gcp-eu", "gcp-us") == {"gcp-eu": 3, "gcp-us": 3}
    (health,) = (one for one in plan.health if one.cluster == "aws-eu")
    assert "reconcile --plan --take-over --cluster aws-eu" in health.reason
    assert world.memory().clusters["aws-eu"].phase is Phase.DOWN
    world.options |= {"take_over": True, "clusters": ("aws-eu",)}
    world.run()
    del world.options["take_over"], world.options["clusters"]
    for _ in range(8):
        plan = world.run().plan
    assert world.memory().clusters["aws-eu"].phase is Phase.UP
    assert world.counts("gcp-eu", "gcp-us") == {"gcp-eu": 2, "gcp-us": 2}


@pytest.mark.integration
def test_real_servers_are_known_as_well(
    repository: Path, fleet: Fleet, control_plane: ControlPlane, tmp_path: Path
) -> None:
    aws, gcp, new = fleet(3)
    world = World(repository, control_plane.kubeconfig({"aws": aws, "gcp": gcp}))
    world.options |= {"state": str(tmp_path / "memory.json"), "plan_only": False}
    world.write("shop.yaml", SHOP)
    assert world.apply().ok
    world.kubeconfig = control_plane.kubeconfig({"aws": new, "gcp": gcp})
    world.write("more.yaml", MORE)
    with new.recorded() as requests:
        result = world.apply()
    assert {(o.cluster, o.status) for o in result.outcomes} == {("gcp", "done")}
    assert not [request for request in requests if request.writes]
    assert "--take-over --cluster aws" in problems(result.plan)["aws"]
    assert world.apply(take_over=True, clusters=("aws",)).ok
    plan = world.plan()
    assert not plan.has_changes
    assert not plan.has_failures
