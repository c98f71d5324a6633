"""A process as a container has it: a root that cannot be written, another user, no rights.

Made of Linux's mount namespaces, which is what container engines do, too; it takes root.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.unit.git.programs import needed

ROOT = Path(__file__).resolve().parents[3]
INSTALLED = "/opt/reconcile"
SOURCE = "/opt/source"
USER = 65532

UNSHARE = ("/usr/bin/unshare", "--mount", "--uts", "--propagation", "private")
# Of the machine's own files, what the image has from its base.
_FROM_MACHINE = ("usr", "bin", "sbin", "lib", "lib64", "etc/ssl", "etc/ld.so.cache", "etc/hosts")
_ALSO = ("etc/alternatives", "etc/ca-certificates", "etc/resolv.conf", "etc/nsswitch.conf")
_PASSWD = f"root:x:0:0::/:/sbin/nologin\nnonroot:x:{USER}:{USER}::/cache:/sbin/nologin\n"
# Beside what kubelets mount, a container's own.
_WRITABLE = "/dev/shm"

# The tool as it is tested here, under the name by which the image has it.
_COMMAND = f'#!/bin/sh\nPYTHONPATH={SOURCE} exec {INSTALLED}/bin/python -m reconciler.cli "$@"\n'


@dataclass(frozen=True, slots=True)
class Mount:
    """A file or directory of this machine at ``path`` of the container."""

    source: Path
    path: str
    writable: bool = False


def start(
    command: Sequence[str],
    environment: Mapping[str, str],
    mounts: Sequence[Mount],
    *,
    folder: Path,
    hostname: str = "pod",
    directory: str = "/cache",
    writable_root: bool = False,
) -> subprocess.Popen[str]:
    """Starts it; output and errors come in one stream. ``folder`` is empty and the caller's own.

    The first word of ``command`` is looked up in the container's PATH. SIGTERM reaches the process
    itself.
    """
    if os.geteuid() != 0:
        impossible("a container's root can only be made by root")
    needed("unshare", "util-linux")
    needed("setpriv", "util-linux")
    root = folder / "root"
    root.mkdir(parents=True)
    script = "\n".join(
        ["set -eu", *_mounting(root, mounts, folder, writable_root), f"hostname {hostname}"]
    )
    enter = (
        f"exec chroot {root} /usr/bin/setpriv --reuid {USER} --regid {USER} --groups {USER} "
        "--no-new-privs --inh-caps=-all --bounding-set=-all "
        f'/bin/sh -c \'cd "$0" && exec "$@"\' {directory} {shlex.join(command)}'
    )
    return subprocess.Popen(
        [*UNSHARE, "/bin/sh", "-c", f"{script}\n{enter}"],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def tool_mounts() -> list[Mount]:
    """The tool's own virtual environment and source, and the Python that it was made with."""
    base = Path(sys.base_prefix).resolve()
    python = [] if base.is_relative_to("/usr") else [Mount(base, str(base))]
    return [*python, Mount(Path(sys.prefix), INSTALLED), Mount(ROOT, SOURCE)]


def _mounting(root: Path, mounts: Sequence[Mount], folder: Path, writable_root: bool) -> list[str]:
    lines = [f"mount -t tmpfs -o mode=755 tmpfs {root}"]
    for name in (*_FROM_MACHINE, *_ALSO):
        place = Path("/") / name
        if place.is_symlink() and place.parent == Path("/"):
            lines.append(f"ln -s {place.readlink()} {root}/{name}")
        elif place.exists():
            lines += _bound(place.resolve(), f"{root}/{name}", writable=False)
    for name in ("proc", "dev"):
        lines += [f"mkdir {root}/{name}", f"mount --rbind /{name} {root}/{name}"]
    lines += [
        f"mkdir -p {root}/run {root}/var {root}{_WRITABLE} {root}/cache {root}/entry {root}/tmp",
        f"ln -s ../run {root}/var/run",
        f"printf %s {shlex.quote(_PASSWD)} > {root}/etc/passwd",
        f"printf %s {shlex.quote(_COMMAND)} > {root}/entry/reconcile",
        f"chmod 755 {root}/entry/reconcile",
    ]
    for mount in mounts:
        lines += _bound(mount.source, f"{root}{mount.path}", writable=mount.writable)
    if not writable_root:
        lines.append(f"mount -o remount,ro {root}")
    return lines


def _bound(source: Path, target: str, *, writable: bool) -> list[str]:
    parent, quoted = shlex.quote(str(Path(target).parent)), shlex.quote(target)
    make = f"mkdir -p {quoted}" if source.is_dir() else f"touch {quoted}"
    lines = [f"mkdir -p {parent}", make, f"mount --bind {shlex.quote(str(source))} {quoted}"]
    return lines if writable else [*lines, f"mount -o remount,bind,ro {quoted}"]


def impossible(reason: str) -> None:
    """Skips the test, or fails it where every test must run."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
