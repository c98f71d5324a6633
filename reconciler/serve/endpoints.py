"""``/healthz``, ``/readyz`` and ``/metrics`` over plain HTTP, for kubelets and Prometheus.

Nothing secret is shown, nothing can be changed, and nobody is asked who they are.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from reconciler.api.errors import UsageError
from reconciler.serve.journal import Journal

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SLOW_CLIENT_SECONDS = 10

Answer = Callable[[], tuple[bool, str]]
"""Whether it is well, and a line for people."""


class Metrics(Protocol):
    """What has metrics."""

    def render(self) -> bytes:
        """Whole lines in Prometheus' text format 0.0.4; called for each scrape, by any thread."""
        ...


def parse_address(text: str) -> tuple[str, int]:
    """``8080``, ``:8080``, ``127.0.0.1:8080``, ``[::1]:8080`` -> host (empty: all) and port.

    Raises UsageError.
    """
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UsageError(f"--listen {text}: not an address such as :8080 or 127.0.0.1:8080")
    return host.removeprefix("[").removesuffix("]"), int(port)


@contextmanager
def serve_endpoints(address: str, journal: Journal, metrics: Sequence[Metrics]) -> Iterator[int]:
    """Serves while it lasts; gives the port. Raises UsageError when nobody can listen there."""
    host, port = parse_address(address)

    answers = {"/healthz": journal.alive, "/readyz": journal.ready}
    handler = partial(_Handler, answers, (journal, *metrics))
    try:
        server = _Server((host, port), handler)
    except OSError as error:
        raise UsageError(f"--listen {address}: {error.strerror or error}") from error
    thread = threading.Thread(target=server.serve_forever, name="endpoints", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A restarted pod finds its port in TIME_WAIT otherwise.
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], handler: Callable[..., _Handler]) -> None:
        self._everywhere = not address[0] and socket.has_dualstack_ipv6()
        if self._everywhere or ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Without a host: IPv4 and IPv6, as a pod may have either."""
        if self._everywhere:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # HTTPServer's own would look the host's name up in DNS, which may take seconds.
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    timeout = SLOW_CLIENT_SECONDS
    server_version, sys_version = "reconcile", ""

    def __init__(
        self, answers: Mapping[str, Answer], figures: Sequence[Metrics], *connection: Any
    ) -> None:
        self._answers, self._figures = answers, figures
        super().__init__(*connection)

    def do_GET(self) -> None:
        """Answers one request."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            body = b"".join(one.render() for one in self._figures)
            self._answer(200, METRICS_TYPE, body)
        elif path in self._answers:
            good, words = self._answers[path]()
            self._answer(200 if good else 503, "text/plain; charset=utf-8", f"{words}\n".encode())
        else:
            self._answer(404, "text/plain; charset=utf-8", b"/healthz /readyz /metrics\n")

    do_HEAD = do_GET

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Probes come every few seconds; nobody reads about them."""
