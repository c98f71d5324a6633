"""A chart of a repository over https that wants a login: the index, then the archive.

The login goes to one scheme, host and port, those of the address in Git, and only if the run has a
login of that name: neither to another server that the index names, nor along a redirect. That is
held here, not left to another program. What has no login, helm fetches.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import yaml

from reconciler.api.errors import SourceError, SourceUnreachable
from reconciler.api.objects import RedactedRepr, first_few, map_of
from reconciler.cluster.curl import Exchange, HttpRequest, Limits, NoAnswer, Response
from reconciler.cluster.endpoint import Endpoint, basic, environment_proxy
from reconciler.git.chart_archives import MAX_ARCHIVE_BYTES, SECONDS
from reconciler.manifests.problems import suggestion

CONNECT_SECONDS = 10.0
SILENT_SECONDS = 30.0
MAX_INDEX_BYTES = 64 * 1024 * 1024
MOST_REDIRECTS = 5
_PORT = 443


class Login(RedactedRepr, frozen=True):
    """Who to be at one server, ``host:port``."""

    server: str
    username: str
    password: str


def login_for(url: str, file: Path) -> Login | None:
    """The login of an address' own server, in a docker config.json; None: there is none.

    Raises SourceError for a file, or an entry, that cannot be read.
    """
    try:
        document = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no JSON"
        raise SourceError(f"--chart-credentials {file}: {reason}") from None
    server = _server(url)
    for name, entry in map_of(map_of(document).get("auths")).items():
        if _server(name if "://" in name else f"https://{name}") != server:
            continue
        username, password = _user_of(map_of(entry))
        if not password:
            raise SourceError(
                f"--chart-credentials {file}: the entry {name!r} holds no user and password",
                hint="auth: base64 of USER:PASSWORD; or username and password",
            )
        return Login(server, username, password)
    return None


def _server(url: str) -> str:
    """``host:port`` of an https address; empty for any other."""
    try:
        parts = urlsplit(url)
        https = parts.scheme == "https" and parts.hostname
        return f"{parts.hostname}:{parts.port or _PORT}" if https else ""
    except ValueError:
        return ""


def _user_of(entry: Mapping[str, Any]) -> tuple[str, str]:
    try:
        pair = base64.b64decode(entry.get("auth") or "", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, TypeError):
        pair = ""
    if pair:
        username, _, password = pair.partition(":")
        return username, password
    return str(entry.get("username") or ""), str(entry.get("password") or "")


def download_chart(repository: Mapping[str, str], login: Login) -> bytes:
    """The archive of a chart, by its name and version. It is not compared with any digest.

    Raises SourceUnreachable where it cannot be had, SourceError where there is none.
    """
    name, version, url = (repository[key] for key in ("name", "version", "url"))
    base, ends = url.rstrip("/") + "/", time.monotonic() + SECONDS
    what = f"the chart {name} {version} of {url} cannot be fetched"
    index = _get(f"{base}index.yaml", login, MAX_INDEX_BYTES, what, ends)
    place = _place_in(index, repository)
    return _get(urljoin(base, place), login, MAX_ARCHIVE_BYTES, what, ends)


def _place_in(index: bytes, repository: Mapping[str, str]) -> str:
    """Where an index says that the archive is. Raises SourceError."""
    name, version, url = (repository[key] for key in ("name", "version", "url"))
    try:
        document = yaml.load(index, yaml.CSafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError):
        document = None
    charts = map_of(map_of(document).get("entries"))
    if not charts:
        raise SourceError(f"{url} is no repository of charts: its index.yaml lists none")
    if name not in charts:
        raise SourceError(
            f"{url} has no chart {name!r}", hint=suggestion(name, [str(one) for one in charts])
        )
    versions: dict[str, str] = {}
    for entry in charts[name] if isinstance(charts[name], list) else ():
        urls = map_of(entry).get("urls")
        if isinstance(urls, list) and urls and isinstance(urls[0], str):
            versions.setdefault(str(entry.get("version")).removeprefix("v"), urls[0])
    found = versions.get(version.removeprefix("v"))
    if found is None:
        has = f"it has {first_few(list(versions))}"
        raise SourceError(f"{url} has no version {version} of the chart {name!r}", hint=has)
    return found


def _get(url: str, login: Login, largest: int, what: str, ends: float) -> bytes:
    """What is at an address, or where that redirects to: there, without the login, unless it is
    the very same server."""
    for _ in range(MOST_REDIRECTS):
        server = _server(url)
        if not server:
            raise SourceUnreachable(
                f"{what}: it leads to {_shown(url)}, and only https:// is asked"
            )
        answer = _asked(url, login if server == login.server else None, largest, what, ends)
        if answer.status == 200:
            return answer.body
        if not answer.redirect:
            raise SourceUnreachable(
                f"{what}: {_shown(url)} answers HTTP {answer.status}",
                hint=_hint(answer.status, server, login),
            )
        url = answer.redirect
    raise SourceUnreachable(f"{what}: it redirects more than {MOST_REDIRECTS} times")


def _hint(status: int, server: str, login: Login) -> str:
    if status not in (401, 403):
        return ""
    if server == login.server:
        return f"it refuses the login that --chart-credentials has for {login.server}"
    return f"the login of {login.server} is sent to no other server"


def _asked(url: str, login: Login | None, largest: int, what: str, ends: float) -> Response:
    parts = urlsplit(url)
    server = f"https://{parts.netloc.rpartition('@')[2]}"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    endpoint = Endpoint(
        server,
        basic(login.username, login.password) if login else dict,
        proxy_url=environment_proxy(server),
    )
    left = max(ends - time.monotonic(), 0.001)
    limits = Limits(min(CONNECT_SECONDS, left), min(SILENT_SECONDS, left), left)
    request = HttpRequest("GET", path, None, {"accept": "*/*"}, limits, largest=largest)
    # An archive is compressed, and some servers say so as if it were so for the transfer only.
    exchange = Exchange("", endpoint, decodes=False)
    try:
        return exchange.send(request)
    except NoAnswer as failure:
        raise SourceUnreachable(f"{what}: {failure}") from None
    finally:
        exchange.close()


def _shown(url: str) -> str:
    """Without a query, which may be a signature, and without a user."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
