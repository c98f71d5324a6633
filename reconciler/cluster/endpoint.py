"""Where a member's API server is, and how to prove to it who we are."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from reconciler.api.objects import RedactedRepr


class Endpoint(RedactedRepr, frozen=True):
    """A resolved API server. PEM material is held in memory; ``repr`` shows none of it.

    ``headers`` gives the authorization header for each request, so that tokens which rotate in a
    file or come from an exec plugin are read anew. ``server_name`` overrides the name checked in
    the server's certificate. ``verify`` False is only ever what a kubeconfig asks for.
    """

    server: str
    headers: Callable[[], dict[str, str]] = dict
    ca_pem: str = ""
    client_certificate_pem: str = ""
    client_key_pem: str = ""
    server_name: str = ""
    proxy_url: str = ""
    verify: bool = True


def bearer(token: str) -> Callable[[], dict[str, str]]:
    """Headers for a token that does not change."""
    headers = {"authorization": f"Bearer {token}"}
    return lambda: headers


def bearer_file(path: Path) -> Callable[[], dict[str, str]]:
    """Headers for a projected token, which the kubelet replaces while we run."""
    return lambda: {"authorization": f"Bearer {path.read_text().strip()}"}


def basic(username: str, password: str) -> Callable[[], dict[str, str]]:
    """Headers for a user name and password (no current API server takes them; proxies do)."""
    value = base64.b64encode(f"{username}:{password}".encode()).decode()
    return lambda: {"authorization": f"Basic {value}"}


def environment_proxy(server: str) -> str:
    """The proxy to a server that is no member's, as the environment says; libcurl by itself would
    not hear all that Python does. Empty: none."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return ""
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(server)
    proxy = getproxies().get(parts.scheme, "")
    return "" if not proxy or proxy_bypass(parts.hostname or "") else proxy
