"""The plan: a value, sorted, the same for the same input, and complete.

Everything that ``apply`` writes is a ``Change`` here; everything that reports show comes from
here. Secret values never enter what is shown of it (see ``plan.redact``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import orjson
from msgspec import Struct, field

from reconciler.api.errors import RunError, Violation
from reconciler.api.field_path import FieldPath
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import Object, ObjectKey, RedactedRepr, without_spare_room
from reconciler.api.reasons import DRIFTS, OF_GIT, Reason, reasons_text
from reconciler.cluster.discovery import GroupVersionKind
from reconciler.failover.cluster_health import Absence, ClusterHealth
from reconciler.federation.sensitive import SECRET

if TYPE_CHECKING:
    from reconciler.api.moves import Move
    from reconciler.federation.maintenance import Closed
    from reconciler.rollout.model import RolloutView


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    ADOPT = "adopt"
    RECREATE = "recreate"
    PRUNE = "prune"
    ORPHAN = "orphan"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    TERMINATING = "terminating"
    WAITING = "waiting"


NOT_WRITTEN = frozenset({Action.UNCHANGED, Action.FAILED, Action.TERMINATING, Action.WAITING})
"""TERMINATING: the object is being deleted, and nothing can be done until it is gone. WAITING: a
prune that a later run makes, when nothing uses the object any more. (A change of another action
that waits for a window has ``Change.waits``.)"""


class FieldChange(Struct, frozen=True):
    """One field's old and new value.

    ``path`` is written as a person would: ``spec.template.spec.containers[name=web].image``.
    ``before``/``after`` are JSON values; ``ABSENT`` where there is none. ``managers`` names the
    field managers that own the field now, where they are not us. ``reasons`` say why this very
    field changes, and who loses it by that; ``reason`` is that in words.
    """

    path: FieldPath
    before: Any
    after: Any
    managers: tuple[str, ...] = ()
    reasons: tuple[Reason, ...] = ()

    @property
    def reason(self) -> str:
        """``changed in Git; taken by force from flux``."""
        return reasons_text(self.reasons)


class KeptField(Struct, frozen=True):
    """A field that keeps its value, and of which a reviewer should know that.

    ``managers`` are the field managers that own it, where they are not us; ``note`` says what there
    is to know: ``not in Git``, ``no longer in Git``, ``becomes ours``, ``left to others``.
    """

    path: FieldPath
    value: Any
    managers: tuple[str, ...]
    note: str


class Addition(Struct, frozen=True):
    """A field that only people's tools own: ``managers``, the last of them at ``time`` (RFC 3339;
    empty where the server noted none)."""

    path: FieldPath
    value: Any
    managers: tuple[str, ...]
    time: str = ""


class AddedTo(Struct, frozen=True):
    """What was added to one object of ours, and stays there. Sorted by path."""

    key: ObjectKey
    api_version: str
    fields: tuple[Addition, ...]


class _Absent:
    """The value of a field that is not there (JSON null is a value of its own)."""

    def __repr__(self) -> str:
        return "absent"


ABSENT = _Absent()


class ServerChosen(str):
    """Stands for a value that is known only once it is written. A type of its own: an object may
    have exactly the same text."""

    __slots__ = ()


SERVER_CHOSEN = ServerChosen("(chosen by the server)")


def is_server_chosen(value: Any) -> bool:
    """Whether a JSON value is, or holds, what the server is yet to choose."""
    if isinstance(value, dict):
        return any(map(is_server_chosen, value.values()))
    return (
        any(map(is_server_chosen, value))
        if isinstance(value, list)
        else isinstance(value, ServerChosen)
    )


class _Json(NamedTuple):
    text: bytes


class _KeptObject:
    """An object that a change has, or None. A plan may have a change for each of a hundred thousand
    objects, so it lies as JSON, a fifth of what it takes parsed, and is made anew for whoever asks.
    """

    def __set_name__(self, _owner: type, name: str) -> None:
        self._name = name

    def __get__(self, change: Change | None, _owner: type | None = None) -> Object | None:
        if change is None:
            # What dataclasses take for the default.
            return None
        kept: Object | _Json | None = vars(change)[self._name]
        return orjson.loads(kept.text) if isinstance(kept, _Json) else kept

    def __set__(self, change: Change, obj: Object | _KeptObject | None) -> None:
        # What dataclasses give where nothing was given is this.
        kept: Object | _Json | None = None if isinstance(obj, _KeptObject) else obj
        if kept is not None:
            with suppress(orjson.JSONEncodeError):
                text = orjson.dumps(obj, option=orjson.OPT_PASSTHROUGH_SUBCLASS)
                kept = _Json(without_spare_room(text))
        vars(change)[self._name] = kept


@dataclasses.dataclass(frozen=True)
class Change:
    """What is to happen to one object in one cluster, and why.

    ``reasons`` say why; ``reason`` is the sentence (``drift: changed by kubectl-edit``).
    ``error`` is set when action is FAILED: what the server refused. ``origin`` is the object's
    file:line:column in Git (empty for a prune). ``request`` is the body to apply (None for prune);
    ``stays`` are fields whose values stay although Git does not have them, or whose owner alone
    changes. ``claim`` are fields that go with the apply and are not ours yet, as a fieldsV1 tree;
    ``take_over`` are patterns of the managers that give up their part in what is ours.

    ``verified`` False: the server could not be asked yet, as a CRD, a Namespace or another object
    has to be written first; what a custom resource would become is then as Git and the object say.
    ``after`` are the objects that must be pruned before this one can be made. ``old_entry`` is the
    version in which our entry of managedFields is kept, where no apply passes before that is moved
    on to ``new_entry``.

    ``uid``/``resource_version`` are the live object's preconditions. ``replicas`` is the count
    that a recreated workload starts with where the request leaves it to others. ``live`` is the
    object as it was looked at (None: there is none), and ``retained`` are JSON pointers of what in
    it is the member's own to set; like ``request``, no report shows them. ``collected`` says that
    the cluster will delete the object by itself once it has finished. ``hidden`` are JSON pointers
    of what must not be shown: ``fields``, ``stays`` and ``error`` are without it (see
    ``plan.redact``). ``ignored`` are pointers of what is left to others once it is written.

    ``waits`` set: a later run makes it, and says when (see ``plan.waiting``); this one does not.
    """

    action: Action
    key: ObjectKey
    api_version: str
    fields: tuple[FieldChange, ...] = ()
    stays: tuple[KeptField, ...] = ()
    reasons: tuple[Reason, ...] = ()
    error: str = ""
    origin: str = ""
    force: bool = False
    verified: bool = True
    request: _KeptObject = dataclasses.field(default=_KeptObject(), repr=False)
    uid: str = ""
    resource_version: str = ""
    propagation: str = "Background"
    take_over: tuple[str, ...] = ()
    claim: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    replicas: int | None = None
    collected: bool = False
    live: _KeptObject = dataclasses.field(default=_KeptObject(), repr=False, compare=False)
    retained: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    after: tuple[ObjectKey, ...] = ()
    old_entry: str = ""
    new_entry: str = ""
    ignored: tuple[str, ...] = ()
    waits: str = ""

    @property
    def reason(self) -> str:
        """Its reasons in words, for people."""
        return reasons_text(self.reasons)

    @property
    def counts_as(self) -> Action:
        """Its action, or WAITING where a later run makes it."""
        return Action.WAITING if self.waits else self.action

    @property
    def is_drift(self) -> bool:
        """Whether it puts back what somebody else changed, if perhaps among other things."""
        every = (self.reasons, *(field.reasons for field in self.fields))
        return any(one.cause in DRIFTS for reasons in every for one in reasons)

    @property
    def is_repair(self) -> bool:
        """Whether it does nothing but put back what somebody else changed."""
        causes = [one.cause for one in self.reasons]
        causes += [one.cause for field in self.fields for one in field.reasons]
        repairs = self.action in (Action.UPDATE, Action.RECREATE) and self.is_drift
        return repairs and not any(cause in OF_GIT for cause in causes)

    @property
    def is_sensitive(self) -> bool:
        """Whether some of its values must not be shown, in no digest either."""
        return bool(self.hidden) or self.key[:2] == SECRET


class UnlistedKind(Struct, frozen=True):
    """A kind whose LIST failed; ``reason`` is what the server said."""

    kind: GroupVersionKind
    reason: str

    def __str__(self) -> str:
        return f"{self.kind.kind} ({self.kind.api_version}) could not be listed: {self.reason}"


class PruneHold(Struct, frozen=True):
    """Why a cluster's prunes wait; empty where they do not.

    ``unlisted`` are kinds that could not be listed; ``only_related``: only prunes of those and of
    what their objects may use wait. ``contradicted`` is an object that is there and ours, and was
    not in the list of its kind. ``refused`` says which changes will not be made before them.
    """

    unlisted: tuple[UnlistedKind, ...] = ()
    only_related: bool = False
    contradicted: str = ""
    refused: str = ""

    def __str__(self) -> str:
        reasons = [str(one) for one in self.unlisted]
        if self.contradicted:
            reasons.append(
                f"{self.contradicted} is there and ours, but was not in the list of its kind"
            )
        if self.only_related:
            reasons.append("what it may use waits with it")
        return "; ".join([*reasons, self.refused] if self.refused else reasons)


class ClusterPlan(Struct, frozen=True):
    """One member's part of the plan; ``changes`` leave out the unchanged, which are counted.

    ``reachable`` False: nothing is known and nothing will be written; ``absence`` says why.
    ``simulated``: it is not reachable because its outage is simulated.
    ``prune_hold`` says why this cluster's prunes wait. ``additions`` are fields that others added
    to what is ours, and that stay; nothing is written about them. ``closed``: nothing is written to
    it for now, but what an outage asks for.
    """

    name: str
    provider: str = ""
    region: str = ""
    zone: str = ""
    reachable: bool = True
    simulated: bool = False
    absence: Absence = Absence()
    changes: tuple[Change, ...] = ()
    unchanged: int = 0
    prune_hold: PruneHold = PruneHold()
    requests: int = 0
    additions: tuple[AddedTo, ...] = ()
    closed: Closed | None = None

    @property
    def problem(self) -> str:
        """Why it could not be looked at, in words."""
        return str(self.absence)

    @property
    def prune_blocked(self) -> str:
        """Why its prunes wait, in words, or empty."""
        return str(self.prune_hold)

    @property
    def added(self) -> int:
        """How many fields others added."""
        return sum(len(one.fields) for one in self.additions)


class WorkloadRow(Struct, frozen=True):
    """A workload with replicas over the fleet, for reports: before and after, by cluster."""

    key: ObjectKey
    before: Mapping[str, int]
    after: Mapping[str, int]
    shortfall: int = 0
    placed_by: str = ""


class Avoided(Struct, frozen=True):
    """What the base would do in one cluster, and the head of the branch no longer does."""

    cluster: str
    change: Change


class LeftOut(Struct, frozen=True):
    """How much a plan does not show because the base has it as well."""

    changes: int = 0
    refused: int = 0
    records: int = 0
    warnings: int = 0


class AgainstBase(Struct, frozen=True):
    """What a plan was compared with: the branch, tag or commit ``ref``, which is now ``commit``.

    ``problem`` says why there was nothing to compare with; then everything is shown.
    """

    ref: str
    commit: str = ""
    left_out: LeftOut = LeftOut()
    avoided: tuple[Avoided, ...] = ()
    avoided_records: tuple[Object, ...] = ()
    problem: str = ""


class ZoneFailure(Struct, frozen=True):
    """A zone of which nothing could be planned; ``zone`` is external-dns where that writes it."""

    zone: str
    message: str
    hint: str = ""

    @property
    def text(self) -> str:
        """``example.org.: no answer (mend it)``, where it is clear that it is about DNS."""
        return f"{self.zone}: {self.message}" + (f" ({self.hint})" if self.hint else "")

    def __str__(self) -> str:
        return f"DNS {self.text}"


class DecisionChange(RedactedRepr, frozen=True):
    """A PlacementDecision in the host that would be written, or deleted (``request`` None).

    ``before`` and ``after`` are the clusters that it names; None: there is no object.
    """

    action: Action
    namespace: str
    name: str
    before: tuple[str, ...] | None = None
    after: tuple[str, ...] | None = None
    request: Object | None = None
    uid: str = ""
    resource_version: str = ""

    def __str__(self) -> str:
        """``PlacementDecision fleet/shop.web-0: aws-eu, -gcp-eu, +gcp-us``."""
        before, after = self.before or (), self.after or ()
        marked = [
            f"{'' if name in before and name in after else '+' if name in after else '-'}{name}"
            for name in sorted({*before, *after})
        ]
        if self.before is None or self.after is None:
            marked = sorted({*before, *after})
        return f"PlacementDecision {self.namespace}/{self.name}: {', '.join(marked) or 'nowhere'}"


class WithoutGit(Struct, frozen=True):
    """No source answered, for ``reason``, since Unix time ``since`` as far as runs saw it: the plan
    is of the kept ``commit``, which was begun last."""

    commit: str
    since: float
    reason: str

    @property
    def notice(self) -> Notice:
        return notice(NoticeCause.GIT_SILENT, reason=self)

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since, UTC)
        return (
            f"Git does not answer since {since:%Y-%m-%d %H:%M} UTC; this goes on from commit "
            f"{self.commit[:12]}, which was applied last and kept ({self.reason})"
        )


class Urgent(Struct, frozen=True):
    """A write that an outage asks for in a plan that a guard stops: ``what`` is the action and the
    object in ``cluster``, or the DNS record where that is empty. ``waits``: for the guard."""

    what: str
    cluster: str = ""
    waits: bool = False

    def __str__(self) -> str:
        where = f" in {self.cluster}" if self.cluster else ""
        if self.waits:
            return f"waits, as it is more than a move: {self.what}{where}"
        return f"goes on all the same where nobody is asked: {self.what}{where}"


class Plan(Struct, frozen=True):
    """All clusters, sorted by name. ``violations`` non-empty: apply refuses to start.

    ``despite_guards``: what an outage asks for, which a run that nobody attends does all the same,
    and what waits. Empty where no guard stops anything.

    ``base`` set: only what differs from another commit's plan is shown; nothing to be applied.
    ``without_git`` set: it is of a kept commit. ``rollout`` set: commits reach clusters in waves.
    ``decisions`` are what the host is to be told of placements, where it is told.
    """

    federation: str
    clusters: tuple[ClusterPlan, ...]
    commit: str = ""
    notices: tuple[Notice, ...] = ()
    violations: tuple[Violation, ...] = ()
    violation_hint: str = ""
    despite_guards: tuple[Urgent, ...] = ()
    workloads: tuple[WorkloadRow, ...] = ()
    moves: tuple[Move, ...] = ()
    health: tuple[ClusterHealth, ...] = ()
    dns: tuple[Object, ...] = ()
    dns_failures: tuple[ZoneFailure, ...] = ()
    simulated_outages: tuple[str, ...] = ()
    base: AgainstBase | None = None
    without_git: WithoutGit | None = None
    rollout: RolloutView | None = None
    decisions: tuple[DecisionChange, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """The notices in words."""
        return tuple(map(str, self.notices))

    @property
    def dns_errors(self) -> tuple[str, ...]:
        """What could not be planned of DNS, in words."""
        return tuple(map(str, self.dns_failures))

    def summary(self) -> dict[str, int]:
        """Counts over all clusters: of objects for each Action (create, update, ...) and
        ``failed``, of fields for ``additions``. What waits for a window is ``waiting``."""
        counts = {str(action): 0 for action in Action}
        for cluster in self.clusters:
            counts[Action.UNCHANGED] += cluster.unchanged
            for change in cluster.changes:
                counts[change.counts_as] += 1
        counts["additions"] = sum(cluster.added for cluster in self.clusters)
        return counts

    @property
    def has_changes(self) -> bool:
        """Whether applying would write anything."""
        records = any(not record.get("waits") for record in self.dns)
        return records or bool(self.decisions) or any(True for _ in self.writes())

    def writes(self) -> Iterator[tuple[ClusterPlan, Change]]:
        """What applying would write into clusters now, in order."""
        for cluster in self.clusters:
            for change in cluster.changes:
                if change.action not in NOT_WRITTEN and not change.waits:
                    yield cluster, change

    @property
    def has_failures(self) -> bool:
        """Whether some object was refused or hangs in deletion, or some cluster that should answer
        did not, or not to everything."""
        return bool(self.dns_failures) or any(
            (not cl.reachable and not cl.simulated)
            or cl.prune_blocked
            or any(c.action in (Action.FAILED, Action.TERMINATING) for c in cl.changes)
            for cl in self.clusters
        )


class Outcome(Struct, frozen=True):
    """What became of one change. ``skipped``: not tried (``message`` says why), e.g. a wave before
    it failed, the run was stopped, or the lock was lost."""

    cluster: str
    action: Action
    key: ObjectKey
    status: Literal["done", "failed", "skipped"]
    message: str = ""
    seconds: float = 0.0


class RecordOutcome(Struct, frozen=True):
    """What became of one DNS record's change; ``zone`` is external-dns where that writes zones."""

    zone: str
    name: str
    type: str
    action: str
    status: Literal["done", "failed", "skipped"]
    message: str = ""
    seconds: float = 0.0


class RunResult(Struct, frozen=True):
    """A plan and what came of it. ``outcomes`` and ``records`` empty: nothing was to be done.

    ``notices`` are what API servers said only when it was written. ``published`` counts placement
    decisions that were written or deleted. ``checked``: what could not be
    checked before, by cluster, as the server then said; the plan has it so as well. ``defect``: a
    fault of this program that ended a part of the run; to be raised once the rest is reported.
    """

    plan: Plan
    outcomes: tuple[Outcome, ...] = ()
    records: tuple[RecordOutcome, ...] = ()
    errors: tuple[RunError, ...] = ()
    notices: tuple[Notice, ...] = ()
    stopped: str = ""
    requests: Mapping[str, int] = field(default_factory=dict)
    checked: tuple[tuple[str, Change], ...] = ()
    published: int = 0
    defect: Exception | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """The notices in words."""
        return tuple(map(str, self.notices))

    @property
    def ok(self) -> bool:
        return (
            not self.errors
            and self.defect is None
            and not self.stopped
            and not self.plan.has_failures
            and all(o.status == "done" for o in self.outcomes)
            and all(r.status == "done" for r in self.records)
        )
