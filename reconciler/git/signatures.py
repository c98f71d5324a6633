"""Whether a commit or tag is signed by a trusted key, told by gpg and ssh-keygen through git."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from reconciler.api.errors import SourceError
from reconciler.api.files import Checkout
from reconciler.git.local import git_environment, local_git
from reconciler.git.location import SourceLocation
from reconciler.git.processes import FinishedProgram, run_program
from reconciler.git.source_rules import SignatureRule, SignatureType
from reconciler.git.trusted_keys import TrustedKeys

Result = TypeVar("Result")
SECONDS = 30
_BEGIN_MARKERS = {
    b"-----BEGIN PGP SIGNATURE-----": "gpg",
    b"-----BEGIN PGP MESSAGE-----": "gpg",
    b"-----BEGIN SSH SIGNATURE-----": "ssh",
    b"-----BEGIN SIGNED MESSAGE-----": "x509",
}
# Kinds of signature that are not asked for must not be able to pass.
_NOBODY = "false"


def verify_checkout(
    where: SourceLocation, checkout: Checkout, rule: SignatureRule, keys: TrustedKeys
) -> str:
    """Who signed a checkout. Raises SourceError when nobody who is trusted did."""
    if not checkout.commit:
        raise SourceError(f"{where.name} is no Git repository; {rule} is demanded")
    if not where.is_remote and where.ref is None:
        raise SourceError(
            f"{where.name} is read as its files lie, and {rule} is demanded",
            hint="read the commit, with --ref HEAD",
        )
    return in_repository(
        where,
        lambda folder: verify_signature(
            folder, checkout.commit, checkout.tag, checkout.ref, rule, keys
        ),
    )


def in_repository(where: SourceLocation, work: Callable[[Path], Result]) -> Result:
    """What ``work`` makes of the folder with Git's objects. Raises SourceError."""
    from reconciler.git.commits import git_folder
    from reconciler.git.fetch import with_clone

    return with_clone(where, work) if where.is_remote else work(git_folder(where))


def verify_signature(
    folder: Path, commit: str, tag: str, ref: str, rule: SignatureRule, keys: TrustedKeys
) -> str:
    """Who signed what ``rule`` demands; ``tag`` is the id of the tag's object, ``ref`` its name.

    ``folder`` is the repository. Raises SourceError when it is not signed, not by one of
    ``keys``, or cannot be checked.
    """
    if rule.on == "tag":
        _check_tag(folder, commit, tag, ref)
    what = f"tag {ref.removeprefix('refs/tags/')}" if rule.on == "tag" else f"commit {commit[:12]}"
    signed = tag if rule.on == "tag" else commit
    found = _type_of_signature(folder, rule.on, signed)
    if not found:
        raise SourceError(f"{what} is not signed; {rule.type} is demanded", hint=_how(rule))
    if found != rule.type:
        raise SourceError(f"{what} is signed with {found}; {rule.type} is demanded")
    import tempfile

    with tempfile.TemporaryDirectory(prefix="reconcile-keys-") as place:
        environment = _environment(Path(place), rule.type, keys)
        command = ["git", "-C", str(folder), f"verify-{rule.on}", "--raw", signed]
        done = run_program(command, environment, seconds=SECONDS)
    signer = _gpg_signer(done) if rule.type == "gpg" else _ssh_signer(done)
    if done.code or done.timed_out or not signer:
        reason = _why_not_gpg(done) if rule.type == "gpg" else _why_not_ssh(done)
        raise SourceError(f"{what}: {reason}", hint=f"trusted are the keys of {keys.origin}")
    return signer


def _how(rule: SignatureRule) -> str:
    return "sign it: git tag -s" if rule.on == "tag" else "sign it: git commit -S"


def _check_tag(folder: Path, commit: str, tag: str, ref: str) -> None:
    if not ref.startswith("refs/tags/") or not tag:
        raise SourceError(
            f"a signed tag is demanded, and {ref or commit[:12]} is none",
            hint="name an annotated tag with --ref",
        )
    head = local_git(folder, "cat-file", "tag", tag).stdout.partition(b"\n\n")[0]
    fields = dict(line.split(b" ", 1) for line in head.splitlines() if b" " in line)
    # A genuine tag under another name would be a way to an older version.
    named = fields.get(b"tag", b"").decode(errors="replace")
    if named != ref.removeprefix("refs/tags/"):
        raise SourceError(f"{ref} holds a tag that calls itself {named!r}")
    if fields.get(b"object", b"").decode(errors="replace") != commit:
        raise SourceError(f"{ref} is a tag of something else than commit {commit[:12]}")


