"""Credentials in Secrets of the host: taken by an allow-list, and sent to no server that Git names
later."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from msgspec.structs import replace

from kubesim.fleet import Sandbox
from reconciler.api.errors import ClusterUnauthorized, Position
from reconciler.api.objects import ObjectKey
from reconciler.cluster import kubeconfig as kubeconfigs
from reconciler.cluster.connect import (
    BOUND_TO,
    INSECURE_TLS,
    KUBEFED_NAMESPACE,
    OTHER_NAMESPACES,
    PROXY,
    Connector,
)
from reconciler.cluster.discovery import RESTMapping
from reconciler.cluster.kubeconfig import load_kubeconfig, parse_kubeconfig
from reconciler.federation.model import Access, Cluster, SecretReference

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
        ({}, {"exec": {}}, "users[us].exec"),
        ({}, {"auth-provider": None}, "users[us].auth-provider"),
        ({}, {5: CANARY}, "users[us].5"),
        ({}, {"token": {CANARY: CANARY}}, "users[us].token, which is no text"),
        ({}, {"username": [CANARY]}, "users[us].username, which is no text"),
        ({"certificate-authority-data": 5}, {}, "authority-data, which is no text"),
        ({"insecure-skip-tls-verify": "yes"}, {}, "verify, which is no true or false"),
        ({"server": f"https://{CANARY}:x@aws.example"}, {}, "clusters[aws].server, which is no"),
        ({"proxy-url": f"http://{CANARY}:3128"}, {}, "proxy-url (--allow-access proxy would"),
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


@pytest.mark.parametrize(
    "change",
    [
        {"certificate-authority-data": "%%%"},
        {"certificate-authority-data": base64.b64encode(bytes([0x30, 0xFF])).decode()},
    ],
)
def test_an_authority_that_cannot_be_read_is_the_clusters_own_trouble(
    change: dict[str, Any],
) -> None:
    with pytest.raises(ClusterUnauthorized, match="cannot be used"):
        parse_kubeconfig(kubeconfig(change), origin="Secret x/y").endpoint("aws", "aws")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"current-context": None, "contexts": []}, "0 contexts and no current-context"),
        ({"current-context": ["aws"]}, "not a kubeconfig"),
        ({"users": [{"name": 5, "user": {}}]}, "not a kubeconfig"),
    ],
)
def test_what_leaves_open_who_is_meant_is_not_taken(change: dict[str, Any], said: str) -> None:
    text = yaml.safe_dump({**yaml.safe_load(kubeconfig()), **change}).encode()
    with pytest.raises(ClusterUnauthorized, match=said):
        parse_kubeconfig(text, origin="Secret x/y")


def test_of_several_contexts_the_current_one_counts_and_without_it_none() -> None:
    document = yaml.safe_load(kubeconfig())
    document["contexts"].insert(0, {"name": "b", "context": {"cluster": "b", "user": "us"}})
    config = parse_kubeconfig(yaml.safe_dump(document).encode(), origin="Secret x/y")
    assert config.current_context == "aws"
    del document["current-context"]
    with pytest.raises(ClusterUnauthorized, match="2 contexts and no current-context"):
        parse_kubeconfig(yaml.safe_dump(document).encode(), origin="Secret x/y")


def test_the_job_may_allow_a_proxy() -> None:
    given = kubeconfig({"proxy-url": "http://proxy:3128"})
    config = parse_kubeconfig(given, origin="Secret x/y", proxy=True)
    assert config.endpoint("aws", "aws").proxy_url == "http://proxy:3128"


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
        {"as": "robot", "as-groups": [""]},
        {"as": "robot", "as-user-extra": {"a": []}},
    ],
)
def test_impersonation_that_cannot_be_done_whole_is_refused(user: dict[str, Any]) -> None:
    with pytest.raises(ClusterUnauthorized, match=r"as-(groups|user-extra)"):
        parse_kubeconfig(kubeconfig(user=user), origin="Secret x/y").endpoint("aws", "aws")


# -- tokens whose server is in Git -----------------------------------------------------------------


@pytest.fixture
def host() -> Iterator[Connector]:
    with Sandbox(["host"]) as sandbox:
        kubeconfig = load_kubeconfig(str(sandbox.kubeconfig))
        yield Connector(kubeconfig, NAMESPACE, "host", first_use="pin")


def keep(
    host: Connector,
    namespace: str = KUBEFED_NAMESPACE,
    token: str = CANARY,
    kind: str = "Opaque",
    also: str = "",
    **annotations: str,
) -> None:
    """KubeFed's Secret with a token."""
    member = host.host()
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    data = {name: base64.b64encode(token.encode()).decode() for name in ("token", also) if name}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": kind,
        "metadata": {"name": "aws", "namespace": namespace, "annotations": annotations},
        "data": data,
    }
    for body, plural in ((space, "namespaces"), (secret, "secrets")):
        resource = RESTMapping("v1", str(body["kind"]), plural, namespaced=plural == "secrets")
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


def afresh(connector: Connector, **changes: Any) -> Connector:
    """The next command, which remembers nothing by itself."""
    return replace(connector, remarks=[], **changes)


@pytest.mark.parametrize("change", OTHERS)
def test_a_token_goes_only_where_it_went_first(host: Connector, change: str) -> None:
    keep(host)
    host.member(kubefed())
    assert "used for the first time, for https://aws.example:6443" in str(host.remarks[0])
    later = afresh(host)
    later.member(kubefed())
    said = refusal(later, kubefed(**OTHERS[change]))
    assert "it was not sent" in said
    moved = said.partition(f"{BOUND_TO}=")[2].strip().strip("'")
    keep(host, **{BOUND_TO: moved})
    later.member(kubefed(**OTHERS[change]))
    assert "it was not sent" in refusal(later, kubefed())
    assert later.remarks == []


