"""A node port, an address or the place as the default that moves from one object to another."""

from __future__ import annotations

import pytest

from reconciler.plan.model import Action, Change, Plan
from tests.node_ports import unused_node_port
from tests.scenarios.conftest import FEDERATION, NAMES, World
from tests.scenarios.manifests import NAMESPACE, SETTINGS

pytestmark = pytest.mark.integration


@pytest.fixture
def world(repository, real_kubeconfig) -> World:
    return World(repository, real_kubeconfig)


def service(name: str, more: str = "", port: int = 0, namespace: str = "shop") -> str:
    node_port = f", nodePort: {port}" if port else ""
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {{app: {name}}}
  ports: [{{name: http, port: 80, targetPort: 8080{node_port}}}]
{more}
"""


NODE_PORT = "  type: NodePort"


def write(world: World, *documents: str) -> None:
    world.write("shop.yaml", "---".join([NAMESPACE, *documents]))


def of(plan: Plan, name: str) -> Change:
    (found,) = [c for c in plan.clusters[0].changes if c.key.name == name]
    return found


def node_port(world: World, name: str, cluster: str = "aws") -> int:
    return int(world.get("service", name, cluster)["spec"]["ports"][0]["nodePort"])


def test_a_node_port_moves_to_another_service_in_one_run(world: World) -> None:
    port = unused_node_port()
    write(world, service("a", NODE_PORT, port), SETTINGS)
    assert world.apply().ok
    write(world, service("b", NODE_PORT, port))
    plan = world.plan()
    assert not plan.violations
    made, gone = of(plan, "b"), of(plan, "a")
    assert (made.action, gone.action) == (Action.CREATE, Action.PRUNE)
    assert made.reason == (
        f"not in the cluster; once Service shop/a is pruned, for its node port {port}: "
        "for a moment neither serves"
    )
    assert f"it goes before Service shop/b, which takes its node port {port}" in gone.reason
    result = world.apply()
    assert result.ok, [o for o in result.outcomes if o.status != "done"]
    for cluster in NAMES:
        assert node_port(world, "b", cluster) == port
        assert not world.exists("service", "a", cluster)
        assert not world.exists("configmap", "settings", cluster)
    assert not world.plan().has_changes


def test_an_address_moves_to_another_service_in_one_run(world: World) -> None:
    write(world, service("a"))
    assert world.apply().ok
    address = world.get("service", "a")["spec"]["clusterIP"]
    world.write("clusters.yaml", (world.repository / "clusters.yaml").read_text().split("---")[0])
    write(world, service("a", f"  clusterIP: {address}"))
    assert world.apply().ok
    write(world, service("b", f"  clusterIP: {address}"))
    result = world.apply()
    assert result.ok, [o for o in result.outcomes if o.status != "done"]
    assert world.get("service", "b")["spec"]["clusterIP"] == address
    assert not world.plan().has_changes


def test_a_node_port_moves_to_a_service_that_is_there_and_into_another_namespace(
    world: World,
) -> None:
    port = unused_node_port()
    other_port = unused_node_port()
    other = NAMESPACE.replace("shop", "other")
    write(world, service("a", NODE_PORT, port), service("b", NODE_PORT, other_port))
    assert world.apply().ok
    write(
        world,
        service("b", NODE_PORT, port),
        other,
        service("c", NODE_PORT, other_port, namespace="other"),
    )
    plan = world.plan()
    assert [(f.path, f.before, f.after) for f in of(plan, "b").fields] == [
        ("spec.ports[name=http].nodePort", other_port, port)
    ]
    result = world.apply()
    assert result.ok, [o for o in result.outcomes if o.status != "done"]
    assert node_port(world, "b") == port
    ports = world.get("service", "c", namespace="other")["spec"]["ports"]
    assert ports[0]["nodePort"] == other_port
    assert not world.plan().has_changes


def test_a_service_takes_what_another_one_lets_go_of(world: World) -> None:
    port = unused_node_port()
    other_port = unused_node_port()
    write(world, service("a", NODE_PORT, port))
    assert world.apply().ok
    write(world, service("a", NODE_PORT, other_port), service("b", NODE_PORT, port))
    made = of(world.plan(), "b")
    assert "once Service shop/a is changed" in made.reason
    result = world.apply()
    assert result.ok, [o for o in result.outcomes if o.status != "done"]
    assert (node_port(world, "a"), node_port(world, "b")) == (other_port, port)
    assert not world.plan().has_changes


def test_a_value_of_somebody_else_is_still_refused_and_holds_the_prunes(world: World) -> None:
    port = unused_node_port()
    other_port = unused_node_port()
    world.write("federation.yaml", FEDERATION + "  guards: {onInvalid: Skip}\n")
    write(world, service("a", NODE_PORT, port), SETTINGS)
    assert world.apply().ok
    path = world.repository.parent / "by-hand.yaml"
    path.write_text(service("foreign", NODE_PORT, other_port))
    for cluster in NAMES:
        world.kubectl("apply", "--server-side", "-f", str(path), cluster=cluster)
    both = service("b", NODE_PORT, port).replace(
        "ports: [", f"ports: [{{name: more, port: 81, nodePort: {other_port}}}, "
    )
    write(world, both)
    plan = world.plan()
    assert of(plan, "b").action is Action.FAILED
    assert plan.clusters[0].prune_blocked
    assert not world.apply().ok
    assert world.exists("service", "a")
    assert world.exists("configmap", "settings")


def test_what_is_refused_besides_holds_the_prune_that_would_free_the_value(world: World) -> None:
    port = unused_node_port()
    write(world, service("a", NODE_PORT, port))
    assert world.apply().ok
    other = {"applyset.kubernetes.io/part-of": "applyset-other-v1"}
    for cluster in NAMES:
        world.create_config_map("settings", cluster, **other)
    write(world, service("b", NODE_PORT, port), SETTINGS)
    assert not world.apply().ok
    assert world.exists("service", "a")
    assert not world.exists("service", "b")


def test_a_protected_holder_keeps_its_value(world: World) -> None:
    port = unused_node_port()
    protect = 'annotations: {federation.reconciler.dev/protect: "true"}'
    held = service("a", NODE_PORT, port).replace(
        "namespace: shop}", f"namespace: shop, {protect}}}"
    )
    write(world, held)
    assert world.apply().ok
    write(world, service("b", NODE_PORT, port))
    assert of(world.plan(), "b").action is Action.FAILED


def test_two_services_that_exchange_their_ports_are_told_of_each_other(world: World) -> None:
    port = unused_node_port()
    other_port = unused_node_port()
    write(world, service("a", NODE_PORT, port), service("b", NODE_PORT, other_port))
    assert world.apply().ok
    write(world, service("a", NODE_PORT, other_port), service("b", NODE_PORT, port))
    plan = world.plan()
    assert {of(plan, name).action for name in "ab"} == {Action.FAILED}
    assert (
        f"its node port {other_port} is that of Service shop/b, which keeps it"
        in of(plan, "a").error
    )


def test_an_address_that_another_service_keeps_is_refused_before_the_first_write(
    world: World,
) -> None:
    write(world, service("a"))
    assert world.apply().ok
    addresses = {name: world.get("service", "a", name)["spec"]["clusterIP"] for name in NAMES}
    write(world, service("a"), service("b", f"  clusterIP: {addresses['aws']}"))
    change = of(world.plan(), "b")
    assert change.action is Action.FAILED
    assert change.error.endswith("is that of Service shop/a, which keeps it")


def test_the_place_as_the_default_priority_moves(world: World) -> None:
    def priority(name: str) -> str:
        return f"""
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {{name: {name}}}
value: 10
globalDefault: true
"""

    write(world, priority("usual"))
    assert world.apply().ok
    write(world, priority("normal"))
    result = world.apply()
    assert result.ok, [o for o in result.outcomes if o.status != "done"]
    assert world.get("priorityclass", "normal")["globalDefault"] is True
    assert not world.exists("priorityclass", "usual")
    assert not world.plan().has_changes
