"""Watches of real API servers: what a process believes is what a LIST says, whatever happens."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from reconciler.api.errors import ClusterError
from reconciler.api.objects import Object
from reconciler.cluster import client
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.cluster.endpoint import Endpoint, bearer
from reconciler.cluster.http import Transport
from reconciler.watch.lists import State
from reconciler.watch.trace import RunTrace, TracedExchange, TracedRequest
from reconciler.watch.watcher import Watcher
from tests.controlplane.cluster import Cluster
from tests.controlplane.fixtures import Fleet
from tests.controlplane.process import eventually

pytestmark = pytest.mark.integration

MAPS = RESTMapping("v1", "ConfigMap", "configmaps", namespaced=True)
CLAIMS = RESTMapping("example.dev/v1", "Claim", "claims", namespaced=True)
LABEL, SELECTOR = "part-of", "part-of=us"
MOMENTS = int(os.environ.get("RECONCILER_WATCH_MOMENTS", "6"))
"""Quiet moments after which views are compared; ``make soak`` takes many."""


class Wire:
    """Passes bytes on to a server, until they are to be held back or the connections cut."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "", parts.port or 443)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self.opened = 0
        self._open: list[socket.socket] = []
        self._flows = threading.Event()
        self._flows.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Connections break."""
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()

    def hold(self) -> None:
        """Nothing comes through any more, and nobody is told."""
        self._flows.clear()

    def flow(self) -> None:
        """It does again, for new connections; the old ones are dead."""
        self.cut()
        self._flows.set()

    def close(self) -> None:
        self._flows.set()
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._upstream, timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            self.opened += 1
            self._open += [client, server]
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                self._flows.wait()
                other.sendall(data)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Watched:
    """A cluster, read by way of watches over a wire, and directly."""

    def __init__(self, cluster: Cluster, wire: Wire, silence: float) -> None:
        self.cluster, self.wire = cluster, wire
        self.watcher = Watcher(lambda _: None, silence=silence)
        ca = cluster.certificate.read_text()
        token = bearer(cluster.tokens["admin"])
        self._far = Endpoint(wire.url, token, ca_pem=ca)
        self._near = Endpoint(cluster.url, token, ca_pem=ca)

    def read(self, resource: RESTMapping) -> list[Object]:
        kept = self.watcher.of_member("aws", self._far)
        transport = Transport("aws", self._far, exchange=kept.exchange, retries=1)
        return Member("aws", transport, kept=kept).labelled(resource, SELECTOR)

    def fresh(self, resource: RESTMapping) -> list[Object]:
        return Member("aws", Transport("aws", self._near)).list_objects(
            resource, label_selector=SELECTOR
        )

    def agrees(self, resource: RESTMapping) -> bool:
        try:
            return self.read(resource) == self.fresh(resource)
        except ClusterError:
            return False

    def is_live(self, count: int = 1) -> bool:
        return self.watcher.states()[State.LIVE] >= count


@pytest.fixture
def watch(fleet: Fleet) -> Iterator[Callable[..., Watched]]:
    (cluster,) = fleet(1)
    wire = Wire(cluster.url)
    made: list[Watched] = []

    def start(silence: float = 100.0) -> Watched:
        made.append(Watched(cluster, wire, silence))
        return made[-1]

    yield start
    for one in made:
        one.watcher.close()
    wire.close()
    cluster.start()


def _put(cluster: Cluster, name: str, value: str, *, ours: bool = True) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {LABEL: "us" if ours else "them"}},
        "data": {"value": value},
    }
    path = f"/api/v1/namespaces/default/configmaps/{name}"
    cluster.apply(path, body, manager="somebody", force=True)


def _claim(cluster: Cluster, name: str) -> None:
    body = {
        "apiVersion": "example.dev/v1",
        "kind": "Claim",
        "metadata": {"name": name, "labels": {LABEL: "us"}},
        "spec": {},
    }
    path = f"/apis/example.dev/v1/namespaces/default/claims/{name}"
    cluster.apply(path, body, manager="somebody", force=True)


def _define(cluster: Cluster, *names: str) -> None:
    """Claims, whose objects have fields of these names where they say none: a change of what is
    read that no event tells."""
    fields = {name: {"type": "string", "default": "usual"} for name in names}
    spec = {"type": "object", "properties": fields}
    schema = {"type": "object", "properties": {"spec": spec}}
    version = {"name": "v1", "served": True, "storage": True}
    body = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "claims.example.dev"},
        "spec": {
            "group": "example.dev",
            "scope": "Namespaced",
            "names": {"kind": "Claim", "plural": "claims", "singular": "claim"},
            "versions": [{**version, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/claims.example.dev"
    cluster.apply(path, body, manager="somebody", force=True)


def _served(cluster: Cluster) -> bool:
    return cluster.request("GET", "/apis/example.dev/v1/claims").status == 200


def test_all_watches_of_a_member_share_one_connection(watch: Callable[..., Watched]) -> None:
    watched = watch()
    resources = [
        RESTMapping("v1", kind, plural, namespaced=True)
        for kind, plural in (
            ("ConfigMap", "configmaps"),
            ("Secret", "secrets"),
            ("Service", "services"),
            ("ServiceAccount", "serviceaccounts"),
        )
    ]
    for resource in resources:
        watched.read(resource)
    eventually(lambda: watched.is_live(len(resources)), "all are watched")
    # One for what runs ask, and one for all that is watched.
    assert watched.wire.opened <= 2


def test_a_definition_that_changes_what_is_read_is_noticed(watch: Callable[..., Watched]) -> None:
    watched = watch()
    _define(watched.cluster)
    eventually(lambda: _served(watched.cluster), "it is served")
    _claim(watched.cluster, "a")
    eventually(lambda: watched.agrees(CLAIMS), "it is known")
    eventually(watched.is_live, "it is watched")
    _define(watched.cluster, "size")
    eventually(lambda: watched.fresh(CLAIMS)[0]["spec"] == {"size": "usual"}, "it is served so")
    eventually(lambda: watched.read(CLAIMS)[0]["spec"] == {"size": "usual"}, "it is known")


def test_after_whatever_happened_it_is_what_a_list_says(watch: Callable[..., Watched]) -> None:
    """Edits, deletions, lost labels, changed definitions, restarts, compactions, broken and
    half-closed connections, at random; compared after each quiet moment."""
    seed = int(os.environ.get("RECONCILER_WATCH_SEED", "1"))
    chance, watched = random.Random(seed), watch(silence=4.0)
    cluster, happened = watched.cluster, set()
    _define(cluster)
    eventually(lambda: _served(cluster), "it is served")
    rare = [_compact, _restart, _hold, lambda one: one.wire.cut(), _change_definition]
    for moment in range(MOMENTS):
        for _ in range(chance.randrange(5, 25)):
            _write(cluster, chance)
        # Each of them, in some order, before any of them again.
        what = rare[(moment + seed) % len(rare)]
        happened.add(what)
        with suppress(ClusterError, AssertionError):
            what(watched)
        for _ in range(chance.randrange(5, 25)):
            _write(cluster, chance)
        watched.wire.flow() if what is _hold else None
        for resource in (MAPS, CLAIMS):
            eventually(lambda: watched.agrees(resource), f"{resource.plural} agree", 60)  # noqa: B023
        eventually(lambda: watched.is_live(2), "both are watched", 60)
        assert watched.agrees(MAPS)
        assert watched.agrees(CLAIMS)
    assert watched.watcher.counts.missed == 0
    assert watched.watcher.counts.events > 0
    assert len(happened) == min(MOMENTS, len(rare))


def _write(cluster: Cluster, chance: random.Random) -> None:
    name = chance.choice("abcdef")
    if chance.random() < 0.25:
        cluster.request("DELETE", f"/api/v1/namespaces/default/configmaps/{name}")
    elif chance.random() < 0.2:
        _claim(cluster, name)
    else:
        _put(cluster, name, str(chance.random()), ours=chance.random() < 0.8)


def _compact(watched: Watched) -> None:
    """The server restarts, and etcd has forgotten what came before."""
    watched.cluster.stop()
    watched.cluster.etcd.compact()
    watched.cluster.start()


def _restart(watched: Watched) -> None:
    watched.cluster.stop()
    watched.cluster.start()


def _hold(watched: Watched) -> None:
    watched.wire.hold()
    time.sleep(1)


def _change_definition(watched: Watched) -> None:
    _define(watched.cluster, f"field{time.monotonic_ns()}")


def test_a_list_that_is_not_watched_is_asked_again_to_its_last_page(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server answers an old token with the list as it was."""
    monkeypatch.setattr(client, "PAGE", 2)
    (cluster,) = fleet(1)
    ca = cluster.certificate.read_text()
    endpoint = Endpoint(cluster.url, bearer(cluster.tokens["admin"]), ca_pem=ca)
    exchange = TracedExchange("aws", endpoint)
    member = Member("aws", Transport("aws", endpoint, exchange=exchange))
    for n in range(4):
        _put(cluster, f"m{n}", "a")

    def asked() -> TracedRequest:
        trace = exchange.trace = RunTrace()
        member.list_objects(MAPS, label_selector=SELECTOR)
        exchange.trace = None
        (question,) = trace.questions
        return question

    for changed in ("m0", "m3", "m4"):
        question = asked()
        assert exchange.ask_again(question)
        _put(cluster, changed, "b")
        assert not exchange.ask_again(question)
