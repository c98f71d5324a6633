"""The last runs of a process that stays, with their reports; and what happened, as a timeline.

A process that begins anew knows what the host's memory knows, and no run.
"""

from __future__ import annotations

import gzip
from collections import deque
from collections.abc import Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from reconciler.plan.model import Plan, RunResult
from reconciler.report.events import EventDraft
from reconciler.report.finished_run import NOTHING_FAILED, FailureKind
from reconciler.report.html import served_html
from reconciler.report.page import Count, counts_of
from reconciler.report.wording import plural, result_line, summary_line
from reconciler.rollout.words import duration, short_commit
from reconciler.serve.fleet_snapshot import FleetSnapshot

MOST_RUNS = 100
MOST_ENTRIES = 200
MOST_REPORT_BYTES = 32 * 1024 * 1024
"""Of all reports together, compressed. Of a thousand clusters one takes some 60 kB."""
COMPRESSION = 6


class RunRow(Struct, frozen=True):
    """One run; times are Unix seconds. ``href`` is empty where its report is not kept."""

    id: str
    started: float
    seconds: float
    sign: str
    word: str
    text: str
    commit: str
    counts: tuple[Count, ...]
    href: str = ""


class TimelineEntry(Struct, frozen=True):
    """Something that happened. ``run``: the one that saw it, where there is a report of it."""

    time: float
    sign: str
    what: str
    text: str
    href: str = ""


class _Report(Struct, frozen=True):
    """``body`` is compressed; runs that came to the very same share it."""

    of: Plan | RunResult
    body: bytes

    def __repr__(self) -> str:
        return "_Report()"


class RunHistory:
    """Written by one thread. ``rows`` and ``entries`` are newest first, and may be read by any."""

    def __init__(self) -> None:
        self.rows: tuple[RunRow, ...] = ()
        self.entries: tuple[TimelineEntry, ...] = ()
        self._reports: dict[str, bytes] = {}
        self._last: _Report | None = None
        self._standing: dict[str, TimelineEntry] = {}
        self._moving: frozenset[str] = frozenset()
        self._commit = ""

    def report(self, run: str) -> bytes | None:
        """The run's report as HTML, gzipped."""
        return self._reports.get(run)

    def add(self, snapshot: FleetSnapshot) -> None:
        """A run ended."""
        run = snapshot.run
        of = run.result or run.plan
        if of is not None:
            self._keep(run.id, of)
        rows = deque(self.rows, MOST_RUNS)
        rows.appendleft(_row(snapshot))
        self.rows = tuple(
            replace(row, href=f"runs/{row.id}" if row.id in self._reports else "") for row in rows
        )
        events = [*self._happened(snapshot)]
        every = (*reversed(events), *self.entries)[:MOST_ENTRIES]
        self.entries = tuple(sorted(every, key=lambda one: -one.time))

    def _keep(self, run: str, of: Plan | RunResult) -> None:
        if self._last is None or not _same(self._last.of, of):
            page = served_html(of).encode()
            self._last = _Report(of, gzip.compress(page, COMPRESSION, mtime=0))
        self._reports[run] = self._last.body
        while len(self._reports) > MOST_RUNS or self._bytes() > MOST_REPORT_BYTES:
            if len(self._reports) == 1:
                break
            del self._reports[next(iter(self._reports))]

    def _bytes(self) -> int:
        return sum(len(body) for body in {id(b): b for b in self._reports.values()}.values())

    # -- the timeline ------------------------------------------------------------------------------

    def _happened(self, snapshot: FleetSnapshot) -> Iterator[TimelineEntry]:
        run = snapshot.run
        href = f"runs/{run.id}" if run.id in self._reports else ""
        now = run.finished
        standing = dict(self._standing)
        self._standing = {}
        stopped = any(one.kind is FailureKind.STOPPED for one in run.failures)
        if stopped or (run.plan is None and not snapshot.drafts):
            # It says nothing of what lasts.
            self._standing = standing
            return
        for draft in snapshot.drafts:
            lasts = draft.reason in _LASTING
            key = f"{draft.reason}|{draft.key}"
            if lasts and (before := standing.pop(key, None)):
                self._standing[key] = before
                continue
            entry = TimelineEntry(
                _since(draft, snapshot) or now, _sign(draft), _WHAT[draft.reason], draft.note, href
            )
            if lasts:
                self._standing[key] = entry
            yield entry
        yield from self._moves(snapshot, href)
        for key, before in standing.items():
            reason = key.partition("|")[0]
            if run.plan is None and reason not in ("RunFailed", "GuardViolated"):
                self._standing[key] = before
            elif end := _LASTING[reason]:
                yield TimelineEntry(now, "ok", end, f"after {duration(now - before.time)}", href)
        yield from self._commits(snapshot, href)

    def _moves(self, snapshot: FleetSnapshot, href: str) -> Iterator[TimelineEntry]:
        """Once for as long as each stands in the plans, which say it in each run."""
        plan = snapshot.run.plan
        if plan is None:
            return
        found = [str(move) for move in plan.moves]
        known, self._moving = self._moving, frozenset(found)
        for text in found:
            if text not in known:
                yield TimelineEntry(snapshot.run.finished, "begun", "Failover", text, href)

    def _commits(self, snapshot: FleetSnapshot, href: str) -> Iterator[TimelineEntry]:
        run = snapshot.run
        if run.applied_commit and run.applied_commit != self._commit:
            self._commit = run.applied_commit
            if run.plan and run.plan.rollout:
                # Its own events tell where it is.
                return
            text = f"{short_commit(run.applied_commit)} is everywhere"
            yield TimelineEntry(run.applied_at or run.finished, "ok", "Commit applied", text, href)


