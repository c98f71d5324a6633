"""Fetching from a Git server into a bare clone that is kept between runs."""

from __future__ import annotations

import fcntl
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, TypeVar

from msgspec import Struct

from reconciler.api.errors import SourceError
from reconciler.git.fetch_errors import CACHE_HINT, FetchFailed, failure
from reconciler.git.local import git_environment, local_git
from reconciler.git.location import SourceLocation, is_full_id, looks_like_short_id
from reconciler.git.processes import FinishedProgram, run_program

Result = TypeVar("Result")

ATTEMPTS = 3
FIRST_PAUSE = 0.5  # seconds before the second attempt; doubled after each
MAX_PACK_BYTES = 2 * 1024**3
LOCK_POLL_SECONDS = 0.1
_OWN_REFS = "refs/reconcile/"


class Fetched(Struct, frozen=True):
    """What a ref pointed to: ``name`` in full; ``tag`` is the id of an annotated tag's object."""

    commit: str
    name: str = ""
    tag: str = ""


def with_clone(where: SourceLocation, work: Callable[[Path], Result]) -> Result:
    """Do ``work`` in the kept clone of a remote; where the clone proves damaged, once more in a
    new one. Other runs on this machine wait meanwhile. Raises SourceError."""
    with _locked(where) as folder:
        existed = _usable(folder)
        if existed:
            _remove_leftovers(folder)
        else:
            _make(folder)
        try:
            return work(folder)
        except FetchFailed as error:
            if not existed or error.answered_by_server:
                raise
        except (OSError, ValueError, _git_error()):
            if not existed:
                raise
        _make(folder)
        return work(folder)


def _git_error() -> type[Exception]:
    from git import GitError

    # GitPython's own type, which is untyped here.
    return GitError  # type: ignore[no-any-return]


@contextmanager
def _locked(where: SourceLocation) -> Iterator[Path]:
    name = hashlib.sha256(where.location.encode()).hexdigest()[:20]
    with _writing_in(where.cache):
        where.cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (where.cache / f"{name}.lock").open("w")
    with lock:
        _take(lock, where)
        yield where.cache / name


