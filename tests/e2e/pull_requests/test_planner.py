"""The account of planner.yaml on a real API server: it plans, and can do nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.command import run_command, user_environment
from tests.controlplane.cluster import Cluster
from tests.controlplane.fixtures import Fleet
from tests.controlplane.plane import ControlPlane, KubectlFailed, kubectl
from tests.controlplane.process import eventually
from tests.e2e.pull_requests.conftest import FILES

pytestmark = pytest.mark.integration

ACCOUNT = "system:serviceaccount:federation-system:reconcile-planner"
REFUSED = "this account may only plan"
FEDERATION = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  defaults: {placement: {clusterSelector: {}}}
  failover: {enabled: true}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws-eu}
spec: {provider: aws, region: eu-central-1}
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
apiVersion: v1
kind: Secret
metadata: {name: key, namespace: shop}
stringData: {password: first}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "registry.example/web:1"}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""
NEW = """\
---
apiVersion: v1
kind: Namespace
metadata: {name: press}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: new, namespace: press}
"""
ROLE = """\
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: restart, namespace: shop}
rules: [{apiGroups: [apps], resources: [deployments], verbs: [delete]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: restart, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: restart}
subjects: [{kind: User, name: somebody}]
"""


@dataclass
class Site:
    """A member that runs the shop, the repository of it, and the planner's kubeconfig."""

    member: Cluster
    repository: Path
    kubeconfig: Path
    planner: Path

    def reconcile(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        home = self.repository.parent
        environment = user_environment(home, XDG_STATE_HOME=str(home))
        return run_command(*arguments, cwd=self.repository, env=environment)

    def as_planner(self, *arguments: str) -> str:
        """What kubectl says, with nothing but the planner's credential."""
        program = Path(sys.executable).with_name("kubectl")
        done = subprocess.run(
            [program, "--kubeconfig", self.planner, *arguments],
            env={**os.environ, "HOME": str(self.repository.parent)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout + done.stderr

    def versions(self) -> str:
        """Every object that the planner could have written to, with its version."""
        kinds = "namespaces,configmaps,secrets,services,deployments,roles,rolebindings"
        path = "{range .items[*]}{.kind} {.metadata.name} {.metadata.resourceVersion}\n{end}"
        return kubectl(self.member, "get", kinds, "-A", "-o", f"jsonpath={path}")


@pytest.fixture
def site(fleet: Fleet, control_plane: ControlPlane, tmp_path: Path) -> Site:
    (member,) = fleet(1)
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "federation.yaml").write_text(FEDERATION)
    (repository / "shop.yaml").write_text(SHOP)
    kubeconfig = control_plane.kubeconfig({"aws-eu": member})
    site = Site(member, repository, kubeconfig, tmp_path / "planner.kubeconfig")
    kubectl(member, "apply", "--server-side", "-f", str(FILES / "planner.yaml"))
    done = site.reconcile("--yes", "--kubeconfig", str(kubeconfig), "--host-context", "aws-eu")
    assert done.returncode == 0, done.stdout + done.stderr

    create = ("create", "token", "reconcile-planner", "-n", "federation-system")
    token = kubectl(member, *create, "--duration", "1h").strip()
    config = yaml.safe_load(kubeconfig.read_text())
    for entry in config["users"]:
        entry["user"] = {"token": token}
    site.planner.write_text(yaml.safe_dump({**config, "current-context": "aws-eu"}))
    # An admission policy holds a moment after it was written.
    probe = ("create", "configmap", "probe", "-n", "default", "--dry-run=none")

    def holds() -> bool:
        said = site.as_planner(*probe)
        if "created" in said:
            kubectl(member, "delete", "configmap", "probe", "-n", "default")
        return REFUSED in said

    eventually(holds, "the policy holds")
    return site


def test_it_plans_every_sort_of_change_and_writes_nothing(site: Site) -> None:
    edited = SHOP.replace("green", "blue").replace("first", "second").replace("web:1", "web:2")
    without_service = edited.rpartition("---\n")[0]
    (site.repository / "shop.yaml").write_text(without_service + NEW)
    before = site.versions()
    with site.member.recorded() as requests:
        done = site.reconcile(
            *("--plan", "--kubeconfig", str(site.planner), "--host-context", "aws-eu")
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Warning" not in done.stdout
    assert "Plan: 2 to create, 3 to update, 1 to prune over 1 cluster; 1 unchanged." in done.stdout
    ours = [request for request in requests if request.user == ACCOUNT]
    assert ours
    assert not [request for request in ours if request.code in (401, 403)]
    assert all(request.dry_run for request in ours if request.verb not in ("get", "list"))
    assert site.versions() == before


def test_nothing_of_a_plan_can_be_applied_with_it(site: Site) -> None:
    (site.repository / "shop.yaml").write_text(SHOP.replace("green", "blue") + NEW)
    before = site.versions()
    done = site.reconcile("--yes", "--kubeconfig", str(site.planner))
    assert done.returncode == 1
    assert "Done: nothing, 3 skipped." in done.stdout
    assert site.versions() == before


WRITES = {
    "create": ("create", "configmap", "x", "-n", "shop"),
    "patch": ("patch", "configmap/settings", "-n", "shop", "-p", '{"data": {"colour": "red"}}'),
    "label": ("label", "namespace/shop", "a=b"),
    "scale": ("scale", "deployment/web", "-n", "shop", "--replicas=0"),
    "delete": ("delete", "configmap/settings", "-n", "shop"),
    "delete all": ("delete", "secrets", "--all", "-n", "shop"),
    "a token": ("create", "token", "default", "-n", "shop"),
    "the guard": ("delete", "validatingadmissionpolicybinding/reconcile-planner-only-plans"),
    "the rule": ("delete", "validatingadmissionpolicy/reconcile-planner-only-plans"),
    "more rights": (
        *("create", "clusterrolebinding", "more", "--clusterrole=cluster-admin"),
        f"--user={ACCOUNT}",
    ),
    "as another": ("create", "configmap", "x", "-n", "shop", "--as=admin", "--as-group=admins"),
}


def test_kubernetes_refuses_it_every_write(site: Site) -> None:
    before = site.versions()
    for name, arguments in WRITES.items():
        said = site.as_planner(*arguments)
        assert "orbidden" in said or "cannot impersonate" in said, f"{name}: {said}"
        assert site.versions() == before, name
    assert "created (server dry run)" in site.as_planner(*WRITES["create"], "--dry-run=server")


def test_a_role_can_be_planned_once_it_may_escalate_and_bind_which_it_cannot_do(
    site: Site,
) -> None:
    (site.repository / "shop.yaml").write_text(SHOP + ROLE)
    plan = ("--plan", "--kubeconfig", str(site.planner))
    done = site.reconcile(*plan)
    assert done.returncode == 1
    said = " ".join(done.stdout.split())
    assert "attempting to grant RBAC permissions not currently held" in said
    assert "Stopped by a guard" not in said, "that is not the manifest's fault"

    role = yaml.safe_load(
        kubectl(site.member, "get", "clusterrole/reconcile-planner", "-o", "yaml")
    )
    for rule in role["rules"]:
        if rule.get("apiGroups") == ["rbac.authorization.k8s.io"]:
            rule["verbs"] += ["escalate", "bind"]
    kubectl(site.member, "replace", "-f", "-", input=yaml.safe_dump(role))
    done = site.reconcile(*plan)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 to create" in done.stdout
    before = site.versions()
    assert REFUSED in site.as_planner(*WRITES["more rights"])
    assert site.versions() == before
    with pytest.raises(KubectlFailed, match="not found"):
        kubectl(site.member, "get", "clusterrolebinding", "more")
