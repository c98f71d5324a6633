"""Why a field changes, one by one: an edit in Git, somebody's hand, an adoption, the server. Pure.

An object changes for several reasons at once, so none of them holds for all of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.api.field_path import Step
from reconciler.api.objects import Object, RedactedRepr
from reconciler.api.reasons import DRIFTS, Cause, Reason
from reconciler.inventory.managed_fields import Fields, entries_of, fields_of, is_ours
from reconciler.plan.diff import Question
from reconciler.plan.fields import BOUNDS_FIELDS, REPLICAS_FIELD, entry_holds, field_owners
from reconciler.plan.model import FieldChange


class FieldReasons(RedactedRepr, frozen=True):
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

    def why(self, steps: tuple[Step, ...]) -> tuple[Reason, ...]:
        """The reasons of one field: its cause, and those who lose it, as their ownership is taken
        by force."""
        owners = field_owners(self.live, steps)
        cause = self._cause(steps, owners)
        if not (self.forced and owners):
            return (cause,)
        # Who changed a field by hand is named as such; another applier will apply it again.
        drifted = cause.cause is Cause.DRIFT
        losers = field_owners(self.live, steps, appliers=True) if drifted else owners
        return (cause, Reason(Cause.TAKEN_BY_FORCE, tuple(losers))) if losers else (cause,)

    def _cause(self, steps: tuple[Step, ...], owners: Sequence[str]) -> Reason:
        if self.adopting:
            return Reason(Cause.ADOPTED)
        will = entry_holds(_ours(self.result), self.result, steps)
        edited = self.question is Question.EDITED
        if not self.recorded:
            return Reason(Cause.IN_GIT if edited else Cause.DIFFERS)
        was = self._held(self.recorded, steps)
        if not will:
            return Reason(Cause.NO_LONGER_IN_GIT if was else Cause.BY_THE_SERVER)
        if edited and (not was or self._held(_ours(self.live), steps)):
            return Reason(Cause.IN_GIT)
        return Reason(Cause.DRIFT, tuple(owners))

    def _held(self, fields: Fields, steps: tuple[Step, ...]) -> bool:
        return entry_holds(fields, self.live, steps) or entry_holds(fields, self.result, steps)


def _ours(obj: Object) -> Fields:
    return fields_of(filter(is_ours, entries_of(obj)))


def reasons_of_object(
    fields: Sequence[FieldChange], *, bounds_divided: bool = False
) -> tuple[Reason, ...]:
    """The reasons of an object's fields together: ``changed in Git; drift: changed by alice``.

    ``bounds_divided``: an autoscaler's bounds are shared out as replicas are.
    """
    shares = BOUNDS_FIELDS if bounds_divided else {REPLICAS_FIELD}
    causes = [reason.cause for field in fields for reason in field.reasons]
    causes = [cause for cause in causes if cause is not Cause.TAKEN_BY_FORCE]
    if {*causes} == {Cause.IN_GIT} and {field.path for field in fields} <= shares:
        causes = [Cause.SHARE_OF_REPLICAS]
    found_reasons = dict.fromkeys(
        Reason(Cause.IN_GIT if cause is Cause.NO_LONGER_IN_GIT else cause)
        for cause in causes
        if cause not in (*DRIFTS, Cause.BY_THE_SERVER)
    )
    if Cause.DRIFT in causes:
        drifted = [f for f in fields if any(r.cause is Cause.DRIFT for r in f.reasons)]
        setters = sorted({manager for field in drifted for manager in field.managers})
        found_reasons[Reason(Cause.DRIFT, tuple(setters))] = None
    if losers := overridden_managers(fields):
        found_reasons[Reason(Cause.TAKEN_BY_FORCE, losers)] = None
    return tuple(found_reasons) or (Reason(Cause.BY_THE_SERVER),)


def overridden_managers(fields: Sequence[FieldChange]) -> tuple[str, ...]:
    """The field managers from whom some of the fields are taken by force."""
    taken = (r for field in fields for r in field.reasons if r.cause is Cause.TAKEN_BY_FORCE)
    return tuple(sorted({name for reason in taken for name in reason.names}))
