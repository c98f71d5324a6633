"""CASPaxos over objects that are changed by conditional writes only; no I/O, no clock.

Each seat holds one copy. A change reads the copies, writes a promise into each, computes the new
value from the one that was accepted last, and writes that into each; a majority each time. What is
written carries the version (resourceVersion) and UID that were read, so that a seat needs no code
of its own: its API server's compare-and-swap is the acceptor (CASPaxos, Rystsov 2018).

``Attempt`` is one ballot of one proposer as a value: ``requests`` says what may be sent now,
``answered`` takes an answer, at any time and in any order. Both the product and the search through
all that can happen run these functions. docs/seats.md has what holds, and why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace


class Ballot(Struct, frozen=True, order=True):
    """The number of one proposal. ``by`` is the proposer's name, unique for its process: no two
    proposers have one ballot, and none has one ballot for two values."""

    counter: int = 0
    by: str = ""

    @property
    def following(self) -> Ballot:
        """The same proposer's next one, which an accepted one promises along with it."""
        return Ballot(self.counter + 1, self.by)


NONE = Ballot()


class Watermark(Struct, frozen=True, order=True):
    """How far a copy is: each write of a proposer to it makes this higher."""

    incarnation: int = 0
    promised: Ballot = NONE


class Seat(Struct, frozen=True, order=True):
    """One acceptor: the object with this UID, since it was given ``incarnation``."""

    name: str
    uid: str
    incarnation: int


class Configuration(Struct, frozen=True):
    """Who votes. While ``previous`` is not empty, a quorum is a majority of both (the joint
    configuration of Raft)."""

    seats: tuple[Seat, ...] = ()
    previous: tuple[Seat, ...] = ()

    @property
    def everybody(self) -> frozenset[Seat]:
        return frozenset(self.seats + self.previous)

    def is_quorum(self, votes: Iterable[Seat]) -> bool:
        """Whether these are a majority of the seats, and of the previous ones if there are any."""
        given = frozenset(votes)
        return is_majority(given, self.seats) and (
            not self.previous or is_majority(given, self.previous)
        )


def is_majority(votes: frozenset[Seat], seats: tuple[Seat, ...]) -> bool:
    """More than half of the seats; never so where there are none."""
    return 2 * len(votes.intersection(seats)) > len(seats)


class Copy(Struct, frozen=True):
    """What one seat's object says; the value is what was accepted last.

    ``acknowledged`` are the highest watermarks of the seats that its writer knew of, by name. What
    it says of its own seat says nothing.
    """

    promised: Ballot
    accepted: Ballot = NONE
    configuration: Configuration = Configuration()
    value: bytes = b""
    incarnation: int = 0
    acknowledged: tuple[tuple[str, Watermark], ...] = ()

    @property
    def watermark(self) -> Watermark:
        return Watermark(self.incarnation, self.promised)

    def __repr__(self) -> str:
        return f"<Copy {self.incarnation} promised {self.promised} accepted {self.accepted}>"


class ObservedCopy(Struct, frozen=True):
    """An object as a seat's server answered; ``copy`` is None where there is none that can be used.

    ``version`` is its resourceVersion. ``known`` is what watermark somebody was known to have seen
    there when this was asked for: a copy that is behind it was set back.
    """

    copy: Copy | None
    uid: str = ""
    version: str = ""
    known: Watermark = Watermark()

    def is_of(self, seat: Seat) -> bool:
        return (
            self.copy is not None
            and self.uid == seat.uid
            and self.copy.incarnation == seat.incarnation
        )


class Changed(Struct, frozen=True):
    """The object is no longer as it was read; nothing was written."""


class NoReply(Struct, frozen=True):
    """No answer, or one that says nothing: what was asked may have been carried out, or may yet."""

    why: str = ""


Answer = ObservedCopy | Changed | NoReply


class SeatRequest(Struct, frozen=True):
    """Read a seat's object (``copy`` None), or replace the one of that UID and version."""

    seat: str
    known: Watermark
    copy: Copy | None = None
    uid: str = ""
    version: str = ""


