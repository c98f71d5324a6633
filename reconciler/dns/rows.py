"""A name's records before and after, as reports show them (Plan.dns). Pure."""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.api.objects import Object
from reconciler.dns.records import DnsRecord, ExistingRecord

NOT_WANTED = "no longer wanted"


def rows(
    zone: str, name: str, before: Sequence[ExistingRecord], after: Sequence[DnsRecord], reason: str
) -> list[Object]:
    """One row for each type that comes, changes or goes; those that stay are left out."""
    old = {record.type: list(record.values) for record in before}
    new = {record.type: list(record.values) for record in after}
    found: list[Object] = []
    for kind in sorted({*old, *new}):
        if sorted(old.get(kind, ())) != sorted(new.get(kind, ())):
            action = "create" if kind not in old else "prune" if kind not in new else "update"
            found.append(
                {
                    "zone": zone,
                    "name": name,
                    "type": kind,
                    "action": action,
                    "from": old.get(kind),
                    "to": new.get(kind),
                    "reason": reason,
                }
            )
    return found
