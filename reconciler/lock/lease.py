"""A record that keeps runs apart, in a Lease or at the seats, and the fence of one that lost it.

The rules are those of client-go's leader election. Nobody trusts another machine's clock: a Lease
is taken over only when its record was seen unchanged for its whole duration by the watcher's own
clock, and a holder stops writing when its last renewal is older than half of it, by its own. Both
count the time for which a process is paused or a machine sleeps.

What has left before the fence fell may still be carried out by a server that is slow. So no write
may last longer than the half of the duration that lies between the fence and the takeover
(``longest_write``): it ends here by then, and its server has to give it up as well. What the
server had handed to an etcd that stands still may yet be stored when that goes on, but only if
nobody has written the object since the server read it: no later holder's write is undone.
"""

from __future__ import annotations

import os
import platform
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from math import inf
from typing import NoReturn, Protocol

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.annotations import own_metadata
from reconciler.api.errors import (
    ClusterError,
    Conflict,
    Forbidden,
    Invalid,
    LeaseLost,
    NoMajority,
    NotFound,
    ReconcileError,
)
from reconciler.api.objects import Object, ObjectKey, map_of, number_of
from reconciler.api.options import LEASE_SECONDS
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping

LEASES = RESTMapping("coordination.k8s.io/v1", "Lease", "leases", namespaced=True)
SHORTEST_SECONDS = 2.0
"""Renewals and the fence need room within it."""
LONGEST_SECONDS = 3600.0
"""However long a foreign record says it lasts, it is believed for an hour."""
RELEASE_SECONDS = 6.0
"""For giving it back, of a host cluster that may hang; it expires by itself as well."""


def monotonic_with_suspend() -> float:
    """Seconds that also pass while this process is stopped or the machine is suspended.

    ``time.monotonic`` stands still while a laptop sleeps, and would let its run go on afterwards.
    """
    # macOS has no CLOCK_BOOTTIME; its CLOCK_MONOTONIC counts sleep.
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def holder_name() -> str:
    """Who holds a lock, for people: ``user@machine`` (in a pod: its name), this process, a nonce.

    The nonce makes it this run's alone: processes in two containers may share name and number.
    """
    import getpass

    machine = platform.node() or "somewhere"
    try:
        who = f"{getpass.getuser()}@{machine}"
    except (KeyError, OSError):
        # A container's user need not have a name.
        who = machine
    return f"{who}_{os.getpid()}_{uuid.uuid4().hex[:8]}"


class LeaseRecord(Struct, frozen=True):
    """What a Lease says. ``duration`` is in seconds; ``holder`` is empty when it is free.

    The times are the holder's own words (RFC 3339): compared with one another, shown, not trusted.
    """

    holder: str
    renewed: str
    acquired: str
    duration: float
    transitions: int

    @classmethod
    def of(cls, lease: Object) -> LeaseRecord:
        """Reads one that anybody may have written."""
        spec = map_of(lease.get("spec"))
        duration = number_of(spec.get("leaseDurationSeconds"))
        return cls(
            str(spec.get("holderIdentity") or ""),
            str(spec.get("renewTime") or ""),
            str(spec.get("acquireTime") or ""),
            min(float(duration), LONGEST_SECONDS) if duration > 0 else LEASE_SECONDS,
            number_of(spec.get("leaseTransitions")),
        )

    def held_by(self, holder: str, now: float, duration: float) -> LeaseRecord:
        """The record after ``holder`` took it, or renewed what it has; ``now`` is Unix time."""
        own = self.holder == holder
        return LeaseRecord(
            holder,
            _micro_time(now),
            self.acquired if own and self.acquired else _micro_time(now),
            # A Lease holds whole seconds.
            float(max(1, round(duration))),
            self.transitions + (0 if own or self == FREE_LOCK else 1),
        )

    @property
    def description(self) -> str:
        """``max@laptop_12_ab since 2025-11-24 10:00:01 UTC``; nobody may hold it, too."""
        if not self.holder:
            return "nobody"
        since = self.acquired[:19].replace("T", " ")
        return self.holder + (f" since {since} UTC" if since else "")


FREE_LOCK = LeaseRecord("", "", "", LEASE_SECONDS, 0)
"""Where there is no record yet."""


def longest_write(duration: float) -> float:
    """For how many seconds a write may last under a lock of this duration: less than lies between
    the fence, before which it is sent, and the moment at which others may take over."""
    return duration / 2 * 0.9


