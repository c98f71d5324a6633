"""Files with old manifests, rewritten: what is changed, and that everything else stays as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.api.files import SourceFile
from reconciler.manifests.conversions import conversion_of
from reconciler.manifests.load import load
from reconciler.manifests.rewrite import NOT_SHOWN, rewrite

MANIFESTS = list(
    yaml.safe_load_all((Path(__file__).parent / "old_api" / "manifests.yaml").read_text())
)
Object = dict[str, Any]


def rewritten(text: str, path: str = "a.yaml") -> str:
    found = rewrite(SourceFile(path, text.encode()), lambda _: False)
    assert found is not None
    assert not found.refused, found.refused
    assert found.content is not None
    return found.content.decode()


def refused(text: str, path: str = "a.yaml") -> str:
    found = rewrite(SourceFile(path, text.encode()), lambda _: False)
    assert found is not None
    assert found.content is None
    (problem,) = found.refused
    return str(problem)


INGRESS = """\
# Everything of the shop.
apiVersion: "extensions/v1beta1"     # long ago
kind: Ingress
metadata:
    name: 'web'   # the shop
    namespace: shop
    annotations:   {owner:   web,  "on": "yes"}

spec:
    # What nobody else takes.
    backend:
        # the shop itself
        serviceName: web   # by name
        # its port
        servicePort: "http"
    rules:
    - host: >-
        shop.example.com
      http:
          paths:
          # static files
          - path:   /static
            backend:
                serviceName: static
                servicePort: 80

          - path: "/"
            pathType: Prefix
            backend: { serviceName: web, servicePort: 8080 }   # the rest
    # No certificate yet.
"""


def test_lines_that_no_change_touches_stay_byte_for_byte() -> None:
    found = rewritten(INGRESS)
    before, after = INGRESS.splitlines(), found.splitlines()
    for line in before:
        if not any(
            name in line for name in ("apiVersion", "backend:", "serviceName", "servicePort")
        ):
            assert line in after
    assert found.count("#") == INGRESS.count("#")
    conversion = conversion_of(yaml.safe_load(INGRESS))
    assert conversion is not None
    assert yaml.safe_load(found) == conversion.body


def test_other_documents_of_the_file_stay_as_they_are() -> None:
    odd = "\n---   # another\nkind:   ConfigMap\napiVersion: v1\nmetadata: { name:   x }\n...\n"
    found = rewritten(odd + "---\n" + INGRESS + odd)
    assert found.startswith(odd + "---\n# Everything")
    assert found.endswith(odd)


@pytest.mark.parametrize("indent", [2, 4])
@pytest.mark.parametrize("flow", [None, True])
@pytest.mark.parametrize(
    "body", MANIFESTS, ids=[f"{b['kind']}-{b['metadata']['name']}" for b in MANIFESTS]
)
def test_every_conversion_is_written_with_all_comments(
    body: Object, indent: int, flow: bool | None
) -> None:
    lines = yaml.safe_dump(
        body, sort_keys=False, indent=indent, default_flow_style=flow, width=60
    ).splitlines()
    if flow is None:
        # A comment before and behind everything that takes one.
        lines = [
            part
            for number, line in enumerate(lines)
            for part in ([f"# before {number}", f"{line}  # {number}"] if _ends(line) else [line])
        ]
    conversion = conversion_of(body)
    assert conversion is not None
    found = rewrite(SourceFile("a.yaml", ("\n".join(lines) + "\n").encode()), lambda _: False)
    assert found is not None
    if found.refused:
        # A comment at a field that there is no more, the first of its map, would have no place.
        assert "a comment would be lost" in str(found.refused)
        assert any(edit.to is None and not edit.sets for edit in conversion.edits)
        return
    assert found.content is not None
    assert yaml.safe_load(found.content) == conversion.body
    for line in lines:
        if line.startswith("# before"):
            assert line in found.content.decode().splitlines()


def _ends(line: str) -> bool:
    """Whether a line is a whole one of block style, and no part of a longer text."""
    return line.lstrip("- ").partition(":")[2].strip() != "" and line.count('"') % 2 == 0


def test_descriptions_that_a_generator_wrapped_come_along() -> None:
    text = """\
apiVersion: apiextensions.k8s.io/v1beta1
kind: CustomResourceDefinition
metadata:
  name: widgets.example.com
spec:
  group: example.com
  names:
    kind: Widget
    plural: widgets
  scope: Namespaced
  validation:
    openAPIV3Schema:
      properties:
        spec:
          description: 'What is wanted: as many widgets as it says, each of which is
            made of the template, one after the other'
          properties:
            text:
              description: |-
                First line.

                # no comment
              type: string
          type: object
      type: object
  version: v1 # the only one
  versions:
  - name: v1
    served: true
    storage: true
