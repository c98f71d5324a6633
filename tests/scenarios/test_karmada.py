"""Karmada's policies at work: what a plan says of them, and what comes of it in the members."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from kubesim.cluster import SimulatedCluster
from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from reconciler.plan.model import Action, Plan
from reconciler.scheduler.karmada import Strategy, by_webster, divide
from tests.scenarios.conftest import World
from tests.scenarios.failover_world import FEDERATION as WITH_FAILOVER
from tests.scenarios.failover_world import NAMES, FailoverWorld
from tests.scenarios.manifests import NAMESPACE, SETTINGS

CLUSTERS = "---".join(
    f"""
apiVersion: cluster.karmada.io/v1alpha1
kind: Cluster
metadata: {{name: {name}}}
spec: {{syncMode: Push, provider: {name[:3]}, region: {name[4:]}}}
"""
    for name in NAMES
)
BARE = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
"""
POLICY = """
apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {name: all, namespace: shop}
spec:
  resourceSelectors:
    - {apiVersion: apps/v1, kind: Deployment}
    - {apiVersion: v1, kind: ConfigMap}
  %s
"""
WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 6
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - {name: web, image: "registry.invalid/web:1", resources: {requests: {cpu: 2}}}
"""


ON_AWS = "placement: {clusterAffinity: {clusterNames: [aws-eu]}}"


def divided(how: str) -> str:
    return POLICY % f"placement: {{replicaScheduling: {{{how}}}}}"


DYNAMIC = divided(
    "replicaDivisionPreference: Weighted, weightPreference: {dynamicWeight: AvailableReplicas}"
)
AGGREGATED = divided("replicaDivisionPreference: Aggregated")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Nodes have 8 CPUs: room for four of the Deployment's Pods each."""
    with Sandbox(list(NAMES), settings=ClusterSettings(nodes=1)) as sandbox:
        yield sandbox


@pytest.fixture
def fleet_world(repository, sandbox: Sandbox) -> FailoverWorld:
    hosts = {name: sandbox.cluster(name) for name in NAMES}
    return FailoverWorld(repository, sandbox.kubeconfig, hosts=hosts)


def begin(world: World, *texts: str, federation: str = BARE) -> None:
    world.write("federation.yaml", federation)
    world.write("clusters.yaml", CLUSTERS)
    world.write("shop.yaml", "---".join([NAMESPACE, *texts]))


def rows(plan: Plan) -> dict[str, dict[str, int]]:
    return {row.key.name: dict(row.after) for row in plan.workloads}


def actions(world: World, cluster: str = "aws-eu") -> dict[str, Action]:
    return {c.key.name: c.action for c in world.changes(cluster) if c.key.kind != "Namespace"}


def occupy(cluster: SimulatedCluster, cpus: int) -> None:
    """Somebody else's Pod on the first node."""
    cluster.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "other", "namespace": "default"},
            "spec": {
                "nodeName": f"{cluster.name}-node-1",
                "containers": [
                    {
                        "name": "other",
                        "image": "other:1",
                        "resources": {"requests": {"cpu": str(cpus)}},
                    }
                ],
            },
        }
    )


def pods_listed(world: FailoverWorld, name: str) -> int:
    return sum(
        one.method == "GET" and one.path.endswith("/pods") for one in world.hosts[name].requests
    )


# -- room ------------------------------------------------------------------------------------------


def test_replicas_go_by_what_is_free_on_nodes(fleet_world: FailoverWorld) -> None:
    begin(fleet_world, DYNAMIC, WEB)
    occupy(fleet_world.hosts["aws-eu"], 4)
    occupy(fleet_world.hosts["gcp-us"], 6)
    assert rows(fleet_world.plan())["web"] == {"aws-eu": 2, "gcp-eu": 3, "gcp-us": 1}
    fleet_world.hosts["gcp-eu"].set_ready_nodes(0)
    crowded = fleet_world.plan()
    assert rows(crowded).get("web", {}) == {}
    assert any("6 replicas" in str(notice) for notice in crowded.notices)


def test_what_runs_stays_whatever_becomes_free_elsewhere(fleet_world: FailoverWorld) -> None:
    begin(fleet_world, DYNAMIC, WEB)
    occupy(fleet_world.hosts["aws-eu"], 8)
    assert fleet_world.apply().ok
    counts = fleet_world.counts("gcp-eu", "gcp-us")
    assert counts == {"gcp-eu": 3, "gcp-us": 3}
    fleet_world.hosts["aws-eu"].delete("Pod", "other", namespace="default")
    assert not [c for part in fleet_world.plan().clusters for c in part.changes if c.fields]


