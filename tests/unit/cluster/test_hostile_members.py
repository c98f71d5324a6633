"""Members that answer without end, too slowly, or with somebody else's address."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from reconciler.api.errors import ClusterUnreachable
from reconciler.cluster import curl
from reconciler.cluster.endpoint import Endpoint, bearer
from reconciler.cluster.http import Transport

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
Answer = Callable[[socket.socket], None]


@contextmanager
def server(answer: Answer) -> Iterator[str]:
    """Reads each request and lets ``answer`` do as it likes; gives the address."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    def talk(connection: socket.socket) -> None:
        with connection:
            try:
                while connection.recv(65536):
                    answer(connection)
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.close()


def ask(address: str, **settings: float) -> curl.Response:
    endpoint = Endpoint(address, bearer("TOKEN"))
    return Transport("aws", endpoint, retries=0, **settings).request("GET", "/")  # type: ignore[arg-type]


def refused(answer: Answer, **settings: float) -> ClusterUnreachable:
    with server(answer) as address, pytest.raises(ClusterUnreachable) as error:
        ask(address, **settings)
    return error.value


def endless(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")


def huge(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"content-length: 1000000000000\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65536)


def bomb(connection: socket.socket) -> None:
    body = gzip.compress(b"0" * (8 * 1024 * 1024))
    connection.sendall(
        HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    )


@pytest.mark.parametrize("answer", [endless, huge, bomb])
def test_an_answer_without_end_is_cut_off(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curl, "LARGEST_ANSWER", 4 * 1024 * 1024)
    error = refused(answer)
    assert error.cause == "protocol"
    assert "larger than 4 MiB" in str(error)


def drip_head(connection: socket.socket) -> None:
    for byte in HEAD * 100:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def drip_body(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"content-length: 100000\r\n\r\n")
    for _ in range(100_000):
        connection.sendall(b"x")
        time.sleep(0.05)


@pytest.mark.parametrize("answer", [drip_head, drip_body])
def test_a_server_that_drips_is_left(answer: Answer) -> None:
    began = time.monotonic()
    error = refused(answer, read_timeout=0.5)
    assert error.cause == "timeout"
    assert "too slowly" in str(error)
    # The answers would have taken minutes, and hours.
    assert time.monotonic() - began < 30


def test_a_redirect_is_not_followed() -> None:
    asked: list[bytes] = []

    def elsewhere(connection: socket.socket) -> None:
        asked.append(b"elsewhere")
        connection.sendall(HEAD + b"content-length: 0\r\n\r\n")

    with server(elsewhere) as other:

        def answer(connection: socket.socket) -> None:
            connection.sendall(
                b"HTTP/1.1 302 Found\r\nlocation: %s/\r\ncontent-length: 0\r\n\r\n" % other.encode()
            )

        with server(answer) as address:
            assert ask(address).status == 302
    assert asked == []


def test_connections_are_used_again_after_large_and_small_answers() -> None:
    connections: set[tuple[str, int]] = set()
    seen: list[int] = []
    sizes = [10, 3_000_000, 0, 70_000]

    def answer(connection: socket.socket) -> None:
        connections.add(connection.getpeername())
        body = b"x" * sizes[len(seen)]
        seen.append(len(body))
        connection.sendall(HEAD + b"content-length: %d\r\n\r\n" % len(body) + body)

    with server(answer) as address:
        link = Transport("aws", Endpoint(address))
        answers = [len(link.request("GET", "/").body) for _ in sizes]
        link.close()
    assert answers == seen == sizes
    assert len(connections) == 1
