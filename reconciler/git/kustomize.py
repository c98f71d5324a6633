"""Folders with a ``kustomization.yaml`` -> the manifests that kustomize builds of them."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from reconciler.api.files import SourceFile
from reconciler.git.location import without_password
from reconciler.git.work_tree import blob_id

NAMES = frozenset({"kustomization.yaml", "kustomization.yml", "Kustomization"})
SECONDS = 60
MAX_BYTES = 1024 * 1024
# Fields whose entries may be directories, which kustomize would look for anywhere.
_FOLDERS = ("resources", "bases", "components", "generators", "transformers", "validators")
_URL = r"^[a-z][a-z0-9+.-]*::?//|^git::|^git@|^[\w.-]+\.[a-z]{2,}[:/].|[?&](ref|version)="
_LOGGED = re.compile(r'E\d{4} \S+ +\d+ \S+\] "command failed" err="(.*)"')
"""How some kubectl tell it: as a line of a log."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class Kustomization(Struct, frozen=True):
    """``folder`` ("" is the top) and what its file, at ``path``, refers to in the repository."""

    folder: str
    path: str
    parts: tuple[str, ...] = ()
    component: bool = False
    error: str = ""
    hint: str = ""


def kustomizations(files: Sequence[SourceFile]) -> dict[str, Kustomization]:
    """Those of a repository, by folder."""
    known = {file.path for file in files}
    folders = {posixpath.dirname(path) for path in known}
    folders |= {parent for folder in folders for parent in _parents(folder)}
    return {
        posixpath.dirname(file.path): _read(file, known, folders)
        for file in files
        if posixpath.basename(file.path) in NAMES
    }


def _parents(folder: str) -> Iterator[str]:
    while folder:
        folder = posixpath.dirname(folder)
        yield folder


def roots(found: Mapping[str, Kustomization]) -> list[Kustomization]:
    """What is to be built: no other kustomization's part, and no component."""
    parts = {part for one in found.values() for part in one.parts if part != one.folder}
    return [
        one for folder, one in sorted(found.items()) if folder not in parts and not one.component
    ]


def is_below(path: str, folders: Iterable[str]) -> bool:
    """Whether a file lies in one of the folders or deeper."""
    return any(not folder or path.startswith(f"{folder}/") for folder in folders)


def _read(file: SourceFile, known: set[str], folders: set[str]) -> Kustomization:
    import yaml

    folder = posixpath.dirname(file.path)
    if file.error or len(file.content) > MAX_BYTES:
        return Kustomization(folder, file.path, error=file.error or "the file is too large")
    try:
        # Not libyaml's loader, whose recursion no exception ends.
        body = yaml.load(file.content, Loader=yaml.SafeLoader) or {}
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        return Kustomization(folder, file.path, error=f"not valid YAML{_place_of(error)}")
    if not isinstance(body, dict):
        return Kustomization(folder, file.path, error="the document is not a map")
    fault, hint = _fault(body, folder, known, folders)
    parts = [_place(folder, entry) for name in _FOLDERS for entry in _strings(body.get(name))]
    component = body.get("kind") == "Component"
    inside = tuple(part for part in parts if part is not None and part in folders)
    return Kustomization(folder, file.path, inside, component, fault, hint)


def _strings(value: Any) -> list[str]:
    """The paths in a field; what holds a line break is written out in place."""
    entries = value if isinstance(value, list) else []
    return [entry for entry in entries if isinstance(entry, str) and "\n" not in entry]


def _place(folder: str, entry: str) -> str | None:
    """A path of the repository; None when it leads out of it."""
    if entry.startswith("/"):
        return None
    place = posixpath.normpath(posixpath.join(folder, entry))
    if place == "..":
        return None
    return None if place.startswith("../") else "" if place == "." else place


def _fault(
    body: Mapping[str, Any], folder: str, known: set[str], folders: set[str]
) -> tuple[str, str]:
    for name in ("helmCharts", "helmChartInflationGenerator", "helmGlobals"):
        if body.get(name):
            return (
                f"{name}: charts are not rendered",
                "render it by a Chart of its own, or commit what `helm template` prints",
            )
    for name in _FOLDERS:
        for entry in _strings(body.get(name)):
            place = _place(folder, entry)
            if place is not None and (place in known or place in folders):
                continue
            if re.search(_URL, entry):
                shown = without_password(entry)
                return (
                    f"{name}: {shown!r} is outside the repository, and nothing is fetched",
                    _VENDOR,
                )
            if place is None:
                return f"{name}: {entry!r} leads out of the repository", ""
            return f"{name}: the repository has no {place!r}", ""
    for text in _all_strings(body):
        if re.match(r"(https?|git|ssh|oci)://", text):
            field_of_link = next((n for n in _PATHS if _mentions(body.get(n), text)), "")
            if field_of_link:
                what = (
                    "this" if field_of_link == "secretGenerator" else repr(without_password(text))
                )
                return (
                    f"{field_of_link}: {what} is outside the repository, and nothing is fetched",
                    _VENDOR,
                )
    return "", ""


