"""Whether a head may be applied: signed by whom we knew before, and no step back.

Keys that lie in the very commit that is checked prove nothing: whoever may push could bring
their own. So they come from outside: from ``--trusted-keys``, or from the commit that was applied
last and had been trusted then. In the same way the last applied commit's demand binds the next
one, which cannot simply leave it out.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from reconciler.api.errors import SourceError
from reconciler.api.files import Checkout
from reconciler.git.location import SourceLocation
from reconciler.git.read import ReadSource, rules_cache, source_rules_of
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


def check_trust(source: ReadSource, last: LastApplied | None) -> tuple[str, ...]:
    """Check descent and signature by the rules of the head and of the last applied commit.

    Raises SourceError in a run that writes; in one that only plans its words are a warning.
    """
    try:
        _check(source, last)
    except SourceError as error:
        if not source.options.plan_only:
            raise
        hint = f" ({error.hint})" if error.hint else ""
        return (f"this could not be applied: {error}{hint}",)
    return ()


def _check(source: ReadSource, last: LastApplied | None) -> None:
    from reconciler.git.signatures import in_repository, verify_checkout

    where, checkout = source.where, source.checkout
    before: SourceRules | None = None
    if last and last.commit == checkout.commit and not checkout.dirty:
        before = source.rules
    elif last and checkout.commit:
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
    verify_checkout(where, checkout, demanded, keys)


def _rules_before(
    where: SourceLocation,
    folder: Path,
    head: Checkout,
    last: LastApplied,
    rollback_allowed: bool,
) -> SourceRules | None:
    """The rules of the last applied commit, which ``head`` must continue; None when it is gone."""
    from reconciler.git.commits import read_commit_beside
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
    files = read_commit_beside(where, folder, last.commit, head.files)
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
