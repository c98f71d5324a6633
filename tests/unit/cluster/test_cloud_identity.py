"""Tokens by a cloud's workload identity: EKS by moto's STS, GKE by a metadata server's stand-in."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit
from urllib.request import Request, urlopen

import pytest
from moto.server import ThreadedMotoServer

from reconciler.cluster.cloud_identity import CloudToken, exec_credential
from tests.command import run_command, user_environment
from tests.controlplane.process import free_port
from tests.unit.cluster.google_metadata import metadata_server

EKS = ("eks", "--cluster-name", "shop-eu", "--region", "eu-central-1")
KEY, SECRET = "AKIAEXAMPLEEXAMPLE00", "example-secret-access-key"


@pytest.fixture
def sts() -> Iterator[dict[str, str]]:
    """The environment of a process that takes a server on loopback for AWS."""
    port = free_port()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    yield {"AWS_ENDPOINT_URL_STS": f"http://127.0.0.1:{port}", "AWS_EC2_METADATA_DISABLED": "true"}
    server.stop()


def credential(
    *arguments: str, home: Path, code: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    foreign = ("AWS_", "GOOGLE_", "GCE_", "KUBERNETES_")
    known = {n: v for n, v in user_environment(home).items() if not n.startswith(foreign)}
    done = run_command("credential", *arguments, env={**known, **environment}, code=code)
    assert "Traceback" not in done.stderr
    return done


def signed_address(output: str) -> tuple[str, dict[str, str]]:
    """The address in an EKS token, and its parameters."""
    token = json.loads(output)["status"]["token"]
    prefix, _, text = token.partition(".")
    assert prefix == "k8s-aws-v1"
    assert "=" not in text
    address = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    return address, dict(parse_qsl(urlsplit(address).query))


def signature(address: str, headers: dict[str, str], secret: str) -> str:
    """What AWS computes of a signed address (Signature Version 4), from its documentation."""
    parts = urlsplit(address)
    query = dict(parse_qsl(parts.query))
    query.pop("X-Amz-Signature")
    date, region, service, end = query["X-Amz-Credential"].split("/")[1:]
    pairs = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in query.items())
    names = query["X-Amz-SignedHeaders"].split(";")
    request = "\n".join(
        [
            "GET",
            parts.path,
            "&".join(f"{name}={value}" for name, value in pairs),
            *(f"{name}:{headers[name]}" for name in names),
            "",
            ";".join(names),
            hashlib.sha256(b"").hexdigest(),
        ]
    )
    scope = f"{date}/{region}/{service}/{end}"
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{query['X-Amz-Date']}\n{scope}\n{digest}"
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, end, text):
        key = hmac.digest(key, part.encode(), "sha256")
    return key.hex()


def test_an_eks_token_is_a_signed_question_that_names_the_cluster(tmp_path: Path) -> None:
    keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    done = credential(*EKS, home=tmp_path, **keys)
    address, query = signed_address(done.stdout)
    parts = urlsplit(address)
    assert (parts.scheme, parts.netloc) == ("https", "sts.eu-central-1.amazonaws.com")
    assert parts.path == "/"
    assert query["Action"] == "GetCallerIdentity"
    assert query["X-Amz-Expires"] == "60"
    assert query["X-Amz-SignedHeaders"] == "host;x-k8s-aws-id"
    headers = {"host": parts.netloc, "x-k8s-aws-id": "shop-eu"}
    assert query["X-Amz-Signature"] == signature(address, headers, SECRET)
    other = {**headers, "x-k8s-aws-id": "another"}
    assert query["X-Amz-Signature"] != signature(address, other, SECRET)
    status = json.loads(done.stdout)["status"]
    left = datetime.fromisoformat(status["expirationTimestamp"]).timestamp() - time.time()
    assert 12 * 60 < left <= 14 * 60


def test_an_iam_role_of_the_service_account_is_taken_on(
    sts: dict[str, str], tmp_path: Path
) -> None:
    """As EKS tells a pod of it: two variables, and a token in a file."""
    (tmp_path / "token").write_text("a.web.identity")
    done = credential(
        *EKS,
        home=tmp_path,
        AWS_ROLE_ARN="arn:aws:iam::111122223333:role/federation-reconciler",
        AWS_WEB_IDENTITY_TOKEN_FILE=str(tmp_path / "token"),
        **sts,
    )
    address, query = signed_address(done.stdout)
    assert query["X-Amz-Security-Token"]
    # What EKS does with it. moto looks for the caller in a header only.
    caller = f"AWS4-HMAC-SHA256 Credential={query['X-Amz-Credential']}, SignedHeaders=host"
    headers = {"x-k8s-aws-id": "shop-eu", "Authorization": caller}
    answer = urlopen(Request(address, headers=headers))
    assert "assumed-role/federation-reconciler" in answer.read().decode()


def test_without_an_identity_it_says_what_is_missing(sts: dict[str, str], tmp_path: Path) -> None:
    done = credential(*EKS, home=tmp_path, code=1, **sts)
    assert "no AWS identity" in done.stderr
    assert "eks.amazonaws.com/role-arn" in done.stderr
    assert not done.stdout


def test_a_role_that_cannot_be_taken_on_is_told(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a.web.identity")
    done = credential(
        *EKS,
        home=tmp_path,
        code=1,
        AWS_ROLE_ARN="arn:aws:iam::111122223333:role/federation-reconciler",
        AWS_WEB_IDENTITY_TOKEN_FILE=str(tmp_path / "token"),
        AWS_ENDPOINT_URL_STS="http://127.0.0.1:9",
        AWS_MAX_ATTEMPTS="1",
    )
    assert "AWS gives no token" in done.stderr


def test_a_google_account_gets_a_token_from_its_metadata_server(tmp_path: Path) -> None:
    with metadata_server("ya29.c4nary") as server:
        done = credential("gke", home=tmp_path, **server.environment)
    status = json.loads(done.stdout)["status"]
    assert status["token"] == "ya29.c4nary"
    left = datetime.fromisoformat(status["expirationTimestamp"]).timestamp() - time.time()
    assert 3000 < left <= 3600
    (asked,) = [path for path in server.asked if "/token" in path]
    assert "cloud-platform" in asked
    assert "userinfo.email" in asked


def test_a_google_account_that_may_not_be_used_is_told(tmp_path: Path) -> None:
    with metadata_server("ya29.c4nary") as server:
        server.status = 403
        done = credential("gke", home=tmp_path, code=1, **server.environment)
    assert "Google gives no token" in done.stderr
    assert "iam.gke.io/gcp-service-account" in done.stderr


@pytest.mark.parametrize("arguments", [("eks",), ("gke", "--cluster-name", "shop-eu")])
def test_only_eks_has_a_cluster_name(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert "--cluster-name" in credential(*arguments, home=tmp_path, code=64).stderr


def test_the_answer_has_the_version_that_was_asked_for() -> None:
    token = CloudToken("t", datetime(2026, 1, 2, tzinfo=UTC).timestamp())
    old = json.dumps({"apiVersion": "client.authentication.k8s.io/v1beta1"})
    answers: list[Any] = [json.loads(exec_credential(token, asked)) for asked in (old, "", "[]")]
    assert [one["apiVersion"].rpartition("/")[2] for one in answers] == ["v1beta1", "v1", "v1"]
    assert answers[0]["kind"] == "ExecCredential"
    assert answers[0]["status"]["expirationTimestamp"] == "2026-01-02T00:00:00Z"
    assert "t'" not in repr(token)
