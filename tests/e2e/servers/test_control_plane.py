"""The ground that the other integration tests stand on: member clusters that behave as such."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import urllib3

from tests.controlplane.cluster import Cluster
from tests.controlplane.fixtures import Fleet, Kubectl
from tests.controlplane.process import eventually
from tests.definitions import UNSERVED_GROUP, definition_text

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - {name: web, image: "registry.example/web:1.0"}
"""


def test_three_clusters_serve_each_its_own_objects(fleet: Fleet, kubectl: Kubectl) -> None:
    clusters = fleet(3)
    assert len(clusters) == 3
    for cluster in clusters:
        kubectl(cluster, "create", "namespace", f"only-in-{cluster.name}")
    for cluster in clusters:
        names = kubectl(cluster, "get", "namespaces", "-o", "name").split()
        mine = [name for name in names if "only-in" in name]
        assert mine == [f"namespace/only-in-{cluster.name}"]


def test_a_certificate_of_another_cluster_is_not_accepted(fleet: Fleet) -> None:
    alpha, beta = fleet(2)
    with (
        urllib3.PoolManager(ca_certs=str(beta.certificate), retries=False) as pool,
        pytest.raises(urllib3.exceptions.SSLError),
    ):
        pool.request("GET", f"{alpha.url}/version")


def test_a_deployment_becomes_available_where_controllers_run(
    fleet: Fleet, kubectl: Kubectl
) -> None:
    (cluster,) = fleet(1, controllers=True)
    kubectl(cluster, "apply", "-f", "-", input=DEPLOYMENT)
    kubectl(cluster, "rollout", "status", "deployment/web", "--timeout=60s")
    status = json.loads(kubectl(cluster, "get", "deployment/web", "-o", "json"))["status"]
    assert (status["readyReplicas"], status["availableReplicas"]) == (3, 3)


def test_a_namespace_is_emptied_and_removed_where_controllers_run(
    fleet: Fleet, kubectl: Kubectl
) -> None:
    (cluster,) = fleet(1, controllers=True)
    kubectl(cluster, "create", "namespace", "shop")
    kubectl(cluster, "create", "configmap", "settings", "--namespace=shop")
    kubectl(cluster, "delete", "namespace", "shop", "--timeout=60s")
    assert cluster.request("GET", "/api/v1/namespaces/shop").status == 404


def test_a_stopped_cluster_refuses_and_comes_back_with_its_data(
    fleet: Fleet, kubectl: Kubectl
) -> None:
    (cluster,) = fleet(1)
    kubectl(cluster, "create", "configmap", "kept", "--from-literal=a=1")
    cluster.stop()
    with pytest.raises(urllib3.exceptions.NewConnectionError):
        cluster.request("GET", "/readyz")
    cluster.start()
    assert cluster.call("GET", "/api/v1/namespaces/default/configmaps/kept")["data"] == {"a": "1"}


def test_a_paused_cluster_does_not_answer_until_it_is_resumed(fleet: Fleet) -> None:
    (cluster,) = fleet(1)
    cluster.pause()
    with pytest.raises(urllib3.exceptions.TimeoutError):
        cluster.request("GET", "/readyz", timeout=0.5)
    cluster.resume()
    assert cluster.request("GET", "/readyz").status == 200


def test_users_without_a_role_are_refused(fleet: Fleet, kubectl: Kubectl) -> None:
    (cluster,) = fleet(1)
    secrets = "/api/v1/secrets"
    assert cluster.request("GET", secrets, user="viewer").status == 403
    kubectl(
        cluster, "create", "clusterrolebinding", "v", "--clusterrole=cluster-admin", "--user=viewer"
    )
    eventually(
        lambda: cluster.request("GET", secrets, user="viewer").status == 200, "the role is known"
    )
    assert cluster.request("GET", secrets, user="stranger").status == 403


def test_the_audit_log_tells_reads_dry_runs_and_writes_apart(fleet: Fleet) -> None:
    (cluster,) = fleet(1)
    path = "/api/v1/namespaces/default/configmaps/settings"
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}
    with cluster.recorded() as requests:
        cluster.call("GET", "/api/v1/configmaps", query={"limit": "5"})
        cluster.apply(path, obj, manager="me", dry_run=True)
        cluster.apply(path, obj, manager="me")
        cluster.request("DELETE", path, user="viewer")
    told = [(r.verb, r.resource, r.namespace, r.name, r.user, r.code, r.writes) for r in requests]
    settings = ("configmaps", "default", "settings")
    assert told == [
        ("list", "configmaps", "", "", "admin", 200, False),
        ("patch", *settings, "admin", 201, False),
        ("patch", *settings, "admin", 201, True),
        ("delete", *settings, "viewer", 403, True),
    ]
    assert [r.dry_run for r in requests] == [False, True, False, False]
    assert [r.field_manager for r in requests] == ["", "me", "me", ""]


def test_request_bodies_are_audited_on_demand(
    audited_cluster: Callable[[str], Cluster],
) -> None:
    cluster = audited_cluster("Request")
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}
    with cluster.recorded() as requests:
        cluster.apply("/api/v1/namespaces/default/configmaps/a", obj, manager="me")
    assert [r.body and r.body.get("data") for r in requests] == [{"k": "v"}]


def test_a_cleaned_cluster_is_as_it_was_at_first(fleet: Fleet, kubectl: Kubectl) -> None:
    (cluster,) = fleet(1)
    before = _everything(kubectl, cluster)
    kubectl(cluster, "apply", "-f", "-", input=DEPLOYMENT)
    kubectl(cluster, "create", "namespace", "shop")
    kubectl(cluster, "label", "namespace", "default", "changed=yes")
    kubectl(cluster, "delete", "configmap", "--all", "--namespace=kube-public")
    kubectl(cluster, "create", "clusterrole", "extra", "--verb=get", "--resource=pods")
    assert _everything(kubectl, cluster) != before
    cluster.clean()
    assert _everything(kubectl, cluster) == before


def test_a_cleaned_cluster_no_longer_serves_the_kinds_of_a_removed_definition(
    fleet: Fleet, kubectl: Kubectl
) -> None:
    (cluster,) = fleet(1)
    kubectl(cluster, "apply", "-f", "-", input=_WIDGETS)
    kubectl(cluster, "wait", "--for=condition=Established", "crd/widgets.example.org")
    cluster.clean()
    assert cluster.request("GET", "/apis/example.org").status == 404


def test_a_cleaned_cluster_has_no_group_of_a_server_that_is_not_there(
    fleet: Fleet, kubectl: Kubectl
) -> None:
    (cluster,) = fleet(1)
    kubectl(cluster, "apply", "-f", "-", input=UNSERVED_GROUP)
    assert cluster.request("GET", "/apis/metrics.example.org/v1").status == 503
    cluster.clean()
    groups = cluster.request("GET", "/apis").body["groups"]
    assert "metrics.example.org" not in {group["name"] for group in groups}


_WIDGETS = definition_text("Widget", "example.org")


def _everything(kubectl: Kubectl, cluster: Cluster) -> dict[tuple[str, str, str], object]:
    kinds = "namespaces,configmaps,secrets,deployments.apps,services,clusterroles"
    listed = json.loads(kubectl(cluster, "get", kinds, "-A", "-o", "json"))["items"]
    return {
        (item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]): {
            "labels": item["metadata"].get("labels"),
            "data": item.get("data"),
        }
        for item in listed
    }