ELSEWHERE: dict[str, Any] = {"api_endpoint": "https://elsewhere.example"}


def test_the_token_is_bound_whatever_git_calls_the_cluster_or_its_own_namespace(
    host: Connector,
) -> None:
    keep(host)
    host.member(kubefed())
    another = msgspec.structs.replace(kubefed(**ELSEWHERE), name="another")
    assert "it was not sent" in refusal(afresh(host), another)
    assert "it was not sent" in refusal(afresh(host, namespace=KUBEFED_NAMESPACE), another)


def test_two_clusters_of_one_run_do_not_share_a_token_between_servers(host: Connector) -> None:
    keep(host)
    host.member(kubefed())
    assert "it was not sent" in refusal(host, kubefed(**ELSEWHERE))


def test_a_plan_tells_of_a_first_use_and_binds_nothing(host: Connector) -> None:
    keep(host)
    for _ in range(2):
        plan = afresh(host, first_use="tell")
        plan.member(kubefed())
        assert "a run will bind it to that server" in str(plan.remarks[0])
    afresh(host).member(kubefed())
    assert "it was not sent" in refusal(afresh(host, first_use="tell"), kubefed(**ELSEWHERE))


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ({"kind": "kubernetes.io/service-account-token"}, "is of type kubernetes.io/service"),
        ({"also": "username"}, "has other keys, too: username"),
        ({"namespace": NAMESPACE}, "it is no ServiceAccount's"),
    ],
)
def test_a_token_that_may_be_no_members_is_sent_nowhere(
    host: Connector, kept: dict[str, Any], said: str
) -> None:
    """The Git server's, a DNS provider's, one of the host's own accounts."""
    keep(host, **kept)
    cluster = kubefed(kept.get("namespace", KUBEFED_NAMESPACE))
    assert said in refusal(host, cluster)
    keep(host, **kept, **{BOUND_TO: "https://aws.example:6443"})
    host.member(cluster)


def test_a_token_of_an_account_is_taken_from_the_federations_namespace(host: Connector) -> None:
    claims = base64.urlsafe_b64encode(b'{"sub": "system:serviceaccount:kube:aws-host"}').decode()
    keep(host, NAMESPACE, f"e30.{claims.rstrip('=')}.{CANARY}")
    host.member(kubefed(NAMESPACE))


def test_the_secret_itself_may_say_which_server_it_is_for(host: Connector) -> None:
    keep(host, **{BOUND_TO: "https://aws.example:6443"})
    host.member(kubefed())
    assert host.remarks == []
    refusal(host, kubefed(**OTHERS["address"]))


def test_a_command_that_may_not_bind_an_unbound_token_does_not_send_it(host: Connector) -> None:
    keep(host)
    assert "it was not sent" in refusal(afresh(host, first_use="refuse"), kubefed())


@pytest.fixture
def in_a_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod in the namespace ``jobs``."""
    for name, text in (("token", CANARY), ("ca.crt", ""), ("namespace", "jobs")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(kubeconfigs, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")


@pytest.mark.usefixtures("in_a_pod")
def test_another_credential_does_not_hide_that_one_was_not_sent(host: Connector) -> None:
    keep(host)
    host.member(kubefed())
    assert "it was not sent" in refusal(host, kubefed(**ELSEWHERE, fallback_context="host"))


@pytest.mark.usefixtures("in_a_pod")
def test_in_a_pod_git_does_not_choose_the_namespace_of_credentials(host: Connector) -> None:
    keep(host, "kube-system")
    choosing = replace(host, namespace="kube-system")
    assert "only taken from jobs" in refusal(choosing, kubefed("kube-system"))
    keep(host, "jobs", **{BOUND_TO: "https://aws.example:6443"})
    host.member(kubefed("jobs"))


def test_a_proxy_of_git_is_used_only_where_the_job_allows_it(host: Connector) -> None:
    keep(host)
    through = kubefed(proxy_url="http://proxy:3128")
    assert f"--allow-access {PROXY}" in refusal(host, through)
    afresh(host, allow=frozenset({PROXY})).member(through)


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


def test_nothing_is_sent_in_the_clear_unless_the_job_allows_it(tmp_path: Path) -> None:
    given = kubeconfig({"server": "http://aws.example:8080"})
    with pytest.raises(ClusterUnauthorized, match="--allow-access plain-http would take it"):
        parse_kubeconfig(given, origin="Secret x/y")
    parse_kubeconfig(given, origin="Secret x/y", plain=True)
    (tmp_path / "config").write_bytes(given)
    aws = Cluster("aws", Position("aws.yaml", 1, 1), access=Access(context="aws"))
    with pytest.raises(ClusterUnauthorized, match="nothing was sent") as caught:
        Connector.from_file(str(tmp_path / "config"), NAMESPACE).member(aws)
    assert "plain-http" in caught.value.hint
    Connector.from_file(str(tmp_path / "config"), NAMESPACE, allow=("plain-http",)).member(aws)
    # Nobody else listens to what stays on this machine (kubectl proxy).
    (tmp_path / "config").write_bytes(kubeconfig({"server": "http://127.0.0.1:8001"}))
    Connector.from_file(str(tmp_path / "config"), NAMESPACE).member(aws)
