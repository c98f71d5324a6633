"""Charts as their authors write them, small ones; and the helm program that renders them."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import pytest

from tests.scenarios.conftest import World
from tests.unit.git.programs import HELM, built

WEB = {
    "Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n",
    "values.yaml": "replicas: 1\ncolour: red\n",
    "templates/_names.tpl": '{{ define "web.name" }}{{ .Release.Name }}-web{{ end }}\n',
    "templates/deployment.yaml": """\
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: {{ include "web.name" . }}}
    spec:
      replicas: {{ .Values.replicas }}
      selector: {matchLabels: {app: web}}
      template:
        metadata: {labels: {app: web}}
        spec: {containers: [{name: web, image: "nginx:{{ .Values.colour }}"}]}
    """,
    "templates/NOTES.txt": "Thank you for installing {{ .Chart.Name }}.\n",
}
NAMESPACE = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
"""


def use_helm(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put helm on the PATH, built once from its Go module; skip where that cannot be."""
    helm = built(*HELM)
    monkeypatch.setenv("PATH", f"{helm.parent}:{os.environ['PATH']}")
    return helm


def write_chart_files(world: World, folder: str, files: dict[str, str]) -> None:
    """A chart in the repository of a world."""
    for name, text in files.items():
        world.write(f"{folder}/{name}", text)


def chart(name: str = "web", rest: str = "") -> str:
    """A Chart of the chart in ``charts/web``; ``rest`` are more fields of its spec."""
    head = f"""\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Chart
metadata: {{name: {name}, namespace: shop}}
spec:
  path: charts/web
"""
    return head + textwrap.indent(textwrap.dedent(rest), "  ")


def with_chart(world: World, rest: str = "", files: dict[str, str] | None = None) -> None:
    """A world whose repository has one chart, and the Namespace for it."""
    world.write("namespace.yaml", NAMESPACE)
    write_chart_files(world, "charts/web", {**WEB, **(files or {})})
    world.write("web.yaml", chart(rest=rest))
