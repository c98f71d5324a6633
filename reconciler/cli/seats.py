"""`reconcile seats`: the clusters that carry the reconciler, and the register that they keep."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from reconciler.api.errors import ReconcileError, UsageError
from reconciler.cli.command_group import ShowingGroup
from reconciler.cli.console import styled
from reconciler.cli.exit_codes import Exit
from reconciler.cli.settings import Command, CommandSettings, merged, option, run_options
from reconciler.cli.tables import age, table

if TYPE_CHECKING:
    from reconciler.cluster.connect import Connector
    from reconciler.federation.model import DesiredState
    from reconciler.lock.lease import Lease, LockRecords
    from reconciler.seats.access import OpenedRegister
    from reconciler.seats.register import Reading, Register
    from reconciler.state.stores import ConfigMapStore
    from reconciler.status.seats import SeatHealth, SeatsStatus

RUN, CLUSTER, OUTPUT = "What to do", "Clusters", "Output"

EPILOG = """\b
Examples:
  reconcile seats                          who votes, who holds the lock, what is wrong
  reconcile seats -o json | jq '.problems'
  reconcile seats init --host-context main from one host to the seats in Git
  reconcile seats repair                   what was lost or set back is rewritten
  reconcile seats replace onprem azure-eu  onprem is gone for good
  reconcile seats dissolve --host-context main
