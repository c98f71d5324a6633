"""Git servers on loopback: http through ``git http-backend``, ssh through OpenSSH's own daemon."""

from __future__ import annotations

import base64
import getpass
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.unit.git.programs import needed


@dataclass
class HttpServer:
    """``faults`` are met by the next requests, one each: hang, 500, cut, or a URL to redirect to.
    ``pack_fault`` (cut, garble) is met by every pack. ``seen`` are the requests as (method, path,
    Authorization), ``sent`` is bytes."""

    root: Path
    user: str = ""
    password: str = ""
    faults: list[str] = field(default_factory=list)
    pack_fault: str = ""
    seen: list[tuple[str, str, str]] = field(default_factory=list)
    sent: int = 0
    port: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    scheme: str = "http"

    def url(self, name: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/{name}"

    def allows(self, header: str) -> bool:
        pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return not self.password or header == f"Basic {pair}"


@contextmanager
def http_server(
    root: Path, user: str = "", password: str = "", certificate: Path | None = None
) -> Iterator[HttpServer]:
    """``certificate`` (with its key in the same file) makes it https."""
    state = HttpServer(root, user, password)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(b"")

        def do_POST(self) -> None:
            self.answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def answer(self, body: bytes) -> None:
            header = self.headers.get("Authorization", "")
            state.seen.append((self.command, self.path, header))
            fault = state.faults.pop(0) if state.faults else ""
            if fault == "hang":
                state.released.wait(60)
                return
            if fault == "500":
                self.send_error(500)
            elif fault.startswith("http"):
                self.send_response(302)
                self.send_header("Location", fault + self.path)
                self.end_headers()
            elif not state.allows(header):
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.end_headers()
            else:
                self.pass_on(body, fault)

        def pass_on(self, body: bytes, fault: str) -> None:
            path, _, query = self.path.partition("?")
            environment = {
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(state.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "REMOTE_ADDR": "127.0.0.1",
            }
            done = subprocess.run(
                ["git", "http-backend"],
                input=body,
                env=environment,
                capture_output=True,
                check=False,
            )
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
            if b"PACK" in content:
                fault = state.pack_fault
            if fault == "garble":
                # The pack's own bytes, at the end; the framing around them stays whole.
                content = content[:-60] + bytes(b ^ 0x55 for b in content[-60:-30]) + content[-30:]
            self.send_response(int(fields.pop("Status", "200")[:3]))
            for name, value in fields.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if fault == "cut" else content)
            state.sent += len(content)
            self.close_connection = True

        def log_message(self, format: str, *arguments: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.port = server.server_address[1]
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            state.scheme = "https"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            state.released.set()
            server.shutdown()


def own_certificate(file: Path) -> str:
    """Writes a certificate for 127.0.0.1 with its key; the certificate alone, as text."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "git")])
    now = datetime.now(UTC)
    address = x509.IPAddress(ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    text = made.public_bytes(Encoding.PEM)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(text + secret)
    return text.decode()


@contextmanager
def silent_server() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@dataclass(frozen=True)
class SshServer:
    """``identity`` may log in; ``host_key`` is the public line of the server's key."""

    port: int
    identity: Path
    host_key: str

    def url(self, repository: Path) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{repository}"

    def known_hosts(self, key: str = "") -> str:
        return f"[127.0.0.1]:{self.port} {key or self.host_key}\n"

    def secret(self, folder: Path, **changed: str | None) -> Path:
        """A mounted Secret with the right content; None leaves a key out."""
        content = {
            "identity": self.identity.read_text(),
            "known_hosts": self.known_hosts(),
            **changed,
        }
        folder.mkdir()
        for name, text in content.items():
            if text is not None:
                (folder / name).write_text(text)
                (folder / name).chmod(0o600)
        return folder


def ssh_key(file: Path) -> str:
    """A new key without a passphrase; its public line."""
    needed("ssh-keygen", "openssh-client")
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", file], check=True
    )
    return " ".join(Path(f"{file}.pub").read_text().split()[:2])


@contextmanager
def ssh_server(folder: Path) -> Iterator[SshServer]:
    program = needed("sshd", "openssh-server")
    host_key = ssh_key(folder / "host_key")
    allowed = ssh_key(folder / "identity")
    (folder / "authorized_keys").write_text(f"{allowed}\n")
    if os.geteuid() == 0:
        # Where the daemon drops its rights to; a service's start would have made it.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host_key\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nPidFile none\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
    )
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [program, "-D", "-e", "-f", folder / "sshd_config"],
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
    try:
        _wait_for(port, process, folder / "log")
        yield SshServer(port, folder / "identity", host_key)
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    ends = time.monotonic() + 20
    while time.monotonic() < ends and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"sshd did not start: {log.read_text()}")
