"""Planning, asking, applying, printing: what `reconcile` does once its options are read."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import Struct
from msgspec.structs import replace

from reconciler.cli import output
from reconciler.cli.console import Console, styled
from reconciler.cli.exit_codes import Exit
from reconciler.cli.progress import Bars
from reconciler.cli.settings import CommandSettings
from reconciler.cli.stop import Stop

if TYPE_CHECKING:
    from reconciler.plan.model import Plan
    from reconciler.report.metrics import LatestMetrics
    from reconciler.saved_plans.document import SavedPlan


class RunRequest(Struct, frozen=True):
    """What one call of `reconcile` is to do. ``ask``: confirm first, where somebody can answer."""

    plan_only: bool
    base: str | None = None
    out: Path | None = None
    apply_plan: Path | None = None
    ask: bool = False
    sandbox: bool = False
    sandbox_reset: bool = False
    output: str = "text"
    reports: tuple[Path, ...] = ()
    markdown_limit: int = 65_536
    detailed_exitcode: bool = False
    latest: LatestMetrics | None = None
    """Told of each run where somebody may ask for metrics over HTTP."""


def run_reconcile(settings: CommandSettings, request: RunRequest) -> Exit:
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


def run_once(settings: CommandSettings, request: RunRequest, stop: Stop) -> Exit:
    """One run under the lock; ``stop`` has the signals. Raises ReconcileError."""
    stop.at_once()
    settings, seconds = settings.until_deadline(plan_only=request.plan_only)
    with stop.within(seconds):
        if request.plan_only:
            return _only_plan(settings, request, stop)
        return _apply(settings, request, stop)


def _only_plan(settings: CommandSettings, request: RunRequest, stop: Stop) -> Exit:
    from reconciler.cli.observe_run import ObservedRun
    from reconciler.run import pipeline

    console, options = settings.console, settings.options(plan_only=True)
    with (
        ObservedRun(settings, options, stop, request.latest) as watch,
        Bars(console, wanted=request.output != "json") as bars,
    ):
        progress = watch.progress(bars)
        if request.base:
            from reconciler.run.pipeline import make_plan_against

            watch.prepared = make_plan_against(options, request.base, progress)
        else:
            watch.prepared = pipeline.make_plan(options, progress)
    plan = watch.prepared.plan
    output.print_plan(plan, _wanted(request), console)
    if request.out:
        from reconciler.saved_plans.file import save_plan

        save_plan(request.out, watch.prepared, options)
        console.note(_what_was_saved(plan, request.out))
    output.report_plan(plan, _wanted(request))
    return _code_of_plan(plan, detailed=request.detailed_exitcode)


def _apply(settings: CommandSettings, request: RunRequest, stop: Stop) -> Exit:
    from reconciler.cli.observe_run import ObservedRun
    from reconciler.lock.run_lock import RunLock
    from reconciler.run import pipeline

    console, options = settings.console, settings.options(plan_only=False)
    saved = _saved_plan(settings, request)
    if saved:
        options = replace(options, sample_at=saved.seal.made_at)
    with (
        RunLock(options, console.note) as lock,
        ObservedRun(settings, options, stop, request.latest) as watch,
    ):
        with Bars(console, wanted=request.output != "json") as bars:
            prepared = pipeline.make_plan(options, watch.progress(bars), lock)
        watch.prepared = prepared
        plan = prepared.plan
        if saved:
            from reconciler.saved_plans.file import check_fresh

            check_fresh(saved, prepared, options)
        asking = request.ask and console.interactive and plan.has_changes and not plan.violations
        if asking:
            console.document(output.plan_as_text(plan, console), to_person=True)
            if not _confirmed(plan, console):
                console.note("Nothing was changed.")
                return Exit.FAILED
        # It stays so: what follows is to give the lock back, and to tell what was done.
        stop.in_order()
        with Bars(console, wanted=request.output != "json") as bars:
            try:
                result = pipeline.apply_plan(
                    prepared,
                    watch.progress(bars),
                    lambda: stop.reason,
                    # What nobody was asked about, and no saved plan says, is not done.
                    unattended=saved is None and not (request.ask and console.interactive),
                )
                watch.result = result
            except KeyboardInterrupt:
                lock.leave()
                raise
        # Before others are told, who may hang.
        output.print_result(result, _wanted(request), console, plan_was_shown=asking)
    output.report_result(result, _wanted(request))
    if result.defect is not None:
        raise result.defect
    # A signal that came when all was done left nothing undone.
    return Exit.OK if result.ok else stop.code or Exit.FAILED


def _wanted(request: RunRequest) -> output.OutputOptions:
    return output.OutputOptions(request.output, request.reports, request.markdown_limit)


def _saved_plan(settings: CommandSettings, request: RunRequest) -> SavedPlan | None:
    """What ``--apply-plan`` names, if this run can come to it. Raises ReconcileError."""
    if request.apply_plan is None:
        return None
    from reconciler.saved_plans.file import read_plan
    from reconciler.saved_plans.options import check_options

    saved = read_plan(request.apply_plan)
    check_options(saved, settings.options(plan_only=False), str(request.apply_plan))
    return saved


def _what_was_saved(plan: Plan, file: Path) -> str:
    if plan.violations:
        return f"Saved in {file}; it passes a limit, and cannot be applied."
    return f"Saved in {file}. To do exactly this: the same options, with --apply-plan {file}"


def _code_of_plan(plan: Plan, *, detailed: bool) -> Exit:
    if plan.has_failures or plan.violations:
        return Exit.FAILED
    changes = plan.has_changes or bool(
        plan.base and (plan.base.avoided or plan.base.avoided_records)
    )
    return Exit.CHANGES if detailed and changes else Exit.OK


def _confirmed(plan: Plan, console: Console) -> bool:
    asked, deletions = question(plan)
    if deletions:
        asked += styled(f", {deletions}", fg="red", bold=True)
    return console.confirmed(asked)


def question(plan: Plan) -> tuple[str, str]:
    """What a yes will do, and how much of it deletes: ``Make 3 changes in 2 clusters (1 to create,
    2 to update)``."""
    from reconciler.plan.guards import deletions_of
    from reconciler.plan.model import Action
    from reconciler.report.wording import counted, dns_action, plural

    writes = list(plan.writes())
    parts = []
    if writes:
        clusters = len({cluster.name for cluster, _ in writes})
        what = counted(change.action for _, change in writes)
        parts.append(
            f"Make {plural(len(writes), 'change')} in {plural(clusters, 'cluster')} ({what})"
        )
    if plan.dns:
        records = f"{plural(len(plan.dns), 'DNS record')} ({counted(map(dns_action, plan.dns))})"
        parts.append(f"{'change' if parts else 'Change'} {records}")
    deleted = len(deletions_of([change for _, change in writes]))
    deleted += sum(dns_action(record) == "prune" for record in plan.dns)
    told = [f"{plural(deleted, 'deletion')} among them"] if deleted else []
    if waiting := plan.summary()[Action.WAITING]:
        told.append(f"{plural(waiting, 'prune')} left to a later run")
    return " and ".join(parts), ", ".join(told)
