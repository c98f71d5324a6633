"""HTTP to one API server: timeouts, retries, errors with a cause.

The loop that tries again is here, because a write must ask before each try whether it may still
write.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from reconciler import __version__
from reconciler.cluster.endpoint import Endpoint
from reconciler.cluster.http1 import Answer
from reconciler.cluster.wire import Address, Pool, WireError, parse_proxy
from reconciler.errors import ClusterUnauthorized, ClusterUnreachable

RETRIED_STATUS = frozenset({429, 500, 502, 503, 504})
MAX_RETRY_AFTER_SECONDS = 60
CONNECT_TIMEOUT_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 30.0
TYPED_PATCH = b"failed to create typed patch object"
"""How API servers answer an apply with unknown fields or wrong types: with a 500, of all codes."""

_BACKOFF_SECONDS = 0.4
_JITTER_SECONDS = 0.3
_LONGEST_BACKOFF_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Response:
    """``status`` is the HTTP code; ``retry_after`` is in seconds, if the server said so."""

    status: int
    body: bytes
    retry_after: float | None = None


class Transport:
    """One member's connection pool. Safe for use by several threads."""

    def __init__(
        self,
        cluster: str,
        endpoint: Endpoint,
        *,
        connections: int = 8,
        connect_timeout: float = CONNECT_TIMEOUT_SECONDS,
        read_timeout: float = READ_TIMEOUT_SECONDS,
        retries: int = 5,
        seconds_left: Callable[[], float] | None = None,
    ) -> None:
        """``seconds_left`` tells what remains of the run's deadline; no request outlives it."""
        self.cluster = cluster
        self.requests = 0
        self._answered = False
        self._endpoint = endpoint
        self._timeouts = (connect_timeout, read_timeout)
        self._retries = retries
        self._seconds_left = seconds_left
        self._lock = threading.Lock()
        address = _address(cluster, endpoint)
        self._prefix = urlsplit(endpoint.server).path.rstrip("/")
        # Compressing costs both ends more than a loopback or a local tunnel gains by it.
        local = address.host in ("127.0.0.1", "::1", "localhost")
        self._headers = {**_COMMON_HEADERS, "accept-encoding": "identity" if local else "gzip"}
        self._pool = Pool(address, connections)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        before_each_try: Callable[[], None] | None = None,
        timeout: float | None = None,
        retry: bool = True,
    ) -> Response:
        """Send until there is an answer that is not worth another try; ``timeout`` is per try.

        Raises ClusterUnreachable when no answer came, and whatever ``before_each_try`` raises.
        """
        target = self._prefix + path + ("?" + urlencode(query) if query else "")
        tries = _Tries(self._retries) if retry else _Tries(0, 0, 0)
        while True:
            if before_each_try:
                before_each_try()
            try:
                answer = self._send(method, target, body, headers or {}, timeout)
            except WireError as error:
                if not self._worth_another_try(tries, error):
                    words = str(error)
                    raise ClusterUnreachable(self.cluster, words, cause=error.cause) from error
                self._wait(tries.pause())
                continue
            self._answered = True
            response = Response(answer.status, answer.body, _retry_after(answer))
            if _is_final(response) or not tries.after_refusal():
                return response
            if response.retry_after is None:
                self._wait(tries.pause())
            elif response.retry_after > self._remaining():
                return response
            else:
                self._wait(min(response.retry_after, MAX_RETRY_AFTER_SECONDS))

    def close(self) -> None:
        self._pool.close()

    def _send(
        self,
        method: str,
        target: str,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout: float | None,
    ) -> Answer:
        with self._lock:
            self.requests += 1
        connect, read = self._timeouts
        remaining = self._remaining()
        if remaining <= 0:
            raise ClusterUnreachable(
                self.cluster, "the run's deadline has passed", cause="timeout", hint="--deadline"
            )
        try:
            return self._pool.exchange(
                method,
                target,
                {**self._headers, **self._endpoint.headers(), **headers},
                body,
                connect_timeout=min(timeout or connect, connect, remaining),
                read_timeout=min(timeout or read, remaining),
            )
        except ValueError:
            # Of all that is sent, only a credential comes from elsewhere unchecked.
            raise ClusterUnauthorized(
                self.cluster, "the credential has characters that cannot be sent"
            ) from None

    def _worth_another_try(self, tries: _Tries, error: WireError) -> bool:
        if error.cause in ("certificate", "tls", "dns"):
            # None of them mends itself within seconds; a plan should not wait for it.
            return False
        if error.cause == "timeout" and not self._answered:
            # To learn that a server is dead, one timeout is enough.
            return False
        return tries.after_error(connected=error.connected)

    def _remaining(self) -> float:
        return self._seconds_left() if self._seconds_left else float("inf")

    def _wait(self, seconds: float) -> None:
        time.sleep(max(0.0, min(seconds, self._remaining())))


@dataclass
class _Tries:
    """How often one request may still be sent again, after any trouble and after some kinds.

    A server that accepts and does not answer costs a whole read timeout each time.
    """

    left: int
    unconnected_left: int = 1
    unanswered_left: int = 1
    failed: int = 0

    def after_refusal(self) -> bool:
        """Whether to try again after an answer that asks for it."""
        self.failed += 1
        self.left -= 1
        return self.left >= 0

    def after_error(self, *, connected: bool) -> bool:
        """Whether to try again without an answer."""
        if connected:
            self.unanswered_left -= 1
        else:
            self.unconnected_left -= 1
        return self.after_refusal() and min(self.unanswered_left, self.unconnected_left) >= 0

    def pause(self) -> float:
        """Seconds until the next try: none at first, then twice as long each time, with jitter."""
        if self.failed <= 1:
            return 0.0
        backoff = _BACKOFF_SECONDS * 2.0 ** (self.failed - 2)
        jitter = random.random() * _JITTER_SECONDS  # noqa: S311  (no secret)
        return min(backoff + jitter, _LONGEST_BACKOFF_SECONDS)


_COMMON_HEADERS = {
    "accept": "application/json",
    "user-agent": f"federation-reconciler/{__version__}",
}


def _address(cluster: str, endpoint: Endpoint) -> Address:
    """Raises ClusterUnauthorized for what is no address: nothing could be sent there."""
    try:
        parts = urlsplit(endpoint.server)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not host or parts.scheme not in ("http", "https"):
        raise ClusterUnauthorized(cluster, f"not a server address: {endpoint.server!r}")
    secure = parts.scheme == "https"
    url = endpoint.proxy_url or _proxy_from_environment(parts.scheme, host)
    try:
        proxy = parse_proxy(url) if url else None
    except ValueError as error:
        raise ClusterUnauthorized(cluster, str(error)) from None
    return Address(
        host,
        port or (443 if secure else 80),
        server_name=endpoint.server_name or host,
        tls=endpoint.tls_context() if secure else None,
        proxy=proxy,
    )


def _proxy_from_environment(scheme: str, host: str) -> str:
    """HTTPS_PROXY and NO_PROXY, as kubectl honours them."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return ""
    from urllib.request import getproxies, proxy_bypass

    proxy = getproxies().get(scheme, "")
    return "" if proxy and proxy_bypass(host) else proxy


def _is_final(response: Response) -> bool:
    """Whether a second try would change nothing: an apply's body that does not fit the kind's
    schema is one, although it is a 500."""
    if response.status not in RETRIED_STATUS:
        return True
    return response.status == 500 and TYPED_PATCH in response.body


def _retry_after(answer: Answer) -> float | None:
    """Seconds, as a number or until a date; what is neither, gateways invent, counts as nothing."""
    value = answer.headers.get("retry-after", "")
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return float(value)
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
