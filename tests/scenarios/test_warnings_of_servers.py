"""What API servers warn of is told once for each object or kind, without values of Secrets."""

from __future__ import annotations

import json
import re

import pytest
from msgspec.structs import replace

from reconciler.api.options import RunOptions
from reconciler.failover.survivability import assess_survivability
from reconciler.report import survivability as report
from reconciler.report.html import render_html
from reconciler.report.json_report import plan_document
from reconciler.report.markdown import render_plan_markdown
from reconciler.report.text import render_plan
from reconciler.run.failover_targets import try_failover_targets
from reconciler.run.repository import validate_repository
from tests.controlplane.process import eventually
from tests.scenarios.conftest import World
from tests.scenarios.manifests import NAMESPACE, SETTINGS, WEB

pytestmark = pytest.mark.integration

RESTRICTED = NAMESPACE.replace(
    "{name: shop}",
    "{name: shop, labels: {pod-security.kubernetes.io/warn: restricted}}",
)
POLICY = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: wary}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
      - {apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [KINDS]}
  validations:
    - expression: "'lax' in object.metadata.?labels.orValue({}) == false"
      messageExpression: "'quotes ' + string(object.data['pin'])"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: wary}
spec: {policyName: wary, validationActions: [Warn]}
"""


@pytest.fixture
def real_world(repository: object, real_kubeconfig: object) -> World:
    return World(repository, real_kubeconfig)  # type: ignore[arg-type]


def of_servers(warnings: tuple[str, ...]) -> list[str]:
    return [text for text in warnings if "the API server warns" in text]


def test_what_pod_security_warns_of_is_told_once_in_every_report(real_world: World) -> None:
    world = real_world
    world.write("shop.yaml", RESTRICTED)
    assert world.apply().ok
    world.write("shop.yaml", "---".join([RESTRICTED, WEB]))
    prepared = world.prepare()
    (told,) = of_servers(prepared.plan.warnings)
    assert told.startswith(
        "aws, gcp: Deployment.apps shop/web: the API server warns: would violate"
    )
    for render in (render_plan, render_plan_markdown, render_html):
        # On other lines, and with signs that no Markdown acts upon.
        plain = re.sub(r"[^a-z]", "", render(prepared.plan))
        assert plain.count("warnswouldviolate") == 1
    assert told in json.loads(json.dumps(plan_document(prepared.plan)))["warnings"]
    assert not prepared.plan.has_failures
    result = world.apply()
    assert result.ok
    assert result.warnings == ()
    assert of_servers(world.plan().warnings) == []


def test_no_value_of_a_secret_is_in_a_warning(real_world: World) -> None:
    world = real_world
    world.write("shop.yaml", NAMESPACE)
    assert world.apply().ok
    policy = world.repository.parent / "policy.yaml"
    policy.write_text(POLICY.replace("KINDS", "secrets, configmaps"))
    world.kubectl("apply", "-f", str(policy))
    secret = """
apiVersion: v1
kind: Secret
metadata: {name: pin, namespace: shop, labels: {lax: "1"}}
stringData: {pin: canary-48151}
"""
    plain = SETTINGS.replace("namespace: shop}", "namespace: shop, labels: {lax: '1'}}").replace(
        "colour: green", "pin: open"
    )
    world.write("shop.yaml", "---".join([NAMESPACE, secret, plain]))

    def warned() -> bool:
        return len(of_servers(world.plan().warnings)) == 2

    eventually(warned, "the policy is in force")
    prepared = world.prepare()
    about_map, about_secret = of_servers(prepared.plan.warnings)
    assert "ConfigMap shop/settings" in about_map
    assert "quotes open" in about_map
    assert "Secret shop/pin" in about_secret
    assert "not shown" in about_secret
    result = world.apply()
    assert result.ok
    assert result.warnings == ()
    everything = str(prepared.plan) + str(result) + render_plan(prepared.plan)
    assert "canary-48151" not in everything
    assert "Y2FuYXJ5" not in render_plan(prepared.plan)


def test_a_field_that_is_deprecated_is_told_before_its_namespace_is_there(
    real_world: World,
) -> None:
    world = real_world
    old = WEB.replace(
        "metadata: {labels: {app: web}}",
        "metadata: {labels: {app: web}, annotations: "
        "{container.apparmor.security.beta.kubernetes.io/web: runtime/default}}",
    )
    world.write("shop.yaml", "---".join([NAMESPACE, old]))
    (told,) = of_servers(world.plan().warnings)
    assert "Deployment.apps shop/web: the API server warns: " in told
    assert "deprecated" in told
    result = world.apply()
    assert (result.ok, result.warnings) == (True, ())


ENDPOINTS = """
apiVersion: v1
kind: Endpoints
metadata: {name: old, namespace: shop}
subsets: [{addresses: [{ip: 192.0.2.1}], ports: [{port: 80}]}]
"""


def test_an_old_version_of_an_api_is_told_once_for_its_kind(real_world: World) -> None:
    world = real_world
    world.write("shop.yaml", "---".join([NAMESPACE, ENDPOINTS, ENDPOINTS.replace("old", "older")]))
    (told,) = of_servers(world.plan().warnings)
    assert told.startswith("aws, gcp: Endpoints: the API server warns: v1 Endpoints is deprecated")
    result = world.apply()
    assert result.ok
    assert result.warnings == ()
    (still,) = of_servers(world.plan().warnings)
    assert still == told


def test_ports_that_hide_one_another_are_told_of_the_workload(real_world: World) -> None:
    world = real_world
    twin = "{name: http, containerPort: 80}"
    side = f"\n        - {{name: side, image: registry.example/side:1.0, ports: [{twin}]}}\n"
    both = f"{WEB.rstrip()}\n          ports: [{twin}]{side}"
    world.write("shop.yaml", "---".join([NAMESPACE, both]))
    told = of_servers(world.plan().warnings)
    begin = "aws, gcp: Deployment.apps shop/web: the API server warns: "
    assert told
    assert all(text.startswith(begin) and "duplicate port" in text for text in told)
    result = world.apply()
    assert (result.ok, result.warnings) == (True, ())


def test_survivability_tells_what_a_stand_ins_server_warns_of(real_world: World) -> None:
    world = real_world
    world.write("shop.yaml", RESTRICTED)
    assert world.apply().ok
    spread = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{kind: Deployment, name: web}]
  clusterSelector: {}
  spread: [{by: cluster, maxGroups: 1}]
"""
    world.write("shop.yaml", "---".join([RESTRICTED, WEB, spread]))
    options = RunOptions(repo=str(world.repository), kubeconfig=str(world.kubeconfig))
    matrix = replace(
        assess_survivability(validate_repository(options).state), live=try_failover_targets(options)
    )
    assert matrix.live
    assert (matrix.live.tried, matrix.live.refused) == (1, ())
    words = "Deployment.apps shop/web: the API server warns: would violate"
    (told,) = json.loads(report.render_survivability_json(matrix))["live"]["warnings"]
    assert words in told
    assert words in report.render_survivability_text(matrix)
    assert "would violate" in report.render_survivability_markdown(matrix)
