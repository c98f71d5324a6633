"""The member and the host that join and unjoin work between, and the repository beside them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.cli.settings import Settings

if TYPE_CHECKING:
    from reconciler.cluster.connecting import Connector
    from reconciler.cluster.endpoint import Endpoint
    from reconciler.cluster.member import Member
    from reconciler.federation.model import Federation
    from reconciler.reading.source_reading import ReadSource
    from reconciler.recall import Recall
    from reconciler.source import SourceFile
    from reconciler.source.owner import Claimant


@dataclass(frozen=True)
class Ends:
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
        from reconciler.cluster.member import Member
        from reconciler.cluster.transport import Transport

        settings = dict(self.connector.settings)
        return Member(self.name, Transport(self.name, self.endpoint, **settings))

    @cached_property
    def host(self) -> Member:
        return self.connector.host()

    @property
    def host_name(self) -> str:
        """What the host's context is called; ``host`` from within it."""
        return self.connector.host_context or self.connector.kubeconfig.current_context or "host"


def open_ends(settings: Settings, name: str, context: str, host_context: str) -> Ends:
    """The ends, by the contexts of the kubeconfig. Raises ClusterUnauthorized when it is none."""
    from reconciler.cluster.connecting import Connector

    connector = Connector.from_file(
        settings.kubeconfig, "", host_context=host_context, seconds_left=settings.time_left
    )
    return Ends(connector, name, context)


def recalled(settings: Settings, ends: Ends, federation: Federation, claimant: Claimant) -> Recall:
    """What runs remember, as far as it can be found from here; nothing where it cannot be read."""
    from reconciler.recall import recollect

    connector = ends.connector
    asked = replace(settings.options(), host_context=connector.host_context)
    return recollect(asked, connector, federation, claimant)


def read_repository(
    settings: Settings,
) -> tuple[tuple[SourceFile, ...], Path | None, Claimant]:
    """The repository's files, decoded, and the folder where manifests can be written (None: it is
    not on this disk, or another commit than the one that lies there was asked for); and whose
    inventories are this repository's.

    Raises SourceError.
    """
    from reconciler.reading import read_source, request_of
    from reconciler.source.owner import claimant_of

    source = read_source(request_of(settings.options()))
    claimant = claimant_of(
        source.where, source.checkout.commit, take_over=settings.options().take_over
    )
    return (*_files_of(source, settings), claimant)


def _files_of(source: ReadSource, settings: Settings) -> tuple[tuple[SourceFile, ...], Path | None]:
    if source.where.is_remote or settings.ref is not None:
        return source.files, None
    return source.files, (Path(settings.repo).expanduser() / settings.path).resolve()
