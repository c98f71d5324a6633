"""A manifest that is kept as JSON, and parsed whole only for whoever needs all of it.

A repository may hold a hundred thousand of them, of which next to none has changed: parsed, each
takes some 1.7 kB, as JSON a fifth of it. What every run asks of every manifest (what it is, what
its annotations say, how many replicas it states, whether it scales something) is read once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from sys import intern
from typing import Any

import msgspec
import orjson
from msgspec import UNSET, Raw, Struct, UnsetType

from reconciler.api.kinds import ScaleTarget, scale_target
from reconciler.api.objects import (
    Object,
    ObjectKey,
    RedactedRepr,
    api_group,
    key_of,
    map_of,
    shared_key,
)

PARSED = 128
"""Manifests that stay parsed, as most is asked of one after the other."""


class Manifest:
    """One object, equal to another one of the same content. What it gives is never changed by who
    gets it: it may be shared.
    """

    __slots__ = ("_facts", "_json", "_object")

    def __init__(self, obj: Object) -> None:
        self._object: Object | None = obj
        self._json: Raw | None = None
        self._facts: _Facts | None = None

    @classmethod
    def of_json(cls, text: Raw) -> Manifest:
        """Of JSON that is known to be an object with apiVersion, kind and metadata.name."""
        made = cls.__new__(cls)
        made._object, made._json, made._facts = None, text, None
        return made

    def __repr__(self) -> str:
        return "<Manifest>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Manifest):
            return NotImplemented
        if self is other:
            return True
        mine, its = self._json, other._json
        if mine is not None and its is not None and memoryview(mine) == memoryview(its):
            return True
        return self.object == other.object

    # As with the maps that it is made of.
    __hash__ = None  # type: ignore[assignment]

    @property
    def object(self) -> Object:
        """All of it, parsed."""
        return _parsed(self) if self._object is None else self._object

    @property
    def json(self) -> bytes:
        """All of it, as JSON."""
        return orjson.dumps(self._object) if self._json is None else bytes(self._json)

    @property
    def about(self) -> Object:
        """Its apiVersion, kind and metadata; perhaps more."""
        if self._json is None:
            return self.object
        try:
            parts = _PARTS.decode(self._json)
            return {
                "apiVersion": parts.apiVersion,
                "kind": parts.kind,
                "metadata": orjson.loads(memoryview(parts.metadata)),
            }
        except msgspec.ValidationError:
            return self.object

    @property
    def key(self) -> ObjectKey:
        """As ``key_of``. Raises KeyError."""
        return self._known.key

    @property
    def api_version(self) -> str:
        return self._known.api_version

    @property
    def kind(self) -> str:
        return self._known.key.kind

    @property
    def annotations(self) -> Mapping[str, Any]:
        """Its annotations; none where they are no map."""
        return self._known.annotations

    @property
    def stated_replicas(self) -> int | None:
        """As ``kstatus.stated_replicas``."""
        return self._known.stated_replicas

    @property
    def scale_target(self) -> ScaleTarget | None:
        """As ``kinds.scale_target``."""
        return self._known.scale_target

    @property
    def _known(self) -> _Facts:
        facts = self._facts
        if facts is None:
            facts = self._facts = self._read_facts()
        return facts

    def _read_facts(self) -> _Facts:
        if self._json is None:
            return _facts_of(self.object)
        try:
            head = _HEAD.decode(self._json)
        except msgspec.ValidationError:
            # It is of a shape that few have.
            return _facts_of(self.object)
        about, spec = head.metadata, head.spec
        return _Facts(
            shared_key(
                ObjectKey(
                    intern(api_group(head.apiVersion)),
                    intern(head.kind),
                    intern(about.namespace or ""),
                    about.name,
                )
            ),
            intern(head.apiVersion),
            about.annotations or _NONE,
            _count(spec.replicas) if spec else None,
            scale_target(self.object) if spec and spec.scaleTargetRef is not UNSET else None,
        )


class _Facts(RedactedRepr, frozen=True, gc=False):
    key: ObjectKey
    api_version: str
    annotations: Mapping[str, Any]
    stated_replicas: int | None
    scale_target: ScaleTarget | None


_NONE: Mapping[str, Any] = {}


def _facts_of(obj: Object) -> _Facts:
    return _Facts(
        shared_key(key_of(obj)),
        obj["apiVersion"],
        map_of(obj["metadata"].get("annotations")) or _NONE,
        _count(map_of(obj.get("spec")).get("replicas")),
        scale_target(obj),
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) else None


_recent: OrderedDict[int, tuple[Manifest, Object]] = OrderedDict()
"""Those parsed last, by their numbers; with the manifest, or another one could get its number."""


def _parsed(manifest: Manifest) -> Object:
    if (known := _recent.get(id(manifest))) is not None:
        return known[1]
    obj: Object = orjson.loads(memoryview(manifest._json or b""))
    _recent[id(manifest)] = (manifest, obj)
    if len(_recent) > PARSED:
        # Another thread may have been faster.
        with suppress(KeyError):
            _recent.popitem(last=False)
    return obj


class _Parts(Struct, gc=False):
    apiVersion: str
    kind: str
    metadata: Raw


class _About(Struct, gc=False):
    name: str
    namespace: str | None = None
    annotations: dict[str, Any] | None = None


class _Spec(Struct, gc=False):
    replicas: Any = None
    scaleTargetRef: Raw | UnsetType = UNSET


class _Head(Struct, gc=False):
    apiVersion: str
    kind: str
    metadata: _About
    spec: _Spec | None = None


_PARTS = msgspec.json.Decoder(_Parts)
_HEAD = msgspec.json.Decoder(_Head)
