"""Lists that a process keeps are those that a member would give, whatever happens to the watches.

The members are simulated; ``tests/e2e/servers/test_watches.py`` does the same with real ones.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kubesim.cluster import SimulatedCluster
from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from reconciler.api.errors import NotFound
from reconciler.api.objects import Object, key_of
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.cluster.endpoint import Endpoint, bearer
from reconciler.cluster.http import Transport
from reconciler.watch.lists import State
from reconciler.watch.trace import RunTrace
from reconciler.watch.watcher import Watcher
from tests.controlplane.process import eventually

MAPS = RESTMapping("v1", "ConfigMap", "configmaps", namespaced=True)
SCALERS = RESTMapping(
    *("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"), namespaced=True
)
CLAIMS = RESTMapping("example.dev/v1", "Claim", "claims", namespaced=True)
LABEL = "part-of"
SELECTOR = f"{LABEL}=us"


class Watched:
    """One member, read by way of watches and as it is."""

    def __init__(self, cluster: SimulatedCluster, **settings: Any) -> None:
        self.cluster = cluster
        self.said: list[str] = []
        self.woken = threading.Event()
        self.watcher = Watcher(lambda _: self.woken.set(), self.said.append, **settings)
        self.endpoint = Endpoint(cluster.url, bearer(cluster.token))

    def member(self) -> Member:
        """As the connector makes it, for a run."""
        kept = self.watcher.of_member("aws", self.endpoint)
        return Member("aws", Transport("aws", self.endpoint, exchange=kept.exchange), kept=kept)

    def read(self, resource: RESTMapping = MAPS) -> list[Object]:
        """What a run reads."""
        return self.member().labelled(resource, SELECTOR)

    def fresh(self, resource: RESTMapping = MAPS) -> list[Object]:
        """What is there."""
        plain = Member("aws", Transport("aws", self.endpoint))
        return plain.list_objects(resource, label_selector=SELECTOR)

    def lists(self, resource: RESTMapping = MAPS) -> int:
        """How many LISTs the server was asked for."""
        path = resource.collection("")
        return sum(r.path == path and "watch" not in r.query for r in self.cluster.requests)

    def is_live(self) -> bool:
        return self.watcher.states()[State.LIVE] > 0

    def settle(self) -> None:
        eventually(self.is_live, "it is watched")

    def put(self, name: str, value: str, *, ours: bool = True) -> None:
        labels = {LABEL: "us" if ours else "them"}
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "default", "labels": labels},
            "data": {"value": value},
        }
        self.cluster.apply(body, force=True)


@pytest.fixture
def cluster() -> Iterator[SimulatedCluster]:
    with Sandbox(["aws"], settings=ClusterSettings(bookmark_every=0.3)) as sandbox:
        yield sandbox.cluster("aws")


@pytest.fixture
def watched(cluster: SimulatedCluster) -> Iterator[Watched]:
    found = Watched(cluster)
    yield found
    found.watcher.close()


def test_after_a_first_list_nothing_is_listed_any_more(watched: Watched) -> None:
    watched.put("a", "1")
    assert watched.read() == watched.fresh()
    watched.settle()
    before = watched.lists()
    for value in "234":
        watched.put("a", value)
        watched.put(f"b{value}", value)
        eventually(lambda: watched.read() == watched.read(), "it is read")
    eventually(lambda: len(watched.read()) == 4, "all are told of")
    assert watched.lists() == before
    assert watched.read() == watched.fresh()


def test_what_loses_our_label_is_gone(watched: Watched) -> None:
    watched.put("a", "1")
    watched.read()
    watched.settle()
    watched.put("a", "1", ours=False)
    eventually(lambda: watched.read() == [], "it is no longer ours")
    watched.put("a", "1")
    eventually(lambda: len(watched.read()) == 1, "it is ours again")


def test_a_change_wakes_and_an_own_write_is_waited_for(watched: Watched) -> None:
    watched.put("a", "1")
    watched.read()
    watched.settle()
    watched.woken.clear()
    watched.put("a", "2")
    assert watched.woken.wait(5)
    for number in range(20):
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "a", "namespace": "default", "labels": {LABEL: "us"}},
            "data": {"value": f"own-{number}"},
        }
        watched.member().apply(MAPS, key_of(body), body, force=True)
        assert watched.read()[0]["data"] == {"value": f"own-{number}"}


def test_words_of_a_status_are_gathered_and_what_decides_is_not(cluster: SimulatedCluster) -> None:
    watched = Watched(cluster, little=3600.0)
    scaled = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"}
    body = {
        "apiVersion": SCALERS.api_version,
        "kind": SCALERS.kind,
        "metadata": {"name": "shop", "namespace": "default", "labels": {LABEL: "us"}},
        "spec": {"maxReplicas": 3, "scaleTargetRef": scaled},
    }

    def say(words: str, active: str) -> None:
        condition = {"type": "ScalingActive", "status": active, "reason": "R", "message": words}
        status = {"desiredReplicas": 3, "currentReplicas": 3, "conditions": [condition]}
        names = {"namespace": "default", "subresource": "status"}
        cluster.edit(SCALERS.kind, "shop", {"status": status}, **names)

    def is_told_of(words: str) -> bool:
        return words in str(watched.read(SCALERS)[0].get("status"))

    try:
        cluster.apply(body, force=True)
        watched.read(SCALERS)
        watched.settle()
        say("first", "True")
        assert watched.woken.wait(30)
        eventually(lambda: is_told_of("first"), "it is told of")
        watched.woken.clear()
        for number in range(10):
            say(f"word {number}", "True")
        eventually(lambda: is_told_of("word 9"), "it is told of")
        assert not watched.woken.is_set()
        say("word 9", "False")
        assert watched.woken.wait(30)
    finally:
        watched.watcher.close()


def test_what_was_gathered_wakes_in_the_end_unless_a_run_has_seen_it(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    later: list[Callable[[], None]] = []
    monkeypatch.setattr(watched.watcher.streams, "soon", lambda task, _: later.append(task))
    for _ in range(3):
        watched.watcher.changed_a_little("words")
    (tell,) = later
    tell()
    assert watched.woken.is_set()
    watched.woken.clear()
    watched.watcher.changed_a_little("words")
    watched.watcher.begin()
    later.pop()()
    assert not watched.woken.is_set()
    watched.watcher.changed_a_little("words")
    later.pop()()
    assert watched.woken.is_set()
    monkeypatch.undo()


def test_a_deletion_of_our_own_is_never_read_as_not_done(watched: Watched) -> None:
    for number in range(10):
        watched.put("a", str(number))
        eventually(lambda: len(watched.read()) == 1, "it is there")
        (live,) = watched.read()
        metadata = live["metadata"]
        version = str(metadata["resourceVersion"])
        member = watched.member()
        member.delete(MAPS, key_of(live), uid=metadata["uid"], resource_version=version)
        assert watched.read() == []


def test_a_version_that_is_too_old_is_listed_again(watched: Watched) -> None:
    watched.put("a", "1")
    watched.read()
    watched.settle()
    watched.cluster.stop()
    eventually(lambda: not watched.is_live(), "it is out of touch")
    watched.put("a", "2")
    watched.cluster.server.store.compact()
    watched.cluster.start()
    eventually(lambda: watched.watcher.counts.relists.get("expired", 0) > 0, "410", timeout=60)
    watched.settle()
    assert watched.read() == watched.fresh()
    assert watched.read()[0]["data"] == {"value": "2"}


def test_a_server_that_forgets_every_version_is_not_asked_again_and_again(
    watched: Watched,
) -> None:
    watched.put("a", "1")
    watched.cluster.faults.error(410, method="GET", path="watch=1")
    watched.read()
    eventually(lambda: watched.watcher.counts.relists.get("expired", 0) > 2, "410 three times")
    threading.Event().wait(1.0)
    assert watched.lists() < 20
    watched.cluster.faults.clear()
    watched.put("a", "2")
    watched.settle()
    assert watched.read() == watched.fresh()


def test_a_watch_of_a_custom_resource_that_ends_at_once_is_not_begun_again_and_again(
    watched: Watched,
) -> None:
    watched.cluster.create(_definition({"size": {"type": "string"}}))
    eventually(lambda: _serves(watched, CLAIMS), "the kind is served")
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "999999"}}}
    watched.cluster.faults.answer(bookmark, method="GET", path="claims.*watch=1")
    watched.read(CLAIMS)
    eventually(lambda: watched.watcher.counts.relists.get("end", 0) > 2, "it ended three times")
    threading.Event().wait(1.0)
    assert watched.lists(CLAIMS) < 20


def test_a_watch_that_was_refused_for_days_is_tried_again(watched: Watched) -> None:
    watched.put("a", "1")
    refusal = watched.cluster.faults.error(500, method="GET", path="watch=1")
    watched.read()
    (one,) = [one for member in watched.watcher.members() for one in member.lists()]
    one._failures = one._cut_short = 5000
    eventually(lambda: refusal.hits > 0, "it is refused", timeout=60)
    eventually(lambda: one._failures > 5000, "it is tried again later")
    assert watched.watcher.streams.broken is None


def test_a_watch_that_breaks_goes_on_from_where_it_was(watched: Watched) -> None:
    watched.put("a", "1")
    watched.read()
    watched.settle()
    before = watched.lists()
    for value in "23":
        watched.cluster.sever()
        watched.put("a", value)
        eventually(lambda: _value_is(watched, value), "it is told of")  # noqa: B023
    assert watched.lists() - before <= 2, "a run that came in between may have listed it"


def _value_is(watched: Watched, value: str) -> bool:
    watched.settle()
    return bool(watched.read()[0]["data"] == {"value": value})


def test_a_watch_that_says_nothing_is_not_believed(cluster: SimulatedCluster) -> None:
    watched = Watched(cluster, silence=1.0)
    watched.put("a", "1")
    watched.read()
    watched.settle()
    cluster.silent = True
    watched.put("a", "2")
    eventually(lambda: watched.watcher.counts.relists.get("silence", 0) > 0, "it is listed again")
    cluster.silent = False
    eventually(lambda: _value_is(watched, "2"), "it is known")
    watched.watcher.close()


def test_bookmarks_are_a_word_too(cluster: SimulatedCluster) -> None:
    watched = Watched(cluster, silence=2.0)
    watched.read()
    watched.settle()
    threading.Event().wait(4.5)
    assert watched.watcher.counts.relists == {}
    watched.watcher.close()


def test_it_is_listed_again_in_its_time_and_nothing_was_missed(cluster: SimulatedCluster) -> None:
    watched = Watched(cluster, resync=1.0)
    watched.put("a", "1")
    watched.read()
    watched.settle()
    watched.woken.clear()
    eventually(lambda: watched.watcher.counts.relists.get("resync", 0) >= 2, "it is listed again")
    assert watched.watcher.counts.missed == 0
    assert not watched.woken.is_set(), "what is as it was wakes nobody"
    watched.watcher.close()


def test_a_defect_of_the_watches_hides_no_change_and_the_next_run_watches_again(
    watched: Watched,
) -> None:
    watched.put("a", "1")
    watched.read()
    watched.settle()

    def defect() -> None:
        raise ZeroDivisionError

    watched.watcher.streams.soon(defect)
    eventually(lambda: watched.watcher.streams.broken is not None, "it has ended")
    watched.put("a", "2")
    assert watched.read() == watched.fresh()
    watched.watcher.begin()
    assert "ZeroDivisionError" in watched.said[-1]
    assert watched.read() == watched.fresh()
    watched.settle()
    before = watched.lists()
    watched.put("a", "3")
    eventually(lambda: watched.read()[0]["data"] == {"value": "3"}, "it is told of")
    assert watched.lists() == before


def test_who_may_not_watch_lists_and_is_told_once(watched: Watched) -> None:
    watched.cluster.faults.forbid(path="/api/v1/configmaps.*watch=1")
    for value in "123":
        watched.put("a", value)
        assert watched.read() == watched.fresh()
        eventually(lambda: bool(watched.said), "it is said")
    assert len(watched.said) == 1
    assert "this account may not watch configmaps (v1)" in watched.said[0]
    assert "Grant it the verb watch" in watched.said[0]


def test_nobody_is_told_to_grant_what_a_server_has_not(watched: Watched) -> None:
    watched.cluster.faults.error(405, method="GET", path="/api/v1/configmaps.*watch=1")
    watched.read()
    eventually(lambda: bool(watched.said), "it is said")
    assert "its server lets nobody watch configmaps (v1)" in watched.said[0]
    assert "Grant" not in watched.said[0]


def test_another_credential_or_server_inherits_nothing(watched: Watched) -> None:
    watched.put("a", "1")
    watched.read()
    watched.settle()
    watched.endpoint = Endpoint(watched.cluster.url, bearer("another"))
    watched.cluster.accept("another")
    before = watched.lists()
    watched.read()
    assert watched.lists() == before + 1


def test_what_is_known_is_forgotten_where_another_run_had_the_lock(watched: Watched) -> None:
    watched.read()
    watched.settle()
    before = watched.lists()
    for epoch in (5, 6, 7):
        watched.watcher.locked(epoch, waited=False)
        watched.read()
    assert watched.lists() == before
    watched.watcher.locked(9, waited=False)
    watched.read()
    watched.watcher.locked(10, waited=True)
    watched.read()
    assert watched.lists() == before + 2


def test_a_repository_is_kept_as_long_as_its_mark_is_the_same(watched: Watched) -> None:
    watcher, repository = watched.watcher, object()

    def known(mark: str) -> bool:
        watcher.begin(mark)
        found = watcher.repository() is repository
        watcher.end()
        return found

    watcher.begin("one")
    watcher.keep_repository(repository, "one")
    watcher.end()
    assert known("one")
    assert not known("two")
    assert not known("")
    watcher.begin("one")
    watcher.forget_repository()
    assert watcher.repository() is None, "it waited for another run"
    watcher.keep_repository(repository, "two")
    watcher.end()
    assert not known("two"), "it moved while it was read"


def test_what_a_run_did_not_need_is_watched_no_longer(watched: Watched) -> None:
    watched.watcher.begin()
    watched.read()
    watched.watcher.end()
    watched.settle()
    watched.watcher.begin()
    watched.watcher.end()
    eventually(lambda: not watched.is_live(), "nobody needs it")


def test_a_run_leaves_a_trace_of_what_it_asked(watched: Watched) -> None:
    def traced() -> RunTrace:
        trace = watched.watcher.begin()
        watched.read()
        watched.member().list_objects(MAPS, namespace="default")
        watched.watcher.end()
        return trace

    watched.put("a", "1")
    traced()
    watched.settle()
    trace = traced()
    assert not trace.wrote
    assert [reading.holds for reading in trace.readings] == [True]
    (question,) = trace.questions
    exchange: Any = question.exchange
    assert exchange.ask_again(question)
    watched.put("other", "1", ours=False)
    assert not exchange.ask_again(question)
    assert trace.readings[0].holds
    watched.put("a", "2")
    eventually(lambda: not trace.readings[0].holds, "the list is another")


@pytest.mark.parametrize("seed", range(4))
def test_after_whatever_happened_it_is_what_a_list_would_give(seed: int) -> None:
    """Edits, deletions, lost labels, changed definitions, broken and silent connections, restarts
    and compactions, in any order; compared after each quiet moment."""
    chance = random.Random(seed)
    with Sandbox(["aws"], settings=ClusterSettings(bookmark_every=0.3)) as sandbox:
        watched = Watched(sandbox.cluster("aws"), silence=2.0)
        server = watched.cluster
        server.create(_definition({"size": {"type": "string"}}))
        eventually(lambda: _serves(watched, CLAIMS), "the kind is served")
        for _ in range(12):
            for _ in range(chance.randrange(1, 12)):
                _happens(watched, chance)
            if not server.running:
                server.start()
            _speaks_again(server)
            for resource in (MAPS, CLAIMS):
                eventually(
                    lambda: watched.read(resource) == watched.fresh(resource),  # noqa: B023
                    f"{resource.plural} are known",
                )
                watched.settle()
        assert watched.watcher.counts.events > 0
        watched.watcher.close()


def _happens(watched: Watched, chance: random.Random) -> None:
    server, name = watched.cluster, chance.choice("abcdef")
    what = chance.randrange(14)
    if what < 5:
        watched.put(name, str(chance.random()), ours=chance.random() < 0.8)
    elif what < 8 and server.find("ConfigMap", name, "default"):
        server.delete("ConfigMap", name, namespace="default")
    elif what == 8:
        server.sever()
    elif what == 9:
        server.stop() if server.running else server.start()
    elif what == 10:
        server.server.store.compact()
    elif what == 11 and server.silent:
        _speaks_again(server)
    elif what == 11:
        server.silent = True
    elif what == 12:
        kind = {"type": chance.choice(("string", "integer"))}
        definition = _definition({"size": kind, "other": kind})
        server.apply(definition, force=True)
    else:
        server.apply(
            {
                "apiVersion": "example.dev/v1",
                "kind": "Claim",
                "metadata": {"name": name, "namespace": "default", "labels": {LABEL: "us"}},
            },
            force=True,
        )


def _speaks_again(server: SimulatedCluster) -> None:
    """What was lost of a connection is not made up for: it breaks."""
    if server.silent:
        server.silent = False
        server.sever()


def _definition(properties: Object) -> Object:
    spec = {"type": "object", "properties": properties}
    schema = {"type": "object", "properties": {"spec": spec}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "claims.example.dev"},
        "spec": {
            "group": "example.dev",
            "scope": "Namespaced",
            "names": {"kind": "Claim", "plural": "claims", "singular": "claim"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


def _serves(watched: Watched, resource: RESTMapping) -> bool:
    try:
        watched.fresh(resource)
    except NotFound:
        return False
    return True
