"""Git repositories and directories -> ``Checkout``. The only door to Git and to files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.source.checkout import Checkout
from reconciler.source.files import SourceFile

if TYPE_CHECKING:
    from reconciler.source.credentials import SourceCredentials

__all__ = ["Checkout", "SourceFile", "default_cache", "open_source"]


def default_cache() -> Path:
    """Where clones and parsed manifests are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "federation-reconciler"


def open_source(
    location: str,
    *,
    ref: str | None = None,
    path: str = "",
    cache: Path | None = None,
    credentials: SourceCredentials | None = None,
    seconds: float | None = None,
) -> Checkout:
    """Read a directory as it lies, or one commit of a repository (a URL, or given a ``ref``).

    ``seconds`` bounds what is fetched. Raises SourceError when it cannot be read.
    """
    from reconciler.source.location import FETCH_SECONDS, locate

    where = locate(
        location,
        ref=ref,
        path=path,
        cache=(cache or default_cache()) / "git",
        credentials=credentials,
        seconds=FETCH_SECONDS if seconds is None else seconds,
    )
    if ref is None and not where.is_remote:
        from reconciler.source.directory import read_directory

        return read_directory(location, path)
    from reconciler.source.git import read_repository

    return read_repository(where)
