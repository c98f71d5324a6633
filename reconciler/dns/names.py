"""Which names Git wants: annotated Services, Ingresses and Gateways, and KubeFed's DNS kinds.

KubeFed's rules are those of its v0.6 (``multiclusterdns.kubefed.io/v1alpha1``): the common part
of a Service's names is ``<service>.<namespace>.<domain's name>.svc``; below the domain there is
a name for the whole federation, one for each region and one for each zone of a region.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from reconciler.api.errors import Problem
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import Object, ObjectKey, key_of
from reconciler.dns.records import HealthCheck, NameEntry, Place
from reconciler.dns.rules import DnsRules, ZoneRule
from reconciler.federation.model import Cluster, DesiredState, Workload
from reconciler.scheduler.commits import versions_of

ANNOTATION = "federation.reconciler.dev/dns"
CHECK_ANNOTATION = "federation.reconciler.dev/dns-health-check"
KUBEFED_TTL = 300
_KINDS = {
    ("", "Service"),
    ("networking.k8s.io", "Ingress"),
    ("gateway.networking.k8s.io", "Gateway"),
}
_LABEL = re.compile(r"^(\*|[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?)$")
_CHECK = re.compile(
    r"^(?:TCP:(?P<tcp>\d{1,5})|(?:HTTP:(?P<http>\d{1,5})|HTTPS:(?P<https>\d{1,5}))(?P<path>/\S*))$"
)
# "_owner.cname." stands before every name of ours, and a name has at most 253 characters.
_LONGEST_NAME = 253 - len("_owner.cname.")

PlacedIn = Mapping[ObjectKey, frozenset[str]]
"""The clusters that each object is placed in while all are well; what is not in it, is nowhere."""


@dataclass
class WantedNames:
    """The entries, by name, and what could not be understood."""

    entries: dict[str, NameEntry] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)

    def add(self, entry: NameEntry, rules: DnsRules) -> None:
        """Entries of one name are joined: Ingresses may share a host.

        A name lies in the most specific zone, whatever made it: the one above only delegates.
        """
        zone = rules.zone_of(entry.name)
        entry = replace(entry, zone=zone.name if zone else entry.zone)
        fault = name_fault(entry.name)
        if fault:
            cause, origin = NoticeCause.NOT_A_NAME, entry.origin
            self.notices.append(notice(cause, subject=origin, name=entry.name, what=fault))
            return
        known = self.entries.get(entry.name)
        if known is None:
            self.entries[entry.name] = entry
            return
        self.entries[entry.name] = replace(
            known,
            ttl=min(known.ttl, entry.ttl),
            places=known.places | entry.places,
            ready_only=known.ready_only and entry.ready_only,
            resolve=known.resolve or entry.resolve,
            above=max(known.above, entry.above),
            check=known.check or entry.check,
            origin=", ".join(sorted({known.origin, entry.origin})),
        )


def wanted_names(
    state: DesiredState,
    rules: DnsRules,
    placed_in: PlacedIn | None = None,
    down: Collection[str] = (),
) -> WantedNames:
    """Every name that the repository asks for. Pure; sorted by name.

    ``placed_in`` None: every object is everywhere. An object without any home is not pruned from
    DNS while a cluster is ``down``: it may have been placed there.
    """
    wanted = WantedNames()
    exposed = [w for w in state.workloads if (w.key.group, w.key.kind) in _KINDS]
    # Clusters on several commits answer to the names that their own one asks for.
    for workload, clusters in (one for w in exposed for one in versions_of(state, w)):
        asked = _annotation(workload, ANNOTATION)
        if asked not in ("", "false"):
            at = None if placed_in is None else placed_in.get(workload.key) or frozenset(down)
            here = [
                c
                for c in state.clusters
                if (at is None or c.name in at) and (clusters is None or c.name in clusters)
            ]
            if clusters is not None and at and not here:
                continue
            for entry in _annotated(workload, asked, here, rules, wanted.notices):
                wanted.add(entry, rules)
    domains = {m["metadata"]["name"]: m for m in state.dns_manifests if m["kind"] == "Domain"}
    for manifest in state.dns_manifests:
        found: Iterable[NameEntry]
        if manifest["kind"] == "ServiceDNSRecord":
            found = _service_record(manifest, domains, state.clusters, rules, wanted.notices)
        elif manifest["kind"] == "IngressDNSRecord":
            found = _ingress_record(manifest, state.clusters, rules, wanted.notices)
        else:
            continue
        for entry in found:
            wanted.add(entry, rules)
    wanted.entries = dict(sorted(wanted.entries.items()))
    wanted.notices = sorted(set(wanted.notices), key=str)
    return wanted


def annotation_faults(state: DesiredState, rules: DnsRules) -> tuple[Problem, ...]:
    """Names in our annotation that no zone could hold, each with its manifest. Pure."""
    found = []
    for workload in state.workloads if rules.zones else ():
        asked = _annotation(workload, ANNOTATION)
        if (workload.key.group, workload.key.kind) not in _KINDS or asked == "false":
            continue
        for host in filter(None, (part.strip() for part in asked.split(","))):
            fault = "" if host in ("true", "@") else name_fault(host.lower())
            if fault:
                path = f"$.metadata.annotations['{ANNOTATION}']"
                expected = "a name such as www or www.shop.example.com, '@', or 'true'"
                message = f"{host!r} cannot be a name: {fault}"
                found.append(Problem(workload.position, path, message, expected))
    return tuple(found)


def name_fault(name: str) -> str:
    """Why a name cannot be a record's; empty for a good one."""
    if len(name) > _LONGEST_NAME:
        return f"it is longer than {_LONGEST_NAME} characters"
    for number, label in enumerate(name.rstrip(".").split(".")):
        if not _LABEL.fullmatch(label) or (label == "*" and number):
            return f"{label!r} is not a label (letters, digits, '-', at most 63)"
    return ""


