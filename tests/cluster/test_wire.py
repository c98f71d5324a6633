"""Connections to real sockets: kept, lost, secured, and through proxies."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from reconciler.cluster.endpoint import Endpoint, bearer
from reconciler.cluster.transport import Transport
from reconciler.errors import ClusterUnauthorized, ClusterUnreachable

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
Serve = Callable[[socket.socket], None]


class Listener:
    """Serves each connection in a thread; ``heads`` has every request's head, in order."""

    def __init__(self, serve: Callable[[Listener, socket.socket], None]) -> None:
        self.heads: list[str] = []
        self.connections = 0
        self._serve = serve
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                opened, _ = self._socket.accept()
                self.connections += 1
                threading.Thread(target=self._one, args=(opened,), daemon=True).start()

    def _one(self, opened: socket.socket) -> None:
        with suppress(OSError), opened:
            self._serve(self, opened)

    def head(self, opened: socket.socket) -> str:
        """The next request's head; OSError when there is none."""
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            part = opened.recv(1)
            if not part:
                raise OSError
            data += part
        self.heads.append(data.decode())
        return self.heads[-1]

    def close(self) -> None:
        self._socket.close()


@contextmanager
def listening(serve: Callable[[Listener, socket.socket], None]) -> Iterator[Listener]:
    listener = Listener(serve)
    try:
        yield listener
    finally:
        listener.close()


def answering(listener: Listener, opened: socket.socket) -> None:
    while True:
        listener.head(opened)
        opened.sendall(ANSWER)


def answering_once(listener: Listener, opened: socket.socket) -> None:
    listener.head(opened)
    opened.sendall(ANSWER)


def transport(port: int, *, scheme: str = "http", **endpoint: object) -> Transport:
    return Transport(
        "aws-eu",
        Endpoint(f"{scheme}://127.0.0.1:{port}", bearer("t"), **endpoint),  # type: ignore[arg-type]
        connect_timeout=2,
        read_timeout=2,
    )


def test_requests_follow_each_other_on_one_connection() -> None:
    with listening(answering) as server:
        member = transport(server.port)
        for _ in range(3):
            assert member.request("GET", "/api").body == b"{}"

    assert server.connections == 1
    assert server.heads[0].startswith(f"GET /api HTTP/1.1\r\nhost: 127.0.0.1:{server.port}\r\n")


def test_a_connection_that_the_server_has_closed_is_not_used_again() -> None:
    with listening(answering_once) as server:
        member = transport(server.port)
        for number in range(3):
            member.request("POST", "/api", body=b"")
            assert member.requests == number + 1, "nothing had to be tried twice"
            _until_closed(member)

    assert server.connections == 3


def _until_closed(member: Transport) -> None:
    idle = member._pool._idle[0]
    while idle.is_alive():
        pass


def test_an_answer_that_breaks_off_is_asked_for_once_more() -> None:
    def breaking(listener: Listener, opened: socket.socket) -> None:
        listener.head(opened)
        opened.sendall(ANSWER[: -1 if listener.connections == 1 else None])

    with listening(breaking) as server:
        assert transport(server.port).request("GET", "/api").body == b"{}"

    assert server.connections == 2


def test_a_token_cannot_smuggle_in_a_header() -> None:
    with listening(answering) as server:
        token = bearer("t\r\nimpersonate-user: root")
        member = Transport("aws-eu", Endpoint(f"http://127.0.0.1:{server.port}", token))
        with pytest.raises(ClusterUnauthorized, match="cannot be sent"):
            member.request("GET", "/api")

    assert not server.heads


# -- TLS -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PEM file with a key and a certificate of its own for eu.example and 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "eu.example")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("eu.example"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def _ca(certificate: Path) -> str:
    text = certificate.read_text()
    return text[text.index("-----BEGIN CERTIFICATE") :]


def _secure(certificate: Path, serve: Callable[[Listener, socket.socket], None]) -> Callable:  # type: ignore[type-arg]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def served(listener: Listener, opened: socket.socket) -> None:
        serve(listener, context.wrap_socket(opened, server_side=True))

    return served


