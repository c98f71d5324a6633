"""Signed webhooks of Git servers. Whatever one of them says, it means one thing: look now.

All come to one path, and are told apart by the header that their signature is in: a secret is then
checked in the same way whoever is said to send it, and nobody has to give each server a URL of its
own. Gitea's also carry GitHub's header, so the order of ``_SCHEMES`` matters.

A replay makes a run that finds nothing to do, so none is looked for. Of a body only the refs are
read, and only to leave out a push that is certainly not of ours.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import threading
import time
from collections.abc import Callable, Sequence
from email.message import Message
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from reconciler.api.errors import ReconcileError, with_hint

PATH = "/webhook"
MOST_BYTES = 25 * 1024 * 1024
"""Of a body: GitHub's own limit, the largest of theirs."""
READ_BYTES = 512 * 1024
"""In a longer body nobody looks for refs; it is hashed as it comes, and not kept."""
SHORTEST_SECRET = 16
MOST_SECRETS = 8
TELL_SECONDS = 60.0
"""How often refused webhooks are told of at most."""

Provider = Literal["bitbucket", "gitea", "github", "gitlab", "unknown"]
Result = Literal["accepted", "ignored", "refused"]
"""ignored: signed, and of other refs than ours."""

_PROVIDERS: tuple[Provider, ...] = ("bitbucket", "gitea", "github", "gitlab", "unknown")
_RESULTS: tuple[Result, ...] = ("accepted", "ignored", "refused")


# -- secrets ---------------------------------------------------------------------------------------


def read_secrets(file: Path) -> tuple[bytes, ...]:
    """One secret a line, so that a new one and the old one may hold side by side.

    Raises ReconcileError, which quotes nothing of the file, where there is none or a weak one.
    """
    make = f"make one with 'openssl rand -hex 32 > {file}', and give the Git server the same"
    try:
        with file.open("rb") as stream:
            lines = [line.strip() for line in stream.read(64 * 1024).splitlines()]
    except OSError as error:
        raise ReconcileError(
            f"--webhook-secret {file}: {error.strerror or error}", hint=make
        ) from None
    found = []
    for number, line in enumerate(lines, 1):
        if line and len(line) < SHORTEST_SECRET:
            raise ReconcileError(
                f"{file}:{number}:1: a secret of {len(line)} characters can be guessed; "
                f"expected at least {SHORTEST_SECRET}",
                hint=make,
            )
        if line.startswith(_SIGNING_TOKEN) and _signing_key(line) is None:
            raise ReconcileError(
                f"{file}:{number}:1: not a signing token; expected Base64 after whsec_",
                hint="copy it from GitLab, whole",
            )
        found += [line] if line else []
    if not 0 < len(found) <= MOST_SECRETS:
        raise ReconcileError(
            f"{file}: {len(found)} secrets; expected one a line, and at most {MOST_SECRETS}",
            hint=make,
        )
    return tuple(found)


_SIGNING_TOKEN = b"whsec_"


def _signing_key(secret: bytes) -> bytes | None:
    """What a signing token stands for; None for any other secret."""
    if not secret.startswith(_SIGNING_TOKEN):
        return None
    try:
        return base64.b64decode(secret.removeprefix(_SIGNING_TOKEN), validate=True) or None
    except binascii.Error:
        return None


# -- signatures ------------------------------------------------------------------------------------


class Signature:
    """What a delivery is signed with, beside what it would be signed with by a secret of ours.

    ``update`` is given the body piece by piece, before ``holds`` is asked.
    """

    def __init__(self, theirs: Sequence[bytes], ours: Sequence[Any], *, of_body: bool) -> None:
        self._theirs, self._ours, self._of_body = theirs, ours, of_body

    def update(self, piece: bytes) -> None:
        """The next bytes of the body."""
        if self._of_body:
            for one in self._ours:
                one.update(piece)

    def holds(self) -> bool:
        """Whether one of theirs is one of ours; takes as long whichever it is, or none."""
        ours = [one.digest() for one in self._ours]
        equal = [hmac.compare_digest(mine, theirs) for mine in ours for theirs in self._theirs]
        return any(equal)


_NOBODYS = Signature((), (), of_body=False)


