"""An HTTP proxy in front of one API server, on whose way requests and answers come to harm.

It speaks the same faults as the simulated clusters (``Rules``), so that one table of them can be
tried on both. Towards the client it is the server: it ends TLS with a certificate of its own.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import urllib3

from kubesim.cluster import LoggedRequest
from kubesim.faults import InjectedFault, Rules
from kubesim.messages import Request
from tests.unit.git.servers import own_certificate

_PASSED_ON = ("authorization", "content-type", "accept", "accept-encoding", "user-agent")
_PASSED_BACK = ("content-type", "content-encoding", "retry-after", "warning", "audit-id")
_PATIENCE = 90.0  # seconds: more than any client of the tests has


class Broken(Exception):
    """The connection to the client is to be reset."""


class FaultProxy:
    """Relays to ``upstream`` (whose certificate is ``upstream_ca``); listens on ``url``.

    ``requests`` are those that arrived, as the client saw them answered. ``skew`` (seconds) is
    added to the Date of every answer.
    """

    def __init__(self, upstream: str, upstream_ca: Path, own: Path) -> None:
        self.faults = Rules()
        self.requests: deque[LoggedRequest] = deque()
        self.skew = 0.0
        self.closing = threading.Event()
        self.certificate = own_certificate(own)
        self._upstream = upstream
        self._pool = urllib3.PoolManager(ca_certs=str(upstream_ca), retries=False, maxsize=32)
        self._lock = threading.Lock()
        self._server = _Server(self, own)
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.closing.set()
        self.faults.clear()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
        self._pool.clear()

    def struck(self, request: Request) -> list[InjectedFault]:
        # Several threads serve connections; the rules count.
        with self._lock:
            return self.faults.striking(request)

    def note(self, request: Request, status: int, size: int = 0) -> None:
        agent = request.headers.get("user-agent", "")
        self.requests.append(
            LoggedRequest(request.method, request.path, request.query, status, size, agent)
        )

    def pass_on(self, target: str, request: Request) -> urllib3.BaseHTTPResponse:
        """Raises Broken when the API server gives no whole answer."""
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        try:
            answer = self._pool.request(
                request.method,
                self._upstream + target,
                body=request.body or None,
                headers=headers,
                timeout=urllib3.Timeout(connect=5, read=_PATIENCE),
                preload_content=False,
                redirect=False,
            )
            # As it was sent: who compressed it, and how, is between client and server.
            answer._body = answer.read(decode_content=False)  # type: ignore[attr-defined]
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Broken from error
        return answer


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, proxy: FaultProxy, certificate: Path) -> None:
        self.proxy = proxy
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        super().__init__(("127.0.0.1", 0), _Connection)

    def get_request(self) -> tuple[socket.socket, Any]:
        client, address = super().get_request()
        # The handshake is made by the connection's own thread, when it first reads.
        secured = self._context.wrap_socket(
            client, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True
        )
        return secured, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave, and connections that were broken on purpose, are no news."""


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Else the kernel keeps an answer back until its head has been acknowledged.
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def _serve(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length") or 0))
        request = Request.parse(self.command, self.path, headers, body)
        proxy = self.server.proxy
        struck = proxy.struck(request)
        try:
            for fault in struck:
                self._on_the_way_there(fault, request)
            self._answer(request, struck)
        except Broken:
            proxy.note(request, 0)
            self._reset()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: ``requests`` tells."""

    def _on_the_way_there(self, fault: InjectedFault, request: Request) -> None:
        match fault.kind:
            case "latency":
                time.sleep(fault.seconds)
            case "small-pages":
                request.query["limit"] = str(fault.limit)
                self.path = f"{request.path}?{urlencode(request.query)}"
            case "hold-before":
                self._hold(fault)
            case "reset-before":
                raise Broken
            case "hang":
                self._await_client_or(self.server.proxy.closing)
                raise Broken

    def _answer(self, request: Request, struck: list[InjectedFault]) -> None:
        proxy = self.server.proxy
        kinds = {fault.kind: fault for fault in struck}
        refusal = next((fault.refusal for fault in struck if fault.refusal is not None), None)
        if refusal is not None:
            body = orjson.dumps(refusal.body)
            self._send(request, refusal.code, body, refusal.headers)
            return
        if "answer" in kinds:
            self._send(request, 200, kinds["answer"].body, {})
            return
        answer = proxy.pass_on(self.path, request)
        if "hold-after" in kinds:
            self._hold(kinds["hold-after"])
        if "reset-after" in kinds:
            raise Broken
        share = kinds["truncate"].share if "truncate" in kinds else None
        given = {n: answer.headers[n] for n in _PASSED_BACK if n in answer.headers}
        self._send(request, answer.status, answer.data, given, share)

    def _send(
        self,
        request: Request,
        status: int,
        body: bytes,
        headers: dict[str, str],
        share: float | None = None,
    ) -> None:
        # Before it can be read: whoever has the answer may look for it in the log.
        self.server.proxy.note(request, status if share is None else 0, len(body))
        self.send_response_only(status)
        for name, value in {"content-type": "application/json", **headers}.items():
            self.send_header(name, value)
        date = formatdate(time.time() + self.server.proxy.skew, usegmt=True)
        self.send_header("date", date)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        sent = body if share is None else body[: int(len(body) * share)]
        with suppress(OSError):
            self.wfile.write(sent)
            self.wfile.flush()
        if share is not None:
            self.close_connection = True

    def _hold(self, fault: InjectedFault) -> None:
        fault.reached.set()
        if not self._await_client_or(fault.released):
            raise Broken

    def _await_client_or(self, event: threading.Event) -> bool:
        """False when the client has left before the event, or the proxy is closing."""
        deadline = time.monotonic() + _PATIENCE
        while not event.wait(0.005):
            readable, _, _ = select.select([self.connection], [], [], 0)
            # A client waits for its answer before it sends more; what can be read is the end.
            if readable or self.server.proxy.closing.is_set() or time.monotonic() > deadline:
                return False
        return True

    def _reset(self) -> None:
        """RST instead of an orderly end."""
        self.close_connection = True
        linger = struct.pack("ii", 1, 0)
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            os.close(self.connection.detach())


@contextmanager
def fault_proxy(upstream: str, upstream_ca: Path, own: Path) -> Iterator[FaultProxy]:
    """``own``: a file for the proxy's certificate and key."""
    proxy = FaultProxy(upstream, upstream_ca, own)
    try:
        yield proxy
    finally:
        proxy.close()
