"""The one place where an error becomes words: what happened, where, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.api.errors import (
    BadInput,
    ClusterError,
    GuardViolation,
    Problem,
    ReconcileError,
    StalePlan,
    defect_words,
)
from reconciler.cli.console import Console, styled

_MOST = 100
"""Of a plan that no longer fits, the first differences say enough."""


def describe_error(error: ReconcileError) -> Iterator[str]:
    """Lines for the console. The first one starts with ``Error:``; a hint comes last, as
    ``Next:``."""
    label = styled("Error:", fg="red", bold=True)
    if isinstance(error, BadInput):
        for problem in error.problems:
            yield from describe_problem(problem)
        yield ""
        yield f"{label} {error}. No cluster was touched."
    elif isinstance(error, GuardViolation):
        nothing = "Nothing else" if error.done else "Nothing"
        yield f"{label} the plan passes a limit. {nothing} was written."
        for one in error.violations:
            yield f"  - {one}"
        if error.done:
            yield f"Done all the same, because of what is down: {', '.join(error.done)}"
    elif isinstance(error, StalePlan):
        yield f"{label} what the plan was made of is no longer so. Nothing was written."
        for difference in error.differences[:_MOST]:
            yield f"  - {difference}"
        if (more := len(error.differences) - _MOST) > 0:
            yield f"  - and {more} more"
    elif isinstance(error, ClusterError):
        cluster = styled(error.cluster, bold=True)
        yield from _with_lines(f"{label} {cluster}: ", str(error))
    else:
        yield from _with_lines(f"{label} ", str(error))
    if error.hint:
        yield f"{styled('Next:', fg='cyan')}  {error.hint}"


def describe_problem(problem: Problem) -> Iterator[str]:
    """``file:line:column: what`` (which editors and terminals make clickable), then the rest."""
    position = styled(str(problem.position), bold=True)
    yield from _with_lines(f"{position}: ", problem.message)
    if problem.path:
        yield f"    at        {problem.path}"
    if problem.expected:
        yield f"    expected  {problem.expected}"
    if problem.hint:
        yield f"    hint      {styled(problem.hint, fg='cyan')}"


def _with_lines(begin: str, message: str) -> Iterator[str]:
    """A message may have several lines; what begins the first may not."""
    first, *rest = message.split("\n")
    yield begin + first
    yield from rest


def report_failure(error: ReconcileError, console: Console) -> None:
    """Writes the words for ``error`` to stderr."""
    if console.json_lines:
        from reconciler.report.logs import failed

        failed(error)
        return
    for line in describe_error(error):
        console.note(line)


def report_defect(error: Exception, console: Console) -> None:
    """Writes what to say when the tool itself is wrong; the way there only where asked for."""
    label = styled("Error:", fg="red", bold=True)
    if console.debug:
        for line in _way_to(error):
            console.note(line)
    console.note(f"{label} {defect_words(error)}")
    if not console.debug:
        console.note(f"{styled('Next:', fg='cyan')}  run it again with --debug, and report it")


def _way_to(error: BaseException) -> Iterator[str]:
    """A traceback without the words of any exception in it; what caused it comes first."""
    import traceback

    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield from _way_to(cause)
        yield "which led to:"
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _way_to(inner)
    yield from "".join(traceback.format_tb(error.__traceback__)).splitlines()
    yield type(error).__name__
