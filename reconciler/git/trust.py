"""Whether a head may be applied: signed by whom we knew before, and no step back.

Keys that lie in the very commit that is checked prove nothing: whoever may push could bring
their own. So they come from outside: from ``--trusted-keys``, or from the commit that was applied
last and had been trusted then. In the same way the last applied commit's demand binds the next
one, which cannot simply leave it out.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from reconciler.api.errors import SourceError, SourceUnreachable, with_hint
from reconciler.api.files import Checkout
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.git.fetch_errors import FetchFailed
from reconciler.git.location import SourceLocation
from reconciler.git.read import (
    ReadSource,
    read_choice,
    read_head,
    rules_cache,
    source_rules_of,
)
from reconciler.git.source_rules import SourceRules
from reconciler.git.trusted_keys import TrustedKeys, keys_in_repository


class LastApplied(Struct, frozen=True):
    """What a run remembers for the next: the commit, and whether it demanded a ``signature``
    (True also where that was not remembered)."""

    commit: str
    signature: bool = True

    @staticmethod
    def of(commit: str) -> LastApplied | None:
        """Of what a memory holds; an empty one knows of no run before."""
        return LastApplied(commit) if commit else None


def check_trust(
    source: ReadSource, last: LastApplied | None, begun: str = ""
) -> tuple[Notice, ...]:
    """Check descent and signature by the rules of the head and of the last applied commit.

    A kept commit was checked before it was kept; it must be the one that was ``begun`` last, or
    going on from it would take back what was applied since.

    Raises SourceError in a run that writes; in one that only plans it is a notice.
    """
    try:
        if source.kept:
            _check_kept(source, begun)
        else:
            _check(source, last)
    except SourceError as error:
        if not source.options.plan_only:
            raise
        subject, why = error.subject, with_hint(error)
        return (notice(NoticeCause.NOT_APPLICABLE, subject=subject, error=why),)
    return ()


def newest_trusted(source: ReadSource, last: LastApplied | None) -> ReadSource:
    """The newest commit of the mirrors that may be applied, instead of the newest one.

    Raises SourceError where there is none, or nothing tells which is meant; in a run that only
    plans what was read stays, and ``check_trust`` or a warning tells.
    """
    from reconciler.git.mirrors import Head, diverged

    mirrors, options = source.mirrors, source.options
    if mirrors is None:
        return source
    every = mirrors
    judged: dict[tuple[str, str], SourceError | None] = {}

    def refusal(head: Head) -> SourceError | None:
        key = (head.commit, head.fetched.tag)
        if key not in judged:
            error = None
            try:
                _check(read_head(options, every, head, files=False), last)
            except FetchFailed as unreachable:
                # Another mirror of the same commit may answer.
                return unreachable
            except SourceError as found:
                error = found
            judged[key] = error
        return judged[key]

    try:
        choice, mirrors = every.chosen(refusal, last.commit if last else "")
        if len(choice.rivals) > 1:
            raise diverged(choice.rivals)
    except SourceUnreachable:
        raise
    except SourceError:
        if not options.plan_only:
            raise
        return source
    return read_choice(options, mirrors, choice, mirrors.notices(choice))


def _check_kept(source: ReadSource, begun: str) -> None:
    commit = source.checkout.commit
    if commit != begun:
        since = f"since then commit {begun[:12]} was begun" if begun else "nothing tells that"
        raise SourceError(
            f"{source.unreachable}; the kept commit {commit[:12]} is not the one that was applied "
            f"last: {since}, and what it changed is not taken back",
            hint="runs go on when the repository or a mirror of it answers",
        )


def _check(source: ReadSource, last: LastApplied | None) -> None:
    where, checkout = source.where, source.checkout
    before: SourceRules | None = None
    if last and last.commit == checkout.commit and not checkout.dirty:
        before = source.rules
    elif last and checkout.commit:
        from reconciler.git.signatures import in_repository

        allowed = source.options.allow_rollback or source.rules.allow_rollback
        before = in_repository(
            where, lambda folder: _rules_before(where, folder, checkout, last, allowed)
        )
        if before is None and last.signature and not source.options.allow_rollback:
            raise SourceError(
                f"commit {last.commit[:12]}, which was applied last, is gone, and with it whom "
                "it trusted to sign",
                hint="if this is meant: --allow-rollback once, with --trusted-keys",
            )
    demanded = (before.signature if before else None) or source.rules.signature
    if demanded is None:
        return
    checked = source.demanded
    if (
        source.signer
        and source.keys
        and checked
        and (checked.type, checked.on) == (demanded.type, demanded.on)
    ):
        return
    keys = source.keys or _keys_before(where, before, last)
    if keys is None:
        raise SourceError(
            f"the Federation demands {demanded}, and whom to trust must be known from outside "
            "of the commit that is checked",
            hint="give the public keys with --trusted-keys; without it the keys that the last "
            "applied commit names are used, and there is no such commit yet",
        )
    from reconciler.git.signatures import verify_checkout

    verify_checkout(where, checkout, demanded, keys)


def _rules_before(
    where: SourceLocation,
    folder: Path,
    head: Checkout,
    last: LastApplied,
    rollback_allowed: bool,
) -> SourceRules | None:
    """The rules of the last applied commit, which ``head`` must continue; None when it is gone."""
    from reconciler.git.commits import read_commit_reusing
    from reconciler.git.descent import check_descent
    from reconciler.git.fetch import fetch_commit, has_commit

    if not rollback_allowed:
        # Whose descendant the head is, that is there.
        check_descent(where, folder, last.commit, head.commit)
    elif not (
        fetch_commit(where, folder, last.commit)
        if where.is_remote
        else has_commit(folder, last.commit)
    ):
        return None
    files = read_commit_reusing(where, folder, last.commit, head.files)
    return source_rules_of(files, rules_cache(where))


def _keys_before(
    where: SourceLocation, before: SourceRules | None, last: LastApplied | None
) -> TrustedKeys | None:
    """Those that the last applied commit names."""
    from reconciler.git.commits import read_blob
    from reconciler.git.signatures import in_repository

    if before is None or before.signature is None or last is None:
        return None
    rule = before.signature
    more = (
        in_repository(where, lambda folder: read_blob(folder, last.commit, rule.allowed_signers))
        if rule.allowed_signers
        else b""
    )
    return keys_in_repository(rule.keys, more, last.commit)
