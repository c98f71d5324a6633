"""The changes as the HTML page shows them: grouped, in words, and no more than a browser bears."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from msgspec import Struct

from reconciler.api.objects import ObjectKey
from reconciler.plan.model import ABSENT, Action, Change, FieldChange, KeptField, Outcome, Plan
from reconciler.report.grouping import ChangeGroup, group_title, grouped, is_text, line_diff
from reconciler.report.wording import (
    MARKS,
    contrast,
    cut,
    kind_name,
    note_of,
    object_name,
    value_text,
    value_texts,
    why_field,
)

MOST_CHANGES = 2_000
MOST_FIELDS = 60
MOST_LINES = 200
LONGEST_VALUE = 2_000
"""Limits of the page, in distinct changes, fields of a change, lines of a diff, characters."""

_ORDER = {action: rank for rank, action in enumerate(MARKS)}

Outcomes = Mapping[tuple[str, ObjectKey, Action], Outcome]


class FieldView(Struct, frozen=True):
    """One field: either ``lines`` of a diff, or what it was and will be (None: absent)."""

    path: str
    before: str | None
    after: str | None
    lines: tuple[tuple[str, str], ...] = ()
    owners: str = ""
    left_out: int = 0


class ChangeView(Struct, frozen=True):
    """``anchor`` is its place on the page, to be linked to."""

    anchor: str
    action: str
    mark: str
    kind: str
    name: str
    note: str
    error: str
    origin: str
    fields: tuple[FieldView, ...]
    fields_left_out: int
    outcome: str = ""
    outcome_class: str = ""


class GroupView(Struct, frozen=True):
    """What the same clusters share. ``names`` are all of them, for the search."""

    title: str
    names: str
    count: int
    kinds: tuple[tuple[str, tuple[ChangeView, ...]], ...]


class ChangesView(Struct, frozen=True):
    """``left_out`` changes do not fit on the page; the least serious are left out first."""

    groups: tuple[GroupView, ...]
    shown: int
    left_out: int


def changes_view(
    plan: Plan, outcomes: Sequence[Outcome] = (), *, most: int = MOST_CHANGES
) -> ChangesView:
    """Every distinct change of the plan with what became of it, up to ``most``."""
    groups = grouped(plan)
    total = sum(len(group.changes) for group in groups)
    kept = _kept(groups, most) if total > most else None
    by_change = {(o.cluster, o.key, o.action): o for o in outcomes}
    views = []
    for number, group in enumerate(groups):
        changes = [
            (_anchor(number, place), change)
            for place, change in enumerate(group.changes)
            if kept is None or (number, place) in kept
        ]
        if changes:
            views.append(_group(group, changes, plan, by_change))
    return ChangesView(tuple(views), min(total, most), max(total - most, 0))


def change_anchors(plan: Plan, *, most: int = MOST_CHANGES) -> dict[tuple[str, ObjectKey], str]:
    """(cluster, object) -> where on the page of this plan its change is; of those that fit."""
    groups = grouped(plan)
    total = sum(len(group.changes) for group in groups)
    kept = _kept(groups, most) if total > most else None
    return {
        (name, change.key): _anchor(number, place)
        for number, group in enumerate(groups)
        for place, change in enumerate(group.changes)
        if kept is None or (number, place) in kept
        for name in group.names
    }


def _anchor(group: int, place: int) -> str:
    return f"change-{group}-{place}"


def _kept(groups: Sequence[ChangeGroup], most: int) -> frozenset[tuple[int, int]]:
    places = [
        (_ORDER[change.action], number, place)
        for number, group in enumerate(groups)
        for place, change in enumerate(group.changes)
    ]
    return frozenset((number, place) for _, number, place in sorted(places)[:most])


def _group(
    group: ChangeGroup, changes: Sequence[tuple[str, Change]], plan: Plan, outcomes: Outcomes
) -> GroupView:
    kinds = tuple(
        (kind, tuple(_change(anchor, change, group, outcomes) for anchor, change in same))
        for kind, same in groupby(changes, key=lambda one: kind_name(one[1].key))
    )
    return GroupView(
        group_title(group.clusters, plan.clusters),
        " ".join(group.names),
        len(changes),
        kinds,
    )


def _change(anchor: str, change: Change, group: ChangeGroup, outcomes: Outcomes) -> ChangeView:
    outcome, outcome_class = _outcome(change, group, outcomes)
    fields = [
        *(_field(field, change) for field in change.fields[:MOST_FIELDS]),
        *map(_staying, change.stays[:MOST_FIELDS]),
    ]
    count = len(change.fields) + len(change.stays)
    return ChangeView(
        anchor,
        str(change.action),
        MARKS[change.action],
        kind_name(change.key),
        object_name(change.key),
        note_of(change),
        change.error,
        change.origin,
        tuple(fields),
        count - len(fields),
        outcome,
        outcome_class,
    )


def _outcome(change: Change, group: ChangeGroup, outcomes: Outcomes) -> tuple[str, str]:
    """(``1 failed, 2 done``, the worst of them), over the group's clusters."""
    found = [
        outcome.status
        for name in group.names
        if (outcome := outcomes.get((name, change.key, change.action)))
    ]
    counts = [(status, found.count(status)) for status in ("failed", "skipped", "done")]
    there = [(status, count) for status, count in counts if count]
    if len(there) == 1 and len(group.names) == there[0][1]:
        return there[0][0], there[0][0]
    return ", ".join(f"{count} {status}" for status, count in there), there[0][0] if there else ""


def _field(field: FieldChange, change: Change) -> FieldView:
    path = field.path
    owners = why_field(field, change)
    if is_text(field):
        lines = line_diff(field)
        shown = tuple((sign, cut(text, LONGEST_VALUE)) for sign, text in lines[:MOST_LINES])
        return FieldView(path, None, None, shown, owners, len(lines) - len(shown))
    before, after = contrast(*value_texts(field.before, field.after), LONGEST_VALUE)
    return FieldView(
        path,
        None if field.before is ABSENT else before,
        None if field.after is ABSENT else after,
        (),
        owners,
    )


def _staying(field: KeptField) -> FieldView:
    path = f"{field.path} stays ({field.note})"
    value = cut(value_text(field.value), LONGEST_VALUE)
    return FieldView(path, None, None, ((" ", value),), _owned_by(field))


def _owned_by(field: KeptField) -> str:
    return f"owned by {', '.join(field.managers)}" if field.managers else ""
