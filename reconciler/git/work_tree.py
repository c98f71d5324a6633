"""A folder read as it lies, Git work tree or not."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from reconciler.api.errors import SourceError
from reconciler.api.files import (
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_TOTAL_BYTES,
    Checkout,
    SourceFile,
    is_hidden,
)

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def read_directory(location: str, path: str) -> Checkout:
    """Every file below ``location``/``path``. Raises SourceError when there is no such folder."""
    root = Path(location).expanduser()
    if not root.is_dir():
        raise SourceError(f"there is no directory {location!r}", hint="name it with --repo")
    folder = (root / path).resolve()
    if not folder.is_relative_to(root.resolve()):
        raise SourceError(f"--path {path!r} leads out of {location!r}")
    if not folder.is_dir():
        inside = ", ".join(sorted(p.name for p in root.iterdir() if p.is_dir())[:10])
        raise SourceError(f"{location!r} has no folder {path!r}", hint=f"it has: {inside}")
    files = tuple(sorted(_read_all(folder), key=lambda f: f.path))
    commit, dirty = _commit_of(folder)
    return Checkout(str(folder), commit, dirty, files)


def _read_all(folder: Path) -> Iterator[SourceFile]:
    count = total = 0
    for here, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in sorted(names):
            if is_hidden(name):
                continue
            file = Path(here) / name
            relative = file.relative_to(folder).as_posix()
            count += 1
            if count > MAX_FILES:
                raise SourceError(f"more than {MAX_FILES} files in {folder.name}")
            found = _read(file, relative, folder)
            total += len(found.content)
            if total > MAX_TOTAL_BYTES:
                raise SourceError(f"more than {MAX_TOTAL_BYTES} bytes in {folder.name}")
            yield found


def _read(file: Path, relative: str, folder: Path) -> SourceFile:
    if CONTROL.search(relative):
        raise SourceError(
            f"{folder.name} holds the path {relative!r}",
            hint="names with control characters are refused",
        )
    if file.is_symlink() and not file.resolve().is_relative_to(folder):
        return SourceFile(relative, error="a symbolic link that leads out of the repository")
    try:
        if not file.is_file():
            # A pipe would let nobody go who opens it.
            return SourceFile(relative, error="no plain file")
        size = file.stat().st_size
        if size > MAX_FILE_BYTES:
            return SourceFile(
                relative, error=f"the file has {size} bytes; {MAX_FILE_BYTES} at most"
            )
        content = file.read_bytes()
    except OSError as error:
        return SourceFile(relative, error=f"cannot be read: {error.strerror}")
    return SourceFile(relative, content, blob_id(content))


def blob_id(content: bytes) -> str:
    """The id that Git gives such a file."""
    return object_id("blob", content)


def object_id(kind: str, content: bytes) -> str:
    """The id that Git gives a commit, a tree or a blob of this content."""
    header = f"{kind} {len(content)}\0".encode()
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()


def _commit_of(folder: Path) -> tuple[str, bool]:
    """HEAD and whether the work tree differs from it; nothing for a folder outside Git, or without
    a first commit. Raises SourceError where Git cannot say: that is not a clean work tree."""
    if not any((place / ".git").exists() for place in (folder, *folder.parents)):
        return "", False
    if _is_unborn(folder):
        return "", False
    head = _git(folder, "rev-parse", "--verify", "HEAD^{commit}").strip()
    changed = _git(folder, "status", "--porcelain", "--untracked-files=normal", "--", ".")
    return head, bool(changed)


def _is_unborn(folder: Path) -> bool:
    """Whether HEAD is a branch that has no commit yet."""
    from reconciler.git.fetch import local_git

    branch = local_git(folder, "symbolic-ref", "--quiet", "HEAD")
    if branch.code:
        return False
    found = local_git(folder, "for-each-ref", branch.stdout.decode().strip())
    # Of a branch whose file is damaged it says so, and lists nothing.
    return not (found.code or found.stdout or found.stderr)


def _git(folder: Path, *arguments: str) -> str:
    # No hooks, no file-system monitor: the folder may be somebody else's repository.
    from reconciler.git.fetch import local_git

    done = local_git(folder, *arguments)
    if done.code or done.timed_out:
        first_line = (done.stderr.strip().splitlines() or ["it did not end"])[0]
        raise SourceError(
            f"Git cannot tell which commit {folder} is, and whether it was changed: {first_line}",
            hint=f"mend it until this works: git -C {folder} status; or read a copy without .git",
        )
    return done.stdout.decode(errors="replace")
