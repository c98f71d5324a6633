"""`reconcile clusters`: the members, how they are, and how far they are from Git."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from reconciler.api.options import FLEET
from reconciler.cli.command_group import LimitedCommand
from reconciler.cli.console import styled
from reconciler.cli.exit_codes import Exit
from reconciler.cli.progress import Bars
from reconciler.cli.settings import CommandSettings, merged, option, run_options
from reconciler.cli.simulated import with_simulated_members
from reconciler.cli.tables import age, table

if TYPE_CHECKING:
    from reconciler.status.roster import MemberRow

OUTPUT = "Output"
_SHORT_COMMIT = 8

EPILOG = """\b
Examples:
  reconcile clusters
  reconcile clusters -o wide
  reconcile clusters -o json | jq '.clusters[] | select(.drift > 0).name'
\b
Exit codes: 0 every cluster is ready and could be looked at, 1 one is not, or a kind in
it could not be listed. DRIFT counts objects that somebody changed or deleted; ADDED
fields that people added to objects and that stay; PENDING objects that the next run
changes because Git did. COMMIT was written there last; where commits reach clusters in
waves, WANTED is the one of its wave now, and waits, begun, well or down.
changes because Git did. Where a cluster is paused, or closed by a maintenance window,
WRITES says so, and a line below the table until when.
"""


@click.command(cls=LimitedCommand, epilog=EPILOG)
@run_options("clusters")
@run_options("sandbox", heading=FLEET, help="Use the simulated clusters.")
@run_options("memory")
@option(
    "-o",
    "--output",
    type=click.Choice(["table", "wide", "json", "yaml"]),
    default="table",
    show_default=True,
    heading=OUTPUT,
    help="What to print.",
)
@run_options("repository")
@run_options("terminal")
@click.pass_context
def clusters(context: click.Context, /, *, output: str, **given: Any) -> int:
    """List the members: how they are, and how far they are from Git.

    Asks every member, and compares it with the repository as a plan does.
    """
    settings = merged(context, **given)
    with with_simulated_members(settings) as settings:
        federation, commit, rows = _look(settings, quiet=output in ("json", "yaml"))
    if output in ("json", "yaml"):
        settings.console.document(_as_data(federation, commit, rows, output), newline=False)
    else:
        for line in _as_table(rows, time.time(), wide=output == "wide"):
            settings.console.out(line)
        for row in rows:
            if row.closed:
                settings.console.note(f"{styled(row.cluster.name, bold=True)}: {row.closed}")
            if row.seen:
                settings.console.note(f"{styled(row.cluster.name, bold=True)}: {row.seen}")
            if not row.ready or row.problem:
                reason = row.facts.reason or row.problem or f"it counts as {row.phase}"
                settings.console.note(f"{styled(row.cluster.name, bold=True)}: {reason}")
    return Exit.OK if all(row.ready and not row.problem for row in rows) else Exit.FAILED


def _look(settings: CommandSettings, *, quiet: bool) -> tuple[str, str, tuple[MemberRow, ...]]:
    from reconciler.report.rollout import headline, is_told
    from reconciler.run import pipeline
    from reconciler.status.roster import read_cluster_facts, roster

    with Bars(settings.console, wanted=not quiet) as bars:
        prepared = pipeline.make_plan(settings.options, bars)
        state = prepared.state
        planned = {cluster.name for cluster in prepared.plan.clusters}
        asked = [cluster for cluster in state.clusters if cluster.name in planned]
        asked += [] if settings.options.clusters else state.witnesses
        known = {health.cluster: health for health in prepared.plan.health}
        rules = state.federation.failover
        facts = read_cluster_facts(prepared.connect, asked, rules, known)
    if prepared.plan.without_git and not quiet:
        settings.console.note(str(prepared.plan.without_git))
    if is_told(prepared.plan.rollout) and prepared.plan.rollout and not quiet:
        settings.console.note(headline(prepared.plan.rollout))
    memory = prepared.run_memory.memory
    rows = roster(
        asked,
        prepared.plan.clusters,
        prepared.works,
        memory,
        facts,
        known,
        prepared.plan.rollout,
    )
    return state.federation.name, prepared.plan.commit, rows


def _as_table(rows: Sequence[MemberRow], now: float, *, wide: bool) -> Iterator[str]:
    headings = ["NAME", "PROVIDER", "REGION", "VERSION", "READY", "SINCE", "NODES", "MANAGED"]
    headings += ["DRIFT", "ADDED", "PENDING", "COMMIT"]
    # Where there is none, all are members.
    roles = any(row.is_witness for row in rows)
    if roles:
        headings.insert(1, "ROLE")
    waves = any(row.rollout for row in rows)
    if waves:
        headings += ["WAVE", "WANTED"]
    shut = any(row.closed for row in rows)
    if shut:
        headings.append("WRITES")
    if wide:
        headings += ["ZONE", "COUNTS AS", "REFUSED", "LABELS"]
    cells = []
    for row in rows:
        cluster, nodes = row.cluster, row.facts.nodes
        line = [
            cluster.name,
            cluster.provider or "-",
            cluster.region or "-",
            row.facts.version or "-",
            _readiness(row),
            age(now - row.since) if row.since else "-",
            f"{nodes[0]}/{nodes[1]}" if nodes else "-",
            _number(row.managed),
            _number(row.drift, "yellow"),
            _number(row.added, "yellow"),
            _number(row.pending),
            row.commit[:_SHORT_COMMIT] or "-",
        ]
        if roles:
            line.insert(1, cluster.role or "member")
        if waves:
            line += [row.wave or "-", _wanted(row)]
        if shut:
            line.append(_writes(row))
        if wide:
            labels = ",".join(f"{k}={v}" for k, v in sorted(cluster.labels.items()))
            phase = "-" if row.is_witness else str(row.phase)
            line += [cluster.zone or "-", phase, _number(row.refused, "red"), labels]
        cells.append(line)
    yield from table(headings, cells)


def _wanted(row: MemberRow) -> str:
    """The commit that its wave gives it now, and how it is there."""
    if row.rollout is None:
        return "-"
    colours = {"begun": "yellow", "down": "red"}
    step = styled(str(row.rollout.step), fg=colours.get(str(row.rollout.step)))
    return f"{row.rollout.commit[:_SHORT_COMMIT] or '-'} {step}"


def _readiness(row: MemberRow) -> str:
    if row.ready:
        return styled("yes", fg="green")
    known = str(row.facts.signal) != "Unknown" or str(row.phase) == "Down"
    return styled("no", fg="red") if known else styled("unknown", fg="yellow")


def _writes(row: MemberRow) -> str:
    if row.closed is None:
        return "-" if row.is_witness else "open"
    return styled("paused" if row.closed.paused else "closed", fg="yellow")


def _number(number: int | None, colour: str | None = None) -> str:
    if number is None:
        return "-"
    return styled(str(number), fg=colour) if number and colour else str(number)


def _as_data(federation: str, commit: str, rows: Sequence[MemberRow], output: str) -> str:
    from reconciler.status.roster import roster_document

    document = {
        "federation": federation,
        "commit": commit,
        "clusters": [roster_document(row) for row in rows],
    }
    if output == "json":
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    from reconciler.manifests.yaml_text import as_yaml

    return as_yaml([document])
