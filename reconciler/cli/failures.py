"""The one place where an error becomes words: what happened, where, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from reconciler.api.errors import (
    BadInput,
    ClusterError,
    GuardViolation,
    Problem,
    ReconcileError,
    StalePlan,
)
from reconciler.cli.console import Console

_MOST = 100
"""Of a plan that no longer fits, the first differences say enough."""


def describe_error(error: ReconcileError) -> Iterator[str]:
    """Lines for stderr, with colour codes (the console drops them where it must).

    The first line starts with ``Error:``; a hint comes last, as ``Next:``. What files and servers
    said is shown, and never acts on a terminal.
    """
    from reconciler.report.wording import visible

    label = click.style("Error:", fg="red", bold=True)
    if isinstance(error, BadInput):
        for problem in error.problems:
            yield from describe_problem(problem)
        yield ""
        yield f"{label} {error}. No cluster was touched."
    elif isinstance(error, GuardViolation):
        nothing = "Nothing else" if error.done else "Nothing"
        yield f"{label} the plan passes a limit. {nothing} was written."
        for one in error.violations:
            yield f"  - {visible(str(one))}"
        if error.done:
            yield f"Done all the same, because of what is down: {visible(', '.join(error.done))}"
    elif isinstance(error, StalePlan):
        yield f"{label} what the plan was made of is no longer so. Nothing was written."
        for difference in error.differences[:_MOST]:
            yield f"  - {visible(difference)}"
        if (more := len(error.differences) - _MOST) > 0:
            yield f"  - and {more} more"
    elif isinstance(error, ClusterError):
        cluster = click.style(visible(error.cluster), bold=True)
        yield f"{label} {cluster}: {visible(str(error), keep_lines=True)}"
    else:
        yield f"{label} {visible(str(error), keep_lines=True)}"
    if error.hint:
        yield f"{click.style('Next:', fg='cyan')}  {visible(error.hint)}"


def describe_problem(problem: Problem) -> Iterator[str]:
    """``file:line:column: what`` (which editors and terminals make clickable), then the rest."""
    from reconciler.report.wording import visible

    position = click.style(visible(str(problem.position)), bold=True)
    yield f"{position}: {visible(problem.message, keep_lines=True)}"
    if problem.path:
        yield f"    at        {visible(problem.path)}"
    if problem.expected:
        yield f"    expected  {visible(problem.expected)}"
    if problem.hint:
        yield f"    hint      {click.style(visible(problem.hint), fg='cyan')}"


def report_failure(error: ReconcileError, console: Console) -> None:
    """Writes the words for ``error`` to stderr."""
    if console.json_lines:
        from reconciler.report.logs import failed

        failed(error)
        return
    for line in describe_error(error):
        console.note(line)


def report_defect(error: Exception, console: Console) -> None:
    """Writes what to say when the tool itself is wrong; the way there only where asked for.

    The words of an error that nobody foresaw may quote anything, a Secret's value as well: they
    are never written, only what sort it is and where it came up.
    """
    label = click.style("Error:", fg="red", bold=True)
    if console.debug:
        console.note("\n".join(_way_to(error)))
    console.note(f"{label} this is a defect of reconcile: {type(error).__name__}{_place_of(error)}")
    if not console.debug:
        console.note(f"{click.style('Next:', fg='cyan')}  run it again with --debug, and report it")


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


def _place_of(error: BaseException) -> str:
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    return f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
