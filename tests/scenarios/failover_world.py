"""Three clusters that can be taken down, a clock that the test moves, and kubectl to look."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubesim.cluster import SimulatedCluster
from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from reconciler.plan.model import RunResult
from reconciler.state.memory import FleetMemory, decode_memory
from tests.command import run_command
from tests.controlplane.fixtures import Fleet
from tests.controlplane.plane import ControlPlane
from tests.scenarios.conftest import World

NAMES = ("aws-eu", "gcp-eu", "gcp-us")

FEDERATION = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  defaults: {placement: {clusterSelector: {}}}
  failover:
    enabled: true
    probe: {timeout: 1s, attempts: 2, interval: 10ms}
    unhealthyAfter: 3m
    healthyAfter: 3m
    maxUnhealthy: 1
"""
CLUSTER = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: %s}
spec: {provider: %s, region: %s}
---
"""
CLUSTERS = (
    CLUSTER % ("aws-eu", "aws", "eu-central-1")
    + CLUSTER % ("gcp-eu", "gcp", "europe-west1")
    + CLUSTER % ("gcp-us", "gcp", "us-central1")
)
WEB = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 6
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "registry.invalid/web:1"}]}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{kind: Deployment, name: web}]
  clusterSelector: {}
  replicas: {mode: Divided}
"""
SHARES = {"aws-eu": 2, "gcp-eu": 2, "gcp-us": 2}


@dataclass
class FailoverWorld(World):
    """``run`` lets a minute pass first; ``hosts`` are the clusters by name: simulated or real ones,
    which both can start, stop, pause and resume."""

    hosts: Mapping[str, Any] = field(default_factory=dict)
    now: float = 1_000_000.0
    wait_for_pods: Callable[[], None] = lambda: None

    def begin(self, web: str = WEB, federation: str = FEDERATION) -> None:
        """Apply everything, and see all clusters healthy."""
        self.write("federation.yaml", federation)
        self.write("clusters.yaml", CLUSTERS)
        self.write("web.yaml", web)
        self.options |= {"clock": lambda: self.now, "state": str(self.state)}
        self.wait_for_pods = self.until_ready
        for _ in range(2):
            assert self.run().ok

    @property
    def state(self) -> Path:
        return self.repository.parent / "state.json"

    def memory(self) -> FleetMemory:
        return decode_memory(self.state.read_bytes())

    def run(self, minutes: float = 1.0) -> RunResult:
        self.now += 60 * minutes
        result = self.apply()
        self.wait_for_pods()
        return result

    def counts(self, *names: str) -> dict[str, int]:
        """``spec.replicas`` of the Deployment web, by cluster."""
        return {
            name: self.get("deployment", "web", cluster=name)["spec"]["replicas"]
            for name in names or NAMES
        }

    def ready(self, *names: str) -> int:
        """How many of its replicas are ready over these clusters."""
        return sum(
            self.get("deployment", "web", cluster=name)["status"].get("readyReplicas", 0)
            for name in names or NAMES
        )

    def until_ready(self) -> None:
        """Waits until the running clusters' Deployments have what they ask for."""
        deadline = time.monotonic() + 60
        for name in NAMES:
            while True:
                said = self.kubectl(
                    *("get", "deployment", "web", "-n", "shop", "--request-timeout=2s"),
                    *("-o", "jsonpath={.spec.replicas} {.status.readyReplicas}"),
                    cluster=name,
                    check=False,
                )
                numbers = said.split()
                if not all(number.isdigit() for number in numbers):
                    break
                if numbers == ["0"] or (len(numbers) == 2 and numbers[0] == numbers[1]):
                    break
                assert time.monotonic() < deadline, f"{name}: {said}"
                time.sleep(0.1)

    def allow_failback(self, name: str) -> None:
        """As a person does at a desk."""
        run_command("failback", name, "--repo", self.repository, "--state", self.state, code=0)

    def refuse_credential(self, name: str) -> None:
        """Another token, which no server knows, from now on."""
        host = self.hosts[name]
        if isinstance(host, SimulatedCluster):
            # It takes any token until one is revoked.
            host.revoke()
        config = yaml.safe_load(self.kubeconfig.read_text())
        user = next(c["context"]["user"] for c in config["contexts"] if c["name"] == name)
        for entry in config["users"]:
            if entry["name"] == user:
                entry["user"] = {"token": "expired"}
        path = self.repository.parent / "wrong.kubeconfig"
        path.write_text(yaml.safe_dump(config))
        self.options["kubeconfig"] = str(path)


@pytest.fixture
def simulated(repository: Path) -> Iterator[FailoverWorld]:
    with Sandbox(list(NAMES), settings=ClusterSettings(nodes=2)) as sandbox:
        hosts = {name: sandbox.cluster(name) for name in NAMES}
        yield FailoverWorld(repository, sandbox.kubeconfig, hosts=hosts)


@pytest.fixture
def real(repository: Path, fleet: Fleet, control_plane: ControlPlane) -> Iterator[FailoverWorld]:
    clusters = dict(zip(NAMES, fleet(len(NAMES), controllers=True), strict=True))
    yield FailoverWorld(repository, control_plane.kubeconfig(clusters), hosts=clusters)
    for cluster in clusters.values():
        cluster.start()


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.integration)])
def world(request: pytest.FixtureRequest) -> FailoverWorld:
    """Everything is applied, running, and was seen healthy."""
    world: FailoverWorld = request.getfixturevalue(request.param)
    world.begin()
    return world
