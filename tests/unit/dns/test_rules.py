"""``spec.dns``, annotations and limits: what is accepted, refused, and what it means."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

import pytest

from reconciler.dns.names import annotation_faults, wanted_names
from reconciler.dns.plan import dns_rules_of, plan_dns
from reconciler.dns.rules import parse_dns
from reconciler.scheduler.commits import with_commits
from tests.unit.dns.fleets import CLUSTERS, WEB, everywhere, running, understood

FEDERATION = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  dns:
    providers:
      bind: {class: octodns_bind.Rfc2136Provider, host: 127.0.0.1%s}
    zones:
      - {name: shop.example.com., provider: bind%s}
      - {name: eu.shop.example.com., provider: bind}
---
"""
PLAIN = FEDERATION % ("", "")


def problems(settings: str = "", zone: str = "", federation: str = "") -> list[str]:
    state = understood(federation or FEDERATION % (settings, zone), CLUSTERS, WEB)
    return [f"{p.path}: {p.message}" for p in dns_rules_of(state)[1]]


def test_a_good_federation_has_no_problems() -> None:
    assert problems(", key_name: k., key_secret: env/TSIG, port: 5353, timeout: 5") == []
    assert problems(", key_secret: {secretRef: {name: tsig, key: secret}}") == []
    assert problems(", credentials_file: /var/run/secrets/key.json") == []


@pytest.mark.parametrize(
    "setting",
    [
        "key_secret: abcdef",
        "access_key_id: AKIAEXAMPLE",
        "secret_access_key: abcdef",
        "token: abcdef",
        "password: abcdef",
        "api_key: abcdef",
        "session_token: env/TOKEN/a-default-is-a-literal-too",
    ],
)
def test_a_credential_in_git_is_refused(setting: str) -> None:
    name = setting.partition(":")[0]
    assert problems(f", {setting}") == [
        f"$.spec.dns.providers.bind.{name}: a credential must not lie in Git"
    ]


@pytest.mark.parametrize(
    ("naming", "message"),
    [
        ("{service}.{colour}.{zone}", "there is no {colour}"),
        ("{service}.{namespace}", "leaves the zone"),
        ("www.{zone}", "gives every Service one name"),
        ("{service.{zone}", "cannot be read"),
    ],
)
def test_a_naming_that_cannot_be_meant(naming: str, message: str) -> None:
    found = problems(zone=f', naming: "{naming}"')
    assert found
    assert message in found[0]
    assert found[0].startswith("$.spec.dns.zones[0].naming: ")


def test_each_problem_is_told_with_its_line_and_column() -> None:
    text = PLAIN.replace("bind}", "bnid, naming: x}", 1).replace("1}", "1, key_secret: abc}")
    lines = text.lstrip().splitlines()
    found = dns_rules_of(understood(text, CLUSTERS, WEB))[1]
    assert len(found) == 4
    for problem in found:
        line = lines[problem.position.line - 1]
        expected = {"provider": "bnid", "naming": "x}", "key_secret": "abc"}
        value = expected[problem.path.rpartition(".")[2]]
        assert line[problem.position.column - 1 :].startswith(value), str(problem)


def test_zones_and_providers_fit_together() -> None:
    twice = PLAIN.replace("eu.shop.example.com.", "shop.example.com.")
    assert problems(federation=twice) == [
        "$.spec.dns.zones[1].name: zone shop.example.com. is given twice"
    ]
    unknown = PLAIN.replace("com., provider: bind", "com., provider: bnid", 1)
    assert problems(federation=unknown) == [
        "$.spec.dns.zones[0].provider: there is no provider 'bnid'"
    ]
    hint = dns_rules_of(understood(unknown, CLUSTERS, WEB))[1][0].hint
    assert hint == "did you mean bind?"


@pytest.mark.parametrize("made", ["subprocess.Popen", "os.system", "octodns_bind", "octodns; x.y"])
def test_only_octodns_classes_are_ever_loaded(made: str) -> None:
    found = problems(federation=PLAIN.replace("octodns_bind.Rfc2136Provider", made))
    assert found == [f"$.spec.dns.providers.bind.class: {made!r} is not an octoDNS provider"]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ("octodns_bind.AxfrSource", "is not an octoDNS provider"),
        ("octodns_bind.NoSuchProvider", "is not an octoDNS provider"),
        ("octodns_bind.ZoneFileProvider", "writes zones as a whole"),
        ("octodns.provider.yaml.YamlProvider", "writes zones as a whole"),
    ],
)
def test_providers_that_cannot_share_a_zone(made: str, message: str) -> None:
    text = PLAIN.replace("octodns_bind.Rfc2136Provider, host: 127.0.0.1", f"{made}, directory: x")
    plan = plan_dns(understood(text, CLUSTERS, WEB), everywhere(), {}, environ={})
    assert plan.changes == ()
    assert len(plan.errors) == 2
    assert all(message in error for error in plan.errors)


