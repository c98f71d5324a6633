"""`reconcile validate`: everything that can be known of a repository without a cluster."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from reconciler.api.errors import BadInput, Problem
from reconciler.cli.command_group import LimitedCommand
from reconciler.cli.console import styled
from reconciler.cli.error_messages import describe_problem
from reconciler.cli.exit_codes import Exit
from reconciler.cli.settings import CommandSettings, merged, option, run_options

if TYPE_CHECKING:
    from reconciler.manifests.rewrite import Rewritten

EPILOG = """\b
Examples:
  reconcile validate
  reconcile validate --repo sample-repo --output json
  reconcile validate --output github        annotations in a pull request
  reconcile validate --fix                  rewrite manifests of old API versions
"""


@click.command(cls=LimitedCommand, epilog=EPILOG)
@run_options("repository")
@option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    show_default=True,
    heading="Output",
    help="What to print; github: workflow annotations.",
)
@option(
    "--fix",
    is_flag=True,
    heading="What to do",
    help="First rewrite manifests of API versions that Kubernetes no longer has, in place.",
)
@run_options("terminal")
@click.pass_context
def validate(context: click.Context, /, *, output: str, fix: bool, **given: Any) -> int:
    """Check a repository; needs no cluster.

    Reads every file, checks it against the schemas, resolves placements and overrides, and
    shares out the replicas as if all clusters were empty. All problems are reported at once.
    """
    settings = merged(context, **given)
    from reconciler.run import repository as repositories

    fixed: list[Rewritten] = []
    if fix:
        from reconciler.run.fix import fix_files

        fixed = fix_files(settings.options)
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    counts: dict[str, int] = {}
    try:
        repository = repositories.validate_repository(settings.options)
    except BadInput as error:
        problems = _without_fix_hints(error.problems) if fix else error.problems
    else:
        warnings = tuple(repository.warnings)
        counts = {
            "clusters": len(repository.state.clusters),
            "manifests": len(repository.state.workloads),
        }
    if output == "json":
        settings.console.document(_as_json(problems, warnings, counts, fixed if fix else None))
    elif output == "github":
        for line in _annotations(_from_here(problems, settings), warnings):
            settings.console.out(line)
    else:
        if fix:
            _tell_fixed(settings, fixed)
        _as_text(settings, _from_here(problems, settings), warnings, counts)
    return Exit.FAILED if problems else Exit.OK


def _without_fix_hints(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """What has just been left alone is not rewritten by another try."""
    from reconciler.manifests.conversions import FIX_HINT

    return tuple(replace(one, hint="") if one.hint == FIX_HINT else one for one in problems)


def _tell_fixed(settings: CommandSettings, fixed: Sequence[Rewritten]) -> None:
    """The lines that were changed, and what was left to people."""
    from reconciler.report.terminal import visible

    console = settings.console
    colours = {"+": "green", "-": "red", "@": "cyan"}
    for one in fixed:
        for line in one.diff:
            colour = None if line.startswith(("+++", "---")) else colours.get(line[:1])
            console.out(styled(visible(line), fg=colour) if colour else visible(line))
    refused = tuple(problem for one in fixed for problem in one.refused)
    for problem in _from_here(refused, settings):
        for line in describe_problem(problem):
            console.out(line)
    changed = sum(one.content is not None for one in fixed)
    if fixed:
        console.out("")
    console.out(f"{_count(changed, 'file')} rewritten.")


def _as_text(
    settings: CommandSettings,
    problems: tuple[Problem, ...],
    warnings: tuple[str, ...],
    counts: dict[str, int],
) -> None:
    console = settings.console
    for problem in problems:
        for line in describe_problem(problem):
            console.out(line)
    for warning in warnings:
        console.out(f"{styled('Warning:', fg='yellow', bold=True)} {warning}")
    if problems or warnings:
        console.out("")
    warned = f", {_count(len(warnings), 'warning')}" if warnings else ""
    if problems:
        verdict = styled(_count(len(problems), "problem"), fg="red", bold=True)
        console.out(f"{verdict}{warned}.")
        return
    verdict = styled("Valid", fg="green", bold=True)
    manifests = _count(counts["manifests"], "manifest")
    clusters = _count(counts["clusters"], "cluster")
    console.out(f"{verdict}: {manifests} for {clusters}{warned}.")


def _as_json(
    problems: tuple[Problem, ...],
    warnings: tuple[str, ...],
    counts: dict[str, int],
    fixed: Sequence[Rewritten] | None,
) -> str:
    body: dict[str, Any] = {
        "valid": not problems,
        "summary": {"problems": len(problems), "warnings": len(warnings), **counts},
        "problems": [_problem_as_json(problem) for problem in problems],
        "warnings": list(warnings),
    }
    if fixed is not None:
        body["fixed"] = [
            {
                "file": one.path,
                "rewritten": one.content is not None,
                "diff": list(one.diff),
                "refused": [_problem_as_json(problem) for problem in one.refused],
            }
            for one in fixed
        ]
    return json.dumps(body, indent=2, ensure_ascii=False)


def _problem_as_json(problem: Problem) -> dict[str, Any]:
    return {
        "file": problem.position.file,
        "line": problem.position.line,
        "column": problem.position.column,
        "path": problem.path,
        "message": problem.message,
        "expected": problem.expected,
        "hint": problem.hint,
    }


def _from_here(problems: tuple[Problem, ...], settings: CommandSettings) -> tuple[Problem, ...]:
    """With files named from where the command was started, so that terminals and GitHub find them.

    Those of a repository that is elsewhere keep their names.
    """
    from reconciler.git.location import is_url

    here, root = Path.cwd().resolve(), Path(settings.options.repo).expanduser()
    chosen = (Path() if is_url(settings.options.repo) else root) / settings.options.path
    folder = (here / chosen).resolve()
    if not folder.is_relative_to(here):
        return problems
    inside = folder.relative_to(here)
    return tuple(
        replace(one, position=replace(one.position, file=(inside / one.position.file).as_posix()))
        for one in problems
    )


def _annotations(problems: tuple[Problem, ...], warnings: tuple[str, ...]) -> list[str]:
    """GitHub's workflow commands ``::error file=...::message``, with its escapes."""

    from reconciler.report.terminal import visible

    def message(text: str) -> str:
        return (
            visible(text, keep_lines=True)
            .replace("%", "%25")
            .replace("\r", "%0D")
            .replace("\n", "%0A")
        )

    def value(text: str) -> str:
        return message(text).replace(":", "%3A").replace(",", "%2C")

    lines = []
    for problem in problems:
        place = problem.position
        details = "; ".join(
            filter(
                None,
                [
                    f"at {problem.path}" if problem.path else "",
                    f"expected {problem.expected}" if problem.expected else "",
                    problem.hint,
                ],
            )
        )
        text = message(problem.message + (f" ({details})" if details else ""))
        lines.append(
            f"::error file={value(place.file)},line={place.line},col={place.column},"
            f"title=reconcile validate::{text}"
        )
    lines += [f"::warning title=reconcile validate::{message(text)}" for text in warnings]
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
