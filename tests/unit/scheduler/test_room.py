"""The room on nodes: what fits, by requests, selectors, affinity and taints."""

from __future__ import annotations

import pytest

from reconciler.api.errors import Position
from reconciler.api.manifest import Manifest
from reconciler.api.objects import key_of
from reconciler.api.quantities import thousandths
from reconciler.federation.model import Taint, Workload
from reconciler.scheduler.room import ClusterRoom, FreeNode, FreeRoom, requests_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("250m", 250),
        (2, 2000),
        ("2", 2000),
        ("1.5", 1500),
        (".5", 500),
        ("1Ki", 1024 * 1000),
        ("2Gi", 2 * 1024**3 * 1000),
        ("1k", 1000 * 1000),
        ("1e3", 1000 * 1000),
        ("1E3", 1000 * 1000),
        ("1E", 10**18 * 1000),
        ("100n", 1),
        ("much", None),
        ("", None),
        ("1e999999999", None),
        (None, None),
    ],
)
def test_quantities_are_read_as_kubernetes_does(text: object, expected: int | None) -> None:
    assert thousandths(text) == expected


def test_requests_are_those_that_the_scheduler_counts() -> None:
    pod = {
        "containers": [
            {"resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": 1, "memory": "1Ki"}}},
            {"resources": {"requests": {"cpu": "200m"}}},
        ],
        "initContainers": [
            {"resources": {"requests": {"cpu": "50m"}}, "restartPolicy": "Always"},
            {"resources": {"requests": {"cpu": "400m", "memory": "10"}}},
        ],
        "overhead": {"cpu": "10m"},
    }
    assert requests_of(pod) == {"cpu": 460, "memory": 1024 * 1000, "pods": 1000}


def workload(pod: str = "", **spec: object) -> Workload:
    template = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": pod or "web", "namespace": "shop"},
        "spec": {"template": {"spec": {"containers": [ONE_CPU], **spec}}},
    }
    return Workload(key_of(template), Manifest(template), Position("", 1, 1))


ONE_CPU = {"resources": {"requests": {"cpu": 1}}}


def node(name: str = "n", cpu: int = 4, pods: int = 10, **more: object) -> FreeNode:
    return FreeNode(name, {"cpu": cpu * 1000, "pods": pods * 1000}, **more)


def limit(one: Workload, *nodes: FreeNode, scheduled: int = 0) -> int | None:
    room = ClusterRoom(nodes, {one.key: scheduled})
    return FreeRoom({"aws": room}).limit("aws", one, 0)


def test_the_scarcest_resource_of_each_node_counts() -> None:
    assert limit(workload(), node(cpu=4), node("m", cpu=3, pods=2)) == 6
    assert limit(workload(), node(cpu=4), scheduled=3) == 7
    assert limit(workload(), node(cpu=-1)) == 0
    assert limit(workload()) == 0


GPU = Taint("gpu", "", "NoSchedule")
ZONE_A = {"zone": "a"}


def affinity(*expressions: dict, fields: tuple = ()) -> dict:
    terms = [{"matchExpressions": list(expressions), "matchFields": list(fields)}]
    required = {"nodeSelectorTerms": terms}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


def expression(operator: str, *values: str, key: str = "zone") -> dict:
    return {"key": key, "operator": operator, "values": list(values)}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, 4),
        ({"tolerations": [{"key": "gpu", "operator": "Exists"}]}, 8),
        ({"tolerations": [{"operator": "Exists"}]}, 8),
        ({"nodeSelector": {"zone": "a"}}, 4),
        ({"nodeSelector": {"zone": "b"}}, 0),
        ({"nodeName": "plain"}, 4),
        ({"nodeName": "other"}, 0),
        ({"affinity": affinity(expression("In", "a", "b"))}, 4),
        ({"affinity": affinity(expression("NotIn", "a"))}, 0),
        ({"affinity": affinity(expression("Exists"))}, 4),
        ({"affinity": affinity(expression("DoesNotExist"))}, 0),
        ({"affinity": affinity(expression("Gt", "2", key="size"))}, 4),
        ({"affinity": affinity(expression("Lt", "2", key="size"))}, 0),
        ({"affinity": affinity(expression("Gt", "a", key="size"))}, 0),
        ({"affinity": affinity(fields=(expression("In", "plain", key="metadata.name"),))}, 4),
        ({"affinity": affinity()}, 0),
    ],
)
def test_only_nodes_that_take_the_pod_count(spec: dict, expected: int) -> None:
    plain = node("plain", labels={**ZONE_A, "size": "3"})
    tainted = node("tainted", labels={}, taints=(GPU,))
    assert limit(workload(**spec), plain, tainted) == expected


def test_what_one_workload_takes_is_gone_for_the_next() -> None:
    room = FreeRoom({"aws": ClusterRoom((node(cpu=4), node("m", cpu=2)))})
    one, other = workload("one"), workload("other")
    room.take("aws", one, 5)
    assert room.limit("aws", other, 0) == 1
    assert room.limit("elsewhere", other, 0) is None


def test_a_cluster_that_could_not_be_looked_at_takes_nothing_new() -> None:
    assert FreeRoom({"aws": None}).limit("aws", workload(), 3) == 3
