"""Our records as octoDNS' data, and octoDNS' records as values of ours. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.api.objects import Object
from reconciler.dns.records import ADDRESS_TYPES, DnsRecord, DnsTarget, ExistingRecord, marked

POOL = "fleet"


def name_of(record: Any) -> str:
    """The name that an octoDNS record is about: a mark is about the record beside it."""
    at = marked(record.fqdn) if record._type == "TXT" else None
    return at[0] if at else str(record.fqdn)


def record_data(record: DnsRecord) -> Object:
    """What octoDNS makes a record of.

    A weighted one is dynamic: one pool of all targets with weights, checked by the provider; its
    plain values, which answer when every check fails, are all targets again.
    """
    data: Object = {"type": record.type, "ttl": record.ttl}
    if record.type in ("CNAME", "ALIAS"):
        data["value"] = max(record.targets, key=lambda t: (t.weight, t.value)).value
    else:
        data["values"] = list(record.values)
    if record.weighted:
        values = [
            {"value": t.value, "weight": t.weight, "status": _status(record, t)}
            for t in record.targets
        ]
        data["dynamic"] = {"pools": {POOL: {"values": values}}, "rules": [{"pool": POOL}]}
        if record.check:
            check: Object = {"protocol": record.check.protocol, "port": record.check.port}
            if record.check.path:
                check["path"] = record.check.path
            data["octodns"] = {"healthcheck": check}
    return data


def _status(record: DnsRecord, target: DnsTarget) -> str:
    """``obey`` the provider's check, or ``up`` without one: of an address that only a private
    network can reach, it would say that it is down."""
    if record.check is None:
        return "up"
    try:
        reachable = ipaddress.ip_address(target.value).is_global
    except ValueError:
        return "obey"
    return "obey" if reachable else "up"


def existing_records_of(
    records: Iterable[Any], ours: Mapping[tuple[str, str], Mapping[str, tuple[str, ...]]]
) -> dict[str, tuple[ExistingRecord, ...]]:
    """Our records in a zone, by name. ``ours``: what our marks remember, by name and type."""
    found: dict[str, tuple[ExistingRecord, ...]] = {}
    for record in sorted(records, key=lambda r: (r.fqdn, r._type)):
        at = (record.fqdn, record._type)
        if record._type in ADDRESS_TYPES and at in ours:
            one = ExistingRecord(record._type, tuple(plain_values(record)), ours[at])
            found[record.fqdn] = (*found.get(record.fqdn, ()), one)
    return found


def plain_values(record: Any) -> list[str]:
    """Every value of an octoDNS record, those of its pools included, once each."""
    values = [str(v) for v in getattr(record, "values", None) or [record.value]]
    dynamic = getattr(record, "dynamic", None)
    if dynamic:
        values += [str(v["value"]) for pool in dynamic.pools.values() for v in pool.data["values"]]
    return list(dict.fromkeys(values))


def record_values(record: Any) -> list[str]:
    """The same for people: with weights where they differ."""
    dynamic = getattr(record, "dynamic", None)
    weights = {
        str(v["value"]): v["weight"]
        for pool in (dynamic.pools.values() if dynamic else ())
        for v in pool.data["values"]
    }
    if len(set(weights.values())) < 2:
        return plain_values(record)
    return [
        f"{value} (weight {weights[value]})" if value in weights else value
        for value in plain_values(record)
    ]
