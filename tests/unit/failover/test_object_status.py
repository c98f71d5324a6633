"""kstatus, kind by kind, with objects as API servers return them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given

from reconciler.cluster.kstatus import (
    Status,
    decisive_status,
    is_unavailable,
    object_status,
    ready_replicas,
)
from tests.strategies import JSON_VALUES, KINDS_WITH_STATUS

CASES = """
a new Deployment that nobody has looked at: InProgress generation 2 is not observed yet
  {apiVersion: apps/v1, kind: Deployment, metadata: {generation: 2}, spec: {replicas: 3},
   status: {observedGeneration: 1, replicas: 3, updatedReplicas: 3, availableReplicas: 3}}
a Deployment that runs: Current 3 of 3 replicas are available
  {apiVersion: apps/v1, kind: Deployment, metadata: {generation: 2}, spec: {replicas: 3},
   status: {observedGeneration: 2, replicas: 3, updatedReplicas: 3, availableReplicas: 3}}
a Deployment in mid-rollout: InProgress 1 of 3 replicas are updated
  {apiVersion: apps/v1, kind: Deployment, metadata: {}, spec: {replicas: 3},
   status: {replicas: 4, updatedReplicas: 1, availableReplicas: 3}}
a Deployment whose old Pods linger: InProgress 1 old replicas are still there
  {apiVersion: apps/v1, kind: Deployment, metadata: {}, spec: {replicas: 3},
   status: {replicas: 4, updatedReplicas: 3, availableReplicas: 3}}
a Deployment past its deadline: Failed no image
  {apiVersion: apps/v1, kind: Deployment, metadata: {}, spec: {replicas: 1}, status: {conditions: [
   {type: Progressing, status: "False", reason: ProgressDeadlineExceeded, message: no image}]}}
a Deployment over quota: Failed exceeded quota
  {apiVersion: apps/v1, kind: Deployment, metadata: {}, spec: {replicas: 1}, status: {conditions: [
   {type: ReplicaFailure, status: "True", message: exceeded quota}]}}
a StatefulSet that waits for a Pod: InProgress 1 of 2 replicas are ready
  {apiVersion: apps/v1, kind: StatefulSet, metadata: {}, spec: {replicas: 2},
   status: {readyReplicas: 1, currentRevision: a, updateRevision: a}}
a StatefulSet in mid-rollout: InProgress 1 of 2 replicas are updated
  {apiVersion: apps/v1, kind: StatefulSet, metadata: {}, spec: {replicas: 2},
   status: {readyReplicas: 2, updatedReplicas: 1, currentRevision: a, updateRevision: b}}
a StatefulSet with a partition: Current 3 of 3 replicas are ready
  {apiVersion: apps/v1, kind: StatefulSet, metadata: {},
   spec: {replicas: 3, updateStrategy: {rollingUpdate: {partition: 2}}},
   status: {readyReplicas: 3, updatedReplicas: 1, currentRevision: a, updateRevision: b}}
a DaemonSet without some Pods: InProgress 1 of 2 Pods are available
  {apiVersion: apps/v1, kind: DaemonSet, metadata: {}, spec: {}, status: {observedGeneration: 1,
   desiredNumberScheduled: 2, currentNumberScheduled: 2, updatedNumberScheduled: 2,
   numberAvailable: 1, numberReady: 2}}
a DaemonSet without nodes: Current 0 of 0 Pods
  {apiVersion: apps/v1, kind: DaemonSet, metadata: {}, spec: {}, status: {observedGeneration: 1}}
a Job that failed: Failed too many retries
  {apiVersion: batch/v1, kind: Job, metadata: {}, spec: {}, status: {conditions: [
   {type: Failed, status: "True", message: too many retries}]}}
a Job that runs: Current the Job runs (1 Pods are active)
  {apiVersion: batch/v1, kind: Job, metadata: {}, spec: {}, status: {startTime: now, active: 1}}
a Job that is new: InProgress the Job has not begun
  {apiVersion: batch/v1, kind: Job, metadata: {}, spec: {}}
a Pod without its image: Failed ImagePullBackOff
  {apiVersion: v1, kind: Pod, metadata: {}, status: {phase: Pending, containerStatuses: [
   {state: {waiting: {reason: ImagePullBackOff}}}]}}
a Pod without a node: InProgress no room
  {apiVersion: v1, kind: Pod, metadata: {}, status: {phase: Pending, conditions: [
   {type: PodScheduled, status: "False", message: no room}]}}
a Pod that runs: Current the Pod is ready
  {apiVersion: v1, kind: Pod, metadata: {}, status: {phase: Running, conditions: [
   {type: Ready, status: "True"}]}}
a claim that waits: InProgress not bound
  {apiVersion: v1, kind: PersistentVolumeClaim, metadata: {}, status: {phase: Pending}}
