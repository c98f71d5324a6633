"""Fetching a repository, and decoding its files as its own rules say."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.errors import (
    BadInput,
    Position,
    Problem,
    SourceError,
    SourceUnreachable,
    UsageError,
)
from reconciler.api.files import Checkout, SourceFile
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import api_group
from reconciler.api.options import RunOptions
from reconciler.git.credentials import SourceCredentials, read_credentials, split_url
from reconciler.git.fetch_errors import FetchFailed
from reconciler.git.location import (
    SourceLocation,
    default_cache,
    is_url,
    locate,
    redacted_url,
)
from reconciler.git.owner import normalised
from reconciler.git.sops import is_encrypted
from reconciler.git.source_rules import SignatureRule, SourceRules, parse_source_rules
from reconciler.git.trusted_keys import TrustedKeys, read_trusted_keys
from reconciler.manifests.cache import ParseCache
from reconciler.manifests.load import load
from reconciler.manifests.own_schemas import OWN_GROUP

NO_CREDENTIAL = "-"

if TYPE_CHECKING:
    from reconciler.git.kept_commit import KeptCommit
    from reconciler.git.local import AskedAhead
    from reconciler.git.mirrors import Choice, Head, Mirrors


class ReadSource(Struct, frozen=True):
    """A checkout with its decoded ``files``. ``keys`` are the mounted ones; ``signer`` is who
    signed what the command line demands.

    ``whole`` are all files of the commit, where some outside of the chosen folder were needed.
    ``addresses`` are those under which the same history was found, the first one given first;
    ``mirrors`` is what there is at each, where several were given, and ``notices`` what people
    should know of that. ``kept``: no source answered, and this is what an earlier run kept;
    ``unreachable`` says why none did.
    """

    options: RunOptions
    where: SourceLocation
    checkout: Checkout
    rules: SourceRules
    files: tuple[SourceFile, ...]
    keys: TrustedKeys | None = None
    signer: str = ""
    whole: tuple[SourceFile, ...] = ()
    addresses: tuple[str, ...] = ()
    mirrors: Mirrors | None = None
    notices: tuple[Notice, ...] = ()
    kept: KeptCommit | None = None
    unreachable: str = ""

    @property
    def demanded(self) -> SignatureRule | None:
        """What the command line demands, whatever the repository says."""
        return _demanded(self.options)


def _demanded(options: RunOptions) -> SignatureRule | None:
    kind = options.require_signature
    return SignatureRule(kind, options.signature_on) if kind else None


def read_source(options: RunOptions) -> ReadSource:
    """Fetch, check what the command line demands, decode. Of mirrors the newest commit that passes.

    What the repository's own rules demand is checked by ``check_trust``, which knows what was
    applied last. Raises SourceUnreachable, SourceError or UsageError.
    """
    keys = _keys(options)
    places = places_of(options)
    if len(places) > 1:
        from reconciler.git.mirrors import fetch_mirrors

        mirrors = fetch_mirrors(places)
        choice, mirrors = mirrors.chosen(lambda head: _unsigned(options, keys, head))
        found = list(mirrors.notices(choice))
        if len(choice.rivals) > 1:
            names = " and ".join(map(str, choice.rivals))
            found.append(notice(NoticeCause.MIRRORS_DIFFER, heads=names))
        return read_choice(options, mirrors, choice, found)
    (where,) = places
    demanded = _demanded(options)
    if demanded and not where.is_remote:
        # Files lie beside Git's objects, and are not what was signed.
        where = replace(where, ref=where.ref or "HEAD")
    try:
        checkout = _open(where, options.ahead)
    except FetchFailed as error:
        if error.unreachable:
            raise SourceUnreachable(str(error), hint=error.hint) from error
        raise
    source = _checked(options, where, checkout, keys)
    if source.rules.signature and not options.plan_only and not where.is_remote and not where.ref:
        where, checkout = _as_committed(where, checkout)
        source = replace(source, where=where, checkout=checkout)
    return _with_files(source)


def read_head(
    options: RunOptions,
    mirrors: Mirrors,
    head: Head,
    found: Sequence[Notice] = (),
    *,
    files: bool = True,
) -> ReadSource:
    """What one of the mirrors has, by all that ``read_source`` checks; decoded unless it is only
    to be judged (``files``). Raises SourceError."""
    from reconciler.git.commits import read_fetched

    checkout = read_fetched(head.where, head.fetched)
    source = _checked(options, head.where, checkout, _keys(options))
    source = replace(source, mirrors=mirrors, notices=tuple(found))
    return _with_files(source) if files else source


def read_choice(
    options: RunOptions, mirrors: Mirrors, choice: Choice, found: Sequence[Notice]
) -> ReadSource:
    """The first of the rivals, known by the addresses of all whose history is a part of its own:
    what nobody can see to be the same repository is not taken for it. Raises SourceError."""
    first = choice.rivals[0]
    same = [head for head in mirrors.heads if head.commit == first.commit]
    names = [head.where.location for head in (*same, *choice.behind)]
    source = read_head(options, mirrors, first, found)
    return replace(source, addresses=tuple(dict.fromkeys((*source.addresses, *names))))


def read_kept(options: RunOptions, kept: KeptCommit, unreachable: SourceUnreachable) -> ReadSource:
    """What an earlier run kept, as if it had been fetched now; ``unreachable`` is why it was not.

    Raises ``unreachable`` again where the kept commit is not what this run asks for, or its own
    rule is not to go on from it.
    """
    where = places_of(options)[0]
    checkout = Checkout(
        f"the kept commit {kept.commit[:12]} of {where.name}",
        kept.commit,
        False,
        kept.checkout_files,
        ref=kept.ref,
        tag=kept.tag,
        submodules=kept.submodules,
    )
    rules = source_rules_of(checkout.files, rules_cache(where))
    demanded = _demanded(options)
    why = ""
    if rules.unreachable == "Stop":
        why = "its spec.source.whenUnreachable is Stop"
    elif options.ref not in (kept.asked, kept.commit):
        why = (
            f"it is of --ref {kept.asked or 'HEAD'}, and --ref {options.ref or 'HEAD'} is asked for"
        )
    elif demanded and kept.signed != signed_as(demanded):
        why = f"it was not checked for {demanded} when it was applied"
    if why:
        text = f"{unreachable}; the kept commit {kept.commit[:12]} cannot be used instead: {why}"
        raise SourceUnreachable(text, hint=unreachable.hint)
    source = ReadSource(
        options,
        where,
        checkout,
        rules,
        (),
        signer=kept.signer,
        whole=kept.whole_files,
        addresses=(where.location, *kept.addresses),
        kept=kept,
        unreachable=str(unreachable),
    )
    return _with_files(source)


def signed_as(rule: SignatureRule) -> str:
    """A demand in one word, as it is written down with a kept commit."""
    return f"{rule.type}-{rule.on}"


def _keys(options: RunOptions) -> TrustedKeys | None:
    if options.require_signature and not options.trusted_keys:
        raise UsageError(
            "--require-signature needs keys to check with", hint="name them with --trusted-keys"
        )
    return read_trusted_keys(options.trusted_keys) if options.trusted_keys else None


def _checked(
    options: RunOptions, where: SourceLocation, checkout: Checkout, keys: TrustedKeys | None
) -> ReadSource:
    """Without its files yet. Raises SourceError when it is not signed as the command line wants."""
    demanded, signer = _demanded(options), ""
    if demanded and keys:
        from reconciler.git.signatures import verify_checkout

        signer = verify_checkout(where, checkout, demanded, keys)
    rules = source_rules_of(checkout.files, rules_cache(where))
    addresses = (split_url(options.repo)[0],)
    return ReadSource(options, where, checkout, rules, (), keys, signer, addresses=addresses)


def _unsigned(options: RunOptions, keys: TrustedKeys | None, head: Head) -> SourceError | None:
    """Why a mirror's head is not what the command line demands."""
    from reconciler.git.signatures import in_repository, verify_signature

    demanded, found = _demanded(options), head.fetched
    if not (demanded and keys):
        return None
    try:
        in_repository(
            head.where,
            lambda folder: verify_signature(
                folder, found.commit, found.tag, found.name, demanded, keys
            ),
        )
    except SourceError as error:
        return error
    return None


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


