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
FIRST_PAUSE = 2.0
LONGEST_PAUSE = 600.0
"""Seconds until the next repair; they double in between."""
FORGOTTEN_AFTER = 900.0
"""Seconds without a repair after which a fight is over. Longer than the longest pause."""


class Fight(Struct, frozen=True):
    """How often an object was put back in a row, when first and last (Unix seconds), and whose
    fields were taken back: names of field managers."""

    repairs: int
    since: float
    last: float
    opponents: tuple[str, ...] = ()

    @property
    def is_one(self) -> bool:
        """Whether it is more than chance."""
        return self.repairs >= FREE_REPAIRS

    @property
    def until(self) -> float:
        """Before that it is not put back again (Unix seconds)."""
        if not self.is_one:
            return self.last
        return self.last + min(FIRST_PAUSE * 2.0 ** (self.repairs - FREE_REPAIRS), LONGEST_PAUSE)

    @property
    def words(self) -> str:
        """``changed by flux again and again: put back 5 times``."""
        who = f" by {', '.join(self.opponents)}" if self.opponents else ""
        return f"changed{who} again and again: put back {self.repairs} times"


Fights = Mapping[tuple[str, ObjectKey], Fight]
"""(cluster, object) -> what there was of it lately."""


def fights_after(fights: Fights, plan: Plan, now: float) -> Fights:
    """With the repairs of a plan that was just carried out."""
    found = {key: one for key, one in fights.items() if now - one.last <= FORGOTTEN_AFTER}
    for cluster, change in plan.writes():
        if change.is_repair:
            key = (cluster.name, change.key)
            before = found.get(key, Fight(0, now, now))
            others = {name for field in change.fields for name in field.managers}
            found[key] = replace(
                before,
                repairs=before.repairs + 1,
                last=now,
                opponents=tuple(sorted(others.union(before.opponents))),
            )
    return found


def why_it_waits(fights: Fights, cluster: str, change: Change, now: float) -> str:
    """Why an object is not put back yet; empty: it is."""
    fight = fights.get((cluster, change.key))
    if fight is None or not fight.is_one or now >= fight.until or not change.is_repair:
        return ""
    pause = duration_words(fight.until - fight.last)
    return f"waits {pause} from the last time: {fight.words}"


def notices_of_fights(fights: Fights, now: float) -> list[Notice]:
    """What people should know of, as long as it lasts."""
    return [
        notice(NoticeCause.FOUGHT_OVER, subject=f"{cluster}: {key}", what=one.words)
        for (cluster, key), one in sorted(fights.items())
        if one.is_one and now - one.last <= FORGOTTEN_AFTER
    ]


def lasting(fights: Fights) -> Iterable[tuple[str, ObjectKey]]:
    """Those that are more than chance."""
    return [key for key, one in fights.items() if one.is_one]