def absolute(name: str) -> str:
    """Lower case with a final dot."""
    return name.strip().lower().rstrip(".") + "."


def _annotation(workload: Workload, name: str) -> str:
    annotations = (workload.template.get("metadata") or {}).get("annotations") or {}
    return str(annotations.get(name, "")).strip()


# -- our annotation ----------------------------------------------------------------------------


def _annotated(
    workload: Workload,
    asked: str,
    here: list[Cluster],
    rules: DnsRules,
    notices: list[Notice],
) -> Iterator[NameEntry]:
    key = workload.key.with_namespace
    spec = workload.template.get("spec") or {}
    if key.kind == "Service" and rules.zones and spec.get("type") != "LoadBalancer":
        notices.append(notice(NoticeCause.NO_ADDRESS, subject=key))
    check = _check(workload, notices)
    for zone, name, cluster in _names(workload, asked, here, rules, notices):
        yield NameEntry(
            name=name,
            zone=zone.name,
            ttl=rules.ttl,
            places=frozenset({Place(cluster.name, key)}),
            check=check,
            origin=str(key),
        )


def _names(
    workload: Workload,
    asked: str,
    clusters: list[Cluster],
    rules: DnsRules,
    notices: list[Notice],
) -> Iterator[tuple[ZoneRule, str, Cluster]]:
    hosts = [asked] if asked == "true" else [part.strip() for part in asked.split(",")]
    if asked == "true" and workload.key.kind != "Service":
        hosts = _own_hosts(workload.template)
        if not hosts:
            notices.append(notice(NoticeCause.NO_HOST, subject=workload.key))
    for host in filter(None, hosts):
        if host == "true":
            for zone in rules.zones:
                for cluster in clusters:
                    name = _by_naming(zone, workload.key.with_namespace, cluster)
                    if name:
                        yield zone, name, cluster
            continue
        for zone, name in _explicit(host, rules):
            yield from ((zone, name, cluster) for cluster in clusters)
        if "." in host and rules.zone_of(absolute(host)) is None:
            notices.append(notice(NoticeCause.NO_ZONE, subject=workload.key, name=host))


def _explicit(host: str, rules: DnsRules) -> Iterator[tuple[ZoneRule, str]]:
    """``@`` is each zone's apex, a single label is below each zone, anything else a whole name."""
    if host == "@":
        yield from ((zone, zone.name) for zone in rules.zones)
    elif "." not in host:
        yield from ((zone, f"{host.lower()}.{zone.name}") for zone in rules.zones)
    else:
        zone = rules.zone_of(absolute(host))
        if zone:
            yield zone, absolute(host)


def _by_naming(zone: ZoneRule, key: ObjectKey, cluster: Cluster) -> str:
    """Empty where the pattern asks for a region that the cluster has not."""
    if "{region}" in zone.naming and not cluster.region:
        return ""
    return zone.naming.format(
        service=key.name,
        namespace=key.namespace,
        cluster=cluster.name,
        region=cluster.region,
        zone=zone.name,
    ).lower()


def _own_hosts(template: Object) -> list[str]:
    """The hosts that an Ingress' rules or a Gateway's listeners name."""
    spec = template.get("spec") or {}
    named = [rule.get("host") for rule in spec.get("rules") or ()]
    named += [listener.get("hostname") for listener in spec.get("listeners") or ()]
    return sorted({absolute(name) for name in named if name})


