"""HTTP/1.1 on top of asyncio, as little as an API client needs: keep-alive, bodies, gzip, streams.

Each connection is parsed by hand: a framework would cost more than the whole rest of a request.
"""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
import uuid
from collections.abc import Callable
from email.utils import formatdate
from typing import Protocol, cast

import orjson

from kubesim.faults import FaultInjector, InjectedFault
from kubesim.messages import Request, Response
from kubesim.server import ApiServer

_GZIP_FROM = 128 * 1024  # bytes: the server's own threshold
_MAX_HEADER = 64 * 1024
_MAX_BODY = 12 * 1024 * 1024
_LOOK_AGAIN = 0.005  # seconds
_LAST_BOOKMARK = 2  # seconds before the end of a watch
_REASONS = {
    200: "OK", 201: "Created", 202: "Accepted", 400: "Bad Request", 401: "Unauthorized",
    403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 409: "Conflict", 410: "Gone",
    413: "Request Entity Too Large", 415: "Unsupported Media Type", 422: "Unprocessable Entity",
    429: "Too Many Requests", 500: "Internal Server Error", 503: "Service Unavailable",
    504: "Gateway Timeout",
}  # fmt: skip


class Served(Protocol):
    """The cluster behind a connection."""

    connections: set[Connection]
    paused: bool
    silent: bool
    faults: FaultInjector
    server: ApiServer

    def handle(self, request: Request) -> Response:
        """Answers one request of a client."""

    def note(self, request: Request, status: int, size: int) -> None:
        """Logs it; ``status`` 0: nobody has got an answer."""

    def date(self) -> str:
        """The Date header."""


