"""Which lock keeps a run apart from others, and holding it from before the plan to after the run.

``auto`` is a Lease where the fleet's memory is in the host cluster too (in a pod, or where
--host-context names one), and a locked file at a desk, where no cluster is the obvious one to ask.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from math import inf
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from msgspec.structs import replace

from reconciler.api.errors import LeaseLost, ReconcileError, UsageError
from reconciler.api.options import RunOptions
from reconciler.cluster.connect import Connector
from reconciler.cluster.kubeconfig import in_cluster
from reconciler.federation.model import Federation
from reconciler.lock.file_lock import FileLock
from reconciler.lock.lease import (
    RELEASE_SECONDS,
    KubernetesLease,
    Lease,
    LockRecords,
    longest_write,
)
from reconciler.shard.split import Shard, shard_of
from reconciler.state.run_memory import AUTO_STATE, CONFIG_MAP, host_namespace

if TYPE_CHECKING:
    from reconciler.seats.document import RegisterDocument
    from reconciler.seats.register import Register
    from reconciler.shard.round import Round

AUTO, LEASE, FILE, NONE = "auto", "lease", "file", "none"

_QUICK: tuple[tuple[str, Any], ...] = (
    ("connect_timeout", 5.0),
    ("read_timeout", 10.0),
    ("retries", 1),
)
"""A renewal is tried again by its own clock."""


class Lock(Protocol):
    """A Lease or a FileLock."""

    def acquire(self, wait: float = 0.0) -> bool: ...
    def check(self) -> None: ...
    def release(self) -> str: ...


class RunLock:
    """``with RunLock(options) as lock:`` - taken by the pipeline once it knows the federation.

    ``notify`` is called with sentences for people: whom it waits for, what could not be given back.
    ``round`` is there once it is taken, where several pods share the run; they share the lock, too.
    """

    def __init__(self, options: RunOptions, notify: Callable[[str], None] = lambda _: None) -> None:
        self._options = options
        self._notify = notify
        self.round: Round | None = None
        self._lock: Lock | None = None
        self._left = False
        self._seconds_left = options.time_left
        """For taking it the run's own, none while it is held, and some for giving it back."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def take(
        self, connector: Connector, federation: Federation, register: Register | None = None
    ) -> bool:
        """Hold it; True when another run had it first, so that what was read may be old.

        ``register`` is there where the Federation has seats. Raises LeaseLost with the holder's
        name, NoMajority, ReconcileError where there can be no lock.
        """
        options, shard = self._options, shard_of(self._options)
        self._lock = _choose(
            options,
            shard,
            connector,
            federation,
            register,
            self._notify,
            lambda: self._seconds_left(),
        )
        wait = min(options.lock_timeout, options.time_left())
        waited = self._lock.acquire(wait) if self._lock else False
        self._seconds_left = lambda: inf
        if shard and isinstance(self._lock, Lease):
            from reconciler.shard.round import Round

            host = replace(connector, fence=self.check).host()
            namespace = host_namespace(federation)
            epoch = self._lock.epoch
            self.round = Round(host, federation.name, namespace, shard, epoch, check=self.check)
        return waited

    @property
    def longest_write(self) -> float | None:
        """For how many seconds one write may last under it; None: as long as it takes."""
        return longest_write(self._lock.duration) if isinstance(self._lock, Lease) else None

    @property
    def epoch(self) -> int | None:
        """How often it changed hands until this run had it; None where nobody counts."""
        return self._lock.epoch if isinstance(self._lock, Lease) else None

    def holds(self, document: RegisterDocument) -> bool:
        """Whether it is this run's by what the seats say."""
        from reconciler.lock.register_lock import lock_record

        record = lock_record(document)
        return (
            record is not None
            and isinstance(self._lock, Lease)
            and (record.holder, record.transitions) == (self._lock.holder, self._lock.epoch)
        )

    def check(self) -> None:
        """Raises LeaseLost when this run must not write any more."""
        if self._left:
            raise LeaseLost("the run was stopped")
        if self._lock is not None:
            self._lock.check()

    def leave(self) -> None:
        """Stop writing, and let others wait until it expires: something may still be in flight."""
        self._left = True

    def release(self) -> None:
        """Give it back, if it is ours; ``check`` raises from then on."""
        if self._lock is None or self._left:
            return
        ends = time.monotonic() + RELEASE_SECONDS
        self._seconds_left = lambda: ends - time.monotonic()
        if self.round and isinstance(self._lock, Lease) and not self._is_last(self.round):
            self._lock.step_back()
        elif trouble := self._lock.release():
            self._notify(trouble)

    def _is_last(self, shared: Round) -> bool:
        """Whether no other pod needs the lock any more. One that ended early says so only now."""
        try:
            state = shared.state if shared.ended else shared.end(well=False)
        except ReconcileError:
            return False
        return state.all_ended


def _choose(
    options: RunOptions,
    shard: Shard | None,
    connector: Connector,
    federation: Federation,
    register: Register | None,
    notify: Callable[[str], None],
    seconds_left: Callable[[], float],
) -> Lock | None:
    kind: str = options.lock
    if shard:
        if kind in (FILE, NONE):
            raise UsageError(f"--shard needs a Lease that the pods share, not --lock {kind}")
        kind = LEASE
    if register is not None and kind in (FILE, NONE):
        raise UsageError(
            f"the Federation has seats, which keep the lock: --lock {kind} cannot be",
            hint="a run apart from the seats remembers apart as well: --state FILE",
        )
    if kind == AUTO:
        at_home = in_cluster() is not None or bool(options.host_context)
        shared = bool(register) or options.state == CONFIG_MAP or (at_home and not options.sandbox)
        kind = LEASE if shared else FILE
    if kind == NONE:
        return None
    if kind == FILE:
        return FileLock(_path(options, federation), notify=notify)
    records: LockRecords
    if register is None:
        settings = (*_QUICK, ("seconds_left", seconds_left))
        # What keeps the lock is no part of what a run finds.
        host = replace(connector, fence=None, settings=settings, kept=None).host()
        records = KubernetesLease(host, federation.name, host_namespace(federation))
    else:
        from reconciler.lock.register_lock import RegisterRecords

        records = RegisterRecords(register)
    return Lease(
        records,
        holder=f"round-{shard.round}" if shard else "",
        duration=options.lease_duration,
        notify=notify,
        seconds_left=seconds_left,
    )


def _path(options: RunOptions, federation: Federation) -> Path:
    """Beside the fleet's memory; one for all copies of a repository, as they share their members.

    Simulated members belong to one copy.
    """
    if options.state not in (*AUTO_STATE, CONFIG_MAP):
        return Path(f"{options.state}.run.lock")
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    name = federation.name
    if options.sandbox:
        place = f"{Path(options.repo).absolute()}\0{options.path}".encode()
        name += f"-simulated-{hashlib.sha256(place).hexdigest()[:12]}"
    return Path(base) / "federation-reconciler" / f"{name}.lock"
