"""The replicated register over the seats' API servers: read, change, and who holds a copy.

The protocol decides what is sent (``protocol``); here it is sent, to all seats at once. Nothing
waits for a seat that is silent once a majority has answered and the others had a moment. What is
still on its way then may arrive later, and does no harm: it carries the version that was read.
"""

from __future__ import annotations

import queue
import random
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api import errors
from reconciler.api.annotations import own_metadata
from reconciler.api.errors import ApiError, ClusterError, NoMajority, NotFound, ReconcileError
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import Object, ObjectKey, RedactedRepr, map_of
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.seats import protocol
from reconciler.seats.document import (
    CHANGES_KEPT,
    LOOK,
    MAX_VOTES_BYTES,
    DamagedCopy,
    RegisterDocument,
    copy_of,
    data_of,
    decode_document,
    encode_document,
    written_at,
)
from reconciler.seats.protocol import (
    Answer,
    Attempt,
    Ballot,
    Changed,
    Configuration,
    Copy,
    CopyState,
    NoReply,
    ObservedCopy,
    Proposal,
    Seat,
    SeatRequest,
    Stage,
    with_watermarks,
)

_STATES = {
    CopyState.COUNTS: ("counts", ""),
    CopyState.STALE: ("counts", "it was written while it was read"),
    CopyState.LOST: ("lost", "its copy was recreated by somebody else"),
    CopyState.AGED: ("aged", "its copy was set back to an earlier one"),
}
_CHANCE = random.SystemRandom()
CONFIG_MAPS = RESTMapping("v1", "ConfigMap", "configmaps", namespaced=True)

REQUEST_SECONDS = 10.0
"""For one request to a seat, at the most; it is not tried again within it."""
GRACE_SECONDS = 1.0
"""For the other seats, once a majority has answered."""
MAJORITY_SECONDS = 15.0
"""For a majority, with all the tries that it takes."""


def dissolved(where: str) -> ReconcileError:
    """That the register was given up."""
    return ReconcileError(
        f"{where} was dissolved",
        hint="take spec.seats out of the Federation; reconcile seats init makes another",
    )


def register_key(federation: str, namespace: str) -> ObjectKey:
    """The ConfigMap that is a seat's copy."""
    return ObjectKey("", "ConfigMap", namespace, f"federation-{federation}-seat")


class SeatReading(Struct, frozen=True):
    """How one seat's copy is. ``state`` is one of

        counts       it is a vote
        lost         there is none, or another object than the others know
        aged         it is older than what others have seen there
        unreachable  its server does not answer, or refuses
        no seat      it has no vote

    ``why`` is for people. ``behind`` is by how many changes it is older than the latest one;
    ``written`` when it was written last (RFC 3339, by the writer's clock), ``by`` whom. ``look`` is
    what the seat's own runs wrote beside it.
    """

    name: str
    state: str
    why: str = ""
    behind: int = 0
    written: str = ""
    by: str = ""
    look: str = ""


