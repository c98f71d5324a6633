"""Three seats on real API servers; ``named``: a real BIND, to see what names resolve to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from reconciler.cluster.client import Member
from reconciler.cluster.connect import Connector
from reconciler.seats.register import Register
from tests.controlplane.cluster import Cluster
from tests.controlplane.fixtures import Fleet
from tests.controlplane.plane import ControlPlane
from tests.unit.dns.conftest import named

__all__ = ["named"]

NAMESPACE = "federation-system"
NAMES = ("aws-eu", "gcp-eu", "onprem")

Registers = Callable[..., Register]


@pytest.fixture
def clusters(fleet: Fleet) -> Mapping[str, Cluster]:
    """By the names of the seats, with the namespace in which they have their copies."""
    found = dict(zip(NAMES, fleet(len(NAMES)), strict=True))
    for cluster in found.values():
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        cluster.call("POST", "/api/v1/namespaces", namespace)
    return found


@pytest.fixture
def registers(clusters: Mapping[str, Cluster], control_plane: ControlPlane) -> Registers:
    """``registers()``: one more process's view of the same register."""
    file = control_plane.kubeconfig(dict(clusters))

    def member(name: str) -> Member:
        return Connector.from_file(str(file), NAMESPACE, host_context=name).host()

    def make(me: str = "", **settings: Any) -> Register:
        return Register({name: member(name) for name in NAMES}, NAMESPACE, "shop", me, **settings)

    return make
