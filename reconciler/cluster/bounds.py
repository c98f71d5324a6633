"""An end to every answer: in bytes, and in seconds from its first byte to its last.

urllib3's read timeout holds for each piece that arrives, so a server that sends a byte now and then
could keep a run for ever; and it would take whatever a server sends into memory.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import Any

from urllib3 import BaseHTTPResponse, HTTPConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

LARGEST_ANSWER = 256 * 1024 * 1024
"""Bytes, inflated: a LIST of some hundred thousand objects."""
SLOWNESS = 4
"""An answer may take so many times as long as the server may be silent."""


class TooLarge(Exception):
    """The answer is larger than anybody needs."""

    def __init__(self) -> None:
        super().__init__(f"its answer is larger than {LARGEST_ANSWER // (1024 * 1024)} MiB")


class TooSlow(TimeoutError):
    """The answer comes in drips. urllib3 takes it for a read timeout, and keeps it as the cause."""


def bound(pool: HTTPConnectionPool) -> None:
    """Let the answers of this pool's connections have an end in time."""
    secure = issubclass(pool.ConnectionCls, HTTPSConnection)
    pool.ConnectionCls = _BoundedHTTPS if secure else _BoundedHTTP


def body_of(answer: BaseHTTPResponse) -> bytes:
    """All of the body, inflated. Raises TooLarge; the connection is of no use then."""
    body = answer.read(LARGEST_ANSWER + 1, decode_content=True)
    if len(body) > LARGEST_ANSWER:
        answer.close()
        raise TooLarge
    return body


class _Bounded(http.client.HTTPConnection):
    # http.client asks for a class and calls it.
    def response_class(  # type: ignore[override]
        self, sock: socket.socket, *given: Any, **more: Any
    ) -> Any:
        return http.client.HTTPResponse(_Timed(sock), *given, **more)  # type: ignore[arg-type]


class _BoundedHTTP(_Bounded, HTTPConnection):
    """Over plain TCP."""


class _BoundedHTTPS(_Bounded, HTTPSConnection):
    """Over TLS."""


class _Timed:
    """What http.client needs of a socket: the file that it reads one answer from."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, mode: str) -> io.BufferedReader:
        raw = self._sock.makefile(mode, buffering=0)  # type: ignore[call-overload]
        return io.BufferedReader(_TimedFile(raw, self._sock))


class _TimedFile(io.RawIOBase):
    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw, self._sock = raw, sock
        self._silence = sock.gettimeout()
        self._until: float | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        silence = self._silence
        if silence is None:
            return self._raw.readinto(buffer)
        now = time.monotonic()
        if self._until is None:
            self._until = now + SLOWNESS * silence
        left = self._until - now
        if left >= silence:
            return self._raw.readinto(buffer)
        self._sock.settimeout(max(left, 0.001))
        try:
            return self._raw.readinto(buffer)
        except TimeoutError:
            raise TooSlow("timeout: the server sends its answer too slowly") from None

    def close(self) -> None:
        self._raw.close()
        super().close()
