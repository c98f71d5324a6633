"""The region that carried the reconciler is lost, rebuilt, and set back to an old snapshot.

Three real clusters with controllers, in which kwok's nodes run every Pod, and a real BIND. Runs
take turns at the seats, a minute apart by a clock that the test moves.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from reconciler.api.options import RunOptions
from reconciler.lock.run_lock import RunLock
from reconciler.plan.model import RunResult
from reconciler.run.pipeline import apply_plan, make_plan
from tests.command import run_command, user_environment
from tests.controlplane.cluster import Cluster
from tests.controlplane.fixtures import Fleet
from tests.controlplane.plane import ControlPlane
from tests.scenarios.failover_world import CLUSTERS, FEDERATION, NAMES, WEB, FailoverWorld
from tests.unit.dns.named import CREDENTIALS, ZONE, Named, federation
from tests.unit.dns.test_runs import SERVICE

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:octodns_bind"),
]

NAME = f"web.shop.{ZONE}"
HOST = "aws-eu"
OWN = "federation-system"
ADDRESSES = {"aws-eu": "192.0.2.1", "gcp-eu": "192.0.2.2", "gcp-us": "192.0.2.3"}
ROUND = len(NAMES)


@dataclass
class Seats(FailoverWorld):
    """``run_at`` lets a minute pass and runs at one seat, under the lock."""

    plane: ControlPlane | None = None
    clusters: dict[str, Cluster] = field(default_factory=dict)
    turn: int = 0

    def connect(self) -> None:
        """The kubeconfig's contexts lead to what the clusters are now."""
        assert self.plane is not None
        self.kubeconfig = self.plane.kubeconfig(self.clusters)
        self.hosts = self.clusters
        os.environ["KUBECONFIG"] = str(self.kubeconfig)

    def rules(self, port: int, *, seats: bool) -> str:
        dns = federation(port).partition("spec:\n")[2].partition("---")[0]
        head, spec, rest = FEDERATION.partition("spec:\n")
        listed = f"  seats: [{', '.join(NAMES)}]\n" if seats else ""
        return head + spec + listed + dns + rest

    def options_at(self, where: str, **more: Any) -> RunOptions:
        given = {"repo": str(self.repository), "kubeconfig": str(self.kubeconfig)}
        own = {"host_context": where, "seat": where, "plan_only": False, "clock": lambda: self.now}
        return RunOptions(**{**given, **own, **more})

    def run_at(self, where: str, **more: Any) -> RunResult:
        self.now += 60
        options = self.options_at(where, **more)
        with RunLock(options) as lock:
            result = apply_plan(make_plan(options, None, lock))
        self.until_ready()
        return result

    def rounds(self, *seats: str, count: int = 1) -> list[RunResult]:
        """One run at each of these seats in turn; a minute passes for one that is not there."""
        results = []
        for _ in range(count * ROUND):
            seat = NAMES[self.turn % ROUND]
            self.turn += 1
            if seat in seats:
                results.append(self.run_at(seat))
            else:
                self.now += 60
        return results

    def command(self, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        environment = user_environment(self.repository, KUBECONFIG=str(self.kubeconfig))
        return run_command(*arguments, cwd=self.repository, env=environment, code=code)

    def states(self) -> dict[str, str]:
        done = self.command("seats", "-o", "json", code=None)
        assert done.stdout, done.stderr
        return {one["name"]: one["state"] for one in json.loads(done.stdout)["seats"]}

    def give_addresses(self, *names: str) -> None:
        """What a cloud's controller does for a Service of type LoadBalancer."""
        for name in names:
            status = {"status": {"loadBalancer": {"ingress": [{"ip": ADDRESSES[name]}]}}}
            path = "/api/v1/namespaces/shop/services/web/status"
            self.clusters[name].patch(path, status)

    def serving(self, *names: str) -> Mapping[str, int]:
        return {name: self.ready(name) for name in names}


@pytest.fixture
def seats(
    tmp_path: Path,
    fleet: Fleet,
    control_plane: ControlPlane,
    named: Named,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Seats]:
    for name, value in {**CREDENTIALS, "KUBECONFIG": ""}.items():
        monkeypatch.setenv(name, value)
    repository = tmp_path / "repository"
    repository.mkdir()
    *three, spare = fleet(4)
    for cluster in (*three, spare):
        # As join does.
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OWN}}
        cluster.call("POST", "/api/v1/namespaces", namespace)
    for cluster in three:
        cluster.start_controllers(nodes=1)
    clusters = {**dict(zip(NAMES, three, strict=True)), "spare": spare}
    world = Seats(repository, Path(), plane=control_plane, clusters=clusters)
    world.connect()
    yield world
    for cluster in (*three, spare):
        cluster.start()