a claim without its volume: Failed lost
  {apiVersion: v1, kind: PersistentVolumeClaim, metadata: {}, status: {phase: Lost}}
a load balancer without an address: InProgress no address yet
  {apiVersion: v1, kind: Service, metadata: {}, spec: {type: LoadBalancer}, status: {}}
an inner Service: Current ready
  {apiVersion: v1, kind: Service, metadata: {}, spec: {type: ClusterIP}}
a CRD whose names are taken: Failed conflict
  {apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {}, status:
   {conditions: [{type: NamesAccepted, status: "False", message: conflict}]}}
a CRD that is served: Current established
  {apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {}, status:
   {conditions: [{type: Established, status: "True"}]}}
a budget that is not met: InProgress 1 healthy Pods, at least 2 wanted
  {apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {}, status:
   {observedGeneration: 1, currentHealthy: 1, desiredHealthy: 2}}
a custom resource that is not ready: InProgress waits for DNS
  {apiVersion: example.com/v1, kind: Certificate, metadata: {}, status: {conditions: [
   {type: Ready, status: "False", message: waits for DNS}]}}
a custom resource that is stuck: Failed no such issuer
  {apiVersion: example.com/v1, kind: Certificate, metadata: {}, status: {conditions: [
   {type: Stalled, status: "True", message: no such issuer}]}}
a ReplicaSet with a replica too few: InProgress 1 of 2 replicas
  {apiVersion: apps/v1, kind: ReplicaSet, metadata: {}, spec: {replicas: 2},
   status: {availableReplicas: 1}}
a ReplicaSet as it should be: Current 2 of 2 replicas
  {apiVersion: apps/v1, kind: ReplicaSet, metadata: {}, spec: {replicas: 2},
   status: {availableReplicas: 2}}
a ReplicaSet beyond its quota: Failed exceeded quota
  {apiVersion: apps/v1, kind: ReplicaSet, metadata: {}, spec: {replicas: 2}, status: {conditions: [
   {type: ReplicaFailure, status: "True", message: exceeded quota}]}}
a ReplicaSet whose newest spec nobody looked at: InProgress generation 2 is not observed
  {apiVersion: apps/v1, kind: ReplicaSet, metadata: {generation: 2}, spec: {replicas: 1},
   status: {observedGeneration: 1, availableReplicas: 1}}
an object without a status: Current
  {apiVersion: v1, kind: ConfigMap, metadata: {}}
an object that goes: Terminating
  {apiVersion: v1, kind: ConfigMap, metadata: {deletionTimestamp: now}}
a custom kind called Deployment: Current
  {apiVersion: example.com/v1, kind: Deployment, metadata: {}, spec: {replicas: 3}}
"""


def _cases() -> list[Any]:
    found = []
    for part in CASES.strip().split("\n"):
        if part.startswith(" "):
            found[-1][1].append(part)
        else:
            found.append((part, []))
    return [
        pytest.param(yaml.safe_load("\n".join(lines)), title.partition(": ")[2], id=title)
        for title, lines in found
    ]


@pytest.mark.parametrize(("obj", "expected"), _cases())
def test_every_kind_by_its_own_rule(obj: dict[str, Any], expected: str) -> None:
    status, _, words = expected.partition(" ")
    found = object_status(obj)
    assert found.status == status
    assert words in found.message


def test_what_is_not_there_is_not_found() -> None:
    assert object_status(None).status is Status.NOT_FOUND


def test_unavailable_is_what_does_not_serve_as_it_must() -> None:
    def deployment(available: str, ready: int, replicas: int = 3) -> dict[str, Any]:
        return {
            "kind": "Deployment",
            "spec": {"replicas": replicas},
            "status": {
                "readyReplicas": ready,
                "conditions": [{"type": "Available", "status": available}],
            },
        }

    assert is_unavailable(deployment("False", 1))
    assert not is_unavailable(deployment("True", 2))
    assert not is_unavailable(deployment("False", 0, replicas=0))
    stateful = {"kind": "StatefulSet", "spec": {"replicas": 1}, "status": {}}
    assert is_unavailable(stateful)
    assert not is_unavailable({**stateful, "status": {"readyReplicas": 1}})


@given(kind=KINDS_WITH_STATUS, spec=JSON_VALUES, status=JSON_VALUES, conditions=JSON_VALUES)
def test_a_hostile_status_ends_in_some_status(
    kind: tuple[str, str], spec: Any, status: Any, conditions: Any
) -> None:
    if isinstance(status, dict):
        status = {**status, "conditions": conditions, "containerStatuses": conditions}
    obj = {"apiVersion": kind[0], "kind": kind[1], "metadata": {}, "spec": spec, "status": status}
    assert object_status(obj).status in Status
    assert isinstance(ready_replicas(obj), int)
    assert is_unavailable(obj) in (True, False)
    assert decisive_status(obj) == decisive_status(obj)
