"""All watches of a process that stays, and what its runs share: connections, lists, a trace."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, cast

from msgspec.structs import replace

from reconciler.api.objects import Object
from reconciler.cluster.client import KeptLists, Member
from reconciler.cluster.curl import Exchange, Streams
from reconciler.cluster.discovery import RESTMapping
from reconciler.cluster.endpoint import Endpoint
from reconciler.cluster.http import Transport
from reconciler.watch.lists import (
    SILENCE_SECONDS,
    Counts,
    ListName,
    State,
    WatchedList,
    key_in,
)
from reconciler.watch.trace import ListReading, RunTrace, TracedExchange

T = TypeVar("T")

RESYNC_SECONDS = 600.0
CONCURRENT_LISTS = 4
"""Of those in the background."""
TICK_SECONDS = 1.0
LITTLE_SECONDS = 5.0
"""For so long changes are gathered that no run decides by: it shows them, and its report."""


class Watcher:
    """``changed`` is called, by any thread and many times, with what changed, for people;
    ``note`` once for each kind that may not be watched. Seconds: ``resync`` until a list is listed
    again in any case, ``silence`` after which a watch that says nothing is not believed, ``little``
    until ``changed`` is called for what no run decides by."""

    def __init__(
        self,
        changed: Callable[[str], None],
        note: Callable[[str], None] = lambda _: None,
        *,
        resync: float = RESYNC_SECONDS,
        silence: float = SILENCE_SECONDS,
        little: float = LITTLE_SECONDS,
    ) -> None:
        self.changed = changed
        self.resync = resync
        self.silence = silence
        self._little = little
        self._gathering: object | None = None
        self.counts = Counts()
        self.streams = Streams()
        self._note = note
        self._members: dict[str, MemberWatches] = {}
        self._refused: set[tuple[str, ListName]] = set()
        self._lock = threading.Lock()
        self._trace: RunTrace | None = None
        self._pool = ThreadPoolExecutor(CONCURRENT_LISTS, thread_name_prefix="relist")
        self._closed = False
        self._epoch: int | None = None
        self._source = ""
        self._repository: tuple[str, float, object] = ("", 0.0, None)
        self.probed: tuple[object, float] = (None, 0.0)
        """How the clusters said to be just now, and until when (``time.monotonic``) that holds."""
        self.rendered: tuple[object, object, object] = (None, None, None)
        """A state of Git, and what was made of it last: see ``run.pipeline``."""
        self.streams.soon(self._tick, TICK_SECONDS)

    # -- for a run -------------------------------------------------------------------------

    def begin(self, source: str = "") -> RunTrace:
        """A run begins; what it asks is traced. ``source`` is the mark of the repository."""
        self._watch_again()
        # What was gathered is looked at by this run.
        self._gathering = None
        self._trace = trace = RunTrace()
        self._source = source
        for member in self.members():
            member.began = False
            member.exchange.trace = trace
            for one in member.lists():
                one.used = False
        return trace

    def _watch_again(self) -> None:
        """Begin anew where a defect has ended the thread of the watches."""
        if self.streams.broken is None:
            return
        # Its words may quote anything.
        defect = type(self.streams.broken).__name__
        self._note(f"Watching was ended by a defect, {defect}; it begins anew with this run.")
        self.forget()
        self.streams.close()
        self.streams = Streams()
        self.streams.soon(self._tick, TICK_SECONDS)

    def end(self) -> None:
        """It has ended: what it did not need is watched no longer."""
        self._trace = None
        with self._lock:
            members = dict(self._members)
            self._members = {name: one for name, one in members.items() if one.began}
        for name, member in members.items():
            member.exchange.trace = None
            if name not in self._members:
                member.close()
            else:
                member.close_unused()

    def of_member(self, name: str, endpoint: Endpoint) -> MemberWatches:
        """What is known of a member, if it is still the same server and credential."""
        with self._lock:
            found = self._members.get(name)
            if found is None or not found.is_same(endpoint):
                if found is not None:
                    found.close()
                found = self._members[name] = MemberWatches(self, name, endpoint)
        found.began = True
        found.exchange.trace = self._trace
        return found

    @property
    def asked(self) -> int:
        """How much the run at work has asked of members so far."""
        trace = self._trace
        return len(trace.questions) + len(trace.readings) if trace else 0

    def repository(self) -> object | None:
        """As an earlier run read it, where it is surely still the same."""
        mark, until, found = self._repository
        fresh = bool(mark) and mark == self._source and time.monotonic() < until
        return found if fresh else None

    def forget_repository(self) -> None:
        """It may have moved since this run began."""
        self._source = ""

    def keep_repository(self, repository: object, source: str) -> None:
        """What was just read; ``source`` is its mark by now. It is read again after a while in any
        case, as signatures expire, and programs that build manifests change."""
        mark = source if source == self._source else ""
        self._repository = (mark, time.monotonic() + self.resync, repository)

    def note_reading(self, reading: ListReading) -> None:
        """A run read a list."""
        if self._trace is not None:
            self._trace.readings.append(reading)

    def note_other(self, same: Callable[[], bool]) -> None:
        """A run asked somebody who is no API server; ``same`` asks again, and tells whether the
        run would make the same of it."""
        if self._trace is not None:
            self._trace.others.append(same)

    def locked(self, epoch: int | None, *, waited: bool) -> None:
        """The run at work holds the lock. Where another run had it since the last one of this
        process, everything is listed anew under it: what others wrote may still be on its way.

        ``epoch`` counts how often the lock changed hands, None where nobody does; ``waited``: this
        run has seen another one at work.
        """
        before, self._epoch = self._epoch, epoch
        if waited or (before is not None and epoch not in (None, before, before + 1)):
            self.forget()

    def forget(self) -> None:
        """All that is known: others may have been here."""
        with self._lock:
            members, self._members = self._members, {}
        for member in members.values():
            member.close()

    def close(self) -> None:
        """End all watches."""
        self._closed = True
        self.forget()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.streams.close()

    # -- for the lists ---------------------------------------------------------------------

    def refused(self, cluster: str, name: ListName, *, by_right: bool) -> None:
        """A kind may not be watched: it is listed in each run, as without watches. ``by_right``: it
        is the account that may not."""
        if (cluster, name) not in self._refused:
            self._refused.add((cluster, name))
            what = f"{name.resource.plural} ({name.resource.api_version})"
            who = "this account may not watch" if by_right else "its server lets nobody watch"
            hint = " Grant it the verb watch beside list." if by_right else ""
            self._note(f"{cluster}: {who} {what}; they are listed in each round instead.{hint}")

    def changed_a_little(self, what: str) -> None:
        """In an object only what no run decides by: such changes are gathered."""
        with self._lock:
            if self._gathering is not None:
                return
            self._gathering = mine = object()

        def tell() -> None:
            if self._gathering is mine:
                self._gathering = None
                self.changed(what)

        self.streams.soon(tell, self._little)

    def lost(self, cluster: str) -> None:
        """A member could not be watched for a moment."""
        self.changed(f"{cluster}: out of touch")

    def in_background(self, task: Callable[[], None]) -> None:
        """Do something that takes a while."""
        if not self._closed:
            self._pool.submit(task)

    def _tick(self) -> None:
        """Lists whose time has come are listed again."""
        now = time.monotonic()
        for member in self.members():
            for one in member.lists():
                if one.state is State.LIVE and one.due <= now:
                    one.list_in_background("resync")
        if not self._closed:
            self.streams.soon(self._tick, TICK_SECONDS)

    def members(self) -> tuple[MemberWatches, ...]:
        """All members of which something is kept."""
        with self._lock:
            return tuple(self._members.values())

    # -- for metrics -----------------------------------------------------------------------

    def states(self) -> Mapping[State, int]:
        """How many lists are in which state."""
        found = dict.fromkeys(State, 0)
        for member in self.members():
            for one in member.lists():
                found[one.state] += 1
        return found

    def render(self) -> bytes:
        """In Prometheus' text format; see ``endpoints.Metrics``."""
        now = time.monotonic()
        heard = [o.heard_at for m in self.members() for o in m.lists() if o.state is State.LIVE]
        prefix = "federation_reconciler_watch"
        lines = [
            f"# HELP {prefix}es Lists of members that are kept up by watches, by their state.",
            f"# TYPE {prefix}es gauge",
            *(f'{prefix}es{{state="{name}"}} {n}' for name, n in self.states().items()),
            f"# HELP {prefix}_events_total Events that watches told of.",
            f"# TYPE {prefix}_events_total counter",
            f"{prefix}_events_total {self.counts.events}",
            f"# HELP {prefix}_relists_total Lists that were listed anew between runs, and why.",
            f"# TYPE {prefix}_relists_total counter",
            *(
                f'{prefix}_relists_total{{reason="{why}"}} {n}'
                for why, n in sorted(self.counts.relists.items())
            ),
            f"# HELP {prefix}_missed_total Objects that watches should have told of, and did not.",
            f"# TYPE {prefix}_missed_total counter",
            f"{prefix}_missed_total {self.counts.missed}",
            f"# HELP {prefix}_silence_seconds How long ago the quietest watch said anything.",
            f"# TYPE {prefix}_silence_seconds gauge",
            f"{prefix}_silence_seconds {now - min(heard, default=now):.3f}",
        ]
        return ("\n".join(lines) + "\n").encode()


