"""KubeFed's planner: recorded inputs and outputs of the original, and its speed."""

import json
from pathlib import Path

import pytest

from reconciler.federation.model import ReplicaShare
from reconciler.scheduler.kubefed_planner import plan_replicas

CASES = json.loads((Path(__file__).parent / "kubefed-planner-cases.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_plans_as_kubefed_did(case):
    preferences = {
        name: ReplicaShare(p.get("weight", 0), p.get("minReplicas", 0), p.get("maxReplicas"))
        for name, p in case["preferences"].items()
    }
    plan, overflow = plan_replicas(
        case["totalReplicas"],
        preferences,
        case["availableClusters"],
        key=case["key"],
        rebalance=case["rebalance"],
        current=case["currentReplicas"],
        capacity=case["estimatedCapacity"],
    )
    assert plan == case["plan"]
    assert overflow == case["overflow"]


def test_a_thousand_clusters_share_out_every_replica():
    clusters = [f"cluster-{n}" for n in range(1000)]
    plan, _ = plan_replicas(
        100_000, {"*": ReplicaShare(1, 0, 150)}, clusters, key="ns/web", rebalance=True
    )
    assert sum(plan.values()) == 100_000
    assert max(plan.values()) <= 150
