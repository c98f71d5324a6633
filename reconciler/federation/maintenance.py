"""When clusters may be written to: ``paused``, and ``maintenance`` windows of three levels.

A Federation, a Cluster and a Placement have a list of windows each. A list is open while none of
its Deny windows is, and one of its Allow windows where it has such; something is written where all
lists that are about it are open. A window begins when its cron expression says so by the clock of
its zone, and lasts for so many seconds, whatever clocks do meanwhile.

The nights in which clocks change are as Debian's cron has them: what begins at fixed times begins
once, a time that does not exist at the end of the gap, one that comes twice at the first; what has
``*`` for the minute or the hour goes by the clock, so that hours that come twice count twice. Cron
libraries agree on neither; so only the calendar is left to ``cronsim``, in wall clock time, and
instants are found here.

Both it and ``zoneinfo`` are loaded where there is a window, and not before.
"""

from __future__ import annotations

import difflib
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from reconciler.api.objects import ObjectKey
from reconciler.federation.failover_rules import parse_duration
from reconciler.federation.model import Cluster, DesiredState, Window, Workload
from reconciler.manifests.document import Document
from reconciler.manifests.problems import ProblemCollector

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

MINUTE, DAY = 60, 86_400
LONGEST = 90 * DAY
"""A window may not be longer (seconds): what is closed for a year is paused."""
HORIZON = 9 * 366 * DAY
"""How far ahead an opening is looked for: 29 February may be eight years away."""
_MOST_STEPS = 11_000
"""So many windows are gone through: a week has fewer minutes, and each may have one of its own."""
_REFERENCE = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
"""From when on rules are checked, so that a commit is valid today and tomorrow."""

_EXPECTED = "windows that leave some time in which all of them are open"

Levels = tuple[tuple[Window, ...], ...]
"""The lists of windows that are about one thing; all of them must be open."""


class Closed(Struct, frozen=True):
    """Why nothing is written: ``by`` are the rules that say so, such as ``Cluster aws-eu``.

    ``until`` is when all are open next (Unix seconds), None where that is not known: ``paused``, or
    beyond what is searched. ``zone``: by whose clock people are told. ``failover``: whether what an
    outage asks for is written all the same.
    """

    by: tuple[str, ...]
    until: float | None = None
    paused: bool = False
    zone: str = "UTC"
    failover: bool = True

    def __str__(self) -> str:
        """``waits until 2026-12-01 02:00 CET (Cluster aws-eu: maintenance)``."""
        who = ", ".join(self.by)
        if self.paused:
            return f"waits: paused ({who})"
        if self.until is None:
            return f"waits for a far opening ({who}: maintenance)"
        return f"waits until {local_time(self.until, self.zone)} ({who}: maintenance)"


def local_time(moment: float, zone: str) -> str:
    """``2026-12-01 02:00 CET``."""
    return f"{datetime.fromtimestamp(moment, _zone(zone)):%Y-%m-%d %H:%M %Z}"


def closed(state: DesiredState, now: float) -> Mapping[str, Closed]:
    """The members to which nothing is written at ``now`` (Unix seconds), and why. Pure."""
    rules = Maintenance(state)
    found = ((cluster.name, rules.closed(cluster.name, now)) for cluster in state.clusters)
    return {name: why for name, why in found if why is not None}