@pytest.mark.parametrize("strategy", ["DynamicWeight", "Aggregated"])
@pytest.mark.parametrize("by_hand", [0, 1, 4])
def test_a_count_that_somebody_set_in_a_member_moves_nothing_elsewhere(
    fleet_world: FailoverWorld, strategy: Strategy, by_hand: int
) -> None:
    world, how = fleet_world, DYNAMIC if strategy == "DynamicWeight" else AGGREGATED
    world.options["state"] = str(world.state)
    begin(world, how, WEB)
    occupy(world.hosts["gcp-us"], 8)
    assert world.apply().ok
    before = rows(world.plan())["web"]
    assert sum(before.values()) == 6
    scaled = next(name for name, count in before.items() if count != by_hand)
    world.kubectl(
        *("scale", "deployment", "web", "-n", "shop", f"--replicas={by_hand}"), cluster=scaled
    )
    changes = {c.name: c.changes for c in world.plan().clusters if c.changes}
    assert changes.keys() == {scaled}
    (field,) = changes[scaled][0].fields
    assert (field.before, field.after) == (by_hand, before[scaled])

    # Git wants two more at the same time: they are added to what was shared out.
    more = rows_of_divided(world, 8)
    assert all(more.get(name, 0) >= count for name, count in before.items())
    assert sum(more.values()) == 8
    if by_hand == 4:
        # Of fewer, each keeps by what it was given. (What leaves a cluster waits for the others.)
        assert rows_of_divided(world, 3) == divide(strategy, 3, NAMES, previous=before)

    world.write("shop.yaml", "---".join([NAMESPACE, how, WEB]))
    assert world.apply().ok
    assert world.counts(*before) == before


def rows_of_divided(world: FailoverWorld, total: int) -> dict[str, int]:
    """The plan's counts for another total."""
    text = (world.repository / "shop.yaml").read_text()
    world.write("shop.yaml", re.sub(r"replicas: \d+", f"replicas: {total}", text))
    return rows(world.plan())["web"]


def test_without_memory_the_counts_that_are_live_are_those_before(
    fleet_world: FailoverWorld,
) -> None:
    fleet_world.options["state"] = str(fleet_world.state)
    begin(fleet_world, DYNAMIC, WEB)
    assert fleet_world.apply().ok
    fleet_world.kubectl(
        *("scale", "deployment", "web", "-n", "shop", "--replicas=3"), cluster="aws-eu"
    )
    assert rows(fleet_world.plan())["web"] == {"aws-eu": 2, "gcp-eu": 2, "gcp-us": 2}
    fleet_world.state.unlink()
    live = {"aws-eu": 3, "gcp-eu": 2, "gcp-us": 2}
    assert rows(fleet_world.plan())["web"] == by_webster(6, live)


def test_capacity_in_git_goes_before_what_nodes_say_and_nobody_looks(
    fleet_world: FailoverWorld,
) -> None:
    begin(fleet_world, AGGREGATED, WEB)
    ours = "".join(
        f"""
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {{name: {name}}}
spec: {{capacity: {{replicas: {room}}}}}
---
"""
        for name, room in zip(NAMES, (1, 9, 2), strict=True)
    )
    fleet_world.write("clusters.yaml", ours)
    assert rows(fleet_world.plan())["web"] == {"gcp-eu": 6}
    assert [pods_listed(fleet_world, name) for name in NAMES] == [0, 0, 0]


def test_nothing_is_looked_at_where_nothing_goes_by_room(fleet_world: FailoverWorld) -> None:
    begin(fleet_world, divided("replicaDivisionPreference: Weighted"), WEB)
    assert rows(fleet_world.plan())["web"] == dict.fromkeys(NAMES, 2)
    assert [pods_listed(fleet_world, name) for name in NAMES] == [0, 0, 0]
    begin(fleet_world, AGGREGATED, WEB)
    fleet_world.plan()
    assert [pods_listed(fleet_world, name) for name in NAMES] == [1, 1, 1]


def test_a_cluster_whose_pods_nobody_may_list_takes_nothing_new(
    fleet_world: FailoverWorld,
) -> None:
    begin(fleet_world, DYNAMIC, WEB)
    refused = fleet_world.hosts["gcp-us"].faults.forbid(path="/api/v1/pods")
    plan = fleet_world.plan()
    assert rows(plan)["web"] == {"aws-eu": 3, "gcp-eu": 3}
    assert any("gcp-us: how much room it has is not known" in str(n) for n in plan.notices)
    fleet_world.hosts["gcp-us"].faults.remove(refused)
    assert rows(fleet_world.plan())["web"] == dict.fromkeys(NAMES, 2)


