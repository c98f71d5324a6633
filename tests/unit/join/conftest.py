"""Two real clusters and an empty repository: what somebody has who begins."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command import run_command, user_environment
from tests.controlplane.cluster import Cluster
from tests.controlplane.fixtures import Fleet
from tests.controlplane.plane import ControlPlane

ROOT = Path(__file__).resolve().parents[3]
KUBECTL = Path(sys.executable).with_name("kubectl")

FEDERATION = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec: {defaults: {placement: {clusterSelector: {}}}}
"""
SHOP = """\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data: {colour: green}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: registry.example/web:1.0}]}
"""
UNTIL_GONE = "150s"
"""A Namespace with Pods takes its controller twenty seconds, and any number where a machine has
much else to do."""


@dataclass
class Desk:
    """A person's desk: a repository, a kubeconfig with the contexts ``host`` and ``aws-eu``."""

    repository: Path
    kubeconfig: Path
    host: Cluster
    member: Cluster
    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """`reconcile ARGUMENTS` in the repository, as a process of its own; any ``code`` is good
        where it is None."""
        environment = user_environment(self.home, **self.environment)
        return run_command(*arguments, cwd=self.repository, env=environment, code=code)

    def join(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        return self.run("join", "aws-eu", *arguments, code=code)

    def unjoin(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        # Without controllers no namespace ever goes away.
        wait = UNTIL_GONE if self.member.controllers.running else "1s"
        return self.run("unjoin", "aws-eu", "--wait", wait, *arguments, code=code)

    def become(self, user: str, context: str) -> None:
        """The kubeconfig's context is another user's from now on."""
        cluster = self.host if context == "host" else self.member
        config = yaml.safe_load(self.kubeconfig.read_text(encoding="utf-8"))
        for entry in config["users"]:
            if entry["name"].endswith(f"@{context}"):
                entry["user"]["token"] = cluster.tokens[user]
        self.kubeconfig.write_text(yaml.safe_dump(config), encoding="utf-8")

    def write(self, name: str, text: str) -> None:
        path = self.repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def manifest(self, name: str = "clusters/aws-eu.yaml") -> Any:
        return yaml.safe_load((self.repository / name).read_text(encoding="utf-8"))

    def credential(self) -> Path:
        """The kubeconfig that the host keeps, as a file for kubectl."""
        import base64

        secret = self.secret()
        path = self.home / "joined.kubeconfig"
        path.write_bytes(base64.b64decode(secret["data"]["kubeconfig"]))
        return path

    def secret(self) -> Any:
        return self.host.call("GET", "/api/v1/namespaces/federation-system/secrets/aws-eu")

    def as_joined(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """kubectl with nothing but the joined credential."""
        return subprocess.run(
            [KUBECTL, "--kubeconfig", self.credential(), *arguments],
            env={**os.environ, "HOME": str(self.home)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def desk(fleet: Fleet, control_plane: ControlPlane, tmp_path: Path) -> Desk:
    host, member = fleet(2)
    return desk_of(control_plane, tmp_path, host, member)


@pytest.fixture
def running_desk(fleet: Fleet, control_plane: ControlPlane, tmp_path: Path) -> Desk:
    """The same with controllers: namespaces go away, token Secrets are filled."""
    host, member = fleet(2, controllers=True)
    return desk_of(control_plane, tmp_path, host, member)


def desk_of(plane: ControlPlane, folder: Path, host: Cluster, member: Cluster) -> Desk:
    repository = folder / "repository"
    repository.mkdir()
    kubeconfig = plane.kubeconfig({"host": host, "aws-eu": member})
    desk = Desk(repository, kubeconfig, host, member, folder)
    kept = ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")
    desk.environment = {name: str(folder / name.lower()) for name in kept}
    desk.environment["KUBECONFIG"] = str(kubeconfig)
    desk.write("federation.yaml", FEDERATION)
    desk.write("shop.yaml", SHOP)
    return desk


def objects_of(*clusters: Cluster) -> set[str]:
    """A line for every object that the clusters serve, but for what their own machinery keeps
    renewing: which cluster, what it is, and its UID."""
    found = set()
    for cluster in clusters:
        groups = [("/api/v1", cluster.call("GET", "/api/v1"))]
        for group in cluster.call("GET", "/apis")["groups"]:
            for version in group["versions"]:
                path = f"/apis/{version['groupVersion']}"
                groups.append((path, cluster.call("GET", path)))
        for path, listed in groups:
            for resource in listed["resources"]:
                if "list" not in resource["verbs"] or resource["kind"] in _RENEWED:
                    continue
                where = f"{path}/{resource['name']}"
                for item in cluster.call("GET", where)["items"]:
                    metadata = item["metadata"]
                    name = f"{metadata.get('namespace')}/{metadata['name']}"
                    found.add(f"{cluster.name} {where} {name} {metadata.get('uid')}")
    return found


_RENEWED = frozenset({"Event", "Lease", "ComponentStatus", "IPAddress"})
