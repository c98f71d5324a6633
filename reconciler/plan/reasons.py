"""Why a field changes, one by one: an edit in Git, somebody's hand, an adoption, the server. Pure.

An object changes for several reasons at once, so none of them holds for all of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.api.objects import Object, Unshown
from reconciler.inventory.managed_fields import Fields, entries_of, fields_of, is_ours
from reconciler.plan.diff import Question
from reconciler.plan.fields import REPLICAS_FIELD, Step, entry_holds, field_owners
from reconciler.plan.model import BY_THE_SERVER, FieldChange

IN_GIT = "changed in Git"
NO_LONGER_IN_GIT = "no longer in Git"
DRIFT = "drift"
TAKEN = "taken by force from"
ADOPTED = "adopted"


class Grounds(Unshown, frozen=True):
    """What tells why the fields of one object change.

    ``live`` is the object as it is, ``result`` as the apply leaves it; ``recorded`` are the paths
    that our last apply owned (empty: nobody knows); ``forced`` says that the apply takes what
    others own.
    """

    live: Object
    result: Object
    recorded: Fields
    question: Question
    forced: bool
    adopting: bool

    def why(self, steps: tuple[Step, ...]) -> str:
        """The reason of one field, with those who lose it: their ownership is taken by force."""
        owners = field_owners(self.live, steps)
        cause = self._cause(steps, owners)
        if not (self.forced and owners):
            return cause
        # Who changed a field by hand is named as such; another applier will apply it again.
        losers = (
            field_owners(self.live, steps, appliers=True) if cause.startswith(DRIFT) else owners
        )
        return f"{cause}; {TAKEN} {', '.join(losers)}" if losers else cause

    def _cause(self, steps: tuple[Step, ...], owners: Sequence[str]) -> str:
        if self.adopting:
            return ADOPTED
        will = entry_holds(_ours(self.result), self.result, steps)
        if not self.recorded:
            return IN_GIT if self.question is Question.EDITED else "differs from Git"
        was = self._held(self.recorded, steps)
        if not will:
            return NO_LONGER_IN_GIT if was else BY_THE_SERVER
        edited = self.question is Question.EDITED
        if edited and (not was or self._held(_ours(self.live), steps)):
            return IN_GIT
        return f"{DRIFT}: changed by {', '.join(owners)}" if owners else DRIFT

    def _held(self, fields: Fields, steps: tuple[Step, ...]) -> bool:
        return entry_holds(fields, self.live, steps) or entry_holds(fields, self.result, steps)


def _ours(obj: Object) -> Fields:
    return fields_of(filter(is_ours, entries_of(obj)))


def in_all(fields: Sequence[FieldChange]) -> str:
    """The reasons of an object's fields together: ``changed in Git; drift: changed by alice``."""
    causes = [field.reason.partition("; ")[0] for field in fields]
    if causes == [IN_GIT] and fields[0].path == REPLICAS_FIELD:
        causes = ["its share of the replicas changes"]
    drifted = [f for f, cause in zip(fields, causes, strict=True) if cause.startswith(DRIFT)]
    told = {
        IN_GIT if cause == NO_LONGER_IN_GIT else cause: ""
        for cause in causes
        if not cause.startswith((DRIFT, BY_THE_SERVER))
    }
    if drifted:
        hands = sorted({manager for field in drifted for manager in field.managers})
        told[f"{DRIFT}: changed by {', '.join(hands)}" if hands else DRIFT] = ""
    if losers := losers_of(fields):
        told[f"{TAKEN} {', '.join(losers)}"] = ""
    return "; ".join(told) or BY_THE_SERVER


def losers_of(fields: Sequence[FieldChange]) -> list[str]:
    """The field managers from whom some of the fields are taken by force."""
    told = (field.reason.partition(f"{TAKEN} ")[2] for field in fields)
    return sorted({name for names in told if names for name in names.split(", ")})
