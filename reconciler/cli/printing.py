"""Plans and results to the terminal and to report files, in the formats asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.console import Console
from reconciler.errors import ReconcileError

if TYPE_CHECKING:
    from reconciler.planning.plan import Plan, RunResult


def plan_as_text(plan: Plan, console: Console) -> str:
    """The plan for somebody who is about to be asked, hence in stderr's colours."""
    from reconciler.reporting.text import render_plan

    return render_plan(
        plan, colour=console.stderr_colour, width=console.width, verbose=console.verbose
    )


def print_plan(plan: Plan, output: str, reports: Sequence[Path], console: Console) -> None:
    """Print a plan, and write the reports. Raises ReconcileError when one cannot be written."""
    if output != "none":
        console.out(_plan_in(output, plan, console), newline=False)
    for path in reports:
        _write(path, _plan_in(_format_of(path), plan, Console()))


def print_result(
    result: RunResult,
    output: str,
    reports: Sequence[Path],
    console: Console,
    *,
    plan_was_shown: bool = False,
) -> None:
    """Print what a run did, and write the reports. Raises ReconcileError as above."""
    if output != "none":
        text = _result_in(output, result, console, with_plan=not plan_was_shown)
        console.out(text, newline=False)
    for path in reports:
        _write(path, _result_in(_format_of(path), result, Console()))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ReconcileError(f"the report {path} was not written: {error.strerror}") from error


def _format_of(path: Path) -> str:
    return {".html": "html", ".json": "json", ".md": "markdown"}.get(path.suffix, "text")


def _plan_in(output: str, plan: Plan, console: Console) -> str:
    if output == "json":
        from reconciler.reporting.json_report import as_json, plan_document

        return as_json(plan_document(plan))
    if output == "markdown":
        from reconciler.reporting.markdown import render_markdown

        return render_markdown(plan)
    if output == "html":
        from reconciler.reporting.html import render_html

        return render_html(plan)
    from reconciler.reporting.text import render_plan

    return render_plan(
        plan, colour=console.stdout_colour, width=console.width, verbose=console.verbose
    )


def _result_in(output: str, result: RunResult, console: Console, *, with_plan: bool = True) -> str:
    if output == "json":
        from reconciler.reporting.json_report import as_json, result_document

        return as_json(result_document(result))
    if output == "markdown":
        from reconciler.reporting.markdown import render_result_markdown

        return render_result_markdown(result)
    if output == "html":
        from reconciler.reporting.html import render_result_html

        return render_result_html(result)
    from reconciler.reporting.text import render_result

    return render_result(
        result,
        colour=console.stdout_colour,
        width=console.width,
        verbose=console.verbose,
        with_plan=with_plan,
    )
