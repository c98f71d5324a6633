"""What rules, Placements, tolerations and nodes change in a failover."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kubesim.cluster import SimulatedCluster
from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from reconciler.api.moves import Degraded
from reconciler.plan.model import Action
from tests.scenarios.failover_world import (
    CLUSTER,
    CLUSTERS,
    FEDERATION,
    NAMES,
    SHARES,
    WEB,
    FailoverWorld,
    simulated,
)

__all__ = ["simulated"]

OTHERS = ("gcp-eu", "gcp-us")
MOVED, STAYED = {"gcp-eu": 3, "gcp-us": 3}, {"gcp-eu": 2, "gcp-us": 2}


@pytest.mark.parametrize(
    ("placement", "minutes", "counts"),
    [
        ("failover: {action: None}", 30, STAYED),
        ("failover: {action: DNSOnly}", 30, STAYED),
        ("failover: {enabled: false}", 30, STAYED),
        ("failover: {unhealthyAfter: 10m}", 9, STAYED),
        ("failover: {unhealthyAfter: 10m}", 12, MOVED),
        ("tolerations: [{key: federation.reconciler.dev/down, operator: Exists}]", 30, STAYED),
        (
            "tolerations: [{key: federation.reconciler.dev/down, operator: Exists, "
            "tolerationSeconds: 600}]",
            9,
            STAYED,
        ),
        (
            "tolerations: [{key: federation.reconciler.dev/down, operator: Exists, "
            "tolerationSeconds: 600}]",
            15,
            MOVED,
        ),
    ],
)
def test_a_placement_may_stay_or_wait_longer(
    simulated: FailoverWorld, placement: str, minutes: int, counts: dict[str, int]
) -> None:
    simulated.begin(WEB + f"  {placement}\n")
    simulated.hosts["aws-eu"].stop()
    for _ in range(minutes):
        result = simulated.run()
    assert simulated.counts(*OTHERS) == counts
    told = [
        m for m in map(str, result.plan.moves) if m.startswith("not moved from aws-eu: shop/web (")
    ]
    assert bool(told) == (counts == STAYED), "and it is told why"


def test_with_manual_failback_a_person_lets_it_return(simulated: FailoverWorld) -> None:
    simulated.begin(federation=FEDERATION + "    failback: {mode: Manual}\n")
    simulated.hosts["aws-eu"].stop()
    for _ in range(4):
        simulated.run()
    simulated.hosts["aws-eu"].start()
    for _ in range(8):
        result = simulated.run()
    assert simulated.counts(*OTHERS) == MOVED
    assert "reconcile failback aws-eu" in result.plan.health[0].outlook
    simulated.allow_failback("aws-eu")
    for _ in range(3):
        simulated.run()
        assert simulated.ready() >= 6
    assert simulated.counts() == SHARES


def test_a_cluster_whose_nodes_are_not_ready_counts_as_down(simulated: FailoverWorld) -> None:
    simulated.begin()
    aws = simulated.hosts["aws-eu"]
    aws.set_ready_nodes(0)  # type: ignore[attr-defined]
    simulated.wait_for_pods = lambda: None
    for _ in range(4):
        result = simulated.run()
    assert "0 of 2 nodes are ready" in result.plan.health[0].reason
    assert simulated.counts() == {**MOVED, "aws-eu": 2}, "it is left alone, its others take over"
    aws.set_ready_nodes(2)  # type: ignore[attr-defined]
    simulated.wait_for_pods = simulated.until_ready
    for _ in range(8):
        simulated.run()
    assert simulated.counts() == SHARES


@pytest.fixture
def tight(repository: Path) -> Iterator[FailoverWorld]:
    """aws-eu has room for a single Pod."""
    settings = {
        "aws-eu": ClusterSettings(nodes=1, pods_per_node=1),
        "gcp-eu": ClusterSettings(nodes=2),
        "gcp-us": ClusterSettings(nodes=2),
    }
    with Sandbox(list(NAMES), settings=settings) as sandbox:
        hosts = {name: sandbox.cluster(name) for name in NAMES}
        yield FailoverWorld(repository, sandbox.kubeconfig, hosts=hosts)


def test_a_workload_that_is_unavailable_in_a_healthy_cluster_moves(tight: FailoverWorld) -> None:
    rules = FEDERATION + "    workloadUnavailableAfter: 3m\n"
    tight.write("federation.yaml", rules)
    tight.options |= {"clock": lambda: tight.now, "state": str(tight.state)}
    tight.write("clusters.yaml", CLUSTERS)
    tight.write("web.yaml", WEB)
    seen = []
    for _ in range(7):
        result = tight.run()
        seen.append(tight.counts())
    assert seen[0] == SHARES
    assert seen[-1] == {"aws-eu": 0, **MOVED}
    assert any("shop/web: leaves aws-eu" in str(move) for move in result.plan.moves)


TAINTED = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws-eu}
spec: {provider: aws, region: eu-central-1, taints: [{key: drain, value: "1", effect: NoExecute}]}
"""


