"""The seats of a federation, as one look at the register finds them; what is wrong, and what to do.

Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct

from reconciler.seats.register import Reading, SeatReading

STALE_OBSERVATION_SECONDS = 1800.0
"""A seat of which no run has looked for so long has a CronJob that does not run."""


class Trouble(Struct, frozen=True):
    """What is wrong with a seat ("" with all of them), and what to do about it."""

    seat: str
    text: str
    next: str = ""


class SeatHealth(Struct, frozen=True):
    """How each cluster looked from a seat, and when (Unix seconds)."""

    at: float | None = None
    clusters: Mapping[str, str] = {}


class SeatsStatus(Struct, frozen=True):
    """``wanted`` are the seats of Git, ``reading`` what their copies say, ``looks`` by seat."""

    federation: str
    wanted: tuple[str, ...]
    reading: Reading
    looks: Mapping[str, SeatHealth]
    troubles: tuple[Trouble, ...]

    @property
    def seats(self) -> tuple[SeatReading, ...]:
        """All that are one, or are to be."""
        return tuple(self.reading.seats[name] for name in sorted(self.reading.seats))

    @property
    def voters(self) -> tuple[str, ...]:
        """Those of the register."""
        document = self.reading.document
        return tuple(s.name for s in document.configuration.seats) if document else ()


def seats_status(
    federation: str,
    wanted: Sequence[str],
    reading: Reading,
    looks: Mapping[str, SeatHealth],
    now: float,
    witnesses: Collection[str] = (),
) -> SeatsStatus:
    """What is known, and what is wrong with it; ``now`` is Unix time. No run is at ``witnesses``,
    so none looks from there."""
    troubles = [*_of_all(wanted, reading)]
    if reading.document is not None and not reading.document.dissolved:
        troubles += _of_configuration(wanted, reading)
        for name in sorted(reading.seats):
            look = looks.get(name, SeatHealth(now if name in witnesses else None))
            troubles += _of_seat(reading.seats[name], look, now, majority=reading.majority)
    return SeatsStatus(federation, tuple(wanted), reading, looks, tuple(troubles))


def _of_all(wanted: Sequence[str], reading: Reading) -> list[Trouble]:
    document = reading.document
    silent = [one.name for one in reading.seats.values() if one.state == "unreachable"]
    if document is None and len(silent) < len(reading.seats):
        return [Trouble("", "there is no register at these seats yet", "reconcile seats init")]
    if document is None:
        return [Trouble("", "none of the seats answers", "look at their API servers")]
    if document.dissolved:
        return [
            Trouble(
                "",
                "the register was dissolved",
                "take spec.seats out of the Federation"
                if wanted
                else "reconcile seats init makes another",
            )
        ]
    if not reading.majority:
        return [
            Trouble(
                "",
                "no majority of the seats answers and counts: runs plan, and write nothing; what "
                "is shown here may be old",
                "bring one of those that are missing back",
            )
        ]
    return []


def _of_configuration(wanted: Sequence[str], reading: Reading) -> list[Trouble]:
    document = reading.document
    if document is None or not wanted:
        return []
    voters = {seat.name for seat in document.configuration.seats}
    gone, new = sorted(voters - set(wanted)), sorted(set(wanted) - voters)
    found = []
    if document.configuration.previous:
        found.append(
            Trouble("", "a change of the seats was begun and not ended", "the next run ends it")
        )
    if len(gone) == len(new) == 1:
        text = f"Git has the seat {new[0]} where the register has {gone[0]}"
        way = f"if the register is right: put {gone[0]} into spec.seats; if Git is: "
        found.append(Trouble("", text, f"{way}reconcile seats replace {gone[0]} {new[0]}"))
    elif gone or new:
        differences = [f"+{name}" for name in new] + [f"-{name}" for name in gone]
        text = f"the seats in Git are others than the register's: {', '.join(differences)}"
        found.append(Trouble("", text, "runs move one seat at a time towards Git"))
    return found


def _of_seat(seat: SeatReading, look: SeatHealth, now: float, *, majority: bool) -> list[Trouble]:
    later = "" if majority else "once a majority counts, "
    if seat.state in ("lost", "aged"):
        words = seat.why or "its copy does not count"
        way = f"{later}the next run writes it a full copy; at once: "
        return [Trouble(seat.name, words, f"{way}reconcile seats repair {seat.name}")]
    if seat.state == "unreachable":
        text = f"no answer: {seat.why}" if seat.why else "no answer"
        way = f"{later}if it is gone for good: reconcile seats replace {seat.name} NEW"
        return [Trouble(seat.name, text, way)]
    if seat.state != "counts":
        return []
    if look.at is None:
        return [Trouble(seat.name, "no run has looked from there yet", "apply its CronJob")]
    if now - look.at > STALE_OBSERVATION_SECONDS:
        minutes = int((now - look.at) // 60)
        text = f"no run has looked from there for {minutes} minutes"
        return [Trouble(seat.name, text, "look at its CronJob and Jobs")]
    return []


def seats_document(status: SeatsStatus) -> dict[str, Any]:
    """All of it as JSON has it."""
    document = status.reading.document
    return {
        "federation": status.federation,
        "wanted": list(status.wanted),
        "version": document.version if document else None,
        "majority": status.reading.majority,
        "settled": status.reading.settled,
        "dissolved": bool(document and document.dissolved),
        "changing": bool(document and document.configuration.previous),
        "lock": dict(document.lock) if document and document.lock else None,
        "seats": [_seat_document(status, one) for one in status.seats],
        "problems": [
            {"seat": one.seat or None, "problem": one.text, "next": one.next}
            for one in status.troubles
        ],
    }


def _seat_document(status: SeatsStatus, one: SeatReading) -> dict[str, Any]:
    document, look = status.reading.document, status.looks.get(one.name, SeatHealth())
    known = document is not None and one.state in ("counts", "aged")
    return {
        "name": one.name,
        "state": one.state,
        "why": one.why,
        "version": document.version - one.behind if document is not None and known else None,
        "lag": one.behind if known else None,
        "written": one.written or None,
        "by": one.by or None,
        "look": {"at": look.at, "clusters": dict(look.clusters)} if look.at else None,
    }
