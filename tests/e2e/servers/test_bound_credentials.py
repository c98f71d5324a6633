"""A KubeFedCluster's token, on real API servers: sent to the server that it was sent to first."""

from __future__ import annotations

import base64
import json
import shlex
from pathlib import Path

from reconciler.api.options import RunOptions
from reconciler.cluster.kubeconfig import load_kubeconfig
from reconciler.run.pipeline import apply_plan, make_plan
from tests.controlplane.cluster import Cluster
from tests.controlplane.fixtures import Fleet, Kubectl
from tests.controlplane.plane import ControlPlane

MANIFESTS = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec: {defaults: {placement: {clusterSelector: {}}}}
---
apiVersion: core.kubefed.io/v1beta1
kind: KubeFedCluster
metadata: {name: aws, namespace: kube-federation-system}
spec: {apiEndpoint: "SERVER", caBundle: CA, secretRef: {name: aws-token}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: default}
data: {colour: green}
"""


def write(folder: Path, cluster: Cluster) -> str:
    """The KubeFedCluster with this server; its token."""
    endpoint = load_kubeconfig(str(cluster.kubeconfig(context="c"))).endpoint("c", "c")
    ca = base64.b64encode(endpoint.ca_pem.encode()).decode()
    text = MANIFESTS.replace("SERVER", endpoint.server).replace("CA,", f"{ca},")
    (folder / "all.yaml").write_text(text)
    return endpoint.headers()["authorization"].removeprefix("Bearer ")


def test_a_token_is_not_sent_to_a_server_that_git_names_later(
    fleet: Fleet, control_plane: ControlPlane, kubectl: Kubectl, tmp_path: Path
) -> None:
    aws, other = fleet(2)
    folder = tmp_path / "repository"
    folder.mkdir()
    token = write(folder, aws)
    for namespace in ("kube-federation-system", "federation-system"):
        kubectl(other, "create", "namespace", namespace)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "aws-token", "namespace": "kube-federation-system"},
        "stringData": {"token": token},
    }
    kubectl(other, "apply", "-f", "-", input=json.dumps(secret))
    options = RunOptions(
        repo=str(folder),
        kubeconfig=str(control_plane.kubeconfig({"host": other})),
        host_context="host",
        plan_only=False,
    )
    first = make_plan(options)
    assert any("sent nowhere else" in warning for warning in first.plan.warnings)
    assert apply_plan(first).ok
    again = make_plan(options)
    assert not again.plan.has_changes
    assert not [warning for warning in again.plan.warnings if "nowhere else" in warning]

    write(folder, other)
    with other.recorded() as requests:
        refused = make_plan(options).plan
    (cluster,) = refused.clusters
    assert not cluster.reachable
    assert "which is for" in cluster.problem
    assert "it was not sent" in cluster.problem
    assert token not in cluster.problem
    # What reached the other server is the host's own work there.
    assert not [r for r in requests if "configmaps/settings" in r.path or r.path == "/readyz"]

    # The command that the refusal names, for a server that has moved.
    command = shlex.split(cluster.problem.partition("kubectl ")[2].rstrip(")"))
    kubectl(other, *command)
    (moved,) = make_plan(options).plan.clusters
    assert "Unauthorized" in moved.problem  # It was sent, and is the other server's.
