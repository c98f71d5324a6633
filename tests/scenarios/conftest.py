"""``world``: a repository and its member clusters, simulated and real; kubectl is the witness."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from reconciler.api.options import RunOptions
from reconciler.plan.model import Change, Plan, RunResult
from reconciler.run.pipeline import Prepared, apply_plan, make_plan
from tests.controlplane.fixtures import Fleet
from tests.controlplane.plane import ControlPlane

KUBECTL = Path(sys.executable).with_name("kubectl")

FEDERATION = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  defaults: {placement: {clusterSelector: {}}}
"""
CLUSTERS = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws, labels: {cloud: aws}}
spec: {provider: aws, region: eu-central-1}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: gcp, labels: {cloud: gcp}}
spec: {provider: gcp, region: europe-west1}
"""
NAMES = ("aws", "gcp")


@dataclass
class World:
    """Write manifests, plan, apply, and look with kubectl at what became of it."""

    repository: Path
    kubeconfig: Path
    options: dict[str, Any] = field(default_factory=dict)

    def write(self, name: str, text: str) -> None:
        path = self.repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))

    def remove(self, name: str) -> None:
        (self.repository / name).unlink()

    def prepare(self, **options: Any) -> Prepared:
        given = {"repo": str(self.repository), "kubeconfig": str(self.kubeconfig)}
        return make_plan(RunOptions(**{**given, **self.options, **options}))

    def plan(self, **options: Any) -> Plan:
        return self.prepare(**options).plan

    def apply(self, **options: Any) -> RunResult:
        return apply_plan(self.prepare(**options))

    def changes(self, cluster: str = "aws", **options: Any) -> tuple[Change, ...]:
        plan = self.plan(**options)
        return next(c.changes for c in plan.clusters if c.name == cluster)

    def kubectl(self, *arguments: str, cluster: str = "aws", check: bool = True) -> str:
        done = subprocess.run(
            [KUBECTL, "--kubeconfig", self.kubeconfig, "--context", cluster, *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "HOME": str(self.repository)},
            timeout=60,
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout if check else done.stdout + done.stderr

    def create_config_map(self, name: str, cluster: str = "aws", **labels: str) -> None:
        """Somebody else's ConfigMap in the namespace ``shop``."""
        metadata = {"name": name, "namespace": "shop", "labels": labels}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
        path = self.repository.parent / "foreign.json"
        path.write_text(json.dumps(body))
        self.kubectl("apply", "--server-side", "-f", str(path), cluster=cluster)

    def get(self, kind: str, name: str, cluster: str = "aws", namespace: str = "shop") -> Any:
        text = self.kubectl("get", kind, name, "-n", namespace, "-o", "json", cluster=cluster)
        return json.loads(text)

    def exists(self, kind: str, name: str, cluster: str = "aws", namespace: str = "shop") -> bool:
        said = self.kubectl("get", kind, name, "-n", namespace, cluster=cluster, check=False)
        return "not found" not in said.lower()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "federation.yaml").write_text(FEDERATION)
    (folder / "clusters.yaml").write_text(CLUSTERS)
    return folder


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The simulated clusters of a world, to stop them; ``far`` is one more for who needs it."""
    with Sandbox([*NAMES, "far"], settings=ClusterSettings(nodes=1)) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox_kubeconfig(sandbox: Sandbox) -> Path:
    return sandbox.kubeconfig


@pytest.fixture
def real_kubeconfig(fleet: Fleet, control_plane: ControlPlane) -> Path:
    return control_plane.kubeconfig(dict(zip(NAMES, fleet(len(NAMES)), strict=True)))


@pytest.fixture(params=["sandbox", pytest.param("real", marks=pytest.mark.integration)])
def world(request: pytest.FixtureRequest, repository: Path) -> World:
    return World(repository, request.getfixturevalue(f"{request.param}_kubeconfig"))


@pytest.fixture
def simulated_world(repository: Path, sandbox_kubeconfig: Path) -> World:
    return World(repository, sandbox_kubeconfig)