def places_of(options: RunOptions) -> tuple[SourceLocation, ...]:
    """Where the repository is, and its mirrors, each with the credential that is meant for it."""
    repos = (options.repo, *options.mirrors)
    if len(repos) > 1:
        for repo in repos:
            if not is_url(repo):
                raise UsageError(
                    f"--repo {repo} is a directory, and only Git URLs have mirrors",
                    hint="give --repo once, or URLs only",
                )
    folders = _credential_folders(options, repos)
    places = tuple(
        locate(
            repo,
            ref=options.ref,
            path=options.path,
            cache=default_cache() / "git",
            credentials=_credentials(folder),
            seconds=options.git_timeout,
        )
        for repo, folder in zip(repos, folders, strict=True)
    )
    names = [place.location for place in places]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"--repo {redacted_url(name)} is given twice")
    return places


def _credential_folders(options: RunOptions, repos: Sequence[str]) -> Sequence[str]:
    """One for each address. None is used for a server that it may not be meant for."""
    given = (options.git_credentials, *options.mirror_credentials)
    if len(given) == len(repos):
        return given
    if len(given) == 1:
        servers = {normalised(repo).partition("/")[0] for repo in repos}
        if given[0] in ("", NO_CREDENTIAL) or len(servers) == 1:
            return given * len(repos)
    raise UsageError(
        f"--git-credentials is given {len(given)} times for {len(repos)} times --repo, and a "
        "credential is sent to no other server than the one that it is for",
        hint="give one for each --repo, in the same order; - where none is needed",
    )


def _credentials(folder: str) -> SourceCredentials | None:
    return read_credentials(folder) if folder not in ("", NO_CREDENTIAL) else None


def _open(where: SourceLocation, ahead: AskedAhead | None = None) -> Checkout:
    if where.ref is None and not where.is_remote:
        from reconciler.git.work_tree import read_directory

        return read_directory(where.location, where.path, ahead)
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
    return ParseCache(default_cache() / "parsed" / f"{name}-rules")


def _with_files(source: ReadSource) -> ReadSource:
    """With its files decoded, and whatever else of the commit that took."""
    from reconciler.git.decode import decode_files

    asked: list[tuple[SourceFile, ...]] = []

    def whole() -> Sequence[SourceFile]:
        asked.append(source.whole or _whole(source.where, source.checkout))
        return asked[0]

    files = decode_files(source.checkout.files, source.rules, path=source.where.path, whole=whole)
    return replace(source, files=files, whole=asked[0] if asked else ())


def _whole(where: SourceLocation, checkout: Checkout) -> tuple[SourceFile, ...]:
    if where.ref is None and not where.is_remote:
        return _open(replace(where, path="")).files
    from reconciler.git.commits import read_whole_commit

    # Of the same commit, even where the branch has moved meanwhile.
    return read_whole_commit(where, checkout.commit).files


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
            return parse_source_rules(body.get("spec"))
    return SourceRules()
