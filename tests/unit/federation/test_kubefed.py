"""KubeFed's semantics, one sentence each."""

from __future__ import annotations

import pytest

NAMESPACE_EVERYWHERE = """
apiVersion: types.kubefed.io/v1beta1
kind: FederatedNamespace
metadata: {name: shop, namespace: shop}
spec: {placement: {clusterSelector: {}}}
---
"""


def federated(placement: str, extra: str = "") -> str:
    return f"""
apiVersion: types.kubefed.io/v1beta1
kind: FederatedConfigMap
metadata: {{name: settings, namespace: shop}}
spec:
  template: {{metadata: {{labels: {{a: b}}}}, data: {{colour: green}}}}
  placement: {placement}
{extra}
"""


def where(found: dict[str, dict[str, dict]]) -> set[str]:
    return {cluster for cluster, objects in found.items() if "ConfigMap shop/settings" in objects}


@pytest.mark.parametrize(
    ("placement", "expected"),
    [
        ("{clusters: [{name: aws}, {name: gcp2}]}", {"aws", "gcp2"}),
        ("{clusters: [], clusterSelector: {}}", set()),
        ("{clusters: [{name: aws}], clusterSelector: {matchLabels: {cloud: gcp}}}", {"aws"}),
        ("{clusterSelector: {}}", {"aws", "gcp1", "gcp2"}),
        ("{clusterSelector: {matchLabels: {cloud: gcp}}}", {"gcp1", "gcp2"}),
        ("{}", set()),
        (
            "{clusterSelector: {matchExpressions: [{key: tier, operator: In, values: [one]}]}}",
            {"gcp1"},
        ),
        ("{clusterSelector: {matchExpressions: [{key: tier, operator: DoesNotExist}]}}", {"aws"}),
        (
            "{clusterSelector: {matchExpressions: [{key: tier, operator: NotIn, values: [one]}]}}",
            {"aws", "gcp2"},
        ),
    ],
)
def test_a_placement_chooses_clusters(rendered, placement: str, expected: set[str]) -> None:
    assert where(rendered(NAMESPACE_EVERYWHERE + federated(placement))) == expected


def test_an_object_goes_only_where_its_federated_namespace_goes(rendered) -> None:
    narrow = NAMESPACE_EVERYWHERE.replace("clusterSelector: {}", "clusters: [{name: gcp1}]")
    assert where(rendered(narrow + federated("{clusterSelector: {}}"))) == {"gcp1"}


def test_a_plain_namespace_is_the_template_of_the_federated_one(rendered) -> None:
    plain = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: web}}\n---"
    found = rendered(plain + NAMESPACE_EVERYWHERE)
    assert found["aws"]["Namespace /shop"]["metadata"]["labels"] == {"team": "web"}


def test_the_object_has_the_federated_objects_name_and_namespace(rendered) -> None:
    body = rendered(NAMESPACE_EVERYWHERE + federated("{clusterSelector: {}}"))["aws"][
        "ConfigMap shop/settings"
    ]
    assert body == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": "shop", "labels": {"a": "b"}},
        "data": {"colour": "green"},
    }


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("{path: /data/colour, value: red}", {"colour": "red"}),
        ("{op: add, path: /data/size, value: big}", {"colour": "green", "size": "big"}),
        ("{op: remove, path: /data/colour}", {}),
        ("{op: add, path: /data/a~1b~0c, value: x}", {"colour": "green", "a/b~c": "x"}),
    ],
)
def test_overrides_change_one_cluster_only(rendered, operation: str, expected: dict) -> None:
    override = f"  overrides: [{{clusterName: gcp1, clusterOverrides: [{operation}]}}]"
    found = rendered(NAMESPACE_EVERYWHERE + federated("{clusterSelector: {}}", override))
    assert found["gcp1"]["ConfigMap shop/settings"]["data"] == expected
    assert found["aws"]["ConfigMap shop/settings"]["data"] == {"colour": "green"}


