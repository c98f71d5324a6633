"""Manifests of API versions that are gone: what is said of them, and what they are converted to."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.api.files import SourceFile
from reconciler.manifests.conversions import conversion_of
from reconciler.manifests.load import load
from reconciler.manifests.old_versions import OLD_VERSIONS
from tests.controlplane.cluster import APPLY
from tests.controlplane.fixtures import Fleet

CASES = Path(__file__).parent / "old_api"
MANIFESTS = list(yaml.safe_load_all((CASES / "manifests.yaml").read_text()))
RECORDED = json.loads((CASES / "recorded.json").read_text())
Object = dict[str, Any]


def name_of(body: Object) -> str:
    return f"{body['apiVersion']}/{body['kind']}/{body['metadata']['name']}"


def told(text: str) -> list[str]:
    return [str(problem) for problem in load([SourceFile("a.yaml", text.encode())]).problems]


# -- what Kubernetes made of them ------------------------------------------------------------------


def drop(body: Object, *path: str) -> None:
    for step in path[:-1]:
        body = body.get(step) or {}
    body.pop(path[-1], None)


def as_today(body: Object, converted: Object) -> Object:
    """Without that in which a conversion differs on purpose from what an API server did."""
    body = copy.deepcopy(body)
    for name in ("rollback.to", "deployment.rollback.to", "daemonset.template.generation"):
        drop(body, "metadata", "annotations", f"deprecated.{name}")
    for name in ("annotations", "labels"):
        # Labels that servers took from the template: Placements select by them, so Git says them.
        if not converted["metadata"].get(name):
            drop(body, "metadata", name)
    kind, spec = body["kind"], body.get("spec") or {}
    if kind == "NetworkPolicy":
        for rule in spec["ingress"]:
            for port in rule["ports"]:
                port.setdefault("protocol", "TCP")
    elif kind == "IngressClass":
        spec["parameters"]["scope"] = "Cluster"
    elif kind == "PodDisruptionBudget":
        # A selector that nothing fits, and none, select no Pod alike.
        if "deprecated-v1beta1-empty-selector-match" in str(spec.get("selector")):
            del spec["selector"]
    elif kind == "CustomResourceDefinition":
        drop(spec, "preserveUnknownFields")
        for version in spec["versions"]:
            drop(version, "schema")
    return body


@pytest.mark.parametrize("entry", RECORDED, ids=[name_of(entry["old"]) for entry in RECORDED])
def test_a_conversion_means_what_kubernetes_made_of_the_old_one(entry: Object) -> None:
    found = conversion_of(entry["old"])
    assert found is not None
    assert found.is_possible
    assert found.body == entry["converted"], "record.py has to be run again"
    old, ours = (as_today(body, found.body) for body in entry["made"])
    assert ours == old


def test_every_manifest_that_kubernetes_can_still_convert_is_recorded() -> None:
    recorded = {name_of(entry["old"]) for entry in RECORDED}
    gone = {name_of(body) for body in MANIFESTS} - recorded
    # Kubernetes has no old autoscaling in its sources any more; the others differ by name only.
    assert {name.partition("/")[0] for name in gone} == {
        "apiregistration.k8s.io",
        "autoscaling",
        "certificates.k8s.io",
        "coordination.k8s.io",
    }


# -- what servers say ------------------------------------------------------------------------------


@pytest.mark.integration
def test_servers_have_none_of_the_old_ones_and_take_all_that_comes_of_them(fleet: Fleet) -> None:
    for cluster in fleet(2):
        served: dict[tuple[str, str], Object] = {}
        groups = cluster.call("GET", "/apis")["groups"]
        for version in [v["groupVersion"] for group in groups for v in group["versions"]]:
            for one in cluster.call("GET", f"/apis/{version}")["resources"]:
                if "/" not in one["name"]:
                    served[version, one["kind"]] = one
        assert not served.keys() & OLD_VERSIONS.keys()
        refused = []
        for body in MANIFESTS:
            found = conversion_of(body)
            assert found is not None
            now = found.body
            resource = served[now["apiVersion"], now["kind"]]
            metadata = now["metadata"]
            where = f"namespaces/{metadata['namespace']}/" if resource["namespaced"] else ""
            path = f"/apis/{now['apiVersion']}/{where}{resource['name']}/{metadata['name']}"
            query = {"fieldManager": "test", "dryRun": "All", "fieldValidation": "Strict"}
            answer = cluster.request("PATCH", path, now, content_type=APPLY, query=query)
            if answer.status >= 300:
                refused.append(f"{name_of(body)}: {answer.body}")
        assert not refused, "\n".join(refused)


# -- what people are told --------------------------------------------------------------------------


def test_each_field_is_told_with_its_line_and_what_takes_its_place() -> None:
    found = told("""\
apiVersion: extensions/v1beta1
kind: Ingress
metadata: {name: web, namespace: shop}
spec:
  rules:
    - http:
        paths:
          - path: /
            backend:
              serviceName: web
              servicePort: 80
