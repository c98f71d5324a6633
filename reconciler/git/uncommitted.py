"""Whether the files of a work tree are those of its commit, byte for byte.

``git status`` passes over ignored files and over those that it was told to take as unchanged; a
run reads them all the same. So ids are compared: of what was read, and of what the commit holds.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from reconciler.api.files import Checkout, SourceFile, is_hidden
from reconciler.git import kustomize
from reconciler.git.local import AskedAhead
from reconciler.git.location import SourceLocation
from reconciler.git.work_tree import blob_id, read_directory, tree_question

_LINK = "120000"
_PLAIN = ("100644", "100755")


class _Entry(NamedTuple):
    mode: str
    id: str


def uncommitted_files(
    where: SourceLocation,
    checkout: Checkout,
    is_manifest: Callable[[str], bool],
    ahead: AskedAhead | None = None,
) -> tuple[SourceFile, ...]:
    """Those that differ from the commit, that it does not have, or that are missing; by path.

    Nothing of what was read from Git's objects. Only manifests matter; but where kustomize builds
    something, which may take in any file of the whole location, all of them do, and where helm
    renders something, all of the folder. ``ahead``: where Git was asked before. Raises SourceError
    when they cannot be read again.
    """
    if where.is_remote or where.ref is not None:
        return ()
    top = Path(where.location).expanduser()
    if any(posixpath.basename(file.path) in kustomize.NAMES for file in checkout.files):
        return _differing(top.resolve(), read_directory(str(top), "").files, checkout.commit)
    folder = (top / where.path).resolve()
    found = _differing(folder, checkout.files, checkout.commit, ahead)
    if not found:
        return ()
    from reconciler.git.helm import CHART_KIND

    rendered = any(CHART_KIND.search(file.content) for file in checkout.files)
    return tuple(file for file in found if rendered or is_manifest(file.path))


def _differing(
    folder: Path, files: Sequence[SourceFile], commit: str, ahead: AskedAhead | None = None
) -> tuple[SourceFile, ...]:
    tree = _tree(folder, commit, ahead or AskedAhead())
    read = {file.path: file for file in files}
    # What was refused when it was read was not used either.
    changed = [
        file
        for path, file in read.items()
        if not file.error and _id(tree, folder, path) != file.blob
    ]
    missing = [
        SourceFile(path)
        for path, entry in tree.items()
        if entry.mode in _PLAIN and path not in read and not is_hidden(path)
    ]
    return tuple(sorted([*changed, *missing], key=lambda file: file.path))


def _tree(folder: Path, commit: str, ahead: AskedAhead) -> dict[str, _Entry]:
    """What the commit holds below ``folder``, by the path from there."""
    done = ahead.answer(folder, *tree_question(commit))
    found = {}
    for line in done.stdout.split(b"\0") if done.code == 0 else ():
        if line:
            about, _, path = line.partition(b"\t")
            mode, _, name = about.decode().split(" ")
            found[os.fsdecode(path)] = _Entry(mode, name)
    return found


def _id(tree: dict[str, _Entry], folder: Path, path: str) -> str:
    """The id that the commit has for what is read at ``path``; empty: none."""
    entry = tree.get(path)
    if entry is not None and entry.mode == _LINK:
        link = folder / path
        if not link.is_symlink() or blob_id(os.fsencode(link.readlink())) != entry.id:
            return ""
        target = link.resolve()
        inside = target.is_relative_to(folder)
        entry = tree.get(target.relative_to(folder).as_posix()) if inside else None
    return entry.id if entry is not None else ""
