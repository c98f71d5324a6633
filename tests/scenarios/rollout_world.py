"""Three clusters, one in each wave; commits of a Git repository reach them one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from kubesim.cluster import SimulatedCluster
from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from reconciler.cluster.connect import Connector
from reconciler.plan.model import Plan, RunResult
from reconciler.rollout.model import RolloutView
from reconciler.state.memory import FleetMemory, RolloutMemory, RolloutPhase, encode_memory
from reconciler.state.stores import ConfigMapStore
from tests.controlplane.process import eventually
from tests.scenarios.failover_world import CLUSTERS, FEDERATION, NAMES, WEB, FailoverWorld
from tests.scenarios.seats_world import NAMESPACE, SYSTEM
from tests.unit.git.repositories import commit, git

FIRST, SECOND, LAST = NAMES
BROKEN = "broken"
"""The tag of the image whose Pods never become ready."""


def rules(
    federation: str = FEDERATION,
    wave: str = "soak: 0s",
    waves: tuple[str, str] = (FIRST, SECOND),
    **more: str,
) -> str:
    """A Federation with a wave for each cluster; ``wave`` are the terms of each, ``waves`` the
    clusters of the first two."""
    others = "".join(f"    {name}: {value}\n" for name, value in more.items())
    return f"""{federation.rstrip()}
  rollout:
    waves:
      - {{name: canary, clusters: [{waves[0]}], {wave}}}
      - {{name: next, clusters: [{waves[1]}], {wave}}}
      - {{name: others, {wave}}}
    progressDeadline: 10m
{others}"""


def web(tag: str, *, total: int = 6) -> str:
    """The workload, in a version."""
    return WEB.replace("web:1", f"web:{tag}").replace("replicas: 6", f"replicas: {total}")


def config_map(name: str, **data: str) -> str:
    lines = "".join(f"  {key}: {value}\n" for key, value in data.items())
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: shop}}\n" + (
        f"data:\n{lines}" if data else ""
    )


@dataclass
class RolloutWorld(FailoverWorld):
    """``commit`` what Git is to say, ``run`` a minute later, and see who is on which version."""

    hosts: Mapping[str, Any] = field(default_factory=dict)
    space: str = "shop"

    def begin(self, web: str = WEB, federation: str = "", *, waves: bool = True) -> None:
        """One commit, applied everywhere at once, as the first one is."""
        git(self.repository, "init", "-q", "-b", "main")
        self.options |= {"clock": lambda: self.now, "plan_only": False, **self.memory_options()}
        self.wait_for_pods = self.settle
        self.commit({"federation.yaml": federation or rules(), "clusters.yaml": CLUSTERS}, web=web)
        for _ in range(2):
            assert self.run().ok
        assert not waves or self.commits() == dict.fromkeys(NAMES, self.head)

    def memory_options(self) -> dict[str, Any]:
        """Where runs remember, and what keeps them apart."""
        return {"state": str(self.state), "lock": "none"}

    # -- what Git says --------------------------------------------------------------------------

    def commit(self, files: Mapping[str, str] | None = None, *, web: str = "") -> str:
        """Returns its name."""
        return commit(self.repository, {**(files or {}), **({"web.yaml": web} if web else {})})

    def revert(self) -> str:
        git(self.repository, "revert", "--no-edit", "HEAD")
        return self.head

    @property
    def head(self) -> str:
        return git(self.repository, "rev-parse", "HEAD")

    # -- how the fleet is -----------------------------------------------------------------------

    def find(self, name: str, kind: str, which: str) -> Any:
        """An object in the namespace, or that itself; None where it is not."""
        host = self.hosts[name]
        if isinstance(host, SimulatedCluster):
            return host.find(kind, which, "" if kind == "Namespace" else self.space)
        path = {
            "Deployment": f"/apis/apps/v1/namespaces/{self.space}/deployments/",
            "ConfigMap": f"/api/v1/namespaces/{self.space}/configmaps/",
            "Namespace": "/api/v1/namespaces/",
        }[kind]
        answer = host.request("GET", path + which)
        return answer.body if answer.status == 200 else None

    def deployment(self, name: str) -> Any:
        return self.find(name, "Deployment", "web")

    def versions(self, *names: str) -> dict[str, str]:
        """The tag of the image that each cluster is to run; empty where it runs none."""
        found = {}
        for name in names or NAMES:
            one = self.deployment(name)
            template = one["spec"]["template"]["spec"] if one else {"containers": [{"image": ":"}]}
            found[name] = template["containers"][0]["image"].rpartition(":")[2]
        return found

    def shares(self, *names: str) -> dict[str, int]:
        return {n: one["spec"]["replicas"] for n in names or NAMES if (one := self.deployment(n))}

    def ready(self, *names: str) -> int:
        found = [self.deployment(name) for name in names or NAMES]
        return sum((one["status"] or {}).get("readyReplicas", 0) for one in found if one)

    def settle(self) -> None:
        """Waits until every Deployment whose image can become ready is."""
        for name in NAMES:
            if self.stands(name):
                continue
            eventually(lambda name=name: self.is_settled(name), f"web is ready in {name}", 60)

    def stands(self, name: str) -> bool:
        host = self.hosts[name]
        if not host.running or host.paused or host.controllers.frozen:
            return True
        return bool(host.controllers.broken) and self.versions(name)[name] == BROKEN

    def is_settled(self, name: str) -> bool:
        one = self.deployment(name)
        if one is None or not one["spec"]["replicas"]:
            return True
        status = one.get("status") or {}
        return bool(
            status.get("observedGeneration") == one["metadata"]["generation"]
            and status.get("readyReplicas") == one["spec"]["replicas"]
            and status.get("updatedReplicas") == one["spec"]["replicas"]
        )

    def freeze(self, *names: str) -> None:
        """No Pod becomes ready any more, in these clusters, or in all."""
        for name in names or NAMES:
            self.hosts[name].controllers.frozen = True

    def thaw(self) -> None:
        for host in self.hosts.values():
            host.controllers.frozen = False
            with host.server.lock:
                host.controllers.settle_all()

    @contextmanager
    def writes(self) -> Iterator[dict[str, list[str]]]:
        """What each cluster was asked to write meanwhile; filled when the block ends."""
        found: dict[str, list[str]] = {}
        before = {name: len(host.requests) for name, host in self.hosts.items()}
        yield found
        for name, host in self.hosts.items():
            found[name] = [
                f"{one.method} {one.path}"
                for one in list(host.requests)[before[name] :]
                if one.method not in ("GET", "HEAD") and "dryRun" not in one.query
            ]

    # -- how the rollout is ---------------------------------------------------------------------

    @property
    def rollout(self) -> RolloutMemory:
        found = self.memory().rollout
        assert found is not None
        return found

    def commits(self) -> dict[str, str]:
        """Of each cluster, as runs remember it."""
        memory = self.rollout
        return {name: memory.commits.get(name, memory.stable) for name in NAMES}

    def steer(self, **changes: Any) -> None:
        """What ``reconcile rollout`` writes into the memory."""
        memory = self.memory()
        assert memory.rollout is not None
        memory = replace(memory, rollout=replace(memory.rollout, **changes))
        self.state.write_bytes(encode_memory(memory))

    def run_until_stable(self, most: int = 12) -> RunResult:
        for _ in range(most):
            result = self.run()
            if not self.rollout.candidate:
                return result
        raise AssertionError(f"it stands: {self.rollout}")

    def fail(self, tag: str = BROKEN, total: int = 6) -> str:
        """A commit whose Pods never become ready, until its wave has failed."""
        bad = self.commit(web=web(tag, total=total))
        self.freeze()
        for _ in range(13):
            self.run()
        assert self.rollout.phase is RolloutPhase.FAILED, self.rollout
        return bad

    def view(self, **options: Any) -> RolloutView:
        plan: Plan = self.plan(plan_only=True, **options)
        assert plan.rollout is not None
        return plan.rollout


@dataclass
class RolloutAtHost(RolloutWorld):
    """Lock and memory are in a member, the second cluster unless ``host`` says otherwise."""

    host: str = SECOND

    def memory_options(self) -> dict[str, Any]:
        self.hosts[self.host].create(NAMESPACE)
        return {"host_context": self.host, "lease_duration": 30.0}

    def store(self) -> ConfigMapStore:
        host = Connector.from_file(str(self.kubeconfig), SYSTEM, host_context=self.host).host()
        return ConfigMapStore(host, self.space, SYSTEM)

    def memory(self) -> FleetMemory:
        return self.store().read().memory


@pytest.fixture
def simulated(repository: Path) -> Iterator[RolloutWorld]:
    with Sandbox(list(NAMES), settings=ClusterSettings(nodes=2)) as sandbox:
        hosts = {name: sandbox.cluster(name) for name in NAMES}
        yield RolloutWorld(repository, sandbox.kubeconfig, hosts=hosts)
