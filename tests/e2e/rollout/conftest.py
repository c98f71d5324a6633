"""Three real clusters with controllers, in which kwok's nodes run every Pod but those of one image.

Controllers take seconds to start, so one set serves all tests of a module: each test has a
Federation and a Namespace of its own.
"""

from __future__ import annotations

import dataclasses
import itertools
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from reconciler.api.options import RunOptions
from reconciler.cluster.connect import Connector
from reconciler.lock.run_lock import RunLock
from reconciler.plan.model import RunResult
from reconciler.run.pipeline import apply_plan, make_plan
from reconciler.seats.register import Register
from reconciler.shard.split import Shard
from reconciler.state.memory import FleetMemory
from reconciler.state.register_store import remembered_in
from tests.controlplane.cluster import Cluster
from tests.controlplane.controllers import Controllers
from tests.controlplane.fixtures import give_up
from tests.controlplane.plane import ControlPlane
from tests.scenarios.failover_world import FEDERATION, NAMES, WEB
from tests.scenarios.rollout_world import BROKEN, LAST, RolloutAtHost, rules, web
from tests.scenarios.seats_world import NAMESPACE, SEATS, SYSTEM

Servers = Mapping[str, Cluster]


@pytest.fixture(scope="module")
def servers(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Servers]:
    """By their names in the repository; what runs remember is in the last one."""
    clusters = control_plane.clusters(len(NAMES))
    folder = tmp_path_factory.mktemp("stages")
    usual = [cluster.controllers for cluster in clusters]
    for number, cluster in enumerate(clusters):
        cluster.controllers.stop()
        cluster.clean()
        programs = control_plane.programs[number % len(control_plane.programs)]
        if not programs.runs_pods or programs.kwok_stages is None:
            give_up("kube-controller-manager, kube-scheduler or kwok is missing")
            return
        stages = folder / f"{number}.yaml"
        stages.write_text(_without_ready(programs.kwok_stages.read_text()))
        own = dataclasses.replace(programs, kwok_stages=stages)
        cluster.controllers = Controllers(own, cluster.directory)
        cluster.start_controllers(nodes=1)
        cluster.call("POST", "/api/v1/namespaces", NAMESPACE)
    yield dict(zip(NAMES, clusters, strict=True))
    for cluster, before in zip(clusters, usual, strict=True):
        cluster.start()
        cluster.controllers.stop()
        cluster.controllers = before


def _without_ready(stages: str) -> str:
    """kwok's stages, by which no Pod of the broken image becomes ready."""
    documents = list(yaml.safe_load_all(stages))
    (ready,) = [one for one in documents if one["metadata"]["name"] == "pod-ready"]
    ready["spec"]["selector"]["matchExpressions"].append(
        {
            "key": ".spec.containers.[].image",
            "operator": "NotIn",
            "values": [f"registry.invalid/web:{BROKEN}"],
        }
    )
    return yaml.safe_dump_all(documents)


