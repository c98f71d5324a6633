"""Planning, asking, applying, printing: what `reconcile` does once its options are read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from reconciler.cli import output
from reconciler.cli.console import Console, styled
from reconciler.cli.exit_codes import Exit
from reconciler.cli.progress import Bars
from reconciler.cli.settings import CommandSettings
from reconciler.cli.stop import Stop

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.api.options import RunOptions
    from reconciler.cli.run_reporting import RunListeners
    from reconciler.plan.model import Plan
    from reconciler.run.pipeline import Prepared
    from reconciler.saved_plans.document import SavedPlan


def run_reconcile(settings: CommandSettings) -> Exit:
    """Plans, and unless only a plan is wanted applies. Raises ReconcileError."""
    with Stop(settings.console, settings.options.grace) as stop:
        settings = settings.with_options(time_left=stop.time_left)
        try:
            with members_of(settings) as settings:
                return run_once(settings, stop)
        except (KeyboardInterrupt, click.Abort):
            if stop.code is not Exit.TERMINATED:
                raise
            settings.console.note(f"{stop.reason} before anything was written.")
            return stop.code


def members_of(settings: CommandSettings) -> AbstractContextManager[CommandSettings]:
    """The settings by which a run reaches its members, the simulated ones with --sandbox."""
    if not settings.options.sandbox:
        return nullcontext(settings)
    from reconciler.cli.simulated import simulated_members

    return simulated_members(settings)


def run_once(
    settings: CommandSettings,
    stop: Stop,
    latest: RunListeners | None = None,
    planned: Callable[[Prepared], None] = lambda _: None,
) -> Exit:
    """One run under the lock; ``stop`` has the signals. Raises ReconcileError.

    ``latest`` is given it where somebody may ask over HTTP. ``planned`` is told what
    was planned, once all that was to be done is done.
    """
    stop.at_once()
    settings, seconds = settings.until_deadline(plan_only=settings.options.plan_only)
    from reconciler.git.ahead import git_asked_ahead

    # Git looks while the rest of the program is loaded.
    with stop.within(seconds), git_asked_ahead(settings.options) as options:
        settings = replace(settings, options=options)
        if settings.options.plan_only:
            return _only_plan(settings, stop, latest, planned)
        return _apply(settings, stop, latest, planned)


def _only_plan(
    settings: CommandSettings,
    stop: Stop,
    latest: RunListeners | None,
    planned: Callable[[Prepared], None],
) -> Exit:
    from reconciler.cli.run_reporting import ObservedRun
    from reconciler.run import pipeline

    console, options = settings.console, settings.options
    with (
        ObservedRun(settings, stop, latest) as watch,
        Bars(console, wanted=options.output != "json") as bars,
    ):
        progress = watch.progress(bars)
        if options.base:
            from reconciler.run.compare_commits import make_plan_against

            watch.prepared = make_plan_against(options, options.base, progress)
        else:
            watch.prepared = pipeline.make_plan(options, progress)
    plan = watch.prepared.plan
    output.print_plan(plan, options, console)
    if options.out:
        from reconciler.saved_plans.file import save_plan

        save_plan(options.out, watch.prepared, options)
        console.note(_what_was_saved(plan, options.out))
    output.report_plan(plan, options)
    planned(watch.prepared)
    return _code_of_plan(plan, detailed=options.detailed_exitcode)


def _apply(
    settings: CommandSettings,
    stop: Stop,
    latest: RunListeners | None,
    planned: Callable[[Prepared], None],
) -> Exit:
    from reconciler.cli.run_reporting import ObservedRun
    from reconciler.lock.run_lock import RunLock
    from reconciler.run import pipeline

    console, options = settings.console, settings.options
    saved = _saved_plan(options)
    if saved:
        options = replace(options, sample_at=saved.seal.made_at)
    with (
        RunLock(options, console.note) as lock,
        ObservedRun(settings, stop, latest) as watch,
    ):
        with Bars(console, wanted=options.output != "json") as bars:
            prepared = pipeline.make_plan(options, watch.progress(bars), lock)
        watch.prepared = prepared
        plan = prepared.plan
        if prepared.blocked:
            # What there would be to do, while nothing may be done.
            output.print_plan(plan, options, console)
            output.report_plan(plan, options)
            raise prepared.blocked
        if saved:
            from reconciler.saved_plans.file import check_fresh

            check_fresh(saved, prepared, options)
        asking = options.asks and console.interactive and plan.has_changes and not plan.violations
        if asking:
            console.document(output.plan_as_text(plan, console), to_person=True)
            if not _confirmed(plan, console):
                console.note("Nothing was changed.")
                return Exit.FAILED
        # It stays so: what follows is to give the lock back, and to tell what was done.
        stop.in_order()
        with Bars(console, wanted=options.output != "json") as bars:
            try:
                result = pipeline.apply_plan(
                    prepared,
                    watch.progress(bars),
                    lambda: stop.reason,
                    # What nobody was asked about, and no saved plan says, is not done.
                    unattended=saved is None and not (options.asks and console.interactive),
                )
                watch.result = result
            except KeyboardInterrupt:
                lock.leave()
                raise
        # Before others are told, who may hang.
        output.print_result(result, options, console, plan_was_shown=asking)
    output.report_result(result, options)
    if result.defect is not None:
        raise result.defect
    planned(prepared)
    # A signal that came when all was done left nothing undone.
    return Exit.OK if result.ok else stop.code or Exit.FAILED


def _saved_plan(options: RunOptions) -> SavedPlan | None:
    """What ``--apply-plan`` names, if this run can come to it. Raises ReconcileError."""
    if options.apply_plan is None:
        return None
    from reconciler.saved_plans.file import read_plan
    from reconciler.saved_plans.options import check_options

    saved = read_plan(options.apply_plan)
    check_options(saved, options, str(options.apply_plan))
    return saved


def _what_was_saved(plan: Plan, file: Path) -> str:
    if plan.violations:
        return f"Saved in {file}; it passes a limit, and cannot be applied."
    source = " It is of the kept commit, as Git does not answer." if plan.without_git else ""
    return (
        f"Saved in {file}.{source} To do exactly this: the same options, with --apply-plan {file}"
    )


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
    dns = [record for record in plan.dns if not record.get("waits")]
    if dns:
        records = f"{plural(len(dns), 'DNS record')} ({counted(map(dns_action, dns))})"
        parts.append(f"{'change' if parts else 'Change'} {records}")
    if plan.decisions:
        decisions = plural(len(plan.decisions), "placement decision")
        how = counted(one.action for one in plan.decisions)
        parts.append(f"{'publish' if parts else 'Publish'} {decisions} ({how})")
    deleted = len(deletions_of([change for _, change in writes]))
    deleted += sum(dns_action(record) == "prune" for record in dns)
    besides = [f"{plural(deleted, 'deletion')} among them"] if deleted else []
    if waiting := plan.summary()[Action.WAITING]:
        besides.append(f"{plural(waiting, 'change')} left to a later run")
    return " and ".join(parts), ", ".join(besides)
