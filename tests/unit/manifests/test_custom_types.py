"""Custom resources are checked against the CRDs that lie beside them, as servers do."""

from __future__ import annotations

import pytest
import yaml

from reconciler.api.files import SourceFile
from reconciler.manifests.custom_schemas import custom_problems, schemas_in, unknown_custom_fields
from reconciler.manifests.load import load
from tests.controlplane.cluster import APPLY
from tests.controlplane.fixtures import Fleet
from tests.controlplane.process import eventually

CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, listKind: WidgetList}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              properties:
                title: {type: string}
                size: {type: integer}
                shiny: {type: boolean}
                ratio: {type: number}
                port: {x-kubernetes-int-or-string: true}
                any: {x-kubernetes-preserve-unknown-fields: true}
                tags: {type: array, items: {type: string}}
                env: {type: object, additionalProperties: {type: string}}
                color: {type: string, enum: [red, blue]}
"""
WIDGET = """\
---
apiVersion: example.com/v1
kind: Widget
metadata: {name: probe, namespace: default}
spec: {%s}
"""
TAKEN = [
    "title: yes and no, size: 3, shiny: yes, ratio: 0.5",
    "size: 3.0, ratio: 3",
    "port: 80",
    "port: http",
    "any: {a: [1, {b: yes}]}",
    'tags: [a, "1"], env: {A: "1"}, color: red',
]
REFUSED = {
    "title: yes": 'yes is a boolean in YAML 1.1; expected text (quote it: "yes")',
    "title: 0777": 'the number 511 in YAML 1.1; expected text (quote it: "0777")',
    'size: "3"': '"3" is text; expected a whole number (write it without quotes: 3)',
    "size: 2.5": "2.5 is a number; expected a whole number",
    'shiny: "true"': '"true" is text; expected true or false',
    "ratio: [1]": "a list; expected a number",
    "port: 1.5": "1.5 is a number; expected a whole number or text",
    "port: [80]": "a list; expected a whole number or text",
    "tags: a": "expected a list",
    "tags: [1]": "1 is a whole number; expected text",
    "env: {A: 1}": "1 is a whole number; expected text",
    "env: [A]": "a list; expected a map",
    "color: green": "not valid: green; expected one of red, blue",
}


def _problems(spec: str) -> list[str]:
    loaded = load([SourceFile("all.yaml", (CRD + WIDGET % spec).encode())])
    assert not loaded.problems
    schemas = schemas_in(loaded.documents)
    return [str(p) for d in loaded.documents for p in custom_problems(d, schemas)]


@pytest.mark.parametrize("spec", TAKEN)
def test_what_servers_take_is_valid(spec: str) -> None:
    assert _problems(spec) == []


@pytest.mark.parametrize("spec", REFUSED)
def test_what_servers_refuse_is_told_with_its_line(spec: str) -> None:
    [told] = _problems(spec)
    assert told.startswith("all.yaml:32:")
    assert REFUSED[spec] in told


def test_a_field_that_the_crd_does_not_have_is_known() -> None:
    loaded = load([SourceFile("all.yaml", (CRD + WIDGET % "titel: a, any: {b: c}").encode())])
    schemas = schemas_in(loaded.documents)
    [(steps, known)] = unknown_custom_fields(loaded.documents[1].body, schemas)
    assert steps == ("spec", "titel")
    assert "title" in known


def test_a_kubefed_template_is_checked_too() -> None:
    text = CRD + (
        "---\napiVersion: types.kubefed.io/v1beta1\nkind: FederatedWidget\n"
        "metadata: {name: a, namespace: shop}\n"
        "spec: {template: {spec: {title: on}}, placement: {clusterSelector: {}}}\n"
    )
    loaded = load([SourceFile("all.yaml", text.encode())])
    schemas = schemas_in(loaded.documents)
    [told] = [str(p) for d in loaded.documents for p in custom_problems(d, schemas)]
    assert "$.spec.template.spec.title: on is a boolean in YAML 1.1" in told


@pytest.mark.integration
def test_real_servers_judge_the_same_way(fleet: Fleet) -> None:
    [cluster] = fleet(1)
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    cluster.call("POST", path, yaml.safe_load(CRD))
    url = "/apis/example.com/v1/namespaces/default/widgets/probe"
    query = {"fieldManager": "probe", "dryRun": "All"}

    def asked(spec: str) -> int:
        [loaded] = load([SourceFile("a.yaml", (WIDGET % spec).encode())]).documents
        answer = cluster.request("PATCH", url, loaded.body, content_type=APPLY, query=query)
        return int(answer.status)

    eventually(lambda: asked("") != 404, "the kind is served")
    wrong = [s for s in TAKEN if asked(s) >= 300] + [s for s in REFUSED if asked(s) < 300]
    assert not wrong
