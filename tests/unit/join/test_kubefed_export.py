"""A KubeFed host becomes a repository: nothing of its controllers in it, and no Secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.join.exported import Export, ImportRequest
from reconciler.join.kubefed_import import export_of

HOST = """
apiVersion: core.kubefed.io/v1beta1
kind: KubeFedCluster
metadata:
  name: aws
  namespace: kube-federation-system
  uid: 0b3c
  labels: {cloud: aws}
spec: {apiEndpoint: "https://aws.example.com", secretRef: {name: aws-7xk}}
status:
  region: eu-central-1
  zones: [eu-central-1a]
  conditions: [{type: Ready, status: "True"}]
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {kubernetes.io/metadata.name: shop, team: web}}
spec: {finalizers: [kubernetes]}
---
apiVersion: types.kubefed.io/v1beta1
kind: FederatedNamespace
metadata: {name: shop, namespace: shop, finalizers: [kubefed.io/sync-controller]}
spec: {placement: {clusterSelector: {}}}
status: {clusters: [{name: aws}]}
---
apiVersion: types.kubefed.io/v1beta1
kind: FederatedDeployment
metadata:
  name: web
  namespace: shop
  resourceVersion: "77"
  generation: 3
  finalizers: [kubefed.io/sync-controller]
  annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}"}
spec:
  template:
    spec:
      replicas: 2
      selector: {matchLabels: {app: web}}
      template:
        metadata: {labels: {app: web}}
        spec: {containers: [{name: web, image: web:1}]}
  placement: {clusters: [{name: aws}]}
  overrides: [{clusterName: aws, clusterOverrides: [{path: /spec/replicas, value: 5}]}]
status: {conditions: [{type: Propagation, status: "True"}]}
---
apiVersion: types.kubefed.io/v1beta1
kind: FederatedSecret
metadata: {name: password, namespace: shop}
spec: {template: {data: {password: c2VjcmV0}}, placement: {clusterSelector: {}}}
---
apiVersion: v1
kind: Secret
metadata: {name: aws-7xk, namespace: kube-federation-system}
data: {token: c2VjcmV0}
---
apiVersion: core.kubefed.io/v1beta1
kind: FederatedTypeConfig
metadata: {name: deployments.apps, namespace: kube-federation-system}
spec:
  federatedType: {group: types.kubefed.io, kind: FederatedDeployment, version: v1beta1}
  targetType: {group: apps, kind: Deployment, version: v1}
  propagation: Enabled
---
apiVersion: core.kubefed.io/v1beta1
kind: FederatedTypeConfig
metadata: {name: widgets.example.com, namespace: kube-federation-system}
spec:
  federatedType: {group: types.kubefed.io, kind: FederatedWidget, version: v1beta1}
  targetType: {group: example.com, kind: Widget, version: v1, scope: Namespaced}
  propagation: Enabled
