"""A Git repository read straight from its objects: no work tree, no hooks, no filters."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from reconciler.api.errors import NoSuchFolder, SourceError
from reconciler.api.files import (
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_TOTAL_BYTES,
    Checkout,
    SourceFile,
    is_hidden,
)
from reconciler.git.fetch import (
    Fetched,
    fetch,
    fetch_commit,
    with_clone,
)
from reconciler.git.local import git_environment, local_git
from reconciler.git.location import SourceLocation
from reconciler.git.work_tree import CONTROL, blob_id, object_id

_SYMLINK = 0o120000
_SUBMODULE = 0o160000


def read_git_repository(where: SourceLocation) -> Checkout:
    """Fetch what is needed of a remote (or of a local work tree, given a ref) and read one commit.

    Raises SourceError when it cannot be reached or has no such ref or path.
    """
    if where.is_remote:
        return _guarded(
            where, lambda: with_clone(where, lambda folder: _fetch_and_read(where, folder))
        )
    return _guarded(where, lambda: _read_local(where))


def git_folder(where: SourceLocation) -> Path:
    """The ``.git`` of a local work tree. Raises SourceError when there is none."""
    done = local_git(Path(where.location), "rev-parse", "--absolute-git-dir")
    if done.code:
        raise SourceError(
            f"{where.name} is not a Git repository", hint="leave --ref out to read it as is"
        )
    return Path(os.fsdecode(done.stdout.rstrip(b"\n")))


def read_commit(where: SourceLocation, folder: Path, commit: str) -> Checkout:
    """One commit that is known to be in the repository at ``folder``, at the same path."""
    inside = where.path if where.is_remote else _inside(where)
    return _guarded(where, lambda: _read(where, folder, Fetched(commit), inside))


def read_commit_reusing(
    where: SourceLocation, folder: Path, commit: str, beside: Iterable[SourceFile]
) -> tuple[SourceFile, ...]:
    """The files of ``read_commit``, most of which lie ``beside`` unchanged and are not read again.

    Git is asked twice, whatever the number of files; what is not plain is left to ``read_commit``.
    """
    inside = where.path if where.is_remote else _inside(where)
    top = f"{commit}:{'' if inside == '.' else inside.strip('/')}"
    listed = local_git(folder, "ls-tree", "-r", "-z", "--long", top)
    names: dict[str, str] = {}
    sizes: dict[str, int] = {}
    plain = not listed.code
    for line in listed.stdout.split(b"\0")[:-1]:
        about, _, name = line.partition(b"\t")
        octal, _, blob, size = about.decode().split()
        mode, path = int(octal, 8), os.fsdecode(name)
        if mode == _SUBMODULE or is_hidden(path):
            continue
        plain &= mode != _SYMLINK
        names[path] = blob
        sizes[blob] = int(size)
    known = {file.blob or "": file.content for file in beside}
    missing = [blob for blob in sizes if blob not in known]
    if not plain or sum(sizes[blob] for blob in missing) > MAX_FILE_BYTES:
        return read_commit(where, folder, commit).files
    known |= _blobs(folder, missing)
    return tuple(SourceFile(name, known[blob], blob) for name, blob in sorted(names.items()))


def _blobs(folder: Path, ids: Sequence[str]) -> dict[str, bytes]:
    """Contents by id. Raises SourceError when one is missing or damaged."""
    given = "".join(f"{blob}\n" for blob in ids).encode()
    output = BytesIO(local_git(folder, "cat-file", "--batch", given=given).stdout if ids else b"")
    found: dict[str, bytes] = {}
    for blob in ids:
        header = output.readline().decode(errors="replace").split()
        size = int(header[2]) if header[:2] == [blob, "blob"] else 0
        found[blob] = output.read(size)
        output.readline()
        if blob_id(found[blob]) != blob:
            raise SourceError(f"object {blob} is missing or damaged", hint="try git fsck")
    return found


def read_fetched(where: SourceLocation, head: Fetched) -> Checkout:
    """A commit of a remote that was fetched before, without asking the server again."""
    return _guarded(
        where, lambda: with_clone(where, lambda f: _read_again(where, f, head, where.path))
    )


def read_whole_commit(where: SourceLocation, commit: str) -> Checkout:
    """All files of a commit that was read before, whatever the chosen path."""
    if where.is_remote:
        found = Fetched(commit)
        return _guarded(
            where, lambda: with_clone(where, lambda f: _read_again(where, f, found, ""))
        )
    return _guarded(where, lambda: _read(where, git_folder(where), Fetched(commit), ""))


def _read_again(where: SourceLocation, folder: Path, found: Fetched, path: str) -> Checkout:
    # Another run may have thrown the clone away meanwhile.
    if not fetch_commit(where, folder, found.commit):
        raise SourceError(f"{where.name} has lost commit {found.commit[:12]}", hint="run it again")
    return _read(where, folder, found, path)


def read_blob(folder: Path, commit: str, path: str) -> bytes:
    """A file of a commit by its path from the top; empty when it is not there or too large."""
    name = f"{commit}:{posixpath.normpath(path)}"
    size = local_git(folder, "cat-file", "-s", name)
    if size.code or int(size.stdout) > MAX_FILE_BYTES:
        return b""
    return local_git(folder, "cat-file", "blob", name).stdout


def _guarded(where: SourceLocation, work: Any) -> Checkout:
    from git import GitError

    try:
        checkout: Checkout = work()
    except (GitError, OSError, ValueError) as error:
        text = str(getattr(error, "stderr", "") or error).strip().strip("'")
        line = (text.splitlines() or [type(error).__name__])[-1]
        raise SourceError(f"{where.name}: {where.redact(line)}") from None
    return checkout


def _fetch_and_read(where: SourceLocation, folder: Path) -> Checkout:
    return _read(where, folder, fetch(where, folder), where.path)


def _read_local(where: SourceLocation) -> Checkout:
    folder = git_folder(where)
    ref = where.ref or "HEAD"
    found = local_git(folder, "rev-parse", ref, f"{ref}^{{commit}}", "--")
    ids = found.stdout.decode(errors="replace").split()
    if found.code:
        names = local_git(folder, "for-each-ref", "--format=%(refname:short)", "refs/heads")
        listed = ", ".join(names.stdout.decode(errors="replace").split()[:10])
        raise SourceError(
            f"{where.name} has no ref {ref!r}", hint=f"branches: {listed}" if listed else ""
        )
    name = local_git(folder, "rev-parse", "--symbolic-full-name", ref).stdout.decode().strip()
    tag = ids[0] if ids[0] != ids[1] else ""
    return _read(where, folder, Fetched(ids[1], name, tag), _inside(where))


def _inside(where: SourceLocation) -> str:
    """The chosen folder, relative to the top of a local work tree."""
    found = local_git(Path(where.location), "rev-parse", "--show-prefix")
    prefix = os.fsdecode(found.stdout.rstrip(b"\n"))
    inside = posixpath.normpath(posixpath.join(prefix, where.path.strip("/")))
    if inside.startswith(".."):
        raise SourceError(f"--path {where.path!r} leads out of {where.name}")
    return inside


def _read(where: SourceLocation, folder: Path, found: Fetched, path: str) -> Checkout:
    from git import Repo

    with Repo(folder) as repository:
        repository.git.update_environment(**git_environment())
        commit = repository.commit(found.commit)
        _content(commit)
        tree: Any = commit.tree
        _content(tree)
        inside = path.strip("/")
        if inside not in ("", "."):
            tree = _folder(tree, inside, where)
        files, submodules = _files(tree, "" if inside in ("", ".") else f"{inside}/")
    return Checkout(
        where.name, found.commit, False, files, ref=found.name, tag=found.tag, submodules=submodules
    )


def _folder(tree: Any, inside: str, where: SourceLocation) -> Any:
    found = tree
    try:
        for name in posixpath.normpath(inside).split("/"):
            found = found / name
            if found.type == "tree":
                _content(found)
    except KeyError:
        found = None
    if found is None or found.type != "tree":
        names = ", ".join(sorted(t.name for t in tree.trees)[:10])
        at = where.ref or "HEAD"
        raise NoSuchFolder(
            f"{where.name} has no folder {inside!r} at {at}", hint=f"it has: {names}"
        )
    return found


def _files(tree: Any, prefix: str) -> tuple[tuple[SourceFile, ...], tuple[str, ...]]:
    blobs: dict[str, Any] = {}
    submodules: list[str] = []
    for count, item in enumerate(tree.traverse()):
        if count > MAX_FILES:
            raise SourceError(f"more than {MAX_FILES} files in the repository")
        relative = str(item.path).removeprefix(prefix)
        parts = relative.split("/")
        if ".." in parts or CONTROL.search(relative):
            raise SourceError(
                f"the repository holds the path {relative!r}",
                hint="names with .. or control characters are refused",
            )
        if is_hidden(relative):
            continue
        if item.type == "submodule":
            submodules.append(relative)
        elif item.type == "blob":
            blobs[relative] = item
        else:
            _content(item)
    return tuple(sorted(_contents(blobs), key=lambda f: f.path)), tuple(sorted(submodules))


def _contents(blobs: dict[str, Any]) -> Iterator[SourceFile]:
    total = 0
    for relative, found in blobs.items():
        item = found
        if item.mode == _SYMLINK:
            item = _target(relative, found, blobs)
            if item is None:
                yield SourceFile(
                    relative,
                    error="a symbolic link that leads to no plain file of the repository",
                    hint="copy the file instead",
                )
                continue
        if item.size > MAX_FILE_BYTES:
            error = f"the file has {item.size} bytes; {MAX_FILE_BYTES} at most"
            yield SourceFile(relative, error=error)
            continue
        total += item.size
        if total > MAX_TOTAL_BYTES:
            raise SourceError(f"more than {MAX_TOTAL_BYTES} bytes in the repository")
        yield SourceFile(relative, _content(item), item.hexsha)


def _content(item: Any) -> bytes:
    """What an object of Git holds. Raises ValueError unless it is what its id says: a tree that
    is another one would be a repository without some of its files."""
    content: bytes = item.data_stream.read()
    if object_id(item.type, content) != item.hexsha:
        raise ValueError(f"object {item.hexsha} is damaged")
    return content


def _target(relative: str, link: Any, blobs: dict[str, Any]) -> Any | None:
    """The plain file that a link leads to, among those read; not through another link."""
    if link.size > 4096:
        return None
    leads_to = link.data_stream.read().decode(errors="replace")
    if leads_to.startswith("/"):
        return None
    place = posixpath.normpath(posixpath.join(posixpath.dirname(relative), leads_to))
    item = blobs.get(place)
    return item if item is not None and item.mode != _SYMLINK else None
