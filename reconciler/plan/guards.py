"""Limits on what one run may delete. Pure; a violation stops the run before its first write."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from reconciler.api.objects import first_few
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


def deletions_of(changes: Sequence[Change]) -> tuple[Change, ...]:
    """The changes that delete an object, recreations among them."""
    return tuple(c for c in changes if c.action in (Action.PRUNE, Action.RECREATE))


def violations(
    figures: Deletions, rules: GuardRules, *, max_deletions: int | None = None
) -> list[str]:
    """What passes a limit in one cluster, each with the flag or rule that would let it.

    ``max_deletions`` (``--max-deletions``) replaces both limits of the rules: whoever gives it has
    looked. Deleting everything is never let through by a share.
    """
    count = len(figures.deleted)
    if not count:
        return []
    allow = f"--max-deletions {count} lets it pass once"
    if max_deletions is not None:
        if count <= max_deletions:
            return []
        return [f"{figures.cluster}: {count} deletions, --max-deletions is {max_deletions}"]
    found = []
    if figures.unplaced and rules.unplaced == "Stop":
        found.append(
            f"{figures.cluster}: still in Git, and no longer placed anywhere: "
            f"{first_few(figures.unplaced)}; place it again, or take it out of Git; {allow}, "
            "spec.guards.unplaced: Allow always"
        )
    namespaces = sum(c.key[:2] == NAMESPACE and c.action is Action.PRUNE for c in figures.deleted)
    # A single object that is placed elsewhere by now is a move like any other.
    removed = any(r.cause is Cause.REMOVED for c in figures.deleted for r in c.reasons)
    if figures.wanted == 0 and (figures.inventory > 1 or removed):
        were = "1 object was" if figures.inventory == 1 else f"{figures.inventory} objects were"
        found.append(f"{figures.cluster}: nothing is wanted any more where {were}; {allow}")
    elif figures.wanted_namespaces == 0 and namespaces >= 2:
        all_of = figures.inventory_namespaces
        which = f"all {all_of}" if namespaces == all_of else f"{namespaces} of {all_of}"
        found.append(f"{figures.cluster}: {which} Namespaces would go; {allow}")
    if rules.max_deletions is not None and count > rules.max_deletions:
        found.append(
            f"{figures.cluster}: {count} deletions, spec.guards.maxDeletions is "
            f"{rules.max_deletions}; {allow}"
        )
    share = rules.max_deletion_share
    if share is not None and figures.inventory >= rules.share_from:
        part = count / figures.inventory
        if part > share:
            found.append(
                f"{figures.cluster}: {count} of {figures.inventory} objects ({part:.0%}) would be "
                f"deleted, spec.guards.maxDeletionShare is {share:.0%}; {allow}"
            )
    return found
