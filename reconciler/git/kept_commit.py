"""A commit as it is kept for times without Git: packed into pieces, and taken apart again. Pure.

What is kept is what Git gave: files that sops encrypted stay encrypted. Each piece and the whole
have a digest, so that what is half written, mixed or damaged is recognised.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence

import msgspec

from reconciler.api.errors import ReconcileError
from reconciler.api.files import MAX_TOTAL_BYTES, SourceFile
from reconciler.api.objects import RedactedRepr

VERSION = 1
MAX_PACKED_BYTES = 8 * 1024 * 1024
PIECE_BYTES = 900_000
_TOO_MUCH = MAX_TOTAL_BYTES * 3


class KeptFile(RedactedRepr, frozen=True, array_like=True):
    """A ``SourceFile`` as it was read from Git."""

    path: str
    content: bytes
    blob: str | None = None
    error: str = ""
    hint: str = ""


class KeptCommit(RedactedRepr, frozen=True):
    """``asked`` is the --ref by which it was found, ``ref`` its full name, ``tag`` the id of an
    annotated tag's object. ``signed`` is what the command line demanded and was checked
    (``gpg-commit``), ``signer`` by whom. ``whole``: all files of the commit, where the chosen
    folder needs others. ``addresses`` are those under which the repository was known."""

    commit: str
    files: tuple[KeptFile, ...]
    asked: str | None = None
    ref: str = ""
    tag: str = ""
    signed: str = ""
    signer: str = ""
    whole: tuple[KeptFile, ...] = ()
    submodules: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()

    @property
    def checkout_files(self) -> tuple[SourceFile, ...]:
        """The files of the chosen folder."""
        return tuple(map(_as_read, self.files))

    @property
    def whole_files(self) -> tuple[SourceFile, ...]:
        """All files of the commit; nothing where they were not needed."""
        return tuple(map(_as_read, self.whole))


class Packed(RedactedRepr, frozen=True):
    """``sha256`` is of all pieces together, ``digests`` of each."""

    commit: str
    sha256: str
    pieces: tuple[bytes, ...]
    digests: tuple[str, ...]


class TooLarge(ReconcileError):
    """A commit that is not kept because of its size."""


class DamagedCommit(ReconcileError):
    """What was kept is not whole, or not what was written."""


def kept_files(files: Sequence[SourceFile]) -> tuple[KeptFile, ...]:
    """Files as they were read from Git, for keeping."""
    return tuple(KeptFile(f.path, f.content, f.blob, f.error, f.hint) for f in files)


def _as_read(file: KeptFile) -> SourceFile:
    return SourceFile(file.path, file.content, file.blob, file.error, file.hint)


def pack(kept: KeptCommit, limit: int = MAX_PACKED_BYTES) -> Packed:
    """Raises TooLarge. The same commit packs into the same bytes."""
    encoder = zlib.compressobj(6)
    data = encoder.compress(bytes([VERSION]) + msgspec.msgpack.encode(kept)) + encoder.flush()
    if len(data) > limit:
        raise TooLarge(
            f"compressed it has {len(data):,} bytes, {limit:,} at most",
            hint="name the folder of the manifests with --path",
        )
    pieces = tuple(data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES))
    return Packed(kept.commit, digest_of_piece(data), pieces, tuple(map(digest_of_piece, pieces)))


def digest_of_piece(data: bytes) -> str:
    """SHA-256, as hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def unpack(packed: Packed) -> KeptCommit:
    """The inverse of ``pack``. Raises DamagedCommit unless every digest fits."""
    if len(packed.pieces) != len(packed.digests):
        raise DamagedCommit(f"it has {len(packed.pieces)} of {len(packed.digests)} pieces")
    for number, (piece, digest) in enumerate(zip(packed.pieces, packed.digests, strict=True), 1):
        if digest_of_piece(piece) != digest:
            raise DamagedCommit(f"piece {number} is not what was written")
    data = b"".join(packed.pieces)
    if digest_of_piece(data) != packed.sha256:
        raise DamagedCommit("its pieces do not make the whole that was written")
    try:
        decoder = zlib.decompressobj()
        content = decoder.decompress(data, _TOO_MUCH)
        if not decoder.eof:
            raise DamagedCommit("it is cut off, or larger than any repository may be")
        if content[:1] != bytes([VERSION]):
            raise DamagedCommit(f"it is of another version than {VERSION}")
        kept = msgspec.msgpack.decode(content[1:], type=KeptCommit)
    except (zlib.error, msgspec.DecodeError) as error:
        raise DamagedCommit(f"it cannot be read: {error}") from None
    if kept.commit != packed.commit:
        raise DamagedCommit(
            f"it holds commit {kept.commit[:12]} and is called {packed.commit[:12]}"
        )
    return kept
