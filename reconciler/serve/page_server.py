"""Serves the page of the fleet, on an address of its own: plans are not for everybody who may ask
for metrics. It asks nobody who they are; a proxy that does stands before it, or it is on loopback.

Only GET, only text of ours, nothing taken from a request but a path. A name by which nobody was
told to reach it is refused (DNS rebinding), and no other site may read or frame it.
"""

from __future__ import annotations

import gzip
import ipaddress
import json
import socket
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from reconciler.api.errors import UsageError
from reconciler.report.html import report_policy
from reconciler.serve.endpoints import (
    SLOW_CLIENT_SECONDS,
    TEXT_TYPE,
    ThreadedServer,
    TimedHandler,
    parse_address,
)
from reconciler.serve.live_fragments import live_parts
from reconciler.serve.live_page import LivePage

if TYPE_CHECKING:
    from reconciler.serve.journal import Journal

HTML_TYPE = "text/html; charset=utf-8"
MOST_CONNECTIONS = 96
MOST_LISTENERS = 32
"""Browsers that get news at a time; each has a thread that sleeps."""
ALIVE_SECONDS = 15.0
"""How often a stream says that it is there: proxies cut what is silent for a minute."""
LOOK_SECONDS = 1.0
SEND_BYTES = 128 * 1024
LOOPBACK = "127.0.0.1"

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "private, no-cache",
}


def page_address(text: str) -> tuple[str, int]:
    """As ``parse_address``; without a host it is loopback. Raises UsageError."""
    host, port = parse_address(text, "--page")
    return host or LOOPBACK, port


