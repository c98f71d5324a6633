"""What is wrong with the seats, and what is said to be done about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from reconciler.seats.document import RegisterDocument
from reconciler.seats.protocol import Configuration, Seat
from reconciler.seats.register import Reading, SeatReading
from reconciler.status.seats import SeatHealth, seats_document, seats_status

SEATS = ("aws-eu", "gcp-eu", "onprem")
NOW = 1_000_000.0
GOOD = SeatHealth(NOW - 60, {"aws-eu": "healthy"})


def status(
    states: Mapping[str, str] | None = None,
    *,
    wanted: tuple[str, ...] = SEATS,
    looks: Mapping[str, SeatHealth] | None = None,
    witnesses: Sequence[str] = (),
    **changed: Any,
) -> Any:
    """Three seats of version 7; ``states`` are those of single ones."""
    given = {name: SeatReading(name, (states or {}).get(name, "counts")) for name in SEATS}
    voters = tuple(Seat(name, f"uid-{name}", 1) for name in SEATS)
    reading = Reading(
        RegisterDocument(7, Configuration(voters)),
        given,
        majority=sum(one.state == "counts" for one in given.values()) > 1,
        settled=True,
    )
    for name, value in changed.items():
        reading = _with(reading, name, value)
    if looks is None:
        looks = {name: GOOD for name in SEATS if given[name].state == "counts"}
    return seats_status("shop", wanted, reading, looks, NOW, witnesses)


def _with(reading: Reading, name: str, value: Any) -> Reading:
    from msgspec.structs import replace

    return replace(reading, **{name: value})


def test_where_all_is_well_nothing_is_to_be_done() -> None:
    assert status().troubles == ()


@pytest.mark.parametrize(
    ("states", "seat", "way"),
    [
        ({"gcp-eu": "lost"}, "gcp-eu", "reconcile seats repair gcp-eu"),
        ({"gcp-eu": "aged"}, "gcp-eu", "reconcile seats repair gcp-eu"),
        ({"onprem": "unreachable"}, "onprem", "reconcile seats replace onprem NEW"),
        ({"onprem": "unreachable", "gcp-eu": "lost"}, "", "bring one of those"),
        ({"onprem": "unreachable", "gcp-eu": "lost"}, "gcp-eu", "once a majority counts"),
    ],
)
def test_each_state_has_its_command(states: dict[str, str], seat: str, way: str) -> None:
    ways = [one.next for one in status(states).troubles if one.seat == seat]
    assert len(ways) == 1
    assert way in ways[0]


def test_a_seat_whose_runs_do_not_look_is_told() -> None:
    old = {**dict.fromkeys(SEATS, GOOD), "onprem": SeatHealth(NOW - 7200, {})}
    (trouble,) = status(looks=old).troubles
    assert (trouble.seat, "120 minutes" in trouble.text) == ("onprem", True)
    never = {name: GOOD for name in SEATS if name != "onprem"}
    (trouble,) = status(looks=never).troubles
    assert "no run has looked from there yet" in trouble.text
    assert status(looks=never, witnesses=["onprem"]).troubles == ()


def test_seats_of_git_that_are_others_are_told_with_both_ways() -> None:
    (trouble,) = status(wanted=("aws-eu", "gcp-eu", "azure-eu")).troubles
    assert "put onprem into spec.seats" in trouble.next
    assert "reconcile seats replace onprem azure-eu" in trouble.next


def test_no_register_and_a_dissolved_one_differ() -> None:
    (none,) = status(document=None, majority=False).troubles
    assert none.next == "reconcile seats init"
    (gone,) = status(document=RegisterDocument(9, dissolved=True)).troubles
    assert "dissolved" in gone.text


def test_json_says_no_version_of_a_copy_that_is_not_there() -> None:
    found = seats_document(status({"gcp-eu": "lost"}))
    rows = {one["name"]: one for one in found["seats"]}
    assert (rows["aws-eu"]["version"], rows["aws-eu"]["lag"]) == (7, 0)
    assert (rows["gcp-eu"]["version"], rows["gcp-eu"]["lag"]) == (None, None)
    assert "reconcile seats repair gcp-eu" in found["problems"][0]["next"]
