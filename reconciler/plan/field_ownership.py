"""Which fields are removed with an apply that would leave them by itself, and which stay. Pure.

Server-side apply removes what our last apply owned, the new one does not say, and nobody else owns.
Two sorts of fields are beyond it: those that were ours until somebody emptied managedFields, and
those of managers whose objects are taken over whole. They are claimed: made ours right before the
apply, which then removes them. What it will remove is computed from the trees in managedFields.
"""

from __future__ import annotations

from reconciler.api.objects import Object, RedactedRepr
from reconciler.cluster.responses import MalformedAnswer
from reconciler.federation.model import AdoptionRules
from reconciler.inventory.managed_fields import (
    BEFORE_FIRST_APPLY,
    Fields,
    difference,
    disowned,
    entries_of,
    fields_of,
    is_former,
    is_ours,
    union,
    without,
)
from reconciler.plan.additions import NO_ADDITIONS, FoundAdditions, exactly
from reconciler.plan.fields import REPLICAS_FIELD, fields_at, kept_fields, leaf_fields
from reconciler.plan.model import KeptField

NOT_IN_GIT = "not in Git"
NO_LONGER_IN_GIT = "no longer in Git"


class OwnershipChange(RedactedRepr, frozen=True):
    """What becomes of one object.

    ``result`` is the object after the apply; ``claim`` the paths to be made ours before it (empty:
    none go by it); ``given_up`` those that were ours and are no longer in Git, whoever owns them.
    """

    result: Object
    former: tuple[str, ...]
    claim: Fields
    given_up: Fields


def ownership_change(
    live: Object,
    result: Object,
    recorded: Fields,
    adoption: AdoptionRules | None,
    added: FoundAdditions = NO_ADDITIONS,
    kept: Fields | None = None,
) -> OwnershipChange:
    """Of ``result``, the answer to a dry run of the bare apply.

    ``recorded`` are the paths that our last apply owned; ``adoption`` are the rules by which the
    object is adopted, None for one that is ours. What was ``added`` to ``result`` and is to be
    removed is claimed as well; the paths ``kept`` are not.
    """
    former = adoption.take_over if adoption else (BEFORE_FIRST_APPLY,)
    ours = [entry for entry in entries_of(result) if is_ours(entry)]
    if not ours:
        return OwnershipChange(result, (), {}, {})
    version = ours[0].get("apiVersion")
    former_entries = [e for e in entries_of(result) if is_former(e, former, str(version))]
    own_before = [entry for entry in entries_of(live) if is_ours(entry)]
    given_up = difference(union(recorded, fields_of(own_before)), fields_of(ours))
    same_version = all(entry.get("apiVersion") == version for entry in own_before)
    claim = given_up if same_version else {}
    if adoption:
        claim = fields_of(former_entries) if adoption.whole else {}
    others = [entry for entry in entries_of(result) if entry not in former_entries]
    claim = difference(claim, fields_of(others))
    if added.removed:
        claim = union(claim, added.removed)
        former = (*former, *exactly(added.managers))
    claim = difference(claim, kept or {})
    owned = fields_of(disowned(entries_of(result), former, claim, str(version)))
    after = without(result, claim, owned)
    if "metadata" not in after:
        raise MalformedAnswer("an apply that does not own what it says")
    patterns = tuple(former) if former_entries else ()
    if after == result:
        return OwnershipChange(result, patterns, {}, given_up)
    return OwnershipChange(after, tuple(former), claim, given_up)


def fields_that_stay(
    ownership_after: OwnershipChange, result: Object, body: Object
) -> tuple[KeptField, ...]:
    """What left Git and stays: somebody else owns it too, or by now, or it is a default.

    ``body`` is what Git says. A field in it is not sent where it is the member's own to set. A
    count of replicas that Git dropped is its setter's, and reported where nobody else sets it.
    """
    stated = {field.path for field in leaf_fields(body)} | {REPLICAS_FIELD}
    there = fields_at(result, ownership_after.given_up, NO_LONGER_IN_GIT)
    return tuple(field for field in there if field.path not in stated)


def fields_not_in_git(result: Object, fresh: Object) -> tuple[KeptField, ...]:
    """What others own in an adopted object that it would not have if it were made from Git, which
    is ``fresh``."""
    there = kept_fields(result, fresh, NOT_IN_GIT)
    return tuple(field for field in there if field.managers)


def newly_owned_fields(live: Object, result: Object) -> tuple[KeptField, ...]:
    """The fields that become ours while their values stay."""
    before = fields_of(filter(is_ours, entries_of(live)))
    after = fields_of(filter(is_ours, entries_of(result)))
    return fields_at(result, difference(after, before), "becomes ours")
