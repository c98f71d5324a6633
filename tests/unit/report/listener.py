"""A real HTTP server on loopback that answers as it is told and keeps what it was sent."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Listener:
    """``answers`` are given one after the other, the last of them for ever: a status, with
    headers, or raw bytes instead of HTTP."""

    port: int = 0
    scheme: str = "http"
    answers: list[tuple[int, dict[str, str]] | bytes] = field(default_factory=lambda: [(200, {})])
    requests: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def take(self, request: Request) -> tuple[int, dict[str, str]] | bytes:
        self.requests.append(request)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def listening(certificate: tuple[Path, Path] | None = None) -> Iterator[Listener]:
    """``certificate``: files of a certificate and its key, for https."""
    listener = Listener(scheme="https" if certificate else "http")

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = listener.take(Request(self.command, self.path, headers, body))
            if isinstance(answer, bytes):
                self.wfile.write(answer)
                self.close_connection = True
                return
            self.send_response(answer[0])
            for name, value in {"content-length": "0", **answer[1]}.items():
                self.send_header(name, value)
            self.end_headers()

        do_POST = do_PUT = do_GET = _any

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    listener.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        server.shutdown()
        server.server_close()
