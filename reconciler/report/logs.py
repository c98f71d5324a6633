"""A run as JSON lines on stderr, by the standard library's logging: one object for each line.

Every line has ``time``, ``level``, ``run``, ``event`` and ``message``; the rest depends on the
event. Values of objects are never logged, only which objects and which clusters.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, TextIO

import orjson
from msgspec import Struct

from reconciler.api.errors import GuardViolation, ReconcileError
from reconciler.plan.model import ClusterPlan, RunResult
from reconciler.report.finished_run import NOTHING_FAILED, Failure, FinishedRun, failures_of_error
from reconciler.report.rollout import FAILED, HELD, TROUBLE, headline, is_told
from reconciler.rollout.model import RolloutView

NAME = "reconciler"
_FIELDS = "reconciler_fields"


class JsonLines(logging.Formatter):
    """Times in UTC with milliseconds; what cannot be written as JSON is written as text."""

    def __init__(self, run: str) -> None:
        super().__init__()
        self._run = run

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "run": self._run,
            "event": "note",
            "message": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        return orjson.dumps(line, default=str).decode()


def open_log(run: str, stream: TextIO) -> logging.Logger:
    """The run's logger; one that an earlier run of this process opened is replaced."""
    logger = logging.getLogger(NAME)
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines(run))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    # Libraries log addresses, and perhaps more; none of theirs comes out here.
    logger.propagate = False
    return logger


class LogEntry(Struct, frozen=True):
    """One line. ``fields`` are added to it."""

    level: int
    event: str
    message: str
    fields: dict[str, Any]


def log_entry(logger: logging.Logger, entry: LogEntry) -> None:
    """Write it."""
    fields = {"event": entry.event, **entry.fields}
    logger.log(entry.level, "%s", entry.message, extra={_FIELDS: fields})


def note(text: str) -> None:
    """A sentence that without JSON lines would be a plain line; also before and after a run."""
    logger = logging.getLogger(NAME)
    if not logger.handlers:
        logger = open_log("", sys.stderr)
    log_entry(logger, LogEntry(logging.INFO, "note", text, {}))


def failed(error: ReconcileError) -> None:
    """Why a command ended, a line for each failure; ``hint`` says what to do next."""
    logger = logging.getLogger(NAME)
    if not logger.handlers:
        logger = open_log("", sys.stderr)
    for failure in failures_of_error(error):
        log_entry(logger, _failure(failure, error.hint))
    for what in error.done if isinstance(error, GuardViolation) else ():
        message = f"done all the same, because of what is down: {what}"
        log_entry(logger, LogEntry(logging.WARNING, "move", message, {}))


def log_entries_of(
    run: FinishedRun, warnings: Sequence[str] = (), *, with_failures: bool = True
) -> Iterator[LogEntry]:
    """A finished run: one for each cluster, failure and warning, and the last for all of it."""
    if run.plan:
        for cluster in run.plan.clusters:
            yield _cluster(cluster, run.result)
        for one in run.plan.health:
            fields = {"cluster": one.cluster, "phase": str(one.phase), "signal": str(one.signal)}
            level = logging.INFO if one.phase == "Up" else logging.WARNING
            message = ": ".join(filter(None, [f"{one.cluster} counts as {one.phase}", one.reason]))
            yield LogEntry(level, "health", message, fields)
        for move in run.plan.moves:
            yield LogEntry(logging.INFO, "move", str(move), {})
        if run.plan.rollout and is_told(run.plan.rollout):
            yield from _rollout(run.plan.rollout)
        for notice in (*run.plan.notices, *(run.result.notices if run.result else ())):
            about = {"cause": notice.cause, "cluster": notice.cluster, "subject": notice.subject}
            named = {name: str(value) for name, value in about.items() if value}
            yield LogEntry(logging.WARNING, "warning", str(notice), named)
    for warning in warnings:
        yield LogEntry(logging.WARNING, "warning", warning, {})
    if with_failures:
        for failure in run.failures:
            yield _failure(failure)
    yield _end(run)


def _rollout(view: RolloutView) -> Iterator[LogEntry]:
    """Where it is, and one for each thing that this run brings."""
    fields = {"phase": view.phase, "candidate": view.candidate, "stable": view.stable}
    level = logging.WARNING if view.phase in (HELD, FAILED) else logging.INFO
    yield LogEntry(level, "rollout", headline(view), fields)
    for event, text in view.events:
        level = logging.WARNING if event in TROUBLE else logging.INFO
        yield LogEntry(level, "rollout", text, {**fields, "change": str(event)})


