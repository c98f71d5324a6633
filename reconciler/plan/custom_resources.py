"""Custom resources whose CustomResourceDefinition this very plan changes. Pure but for the look at
the objects of a definition that drops a version.

Until the definition is written, the server judges its objects by the old one: what it says of them
is reported as not checked yet, and asked again before they are written. And once a definition drops
a version, the server refuses every apply of an object of which an entry in managedFields still
names that version. So our entries are moved on first; those of others are not ours to change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from reconciler.api.errors import ApiError
from reconciler.api.objects import (
    GroupKind,
    Object,
    ObjectKey,
    RedactedRepr,
    first_few,
    key_of,
    map_of,
    maps_of,
)
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import Discovery
from reconciler.inventory.managed_fields import (
    BEFORE_FIRST_APPLY,
    entries_of,
    is_ours,
    resource_version_test,
)
from reconciler.plan.model import Action, Change
from reconciler.plan.prune import CRD
from reconciler.plan.requests import ApplyTarget

_STUCK = re.compile(r"request to convert CR (?:to|from) an invalid group/version: (\S+)")


class Definition(RedactedRepr, frozen=True):
    """What this plan does to a kind's definition.

    ``changes``: it is made, or its spec changes. ``going``: it is being deleted, as told.
    ``dropped`` are the versions that it lists and will not (``example.com/v1alpha1``), ``stays`` is
    one that it lists before and afterwards.
    """

    changes: bool = False
    going: str = ""
    dropped: frozenset[str] = frozenset()
    stays: str = ""


NO_CHANGE = Definition()


class StaleEntries(Struct, frozen=True):
    """Entries of managedFields that still name a version which is not, or no longer, listed.

    ``ours`` is the version in which our own are; ``others`` the managers of all others.
    """

    ours: str = ""
    others: tuple[str, ...] = ()


def definitions(
    targets: Iterable[ApplyTarget], changes: Mapping[ObjectKey, Change]
) -> dict[GroupKind, Definition]:
    """What the plan does to the kinds that the CustomResourceDefinitions among ``targets`` define.

    ``changes`` are those of the definitions themselves.
    """
    found = {}
    for target in targets:
        change = changes.get(target.key) if target.key[:2] == CRD else None
        if change is None:
            continue
        if change.action is Action.TERMINATING:
            going = f"its {target.key}: {change.error}"
            found[kind_defined_by(target.body)] = Definition(going=going)
        elif change.action is not Action.FAILED:
            before, after = (map_of(map_of(obj).get("spec")) for obj in (change.live, target.body))
            respec = not before or any(f.path.startswith("spec") for f in change.fields)
            old, new = _versions(before), _versions(after)
            dropped = frozenset(set(old) - set(new))
            # What is stored is never dropped, and so there is one.
            stays = next((version for version in new if version in old), "")
            kind = kind_defined_by(target.body)
            found[kind] = Definition(respec, "", dropped, stays)
    return found


def kind_defined_by(definition: Object) -> GroupKind:
    """The kind whose objects a CustomResourceDefinition is about."""
    spec = map_of(definition.get("spec"))
    return GroupKind(str(spec.get("group")), str(map_of(spec.get("names")).get("kind")))


def _versions(spec: Object) -> list[str]:
    """The versions that are listed, served or not; the one that is stored first."""
    listed = sorted(maps_of(spec.get("versions")), key=lambda v: not v.get("storage"))
    return [f"{spec.get('group')}/{v.get('name')}" for v in listed]


def stale_entries_in(live: Object, versions: Iterable[str]) -> StaleEntries:
    """The entries of an object that name one of ``versions``."""
    named = set(versions)
    entries = [e for e in entries_of(live) if e.get("apiVersion") in named]
    ours = [str(e["apiVersion"]) for e in entries if _is_our_own(e)]
    others = {str(e.get("manager")) for e in entries if not _is_our_own(e)}
    return StaleEntries(ours[0] if ours else "", tuple(sorted(others)))


def migrated_entries(live: Object, old: str, new: str) -> list[dict[str, Any]]:
    """The JSON patch that moves our entries from version ``old`` to ``new``, each only if it still
    is ours; a Conflict where the object was written to. Empty: there is nothing to move.

    No merge patch, which makes servers up to 1.36 forget who owns what, and newer ones refuse.
    """
    moves: list[dict[str, Any]] = []
    for at, entry in enumerate(entries_of(live)):
        if entry.get("apiVersion") == old and _is_our_own(entry):
            path = f"/metadata/managedFields/{at}"
            moves += [
                {"op": "test", "path": f"{path}/manager", "value": entry["manager"]},
                {"op": "replace", "path": f"{path}/apiVersion", "value": new},
            ]
    return [resource_version_test(live), *moves] if moves else []


def _is_our_own(entry: Object) -> bool:
    return is_ours(entry) or entry.get("manager") == BEFORE_FIRST_APPLY


def refused_version(error: ApiError) -> str:
    """The version at which every apply of an object is refused; empty: it is not for that."""
    match = _STUCK.search(str(error)) if error.code == 500 else None
    return match.group(1) if match else ""


def entry_migration_command(live: Object, definition: Definition) -> str:
    """The command with which a person moves on an entry that is not ours."""
    key, entries = key_of(live), entries_of(live)
    at = next(
        i
        for i, entry in enumerate(entries)
        if entry.get("apiVersion") in definition.dropped and not _is_our_own(entry)
    )
    entry, manager = f"/metadata/managedFields/{at}", entries[at].get("manager")
    namespace = f" -n {key.namespace}" if key.namespace else ""
    return (
        f"kubectl{namespace} patch {key.kind.lower()}.{key.group} {key.name} --type=json -p '["
        f'{{"op": "test", "path": "{entry}/manager", "value": "{manager}"}}, '
        f'{{"op": "replace", "path": "{entry}/apiVersion", "value": "{definition.stays}"}}]\''
    )


def find_stale_entries(
    member: Member, discovery: Discovery, kind: GroupKind, definition: Definition
) -> list[tuple[Object, StaleEntries]]:
    """All objects of the kind with entries at a version that is dropped, whosever they are.

    One metadata LIST, and only where a definition drops a version. Raises ApiError.
    """
    resource = discovery.preferred(kind)
    if not definition.dropped or resource is None:
        return []
    listed = member.list_objects(resource, metadata_only=True)
    found = ((live, stale_entries_in(live, definition.dropped)) for live in listed)
    return [(live, left) for live, left in found if left.ours or left.others]


def manager_names(found: Iterable[tuple[Object, StaleEntries]]) -> str:
    """``Route shop/web (kubectl-edit), Route shop/api (helm)``; empty: there are none."""
    return first_few(
        [f"{key_of(live)} ({', '.join(left.others)})" for live, left in found if left.others]
    )


def as_git_says(live: Any, wanted: Any) -> Any:
    """``live`` with what Git states: what an apply makes of it, as far as that is known without
    the server. Lists are as Git has them."""
    if not isinstance(live, dict) or not isinstance(wanted, dict):
        return wanted
    return {**live, **{key: as_git_says(live.get(key), value) for key, value in wanted.items()}}
