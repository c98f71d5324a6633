"""When windows are open: by the clocks of their zones, over the nights in which those change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.federation.maintenance import (
    evaluate,
    keeping_closed,
    local_time,
    next_opening,
    next_start,
)
from reconciler.federation.model import Window
from tests.strategies import CRON_SCHEDULES

HOUR = 3600.0
CHANGES = {
    "Europe/Berlin": ("2026-03-29T01:00Z", "2026-10-25T01:00Z"),
    "America/New_York": ("2026-03-08T07:00Z", "2026-11-01T06:00Z"),
    "Australia/Lord_Howe": ("2026-04-04T15:00Z", "2026-10-03T15:30Z"),
    "Asia/Kolkata": ("2026-03-29T01:00Z",),
    "UTC": ("2026-10-25T01:00Z",),
}
"""Zone -> when its clocks change, and where they do not, some night."""


def at(text: str, zone: str = "UTC") -> float:
    """Unix seconds; an offset in the text goes before the zone."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).timestamp()


def allow(schedule: str, zone: str = "UTC", duration: float = HOUR) -> Window:
    return Window("Allow", schedule, duration, zone)


def deny(schedule: str, zone: str = "UTC", duration: float = HOUR) -> Window:
    return Window("Deny", schedule, duration, zone)


# -- when a window begins --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "schedule", "after", "begins"),
    [
        # 02:30 does not exist: at the end of the gap. It comes twice: at the first.
        ("Europe/Berlin", "30 2 * * *", "2026-03-28T12:00+01:00", "2026-03-29T03:00+02:00"),
        ("Europe/Berlin", "30 2 * * *", "2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"),
        ("Europe/Berlin", "30 2 * * *", "2026-10-24T12:00+02:00", "2026-10-25T02:30+02:00"),
        ("Europe/Berlin", "30 2 * * *", "2026-10-25T02:10+01:00", "2026-10-26T02:30+01:00"),
        ("America/New_York", "30 2 * * *", "2026-03-07T12:00-05:00", "2026-03-08T03:00-04:00"),
        ("America/New_York", "30 1 * * *", "2026-10-31T12:00-04:00", "2026-11-01T01:30-04:00"),
        ("America/New_York", "30 1 * * *", "2026-11-01T01:30-04:00", "2026-11-02T01:30-05:00"),
        # Half an hour, from 02:00 to 01:30 and from 02:00 to 02:30.
        ("Australia/Lord_Howe", "45 1 * * *", "2026-04-04T12:00+11:00", "2026-04-05T01:45+11:00"),
        ("Australia/Lord_Howe", "45 1 * * *", "2026-04-05T01:45+11:00", "2026-04-06T01:45+10:30"),
        ("Australia/Lord_Howe", "15 2 * * *", "2026-10-03T12:00+10:30", "2026-10-04T02:30+11:00"),
        ("Asia/Kolkata", "30 2 * * *", "2026-03-28T12:00+05:30", "2026-03-29T02:30+05:30"),
        # By the clock: what comes twice counts twice, and what does not exist is left out.
        ("Europe/Berlin", "*/30 2 * * *", "2026-10-25T02:30+02:00", "2026-10-25T02:00+01:00"),
        ("Europe/Berlin", "*/30 2 * * *", "2026-03-28T02:30+01:00", "2026-03-30T02:00+02:00"),
        ("Europe/Berlin", "0 * * * *", "2026-03-29T01:30+01:00", "2026-03-29T03:00+02:00"),
        ("Australia/Lord_Howe", "* 2 * * *", "2026-04-05T01:30+10:30", "2026-04-05T02:00+10:30"),
        # The second Monday, the last day of a month, a day that most years have not.
        ("Europe/Berlin", "0 4 * * MON#2", "2026-11-29T12:00+01:00", "2026-12-14T04:00+01:00"),
        ("Europe/Berlin", "0 4 L * *", "2026-02-01T12:00+01:00", "2026-02-28T04:00+01:00"),
        ("Europe/Berlin", "0 2 29 2 *", "2026-11-29T12:00+01:00", "2028-02-29T02:00+01:00"),
    ],
)
def test_a_window_begins_when_its_schedule_says(
    zone: str, schedule: str, after: str, begins: str
) -> None:
    found = next_start(allow(schedule, zone), at(after))
    assert found is not None
    assert datetime.fromtimestamp(found, ZoneInfo(zone)).isoformat()[:16] + begins[16:] == begins
    assert found == at(begins)


# -- open or closed --------------------------------------------------------------------------------


NIGHT = allow("0 2 * * 1-5", "Europe/Berlin", 3 * HOUR)
FREEZE = deny("0 0 20 12 *", "Europe/Berlin", 18 * 24 * HOUR)


