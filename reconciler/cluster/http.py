"""HTTP to one API server, tried again where that may help.

Retries follow urllib3's ``Retry`` (exponential backoff with jitter, Retry-After honoured), but
the loop is here, because a write must ask again whether it may still write before each try.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from msgspec.structs import replace

from reconciler.api.errors import ClusterUnreachable
from reconciler.cluster.curl import SLOWNESS, Exchange, HttpRequest, Limits, NoAnswer, Response
from reconciler.cluster.endpoint import Endpoint

if TYPE_CHECKING:
    from urllib3.util import Retry

RETRIED_STATUS = frozenset({429, 500, 502, 503, 504})
MOST_RETRY_SECONDS = 30.0
"""For so long a server may answer nothing but "later"; then it has not answered."""
CONNECT_TIMEOUT_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 30.0
SHARE = 1 / 3
"""Of the time that the run has left, how much of it the silence to one read may take: the other
clusters must be looked at, too."""
TIME_IS_OVER = "the run's time is over"
"""By its deadline, or as it was told to stop."""
PERMANENT_CAUSES = frozenset({"certificate", "tls", "dns", "protocol"})
"""Causes that do not mend themselves within seconds; a plan should not wait for it."""
TYPED_PATCH = b"failed to create typed patch object"
"""How API servers answer an apply with unknown fields or wrong types: with a 500, of all codes."""

_VERDICTS = (TYPED_PATCH, b"etcdserver: request is too large", b"larger than max (")
"""In answers of 500 that no second try will change."""


class Transport:
    """One member's API server. Safe for use by several threads."""

    def __init__(
        self,
        cluster: str,
        endpoint: Endpoint,
        *,
        connect_timeout: float = CONNECT_TIMEOUT_SECONDS,
        read_timeout: float = READ_TIMEOUT_SECONDS,
        retries: int = 5,
        seconds_left: Callable[[], float] | None = None,
        longest_write: float | None = None,
        exchange: Exchange | None = None,
    ) -> None:
        """``seconds_left`` tells what remains of the run's deadline; no request outlives it.

        ``longest_write`` is for how many seconds one may last that asks before each try whether it
        may be sent: here, and at the server, which is told so. ``exchange`` has connections that
        outlive this.

        Raises ClusterUnauthorized where the endpoint is no HTTP address.
        """
        self.cluster = cluster
        self.requests = 0
        self._answered = False
        self._put_off_since: float | None = None
        self._timeouts = (connect_timeout, read_timeout)
        self._retries = retries
        self._seconds_left = seconds_left
        self._longest_write = longest_write
        self._lock = threading.Lock()
        self._exchange = exchange or Exchange(cluster, endpoint)

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
        is_probe: bool = False,
    ) -> Response:
        """Send until there is an answer that is not worth another try; ``timeout`` is per try.

        Raises ClusterUnreachable when no answer came, and whatever ``before_each_try`` raises. No
        try begins once the run's time is over.
        """
        if before_each_try and self._longest_write is not None:
            query = {**(query or {}), "timeout": f"{max(1, int(self._longest_write))}s"}
            timeout = min(timeout or self._longest_write, self._longest_write)
        url = path + (_encoded(tuple(query.items())) if query else "")
        attempts: Retry | None = None
        repeated = False
        while True:
            if before_each_try:
                before_each_try()
            if self._remaining() <= 0:
                raise self._unreachable(TIME_IS_OVER, "timeout", repeated, over=True)
            try:
                answer = self._send(method, url, body, headers or {}, timeout, is_probe=is_probe)
            except NoAnswer as failure:
                repeated = repeated or not failure.before_sending
                attempts = self._after_failure(attempts, failure, retry, repeated)
                self._pause(attempts.get_backoff_time())
                continue
            if repeated:
                answer = replace(answer, repeated=True)
            repeated = repeated or answer.status >= 500
            self._answered = True
            pause = answer.retry_after
            if pause is None:
                self._put_off_since = None
            if not retry or answer.status not in RETRIED_STATUS or _is_verdict(answer):
                return answer
            attempts = self._once_more(attempts, None)
            if attempts is None or (pause is not None and pause > self._retry_seconds_left()):
                return answer
            self._pause(attempts.get_backoff_time() if pause is None else pause)

    def close(self) -> None:
        self._exchange.close()

    def rest(self) -> None:
        """Keep one connection. Each takes some of the files that a process may have open, and a
        fleet of a thousand that was listed with eight at a time would have too many."""
        self._exchange.close(but=1)

    def _send(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout: float | None,
        *,
        is_probe: bool,
    ) -> Response:
        with self._lock:
            self.requests += 1
        connect, silence = self._timeouts
        remaining = self._remaining()
        limits = Limits(
            connect=min(timeout or connect, connect, remaining),
            silence=min(silence, remaining * SHARE) if method == "GET" else silence,
            whole=min(timeout or SLOWNESS * silence, remaining),
        )
        request = HttpRequest(
            method, url, body, headers, limits, self._seconds_left, is_probe=is_probe
        )
        return self._exchange.send(request)

    def _retry_seconds_left(self) -> float:
        """Seconds for which the server may still put us off; all requests share them."""
        now = time.monotonic()
        self._put_off_since = self._put_off_since or now
        return min(MOST_RETRY_SECONDS - (now - self._put_off_since), self._remaining())

    def _pause(self, seconds: float) -> None:
        """Not beyond the deadline; the try after it tells that it has passed."""
        time.sleep(max(0.0, min(seconds, self._remaining())))

    def _remaining(self) -> float:
        return self._seconds_left() if self._seconds_left else float("inf")

    def _after_failure(
        self, attempts: Retry | None, failure: NoAnswer, retry: bool, sent: bool
    ) -> Retry:
        """What is left of the tries. Raises ClusterUnreachable when there is nothing."""
        # To learn that a server is dead, one timeout is enough.
        is_dead = failure.cause == "timeout" and not self._answered
        left = None
        if retry and not is_dead and failure.cause not in PERMANENT_CAUSES:
            left = self._once_more(attempts, failure)
        if left is None or self._remaining() <= 0:
            over = left is not None
            words = f"{failure}; {TIME_IS_OVER}" if over else str(failure)
            raise self._unreachable(words, failure.cause, sent, over=over) from failure
        return left

    def _unreachable(self, words: str, cause: str, sent: bool, *, over: bool) -> ClusterUnreachable:
        hint = "--deadline gives it longer" if over else ""
        return ClusterUnreachable(self.cluster, words, cause=cause, hint=hint, sent=sent)

    def _once_more(self, attempts: Retry | None, failure: NoAnswer | None) -> Retry | None:
        """One try less, of those that an answer or a failure of this sort has; None: no more."""
        # Most runs need none; several threads may need the first at once.
        from urllib3 import Retry
        from urllib3.exceptions import ConnectTimeoutError, HTTPError, ProtocolError

        attempts = attempts or Retry(
            total=self._retries,
            connect=1,
            # A server that accepts and does not answer costs a whole timeout each time.
            read=1,
            allowed_methods=None,
            backoff_factor=0.2,
            backoff_max=10,
            backoff_jitter=0.3,
        )
        sort: HTTPError | None = None
        if failure is not None:
            sort = ConnectTimeoutError() if failure.before_sending else ProtocolError()
        try:
            return attempts.increment("GET", "/", error=sort)
        except HTTPError:
            return None


@lru_cache(maxsize=32)
def _encoded(query: tuple[tuple[str, str], ...]) -> str:
    """The same few are sent thousands of times."""
    return "?" + urlencode(query)


def _is_verdict(answer: Response) -> bool:
    """The object does not fit the kind's schema, or is too large to be kept."""
    return answer.status == 500 and any(words in answer.body for words in _VERDICTS)
