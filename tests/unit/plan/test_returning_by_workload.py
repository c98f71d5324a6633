"""A cluster that is back: each workload's stand-ins end when that workload is ready there."""

from __future__ import annotations

from reconciler.api.moves import Returning, Unready
from reconciler.api.objects import Object, ObjectKey
from reconciler.failover.availability import assess
from reconciler.failover.probe import ProbeAttempt, assess_probe
from reconciler.plan.placement import WorkloadPlacement, place_workloads
from reconciler.scheduler.schedule import schedule
from reconciler.state.memory import ClusterMemory, FleetMemory, Phase
from tests.unit.dns.fleets import understood

FEDERATION = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  defaults: {placement: {clusterSelector: {}}}
  failover: {enabled: true, unhealthyAfter: 3m, healthyAfter: 5m}
---
"""
CLUSTERS = "---".join(
    f"""
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {{name: {name}}}
spec: {{provider: {name}}}
"""
    for name in ("aws", "gcp")
)
WORKLOADS = "".join(
    f"""
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: shop}}
spec: {{replicas: 4, template: {{spec: {{containers: [{{name: a, image: a}}]}}}}}}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {{name: {name}}}
spec: {{select: [{{kind: Deployment, name: {name}}}], clusterSelector: {{}}, replicas: {replicas}}}
"""
    for name, replicas in (
        ("good", "{mode: Divided}"),
        ("broken", "{mode: Divided}"),
        ("scaled", "{mode: Duplicated, total: 5}"),
    )
)


def key(name: str) -> ObjectKey:
    return ObjectKey("apps", "Deployment", "shop", name)


def deployment(asked: int, ready: int) -> Object:
    status = {"replicas": asked, "readyReplicas": ready, "availableReplicas": ready}
    return {"kind": "Deployment", "metadata": {}, "spec": {"replicas": asked}, "status": status}


def placed(broken_ready: int) -> WorkloadPlacement:
    """aws has come back with its share of everything; gcp still stands in with all four."""
    state = understood(FEDERATION, CLUSTERS, WORKLOADS)
    memory = FleetMemory(
        {
            "aws": ClusterMemory(Phase.RETURNING, known=True),
            "gcp": ClusterMemory(Phase.UP, known=True),
        }
    )
    probes = [
        assess_probe(name, [ProbeAttempt(200)], None, min_ready_nodes=0.5)
        for name in ("aws", "gcp")
    ]
    live = {
        key("good"): {"aws": deployment(2, 2), "gcp": deployment(4, 4)},
        key("broken"): {"aws": deployment(2, broken_ready), "gcp": deployment(4, 4)},
        # An autoscaler has set it to three.
        key("scaled"): {"aws": deployment(3, 3), "gcp": deployment(3, 3)},
    }
    availability = assess(state, memory, probes, {}, 1000.0)
    return place_workloads(state, availability, schedule(state), live, ("aws", "gcp"), 1000.0)


def counts(placing: WorkloadPlacement, name: str) -> dict[str, int | None]:
    return dict(next(a.replicas for a in placing.assignments if a.workload == key(name)))


def test_a_broken_image_keeps_its_own_stand_ins_and_nobody_else_s() -> None:
    placing = placed(broken_ready=0)
    assert counts(placing, "good") == {"aws": 2, "gcp": 2}
    assert counts(placing, "broken") == {"aws": 2, "gcp": 4}
    assert placing.waits == {"aws": Returning("aws", (Unready(key("broken"), 0, 2),))}
    assert placing.waits["aws"] in placing.moves
    assert placing.memory.clusters["aws"].phase is Phase.RETURNING


def test_what_an_autoscaler_asks_for_is_what_must_be_ready() -> None:
    placing = placed(broken_ready=2)
    assert placing.waits == {}
    assert placing.memory.clusters["aws"].phase is Phase.UP
    assert counts(placing, "broken") == {"aws": 2, "gcp": 2}