class LockRecords(Protocol):
    """Where the record is kept. ``where`` names the place for people."""

    @property
    def where(self) -> str: ...

    def read(self) -> LeaseRecord | None:
        """None where there is none. Raises ClusterError, NoMajority."""
        ...

    def write(self, before: LeaseRecord | None, after: LeaseRecord) -> bool:
        """Replace exactly ``before``; False when it is not there any more. Raises as ``read``."""
        ...

    def advice(self, error: ReconcileError) -> str:
        """What to do where the record cannot be had."""
        ...


class KubernetesLease:
    """The Lease ``federation-<name>`` of the host cluster, which must have no fence of its own."""

    def __init__(self, host: Member, federation: str, namespace: str) -> None:
        self.key = ObjectKey("coordination.k8s.io", "Lease", namespace, f"federation-{federation}")
        self._host = host
        self._federation = federation
        self._found: Object | None = None

    @property
    def where(self) -> str:
        return f"Lease {self.key.namespace}/{self.key.name}"

    def read(self) -> LeaseRecord | None:
        self._found = self._host.get(LEASES, self.key)
        return None if self._found is None else LeaseRecord.of(self._found)

    def write(self, before: LeaseRecord | None, after: LeaseRecord) -> bool:
        found = self._found
        if (None if found is None else LeaseRecord.of(found)) != before:
            return False
        try:
            self._found = self._put(found, after)
        except Conflict:
            return False
        except (NotFound, Invalid):
            # To some servers the update of a Lease that is gone is an invalid creation.
            if found is None:
                raise
            return False
        return True

    def advice(self, error: ReconcileError) -> str:
        if isinstance(error, Forbidden):
            return "grant get, create and update of leases there"
        if isinstance(error, NotFound):
            return f"kubectl create namespace {self.key.namespace}, in the host cluster"
        return error.hint

    def _put(self, found: Object | None, record: LeaseRecord) -> Object:
        spec = {
            "leaseDurationSeconds": int(record.duration),
            "acquireTime": record.acquired,
            "renewTime": record.renewed,
            "leaseTransitions": record.transitions,
        }
        if record.holder:
            spec["holderIdentity"] = record.holder
        body = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": own_metadata(self.key, self._federation, found),
            "spec": spec,
        }
        if found is None:
            return self._host.create(LEASES, body, namespace=self.key.namespace)
        return self._host.replace(LEASES, self.key, body)


