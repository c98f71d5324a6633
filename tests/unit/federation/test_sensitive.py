"""What of a workload is hidden: by its kind, by its own word, and as it came out of sops."""

from __future__ import annotations

from reconciler.api.field_path import FieldPath, Step
from reconciler.api.files import SourceFile
from reconciler.api.objects import ObjectKey
from reconciler.federation.compile import compile_documents
from reconciler.federation.model import Workload
from reconciler.manifests.load import load
from reconciler.plan.model import Action, Change, FieldChange
from reconciler.plan.redact import AFTER, BEFORE, mask, without_values

FLEET = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  defaults: {placement: {clusterSelector: {}}}
  sensitive:
    - {kind: Vault.example.com, fields: [/spec/items/*/value, /spec/a~1b]}
    - kind: Other.example.com
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws}
spec: {}
"""
WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {spec: {containers: [{name: web, image: web}]}}}
"""
PLACEMENT = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{kind: Deployment}]
  overrides:
    - env: {web: {PASSWORD: c4nary}}
    - patch: [{op: add, path: /metadata/labels/x, value: c4nary}]
"""


def workloads(*files: SourceFile) -> dict[str, Workload]:
    loaded = load([SourceFile("fleet.yaml", FLEET.encode()), *files])
    found = compile_documents(loaded.documents)
    assert found.state, (loaded.problems, found.problems)
    return {workload.key.kind: workload for workload in found.state.workloads}


def manifest(kind: str, api_version: str, *, decrypted: bool = False) -> SourceFile:
    text = f"apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: a, namespace: shop}}\n"
    return SourceFile(f"{kind}.yaml", text.encode(), decrypted=decrypted)


def test_kinds_are_hidden_as_the_federation_says() -> None:
    found = workloads(
        manifest("Secret", "v1"),
        manifest("Vault", "example.com/v1"),
        manifest("Other", "example.com/v1"),
        manifest("ConfigMap", "v1"),
        manifest("Service", "v1", decrypted=True),
    )
    assert {kind: workload.rules.hidden for kind, workload in found.items()} == {
        "Secret": ("/data", "/stringData"),
        "Vault": ("/spec/a~1b", "/spec/items/*/value"),
        "Other": ("",),
        "ConfigMap": (),
        "Service": ("",),
    }


def _path(*steps: Step) -> FieldPath:
    return FieldPath(steps)


def test_what_an_encrypted_placement_overrides_is_hidden_in_what_it_overrides() -> None:
    web = SourceFile("web.yaml", WEB.encode())
    placement = SourceFile("placement.yaml", PLACEMENT.encode(), decrypted=True)
    hidden = workloads(web, placement)["Deployment"].rules.hidden
    assert {"/metadata/labels/x", "/spec/template/spec/containers/*/env"} <= set(hidden)
    web_container = ("spec", "template", "spec", "containers", {"name": "web"})
    fields = (
        FieldChange(_path("metadata", "labels", "x"), "old", "c4nary"),
        FieldChange(_path("metadata", "labels", "y"), "old", "new"),
        FieldChange(_path(*web_container, "env", {"name": "P"}, "value"), "old", "c4nary"),
        FieldChange(_path(*web_container, "image"), "old", "new"),
    )
    shown = {field.path: (field.before, field.after) for field in mask(fields, hidden)}
    assert shown == {
        "metadata.labels.x": (BEFORE, AFTER),
        "metadata.labels.y": ("old", "new"),
        "spec.template.spec.containers[name=***].env[name=***].value": (BEFORE, AFTER),
        "spec.template.spec.containers[name=web].image": ("old", "new"),
    }


def test_pointers_hide_what_is_below_and_what_holds_it() -> None:
    hidden = ("/spec/items/*/value", "/spec/a~1b")
    x = {"name": "x"}
    paths = {
        _path("spec", "items", x, "value"): True,
        _path("spec", "items", x, "value", "inner"): True,
        _path("spec", "items", 3, "value"): True,
        _path("spec", "items", x, "name"): False,
        _path("spec", "items"): True,
        _path("spec"): True,
        _path("spec", "a/b"): True,
        _path("spec", "a/b", "c"): True,
        _path("spec", "a/bc"): False,
        _path("status"): False,
    }
    fields = [FieldChange(path, "old", "new") for path in paths]
    found = [field.after == AFTER for field in mask(fields, hidden)]
    assert dict(zip(paths, found, strict=True)) == paths


def test_a_mark_on_the_live_object_is_enough() -> None:
    """Its manifest may be gone, or be no longer encrypted."""
    mark = {"federation.reconciler.dev/sensitive": "true"}
    live = {"metadata": {"name": "a", "annotations": mark}}
    key = ObjectKey("", "ConfigMap", "shop", "a")
    change = Change(
        Action.PRUNE, key, "v1", (FieldChange(_path("data", "a"), "old", 5),), live=live
    )
    assert without_values(change, {}).fields == (FieldChange(_path("data", "a"), BEFORE, AFTER),)
    assert without_values(change, {}).is_sensitive
