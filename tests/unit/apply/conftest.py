"""A host cluster for locks: simulated, or real; and for the verbs, a simulated member."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kubesim.cluster import SimulatedCluster
from kubesim.fleet import Sandbox
from reconciler.api.objects import Object
from reconciler.cluster.client import Member
from reconciler.cluster.connect import Connector
from tests.controlplane.fixtures import Fleet
from tests.controlplane.plane import ControlPlane
from tests.unit.apply.changes import CONFIG_MAPS, KEY, settings

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


@pytest.fixture
def cluster(sandbox: Sandbox) -> SimulatedCluster:
    return sandbox.cluster("host")


@pytest.fixture
def member(simulated_host: Member) -> Member:
    return simulated_host


@pytest.fixture
def live(member: Member) -> Object:
    """Ours, with data that is ours."""
    return member.apply(CONFIG_MAPS, KEY, settings(colour="red", shape="round"))
