"""Names, targets and records: what the rest of this package speaks of. Pure values.

Names are lower case and end in a dot (``web.shop.example.com.``); addresses are in their
shortest form; host names are names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from msgspec import Struct, field

from reconciler.api.objects import Object, ObjectKey

NOT_WANTED = "no longer wanted"

RecordType = Literal["A", "AAAA", "CNAME", "ALIAS"]
ADDRESS_TYPES: tuple[RecordType, ...] = ("A", "AAAA", "CNAME", "ALIAS")

HERITAGE = "federation-reconciler"
_REPOSITORY = "repository="


class Place(NamedTuple):
    """An object in a cluster whose addresses may answer to a name."""

    cluster: str
    key: ObjectKey


class HealthCheck(Struct, frozen=True):
    """How a provider that can check targets itself should do it."""

    protocol: Literal["TCP", "HTTP", "HTTPS"] = "TCP"
    port: int = 443
    path: str = ""

    def __str__(self) -> str:
        return f"{self.protocol}:{self.port}{self.path}"


class NameEntry(Struct, frozen=True):
    """A name that Git wants, and whose addresses may stand behind it.

    ``ready_only``: a cluster counts only when the object has ready endpoints there.
    ``resolve``: host names are looked up and their addresses written (KubeFed).
    ``above``: the name that this one points to by CNAME while no target counts here; an entry
    without places is always that CNAME.
    """

    name: str
    zone: str
    ttl: int
    places: frozenset[Place] = frozenset()
    ready_only: bool = True
    resolve: bool = False
    above: str = ""
    check: HealthCheck | None = None
    origin: str = ""


class DnsTarget(Struct, frozen=True, order=True):
    """An address or host name, and the cluster that it leads to (empty: none in particular)."""

    value: str
    cluster: str = ""
    weight: int = 1


class DnsRecord(Struct, frozen=True):
    """What a name should answer. ``targets`` are sorted; a CNAME or ALIAS has one.

    ``weighted``: the provider answers with one of the targets by their weights, also a CNAME with
    several, and checks their health as ``check`` says (None: not).
    """

    name: str
    type: RecordType
    ttl: int
    targets: tuple[DnsTarget, ...]
    weighted: bool = False
    check: HealthCheck | None = None

    @property
    def values(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(target.value for target in self.targets))

    @property
    def by_cluster(self) -> dict[str, tuple[str, ...]]:
        """Whose each value is; what belongs to no cluster is left out."""
        found: dict[str, tuple[str, ...]] = {}
        for target in self.targets:
            if target.cluster:
                found[target.cluster] = (*found.get(target.cluster, ()), target.value)
        return found


class ExistingRecord(Struct, frozen=True):
    """A record of ours that stands in the zone now, and whose each value was when written."""

    type: RecordType
    values: tuple[str, ...]
    by_cluster: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Abilities(Struct, frozen=True):
    """What a provider can do besides plain records.

    alias    host names at the zone's apex, as ALIAS
    weighted several targets with weights and health checks of its own, host names as well
    """

    alias: bool = False
    weighted: bool = False


class Mark(NamedTuple):
    """What the TXT record beside a record says: whose it is, and whose each of its values.

    ``repository`` is the id of the repository that wrote it; empty where it does not say.
    """

    owner: str
    by_cluster: Mapping[str, tuple[str, ...]]
    repository: str = ""


class Ownership(Struct, frozen=True):
    """Which marks are this federation's: those of its ``name`` and of one of its ``repositories``.

    The first of these ids is written; without any, as with an ``ownerId`` of its own, the name
    alone counts. A mark that does not say which repository wrote it is ours by name.
    ``take_over``: so is any other's.
    """

    name: str
    repositories: tuple[str, ...] = ()
    take_over: bool = False

    def owns(self, mark: Mark) -> bool:
        return mark.owner == self.name and (self.take_over or self._is_ours(mark.repository))

    def text(self, by_cluster: Mapping[str, tuple[str, ...]], existing: Mark | None) -> str:
        """What the mark is to say. One of ours that is true stays as it is: an id alone is no news
        to write."""
        if existing is not None and self._is_ours(existing.repository):
            same = owner_text(self.name, by_cluster, existing.repository)
            if same == owner_text(*existing):
                return same
        return owner_text(self.name, by_cluster, next(iter(self.repositories), ""))

    def _is_ours(self, repository: str) -> bool:
        return not (repository and self.repositories) or repository in self.repositories


def owner_text(owner: str, by_cluster: Mapping[str, tuple[str, ...]], repository: str = "") -> str:
    """What the TXT record beside ours says.

    The clusters' values are remembered in it: of a cluster that cannot be looked at but is not
    known to be down, nothing may be withdrawn, and the zone alone does not say what is whose.
    """
    parts = [f"heritage={HERITAGE}", f"owner={owner}"]
    parts += [f"{_REPOSITORY}{repository}"] if repository else []
    parts += [f"{name}:{'+'.join(sorted(by_cluster[name]))}" for name in sorted(by_cluster)]
    return ",".join(parts)


def read_owner(text: str) -> Mark:
    """The inverse; without an owner for a text that is not of this tool."""
    heritage, *parts = text.strip('"').split(",")
    if heritage != f"heritage={HERITAGE}" or not parts or not parts[0].startswith("owner="):
        return Mark("", {})
    found = {}
    repository = ""
    for part in parts[1:]:
        cluster, colon, values = part.partition(":")
        if colon and values:
            found[cluster] = tuple(values.split("+"))
        elif part.startswith(_REPOSITORY):
            repository = part.removeprefix(_REPOSITORY)
    return Mark(parts[0].removeprefix("owner="), found, repository)


def marker_name(name: str, kind: str) -> str:
    """Where the TXT record lies that says whose ``name``/``kind`` is.

    It is below the name and not at it, because a CNAME tolerates no neighbours.
    """
    return f"_owner.{kind.lower()}.{name.replace('*', '_wildcard', 1)}"


def marked(marker: str) -> tuple[str, str] | None:
    """The inverse of ``marker_name``; None for any other name."""
    first, _, rest = marker.partition(".")
    kind, _, name = rest.partition(".")
    if first != "_owner" or kind.upper() not in ADDRESS_TYPES or not name:
        return None
    return name.replace("_wildcard", "*", 1), kind.upper()


def rows(
    zone: str, name: str, before: Sequence[ExistingRecord], after: Sequence[DnsRecord], reason: str
) -> list[Object]:
    """One row for each type that comes, changes or goes; those that stay are left out."""
    old = {record.type: list(record.values) for record in before}
    new = {record.type: list(record.values) for record in after}
    found: list[Object] = []
    for kind in sorted({*old, *new}):
        if sorted(old.get(kind, ())) != sorted(new.get(kind, ())):
            action = "create" if kind not in old else "prune" if kind not in new else "update"
            found.append(
                {
                    "zone": zone,
                    "name": name,
                    "type": kind,
                    "action": action,
                    "from": old.get(kind),
                    "to": new.get(kind),
                    "reason": reason,
                }
            )
    return found
