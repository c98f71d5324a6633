"""For clusters with external-dns: DNSEndpoint objects in the host cluster instead of zones.

One object a name, in the federation's namespace; external-dns (``--source=crd``) writes the zone.
What stands now is read from those objects, so the same rules hold as for zones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from reconciler.api.errors import DnsError, NotFound, ReconcileError
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import Object, ObjectKey, key_of
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.dns.healthy_targets import ZoneContent
from reconciler.dns.records import (
    ADDRESS_TYPES,
    NOT_WANTED,
    Abilities,
    DnsRecord,
    ExistingRecord,
    owner_text,
    read_owner,
    rows,
)
from reconciler.dns.rules import Thresholds, hold_small_zone
from reconciler.dns.zones import Decide
from reconciler.plan.model import RecordOutcome

API_VERSION = "externaldns.k8s.io/v1alpha1"
OWNER_LABEL = "federation.reconciler.dev/dns-owner"
NAME_ANNOTATION = "federation.reconciler.dev/dns-name"
TARGETS_ANNOTATION = "federation.reconciler.dev/dns-targets-"
RESOURCE = RESTMapping(API_VERSION, "DNSEndpoint", "dnsendpoints", namespaced=True)
WHERE = "external-dns"


class EndpointPlan(Struct, frozen=True):
    """What is to happen to the DNSEndpoint objects of the host cluster.

    ``excused`` are names that only follow an outage.
    """

    changes: tuple[Object, ...] = ()
    applied: tuple[Object, ...] = ()
    deleted: tuple[Object, ...] = ()
    notices: tuple[Notice, ...] = ()
    excused: frozenset[str] = frozenset()


def plan_endpoints(
    host: Member, namespace: str, owner: str, decide: Decide, limits: Thresholds
) -> EndpointPlan:
    """Read our DNSEndpoints and say what would change. Raises DnsError."""
    try:
        found = host.list_objects(RESOURCE, namespace=namespace)
    except NotFound:
        raise DnsError(
            WHERE,
            "the host cluster does not know DNSEndpoint objects",
            hint="install external-dns with its CRD, or set spec.dns.output: octoDNS",
        ) from None
    except ReconcileError as error:
        raise DnsError(WHERE, f"the host cluster: {error}", hint=error.hint) from None
    ours = [o for o in found if (o["metadata"].get("labels") or {}).get(OWNER_LABEL) == owner]
    existing = {_dns_name(obj): obj for obj in ours}
    theirs = [obj for obj in found if obj not in ours]
    existing_targets = {name: endpoints_in(obj) for name, obj in existing.items()}
    decision = decide(existing_targets, Abilities())
    wanted, notices = {}, list(decision.notices)
    for name, body in dns_endpoints(decision, owner, namespace).items():
        other = _in_the_way(name, body["metadata"]["name"], theirs)
        if other:
            what = f"DNSEndpoint {other} is not ours"
            notices.append(notice(NoticeCause.RECORD_NOT_OURS, subject=name, what=what))
        elif name not in decision.kept:
            wanted[name] = body
    _hold_limits(existing, wanted, decision, limits)
    applied = [b for n, b in wanted.items() if n not in existing or differs(existing[n], b)]
    deleted = [o for n, o in existing.items() if n not in wanted and n not in decision.kept]
    touched = {_dns_name(obj) for obj in (*applied, *deleted)}
    records: dict[str, list[DnsRecord]] = {}
    for record in decision.records:
        if record.name in wanted:
            records.setdefault(record.name, []).append(record)
    changes: list[Object] = []
    for name in sorted(touched):
        why = decision.reasons.get(name, NOT_WANTED)
        before, after = existing_targets.get(name, ()), records.get(name, ())
        changes += rows(WHERE, name, before, after, why) or _rewritten(name, before)
    return EndpointPlan(
        tuple(changes),
        tuple(applied),
        tuple(deleted),
        tuple(sorted(notices, key=str)),
        frozenset(decision.excused),
    )


def outage_part(plan: EndpointPlan) -> EndpointPlan | None:
    """Only what follows an outage: the names of which all records do, as they are one object."""
    others = {row["name"] for row in plan.changes if row["action"] != "update"}
    names = plan.excused - others
    changes = tuple(row for row in plan.changes if row["name"] in names)
    applied = tuple(body for body in plan.applied if _dns_name(body) in names)
    return EndpointPlan(changes, applied) if changes else None


def _rewritten(name: str, before: Sequence[ExistingRecord]) -> list[Object]:
    """Rows of a name whose targets stay and whose object does not."""
    reason = "its TTL, or what is remembered of its clusters"
    return [
        {
            "zone": WHERE,
            "name": name,
            "type": record.type,
            "action": "update",
            "from": list(record.values),
            "to": list(record.values),
            "reason": reason,
        }
        for record in before
    ]


def _in_the_way(name: str, object_name: str, theirs: Iterable[Object]) -> str:
    """An object of somebody else that has this DNS name, or the name that ours would have."""
    for obj in theirs:
        names = {e.get("dnsName", "") for e in (obj.get("spec") or {}).get("endpoints") or ()}
        if obj["metadata"]["name"] == object_name or name.rstrip(".") in names:
            return str(obj["metadata"]["name"])
    return ""


def apply_endpoints(host: Member, plan: EndpointPlan) -> tuple[RecordOutcome, ...]:
    """Write them, one object at a time; a name's records are in one object, so never torn."""
    failed: dict[str, str] = {}
    for body in plan.applied:
        _try(failed, body, lambda key, b: host.apply(RESOURCE, key, b, force=True))
    for body in plan.deleted:
        _try(failed, body, lambda key, b: _delete(host, key, b))
    return tuple(
        RecordOutcome(
            WHERE,
            row["name"],
            row["type"],
            row["action"],
            "failed" if row["name"] in failed else "done",
            failed.get(row["name"], ""),
        )
        for row in plan.changes
    )


