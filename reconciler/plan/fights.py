"""Objects that somebody changes again whenever they were put back: repaired with growing pauses.

Only a process that stays sees such; a run alone puts back what it finds. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.durations import duration_words
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import ObjectKey
from reconciler.plan.model import Change, Plan

FREE_REPAIRS = 3
"""So often in a row an object is put back at once: people make mistakes more than once."""
STOOD_SECONDS = 60.0
"""Repairs are in a row where the object stood no longer than this in between, or than twice the
pause: what comes back every few minutes costs little, and is put back at once each time."""
FIRST_PAUSE = 2.0
LONGEST_PAUSE = 600.0
"""Seconds until the next repair; they double in between."""
FORGOTTEN_AFTER = 900.0
"""Seconds without a repair after which a fight is over. Longer than the longest pause."""


class Fight(Struct, frozen=True):
    """How often an object was put back lately, the last ``in_a_row`` times each soon after the one
    before; when first and last (Unix seconds), and whose fields were taken back: names of field
    managers."""

    repairs: int
    in_a_row: int
    since: float
    last: float
    opponents: tuple[str, ...] = ()

    @property
    def is_one(self) -> bool:
        """Whether it is more than chance."""
        return self.repairs >= FREE_REPAIRS

    @property
    def pause(self) -> float:
        """Seconds that it is not put back again."""
        if self.in_a_row < FREE_REPAIRS:
            return 0.0
        return float(min(FIRST_PAUSE * 2.0 ** (self.in_a_row - FREE_REPAIRS), LONGEST_PAUSE))

    @property
    def until(self) -> float:
        """Before that it is not put back again (Unix seconds)."""
        return self.last + self.pause

    def is_over(self, now: float) -> bool:
        """Whether nobody need think of it any more; where the clock was set back since, nobody can
        tell when it ends."""
        return now < self.last or now - self.last > FORGOTTEN_AFTER

    @property
    def words(self) -> str:
        """``changed by flux again and again: put back 5 times``."""
        who = f" by {', '.join(self.opponents)}" if self.opponents else ""
        return f"changed{who} again and again: put back {self.repairs} times"


Fights = Mapping[tuple[str, ObjectKey], Fight]
"""(cluster, object) -> what there was of it lately."""


def fights_after(fights: Fights, plan: Plan, now: float) -> Fights:
    """With the repairs of a plan that was just carried out."""
    found = {key: one for key, one in fights.items() if not one.is_over(now)}
    for cluster, change in plan.writes():
        if change.is_repair:
            key = (cluster.name, change.key)
            before = found.get(key, Fight(0, 0, now, now))
            stood = now - before.last > max(STOOD_SECONDS, 2 * before.pause)
            others = {name for field in change.fields for name in field.managers}
            found[key] = replace(
                before,
                repairs=before.repairs + 1,
                in_a_row=1 if stood else before.in_a_row + 1,
                last=now,
                opponents=tuple(sorted(others.union(before.opponents))),
            )
    return found


def why_it_waits(fights: Fights, cluster: str, change: Change, now: float) -> str:
    """Why an object is not put back yet; empty: it is."""
    fight = fights.get((cluster, change.key))
    if fight is None or fight.is_over(now) or now >= fight.until or not change.is_repair:
        return ""
    return f"waits {duration_words(fight.pause)} from the last time: {fight.words}"


def notices_of_fights(fights: Fights, now: float) -> list[Notice]:
    """What people should know of, as long as it lasts."""
    return [
        notice(NoticeCause.FOUGHT_OVER, subject=f"{cluster}: {key}", what=one.words)
        for (cluster, key), one in sorted(fights.items())
        if one.is_one and not one.is_over(now)
    ]


def lasting(fights: Fights) -> Iterable[tuple[str, ObjectKey]]:
    """Those that are more than chance."""
    return [key for key, one in fights.items() if one.is_one]
