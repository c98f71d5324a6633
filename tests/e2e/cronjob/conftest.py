"""Two real clusters, a repository behind https, and the manifests of cronjob/ applied to one."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.controlplane.cluster import Cluster
from tests.controlplane.plane import kubectl as kubectl_on
from tests.e2e.cronjob.pods import NAMESPACE, Pod, admitted
from tests.unit.git.repositories import commit, git
from tests.unit.git.servers import HttpServer, http_server, own_certificate
from tests.unit.join.conftest import (  # noqa: F401
    KUBECTL,
    ROOT,
    SHOP,
    Desk,
    desk,
)

CRONJOB = ROOT / "cronjob"
TOKEN = "c4nary-t0ken"
PLURALS = {"CronJob": "apis/batch/v1", "Job": "apis/batch/v1", "Deployment": "apis/apps/v1"}


def kustomized(folder: Path) -> list[dict[str, Any]]:
    """What `kubectl kustomize` makes of a folder."""
    done = subprocess.run(
        [KUBECTL, "kustomize", folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


@dataclass
class Host:
    """The host cluster of a federation that runs unattended."""

    desk: Desk
    folder: Path
    server: HttpServer
    certificate: str

    @property
    def cluster(self) -> Cluster:
        return self.desk.host

    def commit(self) -> str:
        """What lies on the desk becomes the head of main."""
        return commit(self.desk.repository, {})

    def commit_id(self) -> str:
        """The head of main."""
        return git(self.desk.repository, "rev-parse", "HEAD")

    def overlay(self, base: str = "base", *lines: str) -> Path:
        """A user's own overlay: their repository, and whatever else ``lines`` say."""
        folder = self.folder / "overlay"
        folder.mkdir(exist_ok=True)
        literals = [
            f"RECONCILE_REPO={self.server.url('repository')}",
            "RECONCILE_GIT_CREDENTIALS=/etc/reconcile/git",
        ]
        text = [
            "apiVersion: kustomize.config.k8s.io/v1beta1",
            "kind: Kustomization",
            f"namespace: {NAMESPACE}",
            f"resources: [{os.path.relpath(CRONJOB / base, folder)}]",
            "configMapGenerator:",
            f"  - {{name: reconcile-options, behavior: merge, literals: {literals}}}",
            *lines,
        ]
        (folder / "kustomization.yaml").write_text("\n".join(text) + "\n")
        return folder

    def apply(self, base: str = "base", *lines: str) -> str:
        """`kubectl apply -k` of the overlay, and the Secret that opens the repository."""
        folder = self.overlay(base, *lines)
        said = kubectl_on(self.cluster, "apply", "--server-side", "-k", str(folder))
        self.secret("git", {"token": TOKEN, "ca.crt": self.certificate})
        return said

    def secret(self, name: str, values: dict[str, str]) -> None:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}
        path = f"/api/v1/namespaces/{NAMESPACE}/secrets/{name}"
        self.cluster.apply(path, body, manager="admin", force=True)

    def workload(self, kind: str, name: str) -> dict[str, Any]:
        path = f"/{PLURALS[kind]}/namespaces/{NAMESPACE}/{kind.lower()}s/{name}"
        return dict(self.cluster.call("GET", path))

    def pod(self, name: str, of: str = "reconcile", kind: str = "CronJob") -> Pod:
        """A pod of a workload that was applied; run it with ``run``."""
        return admitted(self.cluster, self.workload(kind, of), self.folder / "pods", name)

    def account(self, name: str = "reconcile") -> str:
        """The user as which the API server sees a pod."""
        return f"system:serviceaccount:{NAMESPACE}:{name}"

    def events(self, reason: str) -> list[dict[str, Any]]:
        path = f"/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events"
        return [one for one in self.cluster.call("GET", path)["items"] if one["reason"] == reason]


@pytest.fixture
def host(desk: Desk, tmp_path: Path) -> Iterator[Host]:  # noqa: F811
    with serving(desk, tmp_path) as host:
        publish_authority(host.cluster)
        yield host


@pytest.fixture
def federation(host: Host) -> Host:
    """A member that joined, a repository that has it, the base as the README says."""
    host.desk.join()
    host.commit()
    host.apply()
    return host


@contextmanager
def serving(desk: Desk, folder: Path) -> Iterator[Host]:  # noqa: F811
    """The desk's repository behind https, with a credential."""
    git(desk.repository, "init", "-q", "-b", "main")
    file = folder / "git.pem"
    certificate = own_certificate(file)
    with http_server(folder, "x-access-token", TOKEN, file) as server:
        yield Host(desk, folder, server, certificate)


def publish_authority(cluster: Cluster) -> None:
    """What kube-controller-manager publishes in each namespace, where none runs."""
    authority = cluster.certificate.read_text()
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    cluster.request("POST", "/api/v1/namespaces", body, user="control-plane")
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "kube-root-ca.crt"},
        "data": {"ca.crt": authority},
    }
    path = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
    cluster.call("POST", path, body, user="control-plane")
