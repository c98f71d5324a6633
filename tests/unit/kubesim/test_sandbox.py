"""The sandbox as tests and the command line use it."""

from __future__ import annotations

import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml

from kubesim.cluster import Rejected, SimulatedCluster
from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from reconciler.api.objects import ObjectKey
from tests.definitions import definition

Object = dict[str, Any]


def manifest(text: str) -> Object:
    found: Object = yaml.safe_load(text)
    return found


SETTINGS = manifest("""
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: default}
data: {colour: red}
""")


def web(replicas: int = 3, name: str = "web") -> Object:
    return manifest(f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: default}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: web, image: "nginx:1"}}]}}
""")


@pytest.fixture
def cluster() -> Iterator[SimulatedCluster]:
    with Sandbox(["aws-eu"], settings=ClusterSettings(ready_after=5)) as sandbox:
        yield sandbox.cluster("aws-eu")


def status(cluster: SimulatedCluster, name: str = "web") -> Object:
    found: Object = cluster.get("Deployment", name, "default")["status"]
    return found


# -- the fleet ------------------------------------------------------------------------------------


def test_the_kubeconfig_has_a_context_for_each_cluster() -> None:
    with Sandbox(["aws-eu", "gcp-eu"]) as sandbox:
        path = sandbox.kubeconfig
        config = yaml.safe_load(path.read_text())
        assert [c["name"] for c in config["contexts"]] == ["aws-eu", "gcp-eu"]
        assert config["current-context"] == "aws-eu"
        servers = {c["name"]: c["cluster"]["server"] for c in config["clusters"]}
        assert servers["gcp-eu"] == sandbox.cluster("gcp-eu").url
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


def test_clusters_know_nothing_of_each_other() -> None:
    with Sandbox(["a", "b"]) as sandbox:
        sandbox.cluster("a").create(SETTINGS)
        assert sandbox.cluster("a").find("ConfigMap", "settings", "default")
        assert not sandbox.cluster("b").find("ConfigMap", "settings", "default")


def test_what_was_applied_is_there_in_the_next_process(tmp_path: Path) -> None:
    with Sandbox(["a"], state=tmp_path) as sandbox:
        before = sandbox.cluster("a").apply(SETTINGS, manager="ours")
    with Sandbox(["a"], state=tmp_path) as sandbox:
        assert sandbox.cluster("a").get("ConfigMap", "settings", "default") == before
        assert sandbox.cluster("a").apply(SETTINGS, manager="ours") == before
    Sandbox.reset(tmp_path)
    with Sandbox(["a"], state=tmp_path) as sandbox:
        assert not sandbox.cluster("a").find("ConfigMap", "settings", "default")


def test_custom_kinds_are_served_in_the_next_process(tmp_path: Path) -> None:
    gadget = {"apiVersion": "example.com/v1", "kind": "Gadget", "metadata": {"name": "one"}}
    settings = ClusterSettings(established_after=0)
    with Sandbox(["a"], state=tmp_path, settings=settings) as sandbox:
        sandbox.cluster("a").apply(definition("Gadget", scope="Cluster"))
        sandbox.cluster("a").objects  # noqa: B018 - lets due work be done
        sandbox.cluster("a").apply(gadget)
    with Sandbox(["a"], state=tmp_path, settings=settings) as sandbox:
        assert sandbox.cluster("a").get("Gadget.example.com", "one")


def test_a_fleet_in_its_own_process(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    command = [sys.executable, "-m", "kubesim", "--clusters", "20"]
    command += ["--kubeconfig", str(kubeconfig), "--until-stdin-closes"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert "20 clusters are ready" in process.stdout.readline()
        config = yaml.safe_load(kubeconfig.read_text())
        for found in (config["clusters"][0], config["clusters"][-1]):
            answer = urllib3.request("GET", found["cluster"]["server"] + "/readyz")
            assert answer.data == b"ok"
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(20) == 0


def test_starting_three_clusters_takes_no_time() -> None:
    began = time.perf_counter()
    with Sandbox(["a", "b", "c"]) as sandbox:
        for cluster in sandbox.clusters:
            assert urllib3.request("GET", f"{cluster.url}/api/v1/namespaces").status == 200
    assert time.perf_counter() - began < 1.0


# -- what is in a cluster -------------------------------------------------------------------------


def test_nodes_are_labelled_with_the_place_of_the_cluster() -> None:
    settings = ClusterSettings(region="eu-central-1", provider="aws", nodes=2)
    with Sandbox(["aws-eu"], settings={"aws-eu": settings}) as sandbox:
        cluster = sandbox.cluster("aws-eu")
        nodes = [obj for key, obj in cluster.objects.items() if key.kind == "Node"]
        assert len(nodes) == 2
        labels = nodes[0]["metadata"]["labels"]
        assert labels["topology.kubernetes.io/region"] == "eu-central-1"
        assert labels["topology.kubernetes.io/zone"] == "eu-central-1-a"
        assert nodes[0]["spec"]["providerID"].startswith("aws:///eu-central-1/")
        cluster.set_ready_nodes(1)
        nodes = [obj for key, obj in cluster.objects.items() if key.kind == "Node"]
        states = [node["status"]["conditions"][0]["status"] for node in nodes]
        assert states == ["True", "Unknown"]


def test_objects_are_keyed_by_identity(cluster: SimulatedCluster) -> None:
    cluster.create(web())
    assert ObjectKey("apps", "Deployment", "default", "web") in cluster.objects


def test_a_deployment_is_available_when_its_time_has_come(cluster: SimulatedCluster) -> None:
    cluster.create(web(3))
    assert status(cluster)["unavailableReplicas"] == 3
    assert status(cluster)["observedGeneration"] == 1
    cluster.clock.advance(6)
    assert status(cluster)["availableReplicas"] == 3
    assert "unavailableReplicas" not in status(cluster)


def test_a_scaled_deployment_keeps_what_runs(cluster: SimulatedCluster) -> None:
    cluster.create(web(3))
    cluster.clock.advance(6)
    status(cluster)
    cluster.edit("Deployment", "web", {"spec": {"replicas": 5}}, namespace="default")
    assert status(cluster)["availableReplicas"] == 3
    cluster.clock.advance(6)
    assert status(cluster)["availableReplicas"] == 5


def test_a_cluster_is_full_when_its_nodes_are() -> None:
    settings = ClusterSettings(nodes=2, pods_per_node=4, ready_after=0)
    with Sandbox(["a"], settings=settings) as sandbox:
        cluster = sandbox.cluster("a")
        cluster.create(web(6, "first"))
        cluster.create(web(6, "second"))
        assert status(cluster, "first")["availableReplicas"] == 6
        assert status(cluster, "second")["availableReplicas"] == 2
        cluster.delete("Deployment", "first", namespace="default")
        assert status(cluster, "second")["availableReplicas"] == 6


def test_a_deployment_without_room_misses_its_deadline() -> None:
    settings = ClusterSettings(nodes=1, pods_per_node=1, ready_after=0)
    with Sandbox(["a"], settings=settings) as sandbox:
        cluster = sandbox.cluster("a")
        cluster.create(web(3))
        cluster.clock.advance(601)
        conditions = {c["type"]: c for c in status(cluster)["conditions"]}
        assert conditions["Progressing"]["reason"] == "ProgressDeadlineExceeded"
        assert conditions["Available"]["status"] == "False"


def test_without_ready_nodes_nothing_is_available() -> None:
    with Sandbox(["a"], settings=ClusterSettings(ready_after=0)) as sandbox:
        cluster = sandbox.cluster("a")
        cluster.create(web(3))
        assert status(cluster)["availableReplicas"] == 3
        cluster.set_ready_nodes(0)
        assert status(cluster)["unavailableReplicas"] == 3


def test_a_load_balancer_gets_an_address_of_its_cluster() -> None:
    hosts = ClusterSettings(ready_after=0, load_balancer_hostnames=True, region="eu-west-1")
    addresses = ClusterSettings(ready_after=0, load_balancer_prefix="198.51.100")
    service = manifest("""
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80}]}
""")
    with Sandbox(["aws", "gcp"], settings={"aws": hosts, "gcp": addresses}) as sandbox:
        found = {}
        for cluster in sandbox.clusters:
            cluster.create(service)
            live = cluster.get("Service", "web", "default")
            (found[cluster.name],) = live["status"]["loadBalancer"]["ingress"]
    assert found["aws"]["hostname"].endswith(".eu-west-1.elb.example.net")
    assert found["gcp"]["ip"].startswith("198.51.100.")


def test_a_job_completes_and_a_claim_is_bound() -> None:
    job = manifest("""
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, namespace: default, labels: {app: shop}}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: "a:1"}]}}}
""")
    claim = manifest("""
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: default}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
""")
    with Sandbox(["a"], settings=ClusterSettings(ready_after=0)) as sandbox:
        cluster = sandbox.cluster("a")
        cluster.create(job)
        cluster.create(claim)
        done = cluster.get("Job", "migrate", "default")["status"]
        assert {c["type"] for c in done["conditions"]} == {"SuccessCriteriaMet", "Complete"}
        assert cluster.get("PersistentVolumeClaim", "data", "default")["status"]["phase"] == "Bound"


# -- somebody else's hand -------------------------------------------------------------------------


def test_an_edit_is_owned_by_who_made_it(cluster: SimulatedCluster) -> None:
    cluster.apply(SETTINGS, manager="ours")
    edited = cluster.edit(
        "ConfigMap", "settings", {"data": {"colour": "blue"}}, namespace="default"
    )
    owners = {e["manager"]: e["operation"] for e in edited["metadata"]["managedFields"]}
    assert owners == {"kubectl-edit": "Update"}
    with pytest.raises(Rejected, match="conflict with"):
        cluster.apply(SETTINGS, manager="ours")


def test_an_edit_may_be_a_function(cluster: SimulatedCluster) -> None:
    cluster.create(web())

    def drop_replicas(obj: Object) -> None:
        obj["spec"]["replicas"] = 1

    edited = cluster.edit(
        "Deployment.apps", "web", drop_replicas, namespace="default", manager="cronjob"
    )
    assert edited["spec"]["replicas"] == 1


def test_what_is_not_there_cannot_be_edited(cluster: SimulatedCluster) -> None:
    with pytest.raises(KeyError, match="nope"):
        cluster.edit("ConfigMap", "nope", {"data": {}}, namespace="default")
