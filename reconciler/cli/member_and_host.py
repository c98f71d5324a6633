"""The member and the host that join and unjoin work between, and the repository beside them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.settings import CommandSettings

if TYPE_CHECKING:
    from reconciler.api.files import SourceFile
    from reconciler.cluster.client import Member
    from reconciler.cluster.connect import Connector
    from reconciler.cluster.endpoint import Endpoint
    from reconciler.federation.model import Federation
    from reconciler.git.owner import Claimant
    from reconciler.state.run_memory import RunMemory


@dataclass(frozen=True)
class MemberAndHost:
    """Both clusters by kubeconfig contexts. Nothing is sent before something is asked for."""

    connector: Connector
    name: str
    context: str

    @cached_property
    def endpoint(self) -> Endpoint:
        """The member's. Raises ClusterUnauthorized when the context is missing or unusable."""
        return self.connector.kubeconfig.endpoint(self.context, self.name)

    @cached_property
    def member(self) -> Member:
        from reconciler.cluster.client import Member
        from reconciler.cluster.http import Transport

        settings = dict(self.connector.settings)
        return Member(self.name, Transport(self.name, self.endpoint, **settings))

    @cached_property
    def host(self) -> Member:
        return self.connector.host()

    @property
    def host_name(self) -> str:
        """What the host's context is called; ``host`` from within it."""
        return self.connector.host_context or self.connector.kubeconfig.current_context or "host"


def open_member_and_host(settings: CommandSettings, name: str, context: str) -> MemberAndHost:
    """The ends, by the contexts of the kubeconfig. Raises ClusterUnauthorized when it is none."""
    from reconciler.cluster.connect import Connector

    options = settings.options
    connector = Connector.from_file(
        options.kubeconfig,
        "",
        host_context=options.host_context,
        seconds_left=options.time_left,
    )
    return MemberAndHost(connector, name, context)


def run_memory_of(
    settings: CommandSettings, ends: MemberAndHost, federation: Federation, claimant: Claimant
) -> RunMemory:
    """What runs remember, as far as it can be found from here; nothing where it cannot be read."""
    from reconciler.state.run_memory import load_run_memory

    return load_run_memory(settings.options, ends.connector, federation, claimant)


def read_repository_of(
    settings: CommandSettings,
) -> tuple[tuple[SourceFile, ...], Path | None, Claimant]:
    """The repository's files, decoded, and the folder where manifests can be written (None: it is
    not on this disk, or another commit than the one that lies there was asked for); and whose
    inventories are this repository's.

    Raises SourceError.
    """
    from reconciler.git.owner import claimant_of
    from reconciler.git.read import read_source

    options = settings.options
    source = read_source(options)
    claimant = claimant_of(source.where, source.checkout.commit, take_over=options.take_over)
    folder = None
    if not source.where.is_remote and options.ref is None:
        folder = (Path(options.repo).expanduser() / options.path).resolve()
    return source.files, folder, claimant
