"""Every error that this tool raises on purpose, with the exit code it ends in.

    ReconcileError                      1
    ├── BadInput                        1   what Git says is wrong; carries every Problem found
    ├── SourceError                     1   the repository could not be read or trusted
    │   ├── SourceUnreachable               nobody answers who could say anything of it
    │   └── NoSuchFolder                    the commit was read, and has no such path
    ├── GuardViolation                  1   the plan is too dangerous to run; carries the figures
    ├── StalePlan                       1   a plan no longer fits what is there; carries how
    ├── LeaseLost                       1   another run holds the lock; nothing more is written
    ├── MemoryChanged                   1   another run changed what is remembered of the fleet
    ├── NoMajority                      1   too few seats answer and count; nothing is written
    ├── DnsError                        1   one zone or DNS provider; clusters and others go on
    ├── ClusterError                    1   one member cluster; others go on
    │   ├── ClusterUnreachable              no answer: DNS, refused, reset, timeout, TLS
    │   ├── ClusterUnauthorized             401, or no usable credential: not a dead cluster
    │   └── ApiError                        the API server answered with a Status
    │       ├── Forbidden                   403
    │       ├── NotFound                    404
    │       ├── Conflict                    409; carries who owns which field
    │       ├── Gone                        410
    │       ├── Invalid                     400 or 422
    │       └── Throttled                   429, 503 with Retry-After
    └── UsageError                     64   the command line itself is wrong

An error is raised where it is known and carries data; the command line turns it into words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from msgspec import Struct
from msgspec.structs import force_setattr

MAX_ERROR_LENGTH = 1000


class Position(Struct, frozen=True, order=True, gc=False):
    """A place in a file of the repository; line and column count from 1. Line 0: it is no file, and
    ``file`` says what else."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class Problem(Struct, frozen=True, order=True):
    """One thing that is wrong with the input, told so that it can be mended without a search.

    ``path`` is the JSON path inside the document (``$.spec.replicas``, ``""`` when it is about
    the whole file), ``message`` says what is wrong, ``expected`` what would be right, ``hint``
    how to get there (a did-you-mean, the next command). Each is cut where nobody would read on:
    what a file quotes may be megabytes.
    """

    position: Position
    path: str
    message: str
    expected: str = ""
    hint: str = ""

    def __post_init__(self) -> None:
        for name in ("path", "message", "expected", "hint"):
            text: str = getattr(self, name)
            if len(text) > MAX_ERROR_LENGTH:
                force_setattr(self, name, text[:MAX_ERROR_LENGTH] + " …")

    def __str__(self) -> str:
        where = f"{self.position}: " + (f"{self.path}: " if self.path else "")
        text = where + self.message
        if self.expected:
            text += f"; expected {self.expected}"
        if self.hint:
            text += f" ({self.hint})"
        return text


class ReconcileError(Exception):
    """Root of the tree above. ``hint`` names the next command or setting, if there is one.

    ``subject`` is what it is about, where the message has parts (figures, others' words) that may
    differ in another run of the same trouble; it is the message where nothing else is given.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", subject: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        self.subject = subject or message


def with_hint(error: ReconcileError) -> str:
    """Its message, and its hint in brackets."""
    return f"{error} ({error.hint})" if error.hint else str(error)


class UsageError(ReconcileError):
    exit_code = 64


class BadInput(ReconcileError):
    """The repository says something that cannot be meant. Nothing has been written anywhere."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        count = len(self.problems)
        super().__init__(f"{count} problem{'s' if count != 1 else ''} in the repository")


class SourceError(ReconcileError):
    """The repository could not be fetched, read or trusted."""


class SourceUnreachable(SourceError):
    """Nobody could say anything of the repository: no connection, no answer, servers in trouble."""


class NoSuchFolder(SourceError):
    """A commit, or a directory, has no folder where the manifests should be."""


class Violation(Struct, frozen=True):
    """A limit that a plan passes, or what else stops its run; ``str`` is the sentence.

    ``cluster`` is the only one that it is about, if it is. The kinds of it are in ``plan.guards``.
    """

    cluster: str = ""

    @property
    def subject(self) -> str:
        """What stays the same while only figures change; the sentence where nothing else tells."""
        return str(self)


class TextViolation(Violation, frozen=True):
    """One of which only the words are known, and what it is ``about``: another process, a saved
    plan, or what failed meanwhile, has them."""

    text: str = ""
    about: str = ""

    @property
    def subject(self) -> str:
        return self.about or self.text

    def __str__(self) -> str:
        return self.text


