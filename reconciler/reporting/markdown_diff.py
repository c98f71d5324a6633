"""One change as lines of a ``diff`` block, which platforms colour by their first column. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.planning.plan import ABSENT, Action, Change, FieldChange
from reconciler.reporting.grouping import is_text, line_diff
from reconciler.reporting.wording import (
    MARKS,
    cut,
    key_text,
    note_of,
    plural,
    staying_text,
    value_texts,
    visible,
    why_field,
)

_MOST_FIELDS = 40
_MOST_LINES = 40
_LONGEST_LINE = 300
_COLUMN = {Action.CREATE: "+ ", Action.PRUNE: "- ", Action.FAILED: "! "}


def diff_of(change: Change) -> str:
    """The object with what happens to it, then its fields; every line ends with a line feed."""
    return "".join(f"{cut(line, _LONGEST_LINE)}\n" for line in _lines(change))


def _lines(change: Change) -> Iterator[str]:
    note = note_of(change)
    name = key_text(change.key) + (f"  {note}" if note else "")
    yield _COLUMN.get(change.action, f"! {MARKS[change.action]} ") + name
    if change.error:
        yield f"!     {visible(change.error)}"
    if change.action is Action.CREATE:
        # What a new object is like stands in Git, beside this comment.
        return
    for field in change.fields[:_MOST_FIELDS]:
        yield from _field(field, change)
    if len(change.fields) > _MOST_FIELDS:
        yield f"      … {plural(len(change.fields) - _MOST_FIELDS, 'more field')}"
    yield from (f"      {staying_text(field)}" for field in change.stays[:_MOST_FIELDS])
    if len(change.stays) > _MOST_FIELDS:
        more = plural(len(change.stays) - _MOST_FIELDS, "more field")
        yield f"      … {more} that stay as they are"


def _field(field: FieldChange, change: Change) -> Iterator[str]:
    path = visible(field.path)
    why = why_field(field, change)
    owner = f"  ({why})" if why else ""
    if is_text(field):
        yield f"      {path}:{owner}"
        lines = line_diff(field)
        yield from (f"{sign}       {line}".rstrip() for sign, line in lines[:_MOST_LINES])
        if len(lines) > _MOST_LINES:
            yield f"        … {plural(len(lines) - _MOST_LINES, 'more line')}"
        return
    before, after = value_texts(field.before, field.after)
    if field.before is not ABSENT:
        yield f"-     {path}: {before}{owner}"
    if field.after is not ABSENT:
        yield f"+     {path}: {after}{owner if field.before is ABSENT else ''}"
