"""Real API servers: targets read from live objects, and DNSEndpoints written for external-dns."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.api.objects import Object, ObjectKey
from reconciler.cluster.client import Member
from reconciler.cluster.connect import Connector
from reconciler.dns.external_dns import OWNER_LABEL
from reconciler.dns.plan import dns_needs
from reconciler.dns.targets import Exposed, ExposedObjects, read_services
from tests.controlplane.cluster import Cluster
from tests.controlplane.fixtures import Fleet
from tests.controlplane.process import eventually
from tests.definitions import definition
from tests.unit.dns.fleets import (
    ADDRESSES,
    CLUSTERS,
    WEB,
    World,
    endpoint_slice,
    everywhere,
    lines,
    service,
)
from tests.unit.dns.fleets import understood as read

pytestmark = pytest.mark.integration

ZONE = "shop.example.com."
NAME = f"web.shop.{ZONE}"
WEB_KEY = ObjectKey("", "Service", "shop", "web")
FEDERATION = f"""
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {{name: shop}}
spec:
  dns:
    output: DNSEndpoint
    zones: [{{name: {ZONE}, provider: external-dns}}]
---
"""
CRD = definition(
    "DNSEndpoint",
    "externaldns.k8s.io",
    versions=("v1alpha1",),
    schema="""
properties:
  spec:
    type: object
    properties:
      endpoints:
        type: array
        items:
          type: object
          properties:
            dnsName: {type: string}
            recordTTL: {type: integer}
            recordType: {type: string}
            targets: {type: array, items: {type: string}}
""",
)


@pytest.fixture
def cluster(fleet: Fleet) -> Cluster:
    (one,) = fleet(1)
    for name in ("shop", "federation-system"):
        one.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    return one


def connected(cluster: Cluster) -> Member:
    return Connector.from_file(str(cluster.kubeconfig()), "federation-system").host()


def expose(cluster: Cluster, obj: Object, *, ready: bool = True) -> None:
    """A Service with its addresses, as a cloud's controller would leave it, and its endpoints."""
    name = obj["metadata"]["name"]
    services = "/api/v1/namespaces/shop/services"
    made = {**obj, "spec": {"type": "LoadBalancer", "ports": [{"port": 443}]}}
    cluster.call("POST", services, made)
    cluster.call(
        "PATCH",
        f"{services}/{name}/status",
        {"status": obj["status"]},
        content_type="application/merge-patch+json",
    )
    slices = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"
    one = {**endpoint_slice(name, ready=ready), "addressType": "IPv4", "ports": []}
    cluster.call("POST", slices, one)


def test_addresses_and_readiness_cost_one_list_for_each_kind(cluster: Cluster) -> None:
    expose(cluster, service("web", "52.29.10.1", "2a05:d014::1"))
    expose(cluster, service("api", "lb.example.net"), ready=False)
    api = WEB.replace("name: web", "name: api")
    absent = WEB.replace("name: web", "name: absent")
    needs = dns_needs(read(FEDERATION, CLUSTERS, WEB, api, absent))
    with cluster.recorded() as requests:
        view = read_services(connected(cluster), needs["aws-eu"], {})
    assert view == {
        WEB_KEY: Exposed(("2a05:d014::1", "52.29.10.1"), (), ready=True),
        WEB_KEY._replace(name="api"): Exposed((), ("lb.example.net.",), ready=False),
    }
    assert len(requests) == 2


def test_what_was_read_already_is_not_asked_for_again(cluster: Cluster) -> None:
    expose(cluster, service("web", "52.29.10.1"))
    live = cluster.call("GET", "/api/v1/namespaces/shop/services/web")
    needs = dns_needs(read(FEDERATION, CLUSTERS, WEB))
    with cluster.recorded() as requests:
        view = read_services(connected(cluster), needs["aws-eu"], {WEB_KEY: live})
    assert view[WEB_KEY].ready
    assert len(requests) == 1


def test_a_federation_without_zones_asks_for_nothing(cluster: Cluster) -> None:
    bare = "apiVersion: federation.reconciler.dev/v1alpha1\nkind: Federation\nmetadata: {name: x}\n"
    assert dns_needs(read(bare, CLUSTERS, WEB)) == {}
    with cluster.recorded() as requests:
        assert read_services(connected(cluster), ExposedObjects(), {}) == {}
    assert requests == []


