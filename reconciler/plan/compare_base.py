"""What a branch changes: the plans of its head and of its base, compared. Pure.

Both are plans against the same fleet. What the base would do anyway (drift, a backlog) is no
business of the branch, and is left out; what the base would do and the head no longer does is
reported.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import orjson
from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.errors import Violation
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import Object, ObjectKey, first_few, without_spare_room
from reconciler.api.reasons import Cause, Reason
from reconciler.plan.guards import InvalidManifest, deletions_of
from reconciler.plan.model import (
    ABSENT,
    NOT_WRITTEN,
    Action,
    AgainstBase,
    Avoided,
    Change,
    ClusterPlan,
    FieldChange,
    LeftOut,
    Plan,
    WorkloadRow,
)

Item = TypeVar("Item")


def against_base(head: Plan, base: Plan, ref: str) -> Plan:
    """The head's plan with only what the base's has not; ``ref`` is how the base was asked for.

    A cluster that only one of the two could look at, or knows, has nothing to be compared with: all
    that the head would do there is shown.

    A limit that the head passes counts unless the base passes one in the same cluster, and the head
    deletes nothing there that the base does not: then it is a warning.
    """
    theirs = {cluster.name: cluster for cluster in base.clusters}
    parts = [_of_cluster(one, theirs.get(one.name), ref) for one in head.clusters]
    violations, old_violations = _violations(head, base)
    notices, old_notices = _new_notices(head.notices, base.notices)
    dns, old_dns = _new_records(head.dns, base.dns)
    left_out = LeftOut(
        changes=sum(part.left_out for part in parts),
        refused=sum(part.refused for part in parts),
        records=old_dns,
        warnings=old_notices,
    )
    avoided = [avoided for part in parts for avoided in part.avoided]
    known = {cluster.name for cluster in head.clusters}
    for gone in base.clusters:
        if gone.name not in known:
            avoided += [Avoided(gone.name, change) for change in _writing(gone.changes)]
    return replace(
        head,
        clusters=tuple(part.plan for part in parts),
        notices=(
            *notices,
            *(
                notice(NoticeCause.BASE_PASSES_LIMIT, one.cluster, one.subject, ref=ref, reason=one)
                for one in old_violations
            ),
            *_incomparable(head, theirs, ref),
        ),
        violations=tuple(violations),
        violation_hint=head.violation_hint if violations else "",
        workloads=_rows(head.workloads, base.workloads),
        moves=_new(head.moves, base.moves)[0],
        dns=dns,
        decisions=_new(head.decisions, base.decisions)[0],
        base=AgainstBase(
            ref, base.commit, left_out, tuple(avoided), _new_records(base.dns, head.dns)[0]
        ),
    )


def _incomparable(head: Plan, theirs: Mapping[str, ClusterPlan], ref: str) -> Iterator[Notice]:
    for cluster in head.clusters:
        other = theirs.get(cluster.name)
        if cluster.reachable and other is not None and not other.reachable:
            cause, why = NoticeCause.NOT_COMPARED, other.problem
            yield notice(cause, cluster.name, ref=ref, reason=why)


class _Part(Struct, frozen=True):
    plan: ClusterPlan
    left_out: int = 0
    refused: int = 0
    avoided: tuple[Avoided, ...] = ()


def _of_cluster(head: ClusterPlan, base: ClusterPlan | None, ref: str) -> _Part:
    if base is None or not base.reachable or not head.reachable:
        return _Part(head)
    theirs = {change.key: change for change in base.changes}
    kept, left_out, refused = [], 0, 0
    for change in head.changes:
        other = theirs.pop(change.key, None)
        if other is None:
            kept.append(change)
        elif not _same(change, other):
            kept.append(_beyond(change, other, ref))
        elif change.action is Action.FAILED:
            refused += 1
        else:
            left_out += 1
    avoided = tuple(Avoided(head.name, change) for change in _writing(theirs.values()))
    # What people added is no business of the branch.
    shown = replace(head, changes=tuple(kept), additions=())
    return _Part(shown, left_out, refused, avoided)


def _writing(changes: Iterable[Change]) -> list[Change]:
    return [change for change in changes if change.action not in NOT_WRITTEN]


def _same(one: Change, other: Change) -> bool:
    """Whether both do the same; reasons only explain, and where a manifest lies does not matter."""

    def compared_parts(change: Change) -> tuple[object, ...]:
        fields = [_essence(field) for field in change.fields]
        fields += [(f.path, _json(f.value), f.note.encode()) for f in change.stays]
        about = (change.action, change.api_version, change.error, change.force, change.uid)
        return (*about, change.propagation, change.take_over, fields, _json(change.request))

    return compared_parts(one) == compared_parts(other)


def _beyond(change: Change, other: Change, ref: str) -> Change:
    """The change without those of its fields that the base changes alike.

    Where values are hidden every field stays, as masked ones all look alike.
    """
    if change.action is not other.action:
        return _explained(change, f"{ref} would {other.action} it")
    if change.is_sensitive or change.action is Action.FAILED:
        return change
    alike = {_essence(field) for field in other.fields}
    fields = tuple(field for field in change.fields if _essence(field) not in alike)
    paths = {field.path for field in change.fields}
    dropped = sorted(field.path for field in other.fields if field.path not in paths)
    remarks = []
    if count := len(change.fields) - len(fields):
        remarks.append(f"{count} more as {ref}")
    if dropped:
        remarks.append(f"no longer, as {ref} would: {first_few(dropped)}")
    return _explained(dataclasses.replace(change, fields=fields), "; ".join(remarks))


def _explained(change: Change, text: str) -> Change:
    more = (Reason(Cause.IN_BASE, detail=text),) if text else ()
    return dataclasses.replace(change, reasons=(*change.reasons, *more))


def _essence(field: FieldChange) -> tuple[str, bytes, bytes]:
    return field.path, _json(field.before), _json(field.after)


def _json(value: object) -> bytes:
    if value is ABSENT:
        return b""
    return without_spare_room(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))


def _new(ours: Sequence[Item], theirs: Collection[Item]) -> tuple[tuple[Item, ...], int]:
    found = tuple(one for one in ours if one not in theirs)
    return found, len(ours) - len(found)


def _new_notices(
    ours: Sequence[Notice], theirs: Sequence[Notice]
) -> tuple[tuple[Notice, ...], int]:
    """Figures and the words of errors differ from one look to the next, and make no new notice."""
    known = {one.identity for one in theirs}
    found = tuple(one for one in ours if one.identity not in known)
    return found, len(ours) - len(found)


def _new_records(
    ours: Sequence[Object], theirs: Sequence[Object]
) -> tuple[tuple[Object, ...], int]:
    def compared_parts(record: Object) -> bytes:
        return _json({key: value for key, value in record.items() if key != "reason"})

    known = {compared_parts(record) for record in theirs}
    found = tuple(record for record in ours if compared_parts(record) not in known)
    return found, len(ours) - len(found)


def _violations(head: Plan, base: Plan) -> tuple[list[Violation], list[Violation]]:
    """Those that the head is to blame for, and those that it only shares."""
    to_blame: list[Violation] = []
    shared: list[Violation] = []
    known = {_wherever(one) for one in base.violations}
    for one in head.violations:
        own = _wherever(one) not in known and not _only_shares(one, head, base)
        (to_blame if own else shared).append(one)
    return to_blame, shared


def _wherever(one: Violation) -> Violation:
    """Without where a refused manifest lies, which an edit above it moves."""
    return replace(one, origin="") if isinstance(one, InvalidManifest) else one


def _only_shares(violation: Violation, head: Plan, base: Plan) -> bool:
    """Whether it is about a cluster in which the base passes a limit, and deletes as much."""
    name = violation.cluster
    ours = {cluster.name: cluster for cluster in head.clusters}
    theirs = {cluster.name: cluster for cluster in base.clusters}
    if name not in ours or name not in {one.cluster for one in base.violations}:
        return False
    return _deleted(ours[name]) <= _deleted(theirs[name])


def _deleted(cluster: ClusterPlan) -> set[ObjectKey]:
    return {change.key for change in deletions_of(cluster.changes)}


def _rows(ours: Sequence[WorkloadRow], theirs: Sequence[WorkloadRow]) -> tuple[WorkloadRow, ...]:
    """Replicas that the base would bring to the same numbers count as there already.

    What the base has no room for either is left out.
    """
    known = {row.key: (row.after, row.shortfall) for row in theirs}
    found = []
    for row in ours:
        if known.get(row.key) != (row.after, row.shortfall):
            found.append(row)
        elif not row.shortfall:
            found.append(replace(row, before=row.after))
    return tuple(found)
