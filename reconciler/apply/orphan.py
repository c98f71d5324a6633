"""Let go of an object, which stays as it is."""

from __future__ import annotations

from reconciler.api.annotations import PART_OF
from reconciler.api.errors import (
    ClusterError,
    Conflict,
    Invalid,
)
from reconciler.api.json_pointer import join_pointer
from reconciler.apply.common import REWRITE_TRIES, Otherwise, VerbResult
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.inventory.applyset import IDENTITY
from reconciler.inventory.managed_fields import (
    resource_version_test,
)
from reconciler.inventory.records import Digester
from reconciler.plan.model import Change


def orphan_planned(
    member: Member, resource: RESTMapping, change: Change, otherwise: Otherwise, digester: Digester
) -> VerbResult:
    """Take our marks off and let go: the object stays as it is."""
    del digester
    for _ in range(REWRITE_TRIES):
        live = member.get(resource, change.key)
        if live is None:
            return None, None, "was gone already"
        metadata = live["metadata"]
        if metadata.get("uid") != change.uid:
            return None, None, "is no longer ours"
        marks = [
            {"op": "remove", "path": join_pointer(("metadata", part, name))}
            for part, name in (("labels", PART_OF), ("annotations", IDENTITY))
            if name in (metadata.get(part) or {})
        ]
        if not marks:
            return None, None, ""
        if reason := otherwise(live):
            raise ClusterError(
                member.name,
                f"{change.key} is not released: {reason}",
                hint="run again: the next plan decides again",
            )
        try:
            member.json_patch(resource, change.key, [resource_version_test(live), *marks])
            return None, None, ""
        except (Conflict, Invalid) as refusal:
            # Marks that a first try took off cannot be taken off again, which is a 422.
            if isinstance(refusal, Invalid) and not refusal.repeated:
                raise
    raise ClusterError(
        member.name, f"{change.key} is written to too often to be released", hint="run again"
    )
