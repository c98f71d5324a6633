"""Fetching a repository, and decoding its files as its own rules say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reconciler.errors import SourceError, UsageError
from reconciler.reading.rules_of import rules_of
from reconciler.source import Checkout, SourceFile, default_cache
from reconciler.source.location import FETCH_SECONDS, SourceLocation, locate
from reconciler.source.rules import SignatureRule, SourceRules
from reconciler.source.trusted_keys import TrustedKeys, read_trusted_keys


@dataclass(frozen=True, slots=True)
class SourceRequest:
    """What the command line says about a repository. ``seconds`` bounds what is fetched.

    ``require_signature`` is demanded whatever the repository says, and checked with the keys at
    ``trusted_keys``. ``enforce``: a run that writes; one that only plans warns where the
    repository's own rules would stop it.
    """

    location: str = "."
    ref: str | None = None
    path: str = ""
    credentials: str = ""
    seconds: float = FETCH_SECONDS
    require_signature: SignatureRule | None = None
    trusted_keys: str = ""
    allow_rollback: bool = False
    enforce: bool = False


@dataclass(frozen=True, slots=True)
class ReadSource:
    """A checkout with its decoded ``files``. ``keys`` are the mounted ones; ``signer`` is who
    signed what the command line demands."""

    request: SourceRequest
    where: SourceLocation
    checkout: Checkout
    rules: SourceRules
    files: tuple[SourceFile, ...]
    keys: TrustedKeys | None = None
    signer: str = ""


def read_source(request: SourceRequest) -> ReadSource:
    """Fetch, check what the command line demands, decode.

    What the repository's own rules demand is checked by ``check_trust``, which knows what was
    applied last. Raises SourceError or UsageError.
    """
    demanded = request.require_signature
    if demanded and not request.trusted_keys:
        raise UsageError(
            "--require-signature needs keys to check with", hint="name them with --trusted-keys"
        )
    keys = read_trusted_keys(request.trusted_keys) if request.trusted_keys else None
    where = _locate(request)
    if demanded and not where.is_remote:
        # Files lie beside Git's objects, and are not what was signed.
        where = replace(where, ref=where.ref or "HEAD")
    checkout = _open(where)
    signer = ""
    if demanded and keys:
        from reconciler.reading.trust import verify

        signer = verify(where, checkout, demanded, keys)
    rules = rules_of(checkout.files)
    if rules.signature and request.enforce and not where.is_remote and where.ref is None:
        where, checkout = _as_committed(where, checkout)
    files = _decoded(where, checkout, rules)
    return ReadSource(request, where, checkout, rules, files, keys, signer)


def _locate(request: SourceRequest) -> SourceLocation:
    from reconciler.source.credentials import read_credentials

    return locate(
        request.location,
        ref=request.ref,
        path=request.path,
        cache=default_cache() / "git",
        credentials=read_credentials(request.credentials) if request.credentials else None,
        seconds=request.seconds,
    )


def _open(where: SourceLocation) -> Checkout:
    if where.ref is None and not where.is_remote:
        from reconciler.source.directory import read_directory

        return read_directory(where.location, where.path)
    from reconciler.source.git import read_repository

    return read_repository(where)


def _as_committed(where: SourceLocation, checkout: Checkout) -> tuple[SourceLocation, Checkout]:
    """A work tree whose head must be signed, read from Git instead of from its files."""
    if not checkout.commit:
        raise SourceError(
            f"{where.name} is no Git repository, and its Federation demands a signature"
        )
    if checkout.dirty:
        raise SourceError(
            f"{where.name} has changes that are not committed, and its Federation demands "
            "a signature, which vouches for commits only",
            hint="commit them, or apply the last commit with --ref HEAD",
        )
    committed = replace(where, ref="HEAD")
    return committed, _open(committed)


def _decoded(
    where: SourceLocation, checkout: Checkout, rules: SourceRules
) -> tuple[SourceFile, ...]:
    from reconciler.source.decoding import decode

    def whole() -> Sequence[SourceFile]:
        if where.ref is None and not where.is_remote:
            return _open(replace(where, path="")).files
        from reconciler.source.git import read_whole_commit

        # Of the same commit, even where the branch has moved meanwhile.
        return read_whole_commit(where, checkout.commit).files

    return decode(checkout.files, rules, path=where.path, whole=whole)
