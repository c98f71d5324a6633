"""``--sandbox``: the repository's clusters, simulated, and remembered until the next run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from reconciler.cli.settings import CommandSettings

MEMORY = "fleet-memory.json"


@contextmanager
def simulated_members(
    settings: CommandSettings, *, reset: bool = False
) -> Iterator[CommandSettings]:
    """One simulated cluster for each of the repository's; their objects outlive the process.

    Gives the settings by which they are reached. ``reset`` forgets what earlier runs left in them,
    and what is remembered of them. Raises BadInput, SourceError.
    """
    from kubesim.fleet import Sandbox, default_state
    from kubesim.server import ClusterSettings
    from reconciler.run.repository import read_repository

    state = read_repository(settings.options()).state
    place = str(Path(settings.repo).resolve()) if Path(settings.repo).exists() else settings.repo
    folder = default_state(hashlib.sha256(f"{place}\0{settings.path}".encode()).hexdigest()[:16])
    memory = folder / "memory" / MEMORY
    if reset:
        memory.unlink(missing_ok=True)
        Sandbox.reset(folder)
    surroundings = {
        cluster.name: ClusterSettings(
            provider=cluster.provider or "onprem", region=cluster.region, zone=cluster.zone
        )
        for cluster in state.clusters
    }
    names = [cluster.name for cluster in state.clusters]
    with Sandbox(names, settings=surroundings, state=folder) as sandbox:
        kubeconfig = str(sandbox.kubeconfig)
        where = settings.state or str(memory)
        yield replace(settings, kubeconfig=kubeconfig, state=where, simulated=True)


@contextmanager
def seen_by(settings: CommandSettings, *, sandbox: bool) -> Iterator[CommandSettings]:
    """The settings, or with ``sandbox`` those by which the simulated clusters are reached."""
    if not sandbox:
        yield settings
        return
    with simulated_members(settings) as members:
        yield replace(settings, kubeconfig=str(members.kubeconfig), simulated=True)
