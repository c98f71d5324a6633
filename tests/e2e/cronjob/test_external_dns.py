"""Records for external-dns, written by the CronJob's pod with the role that the README adds."""

from __future__ import annotations

import shlex
from typing import Any

from tests.controlplane.cluster import Cluster
from tests.controlplane.fixtures import Kubectl
from tests.controlplane.process import eventually
from tests.definitions import definition
from tests.unit.dns.fleets import endpoint_slice

from .conftest import CRONJOB, SHOP, Host

ENDPOINTS = "/apis/externaldns.k8s.io/v1alpha1/namespaces/federation-system/dnsendpoints"
FEDERATION = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  defaults: {placement: {clusterSelector: {}}}
  dns:
    output: DNSEndpoint
    zones: [{name: shop.example.com., provider: external-dns}]
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, annotations: {federation.reconciler.dev/dns: "true"}}
spec: {type: LoadBalancer, ports: [{port: 443}], selector: {app: web}}
"""
CRD = definition("DNSEndpoint", "externaldns.k8s.io", versions=("v1alpha1",))


def commands_of_the_readme() -> list[list[str]]:
    """Those that give the job the right, without the context."""
    text = (CRONJOB / "README.md").read_text().replace("\\\n", " ")
    lines = [shlex.split(line) for line in text.splitlines() if "reconcile-dns" in line]
    assert all(line[:3] == ["kubectl", "--context", "main"] for line in lines)
    return [line[3:] for line in lines]


def expose(member: Cluster) -> None:
    """As a cloud and the endpoints' controller would."""
    status = {"status": {"loadBalancer": {"ingress": [{"ip": "52.29.10.1"}]}}}
    member.patch("/api/v1/namespaces/shop/services/web/status", status)
    slices = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"
    one = {**endpoint_slice("web", ready=True), "addressType": "IPv4", "ports": []}
    member.call("POST", slices, one)


def targets(cluster: Cluster) -> list[Any]:
    items = cluster.call("GET", ENDPOINTS)["items"]
    return [one["targets"] for item in items for one in item["spec"]["endpoints"]]


def test_records_are_written_once_the_job_may(host: Host, kubectl: Kubectl) -> None:
    host.cluster.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", CRD)
    eventually(lambda: host.cluster.request("GET", ENDPOINTS).status == 200, "they are served")
    host.desk.write("federation.yaml", FEDERATION)
    host.desk.write("shop.yaml", f"{SHOP}---\n{SERVICE}")
    host.desk.join()
    host.commit()
    host.apply()
    without = host.pod("without").run()
    assert without.code == 1
    assert "dnsendpoints" in without.said
    for command in commands_of_the_readme():
        kubectl(host.cluster, *command)
    expose(host.desk.member)
    with host.cluster.recorded() as requests:
        ended = host.pod("with").run()
        assert ended.code == 0, ended.said
        assert ["52.29.10.1"] in targets(host.cluster)
        renamed = SERVICE.replace('"true"', "other")
        host.desk.write("shop.yaml", f"{SHOP}---\n{renamed}")
        host.commit()
        ended = host.pod("renamed").run()
        assert ended.code == 0, ended.said
    asked = [r for r in requests if r.resource == "dnsendpoints"]
    assert not [r for r in asked if r.code == 403]
    assert {r.verb for r in asked} == {"list", "patch", "delete"}
    # An apply that makes an object counts as its creation, too.
    assert "list,create,patch,delete" in " ".join(commands_of_the_readme()[0])
