"""What makes Deployments available: kube-controller-manager, kube-scheduler, and kwok's nodes."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.controlplane.build import Programs
from tests.controlplane.process import Server, StartFailed, eventually

if TYPE_CHECKING:
    from tests.controlplane.cluster import Cluster

# Those that need an address plan for nodes, or a cloud. The latter left with 1.37, which ends at
# once when it is told to do without a controller that it does not know.
_NO_ADDRESSES = ("node-ipam",)
_NO_CLOUD = ("node-route", "service-lb", "cloud-node-lifecycle")
_LAST_WITH_CLOUD = (1, 36)
_IN_EACH_NAMESPACE = (("serviceaccounts", "default"), ("configmaps", "kube-root-ca.crt"))


class MissingProgram(Exception):
    """KUBEBUILDER_ASSETS lacks what runs pods, and there is no Go to build it."""


class Controllers:
    """The processes of one cluster; they are started by the tests that need them."""

    def __init__(self, programs: Programs, directory: Path) -> None:
        self._programs = programs
        self._directory = directory
        self._servers: list[Server] = []

    @property
    def running(self) -> bool:
        return bool(self._servers)

    def start(self, cluster: Cluster, *, nodes: int) -> None:
        """Creates ``nodes`` Nodes, starts what is not running; returns when they are Ready, and
        each Namespace has what the controllers put into it."""
        if not self._programs.runs_pods:
            raise MissingProgram("kube-controller-manager, kube-scheduler or kwok")
        for number in range(nodes):
            _create_node(cluster, f"node-{number}")
        if not self._servers:
            for command in self._commands(cluster):
                name = Path(command[0]).name
                self._servers.append(Server(command, self._directory / f"{name}.log"))
        eventually(lambda: self._nodes_ready(cluster, nodes), f"{nodes} Ready nodes", timeout=60)
        eventually(lambda: _namespaces_filled(cluster), "what belongs to Namespaces", timeout=60)

    def stop(self) -> None:
        for server in self._servers:
            server.kill()
        self._servers.clear()

    def _commands(self, cluster: Cluster) -> list[list[str]]:
        programs = self._programs
        return [
            [
                str(programs.kube_controller_manager),
                f"--kubeconfig={cluster.kubeconfig('system:kube-controller-manager')}",
                f"--service-account-private-key-file={cluster.service_account_key}",
                f"--root-ca-file={cluster.certificate}",
                "--leader-elect=false",
                "--secure-port=0",
                "--kube-api-qps=200",
                "--kube-api-burst=400",
                f"--controllers={_controllers(programs.kube_controller_manager)}",
            ],
            [
                str(programs.kube_scheduler),
                f"--kubeconfig={cluster.kubeconfig('system:kube-scheduler')}",
                "--leader-elect=false",
                "--secure-port=0",
            ],
            [
                str(programs.kwok),
                f"--kubeconfig={cluster.kubeconfig('kwok')}",
                "--manage-all-nodes=true",
                "--node-lease-duration-seconds=40",
                f"--config={programs.kwok_stages}",
            ],
        ]

    def _nodes_ready(self, cluster: Cluster, count: int) -> bool:
        for server in self._servers:
            if not server.running:
                raise StartFailed(f"{server.log} ended:\n{server.tail()}")
        items = cluster.call("GET", "/api/v1/nodes", user="control-plane")["items"]
        ready = [
            node
            for node in items
            if {"type": "Ready", "status": "True"}.items()
            <= _condition(node.get("status", {}).get("conditions", []), "Ready").items()
            # The scheduler would still refuse a node that carries the not-ready taint.
            and not node["spec"].get("taints")
        ]
        return len(ready) >= count


def _namespaces_filled(cluster: Cluster) -> bool:
    """Or a test that looks at all there is, before and after, would take these for its own."""

    def metadata_of(resource: str) -> list[dict[str, str]]:
        items = cluster.call("GET", f"/api/v1/{resource}", user="control-plane")["items"]
        return [item["metadata"] for item in items]

    namespaces = {one["name"] for one in metadata_of("namespaces")}
    return all(
        namespaces <= {one["namespace"] for one in metadata_of(resource) if one["name"] == name}
        for resource, name in _IN_EACH_NAMESPACE
    )


def _controllers(program: Path | None) -> str:
    clouds = _NO_CLOUD if _version_of(program) <= _LAST_WITH_CLOUD else ()
    without = (*_NO_ADDRESSES, *clouds)
    return ",".join(["*", *(f"-{name}-controller" for name in without)])


@cache
def _version_of(program: Path | None) -> tuple[int, int]:
    """Major and minor, of ``Kubernetes v1.37.2``."""
    asked = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=True)
    major, minor = asked.stdout.split("v", 1)[1].split(".")[:2]
    return int(major), int(minor)


def _condition(conditions: list[dict[str, str]], kind: str) -> dict[str, str]:
    return next((condition for condition in conditions if condition["type"] == kind), {})


def _create_node(cluster: Cluster, name: str) -> None:
    room = {"cpu": "32", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "500"}
    body = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"allocatable": room, "capacity": room},
    }
    answer = cluster.request("POST", "/api/v1/nodes", body, user="control-plane")
    assert answer.status in {201, 409}, f"node {name} in {cluster.name}: {answer}"
