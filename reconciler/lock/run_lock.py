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
from typing import Any, Protocol, Self

from msgspec.structs import replace

from reconciler.api.errors import LeaseLost, ReconcileError, UsageError
from reconciler.cluster.connect import Connector
from reconciler.cluster.kubeconfig import in_cluster
from reconciler.federation.model import Federation
from reconciler.lock.file_lock import FileLock
from reconciler.lock.lease import RELEASE_SECONDS, Lease
from reconciler.shard.round import Round
from reconciler.shard.split import Shard
from reconciler.state.recollect import AUTO, CONFIG_MAP, MemoryOptions, host_namespace

LEASE, FILE, NONE = "lease", "file", "none"
CHOICES = (AUTO, LEASE, FILE, NONE)

_QUICK: tuple[tuple[str, Any], ...] = (
    ("connect_timeout", 5.0),
    ("read_timeout", 10.0),
    ("retries", 1),
)
"""A renewal is tried again by its own clock."""


class AskedToLock(MemoryOptions, Protocol):
    """What of a run's options matters here. Times are in seconds."""

    @property
    def lock(self) -> str: ...
    @property
    def lock_timeout(self) -> float: ...
    @property
    def time_left(self) -> Callable[[], float]: ...
    @property
    def lease_duration(self) -> float: ...
    @property
    def shard(self) -> Shard | None: ...


class Lock(Protocol):
    """A Lease or a FileLock."""

    def acquire(self, wait: float = 0.0) -> bool: ...
    def check(self) -> None: ...
    def release(self) -> str: ...


class RunLock:
    """``with RunLock(options) as lock:`` - taken by the pipeline once it knows the federation.

    ``told`` is called with sentences for people: whom it waits for, what could not be given back.
    ``round`` is there once it is taken, where several pods share the run; they share the lock, too.
    """

    def __init__(self, asked: AskedToLock, told: Callable[[str], None] = lambda _: None) -> None:
        self._asked = asked
        self._told = told
        self.round: Round | None = None
        self._lock: Lock | None = None
        self._left = False
        self._seconds_left = asked.time_left
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

    def take(self, connector: Connector, federation: Federation) -> bool:
        """Hold it; True when another run had it first, so that what was read may be old.

        Raises LeaseLost with the holder's name, ReconcileError where there can be no lock.
        """
        asked = self._asked
        self._lock = _choose(asked, connector, federation, self._told, lambda: self._seconds_left())
        waited = (
            self._lock.acquire(min(asked.lock_timeout, asked.time_left())) if self._lock else False
        )
        self._seconds_left = lambda: inf
        if asked.shard and isinstance(self._lock, Lease):
            host = replace(connector, fence=self.check).host()
            namespace = host_namespace(federation)
            epoch = self._lock.epoch
            self.round = Round(
                host, federation.name, namespace, asked.shard, epoch, check=self.check
            )
        return waited

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
            self._told(trouble)

    def _is_last(self, shared: Round) -> bool:
        """Whether no other pod needs the lock any more. One that ended early says so only now."""
        try:
            state = shared.state if shared.ended else shared.end(well=False)
        except ReconcileError:
            return False
        return state.all_ended


def _choose(
    asked: AskedToLock,
    connector: Connector,
    federation: Federation,
    told: Callable[[str], None],
    seconds_left: Callable[[], float],
) -> Lock | None:
    kind = asked.lock
    if asked.shard:
        if kind in (FILE, NONE):
            raise UsageError(f"--shard needs a Lease that the pods share, not --lock {kind}")
        kind = LEASE
    if kind == AUTO:
        at_home = in_cluster() is not None or bool(asked.host_context)
        shared = asked.state == CONFIG_MAP or (at_home and not asked.simulated)
        kind = LEASE if shared else FILE
    if kind == NONE:
        return None
    if kind == FILE:
        return FileLock(_path(asked, federation), told=told)
    settings = (*_QUICK, ("seconds_left", seconds_left))
    host = replace(connector, fence=None, settings=settings).host()
    return Lease(
        host,
        federation.name,
        host_namespace(federation),
        holder=f"round-{asked.shard.round}" if asked.shard else "",
        duration=asked.lease_duration,
        told=told,
        seconds_left=seconds_left,
    )


def _path(asked: AskedToLock, federation: Federation) -> Path:
    """Beside the fleet's memory; one for all copies of a repository, as they share their members.

    Simulated members belong to one copy.
    """
    if asked.state not in (AUTO, CONFIG_MAP):
        return Path(f"{asked.state}.run.lock")
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    name = federation.name
    if asked.simulated:
        place = f"{Path(asked.repo).absolute()}\0{asked.path}".encode()
        name += f"-simulated-{hashlib.sha256(place).hexdigest()[:12]}"
    return Path(base) / "federation-reconciler" / f"{name}.lock"