class RunError(Struct, frozen=True):
    """What failed of a run and is no object's and no record's: ``str`` is the sentence.

    ``cluster`` is whose part of the run it ended, if it was one's. ``about`` stays the same in
    another run while the words change.
    """

    text: str
    cluster: str = ""
    about: str = ""

    @property
    def subject(self) -> str:
        return self.about or self.cluster or self.text

    def __str__(self) -> str:
        return f"{self.cluster}: {self.text}" if self.cluster else self.text


class GuardViolation(ReconcileError):
    """The plan passes a limit; the run stops before its first write, but for ``done``: what it did
    all the same because of an outage."""

    def __init__(
        self, violations: Sequence[Violation], *, done: Sequence[str] = (), hint: str = ""
    ) -> None:
        self.violations = tuple(violations)
        self.done = tuple(done)
        super().__init__("; ".join(map(str, self.violations)), hint=hint)


class StalePlan(ReconcileError):
    """What a plan was made of is no longer so; each of ``differences`` says one thing."""

    def __init__(self, differences: Sequence[str], *, hint: str = "") -> None:
        self.differences = tuple(differences)
        super().__init__("; ".join(self.differences), hint=hint)


class DeadlinePassed(ReconcileError):
    """The time is over, of a run that had not begun to write, or of what can be done again
    (``writes``)."""

    def __init__(self, seconds: float, *, writes: bool = False) -> None:
        what = "it may be half done" if writes else "nothing was written"
        again = "do it again, which does no harm; " if writes else ""
        super().__init__(
            f"the run did not end within {seconds:g} s; {what}",
            hint=f"{again}--deadline gives it longer",
        )


class LeaseLost(ReconcileError):
    """This run no longer holds the lock and must not write any more."""


class MemoryChanged(ReconcileError):
    """What is remembered of the fleet was changed by another run since this one read it."""


class NoMajority(ReconcileError):
    """No majority of the seats answered with a copy that counts; ``seats`` says of each other one
    why it does not. What was asked may have been carried out, unless it was only read."""

    def __init__(self, message: str, seats: Mapping[str, str], *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.seats = dict(seats)


class DnsError(ReconcileError):
    """A zone could not be read or must not be written; ``zone`` is its name.

    What a provider's library says is part of the message, without credentials.
    """

    def __init__(self, zone: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.zone = zone


class ClusterError(ReconcileError):
    """Something went wrong in one member cluster; ``cluster`` is its name in the federation."""

    def __init__(self, cluster: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.cluster = cluster


class ClusterUnreachable(ClusterError):
    """No usable answer. ``cause`` is one of dns, refused, timeout, reset, tls, certificate,
    proxy, network, protocol. ``sent``: the request may have been carried out all the same."""

    def __init__(
        self, cluster: str, message: str, *, cause: str, hint: str = "", sent: bool = False
    ) -> None:
        super().__init__(cluster, message, hint=hint)
        self.cause = cause
        self.sent = sent


class ClusterUnauthorized(ClusterError):
    """The credential is missing, expired or refused. The cluster may be perfectly well."""


class ApiError(ClusterError):
    """The API server's own refusal: HTTP ``code``, Status ``reason`` and ``details.causes``.

    ``in_our_words``: the message quotes nothing of what the server said. ``by_admission``: it is
    what a webhook or a policy says, and not the server itself. ``repeated``: an earlier try of the
    same request got no answer, or one that leaves open whether it was carried out.
    """

    def __init__(
        self,
        cluster: str,
        message: str,
        *,
        code: int,
        reason: str = "",
        causes: Sequence[dict[str, Any]] = (),
        retry_after: float | None = None,
        hint: str = "",
        in_our_words: bool = False,
        by_admission: bool = False,
        repeated: bool = False,
    ) -> None:
        super().__init__(cluster, message, hint=hint)
        self.code = code
        self.in_our_words = in_our_words
        self.by_admission = by_admission
        self.repeated = repeated
        self.reason = reason
        self.causes = tuple(causes)
        self.retry_after = retry_after

    def described_for(self, change: Callable[[str], str]) -> Self:
        """The same refusal in other words."""
        return type(self)(
            self.cluster,
            change(str(self)),
            code=self.code,
            reason=self.reason,
            causes=[
                {k: change(v) if isinstance(v, str) else v for k, v in cause.items()}
                for cause in self.causes
            ],
            retry_after=self.retry_after,
            hint=self.hint,
            in_our_words=self.in_our_words,
            by_admission=self.by_admission,
        )


class Forbidden(ApiError):
    pass


class NotFound(ApiError):
    pass


class Conflict(ApiError):
    pass


class Gone(ApiError):
    pass


class Invalid(ApiError):
    pass


class Throttled(ApiError):
    pass


def defect_words(error: Exception) -> str:
    """What is reported of an unexpected error: what sort it is, and where it came up. Its own
    words may quote anything, a Secret's value as well."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"this is a defect of reconcile: {type(error).__name__}{place}"