\b
Exit codes: 0 all seats count and look, 1 one does not, or the register cannot be read.
Works while a minority of the seats is down, and tells of it.
"""


class SeatsGroup(ShowingGroup):
    """Showing ends with its deadline as well."""

    def invoke(self, ctx: click.Context) -> Any:
        from reconciler.cli.stop import limited

        if ctx._protected_args or ctx.args:
            return super().invoke(ctx)
        with limited(ctx.obj or CommandSettings()) as ctx.obj:
            return super().invoke(ctx)


def _complete_seat(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """The seats of the Federation in this directory, as far as they can be read."""
    from reconciler.api.options import RunOptions
    from reconciler.run.repository import read_repository

    try:
        state = read_repository(RunOptions()).state
    except ReconcileError:
        return []
    names = {*state.federation.seats, *(cluster.name for cluster in state.joined)}
    return sorted(name for name in names if name.startswith(incomplete))


def _contexts(
    _: click.Context, __: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    pairs = []
    for value in values:
        seat, equals, context = value.partition("=")
        if not (seat and equals and context):
            raise click.BadParameter(f"{value!r} is not SEAT=CONTEXT")
        pairs.append((seat, context))
    return tuple(pairs)


def connection_options(command: Command) -> Command:
    """The options by which seats and the repository are found."""
    options: list[Callable[[Command], Command]] = [
        option(
            "--seat-context",
            "contexts",
            multiple=True,
            callback=_contexts,
            metavar="SEAT=CONTEXT",
            heading=CLUSTER,
            help="How a seat is reached. [default: by the context of its name, else as its "
            "Cluster says]",
        ),
        run_options("kubeconfig", "host_context", "seat", heading=CLUSTER),
        run_options("repository"),
        run_options("terminal"),
    ]
    for one in reversed(options):
        command = one(command)
    return command


def dry_run(command: Command) -> Command:
    """The option to look first."""
    shown = option("--dry-run", is_flag=True, heading=RUN, help="Only show what would be done.")
    return shown(command)


@click.group(cls=SeatsGroup, invoke_without_command=True, epilog=EPILOG)
@option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    heading=OUTPUT,
    help="What to print.",
)
@connection_options
@click.pass_context
def seats(
    context: click.Context,
    /,
    *,
    output: str,
    contexts: tuple[tuple[str, str], ...],
    **given: Any,
) -> int:
    """Show the seats: who votes, who holds the lock, how each looked at the fleet.

    The register is read at every seat; nothing is written. What is wrong is shown with the command
    that mends it.
    """
    settings = merged(context, **given)
    if context.invoked_subcommand is not None:
        context.obj = settings
        context.meta[__name__] = dict(contexts)
        return Exit.OK
    opened = _opened(settings, dict(contexts))
    status = opened.status(time.time())
    if output == "json":
        from reconciler.status.seats import seats_document

        settings.console.document(json.dumps(seats_document(status), indent=2))
    else:
        for line in seats_lines(status, time.time()):
            settings.console.out(line)
    _tell_troubles(settings, status)
    return Exit.FAILED if status.troubles else Exit.OK


# -- reading ---------------------------------------------------------------------------------------


class OpenedSeats(Struct, frozen=True):
    """The repository, and the register as far as it can be reached from here."""

    state: DesiredState
    connector: Connector
    opened: OpenedRegister

    @property
    def register(self) -> Register:
        return self.opened.register

    def status(self, now: float) -> SeatsStatus:
        from reconciler.status.seats import seats_status

        reading = self.opened.explained(self.register.read())
        federation = self.state.federation
        looks = votes_in(reading)
        witnesses = [cluster.name for cluster in self.state.witnesses]
        return seats_status(federation.name, federation.seats, reading, looks, now, witnesses)


def _opened(
    settings: CommandSettings, contexts: Mapping[str, str], more: Sequence[str] = ()
) -> OpenedSeats:
    """``more`` are clusters that are to become seats. Raises UsageError where Git has no seats."""
    from reconciler.cluster.connect import Connector
    from reconciler.run.repository import read_repository
    from reconciler.seats.access import open_register
    from reconciler.state.run_memory import host_namespace

    options = settings.options
    state = read_repository(options).state
    federation = state.federation
    if not (federation.seats or contexts or more):
        raise UsageError(
            "the Federation has no spec.seats",
            hint="docs/seats.md tells the way from one host to three seats",
        )
    wanted = {*federation.seats, *more}
    connector = Connector.from_file(
        options.kubeconfig,
        federation.namespace,
        host_context=options.host_context,
        seconds_left=options.time_left,
        allow=options.allow_access,
        seats=tuple(cluster for cluster in state.joined if cluster.name in wanted),
        seat=options.seat,
    )
    namespace = host_namespace(federation)
    opened = open_register(connector, federation, namespace, contexts, more)
    return OpenedSeats(state, connector, opened)


def votes_in(reading: Reading) -> dict[str, SeatHealth]:
    """What the runs of each seat saw last, as far as they left it."""
    return {name: _look_of(one.look) for name, one in reading.seats.items() if one.look}


def _look_of(text: str) -> SeatHealth:
    """A look as its seat wrote it; what cannot be read is none."""
    from reconciler.failover.health_votes import decode_votes
    from reconciler.status.seats import SeatHealth

    look = decode_votes(text)
    if look is None:
        return SeatHealth()
    return SeatHealth(look.at, {name: str(one) for name, one in look.clusters.items()})


# -- showing ---------------------------------------------------------------------------------------


_COLOURS = {"counts": "green", "lost": "red", "aged": "red", "unreachable": "red"}


def seats_lines(status: SeatsStatus, now: float) -> Iterator[str]:
    """The table, with who holds the lock above it and what each seat saw below."""
    document = status.reading.document
    if document is not None:
        counting = sum(one.state == "counts" for one in status.seats)
        yield (
            f"{styled(status.federation, bold=True)}: version {document.version}, "
            f"{counting} of {len(status.voters)} seats count"
        )
        yield f"Lock: {_lock_words(document.lock, now)}"
        yield ""
    cells = []
    for one in status.seats:
        look = status.looks.get(one.name)
        known = document is not None and one.state in ("counts", "aged")
        cells.append(
            [
                one.name,
                styled(one.state, fg=_COLOURS.get(one.state)),
                str(document.version - one.behind) if document is not None and known else "-",
                str(one.behind) if known else "-",
                _ago(_seconds(one.written), now),
                _ago(look.at if look else None, now),
            ]
        )
    yield from table(["SEAT", "STATE", "VERSION", "LAG", "WRITTEN", "LOOKED"], cells)
    yield from _looks(status)


def _looks(status: SeatsStatus) -> Iterator[str]:
    """Each cluster, as each seat saw it last."""
    from reconciler.status.seats import SeatHealth

    looks = {one.name: status.looks.get(one.name, SeatHealth()) for one in status.seats}
    clusters = sorted({name for look in looks.values() for name in look.clusters})
    if not clusters:
        return
    yield ""
    yield from table(
        ["CLUSTER", *(f"FROM {name}" for name in looks)],
        [
            [name, *(_seen(look.clusters.get(name, "")) for look in looks.values())]
            for name in clusters
        ],
    )


def _seen(how: str) -> str:
    signal = how.partition(":")[0].partition(" ")[0].lower()
    colour = {"healthy": "green", "unhealthy": "red", "unknown": "yellow"}.get(signal)
    return styled(how, fg=colour) if how else "-"


def _lock_words(lock: Mapping[str, Any], now: float) -> str:
    """Who holds it, for how long, and how long ago it was renewed."""
    holder = str(lock.get("holder") or "")
    if not holder:
        return "free"
    parts = [f"held by {holder}"]
    for word, name in (("for", "acquired"), ("renewed", "renewed")):
        if (moment := _seconds(str(lock.get(name) or ""))) is not None:
            parts.append(f"{word} {_ago(moment, now)}" + (" ago" if name == "renewed" else ""))
    return ", ".join([" ".join(parts[:2]), *parts[2:]])


def _seconds(text: str) -> float | None:
    """RFC 3339 -> Unix seconds."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