@pytest.mark.parametrize(
    ("levels", "now", "opens"),
    [
        # Allow: open from the first minute to the last.
        ([[NIGHT]], "2026-12-01T01:59", "2026-12-01T02:00"),
        ([[NIGHT]], "2026-12-01T02:00", ""),
        ([[NIGHT]], "2026-12-01T04:59", ""),
        ([[NIGHT]], "2026-12-01T05:00", "2026-12-02T02:00"),
        ([[NIGHT]], "2026-12-04T05:00", "2026-12-07T02:00"),
        # Deny goes before Allow, in one list as over several.
        ([[NIGHT, FREEZE]], "2026-12-21T02:30", "2027-01-07T02:00"),
        ([[FREEZE], [NIGHT]], "2026-12-21T02:30", "2027-01-07T02:00"),
        ([[FREEZE]], "2026-12-21T02:30", "2027-01-07T00:00"),
        ([[FREEZE]], "2026-12-19T23:59", ""),
        # Several Allow windows: any of them. Several lists: all of them.
        ([[NIGHT, allow("0 12 * * *", "UTC")]], "2026-12-01T13:30", ""),
        ([[NIGHT], [allow("0 12 * * *", "UTC")]], "2026-12-01T13:30", None),
        ([[NIGHT], [allow("0 3 * * *", "UTC", 4 * HOUR)]], "2026-12-01T03:00", "2026-12-01T04:00"),
        # Windows of one list that overlap close it until the last of them is over.
        ([[deny("0 0 * * *"), deny("30 0 * * *")]], "2026-12-01T01:10", "2026-12-01T02:30"),
        ([[deny("*/10 9-16 * * *", "UTC", HOUR)]], "2026-12-01T12:00", "2026-12-01T18:50"),
        ([[deny("* * * * 0-5", "Europe/Berlin", 60)]], "2026-12-06T00:30", "2026-12-12T00:00"),
        ([[], []], "2026-12-01T12:00", ""),
    ],
)
def test_all_lists_must_be_open(levels: list[list[Window]], now: str, opens: str | None) -> None:
    """``opens`` by Berlin's clock; empty: it is open; None: it never is."""
    found = evaluate(tuple(map(tuple, levels)), at(now, "Europe/Berlin"))
    if not opens and opens is not None:
        assert found is None
        return
    assert found is not None
    assert found[1] == (at(opens, "Europe/Berlin") if opens else None)


def test_a_window_lasts_as_long_as_it_says_whatever_clocks_do() -> None:
    weekend = (deny("0 0 * * 6", "Europe/Berlin", 48 * HOUR),)
    spring, autumn = at("2026-03-28T12:00Z"), at("2026-10-24T12:00Z")
    assert local_time(next_opening((weekend,), spring) or 0, "Europe/Berlin") == (
        "2026-03-30 01:00 CEST"
    )
    assert local_time(next_opening((weekend,), autumn) or 0, "Europe/Berlin") == (
        "2026-10-25 23:00 CET"
    )


# -- against every minute --------------------------------------------------------------------------


class EveryMinute:
    """The same rules, as they are read, over the days around a change of the clocks."""

    def __init__(self, zone: str, change: str) -> None:
        middle = int(at(change))
        self.minutes = range(middle - 3 * 86_400, middle + 3 * 86_400, 60)
        here = ZoneInfo(zone)
        self.clocks = [datetime.fromtimestamp(m, here).replace(tzinfo=None) for m in self.minutes]

    def starts(self, minutes: set[int], hours: set[int], days: set[int], *, by_clock: bool) -> set:
        def matches(clock: datetime) -> bool:
            day = clock.isoweekday() % 7
            return clock.minute in minutes and clock.hour in hours and day in days

        moments: dict[datetime, list[int]] = {}
        for moment, clock in zip(self.minutes, self.clocks, strict=True):
            moments.setdefault(clock, []).append(moment)
        if by_clock:
            return {m for clock, found in moments.items() if matches(clock) for m in found}
        found = {m[0] for clock, m in moments.items() if matches(clock)}
        steps = zip(self.minutes[1:], self.clocks, self.clocks[1:], strict=False)
        for moment, before, after in steps:
            missing = before + timedelta(minutes=1)
            while missing < after:
                if matches(missing):
                    found.add(moment)
                missing += timedelta(minutes=1)
        return found


DAYS = {(zone, change): EveryMinute(zone, change) for zone in CHANGES for change in CHANGES[zone]}


@settings(max_examples=40)
@given(
    st.sampled_from(sorted(DAYS)),
    st.lists(
        st.tuples(
            CRON_SCHEDULES,
            st.sampled_from(["Allow", "Deny"]),
            st.sampled_from([1, 20, 59, 60, 61, 90, 180, 1440, 1500]),
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_windows_agree_with_every_minute_around_changing_clocks(
    place: tuple[str, str], drawn: list
) -> None:
    zone, _ = place
    days = DAYS[place]
    windows, on = [], {"Allow": set(), "Deny": set()}
    for (schedule, minutes, hours, weekdays, by_clock), kind, length in drawn:
        windows.append(Window(kind, schedule, length * 60.0, zone))
        for start in days.starts(minutes, hours, weekdays, by_clock=by_clock):
            on[kind].update(range(start, start + length * 60, 60))
    some_allow = any(w.kind == "Allow" for w in windows)
    # What began before the first of these days, they do not know.
    known = range(days.minutes[0] + 1500 * 60, days.minutes[-1], 60)
    is_open = {m: m not in on["Deny"] and (not some_allow or m in on["Allow"]) for m in known}
    edges = [m for m in known if m - 60 in is_open and is_open[m] != is_open[m - 60]]
    middle = days.minutes[len(days.minutes) // 2]
    looked_at = {m + d for m in edges[:: len(edges) // 40 + 1] for d in (-60, 0, 60)}
    looked_at |= set(range(middle - 7_200, middle + 10_800, 420))
    for moment in sorted(looked_at & set(known)):
        shut = keeping_closed(windows, moment)
        told = datetime.fromtimestamp(moment, ZoneInfo(zone)), windows
        assert (not shut) == is_open[moment], told
    opening = next((m for m in known if m >= middle and is_open[m]), None)
    found = next_opening((tuple(windows),), middle)
    if opening is not None:
        assert found == opening
    else:
        assert found is None or found >= known[-1]


def test_a_moment_is_told_by_the_clock_of_its_zone() -> None:
    moment = datetime(2026, 12, 1, 1, tzinfo=UTC).timestamp()
    assert local_time(moment, "Europe/Berlin") == "2026-12-01 02:00 CET"
    assert local_time(moment, "Asia/Kolkata") == "2026-12-01 06:30 IST"
