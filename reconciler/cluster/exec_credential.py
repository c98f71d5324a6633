"""Credential plugins (``client.authentication.k8s.io``): a program prints an ExecCredential.

Only programs that a file of this machine names are run (``cluster.access_providers``), without a
shell. Nothing that one prints is ever quoted: it may be a credential.
"""

from __future__ import annotations

import base64
import os
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson

from reconciler.api.errors import ClusterUnauthorized
from reconciler.api.objects import RedactedRepr, map_of
from reconciler.cluster.access_providers import Provider
from reconciler.cluster.endpoint import Endpoint

SECONDS = 60.0
"""For how long a plugin may run: as a command line of a cloud it asks others."""
MOST = 1_048_576
"""Bytes that it may print; a token and a certificate are a hundredth of that."""
EARLY = 60.0
"""A token is renewed so many seconds before it expires, or after three quarters of its time."""


class Credential(RedactedRepr, frozen=True):
    """What a plugin gave. ``renew_at``: from which Unix time on it is asked anew; None: never."""

    token: str = ""
    certificate: str = ""
    key: str = ""
    renew_at: float | None = None


_known: dict[bytes, Credential] = {}
"""Those that expire, by all that their plugin was given: kept from run to run of a process."""
_lock = threading.Lock()
_locks: dict[bytes, threading.Lock] = {}


def with_credential(
    name: str,
    provider: Provider,
    server: Endpoint,
    config: Any,
    seconds_left: Callable[[], float],
    clock: Callable[[], float] = time.time,
) -> Endpoint:
    """The server with the credential of its plugin, which is run here, and again when its token is
    about to expire.

    ``name`` is the cluster's; ``config`` is what its profile has for the plugin. Raises
    ClusterUnauthorized when the plugin fails, or prints no ExecCredential.
    """
    plugin = _Plugin(name, provider, _information(provider, server, config), seconds_left, clock)
    first = plugin.credential()

    def headers() -> dict[str, str]:
        token = plugin.credential().token
        return {"authorization": f"Bearer {token}"} if token else {}

    return Endpoint(
        server=server.server,
        headers=headers,
        ca_pem=server.ca_pem,
        client_certificate_pem=first.certificate,
        client_key_pem=first.key,
        server_name=server.server_name,
        proxy_url=server.proxy_url,
        verify=server.verify,
    )


def _information(provider: Provider, server: Endpoint, config: Any) -> str:
    """KUBERNETES_EXEC_INFO."""
    spec: dict[str, Any] = {"interactive": False}
    if provider.cluster_info:
        given = {
            "server": server.server,
            "tls-server-name": server.server_name,
            "certificate-authority-data": base64.b64encode(server.ca_pem.encode()).decode(),
            "proxy-url": server.proxy_url,
            "insecure-skip-tls-verify": not server.verify,
            "config": config,
        }
        spec["cluster"] = {key: value for key, value in given.items() if value}
    document = {"apiVersion": provider.api_version, "kind": "ExecCredential", "spec": spec}
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS).decode()


class _Plugin:
    def __init__(
        self,
        cluster: str,
        provider: Provider,
        information: str,
        seconds_left: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self._cluster, self._provider = cluster, provider
        self._seconds_left, self._clock = seconds_left, clock
        self._environment = {
            **os.environ,
            **provider.environment,
            "KUBERNETES_EXEC_INFO": information,
        }
        self._mine: Credential | None = None
        given = [
            provider.api_version,
            provider.command,
            provider.arguments,
            sorted(provider.environment.items()),
            information,
        ]
        self._key = orjson.dumps(given)

    def credential(self) -> Credential:
        """The one that is known while it holds, else what the plugin gives now."""
        with _lock:
            lock = _locks.setdefault(self._key, threading.Lock())
        with lock:
            known = self._mine
            if known is None or self._is_over(known):
                # A later run may have asked already, and the time of this one may be over.
                known = _known.get(self._key)
            if known is None or self._is_over(known):
                known = self._ask()
                if known.renew_at is not None:
                    _known[self._key] = known
            self._mine = known
        return known

    def _is_over(self, credential: Credential) -> bool:
        return credential.renew_at is not None and self._clock() >= credential.renew_at

    def _ask(self) -> Credential:
        from reconciler.git.processes import run_for_output

        provider = self._provider
        seconds = min(SECONDS, self._seconds_left())
        try:
            done = run_for_output(
                [provider.command, *provider.arguments],
                self._environment,
                seconds=max(seconds, 0.01),
                most=MOST,
            )
        except OSError as error:
            hint = provider.install_hint or "its image and its PATH must have the program"
            raise self._failed(f"cannot be run: {error.strerror}", hint) from None
        except ValueError:
            raise self._failed("cannot be run: a NUL in its arguments or variables") from None
        if done.timed_out:
            raise self._failed(f"did not end within {seconds:.0f} seconds")
        if done.too_long:
            raise self._failed(f"printed more than {MOST} bytes")
        if done.code:
            raise self._failed(f"ended with exit code {done.code}")
        return self._read(done.stdout)

    def _read(self, printed: bytes) -> Credential:
        try:
            document = orjson.loads(printed)
        except orjson.JSONDecodeError:
            raise self._failed("printed no JSON") from None
        wanted = self._provider.api_version
        body = map_of(document)
        if body.get("kind") != "ExecCredential" or body.get("apiVersion") != wanted:
            raise self._failed(f"printed no ExecCredential of {wanted}")
        status = map_of(body.get("status"))
        found = {
            key: status.get(key) or ""
            for key in ("token", "clientCertificateData", "clientKeyData", "expirationTimestamp")
        }
        if not all(isinstance(value, str) for value in found.values()):
            raise self._failed("printed a status that is not all text")
        token = found["token"].strip()
        certificate, key = found["clientCertificateData"], found["clientKeyData"]
        if bool(certificate) != bool(key) or not (token or certificate):
            raise self._failed("printed neither a token nor a certificate with its key")
        if any(ord(character) < 33 or ord(character) > 126 for character in token):
            raise self._failed("printed a token that no header can carry")
        return Credential(token, certificate, key, self._renewal(found["expirationTimestamp"]))

    def _renewal(self, expires: str) -> float | None:
        if not expires:
            return None
        try:
            when = datetime.fromisoformat(expires)
        except ValueError:
            raise self._failed("printed an expirationTimestamp that is no time") from None
        now = self._clock()
        remaining = when.timestamp() - now
        if when.tzinfo is None or remaining <= 0:
            raise self._failed("printed a credential that has expired already")
        return now + max(remaining - EARLY, remaining * 0.75)

    def _failed(self, what: str, hint: str = "") -> ClusterUnauthorized:
        return ClusterUnauthorized(
            self._cluster,
            f"the credential plugin of access provider {self._provider.name!r} "
            f"({self._provider.command}) {what}",
            hint=hint or "run it by hand with the arguments of the file of --access-providers",
        )
