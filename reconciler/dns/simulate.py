"""What an outage would change in the zones of simulated clusters, which exist nowhere. Pure.

The zones are taken to be as they should be while all is well; nobody is asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from reconciler.api.notices import Notice, NoticeCause
from reconciler.api.objects import Object, ObjectKey
from reconciler.dns.healthy_targets import NameHealth, ZoneContent, answering_targets
from reconciler.dns.records import Abilities, DnsRecord, ExistingRecord, NameEntry, rows
from reconciler.dns.targets import Exposed, ServiceView


def simulate_dns(
    entries: Mapping[str, NameEntry], views: Mapping[str, ServiceView], down: Mapping[str, str]
) -> tuple[tuple[Object, ...], tuple[Notice, ...]]:
    """The rows that the outages ``down`` would bring, and the names that nobody is left to answer.

    ``views`` are all clusters, those that are down too. Simulated clusters have no endpoints, so
    every Service counts as ready.
    """
    entries = {name: replace(entry, ready_only=False) for name, entry in entries.items()}
    well = answering_targets(entries, NameHealth(views), {}, Abilities(), simulated_addresses)
    existing = {
        name: tuple(ExistingRecord(r.type, r.values, r.by_cluster) for r in records)
        for name, records in _by_name(well).items()
    }
    left = {name: view for name, view in views.items() if name not in down}
    worse = answering_targets(
        entries, NameHealth(left, down), existing, Abilities(), simulated_addresses
    )
    after = _by_name(worse)
    found = [
        row
        for name, entry in sorted(entries.items())
        if name not in worse.kept
        for row in rows(
            entry.zone, name, existing.get(name, ()), after.get(name, ()), worse.reasons[name]
        )
    ]
    unanswered = (one for one in worse.notices if one.cause is NoticeCause.RECORDS_STAY)
    return tuple(found), tuple(unanswered)


def simulated_view(cluster: str, keys: Iterable[ObjectKey]) -> ServiceView:
    """A cluster in which each of the objects has an address and is ready."""
    return {
        key: Exposed((_address(19, f"{cluster}/{key}"),), (), ready=True) for key in sorted(keys)
    }


def _by_name(decision: ZoneContent) -> dict[str, list[DnsRecord]]:
    found: dict[str, list[DnsRecord]] = {}
    for record in decision.records:
        found.setdefault(record.name, []).append(record)
    return found


def simulated_addresses(host: str) -> tuple[str, ...]:
    """An address for each host name."""
    return (_address(18, host),)


def _address(second: int, text: str) -> str:
    """Of 198.18.0.0/15, which nobody routes (RFC 2544); those for documentation are too few."""
    third, fourth = hashlib.sha256(text.encode()).digest()[:2]
    return f"198.{second}.{third}.{fourth}"
