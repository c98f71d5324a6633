"""A Karmada API server becomes a repository: what policies select, and nothing of Karmada's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.api.errors import BadInput
from reconciler.api.files import SourceFile
from reconciler.join.exported import Export, ImportRequest, read_exports
from reconciler.join.karmada_import import export_of_karmada
from reconciler.manifests.load import load
from tests.command import run_command, user_environment

KARMADA = """
apiVersion: cluster.karmada.io/v1alpha1
kind: Cluster
metadata: {name: aws, uid: 0b3c, finalizers: [karmada.io/cluster-controller], labels: {tier: main}}
spec:
  id: 7f
  syncMode: Push
  apiEndpoint: https://aws.example.com
  secretRef: {namespace: karmada-cluster, name: aws}
  impersonatorSecretRef: {namespace: karmada-cluster, name: aws-impersonator}
  provider: aws
  region: eu
  zones: [eu-a]
  resourceModels: [{grade: 0}]
  taints:
    - {key: cluster.karmada.io/not-ready, effect: NoSchedule, timeAdded: "2026-01-01T00:00:00Z"}
    - {key: gpu, value: "yes", effect: NoSchedule, timeAdded: "2026-01-01T00:00:00Z"}
status: {kubernetesVersion: v1.37.2}
---
apiVersion: cluster.karmada.io/v1alpha1
kind: Cluster
metadata: {name: gcp}
spec: {syncMode: Pull, provider: gcp, region: us}
---
apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata:
  name: web
  namespace: shop
  labels: {propagationpolicy.karmada.io/permanent-id: f00}
  resourceVersion: "7"
  finalizers: [karmada.io/propagation-policy-controller]
spec:
  propagateDeps: true
  schedulerName: default-scheduler
  preemption: Never
  conflictResolution: Abort
  resourceSelectors:
    - {apiVersion: apps/v1, kind: Deployment, namespace: shop, name: web}
    - {apiVersion: v1, kind: Service, namespace: shop}
    - {apiVersion: v1, kind: Secret, namespace: shop}
  placement:
    clusterTolerations:
      - key: cluster.karmada.io/not-ready
        operator: Exists
        effect: NoExecute
        tolerationSeconds: 300
      - {key: gpu, operator: Exists}
    replicaScheduling: {replicaSchedulingType: Divided, replicaDivisionPreference: Weighted}
---
apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {name: web, namespace: shop}
spec:
  overrideRules:
    - targetCluster: {clusterNames: [gcp]}
      overriders: {imageOverrider: [{component: Registry, operator: replace, value: gcr.io}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {kubernetes.io/metadata.name: shop, team: web}}
spec: {finalizers: [kubernetes]}
status: {phase: Active}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
  generation: 3
  labels:
    app: web
    propagationpolicy.karmada.io/permanent-id: f00
  annotations:
    propagationpolicy.karmada.io/name: web
    propagationpolicy.karmada.io/namespace: shop
    resourcetemplate.karmada.io/managed-labels: x
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {creationTimestamp: null, labels: {app: web}}
    spec:
      containers:
        - {name: web, image: docker.io/web:1, envFrom: [{configMapRef: {name: settings}}]}
status: {replicas: 4}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.0.0.7, clusterIPs: [10.0.0.7], selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data: {colour: green}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: unrelated, namespace: shop}
data: {colour: blue}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: kube-root-ca.crt, namespace: shop}
data: {ca.crt: x}
---
apiVersion: v1
kind: Secret
metadata: {name: password, namespace: shop}
data: {password: c2VjcmV0}
---
apiVersion: v1
kind: Secret
metadata: {name: aws, namespace: karmada-cluster}
data: {token: c2VjcmV0}
---
apiVersion: work.karmada.io/v1alpha2
kind: ResourceBinding
metadata: {name: web-deployment, namespace: shop}
spec: {}
---
apiVersion: autoscaling.karmada.io/v1alpha1
kind: FederatedHPA
metadata: {name: web, namespace: shop}
spec: {}
"""


def exported(**options: Any) -> Export:
    return export_of_karmada(yaml.safe_load_all(KARMADA), ImportRequest(**options))


def parsed(export: Export) -> dict[str, dict[str, Any]]:
    return {path: yaml.safe_load(text) for path, text in export.files.items()}


def test_policies_clusters_and_what_they_select_are_the_files() -> None:
    assert set(exported().files) == {
        "federation.yaml",
        "clusters/aws.yaml",
        "clusters/gcp.yaml",
        "shop/configmap-settings.yaml",
        "shop/deployment-web.yaml",
        "shop/namespace.yaml",
        "shop/overridepolicy-web.yaml",
        "shop/propagationpolicy-web.yaml",
        "shop/service-web.yaml",
    }


def test_what_is_left_out_is_told_with_the_reason() -> None:
    left_out = "\n".join(exported().left_out)
    assert "ConfigMap shop/unrelated: none of Karmada's propagation policies selects it" in left_out
    assert "Secret shop/password: it holds values; --with-secrets writes them" in left_out
    assert "FederatedHPA.autoscaling.karmada.io shop/web: it is understood by Karmada" in left_out
    assert "kube-root-ca.crt" not in left_out
    assert "ResourceBinding" not in left_out
    assert "c2VjcmV0" not in str(exported().files) + left_out


def test_secrets_are_written_where_asked_but_never_those_of_clusters() -> None:
    files = exported(with_secrets=True).files
    assert "shop/secret-password.yaml" in files
    assert "karmada-cluster/secret-aws.yaml" not in files


def test_the_certificates_of_an_ingress_come_along() -> None:
    ingress = """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: shop}
