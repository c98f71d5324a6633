"""The targets of all members of a run. Most members should have the very same objects, so what is
equal in them is made once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from reconciler.api.objects import ObjectKey, RedactedRepr, without_spare_room
from reconciler.cluster.discovery import Discovery, GroupVersionKind, RESTMapping
from reconciler.inventory.observe import Observation
from reconciler.plan.diff import request_bytes
from reconciler.plan.prune import NAMESPACE
from reconciler.plan.requests import ApplyTarget, crds_wanted, target_of
from reconciler.render import run_once
from reconciler.render.render import DesiredObject

SHARED_BYTES = 16 * 1024 * 1024
"""So much of requests is kept for the next member that has the same."""


class Targets(RedactedRepr, frozen=True):
    """What a member should have, as it sees it.

    crds       the kinds that the plan itself introduces
    hidden     fields whose values no output may show
    resources  how the member serves the kinds
    releases   of what charts render, the name of the release; ``hooks``: helm's weight, of Jobs and
               Pods that come first
    once       Jobs and the like
    namespaces  how many Namespaces there are
    """

    desired: Sequence[DesiredObject]
    by_key: Mapping[ObjectKey, ApplyTarget]
    all: tuple[ApplyTarget, ...]
    crds: Mapping[GroupVersionKind, RESTMapping]
    hidden: Mapping[ObjectKey, tuple[str, ...]]
    resources: Mapping[GroupVersionKind, RESTMapping]
    releases: Mapping[ObjectKey, str]
    hooks: Mapping[ObjectKey, int]
    once: tuple[ApplyTarget, ...]
    namespaces: int

    @property
    def keys(self) -> Collection[ObjectKey]:
        return self.by_key.keys()

    def ran(self, observation: Observation, same: Collection[ObjectKey]) -> dict[ObjectKey, str]:
        """What has run of all that runs once, as remembered and as seen. ``same``: is as wanted."""
        inventory, members = observation.inventory, observation.members
        found: dict[ObjectKey, str] = {}
        for target in self.once:
            known = inventory.ran.get(target.key)
            if target.key in members and target.key in same:
                seen = run_once.counts_as_run(members[target.key][1])
                body = target.body
                known = run_once.content_digest(inventory.digester, body) if seen else None
            if known is not None:
                found[target.key] = known
        return found


def targets_of(desired: Sequence[DesiredObject], discovery: Discovery, applyset: str) -> Targets:
    """As one member serves the kinds."""
    crds = crds_wanted(desired)
    found = tuple(target_of(one, discovery, crds, applyset) for one in desired)
    once = tuple(
        t for t in found if run_once.may_run_once(t.key) and run_once.runs_once(t.desired.body)
    )
    return Targets(
        desired,
        {target.key: target for target in found},
        found,
        crds,
        {t.key: t.desired.rules.hidden for t in found if t.desired.rules.hidden},
        {t.kind: t.resource for t in found if t.resource},
        {t.key: t.desired.rules.chart for t in found if t.desired.rules.chart},
        {t.key: t.desired.rules.hook for t in once if t.desired.rules.hook is not None},
        once,
        sum(target.key[:2] == NAMESPACE for target in found),
    )


class TargetsOfRun:
    """Each distinct one made once, and what is asked for by it. Used by several threads, of which
    two may make the same."""

    def __init__(self) -> None:
        self.requests = Requests()
        # With what they were made of, or something else could get its number.
        self._kinds: dict[int, tuple[Sequence[DesiredObject], tuple[GroupVersionKind, ...]]] = {}
        self._targets: dict[tuple[object, ...], Targets] = {}

    def of(self, desired: Sequence[DesiredObject], discovery: Discovery, applyset: str) -> Targets:
        """As ``targets_of``."""
        if id(desired) not in self._kinds:
            kinds = dict.fromkeys(GroupVersionKind.of_manifest(one.manifest) for one in desired)
            self._kinds[id(desired)] = (desired, tuple(kinds))
        _, kinds_of_these = self._kinds[id(desired)]
        known = (id(desired), applyset, *map(discovery.find, kinds_of_these))
        found = self._targets.get(known)
        if found is None:
            found = self._targets[known] = targets_of(desired, discovery, applyset)
        else:
            self.requests.share()
        return found


class Requests:
    """What the digest of each apply is made of (``diff.request_digest``). Made anew for whoever
    asks, unless several members share targets: those of one take as much memory as all of Git."""

    def __init__(self) -> None:
        self._space: int | None = None
        self._known: dict[int, tuple[ApplyTarget, bytes]] = {}

    def share(self) -> None:
        """From now on another member may ask for the same."""
        if self._space is None:
            self._space = SHARED_BYTES

    def of(self, target: ApplyTarget) -> bytes:
        """The bytes for ``Digester.of_bytes``."""
        found = self._known.get(id(target))
        if found is not None:
            return found[1]
        data = request_bytes(target.body)
        if self._space is not None and self._space > len(data):
            self._space -= len(data)
            data = without_spare_room(data)
            # With the target, or another one could get its number.
            self._known[id(target)] = (target, data)
        return data
