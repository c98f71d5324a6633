"""Of a process that stays: what one member is to have, and what of it was unchanged when it was
compared last. Both are given again only where all is the same that they were made of.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from reconciler.api.objects import GroupKind, Object, ObjectKey, RedactedRepr
from reconciler.cluster.discovery import Discovery, GroupVersionKind, RESTMapping
from reconciler.federation.model import DriftRules
from reconciler.inventory.observe import Observation
from reconciler.inventory.records import AppliedRecord
from reconciler.plan.custom_resources import kind_defined_by
from reconciler.plan.dry_run import Checked
from reconciler.plan.prune import CRD
from reconciler.plan.requests import ApplyTarget, crds_in, target_of
from reconciler.render import run_once
from reconciler.render.render import DesiredObject


class MemberTargets(RedactedRepr, frozen=True):
    """What a member is to have, with what follows from that alone.

    ``crds`` are the kinds that it introduces, ``hidden`` where values of an object are not shown,
    ``resources`` those of the kinds that are served; ``once`` are Jobs and the like; ``releases``
    and ``hooks`` as in ``member_plan.MemberWork``.
    """

    targets: tuple[ApplyTarget, ...]
    crds: Mapping[GroupVersionKind, RESTMapping]
    by_key: Mapping[ObjectKey, ApplyTarget]
    keys: frozenset[ObjectKey]
    hidden: Mapping[ObjectKey, tuple[str, ...]]
    resources: Mapping[GroupVersionKind, RESTMapping]
    once: tuple[ApplyTarget, ...]
    releases: Mapping[ObjectKey, str]
    hooks: Mapping[ObjectKey, int]


def targets_in(
    desired: Sequence[DesiredObject], discovery: Discovery, applyset: str
) -> MemberTargets:
    """As the member's discovery has the kinds; ``applyset`` is what all of it belongs to."""
    crds = crds_in([d.body for d in desired])
    targets = tuple(target_of(d, discovery, crds, applyset) for d in desired)
    by_key = {target.key: target for target in targets}
    once = tuple(t for t in targets if run_once.runs_once(t.desired.body))
    return MemberTargets(
        targets,
        crds,
        by_key,
        frozenset(by_key),
        {t.key: t.desired.hidden for t in targets if t.desired.hidden},
        {t.kind: t.resource for t in targets if t.resource},
        once,
        {t.key: t.desired.chart for t in targets if t.desired.chart},
        {t.key: t.desired.hook for t in once if t.desired.hook is not None},
    )


def what_ran(
    observation: Observation, once: Sequence[ApplyTarget], same: Collection[ObjectKey]
) -> dict[ObjectKey, str]:
    """What has run of ``once``, as remembered and as seen. ``same``: is as wanted."""
    inventory, members = observation.inventory, observation.members
    found: dict[ObjectKey, str] = {}
    for target in once:
        known = inventory.ran.get(target.key)
        if target.key in members and target.key in same:
            seen = run_once.counts_as_run(members[target.key][1])
            known = run_once.content_digest(inventory.digester, target.body) if seen else None
        if known is not None:
            found[target.key] = known
    return found


class KnownTargets:
    """The targets of one member as they were made last."""

    def __init__(self) -> None:
        self._of: tuple[Sequence[DesiredObject], Mapping[GroupVersionKind, RESTMapping], str]
        self._of = ((), {}, "")
        self._last: MemberTargets | None = None

    def of(
        self, desired: Sequence[DesiredObject], discovery: Discovery, applyset: str
    ) -> MemberTargets:
        """As ``targets_in``."""
        before, resources, name = self._of
        same = before is desired and name == applyset and resources == discovery.resources
        if self._last is None or not same:
            self._of = desired, discovery.resources, applyset
            self._last = targets_in(desired, discovery, applyset)
        return self._last


class _Settled(NamedTuple):
    """An object that was unchanged, by these very values."""

    target: ApplyTarget
    live: Object
    record: AppliedRecord | None
    verdict: Checked


class SettledObjects:
    """The objects of one member that were unchanged at a glance.

    Such a verdict is a function of what is wanted, of the live object and of its record, as long as
    digests are made with the same key and the same rules tell what an addition is. What is wanted
    and what is live are values that nobody changes, so the same object is the same value. Objects
    of kinds that Git defines are not among them, as their verdict depends on the definition.
    """

    def __init__(self) -> None:
        self._known: dict[ObjectKey, _Settled] = {}
        self._under: tuple[bytes, DriftRules | None] = b"", None

    def hold_under(self, key: bytes, rules: DriftRules) -> None:
        """Forget all that was made with another key for digests, or by other rules."""
        if self._under != (key, rules):
            self._known, self._under = {}, (key, rules)

    def among(
        self,
        targets: Sequence[ApplyTarget],
        live_of: Callable[[ApplyTarget], Object | None],
        rows: Mapping[ObjectKey, AppliedRecord],
        sampled: Callable[[ObjectKey], bool],
    ) -> dict[ObjectKey, Checked]:
        """The verdicts that hold still, but for those that are to be ``sampled``."""
        known = self._known
        if len(known) > len(targets):
            wanted = {target.key for target in targets}
            self._known = known = {key: one for key, one in known.items() if key in wanted}
        return {
            target.key: one.verdict
            for target in targets
            if (one := known.get(target.key)) is not None
            and one.target is target
            and one.live is live_of(target)
            and one.record == rows.get(target.key)
            and not sampled(target.key)
        }

    def keep(
        self, settled: Iterable[tuple[Object, AppliedRecord | None, Checked]], kinds: set[GroupKind]
    ) -> None:
        """The live objects, their records, and that each is unchanged, but for those of ``kinds``
        that Git defines."""
        for live, record, verdict in settled:
            target = verdict.target
            if target.resource is None or (kinds and target.key.group_kind in kinds):
                continue
            if verdict.record == record:
                # One is enough to hold.
                verdict = replace(verdict, record=record)
            self._known[target.key] = _Settled(target, live, record, verdict)


def kinds_defined_in(targets: Iterable[ApplyTarget]) -> set[GroupKind]:
    """Those of which a CustomResourceDefinition is among what is wanted."""
    return {kind_defined_by(t.desired.body) for t in targets if t.key[:2] == CRD}
