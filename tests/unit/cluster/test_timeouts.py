"""How long a run waits for servers that do not answer, told by the requests they get."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from kubesim.cluster import SimulatedCluster
from kubesim.fleet import Sandbox
from reconciler.api.errors import ClusterUnreachable
from reconciler.cluster.endpoint import Endpoint, bearer
from reconciler.cluster.http import Transport


@pytest.fixture
def server() -> Iterator[SimulatedCluster]:
    with Sandbox(["aws-eu"]) as sandbox:
        yield sandbox.cluster("aws-eu")


def _transport(server: SimulatedCluster) -> Transport:
    return Transport("aws-eu", Endpoint(server.url, bearer(server.token)), read_timeout=0.3)


def test_a_server_that_has_never_answered_costs_one_timeout(server: SimulatedCluster) -> None:
    transport = _transport(server)
    server.faults.hang()

    with pytest.raises(ClusterUnreachable, match="does not answer"):
        transport.request("GET", "/version")

    assert transport.requests == 1


def test_one_that_has_answered_before_is_asked_twice(server: SimulatedCluster) -> None:
    transport = _transport(server)
    assert transport.request("GET", "/version").status == 200
    server.faults.hang(count=1)

    assert transport.request("GET", "/version").status == 200

    assert transport.requests == 3


def test_a_request_that_waits_ends_soon_after_the_run_was_told_to_stop(
    server: SimulatedCluster,
) -> None:
    began = time.monotonic()
    told = threading.Event()
    threading.Timer(0.4, told.set).start()
    transport = Transport(
        "aws-eu",
        Endpoint(server.url, bearer(server.token)),
        seconds_left=lambda: 0.0 if told.is_set() else 100.0,
    )
    server.faults.hang()

    with pytest.raises(ClusterUnreachable):
        transport.request("GET", "/version")

    # Its own limits are 30 seconds and more.
    assert told.is_set()
    assert time.monotonic() - began < 15
