"""Reading and keeping the fleet's memory around a run.

``auto`` keeps it where the run is at home: in a pod, or where --host-context names a cluster, in a
ConfigMap of the host cluster, so that every run sees the same; at a desk in a file of the user's.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.errors import MemoryChanged, ReconcileError, RunError, SourceError
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.options import RunOptions
from reconciler.cluster.connect import Connector
from reconciler.cluster.kubeconfig import in_cluster, own_namespace
from reconciler.federation.model import Federation
from reconciler.git.owner import Claimant, Owner
from reconciler.inventory.ownership import Servers, how_to_take_over
from reconciler.state.memory import FleetMemory
from reconciler.state.stores import ConfigMapStore, FileStore, MemoryStore, update

AUTO_STATE, CONFIG_MAP = ("", "auto"), "configmap"


class RunMemory(Struct, frozen=True):
    """``memory`` is what to remember, ``before`` what was read; ``store`` None: nowhere to.

    ``owner`` is recorded with whatever is remembered next. ``servers``: which API server each
    cluster is, which each of several pods remembers of its own.
    """

    memory: FleetMemory
    before: FleetMemory
    store: MemoryStore | None = None
    version: str = ""
    notices: tuple[Notice, ...] = ()
    owner: Owner | None = None
    servers: Mapping[str, str] = {}

    @property
    def known_servers(self) -> Servers:
        """Which API server each cluster was when this was read."""
        return Servers(self.before.servers, self.store.where if self.store else "")


def load_run_memory(
    options: RunOptions,
    connector: Connector,
    federation: Federation,
    claimant: Claimant,
    store: MemoryStore | None = None,
) -> RunMemory:
    """What earlier runs left; a damaged memory is an empty one, with a notice.

    A run that writes must have read it: what it may apply depends on what was applied before. So
    it raises ReconcileError when it cannot, when the repository was applied under another name
    before, or when another repository remembers there; one that only plans gets notices.
    ``store`` is where it is kept, if that is open already.
    """
    empty = FleetMemory()
    try:
        store = store or open_store(options, connector, federation)
        found = store.read()
    except ReconcileError as error:
        if not options.plan_only:
            text = "what earlier runs remember cannot be read"
            raise ReconcileError(
                f"{text}: {error}",
                hint=error.hint or "keep it elsewhere, with --state",
                subject=text,
            ) from error
        unreadable = notice(NoticeCause.MEMORY_UNREADABLE, error=error)
        return RunMemory(empty, empty, notices=(unreadable,))
    try:
        check_owner(found.memory, store, claimant)
    except SourceError as error:
        if not options.plan_only:
            raise
        refused = notice(NoticeCause.NOT_APPLICABLE, subject=error.subject, error=error)
        return RunMemory(empty, empty, notices=(refused,))
    notices = []
    if found.problem:
        notices.append(notice(NoticeCause.MEMORY_DAMAGED, error=found.problem))
    if not found.version and not (options.allow_rollback or claimant.take_over):
        notices += _renamed(options, store, federation)
    owner = claimant.recorded_over(found.memory.owner, found.memory.commit)
    return RunMemory(found.memory, found.memory, store, found.version, tuple(notices), owner)


def check_owner(memory: FleetMemory, store: MemoryStore, claimant: Claimant) -> None:
    """Raises SourceError when another repository remembers there: two would forget for each other,
    and neither's last applied commit says anything about the other's."""
    if claimant.take_over or claimant.is_of(memory.owner, memory.commit):
        return
    raise SourceError(
        f"{store.where} is the memory of another repository: {memory.owner}; "
        f"this is {claimant.owner}",
        hint=how_to_take_over(),
    )


def _renamed(options: RunOptions, store: MemoryStore, federation: Federation) -> list[Notice]:
    """A head that gives the Federation another name must not thereby shake off what is known."""
    try:
        before = store.namesakes()
    except ReconcileError:
        # Who may not list cannot be told; who may not read was stopped before.
        return []
    if not before:
        return []
    text = (
        f"this repository was applied before under another name than {federation.name!r}: "
        f"{', '.join(before)} remembers it"
    )
    hint = (
        "if the Federation was renamed on purpose, take along what it has, once: reconcile --plan "
        "--take-over, and without --plan"
    )
    if not options.plan_only:
        raise SourceError(text, hint=hint)
    return [notice(NoticeCause.NOT_APPLICABLE, subject=federation.name, error=f"{text} ({hint})")]


def open_store(options: RunOptions, connector: Connector, federation: Federation) -> MemoryStore:
    """The place where this run remembers. Raises ReconcileError when the host has no address."""
    if uses_seats(options, federation):
        from reconciler.seats.access import open_register
        from reconciler.state.register_store import RegisterStore

        opened = open_register(connector, federation, host_namespace(federation))
        return RegisterStore(opened.register)
    if in_host_cluster(options):
        namespace = host_namespace(federation)
        return ConfigMapStore(connector.host(), federation.name, namespace, digest_of(options))
    if options.state not in AUTO_STATE:
        return FileStore(Path(options.state))
    return FileStore(default_file(options, federation.name), f"*-{digest_of(options)}.json")


def host_namespace(federation: Federation) -> str:
    """Where a run keeps what is its own in the host cluster: in a pod, the pod's namespace.

    Not what the repository says, which would let a head choose what is remembered of it.
    """
    return own_namespace() or federation.namespace


def uses_seats(options: RunOptions, federation: Federation) -> bool:
    """Whether lock and memory are at the Federation's seats; simulated ones where that is asked
    for."""
    shared = options.state == CONFIG_MAP or (options.state in AUTO_STATE and not options.sandbox)
    return bool(federation.seats) and shared


def in_host_cluster(options: RunOptions) -> bool:
    """Whether the memory is a ConfigMap of the host cluster."""
    at_home = in_cluster() is not None or bool(options.host_context)
    if options.state in AUTO_STATE:
        return at_home and not options.sandbox
    return options.state == CONFIG_MAP


def default_file(options: RunOptions, federation: str) -> Path:
    """Where ``auto`` remembers at a desk: a file for each federation, repository and path."""
    name = digest_of(options)
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "federation-reconciler" / f"{federation}-{name}.json"


def digest_of(options: RunOptions) -> str:
    """Stands for repository and path in a label or a file's name."""
    return hashlib.sha256(f"{source_of(options)}\0{options.sandbox}".encode()).hexdigest()[:12]


