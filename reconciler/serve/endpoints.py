"""``/healthz``, ``/readyz`` and ``/metrics`` over plain HTTP, for kubelets and Prometheus; and
``/webhook`` for Git servers, where there is a secret for them.

Nothing secret is shown, and nobody is asked who they are but who sends a webhook.
"""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from reconciler.api.errors import UsageError
from reconciler.serve import webhooks as hooks
from reconciler.serve.journal import Journal
from reconciler.serve.webhooks import Webhooks

TEXT_TYPE = "text/plain; charset=utf-8"
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SLOW_CLIENT_SECONDS = 10.0
"""For a whole request, header and body, and again for its answer."""
PIECE_BYTES = 64 * 1024
HEADER_BYTES = 32 * 1024
UNREAD_HEADER_BYTES = 256 * 1024
UNREAD_BODY_BYTES = 2 * hooks.MOST_BYTES
"""What is taken of a request that was refused before all of it was there."""
MOST_CONNECTIONS = 128
"""Of one server. Each has a thread and a file, and runs need files of their own."""
PLACE_SECONDS = 1.0
"""For so long somebody new waits for one who is hung up on to go."""

Answer = Callable[[], tuple[bool, str]]
"""Whether it is well, and a line for people."""


class Metrics(Protocol):
    """What has metrics."""

    def render(self) -> bytes:
        """Whole lines in Prometheus' text format 0.0.4; called for each scrape, by any thread."""
        ...


def parse_address(text: str, option: str = "--listen") -> tuple[str, int]:
    """``8080``, ``:8080``, ``127.0.0.1:8080``, ``[::1]:8080`` -> host (empty: none is named) and
    port.

    Raises UsageError.
    """
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UsageError(f"{option} {text}: not an address such as :8080 or 127.0.0.1:8080")
    return host.removeprefix("[").removesuffix("]"), int(port)


