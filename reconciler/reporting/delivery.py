"""One HTTP request to somebody who wants to know: a webhook, Slack, a Pushgateway.

Addresses are secrets: neither an error nor a log line holds any part of one. TLS is verified,
redirects are not followed (a message would go where nobody sent it), and all of it ends soon.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from reconciler import __version__

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

ATTEMPTS = 3
CONNECT_SECONDS, READ_SECONDS = 3.0, 5.0
BACKOFF_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 5.0
RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


class NotDelivered(Exception):
    """Why, as the end of a sentence whose subject is the receiver: ``answers HTTP 403``."""


def send(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    method: str = "POST",
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Deliver, with up to three tries. Raises NotDelivered; anything else is a defect.

    The body may arrive twice when an answer is lost, so it must bear being read twice.
    """
    address, authorization = _address(url)
    sent = {"user-agent": f"federation-reconciler/{__version__}", **headers, **authorization}
    pool = _pool(address)
    try:
        for attempt in range(ATTEMPTS):
            wait = BACKOFF_SECONDS * 2**attempt
            try:
                status, retry_after = _try(pool, method, address, body, sent)
            except NotDelivered:
                if attempt == ATTEMPTS - 1:
                    raise
            else:
                if 200 <= status < 300:
                    return
                if status not in RETRIED_STATUS or attempt == ATTEMPTS - 1:
                    raise NotDelivered(_refusal(status))
                wait = min(max(wait, retry_after), LONGEST_WAIT_SECONDS)
            sleep(wait)
    finally:
        pool.clear()


def _try(
    pool: PoolManager, method: str, url: str, body: bytes, headers: Mapping[str, str]
) -> tuple[int, float]:
    """The status, and for how many seconds the server wants to be left alone."""
    from urllib3 import exceptions as broken
    from urllib3.util import Timeout

    try:
        answer: BaseHTTPResponse = pool.request(
            method,
            url,
            body=body,
            headers=headers,
            timeout=Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            redirect=False,
            # With retries of its own urllib3 would log the address.
            retries=False,
            preload_content=False,
        )
    except (broken.SSLError, broken.ProxySchemeUnknown) as error:
        raise NotDelivered(f"cannot be trusted: TLS failed ({type(error).__name__})") from None
    except broken.ProxyError:
        raise NotDelivered("cannot be reached through the proxy") from None
    except broken.NameResolutionError:
        raise NotDelivered("has a name that does not resolve") from None
    # A NewConnectionError is a TimeoutError to urllib3, so it is asked for first.
    except broken.NewConnectionError:
        raise NotDelivered("refuses connections") from None
    except broken.TimeoutError:
        raise NotDelivered("does not answer in time") from None
    except (broken.HTTPError, ValueError, OSError):
        raise NotDelivered("broke the connection or does not speak HTTP") from None
    status = answer.status
    given = answer.headers.get("retry-after", "")
    answer.close()
    return status, float(given) if given.isdigit() else 0.0


def _refusal(status: int) -> str:
    if 300 <= status < 400:
        return f"answers with a redirect (HTTP {status}), which is not followed"
    return f"answers HTTP {status}"


def _address(url: str) -> tuple[str, dict[str, str]]:
    """Without name and password, and these as a header."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise NotDelivered("has an address that is no URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NotDelivered("has an address that is no http or https URL")
    if any(character.isspace() or not character.isprintable() for character in url.strip()):
        raise NotDelivered("has an address with spaces or control characters")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    netloc = f"{host}:{port}" if port else host
    address = urlunsplit((parts.scheme, netloc, parts.path, parts.query, ""))
    if parts.username is None:
        return address, {}
    from urllib3.util import make_headers

    credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return address, make_headers(basic_auth=credentials)


def _pool(url: str) -> PoolManager:
    from urllib3 import PoolManager, ProxyManager

    parts = urlsplit(url)
    settings: dict[str, Any] = {"cert_reqs": "CERT_REQUIRED", "num_pools": 1}
    proxy = _proxy(parts.scheme, parts.hostname or "")
    if proxy:
        return ProxyManager(proxy, **settings)
    return PoolManager(**settings)


def _proxy(scheme: str, host: str) -> str:
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return ""
    from urllib.request import getproxies, proxy_bypass

    proxy = getproxies().get(scheme, "")
    return "" if not proxy or proxy_bypass(host) else proxy