def _failure(failure: Failure, hint: str = "") -> LogEntry:
    level = logging.WARNING if failure.kind in NOTHING_FAILED else logging.ERROR
    about = {
        "kind": str(failure.kind),
        "cluster": failure.cluster,
        "object": failure.named,
        "hint": hint,
    }
    return LogEntry(level, "failure", str(failure), {k: v for k, v in about.items() if v})


def _cluster(cluster: ClusterPlan, result: RunResult | None) -> LogEntry:
    name = cluster.name
    if not cluster.reachable:
        fields: dict[str, Any] = {"cluster": name, "reachable": False}
        return LogEntry(logging.ERROR, "cluster", f"{name}: {cluster.problem}", fields)
    planned = Counter(str(change.counts_as) for change in cluster.changes)
    fields = {
        "cluster": name,
        "reachable": True,
        "unchanged": cluster.unchanged,
        "planned": dict(sorted(planned.items())),
        "requests": cluster.requests,
    }
    summary = f"{sum(planned.values())} changes planned"
    if result is not None:
        outcomes = Counter(str(o.status) for o in result.outcomes if o.cluster == name)
        fields["outcomes"] = dict(sorted(outcomes.items()))
        fields["requests"] = result.requests.get(name, cluster.requests)
        summary = ", ".join(f"{count} {what}" for what, count in sorted(outcomes.items()))
    if cluster.prune_blocked:
        fields["pruneBlocked"] = cluster.prune_blocked
    return LogEntry(logging.INFO, "cluster", f"{name}: {summary or 'nothing to do'}", fields)


def _end(run: FinishedRun) -> LogEntry:
    summary = run.plan.summary() if run.plan else {}
    fields = {
        "ok": run.ok,
        "federation": run.federation,
        "commit": run.commit,
        "planOnly": run.plan_only,
        "seconds": round(run.seconds, 3),
        "failures": len(run.failures),
        "summary": {action: count for action, count in summary.items() if count},
    }
    level = logging.INFO if run.ok else logging.ERROR
    return LogEntry(level, "end", "the run succeeded" if run.ok else "the run failed", fields)


class Watched(Protocol):
    """Gets how far a run has come: ``pipeline.Progress``."""

    def phase(self, name: str, total: int) -> None: ...
    def advance(self, name: str, n: int = 1) -> None: ...


@dataclass
class _Phase:
    began: float
    total: int
    done: int = 0
    logged: bool = False


class LoggedProgress:
    """Passes progress on, and logs each phase once: when the next one begins or the run ends."""

    def __init__(
        self,
        logger: logging.Logger,
        inner: Watched | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger
        self._inner = inner
        self._clock = clock
        self._lock = threading.Lock()
        self._phases: dict[str, _Phase] = {}

    def phase(self, name: str, total: int) -> None:
        """As ``pipeline.Progress.phase``; phases that are complete by now are logged."""
        with self._lock:
            if name in self._phases:
                self._phases[name].total = total
            else:
                self._write([n for n, one in self._phases.items() if one.done >= one.total])
                self._phases[name] = _Phase(self._clock(), total)
        if self._inner:
            self._inner.phase(name, total)

    def advance(self, name: str, n: int = 1) -> None:
        """As ``pipeline.Progress.advance``; called by several threads."""
        with self._lock:
            if name in self._phases:
                self._phases[name].done += n
        if self._inner:
            self._inner.advance(name, n)

    def close(self) -> None:
        """The run is over: logs the phases that are left, complete or not."""
        with self._lock:
            self._write(list(self._phases))

    def _write(self, names: Sequence[str]) -> None:
        for name in names:
            one = self._phases[name]
            if one.logged:
                continue
            one.logged = True
            seconds = round(self._clock() - one.began, 3)
            fields = {"phase": name, "done": one.done, "total": one.total, "seconds": seconds}
            complete = one.done >= one.total
            message = f"{name}: {one.done} of {one.total}"
            level = logging.INFO if complete else logging.WARNING
            log_entry(self._logger, LogEntry(level, "phase", message, fields))
