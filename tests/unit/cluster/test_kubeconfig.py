"""Kubeconfig files, as kubectl reads them."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from reconciler.api.errors import ClusterUnauthorized
from reconciler.cluster.endpoint import Endpoint
from reconciler.cluster.kubeconfig import load_kubeconfig

CONFIG = """
apiVersion: v1
kind: Config
current-context: one
contexts: [{name: one, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://one.example:6443/", tls-server-name: api}}]
users: [{name: u, user: {token: canary}}]
"""


def test_a_context_leads_to_server_and_credential(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(CONFIG)
    endpoint = load_kubeconfig(str(path)).endpoint("one", "aws")
    assert endpoint.server == "https://one.example:6443"
    assert endpoint.server_name == "api"
    assert endpoint.headers() == {"authorization": "Bearer canary"}
    assert "canary" not in repr(endpoint)


def test_files_of_the_environment_are_merged_the_first_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text(CONFIG)
    (tmp_path / "b").write_text(
        CONFIG.replace("name: one", "name: two").replace("canary", "second").replace(": one", ": x")
    )
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/a:{tmp_path}/missing:{tmp_path}/b")
    config = load_kubeconfig(None)
    assert sorted(config.contexts) == ["one", "two"]
    assert config.endpoint("two", "aws").headers() == {"authorization": "Bearer canary"}


def test_files_named_in_it_are_found_beside_it_and_read_anew(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "config").write_text(CONFIG.replace("token: canary", "tokenFile: token"))
    endpoint = load_kubeconfig(str(tmp_path / "config")).endpoint("one", "aws")
    assert endpoint.headers()["authorization"] == "Bearer first"
    (tmp_path / "token").write_text("second")
    assert endpoint.headers()["authorization"] == "Bearer second"


def by_plugin(folder: Path, status: str, more: str = "") -> Endpoint:
    """The endpoint of a user whose plugin answers with ``status``."""
    plugin = folder / "plugin"
    plugin.write_text(
        '#!/bin/sh\necho \'{"apiVersion": "client.authentication.k8s.io/v1", '
        f'"kind": "ExecCredential", "status": {status}}}\'\n'
    )
    plugin.chmod(0o755)
    user = f"exec: {{apiVersion: client.authentication.k8s.io/v1, command: {plugin}}}{more}"
    (folder / "config").write_text(CONFIG.replace("token: canary", user))
    return load_kubeconfig(str(folder / "config")).endpoint("one", "aws")


def test_an_exec_plugin_is_asked(tmp_path: Path) -> None:
    endpoint = by_plugin(tmp_path, '{"token": "from-plugin"}')
    assert endpoint.headers() == {"authorization": "Bearer from-plugin"}


def test_a_plugin_that_fails_is_no_dead_cluster(tmp_path: Path) -> None:
    user = "exec: {apiVersion: client.authentication.k8s.io/v1, command: /bin/false}"
    (tmp_path / "config").write_text(CONFIG.replace("token: canary", user))
    with pytest.raises(ClusterUnauthorized) as caught:
        load_kubeconfig(str(tmp_path / "config")).endpoint("one", "aws")
    assert "kubectl --context one version" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no context named 'one'; it has: none"),
        (CONFIG.replace("cluster: c, ", "cluster: d, "), "has no cluster named 'd'"),
        (CONFIG.replace("user: u}", "user: v}"), "has no user named 'v'"),
        ("contexts: {", "not a kubeconfig: not valid YAML"),
        ("contexts: []\nusers: ]canary\n", "config:2:8: not a kubeconfig: not valid YAML"),
        ("users: 5", "config: not a kubeconfig: not of its form"),
        (
            CONFIG.replace("token: canary", "client-certificate: nope, client-key: nope"),
            "cannot be used",
        ),
        (
            CONFIG.replace("tls-server-name: api", "certificate-authority-data: '%%%='"),
            "cannot be used",
        ),
    ],
)
def test_what_is_wrong_is_no_dead_cluster_and_no_secret_is_told(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(ClusterUnauthorized) as caught:
        load_kubeconfig(str(tmp_path / "config")).endpoint("one", "aws")
    assert said in str(caught.value)
    assert "canary" not in str(caught.value)


def test_encoded_authorities_are_decoded(tmp_path: Path) -> None:
    data = base64.b64encode(b"PEM").decode()
    (tmp_path / "config").write_text(
        CONFIG.replace("tls-server-name: api", f"certificate-authority-data: {data}")
    )
    assert load_kubeconfig(str(tmp_path / "config")).endpoint("one", "a").ca_pem == "PEM"


def test_a_plugin_that_gives_a_certificate_does_not_drop_whom_to_act_as(tmp_path: Path) -> None:
    status = '{"clientCertificateData": "C", "clientKeyData": "K"}'
    endpoint = by_plugin(tmp_path, status, ", as: robot")
    assert endpoint.client_certificate_pem == "C"
    assert endpoint.headers() == {"impersonate-user": "robot"}


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        ("{name: gcp}", "auth-provider 'gcp' is none that kubectl knows since 1.26"),
        ("{name: azure, config: {access-token: canary}}", "auth-provider 'azure' is none"),
        ("{}", "auth-provider None is none"),
        ("{name: oidc}", "has no id-token"),
        ("{name: oidc, config: canary}", "has no id-token"),
        ("{name: oidc, config: {id-token: 5}}", "has no id-token"),
    ],
)
def test_a_provider_that_cannot_be_used_is_that_members_trouble(
    tmp_path: Path, provider: str, said: str
) -> None:
    path = tmp_path / "config"
    path.write_text(CONFIG.replace("token: canary", f"auth-provider: {provider}"))
    with pytest.raises(ClusterUnauthorized) as caught:
        load_kubeconfig(str(path)).endpoint("one", "aws")
    assert said in str(caught.value)
    assert "canary" not in str(caught.value)


def test_an_expired_token_of_a_provider_is_never_renewed_at_an_issuer_that_is_not_verified(
    tmp_path: Path,
) -> None:
    expired = ".".join(
        base64.urlsafe_b64encode(part).decode().rstrip("=")
        for part in (b'{"alg":"none"}', b'{"exp":1}', b"signature")
    )
    config = f"{{id-token: {expired}, refresh-token: canary, client-id: c, client-secret: canary, "
    config += 'idp-issuer-url: "https://127.0.0.1:1"}'
    path = tmp_path / "config"
    path.write_text(
        CONFIG.replace("token: canary", f"auth-provider: {{name: oidc, config: {config}}}")
    )
    endpoint = load_kubeconfig(str(path)).endpoint("one", "aws")
    assert endpoint.headers() == {"authorization": f"Bearer {expired}"}


@pytest.mark.parametrize("key", ["auth-provider", "exec"])
def test_what_is_null_is_not_there(tmp_path: Path, key: str) -> None:
    path = tmp_path / "config"
    path.write_text(CONFIG.replace("token: canary", f"token: canary, {key}: null"))
    headers = load_kubeconfig(str(path)).endpoint("one", "aws").headers()
    assert headers == {"authorization": "Bearer canary"}
