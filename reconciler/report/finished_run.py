"""A run that is over, as metrics, Events, logs and notifications see it. Pure."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum

from msgspec import Struct

from reconciler.api.errors import (
    BadInput,
    ClusterError,
    DnsError,
    GuardViolation,
    LeaseLost,
    MemoryChanged,
    ReconcileError,
    SourceError,
    StalePlan,
    Violation,
)
from reconciler.api.objects import ObjectKey
from reconciler.plan.model import Action, Plan, RunResult
from reconciler.report.wording import unwritten_records
from reconciler.shard.split import Shard


class FailureKind(StrEnum):
    """What sort of thing failed; few, because metrics have a series for each.

    STOPPED and LOCKED are no news: somebody stopped the run, or another run does its work.
    """

    INPUT = "input"
    SOURCE = "source"
    GUARD = "guard"
    CLUSTER = "cluster"
    OBJECT = "object"
    DNS = "dns"
    STOPPED = "stopped"
    LOCKED = "locked"
    OTHER = "other"
    DEFECT = "defect"


NOTHING_FAILED = frozenset({FailureKind.STOPPED, FailureKind.LOCKED})


class Failure(Struct, frozen=True):
    """``text`` is for people and may be worded otherwise in the next run; ``subject`` is not.

    ``named`` is what it is about where the text does not say so: an object.
    """

    kind: FailureKind
    text: str
    cluster: str = ""
    subject: str = ""
    named: str = ""

    def __str__(self) -> str:
        """``aws-eu: Deployment.apps shop/web: the server's words``."""
        return ": ".join(filter(None, [self.cluster, self.named, self.text]))

    @property
    def identity(self) -> str:
        """Equal for the same trouble in another run."""
        return f"{self.kind}|{self.cluster}|{self.subject}"


class FinishedRun(Struct, frozen=True):
    """One run. ``started`` is Unix time, ``seconds`` how long it took.

    plan            None: the run ended before there was one
    result          None: nothing was applied, because of ``failures`` or as only a plan was wanted
    applied_commit  the commit that was last applied without a failure, ``applied_at`` since when
    shard           which of the pods that share the run this was; None: it was the whole run
    """

    id: str
    started: float
    seconds: float
    federation: str = ""
    plan: Plan | None = None
    result: RunResult | None = None
    failures: tuple[Failure, ...] = ()
    plan_only: bool = False
    applied_commit: str = ""
    applied_at: float = 0.0
    shard: Shard | None = None

    @property
    def ok(self) -> bool:
        return not self.failures

    @property
    def commit(self) -> str:
        return self.plan.commit if self.plan else ""

    @property
    def finished(self) -> float:
        return self.started + self.seconds

    @property
    def trouble(self) -> str | None:
        """A digest that stays while the same things fail; "" when all is well.

        None when this run does not tell: it was stopped, or another one did its work.
        """
        news = {one.identity for one in self.failures if one.kind not in NOTHING_FAILED}
        if news:
            return digest(*sorted(news))
        return None if self.failures else ""


def new_run_id(now: float) -> str:
    """``20261124T101500Z-3f9a1c``: sorts by time, and two runs of one second differ."""
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{stamp}-{secrets.token_hex(3)}"


def digest(*parts: str) -> str:
    """Sixteen hexadecimal digits that stand for some texts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def failures_of_plan(plan: Plan) -> tuple[Failure, ...]:
    """Clusters that could not be looked at, objects that were refused, limits that are passed."""
    return (*_guards(plan.violations), *_planned(plan))


def failures_of_result(result: RunResult) -> tuple[Failure, ...]:
    """Empty exactly when ``result.ok``."""
    return tuple(_resulting(result))


def failures_of_error(error: BaseException) -> tuple[Failure, ...]:
    """Why a run ended before its time."""
    if isinstance(error, BadInput):
        return tuple(
            Failure(FailureKind.INPUT, str(one), subject=f"{one.position} {one.path}")
            for one in error.problems
        )
    if isinstance(error, GuardViolation):
        return _guards(error.violations)
    if isinstance(error, ClusterError):
        return (Failure(FailureKind.CLUSTER, str(error), cluster=error.cluster),)
    if isinstance(error, DnsError):
        return (Failure(FailureKind.DNS, str(error), subject=error.zone),)
    if isinstance(error, ReconcileError):
        kind = next((kind for of, kind in _KINDS if isinstance(error, of)), FailureKind.OTHER)
        subject = error.subject if kind is FailureKind.OTHER else ""
        return (Failure(kind, str(error), subject=subject),)
    if isinstance(error, KeyboardInterrupt):
        return (Failure(FailureKind.STOPPED, "it was interrupted"),)
    # The words of an error that nobody foresaw may quote anything, a Secret's value as well.
    name = type(error).__name__
    text = f"a defect of reconcile itself: {name}; run it with --debug"
    return (Failure(FailureKind.DEFECT, text, subject=name),)


_KINDS: tuple[tuple[type[ReconcileError], FailureKind], ...] = (
    (SourceError, FailureKind.SOURCE),
    (LeaseLost, FailureKind.LOCKED),
    (MemoryChanged, FailureKind.LOCKED),
    (StalePlan, FailureKind.LOCKED),
)


def _planned(plan: Plan) -> Iterator[Failure]:
    for zone in plan.dns_failures:
        yield Failure(FailureKind.DNS, str(zone), subject=zone.zone)
    for cluster in plan.clusters:
        if not cluster.reachable:
            yield Failure(FailureKind.CLUSTER, cluster.problem, cluster.name)
        if cluster.prune_blocked:
            text = f"pruning waits: {cluster.prune_blocked}"
            yield Failure(FailureKind.CLUSTER, text, cluster.name, "pruning waits")
        for change in cluster.changes:
            if change.action in (Action.FAILED, Action.TERMINATING):
                yield _of_object(change.error, cluster.name, change.key)


def _resulting(result: RunResult) -> Iterator[Failure]:
    found = list(_planned(result.plan))
    found += [
        _of_object(outcome.message, outcome.cluster, outcome.key)
        for outcome in result.outcomes
        if outcome.status == "failed"
    ]
    found += [
        Failure(FailureKind.DNS, f"DNS {zone}: {text}", subject=zone)
        for zone, text in unwritten_records(result)
    ]
    found += [Failure(FailureKind.OTHER, str(one), subject=one.subject) for one in result.errors]
    if result.stopped:
        found.append(Failure(FailureKind.STOPPED, result.stopped))
    yield from found
    skipped = [o for o in result.outcomes if o.status == "skipped"]
    if skipped and not found:
        for cluster in sorted({o.cluster for o in skipped}):
            here = [o for o in skipped if o.cluster == cluster]
            text = f"{len(here)} objects were not tried: {here[0].message}"
            yield Failure(FailureKind.OBJECT, text, cluster, "skipped")


def _of_object(text: str, cluster: str, key: ObjectKey) -> Failure:
    return Failure(FailureKind.OBJECT, text, cluster, str(key), named=str(key))


def _guards(violations: tuple[Violation, ...]) -> tuple[Failure, ...]:
    return tuple(Failure(FailureKind.GUARD, str(one), subject=one.subject) for one in violations)
