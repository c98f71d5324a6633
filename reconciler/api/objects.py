"""What identifies a Kubernetes object, and the raw form in which objects travel.

Objects are plain parsed JSON (``Object``), never typed models: the tool handles any kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.json import Decoder

Object = dict[str, Any]
"""A Kubernetes object as parsed JSON; the one place where ``Any`` is welcome."""


DEFAULT_NAMESPACE = "default"


class RedactedRepr(Struct, frozen=True):
    """Base of values that hold whole objects or credentials: their ``repr`` tells none of it, not
    in the words of an error either."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class GroupKind(NamedTuple):
    """A kind without its version: what an ApplySet lists. The core group is ``""``."""

    group: str
    kind: str

    def __str__(self) -> str:
        """``Deployment.apps``; ``ConfigMap`` for the core group (the ApplySet notation)."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @classmethod
    def parse(cls, text: str) -> GroupKind:
        """The inverse of ``str``: ``Deployment.apps`` -> ``GroupKind("apps", "Deployment")``."""
        kind, _, group = text.partition(".")
        return cls(group, kind)


class ObjectKey(NamedTuple):
    """One object within one cluster, whatever API version it is written in.

    ``namespace`` is ``""`` for cluster-scoped objects. Sorts by group, kind, namespace, name.
    """

    group: str
    kind: str
    namespace: str
    name: str

    @property
    def group_kind(self) -> GroupKind:
        return GroupKind(self.group, self.kind)

    @property
    def namespaced_name(self) -> str:
        """``shop/web``; ``web`` for what is in no namespace."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @property
    def with_namespace(self) -> ObjectKey:
        """As a cluster knows what Git gives no namespace, if its kind has them: in ``default``."""
        return self if self.namespace else self._replace(namespace=DEFAULT_NAMESPACE)

    def __str__(self) -> str:
        """``Deployment.apps shop/web``, ``ConfigMap shop/settings``, ``Namespace shop``."""
        return f"{self.group_kind} {self.namespaced_name}"


MAX_SHARED_KEYS = 1_000_000
_shared_keys: dict[ObjectKey, ObjectKey] = {}


def shared_key(key: ObjectKey) -> ObjectKey:
    """The same key for all that are equal: Git, the inventories and the lists of all members have
    one of each object, and each would take 130 bytes once more."""
    if len(_shared_keys) > MAX_SHARED_KEYS:
        # Of a process that stays: what was shared goes on to be.
        _shared_keys.clear()
    return _shared_keys.setdefault(key, key)


def api_group(api_version: str) -> str:
    """``apps/v1`` -> ``apps``; ``v1`` -> ``""``."""
    group, slash, _ = api_version.partition("/")
    return group if slash else ""


def map_of(value: object) -> Object:
    """The value if it is a map, else an empty one."""
    return value if isinstance(value, dict) else {}


def maps_of(value: object) -> list[Object]:
    """The maps in a list; none where it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def value_at(value: Any, steps: Iterable[str | int]) -> Any:
    """What is at a path; None where nothing is."""
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def first_few(names: Sequence[str], shown: int = 3) -> str:
    """The first few, and how many more: ``a, b, c and 4 more``."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def read_in_threads(*kinds: type) -> None:
    """Have msgspec learn these types now, for those that several threads convert to.

    What it knows of a type is made when it is first needed, and two threads at once crash the
    process there (seen with 0.22.0).
    """
    for kind in kinds:
        Decoder(kind)


def number_of(value: object) -> int:
    """The value if it is a whole number, else 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def key_of(obj: Object) -> ObjectKey:
    """The identity of an object that has apiVersion, kind and metadata.name.

    Raises KeyError when one of them is missing; manifests are checked before they get here.
    """
    metadata = obj["metadata"]
    return ObjectKey(
        api_group(obj["apiVersion"]), obj["kind"], metadata.get("namespace") or "", metadata["name"]
    )


def without_spare_room(text: bytes) -> bytes:
    """The same, to be kept: what orjson writes keeps the buffer in which it was made, which is ten
    times as large and more."""
    return bytes(memoryview(text))
