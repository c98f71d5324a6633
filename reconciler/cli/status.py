"""`reconcile status`: health over all clusters, as `kubectl rollout status` tells it of one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.errors import UsageError
from reconciler.api.options import FLEET, usual_seconds
from reconciler.cli.command_group import GroupedCommand
from reconciler.cli.console import styled
from reconciler.cli.exit_codes import Exit
from reconciler.cli.progress import Bars
from reconciler.cli.settings import DURATION, CommandSettings, merged, option, run_options
from reconciler.cli.simulated import with_simulated_members
from reconciler.cli.stop import Stop, until_signal
from reconciler.cli.tables import table

if TYPE_CHECKING:
    from reconciler.status.fleet_status import ClusterStatus, WorkloadStatus

WATCH, OUTPUT = "Watching", "Output"
MIN_WATCH_INTERVAL = 1.0
"""Seconds, in which a cluster that answers can be looked at."""
_COLOURS = {"Current": "green", "InProgress": "yellow", "Failed": "red", "NotFound": "red"}

EPILOG = """\b
Examples:
  reconcile status                          every workload, and whatever is not well
  reconcile status deployment/web           one, in all clusters
  reconcile status web -n shop --watch      until it is as Git says, everywhere
  reconcile status -o json | jq '.workloads[] | select(.status != "Current")'
\b
Exit codes: 0 all of it is as Git says, 1 something is not (or, with --watch and
--timeout, not yet).
"""


@click.command(cls=GroupedCommand, epilog=EPILOG)
@click.argument("workload", required=False, default="")
@option("-n", "--namespace", default="", metavar="NAME", heading=FLEET, help="Only in this one.")
@run_options("clusters")
@run_options("sandbox", heading=FLEET, help="Use the simulated clusters.")
@run_options("memory")
@option(
    "-w", "--watch", is_flag=True, heading=WATCH, help="Look again until everything is as wanted."
)
@option(
    "--interval",
    type=DURATION,
    default="5s",
    show_default=True,
    heading=WATCH,
    help="How long to wait before looking again.",
)
@option("--timeout", type=DURATION, heading=WATCH, help="Give up watching after this time.")
@option(
    "-o",
    "--output",
    type=click.Choice(["table", "wide", "json", "yaml"]),
    default="table",
    show_default=True,
    heading=OUTPUT,
    help="wide: one row for each cluster.",
)
@run_options("repository")
@run_options("terminal")
@click.pass_context
def status(
    context: click.Context,
    /,
    *,
    workload: str,
    namespace: str,
    watch: bool,
    interval: float,
    timeout: float | None,
    output: str,
    **given: Any,
) -> int:
    """Show how workloads are over all clusters: wanted, ready, and what is wrong.

    WORKLOAD is a name, KIND/NAME or NAMESPACE/NAME; globs work. Without it: everything with
    replicas, and of the rest what is not as it should be.
    """
    settings = merged(context, **given)
    if timeout is not None and not watch:
        raise click.UsageError("--timeout goes with --watch.")
    watching = WatchInterval(interval, timeout) if watch else None
    with until_signal(settings) as stop, with_simulated_members(settings) as settings:
        return _follow(settings, stop, workload, namespace, output, watching)


class WatchInterval(Struct, frozen=True):
    """How often to look again, and for how long; both in seconds."""

    interval: float
    timeout: float | None


class StatusRows(Struct, frozen=True):
    """The rows that were asked for; and cluster -> why it could not be looked at."""

    rows: list[WorkloadStatus]
    unreachable: Mapping[str, str]


def _follow(
    settings: CommandSettings,
    stop: Stop,
    workload: str,
    namespace: str,
    output: str,
    watching: WatchInterval | None,
) -> Exit:
    began = time.monotonic()
    shown: list[str] = []
    while True:
        quiet = watching is not None or output in ("json", "yaml")
        in_time, seconds = _within(settings, watching, began).until_deadline()
        with stop.within(seconds):
            seen = _look(in_time, workload, namespace, quiet=quiet)
        shown = _show(settings, seen, output, shown, watch=watching is not None)
        # A cluster that is away says nothing of a workload that is not wanted there.
        if all(row.fine for row in seen.rows) and (workload or not seen.unreachable):
            return Exit.OK
        if watching is None:
            return Exit.FAILED
        passed = time.monotonic() - began
        if watching.timeout is not None and passed + watching.interval > watching.timeout:
            settings.console.note("The time is over, and not everything is as wanted.")
            return Exit.FAILED
        stop.wait(watching.interval)


def _within(
    settings: CommandSettings, watching: WatchInterval | None, began: float
) -> CommandSettings:
    """A look has its own deadline, and ends with the watching."""
    if watching is None or watching.timeout is None:
        return settings
    left = watching.timeout - (time.monotonic() - began)
    usual = settings.options.deadline or usual_seconds(plan_only=True)
    return settings.with_options(deadline=min(usual, max(left, MIN_WATCH_INTERVAL)))


def _look(settings: CommandSettings, name: str, namespace: str, *, quiet: bool) -> StatusRows:
    from reconciler.run import pipeline
    from reconciler.status.failing_pods import failing_pods
    from reconciler.status.fleet_status import fleet_status, select

    with Bars(settings.console, wanted=not quiet) as bars:
        prepared = pipeline.make_plan(settings.options, bars)
    if prepared.plan.without_git and not quiet:
        settings.console.note(str(prepared.plan.without_git))
    every = fleet_status(prepared.plan, prepared.works, prepared.placed)
    rows = select(every, name, namespace)
    if name and not rows:
        raise UsageError(
            f"nothing that is placed somewhere is called {name!r}",
            hint="a name, KIND/NAME or NAMESPACE/NAME; `reconcile status` lists the workloads",
        )
    members = {work.cluster.name: work.member for work in prepared.works}

    def explained(row: WorkloadStatus, one: ClusterStatus) -> ClusterStatus:
        if one.fine or one.live is None:
            return one
        words = failing_pods(members[one.cluster], row.key, one.live)
        return replace(one, message="; ".join([one.message, *words]))

    return StatusRows(
        [replace(r, clusters=tuple(explained(r, one) for one in r.clusters)) for r in rows],
        {one.name: one.problem for one in prepared.plan.clusters if not one.reachable},
    )


def _show(
    settings: CommandSettings,
    seen: StatusRows,
    output: str,
    before: list[str],
    *,
    watch: bool,
) -> list[str]:
    """Print, unless nothing has changed; on a terminal the old picture makes way."""
    lines = list(_lines(seen, output))
    if lines == before:
        return lines
    if watch and output in ("table", "wide"):
        if settings.console.stdout_colour:
            click.clear()
        elif before:
            settings.console.out("")
    for line in lines:
        if output in ("json", "yaml"):
            settings.console.document(line)
        else:
            settings.console.out(line)
    return lines


def _lines(seen: StatusRows, output: str) -> Iterator[str]:
    from reconciler.status.fleet_status import status_document

    if output in ("json", "yaml"):
        document: Mapping[str, Any] = {
            "workloads": [status_document(row) for row in seen.rows],
            "notLookedAt": [
                {"name": name, "reason": why} for name, why in seen.unreachable.items()
            ],
        }
        if output == "json":
            yield json.dumps(document, indent=2, ensure_ascii=False)
            return
        from reconciler.manifests.yaml_text import as_yaml

        yield as_yaml([document]).rstrip()
        return
    if seen.rows:
        yield from _wide(seen.rows) if output == "wide" else _narrow(seen.rows)
    elif seen.unreachable:
        yield "Nothing is placed in the clusters that were looked at, or all of it is well there."
    else:
        yield "Nothing is placed anywhere, or all of it is well and has no replicas."
    yield from _troubles(seen)


def _narrow(rows: Sequence[WorkloadStatus]) -> Iterator[str]:
    """One row for each workload; each cluster's part as ``aws-eu 3/3``."""
    yield from table(
        ["WORKLOAD", "STATUS", "READY", "CLUSTERS"],
        [
            [
                str(row.key),
                _styled(row.status),
                f"{row.ready}/{row.wanted}" if row.replicated else "-",
                ", ".join(_part(one) for one in row.clusters),
            ]
            for row in rows
        ],
    )


