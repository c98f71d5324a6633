"""Where a repository is, which commit and folder of it, and what it takes to reach it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from msgspec import Struct, field

from reconciler.api.errors import SourceError
from reconciler.api.options import FETCH_SECONDS
from reconciler.git.credentials import SourceCredentials, split_url

_URL_SECRET = re.compile(r"(?<=://)[^/@\s]+@")
_USER_PASSWORD = re.compile(r"(?<=://)([^/@:\s]*):[^/@\s]*@")
_FULL_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHORT_ID = re.compile(r"[0-9a-f]{7,39}")
# What git itself forbids in a name (git help check-ref-format), and a leading dash.
_NO_REF = re.compile(r"^[-/]|[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/$|\.$|\.lock$")


class SourceLocation(Struct, frozen=True):
    """``cache`` keeps the clones; ``seconds`` is for everything that one step fetches, retries
    included."""

    location: str
    ref: str | None
    path: str
    cache: Path
    credentials: SourceCredentials = field(default_factory=SourceCredentials)
    seconds: float = FETCH_SECONDS

    @property
    def is_remote(self) -> bool:
        return is_url(self.location)

    @property
    def name(self) -> str:
        """How to call it in an error: without any password."""
        return redacted_url(self.location)

    def redact(self, text: str) -> str:
        return redacted_url(self.credentials.redact(text))


def locate(
    location: str,
    *,
    ref: str | None,
    path: str,
    cache: Path,
    credentials: SourceCredentials | None = None,
    seconds: float = FETCH_SECONDS,
) -> SourceLocation:
    """Check what was given. A password in the URL is taken out of it.

    Raises SourceError for a ref or path that git could take for something else.
    """
    clean, inside = split_url(location)
    given = credentials or SourceCredentials()
    if inside.password and not given.password:
        given = SourceCredentials(
            inside.username, inside.password, given.identity, given.known_hosts, given.ca
        )
    if clean.startswith("-"):
        raise SourceError(f"{clean!r} is neither a directory nor a URL")
    if ref is not None and ref.startswith("-"):
        raise SourceError(f"--ref {ref!r} is no name of a branch or tag, and no commit")
    if is_url(clean):
        if ref is not None:
            _check_ref(ref)
        if ".." in path.split("/"):
            raise SourceError(f"--path {path!r} leads out of the repository")
    return SourceLocation(clean, ref, path, cache, given, seconds)


def _check_ref(ref: str) -> None:
    if not ref or _NO_REF.search(ref):
        raise SourceError(
            f"--ref {ref!r} is no name of a branch or tag, and no commit",
            hint="of a remote only a branch, a tag or a whole commit id can be fetched",
        )


def is_full_id(ref: str) -> bool:
    """Whether a ref is a commit's whole id."""
    return bool(_FULL_ID.fullmatch(ref))


def looks_like_short_id(ref: str) -> bool:
    """Whether a ref could be the beginning of a commit's id, which no server resolves."""
    return bool(_SHORT_ID.fullmatch(ref))


def is_url(location: str) -> bool:
    """Whether a location names a remote: a URL, or ssh's short form ``host:path``."""
    short = re.match(r"^[\w.-]+@?[\w.-]*:(?!\\)", location) and not Path(location).exists()
    return "://" in location or bool(short)


def without_password(location: str) -> str:
    """A location as it can be written down and given again: an ssh user stays, a password not."""
    return _USER_PASSWORD.sub(r"\1@", split_url(location)[0])


def redacted_url(text: str) -> str:
    """``text`` without the user and password of any URL in it. By search, as git and servers
    quote addresses wherever they like, others than ours as well."""
    return _URL_SECRET.sub("", text)


# -- where clones and parsed files are kept --------------------------------------------------------


def default_cache() -> Path:
    """Where clones and parsed manifests are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "federation-reconciler"
