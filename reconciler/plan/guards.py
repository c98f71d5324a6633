"""Limits on what one run may delete. Pure; a violation stops the run before its first write."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from reconciler.api.errors import Violation
from reconciler.api.objects import ObjectKey, first_few
from reconciler.api.reasons import Cause
from reconciler.federation.model import GuardRules
from reconciler.plan.model import Action, Change
from reconciler.plan.prune import NAMESPACE


class Deletions(Struct, frozen=True):
    """One cluster's figures: the inventory's size, what is wanted, and what would go.

    ``unplaced``: of what would go, that which Git has and no rule places anywhere.
    """

    cluster: str
    inventory: int
    inventory_namespaces: int
    wanted: int
    wanted_namespaces: int
    deleted: tuple[Change, ...]
    unplaced: tuple[str, ...] = ()


class TooManyDeletions(Violation, frozen=True, kw_only=True):
    """More deletions than allowed: by ``--max-deletions`` of this run, or by the rule."""

    count: int
    limit: int
    by_rule: bool = True

    @property
    def subject(self) -> str:
        return f"{self.cluster}: deletions"

    def __str__(self) -> str:
        if not self.by_rule:
            return f"{self.cluster}: {self.count} deletions, --max-deletions is {self.limit}"
        return (
            f"{self.cluster}: {self.count} deletions, spec.guards.maxDeletions is {self.limit}; "
            f"{_allow(self.count)}"
        )


class TooLargeShare(Violation, frozen=True, kw_only=True):
    """``count`` of ``inventory`` objects would go, more than the share (0..1) that may."""

    count: int
    inventory: int
    share: float

    @property
    def subject(self) -> str:
        return f"{self.cluster}: share"

    def __str__(self) -> str:
        return (
            f"{self.cluster}: {self.count} of {self.inventory} objects "
            f"({self.count / self.inventory:.0%}) would be deleted, "
            f"spec.guards.maxDeletionShare is {self.share:.0%}; {_allow(self.count)}"
        )


class NothingWanted(Violation, frozen=True, kw_only=True):
    """Everything would go that there is: ``inventory`` objects."""

    count: int
    inventory: int

    @property
    def subject(self) -> str:
        return f"{self.cluster}: nothing"

    def __str__(self) -> str:
        were = "1 object was" if self.inventory == 1 else f"{self.inventory} objects were"
        return f"{self.cluster}: nothing is wanted any more where {were}; {_allow(self.count)}"


class NamespacesGo(Violation, frozen=True, kw_only=True):
    """No Namespace is wanted any more, and ``namespaces`` of ``inventory`` would go."""

    count: int
    namespaces: int
    inventory: int

    @property
    def subject(self) -> str:
        return f"{self.cluster}: Namespaces"

    def __str__(self) -> str:
        everything = self.namespaces == self.inventory
        which = f"all {self.inventory}" if everything else f"{self.namespaces} of {self.inventory}"
        return f"{self.cluster}: {which} Namespaces would go; {_allow(self.count)}"


class PlacedNowhere(Violation, frozen=True, kw_only=True):
    """``objects`` would go although Git has them, each with the reason: no rule places them."""

    count: int
    objects: tuple[str, ...]

    @property
    def subject(self) -> str:
        return f"{self.cluster}: placed nowhere"

    def __str__(self) -> str:
        return (
            f"{self.cluster}: still in Git, and no longer placed anywhere: "
            f"{first_few(self.objects)}; place it again, or take it out of Git; "
            f"{_allow(self.count)}, spec.guards.unplaced: Allow always"
        )


class InvalidManifest(Violation, frozen=True, kw_only=True):
    """A manifest, at file:line:column ``origin``, that every cluster refuses alike."""

    key: ObjectKey
    error: str
    origin: str = ""

    @property
    def subject(self) -> str:
        return f"invalid: {self.key}"

    def __str__(self) -> str:
        return f"refused as invalid: {self.key} ({self.origin}): {self.error}"


def _allow(count: int) -> str:
    return f"--max-deletions {count} lets it pass once"


def deletions_of(changes: Sequence[Change]) -> tuple[Change, ...]:
    """The changes that delete an object, recreations among them; not those that wait."""
    deleting = (Action.PRUNE, Action.RECREATE)
    return tuple(c for c in changes if c.action in deleting and not c.waits)


def violations(
    figures: Deletions, rules: GuardRules, *, max_deletions: int | None = None
) -> list[Violation]:
    """What passes a limit in one cluster; in words each names the flag or rule that would let it.

    ``max_deletions`` (``--max-deletions``) replaces both limits of the rules: whoever gives it has
    looked. Deleting everything is never let through by a share.
    """
    count, cluster = len(figures.deleted), figures.cluster
    if not count:
        return []
    if max_deletions is not None:
        if count <= max_deletions:
            return []
        return [TooManyDeletions(cluster=cluster, count=count, limit=max_deletions, by_rule=False)]
    found: list[Violation] = []
    if figures.unplaced and rules.unplaced == "Stop":
        found.append(PlacedNowhere(cluster=cluster, count=count, objects=figures.unplaced))
    namespaces = sum(c.key[:2] == NAMESPACE and c.action is Action.PRUNE for c in figures.deleted)
    # A single object that is placed elsewhere by now is a move like any other.
    removed = any(r.cause is Cause.REMOVED for c in figures.deleted for r in c.reasons)
    if figures.wanted == 0 and (figures.inventory > 1 or removed):
        found.append(NothingWanted(cluster=cluster, count=count, inventory=figures.inventory))
    elif figures.wanted_namespaces == 0 and namespaces >= 2:
        found.append(
            NamespacesGo(
                cluster=cluster,
                count=count,
                namespaces=namespaces,
                inventory=figures.inventory_namespaces,
            )
        )
    if rules.max_deletions is not None and count > rules.max_deletions:
        found.append(TooManyDeletions(cluster=cluster, count=count, limit=rules.max_deletions))
    share = rules.max_deletion_share
    large = figures.inventory >= rules.share_from
    if share is not None and large and count / figures.inventory > share:
        found.append(
            TooLargeShare(cluster=cluster, count=count, inventory=figures.inventory, share=share)
        )
    return found
