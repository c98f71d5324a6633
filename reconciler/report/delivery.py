"""One HTTP request to somebody who wants to know: a webhook, Slack, a Pushgateway.

Addresses are secrets: neither an error nor a log line holds any part of one. TLS is verified,
redirects are not followed (a message would go where nobody sent it), and all of it ends soon.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from math import inf
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from reconciler.api.errors import ClusterUnauthorized
from reconciler.cluster.curl import Exchange, HttpRequest, Limits, NoAnswer, Response
from reconciler.cluster.endpoint import Endpoint, environment_proxy

SECONDS = 8.0
"""For all tries together."""
ATTEMPTS = 3
CONNECT_SECONDS, READ_SECONDS = 3.0, 5.0
BACKOFF_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 5.0
RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_ASCII = "".join(map(chr, range(33, 127)))
BROKEN = "broke the connection or does not speak HTTP"
_UNTRUSTED = "cannot be trusted: TLS failed"
_SAID = {
    "certificate": _UNTRUSTED,
    "tls": _UNTRUSTED,
    "proxy": "cannot be reached through the proxy",
    "dns": "has a name that does not resolve",
    "refused": "refuses connections",
    "network": "cannot be reached",
    "timeout": "does not answer in time",
}


class NotDelivered(Exception):
    """Why, as the end of a sentence whose subject is the receiver: ``answers HTTP 403``."""


def send(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    method: str = "POST",
    seconds_left: Callable[[], float] = lambda: inf,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Deliver, with up to three tries, within ``SECONDS`` and no longer than ``seconds_left``.

    Raises NotDelivered; anything else is a defect. The body may arrive twice when an answer is
    lost, so it must bear being read twice.
    """
    server, path, authorization = _address(url)
    sent = {"accept": "*/*", **headers, **authorization}
    ends = time.monotonic() + SECONDS

    def left() -> float:
        return min(ends - time.monotonic(), seconds_left())

    exchange = Exchange("", Endpoint(server, proxy_url=environment_proxy(server)))
    try:
        for attempt in range(ATTEMPTS):
            wait = BACKOFF_SECONDS * 2**attempt
            try:
                answer = _try(exchange, method, path, body, sent, left)
            except NotDelivered:
                if attempt == ATTEMPTS - 1 or left() <= wait:
                    raise
            else:
                if 200 <= answer.status < 300:
                    return
                wait = min(max(wait, answer.retry_after or 0.0), LONGEST_WAIT_SECONDS)
                last = attempt == ATTEMPTS - 1 or left() <= wait
                if answer.status not in RETRIED_STATUS or last:
                    raise NotDelivered(_refusal(answer.status))
            sleep(wait)
    finally:
        exchange.close()


def _try(
    exchange: Exchange,
    method: str,
    path: str,
    body: bytes,
    headers: Mapping[str, str],
    left: Callable[[], float],
) -> Response:
    limits = Limits(CONNECT_SECONDS, READ_SECONDS, max(left(), 0.0))
    try:
        return exchange.send(HttpRequest(method, path, body, headers, limits, left))
    except NoAnswer as failure:
        raise NotDelivered(_SAID.get(failure.cause, BROKEN)) from None
    except ClusterUnauthorized:
        raise NotDelivered("has an address that cannot be sent to") from None


def _refusal(status: int) -> str:
    if 300 <= status < 400:
        return f"answers with a redirect (HTTP {status}), which is not followed"
    return f"answers HTTP {status}"


def _address(url: str) -> tuple[str, str, dict[str, str]]:
    """The server without name and password, the path, and what these are as a header."""
    try:
        parts = urlsplit(url.strip())
        port, name = parts.port, (parts.hostname or "").encode("idna").decode()
    except ValueError:
        raise NotDelivered("has an address that is no URL") from None
    if parts.scheme not in ("http", "https") or not name or port == 0:
        raise NotDelivered("has an address that is no http or https URL")
    if any(character.isspace() or not character.isprintable() for character in url.strip()):
        raise NotDelivered("has an address with spaces or control characters")
    host = f"[{name}]" if ":" in name else name
    server = f"{parts.scheme}://{host}:{port}" if port else f"{parts.scheme}://{host}"
    path = quote(urlunsplit(("", "", parts.path or "/", parts.query, "")), safe=_ASCII)
    if parts.username is None:
        return server, path, {}
    credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    encoded = base64.b64encode(credentials.encode()).decode()
    return server, path, {"authorization": f"Basic {encoded}"}
