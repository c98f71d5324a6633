"""What must be known before the rest of a page or comment is read. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from reconciler.planning.plan import Action, ClusterPlan, Plan, RunResult
from reconciler.reporting.grouping import few, together
from reconciler.reporting.health_words import away, health_notices
from reconciler.reporting.wording import key_text, unwritten_records, visible

MOST_NOTICES = 100


class Notice(Struct, frozen=True):
    """``level`` is stop, down, outage or warning: it chooses the sign and the colour."""

    level: str
    word: str
    text: str


def notices(plan: Plan, result: RunResult | None = None) -> Iterator[Notice]:
    """All of them, the gravest first, each sort up to a limit; what a run did if it is one."""
    for level, word, texts in (
        ("stop", "Stopped by a guard", list(plan.violations)),
        ("warning", "Under the guard", list(plan.despite_guards)),
        ("stop", "Run stopped", [result.stopped] if result and result.stopped else []),
        ("stop", "Error", list(result.errors) if result else []),
        ("outage", "Simulated outage", list(plan.simulated_outages)),
        ("down", "Cluster", [f"{few(names)} {_is(names)} {text}" for text, names in away(plan)]),
        ("warning", "Health", list(health_notices(plan))),
        ("stop", "Refused", list(_refused(plan))),
        ("stop", "DNS", list(_dns(plan, result))),
        ("stop", "Failed", list(_undone(result, "failed"))),
        ("warning", "Skipped", list(_undone(result, "skipped"))),
        ("warning", "Nothing is pruned", list(_blocked(plan.clusters))),
        ("warning", "Warning", [*plan.warnings, *(result.warnings if result else ())]),
    ):
        yield from (Notice(level, word, visible(text)) for text in texts[:MOST_NOTICES])
        if len(texts) > MOST_NOTICES:
            yield Notice(level, word, f"and {len(texts) - MOST_NOTICES} more like these")
    if plan.violations and plan.violation_hint:
        what = "Nothing else" if plan.despite_guards else "Nothing"
        yield Notice("stop", f"{what} will be written", visible(plan.violation_hint))


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _blocked(clusters: Sequence[ClusterPlan]) -> Iterator[str]:
    blocked = ((c.prune_blocked, c.name) for c in clusters if c.prune_blocked)
    for reason, names in together(blocked):
        yield f"in {few(names)}: {reason}"


def _dns(plan: Plan, result: RunResult | None) -> Iterator[str]:
    yield from (text.removeprefix("DNS ") for text in plan.dns_errors)
    if result:
        yield from (f"{zone}: {text}" for zone, text in unwritten_records(result))


def _refused(plan: Plan) -> Iterator[str]:
    refused = (
        (f"{key_text(change.key)}: {change.error}", cluster.name)
        for cluster in plan.clusters
        for change in cluster.changes
        if change.action in (Action.FAILED, Action.TERMINATING)
    )
    for text, names in together(refused):
        yield f"{few(names)}: {text}"


def _undone(result: RunResult | None, status: str) -> Iterator[str]:
    outcomes = result.outcomes if result else ()
    said = (
        (f"{o.action} of {key_text(o.key)}" + (f": {o.message}" if o.message else ""), o.cluster)
        for o in outcomes
        if o.status == status
    )
    for text, names in together(said):
        yield f"{few(names)}: {text}"
