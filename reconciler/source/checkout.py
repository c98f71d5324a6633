"""What was read from a repository: its files, and which commit they are of."""

from __future__ import annotations

from msgspec import Struct

from reconciler.source.files import SourceFile

MAX_FILES = 20_000
MAX_FILE_BYTES = 10 * 1024 * 1024
MAX_TOTAL_BYTES = 512 * 1024 * 1024


class Checkout(Struct, frozen=True):
    """``commit`` is empty for a folder that is no Git work tree; ``dirty`` says that files differ
    from it. ``files`` are sorted by path, relative to the chosen folder.

    ``ref`` is the full name of what was read (``refs/tags/v1``), and ``tag`` the id of the
    annotated tag's own object; both are empty where they are not known. ``warnings`` tell of
    what lies there and is not read.
    """

    description: str
    commit: str
    dirty: bool
    files: tuple[SourceFile, ...]
    ref: str = ""
    tag: str = ""
    warnings: tuple[str, ...] = ()
