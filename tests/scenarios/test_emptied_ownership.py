"""What the cluster keeps of an object stays also when somebody emptied its managedFields."""

from __future__ import annotations

import pytest

from tests.scenarios.conftest import FEDERATION, World
from tests.scenarios.manifests import NAMESPACE
from tests.scenarios.test_adoption import by_hand, reset, settle
from tests.scenarios.test_fields_of_servers import federated, node_ports, port, set_node_port
from tests.scenarios.test_replicas_of_others import FEDERATED, paths, replicas, scale, scaler, web

__all__ = ["port"]


@pytest.mark.parametrize("said", ["replicas: 6", "# dropped"])
def test_a_count_is_handed_over_without_a_dip(world: World, said: str) -> None:
    world.write("web.yaml", web())
    assert world.apply().ok
    reset(world, "deployment", "web")
    world.write("web.yaml", web(said))
    world.write("scaler.yaml", scaler())
    assert "spec.replicas" not in paths(world.plan())
    assert world.apply().ok
    assert replicas(world) == 6
    assert not world.plan().has_changes


def test_what_kubefed_retains_of_a_workload_stays(world: World) -> None:
    world.write("web.yaml", FEDERATED)
    assert world.apply().ok
    scale(world, 5, "kubectl")
    reset(world, "deployment", "web")
    assert paths(world.plan()) == set()
    assert world.apply().ok
    assert replicas(world) == 5
    assert not world.plan().has_changes


def test_a_node_port_that_kubefed_keeps_stays(world: World, port: int) -> None:
    world.write("portal.yaml", federated(port))
    assert world.apply().ok
    set_node_port(world, 0, port + 1)
    reset(world, "service", "portal")
    assert paths(world.plan()) == set()
    assert world.apply().ok
    assert node_ports(world) == [port + 1]
    assert not world.plan().has_changes


@pytest.mark.parametrize("rules", ["", "  drift: {additions: Remove}\n"])
def test_what_others_added_outlives_the_last_of_ours_beside_it(world: World, rules: str) -> None:
    settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: shop}\n"
    world.write("federation.yaml", FEDERATION + rules)
    world.write("shop.yaml", "---\n".join([NAMESPACE, settings + "data: {a: one, b: two}\n"]))
    assert world.apply().ok
    patch = ("patch", "configmap", "settings", "-n", "shop", "--type=merge", "-p")
    world.kubectl(*patch, '{"data": {"theirs": "x"}}')
    reset(world, "configmap", "settings")
    world.write("shop.yaml", "---\n".join([NAMESPACE, settings]))
    assert paths(world.plan()) == {"data.a", "data.b"}
    assert world.apply().ok
    assert world.get("configmap", "settings")["data"] == {"theirs": "x"}
    assert not world.plan().has_changes


def test_a_leftover_that_nobody_owns_any_more_goes(world: World) -> None:
    by_hand(world, web("strategy: {rollingUpdate: {maxSurge: 2}}"))
    reset(world, "deployment", "web")
    world.write("web.yaml", web("strategy: {type: Recreate}"))
    assert "spec.strategy.rollingUpdate.maxSurge" in paths(world.plan())
    settle(world)
    assert world.get("deployment", "web")["spec"]["strategy"] == {"type": "Recreate"}


def test_a_leftover_is_taken_whole_from_those_who_own_a_part_of_it(world: World) -> None:
    by_hand(world, web("strategy: {rollingUpdate: {maxSurge: 2}}"), "--server-side")
    world.write("web.yaml", web("strategy: {type: Recreate}"))
    assert "spec.strategy.rollingUpdate.maxSurge" in paths(world.plan(force_conflicts=True))
    assert world.apply(force_conflicts=True).ok
    assert world.get("deployment", "web")["spec"]["strategy"] == {"type": "Recreate"}
