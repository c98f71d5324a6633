"""Karmada's policies, one sentence each."""

from __future__ import annotations

import textwrap

import pytest

from reconciler.api.files import SourceFile
from reconciler.federation.compile import Compiled, compile_documents
from reconciler.manifests.load import load
from reconciler.scheduler.model import Assignment, FleetView
from reconciler.scheduler.schedule import schedule

CLUSTERS = """
apiVersion: cluster.karmada.io/v1alpha1
kind: Cluster
metadata: {name: aws, labels: {tier: main}}
spec: {syncMode: Push, provider: aws, region: eu, zones: [eu-a, eu-b]}
---
apiVersion: cluster.karmada.io/v1alpha1
kind: Cluster
metadata: {name: gcp-1}
spec: {syncMode: Pull, provider: gcp, region: eu, zones: [eu-a]}
---
apiVersion: cluster.karmada.io/v1alpha1
kind: Cluster
metadata: {name: gcp-2}
spec: {syncMode: Push, provider: gcp, region: us, zones: [us-a]}
---
"""
WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, labels: {app: web}}
spec:
  replicas: 6
  template: {spec: {containers: [{name: web, image: web:1}]}}
---
"""
SETTINGS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data: {colour: green}
---
"""
HEAD = "apiVersion: policy.karmada.io/v1alpha1\nkind: "
DEPLOYMENTS = "resourceSelectors: [{apiVersion: apps/v1, kind: Deployment}]"


def policy(
    spec: str, name: str = "web", kind: str = "PropagationPolicy", select: str = DEPLOYMENTS
) -> str:
    metadata = f"name: {name}" + ("" if kind.startswith("Cluster") else ", namespace: shop")
    return f"{HEAD}{kind}\nmetadata: {{{metadata}}}\nspec:\n  {select}\n  {spec}\n---\n"


def read(text: str) -> Compiled:
    manifests = load([SourceFile("all.yaml", (CLUSTERS + textwrap.dedent(text)).encode())])
    found = compile_documents(manifests.documents)
    problems = (*manifests.problems, *found.problems)
    return found if not manifests.problems else Compiled(None, tuple(problems))


def placed(text: str, view: FleetView | None = None) -> Assignment:
    found = read(text)
    assert found.state is not None, [str(problem) for problem in found.problems]
    return next(a for a in schedule(found.state, view) if a.workload.name in ("web", "settings"))


def problems_of(text: str) -> list[str]:
    return [str(problem) for problem in read(text).problems]


def notices_of(text: str) -> list[str]:
    found = read(text)
    assert found.state is not None, [str(problem) for problem in found.problems]
    return [str(notice) for notice in found.state.notices]


# -- which clusters --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("placement", "expected"),
    [
        ("{}", "aws gcp-1 gcp-2"),
        ("{clusterAffinity: {clusterNames: [aws, gcp-2]}}", "aws gcp-2"),
        ("{clusterAffinity: {exclude: [aws]}}", "gcp-1 gcp-2"),
        ("{clusterAffinity: {clusterNames: [aws, gcp-2], exclude: [aws]}}", "gcp-2"),
        ("{clusterAffinity: {labelSelector: {matchLabels: {tier: main}}}}", "aws"),
        ("{clusterAffinity: {fieldSelector: %s}}", "gcp-1 gcp-2"),
        (
            "{clusterAffinity: {clusterNames: [aws, gcp-2], labelSelector: "
            "{matchExpressions: [{key: tier, operator: DoesNotExist}]}}}",
            "gcp-2",
        ),
    ],
)
def test_an_affinity_chooses_clusters_by_all_that_it_says(placement: str, expected: str) -> None:
    field = "{matchExpressions: [{key: provider, operator: In, values: [gcp]}]}"
    text = policy(f"placement: {placement.replace('%s', field)}") + WEB
    assert set(placed(text).replicas) == set(expected.split())


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("In", "[eu-a]", "gcp-1"),
        ("In", "[eu-a, eu-b]", "aws gcp-1"),
        ("NotIn", "[eu-b]", "gcp-1 gcp-2"),
    ],
)
def test_all_zones_of_a_cluster_count(operator: str, values: str, expected: str) -> None:
    field = f"{{matchExpressions: [{{key: zone, operator: {operator}, values: {values}}}]}}"
    text = policy(f"placement: {{clusterAffinity: {{fieldSelector: {field}}}}}") + WEB
    assert set(placed(text).replicas) == set(expected.split())