class Maintenance:
    """The rules of one state of Git; where there are not ``any``, nothing is ever closed."""

    def __init__(self, state: DesiredState) -> None:
        self._federation = state.federation.maintenance
        self._clusters = {cluster.name: cluster for cluster in state.clusters}
        self.any = state.has_maintenance
        self._commits = state.commits
        states = state.commits.states if state.commits else {"": state}
        # Where clusters are on several commits, that one of these closes nothing matters as well.
        whole = len(states) > 1
        self._workloads = {
            commit: _by_key(one.workloads, whole=whole)
            for commit, one in (states.items() if self.any else ())
        }

    def closed(self, cluster: str, now: float, key: ObjectKey | None = None) -> Closed | None:
        """Why nothing is written to a cluster now, or not to this object in it; None: it is."""
        if not self.any:
            return None
        one, workload = self._clusters[cluster], self._workload(cluster, key) if key else None
        if one.paused:
            return Closed((f"Cluster {cluster}",), paused=True)
        if workload and (
            workload.rules.suspended_everywhere or cluster in workload.rules.suspended
        ):
            return Closed((placement_of(workload),), paused=True, failover=False)
        names = ["the Federation", f"Cluster {cluster}", placement_of(workload)]
        lists = (self._federation, one.maintenance, workload.rules.maintenance if workload else ())
        found = evaluate(lists, now)
        if found is None:
            return None
        shut, until, zone, failover = found
        return Closed(tuple(names[n] for n in shut), until, zone=zone, failover=failover)

    def _workload(self, cluster: str, key: ObjectKey) -> Workload | None:
        """As the cluster's own commit has it; what that has no more, as the stable one has it."""
        commits = self._commits
        if commits is None:
            return self._workloads[""].get(key)
        own = self._workloads[commits.of_cluster[cluster]]
        return own.get(key) or self._workloads[commits.stable].get(key)

    def federation_closed(self, now: float) -> Closed | None:
        """Why nothing is written in the whole fleet now; None: something may be."""
        found = evaluate((self._federation,), now)
        if found is None:
            return None
        _, until, zone, failover = found
        return Closed(("the Federation",), until, zone=zone, failover=failover)


def _by_key(workloads: Sequence[Workload], *, whole: bool) -> dict[ObjectKey, Workload]:
    """Those that something may close, or all; by the key as it is written, and as members know
    it."""
    found = [
        w
        for w in workloads
        if whole or w.rules.maintenance or w.rules.suspended or w.rules.suspended_everywhere
    ]
    return {w.key: w for w in found} | {w.key.with_namespace: w for w in found}


def placement_of(workload: Workload | None) -> str:
    """By what it is placed, in words."""
    return workload.rules.target.placed_by if workload and workload.rules.target else ""


# -- open or closed --------------------------------------------------------------------------------


