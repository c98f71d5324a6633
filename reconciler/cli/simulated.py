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
def simulated_members(settings: CommandSettings) -> Iterator[CommandSettings]:
    """One simulated cluster for each of the repository's; their objects outlive the process.

    Gives the settings by which they are reached. --sandbox-reset forgets what earlier runs left in
    them, and what is remembered of them. Raises BadInput, SourceError.
    """
    from kubesim.fleet import Sandbox, default_state
    from kubesim.server import ClusterSettings
    from reconciler.run.repository import read_repository

    options = settings.options
    state = read_repository(replace(options, plan_only=True)).state
    place = str(Path(options.repo).resolve()) if Path(options.repo).exists() else options.repo
    folder = default_state(hashlib.sha256(f"{place}\0{options.path}".encode()).hexdigest()[:16])
    memory = folder / "memory" / MEMORY
    if options.sandbox_reset:
        memory.unlink(missing_ok=True)
        Sandbox.reset(folder)
    place_of_cluster = {
        cluster.name: ClusterSettings(
            provider=cluster.provider or "onprem", region=cluster.region, zone=cluster.zone
        )
        for cluster in state.joined
    }
    names = [cluster.name for cluster in state.joined]
    with Sandbox(names, settings=place_of_cluster, state=folder) as sandbox:
        yield settings.with_options(
            kubeconfig=str(sandbox.kubeconfig), state=options.state or str(memory)
        )


@contextmanager
def with_simulated_members(settings: CommandSettings) -> Iterator[CommandSettings]:
    """The settings, or with --sandbox those by which the simulated clusters are reached."""
    if not settings.options.sandbox:
        yield settings
        return
    with simulated_members(settings) as members:
        yield members
