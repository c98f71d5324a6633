"""Keeps values that must not be shown out of plans, reports and errors.

By structure: a hidden field loses its values, whatever they are, and of what servers say about an
object with hidden fields nothing is passed on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from reconciler.api.errors import ApiError, ClusterError, ClusterUnauthorized
from reconciler.api.field_path import ORDER, FieldPath, Step
from reconciler.api.json_pointer import split_pointer
from reconciler.api.objects import GroupKind, Object, ObjectKey
from reconciler.cluster.refusals import known_fields, refusal_in_our_words
from reconciler.federation.sensitive import Hidden, hidden_in, is_marked_sensitive
from reconciler.plan.model import ABSENT, Addition, Change, FieldChange, KeptField

BEFORE, AFTER = "*** (before)", "*** (after)"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def without_values(
    change: Change, rules: Mapping[GroupKind, Hidden], hidden: Hidden = ()
) -> Change:
    """The change as it may be shown; ``hidden`` is what its manifest hides.

    Every change of a plan passes here. Whether a value changes can still be seen; what it is, or
    how long, cannot.
    """
    found = hidden_in(change.key.group_kind, rules, change.request, change.live)
    hidden = tuple(sorted({*hidden, *found}))
    if not hidden:
        return change
    return dataclasses.replace(
        change,
        hidden=hidden,
        reasons=tuple(
            replace(r, paths=tuple(path.without_items for path in r.paths)) for r in change.reasons
        ),
        fields=mask(change.fields, hidden),
        stays=tuple(
            _masked_staying(one) if _is_hidden(one.path, hidden) else one for one in change.stays
        ),
    )


def additions_without_values(
    additions: Sequence[Addition],
    key: ObjectKey,
    rules: Mapping[GroupKind, Hidden],
    hidden: Hidden,
    *bodies: Object,
) -> tuple[Addition, ...]:
    """The additions to one object as they may be shown; ``hidden`` is what its manifest hides."""
    hidden = (*hidden, *hidden_in(key.group_kind, rules, *bodies))
    return tuple(
        replace(one, path=one.path.without_items, value="***")
        if _is_hidden(one.path, hidden)
        else one
        for one in additions
    )


def mask(fields: Iterable[FieldChange], hidden: Hidden) -> tuple[FieldChange, ...]:
    """The fields without the values that are hidden, nor the annotation in which kubectl repeats
    them. Where nothing is hidden they are as they are."""
    if not hidden:
        return tuple(fields)
    return tuple(_masked(field) if _is_hidden(field.path, hidden) else field for field in fields)


def shown_paths(paths: Iterable[FieldPath], hidden: Hidden, *bodies: Object | None) -> str:
    """The paths in words; of an object of which something is hidden, without the values by which
    they name items of lists. ``bodies`` are what is sent and what is there."""
    if hidden or any(map(is_marked_sensitive, bodies)):
        paths = [path.without_items for path in paths]
    return ", ".join(paths)


def _is_hidden(path: FieldPath, hidden: Hidden) -> bool:
    return _LAST_APPLIED in path.steps or any(_meet(path, split_pointer(one)) for one in hidden)


def refusal_words(error: ClusterError, hidden: Hidden, *bodies: Object | None) -> str:
    """What to say of a server's refusal of an object; ``bodies`` are what was sent and what is."""
    if not (hidden or any(map(is_marked_sensitive, bodies))):
        return str(error)
    if isinstance(error, ApiError) and not error.in_our_words:
        return refusal_in_our_words(error.code, str(error), error.causes, *bodies)
    if isinstance(error, ClusterUnauthorized):
        return "the credential was refused"
    return str(error)


def refused_fields(error: ApiError, hidden: Hidden, *bodies: Object | None) -> str:
    """The fields that a refusal names: ``spec.selector, spec.clusterIP``."""
    if hidden or any(map(is_marked_sensitive, bodies)):
        return known_fields(error.causes, *bodies)
    named = {str(cause["field"]).lstrip(".") for cause in error.causes if cause.get("field")}
    return ", ".join(sorted(named))


def _meet(path: FieldPath, pointer: Sequence[str]) -> bool:
    """Whether what lies at the path holds, or is part of, what the pointer names."""
    return all(_is_step(one, other) for one, other in zip(path.steps, pointer, strict=False))


def _is_step(step: Step, wanted: str) -> bool:
    if isinstance(step, str) and step is not ORDER:
        return wanted in (step, "*")
    return wanted == "*" or wanted.isdecimal() or wanted == "-"


def _masked(field: FieldChange) -> FieldChange:
    return replace(
        field,
        path=field.path.without_items,
        before=ABSENT if field.before is ABSENT else BEFORE,
        after=ABSENT if field.after is ABSENT else AFTER,
    )


def _masked_staying(field: KeptField) -> KeptField:
    return replace(field, path=field.path.without_items, value="***")