GROUPS = (
    "placement: {clusterAffinities: [{affinityName: main, clusterNames: [aws]}, "
    "{affinityName: spare, clusterNames: [gcp-1, gcp-2]}]%s}"
)


def test_the_first_group_that_fits_is_used_and_the_plan_names_it() -> None:
    found = placed(policy(GROUPS % "") + WEB)
    assert dict(found.replicas) == {"aws": None}
    assert found.placed_by == "PropagationPolicy shop/web, group main"
    assert found.left_out["gcp-1"] == "group main goes first"


def test_the_next_group_takes_over_when_the_first_is_down_and_nothing_is_pruned() -> None:
    found = placed(policy(GROUPS % "") + WEB, FleetView(unavailable={"aws": "down"}))
    assert set(found.replicas) == {"aws", "gcp-1", "gcp-2"}
    assert found.placed_by.endswith("group spare")


def test_it_stays_with_the_group_where_it_is() -> None:
    text = policy(GROUPS % "") + WEB
    key = placed(text).workload
    there = FleetView(present={key: {"gcp-1": 6, "gcp-2": 6}})
    assert set(placed(text, there).replicas) == {"gcp-1", "gcp-2"}
    back = FleetView(present={key: {"gcp-1": 6, "gcp-2": 6}}, returning=["aws"])
    assert set(placed(text, back).replicas) == {"aws"}


def test_a_group_without_room_is_passed_over() -> None:
    dynamic = ", replicaScheduling: {replicaDivisionPreference: Aggregated}"
    text = policy(GROUPS % dynamic) + WEB
    key = placed(text).workload
    full = FleetView(capacity={key: {"aws": 5}})
    assert sum(placed(text, full).replicas.values()) == 6
    assert "aws" not in placed(text, full).replicas
    nowhere = FleetView(capacity={key: {"aws": 5, "gcp-1": 1, "gcp-2": 1}})
    found = placed(text, nowhere)
    assert (dict(found.replicas), found.shortfall) == ({}, 6)
    assert "no group of its clusterAffinities" in str(found.notices[0])


def test_taints_keep_away_what_does_not_tolerate_them() -> None:
    tainted = CLUSTERS.replace(
        "zones: [us-a]", "zones: [us-a], taints: [{key: gpu, effect: NoSchedule}]"
    )
    for placement, expected in (
        ("{}", {"aws", "gcp-1"}),
        ("{clusterTolerations: [{key: gpu, operator: Exists}]}", {"aws", "gcp-1", "gcp-2"}),
        # Without a key and a value: whatever the taint, if it has no value.
        ("{clusterTolerations: [{effect: NoSchedule}]}", {"aws", "gcp-1", "gcp-2"}),
        ("{clusterTolerations: [{value: a, effect: NoSchedule}]}", {"aws", "gcp-1"}),
    ):
        text = tainted + policy(f"placement: {placement}") + WEB
        manifests = load([SourceFile("all.yaml", text.encode())])
        state = compile_documents(manifests.documents).state
        (found,) = schedule(state)
        assert set(found.replicas) == expected


# -- spread ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("[{spreadByField: cluster, maxGroups: 2}]", "aws gcp-1"),
        ("[{maxGroups: 1}]", "aws"),
        ("[{spreadByField: region, maxGroups: 1}, {spreadByField: cluster}]", "aws gcp-1"),
        (
            "[{spreadByField: region, minGroups: 2}, {spreadByField: cluster, maxGroups: 2}]",
            "aws gcp-2",
        ),
        ("[{spreadByField: provider, maxGroups: 1}, {spreadByField: cluster}]", "gcp-1 gcp-2"),
        ("[{spreadByField: provider, minGroups: 2}]", "aws gcp-1 gcp-2"),
        ("[{spreadByField: zone, minGroups: 2, maxGroups: 2}]", "aws gcp-1"),
        (
            "[{spreadByField: provider, maxGroups: 1}, {spreadByField: cluster, minGroups: 2}]",
            "gcp-1 gcp-2",
        ),
    ],
)
def test_constraints_choose_groups(rules: str, expected: str) -> None:
    text = policy(f"placement: {{spreadConstraints: {rules}}}") + WEB
    assert set(placed(text).replicas) == set(expected.split())


