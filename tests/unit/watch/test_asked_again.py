"""What a run asked of a member is asked again in later rounds, and no change is missed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kubesim.fleet import Sandbox
from reconciler.api.errors import ClusterUnreachable
from reconciler.cluster import client
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.cluster.endpoint import Endpoint, bearer
from reconciler.cluster.http import Transport
from reconciler.watch.trace import RunTrace, TracedExchange

MAPS = RESTMapping("v1", "ConfigMap", "configmaps", namespaced=True)


class Asked:
    """A member of which a run has listed something, in pages of two objects."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.cluster = sandbox.cluster("aws")
        endpoint = Endpoint(self.cluster.url, bearer(self.cluster.token))
        self.exchange = TracedExchange("aws", endpoint)
        self.member = Member("aws", Transport("aws", endpoint, exchange=self.exchange, retries=0))

    def put(self, name: str, value: str = "a") -> None:
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "default"},
            "data": {"value": value},
        }
        self.cluster.apply(body, force=True)

    def list(self) -> RunTrace:
        trace = self.exchange.trace = RunTrace()
        try:
            self.member.list_objects(MAPS, namespace="default")
        finally:
            self.exchange.trace = None
        return trace

    def same(self, trace: RunTrace) -> bool:
        return all(self.exchange.ask_again(one) for one in trace.questions)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    monkeypatch.setattr(client, "PAGE", 2)
    with Sandbox(["aws"]) as sandbox:
        yield Asked(sandbox)


@pytest.mark.parametrize("changed", ["m0", "m1", "m2", "m4"])
def test_a_change_is_seen_on_whichever_page(asked: Asked, changed: str) -> None:
    for n in range(5):
        asked.put(f"m{n}")
    trace = asked.list()
    assert asked.same(trace)
    asked.put(changed, "b")
    assert not asked.same(trace)


@pytest.mark.parametrize("before", [1, 2, 3, 4])
def test_one_object_more_at_the_end_is_seen(asked: Asked, before: int) -> None:
    for n in range(before):
        asked.put(f"m{n}")
    trace = asked.list()
    assert asked.same(trace)
    asked.put("z")
    assert not asked.same(trace)


def test_a_page_that_is_gone_is_seen(asked: Asked) -> None:
    for n in range(3):
        asked.put(f"m{n}")
    trace = asked.list()
    asked.cluster.delete("ConfigMap", "m2", namespace="default")
    assert not asked.same(trace)


def test_who_was_silent_is_the_same_until_it_answers(asked: Asked) -> None:
    asked.cluster.stop()
    trace = asked.exchange.trace = RunTrace()
    with pytest.raises(ClusterUnreachable):
        asked.member.list_objects(MAPS)
    asked.exchange.trace = None
    assert trace.questions
    assert asked.same(trace)
    asked.cluster.start()
    assert not asked.same(trace)
