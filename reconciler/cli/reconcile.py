"""`reconcile` without a subcommand: plan, and without --plan apply."""

from __future__ import annotations

import re
from collections.abc import Mapping
from os import environ
from typing import Any

import click
from click.core import ParameterSource

from reconciler.api.options import ENVIRONMENT_PREFIX, RunOptions, declarations
from reconciler.api.spelling import close_matches
from reconciler.cli.command_group import COMMANDS, CommandGroup
from reconciler.cli.exit_codes import Exit
from reconciler.cli.settings import CommandSettings, merged, option, run_options

# What Kubernetes tells each pod of a Service that is named after us.
_OF_A_SERVICE = re.compile(
    rf"{ENVIRONMENT_PREFIX}(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)", re.ASCII
)
# Those of the shell's completion, and of options of one command only.
_OTHERS = (
    f"{ENVIRONMENT_PREFIX}COMPLETE",
    *(f"{ENVIRONMENT_PREFIX}{name.upper()}_" for name in COMMANDS),
)

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


def _sharded(settings: CommandSettings) -> CommandSettings:
    """With the share of this pod, which an Indexed Job tells by the environment."""
    index, count = (environ.get(f"JOB_COMPLETION{name}", "") for name in ("_INDEX", "S"))
    shard = settings.options.shard or (f"{index}/{count}" if index and count else "")
    return settings.with_options(shard=shard)


@click.group(
    cls=CommandGroup,
    invoke_without_command=True,
    epilog=EPILOG,
    context_settings={
        "auto_envvar_prefix": ENVIRONMENT_PREFIX.rstrip("_"),
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
)
@run_options()
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
def reconcile(context: click.Context, /, *, plan: bool | None, **given: Any) -> int:
    """Make every cluster of a fleet run what a Git repository says.

    Reads Kubernetes manifests and the federation's rules, compares them with what each member
    cluster runs, and makes it so. On a terminal it shows the plan and asks first.
    """
    check_environment(environ)
    if context.invoked_subcommand is not None:
        declared = declarations()
        shared = {name: value for name, value in given.items() if declared[name].option.inherited}
        context.obj = merged(context, **shared)
        _check_shard(context.obj.options)
        return Exit.OK
    settings = _sharded(merged(context, plan_only=bool(plan), **given))
    options = settings.options
    _check_together(options)
    _check_shard(options)
    if options.sandbox_reset:
        settings = settings.with_options(sandbox=True)
    if options.log_format == "json" and _is_default(context, "output"):
        # The log says it all; two languages in one stream help nobody.
        settings = settings.with_options(output="none")
    if options.every is not None:
        from reconciler.cli.every import keep_running

        return keep_running(settings, every=options.every)
    from reconciler.cli.run import run_reconcile

    return run_reconcile(settings)


def _check_shard(options: RunOptions) -> None:
    """Raises UsageError for a share that is none, before anything is read."""
    if options.shard:
        from reconciler.shard.split import shard_of

        shard_of(options)


def _is_default(context: click.Context, parameter: str) -> bool:
    return context.get_parameter_source(parameter) is ParameterSource.DEFAULT


def _check_together(options: RunOptions) -> None:
    """Raises click.UsageError for options that do not go with each other."""
    plan, every, sandbox = options.plan_only, options.every, options.sandbox
    for wrong, why in (
        (options.apply_plan and plan, "--apply-plan does what was planned: leave out --plan."),
        (
            not plan and options.simulate_outages,
            "--simulate-outage goes with --plan: an outage is not applied.",
        ),
        (not plan and options.detailed_exitcode, "--detailed-exitcode goes with --plan."),
        (options.base and not plan, "--base goes with --plan: a part of a plan cannot be applied."),
        (options.base and options.out, "--out saves a whole plan: leave out --base."),
        (
            options.rollout and not plan,
            "--rollout complete goes with --plan: all clusters at once are reached by "
            "'reconcile rollout promote --now'.",
        ),
        (
            options.rollout and options.out,
            "--out saves what a run would do, and not the end of a rollout: leave out --rollout.",
        ),
        (options.out and not plan, "--out goes with --plan: it saves a plan to be applied later."),
        (
            options.out and options.simulate_outages,
            "--out saves a plan to be applied, and an outage is not: write a --report instead.",
        ),
        (
            options.kubeconfig and (sandbox or options.sandbox_reset),
            "--sandbox has clusters of its own: leave out --kubeconfig.",
        ),
        (
            every is not None
            and (options.detailed_exitcode or options.out or options.apply_plan or options.base),
            "--detailed-exitcode, --out, --apply-plan, --base are for one run: leave out --every.",
        ),
        (
            every is not None and options.take_over,
            "--take-over is for one run: leave out --every.",
        ),
        (options.listen and every is None, "--listen goes with --every: one run ends too soon."),
        (
            options.no_watch and every is None,
            "--no-watch goes with --every: one run keeps no watches.",
        ),
        (
            options.resync != RunOptions().resync and (every is None or options.no_watch),
            "--resync goes with --every, and without --no-watch: it is for what is watched.",
        ),
        (options.page and every is None, "--page goes with --every: one run ends too soon."),
        (options.page_hosts and not options.page, "--page-host goes with --page."),
        (
            options.webhook_secret and not options.listen,
            "--webhook-secret goes with --listen: a webhook has to come in somewhere.",
        ),
        (
            options.shard and (every is not None or options.apply_plan or options.out),
            "--shard is for the pods of one Job: leave out --every, --out and --apply-plan.",
        ),
        (
            options.shard and not (plan or options.round),
            "--shard needs a --round that all pods of the Job have, and no other Job has.",
        ),
    ):
        if wrong:
            raise click.UsageError(why)


def check_environment(environment: Mapping[str, str]) -> None:
    """Raises click.UsageError for the first variable that looks like an option and is none."""
    known = {one.variable for one in declarations().values() if one.variable}
    for name in sorted(environment):
        if not name.startswith(ENVIRONMENT_PREFIX) or name in known or name.startswith(_OTHERS):
            continue
        if _OF_A_SERVICE.fullmatch(name):
            continue
        close = close_matches(name, known, 1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise click.UsageError(f"The variable {name} sets no option.{hint}")