def _hexadecimal(given: str, headers: Message, secrets: Sequence[bytes]) -> Signature:
    """Gitea, Forgejo: the HMAC of the body."""
    del headers
    try:
        theirs = [bytes.fromhex(given)]
    except ValueError:
        return _NOBODYS
    return Signature(theirs, [hmac.new(one, digestmod="sha256") for one in secrets], of_body=True)


def _named_hexadecimal(given: str, headers: Message, secrets: Sequence[bytes]) -> Signature:
    """GitHub, Bitbucket: the same after ``sha256=``; anything weaker is refused."""
    method, _, digest = given.partition("=")
    return _hexadecimal(digest, headers, secrets) if method == "sha256" else _NOBODYS


def _standard(given: str, headers: Message, secrets: Sequence[bytes]) -> Signature:
    """GitLab's signing tokens, by the specification of Standard Webhooks: ``v1,BASE64``, several
    separated by spaces, of ``ID.TIMESTAMP.BODY``."""
    try:
        theirs = [
            base64.b64decode(digest, validate=True)
            for version, _, digest in (one.partition(",") for one in given.split())
            if version == "v1"
        ]
    except ValueError:
        return _NOBODYS
    names = ("webhook-id", "webhook-timestamp")
    signed = "".join(f"{headers.get(name, '')}." for name in names).encode("latin-1", "replace")
    keys = [key for secret in secrets if (key := _signing_key(secret))]
    return Signature(theirs, [hmac.new(key, signed, "sha256") for key in keys], of_body=True)


def _token(given: str, headers: Message, secrets: Sequence[bytes]) -> Signature:
    """GitLab's secret token: the secret itself. Digests, as comparing tells what is as long."""
    del headers
    theirs = [hashlib.sha256(given.encode("latin-1", "replace")).digest()]
    return Signature(theirs, [hashlib.sha256(one) for one in secrets], of_body=False)


_Scheme = Callable[[str, Message, Sequence[bytes]], Signature]
_SCHEMES: tuple[tuple[str, Provider, _Scheme], ...] = (
    ("X-Forgejo-Signature", "gitea", _hexadecimal),
    ("X-Gitea-Signature", "gitea", _hexadecimal),
    # GitLab sends webhook-id and webhook-timestamp always, and this with a signing token only.
    ("webhook-signature", "gitlab", _standard),
    ("X-Gitlab-Token", "gitlab", _token),
    ("X-Hub-Signature-256", "github", _named_hexadecimal),
    ("X-Hub-Signature", "bitbucket", _named_hexadecimal),
)
"""Header -> who sends it, and what it holds. The first that is there counts, and it alone."""


def signature_of(headers: Message, secrets: Sequence[bytes]) -> tuple[Provider, Signature]:
    """Who says that they send this, and the signature to be checked. Nothing else is believed."""
    for name, provider, scheme in _SCHEMES:
        given = headers.get_all(name)
        if given:
            one = given[0] if len(given) == 1 else ""
            return provider, scheme(str(one), headers, secrets) if one else _NOBODYS
    return "unknown", _NOBODYS


# -- what was pushed -------------------------------------------------------------------------------


class _Branch(Struct):
    """Bitbucket Cloud: a branch or a tag."""

    type: str = ""
    name: str = ""

    @property
    def ref(self) -> str:
        place = {"branch": "refs/heads/", "tag": "refs/tags/"}.get(self.type)
        return f"{place}{self.name}" if place else ""


class _Ref(Struct):
    """Bitbucket Data Center."""

    id: str = ""


class _Change(Struct):
    ref: _Ref | None = None
    old: _Branch | None = None
    new: _Branch | None = None

    @property
    def name(self) -> str:
        if self.ref is not None:
            return self.ref.id
        branch = self.new or self.old
        return branch.ref if branch else ""


class _CloudPush(Struct):
    changes: list[_Change] = []


class _Body(Struct):
    """What GitHub, GitLab and Gitea (``ref``), Bitbucket Cloud (``push``) and Bitbucket Data Center
    (``changes``) say of a push."""

    ref: str = ""
    push: _CloudPush | None = None
    changes: list[_Change] = []


