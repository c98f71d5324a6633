"""KubeFed's DNS rules (v0.6) as a table: manifests and live Services -> records."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from reconciler.api.objects import Object
from reconciler.dns.healthy_targets import NameHealth, ZoneContent, answering_targets
from reconciler.dns.names import wanted_names
from reconciler.dns.records import Abilities, ExistingRecord
from reconciler.dns.rules import parse_dns
from reconciler.dns.targets import ServiceView
from tests.unit.dns.fleets import ADDRESSES, CLUSTERS, running, service, understood

DOMAIN = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  dns:
    providers: {bind: {class: octodns_bind.Rfc2136Provider, host: 127.0.0.1}}
    zones: [{name: example.com., provider: bind}]
---
apiVersion: multiclusterdns.kubefed.io/v1alpha1
kind: Domain
metadata: {name: test-domain, namespace: kube-federation-system}
domain: example.com
nameServer: ns.example.com
---
"""

RECORD = """
apiVersion: multiclusterdns.kubefed.io/v1alpha1
kind: ServiceDNSRecord
metadata: {name: web, namespace: shop}
spec: {domainRef: test-domain%s}
---
"""

TOP = "web.shop.test-domain.svc"
AWS_ZONE = f"{TOP}.eu-central-1a.eu-central-1.example.com."
AWS_REGION = f"{TOP}.eu-central-1.example.com."
GCP_ZONE = f"{TOP}.europe-west1-b.europe-west1.example.com."
GCP_REGION = f"{TOP}.europe-west1.example.com."
US_ZONE = f"{TOP}.us-east1-c.us-east1.example.com."
US_REGION = f"{TOP}.us-east1.example.com."
GLOBAL = f"{TOP}.example.com."

HOSTS = {"lb.example.net.": ("198.51.100.7", "198.51.100.8")}
ALL = ",".join(sorted(ADDRESSES.values()))

EVERYWHERE: Mapping[str, ServiceView] = {
    name: running(service("web", address)) for name, address in ADDRESSES.items()
}
ONLY_AWS = {
    "aws-eu": EVERYWHERE["aws-eu"],
    "gcp-eu": running(),
    "gcp-us": running(service("web")),
}


def decided(
    manifests: str,
    seen: Mapping[str, ServiceView],
    down: Mapping[str, str] | None = None,
    existing: Mapping[str, tuple[ExistingRecord, ...]] | None = None,
) -> ZoneContent:
    state = understood(DOMAIN, CLUSTERS, manifests)
    rules, problems = parse_dns(state.federation)
    assert not problems
    wanted = wanted_names(state, rules)
    assert not wanted.notices
    fleet = NameHealth(seen, down or {})
    return answering_targets(
        wanted.entries, fleet, existing or {}, Abilities(), lambda host: HOSTS.get(host, ())
    )


def table(decision: ZoneContent) -> dict[str, str]:
    """name -> ``A 52.29.10.1``; several types joined by a bar."""
    found: dict[str, str] = {}
    for record in decision.records:
        text = f"{record.type} {','.join(record.values)}"
        found[record.name] = f"{found[record.name]} | {text}" if record.name in found else text
    return found


def test_a_service_everywhere_has_addresses_at_every_level() -> None:
    assert table(decided(RECORD % "", EVERYWHERE)) == {
        GLOBAL: f"A {ALL}",
        AWS_REGION: "A 52.29.10.1",
        AWS_ZONE: "A 52.29.10.1",
        GCP_REGION: "A 34.76.10.2",
        GCP_ZONE: "A 34.76.10.2",
        US_REGION: "A 35.185.10.3",
        US_ZONE: "A 35.185.10.3",
    }


def test_a_level_without_targets_points_to_the_level_above() -> None:
    assert table(decided(RECORD % "", ONLY_AWS)) == {
        GLOBAL: "A 52.29.10.1",
        AWS_REGION: "A 52.29.10.1",
        AWS_ZONE: "A 52.29.10.1",
        GCP_REGION: f"CNAME {GLOBAL}",
        GCP_ZONE: f"CNAME {GCP_REGION}",
        US_REGION: f"CNAME {GLOBAL}",
        US_ZONE: f"CNAME {US_REGION}",
    }


def test_a_region_of_two_zones_has_the_addresses_of_both() -> None:
    second = """
    apiVersion: federation.reconciler.dev/v1alpha1
    kind: Cluster
    metadata: {name: aws-eu-2}
    spec: {region: eu-central-1, zone: eu-central-1b}
    """
    seen = {**ONLY_AWS, "aws-eu-2": running(service("web", "52.29.10.9"))}
    found = table(decided(f"{RECORD % ''}{second}", seen))
    assert found[AWS_REGION] == "A 52.29.10.1,52.29.10.9"
    assert found[AWS_ZONE] == "A 52.29.10.1"
    assert found[f"{TOP}.eu-central-1b.eu-central-1.example.com."] == "A 52.29.10.9"