spec: {tls: [{secretName: password}]}
---
"""
    text = KARMADA.replace(
        "    - {apiVersion: v1, kind: Secret, namespace: shop}\n",
        "    - {apiVersion: networking.k8s.io/v1, kind: Ingress}\n",
    )
    request = ImportRequest(with_secrets=True)
    files = export_of_karmada(yaml.safe_load_all(ingress + text), request).files
    assert "shop/secret-password.yaml" in files


def test_nothing_of_karmadas_controllers_and_of_its_server_is_left() -> None:
    files = parsed(exported())
    web = files["shop/deployment-web.yaml"]
    assert web["metadata"] == {"name": "web", "namespace": "shop", "labels": {"app": "web"}}
    assert web["spec"]["template"]["metadata"] == {"labels": {"app": "web"}}
    assert "status" not in web
    assert set(files["shop/service-web.yaml"]["spec"]) == {"selector", "ports"}
    assert files["shop/namespace.yaml"]["metadata"] == {"name": "shop", "labels": {"team": "web"}}
    assert files["shop/propagationpolicy-web.yaml"]["metadata"] == {
        "name": "web",
        "namespace": "shop",
    }
    assert files["clusters/aws.yaml"] == {
        "apiVersion": "cluster.karmada.io/v1alpha1",
        "kind": "Cluster",
        "metadata": {"name": "aws", "labels": {"tier": "main"}},
        "spec": {
            "syncMode": "Push",
            "apiEndpoint": "https://aws.example.com",
            "secretRef": {"namespace": "karmada-cluster", "name": "aws"},
            "provider": "aws",
            "region": "eu",
            "zones": ["eu-a"],
            "taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}],
        },
    }


@pytest.mark.parametrize(
    ("options", "access"),
    [({"native": True}, {"context": "aws"}), ({"seats": ("aws",)}, {"secretRef": {"name": "aws"}})],
)
def test_clusters_become_ours_where_asked(options: dict, access: dict) -> None:
    cluster = parsed(exported(**options))["clusters/aws.yaml"]
    assert cluster["apiVersion"] == "federation.reconciler.dev/v1alpha1"
    assert cluster["spec"]["access"] == access
    assert cluster["spec"]["zone"] == "eu-a"


def test_a_federation_has_failover_where_a_policy_asks_for_it() -> None:
    asks = KARMADA.replace(
        "  propagateDeps: true", "  failover: {application: {decisionConditions: {}}}"
    )
    files = export_of_karmada(yaml.safe_load_all(asks), ImportRequest()).files
    assert yaml.safe_load(files["federation.yaml"])["spec"] == {"failover": {"enabled": True}}
    assert "spec" not in yaml.safe_load(exported().files["federation.yaml"])


def test_exported_files_become_a_valid_repository(tmp_path: Path) -> None:
    source, target = tmp_path / "export.yaml", tmp_path / "fleet"
    source.write_text(KARMADA)
    environment = user_environment(tmp_path)
    command = ("import", "--from", "karmada", source, "--to", target)
    done = run_command(*command, env=environment, code=0)
    assert "Valid: 2 Cluster, 1 ConfigMap, 1 Deployment" in done.stderr
    other = run_command("import", source, "--to", tmp_path / "other", env=environment, code=1)
    assert "there is nothing of KubeFed in it" in other.stderr


def test_text_that_looks_like_a_number_is_still_text_in_the_repository() -> None:
    odd = {"short": "1e3", "flag": "y", "mode": "0o17"}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "data": odd}
    config["metadata"] = {"name": "config", "namespace": "shop", "annotations": odd}
    follows = "PropagationPolicy\nmetadata: {name: all, namespace: shop}\nspec:\n"
    policy = yaml.safe_load(
        f"apiVersion: policy.karmada.io/v1alpha1\nkind: {follows}"
        "  resourceSelectors: [{apiVersion: v1, kind: ConfigMap}]\n  placement: {}\n"
    )
    files = export_of_karmada([policy, config], ImportRequest()).files
    loaded = load([SourceFile(path, text.encode()) for path, text in files.items()])
    assert loaded.problems == ()
    (made,) = (d.body for d in loaded.documents if d.kind == "ConfigMap")
    assert made["data"] == made["metadata"]["annotations"] == odd


def test_the_items_of_a_list_as_servers_give_it_are_of_its_kind() -> None:
    text = b"apiVersion: v1\nkind: ConfigMapList\nitems:\n- metadata: {name: a}\n"
    (found,) = read_exports([SourceFile("a.yaml", text)])
    assert (found["apiVersion"], found["kind"]) == ("v1", "ConfigMap")


def test_what_is_no_export_is_told_with_its_place() -> None:
    files = [
        SourceFile("a.yaml", b"apiVersion: v1\nkind: List\nitems:\n- {kind: x}\n---\na: b: c\n"),
        SourceFile("b.yaml", "kind: List\n".encode("utf-16")),
    ]
    with pytest.raises(BadInput) as caught:
        read_exports(files)
    told = [str(problem) for problem in caught.value.problems]
    assert [text.split(": ")[:2] for text in told] == [
        [
            "a.yaml:4:3",
            "this is no Kubernetes object; expected a map with apiVersion, kind and metadata.name",
        ],
        ["a.yaml:6:5", "not valid YAML"],
        ["b.yaml:1:1", "not UTF-8; expected UTF-8 text (this is UTF-16; save the file as UTF-8)"],
    ]