def _same(before: Plan | RunResult, now: Plan | RunResult) -> bool:
    """Whether their reports are the same. What is costly to compare counts as different."""
    return _unchanged(before) is not None and _unchanged(before) == _unchanged(now)


def _unchanged(of: Plan | RunResult) -> tuple[object, ...] | None:
    """All that a report shows of a run in which there was nothing to do; None: there was."""
    plan = of.plan if isinstance(of, RunResult) else of
    if any(cluster.changes for cluster in plan.clusters):
        return None
    plan = _without_requests(plan)
    if not isinstance(of, RunResult):
        return (plan,)
    content = (plan, of.errors, of.notices, of.stopped)
    return None if of.outcomes or of.records else content


def _without_requests(plan: Plan) -> Plan:
    return replace(plan, clusters=tuple(replace(c, requests=0) for c in plan.clusters))


def _row(snapshot: FleetSnapshot) -> RunRow:
    run = snapshot.run
    sign, word = "ok", "plan" if run.plan_only else "well"
    if run.failures:
        quiet = all(one.kind in NOTHING_FAILED for one in run.failures)
        sign, word = ("waits", "stopped") if quiet else ("down", "failed")
    if run.result:
        text = result_line(run.result)
        done = (o.action for o in run.result.outcomes if o.status == "done")
        counts = counts_of(done)
    elif run.plan:
        text = summary_line(run.plan)
        counts = counts_of(c.counts_as for one in run.plan.clusters for c in one.changes)
    else:
        text, counts = "No plan.", ()
    if run.failures and not run.result:
        text = str(run.failures[0])
        more = len(run.failures) - 1
        text += f" (and {plural(more, 'more failure')})" if more else ""
    return RunRow(
        run.id, run.started, run.seconds, sign, word, text, short_commit(run.commit), counts
    )


_WHAT: Mapping[str, str] = {
    "GuardViolated": "Stopped by a guard",
    "RunFailed": "Run failed",
    "GitUnreachable": "Git does not answer",
    "ClusterDown": "Cluster down",
    "ClusterBack": "Cluster back",
    "Pruned": "Pruned",
    "RolloutStarted": "Rollout begins",
    "RolloutPromoted": "Rollout goes on",
    "RolloutHeld": "Rollout is held",
    "RolloutFailed": "Rollout failed",
    "RolloutReturned": "Rollout goes back",
    "RolloutCompleted": "Rollout complete",
    "RolloutAborted": "Rollout aborted",
}
_LASTING: Mapping[str, str] = {
    "GuardViolated": "No guard stops it any more",
    "RunFailed": "Runs are well again",
    "GitUnreachable": "Git answers again",
    "ClusterDown": "",
}
"""What each run tells anew for as long as it lasts, and what its end is called; of a cluster, that
it is back tells it."""


def _sign(draft: EventDraft) -> str:
    if draft.type == "Warning":
        return "degraded" if draft.reason == "RolloutHeld" else "down"
    return "begun" if draft.reason in ("RolloutStarted", "RolloutPromoted", "Pruned") else "ok"


def _since(draft: EventDraft, snapshot: FleetSnapshot) -> float:
    """When it began, where that is known better than by when a run ended; else 0."""
    plan = snapshot.run.plan
    if plan is None:
        return 0.0
    if draft.reason == "ClusterDown":
        return next((h.since for h in plan.health if draft.key == f"{h.cluster}@{h.since:.0f}"), 0)
    return plan.without_git.since if draft.reason == "GitUnreachable" and plan.without_git else 0.0