def test_a_missing_package_comes_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cloudflare = PLAIN.replace("octodns_bind.Rfc2136Provider", "octodns_cloudflare.Provider")
    plan = plan_dns(understood(cloudflare, CLUSTERS, WEB), everywhere(), {}, environ={})
    assert "(pip install octodns-cloudflare)" in plan.errors[0]
    monkeypatch.setitem(sys.modules, "octodns.provider.base", None)
    plan = plan_dns(understood(PLAIN, CLUSTERS, WEB), everywhere(), {}, environ={})
    assert "(pip install 'federation-reconciler[dns]')" in plan.errors[0]


def test_a_federation_without_zones_never_loads_octodns() -> None:
    script = (
        "import sys\n"
        "from reconciler.dns.plan import plan_dns, dns_rules_of, dns_needs, apply_dns\n"
        "from tests.unit.dns.fleets import understood, CLUSTERS, WEB\n"
        "state = understood('apiVersion: federation.reconciler.dev/v1alpha1\\n'\n"
        "  'kind: Federation\\nmetadata: {name: x}', CLUSTERS, WEB)\n"
        "assert apply_dns(plan_dns(state, {}, {})) == ()\n"
        "print([m for m in sys.modules if m.partition('.')[0] in ('octodns', 'boto3', 'dns')])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


# -- names -------------------------------------------------------------------------------------


def names(
    annotation: str, naming: str = "", placed_in: Mapping | None = None
) -> dict[str, set[str]]:
    """name -> the clusters behind it."""
    zone = f', naming: "{naming}"' if naming else ""
    web = WEB.replace('"true"', f'"{annotation}"')
    state = understood(FEDERATION % ("", zone), CLUSTERS, web)
    rules, found = parse_dns(state.federation)
    assert not found
    wanted = wanted_names(state, rules, placed_in)
    return {name: {p.cluster for p in e.places} for name, e in wanted.entries.items()}


ALL = {"aws-eu", "gcp-eu", "gcp-us"}


def test_names_that_an_annotation_asks_for() -> None:
    default = {
        "web.shop.shop.example.com.": ALL,
        "web.shop.eu.shop.example.com.": ALL,
    }
    assert names("true") == default
    assert names("false") == {}
    assert names("") == {}
    assert names("@") == {"shop.example.com.": ALL, "eu.shop.example.com.": ALL}
    assert names("www") == {"www.shop.example.com.": ALL, "www.eu.shop.example.com.": ALL}
    # The most specific zone holds a whole name.
    assert names("a.eu.shop.example.com") == {"a.eu.shop.example.com.": ALL}
    assert names("A.Shop.Example.com., true") == {"a.shop.example.com.": ALL, **default}
    assert names("a.elsewhere.example.org") == {}
    assert names("*.web.shop.example.com") == {"*.web.shop.example.com.": ALL}
    assert names("in_valid-.shop.example.com") == {}
    assert names("x" * 64) == {}


def test_clusters_answer_to_the_names_that_their_own_commit_asks_for() -> None:
    old = understood(PLAIN, CLUSTERS, WEB.replace('"true"', '"www, old"'))
    new = understood(PLAIN, CLUSTERS, WEB.replace('"true"', '"www, new"'))
    of_cluster = {"aws-eu": "new", "gcp-eu": "old", "gcp-us": "old"}
    state = with_commits(new, "old", of_cluster, {"old": old, "new": new})
    wanted = wanted_names(state, parse_dns(state.federation)[0])
    found = {name: {p.cluster for p in e.places} for name, e in wanted.entries.items()}
    assert found["www.shop.example.com."] == ALL
    assert found["new.shop.example.com."] == {"aws-eu"}
    assert found["old.shop.example.com."] == {"gcp-eu", "gcp-us"}


@pytest.mark.parametrize(
    ("asked", "name"),
    [("www, in_valid-", "in_valid-"), ("a..example.com", ""), ("x" * 64, "x" * 64)],
)
def test_a_name_that_no_zone_could_hold_is_told_with_its_manifest(asked: str, name: str) -> None:
    state = understood(PLAIN, CLUSTERS, WEB.replace('"true"', f'"{asked}"'))
    (problem,) = annotation_faults(state, parse_dns(state.federation)[0])
    (service,) = [w for w in state.workloads if w.key.kind == "Service"]
    assert problem.position == service.position
    assert f"{name!r} is not a label" in problem.message
    assert "www.shop.example.com" in problem.expected


@pytest.mark.parametrize("asked", ["true", "@", "www", "*.shop.example.com", "Www.Example.com."])
def test_a_name_that_can_be_is_no_fault(asked: str) -> None:
    state = understood(PLAIN, CLUSTERS, WEB.replace('"true"', f'"{asked}"'))
    assert annotation_faults(state, parse_dns(state.federation)[0]) == ()


def test_a_naming_by_region_or_cluster_gives_each_its_own_name() -> None:
    found = names("true", "{service}.{region}.{zone}")
    assert found["web.eu-central-1.shop.example.com."] == {"aws-eu"}
    assert found["web.us-east1.shop.example.com."] == {"gcp-us"}
    found = names("true", "{service}-{cluster}.{zone}")
    assert found["web-gcp-eu.shop.example.com."] == {"gcp-eu"}


def test_a_name_lies_in_the_most_specific_zone_whatever_made_it() -> None:
    web = WEB.replace("name: web", "name: eu").replace('"true"', '"true, eu"')
    state = understood(FEDERATION % ("", ', naming: "{service}.{zone}"'), CLUSTERS, web)
    rules, _ = parse_dns(state.federation)
    zones = {name: entry.zone for name, entry in wanted_names(state, rules).entries.items()}
    # Below shop.example.com., "eu" is a zone of its own.
    assert zones["eu.shop.example.com."] == "eu.shop.example.com."


@pytest.mark.parametrize(
    ("ports", "check"),
    [
        ("[{port: 443}]", "TCP:443"),
        ("[{port: 53, protocol: UDP}, {port: 853}]", "TCP:853"),
        ("[{port: 53, protocol: UDP}]", "None"),
    ],
)
def test_health_checks_connect_to_the_first_port_that_they_can(ports: str, check: str) -> None:
    state = understood(PLAIN, CLUSTERS, WEB.replace("[{port: 443}]", ports))
    rules, _ = parse_dns(state.federation)
    found = {str(entry.check) for entry in wanted_names(state, rules).entries.values()}
    assert found == {check}


def test_only_the_clusters_that_a_service_is_placed_in_count() -> None:
    state = understood(PLAIN, CLUSTERS, WEB)
    key = next(w.key for w in state.workloads if w.key.kind == "Service")
    assert names("www", placed_in={key: frozenset({"gcp-eu"})})["www.shop.example.com."] == {
        "gcp-eu"
    }
    assert names("www", placed_in={}) == {}
    # Nowhere while a cluster is down may mean: there.
    rules, _ = parse_dns(state.federation)
    kept = wanted_names(state, rules, {}, down={"aws-eu"})
    assert {p.cluster for e in kept.entries.values() for p in e.places} == {"aws-eu"}


def test_what_cannot_have_a_record_is_told() -> None:
    internal = WEB.replace("LoadBalancer", "ClusterIP")
    elsewhere = WEB.replace('"true"', "a.example.org").replace("name: web", "name: api")
    state = understood(PLAIN, CLUSTERS, internal, elsewhere)
    rules, _ = parse_dns(state.federation)
    assert [str(one) for one in wanted_names(state, rules).notices] == [
        "Service shop/api: a.example.org is in none of the zones of spec.dns.zones",
        "Service shop/web: its type is not LoadBalancer, so it has no address for a record",
    ]


def test_an_ingress_has_its_own_hosts_and_counts_while_a_backend_is_ready() -> None:
    from reconciler.api.objects import ObjectKey
    from reconciler.dns.targets import exposed, exposed_objects

    ingress = """
    apiVersion: networking.k8s.io/v1
    kind: Ingress
    metadata:
      name: front
      namespace: shop
      annotations: {federation.reconciler.dev/dns: "true"}
    spec:
      tls: [{hosts: [www.shop.example.com]}]
      rules:
        - host: www.shop.example.com
          http:
            paths:
              - {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}
              - {path: /api, pathType: Prefix, backend: {service: {name: api, port: {number: 80}}}}
    """
    state = understood(PLAIN, CLUSTERS, ingress)
    rules, _ = parse_dns(state.federation)
    wanted = wanted_names(state, rules)
    [entry] = wanted.entries.values()
    assert (entry.name, str(entry.check)) == ("www.shop.example.com.", "TCP:443")
    assert exposed_objects(state, [entry])["gcp-eu"].services == {("shop", "web"), ("shop", "api")}
    [workload] = [w for w in state.workloads if w.key.kind == "Ingress"]
    live = {**workload.template, "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}
    key = ObjectKey("networking.k8s.io", "Ingress", "shop", "front")
    assert exposed(key, live, frozenset({("shop", "api")})).ready
    assert not exposed(key, live, frozenset()).ready


def test_a_gateway_counts_once_it_is_programmed() -> None:
    from reconciler.api.objects import ObjectKey
    from reconciler.dns.targets import exposed

    key = ObjectKey("gateway.networking.k8s.io", "Gateway", "shop", "front")
    status = {
        "addresses": [
            {"type": "IPAddress", "value": "192.0.2.1"},
            {"type": "Hostname", "value": "lb.example.net"},
        ],
        "conditions": [{"type": "Programmed", "status": "True"}],
    }
    found = exposed(key, {"status": status}, frozenset())
    assert (found.addresses, found.hosts, found.ready) == (
        ("192.0.2.1",),
        ("lb.example.net.",),
        True,
    )
    assert not exposed(key, {"status": {**status, "conditions": []}}, frozenset()).ready


def test_a_view_of_nothing_is_empty() -> None:
    assert running() == {}