@dataclass
class RolloutOnServers(RolloutAtHost):
    """``run`` holds the lock, as the command does."""

    host: str = LAST
    gone: set[str] = field(default_factory=set)
    turns: Iterator[int] = field(default_factory=itertools.count)

    seats: bool = False

    def begin(self, web: str = WEB, federation: str = "") -> None:
        super().begin(web, federation or rules(SEATS if self.seats else FEDERATION))

    def memory_options(self) -> dict[str, Any]:
        if not self.seats:
            return {"host_context": self.host, "lease_duration": 30.0}
        self.register().initialise(NAMES)
        return {"lease_duration": 10.0}

    def register(self) -> Register:
        members = {
            name: Connector.from_file(str(self.kubeconfig), SYSTEM, host_context=name).host()
            for name in NAMES
        }
        return Register(members, SYSTEM, self.space)

    def memory(self) -> FleetMemory:
        if self.seats:
            return remembered_in(self.register().latest(), "").memory
        return super().memory()

    def steer(self, **changes: Any) -> None:
        found = self.store().read()
        assert found.memory.rollout is not None
        rollout = msgspec.structs.replace(found.memory.rollout, **changes)
        self.store().write(msgspec.structs.replace(found.memory, rollout=rollout), found.version)

    def commit(self, files: Mapping[str, str] | None = None, *, web: str = "") -> str:
        """All that is named for the shop is named for this test."""
        own = {name: text.replace("shop", self.space) for name, text in (files or {}).items()}
        return super().commit(own, web=web.replace("shop", self.space))

    def given(self, **options: Any) -> RunOptions:
        where = {"repo": str(self.repository), "kubeconfig": str(self.kubeconfig)}
        return RunOptions(**{**where, **self.options, **options})

    def run(self, minutes: float = 1.0, at: str = "", **options: Any) -> RunResult:
        """``at``: the seat, where there are some; without it they take turns."""
        self.now += 60 * minutes
        if self.seats:
            at = at or NAMES[next(self.turns) % len(NAMES)]
            options |= {"host_context": at, "seat": at}
        given = self.given(**options)
        with RunLock(given) as lock:
            result = apply_plan(make_plan(given, lock=lock))
        self.wait_for_pods()
        return result

    def job(self, minutes: float = 1.0) -> list[RunResult]:
        """Pods that have one cluster each, and share a run."""
        self.now += 60 * minutes
        name, count = uuid.uuid4().hex, len(NAMES)

        def pod(index: int) -> RunResult:
            given = self.given(shard=str(Shard(index, count, name)), round=name)
            with RunLock(given) as lock:
                return apply_plan(make_plan(given, lock=lock))

        with ThreadPoolExecutor(count) as pool:
            results = list(pool.map(pod, range(count)))
        self.wait_for_pods()
        return results

    def fail(self, tag: str = BROKEN, total: int = 6) -> str:
        """A commit whose Pods never become ready, until its wave has failed."""
        bad = self.commit(web=web(tag, total=total))
        for minutes in (1, 1, 5, 5):
            self.run(minutes)
        assert self.rollout.phase == "Failed", self.rollout
        return bad

    def lose(self, name: str) -> None:
        self.gone.add(name)
        self.hosts[name].stop()

    def bring_back(self, name: str) -> None:
        self.hosts[name].start()
        self.gone.discard(name)

    def stands(self, name: str) -> bool:
        return name in self.gone or self.versions(name) == {name: BROKEN}

    @contextmanager
    def writes(self) -> Iterator[dict[str, list[str]]]:
        found: dict[str, list[str]] = {}
        with ExitStack() as stack:
            recorded = {
                name: stack.enter_context(host.recorded()) for name, host in self.hosts.items()
            }
            yield found
        for name, requests in recorded.items():
            found[name] = [f"{r.verb} {r.path}" for r in requests if r.writes]

    def beside_the_memory(self, writes: list[str]) -> list[str]:
        """Those that are not of the lock and the memory."""
        own = (
            f"/namespaces/{SYSTEM}/leases/federation-{self.space}",
            f"/namespaces/{SYSTEM}/leases",
            f"/namespaces/{SYSTEM}/configmaps/federation-{self.space}-memory",
            f"/namespaces/{SYSTEM}/configmaps/federation-{self.space}-round",
            f"/namespaces/{SYSTEM}/configmaps",
        )
        return [line for line in writes if not line.endswith(own)]


@dataclass(frozen=True)
class Proxied:
    """A cluster as a kubeconfig names it, behind a proxy."""

    url: str
    certificate: Path
    tokens: Mapping[str, str]


_NUMBERS = itertools.count(1)


@pytest.fixture
def new_world(
    servers: Servers, control_plane: ControlPlane, tmp_path: Path
) -> Iterator[Callable[..., RolloutOnServers]]:
    """``new_world(federation)``: the first commit is everywhere."""
    made: list[RolloutOnServers] = []

    def make(federation: str = "", **options: Any) -> RolloutOnServers:
        repository = tmp_path / "repository"
        repository.mkdir()
        kubeconfig = control_plane.kubeconfig(servers)
        space = f"shop{next(_NUMBERS)}"
        world = RolloutOnServers(repository, kubeconfig, hosts=servers, space=space, **options)
        made.append(world)
        world.begin(federation=federation)
        return world

    yield make
    for world in made:
        for name in set(world.gone):
            world.bring_back(name)


@pytest.fixture
def world(new_world: Callable[..., RolloutOnServers]) -> RolloutOnServers:
    return new_world()
