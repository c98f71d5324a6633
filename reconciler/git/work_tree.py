"""A folder read as it lies, Git work tree or not."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from io import FileIO
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
from reconciler.git.local import AskedAhead, local_git

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_FULL_ID = re.compile(rb"[0-9a-f]{40}|[0-9a-f]{64}")
# Of the head nothing but its name and whether files differ from it: not how far its branch is from
# another. No hooks, no file-system monitor: the folder may be somebody else's repository.
_STATUS = (
    *("status", "--porcelain=v2", "--branch", "--no-ahead-behind"),
    *("--untracked-files=normal", "--", "."),
)
_HEAD = b"# branch.oid "


def read_directory(location: str, path: str, ahead: AskedAhead | None = None) -> Checkout:
    """Every file below ``location``/``path``. Raises SourceError when there is no such folder.

    ``ahead``: where Git was asked before, or is to be asked for what ``uncommitted_files`` needs.
    """
    folder = folder_of(location, path)
    asked = ahead or AskedAhead()
    ask_status(folder, asked)
    try:
        files = tuple(sorted(_read_all(folder), key=lambda f: f.path))
        commit, dirty = _commit_of(folder, asked)
    except BaseException:
        asked.forget()
        raise
    if ahead and commit and not dirty:
        ahead.ask(folder, *tree_question(commit))
    return Checkout(str(folder), commit, dirty, files)


def ask_status(folder: Path, ahead: AskedAhead) -> None:
    """Have Git begin to say which commit a work tree is of, and whether files differ from it."""
    if top_of(folder) is not None:
        ahead.ask(folder, *_STATUS)


def tree_question(commit: str) -> tuple[str, ...]:
    """What Git is asked to have all that a commit holds below a folder."""
    return ("ls-tree", "-r", "-z", commit)


def top_of(folder: Path) -> Path | None:
    """The top of the work tree that a folder lies in; None outside Git."""
    return next((place for place in (folder, *folder.parents) if (place / ".git").exists()), None)


def folder_of(location: str, path: str) -> Path:
    """The folder ``path`` of a directory, resolved. Raises SourceError where there is none."""
    root = Path(location).expanduser()
    if not root.is_dir():
        raise SourceError(f"there is no directory {location!r}", hint="name it with --repo")
    folder = (root / path).resolve()
    if not folder.is_relative_to(root.resolve()):
        raise SourceError(f"--path {path!r} leads out of {location!r}")
    if not folder.is_dir():
        inside = ", ".join(sorted(p.name for p in root.iterdir() if p.is_dir())[:10])
        raise SourceError(f"{location!r} has no folder {path!r}", hint=f"it has: {inside}")
    return folder


def _read_all(folder: Path) -> Iterator[SourceFile]:
    count = total = 0
    top = os.path.join(folder, "")  # noqa: PTH118  (a Path for each file takes longer than to read it)
    for here, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in sorted(names):
            if is_hidden(name):
                continue
            file = os.path.join(here, name)  # noqa: PTH118
            relative = file[len(top) :]
            count += 1
            if count > MAX_FILES:
                raise SourceError(f"more than {MAX_FILES} files in {folder.name}")
            found = _read(file, relative, folder)
            total += len(found.content)
            if total > MAX_TOTAL_BYTES:
                raise SourceError(f"more than {MAX_TOTAL_BYTES} bytes in {folder.name}")
            yield found


def _read(file: str, relative: str, folder: Path) -> SourceFile:
    if CONTROL.search(relative):
        raise SourceError(
            f"{folder.name} holds the path {relative!r}",
            hint="names with control characters are refused",
        )
    try:
        mode = os.lstat(file).st_mode
        linked = stat.S_ISLNK(mode)
        if linked and not Path(file).resolve().is_relative_to(folder):
            return SourceFile(relative, error="a symbolic link that leads out of the repository")
        if not (Path(file).is_file() if linked else stat.S_ISREG(mode)):
            # A pipe would let nobody go who opens it.
            link = "a symbolic link that leads to " if linked else ""
            hint = "copy the file instead" if linked else ""
            return SourceFile(relative, error=f"{link}no plain file", hint=hint)
        with FileIO(file) as opened:
            size = os.fstat(opened.fileno()).st_size
            if size > MAX_FILE_BYTES:
                return SourceFile(
                    relative, error=f"the file has {size} bytes; {MAX_FILE_BYTES} at most"
                )
            content = opened.readall()
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


def _commit_of(folder: Path, ahead: AskedAhead) -> tuple[str, bool]:
    """HEAD and whether the work tree differs from it; nothing for a folder outside Git, or without
    a first commit. Raises SourceError where Git cannot say: that is not a clean work tree."""
    if top_of(folder) is None:
        return "", False
    told = ahead.answer(folder, *_STATUS)
    lines = told.stdout.splitlines()
    head = next((line.removeprefix(_HEAD) for line in lines if line.startswith(_HEAD)), b"")
    if not (told.code or told.timed_out) and _FULL_ID.fullmatch(head):
        return head.decode(), not all(line.startswith(b"# ") for line in lines)
    # It says "(initial)" of a branch without a commit, and of one whose file is damaged.
    if _is_unborn(folder):
        return "", False
    commit = _git(folder, "rev-parse", "--verify", "HEAD^{commit}").strip()
    changed = _git(folder, "status", "--porcelain", "--untracked-files=normal", "--", ".")
    return commit, bool(changed)


def _is_unborn(folder: Path) -> bool:
    """Whether HEAD is a branch that has no commit yet."""
    branch = local_git(folder, "symbolic-ref", "--quiet", "HEAD")
    if branch.code:
        return False
    found = local_git(folder, "for-each-ref", branch.stdout.decode().strip())
    # Of a branch whose file is damaged it says so, and lists nothing.
    return not (found.code or found.stdout or found.stderr)


def _git(folder: Path, *arguments: str) -> str:
    done = local_git(folder, *arguments)
    if done.code or done.timed_out:
        first_line = (done.stderr.strip().splitlines() or ["it did not end"])[0]
        raise SourceError(
            f"Git cannot tell which commit {folder} is, and whether it was changed: {first_line}",
            hint=f"mend it until this works: git -C {folder} status; or read a copy without .git",
        )
    return done.stdout.decode(errors="replace")
