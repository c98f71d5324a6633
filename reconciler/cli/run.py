"""Planning, asking, applying, printing: what `reconcile` does once its options are read."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli import printing
from reconciler.cli.exits import Exit
from reconciler.cli.progress import Bars
from reconciler.cli.settings import Settings
from reconciler.cli.stopping import Stop

if TYPE_CHECKING:
    from reconciler.planning.plan import Plan
    from reconciler.reporting.metrics import LatestMetrics


@dataclass(frozen=True, slots=True)
class Request:
    """What one call of `reconcile` is to do. ``ask``: confirm first, where somebody can answer."""

    plan_only: bool
    ask: bool = False
    sandbox: bool = False
    sandbox_reset: bool = False
    output: str = "text"
    reports: tuple[Path, ...] = ()
    detailed_exitcode: bool = False
    latest: LatestMetrics | None = None
    """Told of each run where somebody may ask for metrics over HTTP."""


def run(settings: Settings, request: Request) -> Exit:
    """Plans, and unless only a plan is wanted applies. Raises ReconcileError."""
    with Stop(settings.console, settings.grace) as stop:
        settings = replace(settings, time_left=stop.time_left)
        try:
            with ExitStack() as stack:
                if request.sandbox:
                    from reconciler.cli.simulated import simulated_members

                    settings = stack.enter_context(
                        simulated_members(settings, reset=request.sandbox_reset)
                    )
                return run_once(settings, request, stop)
        except (KeyboardInterrupt, click.Abort):
            if stop.code is not Exit.TERMINATED:
                raise
            settings.console.note("SIGTERM was received before anything was written.")
            return stop.code


def run_once(settings: Settings, request: Request, stop: Stop) -> Exit:
    """One run under the lock; ``stop`` has the signals. Raises ReconcileError."""
    from reconciler import pipeline
    from reconciler.cli.observing import Watch
    from reconciler.locking import RunLock

    stop.at_once()
    console = settings.console
    options = settings.options(plan_only=request.plan_only)
    if request.plan_only:
        with (
            Watch(settings, options, stop, request.latest) as watch,
            Bars(console, wanted=request.output != "json") as bars,
        ):
            watch.prepared = pipeline.make_plan(options, watch.progress(bars))
        plan = watch.prepared.plan
        printing.print_plan(plan, request.output, request.reports, console)
        return _code_of_plan(plan, detailed=request.detailed_exitcode)

    with (
        RunLock(options, console.note) as lock,
        Watch(settings, options, stop, request.latest) as watch,
    ):
        with Bars(console, wanted=request.output != "json") as bars:
            prepared = pipeline.make_plan(options, watch.progress(bars), lock)
        watch.prepared = prepared
        plan = prepared.plan
        asking = request.ask and console.interactive and plan.has_changes and not plan.violations
        if asking:
            console.note(printing.plan_as_text(plan, console))
            if not _confirmed(plan):
                console.note("Nothing was changed.")
                return Exit.FAILED
        # It stays so: what follows is to give the lock back, and to tell what was done.
        stop.in_order()
        with Bars(console, wanted=request.output != "json") as bars:
            try:
                result = pipeline.apply_plan(prepared, watch.progress(bars), lambda: stop.reason)
                watch.result = result
            except KeyboardInterrupt:
                lock.leave()
                raise
    printing.print_result(result, request.output, request.reports, console, plan_was_shown=asking)
    # A signal that came when all was done left nothing undone.
    return Exit.OK if result.ok else stop.code or Exit.FAILED


def _code_of_plan(plan: Plan, *, detailed: bool) -> Exit:
    if plan.has_failures or plan.violations:
        return Exit.FAILED
    return Exit.CHANGES if detailed and plan.has_changes else Exit.OK


def _confirmed(plan: Plan) -> bool:
    """Asks on the terminal; anything but a plain yes is a no, and so is the end of input."""
    counts = plan.summary()
    writes = sum(
        number for action, number in counts.items() if action not in ("unchanged", "failed")
    )
    clusters = sum(1 for cluster in plan.clusters if cluster.changes)
    deletions = counts["prune"]
    question = (
        f"Make {writes} change{'s' * (writes != 1)} in {clusters} cluster{'s' * (clusters != 1)}"
    )
    if deletions:
        question += click.style(f", {deletions} of them deletions", fg="red", bold=True)
    answer = click.prompt(
        question + "? Only 'yes' is taken for a yes",
        default="no",
        show_default=False,
        err=True,
        prompt_suffix=": ",
    )
    return str(answer).strip().lower() == "yes"