class CopyState(StrEnum):
    """What a copy is good for. STALE: somebody has seen a later one; it must be read again."""

    COUNTS = "counts"
    LOST = "lost"
    AGED = "aged"
    STALE = "stale"


class Stage(StrEnum):
    READ = "read"
    PREPARE = "prepare"
    ACCEPT = "accept"


class Proposal(Struct, frozen=True):
    configuration: Configuration
    value: bytes

    def __repr__(self) -> str:
        return f"<Proposal of {len(self.value)} bytes>"


class Attempt(Struct, frozen=True):
    """One ballot of one proposer.

    ``seats`` are the names of all that may be asked, ``seen`` what they answered last, ``known``
    the highest watermark that anybody has seen of each, as far as this proposer knows,
    ``sent_watermarks`` the same as it is written into copies, from when the stage began; ``silent``
    why one is not asked again.
    """

    by: str
    seats: tuple[str, ...]
    stage: Stage = Stage.READ
    ballot: Ballot = NONE
    proposal: Proposal | None = None
    seen: Mapping[str, ObservedCopy] = {}
    known: Mapping[str, Watermark] = {}
    sent_watermarks: tuple[tuple[str, Watermark], ...] = ()
    silent: Mapping[str, str] = {}


# -- judging copies ------------------------------------------------------------------------


def copy_states(
    seen: Mapping[str, ObservedCopy], known: Mapping[str, Watermark]
) -> dict[str, CopyState]:
    """What each copy is good for, by what the others say of it; its own word does not count.

    Lost: there is none, or it is another object or incarnation than the latest configuration that
    the others hold has. Aged: it is behind what somebody has seen there. One that is behind what
    was only learned after it was asked for is stale: reads do not happen at one moment.
    """
    found: dict[str, CopyState] = {}
    copies: dict[str, Copy] = {}
    for name, one in seen.items():
        if one.copy is None:
            found[name] = CopyState.LOST
        elif one.copy.watermark < one.known:
            found[name] = CopyState.AGED
        elif one.copy.watermark < known.get(name, one.known):
            found[name] = CopyState.STALE
        else:
            copies[name] = one.copy
    for name in copies:
        others = [copy for other, copy in copies.items() if other != name]
        entries = [seat for seat in _latest(others).configuration.everybody if seat.name == name]
        lost = entries and not any(seen[name].is_of(seat) for seat in entries)
        found[name] = CopyState.LOST if lost else CopyState.COUNTS
    return found


def _latest(copies: Iterable[Copy]) -> Copy:
    return max(copies, key=lambda copy: copy.accepted, default=Copy(NONE))


def latest(seen: Mapping[str, ObservedCopy], known: Mapping[str, Watermark]) -> Copy:
    """The copy that counts and was accepted last; one without a value where there is none."""
    good = copy_states(seen, known)
    return _latest(
        one.copy
        for name, one in seen.items()
        if good[name] is CopyState.COUNTS and one.copy is not None
    )


def is_quorum(
    configuration: Configuration, names: Iterable[str], seen: Mapping[str, ObservedCopy]
) -> bool:
    """Whether the copies of these names, as they were seen, are one."""
    wanted = set(names)
    return configuration.is_quorum(
        seat
        for seat in configuration.everybody
        if seat.name in wanted and seen[seat.name].is_of(seat)
    )


def is_settled(seen: Mapping[str, ObservedCopy], known: Mapping[str, Watermark]) -> bool:
    """Whether what was accepted last is held by a quorum: then it is chosen, and nothing later was
    chosen before these were read. It needs no write to know that."""
    found = latest(seen, known)
    good = copy_states(seen, known)
    holders = [
        name
        for name, one in seen.items()
        if good[name] is CopyState.COUNTS
        and one.copy is not None
        and one.copy.accepted == found.accepted
    ]
    return found.accepted > NONE and is_quorum(found.configuration, holders, seen)


