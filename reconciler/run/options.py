"""What a run is asked to do, and whom it tells how far it has come."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from typing import Protocol

from msgspec import Struct

from reconciler.git.source_rules import SignatureRule
from reconciler.lock.lease import DURATION_SECONDS
from reconciler.shard.split import Shard


def usual_seconds(*, plan_only: bool) -> float:
    """How long a run, or what only reads, may take where --deadline does not say."""
    return 300.0 if plan_only else 600.0


class Progress(Protocol):
    """Told how far a run has come; phases may overlap."""

    def phase(self, name: str, total: int) -> None:
        """A phase of ``total`` steps begins; called again with more when more turn up."""

    def advance(self, name: str, n: int = 1) -> None:
        """``n`` steps are done."""


class NoProgress:
    """Nobody watches."""

    def phase(self, name: str, total: int) -> None:
        """Nothing to show."""

    def advance(self, name: str, n: int = 1) -> None:
        """Nothing to show."""


class Options(Struct, frozen=True):
    """What one run is asked to do. ``deadline`` is in seconds; None: as usual."""

    repo: str = "."
    ref: str | None = None
    path: str = "."
    clusters: tuple[str, ...] = ()
    kubeconfig: str | None = None
    plan_only: bool = True
    force_conflicts: bool = False
    max_deletions: int | None = None
    simulate_outages: tuple[str, ...] = ()
    deadline: float | None = None
    host_context: str = ""
    state: str = "auto"
    """Where the fleet's memory is: ``configmap``, a file's path, or ``auto``: see ``recall``."""
    clock: Callable[[], float] = time.time
    """Unix time in seconds."""
    sample_at: float | None = None
    """The time (Unix seconds) that tells which unchanged objects are verified all the same; without
    it, the clock's."""
    simulated: bool = False
    """Members are contexts of ``kubeconfig`` by their own names, whatever the repository says
    about access: no credential of a real cluster is ever looked up."""
    git_credentials: str = ""
    git_timeout: float = 120.0
    require_signature: SignatureRule | None = None
    trusted_keys: str = ""
    allow_rollback: bool = False
    allow_access: tuple[str, ...] = ()
    """What of a credential's ways is taken that is refused otherwise: ``cluster.connecting``."""
    take_over: bool = False
    """What another repository, or a Cluster of another name, has is to be this one's."""
    lock: str = "auto"
    """What keeps runs apart: ``lease``, ``file``, ``none``, or ``auto``: see ``locking``."""
    lock_timeout: float = 0.0
    lease_duration: float = DURATION_SECONDS
    shard: Shard | None = None
    """Which of the pods that share the run this is; None: it does all of it."""
    time_left: Callable[[], float] = lambda: inf
    """Seconds for which requests may still go on; asked before each of them."""
