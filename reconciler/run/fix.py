"""Old manifests of a folder, rewritten in place (`reconcile validate --fix`)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path

from msgspec.structs import replace

from reconciler.api.errors import ReconcileError, SourceError, UsageError
from reconciler.api.files import SourceFile
from reconciler.api.objects import GroupKind, Object, map_of, maps_of
from reconciler.api.options import RunOptions
from reconciler.federation.sensitive import is_marked_sensitive
from reconciler.git.location import is_url
from reconciler.git.read import read_source
from reconciler.manifests.load import is_manifest, load
from reconciler.manifests.rewrite import Rewritten, rewrite


def fix_files(options: RunOptions) -> list[Rewritten]:
    """Rewrite every manifest of an API version that is gone, as far as no person has to decide.

    Files that sops encrypted and folders that kustomize builds are left alone. Raises SourceError,
    UsageError where there is no folder to write to, and ReconcileError for a file that cannot be
    written.
    """
    if is_url(options.repo) or options.mirrors or options.ref:
        raise UsageError(
            "--fix rewrites files, so it needs a directory, without --ref",
            hint="clone the repository, and name the clone with --repo",
        )
    # As a plan does: what is not committed yet is what is to be mended.
    files = read_source(replace(options, plan_only=True)).files
    # Each part is looked at by itself, and what is wrong otherwise is told by the check.
    readable = [f for f in files if is_manifest(f.path) and not (f.error or f.built_by)]
    kinds = _sensitive_kinds(readable)

    def is_hidden(body: Object) -> bool:
        kind = str(body.get("kind"))
        named = {kind, kind.removeprefix("Federated")} & kinds
        return bool(named) or is_marked_sensitive(body)

    folder = (Path(options.repo).expanduser() / options.path).resolve()
    found = [rewrite(file, is_hidden) for file in _once(readable, folder) if not file.decrypted]
    rewritten = [one for one in found if one is not None]
    before = {file.path: file.content for file in readable}
    changed = {one.path: one.content for one in rewritten if one.content is not None}
    for path in changed:
        _check_unchanged(folder / path, before[path])
    for path, content in changed.items():
        _write(folder / path, before[path], content)
    return rewritten


def _once(files: Iterable[SourceFile], folder: Path) -> list[SourceFile]:
    """Each file once, by its own name rather than by that of a link to it."""
    found: dict[Path, SourceFile] = {}
    for file in files:
        place = (folder / file.path).resolve()
        if place not in found or place == folder / file.path:
            found[place] = file
    return list(found.values())


def _sensitive_kinds(files: Collection[SourceFile]) -> frozenset[str]:
    """Kinds of which the Federation hides fields, by their names alone: groups change."""
    documents = load(file for file in files if b"sensitive" in file.content).documents
    return frozenset(
        GroupKind.parse(str(entry.get("kind"))).kind
        for document in documents
        if document.body["kind"] == "Federation"
        for entry in maps_of(map_of(document.body.get("spec")).get("sensitive"))
    )


def _check_unchanged(file: Path, before: bytes) -> None:
    try:
        now = file.read_bytes()
    except OSError as error:
        raise ReconcileError(f"{file.name} cannot be read: {error.strerror}") from error
    if now != before:
        raise SourceError(f"{file.name} was changed meanwhile; nothing of it is written")


def _write(file: Path, before: bytes, content: bytes) -> None:
    place = file.resolve()
    _check_unchanged(place, before)
    try:
        descriptor, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
        try:
            with os.fdopen(descriptor, "wb") as target:
                target.write(content)
            Path(name).chmod(place.stat().st_mode & 0o7777)
            Path(name).replace(place)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ReconcileError(f"{file.name} cannot be written: {error.strerror}") from error
