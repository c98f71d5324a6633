"""Parsed manifests by Git blob: what did not change in Git need not be parsed again.

The file holds a checksum and MessagePack, made by the same version of this tool with the same
schemas; anything else in it is ignored. It is only ever a shortcut, and never holds a Secret.
Manifests lie in it by their keys, many compressed together, and so they stay in memory: what goes
through all of them does it in that order.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from pathlib import Path
from sys import intern
from typing import Any
from zlib import crc32

import msgspec
from msgspec import DecodeError
from msgspec.msgpack import Decoder

from reconciler import __version__
from reconciler.api.files import SourceFile
from reconciler.api.kinds import ScaleTarget
from reconciler.api.manifest import NO_ANNOTATIONS, Manifest, ManifestBlock, ManifestFacts
from reconciler.api.objects import ObjectKey, RedactedRepr, api_group, shared_key
from reconciler.manifests.document import Document
from reconciler.manifests.own_schemas import schema_folder

CHECKS = 5
"""To be raised when a check of manifests is added, or when more is known of them: what passed the
old ones is looked at again."""
MAX_CACHE_BYTES = 256 * 1024 * 1024
BLOCK_MANIFESTS = 64


class _Entry(RedactedRepr, array_like=True, frozen=True, gc=False):
    """A document: where it is in its file, where its manifest is in the blocks, and its facts."""

    index: int
    line: int
    column: int
    prefix: tuple[str | int, ...]
    block: int
    number: int
    api_version: str
    kind: str
    namespace: str
    name: str
    annotations: dict[str, Any] | None
    stated_replicas: int | bool | None
    scale_target: ScaleTarget | None


class _Block(RedactedRepr, array_like=True, frozen=True):
    text: bytes
    ends: list[int]


class _Stored(RedactedRepr, frozen=True):
    made: str
    blobs: dict[str, list[_Entry]]
    blocks: list[_Block]


_DECODER = Decoder(_Stored)
_CHECKSUM_BYTES = 4
"""Before the rest: most of that is looked at much later, or never, and must not be damaged then."""


class ParseCache:
    """Reads ``path`` once, collects what ``load`` parses, writes what is still in use."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._blocks: list[ManifestBlock] = []
        self._old: dict[str, list[_Entry]] = self._read()
        self._new: dict[str, list[Document]] = {}
        self._grown = False

    def documents(self, file: SourceFile) -> list[Document] | None:
        """The documents of a file seen before, or None."""
        if file.blob is None:
            return None
        entries = self._old.get(file.blob)
        if entries is None:
            return None
        found = [
            Document(
                file.path,
                one.index,
                one.line,
                self._manifest(one),
                file,
                one.prefix,
                one.column,
            )
            for one in entries
        ]
        self._new[file.blob] = found
        return found

    def _manifest(self, entry: _Entry) -> Manifest:
        version = intern(entry.api_version)
        key = ObjectKey(
            intern(api_group(version)), intern(entry.kind), intern(entry.namespace), entry.name
        )
        facts = ManifestFacts(
            shared_key(key),
            version,
            entry.annotations or NO_ANNOTATIONS,
            entry.stated_replicas,
            entry.scale_target,
        )
        return Manifest.of_block(self._blocks[entry.block], entry.number, facts)

    def remember(self, file: SourceFile, documents: list[Document]) -> None:
        """Keep the documents of a file without fault, unless there is a Secret among them."""
        if file.blob is None or any("Secret" in d.kind for d in documents):
            return
        self._new[file.blob] = documents
        self._grown = True

    def save(self) -> None:
        """Replace the file, if anything is new or much of it is no longer needed."""
        if not self._grown and len(self._new) * 2 > len(self._old):
            return
        text = msgspec.msgpack.encode(_stored(self._new))
        data = crc32(text).to_bytes(_CHECKSUM_BYTES) + text
        if len(data) > MAX_CACHE_BYTES:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            import tempfile

            descriptor, name = tempfile.mkstemp(dir=self._path.parent)
            with os.fdopen(descriptor, "wb") as target:
                target.write(data)
            Path(name).replace(self._path)
        except OSError:
            # A read-only cache folder costs time, nothing else.
            return

    def _read(self) -> dict[str, list[_Entry]]:
        try:
            if self._path.stat().st_size > MAX_CACHE_BYTES:
                return {}
            data = memoryview(self._path.read_bytes())
            checksum, text = data[:_CHECKSUM_BYTES], data[_CHECKSUM_BYTES:]
            if crc32(text) != int.from_bytes(checksum):
                return {}
            stored = _DECODER.decode(text)
            blocks = [ManifestBlock(one.text, array("I", one.ends)) for one in stored.blocks]
        except (OSError, DecodeError, RecursionError, OverflowError):
            return {}
        if stored.made != _stamp():
            return {}
        self._blocks = blocks
        return stored.blobs


def _stored(documents: dict[str, list[Document]]) -> _Stored:
    in_order = sorted(
        (document.key, blob, place)
        for blob, some in documents.items()
        for place, document in enumerate(some)
    )
    blobs: dict[str, list[_Entry]] = {
        blob: [_entry(one, 0, 0) for one in some] for blob, some in documents.items()
    }
    blocks: list[_Block] = []
    for first in range(0, len(in_order), BLOCK_MANIFESTS):
        texts = []
        for number, (_, blob, place) in enumerate(in_order[first : first + BLOCK_MANIFESTS]):
            document = documents[blob][place]
            texts.append(document.manifest.json)
            blobs[blob][place] = _entry(document, len(blocks), number)
        block = ManifestBlock.of(texts)
        blocks.append(_Block(block.text, block.ends.tolist()))
    return _Stored(_stamp(), blobs, blocks)


def _entry(document: Document, block: int, number: int) -> _Entry:
    facts = document.manifest.facts
    return _Entry(
        document.index,
        document.line,
        document.column,
        document.prefix,
        block,
        number,
        facts.api_version,
        facts.key.kind,
        facts.key.namespace,
        facts.key.name,
        dict(facts.annotations) or None,
        facts.stated_replicas,
        facts.scale_target,
    )


def _stamp() -> str:
    digest = hashlib.sha256(f"{__version__} {CHECKS}".encode())
    for file in sorted(schema_folder().glob("*.json")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