class Reading(Struct, frozen=True):
    """The register as it was found. ``document`` is the latest, None where there is none.

    ``majority`` False: too few seats count, and the document may be an old one. ``settled``: it is
    known to be chosen; otherwise it may yet turn out that it is not.
    """

    document: RegisterDocument | None
    seats: Mapping[str, SeatReading]
    majority: bool = False
    settled: bool = False

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What is wrong with seats."""
        return tuple(
            notice(
                NoticeCause.SEAT_MISSING,
                subject=one.name,
                reason=", ".join(filter(None, (one.state, one.why))),
            )
            for one in self.seats.values()
            if one.state not in ("counts", "no seat")
        )


class _Arrival(RedactedRepr, frozen=True):
    """A seat's answer, or a defect that showed while it was asked for; ``reading`` is how many
    readings had begun then."""

    reading: int
    request: SeatRequest
    answer: Answer | Exception
    found: Object | None = None


class Register:
    """The register of one federation. Safe for use by several threads.

    ``seats`` are the members that may hold a copy, ``access`` gives those that only the copies name
    (None: there is none). ``me`` is the seat that this run is at ("" at none). Their ``Member``
    must have no fence. ``by`` names this proposer, and must be unique for this process; by default
    it is made so.
    """

    def __init__(
        self,
        seats: Mapping[str, Member],
        namespace: str,
        federation: str,
        me: str = "",
        *,
        access: Callable[[str], Member | None] = lambda _: None,
        by: str = "",
        request_seconds: float = REQUEST_SECONDS,
        patience: float = MAJORITY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = _CHANCE.random,
    ) -> None:
        self.key = register_key(federation, namespace)
        self.by = by or f"{me or 'desk'}_{uuid.uuid4().hex[:12]}"
        self.me = me
        self._federation = federation
        self._members = dict(seats)
        self._access = access
        self._request_seconds, self._patience = request_seconds, patience
        self._clock, self._now, self._pause, self._chance = clock, now, pause, chance
        self._lock = threading.RLock()
        self._mailbox: queue.SimpleQueue[_Arrival] = queue.SimpleQueue()
        self._readings = 0
        self._busy: set[str] = set()
        self._late: set[str] = set()
        self._objects: dict[str, Object] = {}
        self._damage: dict[str, str] = {}
        self._look: str | None = None
        self._attempt = Attempt(self.by, tuple(sorted(self._members)))
        self._highest = 0
        self.chosen: RegisterDocument | None = None
        """What this proposer last knew to be chosen; others may have changed it since."""
        self.found = Reading(None, {})
        """What was read last."""

    @property
    def where(self) -> str:
        return f"ConfigMap {self.key.namespace}/{self.key.name} of the seats"

    # -- reading ---------------------------------------------------------------------------

    def read(self) -> Reading:
        """The register as a majority has it, by one GET for each seat; writes nothing.

        Does not raise where seats are silent: the reading says so.
        """
        with self._lock:
            self._readings += 1
            attempt = replace(self._attempt, stage=Stage.READ, seen={}, silent={})
            deadline = self._clock() + self._patience
            attempt = self._talk(attempt, _is_readable, deadline)
            if met := self._met(attempt):
                self._members |= met
                attempt = replace(attempt, seats=tuple(sorted(self._members)))
                attempt = self._talk(attempt, _is_readable, deadline)
            # What was promised to this proposer before still holds where it can still be seen.
            self._attempt = replace(attempt, stage=self._attempt.stage, silent={})
            self.found = self._reading(attempt)
            return self.found

    def _met(self, attempt: Attempt) -> dict[str, Member]:
        """Access to seats of which only the copies tell."""
        latest = protocol.latest(attempt.seen, attempt.known)
        names = {seat.name for seat in latest.configuration.everybody} - self._members.keys()
        found = {name: self._access(name) for name in sorted(names)}
        return {name: member for name, member in found.items() if member is not None}

    def latest(self) -> RegisterDocument:
        """The document that ``read`` finds. Raises NoMajority where it may be an old one, and
        ReconcileError where there is none, or it was dissolved."""
        with self._lock:
            reading = self.read()
            if not reading.majority or reading.document is None:
                raise self._no_majority(self._attempt)
            if reading.document.dissolved:
                raise dissolved(self.where)
            return reading.document

    def _reading(self, attempt: Attempt) -> Reading:
        latest = protocol.latest(attempt.seen, attempt.known)
        document = decode_document(latest.value) if latest.value else None
        seats = {name: self._seat(name, attempt, document) for name in self._names(latest)}
        majority = _is_readable(attempt)
        settled = protocol.is_settled(attempt.seen, attempt.known)
        return Reading(document, seats, majority, settled)

    def _names(self, latest: Copy) -> list[str]:
        return sorted({*self._members, *(seat.name for seat in latest.configuration.everybody)})

    def _seat(self, name: str, attempt: Attempt, document: RegisterDocument | None) -> SeatReading:
        one = attempt.seen.get(name)
        entries = document.configuration.everybody if document is not None else frozenset()
        if document is not None and not any(seat.name == name for seat in entries):
            return SeatReading(name, "no seat", "it is none of the register's")
        if one is None:
            missing = "no access to it is known" if name not in self._members else "no answer yet"
            return SeatReading(name, "unreachable", attempt.silent.get(name, missing))
        if one.copy is None:
            return SeatReading(name, "lost", self._damage.get(name, "its copy is gone"))
        standing = protocol.copy_states(attempt.seen, attempt.known)[name]
        if (
            entries
            and standing is CopyState.COUNTS
            and not any(one.is_of(seat) for seat in entries)
        ):
            standing = CopyState.LOST
        state, why = _STATES[standing]
        found = self._objects.get(name, {})
        held = decode_document(one.copy.value).version if one.copy.value else 0
        return SeatReading(
            name,
            "counts" if state == CopyState.STALE else state,
            why,
            max(0, document.version - held) if document is not None else 0,
            written_at(found),
            one.copy.accepted.by,
            str(map_of(found.get("data")).get(LOOK) or ""),
        )

    # -- changing --------------------------------------------------------------------------

    def change(self, function: Callable[[RegisterDocument], RegisterDocument]) -> RegisterDocument:
        """Replace the document by what ``function`` makes of the latest one, and return it.

        ``function`` must be pure: it is called again where another proposer was quicker. It may
        raise, and nothing is changed. What it returns unchanged is only made sure of. It sets
        neither ``version`` nor ``changes``.

        Raises NoMajority; whether it was carried out is not known then, and calling this again
        with a function that asks whether it was is safe.
        """
        with self._lock:
            self.chosen = None
            document = self._change(function)
            if document.configuration.previous:
                document = self._change(_joined)
            self.chosen = document
            return document

    def settle(self) -> RegisterDocument:
        """The document, known to be chosen: a linearizable read. Writes where copies differ."""
        reading = self.read()
        if reading.settled and reading.document is not None:
            return reading.document
        return self.change(lambda document: document)

    def look(self, text: str) -> None:
        """What the next write to this seat's own copy puts beside it (not part of the value)."""
        if len(text.encode()) > MAX_VOTES_BYTES:
            raise ReconcileError(f"a look of more than {MAX_VOTES_BYTES} bytes")
        self._look = text

    def write_votes(self) -> str:
        """Write the look now, beside this seat's copy as it is; why that failed, or ""."""
        with self._lock:
            if self._look is None or self.me not in self._members:
                return ""
            member = self._members[self.me]
            try:
                found = member.get(CONFIG_MAPS, self.key, timeout=self._request_seconds)
                if found is None:
                    return f"{self.where}: {self.me} has none"
                body = self._body(self.me, found, map_of(found.get("data")))
                member.replace(CONFIG_MAPS, self.key, body, timeout=self._request_seconds)
            except ClusterError as error:
                return str(error)
            return ""

    def _change(self, function: Callable[[RegisterDocument], RegisterDocument]) -> RegisterDocument:
        name = uuid.uuid4().hex[:12]
        first = 0
        deadline = self._clock() + self._patience
        for tries in count():
            is_known = protocol.is_promised(self._attempt)
            attempt = self._promises(self._attempt, deadline)
            if protocol.is_promised(attempt):
                # Where the function raises, the next change may use what was promised.
                self._attempt = attempt
                before = decode_document(protocol.latest(attempt.seen, attempt.known).value)
                carried_out = first and _was_carried_out(before, first, name)
                after = before if carried_out else self._computed(function, before)
                settled = protocol.is_settled(attempt.seen, attempt.known)
                if after == before and settled:
                    if not is_known:
                        return before
                    # Nobody was asked yet whether it still is so.
                    reading = self.read()
                    if reading.settled and reading.document == before:
                        return before
                    if self._clock() < deadline:
                        continue
                if after != before:
                    first = min(first or after.version, after.version)
                    after = replace(after, changes=(*before.changes, name)[-CHANGES_KEPT:])
                wanted = Proposal(after.configuration, encode_document(after))
                proposal = protocol.next_proposal(attempt, wanted)
                attempt = protocol.propose(attempt, proposal)
                self._highest = attempt.ballot.following.counter
                attempt = self._talk(attempt, protocol.is_accepted, deadline)
                if protocol.is_accepted(attempt):
                    self._attempt = protocol.following(attempt)
                    if proposal == wanted:
                        return after
                    continue
            self._attempt = protocol.again(attempt)
            if self._clock() >= deadline:
                raise self._no_majority(attempt)
            self._pause(min(0.05 * 2 ** min(tries, 5), 1.0) * self._chance())
        raise AssertionError("unreachable")

    def _computed(
        self, function: Callable[[RegisterDocument], RegisterDocument], before: RegisterDocument
    ) -> RegisterDocument:
        after = function(before)
        if after == before:
            return before
        if before.dissolved:
            raise dissolved(self.where)
        return replace(after, version=before.version + 1)

    def _promises(self, attempt: Attempt, deadline: float) -> Attempt:
        """The attempt with the promises of a quorum, if they could be had."""
        if not protocol.is_promised(attempt):
            # However late it is: what is told of the seats in the end is what was read here.
            until = max(deadline, self._clock() + GRACE_SECONDS)
            attempt = self._talk(protocol.again(attempt), _is_readable, until)
            if not _is_readable(attempt):
                return attempt
            attempt = protocol.prepare(attempt, self._highest)
            self._highest = attempt.ballot.counter
        return self._talk(attempt, protocol.is_promised, deadline)

    def _no_majority(self, attempt: Attempt) -> ReconcileError:
        reading = self._reading(attempt)
        if reading.document is None and not attempt.silent:
            return ReconcileError(
                f"there is no register at the seats {', '.join(self._members)} ({self.where})",
                hint="reconcile seats init makes it",
            )
        wrong = {
            one.name: one
            for one in reading.seats.values()
            if one.state in ("lost", "aged", "unreachable")
        }
        reasons = "; ".join(
            f"{one.name} is {one.state}{f' ({one.why})' if one.why else ''}"
            for one in wrong.values()
        )
        hint = "reconcile seats shows them all"
        if any(one.state in ("lost", "aged") for one in wrong.values()):
            hint = "reconcile seats repair writes copies that were lost or set back"
        if not wrong:
            return NoMajority(f"other runs change {self.where} all the time", {}, hint="run again")
        words = f"no majority of the seats answers and counts: {reasons} ({self.where})"
        return NoMajority(words, {n: one.why or one.state for n, one in wrong.items()}, hint=hint)

    # -- who holds a copy ------------------------------------------------------------------

    def initialise(
        self, seats: Sequence[str], first: RegisterDocument | None = None
    ) -> RegisterDocument:
        """Make the register, with what ``first`` holds; all seats must answer.

        One that was begun and not finished is finished; one that is there already stays as it is,
        if it is of these seats. Raises ReconcileError.
        """
        with self._lock:
            reading = self.read()
            unknown = set(seats) - set(self._members)
            silent = {n: one.why for n, one in reading.seats.items() if one.state == "unreachable"}
            missing = {n: silent[n] for n in seats if n in silent} | dict.fromkeys(
                unknown, "no access to it is known"
            )
            if missing:
                reasons = "; ".join(f"{name}: {why}" for name, why in sorted(missing.items()))
                raise NoMajority(
                    f"all seats must answer when the register is made; {reasons}",
                    missing,
                    hint="run it again when they do; it goes on where it stopped",
                )
            there = reading.document
            if there is not None and not there.dissolved:
                names = {seat.name for seat in there.configuration.seats}
                if names != set(seats):
                    raise ReconcileError(
                        f"{self.where} is there already, of the seats {', '.join(sorted(names))}",
                        hint="reconcile seats replace changes them",
                    )
                return self.change(lambda document: document)
            if there is not None and not reading.settled:
                raise ReconcileError(
                    f"a register that was dissolved is in the way ({self.where})",
                    hint="reconcile seats dissolve ends it at all of its seats",
                )
            return self._make(seats, first or RegisterDocument(), there)

    def _make(
        self, seats: Sequence[str], first: RegisterDocument, dissolved: RegisterDocument | None
    ) -> RegisterDocument:
        version = (dissolved.version if dissolved else 0) + 1
        above = [one.copy.promised.counter for one in self._attempt.seen.values() if one.copy]
        ballot = Ballot(max([self._highest, *above]) + 1, self.by)
        self._highest = ballot.counter + 1
        # A promise of every seat first, which tells the UIDs.
        promised: dict[str, Copy] = {}
        made: dict[str, Object] = {}
        for name in seats:
            one = self._attempt.seen[name]
            before = one.copy or Copy(ballot, incarnation=version)
            promised[name] = replace(before, promised=ballot)
            made[name] = self._put(name, self._objects.get(name), promised[name])
        voters = tuple(
            Seat(name, str(made[name]["metadata"]["uid"]), promised[name].incarnation)
            for name in sorted(seats)
        )
        document = replace(first, version=version, configuration=Configuration(voters))
        text = encode_document(document)
        for name in seats:
            others = tuple((n, promised[n].watermark) for n in sorted(seats) if n != name)
            accepted = Copy(
                ballot.following,
                ballot,
                document.configuration,
                text,
                promised[name].incarnation,
                others,
            )
            self._put(name, made[name], accepted)
        self._attempt = replace(self._attempt, stage=Stage.READ, seen={}, silent={})
        return self.settle()

    def replace_seat(self, old: str, new: str) -> RegisterDocument:
        """``new`` instead of ``old``, which need not answer. Raises NoMajority, ReconcileError."""
        return self.change_seats(leaves=old, comes=new)

    def add_seat(self, name: str) -> RegisterDocument:
        """One more. Raises NoMajority, ReconcileError."""
        return self.change_seats(comes=name)

    def remove_seat(self, name: str) -> RegisterDocument:
        """One less; it need not answer. Raises NoMajority, ReconcileError."""
        return self.change_seats(leaves=name)

    def repair_seat(self, name: str) -> RegisterDocument:
        """A full copy for a seat whose own was lost or set back, from when on it counts again."""
        return self.change_seats(leaves=name, comes=name)

    def dissolve(self) -> RegisterDocument:
        """Give the register up: the document stays to be read, and is never changed again."""
        return self.change(lambda document: replace(document, dissolved=True))

    def change_seats(self, *, leaves: str = "", comes: str = "") -> RegisterDocument:
        """``comes`` instead of ``leaves``; either may be "". The same name twice: its copy anew.

        Raises NoMajority, ReconcileError.
        """
        with self._lock:
            before = self.change(lambda document: document)
            names = {seat.name for seat in before.configuration.seats}
            if comes and comes != leaves and comes in names:
                return before if leaves not in names else self.change_seats(leaves=leaves)
            if leaves and leaves not in names and comes not in names:
                raise ReconcileError(
                    f"{leaves} is none of the seats {', '.join(sorted(names))}",
                    hint="reconcile seats shows them",
                )
            if comes and comes not in self._members:
                raise ReconcileError(f"no access to {comes} is known")
            stay = [seat for seat in before.configuration.seats if seat.name != leaves]
            if comes:
                stay.append(self._install(comes, before))
            joint = Configuration(tuple(sorted(stay)), before.configuration.seats)

            def begin(document: RegisterDocument) -> RegisterDocument:
                if document.configuration == joint:
                    return document
                if document.configuration != before.configuration:
                    raise ReconcileError(
                        "somebody else changes the seats as well", hint="look, and run it again"
                    )
                return replace(document, configuration=joint)

            return self.change(begin)

    def _install(self, name: str, document: RegisterDocument) -> Seat:
        """Write a full copy where none counts yet; the seat that it will be."""
        attempt = self._attempt
        latest = protocol.latest(attempt.seen, attempt.known)
        incarnation = document.version + 1
        member = self._members[name]
        found = member.get(CONFIG_MAPS, self.key, timeout=self._request_seconds)
        if found is not None:
            try:
                there = copy_of(found).incarnation
            except DamagedCopy:
                there = 0
            if there >= incarnation:
                raise ReconcileError(
                    f"somebody else makes {name} a seat as well", hint="look, and run it again"
                )
        others = {n: watermark for n, watermark in attempt.known.items() if n != name}
        copy = replace(latest, incarnation=incarnation, acknowledged=tuple(sorted(others.items())))
        written = self._put(name, found, copy)
        return Seat(name, str(written["metadata"]["uid"]), incarnation)

    def _put(self, name: str, found: Object | None, copy: Copy) -> Object:
        """One write outside of an attempt, and what is known of that seat after it."""
        member = self._members[name]
        body = self._body(name, found, data_of(copy, self._told_now()))
        try:
            if found is None:
                written = member.create(
                    CONFIG_MAPS,
                    body,
                    namespace=self.key.namespace,
                    timeout=self._request_seconds,
                )
            else:
                written = member.replace(CONFIG_MAPS, self.key, body, timeout=self._request_seconds)
        except NotFound as error:
            raise ReconcileError(
                f"{self.where} cannot be written at {name}: {error}",
                hint=f"kubectl create namespace {self.key.namespace}, at {name}",
            ) from error
        except errors.Conflict as error:
            raise ReconcileError(
                f"somebody else writes {self.where} at {name}", hint="run it again"
            ) from error
        seen, known = dict(self._attempt.seen), dict(self._attempt.known)
        seen[name] = _seen(written)
        self._objects[name] = written
        known = with_watermarks(known, [(name, copy.watermark)])
        self._attempt = replace(self._attempt, seen=seen, known=known)
        return written

    # -- talking to the seats --------------------------------------------------------------

    def _talk(
        self, attempt: Attempt, is_done: Callable[[Attempt], bool], deadline: float
    ) -> Attempt:
        """Send what the attempt asks for and take what comes, until it is done and the other seats
        had their moment, or until nothing more can come in time."""
        attempt = self._take_what_came(attempt)
        grace: float | None = None
        while True:
            for request in protocol.requests(attempt):
                if request.seat not in self._busy:
                    self._send(request)
            done = is_done(attempt)
            # Those that were silent before have what is sent to them, and are not waited for.
            waiting = self._busy - self._late if done else self._busy
            if not waiting:
                return attempt
            if done or protocol.is_refused(attempt):
                grace = grace or self._clock() + GRACE_SECONDS
            left = (deadline if grace is None else min(grace, deadline)) - self._clock()
            try:
                arrival = self._mailbox.get(timeout=max(left, 0.001))
            except queue.Empty:
                self._late |= self._busy
                return attempt
            attempt = self._take(attempt, arrival)

    def _take_what_came(self, attempt: Attempt) -> Attempt:
        while True:
            try:
                attempt = self._take(attempt, self._mailbox.get_nowait())
            except queue.Empty:
                return attempt

    def _take(self, attempt: Attempt, arrival: _Arrival) -> Attempt:
        request, answer, found = arrival.request, arrival.answer, arrival.found
        self._busy.discard(request.seat)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, NoReply):
            self._late.add(request.seat)
        else:
            self._late.discard(request.seat)
        if arrival.reading < self._readings:
            # It was asked for before this reading began, so it may be older than what others have
            # been told since. The seat is asked again.
            return attempt
        if isinstance(answer, ObservedCopy):
            if found is None:
                self._objects.pop(request.seat, None)
            else:
                self._objects[request.seat] = found
        return protocol.answered(attempt, request, answer)

    def _send(self, request: SeatRequest) -> None:
        self._busy.add(request.seat)
        body: Object | None = None
        if request.copy is not None:
            data = data_of(request.copy, self._told_now())
            body = self._body(request.seat, self._objects[request.seat], data)
            # The very object that was judged, whatever has been read since.
            body["metadata"] |= {"uid": request.uid, "resourceVersion": request.version}

        reading = self._readings

        def work() -> None:
            try:
                arrival = _Arrival(reading, request, *self._asked(request.seat, body))
            except Exception as defect:  # noqa: BLE001 - raised again where it is waited for
                arrival = _Arrival(reading, request, defect)
            self._mailbox.put(arrival)

        threading.Thread(target=work, name=f"seat {request.seat}", daemon=True).start()

    def _asked(self, name: str, body: Object | None) -> tuple[Answer, Object | None]:
        member, seconds = self._members[name], self._request_seconds
        try:
            if body is None:
                found = member.get(CONFIG_MAPS, self.key, timeout=seconds)
            else:
                found = member.replace(CONFIG_MAPS, self.key, body, timeout=seconds)
        except (errors.Conflict, NotFound):
            return Changed(), None
        except ClusterError as error:
            why = str(error)
            if isinstance(error, ApiError):
                why = f"refused: {error}"
            return NoReply(why), None
        if found is None:
            self._damage[name] = "its copy is gone"
            return ObservedCopy(None), None
        try:
            return _seen(found), found
        except DamagedCopy as error:
            self._damage[name] = str(error)
            metadata = found["metadata"]
            damaged = ObservedCopy(
                None, str(metadata.get("uid")), str(metadata.get("resourceVersion"))
            )
            return damaged, found

    def _body(self, name: str, found: Object | None, data: Mapping[str, str]) -> Object:
        """A seat's object with this data; whatever else was in it stays."""
        metadata = own_metadata(self.key, self._federation, found)
        kept = dict(map_of((found or {}).get("data"))) | dict(data)
        if name == self.me and self._look is not None:
            kept[LOOK] = self._look
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": kept}

    def _told_now(self) -> str:
        return datetime.fromtimestamp(self._now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_readable(attempt: Attempt) -> bool:
    return protocol.is_readable(attempt.seen, attempt.known)


def _seen(found: Object) -> ObservedCopy:
    metadata = found["metadata"]
    uid, version = str(metadata.get("uid")), str(metadata.get("resourceVersion"))
    return ObservedCopy(copy_of(found), uid, version)


def _joined(document: RegisterDocument) -> RegisterDocument:
    """The end of a change of seats."""
    return replace(document, configuration=Configuration(document.configuration.seats))


def _was_carried_out(document: RegisterDocument, version: int, name: str) -> bool:
    """Whether the change of this name, first proposed as that version, is part of the document.

    Raises ReconcileError where too many others came since.
    """
    if document.version < version:
        return False
    if document.version - version >= len(document.changes):
        raise ReconcileError(
            "whether a change of the register was carried out is no longer known",
            hint="run it again; it starts from what is true then",
        )
    return name in document.changes