def begin_at_one_host(world: Seats, named: Named) -> None:
    """As a fleet is today: lock and memory are in one cluster, which runs its share of web, too."""
    world.write("federation.yaml", world.rules(named.port, seats=False))
    world.write("clusters.yaml", CLUSTERS)
    world.write("web.yaml", WEB + SERVICE)
    assert world.run_at(HOST, seat="").ok
    world.give_addresses(*NAMES)
    assert world.run_at(HOST, seat="").ok
    assert named.answer(NAME) == sorted(ADDRESSES.values())


def become_seats(world: Seats, named: Named) -> None:
    """From one host to three seats, and a first round at them."""
    world.write("federation.yaml", world.rules(named.port, seats=True))
    assert "reconcile seats init" in world.command("seats", code=1).stderr
    world.command("seats", "init", "--host-context", HOST)
    results = world.rounds(*NAMES)
    assert all(result.ok and not result.outcomes for result in results)
    assert set(world.states().values()) == {"counts"}


def test_the_region_that_hosts_everything_is_lost_built_anew_and_set_back(
    seats: Seats, named: Named
) -> None:
    begin_at_one_host(seats, named)
    become_seats(seats, named)
    others = [name for name in NAMES if name != HOST]

    # It is lost: within unhealthyAfter (3m) and one round its replicas and its name are elsewhere.
    lost = seats.clusters[HOST]
    lost.controllers.stop()
    lost.stop()
    results = seats.rounds(*others, count=2)
    assert results
    assert seats.ready(*others) == 6
    assert named.answer(NAME) == sorted(ADDRESSES[name] for name in others)
    assert seats.states()[HOST] == "unreachable"

    # It is rebuilt, empty and under the same name: it has no vote, and the others go on.
    spare = seats.clusters["spare"]
    spare.start_controllers(nodes=1)
    seats.clusters[HOST] = spare
    seats.connect()
    assert seats.states()[HOST] == "lost"
    assert f"{HOST} counts again" in seats.command("seats", "repair").stdout
    assert set(seats.states().values()) == {"counts"}
    seats.rounds(*others)
    assert seats.ready(*others) == 6
    seats.run_at("gcp-eu", take_over=True, clusters=(HOST,))
    seats.rounds(*NAMES, count=2)
    seats.give_addresses(HOST)
    seats.rounds(*NAMES, count=2)
    assert seats.counts() == dict.fromkeys(NAMES, 2)
    assert seats.ready(*NAMES) == 6
    assert named.answer(NAME) == sorted(ADDRESSES.values())

    # Its etcd is set back to a snapshot: its old copy does not count, and what it forgot is drift.
    snapshot = spare.etcd.contents(f"/{spare.name}")
    seats.write("web.yaml", (WEB + SERVICE).replace("web:1", "web:2"))
    assert all(result.ok for result in seats.rounds(*NAMES))
    spare.controllers.stop()
    spare.stop()
    now = spare.etcd.contents(f"/{spare.name}")
    spare.etcd.change(put=snapshot, delete=[key for key in now if key not in snapshot])
    spare.start()
    spare.start_controllers(nodes=1)
    assert seats.states()[HOST] == "aged"
    # The first run writes it a full copy.
    assert all(result.ok for result in seats.rounds(*NAMES))
    assert set(seats.states().values()) == {"counts"}
    container = seats.get("deployment", "web", cluster=HOST)["spec"]["template"]["spec"]
    assert container["containers"][0]["image"].endswith("web:2")
