"""What only an outage brings to a cluster: found beforehand, and never at the cost of the run."""

from __future__ import annotations

import pytest

from reconciler.api.errors import BadInput
from reconciler.api.options import RunOptions
from reconciler.failover.survivability import assess_survivability
from reconciler.plan.model import Action
from reconciler.report import survivability as report
from reconciler.run.failover_targets import try_failover_targets
from reconciler.run.repository import validate_repository
from tests.scenarios.failover_world import WEB, FailoverWorld, simulated

__all__ = ["simulated"]

SPREAD = WEB.replace(
    "  replicas: {mode: Divided}\n",
    "  spread: [{by: cluster, maxGroups: 1}]\n"
    "  affinity: {preferred: [{weight: 9, selector: {matchLabels: "
    "{topology.kubernetes.io/region: eu-central-1}}}]}\n",
)
OTHER = """
---
apiVersion: v1
kind: ConfigMap
metadata: {name: other, namespace: shop}
data: {a: b}
"""
WRONG = "  overrides: [{clusters: [gcp-us], patch: [{path: /spec/paused, value: true}]}]\n"


def deny(world: FailoverWorld, name: str, code: int = 400) -> None:
    world.hosts[name].faults.deny(code=code, path="deployments")


def options(world: FailoverWorld) -> RunOptions:
    return RunOptions(repo=str(world.repository), kubeconfig=str(world.kubeconfig))


def test_an_override_for_a_stand_in_is_checked_before_any_outage(simulated: FailoverWorld) -> None:
    simulated.begin(SPREAD)
    simulated.write("web.yaml", SPREAD + WRONG)
    for check in (lambda: validate_repository(options(simulated)), simulated.plan):
        with pytest.raises(BadInput) as caught:
            check()
        (problem,) = caught.value.problems
        assert "/spec/paused does not exist" in problem.message


@pytest.mark.parametrize("code", [400, 403, 422])
def test_a_refusal_in_mid_outage_costs_that_workload_in_that_cluster(
    simulated: FailoverWorld, code: int
) -> None:
    simulated.begin(SPREAD)
    for name in ("gcp-eu", "gcp-us"):
        deny(simulated, name, code)
    simulated.hosts["aws-eu"].stop()
    for _ in range(5):
        simulated.run()
    simulated.write("other.yaml", OTHER)
    result = simulated.run()
    assert not result.plan.violations
    refused = [c for cl in result.plan.clusters for c in cl.changes if c.action is Action.FAILED]
    assert [change.key.name for change in refused] == ["web"]
    assert simulated.exists("configmap", "other", cluster="gcp-us")


def test_clusters_tell_beforehand_what_they_would_refuse(simulated: FailoverWorld) -> None:
    simulated.begin(SPREAD)
    assert try_failover_targets(options(simulated)).refused == ()
    deny(simulated, "gcp-us")
    simulated.hosts["gcp-eu"].stop()
    live = try_failover_targets(options(simulated))
    (refused,) = live.refused
    assert (refused.cluster, refused.workload.name, refused.certain) == ("gcp-us", "web", True)
    assert list(live.unanswered) == ["gcp-eu"]
    state = validate_repository(options(simulated)).state
    matrix = assess_survivability(state)
    from msgspec.structs import replace

    text = report.render_survivability_text(replace(matrix, live=live))
    assert "gcp-us: Deployment shop/web refused: " in text
    assert not simulated.exists("deployment", "web", cluster="gcp-us")
