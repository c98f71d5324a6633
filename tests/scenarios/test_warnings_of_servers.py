"""What API servers warn of is told once for each object or kind, without values of Secrets."""

from __future__ import annotations

import json
import re

import pytest

from reconciler.reporting.html import render_html
from reconciler.reporting.json_report import plan_document
from reconciler.reporting.markdown import render_markdown
from reconciler.reporting.text import render_plan
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
    for report in (render_plan, render_markdown, render_html):
        # On other lines, and with signs that no Markdown acts upon.
        plain = re.sub(r"[^a-z]", "", report(prepared.plan))
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