def _ago(moment: float | None, now: float) -> str:
    return "-" if moment is None else age(now - moment)


def _tell_troubles(settings: CommandSettings, status: SeatsStatus) -> None:
    console = settings.console
    if status.troubles:
        console.note("")
    for one in status.troubles:
        console.note(f"{styled(one.seat or 'all seats', bold=True)}: {one.text}")
        if one.next:
            console.note(f"  {one.next}")


# -- changing --------------------------------------------------------------------------------------


INIT_EPILOG = """\b
Examples:
  reconcile seats init --host-context main --dry-run
  reconcile seats init --host-context main     from the host that runs were at until now
  reconcile seats init                         a new fleet: there is nothing to take over
\b
Suspend the host's CronJob first. Safe to run again: what was begun is finished.
"""


@seats.command("init", epilog=INIT_EPILOG, writes=True)
@dry_run
@run_options("lock_timeout", heading=RUN)
@connection_options
@click.pass_context
def init(
    context: click.Context,
    /,
    *,
    dry_run: bool,
    contexts: tuple[tuple[str, str], ...],
    **given: Any,
) -> int:
    """Make the register at the seats in Git, with what one host remembers.

    All seats must answer. What runs remember in the cluster of --host-context is taken over while
    its lock is held; from then on a run that works with that host alone is refused.
    """
    settings = merged(context, **given)
    opened = _opened(settings, _all_contexts(context, contexts))
    names = opened.state.federation.seats
    if not names:
        raise UsageError("the Federation has no spec.seats", hint="name them there, and commit")
    status = opened.status(time.time())
    document = status.reading.document
    out = settings.console.out
    store = _memory_of_host(settings, opened) if settings.options.host_context else None
    if store is None and document is None:
        _check_nothing_is_left(opened, status, _all_contexts(context, contexts))
    made = document is not None and not document.dissolved
    if made and set(status.voters) == set(names) and status.reading.settled and store is None:
        out("The register is there already; nothing was to be done.")
        return Exit.OK
    if store is not None:
        out(f"host             {_CHANGE}   {store.where} is taken over")
    for name in names:
        silent = status.reading.seats[name].state == "unreachable"
        effect = _MISSING if silent else _KEPT if made else _CREATE
        why = f": {status.reading.seats[name].why}" if silent else ""
        out(f"seat {name:<12} {effect}   {opened.register.key}{why}")
    if dry_run:
        settings.console.note("Nothing was written.")
        return Exit.OK
    if store is None:
        opened.register.initialise(names)
    else:
        from reconciler.state.register_store import take_over_memory

        with _held(settings, _lease_of_host(settings, opened)):
            take_over_memory(store, opened.register, names)
    out(f"The seats {', '.join(names)} keep the register.")
    settings.console.note(
        "Next: a CronJob at each of them (cronjob/overlays/seats), and: reconcile seats"
    )
    return Exit.OK


