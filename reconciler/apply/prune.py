"""Delete what nobody wants any more, in the state that the plan looked at."""

from __future__ import annotations

from reconciler.api.objects import Object
from reconciler.apply.common import Otherwise, VerbResult
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.inventory.records import Digester
from reconciler.plan.model import Change
from reconciler.plan.prune import deletion_words, is_terminating


def prune_planned(
    member: Member, resource: RESTMapping, change: Change, otherwise: Otherwise, digester: Digester
) -> VerbResult:
    """Delete the object; one that is gone already is done."""
    del digester
    deleted = delete_as_planned(member, resource, change, otherwise)
    if deleted is None:
        return None, None, "was gone already"
    # Foreground deletion and Namespaces end by themselves.
    waits = set(deleted["metadata"].get("finalizers") or ()) - {"foregroundDeletion", "orphan"}
    return None, None, deletion_words(deleted) if waits and is_terminating(deleted) else ""


def delete_as_planned(
    member: Member, resource: RESTMapping, change: Change, otherwise: Otherwise
) -> Object | None:
    """Ask for the deletion of exactly the object of the plan; None where it was gone already."""
    return member.delete_as_decided(
        resource,
        change.key,
        otherwise,
        uid=change.uid,
        resource_version=change.resource_version,
        propagation=change.propagation,
    )
