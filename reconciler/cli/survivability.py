"""`reconcile survivability`: which workloads outlive which outage, from Git alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from reconciler.cli.command_group import LimitedCommand
from reconciler.cli.exit_codes import Exit
from reconciler.cli.settings import CommandSettings, merged, option, run_options

if TYPE_CHECKING:
    from reconciler.failover.survivability import Survivability

OUTPUT, OUTAGES = "Output", "Outages"
NEVER, DEGRADED, DOWN = "never", "degraded", "down"

EPILOG = """\b
Examples:
  reconcile survivability
  reconcile survivability --outage provider=aws --outage region=europe-west1
  reconcile survivability --fail-on down               for CI: exit code 1
  reconcile survivability --live                       would the clusters take it?
  reconcile survivability --base main --fail-on degraded   only what this branch makes worse
"""


@click.command(cls=LimitedCommand, epilog=EPILOG)
@option(
    "--outage",
    "outages",
    multiple=True,
    metavar="WHAT=NAME",
    heading=OUTAGES,
    help="Only this cluster=, zone=, region= or provider=. Repeatable. [default: every one]",
)
@option(
    "--base",
    metavar="REF",
    heading=OUTAGES,
    help="Show only workloads that are worse off than at this branch, tag or commit.",
)
@option(
    "--fail-on",
    type=click.Choice([NEVER, DEGRADED, DOWN]),
    default=NEVER,
    show_default=True,
    heading=OUTPUT,
    help="Exit with 1 when a workload that is shown loses replicas, or all of them.",
)
@option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "markdown"]),
    default="text",
    show_default=True,
    heading=OUTPUT,
    help="What to print.",
)
@option(
    "--live",
    is_flag=True,
    heading=OUTAGES,
    help="Ask the clusters, by dry runs, whether they would accept what a failover places there.",
)
@run_options("repository")
@run_options("memory")
@run_options("terminal")
@click.pass_context
def survivability(
    context: click.Context,
    /,
    *,
    outages: tuple[str, ...],
    base: str | None,
    fail_on: str,
    output: str,
    live: bool,
    **given: Any,
) -> int:
    """Show which workloads outlive which outage; needs no cluster, unless --live asks them.

    Goes through the outage of every cluster, zone, region and provider, with the rules and the
    scheduler of a real run, and tells for each workload whether all its replicas run in other
    clusters (survives), some (degraded) or none (down).
    """
    settings = merged(context, **given)
    from reconciler.failover.survivability import worse_than

    matrix = _matrix(settings, outages)
    if base:
        matrix = worse_than(_matrix(settings.with_options(ref=base), outages), matrix)
    if live:
        from reconciler.run.failover_targets import try_failover_targets

        matrix = replace(matrix, live=try_failover_targets(settings.options))
    settings.console.document(_rendered(matrix, output, settings), newline=False)
    refused = matrix.live is not None and any(one.certain for one in matrix.live.refused)
    if fail_on != NEVER and refused:
        return Exit.FAILED
    return Exit.FAILED if _fails(matrix, fail_on) else Exit.OK


def _matrix(settings: CommandSettings, outages: tuple[str, ...]) -> Survivability:
    from reconciler.failover.survivability import assess_survivability as calculated
    from reconciler.run.repository import validate_repository

    state = validate_repository(settings.options, members=False, ask_host=True).state
    for cluster in state.clusters:
        for fault in cluster.faults:
            settings.console.note(f"Warning: {cluster.name}: {fault.position}: {fault.message}")
    return calculated(state, outages)


def _rendered(matrix: Survivability, output: str, settings: CommandSettings) -> str:
    from reconciler.report import survivability as report

    if output == "json":
        return report.render_survivability_json(matrix)
    if output == "markdown":
        return report.render_survivability_markdown(matrix)
    console = settings.console
    return report.render_survivability_text(
        matrix, colour=console.stdout_colour, width=console.width
    )


def _fails(matrix: Survivability, fail_on: str) -> bool:
    from reconciler.failover.survivability import Impact

    worst = {row.worst for row in matrix.rows}
    if fail_on == DOWN:
        return Impact.DOWN in worst
    return fail_on == DEGRADED and bool(worst & {Impact.DOWN, Impact.DEGRADED})
