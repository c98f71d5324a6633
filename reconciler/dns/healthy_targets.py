"""Which targets answer to each name now: the rule that names follow health. Pure.

- A cluster that is down counts no more, nor one whose object has no ready endpoint.
- Of a cluster that could not be looked at but is not down nothing is known: what the zone
  remembers of it stays.
- The last target is never withdrawn: where none counts, the records stay as they are.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct, field

from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import ObjectKey
from reconciler.dns.records import (
    Abilities,
    DnsRecord,
    DnsTarget,
    ExistingRecord,
    NameEntry,
    Place,
    RecordType,
)
from reconciler.dns.targets import ServiceView

Resolve = Callable[[str], tuple[str, ...]]
"""A host name -> its addresses; none when it cannot be resolved."""

HEAVIEST = 100


class NameHealth(Struct, frozen=True):
    """What is known of the clusters.

    views      those that were looked at
    down       those that are declared down, and why
    weights    how much of the load each place should get (1 where nothing is said)
    unaffected  objects whose own rule is that an outage changes nothing
    not_yet_ready  cluster -> objects that do not carry their share there yet, after an outage
    """

    views: Mapping[str, ServiceView]
    down: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[Place, int] = field(default_factory=dict)
    unaffected: frozenset[ObjectKey] = frozenset()
    not_yet_ready: Mapping[str, frozenset[ObjectKey]] = field(default_factory=dict)


class ZoneContent(Struct, frozen=True):
    """What one zone should hold.

    records  wanted as they are here
    kept     names whose records stay whatever they are, and why
    reasons  why a name's records differ from what stands there
    excused  names that lose only targets of clusters that are down: not a sign of a mistake
    notices  names to which nobody can answer
    """

    records: tuple[DnsRecord, ...] = ()
    kept: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    excused: frozenset[str] = frozenset()
    notices: tuple[Notice, ...] = ()


def answering_targets(
    entries: Mapping[str, NameEntry],
    fleet: NameHealth,
    existing: Mapping[str, tuple[ExistingRecord, ...]],
    abilities: Abilities,
    resolve: Resolve,
) -> ZoneContent:
    """``existing`` are our records as they are in the zone now, by name.

    The order of entries, clusters and addresses has no effect on the result.
    """
    return _Deciding(entries, fleet, existing, abilities, resolve).run()


class _Deciding:
    def __init__(
        self,
        entries: Mapping[str, NameEntry],
        fleet: NameHealth,
        existing: Mapping[str, tuple[ExistingRecord, ...]],
        abilities: Abilities,
        resolve: Resolve,
    ) -> None:
        self.entries, self.fleet, self.existing = entries, fleet, existing
        self.abilities, self.resolve = abilities, resolve
        self.records: dict[str, tuple[DnsRecord, ...]] = {}
        self.kept: dict[str, str] = {}
        self.remarks: dict[str, dict[str, str]] = {}
        self.notices: list[Notice] = []

    def run(self) -> ZoneContent:
        for name in sorted(self.entries):
            self.settle(name)
        return ZoneContent(
            records=tuple(r for name in sorted(self.records) for r in self.records[name]),
            kept=dict(sorted(self.kept.items())),
            reasons={name: self.reason(name) for name in sorted(self.entries)},
            excused=frozenset(name for name in self.entries if self.excuses(name)),
            notices=tuple(sorted(self.notices, key=str)),
        )

    def settle(self, name: str, below: frozenset[str] = frozenset()) -> str:
        """``answered``, ``kept`` or ``absent``."""
        entry = self.entries.get(name)
        if entry is None or name in below:
            return "absent"
        if name in self.kept:
            return "kept"
        if name in self.records:
            return "answered" if self.records[name] else "absent"
        targets, self.remarks[name] = self.count(entry)
        shaped = records_of_entry(entry, targets, self.abilities, self.resolve)
        if not shaped and entry.above:
            above = self.settle(entry.above, below | {name})
            here = self.existing.get(name, ())
            if above == "answered" or (above == "kept" and not (here and entry.places)):
                shaped = (DnsRecord(name, "CNAME", entry.ttl, (DnsTarget(entry.above),)),)
        self.records[name] = shaped
        if shaped:
            return "answered"
        if not entry.places:
            return "absent"
        why = "; ".join(self.remarks[name].values())
        if self.existing.get(name):
            self.kept[name] = why
            if not entry.above:
                self.notices.append(notice(NoticeCause.RECORDS_STAY, subject=name, reason=why))
            return "kept"
        if not entry.above:
            self.notices.append(notice(NoticeCause.NO_RECORD_YET, subject=name, reason=why))
        return "absent"

    def count(self, entry: NameEntry) -> tuple[list[DnsTarget], dict[str, str]]:
        """The targets of the clusters that count, and a remark on each that does not."""
        targets, remarks = self.collect(entry, resolving=entry.resolve)
        hosts = [t for t in targets if not _is_address(t.value)]
        if hosts and not _kind_for_hosts(entry, targets, hosts, self.abilities):
            targets, remarks = self.collect(entry, resolving=True)
        return targets, remarks

    def collect(
        self, entry: NameEntry, *, resolving: bool
    ) -> tuple[list[DnsTarget], dict[str, str]]:
        targets: list[DnsTarget] = []
        remarks: dict[str, str] = {}
        for place in sorted(entry.places):
            found, remark = self.targets_at(entry, place, resolving=resolving)
            targets += found
            if remark:
                remarks[place.cluster] = remark
        return _joined(targets), remarks

    def targets_at(
        self, entry: NameEntry, place: Place, *, resolving: bool
    ) -> tuple[list[DnsTarget], str]:
        cluster, key = place
        what = f"{key.kind} {key.namespace}/{key.name}"
        if cluster in self.fleet.down and key not in self.fleet.unaffected:
            return [], f"{cluster} is down: {self.fleet.down[cluster]}"
        view = self.fleet.views.get(cluster)
        if view is None:
            return self.remembered(entry, place), f"{cluster} could not be looked at"
        if key in self.fleet.not_yet_ready.get(cluster, ()):
            return self.remembered(entry, place), f"{cluster} does not carry its share yet"
        exposed = view.get(key)
        if exposed is None:
            return [], f"{cluster} has no {what}"
        if not (exposed.addresses or exposed.hosts):
            return [], f"{cluster}: {what} has no address"
        if entry.ready_only and not exposed.ready:
            return [], f"{cluster}: {what} has no ready endpoint"
        values = {*exposed.addresses, *exposed.hosts}
        if resolving:
            unresolved = [host for host in exposed.hosts if not self.resolve(host)]
            if unresolved:
                # No answer is not an answer: the resolver here may be at fault.
                return self.remembered(entry, place), f"{cluster}: {unresolved[0]} does not resolve"
            resolved = {address for host in exposed.hosts for address in self.resolve(host)}
            values = {*exposed.addresses, *resolved}
        weight = self.fleet.weights.get(place, 1)
        return [DnsTarget(value, cluster, weight) for value in sorted(values)], ""

    def remembered(self, entry: NameEntry, place: Place) -> list[DnsTarget]:
        weight = self.fleet.weights.get(place, 1)
        values = {
            value
            for record in self.existing.get(entry.name, ())
            for value in record.by_cluster.get(place.cluster, ())
        }
        return [DnsTarget(value, place.cluster, weight) for value in sorted(values)]

    def reason(self, name: str) -> str:
        """Which clusters left and why, and which came; who asked for a name that is new."""
        if name in self.kept:
            return self.kept[name]
        before = {c for record in self.existing.get(name, ()) for c in record.by_cluster}
        now = {c for record in self.records.get(name, ()) for c in record.by_cluster}
        if not self.existing.get(name):
            return f"asked for by {self.entries[name].origin}"
        before_here = self.remarks[name]
        parts = [before_here.get(c, f"no longer placed in {c}") for c in sorted(before - now)]
        parts += [f"{c} answers" for c in sorted(now - before)]
        return "; ".join(parts) or "its targets changed"

    def excuses(self, name: str) -> bool:
        new = {value for record in self.records.get(name, ()) for value in record.values}
        lost, of_down = set(), set()
        for record in self.existing.get(name, ()):
            lost |= set(record.values) - new
            for cluster in self.fleet.down:
                of_down |= set(record.by_cluster.get(cluster, ()))
        # A pointer to the level above gives way to addresses; nobody's answer is lost by that.
        lost.discard(self.entries[name].above)
        return lost <= of_down


def records_of_entry(
    entry: NameEntry, targets: Iterable[DnsTarget], abilities: Abilities, resolve: Resolve
) -> tuple[DnsRecord, ...]:
    """The records of one name. Host names stay names where the provider can answer with them:
    one of them as a CNAME, or as an ALIAS at the apex; several as weighted CNAMEs. Else they are
    resolved and their addresses join the others."""
    wanted = _joined(targets)
    hosts = [t for t in wanted if not _is_address(t.value)]
    if hosts and not entry.resolve:
        kind = _kind_for_hosts(entry, wanted, hosts, abilities)
        if kind:
            return (_record(entry, kind, hosts, abilities),)
    resolved = [
        DnsTarget(address, t.cluster, t.weight) for t in hosts for address in resolve(t.value)
    ]
    addresses = _joined([*(t for t in wanted if t not in hosts), *resolved])
    found: list[DnsRecord] = []
    families: tuple[tuple[RecordType, int], ...] = (("A", 4), ("AAAA", 6))
    for family, version in families:
        own = [t for t in addresses if ipaddress.ip_address(t.value).version == version]
        if own:
            found.append(_record(entry, family, own, abilities))
    return tuple(found)


def _record(
    entry: NameEntry, kind: RecordType, targets: list[DnsTarget], abilities: Abilities
) -> DnsRecord:
    """KubeFed's names answer with all their addresses, whatever the provider could do."""
    if not abilities.weighted or entry.resolve or len(targets) < 2:
        plain = tuple(sorted(DnsTarget(t.value, t.cluster) for t in targets))
        return DnsRecord(entry.name, kind, entry.ttl, plain)
    return DnsRecord(entry.name, kind, entry.ttl, integer_weights(targets), True, entry.check)


