"""One request to somebody who wants to know; its address is a secret in every case."""

from __future__ import annotations

import base64
import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from reconciler.report import delivery
from reconciler.report.delivery import NotDelivered, send
from tests.unit.report.listener import Listener, listening

SECRET = "T0K3N-in-the-path"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def post(listener: Listener, path: str = f"/{SECRET}") -> list[float]:
    pauses: list[float] = []
    send(listener.url + path, b"{}", {"content-type": "application/json"}, sleep=pauses.append)
    return pauses


def test_it_is_sent_once_with_its_headers() -> None:
    with listening() as listener:
        assert post(listener) == []
    (request,) = listener.requests
    assert (request.method, request.path, request.body) == ("POST", f"/{SECRET}", b"{}")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("federation-reconciler/")


def test_trouble_that_passes_is_tried_again_as_late_as_asked() -> None:
    with listening() as listener:
        listener.answers[:] = [(503, {}), (429, {"retry-after": "2"}), (200, {})]
        assert post(listener) == [0.5, 2.0]
    assert len(listener.requests) == 3


def test_nobody_is_waited_for_longer_than_some_seconds() -> None:
    with listening() as listener:
        listener.answers[:] = [(429, {"retry-after": "3600"}), (200, {})]
        assert post(listener) == [delivery.LONGEST_WAIT_SECONDS]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((403, {}), "answers HTTP 403"),
        ((503, {}), "answers HTTP 503"),
        ((302, {"location": "http://127.0.0.1:9/elsewhere"}), "redirect"),
        (b"this is no HTTP\r\n\r\n", "does not speak HTTP"),
        (b"", "broke the connection"),
    ],
)
def test_a_refusal_is_told_without_the_address(
    answer: tuple[int, dict[str, str]] | bytes, said: str
) -> None:
    with listening() as listener:
        listener.answers[:] = [answer]
        with pytest.raises(NotDelivered, match=said) as refused:
            post(listener)
    assert SECRET not in str(refused.value)
    assert str(listener.port) not in str(refused.value)


def test_nobody_listening_is_told_without_the_address() -> None:
    with listening() as listener:
        pass
    with pytest.raises(NotDelivered, match="refuses connections") as refused:
        post(listener)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "address", ["", "file:///etc/passwd", "http://", "http://a b/", "http://[::1", "x" * 5]
)
def test_what_is_no_address_is_told_without_it(address: str) -> None:
    with pytest.raises(NotDelivered) as refused:
        send(address, b"", {})
    assert len(address) < 4 or address not in str(refused.value)


def test_name_and_password_go_into_a_header_only() -> None:
    with listening() as listener:
        send(listener.url.replace("://", "://me:pa%2Fss@") + "/", b"", {})
    (request,) = listener.requests
    expected = base64.b64encode(b"me:pa/ss").decode()
    assert request.headers["authorization"] == f"Basic {expected}"
    assert request.path == "/"


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(tmp_path: Path) -> None:
    with listening(_certificate(tmp_path)) as listener:
        with pytest.raises(NotDelivered, match="cannot be trusted"):
            post(listener)
        assert listener.requests == []


def _certificate(folder: Path) -> tuple[Path, Path]:
    """Self-signed, for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files
