"""``managedFields``: who owns which field, and what server-side apply makes of it.

The algorithm is the server's (structured merge and diff, ``merge.Updater``), with the wrappers
that it puts around it: metadata is never owned, entries carry times, at most ten updaters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from kubesim import fieldsets, structured_merge
from kubesim.fieldsets import FieldSet
from kubesim.objects import Object
from kubesim.schema import Shape
from kubesim.statuses import apply_conflict

_MAX_UPDATERS = 10
_STRIPPED = tuple(
    [(f"f:{name}",) for name in ("apiVersion", "kind")]
    + [
        ("f:metadata", f"f:{name}")
        for name in (
            "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName",
            "generation", "managedFields", "resourceVersion",
        )
    ]
)  # fmt: skip
_NEVER_OWNED: FieldSet = {"f:metadata": {".": {}}}
for _path in _STRIPPED:
    _node = _NEVER_OWNED
    for _element in _path:
        _node = _node.setdefault(_element, {})
    _node["."] = {}

Paths = tuple[tuple[str, ...], ...]


class Manager(NamedTuple):
    """What tells one entry from another; an applier is the same whatever its version."""

    operation: str
    name: str
    api_version: str
    subresource: str


@dataclass(frozen=True, slots=True)
class ManagedFieldsEntry:
    fields: FieldSet
    api_version: str
    time: str | None


Managers = dict[Manager, ManagedFieldsEntry]


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes, how and when; ``ignored``: paths that this endpoint resets, so never owns."""

    name: str
    api_version: str
    subresource: str
    time: str
    ignored: Paths = ()
    only: Paths = ()

    def filter(self, fields: FieldSet) -> FieldSet:
        if self.only:
            fields = fieldsets.only_prefixes(fields, self.only)
        return fieldsets.without_prefixes(fields, self.ignored)


def read_entries(managed_fields: Any) -> Managers:
    """The entries of an object; none at all when they cannot be read."""
    found: Managers = {}
    for entry in managed_fields or ():
        operation = entry.get("operation")
        version = entry.get("apiVersion")
        if operation not in ("Apply", "Update") or not version:
            return {}
        if entry.get("fieldsType") != "FieldsV1":
            return {}
        manager = Manager(
            operation,
            entry.get("manager", ""),
            "" if operation == "Apply" else version,
            entry.get("subresource", ""),
        )
        fields = fieldsets.decode_fieldset(entry.get("fieldsV1") or {})
        found[manager] = ManagedFieldsEntry(fields, version, entry.get("time"))
    return found


def write_entries(managers: Managers) -> list[Object]:
    """Sorted as the server sorts: appliers first, then by time, manager, version, subresource."""
    ordered = sorted(
        managers.items(),
        key=lambda item: (
            item[0].operation, item[1].time or "", item[0].name, item[1].api_version,
            item[0].subresource,
        ),
    )  # fmt: skip
    entries = []
    for manager, entry in ordered:
        written: Object = {}
        if manager.name:
            written["manager"] = manager.name
        written["operation"] = manager.operation
        written["apiVersion"] = entry.api_version
        if entry.time is not None:
            written["time"] = entry.time
        written["fieldsType"] = "FieldsV1"
        written["fieldsV1"] = fieldsets.encode_fieldset(entry.fields)
        if manager.subresource:
            written["subresource"] = manager.subresource
        entries.append(written)
    return entries


def is_reset(managed_fields: Any, *, custom: bool = False) -> bool:
    """One empty entry wipes the record; so does an empty list, but not in a custom resource."""
    return managed_fields == [{}] or (managed_fields == [] and not custom)


def current(live: Object, new: Object, *, custom: bool = False) -> Managers:
    """The entries to go on from: the request's if it has any, else the live object's."""
    sent = new.get("metadata", {}).get("managedFields")
    if is_reset(sent, custom=custom):
        return {}
    return read_entries(sent) or read_entries(live.get("metadata", {}).get("managedFields"))


def updated(
    live: Object, new: Object, shape: Shape, managers: Managers, writer: Writer
) -> Managers:
    """After a create, an update or a patch: the writer owns what it changed, nobody else does."""
    if not managers and live.get("metadata", {}).get("uid"):
        return {}  # untracked since it was wiped, until somebody applies
    return _track(live, new, shape, managers, writer)


def _track(live: Object, new: Object, shape: Shape, managers: Managers, writer: Writer) -> Managers:
    change = _comparison(live, new, shape, writer)
    changed = fieldsets.union(change.added, change.modified)
    gone = fieldsets.union(changed, change.removed)
    result: Managers = {}
    for manager, entry in managers.items():
        fields = fieldsets.difference(entry.fields, gone) if gone else entry.fields
        if fields:
            result[manager] = ManagedFieldsEntry(fields, entry.api_version, entry.time)
    own_fields = fieldsets.difference(writer.filter(changed), _NEVER_OWNED)
    if own_fields:
        me = Manager("Update", writer.name, writer.api_version, writer.subresource)
        before = managers.get(me)
        if before is not None:
            kept = fieldsets.difference(before.fields, change.removed)
            own_fields = fieldsets.union(kept, own_fields)
        result[me] = ManagedFieldsEntry(own_fields, writer.api_version, writer.time)
    return _cap(result)


