"""What people's tools have added to an object of ours, told from managedFields alone. Pure.

An addition is a field that only such managers own: a variable by ``kubectl set env``, a port, a
label. What a controller owns as well is not one, and neither is what somebody wrote through a
subresource (status, scale). So an object whose additions are only reported costs no request.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from msgspec import Struct

from reconciler.api.field_path import FieldPath, Step
from reconciler.api.objects import Object, key_of
from reconciler.federation.drift import Pointers, below, below_item, is_mark, pointer_steps
from reconciler.federation.model import Additions, DriftRules
from reconciler.inventory.managed_fields import (
    Fields,
    difference,
    entries_of,
    fields_of,
    holds_itself,
    is_ours,
    item_at,
    our_entry,
    tree_of,
    union,
)
from reconciler.plan.fields import naming
from reconciler.plan.model import Addition
from reconciler.render.render import DesiredObject

_POD_ANNOTATIONS = ("spec", "template", "metadata", "annotations")
_ANNOTATIONS = ("metadata", "annotations")
_SPECIAL: tuple[tuple[tuple[str, ...], Additions], ...] = (
    # A restart by hand: to undo it would be one more, and it says nothing else.
    ((*_POD_ANNOTATIONS, "*/restartedAt"), "Ignore"),
    ((*_POD_ANNOTATIONS, "cattle.io/timestamp"), "Ignore"),
    # Notes of kubectl, of controllers and of Rancher to themselves.
    ((*_ANNOTATIONS, "kubectl.kubernetes.io/last-applied-configuration"), "Ignore"),
    ((*_ANNOTATIONS, "deployment.kubernetes.io/revision"), "Ignore"),
    ((*_ANNOTATIONS, "deprecated.daemonset.template.generation"), "Ignore"),
    ((*_ANNOTATIONS, "*cattle.io/*"), "Ignore"),
    # Without them data may go, or the workload falls to one replica.
    (("metadata", "finalizers"), "Report"),
    (("metadata", "ownerReferences"), "Report"),
    (("spec", "replicas"), "Report"),
)
"""What only a rule that names the very field may treat otherwise: at most so much is done."""

_RANK: dict[Additions, int] = {"Ignore": 0, "Report": 1, "Remove": 2}

_Place = str | tuple[Any]
"""A key of a map, or (in a tuple of its own) an item of a list."""


class FoundAdditions(Struct, frozen=True):
    """What people added: to be ``reported``, and as a fieldsV1 tree to be ``removed``."""

    reported: tuple[Addition, ...] = ()
    removed: Fields = {}
    managers: tuple[str, ...] = ()


NO_ADDITIONS = FoundAdditions()


class _Owner(Struct, frozen=True):
    """A manager that holds ``fields`` at some place. ``apart``: by names of another version."""

    manager: str
    time: str
    apart: bool
    fields: Fields


class AdditionFinder:
    """Finds additions by the rules of a federation; it remembers which managers are people's."""

    def __init__(self, rules: DriftRules) -> None:
        self._rules = rules
        self._patterns = (*rules.managers, *(m for rule in rules.rules for m in rule.managers))
        self._counted: dict[object, bool] = {}
        self._may_find: dict[tuple[str, ...], bool] = {}

    def _counts(self, entry: Object) -> bool:
        """Whether it is what a person wrote, and not through a subresource."""
        counted = self._is_counted(entry.get("manager"))
        return counted and not entry.get("subresource") and not is_ours(entry)

    def _is_counted(self, manager: object) -> bool:
        if manager not in self._counted:
            self._counted[manager] = _any_match(str(manager), self._patterns)
        return self._counted[manager]

    def may_find(self, managers: tuple[str, ...]) -> bool:
        """Whether something of an object may be an addition that has entries of these managers,
        beside our own."""
        found = self._may_find.get(managers)
        if found is None:
            # Most objects have the same few.
            found = self._may_find[managers] = any(map(self._is_counted, managers))
        return found

    def find(self, live: Object, desired: DesiredObject) -> FoundAdditions:
        """What was added to an object that is ours, or as good as ours."""
        entries = live["metadata"].get("managedFields")
        known = self._counted
        for entry in entries if isinstance(entries, list) else ():
            if not isinstance(entry, dict) or known.get(entry.get("manager"), True):
                break
        else:
            return NO_ADDITIONS  # Most objects end here.
        counted = [entry for entry in entries_of(live) if self._counts(entry)]
        if not counted:
            return NO_ADDITIONS
        others = fields_of(entry for entry in entries_of(live) if entry not in counted)
        version = (our_entry(live) or {}).get("apiVersion")
        owners = [
            _Owner(
                str(entry.get("manager")),
                str(entry.get("time") or ""),
                entry.get("apiVersion") != version,
                {k: v for k, v in rest.items() if k != "f:status"},
            )
            for entry in counted
            if (rest := _but_shells(difference(tree_of(entry), others), others))
        ]
        search = _Search(self._rules, desired, live)
        removed, _ = search.walk((), (), owners, live)
        paths = sorted(search.reported, key=lambda addition: addition.path)
        return FoundAdditions(tuple(paths), removed or {}, tuple(sorted(search.losers)))


