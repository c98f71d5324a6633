"""A run of a Federation that has seats: its register, opened, kept as Git says, and reported."""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.api.errors import MemoryChanged, NoMajority, ReconcileError, with_hint
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.options import RunOptions
from reconciler.cluster.connect import Connections, Connector
from reconciler.failover.health_votes import (
    HealthVotes,
    SeatVotes,
    decode_votes,
    encode_votes,
    health_votes_of,
)
from reconciler.failover.probe import probe_all
from reconciler.federation.model import DesiredState
from reconciler.lock.run_lock import RunLock
from reconciler.seats.access import SeatChange, next_change, open_register
from reconciler.seats.register import Reading, Register
from reconciler.state.memory import FleetMemory
from reconciler.state.register_store import RegisterStore, remembered_in
from reconciler.state.run_memory import host_namespace
from reconciler.state.stores import Remembered


class RegisterOfRun:
    """The register of a run. Raises UsageError in a pod that does not say at which seat it is."""

    def __init__(self, state: DesiredState, connector: Connector, options: RunOptions) -> None:
        federation = state.federation
        self._state, self._connector, self._options = state, connector, options
        self.opened = open_register(connector, federation, host_namespace(federation))

    @property
    def register(self) -> Register:
        """To be shared by the lock and the memory: together they cost few requests."""
        return self.opened.register

    def only_read(
        self, error: ReconcileError | None = None
    ) -> tuple[ReadOnlyStore, tuple[Notice, ...]]:
        """The memory as the seats that answer have it, and what is wrong with seats.

        ``error`` is what hindered the run at the register, which has been read then.
        """
        if error is None:
            try:
                self.register.latest()
            except ReconcileError as trouble:
                error = trouble
        reading = self.register.found
        found = [notice(NoticeCause.REGISTER_UNUSABLE, error=with_hint(error))] if error else []
        return ReadOnlyStore(reading, self.register.where), (*found, *self._troubles(reading))

    def under_lock(self, lock: RunLock) -> tuple[RegisterStore, tuple[Notice, ...]]:
        """The memory while the lock is held, and what is wrong with seats.

        Copies that do not count are rewritten, and the register follows Git by one seat.
        Raises SourceError where Git asks for more than that.
        """
        notices = list(self._mend())
        return RegisterStore(self.register, lock.holds), tuple(notices)

    def _mend(self) -> Sequence[Notice]:
        reading = self.register.found
        document = reading.document
        if document is None:
            return ()
        notices = list(self._troubles(reading))
        now = [seat.name for seat in document.configuration.seats]
        living = [one.name for one in reading.seats.values() if one.state == "counts"]
        federation = self._state.federation
        change = next_change(now, federation.seats, living, federation.position)
        lost = [n for n in now if reading.seats[n].state in ("lost", "aged")]
        for name in lost:
            anew = notice(NoticeCause.SEAT_WRITTEN_ANEW, subject=name)
            notices += self._changed(SeatChange(name, name), anew)
        if change is not None:
            words = " and ".join(
                [f"{change.comes} became a seat"] * bool(change.comes)
                + [f"{change.leaves} is none any more"] * bool(change.leaves)
            )
            done = notice(NoticeCause.SEATS_CHANGED, change=words)
            notices += self._changed(change, done)
        return notices

    def _changed(self, change: SeatChange, done: Notice) -> list[Notice]:
        try:
            self.register.change_seats(leaves=change.leaves, comes=change.comes)
        except NoMajority:
            raise
        except ReconcileError as error:
            return [notice(NoticeCause.SEATS_NOT_CHANGED, error=with_hint(error))]
        return [done]

    def _troubles(self, reading: Reading) -> tuple[Notice, ...]:
        return self.opened.explained(reading).notices

    def seat_votes(self) -> SeatVotes:
        """How each seat saw the clusters, of the seats that answered.

        A Witness at which no run ever was has no vote, or two members and a Witness would never
        agree that one of them is down.
        """
        witnesses = {cluster.name for cluster in self._state.witnesses}
        found = self.register.found.seats.values()
        seats = [one for one in found if one.look or one.name not in witnesses]
        return SeatVotes(
            self._connector.seat,
            {one.name: look for one in seats if (look := decode_votes(one.look))},
            frozenset(one.name for one in seats if one.state not in ("unreachable", "no seat")),
        )

    def set_votes(self, look: HealthVotes | None) -> None:
        """Let the next write to this run's own seat carry its votes."""
        if look is not None and self._connector.seat:
            self.register.look(encode_votes(look))

    def write_votes(self) -> None:
        """Write them now: this run has no lock, and its votes count for those of other seats."""
        rules = self._state.federation.failover
        if not (self._connector.seat and rules.enabled):
            return
        connect = Connections(self._connector).member
        probes = probe_all(connect, self._state.clusters, rules)
        self.set_votes(health_votes_of(probes, self._options.clock()))
        self.register.write_votes()


class ReadOnlyStore:
    """What was read once; it takes nothing."""

    def __init__(self, reading: Reading, where: str) -> None:
        self._reading = reading
        self.where = where

    def read(self) -> Remembered:
        document = self._reading.document
        return (
            Remembered(FleetMemory()) if document is None else remembered_in(document, self.where)
        )

    def write(self, _memory: FleetMemory, _version: str) -> str:
        raise MemoryChanged(f"{self.where} was only read")

    def namesakes(self) -> tuple[str, ...]:
        return ()