class Connection(asyncio.Protocol):
    """One client connection of one cluster; requests on it are answered in turn."""

    def __init__(self, cluster: Served, loop: asyncio.AbstractEventLoop) -> None:
        self._cluster = cluster
        self._loop = loop
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._busy = False
        self._cancel: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._cluster.connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._cluster.connections.discard(self)
        self._transport = None
        if self._cancel is not None:
            self._cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self.proceed()

    def _send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def abort(self) -> None:
        """A reset, from the client's side: closing without lingering sends RST instead of FIN."""
        if self._transport is not None:
            open_socket = self._transport.get_extra_info("socket")
            open_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()

    def proceed(self) -> None:
        """Answers what has arrived completely, unless paused or busy with an earlier request."""
        while self._transport is not None and not self._busy and not self._cluster.paused:
            request = self._next()
            if request is None:
                return
            self._serve(request)

    def _next(self) -> Request | None:
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(buffer) > _MAX_HEADER:
                self.abort()
            return None
        try:
            lines = buffer[:end].decode("latin-1").split("\r\n")
            method, target, _ = lines[0].split(" ", 2)
            headers: dict[str, str] = {}
            for line in lines[1:]:
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            start = end + 4
            if headers.get("transfer-encoding", "").lower() == "chunked":
                found = _chunked(buffer, start)
                if found is None:
                    return None
                body, stop = found
            else:
                length = int(headers.get("content-length") or 0)
                if headers.get("expect", "").lower() == "100-continue" and len(buffer) == start:
                    self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
                stop = start + length
                if length > _MAX_BODY:
                    self.abort()
                    return None
                if len(buffer) < stop:
                    return None
                body = bytes(buffer[start:stop])
        except ValueError:
            self._write(Response.text("400 Bad Request", 400), None)
            self.abort()
            return None
        del buffer[:stop]
        return Request.parse(method, target, headers, body)

    def _serve(self, request: Request) -> None:
        cluster = self._cluster
        injected = cluster.faults.striking(request) if cluster.faults else []
        for fault in injected:
            if fault.kind == "small-pages":
                request.query["limit"] = str(fault.limit)
            elif fault.kind == "hold-before":
                self._hold(fault, lambda: self._answer_later(request, injected))
                return
        delay = sum(fault.seconds for fault in injected if fault.kind == "latency")
        if delay:
            self._busy = True
            self._loop.call_later(delay, self._answer_later, request, injected)
        else:
            self._answer(request, injected)

    def _hold(self, fault: InjectedFault, then: Callable[[], None]) -> None:
        """Goes on when somebody says so; a client that has left ends the waiting."""
        self._busy = True
        fault.reached.set()

        def look() -> None:
            if fault.released.is_set() or self._transport is None:
                then()
            else:
                self._loop.call_later(_LOOK_AGAIN, look)

        look()

    def _answer_later(self, request: Request, injected: list[InjectedFault]) -> None:
        self._busy = False
        if self._transport is not None:
            self._answer(request, injected)
            self.proceed()

    def _answer(self, request: Request, injected: list[InjectedFault]) -> None:
        kinds = {fault.kind for fault in injected}
        if "reset-before" in kinds:
            self._cluster.note(request, 0, 0)
            self.abort()
            return
        if "hang" in kinds:
            self._cluster.note(request, 0, 0)
            self._busy = True
            return
        refusals = [fault.refusal for fault in injected if fault.refusal is not None]
        if refusals:
            response = Response.refusal(refusals[0])
        elif "answer" in kinds:
            response = Response(200, next(f.body for f in injected if f.kind == "answer"))
        else:
            response = self._cluster.handle(request)
        for change in (fault.change for fault in injected if fault.change is not None):
            response.body = orjson.dumps(change(orjson.loads(response.body)))
        if "reset-after" in kinds:
            self._cluster.note(request, response.status, 0)
            self.abort()
            return
        share = next((fault.share for fault in injected if fault.kind == "truncate"), None)
        held = next((fault for fault in injected if fault.kind == "hold-after"), None)
        if held is not None:
            self._hold(held, lambda: self._let_go(request, response))
            return
        if response.stream is not None:
            self._stream(request, response)
        else:
            self._write(response, request, share)

    def _let_go(self, request: Request, response: Response) -> None:
        self._busy = False
        self._write(response, request)
        self.proceed()

    def _write(
        self, response: Response, request: Request | None, share: float | None = None
    ) -> None:
        if self._transport is None:
            return
        body = response.body
        extra = ""
        if (
            len(body) > _GZIP_FROM
            and request is not None
            and "gzip" in request.headers.get("accept-encoding", "")
        ):
            body = gzip.compress(body, 1)
            extra = "Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n"
        for name, value in response.headers.items():
            extra += f"{name}: {value}\r\n"
        closing = request is not None and request.headers.get("connection", "").lower() == "close"
        if closing:
            extra += "Connection: close\r\n"
        head = (
            f"HTTP/1.1 {response.status} {_REASONS.get(response.status, 'Status')}\r\n"
            f"Audit-Id: {uuid.uuid4()}\r\nCache-Control: no-cache, private\r\n"
            f"Content-Type: {response.content_type}\r\n{extra}"
            f"Date: {self._cluster.date()}\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode("latin-1")
        if request is not None:
            self._cluster.note(request, response.status if share is None else 0, len(body))
            if request.method == "HEAD":
                body = b""
        if share is not None:
            self._transport.write(head + body[: int(len(body) * share)])
            self._transport.close()
            return
        self._transport.write(head + body)
        if closing:
            self._transport.close()

    def _stream(self, request: Request, response: Response) -> None:
        """A watch: chunks until timeoutSeconds, the client's leave, or the server's stop."""
        transport = self._transport
        if transport is None or response.stream is None:
            return
        self._busy = True
        self._cluster.note(request, 200, 0)
        head = (
            "HTTP/1.1 200 OK\r\nCache-Control: no-cache, private\r\n"
            f"Content-Type: application/json\r\nDate: {self._cluster.date()}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n"
        )
        transport.write(head.encode())

        def send(data: bytes) -> None:
            if not data:
                self._loop.call_soon_threadsafe(end)
                return
            chunk = b"%x\r\n%b\r\n" % (len(data), data)
            # Events may be published by a test's own thread.
            if not self._cluster.silent:
                self._loop.call_soon_threadsafe(_write_if_open, transport, chunk)

        every = self._cluster.server.settings.bookmark_every
        bookmark, ended = response.bookmark, False

        def mark() -> None:
            # The clock of a cluster may be moved; that of its bookmarks is the machine's.
            if bookmark is not None and self._transport is transport and not ended:
                send(bookmark())
                self._loop.call_later(every, mark)

        if bookmark is not None:
            self._loop.call_later(every, mark)

        def last_mark() -> None:
            if bookmark is not None and response.moved_on() and not ended:
                send(bookmark())

        def end() -> None:
            nonlocal ended
            if ended:
                return
            ended = True
            if self._cancel is not None:
                self._cancel()
                self._cancel = None
            if self._transport is not None:
                transport.write(b"0\r\n\r\n")
                self._busy = False
                self.proceed()

        with self._cluster.server.lock:
            self._cancel = response.stream(send)
        timeout = request.query.get("timeoutSeconds", "")
        if timeout.isdigit():
            # After what is already due to be sent.
            self._loop.call_later(int(timeout), end)
            self._loop.call_later(max(0, int(timeout) - _LAST_BOOKMARK), last_mark)


def _write_if_open(transport: asyncio.Transport, chunk: bytes) -> None:
    if not transport.is_closing():
        transport.write(chunk)


def _chunked(buffer: bytearray, start: int) -> tuple[bytes, int] | None:
    """A chunked body and where it ends; None until it is complete. Raises ValueError."""
    parts: list[bytes] = []
    while True:
        line_end = buffer.find(b"\r\n", start)
        if line_end < 0:
            return None
        size = int(bytes(buffer[start:line_end]).partition(b";")[0], 16)
        start = line_end + 2
        if len(buffer) < start + size + 2:
            return None
        if size == 0:
            return b"".join(parts), start + 2
        parts.append(bytes(buffer[start : start + size]))
        start += size + 2


def http_date(moment: float) -> str:
    """``Mon, 23 Nov 2026 21:42:02 GMT`` for seconds since the epoch."""
    return formatdate(moment, usegmt=True)