def source_of(options: RunOptions) -> str:
    """The repository and the path in it, the same wherever a command is started."""
    repo = options.repo if "://" in options.repo else Path(options.repo).absolute()
    return f"{repo}\0{options.path}"


def remember(run_memory: RunMemory) -> tuple[list[RunError], RunMemory]:
    """Keeps what changed. Raises MemoryChanged; any other problem is reported, and the run goes
    on."""
    new = dict(run_memory.servers.items() - run_memory.memory.servers.items())
    if run_memory.store is None or (run_memory.memory == run_memory.before and not new):
        return [], run_memory
    try:
        if run_memory.memory == run_memory.before:
            # The rest is another pod's to remember.
            update(run_memory.store, lambda m: replace(m, servers={**m.servers, **new}))
            return [], run_memory
        memory = replace(run_memory.memory, owner=run_memory.owner)
        version = run_memory.store.write(memory, run_memory.version)
    except MemoryChanged:
        raise
    except ReconcileError as error:
        text = "what this run saw could not be remembered"
        return [RunError(f"{text}: {error}", about=text)], run_memory
    return [], replace(run_memory, version=version, before=run_memory.memory)


def not_remembered(errors: Sequence[RunError]) -> list[Notice]:
    """What could not be remembered, as notices."""
    return [notice(NoticeCause.NOT_REMEMBERED, subject=e.subject, error=e) for e in errors]


def remember_commit(run_memory: RunMemory, commit: str, now: float) -> list[RunError]:
    """Keeps the commit that was just applied, if it is another than before."""
    if run_memory.store is None or not commit or run_memory.memory.commit == commit:
        return []

    def change(memory: FleetMemory) -> FleetMemory:
        return replace(memory, commit=commit, applied_at=now, owner=run_memory.owner)

    try:
        update(run_memory.store, change)
    except ReconcileError as error:
        text = "the applied commit could not be remembered"
        return [RunError(f"{text}: {error}", about=text)]
    return []
