"""Parsed manifests by Git blob: what did not change in Git need not be parsed again.

The file holds a checksum and JSON, made by the same version of this tool with the same schemas;
anything else in it is ignored. It is only ever a shortcut, and never holds a Secret.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from zlib import crc32

import msgspec
from msgspec import DecodeError, Raw, Struct
from msgspec.json import Decoder

from reconciler import __version__
from reconciler.api.files import SourceFile
from reconciler.api.manifest import Manifest
from reconciler.manifests.document import Document
from reconciler.manifests.own_schemas import schema_folder

CHECKS = 3
"""To be raised when a check of manifests is added: what passed the old ones is looked at again."""
MAX_CACHE_BYTES = 256 * 1024 * 1024


_Entry = tuple[int, int, int, tuple[str | int, ...], Raw]
"""Of a document: its index, line, column, prefix and body."""


class _Stored(Struct, frozen=True):
    made: str
    blobs: dict[str, list[_Entry]]


_DECODER = Decoder(_Stored)
_CHECKSUM_BYTES = 4
"""Before the JSON: most of that is parsed much later, or never, and must not be damaged then."""


class ParseCache:
    """Reads ``path`` once, collects what ``load`` parses, writes what is still in use."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._old: dict[str, list[_Entry]] = self._read()
        self._new: dict[str, list[_Entry]] = {}
        self._grown = False

    def documents(self, file: SourceFile) -> list[Document] | None:
        """The documents of a file seen before, or None."""
        if file.blob is None:
            return None
        entries = self._old.get(file.blob)
        if entries is None:
            return None
        self._new[file.blob] = entries
        return [
            Document(file.path, index, line, Manifest.of_json(body), file, prefix, column)
            for index, line, column, prefix, body in entries
        ]

    def remember(self, file: SourceFile, documents: list[Document]) -> None:
        """Keep the documents of a file without fault, unless there is a Secret among them."""
        if file.blob is None or any("Secret" in d.kind for d in documents):
            return
        self._new[file.blob] = [
            (d.index, d.line, d.column, d.prefix, Raw(d.manifest.json)) for d in documents
        ]
        self._grown = True

    def save(self) -> None:
        """Replace the file, if anything is new or much of it is no longer needed."""
        if not self._grown and len(self._new) * 2 > len(self._old):
            return
        text = msgspec.json.encode(_Stored(_stamp(), self._new))
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
        except (OSError, DecodeError, RecursionError):
            return {}
        return stored.blobs if stored.made == _stamp() else {}


def _stamp() -> str:
    digest = hashlib.sha256(f"{__version__} {CHECKS}".encode())
    for file in sorted(schema_folder().glob("*.json")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
