"""Which RBAC rules a repository asks for, and how wide they are."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reconciler.cluster.discovery import RESTMapping
from reconciler.join.rbac import (
    FULL_ACCESS,
    VERBS,
    Needs,
    health_rules,
    inventory_rules,
    privileged_roles,
    workload_rules,
)

CONFIG_MAPS = RESTMapping("v1", "ConfigMap", "configmaps", namespaced=True)
DEPLOYMENTS = RESTMapping("apps/v1", "Deployment", "deployments", namespaced=True)
STATEFUL_SETS = RESTMapping("apps/v1", "StatefulSet", "statefulsets", namespaced=True)
WIDGETS = RESTMapping("example.com/v1", "Widget", "widgets", namespaced=True)

ACCESS = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: on-call}
rules:
  - {apiGroups: [""], resources: [pods], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: on-call, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: on-call}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: viewers, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: all-of-it}
aggregationRule: {clusterRoleSelectors: [{matchLabels: {a: b}}]}
rules: []
---
apiVersion: example.com/v1
kind: Role
metadata: {name: not-rbac}
rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]
"""


def rules(*resources: RESTMapping, **more: Any) -> list[dict[str, Any]]:
    return list(workload_rules(Needs(resources, **more), "federation-system"))


def test_a_rule_for_each_group_with_its_resources_and_no_star() -> None:
    found = rules(DEPLOYMENTS, CONFIG_MAPS, STATEFUL_SETS, WIDGETS)
    assert found[:3] == [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": list(VERBS)},
        {"apiGroups": ["apps"], "resources": ["deployments", "statefulsets"], "verbs": list(VERBS)},
        {"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": list(VERBS)},
    ]
    assert "*" not in str(found)


def test_whoever_writes_workloads_may_read_what_comes_of_them() -> None:
    read = [rule for rule in rules(DEPLOYMENTS, CONFIG_MAPS) if rule["verbs"] == ["get", "list"]]
    assert [rule["resources"] for rule in read] == [
        ["pods"],
        ["controllerrevisions", "replicasets"],
        ["jobs"],
    ]
    assert "pods" not in str(rules(CONFIG_MAPS))


def test_secrets_are_not_among_them_unless_the_repository_has_some() -> None:
    assert "secrets" not in str(rules(DEPLOYMENTS))
    assert "secrets" in str(rules(RESTMapping("v1", "Secret", "secrets", namespaced=True)))


def test_the_namespaces_that_are_looked_at_are_named() -> None:
    (rule,) = rules()
    assert rule == {
        "apiGroups": [""],
        "resources": ["namespaces"],
        "verbs": ["get"],
        "resourceNames": ["federation-system", "kube-system"],
    }


def test_roles_in_the_repository_are_held_and_bindings_may_be_made_by_name() -> None:
    templates = tuple(yaml.safe_load_all(ACCESS))
    found = rules(templates=templates)
    assert {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]} in found
    bind = [rule for rule in found if rule["verbs"] == ["bind"]]
    assert [rule["resourceNames"] for rule in bind] == [["on-call", "view"]]
    assert "escalate" not in str(found)
    # A Role of somebody else's group is just an object.
    assert "*" not in str(found)
    assert privileged_roles(templates) == (
        "ClusterRole all-of-it is aggregated: only full access may write it",
    )


def test_full_access_is_what_cluster_admin_has() -> None:
    assert rules(DEPLOYMENTS, full_access=True) == list(FULL_ACCESS)


def test_seeing_everything_is_reading_only() -> None:
    (star,) = [rule for rule in rules(see_everything=True) if "*" in rule["resources"]]
    assert set(star["verbs"]) == {"get", "list"}


def test_an_account_may_renew_its_own_token_and_nobody_elses() -> None:
    token = inventory_rules("aws-eu-host")[-1]
    assert token["resources"] == ["serviceaccounts/token"]
    assert token["resourceNames"] == ["aws-eu-host"]
    assert not any("serviceaccounts/token" in rule["resources"] for rule in inventory_rules(""))


def test_health_is_read_and_nothing_is_written_with_it() -> None:
    assert {verb for rule in health_rules() for verb in rule["verbs"]} <= {"get", "list", "watch"}


@given(st.permutations([CONFIG_MAPS, DEPLOYMENTS, STATEFUL_SETS, WIDGETS]))
def test_the_order_of_manifests_does_not_change_the_rules(order: list[RESTMapping]) -> None:
    assert rules(*order) == rules(CONFIG_MAPS, DEPLOYMENTS, STATEFUL_SETS, WIDGETS)


@pytest.mark.parametrize("given", [{}, {"full_access": True}, {"see_everything": True}])
def test_no_rule_is_there_twice(given: dict[str, bool]) -> None:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "a", "namespace": "b"},
        "rules": [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": list(VERBS)}],
    }
    found = rules(DEPLOYMENTS, templates=(role, role), **given)
    assert len(found) == len({str(rule) for rule in found})


def test_nodes_and_pods_are_read_where_something_goes_by_room() -> None:
    reading = {"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["get", "list"]}
    assert reading in rules(WIDGETS, room=True)
    assert reading not in rules(WIDGETS)
