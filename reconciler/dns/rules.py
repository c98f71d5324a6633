"""``Federation.spec.dns`` -> rules, with everything that is wrong with them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from string import Formatter
from typing import Any, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.api.errors import DnsError, Problem
from reconciler.api.objects import first_few
from reconciler.federation.model import Federation
from reconciler.manifests.problems import ProblemCollector, suggestion

DEFAULT_NAMING = "{service}.{namespace}.{zone}"
_PLACEHOLDERS = ("service", "namespace", "cluster", "region", "zone")
_CREDENTIAL = re.compile(r"secret|token|passw|credential|access_key|api_?key|private_key|\bkey\b")
_PUBLIC = ("key_name", "key_algorithm")
_ADDRESS = re.compile(
    r"host|server|ur[li]|endpoint|addr|domain|prox|scheme|protocol|verify|ssl|tls|insecure"
    r"|(^|_)port($|_)"
)
Path = tuple[str | int, ...]

_PACKAGE = re.compile(r"^octodns[A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+$")


class SecretValue(Struct, frozen=True):
    """A setting whose value lies in a Secret of the host cluster."""

    name: str
    key: str
    namespace: str = ""
    goes_to: str = ""


class EnvironmentValue(Struct, frozen=True):
    """A setting whose value is an environment variable's: ``env/NAME`` or ``env/NAME/default``.

    ``goes_to``, here and above: the provider and the addresses that Git says it is for.
    """

    name: str
    default: str | None = None
    goes_to: str = ""


class ProviderRule(Struct, frozen=True):
    """An octoDNS provider: its class and settings; credentials only by reference."""

    name: str
    class_name: str
    settings: Mapping[str, Any] = field(default_factory=dict)


class ZoneRule(Struct, frozen=True):
    """A zone that is written to. ``weighted``: let the provider weigh and check targets itself."""

    name: str
    provider: str
    naming: str = DEFAULT_NAMING
    weighted: bool = True


class Thresholds(Struct, frozen=True):
    """Shares are 0..1 of the federation's own records in a zone.

    ``small_delete_share``, of the names, holds in zones with fewer than ``min_existing`` records.
    """

    update_share: float = 0.3
    delete_share: float = 0.3
    min_existing: int = 10
    small_delete_share: float = 0.5


def hold_small_zone(zone: str, existing: int, gone: Collection[str], limits: Thresholds) -> None:
    """Where there are few names, one may always go, most may not. Raises DnsError."""
    if len(gone) > max(1, limits.small_delete_share * existing):
        raise DnsError(
            zone,
            f"the plan deletes {len(gone)} of {existing} names of a small zone, more than "
            f"{limits.small_delete_share:.0%}: {first_few(sorted(gone))}",
            hint="spec.dns.thresholds.smallZoneDeletePercent: 100 lets it pass",
        )


class DnsRules(Struct, frozen=True):
    """``zones`` empty: nothing is written. ``is_named``: ``owner`` is not just the Federation's
    name."""

    owner: str
    is_named: bool = False
    ttl: int = 60
    zones: tuple[ZoneRule, ...] = ()
    providers: Mapping[str, ProviderRule] = field(default_factory=dict)
    output: Literal["octoDNS", "DNSEndpoint"] = "octoDNS"
    thresholds: Thresholds = Thresholds()

    def zone_of(self, name: str) -> ZoneRule | None:
        """The most specific zone that holds a name."""
        holding = [z for z in self.zones if name == z.name or name.endswith("." + z.name)]
        return max(holding, key=lambda z: len(z.name), default=None)


def parse_dns(federation: Federation) -> tuple[DnsRules, tuple[Problem, ...]]:
    """The rules of a ``spec.dns`` that fits the schema, and what its parts say of each other."""
    spec, faults = federation.dns, ProblemCollector()

    def problem(path: Path, message: str, expected: str = "", hint: str = "") -> None:
        if federation.document is not None:
            faults.problem(federation.document, ("spec", "dns", *path), message, expected, hint)

    limits = spec.get("thresholds") or {}
    rules = DnsRules(
        owner=spec.get("ownerId") or federation.name,
        is_named=bool(spec.get("ownerId")),
        ttl=spec.get("ttl", 60),
        zones=tuple(_zone(body) for body in spec.get("zones") or ()),
        providers={
            name: _provider(name, body) for name, body in (spec.get("providers") or {}).items()
        },
        output=spec.get("output", "octoDNS"),
        thresholds=Thresholds(
            update_share=limits.get("updatePercent", 30) / 100,
            delete_share=limits.get("deletePercent", 30) / 100,
            min_existing=limits.get("minExisting", 10),
            small_delete_share=limits.get("smallZoneDeletePercent", 50) / 100,
        ),
    )
    seen: set[str] = set()
    for index, zone in enumerate(rules.zones):
        if zone.name in seen:
            problem(("zones", index, "name"), f"zone {zone.name} is given twice", "each zone once")
        seen.add(zone.name)
        if rules.output == "octoDNS" and zone.provider not in rules.providers:
            known = ", ".join(sorted(rules.providers)) or "an entry under spec.dns.providers"
            problem(
                ("zones", index, "provider"),
                f"there is no provider {zone.provider!r}",
                known,
                suggestion(zone.provider, rules.providers),
            )
        for message, expected in _naming_faults(zone.naming):
            problem(("zones", index, "naming"), message, expected)
    for name, provider in rules.providers.items():
        if not _PACKAGE.fullmatch(provider.class_name):
            problem(
                ("providers", name, "class"),
                f"{provider.class_name!r} is not an octoDNS provider",
                "octodns_route53.Route53Provider, octodns_bind.Rfc2136Provider, ...",
            )
        for setting, value in provider.settings.items():
            if _is_literal_credential(setting, value):
                problem(
                    ("providers", name, setting),
                    "a credential must not lie in Git",
                    "env/NAME, or secretRef: {name, key}",
                )
    return rules, tuple(sorted(faults.problems))


def _zone(body: Mapping[str, Any]) -> ZoneRule:
    return ZoneRule(
        name=body["name"].lower(),
        provider=body["provider"],
        naming=body.get("naming", DEFAULT_NAMING),
        weighted=body.get("weighted", True),
    )


def _provider(name: str, body: Mapping[str, Any]) -> ProviderRule:
    given = {key: value for key, value in body.items() if key != "class"}
    goes_to = " ".join([body["class"], *_addresses(given)])
    settings = {
        key: replace(setting, goes_to=goes_to)
        if isinstance(setting, SecretValue)
        or (isinstance(setting, EnvironmentValue) and not _ADDRESS.search(key.lower()))
        else setting
        for key, setting in ((key, _setting(value)) for key, value in given.items())
    }
    return ProviderRule(name, body["class"], settings)


def _addresses(settings: Mapping[str, Any]) -> Iterator[str]:
    """What of a provider's settings may tell where it sends its credential, in Git's words."""
    for key, value in sorted(settings.items()):
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
        named = _ADDRESS.search(key.lower()) is not None
        # Whatever it is called: names of hosts, addresses and URLs have dots or colons.
        looks = (
            isinstance(value, str) and not value.startswith("env/") and bool(set(value) & set(".:"))
        )
        if (named or looks) and not _is_reference(value):
            yield f"{key}={text}"


def _is_reference(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("secretRef"), dict)


def plaintext_setting(provider: ProviderRule) -> str:
    """The setting that makes a provider send its credential over plain http; empty: none."""
    for key, value in sorted(provider.settings.items()):
        text = value.lower() if isinstance(value, str) else ""
        if text.startswith("http://") or (text == "http" and _ADDRESS.search(key.lower())):
            return key
    return ""


def _setting(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("env/"):
        name, slash, default = value.removeprefix("env/").partition("/")
        return EnvironmentValue(name, default if slash else None)
    if _is_reference(value):
        reference = value["secretRef"]
        return SecretValue(
            name=str(reference.get("name", "")),
            key=str(reference.get("key", "")),
            namespace=str(reference.get("namespace", "")),
        )
    return value


def _is_literal_credential(setting: str, value: Any) -> bool:
    """Whether a setting looks like a credential and holds its value itself."""
    if not _CREDENTIAL.search(setting.lower()) or setting in _PUBLIC:
        return False
    if isinstance(value, EnvironmentValue):
        return bool(value.default)
    return not isinstance(value, SecretValue) and not _is_path(setting, value)


def _is_path(setting: str, value: Any) -> bool:
    """``credentials_file: /var/run/...`` names a file; the file is not in Git."""
    return setting.endswith(("_file", "_path")) and isinstance(value, str)


def _naming_faults(naming: str) -> Iterator[tuple[str, str]]:
    try:
        used = [name for _, name, _, _ in Formatter().parse(naming) if name is not None]
    except ValueError as error:
        yield f"naming {naming!r} cannot be read: {error}", DEFAULT_NAMING
        return
    for name in used:
        if name not in _PLACEHOLDERS:
            known = ", ".join(f"{{{p}}}" for p in _PLACEHOLDERS)
            yield f"naming {naming!r}: there is no {{{name}}}", known
    if not naming.endswith("{zone}"):
        yield f"naming {naming!r} leaves the zone", "a pattern that ends in {zone}"
    if "service" not in used:
        yield f"naming {naming!r} gives every Service one name", "a pattern with {service}"