def test_an_overflow_fills_one_step_and_leaves_in_reverse(fleet_world: FailoverWorld) -> None:
    ours = """
    apiVersion: federation.reconciler.dev/v1alpha1
    kind: Placement
    metadata: {name: web}
    spec:
      select: [{kind: Deployment}]
      overflow: [{clusters: [gcp-us]}, {clusters: [aws-eu, gcp-eu]}]
      replicas: {mode: Divided}
    """
    begin(fleet_world, WEB)
    fleet_world.write("placement.yaml", ours)
    assert rows(fleet_world.plan())["web"] == {"gcp-us": 4, "aws-eu": 1, "gcp-eu": 1}
    assert fleet_world.apply().ok
    begin(fleet_world, WEB.replace("replicas: 6", "replicas: 5"))
    assert rows(fleet_world.plan())["web"]["gcp-us"] == 4
    begin(fleet_world, WEB.replace("replicas: 6", "replicas: 3"))
    assert fleet_world.apply().ok
    assert rows(fleet_world.plan())["web"]["gcp-us"] == 3


# -- outages ---------------------------------------------------------------------------------------

GROUPS = POLICY % (
    "placement: {clusterAffinities: [{affinityName: main, clusterNames: [aws-eu]}, "
    "{affinityName: spare, clusterNames: [gcp-eu]}], "
    "replicaScheduling: {replicaDivisionPreference: Weighted}}"
)


def test_the_next_group_stands_in_for_one_that_is_down(fleet_world: FailoverWorld) -> None:
    begin(fleet_world, GROUPS, WEB, federation=WITH_FAILOVER)
    fleet_world.options |= {"clock": lambda: fleet_world.now, "state": str(fleet_world.state)}
    for _ in range(2):
        assert fleet_world.run().ok
    assert fleet_world.counts("aws-eu") == {"aws-eu": 6}
    assert not fleet_world.exists("deployment", "web", "gcp-eu")
    fleet_world.hosts["aws-eu"].stop()
    for _ in range(5):
        fleet_world.run()
    assert fleet_world.counts("gcp-eu") == {"gcp-eu": 6}
    fleet_world.hosts["aws-eu"].start()
    for _ in range(8):
        fleet_world.run()
    assert fleet_world.counts("aws-eu") == {"aws-eu": 6}


def test_a_cluster_that_does_not_answer_once_moves_nothing(fleet_world: FailoverWorld) -> None:
    begin(fleet_world, DYNAMIC, WEB)
    assert fleet_world.apply().ok
    before = fleet_world.counts()
    fleet_world.hosts["gcp-us"].stop()
    plan = fleet_world.plan()
    assert not [c for part in plan.clusters for c in part.changes]
    fleet_world.hosts["gcp-us"].start()
    assert fleet_world.counts() == before


def test_a_cluster_that_was_never_seen_holds_up_nothing(fleet_world: FailoverWorld) -> None:
    begin(fleet_world, DYNAMIC, WEB)
    fleet_world.hosts["gcp-us"].stop()
    assert rows(fleet_world.plan())["web"] == {"aws-eu": 3, "gcp-eu": 3}


# -- what is there already -------------------------------------------------------------------------


def test_a_conflict_is_refused_unless_karmada_made_it_or_the_policy_overwrites(
    fleet_world: FailoverWorld,
) -> None:
    begin(fleet_world, POLICY % ON_AWS, SETTINGS)
    shop = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
    fleet_world.hosts["aws-eu"].create(shop)
    fleet_world.create_config_map("settings", cluster="aws-eu")
    assert actions(fleet_world) == {"settings": Action.FAILED}
    assert not fleet_world.apply().ok
    (refused,) = [c for c in fleet_world.changes("aws-eu") if c.key.name == "settings"]
    assert "Karmada did not make it" in refused.error
    overwriting = f"conflictResolution: Overwrite\n  {ON_AWS}"
    begin(fleet_world, POLICY % overwriting, SETTINGS)
    assert actions(fleet_world) == {"settings": Action.ADOPT}
    begin(fleet_world, POLICY % ON_AWS, SETTINGS)
    fleet_world.create_config_map("settings", cluster="aws-eu", **{"karmada.io/managed": "true"})
    assert actions(fleet_world) == {"settings": Action.ADOPT}
    assert fleet_world.apply().ok