def _check(workload: Workload, notices: list[Notice]) -> HealthCheck | None:
    """The annotation's check; else a connection to the port that users come to."""
    asked = _annotation(workload, CHECK_ANNOTATION)
    if asked == "none":
        return None
    match = _CHECK.match(asked)
    if match:
        tcp_port, http_port, tls_port, path = match.group("tcp", "http", "https", "path")
        if tcp_port:
            return HealthCheck("TCP", int(tcp_port))
        return HealthCheck("HTTPS" if tls_port else "HTTP", int(tls_port or http_port), path)
    if asked:
        cause, name = NoticeCause.NOT_A_CHECK, CHECK_ANNOTATION
        notices.append(notice(cause, subject=workload.key, annotation=name, value=asked))
    spec = workload.template.get("spec") or {}
    if workload.key.kind == "Ingress":
        return HealthCheck(port=443 if spec.get("tls") else 80)
    ports = [*(spec.get("ports") or ()), *(spec.get("listeners") or ())]
    open_to_checks = [p for p in ports if p.get("protocol") != "UDP" and p.get("port")]
    if ports and not open_to_checks:
        return None
    return HealthCheck(port=int(open_to_checks[0]["port"])) if ports else HealthCheck()


# -- KubeFed -----------------------------------------------------------------------------------


def _service_record(
    manifest: Object,
    domains: Mapping[str, Object],
    clusters: Iterable[Cluster],
    rules: DnsRules,
    notices: list[Notice],
) -> list[NameEntry]:
    key = key_of(manifest)._replace(group="", kind="Service").with_namespace
    spec = manifest["spec"]
    origin = f"ServiceDNSRecord {key.namespace}/{key.name}"
    domain = domains.get(spec["domainRef"])
    if domain is None:
        notices.append(notice(NoticeCause.NO_DOMAIN, subject=origin, name=spec["domainRef"]))
        return []
    suffix = absolute(domain["domain"])
    zone = rules.zone_of(suffix)
    if zone is None:
        notices.append(notice(NoticeCause.NO_ZONE, subject=origin, name=suffix))
        return []
    common = f"{spec.get('externalName') or key.name}.{key.namespace}.{spec['domainRef']}.svc"
    top = NameEntry(
        name=f"{common}.{suffix}".lower(),
        zone=zone.name,
        ttl=spec.get("recordTTL") or KUBEFED_TTL,
        ready_only=not spec.get("allowServiceWithoutEndpoints", False),
        resolve=True,
        origin=origin,
    )
    return _levels(top, common, suffix, key, clusters, spec.get("dnsPrefix", ""))


def _levels(
    top: NameEntry,
    common: str,
    suffix: str,
    key: ObjectKey,
    clusters: Iterable[Cluster],
    prefix: str,
) -> list[NameEntry]:
    """The federation's name, its regions' and their zones', each pointing up where it is empty."""
    found: dict[str, NameEntry] = {}

    def count(name: str, above: str, place: Place) -> None:
        name = name.lower()
        known = found.get(name) or replace(top, name=name, above=above)
        found[name] = replace(known, places=known.places | {place})

    for cluster in clusters:
        place = Place(cluster.name, key)
        count(top.name, "", place)
        if cluster.region:
            region = f"{common}.{cluster.region}.{suffix}".lower()
            count(region, top.name, place)
            if cluster.zone:
                count(f"{common}.{cluster.zone}.{cluster.region}.{suffix}", region, place)
    if prefix and found:
        name = f"{prefix}.{suffix}".lower()
        found.setdefault(name, replace(top, name=name, above=top.name))
    return list(found.values())


def _ingress_record(
    manifest: Object, clusters: Iterable[Cluster], rules: DnsRules, notices: list[Notice]
) -> Iterator[NameEntry]:
    key = key_of(manifest)._replace(group="networking.k8s.io", kind="Ingress").with_namespace
    origin = f"IngressDNSRecord {key.namespace}/{key.name}"
    spec = manifest["spec"]
    for host in spec.get("hosts") or ():
        name = absolute(host)
        zone = rules.zone_of(name)
        if zone is None:
            notices.append(notice(NoticeCause.NO_ZONE, subject=origin, name=name))
            continue
        yield NameEntry(
            name=name,
            zone=zone.name,
            ttl=spec.get("recordTTL") or KUBEFED_TTL,
            places=frozenset(Place(cluster.name, key) for cluster in clusters),
            ready_only=False,
            resolve=True,
            origin=origin,
        )
