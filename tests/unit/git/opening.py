"""A source as a run opens it, without its rules and its decoding."""

from __future__ import annotations

from pathlib import Path

from reconciler.api.files import Checkout
from reconciler.api.options import FETCH_SECONDS
from reconciler.git.commits import read_git_repository
from reconciler.git.credentials import SourceCredentials
from reconciler.git.location import default_cache, locate
from reconciler.git.work_tree import read_directory


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
    where = locate(
        location,
        ref=ref,
        path=path,
        cache=(cache or default_cache()) / "git",
        credentials=credentials,
        seconds=FETCH_SECONDS if seconds is None else seconds,
    )
    if ref is None and not where.is_remote:
        return read_directory(location, path)
    return read_git_repository(where)
