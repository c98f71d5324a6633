"""ConfigMaps, Secrets and ServiceAccounts that change their name with their content: what old Pods
and Jobs that run still name is not pruned under them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kubesim.fleet import Sandbox
from reconciler.plan.model import Action, Change
from reconciler.report.text import render_plan
from tests.controlplane.fixtures import Fleet
from tests.controlplane.plane import ControlPlane
from tests.controlplane.process import eventually
from tests.scenarios.conftest import NAMES, World
from tests.scenarios.manifests import NAMESPACE

KINDS = {
    "configmap": "ConfigMap",
    "secret": "Secret",
    "serviceaccount": "ServiceAccount",
}
POD = "containers: [{name: web, image: 'registry.example/web:1.0'%s}]%s"
REFERENCES = {
    "volume": (
        "configmap",
        POD % ("", ", volumes: [{name: v, configMap: {name: NAME}}]"),
    ),
    "projected": (
        "secret",
        POD % ("", ", volumes: [{name: v, projected: {sources: [{secret: {name: NAME}}]}}]"),
    ),
    "secret volume": ("secret", POD % ("", ", volumes: [{name: v, secret: {secretName: NAME}}]")),
    "envFrom": ("configmap", POD % (", envFrom: [{configMapRef: {name: NAME}}]", "")),
    "env": (
        "secret",
        POD % (", env: [{name: A, valueFrom: {secretKeyRef: {name: NAME, key: a}}}]", ""),
    ),
    "pull secret": ("secret", POD % ("", ", imagePullSecrets: [{name: NAME}]")),
    "account": ("serviceaccount", POD % ("", ", serviceAccountName: NAME")),
}


def deployment(name: str, pod: str) -> str:
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: shop}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{{pod.replace("NAME", name)}}}
"""


def cron_job(name: str) -> str:
    return f"""
apiVersion: batch/v1
kind: CronJob
metadata: {{name: report, namespace: shop}}
spec:
  schedule: "0 3 * * *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers:
            - name: report
              image: registry.example/report:1.0
              envFrom: [{{configMapRef: {{name: {name}}}}}]
"""


def configuration(kind: str, name: str) -> str:
    data = "" if kind == "serviceaccount" else "\ndata: {a: YQ==}"
    return f"""
apiVersion: v1
kind: {KINDS[kind]}
metadata: {{name: {name}, namespace: shop}}{data}
"""


def write(world: World, *documents: str) -> None:
    world.write("shop.yaml", "---".join([NAMESPACE, *documents]))


def of(changes: tuple[Change, ...], name: str) -> Change | None:
    return next((change for change in changes if change.key.name == name), None)


def drop(world: World, kind: str, name: str) -> None:
    for cluster in NAMES:
        world.kubectl(
            "-n", "shop", "delete", kind, name, "--force", "--grace-period=0", cluster=cluster
        )


def owned(kind: str, name: str, owner: dict[str, Any], spec: Any, version: str) -> dict[str, Any]:
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop", "ownerReferences": [reference]},
        "spec": spec,
    }


@pytest.mark.parametrize("way", REFERENCES)
def test_what_the_old_pods_name_stays_until_the_rollout_is_done(
    simulated_world: World, way: str
) -> None:
    world = simulated_world
    kind, pod = REFERENCES[way]
    write(world, configuration(kind, "settings-1"), deployment("settings-1", pod))
    assert world.apply().ok
    write(world, configuration(kind, "settings-2"), deployment("settings-2", pod))
    plan = world.plan()
    change = of(plan.clusters[0].changes, "settings-1")
    assert change is not None
    assert change.action is Action.WAITING
    assert change.reason == (
        "removed from Git; it stays until the rollout that leaves it is done: "
        "Deployment.apps shop/web"
    )
    assert "2 waiting" in render_plan(plan)
    assert not plan.has_failures
    result = world.apply()
    assert result.ok
    assert world.exists(kind, "settings-1")
    assert world.exists(kind, "settings-2")

    def pruned() -> bool:
        world.apply()
        return not world.exists(kind, "settings-1")

    eventually(pruned, "the rollout is done")
    assert world.exists(kind, "settings-2")


def test_an_older_revision_that_still_runs_holds_it(world: World) -> None:
    pod = REFERENCES["envFrom"][1]
    write(world, configuration("configmap", "settings-1"), deployment("settings-1", pod))
    assert world.apply().ok
    container = {"name": "web", "image": "registry.example/web:1.0"}
    old = {"containers": [{**container, "envFrom": [{"configMapRef": {"name": "settings-1"}}]}]}
    for cluster in NAMES:
        owner = world.get("deployment", "web", cluster)
        path = world.repository.parent / "set.json"
        labels = {"app": "web", "pod-template-hash": "old"}
        spec = {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": old},
        }
        path.write_text(json.dumps(owned("ReplicaSet", "web-old", owner, spec, "apps/v1")))
        world.kubectl("apply", "--server-side", "-f", str(path), cluster=cluster)
    write(world, configuration("configmap", "settings-2"), deployment("settings-2", pod))
    assert world.apply().ok
    change = of(world.changes(), "settings-1")
    assert change is not None
    assert change.action is Action.WAITING
    assert "ReplicaSet.apps shop/web-old" in change.reason
    drop(world, "replicaset", "web-old")
    change = of(world.changes(), "settings-1")
    assert change is not None
    assert change.action is Action.PRUNE


