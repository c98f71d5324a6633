"""Every world that proposers and seats can get into, and that broken rules are found there."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.seats import protocol
from reconciler.seats.protocol import (
    Attempt,
    Ballot,
    Configuration,
    Copy,
    CopyState,
    ObservedCopy,
    Proposal,
    Seat,
    SeatRequest,
    Watermark,
)
from tests.unit.seats.explore import LARGER, SCENARIOS, TWO, Explorer
from tests.unit.seats.worlds import Faults, Scenario, Violation

BY_NAME = {scenario.name: scenario for scenario in (*SCENARIOS, *LARGER)}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_nothing_that_was_chosen_is_lost_whatever_happens(scenario: Scenario) -> None:
    figures = Explorer(scenario).run()

    assert figures.complete
    assert figures.worlds > 1000


@pytest.mark.parametrize("scenario", LARGER, ids=lambda scenario: scenario.name)
def test_nothing_that_was_chosen_is_lost_in_longer_histories_by_chance(scenario: Scenario) -> None:
    seed = random.randrange(1_000_000)
    longer = dataclasses.replace(
        scenario,
        name=f"{scenario.name}, seed {seed}",
        tries=dict.fromkeys(scenario.proposers, 4),
        faults=dataclasses.replace(scenario.faults, lost=2, late=2, delayed=2),
    )
    explorer, chance = Explorer(longer), random.Random(seed)

    steps = [explorer.walk(chance) for _ in range(60)]

    assert sum(steps) > 600, longer.name


# -- broken rules ----------------------------------------------------------------------------

copy_states, requests, prepare = protocol.copy_states, protocol.requests, protocol.prepare


def half_is_enough(votes: frozenset[Seat], seats: tuple[Seat, ...]) -> bool:
    return 2 * len(votes.intersection(seats)) >= len(seats) - 1


def every_ballot_gets_a_promise(copy: Copy, ballot: Ballot) -> bool:
    return ballot != copy.promised


def promises_are_not_kept(copy: Copy, ballot: Ballot) -> bool:
    return ballot > copy.accepted


def always_the_same_ballot(attempt: Attempt, above: int = 0) -> Attempt:
    prepared = prepare(attempt, above)
    return replace(prepared, ballot=Ballot(9, attempt.by)) if attempt.by == "q" else prepared


def ignoring(*ignored: CopyState) -> Callable[..., dict[str, CopyState]]:
    def judged(
        seen: Mapping[str, ObservedCopy], known: Mapping[str, Watermark]
    ) -> dict[str, CopyState]:
        found = copy_states(seen, known)
        return {
            name: CopyState.COUNTS if one in ignored and seen[name].copy else one
            for name, one in found.items()
        }

    return judged


def any_object_of_that_name(one: ObservedCopy, seat: Seat) -> bool:
    return one.copy is not None


def without_condition(attempt: Attempt) -> tuple[SeatRequest, ...]:
    return tuple(replace(one, uid="", version="") for one in requests(attempt))


def majority_of_the_new_seats(self: Configuration, votes: Iterable[Seat]) -> bool:
    return protocol.is_majority(frozenset(votes), self.seats)


def what_is_wanted(attempt: Attempt, wanted: Proposal) -> Proposal:
    return wanted


def always(*_: Any) -> bool:
    return True


def the_first_found(copies: Iterable[Copy]) -> Copy:
    return next(iter(copies), Copy(Ballot()))


IMPATIENT = Scenario(
    "q tries again",
    TWO,
    faults=Faults(lost=1),
    tries={"q": 2},
    acknowledged=False,
    impatient=True,
)
TRIES_AGAIN = BY_NAME["one tries again"]
MUTATIONS: list[tuple[str, str, Any, Scenario]] = [
    ("a majority too small", "is_majority", half_is_enough, BY_NAME["two proposers"]),
    (
        "a promise to any ballot",
        "may_promise",
        every_ballot_gets_a_promise,
        BY_NAME["one tries again"],
    ),
    ("promises not kept", "may_accept", promises_are_not_kept, BY_NAME["two proposers"]),
    ("a ballot used again", "prepare", always_the_same_ballot, IMPATIENT),
    ("not the latest value", "_latest", the_first_found, IMPATIENT),
    ("no condition on versions", "requests", without_condition, BY_NAME["two proposers"]),
    (
        "another object counts",
        "ObservedCopy.is_of",
        any_object_of_that_name,
        BY_NAME["a seat remade"],
    ),
    ("set back and counts", "copy_states", ignoring(CopyState.AGED), BY_NAME["a seat set back"]),
    (
        "seats changed by the new ones alone",
        "Configuration.is_quorum",
        majority_of_the_new_seats,
        BY_NAME["two who change seats"],
    ),
    (
        "seats changed on what is not chosen",
        "next_proposal",
        what_is_wanted,
        BY_NAME["a change of seats that somebody does not know of"],
    ),
    ("any value taken for chosen", "is_settled", always, BY_NAME["a reader"]),
]


@pytest.mark.parametrize(
    ("function", "mutation", "scenario"),
    [pytest.param(*rest, id=what) for what, *rest in MUTATIONS],
)
def test_a_broken_rule_is_found(
    function: str, mutation: Any, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{protocol.__name__}.{function}", mutation)

    with pytest.raises(Violation) as found:
        Explorer(scenario).run(1_000_000)

    assert found.value.steps