def _type_of_signature(folder: Path, on: str, signed: str) -> str:
    content = local_git(folder, "cat-file", on, signed).stdout
    if on == "commit":
        head = content.partition(b"\n\n")[0]
        found = re.search(rb"^gpgsig (-----BEGIN [A-Z ]+-----)$", head, re.MULTILINE)
        return _BEGIN_MARKERS.get(found[1], "unknown") if found else ""
    marks = [
        (content.rfind(b"\n" + begin_marker), kind) for begin_marker, kind in _BEGIN_MARKERS.items()
    ]
    place, kind = max(marks)
    return kind if place >= 0 else ""


def _environment(place: Path, wanted: SignatureType, keys: TrustedKeys) -> dict[str, str]:
    """git with our keys and no others: the user's own keyring and signers play no part."""
    settings = {
        "gpg.x509.program": _NOBODY,
        "gpg.openpgp.program": "gpg" if wanted == "gpg" else _NOBODY,
        "gpg.program": "gpg" if wanted == "gpg" else _NOBODY,
        "gpg.ssh.program": "ssh-keygen" if wanted == "ssh" else _NOBODY,
        "gpg.minTrustLevel": "undefined",
    }
    environment = git_environment()
    if wanted == "gpg":
        environment["GNUPGHOME"] = str(place)
        # Without it newer versions put the keys into a daemon's database.
        (place / "common.conf").touch()
        _import(keys, environment)
    else:
        signers = place / "allowed_signers"
        signers.write_text(keys.allowed_signers(), encoding="utf-8")
        settings["gpg.ssh.allowedSignersFile"] = str(signers)
    first = int(environment["GIT_CONFIG_COUNT"])
    for number, (key, value) in enumerate(settings.items(), first):
        environment[f"GIT_CONFIG_KEY_{number}"] = key
        environment[f"GIT_CONFIG_VALUE_{number}"] = value
    environment["GIT_CONFIG_COUNT"] = str(first + len(settings))
    return environment


def _import(keys: TrustedKeys, environment: dict[str, str]) -> None:
    command = ["gpg", "--batch", "--no-autostart", "--status-fd", "1", "--import"]
    imported = 0
    for text in keys.texts:
        done = run_program(command, environment, seconds=SECONDS, given=text)
        imported += len(re.findall(rb"^\[GNUPG:\] IMPORT_OK ", done.stdout, re.MULTILINE))
    if not imported:
        raise SourceError(
            f"{keys.origin}: holds no GPG public key", hint="export it: gpg --armor --export ID"
        )


def _gpg_signer(done: FinishedProgram) -> str:
    """The signer by gpg's status lines (DETAILS of GnuPG): a good signature of a valid key."""
    good = re.findall(r"^\[GNUPG:\] GOODSIG \S+ (.*)$", done.stderr, re.MULTILINE)
    valid = re.findall(r"^\[GNUPG:\] VALIDSIG (\S+)", done.stderr, re.MULTILINE)
    bad = re.search(r"^\[GNUPG:\] (BAD|ERR|EXP|EXPKEY|REVKEY)SIG\b", done.stderr, re.MULTILINE)
    # More than one signature is more than git itself accepts.
    return f"{good[0]} ({valid[0]})" if len(good) == len(valid) == 1 and not bad else ""


def _why_not_gpg(done: FinishedProgram) -> str:
    for pattern, reason in (
        (r"BADSIG", "its signature does not fit what it holds"),
        (r"EXPKEYSIG", "it is signed with a key that has expired"),
        (r"EXPSIG", "its signature has expired"),
        (r"REVKEYSIG", "it is signed with a key that has been revoked"),
    ):
        if re.search(rf"^\[GNUPG:\] {pattern}\b", done.stderr, re.MULTILINE):
            return reason
    if unknown := re.search(r"^\[GNUPG:\] (?:NO_PUBKEY|ERRSIG) (\S+)", done.stderr, re.MULTILINE):
        return f"it is signed with a key that is not trusted: {unknown[1]}"
    return "its signature cannot be checked" + (" in time" if done.timed_out else "")


def _ssh_signer(done: FinishedProgram) -> str:
    good = re.search(r'^Good "git" signature for (.+) with (\S+) key (\S+)$', done.stderr, re.M)
    return f"{good[1]} ({good[3]})" if good else ""


def _why_not_ssh(done: FinishedProgram) -> str:
    if known := re.search(r'^Good "git" signature with \S+ key (\S+)', done.stderr, re.MULTILINE):
        return f"it is signed with a key that is not trusted: {known[1]}"
    if "incorrect signature" in done.stderr or "Signature verification failed" in done.stderr:
        return "its signature does not fit what it holds"
    if "cannot run ssh-keygen" in done.stderr:
        return "ssh-keygen is missing, and checks ssh signatures"
    return "its signature cannot be checked with the trusted keys"
