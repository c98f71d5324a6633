"""Planning, asking, applying, printing: what `reconcile` does once its options are read."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli import printing
from reconciler.cli.console import Console
from reconciler.cli.exits import Exit
from reconciler.cli.progress import Bars
from reconciler.cli.settings import Settings

if TYPE_CHECKING:
    from reconciler.planning.plan import Plan


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


def run(settings: Settings, request: Request) -> Exit:
    """Plans, and unless only a plan is wanted applies. Raises ReconcileError."""
    with ExitStack() as stack:
        if request.sandbox:
            from reconciler.cli.simulated import simulated_members

            settings = stack.enter_context(simulated_members(settings, reset=request.sandbox_reset))
        return _run(settings, request)


def _run(settings: Settings, request: Request) -> Exit:
    from reconciler import pipeline

    console = settings.console
    with Bars(console, wanted=request.output != "json") as bars:
        prepared = pipeline.make_plan(settings.options(plan_only=request.plan_only), bars)
    plan = prepared.plan
    if request.plan_only:
        printing.print_plan(plan, request.output, request.reports, console)
        return _code_of_plan(plan, detailed=request.detailed_exitcode)

    asking = request.ask and console.interactive and plan.has_changes and not plan.violations
    if asking:
        console.note(printing.plan_as_text(plan, console))
        if not _confirmed(plan):
            console.note("Nothing was changed.")
            return Exit.FAILED
    with Bars(console, wanted=request.output != "json") as bars, stop_requests(console) as stopped:
        result = pipeline.apply_plan(prepared, bars, stopped)
    printing.print_result(result, request.output, request.reports, console, plan_was_shown=asking)
    if stopped() == _CTRL_C:
        return Exit.INTERRUPTED
    return Exit.OK if result.ok else Exit.FAILED


_CTRL_C = "Ctrl-C was pressed"


@contextmanager
def stop_requests(console: Console) -> Iterator[Callable[[], str]]:
    """While it lasts, SIGTERM and Ctrl-C let what is in flight end, and nothing new begins.

    A second Ctrl-C does not wait. Gives a function that tells why to stop, or an empty string.
    """
    received: list[str] = []

    def terminate(*_: object) -> None:
        received.append("SIGTERM was received")

    def interrupt(*_: object) -> None:
        if _CTRL_C in received:
            raise KeyboardInterrupt
        received.append(_CTRL_C)
        console.note("Finishing what is in flight; Ctrl-C again stops at once.")

    handlers = {signal.SIGTERM: terminate, signal.SIGINT: interrupt}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield lambda: received[0] if received else ""
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
