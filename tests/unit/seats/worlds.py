"""What a search through a register's histories is made of: scenarios, worlds, votes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from reconciler.seats.protocol import Attempt, Ballot, Configuration, Seat


class Violation(AssertionError):
    """Something that must hold does not; ``steps`` lead there."""

    def __init__(self, what: str, steps: tuple[str, ...] = ()) -> None:
        super().__init__("\n".join([what, *(f"  {step}" for step in steps)]))
        self.what = what
        self.steps = steps


@dataclass(frozen=True)
class Faults:
    """How often each may happen in one history."""

    lost: int = 0
    """An answer never arrives; the request was carried out."""
    late: int = 0
    """A request is given up, and carried out at any later time, or never."""
    delayed: int = 0
    """An answer arrives at any later time."""
    doubled: int = 0
    """A request is carried out now, and once more at any later time."""
    wiped: int = 0
    """A seat's object is deleted."""
    remade: int = 0
    """A seat's object is recreated by somebody, with some earlier content: another UID."""
    aged: int = 0
    """A seat's object is as it once was, UID and version included."""


KINDS = tuple(Faults.__dataclass_fields__)
LOST, LATE, DELAYED, DOUBLED, WIPED, REMADE, AGED = range(len(KINDS))


@dataclass(frozen=True)
class Scenario:
    """``proposers``: name -> what it does, one after the other: ``+x`` appends x to the value,
    ``read``, ``replace c d``, ``repair c``, ``finish`` (a change of seats that somebody began).
    """

    name: str
    proposers: dict[str, tuple[str, ...]]
    seats: tuple[str, ...] = ("a", "b", "c")
    others: tuple[str, ...] = ()
    faults: Faults = Faults()
    tries: Mapping[str, int] = field(default_factory=dict)
    """How many ballots each may begin for an operation; one, if nothing is said."""
    acknowledged: bool = True
    """Whether copies say what is known of other seats. Without, there are far fewer worlds, and all
    that can happen with it can happen where nothing is set back: it only ever takes votes away."""
    fresh: tuple[str, ...] = ()
    """Proposers that begin by reading; the others have read every seat before anything happens."""
    impatient: bool = False
    """Whether a ballot is given up at any time, and not only where nothing more can come of it."""
    behind: tuple[str, ...] = ()
    """Seats that have missed what was accepted last when it begins."""
    begun: bool = False
    """Somebody began to replace c by d, reached one seat, and is gone."""
    hurt: tuple[str, ...] = ()
    """The only seats that are deleted or set back; all, if empty."""


class Object(NamedTuple):
    """A seat's object. What it holds is its version, too: a proposer's write never brings back what
    was there before, and an object that was set back has the version that it had."""

    uid: str
    copy: int


class Local(NamedTuple):
    """One proposer. ``operation`` counts those that it has finished, ``phase`` is within a change
    of seats, ``highest`` the counter of the highest ballot that it has used, ``tries`` how many it
    may still begin. ``note`` is what the phase needs to know."""

    operation: int
    attempt: int
    highest: int
    tries: int
    phase: str = ""
    note: Any = None
    sure_first: bool = False
    """What is proposed is the value as it was found, to be sure of it."""


class World(NamedTuple):
    """``pending``: answers on their way, ``late``: requests on theirs. ``past``: what each object
    once was, as long as one may be set back. ``votes``: every time that a seat accepted; ``chosen``
    is the latest value that a quorum accepted. ``aged``: seats that were set back. ``fooled``:
    somebody wrote to one of them, and had no way to know that it was set back."""

    objects: tuple[Object | None, ...]
    locals: tuple[Local, ...]
    faults: tuple[int, ...]
    pending: frozenset[tuple[int, int, int]] = frozenset()
    late: frozenset[int] = frozenset()
    past: tuple[frozenset[Object], ...] = ()
    votes: frozenset[int] = frozenset()
    chosen: bytes = b""
    aged: frozenset[Seat] = frozenset()
    fooled: bool = False


class Vote(NamedTuple):
    ballot: Ballot
    configuration: Configuration
    value: bytes
    seat: Seat


T = TypeVar("T")


class Interned(Generic[T]):
    """A number for each value, the same for equal ones."""

    def __init__(self) -> None:
        self.values: list[T] = []
        self._numbers: dict[Any, int] = {}

    def number(self, value: T, key: Any = None) -> int:
        key = value if key is None else key
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = len(self.values)
            self.values.append(value)
        return found


def attempt_key(one: Attempt) -> Any:
    return (
        one.by,
        one.stage,
        one.ballot,
        one.sent_watermarks,
        one.proposal,
        tuple(sorted(one.seen.items(), key=lambda item: item[0])),
        tuple(sorted(one.known.items())),
        tuple(sorted(one.silent)),
    )


def has_majority(given: set[Seat], seats: tuple[Seat, ...]) -> bool:
    """The explorer's own, as the product's may be wrong."""
    return len(given & set(seats)) > len(seats) / 2


def has_quorum(given: set[Seat], configuration: Configuration) -> bool:
    previous = configuration.previous
    return has_majority(given, configuration.seats) and (
        not previous or has_majority(given, previous)
    )


def are_linear(one: bytes, other: bytes) -> bool:
    """Whether one of two values was made from the other."""
    return one.startswith(other) or other.startswith(one)
