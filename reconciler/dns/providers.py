"""octoDNS providers: their class, their settings with the credentials filled in, what they can do.

Nothing else of this package imports octoDNS but ``zones``; both do so only when a zone is
configured. Credentials are known here only, and ``redacted_settings`` takes them out of every
message.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reconciler.api.errors import DnsError, ReconcileError
from reconciler.dns.records import Abilities
from reconciler.dns.rules import EnvironmentValue, ProviderRule, SecretValue

EXTRA = "pip install 'federation-reconciler[dns]'"
_BROUGHT_ALONG = {"octodns", "octodns_bind", "octodns_googlecloud", "octodns_route53"}
# They write a zone anew from what they are given, and with it delete what others put there.
_WHOLE_ZONE = {"YamlProvider", "SplitYamlProvider", "ZoneFileProvider"}
_SHORTEST_SECRET = 4

ReadSecret = Callable[[SecretValue], str]
"""A key of a Secret in the host cluster -> its value, decoded. Raises ReconcileError."""

CredentialCheck = Callable[[ProviderRule, EnvironmentValue | None], None]
"""Asked before anything is sent, with each variable that holds a credential, and once without.
Raises ReconcileError where Git has no business to send it there."""


def accept_all(_rule: ProviderRule, _value: EnvironmentValue | None) -> None:
    """Nothing is asked."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A provider ready to be asked. ``secrets`` are what it must not be quoted with."""

    provider: Any
    abilities: Abilities
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def redacted(self, text: str) -> str:
        """``text`` without any credential."""
        return redacted_settings(text, self.secrets)


def redacted_settings(text: str, secrets: tuple[str, ...]) -> str:
    """``text`` with every one of ``secrets`` blotted out, longest first.

    By search, as the text is a library's: octoDNS, its providers and what they call word their own
    exceptions, which may quote any setting. We put no setting into a text.
    """
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return text


def open_provider(
    rule: ProviderRule,
    zone: str,
    environ: Mapping[str, str],
    read_secret: ReadSecret,
    check_credential: CredentialCheck = accept_all,
) -> Opened:
    """Make the provider of ``zone``.

    Raises DnsError when its package is missing, a credential is, or the library refuses a setting.
    """
    made = _class_of(rule, zone)
    try:
        variables = [v for v in rule.settings.values() if isinstance(v, EnvironmentValue)]
        for variable in (None, *(v for v in variables if v.goes_to and v.name in environ)):
            check_credential(rule, variable)
    except ReconcileError as error:
        raise DnsError(zone, f"provider {rule.name}: {error}", hint=error.hint) from None
    refuse_redirects()
    secrets: list[str] = []
    with contextlib.ExitStack() as temporary:
        settings = {
            name: _value(name, value, zone, environ, read_secret, secrets, temporary)
            for name, value in rule.settings.items()
        }
        try:
            with silence_octodns():
                provider = made(rule.name, **{"root_ns_warnings": False, **settings})
        except Exception as error:  # noqa: BLE001 - a provider's library may raise anything
            text = redacted_settings(f"{type(error).__name__}: {error}", tuple(secrets))
            raise DnsError(zone, f"provider {rule.name} cannot be used: {text}") from None
    abilities = Abilities(
        alias="ALIAS" in provider.SUPPORTS, weighted=bool(provider.SUPPORTS_DYNAMIC)
    )
    return Opened(provider, abilities, tuple(secrets))


def refuse_redirects() -> None:
    """From now on no library follows a redirect by ``requests``, which takes a provider's own
    headers, and the key in them, along to any server."""
    import requests

    def refuse(_: requests.Session, response: requests.Response) -> None:
        if response.is_redirect:
            raise requests.TooManyRedirects("the server redirects, which is not followed")

    requests.sessions.SessionRedirectMixin.get_redirect_target = refuse  # type: ignore[method-assign, assignment]


def _class_of(rule: ProviderRule, zone: str) -> Any:
    """The class, if it is an octoDNS provider that can share a zone with others."""
    module_name, _, class_name = rule.class_name.rpartition(".")
    package = module_name.partition(".")[0]
    try:
        from octodns.provider.base import BaseProvider

        module = importlib.import_module(module_name)
    except ImportError as error:
        brought = package in _BROUGHT_ALONG
        hint = EXTRA if brought else f"pip install {package.replace('_', '-')}"
        raise DnsError(
            zone, f"provider {rule.name} needs {package}, which is missing ({error})", hint=hint
        ) from None
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, BaseProvider)):
        raise DnsError(zone, f"provider {rule.name}: {rule.class_name} is not an octoDNS provider")
    if {base.__name__ for base in found.__mro__} & _WHOLE_ZONE:
        raise DnsError(
            zone,
            f"provider {rule.name}: {class_name} writes zones as a whole, which would delete the "
            "records that others keep there",
        )
    return found


def _value(
    name: str,
    value: Any,
    zone: str,
    environ: Mapping[str, str],
    read_secret: ReadSecret,
    secrets: list[str],
    temporary: contextlib.ExitStack,
) -> Any:
    if isinstance(value, EnvironmentValue):
        given = environ.get(value.name, value.default)
        if given is None:
            raise DnsError(
                zone, f"the environment variable {value.name} is not set (provider setting {name})"
            )
        secrets.append(given)
        return given
    if isinstance(value, SecretValue):
        try:
            given = read_secret(value)
        except ReconcileError as error:
            raise DnsError(zone, f"provider setting {name}: {error}", hint=error.hint) from None
        secrets.append(given)
        return _written(given, temporary) if name.endswith(("_file", "_path")) else given
    return value


def _written(text: str, temporary: contextlib.ExitStack) -> str:
    """A private file with the credential, for libraries that only read files; gone afterwards."""
    handle, path = tempfile.mkstemp(prefix="credential-")
    temporary.callback(Path(path).unlink, missing_ok=True)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    return path


@contextlib.contextmanager
def silence_octodns() -> Iterator[None]:
    """Keep what libraries log from the terminal: a handler that drops it, instead of none, which
    would print it. What matters to users comes as an exception."""
    root, dropping = logging.getLogger(), logging.NullHandler()
    root.addHandler(dropping)
    try:
        yield
    finally:
        root.removeHandler(dropping)
