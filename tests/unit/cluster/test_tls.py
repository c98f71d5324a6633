"""Whom a member is trusted by, how we prove who we are, and which way the request takes."""

from __future__ import annotations

import datetime
import ipaddress
import signal
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from reconciler.api.errors import ClusterUnauthorized, ClusterUnreachable
from reconciler.cluster.endpoint import Endpoint, bearer
from reconciler.cluster.http import Transport


@dataclass(frozen=True)
class Signed:
    """A certificate and its key, as PEM."""

    certificate: str
    key: str

    def in_files(self, folder: Path) -> tuple[str, str]:
        paths = folder / "tls.crt", folder / "tls.key"
        for path, text in zip(paths, (self.certificate, self.key), strict=True):
            path.write_text(text)
        return str(paths[0]), str(paths[1])


class Authority:
    """Signs for names and addresses."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._own = self._certificate(self._name, self._key, (), authority=True)
        self.pem = self._own.public_bytes(serialization.Encoding.PEM).decode()

    def sign(self, *names: str) -> Signed:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        certificate = self._certificate(subject, key, names, authority=False)
        return Signed(
            certificate.public_bytes(serialization.Encoding.PEM).decode(),
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ).decode(),
        )

    def _certificate(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        names: Sequence[str],
        *,
        authority: bool,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general(name) for name in names]), critical=False
            )
        return builder.sign(self._key, hashes.SHA256())


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Listener(ThreadingHTTPServer):
    """Answers every GET with 200, and keeps what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.asked: list[tuple[str, str]] = []

    @property
    def authority(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that does not trust us hangs up; that is its test's business."""


class Answering(BaseHTTPRequestHandler):
    server: Listener
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["host"]))
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet."""


@contextmanager
def listening(tls: ssl.SSLContext | None = None) -> Iterator[Listener]:
    with Listener() as server:
        if tls:
            server.socket = tls.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("members")


def served(signed: Signed, folder: Path, clients: Authority | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*signed.in_files(folder))
    if clients:
        # Before TLS 1.3, so that a missing certificate ends the handshake itself.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=clients.pem)
    return context


def asked(endpoint: Endpoint, path: str = "/readyz") -> int:
    return Transport("aws", endpoint, retries=0, connect_timeout=5).request("GET", path).status


def failure(endpoint: Endpoint) -> ClusterUnreachable:
    with pytest.raises(ClusterUnreachable) as error:
        asked(endpoint)
    return error.value


def test_only_the_authority_of_the_endpoint_is_trusted(
    authority: Authority, tmp_path: Path
) -> None:
    with listening(served(authority.sign("127.0.0.1"), tmp_path)) as server:
        address = f"https://{server.authority}"
        assert asked(Endpoint(address, ca_pem=authority.pem)) == 200
        for stranger in (Authority("members").pem, ""):
            error = failure(Endpoint(address, ca_pem=stranger))
            assert error.cause == "certificate"
            assert str(error).startswith("TLS: ")
        assert asked(Endpoint(address, verify=False)) == 200
    assert len(server.asked) == 2


def test_the_name_in_the_certificate_counts(authority: Authority, tmp_path: Path) -> None:
    with listening(served(authority.sign("api.internal"), tmp_path)) as server:
        address = f"https://{server.authority}"
        error = failure(Endpoint(address, ca_pem=authority.pem))
        assert error.cause == "certificate"
        named = Endpoint(address, ca_pem=authority.pem, server_name="api.internal")
        assert asked(named, "/readyz?a=b") == 200
        other = Endpoint(address, ca_pem=authority.pem, server_name="api.elsewhere")
        assert failure(other).cause == "certificate"
    assert server.asked == [("/readyz?a=b", server.authority)]


def test_a_client_certificate_is_shown(authority: Authority, tmp_path: Path) -> None:
    with listening(served(authority.sign("127.0.0.1"), tmp_path, clients=authority)) as server:
        address = f"https://{server.authority}"
        own = authority.sign("reconciler")
        shown = Endpoint(
            address,
            ca_pem=authority.pem,
            client_certificate_pem=own.certificate,
            client_key_pem=own.key,
        )
        assert asked(shown) == 200
        assert failure(Endpoint(address, ca_pem=authority.pem)).cause in ("tls", "reset")


@pytest.mark.parametrize("broken", ["ca_pem", "client_certificate_pem", "client_key_pem"])
def test_material_that_is_no_pem_is_a_trouble_of_tls(
    authority: Authority, tmp_path: Path, broken: str
) -> None:
    own = authority.sign("reconciler")
    parts = {
        "ca_pem": authority.pem,
        "client_certificate_pem": own.certificate,
        "client_key_pem": own.key,
        broken: "SECRET-GARBAGE",
    }
    with listening(served(authority.sign("127.0.0.1"), tmp_path)) as server:
        error = failure(Endpoint(f"https://{server.authority}", **parts))
    assert error.cause in ("tls", "certificate")
    assert "SECRET" not in str(error)


def test_a_server_without_tls_is_told(authority: Authority) -> None:
    with listening() as server:
        error = failure(Endpoint(f"https://{server.authority}", ca_pem=authority.pem))
    assert error.cause == "tls"


def test_the_endpoints_proxy_is_used_and_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    address = "http://member.invalid:6443"
    with listening() as proxy:
        assert asked(Endpoint(address, proxy_url=f"http://{proxy.authority}")) == 200
        monkeypatch.setenv("http_proxy", f"http://{proxy.authority}")
        assert asked(Endpoint(address)) == 200
        monkeypatch.setenv("no_proxy", "member.invalid")
        assert failure(Endpoint(address)).cause == "dns"
    assert proxy.asked == [(f"{address}/readyz", "member.invalid:6443")] * 2


def test_a_proxy_that_is_not_there_is_not_the_member() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{bound.getsockname()[1]}"
        error = failure(Endpoint("https://member.invalid:6443", proxy_url=nobody))
    assert error.cause in ("proxy", "refused")


def test_a_path_is_sent_as_it_is() -> None:
    with listening() as server:
        assert asked(Endpoint(f"http://{server.authority}"), "/api/v1/namespaces/a/pods/..") == 200
    assert [path for path, _ in server.asked] == ["/api/v1/namespaces/a/pods/.."]


def test_a_token_cannot_bring_headers_of_its_own() -> None:
    with listening() as server, pytest.raises(ClusterUnauthorized, match="line break"):
        asked(Endpoint(f"http://{server.authority}", bearer("TOKEN\r\nimpersonate-user: admin")))
    assert server.asked == []


@pytest.mark.parametrize("address", ["ftp://member", "member:6443", "https://", "http://[::1"])
def test_an_address_that_is_none_is_told(address: str) -> None:
    with pytest.raises(ClusterUnauthorized, match="not a server address"):
        asked(Endpoint(address))


def test_a_signal_is_heard_while_a_member_is_silent() -> None:
    class Heard(Exception):
        pass

    def hear(number: int, frame: FrameType | None) -> None:
        raise Heard

    before = signal.signal(signal.SIGALRM, hear)
    try:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            endpoint = Endpoint(f"http://127.0.0.1:{silent.getsockname()[1]}")
            transport = Transport("aws", endpoint, read_timeout=600)
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(Heard):
                transport.request("GET", "/readyz")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
