"""Why something is changed: a cause with what belongs to it, and the words for it. Pure.

Decisions compare causes; the sentence is made of them where people read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct

from reconciler.api.field_path import FieldPath


class Cause(StrEnum):
    """Why an object, or one of its fields, changes. The value is how its words begin."""

    NEW = "not in the cluster"
    IN_GIT = "changed in Git"
    NO_LONGER_IN_GIT = "no longer in Git"
    DIFFERS = "differs from Git"
    SHARE_OF_REPLICAS = "its share of the replicas changes"
    DRIFT = "drift"
    DRIFT_BY_ADDITION = "drift: added by"
    DRIFT_OF_OWNERSHIP = "drift: ownership of fields was taken or dropped"
    ADDITION_GOES = "what others added goes"
    ADOPTED = "adopted"
    UNCLAIMED = "exists and nobody's inventory claims it: adopted"
    TAKEN_BY_FORCE = "taken by force from"
    TAKEN_OVER = "taken over from"
    BY_THE_SERVER = "set by the server"
    STAYS_AS_IT_IS = "no longer in Git, and stays as it is"
    IS_SO_ALREADY = "in Git now, and is so already"
    ANOTHER_VERSION = "applied in another version"
    RECREATE = "needs recreate"
    CHECKED_LATER = "to be checked"
    REMOVED = "removed from Git"
    PLACED_ELSEWHERE = "no longer placed here"
    PLACED_NOWHERE = "no longer placed anywhere"
    ORPHANED = "marked to be orphaned"
    IN_BASE = "compared with another commit"
    NOTE = "note"


DRIFTS = frozenset({Cause.DRIFT, Cause.DRIFT_BY_ADDITION, Cause.DRIFT_OF_OWNERSHIP})
"""Causes that put back what somebody else changed."""
OF_GIT = frozenset({Cause.IN_GIT, Cause.NO_LONGER_IN_GIT, Cause.SHARE_OF_REPLICAS})
"""Causes that bring what Git says anew."""


class Reason(Struct, frozen=True):
    """One reason. ``names`` are the field managers that it is about, ``paths`` the fields,
    ``detail`` what only people read: what is waited for, the rule that places an object
    in another cluster."""

    cause: Cause
    names: tuple[str, ...] = ()
    detail: str = ""
    paths: tuple[FieldPath, ...] = ()

    def __str__(self) -> str:
        who = ", ".join(self.names)
        match self.cause:
            case Cause.DRIFT if who:
                return f"{self.cause}: changed by {who}"
            case Cause.DRIFT_BY_ADDITION | Cause.TAKEN_BY_FORCE | Cause.TAKEN_OVER:
                return f"{self.cause} {who}"
            case Cause.ADDITION_GOES:
                return f"what {who} added goes"
            case Cause.STAYS_AS_IT_IS | Cause.IS_SO_ALREADY:
                return f"{self.cause}: {', '.join(self.paths)}"
            case Cause.RECREATE:
                return f"{self.cause}: {self.detail}"
            case Cause.PLACED_ELSEWHERE | Cause.PLACED_NOWHERE:
                return f"{self.cause} ({self.detail})"
            case Cause.CHECKED_LATER:
                return f"{self.cause} {self.detail}"
            case Cause.ANOTHER_VERSION | Cause.NOTE:
                return self.detail
            case Cause.IN_BASE:
                return f"({self.detail})"
        return str(self.cause)


def remark(text: str) -> Reason:
    """What people should know besides, and nothing is decided by."""
    return Reason(Cause.NOTE, detail=text)


_LEADS = {Cause.ORPHANED: ", and ", Cause.IN_BASE: " "}


def reasons_text(reasons: Sequence[Reason]) -> str:
    """``changed in Git; drift: changed by alice (1 more as main)``."""
    text = ""
    for one in reasons:
        text += (_LEADS.get(one.cause, "; ") if text else "") + str(one)
    return text
