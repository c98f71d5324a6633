"""A limit to how long one zone is waited for: a provider that hangs must not hold up a failover."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeVar

from msgspec import Struct, field

from reconciler.api.errors import DnsError
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import Object
from reconciler.dns.healthy_targets import ZoneContent
from reconciler.dns.octodns_records import existing_records_of, name_of, record_data, record_values
from reconciler.dns.providers import Opened, silence_octodns
from reconciler.dns.records import (
    ADDRESS_TYPES,
    NOT_WANTED,
    Abilities,
    ExistingRecord,
    Mark,
    Ownership,
    marked,
    marker_name,
    read_owner,
)
from reconciler.dns.rules import Thresholds, ZoneRule, hold_small_zone
from reconciler.plan.model import RecordOutcome

T = TypeVar("T")

LONGEST = 60.0
"""Seconds for reading a zone, and again for writing it."""
POLL_SECONDS = 1.0
"""How often it is asked whether there is time left: SIGTERM may have come."""


def within(timeout: Callable[[], float], zone: str, work: Callable[[Callable[[], bool]], T]) -> T:
    """What ``work`` gives or raises. Raises DnsError when it takes longer than ``timeout()`` says
    now, or it says that nothing is left.

    The libraries' own timeouts are per request and cannot all be set; what hangs is left behind in
    a thread that does not keep the process alive. ``work`` is given a function that tells whether
    it was left behind, and must not begin to write then.
    """
    left_behind = threading.Event()
    answers: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put((work(left_behind.is_set), None))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            answers.put((None, error))

    threading.Thread(target=run, name=f"dns {zone}", daemon=True).start()
    began = time.monotonic()
    ends = began + timeout()
    while True:
        left = min(ends - time.monotonic(), timeout())
        try:
            answer, error = answers.get(timeout=min(max(left, 0.0), POLL_SECONDS))
            break
        except queue.Empty:
            if left > POLL_SECONDS:
                continue
            left_behind.set()
            seconds = time.monotonic() - began
            raise DnsError(zone, f"no answer within {round(seconds, 1):g} s") from None
    if error is not None:
        raise error
    return answer  # type: ignore[return-value]


# -- One zone, by octoDNS: what stands there, what would change, and the change itself -------------


MARKER_TTL = 300
# Small enough for every provider's own limit on one request; theirs is used where they have one.
_CHANGES_IN_A_STEP = 100

Decide = Callable[[Mapping[str, tuple[ExistingRecord, ...]], Abilities], ZoneContent]


class ZonePlan(Struct, frozen=True):
    """What is to happen to one zone. ``changes`` are for reports (Plan.dns).

    ``expected`` is what octoDNS said would change: applying starts only while it still says so.
    """

    zone: ZoneRule
    changes: tuple[Object, ...] = ()
    decision: ZoneContent = field(default_factory=ZoneContent)
    expected: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()


def plan_zone(
    opened: Opened, zone: ZoneRule, owner: Ownership, decide: Decide, thresholds: Thresholds
) -> ZonePlan:
    """Read a zone and say what would change. Writes nothing.

    Raises DnsError when the zone cannot be read, does not exist, or would change too much.
    """
    sharing = _Sharing(owner, zone, opened.abilities, decide)
    plan = _planned(opened, zone, sharing)
    if plan is None:
        return ZonePlan(zone, decision=sharing.decision, notices=sharing.notices)
    _hold_limits(plan, zone, sharing.decision, thresholds)
    return ZonePlan(
        zone,
        changes=tuple(_rows(plan.changes, zone, sharing.decision)),
        decision=sharing.decision,
        expected=_signature(plan),
        notices=sharing.notices,
    )


def apply_zone(
    opened: Opened,
    planned: ZonePlan,
    owner: Ownership,
    left_behind: Callable[[], bool] = lambda: False,
    only: Collection[str] | None = None,
) -> tuple[RecordOutcome, ...]:
    """Carry a plan out. ``opened`` must be fresh: some providers remember what they have read.

    A name's records and their owner's marks are always written in one step, which the providers
    carry out as a whole or not at all. Raises nothing but programming errors: a provider's
    failure is an outcome, and what was not written is planned again by the next run. No step is
    begun once ``left_behind`` says so. ``only``: names that alone are written.
    """
    began = time.monotonic()
    zone = planned.zone
    done: list[RecordOutcome] = []

    def rest(changes: Iterable[Any], status: Literal["done", "failed"], message: str = "") -> None:
        for row in _rows(changes, zone, planned.decision):
            done.append(_outcome(zone, row, status, message, time.monotonic() - began))

    sharing = _Sharing(owner, zone, opened.abilities, lambda *_: planned.decision)
    try:
        plan = _planned(opened, zone, sharing)
    except DnsError as error:
        seconds = time.monotonic() - began
        return tuple(_outcome(zone, r, "failed", str(error), seconds) for r in planned.changes)
    if plan is None or _signature(plan) != planned.expected:
        message = "the zone has changed since it was looked at; nothing was written"
        return tuple(_outcome(zone, row, "failed", message) for row in planned.changes)
    wanted = [c for c in plan.changes if only is None or name_of(c.record) in only]
    steps = list(change_batches(wanted, opened.provider))
    for number, changes in enumerate(steps):
        try:
            if left_behind():
                raise DnsError(zone.name, "nobody waits for it any more")
            _write(opened, plan, changes)
        except DnsError as error:
            rest(changes, "failed", str(error))
            for row in _rows([c for s in steps[number + 1 :] for c in s], zone, planned.decision):
                done.append(_outcome(zone, row, "skipped", "a step before it failed"))
            break
        rest(changes, "done")
    return tuple(done)


def _outcome(
    zone: ZoneRule,
    row: Object,
    status: Literal["done", "failed", "skipped"],
    message: str,
    seconds: float = 0.0,
) -> RecordOutcome:
    return RecordOutcome(
        zone.name, row["name"], row["type"], row["action"], status, message, round(seconds, 3)
    )


# -- octoDNS -----------------------------------------------------------------------------------


def _planned(opened: Opened, zone: ZoneRule, sharing: _Sharing) -> Any:
    """octoDNS' own plan for the zone, None when there is nothing to do."""
    from octodns.zone import Zone

    try:
        with silence_octodns():
            plan = opened.provider.plan(Zone(zone.name, []), processors=[sharing])
    except DnsError:
        raise
    except Exception as error:  # noqa: BLE001 - a provider's library may raise anything
        raise DnsError(zone.name, _said(opened, error, "cannot be read")) from None
    if plan is not None and not plan.exists:
        raise DnsError(
            zone.name,
            f"provider {zone.provider} has no zone {zone.name}",
            hint="create the zone; this tool writes records, not zones",
        )
    return plan


