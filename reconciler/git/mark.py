"""A short mark of what a repository has now: while it is the same, reading it gives the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from reconciler.api.errors import SourceError
from reconciler.api.options import RunOptions
from reconciler.git.fetch import refs_at
from reconciler.git.local import local_git
from reconciler.git.location import SourceLocation, is_full_id
from reconciler.git.read import places_of


def mark_of_source(options: RunOptions) -> str:
    """Without fetching anything; empty where nobody can tell, as no source answers."""
    digest = hashlib.sha256()
    try:
        for where in places_of(options):
            digest.update(_mark_of(where).encode() + b"\0")
    except (SourceError, OSError):
        return ""
    return digest.hexdigest()


def _mark_of(where: SourceLocation) -> str:
    """Raises SourceError, OSError."""
    if where.ref and is_full_id(where.ref):
        return where.ref
    if where.is_remote:
        return refs_at(where)
    folder = Path(where.location)
    if where.ref is not None:
        done = local_git(folder, "rev-parse", "--verify", "--quiet", f"{where.ref}^{{commit}}")
        if done.code:
            raise SourceError(f"{where.name} has no {where.ref}")
        return done.stdout.decode()
    digest = hashlib.sha256(local_git(folder, "rev-parse", "HEAD").stdout)
    for name in _files(folder):
        digest.update(name.encode(errors="surrogateescape"))
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[str]:
    """Each file with what changes whenever it is written, without Git's own."""
    pending = [folder]
    while pending:
        with os.scandir(pending.pop()) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            if entry.name == ".git":
                continue
            if entry.is_dir(follow_symlinks=False):
                pending.append(Path(entry.path))
            else:
                yield stamp(entry.path)


def stamp(path: Path | str) -> str:
    """Changes whenever a file, or what a link leads to, is written or replaced."""
    try:
        seen = os.stat(path)  # noqa: PTH116  (of thousands of files, and in each round)
    except OSError:
        return f"{path}\0-"
    return f"{path}\0{seen.st_ino}.{seen.st_size}.{seen.st_mtime_ns}.{seen.st_ctime_ns}"