def applied(
    live: Object,
    config: Object,
    shape: Shape,
    managers: Managers,
    writer: Writer,
    *,
    force: bool,
    empty: Object,
) -> tuple[Object, Managers]:
    """Server-side apply: the merged object (not yet defaulted) and the entries after it.

    ``empty`` is an object of the kind without content. Raises Refusal (409) when somebody else
    owns a field with another value, unless ``force``.
    """
    if not managers and live.get("metadata", {}).get("uid"):
        first = Writer(
            "before-first-apply", writer.api_version, "", writer.time, writer.ignored, writer.only
        )
        managers = _track(empty, live, shape, {}, first)
    me = Manager("Apply", writer.name, "", writer.subresource)
    before = managers.get(me)
    merged = structured_merge.merge(live, config, shape)
    own_fields = writer.filter(fieldsets.fieldset_of(config, shape))
    after = {**managers, me: ManagedFieldsEntry(own_fields, writer.api_version, None)}
    if before is not None and before.fields:
        merged = _prune(merged, after, before.fields, shape)
    time = writer.time
    if _bare(merged) == _bare(live):
        time = before.time if before is not None else None  # type: ignore[assignment]
    after[me] = ManagedFieldsEntry(own_fields, writer.api_version, time)
    change = _comparison(live, merged, shape, writer)
    changed = fieldsets.union(change.added, change.modified)
    conflicts: list[tuple[str, str]] = []
    result: Managers = {}
    for manager, entry in after.items():
        fields = entry.fields
        if manager != me:
            contested = fieldsets.intersection(fields, changed)
            if contested and not force:
                conflicts += [
                    (_shown(manager), fieldsets.dotted(path))
                    for path in fieldsets.members(contested)
                ]
            fields = fieldsets.difference(fields, contested)
            fields = fieldsets.difference(fields, change.removed)
        else:
            fields = fieldsets.difference(fields, _NEVER_OWNED)
        if fields:
            result[manager] = ManagedFieldsEntry(fields, entry.api_version, entry.time)
    if conflicts:
        raise apply_conflict(sorted(conflicts, key=lambda conflict: conflict[0]))
    return merged, _cap(result)


def _comparison(
    live: Object, new: Object, shape: Shape, writer: Writer
) -> structured_merge.StructuredComparison:
    change = structured_merge.compare_values(_bare(live), _bare(new), shape)
    return structured_merge.StructuredComparison(
        writer.filter(change.added), writer.filter(change.modified), writer.filter(change.removed)
    )


def _bare(obj: Object) -> Object:
    metadata = obj.get("metadata")
    if not metadata or "managedFields" not in metadata:
        return obj
    rest = {key: value for key, value in metadata.items() if key != "managedFields"}
    return {**obj, "metadata": rest}


def _prune(merged: Object, managers: Managers, last: FieldSet, shape: Shape) -> Object:
    """Removes what the applier gave up and nobody else owns (``Updater.prune``)."""
    named = _named(last, shape)
    pruned = structured_merge.remove_fields(merged, named, shape)
    owned: FieldSet = {}
    for entry in managers.values():
        owned = fieldsets.union(owned, entry.fields)
    merged_set = _named(fieldsets.fieldset_of(merged, shape), shape)
    pruned_set = _named(_set_of(pruned, shape), shape)
    keep = fieldsets.union(pruned_set, _named(owned, shape))
    pruned = structured_merge.remove_fields(merged, fieldsets.difference(merged_set, keep), shape)
    pruned_set = _named(_set_of(pruned, shape), shape)
    gone = fieldsets.intersection(fieldsets.difference(merged_set, pruned_set), named)
    result: Object = structured_merge.remove_fields(merged, gone, shape)
    return result


def _named(fields: FieldSet, shape: Shape) -> FieldSet:
    return structured_merge.with_named_fields(fields, shape)


def _set_of(value: Any, shape: Shape) -> FieldSet:
    return {} if value is fieldsets.MISSING else fieldsets.fieldset_of(value, shape)


def _shown(manager: Manager) -> str:
    text = f'"{manager.name}"'
    if manager.subresource:
        text += f' with subresource "{manager.subresource}"'
    if manager.operation == "Update":
        text += f" using {manager.api_version}"
    return text


def _cap(managers: Managers) -> Managers:
    """Folds the oldest updaters into ``ancient-changes`` when there are more than ten."""
    updaters = [manager for manager in managers if manager.operation == "Update"]
    if len(updaters) <= _MAX_UPDATERS:
        return managers
    updaters.sort(key=lambda manager: (managers[manager].time or "", manager))
    result, surplus = dict(managers), len(updaters) - _MAX_UPDATERS
    buckets: dict[str, Manager] = {}
    for manager in updaters:
        if surplus <= 0:
            break
        entry = result[manager]
        version = entry.api_version
        if version not in buckets:
            buckets[version] = manager
            continue
        bucket = Manager("Update", "ancient-changes", version, "")
        if bucket not in result:
            result[bucket] = result.pop(buckets[version])
        fields = fieldsets.union(entry.fields, result[bucket].fields)
        result[bucket] = ManagedFieldsEntry(fields, version, entry.time)
        del result[manager]
        surplus -= 1
    return result
