"""Of a process that stays: what one member is to have, and what of it was unchanged when it was
compared last. Both are given again only where all is the same that they were made of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from reconciler.api.objects import GroupKind, Object, ObjectKey
from reconciler.cluster.discovery import Discovery, GroupVersionKind, RESTMapping
from reconciler.federation.model import DriftRules
from reconciler.inventory.records import AppliedRecord
from reconciler.plan.custom_resources import kind_defined_by
from reconciler.plan.dry_run import Checked
from reconciler.plan.prune import CRD
from reconciler.plan.requests import ApplyTarget
from reconciler.plan.targets import Targets
from reconciler.render.render import DesiredObject


class KnownTargets:
    """The targets of one member as they were made last."""

    def __init__(self) -> None:
        self._of: tuple[Sequence[DesiredObject], Mapping[GroupVersionKind, RESTMapping], str]
        self._of = ((), {}, "")
        self._last: Targets | None = None

    def of(
        self,
        desired: Sequence[DesiredObject],
        discovery: Discovery,
        applyset: str,
        make: Callable[[Sequence[DesiredObject], Discovery, str], Targets],
    ) -> Targets:
        """As ``make`` makes them of the same."""
        before, resources, name = self._of
        same = before is desired and name == applyset and resources == discovery.resources
        if self._last is None or not same:
            self._of = desired, discovery.resources, applyset
            self._last = make(desired, discovery, applyset)
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
