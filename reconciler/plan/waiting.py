"""What waits for a maintenance window, or for the end of a pause: marks on changes. Pure.

Where something is closed, only what an outage asks for is written, unless a window says otherwise.
What another change waits for, waits as well; and in a cluster in which anything waits, deletions
do, as they do where something is refused: nobody knows what the rest still needs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy

from reconciler.api.kinds import has_bounds
from reconciler.api.objects import ObjectKey
from reconciler.federation.maintenance import Closed, Maintenance
from reconciler.federation.model import DesiredState
from reconciler.plan.custom_resources import kind_defined_by
from reconciler.plan.fields import BOUNDS_FIELDS, REPLICAS_FIELD
from reconciler.plan.fights import Fights, why_it_waits
from reconciler.plan.model import NOT_WRITTEN, Action, Change
from reconciler.plan.prune import CRD, HOLDERS, NAMESPACE, staying_in

_MAKES = (Action.CREATE, Action.RECREATE)
_DELETES = (Action.PRUNE, Action.ORPHAN, Action.RECREATE)


class Waiting:
    """The rules for a run. ``moving``: cluster -> what it is to run more of than when all is well.

    ``clock`` tells the time (Unix seconds): fixed while a plan is made, running while it is
    carried out. ``fights`` are objects that are put back later than at once.
    """

    def __init__(
        self,
        state: DesiredState,
        moving: Mapping[str, Collection[ObjectKey]],
        clock: Callable[[], float],
        fights: Fights | None = None,
    ) -> None:
        self._fights = fights or {}
        self._rules = Maintenance(state)
        self._moving = moving
        self._clock = clock

    def by_clock(self, clock: Callable[[], float]) -> Waiting:
        """The same rules at another time."""
        found = copy(self)
        found._clock = clock
        return found

    def closed(self, cluster: str) -> Closed | None:
        """Why nothing is written to a whole cluster now; None: something may be."""
        return self._rules.closed(cluster, self._clock())

    def why_fleet(self) -> str:
        """Why nothing is written anywhere now but what an outage asks for; empty: something may."""
        found = self._rules.federation_closed(self._clock())
        return str(found) if found else ""

    def why(self, cluster: str, change: Change | None = None) -> str:
        """Why a change, or any, must not be made now, in words; empty: it may."""
        key = change.key if change else None
        found = self._rules.closed(cluster, self._clock(), key) if self._rules.any else None
        if found is None:
            return ""
        keys = self._moving.get(cluster, ())
        if change and found.failover and is_failover_move(change, keys):
            return ""
        return str(found)

    def marked(
        self, cluster: str, changes: Sequence[Change], members: Collection[ObjectKey]
    ) -> list[Change]:
        """The changes of a cluster, those that wait with why. ``members``: what is ours there."""
        waits = {
            change.key: text
            for change in changes
            if change.action not in NOT_WRITTEN and (text := self.why(cluster, change))
        }
        if waits:
            first = min(waits.values())
            for change in changes:
                if change.action in _DELETES:
                    waits.setdefault(change.key, first)
            _with_what_follows(changes, waits)
            _with_what_holds(changes, members, waits)
        # An object of which others own a part holds nothing else up.
        for change in changes if self._fights else ():
            moves = is_failover_move(change, self._moving.get(cluster, ()))
            why = why_it_waits(self._fights, cluster, change, self._clock())
            if why and not moves:
                waits.setdefault(change.key, why)
        if not waits:
            return list(changes)
        return [
            dataclasses.replace(change, waits=waits[change.key])
            if change.key in waits and change.action not in NOT_WRITTEN
            else change
            for change in changes
        ]


def is_failover_move(change: Change, moving: Collection[ObjectKey]) -> bool:
    """Whether it does only what an outage asks for: an object placed here by a failover is made, or
    runs more replicas, or may. ``moving``: what the cluster is to run more of than when all is
    well."""
    if change.key not in moving:
        return False
    if change.action is Action.UPDATE:
        shares = BOUNDS_FIELDS if has_bounds(change.key) else {REPLICAS_FIELD}
        return bool(change.fields) and {field.path for field in change.fields} <= shares
    return change.action is Action.CREATE


def _with_what_follows(changes: Sequence[Change], waits: dict[ObjectKey, str]) -> None:
    """What can be made only after something that waits: in its Namespace, of its kind, in place of
    it."""
    while True:
        made = [c for c in changes if c.key in waits and c.action not in NOT_WRITTEN]
        spaces = {
            c.key.name: waits[c.key]
            for c in made
            if c.key.group_kind == NAMESPACE and c.action in _MAKES
        }
        kinds = {
            kind_defined_by(c.request): waits[c.key]
            for c in made
            if c.key.group_kind == CRD and c.request
        }
        found = {
            change.key: why
            for change in changes
            if change.key not in waits and change.action not in NOT_WRITTEN
            for why in (
                spaces.get(change.key.namespace)
                or (kinds.get(change.key.group_kind) if not change.verified else None)
                or next((waits[key] for key in change.after if key in waits), None),
            )
            if why
        }
        if not found:
            return
        waits |= found


def _with_what_holds(
    changes: Sequence[Change], members: Collection[ObjectKey], waits: dict[ObjectKey, str]
) -> None:
    """A Namespace or definition that is to go waits for what in it waits to go."""
    staying = [key for key in members if key in waits]
    for change in changes:
        holds = change.action is Action.PRUNE and change.key.group_kind in HOLDERS
        if holds and staying_in(change.key, change.live or {}, staying, ()):
            waits.setdefault(change.key, min(waits.values()))


def without_waiting(changes: Sequence[Change]) -> tuple[Change, ...]:
    """The changes that may be written."""
    return tuple(change for change in changes if not change.waits)
