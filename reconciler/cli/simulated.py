"""``--sandbox``: the repository's clusters, simulated, and remembered until the next run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.settings import Settings

if TYPE_CHECKING:
    from reconciler.sandbox import Sandbox


@contextmanager
def simulated_members(settings: Settings, *, reset: bool = False) -> Iterator[Sandbox]:
    """One simulated cluster for each of the repository's; their objects outlive the process.

    ``reset`` forgets what earlier runs left in them. Raises BadInput, SourceError.
    """
    from reconciler.pipeline import read
    from reconciler.sandbox import ClusterSettings, Sandbox, default_state

    state = read(settings.options()).state
    place = str(Path(settings.repo).resolve()) if Path(settings.repo).exists() else settings.repo
    folder = default_state(hashlib.sha256(f"{place}\0{settings.path}".encode()).hexdigest()[:16])
    if reset:
        Sandbox.reset(folder)
    surroundings = {
        cluster.name: ClusterSettings(
            provider=cluster.provider or "onprem", region=cluster.region, zone=cluster.zone
        )
        for cluster in state.clusters
    }
    names = [cluster.name for cluster in state.clusters]
    with Sandbox(names, settings=surroundings, state=folder) as sandbox:
        yield sandbox
