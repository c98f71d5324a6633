"""Make an object; one that somebody else made since the plan is not merged into."""

from __future__ import annotations

from reconciler.api.errors import (
    ClusterError,
    Conflict,
)
from reconciler.api.objects import Object
from reconciler.apply.common import Otherwise, VerbResult, recorded, request_of, with_identity
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.inventory.applyset import owner_of
from reconciler.inventory.managed_fields import (
    our_entry,
)
from reconciler.inventory.records import Digester
from reconciler.plan.model import Change

_OF_NO_OBJECT = "1"
"""A resourceVersion that etcd gives to nothing: its first write has the revision 2. No other number
is as good: with 0, many kinds are merged into whatever is there."""


class AlreadyExists(ClusterError):
    """Somebody else made the object that was to be created."""


def create_planned(
    member: Member, resource: RESTMapping, change: Change, otherwise: Otherwise, digester: Digester
) -> VerbResult:
    """Make what is not there yet, and remember it."""
    del otherwise
    live = create_object(member, resource, change, request_of(change))
    return recorded(member, resource, change, live, digester)


def create_object(member: Member, resource: RESTMapping, change: Change, body: Object) -> Object:
    """Make the object; one that somebody else made since the plan is not merged into.

    An apply of a new object takes any resourceVersion, and one of an object that is there only
    that which it has. Raises Preceded.
    """
    new = with_identity(body, resourceVersion=_OF_NO_OBJECT)
    try:
        return member.apply(resource, change.key, new, force=change.force)
    except Conflict as conflict:
        live = member.get(resource, change.key)
        if live is None:
            raise
        if conflict.repeated and our_entry(live) and owner_of(live) == owner_of(body):
            # It is by a first try, whose answer was lost.
            sent = with_identity(body, uid=live["metadata"]["uid"])
            return member.apply(resource, change.key, sent, force=change.force)
    raise AlreadyExists(
        member.name,
        "somebody else made it since it was planned; left as it is",
        hint="run again: it is adopted, or refused, as spec.adoption says",
    )
