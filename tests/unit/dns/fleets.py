"""A federation for DNS: its repository as YAML, and what runs in its clusters."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.api.files import SourceFile
from reconciler.api.objects import Object, ObjectKey
from reconciler.dns.plan import DnsPlan, apply_dns, dns_rules_of, plan_dns
from reconciler.dns.targets import ServiceView, view_of
from reconciler.federation.compile import compile_documents
from reconciler.federation.model import DesiredState
from reconciler.manifests.load import load
from reconciler.plan.model import RecordOutcome

CLUSTERS = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws-eu}
spec: {provider: aws, region: eu-central-1, zone: eu-central-1a, weight: 2}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: gcp-eu}
spec: {provider: gcp, region: europe-west1, zone: europe-west1-b}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: gcp-us}
spec: {provider: gcp, region: us-east1, zone: us-east1-c}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: everywhere}
spec: {select: [{namespace: shop}]}
---
"""

WEB = """
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: shop
  annotations: {federation.reconciler.dev/dns: "true"}
spec: {type: LoadBalancer, ports: [{port: 443}], selector: {app: web}}
---
"""

ADDRESSES = {"aws-eu": "52.29.10.1", "gcp-eu": "34.76.10.2", "gcp-us": "35.185.10.3"}


def understood(*texts: str) -> DesiredState:
    """A repository of these documents."""
    content = "---\n".join(textwrap.dedent(text).strip("-\n ") + "\n" for text in texts)
    manifests = load([SourceFile("all.yaml", content.encode())])
    assert not manifests.problems, [str(p) for p in manifests.problems]
    found = compile_documents(manifests.documents)
    assert found.state, [str(p) for p in found.problems]
    return found.state


def service(name: str, *points: str, namespace: str = "shop") -> Object:
    """A live Service of type LoadBalancer with these addresses or host names."""
    ingress = [
        {"ip" if p.replace(".", "").isdigit() or ":" in p else "hostname": p} for p in points
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"type": "LoadBalancer"},
        "status": {"loadBalancer": {"ingress": ingress}},
    }


def endpoint_slice(name: str, *, ready: bool = True, namespace: str = "shop") -> Object:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-x7k2p",
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": name},
        },
        "endpoints": [{"addresses": ["10.0.0.7"], "conditions": {"ready": ready}}],
    }


def running(*objects: Object, unready: tuple[str, ...] = ()) -> ServiceView:
    """One cluster with these objects; Services have a ready endpoint unless named."""
    found = {_key(o): o for o in objects}
    slices = [
        endpoint_slice(o["metadata"]["name"], ready=o["metadata"]["name"] not in unready)
        for o in objects
        if o["kind"] == "Service"
    ]
    return view_of(found, slices)


def _key(obj: Object) -> ObjectKey:
    group = obj["apiVersion"].rpartition("/")[0]
    return ObjectKey(group, obj["kind"], obj["metadata"]["namespace"], obj["metadata"]["name"])


@dataclass
class World:
    """A repository, its clusters, and what a run needs to reach the zones."""

    state: DesiredState
    seen: dict[str, ServiceView]
    environ: Mapping[str, str]
    down: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def plan(self) -> DnsPlan:
        assert not dns_rules_of(self.state)[1]
        seen = {name: view for name, view in self.seen.items() if name not in self.down}
        return plan_dns(self.state, seen, self.down, environ=self.environ, **self.options)

    def run(self) -> tuple[DnsPlan, tuple[RecordOutcome, ...]]:
        """What a whole run does."""
        plan = self.plan()
        return plan, apply_dns(plan)

    def settle(self) -> None:
        """A run that must succeed, after which nothing is left to do."""
        plan, outcomes = self.run()
        assert plan.errors == ()
        assert [o for o in outcomes if o.status != "done"] == []
        assert lines(self.plan()) == []


def lines(plan: DnsPlan) -> list[str]:
    """The plan's records, as short as a table wants them."""
    return [
        f"{c['action']} {c['name']} {c['type']} "
        f"{','.join(c['from'] or ()) or '-'} -> {','.join(c['to'] or ()) or '-'}"
        for c in plan.changes
    ]


def everywhere(name: str = "web") -> dict[str, ServiceView]:
    """Every cluster runs the Service at its own address."""
    return {cluster: running(service(name, address)) for cluster, address in ADDRESSES.items()}


def many(count: int = 20) -> tuple[str, dict[str, ServiceView]]:
    """So many more clusters that their owner's mark is longer than one string of a TXT record."""
    cluster = CLUSTERS.split("---")[0]
    names = [f"production-europe-{number:02}" for number in range(1, count + 1)]
    manifests = "---".join(cluster.replace("aws-eu", name) for name in names) + "---"
    seen = {name: running(service("web", f"192.0.2.{i}")) for i, name in enumerate(names, 1)}
    return manifests, seen
