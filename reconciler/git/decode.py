"""Files as they lie in Git -> files that hold manifests: decrypted, built, or refused."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from reconciler.api.files import SourceFile
from reconciler.git import kustomize, sops
from reconciler.git.source_rules import SourceRules

_LFS = b"version https://git-lfs.github.com/spec/"
_MANIFESTS = (".yaml", ".yml", ".json")


def decode_files(
    files: Sequence[SourceFile],
    rules: SourceRules,
    *,
    path: str = "",
    whole: Callable[[], Sequence[SourceFile]] | None = None,
) -> tuple[SourceFile, ...]:
    """Decrypt and build what ``rules`` allow. What cannot be decoded carries an error.

    ``whole`` gives all files of the same commit, for a kustomization that refers to folders
    outside of the chosen ``path``. Files in folders that are built are not manifests themselves.
    """
    found = kustomize.kustomizations(files)
    plain = [file for file in files if not kustomize.is_below(file.path, found)]
    built = _built(files, rules, path.strip("/"), whole) if found else []
    return tuple(sorted([*_decoded(plain, rules), *built], key=lambda f: f.path))


def _decoded(files: Sequence[SourceFile], rules: SourceRules) -> list[SourceFile]:
    encrypted = [f for f in files if f.path.endswith(_MANIFESTS) and sops.is_encrypted(f)]
    clear: dict[str, SourceFile] = {}
    if encrypted and rules.sops:
        clear = {file.path: file for file in sops.decrypt(encrypted)}
    for file in encrypted:
        if not rules.sops:
            clear[file.path] = SourceFile(
                file.path,
                error="encrypted by sops, which no rule asks to decrypt",
                hint="set spec.source.sops.enabled: true in the Federation",
            )
    return [_without_pointer(clear.get(file.path, file)) for file in files]


def _without_pointer(file: SourceFile) -> SourceFile:
    if not file.content.startswith(_LFS):
        return file
    return SourceFile(
        file.path,
        error="a pointer of Git LFS; what it points to is not fetched",
        hint="keep manifests out of LFS",
    )


def _built(
    files: Sequence[SourceFile],
    rules: SourceRules,
    path: str,
    whole: Callable[[], Sequence[SourceFile]] | None,
) -> list[SourceFile]:
    inside = kustomize.kustomizations(files)
    if not rules.kustomize:
        return [
            SourceFile(
                one.path,
                error="a kustomization, and spec.source.kustomize.enabled is false",
                hint="enable it, or commit what kustomize builds and keep this out of --path",
                built_by="kustomize build",
            )
            for one in kustomize.roots(inside) or inside.values()
        ]
    prefix = "" if path in ("", ".") else f"{posixpath.normpath(path)}/"
    everything = list(whole()) if prefix and whole else list(files)
    if not whole:
        prefix = ""
    found = kustomize.kustomizations(everything)
    # Who refers to a folder from outside of --path does not matter: the chosen one is wanted.
    chosen = {
        folder: one for folder, one in found.items() if kustomize.is_below(one.path, [prefix[:-1]])
    }
    problems = _encrypted_inside(everything, found)
    if problems:
        return [replace(one, path=one.path.removeprefix(prefix)) for one in problems]
    to_build = kustomize.roots(chosen)
    if not to_build:
        first = min(one.path for one in chosen.values())
        return [
            SourceFile(
                first.removeprefix(prefix),
                error="only parts of kustomizations here, or a circle of them: nothing to build",
                hint="choose the folder of an overlay with --path",
                built_by="kustomize build",
            )
        ]
    results = [kustomize.build(one, found, everything) for one in to_build]
    return [replace(one, path=one.path.removeprefix(prefix)) for one in results]


def _encrypted_inside(
    files: Sequence[SourceFile], found: Mapping[str, kustomize.Kustomization]
) -> list[SourceFile]:
    """kustomize reads from the disk, where decrypted text must not be."""
    return [
        SourceFile(
            file.path,
            error="encrypted by sops and in a folder that kustomize builds: its clear text would "
            "have to be written to the disk",
            hint="move it out of the folders with a kustomization.yaml; it is read from anywhere",
        )
        for file in files
        if file.path.endswith(_MANIFESTS)
        and kustomize.is_below(file.path, found)
        and sops.is_encrypted(file)
    ]