def _write(opened: Opened, plan: Any, changes: list[Any]) -> None:
    from octodns.provider.plan import Plan

    try:
        with silence_octodns():
            opened.provider.apply(Plan(plan.existing, plan.desired, changes, plan.exists))
    except Exception as error:  # noqa: BLE001 - a provider's library may raise anything
        raise DnsError(plan.desired.name, _said(opened, error, "was not written")) from None


def _said(opened: Opened, error: Exception, what: str) -> str:
    text = str(error).strip()
    if isinstance(error, LookupError | TypeError | AttributeError) or not text:
        # A fault inside the library, whose text alone ("'IsTruncated'") tells nothing.
        text = f"{type(error).__name__}: {text}"
    return f"the zone {what}: {opened.redacted(text)}"


def _signature(plan: Any) -> tuple[str, ...]:
    return tuple(repr(sorted(change.data.items(), key=str)) for change in plan.changes)


def change_batches(changes: Iterable[Any], provider: Any) -> Iterator[list[Any]]:
    """The changes in requests of at most the provider's own size, no name torn apart."""
    limit = getattr(provider, "update_batch_size", None) or getattr(provider, "batch_size", None)
    by_name: dict[str, list[Any]] = {}
    for change in changes:
        by_name.setdefault(name_of(change.record), []).append(change)
    step: list[Any] = []
    for name in sorted(by_name):
        if step and len(step) + len(by_name[name]) > int(limit or _CHANGES_IN_A_STEP):
            yield step
            step = []
        step = [*step, *by_name[name]]
    if step:
        yield step


def _hold_limits(plan: Any, zone: ZoneRule, decision: ZoneContent, limits: Thresholds) -> None:
    """octoDNS' own guard, over our records and over the changes that health does not explain.

    A failover touches every name of the cluster that is down: that is what it is for.
    """
    from octodns.provider.plan import Plan, UnsafePlan

    existing = plan.existing.copy()
    for record in list(existing.records):
        if record._type == "TXT":
            existing.remove_record(record)
    counted = [
        c for c in plan.changes if c.record._type != "TXT" and c.record.fqdn not in decision.excused
    ]
    if len(existing.records) < limits.min_existing:
        # A name whose records change their type is not gone.
        gone = {c.record.fqdn for c in counted if c.new is None}
        gone -= {record.fqdn for record in plan.desired.records if record._type != "TXT"}
        there = {record.fqdn for record in existing.records}
        hold_small_zone(zone.name, len(there), gone, limits)
    guarded = Plan(
        existing,
        plan.desired,
        counted,
        plan.exists,
        update_pcent_threshold=limits.update_share,
        delete_pcent_threshold=limits.delete_share,
    )
    guarded.MIN_EXISTING_RECORDS = limits.min_existing
    try:
        guarded.raise_if_unsafe()
    except UnsafePlan as error:
        text = str(error).removesuffix(", force required").partition("] ")[2] or str(error)
        raise DnsError(
            zone.name,
            f"the plan changes too much of the zone: {text[:1].lower()}{text[1:]}",
            hint="spec.dns.thresholds sets the limits",
        ) from None


