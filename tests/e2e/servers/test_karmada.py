"""From a Karmada API server to a fleet, on real servers: import, plan, apply, and room on nodes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.command import run_command, user_environment
from tests.controlplane.cluster import Cluster
from tests.controlplane.fixtures import Fleet, Kubectl
from tests.controlplane.plane import ControlPlane
from tests.controlplane.process import eventually
from tests.definitions import definition

OF_KARMADA = [
    ("cluster.karmada.io", "Cluster", "clusters", "Cluster"),
    ("policy.karmada.io", "PropagationPolicy", "propagationpolicies", "Namespaced"),
    ("policy.karmada.io", "ClusterPropagationPolicy", "clusterpropagationpolicies", "Cluster"),
    ("policy.karmada.io", "OverridePolicy", "overridepolicies", "Namespaced"),
    ("policy.karmada.io", "ClusterOverridePolicy", "clusteroverridepolicies", "Cluster"),
]
CLUSTERS = """
apiVersion: cluster.karmada.io/v1alpha1
kind: Cluster
metadata: {name: aws}
spec: {syncMode: Push, provider: aws, region: eu}
---
apiVersion: cluster.karmada.io/v1alpha1
kind: Cluster
metadata: {name: gcp}
spec: {syncMode: Push, provider: gcp, region: us}
"""
WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: docker.io/shop/web:1
          resources: {requests: {cpu: CPU}}
"""
POLICIES = """
apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {name: web, namespace: shop}
spec:
  resourceSelectors: [{apiVersion: apps/v1, kind: Deployment, name: web}]
  placement:
    replicaScheduling:
      replicaSchedulingType: Divided
      replicaDivisionPreference: Aggregated
---
apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {name: web, namespace: shop}
spec:
  overrideRules:
    - targetCluster: {clusterNames: [aws]}
      overriders:
        imageOverrider: [{component: Registry, operator: replace, value: eu.example.com}]
"""


@pytest.mark.timeout(240)
def test_a_fleet_of_karmada_is_taken_over_and_goes_by_the_room_on_nodes(
    fleet: Fleet, control_plane: ControlPlane, kubectl: Kubectl, tmp_path: Path
) -> None:
    karmada, aws, gcp = fleet(3, controllers=True)
    for group, kind, plural, scope in OF_KARMADA:
        body = definition(kind, group, plural=plural, scope=scope, versions=("v1alpha1",))
        karmada.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body)
    for group, _, plural, _ in OF_KARMADA:
        path = f"/apis/{group}/v1alpha1/{plural}"
        eventually(lambda path=path: karmada.request("GET", path).status == 200, path)
    kubectl(karmada, "create", "namespace", "shop")
    # A node has room for so many of these, and one more does not fit.
    (node,) = aws.call("GET", "/api/v1/nodes")["items"]
    cpus = int(node["status"]["allocatable"]["cpu"])
    each = cpus * 1000 // 4 - 1
    web = WEB.replace("CPU", f"{each}m")
    source = tmp_path / "karmada.yaml"
    source.write_text("---".join([CLUSTERS, POLICIES, web]))
    kubectl(karmada, "apply", "-f", str(source))
    kubeconfig = control_plane.kubeconfig({"karmada": karmada, "aws": aws, "gcp": gcp})
    environment = user_environment(tmp_path, KUBECONFIG=str(kubeconfig))
    repo = tmp_path / "fleet"

    def reconcile(*arguments: str) -> str:
        done = run_command(*arguments, env=environment, code=0)
        return done.stdout + done.stderr

    said = reconcile("import", "--from", "karmada", "--context", "karmada", "--to", str(repo))
    assert "Valid: 2 Cluster, 1 Deployment, 1 Namespace, 1 OverridePolicy" in said
    planned = reconcile("--plan", "--repo", str(repo))
    assert "shop/web: aws 0 -> 4" in planned
    reconcile("--yes", "--repo", str(repo))

    def web_in(server: Cluster) -> dict:
        return server.call("GET", "/apis/apps/v1/namespaces/shop/deployments/web")

    image = web_in(aws)["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == "eu.example.com/shop/web:1"
    eventually(lambda: web_in(aws)["status"].get("readyReplicas") == 4, "all have found room")

    def wanted(replicas: int) -> None:
        manifest = repo / "shop" / "deployment-web.yaml"
        body = yaml.safe_load(manifest.read_text())
        body["spec"]["replicas"] = replicas
        manifest.write_text(yaml.safe_dump(body))

    # What runs stays where it is, and its node is full.
    wanted(7)
    assert "shop/web: gcp 0 -> 3; aws 4" in reconcile("--plan", "--repo", str(repo))
    reconcile("--yes", "--repo", str(repo))
    assert web_in(gcp)["spec"]["replicas"] == 3
    eventually(lambda: web_in(gcp)["status"].get("readyReplicas") == 3, "so have the others")
    wanted(9)
    crowded = reconcile("--plan", "--repo", str(repo))
    assert "2 replicas" in crowded, crowded
    assert web_in(gcp)["spec"]["replicas"] == 3
