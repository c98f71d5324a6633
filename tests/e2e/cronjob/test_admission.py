"""The manifests on a real API server: applied as they stand, their pods let in, worse ones not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.controlplane.cluster import Cluster
from tests.controlplane.fixtures import Fleet, Kubectl

from .conftest import CRONJOB, kustomized
from .pods import NAMESPACE, pod_of, template_of

OVERLAYS = ("continuous", "eks", "gke", "seats/seat-1", "sharded")
FOLDERS = ["base", *(f"overlays/{name}" for name in OVERLAYS)]
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
WORKLOADS = {
    "CronJob": "/apis/batch/v1/namespaces/federation-system/cronjobs",
    "Deployment": "/apis/apps/v1/namespaces/federation-system/deployments",
}
Pod = dict[str, Any]


def live_workloads(cluster: Cluster) -> list[dict[str, Any]]:
    return [item for path in WORKLOADS.values() for item in cluster.call("GET", path)["items"]]


@pytest.mark.parametrize("folder", FOLDERS)
def test_it_is_applied_as_it_stands_and_its_pods_are_let_in(
    fleet: Fleet, kubectl: Kubectl, folder: str
) -> None:
    (cluster,) = fleet(1)
    where = str(CRONJOB / folder)
    kubectl(cluster, "apply", "-k", where, "--server-side")
    # Field by field what was said: nothing dropped, nothing unknown.
    kubectl(cluster, "diff", "-k", where, "--server-side")
    kubectl(cluster, "apply", "-k", where, "--server-side", "--dry-run=server", "--validate=strict")
    names = {one["metadata"]["name"] for one in kustomized(CRONJOB / folder)}
    workloads = live_workloads(cluster)
    assert {one["metadata"]["name"] for one in workloads} <= names
    assert len(workloads) == 2
    for number, workload in enumerate(workloads):
        answer = cluster.request("POST", PODS, pod_of(template_of(workload), f"pod-{number}"))
        assert answer.status == 201, answer.body


def _as_root(pod: Pod) -> None:
    pod["spec"]["securityContext"] |= {"runAsNonRoot": False, "runAsUser": 0}


def _with_a_capability(pod: Pod) -> None:
    pod["spec"]["containers"][0]["securityContext"]["capabilities"] = {"add": ["NET_ADMIN"]}


def _with_the_nodes_files(pod: Pod) -> None:
    pod["spec"]["volumes"].append({"name": "node", "hostPath": {"path": "/etc"}})


def _without_seccomp(pod: Pod) -> None:
    del pod["spec"]["securityContext"]["seccompProfile"]


def _that_may_escalate(pod: Pod) -> None:
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True


@pytest.mark.parametrize(
    "worse",
    [_as_root, _with_a_capability, _with_the_nodes_files, _without_seccomp, _that_may_escalate],
)
def test_a_pod_that_is_less_confined_is_refused(
    fleet: Fleet, kubectl: Kubectl, worse: Callable[[Pod], None]
) -> None:
    (cluster,) = fleet(1)
    kubectl(cluster, "apply", "-k", str(CRONJOB / "base"), "--server-side")
    (reconcile,) = [
        one for one in live_workloads(cluster) if one["metadata"]["name"] == "reconcile"
    ]
    pod = pod_of(copy.deepcopy(template_of(reconcile)), "worse")
    worse(pod)
    answer = cluster.request("POST", PODS, pod)
    assert answer.status == 403
    assert 'violates PodSecurity "restricted' in answer.body["message"]


def test_a_job_made_by_hand_of_the_cronjob_is_what_the_schedule_would_make(
    fleet: Fleet, kubectl: Kubectl
) -> None:
    (cluster,) = fleet(1)
    kubectl(cluster, "apply", "-k", str(CRONJOB / "base"), "--server-side")
    kubectl(cluster, "-n", NAMESPACE, "create", "job", "first-run", "--from=cronjob/reconcile")
    job = cluster.call("GET", f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/first-run")
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["activeDeadlineSeconds"] == 600