@contextmanager
def _writing_in(cache: Path) -> Iterator[None]:
    """Raises SourceError where files cannot be written."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise SourceError(f"no clone can be kept in {cache}: {reason}", hint=CACHE_HINT) from None


def _take(lock: TextIO, where: SourceLocation) -> None:
    """Another run that hangs must not make this one hang."""
    ends = time.monotonic() + where.seconds
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= ends:
                raise SourceError(
                    f"{where.name}: another run has used its clone in {where.cache} for more than "
                    f"{where.seconds:g} s",
                    hint="look what that run does; --git-timeout waits for longer",
                ) from None
        time.sleep(LOCK_POLL_SECONDS)


def _usable(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    return local_git(folder, "rev-parse", "--is-bare-repository").stdout.strip() == b"true"


def _make(folder: Path) -> None:
    import shutil

    made = folder.with_suffix(".new")
    with _writing_in(folder.parent):
        for old in (folder, made):
            old.unlink() if old.is_file() else shutil.rmtree(old, ignore_errors=True)
        made.mkdir(mode=0o700)
        # No template: nothing of it is needed, least of all hooks.
        done = local_git(made, "init", "--quiet", "--bare", "--template=", ".")
        if done.code:
            raise OSError(done.stderr.strip())
        made.replace(folder)


def fetch(
    where: SourceLocation,
    folder: Path,
    *,
    depth: int = 1,
    pause: Callable[[float], None] = time.sleep,
) -> Fetched:
    """Fetch ``where.ref`` with ``depth`` commits of its history (0: all of it).

    A name is a branch's before it is a tag's: whoever may make tags cannot divert a branch.
    Raises FetchFailed.
    """
    ref = where.ref or "HEAD"
    names = [ref] if _is_exact(ref) else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
    own = _OWN_REFS + hashlib.sha256(ref.encode()).hexdigest()[:16]
    ends = time.monotonic() + where.seconds
    for name in names:
        try:
            _fetch_one(where, folder, f"+{name}:{own}", depth, ends, pause)
        except FetchFailed as error:
            if not error.no_such_ref or name != names[-1]:
                if error.no_such_ref:
                    continue
                raise
            raise FetchFailed(
                f"{where.name} has no ref {ref!r}",
                hint=_hint(where, folder, ref, ends),
                answered_by_server=True,
            ) from None
        return _resolved(folder, own, name)
    raise AssertionError(names)


def _is_exact(ref: str) -> bool:
    return ref == "HEAD" or ref.startswith("refs/") or is_full_id(ref)


def has_commit(folder: Path, commit: str) -> bool:
    """Whether a repository holds a commit with its tree."""
    return local_git(folder, "cat-file", "-e", f"{commit}^{{tree}}").code == 0


def fetch_commit(where: SourceLocation, folder: Path, commit: str) -> bool:
    """Have one commit in the clone, and keep it there; False when the server does not give it."""
    own = f"{_OWN_REFS}applied"
    if has_commit(folder, commit):
        local_git(folder, "update-ref", own, commit)
        return True
    try:
        ends = time.monotonic() + where.seconds
        _fetch_one(where, folder, f"+{commit}:{own}", 1, ends, time.sleep)
    except FetchFailed as error:
        if error.no_such_ref:
            return False
        raise
    return True


def _resolved(folder: Path, own: str, name: str) -> Fetched:
    found = local_git(folder, "rev-parse", own, f"{own}^{{commit}}")
    ids = found.stdout.decode().split()
    if found.code:
        raise FetchFailed(f"{name} does not lead to a commit", answered_by_server=not found.code)
    return Fetched(ids[1], name, ids[0] if ids[0] != ids[1] else "")


def _fetch_one(
    where: SourceLocation,
    folder: Path,
    refspec: str,
    depth: int,
    ends: float,
    pause: Callable[[float], None],
) -> None:
    shallow = (folder / "shallow").exists()
    depths = [f"--depth={depth}"] if depth else ["--unshallow"] if shallow else []
    command = ["fetch", "--quiet", *depths, "--no-tags", "--no-recurse-submodules", "--force"]
    command += ["--no-write-fetch-head", "--no-show-forced-updates", "--", where.location, refspec]
    for attempt in range(1, ATTEMPTS + 1):
        done = _git_to_server(where, folder, command, ends - time.monotonic())
        if done.code == 0 and not done.timed_out:
            return
        error = failure(where, done)
        if _remove_leftovers(folder) >= MAX_PACK_BYTES // 512 * 512:
            raise FetchFailed(
                f"{where.name}: the repository is larger than may be fetched, which is "
                f"{MAX_PACK_BYTES} bytes",
                hint="--path does not help: Git sends it whole",
                answered_by_server=True,
            )
        import random

        wait = FIRST_PAUSE * 2 ** (attempt - 1) * random.uniform(0.8, 1.2)  # noqa: S311
        if not error.passing or attempt == ATTEMPTS or time.monotonic() + wait >= ends:
            raise error
        pause(wait)


def _remove_leftovers(folder: Path) -> int:
    """What a git that was killed leaves: packs that were not finished, and locks. The size of the
    largest pack, in bytes. Nobody else uses the clone meanwhile."""
    largest = 0
    for file in (folder / "objects" / "pack").glob("tmp_*"):
        largest = max(largest, file.stat().st_size)
        file.unlink()
    for file in (*folder.glob("*.lock"), *(folder / "refs").rglob("*.lock")):
        file.unlink()
    return largest


def _git_to_server(
    where: SourceLocation, folder: Path, command: Sequence[str], seconds: float
) -> FinishedProgram:
    environment = git_environment(where.credentials, where.location, "file:https:http:ssh")
    # A server must not fill the disk: no file may grow past this many blocks of 512 bytes.
    limited = ["/bin/sh", "-c", 'ulimit -f "$0" && exec "$@"', str(MAX_PACK_BYTES // 512)]
    return run_program(
        [*limited, "git", "-C", str(folder), *command], environment, seconds=max(seconds, 0.01)
    )


def refs_at(where: SourceLocation) -> str:
    """What a remote says that ``where.ref`` is, in its own words. Raises FetchFailed."""
    with _writing_in(where.cache):
        where.cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    ref = where.ref or "HEAD"
    names = [f"refs/heads/{ref}", f"refs/tags/{ref}", f"refs/tags/{ref}^{{}}", ref]
    command = ["ls-remote", "--", where.location, *(names if where.ref else [ref])]
    done = _git_to_server(where, where.cache, command, where.seconds)
    if done.code or done.timed_out:
        raise failure(where, done)
    return done.stdout.decode(errors="replace")


def _hint(where: SourceLocation, folder: Path, ref: str, ends: float) -> str:
    """What the server has instead."""
    import difflib

    if looks_like_short_id(ref):
        return "a commit must be given with its whole id"
    done = _git_to_server(
        where,
        folder,
        ["ls-remote", "--heads", "--tags", "--refs", "--", where.location],
        ends - time.monotonic(),
    )
    lines = done.stdout.decode(errors="replace").splitlines()
    names = [line.split("/", 2)[2] for line in lines if line.count("/") >= 2]
    if done.code or not names:
        return ""
    near = difflib.get_close_matches(ref, names, n=1)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(names[:10])}"
