"""`reconcile join`: a cluster becomes a member."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

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
    seats_of,
    warn_of_seats_behind,
    with_host_of,
)
from reconciler.cli.settings import DURATION, CommandSettings, merged, option, run_options
from reconciler.cli.tables import step_lines, steps_as_json, steps_as_yaml

if TYPE_CHECKING:
    from reconciler.join.join import JoinPlan, JoinRequest
    from reconciler.join.steps import Step

CLUSTER, CREDENTIAL, RIGHTS, MANIFEST, RUN = (
    "Clusters",
    "Credential",
    "Rights in the member",
    "Manifest",
    "What to do",
)
SHORTEST_LIFETIME_SECONDS = 600

EPILOG = """\b
Examples:
  reconcile join aws-eu --dry-run
  reconcile join aws-eu --cluster-context arn:aws:eks:... --host-cluster-context gke_main
  reconcile join gcp-eu --label env=production --token-lifetime 168h
  reconcile join aws-eu --auth exec --group federation-reconciler
  reconcile join aws-eu --host-context aws-eu --host-context gcp-eu --host-context onprem
\b
Joining again is safe: what is there already is left or brought up to date. Do so
after the repository got kinds that it did not have when the cluster joined.
"""


def _labels(
    _: click.Context, __: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    pairs = []
    for value in values:
        name, equals, text = value.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{value!r} is not KEY=VALUE")
        pairs.append((name, text))
    return tuple(pairs)


def _lifetime(context: click.Context, parameter: click.Parameter, value: str) -> float | None:
    if value == "never":
        return None
    seconds = DURATION.convert(value, parameter, context)
    if seconds < SHORTEST_LIFETIME_SECONDS:
        raise click.BadParameter("API servers give no token for less than 10m")
    return seconds


@click.command(cls=LimitedCommand, writes=True, epilog=EPILOG)
@click.argument("name")
@option("--dry-run", is_flag=True, heading=RUN, help="Only show the steps.")
@option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "yaml"]),
    default="text",
    show_default=True,
    heading=RUN,
    help="yaml: the objects, for whoever applies them otherwise (with --dry-run).",
)
@run_options(
    "force_conflicts",
    heading=RUN,
    help="Take over objects and fields that somebody else made.",
)
@option(
    "--cluster-context",
    metavar="CONTEXT",
    heading=CLUSTER,
    help="An administrator's context of the member. [default: NAME]",
)
@host_contexts(CLUSTER)
@option(
    "--host-cluster-name",
    metavar="NAME",
    heading=CLUSTER,
    help="What the ServiceAccount calls it: <cluster>-<host>. [default: its context]",
)
@run_options("kubeconfig", heading=CLUSTER)
@option(
    "--api-endpoint",
    metavar="URL",
    heading=CLUSTER,
    help="Where the reconciler finds the member, if not where its context says.",
)
@option(
    "--auth",
    type=click.Choice(["token", "exec"]),
    default="token",
    show_default=True,
    heading=CREDENTIAL,
    help="exec: store nothing; the reconciler's own kubeconfig has a context with a plugin.",
)
@option(
    "--token-lifetime",
    default="720h",
    show_default=True,
    metavar="DURATION|never",
    callback=_lifetime,
    heading=CREDENTIAL,
    help="Runs renew the token when half of it is over; the server may give less.",
)
@option(
    "--access-context",
    metavar="CONTEXT",
    heading=CREDENTIAL,
    help="exec: the context in the reconciler's kubeconfig. [default: --cluster-context]",
)
@option("--user", metavar="NAME", heading=CREDENTIAL, help="exec: whom the member takes it for.")
@option("--group", metavar="NAME", heading=CREDENTIAL, help="exec: or the group that it is in.")
@option("--full-access", is_flag=True, heading=RIGHTS, help="All rights, as cluster-admin has.")
@option(
    "--see-everything",
    is_flag=True,
    heading=RIGHTS,
    help="Let it read every object, which pruning Namespaces and CRDs asks for.",
)
@option(
    "--witness",
    is_flag=True,
    heading=RIGHTS,
    help="It only votes, as a seat: rights on its copy of the register alone.",
)
@option(
    "--label",
    "labels",
    multiple=True,
    callback=_labels,
    metavar="KEY=VALUE",
    heading=MANIFEST,
    help="A label of the Cluster, for selectors. Repeatable.",
)
@option("--provider", metavar="NAME", heading=MANIFEST, help="[default: as its nodes say]")
@option("--region", metavar="NAME", heading=MANIFEST, help="[default: as its nodes say]")
@option("--zone", metavar="NAME", heading=MANIFEST, help="[default: as its nodes say]")
@option(
    "--overwrite",
    is_flag=True,
    heading=MANIFEST,
    help="Overwrite a manifest that is there already.",
)
@run_options("repository")
@run_options("terminal")
@click.pass_context
def join(
    context: click.Context,
    /,
    *,
    name: str,
    dry_run: bool,
    output: str,
    overwrite: bool,
    cluster_context: str | None,
    contexts: tuple[str, ...],
    host_cluster_name: str | None,
    api_endpoint: str | None,
    auth: str,
    token_lifetime: float | None,
    access_context: str | None,
    user: str | None,
    group: str | None,
    full_access: bool,
    see_everything: bool,
    witness: bool,
    labels: tuple[tuple[str, str], ...],
    provider: str | None,
    region: str | None,
    zone: str | None,
    **given: Any,
) -> int:
    """Make a cluster a member of the federation.

    In the member: a namespace, a ServiceAccount and the rights that the repository's kinds ask
    for. In the host cluster: a Secret with a kubeconfig. In the repository: a Cluster manifest.
    """
    settings = with_host_of(merged(context, **given), contexts)
    if output == "yaml" and not dry_run:
        raise click.UsageError("--output yaml goes with --dry-run.")
    from reconciler.join.join import JoinRequest
    from reconciler.join.topology import Topology

    request = JoinRequest(
        name=name,
        host_name=host_cluster_name or settings.options.host_context,
        auth="exec" if auth == "exec" else "token",
        subject=_subject(auth, user, group),
        context=access_context or cluster_context or name,
        token_lifetime=token_lifetime,
        labels=dict(labels),
        place=Topology(provider or "", region or "", zone or ""),
        full_access=full_access,
        see_everything=see_everything,
        witness=witness,
        force_conflicts=settings.options.force_conflicts,
        overwrite=overwrite,
    )
    if seats_of(contexts) and host_cluster_name:
        raise click.UsageError(
            "--host-cluster-name goes with one host; a seat's name: --host-context SEAT=CONTEXT."
        )
    ends = open_member_and_host(settings, name, cluster_context or name)
    return _join(settings, request, ends, contexts, api_endpoint or "", dry_run, output)


def _subject(auth: str, user: str | None, group: str | None) -> Any:
    from reconciler.join.member_objects import Subject

    if auth == "token":
        if user or group:
            raise click.UsageError("--user and --group go with --auth exec.")
        return None
    if bool(user) == bool(group):
        raise click.UsageError(
            "--auth exec needs --user or --group: whom the member's API server takes the plugin's "
            "credential for (EKS: the access entry's user name or group; GKE: the Google account)."
        )
    return Subject("User", user) if user else Subject("Group", str(group))


def _join(
    settings: CommandSettings,
    request: JoinRequest,
    ends: MemberAndHost,
    contexts: tuple[str, ...],
    api_endpoint: str,
    dry_run: bool,
    output: str,
) -> int:
    from reconciler.join.execute import StepTools, execute_steps

    plan, folder, ends = _planned(settings, request, ends, contexts, api_endpoint)
    steps: list[Step] = []
    behind = dict(plan.behind)

    def done(step: Step) -> None:
        steps.append(step)
        if output == "text":
            for line in step_lines(step, verbose=settings.console.verbose):
                settings.console.out(line)

    if dry_run:
        for step in plan.steps:
            done(step)
    else:
        tools = StepTools(
            ends.member,
            {} if request.auth == "exec" else ends.hosts,
            plan.credentials,
            folder,
            plan.manifest,
            force=request.force_conflicts,
        )
        behind |= execute_steps(plan.steps, tools, done)
    _report(settings, plan, steps, output, dry_run=dry_run)
    if folder is None and output == "text":
        settings.console.document(plan.manifest, newline=False)
    again = f"reconcile join {request.name}"
    again += "".join(f" --host-context {seat}={ends.seats[seat]}" for seat in behind)
    warn_of_seats_behind(settings, behind, "has no good credential of it", again)
    return Exit.FAILED if behind else Exit.OK


def _planned(
    settings: CommandSettings,
    request: JoinRequest,
    ends: MemberAndHost,
    contexts: tuple[str, ...],
    api_endpoint: str,
) -> tuple[JoinPlan, Path | None, MemberAndHost]:
    from reconciler.api.errors import BadInput
    from reconciler.inventory.ownership import changed_servers, uid_of_kube_system
    from reconciler.join.join import Clusters, plan_join
    from reconciler.join.needed_kinds import discovered_versions, with_joining_cluster
    from reconciler.seats.register import register_key

    files, folder, claimant = read_repository_of(settings)
    discovery = ends.member.discover()
    try:
        known = with_joining_cluster(files, request.name, discovered_versions(discovery))
    except BadInput as error:
        error.hint = "join grants what the repository's kinds need, so it has to be understood"
        raise
    federation = known.state.federation
    ends = ends.with_seats(seats_given(settings, contexts, federation))
    endpoint = ends.endpoint
    if api_endpoint:
        endpoint = replace(endpoint, server=api_endpoint.rstrip("/"))
    hosts = {}
    if request.auth == "token":
        hosts = ends.hosts
        request = replace(request, host_name=request.host_name or ends.host_name)
    if (
        known.manifest is not None
        and (known.manifest.body.get("spec") or {}).get("role") == "Witness"
    ):
        request = replace(request, witness=True)
    if request.witness or request.name in {*ends.seats, *federation.seats}:
        request = replace(request, register=register_key(federation.name, "").name)
    clusters = Clusters(ends.member, endpoint, discovery, hosts)
    plan = plan_join(request, known, clusters, folder, now=time.time())
    servers = run_memory_of(settings, ends, federation, claimant).known_servers
    if doubt := changed_servers(request.name, uid_of_kube_system(ends.member), claimant, servers):
        plan = replace(plan, warnings=(*plan.warnings, f"{request.name} is {doubt}"))
    return plan, folder, ends


def _report(
    settings: CommandSettings, plan: JoinPlan, steps: list[Step], output: str, *, dry_run: bool
) -> None:
    console = settings.console
    if output == "json":
        console.document(steps_as_json(steps, plan.warnings))
    elif output == "yaml":
        console.document(steps_as_yaml(steps), newline=False)
    for warning in plan.warnings:
        console.note(f"{styled('Warning:', fg='yellow', bold=True)} {warning}")
    if output != "text":
        return
    console.note("")
    writing = sum(step.writes for step in steps)
    if dry_run:
        console.note(f"{writing} steps would be taken. Nothing was written.")
    elif not writing:
        console.note("It is a member already; nothing was to be done.")
    else:
        console.note("Joined. Next: commit the manifest, then reconcile --plan")
