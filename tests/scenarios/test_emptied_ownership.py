"""What the cluster keeps of an object stays also when somebody emptied its managedFields."""

from __future__ import annotations

import pytest

from tests.scenarios.conftest import World
from tests.scenarios.test_adoption import reset
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
