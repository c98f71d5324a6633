"""A DNS provider's credential goes only where its storage says, or where it went first."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
from msgspec.structs import replace

from kubesim.fleet import Sandbox
from reconciler.api.errors import DnsError, Position, ReconcileError
from reconciler.api.objects import ObjectKey
from reconciler.cluster.connect import BOUND_TO, OTHER_NAMESPACES, PLAIN_HTTP, Connector
from reconciler.cluster.discovery import RESTMapping
from reconciler.dns.dns_of_run import credential_check_of, secrets_of
from reconciler.dns.providers import refuse_redirects
from reconciler.dns.rules import DnsRules, EnvironmentValue, ProviderRule, SecretValue, parse_dns
from reconciler.federation.model import Federation

CANARY = "c4nary-key"
NAMESPACE = "federation-system"
KEY = {"secretRef": {"name": "dns", "key": "key"}}
POWERDNS = {"class": "octodns_powerdns.PowerDnsProvider", "host": "10.0.0.1", "api_key": KEY}
SECRETS = RESTMapping("v1", "Secret", "secrets", namespaced=True)


def provider(**settings: Any) -> ProviderRule:
    dns = {"providers": {"main": {**POWERDNS, **settings}}, "zones": []}
    federation = Federation("shop", Position("federation.yaml", 1, 1), dns=dns)
    rules: DnsRules = parse_dns(federation)[0]
    return rules.providers["main"]


class Host:
    def __init__(self, sandbox: Sandbox) -> None:
        connector = Connector.from_file(str(sandbox.kubeconfig), NAMESPACE, host_context="host")
        self.connector = replace(connector, first_use="pin")
        self.member = connector.host()
        for name in (NAMESPACE, "other"):
            sandbox.cluster("host").create(
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            )

    def keep(self, *, namespace: str = NAMESPACE, key: str = CANARY, **more: Any) -> None:
        metadata = {"name": "dns", "namespace": namespace, **more.pop("metadata", {})}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, **more}
        body["data"] = {"key": base64.b64encode(key.encode()).decode()}
        self.member.create(SECRETS, body, namespace=namespace)

    def read(self, rule: ProviderRule, **settings: Any) -> str:
        value = rule.settings["api_key"]
        assert isinstance(value, SecretValue)
        return secrets_of(replace(self.connector, **settings))(value)


@pytest.fixture
def host() -> Iterator[Host]:
    with Sandbox(["host"]) as sandbox:
        yield Host(sandbox)


@pytest.mark.parametrize(
    "change",
    [
        {"host": "evil.example"},
        {"class": "octodns_cloudflare.CloudflareProvider"},
        {"port": 8082},
        {"scheme": "http"},
        {"ssl_verify": False},
        {"url": "https://evil.example"},
        {"whatever": "evil.example"},
        {"proxies": {"https": "evil.example"}},
        {"host": "env/ANOTHER"},
    ],
)
def test_the_key_goes_nowhere_else_after_its_first_use(host: Host, change: dict[str, Any]) -> None:
    host.keep()
    assert host.read(provider()) == CANARY
    assert any(
        "10.0.0.1" in told and "nowhere else" in told for told in map(str, host.connector.remarks)
    )
    with pytest.raises(ReconcileError, match="it was not sent") as caught:
        host.read(provider(**change))
    assert CANARY not in str(caught.value)
    assert "kubectl annotate --overwrite secret" in caught.value.hint
    # A timeout or the like is nobody's address.
    assert host.read(provider(timeout=5, notify="yes")) == CANARY


def test_a_plan_tells_and_binds_nothing(host: Host) -> None:
    host.keep()
    assert host.read(provider(), first_use="tell") == CANARY
    assert host.read(provider(host="10.0.0.2"), first_use="tell") == CANARY
    assert len(host.connector.remarks) == 2


def test_what_the_secret_says_counts(host: Host) -> None:
    bound = "octodns_powerdns.PowerDnsProvider host=10.0.0.2"
    host.keep(metadata={"annotations": {BOUND_TO: bound}})
    with pytest.raises(ReconcileError, match=r"which is for octodns_powerdns.*10\.0\.0\.2"):
        host.read(provider())
    assert host.read(provider(host="10.0.0.2", port=5)) == CANARY


@pytest.mark.parametrize(
    ("more", "doubt"),
    [
        ({"type": "example.com/other"}, "of type example.com/other"),
        (
            {"metadata": {"labels": {"app.kubernetes.io/managed-by": "federation-reconciler"}}},
            "join",
        ),
        ({"key": "apiVersion: v1\nkind: Config\n"}, "it is a kubeconfig"),
        (
            {
                "key": "x."
                + base64.urlsafe_b64encode(b'{"sub":"system:serviceaccount:a:b"}').decode()
                + ".z"
            },
            "ServiceAccount's token",
        ),
    ],
)
def test_another_credential_is_not_sent_as_a_providers(
    host: Host, more: dict[str, Any], doubt: str
) -> None:
    host.keep(**more)
    with pytest.raises(ReconcileError, match=f"it was not sent.*{doubt}"):
        host.read(provider())


def test_secrets_of_other_namespaces_are_taken_only_where_the_job_allows_it(host: Host) -> None:
    host.keep(namespace="other")
    elsewhere = provider(api_key={"secretRef": {"name": "dns", "key": "key", "namespace": "other"}})
    with pytest.raises(ReconcileError, match="only taken from federation-system") as caught:
        host.read(elsewhere)
    assert OTHER_NAMESPACES in caught.value.hint
    assert host.read(elsewhere, allow=frozenset({OTHER_NAMESPACES})) == CANARY


@pytest.mark.parametrize("change", [{"scheme": "http"}, {"url": "HTTP://10.0.0.1:8081"}])
def test_nothing_goes_in_the_clear_unless_the_job_allows_it(
    host: Host, change: dict[str, Any]
) -> None:
    with pytest.raises(DnsError, match="plain http") as caught:
        credential_check_of(host.connector)(provider(**change), None)
    assert PLAIN_HTTP in caught.value.hint
    credential_check_of(replace(host.connector, allow=frozenset({PLAIN_HTTP})))(
        provider(**change), None
    )


def test_a_variable_goes_nowhere_else_after_its_first_use(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check_credential(rule: ProviderRule) -> None:
        value = rule.settings["api_key"]
        assert isinstance(value, EnvironmentValue)
        credential_check_of(host.connector)(rule, value)

    check_credential(provider(api_key="env/DNS_KEY"))
    check_credential(provider(api_key="env/DNS_KEY", timeout=3))
    with pytest.raises(ReconcileError, match="it was not sent"):
        check_credential(provider(api_key="env/DNS_KEY", host="evil.example"))
    monkeypatch.setenv("DNS_KEY_BOUND_TO", "octodns_powerdns.PowerDnsProvider host=10.0.0.2")
    check_credential(provider(api_key="env/DNS_KEY", host="10.0.0.2"))
    with pytest.raises(ReconcileError, match="it was not sent"):
        check_credential(provider(api_key="env/DNS_KEY"))


class _Redirecting(BaseHTTPRequestHandler):
    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.path)
        self.send_response(302 if self.path == "/" else 200)
        self.send_header("location", "/elsewhere")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def test_a_redirect_takes_no_key_along() -> None:
    _Redirecting.seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Redirecting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    refuse_redirects()
    session = requests.Session()
    session.headers["X-API-Key"] = CANARY
    try:
        with pytest.raises(requests.TooManyRedirects, match="not followed"):
            session.get(f"http://127.0.0.1:{server.server_address[1]}/", timeout=5)
    finally:
        server.shutdown()
        server.server_close()
    assert _Redirecting.seen == ["/"]


def test_the_pin_is_beside_the_secret(host: Host) -> None:
    host.keep()
    host.read(provider())
    maps = RESTMapping("v1", "ConfigMap", "configmaps", namespaced=True)
    pin = host.member.get(maps, ObjectKey("", "ConfigMap", NAMESPACE, "dns-bound-to"))
    assert pin is not None
    assert CANARY not in str(pin)
