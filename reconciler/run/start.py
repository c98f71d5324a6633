"""What a run begins with: the repository, read under the lock, and a connector that heeds it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.api.errors import LeaseLost, NoMajority, ReconcileError, StalePlan, UsageError
from reconciler.api.notices import Notice
from reconciler.api.objects import RedactedRepr
from reconciler.api.options import RunOptions, usual_seconds
from reconciler.cluster.connect import Connector
from reconciler.federation.model import DesiredState
from reconciler.lock.run_lock import RunLock
from reconciler.run.repository import Repository, with_kept_inventory
from reconciler.run.repository import read_current as read
from reconciler.state.run_memory import check_owner, in_host_cluster, open_store, uses_seats
from reconciler.state.stores import MemoryStore, Remembered

if TYPE_CHECKING:
    from reconciler.failover.health_votes import SeatVotes
    from reconciler.run.seat_register import RegisterOfRun
    from reconciler.shard.round import Round


class RunStart(RedactedRepr, frozen=True):
    """What a run reads before it looks at its members.

    ``published`` is what another pod decided; nothing unless several share the run, and one of
    them did. ``store`` is where it remembers, where that is open already. ``blocked`` is why
    nothing may be written; ``notices`` are what people should know of the seats.
    """

    repository: Repository
    connector: Connector
    published: bytes = b""
    store: MemoryStore | None = None
    blocked: NoMajority | None = None
    notices: tuple[Notice, ...] = ()
    seats: RegisterOfRun | None = None

    @property
    def seat_votes(self) -> SeatVotes | None:
        """How the clusters looked from each seat, where there are some."""
        return self.seats.seat_votes() if self.seats else None


def read_under_lock(lock: RunLock | None, options: RunOptions) -> RunStart:
    """The repository, read while the lock is held; a connector that heeds it."""
    if options.shard and not (lock is None or in_host_cluster(options)):
        raise UsageError(
            "--shard needs a memory that the pods share, in the host cluster",
            hint="--state configmap, or --host-context",
        )
    repository = read(options, ask_members=True)
    connector = connector_for(options, repository.state)
    seats = None
    if uses_seats(options, repository.state.federation):
        from reconciler.run.seat_register import RegisterOfRun

        seats = RegisterOfRun(repository.state, connector, options)
    if lock is None:
        store, troubles = seats.only_read() if seats else (None, ())
        return RunStart(repository, connector, store=store, notices=troubles, seats=seats)
    try:
        waited = lock.take(
            connector, repository.state.federation, seats.register if seats else None
        )
    except NoMajority as error:
        if seats is None or options.shard:
            raise
        store, troubles = seats.only_read(error)
        connector = replace(connector, fence=_raising(error), first_use="tell")
        return RunStart(repository, connector, b"", store, error, troubles, seats)
    except LeaseLost:
        if seats:
            seats.write_votes()
        raise
    if options.kept is not None:
        options.kept.locked(lock.epoch, waited=waited)
    if waited:
        # The run that had it may have applied a newer commit than the one that was read.
        repository = _again(repository, options)
    limit = lock.longest_write
    settings = (*connector.settings, *((("longest_write", limit),) if limit else ()))
    connector = replace(connector, fence=lock.check, settings=settings)
    start = RunStart(repository, connector)
    if seats:
        shared, troubles = seats.under_lock(lock)
        start = replace(start, store=shared, notices=troubles, seats=seats)
    if lock.round is None:
        return start
    if not repository.checkout.commit or repository.checkout.dirty:
        raise UsageError("--shard needs a commit, so that all pods read the same")
    from reconciler.shard.published import commit_of

    published = _decision_of(lock.round, connector)
    if published and commit_of(published) != repository.checkout.commit:
        # The branch has moved on since.
        repository = _again(repository, replace(options, ref=commit_of(published)))
    if published and repository.inventory is not None:
        # All pods share the work of one fleet, whatever the host lists meanwhile.
        shared_memory = start.store or open_store(options, connector, repository.state.federation)
        repository = with_kept_inventory(repository, options, shared_memory.read().memory)
    return replace(start, repository=repository, published=published)


def _raising(error: ReconcileError) -> Callable[[], None]:
    def fence() -> None:
        raise error

    return fence


def _again(before: Repository, options: RunOptions) -> Repository:
    if options.kept is not None:
        options.kept.forget_repository()
    if options.ahead is not None:
        options.ahead.forget()
    repository = read(options, ask_members=True)
    old, new = before.state.federation, repository.state.federation
    if (new.name, new.namespace) != (old.name, old.namespace):
        raise StalePlan(["the Federation got another name while this run waited"])
    return repository


def _decision_of(shared: Round, connector: Connector) -> bytes:
    """What another pod decided; nothing where that is up to this one."""
    if shared.shard.decides:
        # A pod that is repeated stays with what its forerunner decided.
        return shared.decision()
    return shared.await_decision(waiting_seconds(connector))


def open_memory(options: RunOptions) -> tuple[MemoryStore, Remembered, tuple[str, ...]]:
    """The fleet's memory, its content, and the names of the clusters. Raises ReconcileError."""
    repository = read(options)
    state = repository.state
    store = open_store(options, connector_for(options, state), state.federation)
    found = store.read()
    check_owner(found.memory, store, repository.claimant())
    return store, found, tuple(sorted(cluster.name for cluster in state.clusters))


class OpenedMemory(RedactedRepr, frozen=True):
    """What is remembered, where, and what Git asks for. Written to only under the lock."""

    store: MemoryStore
    found: Remembered
    state: DesiredState


def open_memory_with(options: RunOptions, lock: RunLock | None) -> OpenedMemory:
    """The same, to be only looked at; or with ``lock``, which is taken, to be changed under it.

    Raises ReconcileError, also where the seats have no majority.
    """
    start = read_under_lock(lock, options)
    if start.blocked:
        raise start.blocked
    state = start.repository.state
    store = start.store or open_store(options, start.connector, state.federation)
    found = store.read()
    check_owner(found.memory, store, start.repository.claimant())
    return OpenedMemory(store, found, state)


def connector_for(options: RunOptions, state: DesiredState) -> Connector:
    """How this run reaches the clusters, until its time is over."""
    began = time.monotonic()
    deadline = began + (options.deadline or usual_seconds(plan_only=options.plan_only))

    def seconds_left() -> float:
        return min(deadline - time.monotonic(), options.time_left())

    return Connector.from_file(
        options.kubeconfig,
        state.federation.namespace,
        host_context=options.host_context,
        seconds_left=seconds_left,
        allow=options.allow_access,
        access_providers=None if options.sandbox else options.access_providers,
        first_use="tell" if options.plan_only else "pin",
        seats=state.joined,
        seat=options.seat,
        kept=options.kept,
    )


def waiting_seconds(connector: Connector) -> float:
    """For how many seconds a pod waits for others."""
    from reconciler.shard.round import WAIT_SECONDS

    seconds_left: Callable[[], float] = dict(connector.settings)["seconds_left"]
    return min(WAIT_SECONDS, seconds_left())
