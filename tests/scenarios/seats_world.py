"""Three clusters that are members and seats at once: no host cluster, and runs at any of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from reconciler.api.objects import Object
from reconciler.api.options import RunOptions
from reconciler.cluster.client import Member
from reconciler.cluster.connect import Connector
from reconciler.cluster.discovery import RESTMapping
from reconciler.lock.run_lock import RunLock
from reconciler.plan.model import RunResult
from reconciler.run.pipeline import Prepared, apply_plan, make_plan
from reconciler.seats.register import Register
from reconciler.state.memory import FleetMemory
from reconciler.state.register_store import remembered_in
from tests.controlplane.fixtures import Fleet
from tests.controlplane.plane import ControlPlane
from tests.scenarios.failover_world import FEDERATION, NAMES, WEB, FailoverWorld

SYSTEM = "federation-system"
NAMESPACE: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}}
NAMESPACES = RESTMapping("v1", "Namespace", "namespaces", namespaced=False)
SEATS = FEDERATION.replace("spec:\n", f"spec:\n  seats: [{', '.join(NAMES)}]\n", 1)


@dataclass
class SeatsWorld(FailoverWorld):
    """``run(at=...)`` is one run of a seat's CronJob, a minute after the one before."""

    turn: int = 0

    def begin(self, web: str = WEB, federation: str = SEATS) -> None:
        """Make the register, apply everything, and see all clusters healthy."""
        for name in NAMES:
            self.member(name).create(NAMESPACES, NAMESPACE)
        self.register().initialise(NAMES)
        self.options |= {"lease_duration": 10.0, "plan_only": False}
        super().begin(web, federation)

    def member(self, name: str) -> Member:
        connector = Connector.from_file(str(self.kubeconfig), SYSTEM, host_context=name)
        return connector.host(name)

    def register(self, *seats: str) -> Register:
        return Register({name: self.member(name) for name in seats or NAMES}, SYSTEM, "shop")

    def memory(self) -> FleetMemory:
        return remembered_in(self.register().latest(), "").memory

    def given(self, at: str, **options: object) -> RunOptions:
        named = {"repo": str(self.repository), "kubeconfig": str(self.kubeconfig)}
        own = {"host_context": at, "seat": at, "state": ""}
        return RunOptions(**{**named, **self.options, **own, **options})  # type: ignore[arg-type]

    def prepare_at(self, at: str, lock: RunLock | None = None, **options: object) -> Prepared:
        return make_plan(self.given(at, **options), lock=lock)

    def run(self, minutes: float = 1.0, at: str = "", **options: object) -> RunResult:
        """Without ``at`` the seats take turns."""
        at = at or NAMES[self.turn % len(NAMES)]
        self.turn += 1
        self.now += 60 * minutes
        given = self.given(at, **options)
        with RunLock(given) as lock:
            result = apply_plan(make_plan(given, lock=lock))
        self.wait_for_pods()
        return result


@pytest.fixture
def simulated(repository: Path) -> Iterator[SeatsWorld]:
    with Sandbox(list(NAMES), settings=ClusterSettings(nodes=2)) as sandbox:
        hosts = {name: sandbox.cluster(name) for name in NAMES}
        yield SeatsWorld(repository, sandbox.kubeconfig, hosts=hosts)


@pytest.fixture
def real(repository: Path, fleet: Fleet, control_plane: ControlPlane) -> Iterator[SeatsWorld]:
    clusters = dict(zip(NAMES, fleet(len(NAMES), controllers=True), strict=True))
    yield SeatsWorld(repository, control_plane.kubeconfig(clusters), hosts=clusters)
    for cluster in clusters.values():
        cluster.start()


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.integration)])
def world(request: pytest.FixtureRequest) -> SeatsWorld:
    """Everything is applied, running, and was seen healthy."""
    world: SeatsWorld = request.getfixturevalue(request.param)
    world.begin()
    return world
