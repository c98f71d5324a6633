"""A file of the repository, as bytes."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SourceFile:
    """``path`` is relative to the chosen folder, with ``/``; ``blob`` is the Git blob id, if known.

    ``error`` is set instead of content when the file could not be read or is refused (too large),
    with ``hint`` telling what to do. ``built_by`` is the command whose output the content is (then
    no line of ``path`` can be named); ``decrypted`` content is kept in memory only, beside the
    ``encrypted`` one as it lies in Git.
    """

    path: str
    content: bytes = field(repr=False, default=b"")
    blob: str | None = None
    error: str = ""
    hint: str = ""
    built_by: str = ""
    decrypted: bool = False
    encrypted: bytes = field(repr=False, default=b"")