class MemberWatches(KeptLists):
    """What is kept of one member. ``began``: the run at work has to do with it."""

    def __init__(self, watcher: Watcher, name: str, endpoint: Endpoint) -> None:
        self.watcher = watcher
        self.name = name
        self.exchange = TracedExchange(name, endpoint)
        self.began = True
        self.endpoint = endpoint
        self._identity = _identity_of(endpoint)
        self._background = Exchange(name, endpoint)
        self._lists: dict[ListName, WatchedList] = {}
        self._remembered: dict[type, object] = {}
        self._lock = threading.Lock()

    def is_same(self, endpoint: Endpoint) -> bool:
        """Whether that is the same server, asked with the same credential."""
        identity = _identity_of(endpoint)
        return identity is not None and identity == self._identity

    def lists(self) -> tuple[WatchedList, ...]:
        """All that are kept."""
        with self._lock:
            return tuple(self._lists.values())

    def read(
        self, member: Member, resource: RESTMapping, namespace: str, label_selector: str
    ) -> list[Object]:
        """See ``KeptLists``."""
        # What is known of its verbs depends on who told of it.
        name = ListName(replace(resource, verbs=()), namespace, label_selector)
        with self._lock:
            one = self._lists.get(name)
            if one is None:
                one = self._lists[name] = WatchedList(self, name)
        one.used = True
        objects, revision = one.read(
            lambda: member.list_with_version(
                resource, namespace=namespace, label_selector=label_selector
            )
        )
        self.watcher.note_reading(ListReading(one, revision))
        return objects

    def wrote(self, resource: RESTMapping, path: str, answer: Object | None) -> None:
        """See ``KeptLists``."""
        key = key_in(path, resource, answer)
        group = resource.api_version.rpartition("/")[0]
        for one in self.lists():
            other = one.name.resource
            if (other.api_version.rpartition("/")[0], other.plural) == (group, resource.plural):
                one.wrote(key, answer)

    def remembered(self, kind: type[T]) -> T:
        """See ``KeptLists``."""
        with self._lock:
            found = self._remembered.setdefault(kind, kind())
        return cast("T", found)

    def background_member(self) -> Member:
        """For what no run asks for."""
        transport = Transport(self.name, self.endpoint, retries=2, exchange=self._background)
        return Member(self.name, transport)

    def close_unused(self) -> None:
        """End the watches that the last run had no use for."""
        with self._lock:
            unused = [name for name, one in self._lists.items() if not one.used]
            closing = [self._lists.pop(name) for name in unused]
        for one in closing:
            one.close()

    def close(self) -> None:
        """End all of its watches."""
        for one in self.lists():
            one.close()


def _identity_of(endpoint: Endpoint) -> tuple[object, ...] | None:
    """None: its credential cannot be read."""
    try:
        headers = tuple(sorted(endpoint.headers().items()))
    except (OSError, ValueError):
        return None
    return (
        endpoint.server,
        headers,
        endpoint.ca_pem,
        endpoint.client_certificate_pem,
        endpoint.client_key_pem,
        endpoint.server_name,
        endpoint.proxy_url,
        endpoint.verify,
    )
