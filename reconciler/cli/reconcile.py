"""`reconcile` without a subcommand: plan, and without --plan apply."""

from __future__ import annotations

from os import environ
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from msgspec.structs import replace

from reconciler.cli.command_group import CommandGroup
from reconciler.cli.console import open_console
from reconciler.cli.environment import check_environment
from reconciler.cli.exit_codes import Exit
from reconciler.cli.observe_run import observability_options
from reconciler.cli.settings import (
    DURATION,
    FLEET,
    CommandSettings,
    lock_options,
    memory_options,
    merged,
    option,
    repository_options,
    terminal_options,
)

RUN, OUTPUT = "What to do", "Output"
OUTAGES = ("cluster", "region", "zone", "provider")
REPORT_SUFFIXES = (".html", ".json", ".md", ".txt")

EPILOG = """\b
Examples:
  reconcile --plan                          what would change, in every cluster
  reconcile --plan --sandbox                the same on simulated clusters
  reconcile --repo https://git.example.com/fleet.git --ref main --yes
  reconcile --plan --simulate-outage region=eu-central-1
  reconcile --plan --report plan.html --report plan.md
  reconcile --plan --base main              only what this branch changes
  reconcile --plan --out plan.json          and later, if nothing has changed:
  reconcile --apply-plan plan.json
\b
Every option is also read from the environment: --max-deletions from
RECONCILE_MAX_DELETIONS. Exit codes: 0 done, 1 something failed, 2 the plan has
changes (with --detailed-exitcode), 64 wrong command line, 130 interrupted, 143
terminated.
"""