_VENDOR = "commit a copy of it, and refer to that"
# Other fields with paths, which kustomize also takes from the network.
_PATHS = (
    "configurations",
    "crds",
    "openapi",
    "patches",
    "patchesStrategicMerge",
    "patchesJson6902",
    "replacements",
    "configMapGenerator",
    "secretGenerator",
)


def _all_strings(value: Any) -> Iterator[str]:
    """Every string in it; what aliases repeat counts once, for it may repeat without end."""
    waiting, seen = [value], set[int]()
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict | list) and id(one) not in seen:
            seen.add(id(one))
            waiting += one.values() if isinstance(one, dict) else one


def _mentions(value: Any, text: str) -> bool:
    return any(text == inner for inner in _all_strings(value))


def build(
    one: Kustomization, found: Mapping[str, Kustomization], files: Sequence[SourceFile]
) -> SourceFile:
    """What kustomize makes of it, as one file at the kustomization's path, or with an error.

    Only what it refers to is written, to a private directory that is removed afterwards.
    """
    folders = _closure(one, found)
    name = f"kustomize build {one.folder or '.'}"
    for folder in sorted(folders):
        part = found.get(folder)
        if part and part.error:
            return SourceFile(part.path, error=part.error, hint=part.hint, built_by=name)
    command = _command()
    if command is None:
        return SourceFile(
            one.path,
            error="this folder has to be built, and there is neither kustomize nor kubectl",
            hint="install one of them, or set spec.source.kustomize.enabled: false and commit "
            "what it builds",
            built_by=name,
        )
    # Most repositories have nothing to build.
    import tempfile

    from reconciler.git.processes import run_program

    with tempfile.TemporaryDirectory(prefix="reconcile-kustomize-") as place:
        top = Path(place) / "repository"
        _write(top, [file for file in files if is_below(file.path, folders)])
        done = run_program(
            [*command, str(top / one.folder)], _environment(place), seconds=SECONDS, folder=top
        )
        stderr = done.stderr.replace(f"{Path(top).resolve()}/", "").replace(f"{top}/", "")
    if done.timed_out:
        return SourceFile(one.path, error=f"{name} did not end in {SECONDS} s", built_by=name)
    if done.code:
        return _unbuilt(one, name, stderr, [file for file in files if is_below(file.path, folders)])
    return SourceFile(one.path, done.stdout, blob_id(done.stdout), built_by=name)


def _unbuilt(one: Kustomization, name: str, stderr: str, files: Sequence[SourceFile]) -> SourceFile:
    """Why it was not built. kustomize quotes what it reads, in snippets and as options of its own:
    where there may be a Secret, only which files it names is passed on."""
    if any(word in file.content.lower() for file in files for word in (b"secret", b"sensitive")):
        named = sorted(file.path for file in files if file.path in stderr)
        reason = f"kustomize refuses {', '.join(named[:3]) or 'what it refers to'}"
        hint = f"`{name}` says why; it may quote values of Secrets, so it is not repeated here"
    else:
        reason = _CONTROL.sub(" ", stderr).strip().removeprefix("Error: ").removeprefix("error: ")
        if logged := _LOGGED.fullmatch(reason):
            reason = logged[1].replace('\\"', '"')
        hint = ""
    return SourceFile(one.path, error=f"cannot be built: {reason[:500]}", hint=hint, built_by=name)


def _place_of(error: Exception) -> str:
    """Where a file is no YAML; its words and snippets would quote the file."""
    mark = getattr(error, "problem_mark", None)
    return f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""


def _closure(one: Kustomization, found: Mapping[str, Kustomization]) -> set[str]:
    """The folder with all that it refers to, directly or not."""
    reached: set[str] = set()
    open_folders = [one.folder]
    while open_folders:
        folder = open_folders.pop()
        if folder not in reached:
            reached.add(folder)
            open_folders += found[folder].parts if folder in found else ()
    return reached


def _command() -> list[str] | None:
    import shutil

    if kustomize := shutil.which("kustomize"):
        return [kustomize, "build"]
    if kubectl := shutil.which("kubectl"):
        return [kubectl, "kustomize"]
    return None


def _environment(place: str) -> dict[str, str]:
    """No program to run (plugins, git, helm), no settings, and no way to the network."""
    nowhere = "http://127.0.0.1:9"
    return {
        "PATH": "",
        "HOME": place,
        "TMPDIR": place,
        "KUBECONFIG": os.devnull,
        "HTTP_PROXY": nowhere,
        "HTTPS_PROXY": nowhere,
        "ALL_PROXY": nowhere,
        "NO_PROXY": "",
    }


def _write(top: Path, files: Sequence[SourceFile]) -> None:
    top.mkdir(mode=0o700)
    for file in files:
        if file.error:
            continue
        target = top / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
