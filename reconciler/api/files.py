"""A file of the repository, as bytes."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import NamedTuple

from msgspec import Struct


class _Compressed(NamedTuple):
    data: bytes


class _Content:
    """The bytes of a file, be they kept compressed or not."""

    def __get__(self, file: SourceFile | None, _owner: type | None = None) -> bytes:
        if file is None:
            # What dataclasses take for the default.
            return b""
        kept: bytes | _Compressed = vars(file)["content"]
        return zlib.decompress(kept.data) if isinstance(kept, _Compressed) else kept

    def __set__(self, file: SourceFile, content: bytes) -> None:
        vars(file)["content"] = content


@dataclass(frozen=True, repr=False)
class SourceFile:
    """``path`` is relative to the chosen folder, with ``/``; ``blob`` is the Git blob id, if known.

    ``error`` is set instead of content when the file could not be read or is refused (too large),
    with ``hint`` telling what to do. ``built_by`` is the command whose output the content is: then
    no line of ``path`` can be named but ``built_line``, where that is asked for. ``decrypted``
    content is kept in memory only, beside the ``encrypted`` one as it lies in Git.
    """

    path: str
    content: _Content = _Content()
    blob: str | None = None
    error: str = ""
    hint: str = ""
    built_by: str = ""
    built_line: int = 1
    decrypted: bool = False
    encrypted: bytes = b""

    def __repr__(self) -> str:
        return f"<SourceFile {self.path}>"

    def pack(self) -> None:
        """Keep the content compressed from now on; it is given as before. Most files are read once,
        and then looked into only for the place of a fault."""
        vars(self)["content"] = _Compressed(zlib.compress(self.content, 1))


# -- checkouts -------------------------------------------------------------------------------------


_READ_THOUGH_HIDDEN = ".helmignore"
MAX_FILES = 20_000
MAX_FILE_BYTES = 10 * 1024 * 1024
MAX_TOTAL_BYTES = 512 * 1024 * 1024


def is_hidden(path: str) -> bool:
    """Whether a file, or a folder that it lies in, has a name that begins with a dot: such files
    are not read. ``.helmignore`` is, as helm does not render what it says."""
    folder, _, name = path.rpartition("/")
    if name == _READ_THOUGH_HIDDEN:
        path = folder
    return path.startswith(".") or "/." in path


class Checkout(Struct, frozen=True):
    """``commit`` is empty for a folder that is no Git work tree; ``dirty`` says that files differ
    from it. ``files`` are sorted by path, relative to the chosen folder.

    ``ref`` is the full name of what was read (``refs/tags/v1``), and ``tag`` the id of the
    annotated tag's own object; both are empty where they are not known. ``submodules`` are the
    paths of those that lie there: what is in them is not read.
    """

    description: str
    commit: str
    dirty: bool
    files: tuple[SourceFile, ...]
    ref: str = ""
    tag: str = ""
    submodules: tuple[str, ...] = ()