def is_readable(seen: Mapping[str, ObservedCopy], known: Mapping[str, Watermark]) -> bool:
    """Whether a quorum answered and counts."""
    good = copy_states(seen, known)
    counting = [name for name in seen if good[name] is CopyState.COUNTS]
    return is_quorum(latest(seen, known).configuration, counting, seen)


# -- one attempt ---------------------------------------------------------------------------


def requests(attempt: Attempt) -> tuple[SeatRequest, ...]:
    """What may be sent now, at most one request for each seat; none of them waits for another."""
    good = copy_states(attempt.seen, attempt.known)
    wanted = []
    for name in attempt.seats:
        if name in attempt.silent:
            continue
        one = attempt.seen.get(name)
        known = attempt.known.get(name, Watermark())
        if one is None or good[name] is CopyState.STALE:
            wanted.append(SeatRequest(name, known))
        elif (copy := _to_write(attempt, name, one, good[name])) is not None:
            wanted.append(SeatRequest(name, known, copy, one.uid, one.version))
    return tuple(wanted)


def _to_write(attempt: Attempt, name: str, one: ObservedCopy, standing: CopyState) -> Copy | None:
    """The copy as it should become; None where this seat is to be left alone."""
    copy = one.copy
    if copy is None or standing is not CopyState.COUNTS:
        return None
    voters = latest(attempt.seen, attempt.known).configuration.everybody
    if attempt.proposal is not None:
        voters |= attempt.proposal.configuration.everybody
    if not any(seat.name == name and one.is_of(seat) for seat in voters):
        return None
    if attempt.stage is Stage.PREPARE and may_promise(copy, attempt.ballot):
        return replace(copy, promised=attempt.ballot, acknowledged=attempt.sent_watermarks)
    if attempt.proposal is not None and may_accept(copy, attempt.ballot):
        return replace(
            copy,
            promised=attempt.ballot.following,
            accepted=attempt.ballot,
            configuration=attempt.proposal.configuration,
            value=attempt.proposal.value,
            acknowledged=attempt.sent_watermarks,
        )
    return None


def may_promise(copy: Copy, ballot: Ballot) -> bool:
    """A promise is kept: only a higher ballot gets one."""
    return ballot > copy.promised


def may_accept(copy: Copy, ballot: Ballot) -> bool:
    """Not against a promise to a higher ballot, and not twice."""
    return ballot >= copy.promised and ballot > copy.accepted


def answered(attempt: Attempt, request: SeatRequest, answer: Answer) -> Attempt:
    """The attempt with what a seat answered; late answers and those that come twice are welcome."""
    seen, silent, known = dict(attempt.seen), dict(attempt.silent), dict(attempt.known)
    name = request.seat
    if isinstance(answer, NoReply):
        # What was asked may have been carried out: nothing is known of it any more.
        seen.pop(name, None)
        silent[name] = answer.why
    elif isinstance(answer, Changed):
        seen.pop(name, None)
    else:
        silent.pop(name, None)
        seen[name] = replace(answer, known=request.known)
        if answer.copy is not None:
            known = with_watermarks(
                known, [(name, answer.copy.watermark), *answer.copy.acknowledged]
            )
    return replace(attempt, seen=seen, silent=silent, known=known)


def with_watermarks(
    known: Mapping[str, Watermark], others: Iterable[tuple[str, Watermark]]
) -> dict[str, Watermark]:
    """The higher watermark of each."""
    merged = dict(known)
    for name, watermark in others:
        merged[name] = max(watermark, merged.get(name, watermark))
    return merged


def prepare(attempt: Attempt, above: int = 0) -> Attempt:
    """Begin a ballot that is higher than all that was seen, and than the counter ``above``, which
    is that of the highest ballot that this proposer has used or been promised."""
    counters = [one.copy.promised.counter for one in attempt.seen.values() if one.copy is not None]
    ballot = Ballot(max([above, *counters]) + 1, attempt.by)
    return replace(
        attempt, stage=Stage.PREPARE, ballot=ballot, sent_watermarks=_sorted(attempt.known)
    )