def _part(one: ClusterStatus) -> str:
    if one.status is None:
        return f"{one.cluster} ?"
    count = f" {one.ready}/{one.wanted}" if one.wanted is not None else ""
    return one.cluster + (count if one.fine or count else f" {one.status}")


def _wide(rows: Sequence[WorkloadStatus]) -> Iterator[str]:
    cells = [
        [
            str(row.key),
            one.cluster,
            _styled(one.status),
            "-" if one.wanted is None else str(one.wanted),
            "-" if one.ready is None else str(one.ready),
            one.message,
        ]
        for row in rows
        for one in row.clusters
    ]
    yield from table(["WORKLOAD", "CLUSTER", "STATUS", "WANTED", "READY", "MESSAGE"], cells)


def _troubles(seen: StatusRows) -> Iterator[str]:
    """What is wrong, in a line for each thing that is said of a workload, by whichever clusters,
    and for each cluster that could not be looked at."""
    clusters_of: dict[tuple[str, str], list[str]] = {}
    for row in seen.rows:
        for one in row.clusters:
            if not one.fine and one.cluster not in seen.unreachable:
                clusters_of.setdefault((str(row.key), one.message), []).append(one.cluster)
    if clusters_of or seen.unreachable:
        yield ""
    for (key, message), names in clusters_of.items():
        yield f"{styled(', '.join(names), bold=True)}: {key}: {message}"
    for name, why in seen.unreachable.items():
        yield f"{styled(name, bold=True)}: {why or 'it was not looked at'}"


def _styled(status: object) -> str:
    text = str(status) if status else "Unknown"
    return styled(text, fg=_COLOURS.get(text, "yellow"))