def _delete(host: Member, key: ObjectKey, body: Object) -> None:
    metadata = body["metadata"]
    ours = metadata.get("labels") or {}
    host.delete_as_decided(
        RESOURCE,
        key,
        lambda live: "" if (live["metadata"].get("labels") or {}) == ours else "it changed hands",
        uid=str(metadata["uid"]),
        resource_version=str(metadata["resourceVersion"]),
    )


def _try(
    failed: dict[str, str], body: Object, write: Callable[[ObjectKey, Object], object]
) -> None:
    try:
        write(key_of(body), body)
    except ReconcileError as error:
        failed[_dns_name(body)] = str(error)


# -- the objects -------------------------------------------------------------------------------


def dns_endpoints(decision: ZoneContent, owner: str, namespace: str) -> dict[str, Object]:
    """The objects that a decision asks for, by DNS name. Pure."""
    by_name: dict[str, list[DnsRecord]] = {}
    for record in decision.records:
        by_name.setdefault(record.name, []).append(record)
    return {name: _endpoint(name, rs, owner, namespace) for name, rs in sorted(by_name.items())}


def _endpoint(name: str, records: list[DnsRecord], owner: str, namespace: str) -> Object:
    memory = {
        f"{TARGETS_ANNOTATION}{r.type.lower()}": owner_text(owner, r.by_cluster) for r in records
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "DNSEndpoint",
        "metadata": {
            "name": endpoint_name(owner, name),
            "namespace": namespace,
            "labels": {OWNER_LABEL: owner},
            "annotations": {NAME_ANNOTATION: name, **memory},
        },
        "spec": {
            "endpoints": [
                {
                    "dnsName": name.rstrip("."),
                    "recordType": record.type,
                    "recordTTL": record.ttl,
                    "targets": [value.rstrip(".") for value in record.values],
                }
                for record in records
            ]
        },
    }


def endpoint_name(owner: str, name: str) -> str:
    """A Kubernetes name for a DNS name; a digest keeps apart what would look the same."""
    plain = f"{owner}-{name.rstrip('.')}".lower()
    text = plain.replace("*", "wildcard").replace("_", "-")
    if text == plain and len(text) <= 253:
        return text
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{text[:240].strip('.-')}-{digest}"


def differs(live: Object, wanted: Object) -> bool:
    """Whether the object in the cluster says something else than we want it to."""
    for part in ("labels", "annotations"):
        have = live["metadata"].get(part) or {}
        asked = wanted["metadata"][part]
        if any(have.get(key) != value for key, value in asked.items()):
            return True
        ours = {key for key in have if key.startswith(TARGETS_ANNOTATION)}
        if part == "annotations" and not ours <= asked.keys():
            return True
    given = [
        {key: one.get(key) for key in ("dnsName", "recordType", "recordTTL", "targets")}
        for one in (live.get("spec") or {}).get("endpoints") or ()
    ]
    return bool(given != wanted["spec"]["endpoints"])


def endpoints_in(obj: Object) -> tuple[ExistingRecord, ...]:
    """What one of our objects tells external-dns to write."""
    annotations = obj["metadata"].get("annotations") or {}
    found = []
    for one in (obj.get("spec") or {}).get("endpoints") or ():
        kind = one.get("recordType")
        if kind in ADDRESS_TYPES:
            dot = "." if kind in ("CNAME", "ALIAS") else ""
            values = tuple(f"{value}{dot}" for value in one.get("targets") or ())
            mark = read_owner(annotations.get(f"{TARGETS_ANNOTATION}{kind.lower()}", ""))
            found.append(ExistingRecord(kind, values, mark.by_cluster))
    return tuple(found)


def _dns_name(obj: Object) -> str:
    annotations = obj["metadata"].get("annotations") or {}
    return str(annotations.get(NAME_ANNOTATION) or obj["metadata"]["name"])


# -- limits ------------------------------------------------------------------------------------


def _hold_limits(
    existing: Mapping[str, Object],
    wanted: Mapping[str, Object],
    decision: ZoneContent,
    limits: Thresholds,
) -> None:
    there = {name for name in existing if name not in decision.kept}
    gone = sorted(there - wanted.keys() - decision.excused)
    if len(existing) < max(limits.min_existing, 1):
        hold_small_zone(WHERE, len(existing), gone, limits)
        return
    changed = {n for n in there & wanted.keys() if differs(existing[n], wanted[n])}
    counts = (
        ("updates", len(changed - decision.excused), limits.update_share),
        ("deletes", len(gone), limits.delete_share),
    )
    for what, count, limit in counts:
        if count / len(existing) > limit:
            raise DnsError(
                WHERE,
                f"the plan changes too much: too many {what}, {count} of {len(existing)} is over "
                f"{limit:.0%}",
                hint="spec.dns.thresholds sets the limits",
            )
