"""What earlier runs remember, found without the repository, because that could not be read.

So people are told that their repository is broken, too: whom to tell is remembered, and where
their address is, but never an address.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.cluster.connecting import Connector
from reconciler.cluster.kubeconfig import SERVICE_ACCOUNT
from reconciler.errors import ReconcileError
from reconciler.health.memory import FleetMemory
from reconciler.inventory.memory_store import CONFIG_MAPS, ConfigMapStore, FileStore, MemoryStore
from reconciler.pipeline import Options
from reconciler.recall import AUTO, default_file, in_host_cluster, source_of
from reconciler.reporting.finished_run import digest

DEFAULT_NAMESPACE = "federation-system"
_FEDERATION = "federation.reconciler.dev/federation"


@dataclass(frozen=True, slots=True)
class LastKnown:
    """``federation`` is "" where nothing was found."""

    federation: str = ""
    namespace: str = DEFAULT_NAMESPACE
    memory: FleetMemory = field(default_factory=FleetMemory)
    store: MemoryStore | None = None


def last_known(options: Options, connector: Connector) -> LastKnown:
    """The memory that belongs to this repository. Never raises ReconcileError."""
    try:
        found = list(_memories(options, connector))
    except ReconcileError:
        return LastKnown()
    source = digest(source_of(options))
    ours = [one for one in found if one.memory.told.source == source]
    # One that nobody was told of does not say whose it is; if there is no other it is ours.
    unsaid = [one for one in found if not one.memory.told.source]
    if not ours and len(found) == 1:
        ours = unsaid
    return ours[0] if len(ours) == 1 else LastKnown()


def _memories(options: Options, connector: Connector) -> Iterator[LastKnown]:
    if in_host_cluster(options):
        yield from _config_maps(connector)
        return
    if options.state != AUTO:
        files = [FileStore(Path(options.state))]
    else:
        pattern = default_file(options, "*")
        files = [FileStore(path) for path in sorted(pattern.parent.glob(pattern.name))]
    for store in files:
        memory = store.read().memory
        # The names of default files begin with the federation's.
        name = store.path.stem.rpartition("-")[0] if options.state == AUTO else ""
        yield LastKnown(memory.told.federation or name, memory=memory, store=store)


def _config_maps(connector: Connector) -> Iterator[LastKnown]:
    namespace = pod_namespace() or DEFAULT_NAMESPACE
    host = connector.host()
    for found in host.list_objects(
        CONFIG_MAPS, namespace=namespace, label_selector=_FEDERATION, metadata_only=True
    ):
        name = found["metadata"]["labels"][_FEDERATION]
        store = ConfigMapStore(host, name, namespace)
        yield LastKnown(name, namespace, store.read().memory, store)


def pod_namespace() -> str:
    """The namespace that this process runs in as a pod, or ""."""
    file = SERVICE_ACCOUNT / "namespace"
    try:
        return file.read_text().strip()
    except OSError:
        return ""