def test_what_karmada_made_is_taken_over_and_changed_as_git_says(
    fleet_world: FailoverWorld,
) -> None:
    begin(fleet_world, POLICY % ON_AWS, SETTINGS)
    aws = fleet_world.hosts["aws-eu"]
    aws.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    labels = {"karmada.io/managed": "true"}
    made = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": "shop", "labels": labels},
        "data": {"colour": "red", "size": "3"},
    }
    aws.create(made, manager="karmada-controller-manager")
    assert actions(fleet_world) == {"settings": Action.ADOPT}
    assert fleet_world.apply().ok
    assert fleet_world.get("configmap", "settings", "aws-eu")["data"]["colour"] == "green"
    begin(fleet_world, POLICY % ON_AWS, SETTINGS.replace("green", "blue"))
    assert fleet_world.apply().ok
    assert fleet_world.get("configmap", "settings", "aws-eu")["data"]["colour"] == "blue"


def test_what_is_suspended_is_planned_and_not_written(fleet_world: FailoverWorld) -> None:
    only = "suspension: {dispatchingOnClusters: {clusterNames: [gcp-eu]}}"
    begin(fleet_world, POLICY % only, SETTINGS)
    fleet_world.apply()
    assert fleet_world.exists("configmap", "settings", "aws-eu")
    assert not fleet_world.exists("configmap", "settings", "gcp-eu")
    (waiting,) = [c for c in fleet_world.changes("gcp-eu") if c.key.name == "settings"]
    assert waiting.waits == "waits: paused (PropagationPolicy shop/all)"
    changed = SETTINGS.replace("green", "blue")
    begin(fleet_world, POLICY % "suspension: {dispatching: true}", changed)
    fleet_world.apply()
    assert fleet_world.get("configmap", "settings", "aws-eu")["data"]["colour"] == "green"


def test_an_affinity_that_matches_nothing_any_more_deletes_nothing(
    fleet_world: FailoverWorld,
) -> None:
    begin(fleet_world, POLICY % "placement: {}", WEB)
    assert fleet_world.apply().ok
    none = "{labelSelector: {matchLabels: {tier: none}}}"
    begin(fleet_world, POLICY % f"placement: {{clusterAffinity: {none}}}", WEB)
    plan = fleet_world.plan()
    assert not [c for part in plan.clusters for c in part.changes if c.action is Action.PRUNE]
    assert any("matches no cluster" in str(notice) for notice in plan.notices)


def test_a_cluster_that_leaves_an_affinity_is_left_once_the_others_are_ready(
    fleet_world: FailoverWorld,
) -> None:
    stays = POLICY.replace("PropagationPolicy", "ClusterPropagationPolicy").replace(
        ", namespace: shop", ""
    )
    secret = (
        "\napiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: shop}\nstringData: {a: b}\n"
    )
    stays = stays.replace("kind: ConfigMap", "kind: Secret") % "placement: {}"
    begin(fleet_world, divided("replicaDivisionPreference: Weighted"), stays, secret, WEB)
    assert fleet_world.apply().ok
    fleet_world.until_ready()
    narrow = (
        "placement: {clusterAffinity: {exclude: [gcp-us]}, "
        "replicaScheduling: {replicaDivisionPreference: Weighted}}"
    )
    begin(fleet_world, POLICY % narrow, stays, secret, WEB)
    for _ in range(4):
        fleet_world.apply()
        fleet_world.until_ready()
    assert fleet_world.counts("aws-eu", "gcp-eu") == {"aws-eu": 3, "gcp-eu": 3}
    assert not fleet_world.exists("deployment", "web", "gcp-us")


# -- side by side ----------------------------------------------------------------------------------


def test_ours_kubefeds_and_karmadas_live_in_one_repository(fleet_world: FailoverWorld) -> None:
    ours = """
    apiVersion: federation.reconciler.dev/v1alpha1
    kind: Placement
    metadata: {name: settings}
    spec: {select: [{kind: ConfigMap, name: settings}], clusters: [gcp-us]}
    """
    federated = """
    apiVersion: types.kubefed.io/v1beta1
    kind: FederatedConfigMap
    metadata: {name: old, namespace: shop}
    spec:
      template: {data: {a: b}}
      placement: {clusters: [{name: gcp-eu}]}
    """
    begin(fleet_world, POLICY % ON_AWS, WEB)
    fleet_world.write("ours.yaml", ours)
    fleet_world.write("old.yaml", federated)
    fleet_world.write("settings.yaml", SETTINGS)
    assert fleet_world.apply().ok
    for name, kind, cluster in (
        ("settings", "configmap", "gcp-us"),
        ("old", "configmap", "gcp-eu"),
        ("web", "deployment", "aws-eu"),
    ):
        there = {c for c in NAMES if fleet_world.exists(kind, name, c)}
        assert there == {cluster}
    (row,) = [row for row in fleet_world.plan().workloads if row.key.name == "web"]
    assert row.placed_by == "PropagationPolicy shop/all"