def test_a_server_is_known_by_its_authority_and_its_name(certificate: Path) -> None:
    with listening(_secure(certificate, answering)) as server:
        ca = _ca(certificate)
        for name in ("", "eu.example"):
            member = transport(server.port, scheme="https", ca_pem=ca, server_name=name)
            assert member.request("GET", "/api").status == 200
        with pytest.raises(ClusterUnreachable, match=r"us\.example") as wrong:
            transport(server.port, scheme="https", ca_pem=ca, server_name="us.example").request(
                "GET", "/api"
            )
        with pytest.raises(ClusterUnreachable, match="TLS") as unknown:
            transport(server.port, scheme="https").request("GET", "/api")

    assert wrong.value.cause == unknown.value.cause == "certificate"


def test_a_server_without_tls_is_not_talked_to_in_the_clear() -> None:
    with listening(answering) as server, pytest.raises(ClusterUnreachable) as refused:
        transport(server.port, scheme="https").request("GET", "/api")

    assert refused.value.cause in ("tls", "reset", "timeout")
    assert not any("authorization" in head for head in server.heads)


# -- proxies -------------------------------------------------------------------------------------


def forwarding(status: bytes = b"200 Connection established") -> Callable:  # type: ignore[type-arg]
    """A proxy that connects to what CONNECT names, and copies both ways."""

    def serve(listener: Listener, opened: socket.socket) -> None:
        target = listener.head(opened).split()[1]
        opened.sendall(b"HTTP/1.1 " + status + b"\r\n\r\n")
        host, _, port = target.rpartition(":")
        with socket.create_connection((host, int(port))) as onward:
            back = threading.Thread(target=_copy, args=(onward, opened), daemon=True)
            back.start()
            _copy(opened, onward)

    return serve


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)


@pytest.mark.parametrize("proxy_scheme", ["http", "https"])
def test_a_proxy_sees_where_to_and_not_what(
    certificate: Path, proxy_scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve = forwarding()
    if proxy_scheme == "https":
        serve = _secure(certificate, serve)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with listening(_secure(certificate, answering)) as server, listening(serve) as proxy:
        member = transport(
            server.port,
            scheme="https",
            ca_pem=_ca(certificate),
            proxy_url=f"{proxy_scheme}://us%65r:p%40ss@127.0.0.1:{proxy.port}",
        )
        for _ in range(2):
            assert member.request("GET", "/api").body == b"{}"

    assert len(proxy.heads) == 1, "the tunnel is kept"
    assert proxy.heads[0].startswith(f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\n")
    assert "proxy-authorization: Basic dXNlcjpwQHNz\r\n" in proxy.heads[0]
    assert "proxy-authorization" not in server.heads[0]


def test_a_proxy_for_plain_http_gets_the_whole_address() -> None:
    with listening(answering) as proxy:
        member = transport(1234, proxy_url=f"http://127.0.0.1:{proxy.port}")
        assert member.request("GET", "/api").status == 200

    assert proxy.heads[0].startswith("GET http://127.0.0.1:1234/api HTTP/1.1\r\n")


def test_trouble_with_a_proxy_is_not_blamed_on_the_server(certificate: Path) -> None:
    with listening(forwarding(b"407 Proxy Authentication Required")) as proxy:
        member = transport(1, scheme="https", proxy_url=f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(ClusterUnreachable, match="the proxy refuses: HTTP 407") as refused:
            member.request("GET", "/api")
    gone = transport(1, scheme="https", proxy_url=f"http://127.0.0.1:{proxy.port}")
    with pytest.raises(ClusterUnreachable, match="the proxy cannot be reached") as absent:
        gone.request("GET", "/api")

    assert refused.value.cause == absent.value.cause == "proxy"


def test_a_proxy_of_another_kind_is_refused_without_its_password() -> None:
    with pytest.raises(ClusterUnauthorized, match="http:// or https://") as refused:
        transport(1, proxy_url="socks5://user:s3cret@127.0.0.1:1080")

    assert "s3cret" not in str(refused.value)