def _rows(changes: Iterable[Any], zone: ZoneRule, decision: ZoneContent) -> Iterator[Object]:
    """The changes as reports show them; a mark is not shown beside its own record."""
    changes = list(changes)
    shown = {(c.record.fqdn, c.record._type) for c in changes if c.record._type != "TXT"}
    types = {name for name, _ in shown}
    for change in changes:
        record = change.record
        if record._type == "TXT" and name_of(record) in types:
            continue
        before, after = change.existing, change.new
        action = "create" if before is None else "prune" if after is None else "update"
        name = name_of(record)
        yield {
            "zone": zone.name,
            "name": record.fqdn,
            "type": record._type,
            "action": action,
            "from": record_values(before) if before else None,
            "to": record_values(after) if after else None,
            "reason": _reason(action, name, before, after, decision),
        }


def _reason(action: str, name: str, before: Any, after: Any, decision: ZoneContent) -> str:
    if (
        action == "update"
        and before.ttl != after.ttl
        and record_values(before) == record_values(after)
    ):
        return f"TTL {before.ttl} -> {after.ttl}"
    return decision.reasons.get(name, NOT_WANTED)


class _Sharing:
    """The step between octoDNS' reading and comparing; see the top of this file.

    It also asks for the decision, which needs to know what stands there.
    """

    def __init__(
        self, owner: Ownership, zone: ZoneRule, abilities: Abilities, decide: Decide
    ) -> None:
        self.owner, self.zone, self.decide = owner, zone, decide
        self.abilities = Abilities(abilities.alias, abilities.weighted and zone.weighted)
        self.decision = ZoneContent()
        self.notices: tuple[Notice, ...] = ()

    def process_target_zone(self, existing: Any, **_: Any) -> Any:
        """Part of octoDNS' protocol; nothing to do here."""
        return existing

    def process_source_and_target_zones(
        self, desired: Any, existing: Any, *_: Any, **__: Any
    ) -> tuple[Any, Any]:
        """octoDNS hands over both sides and goes on with what is returned."""
        marks = dict(_marks(existing.records))
        ours = {at: mark.by_cluster for at, mark in marks.items() if self.owner.owns(mark)}
        existing_records = existing_records_of(existing.records, ours)
        self.decision = self.decide(existing_records, self.abilities)
        notices = list(self.decision.notices)
        foreign = _foreign(existing.records, ours)
        for record in self.decision.records:
            whose = _in_the_way(record.name, record.type, foreign, marks, self.owner)
            if whose:
                cause, subject = NoticeCause.RECORD_NOT_OURS, f"{record.name} {record.type}"
                notices.append(notice(cause, subject=subject, what=whose))
                continue
            self._want(desired, record.name, record.type, record_data(record))
            text = self.owner.text(record.by_cluster, marks.get((record.name, record.type)))
            mark = {"type": "TXT", "ttl": MARKER_TTL, "value": text}
            self._want(desired, marker_name(record.name, record.type), "TXT", mark)
        for record in list(existing.records):
            at = marked(record.fqdn) if record._type == "TXT" else (record.fqdn, record._type)
            # What is to stay as it is must not be compared either: a provider's health checks
            # cannot be read back with their settings, and would be rewritten.
            if at not in ours or at[0] in self.decision.kept:
                existing.remove_record(record)
        self.notices = tuple(sorted(notices, key=str))
        return desired, existing

    def _want(self, desired: Any, name: str, kind: str, data: Object) -> None:
        from octodns.record import Record
        from octodns.record.exception import ValidationError

        try:
            host = desired.hostname_from_fqdn(name)
            lenient = kind == "TXT"
            record = Record.new(desired, host, data, lenient=lenient)
            desired.add_record(record, lenient=lenient)
        except ValidationError as error:
            reasons = "; ".join(str(reason) for reason in error.reasons)
            raise DnsError(self.zone.name, f"{name} {kind} cannot be written: {reasons}") from None


def _marks(records: Iterable[Any]) -> Iterator[tuple[tuple[str, str], Mark]]:
    """Every mark in the zone: of which name and type, whose, and what it remembers."""
    for record in records:
        at = marked(record.fqdn) if record._type == "TXT" else None
        if at:
            yield at, read_owner(str(record.values[0]) if record.values else "")


def _foreign(records: Iterable[Any], ours: Mapping[tuple[str, str], object]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for record in records:
        if (record.fqdn, record._type) not in ours:
            found.setdefault(record.fqdn, set()).add(record._type)
    return found


def _in_the_way(
    name: str,
    kind: str,
    foreign: Mapping[str, set[str]],
    marks: Mapping[tuple[str, str], Mark],
    owner: Ownership,
) -> str:
    """Why a record cannot be ours; empty when it can."""
    mark = marks.get((name, kind))
    if mark is not None and not owner.owns(mark):
        if not mark.owner:
            return "its name is marked by somebody else"
        if mark.owner != owner.name:
            return f"it belongs to {mark.owner!r}"
        return (
            f"it belongs to the {mark.owner!r} of another repository; give spec.dns.ownerId, or "
            "take all over that is there, once: reconcile --plan --take-over, and without --plan"
        )
    here = foreign.get(name, set())
    # A CNAME tolerates nothing beside it, an ALIAS no other addresses.
    clash = here & ({kind, "CNAME"} | ({*ADDRESS_TYPES} if kind == "ALIAS" else set()))
    if kind == "CNAME":
        clash = here
    if clash:
        return f"there is a record ({', '.join(sorted(clash))}) that is not ours"
    return ""