def pushed_refs(body: bytes) -> frozenset[str]:
    """Full names of what was pushed; empty where the body does not say so beyond doubt."""
    try:
        decoded = msgspec.json.decode(body, type=_Body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return frozenset()
    changes = [*decoded.changes, *(decoded.push.changes if decoded.push else [])]
    names = [decoded.ref] if decoded.ref else [one.name for one in changes]
    return frozenset(names) if all(name.startswith("refs/") for name in names) else frozenset()


def concerns(refs: frozenset[str], ref: str | None) -> bool:
    """Whether what ``--ref`` names may have been pushed; True wherever that cannot be told: the
    server's default branch, a pull request's head, a body that names no refs."""
    if not refs or ref is None or ref == "HEAD":
        return True
    if ref.startswith("refs/") and not ref.startswith(("refs/heads/", "refs/tags/")):
        return True
    return not refs.isdisjoint({ref, f"refs/heads/{ref}", f"refs/tags/{ref}"})


# -- the deliveries --------------------------------------------------------------------------------


class Delivery:
    """One webhook while its body comes in. ``problem``: why no secret of ours can be compared."""

    def __init__(self, provider: Provider, signature: Signature, problem: str = "") -> None:
        self.provider, self._signature, self.problem = provider, signature, problem
        self._kept, self._length = bytearray(), 0

    def update(self, piece: bytes) -> None:
        """The next bytes of the body."""
        self._signature.update(piece)
        self._length += len(piece)
        if self._length <= READ_BYTES:
            self._kept += piece

    @property
    def signed(self) -> bool:
        """Whether somebody sent it who has the secret; only then anything in it may be read."""
        return self._signature.holds()

    @property
    def refs(self) -> frozenset[str]:
        """What was pushed; empty where that cannot be told."""
        return pushed_refs(bytes(self._kept)) if self._length <= READ_BYTES else frozenset()


class Webhooks:
    """Takes deliveries, in the HTTP server's threads.

    ``look`` asks for a run, and says False while the process ends; ``tell`` writes a line for
    people. The file of the secrets is read for each delivery, as a mounted Secret changes. Raises
    ReconcileError for a file that cannot be used now.
    """

    def __init__(
        self,
        secrets: Path,
        ref: str | None,
        look: Callable[[], bool],
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file, self._ref, self._look, self._tell = secrets, ref, look, tell
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: dict[tuple[Provider, Result], int] = {}
        self._untold, self._told_at = 0, -TELL_SECONDS
        read_secrets(secrets)

    def delivery(self, headers: Message) -> Delivery:
        """The one that begins with these headers; give it its body, and then to ``judge``."""
        secrets: tuple[bytes, ...] = ()
        problem = ""
        try:
            secrets = read_secrets(self._file)
        except ReconcileError as error:
            problem = with_hint(error)
        return Delivery(*signature_of(headers, secrets), problem)

    def judge(self, delivery: Delivery) -> tuple[int, str]:
        """HTTP status and a line. Whoever has no secret learns nothing but that."""
        if not delivery.signed:
            self._count(delivery.provider, "refused")
            self._refused(
                delivery.problem
                or f"{delivery.provider}'s webhook is not signed with a secret in {self._file}"
            )
            return 401, "unauthorized"
        if not concerns(delivery.refs, self._ref):
            self._count(delivery.provider, "ignored")
            return 202, "accepted: of another branch, so nothing is done"
        if not self._look():
            return 503, "ending"
        self._count(delivery.provider, "accepted")
        return 202, "accepted"

    def _count(self, provider: Provider, result: Result) -> None:
        with self._lock:
            self._counts[provider, result] = self._counts.get((provider, result), 0) + 1

    def _refused(self, why: str) -> None:
        """Tells of it, but not of each: anybody may send thousands."""
        with self._lock:
            self._untold += 1
            if self._clock() - self._told_at < TELL_SECONDS:
                return
            count, self._untold, self._told_at = self._untold, 0, self._clock()
        more = f" ({count - 1} others were refused since the last such line)" if count > 1 else ""
        self._tell(f"A webhook was refused: {why}{more}")

    def render(self) -> bytes:
        """How many came, in Prometheus' text format; see ``endpoints.Metrics``."""
        name = "federation_reconciler_webhooks_total"
        lines = [
            f"# HELP {name} Webhooks of Git servers, by what came of them.",
            f"# TYPE {name} counter",
        ]
        lines += [
            f'{name}{{provider="{provider}",result="{result}"}} '
            f"{self._counts.get((provider, result), 0)}"
            for provider in _PROVIDERS
            for result in _RESULTS
            if provider != "unknown" or result == "refused"
        ]
        return ("\n".join(lines) + "\n").encode()