def test_annotations_can_be_added_where_there_were_none(rendered) -> None:
    operation = "{op: add, path: /metadata/annotations, value: {note: here}}"
    override = f"  overrides: [{{clusterName: aws, clusterOverrides: [{operation}]}}]"
    found = rendered(NAMESPACE_EVERYWHERE + federated("{clusterSelector: {}}", override))
    metadata = found["aws"]["ConfigMap shop/settings"]["metadata"]
    assert metadata["annotations"] == {"note": "here"}


@pytest.mark.parametrize("path", ["/metadata/name", "/metadata/namespace", "/kind"])
def test_identity_may_not_be_overridden(understand, path: str) -> None:
    operation = f"{{path: {path}, value: other}}"
    override = f"  overrides: [{{clusterName: aws, clusterOverrides: [{operation}]}}]"
    problems = understand(federated("{clusterSelector: {}}", override)).problems
    assert "may not be overridden" in str(problems[0])


def test_the_managed_label_is_kept_only_when_the_federation_asks(rendered) -> None:
    rules = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: fed}
spec: {kubefed: {labels: true}}
---
"""
    text = NAMESPACE_EVERYWHERE + federated("{clusterSelector: {}}")
    labelled = rendered(rules + text)["aws"]["ConfigMap shop/settings"]["metadata"]["labels"]
    assert labelled == {"a": "b", "kubefed.io/managed": "true"}
    plain = rendered(text)["aws"]["ConfigMap shop/settings"]["metadata"]["labels"]
    assert plain == {"a": "b"}


DEPLOYMENT = (
    NAMESPACE_EVERYWHERE
    + """
apiVersion: types.kubefed.io/v1beta1
kind: FederatedDeployment
metadata: {name: web, namespace: shop}
spec:
  template: {spec: {replicas: 1, selector: {matchLabels: {a: b}}}}
  placement: {clusters: [{name: aws}]}
---
apiVersion: scheduling.kubefed.io/v1alpha1
kind: ReplicaSchedulingPreference
metadata: {name: web, namespace: shop}
spec:
  targetKind: FederatedDeployment
  totalReplicas: 9
"""
)


def counts(found: dict[str, dict[str, dict]]) -> dict[str, int]:
    return {
        cluster: objects["Deployment shop/web"]["spec"]["replicas"]
        for cluster, objects in found.items()
        if "Deployment shop/web" in objects
    }


def test_a_preference_places_over_all_clusters_with_equal_weight(rendered) -> None:
    assert counts(rendered(DEPLOYMENT)) == {"aws": 3, "gcp1": 3, "gcp2": 3}


def test_a_preference_can_be_narrowed_to_the_objects_own_placement(rendered) -> None:
    text = DEPLOYMENT + "  intersectWithClusterSelector: true\n"
    assert counts(rendered(text)) == {"aws": 9}


def test_a_preference_weighs_clusters_and_leaves_out_those_it_does_not_name(rendered) -> None:
    text = DEPLOYMENT + "  clusters: {aws: {weight: 2}, gcp1: {weight: 1, maxReplicas: 2}}\n"
    assert counts(rendered(text)) == {"aws": 7, "gcp1": 2}


def test_unknown_kinds_need_an_api_version(understand) -> None:
    text = federated("{clusterSelector: {}}").replace("FederatedConfigMap", "FederatedWidget")
    assert "the apiVersion of Widget is not known" in str(understand(text).problems[0])
    config = """
apiVersion: core.kubefed.io/v1beta1
kind: FederatedTypeConfig
metadata: {name: widgets.example.com, namespace: kube-federation-system}
spec:
  federatedType: {group: types.kubefed.io, kind: FederatedWidget, pluralName: federatedwidgets}
  targetType: {group: example.com, version: v1, kind: Widget, pluralName: widgets}
  propagation: Enabled
---
"""
    (workload,) = understand(config + text).state.workloads
    assert workload.template["apiVersion"] == "example.com/v1"


def test_a_repository_without_rules_works_with_defaults_and_says_so(understand) -> None:
    state = understand(NAMESPACE_EVERYWHERE).state
    assert state.federation.name == "federation"
    assert any("no Federation document" in warning for warning in state.warnings)
