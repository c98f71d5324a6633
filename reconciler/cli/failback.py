"""`reconcile failback`: let clusters that were down carry their share again."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from reconciler.api.errors import UsageError
from reconciler.cli.command_group import LimitedCommand
from reconciler.cli.exit_codes import Exit
from reconciler.cli.settings import CommandSettings, merged, run_options

if TYPE_CHECKING:
    from reconciler.state.memory import FleetMemory

EPILOG = """\b
Examples:
  reconcile failback             which clusters count as down, and what stays away
  reconcile failback aws-eu      release it
  reconcile --plan               what its return would change
"""


@click.command(cls=LimitedCommand, writes=True, epilog=EPILOG)
@click.argument("cluster", required=False)
@run_options("memory")
@run_options("repository")
@run_options("terminal")
@click.pass_context
def failback(context: click.Context, /, *, cluster: str | None, **given: Any) -> int:
    """Let a cluster that was down carry its share again.

    For federations with failback: {mode: Manual}, and for single workloads that were moved away
    from a healthy cluster. Only remembers that a person allows it: the next run that finds the
    cluster healthy for long enough brings replicas back, at the pace of maxMovesPerRun. Without
    CLUSTER it lists what could be released.
    """
    settings = merged(context, **given)
    from reconciler.run import start

    store, found, known = start.open_memory(settings.options)
    if found.problem:
        settings.console.note(f"Warning: {found.problem}")
    memory = found.memory
    if cluster is None:
        _list(settings, memory)
        return Exit.OK
    if cluster not in known:
        raise UsageError(
            f"the repository has no cluster {cluster!r}", hint=f"there are: {', '.join(known)}"
        )
    released, words = _release(memory, cluster)
    if released == memory:
        settings.console.out(f"{cluster} has nothing to be released: it is not down.")
        return Exit.OK
    store.write(released, found.version)
    settings.console.out(f"{words} Next: reconcile --plan")
    return Exit.OK


def _release(memory: FleetMemory, cluster: str) -> tuple[FleetMemory, str]:
    from reconciler.state.memory import Phase

    one, away = memory.clusters.get(cluster), memory.workloads.get(cluster, {})
    words = []
    clusters, workloads = dict(memory.clusters), dict(memory.workloads)
    if one is not None and one.phase is Phase.DOWN:
        clusters[cluster] = replace(one, released=True)
        words.append(f"{cluster} may return as soon as it has been healthy for long enough.")
    if workloads.pop(cluster, None) and any(w.away for w in away.values()):
        words.append(f"What was moved away from {cluster} may return.")
    return replace(memory, clusters=clusters, workloads=workloads), " ".join(words)


def _list(settings: CommandSettings, memory: FleetMemory) -> None:
    from reconciler.state.memory import Phase

    console, nothing = settings.console, True
    for name, one in sorted(memory.clusters.items()):
        if one.phase is Phase.UP:
            continue
        nothing = False
        released = ", released" if one.released else ""
        console.out(
            f"{name}  {one.phase} since {_when(one.since)}{released}  {one.reason}".rstrip()
        )
    for name, workloads in sorted(memory.workloads.items()):
        for key, away in sorted(workloads.items()):
            if away.away:
                nothing = False
                console.out(f"{name}  {key} stays away since {_when(away.away)}")
    if nothing:
        console.out("No cluster counts as down, and no workload stays away from one.")


def _when(moment: float) -> str:
    when = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    minutes = int(max(0.0, time.time() - moment) // 60)
    return f"{when} ({minutes} min ago)"