def evaluate(levels: Levels, now: float) -> tuple[tuple[int, ...], float | None, str, bool] | None:
    """None where all are open; else which are not (indices), when all are next, the zone of the
    first window that keeps one closed, and whether failover moves go on. Pure."""
    return _evaluate(levels, int(now // MINUTE) * MINUTE) if any(levels) else None


@lru_cache(maxsize=4096)
def _evaluate(levels: Levels, now: int) -> tuple[tuple[int, ...], float | None, str, bool] | None:
    keeping = {n: found for n, one in enumerate(levels) if (found := keeping_closed(one, now))}
    if not keeping:
        return None
    windows = [window for found in keeping.values() for window in found]
    until = next_opening(levels, now)
    failover = all(window.failover for window in windows)
    return tuple(keeping), until, windows[0].time_zone, failover


def keeping_closed(windows: Sequence[Window], now: float) -> tuple[Window, ...]:
    """The windows that keep a list closed now: Deny windows that are on; else, where none of the
    Allow windows is, all of these."""
    denying = tuple(w for w in windows if w.kind == "Deny" and last_start(w, now) is not None)
    if denying:
        return denying
    allowing = tuple(w for w in windows if w.kind == "Allow")
    return () if any(last_start(w, now) is not None for w in allowing) else allowing


def next_opening(levels: Levels, now: float) -> float | None:
    """When all lists are open next, at ``now`` or later; None: not as far as is searched."""
    found, _ = _search(levels, now)
    return found


def _search(levels: Levels, now: float) -> tuple[float | None, float]:
    """The next opening, and until when it was looked for.

    Each step goes to the first moment at which what keeps a list closed now may no longer do so.
    """
    moment = now
    for _ in range(_MOST_STEPS):
        waits = [
            _released(keeping, moment)
            for windows in levels
            if (keeping := keeping_closed(windows, moment))
        ]
        if not waits:
            return moment, moment
        if None in waits:
            return None, now + HORIZON
        moment = max(one for one in waits if one is not None)
        if moment > now + HORIZON:
            break
    return None, min(moment, now + HORIZON)


def _released(keeping: Sequence[Window], now: float) -> float | None:
    if keeping[0].kind == "Allow":
        begins = [begin for w in keeping if (begin := next_start(w, now)) is not None]
        return min(begins, default=None)
    return max((last_start(w, now) or now) + w.duration for w in keeping)


def last_start(window: Window, now: float) -> float | None:
    """When a window began that is on at ``now``, the first of such moments; None: it is not on."""
    begin = next_start(window, now - window.duration)
    return begin if begin is not None and begin <= now else None


def next_start(window: Window, after: float) -> float | None:
    """When a window begins next, later than ``after``; None: never."""
    by_the_clock = any(part.startswith("*") for part in window.schedule.split()[:2])
    find = _next_by_the_clock if by_the_clock else _next_fixed
    return find(window.schedule, _zone(window.time_zone), after)


def _next_fixed(schedule: str, zone: ZoneInfo, after: float) -> float | None:
    for wall in _matches(schedule, datetime.fromtimestamp(after, zone).replace(tzinfo=None)):
        while (moment := _moment(wall, zone)) is None:
            wall += timedelta(minutes=1)
        # In an hour that comes again, its times are over.
        if moment > after:
            return moment
    return None


def _next_by_the_clock(schedule: str, zone: ZoneInfo, after: float) -> float | None:
    begin = (int(after) // MINUTE + 1) * MINUTE
    while True:
        offset = _offset(begin, zone)
        wall = datetime.fromtimestamp(begin, UTC).replace(tzinfo=None) + offset
        match = next(_matches(schedule, wall - timedelta(seconds=1)), None)
        if match is None:
            return None
        moment = int((match - offset).replace(tzinfo=UTC).timestamp())
        turned = _next_turn(begin, moment, zone)
        if turned is None:
            return moment
        begin = turned


def _matches(schedule: str, after: datetime) -> Iterator[datetime]:
    from cronsim import CronSim

    return CronSim(schedule, after)


def _moment(wall: datetime, zone: ZoneInfo) -> float | None:
    """The first moment at which clocks show that; None: they never do."""
    aware = wall.replace(tzinfo=zone)
    back = aware.astimezone(UTC).astimezone(zone)
    return aware.timestamp() if back.replace(tzinfo=None) == wall else None


def _offset(moment: float, zone: ZoneInfo) -> timedelta:
    return datetime.fromtimestamp(moment, zone).utcoffset() or timedelta()


def _next_turn(begin: int, end: int, zone: ZoneInfo) -> int | None:
    """The first minute up to ``end`` at which clocks have another offset than at ``begin``."""
    offset = _offset(begin, zone)

    def has_turned(moment: int) -> bool:
        return _offset(moment, zone) != offset

    before = begin
    for moment in (*range(begin + DAY, end, DAY), end):
        if has_turned(moment):
            minutes = range(before, moment + MINUTE, MINUTE)
            return minutes[bisect_left(minutes, True, key=has_turned)]
        before = moment
    return None


@cache
def _zone(name: str) -> ZoneInfo:
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)


# -- as it is written ------------------------------------------------------------------------------


def parse_windows(
    document: Document,
    entries: Sequence[Mapping[str, Any]],
    faults: ProblemCollector,
    path: Sequence[str | int] = ("spec", "maintenance"),
) -> tuple[Window, ...]:
    """The windows of a document; none where something is wrong with them, which is reported."""
    before = len(faults.problems)
    found = [
        _window(document, (*path, number), entry, faults) for number, entry in enumerate(entries)
    ]
    windows = tuple(window for window in found if window is not None)
    if len(faults.problems) > before:
        return ()
    if windows and (text := _never((windows,))):
        faults.problem(
            document, path, f"these windows never let anything be written: {text}", _EXPECTED
        )
        return ()
    return windows


def _window(
    document: Document,
    path: Sequence[str | int],
    entry: Mapping[str, Any],
    faults: ProblemCollector,
) -> Window | None:
    before = len(faults.problems)
    window = Window(
        entry["kind"],
        str(entry["schedule"]),
        parse_duration(entry["duration"]),
        entry.get("timeZone", "UTC"),
        entry.get("failover", True),
    )
    _check_zone(document, (*path, "timeZone"), window.time_zone, faults)
    if message := _fault_of(window.schedule):
        faults.problem(
            document,
            (*path, "schedule"),
            message,
            "minute, hour, day of month, month, day of week, such as 30 2 * * 1-5",
            "the zone has a field of its own, timeZone" if "TZ=" in window.schedule else "",
        )
    whole = window.duration % MINUTE == 0
    if not (MINUTE <= window.duration <= LONGEST and whole):
        length = (
            "no whole number of minutes"
            if window.duration >= MINUTE and not whole
            else ("longer than 90 days" if window.duration > LONGEST else "shorter than a minute")
        )
        hint = "for longer, say paused: true, or no Deny window but Allow windows"
        faults.problem(
            document,
            (*path, "duration"),
            f"{entry['duration']} is {length}",
            "from 1m to 90d, in whole minutes",
            hint if window.duration > LONGEST else "",
        )
    if len(faults.problems) > before:
        return None
    if next_start(window, _REFERENCE) is None:
        faults.problem(document, (*path, "schedule"), "there is no such day in 50 years")
        return None
    return window


def _check_zone(
    document: Document, path: Sequence[str | int], name: str, faults: ProblemCollector
) -> None:
    from zoneinfo import available_timezones

    try:
        # Machines may have these, and mean different things by them.
        known = name not in ("localtime", "posixrules") and bool(_zone(name))
    except (KeyError, ValueError, OSError):
        known = False
    if not known:
        zones = {zone.lower(): zone for zone in available_timezones()}
        cities = {zone.rpartition("/")[2]: zone for zone in sorted(zones)}
        wanted = name.lower().replace(" ", "_")
        close = difflib.get_close_matches(wanted, zones, n=1, cutoff=0.8)
        close = close or [
            cities[city] for city in difflib.get_close_matches(wanted.rpartition("/")[2], cities, 1)
        ]
        hint = f"did you mean {zones[close[0]]}?" if close else ""
        expected = "a name of the IANA time zone database, such as Europe/Berlin"
        faults.problem(document, path, f"there is no time zone {name!r}", expected, hint)


def _fault_of(schedule: str) -> str:
    from cronsim import CronSim, CronSimError

    fields = schedule.split()
    if len(fields) != 5:
        return f"{schedule!r} is no cron expression of five fields"
    try:
        CronSim(schedule, datetime(2026, 1, 1))
    except (CronSimError, AssertionError) as error:
        return f"{schedule!r} is no cron expression: {str(error).lower() or 'not understood'}"
    return ""


def check_together(
    state: DesiredState,
    clusters: Mapping[str, Document],
    placements: Mapping[str, Document],
    faults: ProblemCollector,
) -> None:
    """Report lists that are never open at the same time: a Cluster's and the Federation's, and what
    a Placement has beside them."""
    upper = state.federation.maintenance
    shut: set[str] = set()
    for cluster in state.clusters:
        lists: Levels = (upper, cluster.maintenance)
        if all(lists) and cluster.name in clusters and (text := _never(lists)):
            shut.add(cluster.name)
            message = f"these windows and the Federation's are never open at once: {text}"
            faults.problem(clusters[cluster.name], ("spec", "maintenance"), message, _EXPECTED)
    reported: set[str] = set()
    for name, cluster, windows in _placed(state, placements):
        lists = (upper, cluster.maintenance, windows)
        if cluster.name in shut or name in reported or sum(map(bool, lists)) < 2:
            continue
        if text := _never(lists):
            reported.add(name)
            others = [f"Cluster {cluster.name}'s"] if cluster.maintenance else []
            others += ["the Federation's"] if upper else []
            message = f"these windows and {' and '.join(others)} are never open at once: {text}"
            faults.problem(placements[name], ("spec", "maintenance"), message, _EXPECTED)


def _placed(
    state: DesiredState, placements: Mapping[str, Document]
) -> Iterator[tuple[str, Cluster, tuple[Window, ...]]]:
    """(Placement, a cluster that it may use, its windows), each once."""
    from reconciler.federation.selectors import selects

    seen = set()
    for workload in state.workloads:
        name = placement_of(workload).removeprefix("Placement ").partition(" ")[0]
        if not workload.rules.maintenance or name not in placements or name in seen:
            continue
        seen.add(name)
        for cluster in state.clusters:
            if workload.rules.target and selects(workload.rules.target, cluster):
                yield name, cluster, workload.rules.maintenance


@lru_cache(maxsize=4096)
def _never(levels: Levels) -> str:
    """Until when no moment was found at which all are open; empty: there is one."""
    found, searched = _search(levels, _REFERENCE)
    if found is not None:
        return ""
    return (
        f"no moment was found from 2026-01-01 to {datetime.fromtimestamp(searched, UTC):%Y-%m-%d}"
    )
