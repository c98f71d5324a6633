"""Fetching a repository, and decoding its files as its own rules say."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.errors import BadInput, Position, Problem, SourceError, UsageError
from reconciler.api.files import Checkout, SourceFile
from reconciler.api.objects import api_group
from reconciler.api.options import RunOptions
from reconciler.git.location import SourceLocation, default_cache, locate
from reconciler.git.sops import is_encrypted
from reconciler.git.source_rules import SignatureRule, SourceRules, parse_source_rules
from reconciler.git.trusted_keys import TrustedKeys, read_trusted_keys
from reconciler.manifests.cache import ParseCache
from reconciler.manifests.load import load
from reconciler.manifests.own_schemas import OWN_GROUP


class ReadSource(Struct, frozen=True):
    """A checkout with its decoded ``files``. ``keys`` are the mounted ones; ``signer`` is who
    signed what the command line demands."""

    options: RunOptions
    where: SourceLocation
    checkout: Checkout
    rules: SourceRules
    files: tuple[SourceFile, ...]
    keys: TrustedKeys | None = None
    signer: str = ""

    @property
    def demanded(self) -> SignatureRule | None:
        """What the command line demands, whatever the repository says."""
        return _demanded(self.options)


def _demanded(options: RunOptions) -> SignatureRule | None:
    kind = options.require_signature
    return SignatureRule(kind, options.signature_on) if kind else None


def read_source(options: RunOptions) -> ReadSource:
    """Fetch, check what the command line demands, decode.

    What the repository's own rules demand is checked by ``check_trust``, which knows what was
    applied last. Raises SourceError or UsageError.
    """
    demanded = _demanded(options)
    if demanded and not options.trusted_keys:
        raise UsageError(
            "--require-signature needs keys to check with", hint="name them with --trusted-keys"
        )
    keys = read_trusted_keys(options.trusted_keys) if options.trusted_keys else None
    where = _locate(options)
    if demanded and not where.is_remote:
        # Files lie beside Git's objects, and are not what was signed.
        where = replace(where, ref=where.ref or "HEAD")
    checkout = _open(where)
    signer = ""
    if demanded and keys:
        from reconciler.git.signatures import verify_checkout

        signer = verify_checkout(where, checkout, demanded, keys)
    rules = source_rules_of(checkout.files, rules_cache(where))
    if rules.signature and not options.plan_only and not where.is_remote and where.ref is None:
        where, checkout = _as_committed(where, checkout)
    files = _decoded(where, checkout, rules)
    return ReadSource(options, where, checkout, rules, files, keys, signer)


def check_same_rules(source: ReadSource, meant: SourceRules, position: Position) -> None:
    """Raises BadInput when the Federation has other rules for its source than those that held.

    They are looked for in plain files, before anything is decrypted or built.
    """
    if meant != source.rules:
        problem = Problem(
            position,
            "$.spec.source",
            "these rules were not found when the repository was read",
            "a Federation in a plain file: not encrypted, and not built by kustomize",
        )
        raise BadInput([problem])


def _locate(options: RunOptions) -> SourceLocation:
    from reconciler.git.credentials import read_credentials

    return locate(
        options.repo,
        ref=options.ref,
        path=options.path,
        cache=default_cache() / "git",
        credentials=read_credentials(options.git_credentials) if options.git_credentials else None,
        seconds=options.git_timeout,
    )


def _open(where: SourceLocation) -> Checkout:
    if where.ref is None and not where.is_remote:
        from reconciler.git.work_tree import read_directory

        return read_directory(where.location, where.path)
    from reconciler.git.commits import read_git_repository

    return read_git_repository(where)


def _as_committed(where: SourceLocation, checkout: Checkout) -> tuple[SourceLocation, Checkout]:
    """A work tree whose head must be signed, read from Git instead of from its files."""
    if not checkout.commit:
        raise SourceError(
            f"{where.name} is no Git repository, and its Federation demands a signature"
        )
    if checkout.dirty:
        raise SourceError(
            f"{where.name} has changes that are not committed, and its Federation demands "
            "a signature, which covers commits only",
            hint="commit them, or apply the last commit with --ref HEAD",
        )
    committed = replace(where, ref="HEAD")
    return committed, _open(committed)


def rules_cache(where: SourceLocation) -> ParseCache:
    """What Federations said before, apart from what all files hold."""
    name = hashlib.sha256(f"{where.location}\0{where.path}".encode()).hexdigest()[:16]
    return ParseCache(default_cache() / "parsed" / f"{name}-rules.json")


def _decoded(
    where: SourceLocation, checkout: Checkout, rules: SourceRules
) -> tuple[SourceFile, ...]:
    from reconciler.git.decode import decode_files

    def whole() -> Sequence[SourceFile]:
        if where.ref is None and not where.is_remote:
            return _open(replace(where, path="")).files
        from reconciler.git.commits import read_whole_commit

        # Of the same commit, even where the branch has moved meanwhile.
        return read_whole_commit(where, checkout.commit).files

    return decode_files(checkout.files, rules, path=where.path, whole=whole)


# -- the rules of a repository ---------------------------------------------------------------------


def source_rules_of(files: Iterable[SourceFile], cache: ParseCache | None = None) -> SourceRules:
    """``spec.source`` of the Federation among plain files; defaults where there is none.

    One that does not fit the schema counts as none: reading everything will tell. ``cache``
    spares parsing what was seen before.
    """
    candidates = [
        f for f in files if b"Federation" in f.content and OWN_GROUP.encode() in f.content
    ]
    plain = [file for file in candidates if not is_encrypted(file)]
    for document in load(plain, cache).documents:
        body = document.body
        if body["kind"] == "Federation" and api_group(body["apiVersion"]) == OWN_GROUP:
            return parse_source_rules((body.get("spec") or {}).get("source"))
    return SourceRules()
