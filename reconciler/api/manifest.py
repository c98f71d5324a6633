"""A manifest that is kept as JSON, and parsed whole only for whoever needs all of it.

A repository may hold a hundred thousand of them, of which next to none has changed: parsed, each
takes some 1.7 kB, as JSON a fifth of it, and compressed with others a fiftieth. What every run asks
of every manifest (what it is, what its annotations say, how many replicas it states, whether it
scales something) is kept beside it.
"""

from __future__ import annotations

import re
import zlib
from array import array
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

import msgspec
import orjson
from msgspec import Raw, Struct

from reconciler.api.kinds import ScaleTarget, scale_target
from reconciler.api.objects import Object, ObjectKey, RedactedRepr, key_of, map_of, shared_key

PARSED = 128
"""Manifests that stay parsed, as most is asked of one after the other."""
INFLATED_BLOCKS = 16


class ManifestBlock:
    """Neighbours as JSON, compressed together. What is asked of one after the other should be in
    the same. ``ends``: where each ends, in bytes, in what is compressed."""

    __slots__ = ("ends", "text")

    def __init__(self, text: bytes, ends: array[int]) -> None:
        self.text = text
        self.ends = ends

    @classmethod
    def of(cls, texts: Sequence[bytes]) -> ManifestBlock:
        ends, end = array("I"), 0
        for one in texts:
            end += len(one)
            ends.append(end)
        return cls(zlib.compress(b"".join(texts), 1), ends)

    def __getitem__(self, number: int) -> bytes:
        return _inflated(self)[self.ends[number - 1] if number else 0 : self.ends[number]]


@lru_cache(maxsize=INFLATED_BLOCKS)
def _inflated(block: ManifestBlock) -> bytes:
    return zlib.decompress(block.text)


class ManifestFacts(RedactedRepr, frozen=True, gc=False):
    """What every run asks of a manifest: its ``key_of``, its annotations (none where they are no
    map), ``kstatus.stated_replicas`` and ``kinds.scale_target``."""

    key: ObjectKey
    api_version: str
    annotations: Mapping[str, Any]
    stated_replicas: int | None
    scale_target: ScaleTarget | None


class Manifest:
    """One object, equal to another one of the same content. What it gives is never changed by who
    gets it: it may be shared.
    """

    __slots__ = ("_block", "_facts", "_number", "_object")

    def __init__(self, obj: Object) -> None:
        self._object: Object | None = obj
        self._block: ManifestBlock | None = None
        self._number = 0
        self._facts: ManifestFacts | None = None

    @classmethod
    def of_block(cls, block: ManifestBlock, number: int, facts: ManifestFacts) -> Manifest:
        """Of the JSON at that place of a block, of which the facts are known."""
        made = cls.__new__(cls)
        made._object, made._block, made._number, made._facts = None, block, number, facts
        return made

    def __repr__(self) -> str:
        return "<Manifest>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Manifest):
            return NotImplemented
        if self is other:
            return True
        if self._block is not None and other._block is not None and self.json == other.json:
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
        block = self._block
        return orjson.dumps(self._object) if block is None else block[self._number]

    @property
    def about(self) -> Object:
        """Its apiVersion, kind and metadata; perhaps more."""
        if self._block is None:
            return self.object
        try:
            parts = _PARTS.decode(self.json)
            return {
                "apiVersion": parts.apiVersion,
                "kind": parts.kind,
                "metadata": orjson.loads(memoryview(parts.metadata)),
            }
        except msgspec.ValidationError:
            return self.object

    def may_say(self, words: re.Pattern[bytes]) -> bool:
        """Whether its JSON says any of some words; True where it is kept otherwise."""
        return self._block is None or words.search(self.json) is not None

    @property
    def facts(self) -> ManifestFacts:
        """Raises KeyError."""
        facts = self._facts
        if facts is None:
            facts = self._facts = _facts_of(self.object)
        return facts

    @property
    def key(self) -> ObjectKey:
        """As ``key_of``. Raises KeyError."""
        return self.facts.key

    @property
    def api_version(self) -> str:
        return self.facts.api_version

    @property
    def kind(self) -> str:
        return self.facts.key.kind

    @property
    def annotations(self) -> Mapping[str, Any]:
        """Its annotations; none where they are no map."""
        return self.facts.annotations

    @property
    def stated_replicas(self) -> int | None:
        """As ``kstatus.stated_replicas``."""
        return self.facts.stated_replicas

    @property
    def scale_target(self) -> ScaleTarget | None:
        """As ``kinds.scale_target``."""
        return self.facts.scale_target


NO_ANNOTATIONS: Mapping[str, Any] = {}


def _facts_of(obj: Object) -> ManifestFacts:
    replicas = map_of(obj.get("spec")).get("replicas")
    return ManifestFacts(
        shared_key(key_of(obj)),
        obj["apiVersion"],
        map_of(obj["metadata"].get("annotations")) or NO_ANNOTATIONS,
        replicas if isinstance(replicas, int) else None,
        scale_target(obj),
    )


_recent: OrderedDict[int, tuple[Manifest, Object]] = OrderedDict()
"""Those parsed last, by their numbers; with the manifest, or another one could get its number."""


def _parsed(manifest: Manifest) -> Object:
    if (known := _recent.get(id(manifest))) is not None:
        return known[1]
    obj: Object = orjson.loads(manifest.json)
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


_PARTS = msgspec.json.Decoder(_Parts)
