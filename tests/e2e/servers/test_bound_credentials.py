"""Tokens of KubeFed's and Karmada's clusters, on real API servers: sent to one server only."""

from __future__ import annotations

import base64
import json
import shlex
from pathlib import Path

import pytest

from reconciler.api.options import RunOptions
from reconciler.cluster.kubeconfig import load_kubeconfig
from reconciler.run.pipeline import apply_plan, make_plan
from tests.controlplane.cluster import Cluster
from tests.controlplane.fixtures import Fleet, Kubectl
from tests.controlplane.plane import ControlPlane

KUBEFED = """\
apiVersion: core.kubefed.io/v1beta1
kind: KubeFedCluster
metadata: {name: aws, namespace: kube-federation-system}
spec: {apiEndpoint: "SERVER", caBundle: CA, secretRef: {name: aws-token}}
---
"""
KARMADA = """\
apiVersion: cluster.karmada.io/v1alpha1
kind: Cluster
metadata: {name: aws}
spec: {apiEndpoint: "SERVER", secretRef: {namespace: karmada-cluster, name: aws-token}}
---
"""
MANIFESTS = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec: {defaults: {placement: {clusterSelector: {}}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: default}
data: {colour: green}
"""


def write(folder: Path, cluster: Cluster, manifest: str) -> tuple[str, str]:
    """The cluster's manifest with this server; its token and CA."""
    endpoint = load_kubeconfig(str(cluster.kubeconfig(context="c"))).endpoint("c", "c")
    ca = base64.b64encode(endpoint.ca_pem.encode()).decode()
    text = (manifest + MANIFESTS).replace("SERVER", endpoint.server).replace("CA,", f"{ca},")
    (folder / "all.yaml").write_text(text)
    return endpoint.headers()["authorization"].removeprefix("Bearer "), endpoint.ca_pem


@pytest.mark.parametrize(
    ("manifest", "namespace"),
    [(KUBEFED, "kube-federation-system"), (KARMADA, "karmada-cluster")],
    ids=["KubeFed", "Karmada"],
)
def test_a_token_is_not_sent_to_a_server_that_git_names_later(
    fleet: Fleet,
    control_plane: ControlPlane,
    kubectl: Kubectl,
    tmp_path: Path,
    manifest: str,
    namespace: str,
) -> None:
    aws, other = fleet(2)
    folder = tmp_path / "repository"
    folder.mkdir()
    token, ca = write(folder, aws, manifest)
    for one in (namespace, "federation-system"):
        kubectl(other, "create", "namespace", one)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "aws-token", "namespace": namespace},
        # Karmada keeps the authority beside the token; KubeFed has it in the manifest.
        "stringData": {"token": token, **({"caBundle": ca} if manifest is KARMADA else {})},
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

    write(folder, other, manifest)
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
    # It was sent, and is the other server's; beside an authority in the Secret it is not even sent.
    assert ("TLS" if manifest is KARMADA else "Unauthorized") in moved.problem