def has_promised(attempt: Attempt, name: str) -> bool:
    """Whether the seat has given this ballot its promise, as far as it was seen."""
    copy = attempt.seen[name].copy
    return copy is not None and attempt.ballot in (copy.promised, copy.accepted)


def has_accepted(attempt: Attempt, name: str) -> bool:
    """Whether the seat holds the proposal, as far as it was seen."""
    copy = attempt.seen[name].copy
    return copy is not None and copy.accepted == attempt.ballot


def is_promised(attempt: Attempt) -> bool:
    """Whether a value may be proposed: a quorum of the configuration that the latest value has
    gave its promise."""
    good = copy_states(attempt.seen, attempt.known)
    names = [
        name
        for name in attempt.seen
        if good[name] is CopyState.COUNTS and has_promised(attempt, name)
    ]
    found = latest(attempt.seen, attempt.known)
    return found.accepted < attempt.ballot and is_quorum(found.configuration, names, attempt.seen)


def next_proposal(attempt: Attempt, wanted: Proposal) -> Proposal:
    """What may be proposed now: what is wanted; or, where it changes the seats and the value that
    it was computed from is not known to be chosen, that value as it is."""
    found = latest(attempt.seen, attempt.known)
    if found.configuration == wanted.configuration or is_settled(attempt.seen, attempt.known):
        return wanted
    return Proposal(found.configuration, found.value)


def propose(attempt: Attempt, proposal: Proposal) -> Attempt:
    """Propose what was computed from ``latest(attempt.seen, attempt.known)``.

    Raises ValueError for a configuration that may not follow the one that is there.
    """
    found = latest(attempt.seen, attempt.known)
    if not may_follow(found.configuration, proposal.configuration):
        raise ValueError("this configuration may not follow the one that is there")
    sent_watermarks = _sorted(attempt.known)
    return replace(attempt, stage=Stage.ACCEPT, proposal=proposal, sent_watermarks=sent_watermarks)


def _sorted(known: Mapping[str, Watermark]) -> tuple[tuple[str, Watermark], ...]:
    return tuple(sorted(known.items()))


def may_follow(before: Configuration, after: Configuration) -> bool:
    """The same; the joint one that begins a change of one seat; or the one that ends it."""
    if after == before:
        return True
    if before.previous:
        return after == Configuration(before.seats)
    old, new = set(before.seats), set(after.seats)
    changed = {seat.name for seat in old ^ new}
    return after.previous == before.seats and (
        len(changed) == 1 or (len(changed) == 2 and len(old) == len(new))
    )


def is_accepted(attempt: Attempt) -> bool:
    """Whether a quorum has accepted the proposal; of both configurations while one is changed."""
    if attempt.proposal is None:
        return False
    good = copy_states(attempt.seen, attempt.known)
    names = [
        name
        for name in attempt.seen
        if good[name] is CopyState.COUNTS and has_accepted(attempt, name)
    ]
    return is_quorum(attempt.proposal.configuration, names, attempt.seen)


def is_refused(attempt: Attempt) -> bool:
    """Whether some seat has promised a higher ballot."""
    return any(
        copy.promised > attempt.ballot and attempt.ballot != copy.accepted
        for copy in (one.copy for one in attempt.seen.values())
        if copy is not None
    )


def following(attempt: Attempt) -> Attempt:
    """After a chosen one, the same proposer's next: a quorum promised it as it accepted."""
    ballot, sent_watermarks = attempt.ballot.following, _sorted(attempt.known)
    return replace(
        again(attempt), stage=Stage.PREPARE, ballot=ballot, sent_watermarks=sent_watermarks
    )


def again(attempt: Attempt) -> Attempt:
    """A new attempt that begins with what is known of the copies. Those that did not count or were
    silent are read again: they may have been repaired."""
    good = copy_states(attempt.seen, attempt.known)
    seen = {name: one for name, one in attempt.seen.items() if good[name] is CopyState.COUNTS}
    return Attempt(attempt.by, attempt.seats, seen=seen, known=attempt.known)
