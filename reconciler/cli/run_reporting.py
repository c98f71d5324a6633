"""Watching a run from its first second to its end, whichever end that is, and telling of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from math import inf
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from msgspec import Struct
from msgspec.structs import replace

from reconciler.cli.console import styled
from reconciler.cli.settings import CommandSettings

if TYPE_CHECKING:
    import logging

    from reconciler.api.options import RunOptions
    from reconciler.cluster.client import Member
    from reconciler.cluster.connect import Connector
    from reconciler.plan.model import RunResult
    from reconciler.report.after_run import ReportChannels
    from reconciler.report.finished_run import Failure, FinishedRun
    from reconciler.report.metrics import LatestMetrics
    from reconciler.run.pipeline import Prepared
    from reconciler.run.progress import Progress
    from reconciler.serve.live_page import LivePage
    from reconciler.state.stores import MemoryStore

_QUICK: tuple[tuple[str, Any], ...] = (
    ("connect_timeout", 3.0),
    ("read_timeout", 5.0),
    ("retries", 1),
)
REPORTING_SECONDS = 10.0
"""Reporting after a run must not take longer than the run, nor than SIGTERM leaves it."""


class StopReason(Protocol):
    """What of ``cli.stopping.Stop`` matters here."""

    @property
    def reason(self) -> str: ...
    def hides_behind(self, error: BaseException) -> bool: ...
    def time_left(self) -> float: ...
    def in_order(self) -> object: ...


class RunListeners(Struct, frozen=True):
    """What of a process that stays is told how each run ended."""

    metrics: LatestMetrics | None = None
    page: LivePage | None = None


class ObservedRun:
    """``with ObservedRun(settings, stop) as watch:`` around one run.

    ``prepared`` and ``result`` are set as soon as there are any. However the block ends, the run
    is logged, measured and reported; that never raises, and never changes how the block ended.
    """

    def __init__(
        self,
        settings: CommandSettings,
        stop: StopReason | None = None,
        latest: RunListeners | None = None,
    ) -> None:
        self.settings, self.stop, self.latest = settings, stop, latest
        self.prepared: Prepared | None = None
        self.result: RunResult | None = None

    @property
    def options(self) -> RunOptions:
        """What the run is asked to do."""
        return self.settings.options

    def __enter__(self) -> Self:
        self._started = time.time()
        self._began = time.monotonic()
        self._logger: logging.Logger | None = None
        if self.settings.console.json_lines:
            import sys

            from reconciler.report import logs

            self._logger = logs.open_log(self._run_id, sys.stderr)
        self._phases: Any = None
        return self

    @cached_property
    def _run_id(self) -> str:
        from reconciler.report.finished_run import new_run_id
        from reconciler.shard.split import shard_of

        shard = shard_of(self.options)
        part = f"-{shard.index}of{shard.count}" if shard else ""
        return new_run_id(self._started) + part

    def progress(self, bars: Progress) -> Progress:
        """``bars``, or where JSON lines are written what logs each phase."""
        if self._logger is None:
            return bars
        if self._phases is None:
            from reconciler.report.logs import LoggedProgress

            self._phases = LoggedProgress(self._logger, bars)
        progress: Progress = self._phases
        return progress

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.stop:
            # A signal must not cut the telling short, nor make a run that is done look undone.
            self.stop.in_order()
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        if error is None and self._nobody_listens:
            return
        from reconciler.api.errors import NoMajority, ReconcileError, UsageError
        from reconciler.report.after_run import after_run

        if isinstance(error, UsageError):
            return
        run, around = self._finished(error)
        if isinstance(error, NoMajority):
            # Nothing is written anywhere.
            around = replace(around, host_events=False, member_events=False)
        if self.latest and self.latest.page:
            self.latest.page.update(run, self.prepared)
        warnings = after_run(run, around)
        if warnings and self.options.kept is not None:
            # Who could not be told is told by the next round.
            self.options.kept.note_other(lambda: False)
        if self._logger is None:
            for warning in warnings:
                self.settings.console.note(f"{styled('Warning:', fg='yellow')} {warning}")
            return
        from reconciler.report import logs

        if self._phases is not None:
            self._phases.close()
        # A ReconcileError becomes words, here lines, in one place: where the command ends.
        already_reported = isinstance(error, ReconcileError)
        for entry in logs.log_entries_of(run, warnings, with_failures=not already_reported):
            logs.log_entry(self._logger, entry)

    @cached_property
    def _seconds_left(self) -> Callable[[], float]:
        """For telling, from when this is first asked for; the run's own deadline does not hold."""
        ends = time.monotonic() + REPORTING_SECONDS
        stopping = self.stop.time_left if self.stop else lambda: inf
        return lambda: min(ends - time.monotonic(), stopping())

    def _quick(self, connector: Connector) -> Connector:
        """The same, in the time that is there for telling."""
        settings = (*_QUICK, ("seconds_left", self._seconds_left))
        return replace(connector, settings=settings, kept=None)

    @property
    def _nobody_listens(self) -> bool:
        """Whether nobody measures this run, or is notified of it: so it is at most desks."""
        from reconciler.state.memory import NotifiedState

        options, prepared = self.options, self.prepared
        measured = options.metrics_file or options.metrics_push or self.latest or self._logger
        if measured or prepared is None or self._wants_events:
            return False
        return (
            not prepared.federation.notifications
            and prepared.run_memory.memory.notified == NotifiedState()
        )

    @cached_property
    def _wants_events(self) -> bool:
        """Whether Events are to be written, in the host cluster at least."""
        from reconciler.cluster.kubeconfig import in_cluster

        wanted = self.options.events
        at_home = in_cluster() is not None or bool(self.options.host_context)
        wished = wanted in ("host", "members") or (wanted == "auto" and at_home)
        return wished and not self.options.sandbox

    def _finished(self, error: BaseException | None) -> tuple[FinishedRun, ReportChannels]:
        from reconciler.report.finished_run import FinishedRun
        from reconciler.shard.split import shard_of

        seconds = time.monotonic() - self._began
        only_planned = self.options.plan_only or (self.result is None and error is None)
        run = FinishedRun(
            self._run_id,
            self._started,
            seconds,
            failures=self._failures(error),
            plan_only=only_planned,
            shard=shard_of(self.options),
        )
        if self.prepared is None:
            return self._without_plan(run)
        return self._with_plan(run, self.prepared)

    def _failures(self, error: BaseException | None) -> tuple[Failure, ...]:
        from reconciler.report import finished_run as over

        if self.result is not None:
            # What comes after it is about its printing.
            return over.failures_of_result(self.result)
        if error is not None:
            stop = self.stop
            cut = isinstance(error, KeyboardInterrupt) or (stop and stop.hides_behind(error))
            if stop and stop.reason and cut:
                return (over.Failure(over.FailureKind.STOPPED, stop.reason),)
            return over.failures_of_error(error)
        return over.failures_of_plan(self.prepared.plan) if self.prepared else ()

    def _with_plan(
        self, run: FinishedRun, prepared: Prepared
    ) -> tuple[FinishedRun, ReportChannels]:
        from reconciler.report.notifications import receivers_of
        from reconciler.state.run_memory import host_namespace
        from reconciler.state.stores import config_map_key

        plan, run_memory, federation = prepared.plan, prepared.run_memory, prepared.federation
        run = replace(run, federation=plan.federation, plan=plan, result=self.result)
        commit, since = run_memory.memory.commit, run_memory.memory.applied_at
        # Of several pods each knows only of itself.
        if self.result and run.ok and plan.commit and not prepared.round and plan.commit != commit:
            commit, since = plan.commit, run.finished
        run = replace(run, applied_commit=commit, applied_at=since)
        around = self._surroundings(prepared.connector)
        notified = run_memory.memory.notified
        receivers = () if self.options.sandbox else tuple(federation.notifications)
        around = replace(
            around,
            namespace=federation.namespace,
            own_namespace=host_namespace(federation),
            regarding=config_map_key(federation.name, host_namespace(federation)),
            works=prepared.works,
            before={name: one.phase for name, one in run_memory.before.clusters.items()},
            receivers=receivers_of(receivers),
            notified_before=notified,
            notified=replace(
                notified,
                federation=federation.name,
                receivers=receivers,
            ),
            store=self._store(prepared),
        )
        return run, around

    def _store(self, prepared: Prepared) -> MemoryStore | None:
        """Where it is remembered who was notified of what: the lock holds for it, not the
        deadline."""
        from reconciler.api.errors import ReconcileError
        from reconciler.state.run_memory import open_store

        if prepared.run_memory.store is None:
            return None
        try:
            return open_store(self.options, self._quick(prepared.connector), prepared.federation)
        except ReconcileError:
            return None

    def _without_plan(self, run: FinishedRun) -> tuple[FinishedRun, ReportChannels]:
        """As far as the last run that got further left something to know it by."""
        from reconciler.api.errors import ReconcileError
        from reconciler.cli.last_known import last_known
        from reconciler.cluster.connect import Connector
        from reconciler.report.notifications import receivers_of
        from reconciler.state.stores import config_map_key

        options = self.options
        try:
            connector = Connector.from_file(
                options.kubeconfig, "", host_context=options.host_context
            )
        except ReconcileError:
            return run, self._surroundings(None)
        known = last_known(options, self._quick(connector))
        memory = known.memory
        run = replace(
            run,
            federation=known.federation,
            applied_commit=memory.commit,
            applied_at=memory.applied_at,
        )
        around = replace(
            self._surroundings(connector),
            namespace=known.namespace,
            own_namespace=known.namespace,
            regarding=config_map_key(known.federation, known.namespace)
            if known.federation
            else None,
            receivers=() if options.sandbox else receivers_of(memory.notified.receivers),
            notified_before=memory.notified,
            notified=memory.notified,
            store=known.store,
        )
        return run, around

    def _surroundings(self, connector: Connector | None) -> ReportChannels:
        from reconciler.report.after_run import ReportChannels

        options, host = self.options, None
        if connector is not None:
            # Neither the lock nor the deadline of the run keep it from being reported.
            host = _once(replace(self._quick(connector), fence=None))
        return ReportChannels(
            allow=frozenset(options.allow_access),
            metrics_file=options.metrics_file,
            metrics_push=options.metrics_push,
            latest=self.latest.metrics if self.latest else None,
            host_events=self._wants_events,
            member_events=self._wants_events and options.events == "members",
            host=host,
            seconds_left=self._seconds_left,
        )


def _once(connector: Connector) -> Any:
    """The host cluster, connected when it is first asked for."""
    made: list[Member] = []

    def host() -> Member:
        if not made:
            made.append(connector.host())
        return made[0]

    return host
