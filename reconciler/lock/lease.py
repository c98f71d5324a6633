"""A Lease of the host cluster that keeps runs apart, and the fence that stops one that lost it.

The rules are those of client-go's leader election. Nobody trusts another machine's clock: a Lease
is taken over only when its record was seen unchanged for its whole duration by the watcher's own
clock, and a holder stops writing when its last renewal is older than half of it, by its own. Both
count the time for which a process is paused or a machine sleeps.

What no client can close: a request that has left before the fence fell may still be carried out by
a server that is slow. The half of the duration that lies between the fence and the takeover is
longer than a request may take (``Transport``: 5 s to connect, 30 s to answer), with the default.
"""

from __future__ import annotations

import getpass
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from math import inf
from typing import NoReturn

from msgspec import Struct

from reconciler.api.errors import (
    ClusterError,
    Conflict,
    Forbidden,
    Invalid,
    LeaseLost,
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


def awake_and_asleep() -> float:
    """Seconds that also pass while this process is stopped or the machine is suspended.

    ``time.monotonic`` stands still while a laptop sleeps, and would let its run go on afterwards.
    """
    # macOS has no CLOCK_BOOTTIME; its CLOCK_MONOTONIC counts sleep.
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def holder_name() -> str:
    """Who holds a lock, for people: ``user@machine`` (in a pod: its name), this process, a nonce.

    The nonce makes it this run's alone: processes in two containers may share name and number.
    """
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

    @property
    def description(self) -> str:
        """``max@laptop_12_ab since 2025-11-24 10:00:01 UTC``; nobody may hold it, too."""
        if not self.holder:
            return "nobody"
        since = self.acquired[:19].replace("T", " ")
        return self.holder + (f" since {since} UTC" if since else "")


class Lease:
    """The Lease ``federation-<name>``: ``acquire``, ``check`` before each write, ``release``.

    ``host`` must have no fence of its own. ``duration`` is in seconds: others wait so long before
    they take over from a holder that is silent; it renews eight times within it. ``notify`` is
    called with a sentence for people when there is something to wait for, and ``seconds_left`` are
    those for which this run may wait at all.

    Processes with the same ``holder`` hold it together: each renews it and has a fence of its own.
    """

    def __init__(
        self,
        host: Member,
        federation: str,
        namespace: str,
        *,
        holder: str = "",
        duration: float = LEASE_SECONDS,
        clock: Callable[[], float] = awake_and_asleep,
        now: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
        notify: Callable[[str], None] = lambda _: None,
        seconds_left: Callable[[], float] = lambda: inf,
    ) -> None:
        self.holder = holder or holder_name()
        self.key = ObjectKey("coordination.k8s.io", "Lease", namespace, f"federation-{federation}")
        self.duration = max(duration, SHORTEST_SECONDS)
        self.renew_every = self.duration / 8
        self.fence_after = self.duration / 2
        self._host = host
        self._federation = federation
        self._clock, self._now, self._pause, self._notify = clock, now, pause, notify
        self._seconds_left = seconds_left
        self._lock = threading.Lock()
        self.epoch = 0
        """How often it changed hands until it was acquired: the same for those that share it."""
        self._lost = "it was not acquired"
        self._renewed_at = 0.0
        self._asked_for = False
        self._current: Object = {}
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def where(self) -> str:
        return f"Lease {self.key.namespace}/{self.key.name}"

    # -- getting it ------------------------------------------------------------------------

    def acquire(self, wait: float = 0.0) -> bool:
        """Hold it from now on, and renew it in a thread; True when somebody else had it first.

        A holder that is seen alive is waited for ``wait`` seconds; one that is silent is watched
        until its Lease has expired, however long ``wait`` is, if there is the time.

        Raises LeaseLost with who holds it and since when; ReconcileError when the host cluster
        refuses or does not answer.
        """
        try:
            waited = self._take(wait)
        except Forbidden as error:
            raise self._trouble(error, "grant get, create and update of leases there") from error
        except NotFound as error:
            advice = f"kubectl create namespace {self.key.namespace}, in the host cluster"
            raise self._trouble(error, advice) from error
        except ClusterError as error:
            raise self._trouble(error, error.hint) from error
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()
        return waited

    def _trouble(self, error: ClusterError, hint: str) -> ReconcileError:
        text = f"{self.where} cannot be had"
        return ReconcileError(f"{text}: {error}", hint=hint, subject=text)

    def _take(self, wait: float) -> bool:
        began = self._clock()
        seen: LeaseRecord | None = None
        seen_at = 0.0
        alive = False
        while True:
            asked_at = self._clock()
            found = self._host.get(LEASES, self.key)
            if found is None:
                if self._write({}):
                    return seen is not None
                continue
            record = LeaseRecord.of(found)
            if record.holder in ("", self.holder) or (
                record == seen and asked_at - seen_at >= record.duration
            ):
                if self._write(found):
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

    def _write(self, found: Object) -> bool:
        """Make ``found`` (empty: a new one) ours; False when somebody was quicker."""
        before = LeaseRecord.of(found)
        sent_at = self._clock()
        time_now = _micro_time(self._now())
        already_holder = before.holder == self.holder
        spec = {
            "holderIdentity": self.holder,
            "leaseDurationSeconds": max(1, round(self.duration)),
            "acquireTime": before.acquired if already_holder and before.acquired else time_now,
            "renewTime": time_now,
            "leaseTransitions": before.transitions + (0 if already_holder or not found else 1),
        }
        self._asked_for = True
        try:
            written = self._put(found, spec)
        except Conflict:
            return False
        self.epoch = LeaseRecord.of(written).transitions
        with self._lock:
            self._current, self._renewed_at, self._lost = written, sent_at, ""
        return True

    def _put(self, found: Object, spec: Object) -> Object:
        metadata = dict(found.get("metadata") or {})
        metadata.pop("managedFields", None)
        metadata |= {"name": self.key.name, "namespace": self.key.namespace}
        metadata["labels"] = {
            **(metadata.get("labels") or {}),
            "app.kubernetes.io/managed-by": "federation-reconciler",
            "federation.reconciler.dev/federation": self._federation,
        }
        body = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": metadata,
            "spec": spec,
        }
        if found:
            return self._host.replace(LEASES, self.key, body)
        return self._host.create(LEASES, body, namespace=self.key.namespace)

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
            except ClusterError:
                # Tried again until the fence falls.
                continue

    def _renew(self) -> None:
        for _ in range(3):
            sent_at = self._clock()
            spec = {**self._current["spec"], "renewTime": _micro_time(self._now())}
            try:
                written = self._put(self._current, spec)
            except NotFound:
                self._lose(f"{self.where} was deleted")
            except (Conflict, Invalid):
                # Somebody may only have touched its labels, or an answer to us was lost. To some
                # servers the update of a Lease that is gone is an invalid creation.
                found = self._host.get(LEASES, self.key)
                if found is None:
                    self._lose(f"{self.where} was deleted")
                record = LeaseRecord.of(found)
                if record.holder != self.holder:
                    self._lose(f"another run took the lock over: {record.description}")
                if record.transitions != self.epoch:
                    self._lose(f"another run held the lock meanwhile ({self.where})")
                self._current = found
            else:
                with self._lock:
                    self._current, self._renewed_at = written, sent_at
                return

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
        self.step_back()
        if not self._asked_for:
            # Nothing to give back; what is held by this name is held by others that share it.
            return ""
        try:
            found = self._host.get(LEASES, self.key)
            if found is None or LeaseRecord.of(found).holder != self.holder:
                return ""
            spec = {k: v for k, v in found["spec"].items() if k != "holderIdentity"}
            self._put(found, {**spec, "renewTime": _micro_time(self._now())})
        except Conflict:
            return ""
        except ClusterError as error:
            return f"{self.where} could not be released, and expires by itself: {error}"
        return ""


def _micro_time(seconds: float) -> str:
    """Kubernetes' MicroTime, the form in which Leases have their times."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
