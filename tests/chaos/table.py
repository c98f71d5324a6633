"""Everything that breaks, by name: how it is brought about on one cluster, and ended again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from kubesim.faults import InjectedFault, Rules
from reconciler.api.objects import Object
from tests.chaos.hosts import Host
from tests.chaos.invariants import CANARY

LISTS = "labelSelector="
LATER_PAGES = "[?&]continue="
SEVERAL_OF_A_KIND = ("deletion of a placement",)
Injured = Iterator[None]


@dataclass(frozen=True)
class Breakage:
    """``strike`` is around the run, and tells how often it struck. ``deadline`` is the run's own,
    where it would wait for long. ``only``: the scenarios in which it can happen at all. ``core``:
    tried with real servers in every test run.
    """

    name: str
    strike: Callable[[Host], AbstractContextManager[Callable[[], int]]]
    deadline: str = ""
    only: tuple[str, ...] = ()
    core: bool = True
    failover: bool = False

    def __str__(self) -> str:
        return self.name

    def happens_in(self, scenario: str) -> bool:
        if scenario == "failover":
            # Which takes seconds, as it is about time.
            return self.failover
        return not self.only or scenario in self.only


def ruled(add: Callable[[Rules], object]) -> Callable[[Host], AbstractContextManager[object]]:
    """Faults of the way: they end with the run."""

    @contextmanager
    def strike(host: Host) -> Iterator[Callable[[], int]]:
        add(host.faults)
        try:
            yield lambda: host.faults.hits
        finally:
            host.faults.clear()

    return strike


def _between_pages(add: Callable[[Rules], InjectedFault]):
    """Lists come in pages of one object: what is ours, what is in the Namespace that goes, and the
    nodes. From then on only what befalls later pages counts."""

    @contextmanager
    def strike(host: Host) -> Iterator[Callable[[], int]]:
        host.faults.small_pages(1)
        fault = add(host.faults)
        try:
            yield lambda: fault.hits
        finally:
            host.faults.clear()

    return strike


def _while_held(number: int, harm: Callable[[Host], None], mend: Callable[[Host], None]):
    """At this write the request waits, the harm is done, and the request goes on."""

    @contextmanager
    def strike(host: Host) -> Iterator[Callable[[], int]]:
        held = host.faults.hold_write(number)
        over = threading.Event()
        thread = threading.Thread(target=_do, args=(held, over, lambda: harm(host)))
        thread.start()
        try:
            yield lambda: held.hits
        finally:
            over.set()
            thread.join(60)
            host.faults.clear()
            mend(host)

    return strike


def _do(held: InjectedFault, over: threading.Event, harm: Callable[[], None]) -> None:
    while not held.reached.wait(0.01):
        if over.is_set():
            return
    harm()
    held.released.set()


@contextmanager
def _aggregated_api_away(host: Host) -> Iterator[Callable[[], int]]:
    host.break_aggregated_api()
    try:
        yield lambda: 1
    finally:
        host.mend_aggregated_api()


def _skewed(seconds: float):
    @contextmanager
    def strike(host: Host) -> Iterator[Callable[[], int]]:
        host.skew(seconds)
        try:
            yield lambda: 1
        finally:
            host.skew(0)

    return strike


def _hooked(kind: str, message: str = "", name: str = ""):
    @contextmanager
    def strike(host: Host) -> Iterator[Callable[[], int]]:
        if message:
            host.refuse_writes(message, kind, name)
        else:
            host.slow_webhook(kind)
        try:
            yield lambda: host.faults.hits + host.webhook_calls()
        finally:
            host.no_webhooks()

    return strike


def _of_another_state(page: Object) -> Object:
    """As if a proxy led to a server that is behind: it has one object less."""
    metadata = {**page["metadata"], "resourceVersion": "1"}
    return {**page, "metadata": metadata, "items": page["items"][1:]}


ECHO = f"the value {CANARY}-1 is no good"
NEWER = f"{CANARY}-2 is no better than {CANARY}-1"

BREAKAGES = (
    Breakage("every answer is late", ruled(lambda f: f.latency(0.03)), failover=True),
    Breakage("a list is very late", ruled(lambda f: f.latency(0.6, path=LISTS, count=2))),
    Breakage(
        "resets before writes", ruled(lambda f: f.reset(writes_only=True, count=2)), core=False
    ),
    Breakage(
        "resets after writes",
        ruled(lambda f: f.reset(when="after", writes_only=True, count=2)),
        failover=True,
    ),
    Breakage(
        "every write is reset after it is done",
        ruled(lambda f: f.reset(when="after", writes_only=True)),
    ),
    Breakage("every list is reset", ruled(lambda f: f.reset(path=LISTS)), failover=True),
    Breakage("one list is cut short", ruled(lambda f: f.truncate(path=LISTS, count=1)), core=False),
    Breakage(
        "every list of settings is cut short",
        ruled(lambda f: f.truncate(path=f"configmaps.*{LISTS}")),
    ),
    Breakage(
        "discovery is cut short",
        ruled(lambda f: f.truncate(path="^/apis?[?]")),
        only=("first apply", "deletion of a placement"),
    ),
    Breakage(
        "answers to writes are cut short",
        ruled(lambda f: f.truncate(writes_only=True)),
        failover=True,
    ),
    Breakage("nothing is answered", ruled(lambda f: f.hang()), deadline="1s", failover=True),
    Breakage(
        "lists are not answered", ruled(lambda f: f.hang(path=LISTS)), deadline="1s", failover=True
    ),
    Breakage(
        "the third write is not answered",
        ruled(lambda f: f.hang(writes_only=True, skip=2)),
        deadline="4s",
    ),
    Breakage("429 with Retry-After", ruled(lambda f: f.throttle(1, count=1)), failover=True),
    Breakage("429 for longer than the run", ruled(lambda f: f.throttle(60)), deadline="1s"),
    Breakage("a burst of 500", ruled(lambda f: f.error(500, count=3)), core=False),
    Breakage(
        "a burst of 503",
        ruled(lambda f: f.error(503, retry_after=1, count=1, skip=2)),
        failover=True,
    ),
    Breakage(
        "500 for every list of settings",
        ruled(lambda f: f.error(500, path=f"configmaps.*{LISTS}")),
        deadline="2s",
    ),
    Breakage(
        "503 for all writes",
        ruled(lambda f: f.error(503, writes_only=True)),
        deadline="3s",
        failover=True,
    ),
    Breakage(
        "409 for one write",
        ruled(lambda f: f.error(409, writes_only=True, skip=1, count=1)),
        failover=True,
    ),
    Breakage(
        "409 for the inventory",
        ruled(
            lambda f: f.error(
                409, path="^/api/v1/namespaces/federation-system/secrets.*fieldManager"
            )
        ),
    ),
    Breakage(
        "410 between the pages of lists",
        _between_pages(lambda f: f.expire_lists()),
        only=SEVERAL_OF_A_KIND,
    ),
    Breakage(
        "410 in the middle of one list",
        _between_pages(lambda f: f.expire_lists(count=1)),
        only=SEVERAL_OF_A_KIND,
        core=False,
    ),
    Breakage(
        "500 for one later page",
        _between_pages(lambda f: f.error(500, path=LATER_PAGES, count=1)),
        only=SEVERAL_OF_A_KIND,
        core=False,
    ),
    Breakage(
        "500 for every later page",
        _between_pages(lambda f: f.error(500, path=LATER_PAGES)),
        deadline="2s",
        only=SEVERAL_OF_A_KIND,
        core=False,
    ),
    Breakage(
        "every later page is cut short",
        _between_pages(lambda f: f.truncate(path=LATER_PAGES)),
        only=SEVERAL_OF_A_KIND,
        core=False,
    ),
    Breakage(
        "the server goes away between pages",
        _between_pages(lambda f: f.reset(path=LATER_PAGES)),
        only=SEVERAL_OF_A_KIND,
    ),
    Breakage(
        "the next page is of another state",
        _between_pages(lambda f: f.distort(_of_another_state, path=LATER_PAGES)),
        only=SEVERAL_OF_A_KIND,
        core=False,
    ),
    Breakage("401 for all", ruled(lambda f: f.unauthorized()), failover=True),
    Breakage("401 in the middle", ruled(lambda f: f.unauthorized(writes_only=True)), core=False),
    Breakage("403 for a list", ruled(lambda f: f.forbid(path=f"configmaps.*{LISTS}"))),
    Breakage(
        "404 for a list", ruled(lambda f: f.error(404, path=f"configmaps.*{LISTS}")), core=False
    ),
    Breakage(
        "a webhook that denies a Secret, and quotes it",
        _hooked("secrets", ECHO, "key"),
        only=("first apply",),
    ),
    Breakage(
        "a webhook that denies a Secret, and quotes what it was",
        _hooked("secrets", NEWER, "key"),
        only=("rotation of secrets",),
    ),
    Breakage(
        "a webhook that denies",
        _hooked("deployments", "not on my watch"),
        only=("first apply", "change and prune"),
    ),
    Breakage(
        "a webhook that is too slow",
        _hooked("deployments"),
        deadline="3s",
        only=("first apply", "change and prune"),
    ),
    Breakage(
        "the server is killed before its first write",
        _while_held(1, Host.die, Host.revive),
    ),
    Breakage(
        "the server is killed in mid-apply", _while_held(3, Host.die, Host.revive), failover=True
    ),
    Breakage(
        "the store is paused in mid-apply",
        _while_held(2, Host.freeze_store, Host.thaw_store),
        deadline="4s",
        failover=True,
    ),
    Breakage("an aggregated API is away", _aggregated_api_away, failover=True),
    Breakage("its clock is a day behind", _skewed(-86_400), failover=True),
    Breakage("its clock is a day ahead", _skewed(86_400)),
)