def _but_shells(tree: Fields, others: Fields) -> Fields:
    """``tree`` without the maps and items that hold nothing of theirs, and what others own."""
    found: Fields = {}
    for step, inner in tree.items():
        theirs = others.get(step, {})
        if not inner and theirs:
            continue
        rest = _but_shells(inner, theirs)
        if rest or not inner:
            found[step] = rest
    return found


class _Search:
    """One object's walk along the trees of those who added to it."""

    def __init__(self, rules: DriftRules, desired: DesiredObject, live: Object) -> None:
        self._rules = rules
        self._desired = desired
        self._kind = key_of(live).group_kind
        self._leaving = bool(live["metadata"].get("deletionTimestamp"))
        self.reported: list[Addition] = []
        self.losers: set[str] = set()

    def walk(
        self,
        steps: tuple[Step, ...],
        places: tuple[_Place, ...],
        owners: Sequence[_Owner],
        value: Any,
    ) -> tuple[Fields | None, bool]:
        """(what is to be removed of what they own here, whether that is all of it)."""
        inner = dict.fromkeys(s for owner in owners for s in owner.fields if s != ".")
        keys: dict[str, Any] = {}
        if places and isinstance(places[-1], tuple) and isinstance(steps[-1], dict):
            keys = steps[-1]  # By these the item is named, and with it they go.
        ends = [step for step in inner if step[2:] not in keys]
        if not ends:
            return self._end(steps, places, owners, value)
        tree: Fields = {}
        whole = True
        for step in ends:
            found = _at(step, value)
            if found is None:
                continue
            place, name, held = found
            part, all_of_it = self.walk(
                (*steps, name),
                (*places, place),
                [
                    _Owner(o.manager, o.time, o.apart, o.fields[step])
                    for o in owners
                    if step in o.fields
                ],
                held,
            )
            whole = whole and all_of_it
            if part is not None:
                tree[step] = part
        if tree and whole and steps:
            shells = [owner.manager for owner in owners if holds_itself(owner.fields)]
            self.losers.update(shells)
            every = union(*(owner.fields for owner in owners))
            return ({**every, ".": {}} if shells else every), True
        return (tree or None), whole and not tree

    def _end(
        self,
        steps: tuple[Step, ...],
        places: tuple[_Place, ...],
        owners: Sequence[_Owner],
        value: Any,
    ) -> tuple[Fields | None, bool]:
        itself = any("." in owner.fields for owner in owners)
        keys = steps[-1] if steps and isinstance(steps[-1], dict) else {}
        more = value.keys() - keys if isinstance(value, dict) else value
        if not steps or (itself and isinstance(value, dict | list) and more):
            return None, True  # Somebody made the map or the item; what is in it is others'.
        verdict = min((self._verdict(places, owner) for owner in owners), key=_RANK.__getitem__)
        if verdict == "Remove":
            self.losers.update(owner.manager for owner in owners)
            return union(*(owner.fields for owner in owners)), True
        if verdict == "Report":
            managers = tuple(sorted({owner.manager for owner in owners}))
            time = max(owner.time for owner in owners)
            self.reported.append(Addition(FieldPath(steps), value, managers, time))
        return None, False

    def _verdict(self, places: Sequence[_Place], owner: _Owner) -> Additions:
        others = (*self._desired.rules.ignore, *self._desired.rules.retain)
        left = _meeting(pointer_steps(others), places)
        if left and not all(left):
            return "Ignore"
        asked, named, in_part = self._asked(places, owner.manager)
        limits: list[Additions] = [asked]
        if not named:
            limits += [most for path, most in _SPECIAL if _meeting([path], places)]
        if left or in_part or owner.apart or self._leaving or _is_our_mark(places):
            limits.append("Report")
        return min(limits, key=_RANK.__getitem__)

    def _asked(self, places: Sequence[_Place], manager: str) -> tuple[Additions, bool, bool]:
        """What the rules say, the closest first: rules with paths or managers, the object's
        annotation, its Placement, rules with kinds alone, and last what holds for all.

        With it, whether one names the very field, and whether one keeps a part of it, which has
        one owner as a whole.
        """
        rules = [
            rule
            for rule in self._rules.rules
            if not rule.kinds or self._kind in rule.kinds
            if not rule.managers or _any_match(manager, rule.managers)
        ]
        in_part = False
        for rule in rules:
            pointers = pointer_steps(rule.paths)
            rest = _meeting(pointers, places)
            if rest and not all(rest):
                return rule.additions, _names(pointers, places), in_part
            in_part = in_part or bool(rest and rule.additions != "Remove")
            if rule.managers and not rule.paths:
                return rule.additions, False, in_part
        if not _any_match(manager, self._rules.managers):
            return "Ignore", False, False
        asked = self._desired.rules.additions or self._desired.rules.placed_additions
        alone = (rule.additions for rule in rules if not (rule.paths or rule.managers))
        return asked or next(alone, None) or self._rules.additions, False, in_part