def test_too_few_groups_leave_everything_as_it_is() -> None:
    text = policy("placement: {spreadConstraints: [{spreadByField: region, minGroups: 3}]}") + WEB
    found = placed(text)
    assert dict(found.replicas) == {}
    assert "only 2 of at least 3 region groups" in str(found.notices[0])
    there = placed(text, FleetView(present={found.workload: {"gcp-2": 6}}))
    assert set(there.replicas) == {"gcp-2"}


def test_constraints_do_nothing_beside_static_weights() -> None:
    rules = "spreadConstraints: [{spreadByField: cluster, maxGroups: 1}]"
    divided = "replicaScheduling: {replicaDivisionPreference: Weighted}"
    text = policy(f"placement: {{{rules}, {divided}}}") + WEB
    assert dict(placed(text).replicas) == {"aws": 2, "gcp-1": 2, "gcp-2": 2}
    assert any("no effect beside static weights" in one for one in notices_of(text))


@pytest.mark.parametrize("affinity", ["", "clusterAffinities: [{affinityName: all}], "])
def test_static_weights_leave_out_clusters_without_the_place_to_spread_over(affinity: str) -> None:
    rules = "spreadConstraints: [{spreadByField: region, maxGroups: 1}, {spreadByField: cluster}]"
    weights = "replicaScheduling: {replicaDivisionPreference: Weighted}"
    fleet = CLUSTERS.replace("region: us, ", "")
    text = fleet + policy(f"placement: {{{affinity}{rules}, {weights}}}") + WEB
    found = compile_documents(load([SourceFile("all.yaml", text.encode())]).documents)
    assert found.state is not None
    (one,) = schedule(found.state)
    assert one.replicas == {"aws": 3, "gcp-1": 3}
    assert any("but clusters without a region" in str(told) for told in found.state.notices)


# -- replicas --------------------------------------------------------------------------------------


def divided(body: str) -> str:
    return policy(f"placement: {{replicaScheduling: {{{body}}}}}") + WEB


WEIGHTED = "replicaDivisionPreference: Weighted, weightPreference: {%s}"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("replicaSchedulingType: Duplicated", {"aws": None, "gcp-1": None, "gcp-2": None}),
        ("replicaDivisionPreference: Weighted", {"aws": 2, "gcp-1": 2, "gcp-2": 2}),
        (
            WEIGHTED % "staticWeightList: [{targetCluster: {clusterNames: [aws]}, weight: 2}, "
            "{targetCluster: {clusterNames: [gcp-1]}, weight: 1}]",
            {"aws": 4, "gcp-1": 2},
        ),
        (
            WEIGHTED % "staticWeightList: [{targetCluster: {clusterNames: [gcp-1]}, weight: 1}, "
            "{targetCluster: {fieldSelector: {matchExpressions: [{key: provider, operator: In, "
            "values: [gcp]}]}}, weight: 2}]",
            {"gcp-1": 3, "gcp-2": 3},
        ),
        (WEIGHTED % "dynamicWeight: AvailableReplicas", {"aws": 3, "gcp-1": 2, "gcp-2": 1}),
        ("replicaDivisionPreference: Aggregated", {"aws": 6}),
    ],
)
def test_replicas_are_divided_as_the_policy_says(body: str, expected: dict[str, int]) -> None:
    text = divided(body)
    key = placed(text).workload
    view = FleetView(capacity={key: {"aws": 9, "gcp-1": 6, "gcp-2": 3}})
    assert dict(placed(text, view).replicas) == expected


def test_what_runs_stays_where_it_is_when_more_are_wanted() -> None:
    text = divided(WEIGHTED % "dynamicWeight: AvailableReplicas")
    key = placed(text).workload
    view = FleetView(present={key: {"gcp-2": 4}}, capacity={key: {"aws": 1, "gcp-1": 1}})
    assert dict(placed(text, view).replicas) == {"aws": 1, "gcp-1": 1, "gcp-2": 4} or (
        placed(text, view).replicas["gcp-2"] >= 4
    )


def test_a_cluster_that_does_not_answer_is_taken_to_run_what_is_lacking() -> None:
    text = divided(WEIGHTED % "dynamicWeight: AvailableReplicas")
    key = placed(text).workload
    view = FleetView(present={key: {"aws": 4}}, unseen=["gcp-1"])
    assert dict(placed(text, view).replicas) == {"aws": 4, "gcp-1": 2}