DISSOLVE_EPILOG = """\b
Examples:
  reconcile seats dissolve --host-context main --dry-run
  reconcile seats dissolve --host-context main
\b
Suspend the CronJobs of the seats first. Safe to run again.
"""


@seats.command("dissolve", epilog=DISSOLVE_EPILOG, writes=True)
@dry_run
@run_options("yes", "lock_timeout", heading=RUN)
@connection_options
@click.pass_context
def dissolve(
    context: click.Context,
    /,
    *,
    dry_run: bool,
    contexts: tuple[tuple[str, str], ...],
    **given: Any,
) -> int:
    """Go back to one host, that of --host-context, with what runs remember.

    The register stays at the seats to be read, and is never changed again.
    """
    settings = merged(context, **given)
    if not settings.options.host_context:
        raise click.UsageError("--host-context names the cluster that is to be the only host.")
    opened = _opened(settings, _all_contexts(context, contexts))
    status = opened.status(time.time())
    document = status.reading.document
    if document is None or not (status.reading.majority or document.dissolved):
        first = status.troubles[0]
        raise ReconcileError(first.text, hint=first.next)
    store = _memory_of_host(settings, opened)
    settings.console.out(f"host             {_CHANGE}   {store.where} remembers again")
    for name in status.voters:
        settings.console.out(f"seat {name:<12} {_CHANGE}   its copy of the register ends")
    if dry_run:
        settings.console.note("Nothing was written.")
        return Exit.OK
    if not _confirmed(settings, "Let one host carry the reconciler instead of the seats"):
        return Exit.FAILED
    from reconciler.state.register_store import give_back_memory

    lease = None if document.dissolved else _lease_of_seats(settings, opened)
    with _held(settings, lease):
        give_back_memory(opened.register, store)
    settings.console.out("The register is dissolved.")
    note = settings.console.note
    note(f"Next: take spec.seats out of the Federation at {opened.state.federation.position}")
    context_name = settings.options.host_context
    note(f"Next: reconcile join NAME --host-context {context_name}, for each member; its CronJob")
    return Exit.OK


_CREATE, _CHANGE = styled("create", fg="green"), styled("change", fg="yellow")
_KEPT, _MISSING = "kept  ", styled("silent", fg="red")


def _memory_of_host(settings: CommandSettings, opened: OpenedSeats) -> ConfigMapStore:
    """What the runs of one host remember, in the cluster of --host-context."""
    from reconciler.state.run_memory import digest_of, host_namespace
    from reconciler.state.stores import ConfigMapStore

    federation = opened.state.federation
    host = opened.connector.host()
    return ConfigMapStore(
        host, federation.name, host_namespace(federation), digest_of(settings.options)
    )


