"""``understand``: YAML as a user writes it -> what it means."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import pytest

from reconciler.api.files import SourceFile
from reconciler.federation.compile import Compiled, compile_documents
from reconciler.manifests.load import load
from reconciler.render.render import render
from reconciler.scheduler.schedule import schedule

THREE_CLUSTERS = """
apiVersion: core.kubefed.io/v1beta1
kind: KubeFedCluster
metadata: {name: aws, namespace: kube-federation-system, labels: {cloud: aws}}
---
apiVersion: core.kubefed.io/v1beta1
kind: KubeFedCluster
metadata: {name: gcp1, namespace: kube-federation-system, labels: {cloud: gcp, tier: one}}
---
apiVersion: core.kubefed.io/v1beta1
kind: KubeFedCluster
metadata: {name: gcp2, namespace: kube-federation-system, labels: {cloud: gcp, tier: two}}
---
"""

Understand = Callable[[str], Compiled]


@pytest.fixture
def understand() -> Understand:
    def read(text: str) -> Compiled:
        content = THREE_CLUSTERS + textwrap.dedent(text)
        manifests = load([SourceFile("all.yaml", content.encode())])
        assert not manifests.problems
        return compile_documents(manifests.documents)

    return read


@pytest.fixture
def rendered(understand: Understand) -> Callable[[str], dict[str, dict[str, dict]]]:
    """cluster -> "Kind namespace/name" -> body."""

    def show(text: str) -> dict[str, dict[str, dict]]:
        found = understand(text)
        assert not found.problems, [str(p) for p in found.problems]
        rendering = render(found.state, schedule(found.state))
        assert not rendering.problems
        return {
            cluster: {f"{d.key.kind} {d.key.namespace}/{d.key.name}": d.body for d in objects}
            for cluster, objects in rendering.objects.items()
        }

    return show