def test_a_taint_with_toleration_seconds_drains_later(simulated: FailoverWorld) -> None:
    tolerant = "  tolerations: [{key: drain, operator: Exists, tolerationSeconds: 300}]\n"
    keeps = "placement: {clusterSelector: {}, tolerations: [{operator: Exists}]}"
    federation = FEDERATION.replace("placement: {clusterSelector: {}}", keeps)
    simulated.begin(WEB + tolerant, federation)
    rest = CLUSTERS.replace(CLUSTER % ("aws-eu", "aws", "eu-central-1"), "")
    simulated.write("clusters.yaml", TAINTED + "---\n" + rest)
    for _ in range(5):
        simulated.run()
    assert simulated.counts() == SHARES
    for _ in range(3):
        simulated.run()
    assert simulated.counts(*OTHERS) == MOVED
    assert not simulated.exists("deployment", "web", cluster="aws-eu")


def test_a_spread_workload_changes_its_region_and_comes_back_without_a_gap(
    simulated: FailoverWorld,
) -> None:
    spread = "replicas: {mode: Divided}"
    one_region = "spread: [{by: region, maxGroups: 1}]"
    simulated.begin(WEB.replace(spread, one_region))
    (home,) = [n for n in NAMES if simulated.exists("deployment", "web", cluster=n)]
    simulated.hosts[home].stop()
    for _ in range(4):
        result = simulated.run()
    others = [name for name in NAMES if name != home]
    assert sum(simulated.exists("deployment", "web", cluster=name) for name in others) == 1
    assert not any(isinstance(move, Degraded) for move in result.plan.moves)
    simulated.hosts[home].start()
    for _ in range(8):
        simulated.run()
        ready = [
            simulated.get("deployment", "web", cluster=name)["status"].get("readyReplicas", 0)
            for name in NAMES
            if simulated.exists("deployment", "web", cluster=name)
        ]
        assert 6 in ready
    assert [n for n in NAMES if simulated.exists("deployment", "web", cluster=n)] == [home]


SETTINGS = """
---
apiVersion: v1
kind: ConfigMap
metadata: {name: web, namespace: shop}
data: {a: b}
"""


@pytest.mark.parametrize("mode", ["Duplicated", "Divided"])
def test_what_stands_in_for_a_dead_region_outlives_the_memory_of_it(
    simulated: FailoverWorld, mode: str
) -> None:
    """The replicas and what they need: nobody remembers why they are there."""
    web = WEB.replace("kind: Deployment, name: web", "name: web").replace(
        "replicas: {mode: Divided}",
        f"replicas: {{mode: {mode}}}\n  spread: [{{by: region, maxGroups: 1}}]",
    )
    if mode == "Duplicated":
        web = web.replace("replicas: {mode: Duplicated}", "") + SETTINGS
    simulated.begin(web)
    (home,) = [n for n in NAMES if simulated.exists("deployment", "web", cluster=n)]
    simulated.hosts[home].stop()
    others = [name for name in NAMES if name != home]

    def there(kind: str, *names: str) -> list[str]:
        return [name for name in names if simulated.exists(kind, "web", cluster=name)]

    for _ in range(4):
        simulated.run()
    stand_in = there("deployment", *others)
    assert len(stand_in) == 1
    simulated.state.unlink()
    for _ in range(5):
        result = simulated.run()
        pruned = [o.key for o in result.outcomes if o.action is Action.PRUNE]
        assert not pruned, "it is not even tried"
        assert there("deployment", *others) == stand_in
        assert simulated.ready(*stand_in) == 6
        assert there("configmap", *others) == (stand_in if mode == "Duplicated" else [])
    simulated.hosts[home].start()
    for _ in range(8):
        simulated.run()
    assert there("deployment", *NAMES) == [home]


def test_capacity_bounds_what_the_others_take_and_the_rest_is_told(
    simulated: FailoverWorld,
) -> None:
    simulated.begin()
    text = (simulated.repository / "clusters.yaml").read_text()
    simulated.write(
        "clusters.yaml",
        text.replace(
            "region: europe-west1", "region: europe-west1, capacity: {replicas: 3}"
        ).replace("region: us-central1", "region: us-central1, capacity: {replicas: 2}"),
    )
    plan = simulated.plan(simulate_outages=("cluster=aws-eu",))
    (row,) = plan.workloads
    assert dict(row.after) == {"aws-eu": 0, "gcp-eu": 3, "gcp-us": 2}
    assert row.shortfall == 1
    assert any("1 replicas fit nowhere" in warning for warning in plan.warnings)


