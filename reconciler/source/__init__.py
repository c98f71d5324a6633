"""Git repositories and directories -> ``Checkout``. The only door to Git and to files."""

from __future__ import annotations

import os
from pathlib import Path

from reconciler.source.checkout import Checkout
from reconciler.source.files import SourceFile

__all__ = ["Checkout", "SourceFile", "default_cache", "open_source"]


def default_cache() -> Path:
    """Where clones and parsed manifests are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "federation-reconciler"


def open_source(
    location: str, *, ref: str | None = None, path: str = "", cache: Path | None = None
) -> Checkout:
    """Read a directory as it lies, or one commit of a repository (a URL, or given a ``ref``).

    Raises SourceError when it cannot be read.
    """
    from reconciler.source.git import is_url

    if ref is None and not is_url(location):
        from reconciler.source.directory import read_directory

        return read_directory(location, path)
    from reconciler.source.git import read_repository

    return read_repository(location, ref, path, (cache or default_cache()) / "git")
