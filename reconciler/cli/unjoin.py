"""`reconcile unjoin`: a cluster leaves, and nothing of ours stays behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from reconciler.api.errors import ClusterError, ClusterUnauthorized, ClusterUnreachable, UsageError
from reconciler.cli.command_group import LimitedCommand
from reconciler.cli.console import styled
from reconciler.cli.exit_codes import Exit
from reconciler.cli.member_and_host import (
    MemberAndHost,
    host_contexts,
    open_member_and_host,
    read_repository_of,
    run_memory_of,
    seats_given,
    warn_of_seats_behind,
    with_host_of,
)
from reconciler.cli.settings import DURATION, CommandSettings, merged, option, run_options
from reconciler.cli.tables import step_lines, steps_as_json

if TYPE_CHECKING:
    from reconciler.cluster.client import Member
    from reconciler.join.execute import StepTools
    from reconciler.join.leave import DeletionPolicy, LeavePlan, LeaveRequest
    from reconciler.join.needed_kinds import RepositoryWithCluster
    from reconciler.join.steps import Step

RUN, CLUSTER = "What to do", "Clusters"

EPILOG = """\b
Examples:
  reconcile unjoin aws-eu --orphan --dry-run
  reconcile unjoin aws-eu --orphan          what runs there goes on running
  reconcile unjoin aws-eu --prune           what was made there is deleted
  reconcile unjoin aws-eu --force           the cluster is gone already
\b
Stop the runs first, or commit the manifest's removal: a run that still knows the
cluster fails to reach it.
"""


@click.command(cls=LimitedCommand, writes=True, epilog=EPILOG)
@click.argument("name")
@option("--orphan", is_flag=True, heading=RUN, help="Leave the managed objects as they are.")
@option("--prune", is_flag=True, heading=RUN, help="Delete the managed objects.")
@option(
    "--force",
    is_flag=True,
    heading=RUN,
    help="Go on when the member does not answer, and past what it refuses.",
)
@option("--dry-run", is_flag=True, heading=RUN, help="Only show the steps.")
@option(
    "--wait",
    "timeout",
    type=DURATION,
    default="60s",
    show_default=True,
    heading=RUN,
    help="How long to wait until what was deleted is gone.",
)
@option("-y", "--yes", is_flag=True, heading=RUN, help="Do not ask.")
@option(
    "--keep-manifest", is_flag=True, heading=RUN, help="Leave the Cluster manifest where it is."
)
@option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    heading=RUN,
    help="What to print.",
)
@option(
    "--cluster-context",
    metavar="CONTEXT",
    heading=CLUSTER,
    help="An administrator's context of the member. [default: NAME]",
)
@host_contexts(CLUSTER)
@run_options("kubeconfig", heading=CLUSTER)
@run_options("repository")
@run_options("terminal")
@click.pass_context
def unjoin(
    context: click.Context,
    /,
    *,
    name: str,
    orphan: bool,
    prune: bool,
    force: bool,
    dry_run: bool,
    timeout: float,
    yes: bool,
    keep_manifest: bool,
    output: str,
    cluster_context: str | None,
    contexts: tuple[str, ...],
    **given: Any,
) -> int:
    """Take a cluster out of the federation: all that join made, in reverse.

    What the member runs of ours is left (--orphan) or deleted (--prune); what is protected, and
    namespaces that hold somebody else's objects, are left in both cases.
    """
    settings = with_host_of(merged(context, **given), contexts)
    if orphan and prune:
        raise click.UsageError("--orphan or --prune, not both.")
    from reconciler.join.leave import LeaveRequest

    deletion_policy: DeletionPolicy | None = "orphan" if orphan else "prune" if prune else None
    request = LeaveRequest(name, deletion_policy, keep_manifest)
    ends = open_member_and_host(settings, name, cluster_context or name)
    plan, tools, behind, ends = _planned(settings, request, ends, contexts, force=force)
    if plan.managed and deletion_policy is None and not dry_run:
        raise UsageError(
            f"{name} runs {plan.managed} objects of this federation",
            hint="--orphan leaves them as they are, --prune deletes them",
        )
    if dry_run:
        _show(settings, plan, list(plan.steps), output, "Nothing was written.")
        return _told(settings, name, ends, behind)
    if not any(step.writes for step in plan.steps):
        _show(settings, plan, list(plan.steps), output, f"Nothing of {name} was found.")
        return _told(settings, name, ends, behind)
    if not yes and not _confirmed(settings, plan, name):
        settings.console.note("Nothing was changed.")
        return Exit.FAILED
    tools.timeout = timeout
    behind |= _carry_out(settings, plan, tools, output)
    return _told(settings, name, ends, behind)


def _told(
    settings: CommandSettings, name: str, ends: MemberAndHost, behind: dict[str, ClusterError]
) -> int:
    """The exit code; seats that may still have the cluster's credential are told."""
    again = f"reconcile unjoin {name}"
    again += "".join(f" --host-context {seat}={ends.seats[seat]}" for seat in behind)
    warn_of_seats_behind(settings, behind, f"may still keep the credential of {name}", again)
    return Exit.FAILED if behind else Exit.OK


