"""How a run reaches the seats, and how the register follows the seats in Git."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.errors import ClusterError, ClusterUnauthorized, SourceError, UsageError
from reconciler.cluster.client import Member
from reconciler.cluster.connect import Connector
from reconciler.cluster.kubeconfig import in_cluster
from reconciler.federation.model import Federation
from reconciler.seats.register import Reading, Register, SeatReading


class OpenedRegister(Struct, frozen=True):
    """``register`` over the seats for which there is access; ``unknown`` says why not for others.

    ``seats`` are those that Git names.
    """

    register: Register
    seats: tuple[str, ...]
    unknown: Mapping[str, str]

    def explained(self, reading: Reading) -> Reading:
        """The reading, with the reasons why seats could not even be asked."""
        found = dict(reading.seats)
        for name, why in self.unknown.items():
            known = found.get(name, SeatReading(name, "unreachable"))
            found[name] = replace(known, why=why) if known.state == "unreachable" else known
        return replace(reading, seats=found)


def open_register(
    connector: Connector,
    federation: Federation,
    namespace: str,
    contexts: Mapping[str, str] | None = None,
    more: Collection[str] = (),
) -> OpenedRegister:
    """The register of the Federation's seats, those of ``contexts`` (seat -> kubeconfig context)
    and ``more``. Nothing is sent yet, but Secrets may be read from the host.

    Raises UsageError in a pod that does not say at which seat it is.
    """
    if connector.seat and connector.seat not in federation.seats:
        raise UsageError(
            f"--seat {connector.seat} is none of the seats {', '.join(federation.seats)}",
            hint=f"spec.seats at {federation.position} names them",
        )
    if in_cluster() is not None and not connector.seat:
        raise UsageError(
            "the Federation has seats, and this run does not say at which of them it is",
            hint="--seat NAME, or RECONCILE_SEAT, as cronjob/overlays/seats does",
        )
    settings = (*connector.settings, ("retries", 1))
    connector = replace(connector, fence=None, settings=settings)
    given = contexts or {}
    members: dict[str, Member] = {}
    unknown: dict[str, str] = {}

    def access(name: str) -> Member | None:
        try:
            return seat_member(connector, name, given.get(name, ""))
        except ClusterError as error:
            unknown[name] = str(error)
            return None

    for name in dict.fromkeys((*federation.seats, *given, *more)):
        if (member := access(name)) is not None:
            members[name] = member
    register = Register(members, namespace, federation.name, connector.seat, access=access)
    return OpenedRegister(register, federation.seats, unknown)


def seat_member(connector: Connector, name: str, context: str = "") -> Member:
    """A seat's cluster: the host where it is this run's own, by this process's own access, else by
    its own access. Raises ClusterError."""
    if name == connector.seat and not context:
        return connector.host(name)
    if not context and in_cluster() is None and name in connector.kubeconfig.contexts:
        context = name
    if context:
        return replace(connector, host_context=context).host(name)
    cluster = next((one for one in connector.seats if one.name == name), None)
    if cluster is None:
        raise ClusterUnauthorized(
            name, "Git has no such Cluster", hint=f"give its context: --seat-context {name}=..."
        )
    return connector.member(cluster)


class SeatChange(Struct, frozen=True):
    """One seat that ``leaves`` and one that ``comes``; "" where none does."""

    leaves: str = ""
    comes: str = ""


def next_change(
    now: Collection[str], wanted: Collection[str], living: Collection[str], position: object
) -> SeatChange | None:
    """What brings the register's seats ``now`` one step towards those ``wanted`` in Git; None:
    nothing. ``living`` are the seats that answer and count.

    Raises SourceError where Git changes more than one seat at once (two that only come, or only
    leave, come and leave one after the other), or where the change would leave no majority of
    seats that live.
    """
    gone, new = sorted(set(now) - set(wanted)), sorted(set(wanted) - set(now))
    if not (gone or new):
        return None
    if (gone and new and len(gone) + len(new) > 2) or len(gone) + len(new) > 2:
        raise SourceError(
            f"{position}: spec.seats changes {', '.join([*gone, *new])} at once; the register has "
            f"{', '.join(sorted(now))}",
            hint="change one seat with each commit, or two that are both new or both leave; "
            "one that is dead: reconcile seats replace DEAD NEW",
        )
    change = SeatChange(gone[0], new[0]) if gone and new else SeatChange(*_one(gone, new))
    after = (set(now) - {change.leaves}) | ({change.comes} - {""})
    alive = (set(living) | {change.comes}) & after
    if 2 * len(alive) <= len(after):
        dead = ", ".join(sorted(after - alive))
        raise SourceError(
            f"{position}: with the seats {', '.join(sorted(after))} no majority would be alive, "
            f"as these are not: {dead}",
            hint=f"replace a dead one first: reconcile seats replace {dead.partition(',')[0]} NEW",
        )
    return change


def _one(gone: Sequence[str], new: Sequence[str]) -> tuple[str, str]:
    return (gone[0], "") if gone else ("", new[0])
