"""No write lasts longer than it may under a lock: not here, and not at the server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kubesim.cluster import SimulatedCluster
from kubesim.fleet import Sandbox
from reconciler.api.errors import ClusterUnreachable, LeaseLost
from reconciler.api.objects import Object, ObjectKey
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.cluster.endpoint import Endpoint, bearer
from reconciler.cluster.http import Transport
from reconciler.lock.lease import Lease, LeaseRecord, longest_write

CONFIG_MAPS = RESTMapping("v1", "ConfigMap", "configmaps", namespaced=True)
KEY = ObjectKey("", "ConfigMap", "default", "settings")
BODY: Object = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "settings", "namespace": "default"},
}


@pytest.fixture
def server() -> Iterator[SimulatedCluster]:
    with Sandbox(["aws-eu"]) as sandbox:
        yield sandbox.cluster("aws-eu")


def member(
    server: SimulatedCluster, fence: Callable[[], None] = lambda: None, **settings: Any
) -> Member:
    endpoint = Endpoint(server.url, bearer(server.token))
    return Member("aws-eu", Transport("aws-eu", endpoint, **settings), fence=fence)


def create(cluster: Member) -> None:
    cluster.create(CONFIG_MAPS, BODY, namespace="default")


def test_every_write_tells_the_server_when_to_give_it_up(server: SimulatedCluster) -> None:
    cluster = member(server, longest_write=40.5)
    create(cluster)
    found = cluster.get(CONFIG_MAPS, KEY)
    assert found is not None
    cluster.replace(CONFIG_MAPS, KEY, found)
    cluster.apply(CONFIG_MAPS, KEY, BODY | {"data": {"a": "b"}})
    last = cluster.get(CONFIG_MAPS, KEY)
    assert last is not None
    metadata = last["metadata"]
    cluster.delete(
        CONFIG_MAPS, KEY, uid=metadata["uid"], resource_version=metadata["resourceVersion"]
    )
    sent = [(r.method, r.query.get("timeout")) for r in server.requests if "configmaps" in r.path]
    assert sent == [
        ("POST", "40s"),
        ("GET", None),
        ("PUT", "40s"),
        ("PATCH", "40s"),
        ("GET", None),
        ("DELETE", "40s"),
    ]


def test_a_server_that_hangs_ends_a_write_before_others_may_take_over(
    server: SimulatedCluster,
) -> None:
    cluster = member(server, longest_write=0.5, retries=0)
    server.faults.hang(writes_only=True)
    began = time.monotonic()
    with pytest.raises(ClusterUnreachable):
        create(cluster)
    # The usual limits are those of a read: 10 s of silence, 120 s in all.
    assert time.monotonic() - began < 5


def test_no_second_try_is_sent_once_the_fence_fell(server: SimulatedCluster) -> None:
    asked: list[float] = []

    def fence() -> None:
        asked.append(time.monotonic())
        if len(asked) > 1:
            raise LeaseLost("the lock is another run's")

    cluster = member(server, fence, longest_write=0.3)
    # One that has answered before is asked again.
    assert cluster.get(CONFIG_MAPS, KEY) is None
    rule = server.faults.hang(writes_only=True)
    with pytest.raises(LeaseLost):
        create(cluster)
    assert (len(asked), rule.hits) == (2, 1)


class _InMemory:
    """A record, and nobody else who changes it."""

    where = "a record"

    def __init__(self) -> None:
        self.record: LeaseRecord | None = None

    def read(self) -> LeaseRecord | None:
        return self.record

    def write(self, before: LeaseRecord | None, after: LeaseRecord) -> bool:
        self.record = after
        return before is None

    def advice(self, _error: object) -> str:
        return ""


@pytest.mark.parametrize("duration", [2.0, 90.0, 3600.0])
def test_what_was_sent_last_ends_before_the_earliest_takeover(duration: float) -> None:
    lease = Lease(_InMemory(), duration=duration)
    assert lease.fence_after + longest_write(duration) < duration
