"""Connections to one API server: TCP, TLS, proxies; kept alive, and each used by one at a time."""

from __future__ import annotations

import base64
import io
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast
from urllib.parse import SplitResult, unquote, urlsplit

from reconciler.cluster.http1 import (
    Answer,
    BrokenAnswer,
    CutShort,
    TooLarge,
    read_answer,
    request_head,
)

_PORTS = {"https": 443, "http": 80}
_NOT_ACCEPTED = "does not accept the connection"
SLOWNESS = 4
"""An answer may take so many times as long as the server may be silent."""


class WireError(Exception):
    """No answer, and why: ``cause`` is one of ClusterUnreachable's, ``connected`` whether the
    request may have reached the server."""

    def __init__(self, cause: str, words: str, *, connected: bool) -> None:
        super().__init__(words)
        self.cause = cause
        self.connected = connected


class TooSlow(TimeoutError):
    """The answer comes in drips."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where requests go. ``server_name`` is what the certificate must say.

    ``tls`` None: plain HTTP. ``proxy`` is a URL, which may hold a user and a password.
    """

    host: str
    port: int
    server_name: str = ""
    tls: ssl.SSLContext | None = None
    proxy: SplitResult | None = field(repr=False, default=None)

    @property
    def authority(self) -> str:
        """``host:port`` as HTTP wants it: IPv6 in brackets, no port that goes without saying."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == _PORTS["https" if self.tls else "http"]
        return host if usual else f"{host}:{self.port}"


class Connection:
    """One connection, on which requests follow each other."""

    def __init__(self, address: Address, timeout: float) -> None:
        """Connects within ``timeout`` seconds for each step. Raises WireError."""
        self._address = address
        self._socket = _connect(address, timeout)
        self._incoming = _Incoming(self._socket)
        self._file = cast(BinaryIO, io.BufferedReader(self._incoming, 64 * 1024))

    def exchange(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout: float,
    ) -> Answer:
        """One request and its answer; ``timeout`` is how long the server may be silent, in seconds.

        Raises WireError; the connection is of no use then.
        """
        address = self._address
        given = {"host": address.authority, **headers}
        if address.proxy and not address.tls:
            target = f"http://{address.authority}{target}"
            given |= _proxy_authorization(address.proxy)
        head = request_head(method, target, given, body)
        try:
            self._incoming.expect(timeout)
            self._socket.sendall(head + body if body else head)
            return read_answer(self._file, method)
        except (OSError, BrokenAnswer) as error:
            raise _trouble(error, connected=True) from error

    def is_alive(self) -> bool:
        """Whether the server has neither closed it nor sent what nobody asked for."""
        waiting = select.poll()
        waiting.register(self._socket, select.POLLIN)
        return not waiting.poll(0)

    def close(self) -> None:
        self._file.close()
        self._socket.close()


class _Incoming(io.RawIOBase):
    """The bytes of one answer after the other, each with an end in time.

    A socket's own timeout holds for every piece that arrives: a server that sends a byte now and
    then could keep a run for ever.
    """

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._silence = self._until = 0.0

    def expect(self, silence: float) -> None:
        """An answer follows; ``silence`` is how long the server may send nothing, in seconds."""
        self._silence, self._until = silence, time.monotonic() + SLOWNESS * silence
        self._socket.settimeout(silence)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._until - time.monotonic()
        if left >= self._silence:
            return self._socket.recv_into(buffer)
        self._socket.settimeout(max(left, 0.001))
        try:
            return self._socket.recv_into(buffer)
        except TimeoutError:
            raise TooSlow("timeout: the server sends its answer too slowly") from None


class Pool:
    """Connections to one address for several threads. Keeps up to ``kept`` that are idle."""

    def __init__(self, address: Address, kept: int) -> None:
        self._address = address
        self._idle: deque[Connection] = deque(maxlen=kept)
        self._kept = kept
        self._lock = threading.Lock()
        self._closed = False

    def exchange(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        connect_timeout: float,
        read_timeout: float,
    ) -> Answer:
        """As ``Connection.exchange``, on an idle connection or a new one."""
        connection = self._take() or Connection(self._address, connect_timeout)
        reusable = False
        try:
            answer = connection.exchange(method, target, headers, body, read_timeout)
            reusable = answer.reusable
            return answer
        finally:
            # Also after Ctrl-C: an answer that was not read to its end must not meet the next.
            self._give(connection, reusable=reusable)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, deque()
        for connection in idle:
            connection.close()

    def _take(self) -> Connection | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if connection.is_alive():
                return connection
            connection.close()

    def _give(self, connection: Connection, *, reusable: bool) -> None:
        with self._lock:
            if reusable and not self._closed and len(self._idle) < self._kept:
                self._idle.append(connection)
                return
        connection.close()


def _connect(address: Address, timeout: float) -> socket.socket:
    proxy = address.proxy
    try:
        if proxy is None:
            opened = _open(address.host, address.port, timeout)
            return _secured(opened, address.tls, address.server_name) if address.tls else opened
    except OSError as error:
        raise _trouble(error, connected=False) from error
    try:
        opened = _open_proxy(proxy, timeout)
        if address.tls:
            _tunnel(opened, address, proxy)
    except (OSError, BrokenAnswer) as error:
        words = f"the proxy cannot be reached: {_trouble(error, connected=False)}"
        raise WireError("proxy", words, connected=False) from error
    try:
        return _secured(opened, address.tls, address.server_name) if address.tls else opened
    except OSError as error:
        raise _trouble(error, connected=False) from error


def _open(host: str, port: int, timeout: float) -> socket.socket:
    opened = socket.create_connection((host, port), timeout)
    # A request is written at once; nothing is gained by waiting for more to send.
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened


def _secured(opened: socket.socket, context: ssl.SSLContext, name: str) -> socket.socket:
    try:
        if isinstance(opened, ssl.SSLSocket):
            # TLS within the TLS of a proxy, which the standard library cannot do.
            from urllib3.util.ssltransport import SSLTransport

            return cast(socket.socket, SSLTransport(opened, context, server_hostname=name))
        return context.wrap_socket(opened, server_hostname=name)
    except BaseException:
        opened.close()
        raise


def _open_proxy(proxy: SplitResult, timeout: float) -> socket.socket:
    host = proxy.hostname or ""
    opened = _open(host, proxy.port or _PORTS[proxy.scheme], timeout)
    if proxy.scheme == "https":
        return _secured(opened, ssl.create_default_context(), host)
    return opened


def _tunnel(opened: socket.socket, address: Address, proxy: SplitResult) -> None:
    host = f"[{address.host}]" if ":" in address.host else address.host
    target = f"{host}:{address.port}"
    headers = {"host": target, **_proxy_authorization(proxy)}
    try:
        opened.sendall(request_head("CONNECT", target, headers, None))
        # Unbuffered: what follows the answer belongs to TLS.
        answer = read_answer(cast(BinaryIO, opened.makefile("rb", 0)), "CONNECT")
    except BaseException:
        opened.close()
        raise
    if answer.status >= 300:
        opened.close()
        raise WireError("proxy", f"the proxy refuses: HTTP {answer.status}", connected=False)


def _proxy_authorization(proxy: SplitResult) -> dict[str, str]:
    if not proxy.username:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"proxy-authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def parse_proxy(url: str) -> SplitResult:
    """Raises ValueError for what no request can be sent through, without the URL's password."""
    proxy = urlsplit(url if "://" in url else f"http://{url}")
    if proxy.scheme not in _PORTS or not proxy.hostname:
        raise ValueError(f"a proxy must be http:// or https://, not {proxy.scheme}://")
    return proxy


def _trouble(error: Exception, *, connected: bool) -> WireError:
    """What went wrong, in one word for programs and a few for people."""
    cause, words = _cause_of(error, connected=connected)
    return WireError(cause, words, connected=connected)


def _cause_of(error: Exception, *, connected: bool) -> tuple[str, str]:
    if isinstance(error, socket.gaierror):
        return "dns", "DNS: the server's name does not resolve"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "certificate", f"TLS: {error.verify_message}"
    if isinstance(error, TooSlow):
        return "timeout", str(error)
    if isinstance(error, TimeoutError):
        asked = "accepted the request and does not answer"
        return "timeout", f"timeout: the server {asked if connected else _NOT_ACCEPTED}"
    if isinstance(error, ConnectionRefusedError):
        return "refused", "connection refused"
    if isinstance(error, ConnectionError | CutShort | ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "reset", f"the connection broke in {'mid-answer' if connected else 'the making'}"
    if isinstance(error, ssl.SSLError):
        return "tls", f"TLS: {error.reason or error}"
    if isinstance(error, TooLarge):
        return "protocol", str(error)
    if isinstance(error, BrokenAnswer):
        return "protocol", f"no usable answer: {error}"
    return "network", str(error)
