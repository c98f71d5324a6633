"""What earlier runs remember, found without the repository, because that could not be read.

So people are notified that their repository is broken, too: whom to notify is remembered, and where
their address is, but never an address.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.api.errors import ClusterError, Position, ReconcileError
from reconciler.api.options import RunOptions
from reconciler.cluster.client import Member
from reconciler.cluster.connect import Connector
from reconciler.cluster.kubeconfig import own_namespace
from reconciler.federation.model import (
    DEFAULT_FEDERATION_NAMESPACE,
    Access,
    Cluster,
    SecretReference,
)
from reconciler.git.location import locate
from reconciler.git.owner import claimant_of
from reconciler.state.memory import FleetMemory
from reconciler.state.run_memory import AUTO_STATE, default_file, digest_of, in_host_cluster
from reconciler.state.stores import CONFIG_MAPS, SOURCE, ConfigMapStore, FileStore, MemoryStore

_FEDERATION = "federation.reconciler.dev/federation"


class LastKnown(Struct, frozen=True):
    """``federation`` is "" where nothing was found; ``store`` None: nothing can be remembered."""

    federation: str = ""
    namespace: str = DEFAULT_FEDERATION_NAMESPACE
    memory: FleetMemory = field(default_factory=FleetMemory)
    store: MemoryStore | None = None


def last_known(options: RunOptions, connector: Connector) -> LastKnown:
    """The one memory of this repository; nothing where there are several, or none.

    Never raises ReconcileError.
    """
    try:
        found = list(_memories(options, connector))
    except ReconcileError:
        return LastKnown()
    return found[0] if len(found) == 1 else LastKnown()


def _memories(options: RunOptions, connector: Connector) -> Iterator[LastKnown]:
    if options.seat:
        yield from _own_copies(options, connector)
    elif in_host_cluster(options):
        yield from _config_maps(options, connector)
    elif options.state not in AUTO_STATE:
        store = FileStore(Path(options.state))
        memory = store.read().memory
        yield LastKnown(memory.notified.federation, memory=memory, store=store)
    else:
        pattern = default_file(options, "*")
        for path in sorted(pattern.parent.glob(pattern.name)):
            store = FileStore(path)
            # The file's name begins with the federation's.
            yield LastKnown(path.stem.rpartition("-")[0], memory=store.read().memory, store=store)


def _config_maps(options: RunOptions, connector: Connector) -> Iterator[LastKnown]:
    namespace = own_namespace() or DEFAULT_FEDERATION_NAMESPACE
    host, source = connector.host(), digest_of(options)
    for found in host.list_objects(
        CONFIG_MAPS, namespace=namespace, label_selector=f"{SOURCE}={source}", metadata_only=True
    ):
        name = found["metadata"]["labels"][_FEDERATION]
        store = ConfigMapStore(host, name, namespace, source)
        yield LastKnown(name, namespace, store.read().memory, store)


def _own_copies(options: RunOptions, connector: Connector) -> Iterator[LastKnown]:
    """What is remembered by the registers of which this seat has a copy, as far as it is of this
    repository. Only the names of the other seats are known here, so they are reached by what
    ``reconcile join`` made, or contexts that are called as they are."""
    from reconciler.seats.document import DamagedCopy, copy_of, decode_document
    from reconciler.seats.register import Register, register_key
    from reconciler.state.register_store import RegisterStore, remembered_in

    namespace = own_namespace() or DEFAULT_FEDERATION_NAMESPACE
    connector = replace(connector, namespace=namespace, seat=options.seat)
    host = connector.host(options.seat)
    where = locate(options.repo, ref=None, path=options.path, cache=Path())
    addresses = [locate(one, ref=None, path="", cache=Path()).location for one in options.mirrors]
    claimant = claimant_of(where, "", addresses=(where.location, *addresses))
    for found in host.list_objects(
        CONFIG_MAPS, namespace=namespace, label_selector=_FEDERATION, metadata_only=True
    ):
        name = found["metadata"]["labels"][_FEDERATION]
        key = register_key(name, namespace)
        if found["metadata"]["name"] != key.name:
            continue
        try:
            own = decode_document(copy_of(host.get(CONFIG_MAPS, key) or {}).value)
        except DamagedCopy:
            continue
        seats = [seat.name for seat in own.configuration.seats]
        register = Register(_seats(connector, seats), namespace, name, options.seat)
        reading = register.read()
        latest = reading.document or own
        memory = remembered_in(latest, register.where).memory
        if latest.dissolved or not claimant.is_of(memory.owner, ""):
            continue
        yield LastKnown(
            name, namespace, memory, RegisterStore(register) if reading.majority else None
        )


def _seats(connector: Connector, names: Sequence[str]) -> dict[str, Member]:
    """The seats of these names to which there is access."""
    from reconciler.seats.access import seat_member

    usual = tuple(
        Cluster(
            name,
            Position("", 1, 1),
            access=Access(secret=SecretReference(name), fallback_context=name),
        )
        for name in names
    )
    connector = replace(connector, seats=usual)
    found: dict[str, Member] = {}
    for name in names:
        try:
            found[name] = seat_member(connector, name)
        except ClusterError:
            continue
    return found
