"""HTTP to one API server: connections kept alive, timeouts, retries, errors with a cause.

Retries follow urllib3's ``Retry`` (exponential backoff with jitter, Retry-After honoured), but
the loop is here, because a write must ask again whether it may still write before each try.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3
from urllib3 import BaseHTTPResponse, HTTPConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import Retry, Timeout

from reconciler import __version__
from reconciler.cluster.bounds import TooLarge, TooSlow, body_of, bound
from reconciler.cluster.endpoint import Endpoint
from reconciler.errors import ClusterUnauthorized, ClusterUnreachable

RETRIED_STATUS = frozenset({429, 500, 502, 503, 504})
MAX_RETRY_AFTER_SECONDS = 60
CONNECT_TIMEOUT_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 30.0
TYPED_PATCH = b"failed to create typed patch object"
"""How API servers answer an apply with unknown fields or wrong types: with a 500, of all codes."""


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
        self._retry = Retry(
            total=retries,
            connect=1,
            # A server that accepts and does not answer costs a whole read timeout each time.
            read=1,
            status_forcelist=RETRIED_STATUS,
            allowed_methods=None,
            backoff_factor=0.2,
            backoff_max=10,
            backoff_jitter=0.3,
            raise_on_status=False,
        )
        self._seconds_left = seconds_left
        self._lock = threading.Lock()
        address = urlsplit(endpoint.server)
        self._prefix = address.path.rstrip("/")
        # Compressing costs both ends more than a loopback or a local tunnel gains by it.
        local = address.hostname in ("127.0.0.1", "::1", "localhost")
        self._headers = {**_COMMON_HEADERS, "accept-encoding": "identity" if local else "gzip"}
        self._pool = _pool(endpoint, connections)
        bound(self._pool)

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
        url = self._prefix + path + ("?" + urlencode(query) if query else "")
        attempts = self._retry if retry else Retry(total=0, status=0, raise_on_status=False)
        while True:
            if before_each_try:
                before_each_try()
            try:
                answer = self._send(method, url, body, headers or {}, timeout)
                content = body_of(answer)
            except HTTPError as error:
                attempts = self._after_error(attempts, method, url, error)
                attempts.sleep()
                continue
            except TooLarge as error:
                raise ClusterUnreachable(self.cluster, str(error), cause="protocol") from None
            self._answered = True
            pause = _retry_after(answer)
            if not attempts.is_retry(
                method, answer.status, has_retry_after=pause is not None
            ) or _is_verdict(answer, content):
                return Response(answer.status, content, pause)
            try:
                attempts = attempts.increment(method, url, response=answer)
            except MaxRetryError:
                return Response(answer.status, content, pause)
            if pause is None:
                attempts.sleep()
                continue
            if pause > self._remaining():
                return Response(answer.status, content, pause)
            time.sleep(min(pause, MAX_RETRY_AFTER_SECONDS))

    def close(self) -> None:
        self._pool.close()

    def _send(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout: float | None,
    ) -> BaseHTTPResponse:
        with self._lock:
            self.requests += 1
        connect, read = self._timeouts
        remaining = self._remaining()
        if remaining <= 0:
            raise ClusterUnreachable(
                self.cluster, "the run's deadline has passed", cause="timeout", hint="--deadline"
            )
        return self._pool.urlopen(
            method,
            url,
            body=body,
            headers={**self._headers, **self._endpoint.headers(), **headers},
            timeout=Timeout(
                connect=min(timeout or connect, connect, remaining),
                read=min(timeout or read, remaining),
            ),
            retries=False,
            redirect=False,
            preload_content=False,
        )

    def _remaining(self) -> float:
        return self._seconds_left() if self._seconds_left else float("inf")

    def _after_error(self, attempts: Retry, method: str, url: str, error: HTTPError) -> Retry:
        cause, words = _cause_of(error)
        if cause in ("certificate", "tls", "dns"):
            # Neither mends itself within seconds; a plan should not wait for it.
            raise ClusterUnreachable(self.cluster, words, cause=cause) from error
        if cause == "timeout" and not self._answered:
            # To learn that a server is dead, one timeout is enough.
            raise ClusterUnreachable(self.cluster, words, cause=cause) from error
        try:
            return attempts.increment(method, url, error=error)
        except HTTPError:
            raise ClusterUnreachable(self.cluster, words, cause=cause) from error


_COMMON_HEADERS = {
    "accept": "application/json",
    "user-agent": f"federation-reconciler/{__version__}",
}


def _pool(endpoint: Endpoint, connections: int) -> HTTPConnectionPool:
    parts = urlsplit(endpoint.server)
    if not parts.hostname or parts.scheme not in ("http", "https"):
        raise ClusterUnauthorized("", f"not a server address: {endpoint.server!r}")
    settings: dict[str, Any] = {"maxsize": connections, "block": False}
    if parts.scheme == "https":
        settings["ssl_context"] = endpoint.tls_context()
        if not endpoint.verify:
            settings |= {"cert_reqs": "CERT_NONE", "assert_hostname": False}
        if endpoint.server_name:
            settings |= {
                "server_hostname": endpoint.server_name,
                "assert_hostname": endpoint.server_name,
            }
    proxy = endpoint.proxy_url or _proxy_from_environment(parts.scheme, parts.hostname)
    if proxy:
        manager = urllib3.ProxyManager(proxy, **settings)
        return manager.connection_from_host(parts.hostname, parts.port, parts.scheme)
    pool = urllib3.HTTPSConnectionPool if parts.scheme == "https" else urllib3.HTTPConnectionPool
    return pool(parts.hostname, parts.port, **settings)


def _proxy_from_environment(scheme: str, host: str) -> str:
    """HTTPS_PROXY and NO_PROXY, as kubectl honours them."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return ""
    from urllib.request import getproxies, proxy_bypass

    proxy = getproxies().get(scheme, "")
    return "" if proxy and proxy_bypass(host) else proxy


def _is_verdict(answer: BaseHTTPResponse, content: bytes) -> bool:
    """A 500 that no second try will change: the apply's body does not fit the kind's schema."""
    return answer.status == 500 and TYPED_PATCH in content


def _retry_after(answer: BaseHTTPResponse) -> float | None:
    """Seconds, as a number or until a date; what is neither, gateways invent, counts as nothing."""
    value = answer.headers.get("retry-after", "")
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _cause_of(error: BaseException) -> tuple[str, str]:
    """What went wrong on the wire, in one word for programs and a few for people."""
    if isinstance(error, ProxyError):
        return "proxy", f"the proxy cannot be reached: {error}"
    if isinstance(error, NameResolutionError):
        return "dns", "DNS: the server's name does not resolve"
    if isinstance(error, SSLError):
        inner = error.args[0] if error.args else error
        distrust = getattr(inner, "verify_message", None)
        return ("certificate", f"TLS: {distrust}") if distrust else ("tls", f"TLS: {inner}")
    # A NewConnectionError is a ConnectTimeoutError to urllib3, so it is asked for first.
    if isinstance(error, NewConnectionError):
        refused = "refused" in str(error).lower()
        return ("refused", "connection refused") if refused else ("network", str(error))
    if isinstance(error, ConnectTimeoutError):
        return "timeout", "timeout: the server does not accept the connection"
    if isinstance(error.__cause__, TooSlow):
        return "timeout", str(error.__cause__)
    if isinstance(error, ReadTimeoutError):
        return "timeout", "timeout: the server accepted the request and does not answer"
    if isinstance(error, ProtocolError):
        return "reset", "the connection broke in mid-answer"
    return "protocol", f"no usable answer ({type(error).__name__})"
