"""A cluster is known by its API server: doubles and mix-ups are refused, a rebuilt one is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from reconciler.planning.plan import Action, Plan
from reconciler.sandbox import ClusterSettings, Sandbox
from tests.scenarios.conftest import World
from tests.scenarios.manifests import SHOP


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


def test_a_rebuilt_cluster_is_filled_anew_and_that_is_told(
    simulated_world: World, spare: Sandbox, tmp_path: Path
) -> None:
    world = simulated_world
    world.write("shop.yaml", SHOP)
    memory = str(tmp_path / "memory.json")
    assert world.apply(state=memory, plan_only=False).ok
    document = yaml.safe_load(world.kubeconfig.read_text())
    new = yaml.safe_load(spare.kubeconfig.read_text())
    for part in ("clusters", "users", "contexts"):
        kept = [one for one in document[part] if part != "contexts" or one["name"] != "aws"]
        document[part] = kept + [{**one} for one in new[part]]
    (context,) = new["contexts"]
    document["contexts"][-1] = {"name": "aws", "context": context["context"]}
    elsewhere = tmp_path / "kubeconfig"
    elsewhere.write_text(yaml.safe_dump(document))
    world.options["kubeconfig"] = str(elsewhere)
    plan = world.plan(state=memory)
    assert {c.action for c in plan.clusters[0].changes} == {Action.CREATE}
    assert any("aws is another API server than before" in w for w in plan.warnings)
    assert world.apply(state=memory, plan_only=False).ok
    plan = world.plan(state=memory)
    assert not plan.has_changes
    assert not [w for w in plan.warnings if "another API server" in w]


def test_nothing_more_is_asked_once_it_is_known(simulated_world: World) -> None:
    simulated_world.write("shop.yaml", SHOP)
    assert simulated_world.apply().ok
    # The inventory, and one LIST for each of the four kinds.
    assert {cluster.requests for cluster in simulated_world.plan().clusters} == {5}
