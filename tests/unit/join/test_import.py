"""`reconcile import`, of a live host and of what kubectl exported from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.controlplane.cluster import Cluster
from tests.controlplane.fixtures import Fleet, Kubectl
from tests.controlplane.process import eventually
from tests.definitions import definition

from .conftest import Desk
from .test_kubefed_export import HOST

SERVED = [
    ("core.kubefed.io", "v1beta1", "KubeFedCluster", "kubefedclusters"),
    ("core.kubefed.io", "v1beta1", "FederatedTypeConfig", "federatedtypeconfigs"),
    ("scheduling.kubefed.io", "v1alpha1", "ReplicaSchedulingPreference",
     "replicaschedulingpreferences"),
    ("types.kubefed.io", "v1beta1", "FederatedNamespace", "federatednamespaces"),
    ("types.kubefed.io", "v1beta1", "FederatedDeployment", "federateddeployments"),
    ("types.kubefed.io", "v1beta1", "FederatedSecret", "federatedsecrets"),
    ("types.kubefed.io", "v1beta1", "FederatedWidget", "federatedwidgets"),
]  # fmt: skip


@pytest.fixture
def kubefed_host(desk: Desk, kubectl: Kubectl) -> Cluster:
    """A host as KubeFed leaves it behind: its CRDs, and what users asked of it."""
    host = desk.host
    for group, version, kind, plural in SERVED:
        body = definition(kind, group, plural=plural, versions=(version,))
        host.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body)
    for group, version, _, plural in SERVED:
        path = f"/apis/{group}/{version}/{plural}"
        eventually(lambda path=path: host.request("GET", path).status == 200, path)
    for namespace in ("shop", "kube-federation-system"):
        kubectl(host, "create", "namespace", namespace)
    kubectl(host, "label", "namespace", "shop", "team=web")
    plurals = {kind: f"/apis/{g}/{v}/namespaces/%s/{p}" for g, v, kind, p in SERVED}
    for body in yaml.safe_load_all(HOST):
        if body["kind"] in plurals and not body["kind"].endswith("Status"):
            for name in ("uid", "resourceVersion", "generation", "finalizers"):
                body["metadata"].pop(name, None)
            host.call("POST", plurals[body["kind"]] % body["metadata"]["namespace"], body)
    return host


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_live_host_becomes_a_valid_repository(desk: Desk, kubefed_host: Cluster) -> None:
    target = desk.home / "fleet"
    said = desk.run("import", "--context", "host", "--to", str(target))
    assert "Valid: " in said.stderr
    files = contents(target)
    assert set(files) == {
        "clusters/aws.yaml",
        "federation.yaml",
        "shop/federateddeployment-web.yaml",
        "shop/federatednamespace.yaml",
        "shop/federatedwidget-one.yaml",
        "shop/namespace.yaml",
        "shop/replicaschedulingpreference-web.yaml",
        "types/widgets.example.com.yaml",
    }
    assert "c2VjcmV0" not in json.dumps(files)
    assert "Left out: FederatedSecret.types.kubefed.io shop/password" in said.stderr


def test_tokens_of_a_live_host_are_bound_to_their_servers(
    desk: Desk, kubefed_host: Cluster, kubectl: Kubectl
) -> None:
    system = "kube-federation-system"
    kubectl(
        kubefed_host,
        "-n",
        system,
        "create",
        "secret",
        "generic",
        "aws-7xk",
        "--from-literal=token=t",
    )
    path = f"/api/v1/namespaces/{system}/secrets/aws-7xk"
    before = kubefed_host.call("GET", path)
    command = ("import", "--context", "host", "--to", str(desk.home / "fleet"))
    desk.run(*command, "--dry-run")
    assert kubefed_host.call("GET", path) == before
    said = desk.run(*command)
    after = kubefed_host.call("GET", path)
    bound = after["metadata"]["annotations"]["federation.reconciler.dev/bound-to"]
    assert bound.startswith("https://aws.example.com ca:")
    assert f"aws: its token is from now on sent to {bound} only" in said.stderr
    assert after["data"] == before["data"]
    assert "from now on" not in desk.run(*command).stderr


def test_an_export_gives_the_same_repository(
    desk: Desk, kubefed_host: Cluster, kubectl: Kubectl
) -> None:
    live, files = desk.home / "live", desk.home / "files"
    desk.run("import", "--context", "host", "--to", str(live))
    kinds = ",".join(f"{plural}.{group}" for group, _, _, plural in SERVED)
    export = desk.home / "export.yaml"
    text = kubectl(kubefed_host, "get", kinds, "-A", "-o", "yaml")
    namespace = kubectl(kubefed_host, "get", "namespace", "shop", "-o", "yaml")
    export.write_text(text + "---\n" + namespace)
    desk.run("import", str(export), "--to", str(files))
    assert contents(files) == contents(live)


def test_other_files_of_the_same_name_are_not_replaced_unasked(desk: Desk) -> None:
    export = desk.home / "host.yaml"
    export.write_text(HOST)
    target = desk.home / "fleet"
    target.mkdir()
    (target / "federation.yaml").write_text("# mine\n")
    assert "federation.yaml" in desk.run("import", str(export), "--to", str(target), code=64).stderr
    assert contents(target) == {"federation.yaml": "# mine\n"}
    desk.run("import", str(export), "--to", str(target), "--overwrite")
    assert "kind: Federation" in (target / "federation.yaml").read_text()


def test_a_host_without_kubefed_is_told(desk: Desk, fleet: Fleet) -> None:
    said = desk.run("import", "--context", "host", "--to", str(desk.home / "fleet"), code=1)
    assert "nothing of KubeFed" in said.stderr
    assert not (desk.home / "fleet").exists()
