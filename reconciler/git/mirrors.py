"""Several addresses of one repository: fetched side by side, and which of their heads counts.

The newest head that passes every rule of trust is the one. One from which another descends is
merely behind; of two that went different ways, the one that continues what was applied last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.errors import SourceError, SourceUnreachable, with_hint
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.git.fetch import Fetched
from reconciler.git.fetch_errors import FetchFailed
from reconciler.git.location import SourceLocation

CONCURRENT_FETCHES = 4
"""So many are fetched side by side."""


class Head(Struct, frozen=True):
    """What one mirror, or the repository itself, has."""

    where: SourceLocation
    fetched: Fetched

    @property
    def commit(self) -> str:
        return self.fetched.commit

    def __str__(self) -> str:
        return f"{self.where.name} (commit {self.commit[:12]})"


ComesAfter = Callable[[Head, str], bool]
Refusal = Callable[[Head], SourceError | None]


class Choice(Struct, frozen=True):
    """``rivals`` are the newest trusted heads, of which none comes after another: one where it is
    clear what to read, more where it is not. All in the order in which they were given.

    ``behind`` are those from which a rival descends, ``diverged_heads`` those that went another way
    than what was applied last, ``refused`` those that may not be applied, with the reason.
    """

    rivals: tuple[Head, ...]
    behind: tuple[Head, ...] = ()
    diverged_heads: tuple[Head, ...] = ()
    refused: tuple[tuple[Head, SourceError], ...] = ()


def choose_head(
    heads: Sequence[Head], comes_after: ComesAfter, refusal: Refusal, last: str
) -> Choice:
    """Which head counts. Pure but for what it is given; whom nobody needs to trust is not judged.

    ``comes_after`` says whether a head is a commit or a descendant of it, ``refusal`` why a head
    may not be applied. ``last`` is the commit that was applied last; empty: none is known.
    """
    left, refused = list(heads), []
    while True:
        newest = [
            head
            for head in left
            if not any(
                other.commit != head.commit and comes_after(other, head.commit) for other in left
            )
        ]
        found = [(head, error) for head in newest if (error := refusal(head))]
        if not found:
            break
        refused += found
        left = [head for head in left if head not in [one for one, _ in found]]
    rivals = newest
    if last and len({head.commit for head in rivals}) > 1:
        rivals = [head for head in newest if comes_after(head, last)] or newest
    # Of mirrors that have the same, the first one given.
    distinct = {head.commit: head for head in reversed(rivals)}
    return Choice(
        rivals=tuple(head for head in rivals if distinct[head.commit] is head),
        behind=tuple(head for head in left if head not in newest),
        diverged_heads=tuple(head for head in newest if head not in rivals),
        refused=tuple(refused),
    )


class Mirrors(Struct, frozen=True):
    """The ``heads`` of those that answered, in the order in which they were given; ``unanswered``
    says why others did not."""

    heads: tuple[Head, ...]
    unanswered: tuple[str, ...] = ()

    @property
    def differ(self) -> bool:
        """Whether there is something to choose."""
        return len({head.commit for head in self.heads}) > 1

    def chosen(self, refusal: Refusal, last: str = "") -> tuple[Choice, Mirrors]:
        """The choice, and the mirrors without those that stopped answering meanwhile.

        Raises SourceError where no head is trusted, SourceUnreachable where none is left.
        """
        lost: dict[Head, SourceError] = {}

        def comes_after(head: Head, commit: str) -> bool:
            try:
                return _comes_after(head, commit)
            except FetchFailed as error:
                lost[head] = error
                return False

        def judged(head: Head) -> SourceError | None:
            error = refusal(head)
            if isinstance(error, FetchFailed) and error.unreachable:
                lost[head] = error
            return error

        choice = choose_head(self.heads, comes_after, judged, last)
        if lost:
            left = tuple(head for head in self.heads if head not in lost)
            reasons = (*self.unanswered, *map(str, lost.values()))
            if not left:
                raise SourceUnreachable("; ".join(reasons))
            return replace(self, heads=left, unanswered=reasons).chosen(refusal, last)
        if not choice.rivals:
            raise _nobody(choice)
        return choice, self

    def notices(self, choice: Choice) -> tuple[Notice, ...]:
        """What people should know of the mirrors, where one head was chosen."""
        first = choice.rivals[0]
        found = [notice(NoticeCause.MIRROR_SILENT, error=text) for text in self.unanswered]
        for cause, heads in (
            (NoticeCause.MIRROR_BEHIND, choice.behind),
            (NoticeCause.MIRROR_DIVERGED, choice.diverged_heads),
        ):
            found += [notice(cause, subject=h.where.name, head=h, first=first) for h in heads]
        for head, error in choice.refused:
            about, why = head.where.name, with_hint(error)
            found.append(notice(NoticeCause.MIRROR_REFUSED, subject=about, head=head, error=why))
        return tuple(found)


def fetch_mirrors(places: Sequence[SourceLocation]) -> Mirrors:
    """The head of each, fetched side by side.

    Raises SourceUnreachable when nobody could say anything of the repository, SourceError when
    none has it and one of them said why.
    """
    from concurrent.futures import ThreadPoolExecutor

    from reconciler.git.processes import end_all

    with ThreadPoolExecutor(CONCURRENT_FETCHES) as pool:
        try:
            answers = list(pool.map(_fetched, places))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            end_all()
            raise
    heads = tuple(one for one in answers if isinstance(one, Head))
    errors = [one for one in answers if isinstance(one, SourceError)]
    unanswered = tuple(map(str, errors))
    if heads:
        return Mirrors(heads, unanswered)
    if all(isinstance(error, FetchFailed) and error.unreachable for error in errors):
        raise SourceUnreachable("; ".join(unanswered), hint=errors[0].hint)
    raise SourceError("; ".join(unanswered), hint=next((e.hint for e in errors if e.hint), ""))


def diverged(rivals: Sequence[Head]) -> SourceError:
    """Why none of them is applied, and what to do."""
    return SourceError(
        f"the mirrors went different ways: {' and '.join(map(str, rivals))}; neither comes after "
        "the other, and nothing tells which is meant",
        hint="push the one that is meant to all of them, or name only that one with --repo",
    )


def _fetched(where: SourceLocation) -> Head | SourceError:
    from reconciler.git.fetch import fetch, with_clone

    try:
        return Head(where, with_clone(where, lambda folder: fetch(where, folder)))
    except SourceError as error:
        return error
    except OSError as error:
        return SourceError(f"{where.name}: {where.redact(str(error))}")


def _comes_after(head: Head, commit: str) -> bool:
    """Raises FetchFailed where the server of the head does not answer."""
    from reconciler.git.descent import check_descent
    from reconciler.git.fetch import with_clone

    if head.commit == commit:
        return True
    try:
        with_clone(
            head.where, lambda folder: check_descent(head.where, folder, commit, head.commit)
        )
    except FetchFailed:
        raise
    except SourceError:
        return False
    return True


def _nobody(choice: Choice) -> SourceError:
    if len({str(error) for _, error in choice.refused}) == 1:
        return choice.refused[0][1]
    reasons = "; ".join(f"{head}: {error}" for head, error in choice.refused)
    return SourceError(f"no mirror can be applied: {reasons}", hint=choice.refused[0][1].hint)
