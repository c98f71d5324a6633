"""HTTP as it goes over the wire, and what an outage looks like from outside."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from kubesim.cluster import SimulatedCluster
from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings

MAPS = "/api/v1/namespaces/default/configmaps"
SETTINGS = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "settings", "namespace": "default"},
    "data": {"colour": "red"},
}


@pytest.fixture
def cluster() -> Iterator[SimulatedCluster]:
    with Sandbox(["aws-eu"], settings=ClusterSettings(ready_after=5)) as sandbox:
        yield sandbox.cluster("aws-eu")


def ask(
    cluster: SimulatedCluster, path: str = MAPS, method: str = "GET", **options: Any
) -> urllib3.BaseHTTPResponse:
    headers = {"Authorization": f"Bearer {cluster.token}", **options.pop("headers", {})}
    with urllib3.PoolManager(retries=False) as pool:
        options = {"timeout": 5, **options}
        return pool.request(method, cluster.url + path, headers=headers, **options)


def test_requests_are_logged_but_not_those_of_a_test(cluster: SimulatedCluster) -> None:
    cluster.create(SETTINGS)
    ask(cluster, f"{MAPS}?limit=500", headers={"User-Agent": "reconcile/1"})
    ask(cluster, f"{MAPS}/nope")
    logged = [(r.method, r.path, r.query, r.status) for r in cluster.requests]
    assert logged == [
        ("GET", MAPS, {"limit": "500"}, 200),
        ("GET", f"{MAPS}/nope", {}, 404),
    ]
    assert cluster.requests[0].user_agent == "reconcile/1"
    assert cluster.requests[0].bytes > 100


def test_large_answers_are_compressed_when_accepted(cluster: SimulatedCluster) -> None:
    for number in range(20):
        big = {**SETTINGS, "metadata": {"name": f"big-{number}", "namespace": "default"}}
        cluster.create({**big, "data": {"text": "x" * 10_000}})
    packed = ask(cluster, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) < 50_000
    plain = ask(cluster)
    assert "Content-Encoding" not in plain.headers
    assert packed.data == plain.data
    small = ask(cluster, f"{MAPS}/big-0", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in small.headers


def test_requests_on_one_connection_are_answered_in_turn(cluster: SimulatedCluster) -> None:
    with socket.create_connection(("127.0.0.1", cluster.port), 5) as connection:
        connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
        received = b""
        while received.count(b"\r\n\r\nok") < 3:
            received += connection.recv(65536)
    assert received.count(b"HTTP/1.1 200 OK") == 3


def test_a_chunked_body_is_read(cluster: SimulatedCluster) -> None:
    head = (
        f"POST {MAPS} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {cluster.token}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    body = json.dumps(SETTINGS).encode()
    half = len(body) // 2
    with socket.create_connection(("127.0.0.1", cluster.port), 5) as connection:
        connection.sendall(head.encode())
        for part in (body[:half], body[half:], b""):
            connection.sendall(b"%x\r\n%b\r\n" % (len(part), part))
        assert connection.recv(65536).startswith(b"HTTP/1.1 201")


@pytest.mark.parametrize("rubbish", [b"\r\n\r\n", b"nonsense\r\n\r\n", b"\xff\xfe\r\n\r\n"])
def test_rubbish_ends_the_connection_and_nothing_else(
    cluster: SimulatedCluster, rubbish: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", cluster.port), 5) as connection:
        connection.sendall(rubbish)
        try:
            while connection.recv(65536):
                pass
        except ConnectionResetError:
            pass
    assert ask(cluster).status == 200


# -- outages --------------------------------------------------------------------------------------


def test_a_stopped_cluster_refuses_and_comes_back_with_its_objects(
    cluster: SimulatedCluster,
) -> None:
    cluster.create(SETTINGS)
    url = cluster.url
    cluster.stop()
    with pytest.raises(urllib3.exceptions.NewConnectionError):
        ask(cluster)
    cluster.start()
    assert cluster.url == url
    assert ask(cluster, f"{MAPS}/settings").status == 200


def test_stopping_breaks_what_is_open(cluster: SimulatedCluster) -> None:
    with socket.create_connection(("127.0.0.1", cluster.port), 5) as connection:
        connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(65536)
        cluster.stop()
        with pytest.raises(ConnectionResetError):
            connection.recv(65536)


def test_a_paused_cluster_accepts_and_never_answers(cluster: SimulatedCluster) -> None:
    cluster.pause()
    with pytest.raises(urllib3.exceptions.ReadTimeoutError):
        ask(cluster, timeout=0.2)
    assert not cluster.requests
    with socket.create_connection(("127.0.0.1", cluster.port), 5) as connection:
        connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
        cluster.resume()
        assert connection.recv(65536).endswith(b"ok")


def test_a_revoked_token_is_unauthorized_until_accepted_again(cluster: SimulatedCluster) -> None:
    cluster.revoke()
    assert ask(cluster).status == 401
    assert ask(cluster, "/readyz").status == 200
    cluster.accept()
    assert ask(cluster).status == 200


def test_a_requested_token_is_accepted(cluster: SimulatedCluster) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"
    code, issued = cluster.request("POST", path, {"spec": {"expirationSeconds": 600}})
    assert code == 201
    token = issued["status"]["token"]
    cluster.revoke()
    cluster.accept(token)
    answer = ask(cluster, headers={"Authorization": f"Bearer {token}"})
    assert answer.status == 200