status:
  acceptedNames: {kind: "", plural: ""}
"""
    found = yaml.safe_load(rewritten(text))
    (version,) = found["spec"]["versions"]
    inside = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert inside["description"].endswith(
        "each of which is made of the template, one after the other"
    )
    assert inside["properties"]["text"]["description"] == "First line.\n\n# no comment"


def test_windows_lines_and_a_byte_order_mark_stay() -> None:
    text = "\ufeff" + INGRESS.replace("\n", "\r\n")
    found = rewritten(text)
    assert found.startswith("\ufeff# Everything")
    assert found.count("\r\n") == found.count("\n")


def test_json_keeps_its_indentation() -> None:
    body = MANIFESTS[0]
    text = json.dumps(body, indent=4) + "\n"
    conversion = conversion_of(body)
    assert conversion is not None
    assert rewritten(text, "a.json") == json.dumps(conversion.body, indent=4) + "\n"
    compact = json.dumps(body, indent=4).replace('"replicas": 2', '"replicas":2')
    assert "laid out in a way that would change" in refused(compact, "a.json")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text.replace("'web'", "'{{ .Name }}'"), "a template"),
        (lambda text: text.replace("host: >-", "host: &h >-") + "    tls: [{hosts: [*h]}]\n",
         "aliases"),
        (lambda text: text.replace("\n", "\r\n", 3), "two ways"),
    ],
)  # fmt: skip
def test_what_cannot_be_rewritten_faithfully_is_told_and_left(change: Any, reason: str) -> None:
    assert reason in refused(change(INGRESS))


NO_MAPS = [
    ("apps/v1beta1, kind: StatefulSet", "[a]"),
    ("apps/v1beta1, kind: StatefulSet", "kept"),
    ("extensions/v1beta1, kind: DaemonSet", "{updateStrategy: kept}"),
    ("extensions/v1beta1, kind: DaemonSet", "{updateStrategy: [kept]}"),
    ("extensions/v1beta1, kind: Ingress", "{backend: {serviceName: a, service: kept}}"),
]


@pytest.mark.parametrize(("kind", "spec"), NO_MAPS)
def test_what_is_there_instead_of_a_map_is_told_and_never_overwritten(kind: str, spec: str) -> None:
    text = f"{{apiVersion: {kind}, metadata: {{name: a}}, spec: {spec}}}\n"
    file = SourceFile("a.yaml", text.encode())
    assert rewrite(file, lambda _: False) is None
    told = [str(problem) for problem in load([file]).problems]
    assert any("is no map; expected names and values" in line for line in told), told


def test_the_diff_shows_no_line_of_what_is_hidden() -> None:
    text = (
        "apiVersion: v1\nkind: List\nitems:\n"
        "- apiVersion: v1\n  kind: Secret\n  metadata: {name: s}\n  stringData: {key: hunter2}\n"
        "- apiVersion: batch/v1beta1\n  kind: CronJob\n  metadata: {name: c}\n"
        "---\napiVersion: batch/v1beta1\nkind: CronJob\nmetadata: {name: shown}\n"
    )
    found = rewrite(SourceFile("a.yaml", text.encode()), lambda _: False)
    assert found is not None
    assert found.content is not None
    assert found.content.count(b"batch/v1\n") == 2
    shown = "\n".join(found.diff)
    assert "hunter2" not in shown
    assert "+apiVersion: batch/v1" in shown
    assert NOT_SHOWN in shown
    hidden = rewrite(SourceFile("a.yaml", text.encode()), lambda body: body["kind"] == "CronJob")
    assert hidden is not None
    assert not hidden.diff


OLD_JSON = """\
{
  "apiVersion": "policy/v1beta1",
  "kind": "PodDisruptionBudget",
  "metadata": {
    "name": "a"
  }%s
}
"""


def test_json_with_a_byte_order_mark_is_rewritten_as_any() -> None:
    old = "\ufeff" + OLD_JSON % ""
    assert rewritten(old, "a.json") == old.replace("policy/v1beta1", "policy/v1")


def test_what_only_yaml_can_read_is_rewritten_as_yaml_whatever_its_name() -> None:
    text = (
        "# By hand.\napiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: a}\n"
    )
    assert rewritten(text, "a.json") == text.replace("v1beta1", "v1")
    assert "laid out" in refused(OLD_JSON % ",", "a.json")
