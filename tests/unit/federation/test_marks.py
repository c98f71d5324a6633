"""Our own annotations and labels: what is none of them, or has another value, is told."""

from __future__ import annotations

import pytest

from reconciler.api.files import SourceFile
from reconciler.federation.compile import compile_documents
from reconciler.manifests.load import load
from reconciler.manifests.problems import PossibleDefinitions

FLEET = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws}
spec: {provider: aws}
---
"""
OURS = "federation.reconciler.dev/"
ADD = "{op: add, path: /metadata/%s}"
PLAIN = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  annotations:\n    %s\n"
FEDERATED = """\
apiVersion: types.kubefed.io/v1beta1
kind: FederatedConfigMap
metadata: {name: web, namespace: default%s}
spec:
  template: {metadata: {annotations: {%s}}, data: {}}
  placement: {clusters: [{name: aws}]}
  overrides: [{clusterName: aws, clusterOverrides: [%s]}]
"""
POD_TEMPLATE = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {metadata: {annotations: {federation.reconciler.dev/protect: "true"}}}}
"""
PLACEMENT = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{kind: Namespace}]
  overrides: [{%s}]
"""


def problems(text: str) -> list[str]:
    manifests = load([SourceFile("all.yaml", (FLEET + text).encode())])
    possible_definitions = PossibleDefinitions.about(manifests.broken, manifests.unread)
    found = compile_documents(manifests.documents, possible_definitions=possible_definitions)
    return [str(problem) for problem in (*manifests.problems, *found.problems)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('protect: "True"', '11:40: * is \'True\'; expected "true" or "false" (write "true")'),
        ('orphan: "yes"', '(write "true")'),
        ("protect: yes", 'the value is true; expected text (write "true")'),
        ("protect: 1", '(write "true")'),
        ("protect: off", '(write "false")'),
        ('recreate: ""', "is ''"),
        ('dns: "True"', '(write "true")'),
        ('prune-propagation: "foreground"', '(write "Foreground")'),
        ('protekt: "true"', "11:5: * is none of our annotations"),
        ('protekt: "true"', "did you mean federation.reconciler.dev/protect?"),
        ('object: "x"', "only reconcile writes"),
        ("placement: 1.10", 'quote it: "1.10"'),
        ("placement: 0777", 'quote it: "0777"'),
    ],
)
def test_on_a_manifest(line: str, said: str) -> None:
    found = problems(PLAIN % (OURS + line))
    assert len(found) == 1
    for part in said.split("*"):
        assert part in found[0], found


@pytest.mark.parametrize(
    "key",
    [
        "federation.reconcile.dev/protect",
        "federation.reconciler.io/protect",
        "federated.reconciler.dev/protect",
        "federation-reconciler.dev/protected",
        "reconciler.dev/protect",
    ],
)
def test_a_key_that_is_nearly_ours_is_none(key: str) -> None:
    (found,) = problems(PLAIN % f'{key}: "true"')
    assert f"{key} is none of our annotations, and would have no effect" in found
    assert "did you mean federation.reconciler.dev/protect?" in found


@pytest.mark.parametrize(
    "key",
    [
        "federation.example.com/protect",
        "reconcile.fluxcd.io/requestedAt",
        "federation.reconcile.dev/team",
        "team.reconciler.dev/owner",
        "protect",
    ],
)
def test_a_key_of_others_is_theirs(key: str) -> None:
    assert problems(PLAIN % f'{key}: "true"') == []


@pytest.mark.parametrize("line", ["other.example.com/version: 1.10", "example.com/x: yes"])
def test_hints_repeat_what_is_written(line: str) -> None:
    (found,) = problems(PLAIN % line)
    assert f'quote it: "{line.partition(": ")[2]}"' in found


@pytest.mark.parametrize(
    "text",
    [
        FEDERATED % (", annotations: {kubefed.io/orphan: 'True'}", "", ""),
        FEDERATED % (", annotations: {federation.reconciler.dev/protect: 'true'}", "", ""),
        FEDERATED % ("", "federation.reconciler.dev/protect: 'yes'", ""),
        FEDERATED % ("", "federation.reconciler.dev/substitute: 'true'", ""),
        FEDERATED
        % (
            "",
            "",
            ADD % "annotations/federation.reconciler.dev~1protect, value: 'Y'",
        ),
        FEDERATED
        % (
            "",
            "",
            ADD % "annotations, value: {federation.reconciler.dev/x: 'Y'}",
        ),
        FEDERATED % ("", "", ADD % "labels/a, value: true"),
        POD_TEMPLATE,
        POD_TEMPLATE.replace(
            "{name: web,", "{name: web, labels: {applyset.kubernetes.io/part-of: x},"
        ).replace("federation.reconciler.dev/protect", "example.com/protect"),
        PLACEMENT % "annotations: {federation.reconciler.dev/orphan: 'True'}",
        PLACEMENT % "annotations: {federation.reconciler.dev/placement: web}",
        PLACEMENT.replace(
            "name: web", "name: web, annotations: {federation.reconciler.dev/protect: 'true'}"
        )
        % "replicas: 1",
        FLEET.replace(
            "{name: aws}", "{name: gcp, labels: {federation.reconciler.dev/provider: x}}"
        ),
    ],
)
def test_where_it_is_not_looked_for(text: str) -> None:
    assert len(problems(text)) == 1


def test_the_right_ones_are_right() -> None:
    right = (
        'protect: "true"',
        'orphan: "false"',
        'recreate: "true"',
        'force-conflicts: "true"',
        "prune-propagation: Orphan",
        'dns: "www, true"',
        'substitute: "true"',
    )
    assert problems(PLAIN % f"\n    {OURS}".join(("", *right)).strip()) == []


POLICY = """\
apiVersion: policy.karmada.io/v1alpha1
kind: ClusterOverridePolicy
metadata: {name: web}
spec: {overrideRules: [{overriders: {labelsOverrider: [{operator: add, value: {%s}}]}}]}
"""


@pytest.mark.parametrize(
    "text",
    [
        PLACEMENT % 'labels: {"a b": x}',
        PLACEMENT % 'labels: {a: "x y"}',
        PLACEMENT % 'annotations: {"a b": x}',
        PLACEMENT % 'patch: [{op: add, path: /metadata/labels/a, value: "x y"}]',
        FEDERATED % ("", "", '{op: add, path: /metadata/labels, value: {a: "x y"}}'),
        POLICY % '"a b": x',
        POLICY % 'a: "x y"',
    ],
)
def test_labels_that_no_server_takes_are_told_where_an_override_sets_them(text: str) -> None:
    found = [problem for problem in problems(text) if "not a valid" in problem]
    assert len(found) == 1
    assert found[0].startswith("all.yaml:")
    assert problems(text.replace("a b", "ab").replace("x y", "xy")) == []