def test_without_enough_room_nothing_is_added() -> None:
    text = divided("replicaDivisionPreference: Aggregated")
    key = placed(text).workload
    view = FleetView(present={key: {"aws": 3}}, capacity={key: {"aws": 3, "gcp-1": 1, "gcp-2": 1}})
    found = placed(text, view)
    assert (dict(found.replicas), found.shortfall) == ({"aws": 3}, 3)


def test_what_has_no_replicas_goes_everywhere() -> None:
    select = "resourceSelectors: [{apiVersion: v1, kind: ConfigMap}]"
    spread = "placement: {replicaScheduling: {replicaDivisionPreference: Aggregated}}"
    found = placed(policy(spread, select=select) + SETTINGS)
    assert dict(found.replicas) == {"aws": None, "gcp-1": None, "gcp-2": None}


def test_none_at_all_are_none_in_each() -> None:
    text = divided("replicaDivisionPreference: Aggregated").replace("replicas: 6", "replicas: 0")
    assert dict(placed(text).replicas) == {"aws": 0, "gcp-1": 0, "gcp-2": 0}


# -- which policy ----------------------------------------------------------------------------------

WIDE = "ClusterPropagationPolicy"
ONE, TWO = "clusterAffinity: {clusterNames: [aws]}", "clusterAffinity: {clusterNames: [gcp-1]}"
BY_NAME = "resourceSelectors: [{apiVersion: apps/v1, kind: Deployment, name: web}]"
BY_LABEL = (
    "resourceSelectors: [{apiVersion: apps/v1, kind: Deployment, "
    "labelSelector: {matchLabels: {app: web}}}]"
)


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [
        (policy(f"placement: {{{ONE}}}", "b"), policy(f"placement: {{{TWO}}}", "a"), "gcp-1"),
        (
            policy(f"placement: {{{ONE}}}", "b", select=BY_NAME),
            policy(f"placement: {{{TWO}}}", "a", select=BY_LABEL),
            "aws",
        ),
        (
            policy(f"placement: {{{ONE}}}", "b", select=BY_LABEL),
            policy(f"placement: {{{TWO}}}", "a"),
            "aws",
        ),
        (
            policy(f"placement: {{{ONE}}}\n  priority: 1\n  preemption: Always", "b"),
            policy(f"placement: {{{TWO}}}", "a", select=BY_NAME),
            "aws",
        ),
        (
            policy(f"placement: {{{ONE}}}", "b"),
            policy(
                f"priority: 9\n  placement: {{{TWO}}}", "a", "ClusterPropagationPolicy", BY_NAME
            ),
            "aws",
        ),
    ],
    ids=["smaller name", "name", "labels", "priority", "its own namespace"],
)
def test_one_policy_counts_and_the_others_are_named(first: str, second: str, winner: str) -> None:
    for text in (first + second, second + first):
        found = placed(text + WEB)
        assert set(found.replicas) == {winner}
        assert "(before " in found.placed_by


def test_a_placement_of_ours_goes_before_karmadas_policies() -> None:
    ours = """
    apiVersion: federation.reconciler.dev/v1alpha1
    kind: Placement
    metadata: {name: ours}
    spec: {select: [{kind: Deployment}], clusters: [gcp-2]}
    ---
    """
    found = placed(textwrap.dedent(ours) + policy(f"placement: {{{ONE}}}") + WEB)
    assert set(found.replicas) == {"gcp-2"}
    assert found.placed_by == "Placement ours (before PropagationPolicy shop/web)"


def test_reserved_namespaces_are_left_alone_by_policies_of_the_fleet() -> None:
    text = policy("placement: {}", kind=WIDE) + WEB.replace(
        "namespace: shop", "namespace: karmada-system"
    )
    assert dict(placed(text).replicas) == {}


def test_what_no_policy_selects_goes_nowhere_and_is_told() -> None:
    assert any(
        "PropagationPolicy shop/web selects no manifest" in n
        for n in notices_of(policy("placement: {}") + SETTINGS)
    )


# -- what else a policy says -----------------------------------------------------------------------


def workload(text: str):
    state = read(text).state
    assert state is not None, problems_of(text)
    return state.workloads[0]