---
apiVersion: types.kubefed.io/v1beta1
kind: FederatedWidget
metadata: {name: one, namespace: shop}
spec: {template: {spec: {size: 1}}, placement: {clusterSelector: {}}}
---
apiVersion: types.kubefed.io/v1alpha1
kind: FederatedServiceStatus
metadata: {name: web, namespace: shop}
---
apiVersion: core.kubefed.io/v1alpha1
kind: PropagatedVersion
metadata: {name: deployment-web, namespace: shop}
---
apiVersion: scheduling.kubefed.io/v1alpha1
kind: ReplicaSchedulingPreference
metadata: {name: web, namespace: shop}
spec: {targetKind: FederatedDeployment, totalReplicas: 9}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: unrelated, namespace: default}
"""


def exported(**asked: Any) -> Export:
    return export_of(list(yaml.safe_load_all(HOST)), ImportRequest(**asked))


def document(export: Export, path: str) -> Any:
    return yaml.safe_load(export.files[path])


def test_every_wish_becomes_a_file_and_no_note_of_a_controller_does() -> None:
    assert sorted(exported().files) == [
        "clusters/aws.yaml",
        "federation.yaml",
        "shop/federateddeployment-web.yaml",
        "shop/federatednamespace.yaml",
        "shop/federatedwidget-one.yaml",
        "shop/namespace.yaml",
        "shop/replicaschedulingpreference-web.yaml",
        "types/widgets.example.com.yaml",
    ]


def test_what_servers_and_controllers_wrote_is_gone() -> None:
    deployment = document(exported(), "shop/federateddeployment-web.yaml")
    assert deployment["metadata"] == {"name": "web", "namespace": "shop"}
    assert "status" not in deployment
    assert deployment["spec"]["overrides"][0]["clusterName"] == "aws"
    namespace = document(exported(), "shop/namespace.yaml")
    assert namespace == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "shop", "labels": {"team": "web"}},
    }


def test_a_cluster_keeps_where_it_is() -> None:
    cluster = document(exported(), "clusters/aws.yaml")
    assert cluster["status"] == {"region": "eu-central-1", "zones": ["eu-central-1a"]}
    assert cluster["spec"]["secretRef"] == {"name": "aws-7xk"}


def test_or_becomes_one_of_ours() -> None:
    cluster = document(exported(native=True), "clusters/aws.yaml")
    assert cluster["kind"] == "Cluster"
    assert cluster["spec"] == {
        "region": "eu-central-1",
        "zone": "eu-central-1a",
        "access": {"context": "aws"},
    }


def test_secrets_stay_out_unless_they_are_asked_for() -> None:
    plain, full = exported(), exported(with_secrets=True)
    assert not any("c2VjcmV0" in text for text in plain.files.values())
    assert any("FederatedSecret shop/password" in t or "password" in t for t in plain.left_out)
    assert "c2VjcmV0" in full.files["shop/federatedsecret-password.yaml"]
    # A cluster's credential is nothing for Git, whatever is asked.
    assert sum("c2VjcmV0" in text for text in full.files.values()) == 1


def test_what_is_left_out_is_told_and_why() -> None:
    told = "\n".join(exported().left_out)
    assert "Deployment.apps default/unrelated: it is none of KubeFed's kinds" in told
    assert "Secret kube-federation-system/aws-7xk" in told
    assert "PropagatedVersion" not in told


def test_names_that_would_be_the_same_file_are_kept_apart() -> None:
    one, two = (
        {
            "apiVersion": "types.kubefed.io/v1beta1",
            "kind": "FederatedRole",
            "spec": {},
            "metadata": {"name": name, "namespace": "shop"},
        }
        for name in ("a:b", "a-b")
    )
    files = export_of([one, two], ImportRequest()).files
    assert len([path for path in files if path.startswith("shop/")]) == 2


def test_with_seats_every_cluster_is_one_that_each_of_them_joins() -> None:
    export = exported(seats=("aws", "gcp", "onprem"))
    assert document(export, "federation.yaml")["spec"]["seats"] == ["aws", "gcp", "onprem"]
    cluster = document(export, "clusters/aws.yaml")
    assert cluster["kind"] == "Cluster"
    assert cluster["spec"]["access"] == {"secretRef": {"name": "aws"}}


@pytest.mark.parametrize("native", [False, True])
def test_the_repository_that_comes_of_it_is_valid(native: bool, tmp_path: Path) -> None:
    from reconciler.api.options import RunOptions
    from reconciler.run.repository import validate_repository

    for path, text in exported(native=native).files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    state = validate_repository(RunOptions(repo=str(tmp_path))).state
    assert {str(workload.key) for workload in state.workloads} == {
        "Deployment.apps shop/web",
        "Namespace shop",
        "Widget.example.com shop/one",
    }
    assert [(c.name, c.region) for c in state.clusters] == [("aws", "eu-central-1")]


def test_what_is_of_an_old_api_version_is_converted_and_told() -> None:
    objects = list(
        yaml.safe_load_all("""
apiVersion: types.kubefed.io/v1beta1
kind: FederatedIngress
metadata: {name: web, namespace: shop}
spec:
  template: {spec: {backend: {serviceName: web, servicePort: 80}}}
  placement: {clusters: [{name: aws-eu}]}
---
apiVersion: types.kubefed.io/v1beta1
kind: FederatedPodSecurityPolicy
metadata: {name: all, namespace: shop}
spec: {template: {apiVersion: policy/v1beta1, spec: {}}}
""")
    )
    export = export_of(objects, ImportRequest())
    (path,) = [path for path in export.files if "ingress" in path]
    spec = yaml.safe_load(export.files[path])["spec"]["template"]["spec"]
    assert spec == {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}
    assert export.converted == (
        "FederatedIngress.types.kubefed.io shop/web: Ingress of networking.k8s.io/v1beta1 is "
        "written as networking.k8s.io/v1",
    )
    assert not any("podsecurity" in path for path in export.files)
    (left_out,) = export.left_out
    assert "no Kubernetes since 1.25 has it; Pod Security Admission" in left_out
