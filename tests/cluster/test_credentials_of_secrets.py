"""Credentials in Secrets of the host: taken by an allow-list, and sent to no server that Git names
later."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from reconciler.cluster.connecting import (
    BOUND_TO,
    INSECURE_TLS,
    KUBEFED_NAMESPACE,
    OTHER_NAMESPACES,
    Bindings,
    Connector,
)
from reconciler.cluster.kubeconfig import load_kubeconfig, parse_kubeconfig
from reconciler.cluster.resources import Resource
from reconciler.errors import ClusterUnauthorized, Position
from reconciler.federation.model import Access, Cluster, SecretReference
from reconciler.objects import ObjectKey
from reconciler.sandbox import Sandbox

CANARY = "c4nary-token"
CA = base64.b64encode(b"-----BEGIN CERTIFICATE-----").decode()
NAMESPACE = "federation-system"


def kubeconfig(cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None) -> bytes:
    server = {"server": "https://aws.example:6443", "certificate-authority-data": CA}
    document = {
        "current-context": "aws",
        "contexts": [{"name": "aws", "context": {"cluster": "aws", "user": "us"}}],
        "clusters": [{"name": "aws", "cluster": {**server, **(cluster or {})}}],
        "users": [{"name": "us", "user": {"token": CANARY, **(user or {})}}],
    }
    return yaml.safe_dump(document).encode()


@pytest.mark.parametrize(
    ("cluster", "user", "named"),
    [
        ({}, {"exec": {"command": CANARY}}, "users[us].exec"),
        ({}, {"auth-provider": {"name": CANARY}}, "users[us].auth-provider"),
        ({}, {"tokenFile": CANARY}, "users[us].tokenFile"),
        ({}, {"client-key": CANARY}, "users[us].client-key"),
        ({}, {"client-certificate": CANARY}, "users[us].client-certificate"),
        ({"certificate-authority": CANARY}, {}, "clusters[aws].certificate-authority"),
        ({"server": f"http://{CANARY}"}, {}, "clusters[aws].server, which is no https://"),
        ({"server": None}, {}, "clusters[aws].server, which is no https://"),
        ({"insecure-skip-tls-verify": True}, {}, "clusters[aws].insecure-skip-tls-verify"),
        ({"comes-later": CANARY}, {}, "clusters[aws].comes-later"),
    ],
)
def test_what_runs_programs_reads_files_or_trusts_anybody_is_not_taken_from_a_secret(
    cluster: dict[str, Any], user: dict[str, Any], named: str
) -> None:
    with pytest.raises(ClusterUnauthorized) as caught:
        parse_kubeconfig(kubeconfig(cluster, user), origin="Secret x/y")
    assert named in str(caught.value)
    assert CANARY not in str(caught.value) + caught.value.hint


def test_a_plain_kubeconfig_is_taken_from_a_secret() -> None:
    user = {"as": "robot", "as-groups": ["ops"], "as-uid": "7", "as-user-extra": {"a b": ["x"]}}
    given = kubeconfig({"tls-server-name": "api", "insecure-skip-tls-verify": False}, user)
    endpoint = parse_kubeconfig(given, origin="Secret x/y").endpoint("aws", "aws")
    assert endpoint.headers() == {
        "authorization": f"Bearer {CANARY}",
        "impersonate-user": "robot",
        "impersonate-group": "ops",
        "impersonate-uid": "7",
        "impersonate-extra-a%20b": "x",
    }
    assert endpoint.verify


def test_the_job_may_allow_servers_that_are_not_verified() -> None:
    given = kubeconfig({"insecure-skip-tls-verify": True})
    config = parse_kubeconfig(given, origin="Secret x/y", insecure=True)
    assert not config.endpoint("aws", "aws").verify


@pytest.mark.parametrize(
    "user",
    [
        {"as-groups": ["ops"]},
        {"as": "robot", "as-groups": ["ops", "more"]},
        {"as": "robot", "as-user-extra": {"a": ["x", "y"]}},
        {"as": "robot", "as-groups": "ops"},
    ],
)
def test_impersonation_that_cannot_be_done_whole_is_refused(user: dict[str, Any]) -> None:
    config = parse_kubeconfig(kubeconfig(user=user), origin="Secret x/y")
    with pytest.raises(ClusterUnauthorized, match=r"as-(groups|user-extra)"):
        config.endpoint("aws", "aws")


# -- tokens whose server is in Git -----------------------------------------------------------------


@pytest.fixture
def host() -> Iterator[Connector]:
    with Sandbox(["host"]) as sandbox:
        kubeconfig = load_kubeconfig(str(sandbox.kubeconfig))
        yield Connector(kubeconfig, NAMESPACE, "host", bindings=Bindings({}))


def keep(host: Connector, namespace: str = KUBEFED_NAMESPACE, **annotations: str) -> None:
    """KubeFed's Secret with a token."""
    member = host.host()
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "aws", "namespace": namespace, "annotations": annotations},
        "data": {"token": base64.b64encode(CANARY.encode()).decode()},
    }
    for body, plural in ((space, "namespaces"), (secret, "secrets")):
        resource = Resource("v1", str(body["kind"]), plural, namespaced=plural == "secrets")
        where = namespace if plural == "secrets" else ""
        name = body["metadata"]["name"]  # type: ignore[index]
        member.apply(resource, ObjectKey("", resource.kind, where, name), body, force=True)


