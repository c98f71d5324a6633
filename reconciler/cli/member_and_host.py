"""The member and the hosts that join and unjoin work between, and the repository beside them.

There is one host, or each seat is one: ``--host-context`` is repeated then, or Git names them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.api.errors import UsageError
from reconciler.cli.console import styled
from reconciler.cli.settings import Command, CommandSettings, option

if TYPE_CHECKING:
    from reconciler.api.errors import ClusterError
    from reconciler.api.files import SourceFile
    from reconciler.cluster.client import Member
    from reconciler.cluster.connect import Connector
    from reconciler.cluster.endpoint import Endpoint
    from reconciler.federation.model import Federation
    from reconciler.git.owner import Claimant
    from reconciler.state.run_memory import RunMemory


_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


def host_contexts(heading: str) -> Callable[[Command], Command]:
    """The option of the commands that work on several hosts."""
    return option(
        "--host-cluster-context",
        "--host-context",
        "contexts",
        multiple=True,
        metavar="[SEAT=]CONTEXT",
        heading=heading,
        help="The cluster that keeps the credential; repeated, each seat that keeps one of its "
        "own. [default: this pod's, or the current context; with seats in Git, their names]",
    )


def with_host_of(settings: CommandSettings, contexts: Sequence[str]) -> CommandSettings:
    """The settings with the one host of these contexts, or with the first one's."""
    if not contexts:
        return settings
    context = contexts[0] if len(contexts) == 1 else next(iter(seats_of(contexts).values()))
    return settings.with_options(host_context=context)


def seats_of(contexts: Sequence[str], seats: Collection[str] = ()) -> dict[str, str]:
    """Seat -> kubeconfig context, of ``SEAT=CONTEXT`` or of contexts that are called as seats are.

    ``seats`` are those in Git, none: they are not known yet. Empty where there is one host.
    Raises UsageError.
    """
    if len(contexts) < 2 and not seats:
        return {}
    found: dict[str, str] = {}
    for given in contexts or sorted(seats):
        seat, _, context = given.partition("=") if "=" in given else (given, "", given)
        if not _NAME.fullmatch(seat):
            raise UsageError(
                f"--host-context {given}: {seat!r} is no seat's name",
                hint="name the seat as well: --host-context SEAT=CONTEXT",
            )
        if seats and seat not in seats:
            raise UsageError(
                f"--host-context {given}: {seat} is no seat; the Federation's are "
                f"{', '.join(seats)}",
                hint=f"name the seat as well: --host-context SEAT={context}",
            )
        if seat in found or context in found.values():
            raise UsageError(f"--host-context {given}: it is there twice")
        found[seat] = context
    return found


def seats_given(
    settings: CommandSettings, contexts: Sequence[str], federation: Federation
) -> dict[str, str]:
    """The same, with the Federation's seats where none are given: at a desk all of them, in a pod
    none, as it works on its own cluster. Raises UsageError."""
    from reconciler.cluster.kubeconfig import in_cluster

    given = contexts or [one for one in [settings.options.host_context] if one]
    if not given and in_cluster() is not None:
        return {}
    return seats_of(given, federation.seats)


def warn_of_seats_behind(
    settings: CommandSettings, behind: Mapping[str, ClusterError], what: str, command: str
) -> None:
    """One line for each seat that was left out, and the command for later."""
    for seat, error in behind.items():
        settings.console.note(
            f"{styled('Error:', fg='red', bold=True)} seat {seat} {what}: {error}"
        )
        settings.console.note(f"  once it answers: {command}")


@dataclass(frozen=True)
class MemberAndHost:
    """The clusters by kubeconfig contexts. Nothing is sent before something is asked for.

    ``seats``: seat -> context; empty where there is one host.
    """

    connector: Connector
    name: str
    context: str
    seats: Mapping[str, str] = field(default_factory=dict)

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
    def hosts(self) -> dict[str, Member]:
        """Those that keep a credential, by seat; the one host by an empty name.

        Raises ClusterUnauthorized when a context is missing or unusable.
        """
        return {seat: self.host(seat) for seat in self.seats or ("",)}

    def host(self, seat: str) -> Member:
        """One of the hosts. Raises ClusterUnauthorized as above."""
        if not seat:
            return self.connector.host()
        return replace(self.connector, host_context=self.seats[seat]).host(seat)

    def with_seats(self, seats: Mapping[str, str]) -> MemberAndHost:
        """The same, with these hosts."""
        return dataclasses.replace(self, seats=seats) if seats else self

    @property
    def host_name(self) -> str:
        """What the host's context is called; ``host`` from within it."""
        return self.connector.host_context or self.connector.kubeconfig.current_context or "host"


def open_member_and_host(settings: CommandSettings, name: str, context: str) -> MemberAndHost:
    """The ends, by the contexts of the kubeconfig."""
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
    claimant = claimant_of(
        source.where,
        source.checkout.commit,
        addresses=source.addresses,
        take_over=options.take_over,
    )
    folder = None
    if not source.where.is_remote and options.ref is None:
        folder = (Path(options.repo).expanduser() / options.path).resolve()
    return source.files, folder, claimant