def _at(step: str, value: Any) -> tuple[_Place, Step, Any] | None:
    """Where a step of a tree leads in a value: the place, its name in plans, what is there."""
    if isinstance(value, dict) and step[:2] == "f:" and step[2:] in value:
        return step[2:], step[2:], value[step[2:]]
    if isinstance(value, list) and (item := item_at(step, value)) is not None:
        return (item,), naming(value, item), item
    return None


def _meeting(pointers: Pointers, places: Sequence[_Place]) -> list[tuple[str, ...]]:
    """What is left of the pointers that meet a place: empty ones mean it or what it is in, the
    others lead into it."""
    found: list[tuple[str, ...]] = []
    for place in places:
        found += [rest for rest in pointers if not rest]
        on = [rest for rest in pointers if rest]
        pointers = below(on, place) if isinstance(place, str) else below_item(on, *place)
    return [*found, *pointers]


def _names(pointers: Pointers, places: Sequence[_Place]) -> bool:
    """Whether one of the pointers spells out a place to its end."""
    own = [steps for steps in pointers if len(steps) >= len(places) and steps[-1] != "*"]
    return any(not rest for rest in _meeting(own, places))


def _is_our_mark(places: Sequence[_Place]) -> bool:
    return len(places) > 2 and isinstance(places[2], str) and is_mark(places[2])


@lru_cache(maxsize=4096)
def _any_match(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def exactly(managers: Sequence[str]) -> Iterator[str]:
    """Patterns that mean just these managers."""
    for name in managers:
        yield "".join(f"[{sign}]" if sign in "*?[" else sign for sign in name)
