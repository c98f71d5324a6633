"""An Indexed Job that Kubernetes' own controller made of the CronJob; its pods, run for real."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.controlplane.cluster import Cluster
from tests.controlplane.fixtures import Fleet, Kubectl
from tests.controlplane.plane import ControlPlane
from tests.controlplane.process import eventually
from tests.unit.join.conftest import FEDERATION, SHOP, desk_of

from .conftest import Host, serving
from .pods import NAMESPACE, Ended, Pod

PLACEMENT = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{kind: Deployment, name: web}]
  replicas: {mode: Divided, total: 6}
"""
ROUND = f"/api/v1/namespaces/{NAMESPACE}/configmaps/federation-shop-round"
MEMORY = f"/api/v1/namespaces/{NAMESPACE}/configmaps/federation-shop-memory"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/federation-shop"


@dataclass
class ShardedFleet:
    """Three members, of which one is the host itself: one for each shard."""

    host: Host
    members: dict[str, Cluster]
    kubectl: Kubectl

    def job(self, name: str) -> list[Pod]:
        """Its pods, in the order of their indexes, as the Job's controller made them."""
        cluster = self.host.cluster
        self.kubectl(cluster, "-n", NAMESPACE, "create", "job", name, "--from=cronjob/reconcile")
        path = f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=job-name={name}"
        eventually(lambda: len(cluster.call("GET", path)["items"]) == 3, "three pods", 60)
        pods = cluster.call("GET", path)["items"]
        index = "batch.kubernetes.io/job-completion-index"
        pods.sort(key=lambda pod: int(pod["metadata"]["annotations"][index]))
        return [
            Pod(cluster, pod, self.host.folder / "pods" / pod["metadata"]["name"]) for pod in pods
        ]

    def run(self, name: str) -> list[Ended]:
        pods = [pod.begin() for pod in self.job(name)]
        return [pod.wait() for pod in pods]

    def replicas(self) -> list[int]:
        path = "/apis/apps/v1/namespaces/shop/deployments/web"
        return [one.call("GET", path)["spec"]["replicas"] for one in self.members.values()]


@pytest.fixture
def sharded(
    fleet: Fleet, control_plane: ControlPlane, tmp_path: Path, kubectl: Kubectl
) -> Iterator[ShardedFleet]:
    main, aws, gcp = fleet(3)
    main.start_controllers()
    members = {"aws-eu": aws, "gcp-eu": gcp, "main": main}
    desk = desk_of(control_plane, tmp_path, main, aws)
    desk.environment["KUBECONFIG"] = str(control_plane.kubeconfig({**members, "host": main}))
    desk.write("federation.yaml", FEDERATION)
    desk.write("shop.yaml", f"{SHOP}---\n{PLACEMENT}")
    for name in members:
        desk.run("join", name, "--host-context", "host")
    with serving(desk, tmp_path) as host:
        host.commit()
        host.apply("overlays/sharded")
        yield ShardedFleet(host, members, kubectl)


def test_three_pods_do_one_run(sharded: ShardedFleet) -> None:
    host = sharded.host
    with host.cluster.recorded() as at_home:
        ended = sharded.run("first")
    assert [one.code for one in ended] == [0, 0, 0], [one.said for one in ended]
    # Each has one cluster, and together they have all of them.
    assert all("over 1 cluster" in one.said for one in ended)
    assert sharded.replicas() == [2, 2, 2]
    ours = [request for request in at_home if request.user == host.account()]
    assert not [request for request in ours if request.code in (401, 403)]
    state = json.loads(host.cluster.call("GET", ROUND)["data"]["round.json"])
    job = host.cluster.call("GET", f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/first")
    assert state["round"] == job["metadata"]["uid"]
    assert state["ended"] == {"0": True, "1": True, "2": True}
    assert "holderIdentity" not in host.cluster.call("GET", LEASE)["spec"]
    memory = json.loads(host.cluster.call("GET", MEMORY)["data"]["memory.json"])
    assert memory["commit"] == host.commit_id()


def test_a_shard_that_fails_holds_up_no_other(sharded: ShardedFleet) -> None:
    first = sharded.run("first")
    assert [one.code for one in first] == [0, 0, 0], [one.said for one in first]
    sharded.members["gcp-eu"].stop()
    sharded.host.desk.write("shop.yaml", f"{SHOP.replace('green', 'blue')}---\n{PLACEMENT}")
    sharded.host.commit()
    second = sharded.run("second")
    assert sorted(one.code for one in second) == [0, 0, 1], [one.said for one in second]
    (failed,) = [one for one in second if one.code]
    assert "gcp-eu" in failed.said
    colour = "/api/v1/namespaces/shop/configmaps/settings"
    for name in ("aws-eu", "main"):
        assert sharded.members[name].call("GET", colour)["data"] == {"colour": "blue"}
    sharded.members["gcp-eu"].start()
    third = sharded.run("third")
    assert [one.code for one in third] == [0, 0, 0], [one.said for one in third]
    assert sharded.members["gcp-eu"].call("GET", colour)["data"] == {"colour": "blue"}