def kubefed(namespace: str = KUBEFED_NAMESPACE, **access: Any) -> Cluster:
    given = {"api_endpoint": "https://aws.example:6443", "ca_bundle": CA, **access}
    secret = SecretReference("aws", namespace)
    return Cluster("aws", Position("", 1, 1), access=Access(secret=secret, **given))


def refusal(connector: Connector, cluster: Cluster) -> str:
    with pytest.raises(ClusterUnauthorized) as caught:
        connector.member(cluster)
    assert CANARY not in str(caught.value) + caught.value.hint
    return f"{caught.value} {caught.value.hint}"


OTHERS = {
    "address": {"api_endpoint": "https://elsewhere.example:6443"},
    "port": {"api_endpoint": "https://aws.example:6444"},
    "authority": {"ca_bundle": base64.b64encode(b"another").decode()},
    "no authority": {"ca_bundle": ""},
}


@pytest.mark.parametrize("change", OTHERS)
def test_a_token_goes_only_where_it_went_first(host: Connector, change: str) -> None:
    keep(host)
    host.member(kubefed())
    assert list(host.bindings.new) == ["aws"]
    later = replace_bindings(host, dict(host.bindings.new))
    later.member(kubefed())
    said = refusal(later, kubefed(**OTHERS[change]))
    assert "it was not sent" in said
    moved = said.partition(f"{BOUND_TO}='")[2].rstrip("'")
    keep(host, **{BOUND_TO: moved})
    later.member(kubefed(**OTHERS[change]))
    assert "it was not sent" in refusal(later, kubefed())
    assert later.bindings.new == {}


def replace_bindings(connector: Connector, known: dict[str, str] | None) -> Connector:
    return replace(connector, bindings=Bindings(known))


def test_the_secret_itself_may_say_which_server_it_is_for(host: Connector) -> None:
    keep(host, **{BOUND_TO: "https://aws.example:6443"})
    host.member(kubefed())
    assert host.bindings.new == {}
    refusal(host, kubefed(**OTHERS["address"]))


def test_where_nobody_remembers_an_unbound_token_is_not_sent(host: Connector) -> None:
    keep(host)
    said = refusal(replace_bindings(host, None), kubefed())
    assert "nobody can tell here; it was not sent" in said


@pytest.mark.parametrize(
    ("access", "said"),
    [
        ({"api_endpoint": "http://aws.example"}, "no https:// address"),
        ({"skip_tls_checks": ("*",)}, "disabledTLSValidations"),
        ({"skip_tls_checks": ("SubjectName",)}, "disabledTLSValidations"),
        ({"ca_bundle": "%%%"}, "caBundle"),
        ({"ca_bundle": base64.b64encode(bytes([0x30, 0x82, 0xFF])).decode()}, "caBundle"),
    ],
)
def test_a_server_that_anybody_could_be_gets_no_token(
    host: Connector, access: dict[str, Any], said: str
) -> None:
    keep(host)
    assert said in refusal(host, kubefed(**access))


def test_the_job_may_allow_kubefeds_unverified_servers(host: Connector) -> None:
    keep(host)
    allowing = replace(host, allow=frozenset({INSECURE_TLS}))
    allowing.member(kubefed(skip_tls_checks=("*",)))
    refusal(allowing, kubefed(skip_tls_checks=("SubjectName",)))


def test_secrets_of_other_namespaces_are_taken_only_where_the_job_allows_it(
    host: Connector,
) -> None:
    keep(host, "somebody-elses")
    assert f"--allow-access {OTHER_NAMESPACES}" in refusal(host, kubefed("somebody-elses"))
    replace(host, allow=frozenset({OTHER_NAMESPACES})).member(kubefed("somebody-elses"))


def test_a_proxy_of_git_sees_no_credential(host: Connector) -> None:
    # The simulated host is reached without TLS.
    cluster = Cluster(
        "host", Position("", 1, 1), access=Access(context="host", proxy_url="http://proxy:3128")
    )
    assert "spec.proxyURL could read the credential" in refusal(host, cluster)