def is_loopback(host: str) -> bool:
    """Whether only this machine, or this pod, reaches the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def serve_page(
    address: str, page: LivePage, journal: Journal, hosts: Collection[str] = ()
) -> Iterator[int]:
    """Serves while it lasts; gives the port. ``hosts``: names by which browsers reach it, besides
    localhost and addresses. Raises UsageError when nobody can listen there."""
    place = page_address(address)
    listeners = threading.BoundedSemaphore(MOST_LISTENERS)
    handler = partial(_PageHandler, page, journal, frozenset(map(str.lower, hosts)), listeners)
    try:
        server = ThreadedServer(place, handler, MOST_CONNECTIONS)
    except OSError as error:
        raise UsageError(f"--page {address}: {error.strerror or error}") from error
    thread = threading.Thread(target=server.serve_forever, name="page-server", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        page.close()
        server.shutdown()
        server.server_close()


def _takes_gzip(coding: str) -> bool:
    """Whether one entry of Accept-Encoding says so (RFC 9110, section 12.5.3)."""
    name, weighs, weight = coding.replace(" ", "").lower().partition(";q=")
    return name == "gzip" and (not weighs or weight.strip("0.") != "")


class _PageHandler(TimedHandler):
    def __init__(
        self,
        page: LivePage,
        journal: Journal,
        hosts: Collection[str],
        listeners: threading.BoundedSemaphore,
        *connection: Any,
    ) -> None:
        self._live, self._journal, self._hosts = page, journal, hosts
        self._listeners = listeners
        super().__init__(*connection)

    def do_GET(self) -> None:
        """Answers one request that asks."""
        if not self._is_meant():
            words = "not a name of this page; --page-host NAME makes it one"
            self._say(421, words)
            return
        if self.place == "/":
            self._page()
        elif self.place == "/events":
            self._events()
        elif self.place.startswith("/runs/"):
            self._report(self.place.removeprefix("/runs/"))
        elif self.place.startswith("/clusters/"):
            self._cluster(unquote(self.place.removeprefix("/clusters/")))
        else:
            self._say(404, "not found")

    do_HEAD = do_GET

    def _refuse(self) -> None:
        self._say(405, "GET only", Allow="GET, HEAD")

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = do_CONNECT = _refuse

    def _is_meant(self) -> bool:
        """Whether the Host header is an address or a known name: another site's script can make a
        name of its own lead here, and then reads whatever that name serves."""
        given = self.headers.get_all("Host", [])
        if len(given) != 1:
            return False
        host = given[0].strip().lower()
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if name == "localhost" or name.rstrip(".") in self._hosts:
            return True
        try:
            ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return False
        return True

    # -- what there is -----------------------------------------------------------------------------

    def _page(self) -> None:
        version, body = self._live.page()
        tag = f'"{self._live.epoch}-{version}"'
        self._html(body, live_parts().policy, ETag=tag)

    def _report(self, run: str) -> None:
        body = self._live.history.report(run)
        if body is None:
            self._say(404, "the report of this run is not kept any more")
            return
        self._html(body, report_policy(), ETag=f'"{run}"')

    def _cluster(self, name: str) -> None:
        text = self._live.cluster(name)
        if text is None:
            self._say(404, "no cluster of that name")
            return
        self._html(gzip.compress(text.encode(), 1, mtime=0), live_parts().policy)

    def _html(self, body: bytes, policy: str, **headers: str) -> None:
        """``body`` is gzipped."""
        headers |= {"Vary": "Accept-Encoding"}
        if tag := headers.get("ETag"):
            known = [one.strip().removeprefix("W/") for one in self._header("If-None-Match")]
            if tag in known:
                self._answer(304, HTML_TYPE, b"", **self._safe(policy), **headers)
                return
        if any(map(_takes_gzip, self._header("Accept-Encoding"))):
            headers |= {"Content-Encoding": "gzip"}
        else:
            body = gzip.decompress(body)
        self._answer(200, HTML_TYPE, body, **self._safe(policy), **headers)

    def _header(self, name: str) -> list[str]:
        return ",".join(self.headers.get_all(name, [])).split(",")

    def _say(self, status: int, words: str, **headers: str) -> None:
        safe = self._safe("default-src 'none'")
        self._answer(status, TEXT_TYPE, f"{words}\n".encode(), **safe, **headers)

    def _safe(self, policy: str) -> dict[str, str]:
        return {**_HEADERS, "Content-Security-Policy": f"{policy}; frame-ancestors 'none'"}

    # -- news --------------------------------------------------------------------------------------

    def _events(self) -> None:
        """Server-sent events (HTML, section 9.2) for as long as the browser listens."""
        if not self._listeners.acquire(blocking=False):
            self._say(503, f"{MOST_LISTENERS} browsers listen already", **{"Retry-After": "30"})
            return
        try:
            if isinstance(self.server, ThreadedServer):
                self.server.keep(self.connection)
            self._stream()
        except OSError:
            pass  # It went away, or took too long.
        finally:
            self._listeners.release()

    def _stream(self) -> None:
        self.connection.settimeout(SLOW_CLIENT_SECONDS)
        # What a browser does not take waits here, and not in megabytes of the kernel's.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
        self.send_response(200)
        more = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
        for name, value in {**self._safe("default-src 'none'"), **more}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        page = self._live
        version = self._version()
        if version is None:
            self._event("anew", "")
            return
        sent, spoke = "", time.monotonic()
        while not page.closing.is_set():
            fragments = page.wait(version, LOOK_SECONDS)
            if fragments.version > version:
                pieces = list(fragments.newer(version))
                version = fragments.version
                view = fragments.content.view
                news = {
                    "version": version,
                    "title": view.title if view else "Fleet",
                    "pieces": pieces,
                }
                self._event("news", news, f"{page.epoch}-{version}")
                spoke = time.monotonic()
            words = self._now()
            if words != sent:
                sent, spoke = words, time.monotonic()
                self._event("now", words)
            if time.monotonic() - spoke > ALIVE_SECONDS:
                spoke = time.monotonic()
                self.wfile.write(b": still here\n\n")

    def _version(self) -> int | None:
        """The version that the browser has; None: one of another process, or of nobody."""
        query = dict(
            pair.partition("=")[::2] for pair in self.path.partition("?")[2].split("&") if pair
        )
        epoch, version = query.get("epoch", ""), query.get("since", "")
        if last := self.headers.get("Last-Event-ID"):
            epoch, _, version = last.rpartition("-")
        known = version.isascii() and version.isdigit() and len(version) < 16
        if epoch != self._live.epoch or not known:
            return None
        return int(version) if int(version) <= self._live.fragments.version else None

    def _now(self) -> str:
        """What the loop does, without figures that change by themselves."""
        health = self._journal.process_health
        if health.running_since is not None:
            return "a run is on its way"
        if health.problem:
            return f"the last run {'stood by' if health.last == 'locked' else 'failed'}: " + (
                health.problem
            )
        return ""

    def _event(self, kind: str, data: object, number: str = "") -> None:
        lines = [f"event: {kind}", *([f"id: {number}"] if number else [])]
        # JSON has no line breaks in it.
        lines.append(f"data: {json.dumps(data)}")
        self.wfile.write(("\n".join(lines) + "\n\n").encode())
