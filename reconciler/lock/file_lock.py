"""A locked file that keeps the runs of one machine apart, where there is no host cluster to ask.

The kernel holds the lock as long as the process lives, paused or not, and lets go of it when it
dies: there is nothing to renew, nothing to expire, and nothing that a paused process could lose.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from reconciler.api.errors import LeaseLost, ReconcileError
from reconciler.lock.lease import holder_name

POLL_SECONDS = 0.2


class FileLock:
    """``acquire``, ``check``, ``release``, as of a ``Lease``. The file stays when it is free.

    It holds who has it, for those who find it locked.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
        notify: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._path = path
        self._clock, self._pause, self._notify = clock, pause, notify
        self._file: int | None = None

    def acquire(self, wait: float = 0.0) -> bool:
        """True when somebody else had it first. Raises LeaseLost after ``wait`` seconds."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            waited = self._lock(self._file, wait)
            os.ftruncate(self._file, 0)
            since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
            os.pwrite(self._file, f"{holder_name()} since {since} UTC\n".encode(), 0)
        except OSError as error:
            raise ReconcileError(
                f"the lock file {self._path} cannot be used: {error.strerror}",
                hint="name another place with --state, or go without: --lock none",
            ) from error
        return waited

    def _lock(self, file: int, wait: float) -> bool:
        give_up = self._clock() + wait
        waited = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(file, 500, 0).decode(errors="replace").strip() or "somebody"
                if self._clock() >= give_up:
                    raise LeaseLost(
                        f"another run holds the lock: {holder} ({self._path})",
                        hint="wait for it with --lock-timeout 5m",
                    ) from None
                if not waited:
                    self._notify(f"The lock is held by {holder}; waiting for it.")
                waited = True
                self._pause(POLL_SECONDS)
            else:
                return waited

    def check(self) -> None:
        """Raises LeaseLost where the lock was never had; it cannot be lost."""
        if self._file is None:
            raise LeaseLost("the lock was not acquired")

    def release(self) -> str:
        """Let go of it; there is never a reason why not."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        return ""