def _version(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        from reconciler import __version__

        click.echo(f"reconcile {__version__}")
        context.exit()


def _outages(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        what, equals, name = value.partition("=")
        if what not in OUTAGES or not equals or not name:
            raise click.BadParameter(
                f"{value!r} is none of " + ", ".join(f"{what}=NAME" for what in OUTAGES)
            )
    return values


def _reports(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[Path, ...]:
    for value in values:
        if Path(value).suffix not in REPORT_SUFFIXES:
            raise click.BadParameter(
                f"{value!r}: the name's end tells the format, one of {', '.join(REPORT_SUFFIXES)}"
            )
        if not Path(value).absolute().parent.is_dir():
            raise click.BadParameter(f"{value!r}: there is no such directory")
    return tuple(Path(value) for value in values)


def _out(_: click.Context, __: click.Parameter, value: Path | None) -> Path | None:
    if value is not None and not value.absolute().parent.is_dir():
        raise click.BadParameter(f"{str(value)!r}: there is no such directory")
    return value


def _sharded(settings: CommandSettings) -> CommandSettings:
    """With the share of this pod, which an Indexed Job tells by the environment."""
    index, count = (environ.get(f"JOB_COMPLETION{name}", "") for name in ("_INDEX", "S"))
    shard = settings.shard or (f"{index}/{count}" if index and count else None)
    return replace(settings, shard=shard)


@click.group(
    cls=CommandGroup,
    invoke_without_command=True,
    epilog=EPILOG,
    context_settings={
        "auto_envvar_prefix": "RECONCILE",
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
)
@option("--plan", is_flag=True, heading=RUN, help="Only show what would change.")
@option("-y", "--yes", is_flag=True, heading=RUN, help="Do not ask before changing anything.")
@option(
    "--base",
    metavar="REF",
    heading=RUN,
    help="With --plan: show only what differs from the plan of this branch, tag or commit.",
)
@option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_out,
    metavar="FILE",
    heading=RUN,
    help="With --plan: save the plan, to be applied later by --apply-plan.",
)
@option(
    "--apply-plan",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    heading=RUN,
    help="Do exactly what a saved plan says, if everything is still as it was.",
)
@option("--sandbox", is_flag=True, heading=RUN, help="Use simulated clusters of the same names.")
@option("--sandbox-reset", is_flag=True, heading=RUN, help="The same, with new and empty clusters.")
@option(
    "--simulate-outage",
    "simulate_outages",
    multiple=True,
    callback=_outages,
    metavar="WHAT=NAME",
    heading=RUN,
    help="Plan as if a cluster, region, zone or provider were down. Repeatable.",
)
@option(
    "--every",
    type=DURATION,
    metavar="DURATION",
    heading=RUN,
    help="Do not end: run again and again, such as every 60s.",
)
@option(
    "--listen",
    metavar="[HOST]:PORT",
    default="",
    heading=RUN,
    help="With --every: serve /healthz, /readyz and /metrics.",
)
@repository_options
@option(
    "--cluster",
    "clusters",
    multiple=True,
    metavar="NAME",
    heading=FLEET,
    help="Only this cluster. Repeatable.",
)
@memory_options
@option(
    "--max-deletions",
    type=click.IntRange(min=0),
    metavar="N",
    heading=FLEET,
    help="Allow so many deletions in a cluster, whatever the Federation's guards say.",
)
@option(
    "--force-conflicts",
    is_flag=True,
    heading=FLEET,
    help="Take over fields that somebody else owns.",
)
@option(
    "--take-over",
    is_flag=True,
    allow_from_autoenv=False,
    heading=FLEET,
    help="Take over, once, what an inventory says another repository, path or cluster name has, "
    "and a cluster that was built anew; only --cluster NAME, where given.",
)
@option(
    "--deadline",
    "--timeout",
    "deadline",
    type=DURATION,
    heading=FLEET,
    help="Give up after this time. [default: 10m, with --plan and what only reads 5m]",
)
@lock_options
@option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "markdown", "html", "none"]),
    default="text",
    show_default=True,
    heading=OUTPUT,
    help="What to print.",
)
@option(
    "--report",
    "reports",
    multiple=True,
    type=click.Path(dir_okay=False),
    callback=_reports,
    metavar="FILE",
    heading=OUTPUT,
    help="Also write it to FILE: .html, .json, .md or .txt. Repeatable.",
)
@option(
    "--markdown-limit",
    type=click.IntRange(min=2_000),
    default=65_536,
    metavar="N",
    heading=OUTPUT,
    help="Cut Markdown to so many characters. [default: 65536, what GitHub takes]",
)
@option(
    "--detailed-exitcode",
    is_flag=True,
    heading=OUTPUT,
    help="With --plan: exit with 2 when there are changes.",
)
@observability_options
@terminal_options
@option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    allow_from_autoenv=False,
    callback=_version,
    heading="Other",
    help="Show the version and exit.",
)
@click.pass_context
def reconcile(
    context: click.Context,
    /,
    *,
    plan: bool,
    base: str | None,
    out: Path | None,
    apply_plan: Path | None,
    yes: bool,
    sandbox: bool,
    sandbox_reset: bool,
    every: float | None,
    listen: str,
    output: str,
    reports: tuple[Path, ...],
    markdown_limit: int,
    detailed_exitcode: bool,
    verbose: bool,
    no_color: bool,
    debug: bool,
    **given: Any,
) -> int:
    """Make every cluster of a fleet run what a Git repository says.

    Reads Kubernetes manifests and the federation's rules, compares them with what each member
    cluster runs, and makes it so. On a terminal it shows the plan and asks first.
    """
    check_environment(environ, context.command.params)
    json_lines = given["log_format"] == "json"
    console = open_console(no_color=no_color, debug=debug, verbose=verbose, json_lines=json_lines)
    if json_lines and context.get_parameter_source("output") is ParameterSource.DEFAULT:
        # The log says it all; two languages in one stream help nobody.
        output = "none"
    context.obj = CommandSettings(console=console)
    context.obj = merged(context, **given)
    if context.invoked_subcommand is not None:
        return Exit.OK
    context.obj = _sharded(context.obj)
    shard = context.obj.shard
    outages = bool(context.obj.simulate_outages)
    for wrong, why in (
        (apply_plan and plan, "--apply-plan does what was planned: leave out --plan."),
        (not plan and outages, "--simulate-outage goes with --plan: an outage is not applied."),
        (not plan and detailed_exitcode, "--detailed-exitcode goes with --plan."),
        (base and not plan, "--base goes with --plan: a part of a plan cannot be applied."),
        (base and out, "--out saves a whole plan: leave out --base."),
        (out and not plan, "--out goes with --plan: it saves a plan to be applied later."),
        (
            out and outages,
            "--out saves a plan to be applied, and an outage is not: write a --report instead.",
        ),
        (
            context.obj.kubeconfig and (sandbox or sandbox_reset),
            "--sandbox has clusters of its own: leave out --kubeconfig.",
        ),
        (
            every is not None and (detailed_exitcode or out or apply_plan or base),
            "--detailed-exitcode, --out, --apply-plan, --base are for one run: leave out --every.",
        ),
        (
            every is not None and context.obj.take_over,
            "--take-over is for one run: leave out --every.",
        ),
        (listen and every is None, "--listen goes with --every: one run ends too soon."),
        (
            shard and (every is not None or apply_plan or out),
            "--shard is for the pods of one Job: leave out --every, --out and --apply-plan.",
        ),
        (
            shard and not (plan or context.obj.round),
            "--shard needs a --round that all pods of the Job have, and no other Job has.",
        ),
    ):
        if wrong:
            raise click.UsageError(why)

    from reconciler.cli.run import RunRequest, run_reconcile

    request = RunRequest(
        plan_only=plan,
        # A saved plan was seen and agreed to.
        ask=not (yes or plan or every or apply_plan),
        base=base,
        out=out,
        apply_plan=apply_plan,
        sandbox=sandbox or sandbox_reset,
        sandbox_reset=sandbox_reset,
        output=output,
        reports=reports,
        markdown_limit=markdown_limit,
        detailed_exitcode=detailed_exitcode,
    )
    if every is not None:
        from reconciler.cli.every import keep_running

        return keep_running(context.obj, request, every=every, listen=listen)
    return run_reconcile(context.obj, request)
