"""What a repository may not mean: each with its place and a way out."""

from __future__ import annotations

import pytest

RULES = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  %s
"""
PLACEMENT = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{kind: Deployment}]
  %s
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  template: {spec: {containers: [{name: web, image: x}]}}
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PLACEMENT % "clusters: [aws, gpc1]", "there is no cluster 'gpc1'.*did you mean gcp1"),
        (PLACEMENT % "overrides: [{clusters: [awss], replicas: 1}]", "no cluster 'awss'"),
        (PLACEMENT % "replicas: {clusters: [{name: aws, min: 3, max: 1}]}", "min 3 is more than"),
        (
            PLACEMENT % "replicas: {mode: Divided, total: 1, clusters: [{name: aws, min: 3}]}",
            "minima add up to 3",
        ),
        (PLACEMENT % "spread: [{by: region, minGroups: 3, maxGroups: 1}]", "minGroups is more"),
        (
            PLACEMENT % "clusterSelector: {matchExpressions: [{key: a, operator: In}]}",
            "In without values",
        ),
        (PLACEMENT % "overrides: [{patch: [{path: /kind, value: x}]}]", "may not be overridden"),
        (PLACEMENT % "overrides: [{patch: [{path: /spec/replicas}]}]", "replace without a value"),
        (RULES % "defaults: {placement: {clusters: [nowhere]}}", "no cluster 'nowhere'"),
        (RULES % 'guards: {maxDeletionShare: "130%"}', "more than 100 %"),
        (RULES % "failover: {healthyAfter: 1s}", "shorter than one probe may take"),
        (RULES % "failover: {maxUnhealthy: 3}", "lets all 3 clusters be declared down"),
        (RULES % 'failover: {minReadyNodes: "101%"}', "more than 100 %"),
        (RULES % "failover: {minAvailableClusters: 9}", "only 3 clusters"),
        (RULES % 'failover: {maxUnhealthy: "120%"}', "more than 100 %"),
        (RULES % 'failover: {maxUnhealthy: "100%"}', r":19:28: .*lets all 3 clusters be"),
        (
            RULES % 'failover: {enabled: true, maxUnhealthy: "20%"}',
            r":19:43: .*of 3 clusters it lets none be declared down.*at least 1, or 34%",
        ),
        (
            RULES % "failover: {enabled: true, minAvailableClusters: 3}",
            r":19:51: .*all 3 clusters must remain.*at most 2",
        ),
        (
            RULES % "failover: {unhealthyAfter: 16s, probe: {timeout: 5s, attempts: 3}}",
            r":19:30: .*unhealthyAfter \(16 s\) is shorter.*at least 17 s",
        ),
        (RULES % "notifications: [{type: Slack, urlFrom: {}}]", r":19:42: .*no place where"),
        (
            RULES % "notifications: [{type: Slack, urlFrom: {env: X, secretRef: {name: hook}}}]",
            "both an environment variable and a Secret",
        ),
        (
            RULES % 'notifications: [{type: Slack, urlFrom: {env: "https://hooks.invalid/T0"}}]',
            "not the name of an environment variable; .*does not belong in Git",
        ),
        (
            RULES % "notifications: [{type: Webhook, urlFrom: {env: HOOK}, on: []}]",
            "never notified",
        ),
        (
            RULES % "notifications: [{type: Slack, urlFrom: &u {env: A}}, "
            "{type: Slack, urlFrom: *u, on: [failure]}]",
            "the same receiver twice",
        ),
        (PLACEMENT % "failover: {unhealthyAfter: 1m}", "sooner than the Federation"),
        (PLACEMENT % "failover: {enabled: true}", "not enabled in the Federation"),
    ],
)
def test_says_what_is_wrong_and_where(understand, text: str, said: str) -> None:
    import re

    problems = [str(problem) for problem in understand(text).problems]
    assert any(re.search(said, problem) for problem in problems), problems
    assert all(problem.startswith("all.yaml:") for problem in problems)


def test_a_federated_and_a_plain_manifest_of_one_object_collide(understand) -> None:
    text = """
        apiVersion: types.kubefed.io/v1beta1
        kind: FederatedConfigMap
        metadata: {name: a, namespace: shop}
        spec: {template: {data: {}}, placement: {clusterSelector: {}}}
        ---
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: a, namespace: shop}
        """
    assert "defined twice, plainly and federated" in str(understand(text).problems[0])


def test_a_manifest_that_goes_nowhere_is_a_warning(understand) -> None:
    state = understand("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: lost}\n").state
    assert any("goes nowhere" in warning for warning in state.warnings)


TWO = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: all}
spec: {select: [{apiVersion: apps/v1}], clusters: [aws], priority: %d}
---
"""


@pytest.mark.parametrize(
    ("priority", "winner", "warned"),
    [(0, "Placement web (before all)", True), (5, "Placement all (before web)", False)],
)
def test_it_is_told_which_of_two_placements_wins(
    understand, priority: int, winner: str, warned: bool
) -> None:
    state = understand(TWO % priority + PLACEMENT % "clusters: [gcp1]").state
    assert state.workloads[0].rules.target.placed_by == winner
    assert any("wins over" in warning for warning in state.warnings) == warned
