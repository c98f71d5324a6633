"""`reconcile rotate`: new tokens for members whose old ones have lived half of their life."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from reconciler.api.errors import ClusterError, UsageError
from reconciler.api.options import FLEET
from reconciler.cli.command_group import LimitedCommand
from reconciler.cli.console import styled
from reconciler.cli.exit_codes import Exit
from reconciler.cli.member_and_host import host_contexts, seats_given, with_host_of
from reconciler.cli.settings import merged, option, run_options
from reconciler.cli.tables import age, table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from reconciler.cluster.connect import Connector
    from reconciler.federation.model import DesiredState, Federation
    from reconciler.join.credentials import Rotation

EPILOG = """\b
Examples:
  reconcile rotate                    renew what has lived half of its life
  reconcile rotate --all              renew all of them
  reconcile rotate --cluster aws-eu --all
  reconcile rotate --host-context aws-eu --host-context gcp-eu --host-context onprem
\b
Runs do not do this: start it hourly, as the CronJob reconcile-rotate does. An old token
stays good until it ends; to end it at once, delete the member's ServiceAccount, and join
again.
"""


@click.command(cls=LimitedCommand, writes=True, epilog=EPILOG)
@run_options("clusters")
@option("--all", "every", is_flag=True, heading=FLEET, help="Young tokens, too.")
@host_contexts(FLEET)
@run_options("kubeconfig", "state")
@run_options("repository")
@run_options("terminal")
@click.pass_context
def rotate(
    context: click.Context, /, *, every: bool, contexts: tuple[str, ...], **given: Any
) -> int:
    """Renew the tokens by which members are reached.

    A token is renewed with itself, and kept in the host's Secret that `reconcile join` made. Of
    several seats, each that answers is done; what is behind in the others is reported.
    """
    settings = with_host_of(merged(context, **given), contexts)
    from reconciler.cluster.connect import Connector
    from reconciler.cluster.kubeconfig import in_cluster
    from reconciler.run.repository import read_repository

    state = read_repository(settings.options).state
    federation = state.federation
    known = {cluster.name for cluster in state.joined}
    if unknown := sorted(set(settings.options.clusters) - known):
        raise UsageError(f"--cluster {unknown[0]}: the repository has no such cluster")
    connector = Connector.from_file(
        settings.options.kubeconfig,
        federation.namespace,
        host_context=settings.options.host_context,
        seconds_left=settings.options.time_left,
        allow=settings.options.allow_access,
    )
    now = time.time()
    seats = seats_given(settings, contexts, federation)
    hosts = {seat: replace(connector, host_context=context) for seat, context in seats.items()} or {
        "": connector
    }
    clusters = settings.options.clusters or known
    rotations: list[Rotation] = []
    for seat, host in hosts.items():
        rotations += _rotated(seat, host, federation, now, clusters, every=every)
    rotations += _never_joined(rotations, seats)
    if not rotations:
        settings.console.note("No member is reached by a token that join made.")
        return Exit.OK
    headings = ["NAME", "TOKEN", "ENDS IN"]
    for line in table(
        ["SEAT", *headings] if seats else headings,
        [[one.seat, *_row(one, now)] if seats else _row(one, now) for one in rotations],
    ):
        settings.console.out(line)
    failed = [one for one in rotations if one.problem]
    at_home = in_cluster() is not None or settings.options.host_context
    if failed and at_home and settings.options.events != "none":
        for seat, host in hosts.items():
            those = [one for one in failed if one.seat == seat and one.cluster]
            for warning in _write_events(host, state, those, now) if those else ():
                settings.console.note(f"{styled('Warning:', fg='yellow')} {warning}")
    return Exit.FAILED if failed else Exit.OK


def _rotated(
    seat: str,
    connector: Connector,
    federation: Federation,
    now: float,
    clusters: Collection[str],
    *,
    every: bool,
) -> list[Rotation]:
    """What came of one host's credentials. Raises ClusterError when the only one is silent."""
    from reconciler.join.credentials import Rotation, rotate_tokens

    try:
        rotations = rotate_tokens(
            connector,
            federation.name,
            federation.namespace,
            now=now,
            clusters=clusters,
            every=every,
        )
    except ClusterError as error:
        if not seat:
            raise
        return [Rotation("", problem=str(error), seat=seat)]
    return [replace(one, seat=seat) for one in rotations]


def _never_joined(rotations: Iterable[Rotation], seats: Mapping[str, str]) -> list[Rotation]:
    """Members of whom a seat that answers has no credential, while others have."""
    from reconciler.join.credentials import Rotation

    held: dict[str, set[str]] = {seat: set() for seat in seats}
    for one in rotations:
        if one.seat:
            held[one.seat].add(one.cluster)
    everywhere = set[str]().union(*held.values()) - {""}
    return [
        Rotation(
            name,
            problem=f"it has none: reconcile join {name} --host-context {seat}={seats[seat]}",
            seat=seat,
        )
        for seat, names in held.items()
        if "" not in names
        for name in sorted(everywhere - names)
    ]


def _write_events(
    connector: Connector, state: DesiredState, failed: Iterable[Rotation], now: float
) -> list[str]:
    """One about each Secret whose token was not renewed. Gives warnings."""
    from reconciler.api.errors import ClusterError
    from reconciler.api.objects import ObjectKey
    from reconciler.report.events import EventDraft, Regarding, write_host_events

    places = {cluster.name: cluster.access.secret for cluster in state.joined}
    try:
        host = connector.host()
    except ClusterError as error:
        return [f"no Events were written in the host cluster: {error}"]
    warnings: list[str] = []
    for one in failed:
        place = places.get(one.cluster)
        name = place.name if place else one.cluster
        namespace = (place.namespace if place else "") or state.federation.namespace
        ended = one.expires is not None and one.expires <= now
        ends = "has ended" if ended else f"ends in {age((one.expires or now) - now)}"
        note = f"the token of {one.cluster} {ends} and was not renewed: {one.problem}"
        what = EventDraft("Warning", "TokenNotRenewed", "Rotate", note, one.cluster)
        secret = Regarding("v1", ObjectKey("", "Secret", namespace, name))
        warnings += write_host_events(host, secret, (what,), now)
    return warnings


def _row(rotation: Rotation, now: float) -> list[str]:
    if rotation.problem:
        what = styled(f"not renewed: {rotation.problem}", fg="red")
    else:
        what = styled("renewed", fg="green") if rotation.renewed else "kept"
    ends = "never" if rotation.expires is None else age(rotation.expires - now)
    if rotation.problem and rotation.expires is None:
        ends = ""
    if rotation.expires is not None and rotation.expires <= now:
        ends = styled("ended", fg="red")
    return [rotation.cluster, what, ends]