def _planned(
    settings: CommandSettings,
    request: LeaveRequest,
    ends: MemberAndHost,
    contexts: tuple[str, ...],
    *,
    force: bool,
) -> tuple[LeavePlan, StepTools, dict[str, ClusterError], MemberAndHost]:
    from reconciler.join.execute import StepTools
    from reconciler.join.leave import plan_leave
    from reconciler.join.needed_kinds import with_joining_cluster

    files, folder, claimant = read_repository_of(settings)
    known = with_joining_cluster(files, request.name)
    federation = known.state.federation
    if request.name in federation.seats:
        raise UsageError(
            f"{request.name} is one of the seats at {federation.position}",
            hint=f"let another vote first: reconcile seats replace {request.name} NEW, and change "
            "spec.seats",
        )
    ends = ends.with_seats(seats_given(settings, contexts, federation))
    member = _reached_member(ends, force=force)
    hosts, behind = _reached_hosts(ends, known, request.name, force=force)
    servers = run_memory_of(settings, ends, federation, claimant).known_servers
    plan = plan_leave(request, known, files, member, hosts, folder, claimant, servers)
    tools = StepTools(member, hosts, folder=folder, emptying=plan.emptying, tolerant=force)
    return plan, tools, behind, ends


def _reached_member(ends: MemberAndHost, *, force: bool) -> Member | None:
    """The member, or None where it does not answer and that was foreseen."""
    try:
        ends.member.discover()
    except (ClusterUnreachable, ClusterUnauthorized) as error:
        if force:
            return None
        error.hint = error.hint or "if it is gone for good: --force"
        raise
    return ends.member


def _reached_hosts(
    ends: MemberAndHost, known: RepositoryWithCluster, name: str, *, force: bool
) -> tuple[dict[str, Member], dict[str, ClusterError]]:
    """The hosts, none for a member of whom nothing is kept; and the seats that cannot be reached
    now. Raises ClusterError when none can, and that was not foreseen."""
    hosts: dict[str, Member] = {}
    failed: dict[str, ClusterError] = {}
    access = known.cluster(name).access
    if known.manifest is not None and access.context and access.secret is None:
        return hosts, failed
    for seat in ends.seats or ("",):
        try:
            host = ends.host(seat)
            host.discover()
        except ClusterError as error:
            failed[seat] = error
        else:
            hosts[seat] = host
    if failed and not hosts and not force:
        raise next(iter(failed.values()))
    failed.pop("", None)
    return hosts, failed


def _confirmed(settings: CommandSettings, plan: LeavePlan, name: str) -> bool:
    """Asks; where nobody can be asked, only a deletion of objects needs --yes."""
    console = settings.console
    if not console.interactive:
        if plan.deletions:
            raise UsageError(
                f"{plan.deletions} objects would be deleted, and nobody can be asked",
                hint="add --yes",
            )
        return True
    for step in plan.steps:
        for line in step_lines(step, verbose=console.verbose):
            console.note(line)
    question = f"Take {name} out of the federation"
    if plan.deletions:
        deleted = f", and delete {plan.deletions} objects in it"
        question += styled(deleted, fg="red", bold=True)
    return console.confirmed(question)


def _carry_out(
    settings: CommandSettings, plan: LeavePlan, tools: StepTools, output: str
) -> dict[str, ClusterError]:
    from reconciler.join.execute import execute_steps

    steps: list[Step] = []

    def done(step: Step) -> None:
        steps.append(step)
        if output == "text":
            for line in step_lines(step, verbose=settings.console.verbose):
                settings.console.out(line)

    behind = execute_steps(plan.steps, tools, done)
    if output == "json":
        settings.console.document(steps_as_json(steps, plan.warnings))
    _warn(settings, plan)
    settings.console.note("")
    settings.console.note("It is no member any more. Next: commit the repository")
    return behind


def _show(
    settings: CommandSettings, plan: LeavePlan, steps: list[Step], output: str, last: str
) -> None:
    if output == "json":
        settings.console.document(steps_as_json(steps, plan.warnings))
        return
    for step in steps:
        for line in step_lines(step, verbose=settings.console.verbose):
            settings.console.out(line)
    _warn(settings, plan)
    settings.console.note("")
    settings.console.note(last)


def _warn(settings: CommandSettings, plan: LeavePlan) -> None:
    label = styled("Warning:", fg="yellow", bold=True)
    for warning in plan.warnings:
        settings.console.note(f"{label} {warning}")