def _check_nothing_is_left(
    opened: OpenedSeats, status: SeatsStatus, contexts: Mapping[str, str]
) -> None:
    """Raises UsageError where a seat was the host until now, and its memory would be left."""
    from reconciler.seats.access import seat_member
    from reconciler.state.run_memory import host_namespace
    from reconciler.state.stores import CONFIG_MAPS, MOVED, config_map_key

    federation = opened.state.federation
    key = config_map_key(federation.name, host_namespace(federation))
    for name in federation.seats:
        if status.reading.seats[name].state == "unreachable":
            continue
        member = seat_member(opened.connector, name, contexts.get(name, ""))
        found = member.get(CONFIG_MAPS, key)
        if found is not None and MOVED not in (found["metadata"].get("annotations") or {}):
            raise UsageError(
                f"runs remember in {name} ({key.namespace}/{key.name}), which would be left",
                hint="take it over: reconcile seats init --host-context with the context of "
                f"{name}",
            )


def _lease_of_host(settings: CommandSettings, opened: OpenedSeats) -> Lease:
    from reconciler.lock.lease import KubernetesLease
    from reconciler.state.run_memory import host_namespace

    federation = opened.state.federation
    records = KubernetesLease(opened.connector.host(), federation.name, host_namespace(federation))
    return _lease(settings, records)


def _lease_of_seats(settings: CommandSettings, opened: OpenedSeats) -> Lease:
    from reconciler.lock.register_lock import RegisterRecords

    return _lease(settings, RegisterRecords(opened.register))


def _lease(settings: CommandSettings, records: LockRecords) -> Lease:
    from reconciler.lock.lease import Lease

    options = settings.options
    return Lease(
        records,
        duration=options.lease_duration,
        notify=settings.console.note,
        seconds_left=options.time_left,
    )


@contextmanager
def _held(settings: CommandSettings, lease: Lease | None) -> Iterator[None]:
    """The lock, so that no run writes meanwhile. Raises LeaseLost with who holds it."""
    if lease is None:
        yield
        return
    lease.acquire(settings.options.lock_timeout)
    try:
        yield
    finally:
        try:
            lease.release()
        except ReconcileError:
            # A register that was dissolved meanwhile has no lock to give back.
            lease.step_back()


REPLACE_EPILOG = """\b
Examples:
  reconcile seats replace onprem azure-eu --dry-run
  reconcile seats replace onprem azure-eu
\b
NEW has to be a Cluster in Git that answers, and every seat needs a credential of it:
reconcile join azure-eu. Safe to run again.
"""


@seats.command("replace", epilog=REPLACE_EPILOG, writes=True)
@click.argument("dead", shell_complete=_complete_seat)
@click.argument("new", shell_complete=_complete_seat)
@dry_run
@run_options("yes", heading=RUN)
@connection_options
@click.pass_context
def replace_(
    context: click.Context,
    /,
    *,
    dead: str,
    new: str,
    dry_run: bool,
    contexts: tuple[tuple[str, str], ...],
    **given: Any,
) -> int:
    """Let NEW vote instead of DEAD, which need not answer.

    A majority of the old seats and one of the new ones agree to it, and NEW gets a full copy.
    """
    settings = merged(context, **given)
    if dead == new:
        raise click.UsageError("DEAD and NEW are the same; to write its copy again: seats repair.")
    opened = _opened(settings, _all_contexts(context, contexts), (new,))
    status = opened.status(time.time())
    document = _document(status)
    voters = {seat.name for seat in document.configuration.seats}
    out = settings.console.out
    if new in voters and dead not in voters:
        out(f"{new} has a seat already, and {dead} has none; nothing was to be done.")
        return Exit.OK
    if dead not in voters:
        raise UsageError(
            f"{dead} has no seat; those that have: {', '.join(sorted(voters))}",
            hint="reconcile seats",
        )
    if new in opened.opened.unknown:
        raise ReconcileError(
            f"{new} cannot be reached: {opened.opened.unknown[new]}", hint=f"reconcile join {new}"
        )
    after = sorted((voters - {dead}) | {new})
    out(
        f"seat {new:<12} {styled('create', fg='green')}   a full copy of version {document.version}"
    )
    out(f"the register     {styled('change', fg='yellow')}   {', '.join(after)} vote")
    if dry_run:
        settings.console.note("Nothing was written.")
        return Exit.OK
    if not _confirmed(settings, f"Let {new} vote instead of {dead}"):
        return Exit.FAILED
    opened.register.replace_seat(dead, new)
    federation = opened.state.federation
    out(f"{new} votes instead of {dead}.")
    note = settings.console.note
    if set(federation.seats) != set(after):
        note(f"Next: spec.seats: [{', '.join(after)}] at {federation.position}, and commit")
    note(f"Next: reconcile join NAME --host-context {new}, for each member; its CronJob at {new}")
    note(f"Then shut {dead} out, in each member: {revoke_command(federation.name, dead)}")
    return Exit.OK