CRON = """
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: report, namespace: shop}
spec:
  schedule: "0 3 * * *"
  jobTemplate:
    spec: {template: {spec: {restartPolicy: Never, containers: [{name: report, image: report}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec: {containers: [{name: api, image: api}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: solo, namespace: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: solo}}
  template:
    metadata: {labels: {app: solo}}
    spec: {containers: [{name: solo, image: solo}]}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: one-home}
spec: {select: [{kind: CronJob}, {kind: Deployment, name: solo}], clusters: [aws-eu]}
"""


def test_a_simulated_outage_tells_what_does_not_survive_it_and_is_no_failure(
    simulated: FailoverWorld,
) -> None:
    simulated.begin(WEB + CRON)
    plan = simulated.plan(simulate_outages=("cluster=aws-eu",))
    assert "DOWN without aws-eu: solo, CronJob report (nothing else runs them)" in [
        warning.replace("shop/", "") for warning in plan.warnings
    ]
    assert "degraded without aws-eu: shop/api" in map(str, plan.moves)
    assert not plan.has_failures, "that it does not answer is what was asked for"
    simulated.hosts["gcp-eu"].stop()
    assert simulated.plan(simulate_outages=("cluster=aws-eu",)).has_failures


def test_a_simulated_outage_obeys_the_rules(simulated: FailoverWorld) -> None:
    simulated.begin()
    plan = simulated.plan(simulate_outages=("provider=gcp",))
    assert any("may itself be cut off" in warning for warning in plan.warnings)
    (row,) = plan.workloads
    assert dict(row.after) == {"aws-eu": 2, "gcp-eu": 0, "gcp-us": 0}
    simulated.write("federation.yaml", FEDERATION.replace("maxUnhealthy: 1", "maxUnhealthy: 2"))
    plan = simulated.plan(simulate_outages=("provider=gcp",))
    assert dict(plan.workloads[0].after) == {"aws-eu": 6, "gcp-eu": 0, "gcp-us": 0}
    simulated.write("federation.yaml", FEDERATION.replace("enabled: true", "enabled: false"))
    plan = simulated.plan(simulate_outages=("region=eu-central-1",))
    assert any("nothing moves by itself" in warning for warning in plan.warnings)
    assert dict(plan.workloads[0].after) == {"aws-eu": 0, **STAYED}


TOLERATED = "  tolerations: [{key: drain, operator: Exists, tolerationSeconds: 300}]\n"


@pytest.mark.parametrize("step", [86_400.0 * 365, -86_400.0])
@pytest.mark.parametrize("enabled", ["true", "false"])
def test_a_step_of_the_clock_drains_nothing_and_time_does(
    simulated: FailoverWorld, step: float, enabled: str
) -> None:
    keeps = "placement: {clusterSelector: {}, tolerations: [{operator: Exists}]}"
    federation = FEDERATION.replace("placement: {clusterSelector: {}}", keeps)
    federation = federation.replace(
        "failover:\n    enabled: true", f"failover:\n    enabled: {enabled}"
    )
    assert f"enabled: {enabled}" in federation
    simulated.begin(WEB + TOLERATED, federation)
    rest = CLUSTERS.replace(CLUSTER % ("aws-eu", "aws", "eu-central-1"), "")
    simulated.write("clusters.yaml", TAINTED + "---\n" + rest)
    simulated.run()
    set_clock(simulated, step)
    result = simulated.run()
    assert any("clock was set" in warning for warning in result.plan.warnings)
    simulated.run()
    assert simulated.counts() == SHARES
    simulated.run(minutes=6)
    simulated.run()
    assert simulated.counts("gcp-eu", "gcp-us") == {"gcp-eu": 3, "gcp-us": 3}


@pytest.mark.parametrize("step", [86_400.0, -86_400.0])
def test_a_step_of_the_clock_neither_begins_nor_ends_an_outage(
    simulated: FailoverWorld, step: float
) -> None:
    simulated.begin()
    simulated.hosts["aws-eu"].stop()
    simulated.run()
    set_clock(simulated, step)
    simulated.run(minutes=0.1)
    assert simulated.memory().clusters["aws-eu"].streak < 10
    assert simulated.counts("gcp-eu", "gcp-us") == {"gcp-eu": 2, "gcp-us": 2}
    for _ in range(4):
        simulated.run()
    assert simulated.counts("gcp-eu", "gcp-us") == {"gcp-eu": 3, "gcp-us": 3}


def set_clock(world: FailoverWorld, seconds: float) -> None:
    """This machine's, while those of the servers go on: for these, against it, the other way."""
    world.now += seconds
    for host in world.hosts.values():
        assert isinstance(host, SimulatedCluster)
        host.faults.skew_clock(-seconds)
