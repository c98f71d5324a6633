"""Credential plugins of a file of providers: what they are given, and what they may do wrong."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler.api.errors import BadInput, ClusterUnauthorized, UsageError
from reconciler.cluster import exec_credential
from reconciler.cluster.access_providers import Provider, load_access_providers, with_additions
from reconciler.cluster.endpoint import Endpoint
from reconciler.cluster.exec_credential import with_credential

V1 = "client.authentication.k8s.io/v1"
SERVER = Endpoint("https://one.example:6443", ca_pem="PEM", server_name="api")
CANARY = "c4nary-token"


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exec_credential, "_known", {})


def script(folder: Path, body: str) -> Provider:
    plugin = folder / "plugin"
    plugin.write_text(f"#!/bin/sh\necho run >> {folder}/runs\n{body}\n")
    plugin.chmod(0o755)
    return Provider("cloud", V1, str(plugin))


def printing(folder: Path, status: Any, version: str = V1) -> Provider:
    document = {"apiVersion": version, "kind": "ExecCredential", "status": status}
    (folder / "answer").write_text(json.dumps(document))
    return script(folder, f"cat {folder}/answer")


def runs(folder: Path) -> int:
    return len((folder / "runs").read_text().splitlines())


def asked(
    provider: Provider,
    *,
    config: Any = None,
    left: float = 20,
    clock: Callable[[], float] | None = None,
) -> Endpoint:
    more = {"clock": clock} if clock else {}
    return with_credential("aws", provider, SERVER, config, lambda: left, **more)


def test_a_token_goes_with_each_request_and_into_no_text(tmp_path: Path) -> None:
    endpoint = asked(printing(tmp_path, {"token": CANARY}))
    assert endpoint.headers() == {"authorization": f"Bearer {CANARY}"}
    assert endpoint.headers() == endpoint.headers()
    assert runs(tmp_path) == 1
    assert CANARY not in repr(endpoint)
    assert (endpoint.server, endpoint.ca_pem, endpoint.server_name) == (
        "https://one.example:6443",
        "PEM",
        "api",
    )


def test_a_certificate_is_taken_with_its_key(tmp_path: Path) -> None:
    status = {"clientCertificateData": "CERT", "clientKeyData": "KEY"}
    endpoint = asked(printing(tmp_path, status))
    assert (endpoint.client_certificate_pem, endpoint.client_key_pem) == ("CERT", "KEY")
    assert endpoint.headers() == {}


def test_a_token_is_kept_until_shortly_before_it_expires(tmp_path: Path) -> None:
    now = [1_790_000_000.0]
    expires = datetime.datetime.fromtimestamp(now[0] + 600, datetime.UTC).isoformat()
    provider = printing(tmp_path, {"token": CANARY, "expirationTimestamp": expires})
    endpoint = asked(provider, clock=lambda: now[0])
    # Another run of the same process asks for the same cluster.
    asked(provider, clock=lambda: now[0])
    now[0] += 539
    endpoint.headers()
    assert runs(tmp_path) == 1
    now[0] += 2
    endpoint.headers()
    assert runs(tmp_path) == 2


def test_what_a_later_run_was_given_is_taken_where_a_run_is_over(tmp_path: Path) -> None:
    """Watches and connections outlive the run that opened them."""
    now, left = [1_790_000_000.0], [20.0]

    def token(text: str) -> Provider:
        expires = datetime.datetime.fromtimestamp(now[0] + 600, datetime.UTC).isoformat()
        return printing(tmp_path, {"token": text, "expirationTimestamp": expires})

    first = with_credential(
        "aws", token("first"), SERVER, None, lambda: left[0], clock=lambda: now[0]
    )
    now[0], left[0] = now[0] + 560, -300.0
    asked(token("second"), clock=lambda: now[0])
    assert first.headers() == {"authorization": "Bearer second"}
    assert runs(tmp_path) == 2


def test_one_clusters_token_is_not_anothers(tmp_path: Path) -> None:
    expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    provider = printing(tmp_path, {"token": CANARY, "expirationTimestamp": expires.isoformat()})
    asked(provider, config={"name": "a"})
    told = Provider("cloud", V1, provider.command, cluster_info=True)
    asked(told, config={"name": "a"})
    asked(told, config={"name": "b"})
    assert runs(tmp_path) == 3


def test_the_plugin_learns_of_the_cluster_where_the_file_says_so(tmp_path: Path) -> None:
    provider = script(
        tmp_path,
        f'echo "$KUBERNETES_EXEC_INFO" > {tmp_path}/info\n'
        f'echo \'{{"apiVersion": "{V1}", "kind": "ExecCredential", "status": {{"token": "t"}}}}\'',
    )
    asked(provider, config={"name": "x"})
    assert json.loads((tmp_path / "info").read_text())["spec"] == {"interactive": False}
    asked(Provider("cloud", V1, provider.command, cluster_info=True), config={"name": "x"})
    assert json.loads((tmp_path / "info").read_text()) == {
        "apiVersion": V1,
        "kind": "ExecCredential",
        "spec": {
            "interactive": False,
            "cluster": {
                "server": "https://one.example:6443",
                "tls-server-name": "api",
                "certificate-authority-data": "UEVN",
                "config": {"name": "x"},
            },
        },
    }


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (f"echo {CANARY}; exit 3", "ended with exit code 3"),
        (f"echo {CANARY}", "printed no JSON"),
        ("echo '{}'", "printed no ExecCredential"),
        ("head -c 2000000 /dev/zero", "printed more than"),
        ("sleep 5", "did not end within"),
        ("sleep 5 & echo x; exit 0", "did not end within"),
        (f"echo {CANARY} >&2; kill -9 $$", "ended with exit code -9"),
    ],
)
def test_what_a_plugin_does_wrong_is_told_without_what_it_printed(
    tmp_path: Path, body: str, said: str
) -> None:
    with pytest.raises(ClusterUnauthorized) as caught:
        asked(script(tmp_path, body), left=1)
    assert said in str(caught.value)
    assert "'cloud'" in str(caught.value)
    assert CANARY not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({}, "neither a token nor a certificate"),
        ({"clientCertificateData": "x"}, "neither a token nor a certificate"),
        ({"token": 5}, "not all text"),
        ({"token": "a\nb: c"}, "no header can carry"),
        ({"token": CANARY, "expirationTimestamp": "2020-01-01T00:00:00Z"}, "expired already"),
        ({"token": CANARY, "expirationTimestamp": "soon"}, "is no time"),
        ({"token": CANARY, "expirationTimestamp": "2090-01-01T00:00:00"}, "expired already"),
    ],
)
def test_credentials_that_are_none(tmp_path: Path, status: Any, said: str) -> None:
    with pytest.raises(ClusterUnauthorized, match=said) as caught:
        asked(printing(tmp_path, status))
    assert CANARY not in str(caught.value)


def test_another_version_than_was_asked_for_is_none(tmp_path: Path) -> None:
    answer = printing(tmp_path, {"token": CANARY}, "client.authentication.k8s.io/v1beta1")
    with pytest.raises(ClusterUnauthorized, match="printed no ExecCredential of"):
        asked(answer)


def test_a_program_that_is_missing_is_told_with_the_hint_of_the_file() -> None:
    provider = Provider("cloud", V1, "no-such-plugin", install_hint="install cloud-cli")
    with pytest.raises(ClusterUnauthorized) as caught:
        asked(provider)
    assert "No such file" in str(caught.value)
    assert caught.value.hint == "install cloud-cli"


# -- what a profile adds ---------------------------------------------------------------------------

KEYS = ("args", "envs")


@pytest.mark.parametrize(
    ("policy", "merged"),
    [
        ("Ignore", {"REGION": "own", "ZONE": "own"}),
        ("AppendIfNotExists", {"REGION": "own", "ZONE": "own", "TENANT": "profile"}),
        ("Replace", {"REGION": "profile", "ZONE": "own", "TENANT": "profile"}),
    ],
)
def test_variables_of_a_profile(policy: Any, merged: dict[str, str]) -> None:
    own = {"REGION": "own", "ZONE": "own"}
    provider = Provider("cloud", V1, "x", environment=own, more_variables=policy)
    extensions = {"envs": {"REGION": "profile", "TENANT": "profile"}, "args": ["--x"]}
    found = with_additions("aws", provider, extensions, KEYS)
    assert found.environment == merged
    assert found.arguments == ()


@pytest.mark.parametrize(
    "extensions",
    [
        {"args": "--all"},
        {"args": [1]},
        {"args": ["x"] * 65},
        {"envs": ["A=b"]},
        {"envs": {"A": 1}},
        {"envs": {"PATH": "/tmp"}},
        {"envs": {"ld_preload": "x"}},
        {"envs": {"https_proxy": "http://x"}},
        {"envs": {"PYTHONSTARTUP": "x"}},
        {"envs": {"": "x"}},
        {"envs": {"A=B": "x"}},
        {"args": ["a\0b"]},
    ],
)
def test_what_a_profile_must_not_add(extensions: dict[str, Any]) -> None:
    provider = Provider("cloud", V1, "x", more_arguments="Append", more_variables="Replace")
    with pytest.raises(ClusterUnauthorized, match="was not run"):
        with_additions("aws", provider, extensions, KEYS)


# -- the file --------------------------------------------------------------------------------------

GOOD = {
    "providers": [
        {
            "name": "cloud",
            "execConfig": {"apiVersion": V1, "command": "./bin/plugin", "args": None},
        }
    ]
}


def test_a_path_is_seen_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "providers.json").write_text(json.dumps(GOOD))
    (provider,) = load_access_providers(tmp_path / "providers.json").providers
    assert provider.command == str(tmp_path / "bin" / "plugin")
    assert (provider.more_arguments, provider.more_variables) == ("Ignore", "Ignore")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        load_access_providers(tmp_path / "providers.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "providers.json:1:1: not a map with providers"),
        ('{"providers": [}', "providers.json:1:16: not JSON"),
        ('{"providers": []}', "providers.json:1:15"),
        ('{"provider": []}', "providers.json:1:2: unknown key 'provider'"),
        (
            '{"providers": [{"name": "x", "execConfg": {}}]}',
            "providers.json:1:30: unknown key 'execConfg'",
        ),
        (
            json.dumps(GOOD).replace("k8s.io/v1", "k8s.io/v1alpha1"),
            "unknown value",
        ),
        (
            json.dumps(GOOD).replace('"args"', '"interactiveMode": "Always", "args"'),
            'unknown value "Always"',
        ),
        (
            json.dumps({"providers": GOOD["providers"] * 2}),
            "there are two providers named 'cloud'",
        ),
    ],
)
def test_what_is_wrong_in_the_file_is_told_with_its_place(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "providers.json").write_text(text)
    with pytest.raises(BadInput) as caught:
        load_access_providers(tmp_path / "providers.json")
    assert any(said in f"{one.position}: {one.message}" for one in caught.value.problems), [
        f"{one.position}: {one.message}" for one in caught.value.problems
    ]