@contextmanager
def serve_endpoints(
    address: str,
    journal: Journal,
    metrics: Sequence[Metrics],
    webhooks: Webhooks | None = None,
) -> Iterator[int]:
    """Serves while it lasts; gives the port. Raises UsageError when nobody can listen there."""
    host, port = parse_address(address)

    answers = {"/healthz": journal.alive, "/readyz": journal.ready}
    figures = (journal, *metrics, *([webhooks] if webhooks else []))
    handler = partial(_Handler, answers, figures, webhooks)
    try:
        server = ThreadedServer((host, port), handler, MOST_CONNECTIONS)
    except OSError as error:
        raise UsageError(f"--listen {address}: {error.strerror or error}") from error
    thread = threading.Thread(target=server.serve_forever, name="endpoints", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


class ThreadedServer(ThreadingHTTPServer):
    """A thread for each connection. Without a host it listens everywhere.

    Whoever comes while ``most`` connections are open takes the place of the one that has been there
    for the longest: anybody may open thousands, and others are answered all the same.
    """

    daemon_threads = True
    # Of the five that are usual, a burst would have the sixth wait a second for its next try.
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], handler: Callable[..., TimedHandler], most: int
    ) -> None:
        self._most = most
        self._open: dict[socket.socket, None] = {}
        self._kept: set[socket.socket] = set()
        self._ended = threading.Condition()
        self._everywhere = not address[0] and socket.has_dualstack_ipv6()
        if self._everywhere or ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Without a host: IPv4 and IPv6, as a pod may have either. Connections of a process that
        has ended do not keep its port from the next one."""
        if self._everywhere:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # HTTPServer's own would look the host's name up in DNS, which may take seconds.
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""

    def keep(self, request: socket.socket) -> None:
        """Leave a connection its place whoever comes. Of such there must be fewer than ``most``."""
        with self._ended:
            if request in self._open:
                self._kept.add(request)

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own, once there is one for it."""
        with self._ended:
            if len(self._open) >= self._most:
                longest = next((one for one in self._open if one not in self._kept), None)
                with suppress(OSError):
                    if longest is not None:
                        longest.shutdown(socket.SHUT_RDWR)
            if not self._ended.wait_for(lambda: len(self._open) < self._most, PLACE_SECONDS):
                self.shutdown_request(request)
                return
            self._open[request] = None
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._has_ended(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The thread of one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._has_ended(request)

    def _has_ended(self, request: socket.socket) -> None:
        with self._ended:
            self._open.pop(request, None)
            self._kept.discard(request)
            self._ended.notify_all()


class _Timed(io.RawIOBase):
    """What a client sends within ``SLOW_CLIENT_SECONDS``, however small the pieces. A socket's own
    timeout begins anew with each of them."""

    def __init__(self, connection: socket.socket, most_bytes: int) -> None:
        self._connection = connection
        self._left = most_bytes
        self._ends = time.monotonic() + SLOW_CLIENT_SECONDS

    def allow(self, more: int) -> None:
        """So many bytes more than at first."""
        self._left += more

    @property
    def is_full(self) -> bool:
        """Whether all that may be sent was."""
        return self._left <= 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Raises TimeoutError, upon which the server hangs up."""
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if self._left <= 0:
            return 0
        self._connection.settimeout(left)
        count = self._connection.recv_into(buffer)
        self._left -= count
        return count


class TimedHandler(BaseHTTPRequestHandler):
    """One request for each connection, which has ``SLOW_CLIENT_SECONDS`` to come in, and as many to
    be answered. One whose header is longer than ``HEADER_BYTES`` is refused."""

    server_version, sys_version = "reconcile", ""

    def setup(self) -> None:
        """What is read is timed, however small the pieces."""
        super().setup()
        self.rfile.close()
        self._timed = _Timed(self.connection, HEADER_BYTES)
        self.rfile = io.BufferedReader(self._timed)
        self._unread = UNREAD_HEADER_BYTES

    def finish(self) -> None:
        """Take what is still on its way, and throw it away: to close before would reset the
        connection, and who is sending would not hear why the request was refused."""
        if self._unread:
            self._timed.allow(self._unread)
            piece = bytearray(PIECE_BYTES)
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_WR)
                while self._timed.readinto(piece):
                    pass
        super().finish()

    def parse_request(self) -> bool:
        """Whether there is a request to be answered."""
        found = super().parse_request()
        if found and self._timed.is_full:
            # What was read of the header looks whole, and is not.
            self.send_error(431)
            return False
        if found:
            self._unread = 0 if self.command in ("GET", "HEAD") else UNREAD_BODY_BYTES
        return found

    @property
    def place(self) -> str:
        """The path without its query."""
        return self.path.partition("?")[0]

    def _answer(self, status: int, kind: str, body: bytes, **headers: str) -> None:
        self.connection.settimeout(SLOW_CLIENT_SECONDS)
        self.send_response(status)
        fixed = {"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close"}
        for name, value in {**fixed, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Probes come every few seconds; nobody reads about them."""


class _Handler(TimedHandler):
    def __init__(
        self,
        answers: Mapping[str, Answer],
        figures: Sequence[Metrics],
        webhooks: Webhooks | None,
        *connection: Any,
    ) -> None:
        self._answers, self._figures, self._webhooks = answers, figures, webhooks
        super().__init__(*connection)

    def do_GET(self) -> None:
        """Answers one request that asks."""
        if self.place == "/metrics":
            self._answer(200, METRICS_TYPE, b"".join(one.render() for one in self._figures))
        elif self.place in self._answers:
            good, words = self._answers[self.place]()
            self._say(200 if good else 503, words)
        elif self._webhooks and self.place == hooks.PATH:
            self._say(405, "POST only", Allow="POST")
        else:
            self._say(404, "/healthz /readyz /metrics")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """Answers one webhook. Its body is hashed as it comes, so that nobody fills the memory."""
        if not self._webhooks or self.place != hooks.PATH:
            known = self.place == "/metrics" or self.place in self._answers
            self._say(405 if known else 404, "GET only" if known else "not found")
            return
        left = self._length()
        if left is None:
            self._say(411, "Content-Length is needed")
            return
        if left > hooks.MOST_BYTES:
            self._say(413, "too large")
            return
        delivery = self._webhooks.delivery(self.headers)
        self._timed.allow(left)
        while left:
            piece = self.rfile.read(min(left, PIECE_BYTES))
            if not piece:
                return  # The client hung up.
            delivery.update(piece)
            left -= len(piece)
        self._unread = 0
        self._say(*self._webhooks.judge(delivery))

    def _length(self) -> int | None:
        """Of the body; None where that is not said, or not clearly."""
        given = self.headers.get_all("Content-Length", [])
        text = given[0] if len(given) == 1 and "Transfer-Encoding" not in self.headers else ""
        return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None

    def _say(self, status: int, words: str, **headers: str) -> None:
        self._answer(status, TEXT_TYPE, f"{words}\n".encode(), **headers)
