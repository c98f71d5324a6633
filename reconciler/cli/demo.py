"""`reconcile demo`: a small federation's story on simulated clusters, each step checked."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from reconciler.api.errors import ReconcileError
from reconciler.cli.command_group import GroupedCommand
from reconciler.cli.console import styled
from reconciler.cli.exit_codes import Exit
from reconciler.cli.settings import merged, option, run_options

EPILOG = """\b
Examples:
  reconcile demo
  reconcile demo --keep my-shop             and go on by yourself
"""


@click.command(cls=GroupedCommand, epilog=EPILOG)
@option(
    "--keep",
    type=click.Path(path_type=Path),
    metavar="DIR",
    heading="Demo",
    help="Leave the repository there, to go on with.",
)
@run_options("terminal")
@click.pass_context
def demo(context: click.Context, /, *, keep: Path | None, **given: Any) -> int:
    """Tell the story of a small federation on simulated clusters.

    A web shop on one AWS and two Google clusters: planned, applied, left alone, tampered with,
    repaired, pruned, and carried through the outage of a provider and back. Every step is checked;
    needs no cluster and no network.
    """
    from reconciler.cli.demo_story import DemoFailed, Story

    settings = merged(context, **given)
    sample = Path(__file__).resolve().parents[2] / "sample-repo"
    if not (sample / "federation.yaml").is_file():
        raise ReconcileError(
            "the demo needs sample-repo/, which is in a checkout of the source only",
            hint="git clone the project, then: make demo",
        )
    if keep is not None and keep.exists():
        raise click.UsageError(f"--keep {keep}: exists already.")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="reconcile-demo-") as folder:
        repository = Path(folder) / "web-shop"
        shutil.copytree(sample, repository)
        try:
            with Story(repository, settings.console) as story:
                story.tell()
        except DemoFailed as error:
            settings.console.note("")
            settings.console.note(f"{styled('The demo failed:', fg='red')} {error}")
            return Exit.FAILED
        if keep is not None:
            shutil.copytree(repository, keep)
    seconds = time.monotonic() - started
    settings.console.out("")
    settings.console.out(
        f"{styled('The end.', bold=True)} Every step was checked; {seconds:.1f} s in all."
    )
    settings.console.out("Go on:  reconcile --plan --sandbox --repo sample-repo")
    return Exit.OK