def test_a_job_that_runs_holds_what_its_cron_job_no_longer_names(world: World) -> None:
    write(world, configuration("configmap", "settings-1"), cron_job("settings-1"))
    assert world.apply().ok
    template = {
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "report",
                    "image": "registry.example/report:1.0",
                    "envFrom": [{"configMapRef": {"name": "settings-1"}}],
                }
            ],
        }
    }
    for cluster in NAMES:
        owner = world.get("cronjob", "report", cluster)
        path = world.repository.parent / "job.json"
        job = owned("Job", "report-1", owner, {"template": template, "suspend": True}, "batch/v1")
        path.write_text(json.dumps(job))
        world.kubectl("apply", "--server-side", "-f", str(path), cluster=cluster)
    write(world, configuration("configmap", "settings-2"), cron_job("settings-2"))
    assert world.apply().ok
    change = of(world.changes(), "settings-1")
    assert change is not None
    assert change.action is Action.WAITING
    assert change.reason.endswith("it stays while it is still named by Job.batch shop/report-1")
    drop(world, "job", "report-1")
    assert world.apply().ok
    assert not world.exists("configmap", "settings-1")


def test_what_git_still_names_is_pruned_as_git_says(world: World) -> None:
    pod = REFERENCES["envFrom"][1]
    write(world, configuration("configmap", "settings-1"), deployment("settings-1", pod))
    assert world.apply().ok
    write(world, deployment("settings-1", pod))
    change = of(world.changes(), "settings-1")
    assert change is not None
    assert change.action is Action.PRUNE


def test_what_leaves_with_its_workload_does_not_wait(world: World) -> None:
    pod = REFERENCES["envFrom"][1]
    write(world, configuration("configmap", "settings-1"), deployment("settings-1", pod))
    assert world.apply().ok
    write(world)
    assert {c.action for c in world.changes()} == {Action.PRUNE}
    assert world.apply().ok
    assert not world.exists("configmap", "settings-1")


def test_an_account_that_may_not_list_pods_waits_for_the_rollouts(
    simulated_world: World, sandbox: Sandbox
) -> None:
    world, pod = simulated_world, REFERENCES["envFrom"][1]
    write(world, configuration("configmap", "settings-1"), deployment("settings-1", pod))
    assert world.apply().ok
    for name in NAMES:
        sandbox.cluster(name).controllers.frozen = True
        sandbox.cluster(name).faults.error(403, path="/namespaces/shop/pods", method="GET")
    write(world, configuration("configmap", "settings-2"), deployment("settings-2", pod))
    assert world.apply().ok
    change = of(world.changes(), "settings-1")
    assert change is not None
    assert change.action is Action.WAITING
    assert change.reason.endswith(
        "until these are rolled out, as Pods may not be listed: Deployment.apps shop/web"
    )
    for name in NAMES:
        sandbox.cluster(name).controllers.frozen = False
        sandbox.cluster(name).controllers.settle_all()

    def pruned() -> bool:
        world.apply()
        return not world.exists("configmap", "settings-1")

    eventually(pruned, "the rollout is done")


@pytest.mark.integration
def test_a_rollout_that_does_not_get_ready_holds_what_its_old_pods_name(
    repository: Path, fleet: Fleet, control_plane: ControlPlane
) -> None:
    clusters = fleet(len(NAMES), controllers=True)
    kubeconfig = control_plane.kubeconfig(dict(zip(NAMES, clusters, strict=True)))
    world = World(repository, kubeconfig)
    pod = REFERENCES["volume"][1]
    write(world, configuration("configmap", "settings-1"), deployment("settings-1", pod))
    assert world.apply().ok
    for cluster in NAMES:
        world.kubectl(
            "-n", "shop", "rollout", "status", "deployment/web", "--timeout=60s", cluster=cluster
        )
    # The new Pods find no node.
    nowhere = pod + ", nodeSelector: {disk: none}"
    write(world, configuration("configmap", "settings-2"), deployment("settings-2", nowhere))
    assert world.apply().ok
    for _ in range(2):
        change = of(world.changes(), "settings-1")
        assert change is not None
        assert change.action is Action.WAITING
        world.apply()
        assert world.exists("configmap", "settings-1")
    write(world, configuration("configmap", "settings-2"), deployment("settings-2", pod))
    assert world.apply().ok

    def pruned() -> bool:
        world.apply()
        return not world.exists("configmap", "settings-1")

    eventually(pruned, "the rollout is done", timeout=60)