def _kind_for_hosts(
    entry: NameEntry, wanted: list[DnsTarget], hosts: list[DnsTarget], abilities: Abilities
) -> RecordType | None:
    if len(hosts) != len(wanted):
        return None
    if entry.name == entry.zone:
        return "ALIAS" if len(hosts) == 1 and abilities.alias else None
    return "CNAME" if len(hosts) == 1 or abilities.weighted else None


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _joined(targets: Iterable[DnsTarget]) -> list[DnsTarget]:
    """One target a value; what two clusters share belongs to the first by name and weighs both."""
    found: dict[str, DnsTarget] = {}
    for target in sorted(targets):
        known = found.get(target.value)
        if known is None:
            found[target.value] = target
        elif known.cluster != target.cluster:
            found[target.value] = DnsTarget(
                known.value, known.cluster, known.weight + target.weight
            )
    return list(found.values())


def integer_weights(targets: list[DnsTarget]) -> tuple[DnsTarget, ...]:
    """Weights as small whole numbers from 1 to 100; a cluster's weight is shared by its values."""
    values_of: dict[str, int] = {}
    for target in targets:
        values_of[target.cluster] = values_of.get(target.cluster, 0) + 1
    common = math.lcm(*values_of.values())
    parts = [max(t.weight, 0) * common // values_of[t.cluster] for t in targets]
    divisor = math.gcd(*parts) or 1
    parts = [part // divisor for part in parts]
    most = max(parts)
    if most > HEAVIEST:
        parts = [round(part * HEAVIEST / most) for part in parts]
    return tuple(
        sorted(
            DnsTarget(t.value, t.cluster, max(part, 1))
            for t, part in zip(targets, parts, strict=True)
        )
    )
