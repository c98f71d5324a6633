"""A fleet with a host cluster and a Git repository, and Jobs whose pods share a run."""

from __future__ import annotations

import subprocess
import textwrap
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from reconciler.api.objects import Object, ObjectKey
from reconciler.api.options import RunOptions
from reconciler.cluster.client import Member
from reconciler.cluster.connect import Connector
from reconciler.lock.lease import LEASES, LeaseRecord
from reconciler.lock.run_lock import RunLock
from reconciler.plan.model import RunResult
from reconciler.run.pipeline import Prepared, apply_plan, make_plan
from reconciler.shard.split import Shard
from reconciler.state.memory import FleetMemory
from reconciler.state.stores import ConfigMapStore
from tests.controlplane.fixtures import Fleet
from tests.controlplane.plane import ControlPlane
from tests.scenarios.conftest import World

HOST = "host"
NAMES = ("aws-eu", "aws-us", "gcp-eu")
NAMESPACE: Object = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": "federation-system"},
}
FEDERATION = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  defaults: {placement: {clusterSelector: {}}}
  failover:
    enabled: true
    probe: {timeout: 1s, attempts: 1, interval: 10ms}
    unhealthyAfter: 3m
    healthyAfter: 3m
    maxUnhealthy: 1
""" + "".join(
    f"""
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {{name: {name}}}
spec: {{provider: {name.partition("-")[0]}, region: {name}, access: {{context: {name}}}}}
"""
    for name in NAMES
)


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@dataclass
class ShardedWorld(World):
    """``commit`` what was written, then let pods of a ``Job`` run at the same time."""

    now: float = 1_000_000.0
    lease_duration: float = 30.0

    def commit(self, name: str, text: str) -> str:
        (self.repository / name).write_text(textwrap.dedent(text))
        git(self.repository, "add", "--all")
        git(self.repository, "commit", "--quiet", "--message", name)
        return git(self.repository, "rev-parse", "HEAD")

    def job(self, count: int = 3) -> Job:
        self.now += 60
        return Job(self, count)

    def run(self, count: int = 3) -> list[RunResult]:
        return self.job(count).run()

    def given(self, shard: Shard | None = None, **more: Any) -> RunOptions:
        return RunOptions(
            repo=self.repository.as_uri(),
            kubeconfig=str(self.kubeconfig),
            host_context=HOST,
            plan_only=False,
            clock=lambda: self.now,
            lease_duration=self.lease_duration,
            shard=str(shard or ""),
            round=shard.round if shard else "",
            **more,
        )

    @property
    def host(self) -> Member:
        connector = Connector.from_file(
            str(self.kubeconfig), "federation-system", host_context=HOST
        )
        return connector.host()

    def memory(self) -> FleetMemory:
        return ConfigMapStore(self.host, "shop", "federation-system").read().memory

    def holder(self) -> str:
        key = ObjectKey("coordination.k8s.io", "Lease", "federation-system", "federation-shop")
        found = self.host.get(LEASES, key)
        return LeaseRecord.of(found).holder if found else ""

    def replicas(self) -> dict[str, int]:
        return {name: self.replicas_at(name) for name in NAMES}

    def replicas_at(self, cluster: str) -> int:
        return int(self.get("deployment", "web", cluster=cluster)["spec"]["replicas"])


@dataclass
class Job:
    """Pods with the same round. ``before_write`` is called by each between plan and apply."""

    world: ShardedWorld
    count: int
    round: str = field(default_factory=lambda: uuid.uuid4().hex)
    before_write: Callable[[Prepared], None] = lambda _: None

    def options(self, index: int, **more: Any) -> RunOptions:
        return self.world.given(Shard(index, self.count, self.round), **more)

    def pod(self, index: int) -> RunResult:
        """One pod from its beginning to its end."""
        options = self.options(index)
        with RunLock(options) as lock:
            prepared = make_plan(options, lock=lock)
            self.before_write(prepared)
            return apply_plan(prepared)

    def start(self, pool: ThreadPoolExecutor, index: int) -> Future[RunResult]:
        return pool.submit(self.pod, index)

    def run(self) -> list[RunResult]:
        """All pods at once."""
        with ThreadPoolExecutor(self.count) as pool:
            return [f.result() for f in [self.start(pool, n) for n in range(self.count)]]


@pytest.fixture
def simulated_fleet() -> Iterator[Sandbox]:
    with Sandbox([HOST, *NAMES], settings=ClusterSettings(nodes=1)) as sandbox:
        sandbox.cluster(HOST).create(NAMESPACE)
        yield sandbox


@pytest.fixture
def simulated_kubeconfig(simulated_fleet: Sandbox) -> Path:
    return simulated_fleet.kubeconfig


@pytest.fixture
def real_kubeconfig(fleet: Fleet, control_plane: ControlPlane) -> Path:
    host, *members = fleet(1 + len(NAMES))
    host.call("POST", "/api/v1/namespaces", NAMESPACE)
    return control_plane.kubeconfig({HOST: host, **dict(zip(NAMES, members, strict=True))})


@pytest.fixture
def git_repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    return folder


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.integration)])
def world(
    request: pytest.FixtureRequest, git_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> ShardedWorld:
    kubeconfig = request.getfixturevalue(f"{request.param}_kubeconfig")
    return _world(git_repository, kubeconfig, monkeypatch)


@pytest.fixture
def simulated(
    git_repository: Path, simulated_kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> ShardedWorld:
    return _world(git_repository, simulated_kubeconfig, monkeypatch)


def _world(folder: Path, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> ShardedWorld:
    # Only now: the servers' programs are in the cache of whoever runs the tests.
    for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(folder.parent / name.lower()))
    world = ShardedWorld(folder, kubeconfig)
    world.commit("federation.yaml", FEDERATION)
    return world