def test_conflicts_deletion_and_suspension_are_kept() -> None:
    plain = workload(policy("placement: {}") + WEB)
    assert plain.rules.abort_on_conflict
    assert not plain.rules.force_conflicts
    assert not plain.rules.orphan
    over = workload(
        policy("conflictResolution: Overwrite\n  preserveResourcesOnDeletion: true") + WEB
    )
    assert over.rules.force_conflicts
    assert over.rules.orphan
    assert not over.rules.abort_on_conflict
    one = "suspension: {dispatchingOnClusters: {clusterNames: [aws]}}"
    assert workload(policy(one) + WEB).rules.suspended == ("aws",)
    assert workload(policy("suspension: {dispatching: true}") + WEB).rules.suspended_everywhere


FAILOVER = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec: {failover: {enabled: true, unhealthyAfter: 2m}}
---
"""
APPLICATION = (
    "failover: {application: {decisionConditions: {tolerationSeconds: 60}}}\n"
    "  placement: {replicaScheduling: {replicaDivisionPreference: Weighted}}"
)


def test_failover_of_an_application_is_ours() -> None:
    found = workload(FAILOVER + policy(APPLICATION) + WEB)
    assert found.rules.failover.workload_unavailable_after == 60
    assert "failover is not enabled" in problems_of(policy(APPLICATION) + WEB)[0]


@pytest.mark.parametrize(("seconds", "expected"), [("tolerationSeconds: 300, ", 300.0), ("", None)])
@pytest.mark.parametrize("key", ["key: cluster.karmada.io/not-ready, ", ""])
def test_a_tolerated_outage_is_left_later_or_never(
    key: str, seconds: str, expected: float | None
) -> None:
    toleration = f"{{{key}operator: Exists, {seconds}effect: NoExecute}}"
    found = workload(FAILOVER + policy(f"placement: {{clusterTolerations: [{toleration}]}}") + WEB)
    assert (
        found.rules.failover.unhealthy_after if found.rules.failover.enabled else None
    ) == expected


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("schedulerName: other", "there is no scheduler 'other'"),
        ("activationPreference: Lazy", "Lazy cannot be honoured"),
        ("schedulePriority: {priorityClassName: high}", "an order of scheduling"),
        ("suspension: {scheduling: true}", "scheduling cannot be suspended"),
        ("suspension: {dispatching: true, dispatchingOnClusters: {}}", "beside dispatching"),
        ("placement: {workloadAffinity: {}}", "together or apart"),
        ("placement: {spreadConstraints: [{spreadByLabel: x}]}", "groups by a label"),
        ("placement: {spreadConstraints: [{minGroups: 3, maxGroups: 2}]}", "minGroups 3 is more"),
        ("placement: {spreadConstraints: [{}, {}]}", "a second rule for cluster"),
        ("placement: {clusterAffinity: {clusterNames: [asw]}}", "there is no cluster 'asw'"),
        ("placement: {clusterAffinity: {}, clusterAffinities: []}", "beside clusterAffinity"),
        ("dependentOverrides: [web]", "there is no OverridePolicy 'web'"),
        ("prioritty: 1", "did you mean priority?"),
        ("placement: {clusterAffinity: {clusterName: [aws]}}", "did you mean clusterNames?"),
        ("preemption: Sometimes", "unknown value"),
        ("priority: high", "a whole number"),
    ],
)
def test_what_cannot_be_honoured_is_an_error_with_its_line(spec: str, words: str) -> None:
    (problem, *_) = problems_of(policy(spec) + WEB)
    assert words in problem
    assert problem.startswith("all.yaml:2")


def test_dependent_overrides_are_of_the_same_scope() -> None:
    wide = policy("overrideRules: []", "wide", "ClusterOverridePolicy")
    own = policy("overrideRules: []", "own", "OverridePolicy")
    for kind, right, wrong in (
        ("PropagationPolicy", "own", "wide"),
        ("ClusterPropagationPolicy", "wide", "own"),
    ):
        text = wide + own + policy(f"dependentOverrides: [{right}, {wrong}]", kind=kind) + WEB
        (problem,) = problems_of(text)
        assert f"there is no {kind.replace('Propagation', 'Override')} '{wrong}'" in problem


@pytest.mark.parametrize(
    ("failover", "words"),
    [
        ("purgeMode: Immediately, decisionConditions: {}", "Immediately cannot be honoured"),
        ("purgeMode: Never, decisionConditions: {}", "Never cannot be honoured"),
        ("statePreservation: {rules: []}, decisionConditions: {}", "cannot go along"),
        ("purgeMode: Graciously", "decisionConditions is missing"),
    ],
)
def test_failover_that_cannot_be_honoured_is_an_error(failover: str, words: str) -> None:
    spec = APPLICATION.replace("decisionConditions: {tolerationSeconds: 60}", failover)
    assert any(words in problem for problem in problems_of(FAILOVER + policy(spec) + WEB))
    # All at once: also while the policy selects nothing yet.
    (problem,) = problems_of(FAILOVER + policy(spec))
    assert words in problem


def test_what_does_not_say_how_it_divides_does_so_by_weights() -> None:
    found = placed(policy("placement: {replicaScheduling: {}}") + WEB)
    assert found.replicas == {"aws": 2, "gcp-1": 2, "gcp-2": 2}


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ("policy.karmada.io/v1alpha1\nkind: PropagationPolicies", "did you mean Propagation"),
        (
            "policy.karmada.io/v1beta1\nkind: PropagationPolicy",
            "is not known in policy.karmada",
        ),
        ("policy.karmada.io/v1alpha1\nkind: FederatedResourceQuota", "is not understood here"),
        ("autoscaling.karmada.io/v1alpha1\nkind: FederatedHPA", "is not understood here"),
        ("cluster.karmada.io/v1beta1\nkind: Cluster", "Cluster is not known in"),
    ],
)
def test_other_kinds_of_karmada_are_never_taken_for_manifests(manifest: str, words: str) -> None:
    assert words in problems_of(f"apiVersion: {manifest}\nmetadata: {{name: x}}\nspec: {{}}\n")[0]


def test_jobs_and_pods_are_not_divided() -> None:
    select = "resourceSelectors: [{apiVersion: batch/v1, kind: Job}]"
    job = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: web, namespace: shop}\nspec: {}\n"
    spec = "placement: {replicaScheduling: {replicaDivisionPreference: Weighted}}"
    assert "spec.parallelism" in problems_of(policy(spec, select=select) + job)[0]


def test_what_a_workload_names_follows_it_where_its_policy_says_so() -> None:
    needs = WEB.replace(
        "image: web:1}", "image: web:1, envFrom: [{configMapRef: {name: settings}}]}"
    )
    spec = "placement: {clusterAffinity: {clusterNames: [aws]}}"

    def of_settings(text: str) -> Assignment | None:
        state = read(text).state
        assert state is not None
        return next((a for a in schedule(state) if a.workload.name == "settings"), None)

    along = of_settings(policy(spec + "\n  propagateDeps: true") + needs + SETTINGS)
    assert along is not None
    assert set(along.replicas) == {"aws"}
    left = of_settings(policy(spec) + needs + SETTINGS)
    assert left is None or not left.replicas


def test_an_association_is_told_to_have_no_effect() -> None:
    assert any("association" in one for one in notices_of(policy("association: true") + WEB))


# -- clusters --------------------------------------------------------------------------------------


def test_a_cluster_is_reached_by_its_secret_or_the_context_of_its_name() -> None:
    token = """
    apiVersion: cluster.karmada.io/v1alpha1
    kind: Cluster
    metadata: {name: onprem}
    spec:
      apiEndpoint: https://10.0.0.1:6443
      secretRef: {namespace: karmada-cluster, name: onprem}
      taints: [{key: a, value: b, effect: NoExecute, timeAdded: "2026-01-01T00:00:00Z"}]
    """
    state = read(policy("placement: {}") + WEB + textwrap.dedent(token)).state
    found = {cluster.name: cluster for cluster in state.clusters}
    assert found["aws"].access.context == "aws"
    assert found["onprem"].access.secret.name == "onprem"
    assert found["onprem"].access.fallback_context == "onprem"
    assert str(found["onprem"].taints[0]) == "a=b:NoExecute"
    assert found["aws"].zones == ("eu-a", "eu-b")


def test_what_a_cluster_says_that_cannot_be_honoured_is_an_error() -> None:
    spoiled = CLUSTERS.replace("provider: aws,", "provider: aws, proxyHeader: {a: b},")
    manifests = load([SourceFile("all.yaml", spoiled.encode())])
    (problem,) = compile_documents(manifests.documents).problems
    assert "headers for a proxy cannot be sent" in str(problem)
