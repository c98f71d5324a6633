"""Whose something is: a repository and a folder in it, however this run happens to reach it.

The same repository is a URL for a CronJob and a clone for a person, over https or ssh, at a mirror
or at a new address. So what is recorded once is recognised by any of its names; and where none
fits, by the commit that was last written from it, which only that repository, its copies and its
forks know.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock
from urllib.parse import urlsplit

from msgspec import Struct

from reconciler.api.errors import SourceError
from reconciler.git.local import AskedAhead
from reconciler.git.location import SourceLocation, is_full_id, is_url
from reconciler.git.work_tree import top_of

_SHORT_FORM = re.compile(r"^(?:[^@/\s]+@)?([\w.-]+):(?!//)(.*)$")
_REMOTES = ("config", "--get-regexp", r"^remote\..*\.url$")
_USUAL_PORTS = {"https": 443, "http": 80, "ssh": 22, "git": 9418}


class Owner(Struct, frozen=True):
    """A repository and a folder in it, as an inventory or a memory records them.

    source  ``git.example.com/org/fleet``, or the absolute path of what has no address
    path    the folder from the repository's top; ``.`` is all of it
    id      made with the first record of a federation, and kept whatever the repository is called
    """

    source: str
    path: str = "."
    id: str = ""

    def __str__(self) -> str:
        return self.source + (f", path {self.path}" if self.path != "." else "")


class Claimant(Struct, frozen=True, dict=True):
    """For whom a run acts. ``sources`` are all names of the repository, the best one first.

    ``folder`` is the top of a local work tree, ``where`` a remote whose commit ``head`` was read;
    both are None for a folder outside Git. ``take_over``: what is another's is to be this one's,
    in ``clusters`` only where there are some.
    """

    sources: tuple[str, ...]
    path: str = "."
    folder: Path | None = None
    where: SourceLocation | None = None
    head: str = ""
    take_over: bool = False
    clusters: frozenset[str] = frozenset()

    def takes_over(self, cluster: str) -> bool:
        """Whether somebody asked to take this cluster over."""
        return self.take_over and (not self.clusters or cluster in self.clusters)

    @property
    def owner(self) -> Owner:
        """As it is recorded where nothing is yet."""
        name = f"{self.sources[0]}\0{self.path}"
        return Owner(self.sources[0], self.path, hashlib.sha256(name.encode()).hexdigest()[:12])

    def is_of(self, owner: Owner | None, commit: str) -> bool:
        """Whether ``owner`` is this repository and folder. ``commit`` is what it wrote last.

        What nobody has recorded yet is whoever's comes first.
        """
        if owner is None:
            return True
        return owner.path == self.path and (owner.source in self.sources or self._knows(commit))

    def recorded_over(self, owner: Owner | None, commit: str) -> Owner:
        """What to record: a repository may get a new address, but not that of somebody's clone."""
        if owner is None or not self.is_of(owner, commit):
            return self.owner
        if owner.source in self.sources or not self._has_address:
            return owner
        return Owner(self.sources[0], self.path, owner.id)

    @property
    def _has_address(self) -> bool:
        return self.where is not None or not self.sources[0].startswith("/")

    @cached_property
    def _answers(self) -> tuple[Lock, dict[str, bool]]:
        return Lock(), {}

    def _knows(self, commit: str) -> bool:
        """Whether a commit is of this repository's history; asked once for all members."""
        lock, answers = self._answers
        with lock:
            if commit not in answers:
                known = commit == self.head or self._has(commit)
                answers[commit] = is_full_id(commit) and known
            return answers[commit]

    def _has(self, commit: str) -> bool:
        if self.where is not None:
            return _descends(self.where, commit, self.head)
        if self.folder is None:
            return False
        from reconciler.git.fetch import has_commit

        return has_commit(self.folder, commit)


def claimant_of(
    where: SourceLocation,
    head: str,
    *,
    addresses: Sequence[str] = (),
    take_over: bool = False,
    ahead: AskedAhead | None = None,
) -> Claimant:
    """Every name that a repository has, without asking any server. ``addresses`` are those of its
    mirrors as well, the first one given first; ``where`` is the one that was read; ``ahead``:
    where Git was asked before (``ask_remotes``)."""
    if where.is_remote:
        path = posixpath.normpath(where.path.strip("/") or ".")
        names = tuple(dict.fromkeys(map(normalised, addresses or (where.location,))))
        return Claimant(names, path, where=where, head=head, take_over=take_over)
    folder = (Path(where.location).expanduser() / where.path).resolve()
    top = top_of(folder)
    if top is None:
        return Claimant((str(folder),), take_over=take_over)
    names = (*_remotes(top, ahead or AskedAhead()), normalised(str(top)))
    path = folder.relative_to(top).as_posix()
    return Claimant(tuple(dict.fromkeys(names)), path, top, head=head, take_over=take_over)


def normalised(location: str, base: Path | None = None) -> str:
    """``host/path`` of a URL, without user, password, usual port and ``.git``; a path is absolute.

    ``base`` is where a relative path begins.
    """
    short = None if "://" in location else _SHORT_FORM.match(location)
    if "://" in location and not location.startswith("file://"):
        try:
            parts = urlsplit(location)
            usual = parts.port in (None, _USUAL_PORTS.get(parts.scheme))
            host = (parts.hostname or "") + ("" if usual else f":{parts.port}")
        except ValueError:
            return hashlib.sha256(location.encode()).hexdigest()[:12]
        name = f"{host}/{parts.path.strip('/')}"
    elif short and is_url(location):
        name = f"{short[1].lower()}/{short[2].strip('/')}"
    else:
        name = os.path.realpath((base or Path()) / location.removeprefix("file://"))
    return name.removesuffix(".git").rstrip("/") or "/"


def ask_remotes(folder: Path, ahead: AskedAhead) -> None:
    """Have Git begin to say which remotes a work tree has."""
    if (top := top_of(folder)) is not None:
        ahead.ask(top, *_REMOTES)


def _remotes(top: Path, ahead: AskedAhead) -> list[str]:
    """The addresses of a work tree's remotes, ``origin`` first."""
    found = ahead.answer(top, *_REMOTES)
    lines = found.stdout.decode(errors="replace").splitlines()
    pairs = sorted(tuple(line.split(" ", 1)) for line in lines if " " in line)
    pairs.sort(key=lambda pair: pair[0] != "remote.origin.url")
    return [normalised(pair[1], top) for pair in pairs]


def _descends(where: SourceLocation, commit: str, head: str) -> bool:
    from reconciler.git.descent import check_descent
    from reconciler.git.fetch import with_clone

    try:
        with_clone(where, lambda folder: check_descent(where, folder, commit, head))
    except SourceError:
        return False
    return True