""")
    assert found == [
        "a.yaml:1:1: $.apiVersion: Ingress of extensions/v1beta1: no Kubernetes since 1.22 has it; "
        "expected networking.k8s.io/v1 (reconcile validate --fix rewrites it)",
        "a.yaml:8:13: $.spec.rules[0].http.paths[0].pathType: pathType has to be said in "
        "networking.k8s.io/v1; expected pathType: ImplementationSpecific (extensions/v1beta1 left "
        "it to the controller)",
        "a.yaml:10:15: $.spec.rules[0].http.paths[0].backend.serviceName: networking.k8s.io/v1 has "
        "no serviceName here; expected spec.rules[0].http.paths[0].backend.service.name",
        "a.yaml:11:15: $.spec.rules[0].http.paths[0].backend.servicePort: networking.k8s.io/v1 has "
        "no servicePort here; expected spec.rules[0].http.paths[0].backend.service.port.number",
    ]


@pytest.mark.parametrize(
    ("api_version", "kind", "instead"),
    [
        ("policy/v1beta1", "PodSecurityPolicy", "pod-security.kubernetes.io/enforce"),
        ("settings.k8s.io/v1alpha1", "PodPreset", "mutating admission policy"),
        ("extensions/v1beta1", "ThirdPartyResource", "CustomResourceDefinition"),
        ("extensions/v1beta1", "Job", "kubectl explain"),
    ],
)
def test_what_has_no_successor_says_what_does_its_work(
    api_version: str, kind: str, instead: str
) -> None:
    (found,) = told(f"apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: old}}\n")
    assert instead in found
    assert "--fix" not in found


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        (
            "apiVersion: admissionregistration.k8s.io/v1beta1\n"
            "kind: ValidatingWebhookConfiguration\nmetadata: {name: x}\n"
            "webhooks:\n  - name: x.example.com\n    sideEffects: Unknown\n",
            "6:5",
            "sideEffects Unknown, which v1 does not take",
        ),
        (
            "apiVersion: certificates.k8s.io/v1beta1\nkind: CertificateSigningRequest\n"
            "metadata: {name: x}\nspec: {usages: [client auth]}\n",
            "4:1",
            "without a known signer",
        ),
        (
            "apiVersion: apiextensions.k8s.io/v1beta1\nkind: CustomResourceDefinition\n"
            "metadata: {name: xs.example.com}\nspec:\n  group: example.com\n  version: v1\n"
            "  names: {kind: X, plural: xs}\n  validation:\n    openAPIV3Schema:\n"
            "      type: object\n      properties:\n        a:\n          oneOf:\n"
            "            - type: string\n            - type: object\n",
            "14:15",
            "v1 takes no type below oneOf",
        ),
    ],
)
def test_what_only_a_person_can_decide_is_told_and_not_rewritten(
    text: str, place: str, message: str
) -> None:
    found = told(text)
    assert any(f"a.yaml:{place}: " in line and message in line for line in found), found
    assert not any("--fix" in line for line in found)


def test_versions_that_servers_still_have_are_no_trouble() -> None:
    assert not told(
        "apiVersion: storage.k8s.io/v1beta1\nkind: VolumeAttributesClass\n"
        "metadata: {name: fast}\ndriverName: example.com\n"
    )


# -- KubeFed ---------------------------------------------------------------------------------------

FEDERATED = """\
apiVersion: types.kubefed.io/v1beta1
kind: FederatedIngress
metadata: {name: web, namespace: shop}
spec:
  template:
    spec:
      rules:
        - http:
            paths:
              - backend: {serviceName: web, servicePort: 80}
  overrides:
    - clusterName: one
      clusterOverrides:
        - {path: /spec/rules/0/http/paths/0/backend/serviceName, value: other}
        - {path: /spec/rules/0/http/paths/0/backend/servicePort, value: %s}
        - {path: /spec/rules/0/host, value: shop.example.com}
"""


@pytest.mark.parametrize(
    ("port", "path", "value"),
    [("8080", "/port/number", 8080), ("http", "/port", {"name": "http"})],
)
def test_kubefeds_own_sample_is_known_by_its_fields(port: str, path: str, value: object) -> None:
    body = yaml.safe_load(FEDERATED % port)
    found = conversion_of(body)
    assert found is not None
    assert found.is_possible
    backend = found.body["spec"]["template"]["spec"]["rules"][0]["http"]["paths"][0]["backend"]
    assert backend == {"service": {"name": "web", "port": {"number": 80}}}
    assert "apiVersion" not in found.body["spec"]["template"]
    operations = found.body["spec"]["overrides"][0]["clusterOverrides"]
    service = "/spec/rules/0/http/paths/0/backend/service"
    assert operations == [
        {"path": f"{service}/name", "value": "other"},
        {"path": service + path, "value": value},
        {"path": "/spec/rules/0/host", "value": "shop.example.com"},
    ]


def test_an_override_of_a_whole_backend_is_left_to_people() -> None:
    text = FEDERATED % "80" + (
        "        - {path: /spec/rules/0/http/paths/0/backend, value: {serviceName: third}}\n"
    )
    found = told(text)
    assert any("17:11" in line and "serviceName of the old version" in line for line in found)
    assert not any("--fix" in line for line in found)


def test_a_type_configuration_names_the_type_of_today() -> None:
    body = yaml.safe_load("""
apiVersion: core.kubefed.io/v1beta1
kind: FederatedTypeConfig
metadata: {name: ingresses.extensions}
spec:
  federatedType: {group: types.kubefed.io, kind: FederatedIngress, pluralName: federatedingresses,
    scope: Namespaced, version: v1beta1}
  targetType: {group: extensions, kind: Ingress, pluralName: ingresses, scope: Namespaced,
    version: v1beta1}
  propagation: Enabled
""")
    found = conversion_of(body)
    assert found is not None
    target = found.body["spec"]["targetType"]
    assert (target["group"], target["version"]) == ("networking.k8s.io", "v1")
