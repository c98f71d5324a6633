"""A Git repository read straight from its objects: no work tree, no hooks, no filters."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.errors import SourceError
from reconciler.source.checkout import MAX_FILE_BYTES, MAX_FILES, MAX_TOTAL_BYTES, Checkout
from reconciler.source.files import SourceFile

if TYPE_CHECKING:
    from git import Repo

_URL_SECRET = re.compile(r"(?<=://)[^/@\s]+@")
_SAFE_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ALLOW_PROTOCOL": "file:https:http:ssh",
    "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oStrictHostKeyChecking=yes -oConnectTimeout=15",
    "GIT_HTTP_LOW_SPEED_LIMIT": "1000",
    "GIT_HTTP_LOW_SPEED_TIME": "30",
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_0": "core.hooksPath",
    "GIT_CONFIG_VALUE_0": os.devnull,
    "GIT_CONFIG_KEY_1": "safe.directory",
    "GIT_CONFIG_VALUE_1": "*",
}
FETCH_SECONDS = 120


def is_url(location: str) -> bool:
    """Whether a location names a remote: a URL, or ssh's short form ``host:path``."""
    short = re.match(r"^[\w.-]+@?[\w.-]*:(?!\\)", location) and not Path(location).exists()
    return "://" in location or bool(short)


def read_repository(location: str, ref: str | None, path: str, cache: Path) -> Checkout:
    """Fetch what is needed of a remote (or of a local work tree, given a ref) and read one commit.

    ``cache`` holds a bare clone, kept between runs and made anew when damaged.
    Raises SourceError when it cannot be reached or has no such ref or path.
    """
    from git import Repo
    from git.exc import GitError, InvalidGitRepositoryError, NoSuchPathError

    try:
        if not is_url(location):
            repository = Repo(location, search_parent_directories=True)
            folder = Path(location).resolve().relative_to(Path(repository.working_dir).resolve())
            inside = (folder / path).as_posix()
            return _read(repository, ref or "HEAD", inside, location)
        with _clone(location, cache) as repository:
            return _read(repository, _fetch(repository, location, ref), path, location)
    except (InvalidGitRepositoryError, NoSuchPathError):
        raise SourceError(
            f"{redacted(location)} is not a Git repository", hint="leave --ref out to read it as is"
        ) from None
    except (GitError, OSError, ValueError) as error:
        raise SourceError(f"{redacted(location)}: {_words(error)}") from None


def redacted(text: str) -> str:
    """``text`` without the user and password of any URL in it."""
    return _URL_SECRET.sub("", text)


def _words(error: Exception) -> str:
    said = str(getattr(error, "stderr", "") or error).strip().strip("'")
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    fatal = [line for line in lines if "fatal:" in line or "error:" in line]
    return redacted((fatal or lines or [type(error).__name__])[-1].replace("stderr: '", ""))


@contextmanager
def _clone(location: str, cache: Path) -> Iterator[Repo]:
    """The bare clone of a location, locked against other runs on this machine."""
    from git import Repo
    from git.exc import GitError

    folder = cache / hashlib.sha256(location.encode()).hexdigest()[:20]
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            repository = Repo(folder)
            repository.git.update_environment(**_SAFE_ENVIRONMENT)
            repository.git.fsck("--connectivity-only", "--no-dangling", kill_after_timeout=60)
        except (GitError, OSError, ValueError):
            shutil.rmtree(folder, ignore_errors=True)
            made = Path(tempfile.mkdtemp(dir=cache))
            Repo.init(made, bare=True).close()
            made.replace(folder)
            repository = Repo(folder)
            repository.git.update_environment(**_SAFE_ENVIRONMENT)
        try:
            yield repository
        finally:
            repository.close()


def _fetch(repository: Repo, location: str, ref: str | None) -> str:
    """Fetch one ref, shallowly; the commit that it points to."""
    wanted = ref or "HEAD"
    repository.git.fetch(
        "--depth=1",
        "--no-tags",
        "--no-recurse-submodules",
        "--force",
        location,
        wanted,
        kill_after_timeout=FETCH_SECONDS,
    )
    return str(repository.git.rev_parse("FETCH_HEAD^{commit}"))


def _read(repository: Repo, ref: str, path: str, location: str) -> Checkout:
    from git.exc import BadName

    try:
        commit = repository.commit(ref)
    except (BadName, ValueError):
        names = ", ".join(sorted(head.name for head in repository.heads)[:10])
        raise SourceError(
            f"{redacted(location)} has no ref {ref!r}", hint=f"branches: {names}" if names else ""
        ) from None
    tree: Any = commit.tree
    inside = path.strip("/")
    if inside not in ("", "."):
        try:
            tree = commit.tree / inside
        except KeyError:
            names = ", ".join(sorted(t.name for t in commit.tree.trees)[:10])
            raise SourceError(
                f"{redacted(location)} has no folder {path!r} at {ref}", hint=f"it has: {names}"
            ) from None
    files = tuple(sorted(_blobs(tree, inside), key=lambda f: f.path))
    return Checkout(redacted(location), commit.hexsha, False, files)


def _blobs(tree: Any, inside: str) -> Iterator[SourceFile]:
    total = 0
    prefix = "" if inside in ("", ".") else inside + "/"
    for count, item in enumerate(tree.traverse()):
        if count > MAX_FILES:
            raise SourceError(f"more than {MAX_FILES} files in the repository")
        if item.type != "blob":
            continue
        relative = str(item.path).removeprefix(prefix)
        parts = relative.split("/")
        if ".." in parts or any(part.startswith(".") for part in parts):
            continue
        if item.mode == 0o120000:
            yield SourceFile(relative, error="a symbolic link; only plain files are read from Git")
            continue
        if item.size > MAX_FILE_BYTES:
            yield SourceFile(relative, error=f"the file has {item.size} bytes")
            continue
        total += item.size
        if total > MAX_TOTAL_BYTES:
            raise SourceError(f"more than {MAX_TOTAL_BYTES} bytes in the repository")
        yield SourceFile(relative, item.data_stream.read(), item.hexsha)
