"""A Dockerfile carried out without a container engine, by overlay mounts over this machine.

The base image is this machine, with its Python instead of the one that FROM names; everything else
is what the file says, line by line. It takes root, and leaves nothing outside of its folder.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from tests.e2e.cronjob.containers import ROOT, UNSHARE, impossible
from tests.e2e.cronjob.dockerfile import DOCKERFILE, Instruction, Stage, expanded, stages

# What a build may know of this machine: how it reaches package registries.
_NETWORK = ("PIP_", "SSL_", "REQUESTS_", "CURL_", "http", "https", "HTTP", "HTTPS", "NO_PROXY")
_OVERLAY = "mount -t overlay overlay -o"


@dataclass(frozen=True)
class Image:
    """``added`` holds what the stage's lines wrote, as the uppermost layer."""

    stage: Stage
    added: Path
    environment: dict[str, str]
    folder: Path

    def run(
        self, *command: str, volumes: Mapping[str, Path], timeout: float = 120, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """ENTRYPOINT and ``command``, as the stage's USER, with a root that cannot be written.

        ``volumes`` are writable; the working copy that it was built from is hidden.
        """
        root, work = self.folder / "root", self.folder / "root-work"
        for place in (root, work):
            place.mkdir(exist_ok=True)
        user = self.stage.only("USER").split(":")
        entry = json.loads(self.stage.only("ENTRYPOINT"))
        lines = [
            "set -eu",
            f"{_OVERLAY} lowerdir=/,upperdir={self.added},workdir={work} {root}",
            f"mount -o remount,ro {root}",
            f"mount -t tmpfs tmpfs {root}/tmp",
            _without_source(root),
            *_readable_python(root),
            *(f"mkdir -p {root}{path}" for path in volumes if path.startswith("/tmp")),
            *(f"mount --bind {source} {root}{path}" for path, source in volumes.items()),
            f"mount --rbind /proc {root}/proc",
            f"mount --rbind /dev {root}/dev",
            f"exec chroot --userspec={':'.join(user)} --groups= {root} /bin/sh -c "
            + shlex.quote(f'cd {self.stage.only("WORKDIR")} && exec {shlex.join(entry)} "$@"')
            + f" entry {shlex.join(command)}",
        ]
        return subprocess.run(
            [*UNSHARE, "/bin/sh", "-c", "\n".join(lines)],
            env={**self.environment, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


def _without_source(root: Path) -> str:
    """A process must not find what it was built from; on another file system it does not anyway."""
    return f"if [ -d {root}{ROOT} ]; then mount -t tmpfs tmpfs {root}{ROOT}; fi"


def _readable_python(root: Path) -> list[str]:
    """The Python under the virtual environment may lie in a home that is its owner's alone."""
    base = Path(sys.base_prefix).resolve()
    named = [f"mount -t tmpfs -o mode=755 tmpfs {root}/mnt", _named_python(root)]
    if base.is_relative_to("/usr"):
        return named
    return [
        *named,
        f"mount -t tmpfs -o mode=755 tmpfs {root}/{base.parts[1]}",
        f"mkdir -p {root}{base}",
        f"mount --bind {base} {root}{base}",
    ]


def _named_python(root: Path) -> str:
    """By the name that Python's own image has for it."""
    return f"ln -s {Path(sys.executable).resolve()} {root}/mnt/python"


def build(target: str, folder: Path, file: Path = DOCKERFILE) -> Image:
    """Carries out the stages that ``target`` is made of. Raises AssertionError with the output."""
    if os.geteuid() != 0:
        impossible("the steps of an image can only be carried out by root")
    known = stages(file)
    context = folder / "context"
    _copy_context(context, file)
    images: dict[str, Image] = {}
    for name in _needed(target, known):
        stage = known[name]
        base = images.get(stage.base)
        added = folder / f"stage-{name}"
        if base:
            shutil.copytree(base.added, added, symlinks=True)
        added.mkdir(exist_ok=True)
        environment = stage.environment(base.environment if base else None)
        images[name] = Image(stage, added, environment, folder)
        _carry_out(images[name], context, images, folder / f"work-{name}")
    return images[target]


def _needed(target: str, known: dict[str, Stage]) -> list[str]:
    stage = known[target]
    others = [one.text.split()[0].removeprefix("--from=") for one in stage.of("COPY")]
    found: list[str] = []
    for name in (stage.base, *others):
        found += [one for one in _needed(name, known) if one not in found] if name in known else []
    return [*found, target]


def _carry_out(image: Image, context: Path, images: dict[str, Image], work: Path) -> None:
    values: dict[str, str] = dict(image.environment)
    directory = "/"
    for instruction in image.stage.instructions:
        if instruction.name == "ARG":
            name, _, value = instruction.text.partition("=")
            values[name] = value
        elif instruction.name == "WORKDIR":
            directory = instruction.text
            (image.added / directory.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif instruction.name == "COPY":
            _copy(instruction, image.added, context, images, directory)
        elif instruction.name == "RUN":
            _run(instruction, image, values, directory, work)
        elif instruction.name == "LABEL":
            expanded(instruction.text, values)
        else:
            assert instruction.name in ("ENV", "USER", "ENTRYPOINT"), instruction


def _run(
    instruction: Instruction, image: Image, values: dict[str, str], directory: str, work: Path
) -> None:
    root = image.folder / "building"
    for place in (root, work):
        place.mkdir(exist_ok=True)
    lines = [
        "set -eu",
        f"{_OVERLAY} lowerdir=/,upperdir={image.added},workdir={work} {root}",
        *(f"mount -t tmpfs tmpfs {root}{place}" for place in ("/tmp", "/mnt")),
        _without_source(root),
        _named_python(root),
        f"mount --rbind /proc {root}/proc",
        f"mount --rbind /dev {root}/dev",
        f"exec chroot {root} /bin/sh -c {shlex.quote(f'cd {directory}; {instruction.text}')}",
    ]
    known = {name: value for name, value in os.environ.items() if name.startswith(_NETWORK)}
    path = f"/mnt:{image.environment['PATH']}"
    done = subprocess.run(
        [*UNSHARE, "/bin/sh", "-c", "\n".join(lines)],
        env={**known, **values, "PATH": path, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if "wrong fs type" in done.stdout or "unknown filesystem" in done.stdout:
        impossible(f"no overlay mounts here: {done.stdout.strip()}")
    where = f"{DOCKERFILE.name}:{instruction.line}"
    assert done.returncode == 0, f"{where} ended in {done.returncode}:\n{done.stdout[-4000:]}"


def _copy(
    instruction: Instruction, added: Path, context: Path, images: dict[str, Image], directory: str
) -> None:
    *sources, target = instruction.text.split()
    origin = context
    if sources[0].startswith("--from="):
        origin = images[sources.pop(0).removeprefix("--from=")].added
    place = added / os.path.normpath(f"{directory}/{target}").lstrip("/")
    for source in sources:
        what = origin / source.lstrip("/")
        into = place / what.name if target.endswith("/") and what.is_file() else place
        into.parent.mkdir(parents=True, exist_ok=True)
        if what.is_dir():
            shutil.copytree(what, into, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy2(what, into)


def _copy_context(place: Path, file: Path) -> None:
    """What Git has, less what the ignore file beside the Dockerfile keeps out."""
    patterns = (file.parent / f"{file.name}.dockerignore").read_text().split()
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).is_file() and not _ignored(name, patterns):
            target = place / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)


def _ignored(name: str, patterns: list[str]) -> bool:
    """The last pattern that matches the file or a folder above it decides."""
    ignored = False
    paths = [name, *(str(parent) for parent in Path(name).parents)]
    for pattern in patterns:
        bare = pattern.removeprefix("!").removeprefix("**/")
        if any(fnmatch(path, bare) or fnmatch(Path(path).name, bare) for path in paths):
            ignored = not pattern.startswith("!")
    return ignored
