"""What earlier runs remember, found without the repository, because that could not be read.

So people are told that their repository is broken, too: whom to tell is remembered, and where
their address is, but never an address.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct, field

from reconciler.api.errors import ReconcileError
from reconciler.api.options import RunOptions
from reconciler.cluster.connect import Connector
from reconciler.cluster.kubeconfig import own_namespace
from reconciler.federation.model import USUAL_NAMESPACE
from reconciler.state.memory import FleetMemory
from reconciler.state.run_memory import AUTO_STATE, default_file, digest_of, in_host_cluster
from reconciler.state.stores import CONFIG_MAPS, SOURCE, ConfigMapStore, FileStore, MemoryStore

_FEDERATION = "federation.reconciler.dev/federation"


class LastKnown(Struct, frozen=True):
    """``federation`` is "" where nothing was found."""

    federation: str = ""
    namespace: str = USUAL_NAMESPACE
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
    if in_host_cluster(options):
        yield from _config_maps(options, connector)
    elif options.state not in AUTO_STATE:
        store = FileStore(Path(options.state))
        memory = store.read().memory
        yield LastKnown(memory.told.federation, memory=memory, store=store)
    else:
        pattern = default_file(options, "*")
        for path in sorted(pattern.parent.glob(pattern.name)):
            store = FileStore(path)
            # The file's name begins with the federation's.
            yield LastKnown(path.stem.rpartition("-")[0], memory=store.read().memory, store=store)


def _config_maps(options: RunOptions, connector: Connector) -> Iterator[LastKnown]:
    namespace = own_namespace() or USUAL_NAMESPACE
    host, source = connector.host(), digest_of(options)
    for found in host.list_objects(
        CONFIG_MAPS, namespace=namespace, label_selector=f"{SOURCE}={source}", metadata_only=True
    ):
        name = found["metadata"]["labels"][_FEDERATION]
        store = ConfigMapStore(host, name, namespace, source)
        yield LastKnown(name, namespace, store.read().memory, store)