def revoke_command(federation: str, seat: str) -> str:
    """The command that ends what a seat may do in a member."""
    return (
        "kubectl -n federation-system delete clusterrolebinding,rolebinding,serviceaccount -l "
        f"federation.reconciler.dev/federation={federation},federation.reconciler.dev/seat={seat}"
    )


REPAIR_EPILOG = """\b
Examples:
  reconcile seats repair --dry-run
  reconcile seats repair                   all that were lost or set back
  reconcile seats repair gcp-eu
\b
Safe to run again: a seat that counts is left as it is.
"""


@seats.command("repair", epilog=REPAIR_EPILOG, writes=True)
@click.argument("name", required=False, shell_complete=_complete_seat)
@dry_run
@connection_options
@click.pass_context
def repair(
    context: click.Context,
    /,
    *,
    name: str | None,
    dry_run: bool,
    contexts: tuple[tuple[str, str], ...],
    **given: Any,
) -> int:
    """Write a seat a full copy, after its cluster was rebuilt or restored from a backup.

    Until then its copy does not count, as it may have forgotten what it promised. A majority of
    the others has to agree. Without NAME, all seats are repaired that need it.
    """
    settings = merged(context, **given)
    opened = _opened(settings, _all_contexts(context, contexts))
    status = opened.status(time.time())
    document = _document(status)
    states = {one.name: one for one in status.seats}
    voters = {seat.name for seat in document.configuration.seats}
    if name is not None and name not in voters:
        raise UsageError(
            f"{name} has no seat; those that have: {', '.join(sorted(voters))}",
            hint="reconcile seats",
        )
    if name is not None and states[name].state == "unreachable":
        raise ReconcileError(
            f"{name} does not answer: {states[name].why}",
            hint=f"if it is gone for good: reconcile seats replace {name} NEW",
        )
    sick = [one for one in sorted(voters) if states[one].state in ("lost", "aged")]
    wanted = [one for one in sick if name in (None, one)]
    if not wanted:
        settings.console.out(f"{name or 'Every seat that answers'} counts; nothing was to be done.")
        return Exit.OK
    for one in wanted:
        effect, why = styled("change", fg="yellow"), states[one].why
        settings.console.out(
            f"seat {one:<12} {effect}   a full copy of version {document.version}: {why}"
        )
        if not dry_run:
            opened.register.repair_seat(one)
    if dry_run:
        settings.console.note("Nothing was written.")
    else:
        settings.console.out(
            f"{', '.join(wanted)} counts again." if len(wanted) == 1 else "They count again."
        )
    return Exit.OK


def _all_contexts(context: click.Context, contexts: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Those that were given before the subcommand, and after it."""
    return {**context.meta.get(__name__, {}), **dict(contexts)}


def _document(status: SeatsStatus) -> Any:
    """What the register holds. Raises ReconcileError where nothing can be changed there."""
    document = status.reading.document
    if document is None or document.dissolved or not status.reading.majority:
        first = status.troubles[0]
        raise ReconcileError(first.text, hint=first.next)
    return document


def _confirmed(settings: CommandSettings, question: str) -> bool:
    if settings.options.yes or not settings.console.interactive:
        return True
    if settings.console.confirmed(question):
        return True
    settings.console.note("Nothing was changed.")
    return False