def test_a_cluster_without_gateways_has_none(cluster: Cluster) -> None:
    gateway = """
    apiVersion: gateway.networking.k8s.io/v1
    kind: Gateway
    metadata:
      name: front
      namespace: shop
      annotations: {federation.reconciler.dev/dns: "true"}
    spec: {listeners: [{name: https, port: 443, hostname: shop.shop.example.com}]}
    """
    needs = dns_needs(read(FEDERATION, CLUSTERS, gateway))
    assert [key.kind for key in needs["aws-eu"].objects] == ["Gateway"]
    assert read_services(connected(cluster), needs["aws-eu"], {}) == {}


# -- external-dns ------------------------------------------------------------------------------


@pytest.fixture
def world(cluster: Cluster) -> World:
    cluster.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", CRD)
    eventually(lambda: cluster.request("GET", PATH).status == 200, "DNSEndpoints are served")
    options = {"host": lambda: connected(cluster)}
    return World(read(FEDERATION, CLUSTERS, WEB), everywhere(), {}, options=options)


PATH = "/apis/externaldns.k8s.io/v1alpha1/namespaces/federation-system/dnsendpoints"


def written(cluster: Cluster) -> dict[str, list[dict[str, Any]]]:
    items = cluster.call("GET", PATH)["items"]
    return {item["metadata"]["name"]: item["spec"]["endpoints"] for item in items}


def endpoint(*targets: str) -> dict[str, Any]:
    return {
        "dnsName": NAME.rstrip("."),
        "recordType": "A",
        "recordTTL": 60,
        "targets": sorted(targets),
    }


def test_endpoints_follow_health_and_are_pruned(world: World, cluster: Cluster) -> None:
    foreign = {
        "apiVersion": "externaldns.k8s.io/v1alpha1",
        "kind": "DNSEndpoint",
        "metadata": {"name": "somebodys", "labels": {OWNER_LABEL: "bank"}},
        "spec": {"endpoints": [{**endpoint("192.0.2.1"), "dnsName": "www.shop.example.com"}]},
    }
    cluster.call("POST", PATH, foreign)
    theirs = {"somebodys": foreign["spec"]["endpoints"]}  # type: ignore[index]
    name = "shop-web.shop.shop.example.com"
    world.settle()
    assert written(cluster) == {**theirs, name: [endpoint(*ADDRESSES.values())]}
    world.down = {"aws-eu": "no answer"}
    plan, _ = world.run()
    assert lines(plan) == [
        f"update {NAME} A 34.76.10.2,35.185.10.3,52.29.10.1 -> 34.76.10.2,35.185.10.3"
    ]
    assert written(cluster)[name] == [endpoint("34.76.10.2", "35.185.10.3")]
    world.down = dict.fromkeys(ADDRESSES, "no answer")
    world.settle()
    assert written(cluster)[name] == [endpoint("34.76.10.2", "35.185.10.3")]
    world.down = {}
    world.settle()
    world.state = read(FEDERATION, CLUSTERS)
    world.settle()
    assert written(cluster) == theirs


@pytest.mark.parametrize(
    ("object_name", "dns_name"),
    [
        ("shop-web.shop.shop.example.com", "other.shop.example.com"),
        ("other", "web.shop.shop.example.com"),
    ],
)
def test_an_endpoint_of_somebody_else_is_not_taken_over(
    world: World, cluster: Cluster, object_name: str, dns_name: str
) -> None:
    foreign = {
        "apiVersion": "externaldns.k8s.io/v1alpha1",
        "kind": "DNSEndpoint",
        "metadata": {"name": object_name},
        "spec": {"endpoints": [{**endpoint("192.0.2.1"), "dnsName": dns_name}]},
    }
    cluster.call("POST", PATH, foreign)
    plan, outcomes = world.run()
    assert tuple(map(str, plan.notices)) == (
        f"{NAME}: not written: DNSEndpoint {object_name} is not ours",
    )
    assert outcomes == ()
    assert written(cluster) == {object_name: foreign["spec"]["endpoints"]}  # type: ignore[index]


def test_a_host_cluster_without_external_dns_is_told(cluster: Cluster) -> None:
    options = {"host": lambda: connected(cluster)}
    world = World(read(FEDERATION, CLUSTERS, WEB), everywhere(), {}, options=options)
    plan, outcomes = world.run()
    assert outcomes == ()
    assert plan.errors == (
        "DNS external-dns: the host cluster does not know DNSEndpoint objects (install "
        "external-dns with its CRD, or set spec.dns.output: octoDNS)",
    )
