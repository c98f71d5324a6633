"""Plans and results to the terminal and to report files, in the formats asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.api.errors import ReconcileError
from reconciler.api.options import RunOptions
from reconciler.cli.console import Console

if TYPE_CHECKING:
    from reconciler.plan.model import Plan, RunResult


def plan_as_text(plan: Plan, console: Console) -> str:
    """The plan for somebody who is about to be asked, hence in stderr's colours."""
    from reconciler.report.text import render_plan

    return render_plan(
        plan, colour=console.stderr_colour, width=console.width, verbose=console.verbose
    )


def print_plan(plan: Plan, wanted: RunOptions, console: Console) -> None:
    """Print a plan."""
    if wanted.output != "none":
        text = _plan_in(wanted.output, plan, console, wanted.markdown_limit)
        console.document(text, newline=False)


def report_plan(plan: Plan, wanted: RunOptions) -> None:
    """Write the reports of a plan. Raises ReconcileError as ``report_result``."""
    limit = wanted.markdown_limit
    _write_all(wanted, lambda path: _plan_in(_format_of(path), plan, Console(), limit))


def print_result(
    result: RunResult, wanted: RunOptions, console: Console, *, plan_was_shown: bool = False
) -> None:
    """Print what a run did."""
    if wanted.output != "none":
        limit = wanted.markdown_limit
        text = _result_in(wanted.output, result, console, limit, with_plan=not plan_was_shown)
        console.document(text, newline=False)


def report_result(result: RunResult, wanted: RunOptions) -> None:
    """Write the reports of a run.

    Raises ReconcileError with those that cannot be written, once all others are.
    """
    limit = wanted.markdown_limit
    _write_all(wanted, lambda path: _result_in(_format_of(path), result, Console(), limit))


def _write_all(wanted: RunOptions, text_for: Callable[[Path], str]) -> None:
    failed = []
    for path in wanted.reports:
        try:
            path.write_text(text_for(path), encoding="utf-8")
        except OSError as error:
            failed.append(f"the report {path} was not written: {error.strerror}")
    if failed:
        raise ReconcileError("; ".join(failed))


def _format_of(path: Path) -> str:
    return {".html": "html", ".json": "json", ".md": "markdown"}.get(path.suffix, "text")


def _plan_in(output: str, plan: Plan, console: Console, limit: int) -> str:
    if output == "json":
        from reconciler.report.json_report import plan_document, report_as_json

        return report_as_json(plan_document(plan))
    if output == "markdown":
        from reconciler.report.markdown import render_plan_markdown

        return render_plan_markdown(plan, limit=limit)
    if output == "html":
        from reconciler.report.html import render_html

        return render_html(plan)
    from reconciler.report.text import render_plan

    return render_plan(
        plan, colour=console.stdout_colour, width=console.width, verbose=console.verbose
    )


def _result_in(
    output: str, result: RunResult, console: Console, limit: int, *, with_plan: bool = True
) -> str:
    if output == "json":
        from reconciler.report.json_report import report_as_json, result_document

        return report_as_json(result_document(result))
    if output == "markdown":
        from reconciler.report.markdown import render_result_markdown

        return render_result_markdown(result, limit=limit)
    if output == "html":
        from reconciler.report.html import render_result_html

        return render_result_html(result)
    from reconciler.report.text import render_result

    return render_result(
        result,
        colour=console.stdout_colour,
        width=console.width,
        verbose=console.verbose,
        with_plan=with_plan,
    )