@pytest.mark.parametrize(
    ("spec", "seen", "name", "expected"),
    [
        pytest.param(
            ", dnsPrefix: shop",
            EVERYWHERE,
            "shop.example.com.",
            f"CNAME {GLOBAL}",
            id="dnsPrefix points to the global name",
        ),
        pytest.param(
            ", externalName: catalog",
            EVERYWHERE,
            "catalog.shop.test-domain.svc.example.com.",
            f"A {ALL}",
            id="externalName instead of the Service's name",
        ),
        pytest.param(
            "",
            {"aws-eu": running(service("web", "52.29.10.1", "52.29.10.1"))},
            GLOBAL,
            "A 52.29.10.1",
            id="an address is there once",
        ),
        pytest.param(
            "",
            {
                "aws-eu": running(service("web", "10.0.0.1")),
                "gcp-eu": running(service("web", "10.0.0.1")),
            },
            GLOBAL,
            "A 10.0.0.1",
            id="also when two clusters share it",
        ),
        pytest.param(
            "",
            {"aws-eu": running(service("web", "lb.example.net"))},
            GLOBAL,
            "A 198.51.100.7,198.51.100.8",
            id="a load balancer's host name is resolved",
        ),
        pytest.param(
            "",
            {"aws-eu": running(service("web", "lb.example.net", "198.51.100.8", "52.29.10.1"))},
            GLOBAL,
            "A 198.51.100.7,198.51.100.8,52.29.10.1",
            id="and merged with the addresses",
        ),
        pytest.param(
            "",
            {"aws-eu": running(service("web", "52.29.10.1", "2A05:D014::0001"))},
            GLOBAL,
            "A 52.29.10.1 | AAAA 2a05:d014::1",
            id="IPv6 addresses are AAAA records",
        ),
        pytest.param(
            "",
            {
                "aws-eu": running(service("web", "52.29.10.1"), unready=("web",)),
                "gcp-eu": EVERYWHERE["gcp-eu"],
            },
            GLOBAL,
            "A 34.76.10.2",
            id="a Service without ready endpoints does not count",
        ),
        pytest.param(
            ", allowServiceWithoutEndpoints: true",
            {"aws-eu": running(service("web", "52.29.10.1"), unready=("web",))},
            GLOBAL,
            "A 52.29.10.1",
            id="unless it is allowed to have none",
        ),
    ],
)
def test_rules_of_service_records(
    spec: str, seen: Mapping[str, ServiceView], name: str, expected: str
) -> None:
    assert table(decided(RECORD % spec, seen))[name] == expected


@pytest.mark.parametrize(
    ("spec", "ttl"), [("", 300), (", recordTTL: 0", 300), (", recordTTL: 5", 5)]
)
def test_the_ttl_is_300_seconds_if_none_is_given(spec: str, ttl: int) -> None:
    assert {r.ttl for r in decided(RECORD % spec, EVERYWHERE).records} == {ttl}


def test_nothing_is_written_before_any_cluster_has_an_address() -> None:
    assert decided(RECORD % ", dnsPrefix: shop", {}).records == ()


def test_ingress_hosts_get_the_addresses_of_all_clusters() -> None:
    manifest = """
    apiVersion: multiclusterdns.kubefed.io/v1alpha1
    kind: IngressDNSRecord
    metadata: {name: front, namespace: shop}
    spec: {hosts: [shop.example.com, "*.shop.example.com"], recordTTL: 30}
    """
    seen = {name: running(_ingress(address)) for name, address in ADDRESSES.items()}
    assert table(decided(manifest, seen)) == {
        "shop.example.com.": f"A {ALL}",
        "*.shop.example.com.": f"A {ALL}",
    }


def _ingress(address: str) -> Object:
    ingress = service("front", address)
    return {**ingress, "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "spec": {}}


def test_a_domain_that_does_not_exist_is_told() -> None:
    state = understood(DOMAIN, CLUSTERS, RECORD.replace("test-domain", "tset-domain") % "")
    rules, _ = parse_dns(state.federation)
    wanted = wanted_names(state, rules)
    assert wanted.entries == {}
    assert list(map(str, wanted.notices)) == [
        "ServiceDNSRecord shop/web: there is no Domain 'tset-domain', so it gets no record"
    ]


def test_an_outage_moves_the_lower_levels_up_and_the_last_outage_moves_nothing() -> None:
    before = decided(RECORD % "", EVERYWHERE)
    down = {"aws-eu": "no answer"}
    one_down = decided(RECORD % "", EVERYWHERE, down, _standing(before))
    assert table(one_down)[GLOBAL] == "A 34.76.10.2,35.185.10.3"
    assert table(one_down)[AWS_REGION] == f"CNAME {GLOBAL}"
    assert table(one_down)[AWS_ZONE] == f"CNAME {AWS_REGION}"
    assert AWS_ZONE in one_down.excused
    down = dict.fromkeys(ADDRESSES, "no answer")
    all_down = decided(RECORD % "", EVERYWHERE, down, _standing(one_down))
    assert all_down.records == ()
    assert set(all_down.kept) == set(table(one_down))
    assert [w for w in all_down.notices if w.subject == GLOBAL]


def _standing(decision: ZoneContent) -> dict[str, tuple[ExistingRecord, ...]]:
    found: dict[str, tuple[ExistingRecord, ...]] = {}
    for record in decision.records:
        one = ExistingRecord(record.type, record.values, record.by_cluster)
        found[record.name] = (*found.get(record.name, ()), one)
    return found