class Lease:
    """The lock of a federation: ``acquire``, ``check`` before each write, ``release``.

    ``duration`` is in seconds: others wait so long before they take over from a holder that is
    silent; it renews eight times within it. ``notify`` is called with a sentence for people when
    there is something to wait for, and ``seconds_left`` are those for which this run may wait.

    Processes with the same ``holder`` hold it together: each renews it and has a fence of its own.
    """

    def __init__(
        self,
        records: LockRecords,
        *,
        holder: str = "",
        duration: float = LEASE_SECONDS,
        clock: Callable[[], float] = monotonic_with_suspend,
        now: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
        notify: Callable[[str], None] = lambda _: None,
        seconds_left: Callable[[], float] = lambda: inf,
    ) -> None:
        self.holder = holder or holder_name()
        self.duration = max(duration, SHORTEST_SECONDS)
        self.renew_every = self.duration / 8
        self.fence_after = self.duration / 2
        self._records = records
        self._clock, self._now, self._pause, self._notify = clock, now, pause, notify
        self._seconds_left = seconds_left
        self._lock = threading.Lock()
        self.epoch = 0
        """How often it changed hands until it was acquired: the same for those that share it."""
        self._lost = "it was not acquired"
        self._renewed_at = 0.0
        self._asked_for = False
        self._current = FREE_LOCK
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def where(self) -> str:
        return self._records.where

    # -- getting it ------------------------------------------------------------------------

    def acquire(self, wait: float = 0.0) -> bool:
        """Hold it from now on, and renew it in a thread; True when somebody else had it first.

        A holder that is seen alive is waited for ``wait`` seconds; one that is silent is watched
        until its record has expired, however long ``wait`` is, if there is the time.

        Raises LeaseLost with who holds it and since when; NoMajority; ReconcileError when the
        host cluster refuses or does not answer.
        """
        try:
            waited = self._take(wait)
        except ClusterError as error:
            advice = self._records.advice(error)
            raise ReconcileError(f"{self.where} cannot be had: {error}", hint=advice) from error
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()
        return waited

    def _take(self, wait: float) -> bool:
        began = self._clock()
        seen: LeaseRecord | None = None
        seen_at = 0.0
        alive = False
        while True:
            asked_at = self._clock()
            record = self._records.read()
            if (
                record is None
                or record.holder in ("", self.holder)
                or (record == seen and asked_at - seen_at >= record.duration)
            ):
                if self._write(record):
                    return seen is not None
                continue
            if record != seen:
                if seen is None:
                    self._notify(
                        f"The lock is held by {record.description}; "
                        "checking whether it still renews it."
                    )
                alive = alive or seen is not None
                # Only what comes after the answer counts: the holder may have renewed until then.
                seen, seen_at = record, self._clock()
            if alive and self._clock() - began >= wait:
                raise self._taken(record)
            self._pause(max(min(record.duration / 16, 2.0, self._seconds_left()), 0.0))
            if self._seconds_left() <= 0:
                raise self._taken(record) if alive else self._maybe_dead(record)

    def _maybe_dead(self, record: LeaseRecord) -> LeaseLost:
        return LeaseLost(
            f"{record.description} holds the lock ({self.where}), and may be dead; the time of "
            f"this run is over before it was silent for {record.duration:.0f} s",
            hint="--deadline gives this run longer",
        )

    def _taken(self, record: LeaseRecord) -> LeaseLost:
        return LeaseLost(
            f"another run holds the lock: {record.description} ({self.where})",
            hint="wait for it with --lock-timeout 5m, or look at what it does",
        )

    def _write(self, found: LeaseRecord | None) -> bool:
        """Make ``found`` (None: a new one) ours; False when somebody was quicker."""
        sent_at = self._clock()
        wanted = (found or FREE_LOCK).held_by(self.holder, self._now(), self.duration)
        self._asked_for = True
        if not self._records.write(found, wanted):
            return False
        self.epoch = wanted.transitions
        with self._lock:
            self._current, self._renewed_at, self._lost = wanted, sent_at, ""
        return True

    # -- keeping it ------------------------------------------------------------------------

    def check(self) -> None:
        """The fence: raises LeaseLost when this run must not write any more. Sends nothing.

        Once lost it stays lost, even where nobody else came: the run's plan is too old by then.
        """
        with self._lock:
            silence = self._clock() - self._renewed_at
            if not self._lost and silence > self.fence_after:
                self._lost = (
                    f"the lock was last renewed {silence:.0f} s ago, and may be another run's by "
                    f"now ({self.where})"
                )
            if self._lost:
                raise LeaseLost(self._lost, hint="run it again; it starts from what is true then")

    def _keep(self) -> None:
        while not self._ended.wait(self.renew_every):
            try:
                self.check()
                self._renew()
            except LeaseLost:
                return
            except (ClusterError, NoMajority):
                # Tried again until the fence falls.
                continue

    def _renew(self) -> None:
        for _ in range(3):
            sent_at = self._clock()
            wanted = self._current.held_by(self.holder, self._now(), self.duration)
            if self._records.write(self._current, wanted):
                with self._lock:
                    self._current, self._renewed_at = wanted, sent_at
                return
            # Somebody may only have touched its labels, or an answer to us was lost.
            found = self._records.read()
            if found is None:
                self._lose(f"{self.where} was deleted")
            if found.holder != self.holder:
                self._lose(f"another run took the lock over: {found.description}")
            if found.transitions != self.epoch:
                self._lose(f"another run held the lock meanwhile ({self.where})")
            self._current = found

    def _lose(self, why: str) -> NoReturn:
        with self._lock:
            self._lost = self._lost or why
        raise LeaseLost(why)

    # -- giving it back --------------------------------------------------------------------

    def step_back(self) -> None:
        """Renew it no longer and write no more, and leave it to those that share it."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(RELEASE_SECONDS)
        with self._lock:
            self._lost = self._lost or "it was released"

    def release(self) -> str:
        """Let the next run have it at once; why that was not possible, or an empty string.

        Safe to call at any time, also when ``acquire`` was interrupted half way.
        """
        was_lost = self._lost
        self.step_back()
        if not self._asked_for:
            # Nothing to give back; what is held by this name is held by others that share it.
            return ""
        try:
            # As it was written last, unless others that share it renewed it since; what was lost
            # is asked for first, as it may be another run's.
            if was_lost or not self._free(self._current):
                self._free(self._records.read())
        except (ClusterError, NoMajority) as error:
            return f"{self.where} could not be released, and expires by itself: {error}"
        return ""

    def _free(self, found: LeaseRecord | None) -> bool:
        if found is None or found.holder != self.holder:
            return False
        freed = replace(found, holder="", renewed=_micro_time(self._now()))
        return self._records.write(found, freed)


def _micro_time(seconds: float) -> str:
    """Kubernetes' MicroTime, the form in which Leases have their times."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
