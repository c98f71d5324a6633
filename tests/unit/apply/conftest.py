"""A host cluster for locks: simulated, or real."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kubesim.fleet import Sandbox
from reconciler.api.objects import Object
from reconciler.cluster.client import Member
from reconciler.cluster.connect import Connector
from tests.controlplane.fixtures import Fleet
from tests.controlplane.plane import ControlPlane

NAMESPACE: Object = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": "federation-system"},
}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(["host"]) as sandbox:
        sandbox.cluster("host").create(NAMESPACE)
        yield sandbox


@pytest.fixture
def simulated_host(sandbox: Sandbox) -> Member:
    return Connector.from_file(str(sandbox.kubeconfig), "federation-system").host()


@pytest.fixture
def real_host(fleet: Fleet, control_plane: ControlPlane) -> Member:
    (cluster,) = fleet(1)
    cluster.call("POST", "/api/v1/namespaces", NAMESPACE)
    file = control_plane.kubeconfig({"host": cluster})
    return Connector.from_file(str(file), "federation-system").host()


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.integration)])
def host(request: pytest.FixtureRequest) -> Member:
    found: Member = request.getfixturevalue(f"{request.param}_host")
    return found
