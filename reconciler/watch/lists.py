"""One LIST of one member, kept up by a watch: begun, gone on with, and given up for a new LIST."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol
from urllib.parse import urlencode

from msgspec import Struct, field

from reconciler.api.errors import ClusterError
from reconciler.api.objects import Object, ObjectKey, key_of
from reconciler.cluster.client import Member
from reconciler.cluster.curl import (
    Exchange,
    HttpRequest,
    Limits,
    NoAnswer,
    Stream,
    StreamEnd,
    Streams,
)
from reconciler.cluster.discovery import RESTMapping
from reconciler.watch.view import (
    EXPIRED,
    ChangedObject,
    LineSplitter,
    OutOfStep,
    View,
    decode_event,
)

LARGEST_EVENT = 16 * 1024 * 1024
"""Bytes of one event: some ten times the largest object that etcd takes."""
BOOKMARK_SECONDS = 60.0
"""How often API servers send a bookmark."""
SILENCE_SECONDS = BOOKMARK_SECONDS * 1.75
WATCH_SECONDS = (300, 600)
"""For how long a watch is asked for, at random in between, as client-go does."""
CATCH_UP_SECONDS = 2.0
"""For so long a list that is about to be up to date is waited for, rather than listed."""
LONGEST_PAUSE = 30.0
"""Between two tries of a watch that fails."""
STEADY_SECONDS = 10.0
"""A watch that ends sooner, though the server answered, is not begun again and again at once."""
GRACE_SECONDS = 0.3
"""A watch that is back within this time was never away."""

_BUILT_IN = frozenset(
    {
        *("apps", "autoscaling", "batch", "policy"),
        *("admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io"),
        *("certificates.k8s.io", "coordination.k8s.io", "discovery.k8s.io", "events.k8s.io"),
        *("flowcontrol.apiserver.k8s.io", "internal.apiserver.k8s.io", "networking.k8s.io"),
        *("node.k8s.io", "rbac.authorization.k8s.io", "resource.k8s.io", "scheduling.k8s.io"),
        *("storage.k8s.io", "storagemigration.k8s.io"),
    }
)
"""API groups whose objects change only by being written. Those of others may change with their
definition, of which no event tells: the server ends the watch."""


class State(StrEnum):
    """LISTED: what a LIST said, without a watch yet. LIVE: kept up. DOWN: out of touch; LISTING: a
    new LIST is under way. REFUSED: the account has no right to watch it."""

    LISTED = "listed"
    LIVE = "live"
    DOWN = "down"
    LISTING = "listing"
    REFUSED = "refused"


class ListName(Struct, frozen=True):
    """Which LIST of a member."""

    resource: RESTMapping
    namespace: str
    label_selector: str

    @property
    def is_built_in(self) -> bool:
        """Whether its objects change only by being written."""
        group, slash, _ = self.resource.api_version.partition("/")
        return not slash or group in _BUILT_IN


class Counts(Struct):
    """What happened so far. ``missed``: objects that were not as the watches said when they were
    listed again in their time, which should never be."""

    events: int = 0
    relists: dict[str, int] = field(default_factory=dict)
    missed: int = 0


class Keeper(Protocol):
    """Who keeps the lists of a process. Seconds: ``resync`` after which each is listed again,
    ``silence`` after which a watch is not believed."""

    streams: Streams
    counts: Counts
    resync: float
    silence: float

    @property
    def changed(self) -> Callable[[str], None]:
        """To be told what changed, for people."""
        ...

    def changed_a_little(self, what: str) -> None:
        """The same, of what can wait."""
        ...

    def refused(self, cluster: str, name: ListName, *, by_right: bool) -> None:
        """The account may not watch a kind; not ``by_right``: nobody may."""
        ...

    def lost(self, cluster: str) -> None:
        """A member is out of touch."""
        ...

    def in_background(self, task: Callable[[], None]) -> None:
        """Do something that takes a while."""
        ...


class OwnMember(Protocol):
    """The member that a list is of."""

    name: str

    @property
    def watcher(self) -> Keeper:
        """Who keeps its lists."""
        ...

    @property
    def exchange(self) -> Exchange:
        """Its connections."""
        ...

    def background_member(self) -> Member:
        """For what no run asks for."""
        ...


class WatchedList:
    """Safe for use by several threads. ``due`` is when it is listed again at the latest, by
    ``time.monotonic``."""

    def __init__(self, member: OwnMember, name: ListName) -> None:
        self.name = name
        self.view = View()
        self.state = State.DOWN
        self.due = 0.0
        self.heard_at = time.monotonic()
        self.used = True
        self._member = member
        self._watcher = member.watcher
        self._changed = threading.Condition(threading.RLock())
        self._stream: Stream | None = None
        self._until = self._opened_at = 0.0
        self._failures = self._cut_short = 0
        self._refused_at = 0.0
        self._awaited: dict[ObjectKey, str] = {}
        self._uncertain = False
        self._closed = False

    # -- for runs --------------------------------------------------------------------------

    def read(self, list_now: Callable[[], tuple[list[Object], str]]) -> tuple[list[Object], int]:
        """The objects, and the revision that they are of: the same list while it is the same.
        ``list_now`` lists and may raise."""
        with self._changed:
            self._changed.wait_for(lambda: not self._may_come, CATCH_UP_SECONDS)
            if self._is_current:
                return self.view.objects, self.view.revision
            # What the stream said so far is older than what is listed from here on.
            self._stop()
        items, version = list_now()
        with self._changed:
            self._seed(items, version)
            return self.view.objects, self.view.revision

    def is_at(self, revision: int) -> bool:
        """Whether its objects are surely still those of that revision."""
        with self._changed:
            self._changed.wait_for(lambda: not self._may_come, CATCH_UP_SECONDS)
            return self._is_current and self.view.revision == revision

    def wrote(self, key: ObjectKey | None, answer: Object | None) -> None:
        """This process wrote an object of the resource: the list counts as current only once it
        has it. ``key`` None: nobody can tell which, or what came of it."""
        with self._changed:
            if key is None or answer is None:
                self._uncertain = True
                return
            metadata = answer.get("metadata") or {}
            if self._matches(metadata.get("labels") or {}) or self.view.get(key) is not None:
                self._awaited[key] = str(metadata.get("resourceVersion") or "")
                self._settle()

    @property
    def _is_current(self) -> bool:
        up = self.state is State.LIVE and self._watcher.streams.broken is None
        return up and not self._awaited and not self._uncertain

    @property
    def _may_come(self) -> bool:
        """Whether it is about to be current by itself."""
        if self._uncertain or self._closed:
            return False
        return self.state is State.LISTING or (self.state is State.LIVE and bool(self._awaited))

    def _matches(self, labels: dict[str, str]) -> bool:
        name, _, value = self.name.label_selector.partition("=")
        return labels.get(name) == value

    def _settle(self) -> None:
        """Forget the own writes that the view has by now."""
        for key, version in tuple(self._awaited.items()):
            live = self.view.get(key)
            seen = str(live["metadata"].get("resourceVersion")) if live else ""
            if seen == version or _is_later(self.view.version, version):
                del self._awaited[key]
        if not self._awaited:
            self._changed.notify_all()

    # -- the watch -------------------------------------------------------------------------

    def close(self) -> None:
        """No more of it."""
        with self._changed:
            self._closed = True
            self._stop()
            self._changed.notify_all()

    def _stop(self) -> None:
        if self._stream is not None:
            self._watcher.streams.end(self._stream)
            self._stream = None
        if self.state is not State.REFUSED:
            self.state = State.DOWN

    def _seed(self, items: list[Object], version: str) -> tuple[ObjectKey, ...]:
        self._stop()
        wrong = self.view.list_again(items, version)
        self._awaited.clear()
        self._uncertain = False
        self.due = time.monotonic() + self._watcher.resync * random.uniform(0.8, 1.0)  # noqa: S311
        forgiven = self._refused_at + self._watcher.resync <= time.monotonic()
        again = self.state is not State.REFUSED or forgiven
        if version and not self._closed and again:
            self.state = State.LISTED
            self._watcher.streams.soon(self._open, self._pause)
        self._changed.notify_all()
        return wrong

    def _open(self) -> None:
        """Go on from where the view is."""
        with self._changed:
            if self._closed or self._stream is not None or not self.view.version:
                return
            seconds = random.randint(*WATCH_SECONDS)  # noqa: S311  (no secret)
            query = {
                "watch": "1",
                "allowWatchBookmarks": "true",
                "labelSelector": self.name.label_selector,
                "resourceVersion": self.view.version,
                "timeoutSeconds": str(seconds),
            }
            path = self.name.resource.collection(self.name.namespace) + "?" + urlencode(query)
            limits = Limits(connect=5.0, silence=self._watcher.silence, whole=float(seconds) * 2)
            request = HttpRequest("GET", path, None, {}, limits)
            self._opened_at = time.monotonic()
            self._until = self._opened_at + seconds
            splitter = LineSplitter(LARGEST_EVENT)
            # What an earlier stream still has to say is not for this one.
            mine: list[Stream] = []
            try:
                stream = self._watcher.streams.open(
                    self._member.exchange,
                    request,
                    lambda: self._began(mine),
                    lambda piece: self._take(mine, splitter, piece),
                    lambda end: self._ended(mine, end),
                )
            except ClusterError:
                self._try_later()
                return
            mine.append(stream)
            self._stream = stream

    def _is_mine(self, mine: list[Stream]) -> bool:
        return not self._closed and self._stream is not None and self._stream is mine[0]

    def _began(self, mine: list[Stream]) -> None:
        with self._changed:
            if self._is_mine(mine):
                self.state, self._failures = State.LIVE, 0
                self.heard_at = time.monotonic()
                self._changed.notify_all()

    def _take(self, mine: list[Stream], splitter: LineSplitter, piece: bytes) -> None:
        with self._changed:
            if not self._is_mine(mine):
                raise OutOfStep("it was closed")
            self.heard_at = time.monotonic()
            changed: ChangedObject | None = None
            for line in splitter.lines(piece):
                one = self.view.take(decode_event(line))
                self._watcher.counts.events += 1
                if one and not (changed and changed.is_urgent):
                    changed = one
            if self._awaited:
                self._settle()
        if changed is not None:
            tell = self._watcher.changed if changed.is_urgent else self._watcher.changed_a_little
            tell(f"{self._member.name}: {changed.key}")

    def _ended(self, mine: list[Stream], end: StreamEnd) -> None:
        with self._changed:
            if not self._is_mine(mine):
                return
            self._stream = None
            self.state = State.DOWN
            failure = end.failure
            if end.status:
                lasted = time.monotonic() - self._opened_at
                steady = lasted >= min(STEADY_SECONDS, self._watcher.silence)
                self._cut_short = 0 if steady else self._cut_short + 1
            if end.status == 200 and failure is None and time.monotonic() >= self._until - 5:
                # It was asked for no longer than this.
                if self.name.is_built_in:
                    self.state = State.LISTED
                    self._watcher.streams.soon(self._open)
                else:
                    self._list_soon("end")
            elif end.status in (403, 405):
                # Rights may be granted later.
                self.state, self._refused_at = State.REFUSED, time.monotonic()
                by_right = end.status == 403
                self._watcher.refused(self._member.name, self.name, by_right=by_right)
            elif end.status == 404:
                self._watcher.streams.soon(self._lost, GRACE_SECONDS)
            elif end.status == EXPIRED or isinstance(failure, OutOfStep):
                expired = end.status == EXPIRED or getattr(failure, "code", 0) == EXPIRED
                self._list_soon("expired" if expired else "unreadable")
            elif end.status == 200 and _was_silent(failure):
                self._list_soon("silence")
            elif end.status == 200 and not self.name.is_built_in:
                self._list_soon("end")
            else:
                self._try_later()
                self._watcher.streams.soon(self._lost, GRACE_SECONDS)

    def _try_later(self) -> None:
        self._failures += 1
        pause = max(_pause_after(self._failures), self._pause)
        self._watcher.streams.soon(self._open, pause * random.uniform(0.8, 1.2))  # noqa: S311

    @property
    def _pause(self) -> float:
        """Seconds until the next try where the server answers, and watches end at once all the
        same: it may forget every version, or a proxy may end what lasts."""
        return _pause_after(self._cut_short) if self._cut_short > 2 else 0.0

    def _list_soon(self, reason: str) -> None:
        if not self._pause:
            self.list_in_background(reason)
            return

        def begin() -> None:
            if self.state is State.DOWN:  # A run may have listed it meanwhile.
                self.list_in_background(reason)

        self._watcher.streams.soon(begin, self._pause)
        self._watcher.streams.soon(self._lost, GRACE_SECONDS)

    def _lost(self) -> None:
        """Whoever relies on it should look for himself, unless it is back."""
        with self._changed:
            gone = not self._closed and self.state is State.DOWN
        if gone:
            self._watcher.lost(self._member.name)

    def list_in_background(self, reason: str) -> None:
        """List it anew beside all else, without a run; ``reason`` is a word for metrics."""
        with self._changed:
            if self._closed or self.state is State.LISTING:
                return
            self._stop()
            self.state = State.LISTING
            self.due = time.monotonic() + self._watcher.resync
        self._watcher.in_background(lambda: self._list(reason))

    def _list(self, reason: str) -> None:
        name = self.name
        member: Member = self._member.background_member()
        try:
            items, version = member.list_with_version(
                name.resource, namespace=name.namespace, label_selector=name.label_selector
            )
        except ClusterError:
            with self._changed:
                if self.state is State.LISTING:
                    self.state = State.DOWN
                    self._changed.notify_all()
            self._lost()
            return
        with self._changed:
            if self._closed or self.state is not State.LISTING:
                return
            self._watcher.counts.relists[reason] = self._watcher.counts.relists.get(reason, 0) + 1
            wrong = self._seed(items, version)
            if reason == "resync":
                self._watcher.counts.missed += len(wrong)
        if wrong:
            self._watcher.changed(f"{self._member.name}: {wrong[0]}")


def _pause_after(failures: int) -> float:
    # A power of a number of days has no place in a float.
    return min(0.05 * 2.0 ** min(failures, 16), LONGEST_PAUSE)


def _was_silent(failure: Exception | None) -> bool:
    return isinstance(failure, NoAnswer) and failure.cause == "timeout"


def _is_later(one: str, other: str) -> bool:
    """Whether a resourceVersion is that of another or a later one (KEP-5504); false where the two
    cannot be compared."""
    return one.isdecimal() and other.isdecimal() and int(one) >= int(other)


def key_in(path: str, resource: RESTMapping, answer: Object | None) -> ObjectKey | None:
    """The object that a write to ``path`` was about, by its answer; None where that is not told."""
    metadata = (answer or {}).get("metadata")
    if not isinstance(metadata, dict) or not metadata.get("name") or "uid" not in metadata:
        return None
    if (answer or {}).get("kind") != resource.kind or metadata.get("deletionTimestamp"):
        return None
    return key_of(answer or {}) if resource.plural in path else None
