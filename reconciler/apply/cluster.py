"""Carrying out one member's part of the plan, with the inventory written ahead of it.

Before the first object is written, the inventory names every object and kind that will be ours,
and afterwards it keeps whatever failed or was skipped: a run killed at any point orphans nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from msgspec import structs

from reconciler.api.errors import ClusterError, ClusterUnreachable, LeaseLost, defect_words
from reconciler.api.objects import GroupKind, Object, ObjectKey, first_few
from reconciler.apply.common import move_entries
from reconciler.apply.verbs import ChangeResult, apply_change
from reconciler.apply.waves import DELETING, RUNNING, apply_waves, prune_waves, wave_of
from reconciler.cluster.discovery import GroupVersionKind, RESTMapping
from reconciler.cluster.kstatus import Status, has_finished, object_status
from reconciler.cluster.parallel import in_parallel
from reconciler.inventory.managed_fields import Fields
from reconciler.inventory.records import AppliedRecord
from reconciler.inventory.store import Inventory, write_inventory
from reconciler.plan import prune
from reconciler.plan.custom_resources import kind_defined_by
from reconciler.plan.dry_run import Checked
from reconciler.plan.fields import REPLICAS_FIELD
from reconciler.plan.member_plan import MemberWork
from reconciler.plan.model import ABSENT, NOT_WRITTEN, Action, Change, FieldChange, Outcome
from reconciler.plan.prune import CRD, NAMESPACE
from reconciler.plan.requests import crds_in
from reconciler.render import run_once

RELEASE_SECONDS = 60.0
"""How long servers may keep ports and addresses of what is gone."""
CONCURRENT_WRITES = 16
"""With eight a first apply waits for the server's disk; with 32 nothing is gained."""
CRD_TIMEOUT_SECONDS = 30.0
CRD_POLL_SECONDS = 0.1
HOOK_TIMEOUT_SECONDS = 60.0
HOOK_POLL_SECONDS = 0.5
_RUNNING = "running"
CRD_SETTLE_SECONDS = 5.0
"""How long a server may judge objects by the definition that was there before."""


@dataclass
class MemberRun:
    """The state of one member's run; ``stopped`` is asked before each object, and so is ``closed``
    whether it still may be written (None: whether anything may).

    ``written`` is called after each object, for progress. ``checked`` are changes that the plan
    could not check, as they were found right before they were made. ``lost`` says why nothing more
    can be written here, ``lease_lost`` that it was the lock, ``defect`` is what did it where that
    is a fault of this program.
    """

    work: MemberWork
    commit: str
    stopped: Callable[[], str] = lambda: ""
    written: Callable[[], None] = lambda: None
    closed: Callable[[Change | None], str] = lambda _change: ""
    outcomes: list[Outcome] = field(default_factory=list)
    checked: dict[ObjectKey, Change] = field(default_factory=dict)
    lost: str = ""
    lease_lost: str = ""
    defect: Exception | None = None

    def __post_init__(self) -> None:
        self._inventory: Inventory = self.work.observation.inventory
        self._rows: dict[ObjectKey, AppliedRecord] = dict(self._inventory.rows)
        self._rows.update(self.work.rows)
        self._ran: dict[ObjectKey, str] = dict(self.work.ran)
        self._fields: dict[str, Fields] = dict(self.work.fields)
        self._resources: dict[GroupVersionKind, RESTMapping] = dict(self.work.resources)
        self._gone: set[ObjectKey] = set()
        self._done = (self._inventory.done, self._inventory.stable)
        self._redefined: dict[GroupKind, float] = {}
        self._shut = False
        self._awaited: dict[str, str] = {}

    # -- phases ----------------------------------------------------------------------------

    def exposed_scale_downs(self) -> frozenset[ObjectKey]:
        """Workloads that are to run fewer replicas, beside Services or Ingresses: DNS names may
        still lead to what goes."""
        spaces = {
            key.namespace
            for key in self.work.observation.members
            if key.kind in ("Service", "Ingress")
        }
        return frozenset(
            change.key
            for change in self.work.plan.changes
            if change.key.namespace in spaces
            and change.action in (Action.UPDATE, Action.ADOPT)
            and any(_lowers(field) for field in change.fields)
        )

    def apply(self, later: Collection[ObjectKey] = ()) -> None:
        """Write-ahead, then every wave but for what comes ``later``. Raises LeaseLost; all else
        becomes outcomes."""
        changes = [c for c in self.work.plan.changes if not c.after]
        waves = apply_waves(changes)
        if not waves and not self._removals():
            return
        if self._skip_all_closed():
            return
        try:
            self._write_ahead([*(c for _, wave in waves for c in wave), *self._successors()])
        except LeaseLost:
            raise
        except ClusterError as error:
            self.lost = f"the inventory could not be written: {error}"
            self._skip([c for _, wave in waves for c in wave], self.lost)
            return
        self._carry_out([c for c in changes if c.key not in later])

    def scale_down(self, keys: Collection[ObjectKey], why_not: str) -> None:
        """Carry out what was left for later, or skip it for that reason."""
        done = {outcome.key for outcome in self.outcomes}
        changes = [c for c in self.work.plan.changes if c.key in keys and c.key not in done]
        if why_not:
            self._skip(changes, f"scaling down waits: {why_not}")
        else:
            self._carry_out(changes)

    def _skip_all_closed(self) -> bool:
        """Whether nothing of the plan may be written any more: nor is the inventory then."""
        writing = [c for c in self.work.plan.changes if c.action not in NOT_WRITTEN]
        reasons = [self.closed(change) for change in writing]
        self._shut = bool(reasons) and all(reasons)
        if self._shut:
            for change, reason in zip(writing, reasons, strict=True):
                self._skip([change], reason)
        return self._shut

    def _carry_out(self, changes: Sequence[Change]) -> None:
        broken_namespaces: set[str] = set()
        waves = apply_waves(changes, self.work.hooks)
        broken_kinds = self._move_entries([c for _, wave in waves for c in wave if c.old_entry])
        for number, wave in waves:
            held = {c.key: why for c in wave if (why := broken_kinds.get(_kind_behind(c)))}
            held |= self._held_by_hooks(number, wave)
            for change in wave:
                if change.key.namespace in broken_namespaces:
                    held[change.key] = "its Namespace failed"
                if change.key in held:
                    self._skip([change], held[change.key])
            outcomes = self._write_wave(self._check_again([c for c in wave if c.key not in held]))
            failed = [o for o in outcomes if o.status != "done"]
            broken_namespaces |= {o.key.name for o in failed if o.key.group_kind == NAMESPACE}
            unserved = self._await_crds(wave, failed)
            broken_kinds |= dict.fromkeys(unserved, "its CustomResourceDefinition failed")

    def prune(self, wait_for: Mapping[ObjectKey, str]) -> None:
        """Delete what nobody wants, unless an apply failed here.

        ``wait_for`` names objects that moved to another member where they are not in place yet,
        with the reason: deleting the old one first could leave none.
        """
        if self._shut:
            return
        removals = self._removals()
        successors = self._successors()
        first = {key for change in successors for key in change.after}
        if self._skip_after_failure([*removals, *successors]):
            return
        self._prune([c for c in removals if c.key in first], wait_for)
        self._write_successors(successors)
        rest = [c for c in removals if c.key not in first]
        if not self._skip_after_failure(rest):
            self._prune(rest, wait_for)

    def _skip_after_failure(self, changes: Sequence[Change]) -> bool:
        """Whether something could not be applied here, so that ``changes`` wait."""
        failed = [o for o in self.outcomes if o.status != "done"]
        if self.lost or failed:
            reason = self.lost or f"{len(failed)} objects could not be applied first"
            for change in changes:
                waits = "pruning waits" if change.action in DELETING else "it waits"
                self._skip([change], f"{waits}: {reason}")
        return bool(self.lost or failed)

    def _prune(self, removals: Sequence[Change], wait_for: Mapping[ObjectKey, str]) -> None:
        for _, wave in prune_waves(removals):
            held = {c.key: wait_for[c.key] for c in wave if c.key in wait_for}
            for change in wave:
                if change.key not in held and (reason := self._still_holds(change)):
                    held[change.key] = f"pruning waits: it holds {reason}"
            for change in wave:
                if change.key in held:
                    self._skip([change], held[change.key])
            self._write_all([change for change in wave if change.key not in held])

    def finish(self) -> None:
        """Write the inventory as it is now. Raises LeaseLost; other trouble sets ``lost``."""
        arrives = self._arrives()
        if self.lost or self._shut or not (self.outcomes or self.work.stale or arrives):
            return
        if not self.outcomes and self.closed(None):
            return
        if arrives:
            self._done = (self.work.own_commit, self.work.stable_commit)
        wanted = self._wanted()
        rows = {k: r for k, r in self._rows.items() if k in wanted and k not in self._gone}
        try:
            self._write(rows, {key.group_kind for key in rows})
        except LeaseLost:
            raise
        except ClusterError as error:
            self.lost = f"the inventory could not be written: {error}"

    def in_place(self) -> frozenset[ObjectKey]:
        """What is wanted, there and as it should be: written by this run, or found so."""
        changing = {c.key for c in self.work.plan.changes}
        found = {
            key
            for key in self.work.observation.members
            if key not in changing and not self._is_going(key)
        }
        removing = (Action.PRUNE, Action.ORPHAN)
        done = {o.key for o in self.outcomes if o.status == "done" and o.action not in removing}
        return frozenset(found | done)

    def _is_going(self, key: ObjectKey) -> bool:
        members = self.work.observation.members
        glance = members.glance(key)
        return glance.terminating if glance else prune.is_terminating(members[key][1])

    # -- steps -----------------------------------------------------------------------------

    def _successors(self) -> list[Change]:
        """What can be made only when other objects are gone, or have let go."""
        return [c for c in self.work.plan.changes if c.after]

    def _write_successors(self, successors: Sequence[Change]) -> None:
        """In the order in which each follows the others; those whose forerunners stay, wait."""
        left = list(successors)
        while left:
            keys = {change.key for change in left}
            ready = [c for c in left if not keys.intersection(c.after)]
            done = {o.key for o in self.outcomes if o.status == "done"}
            for change in ready:
                if missing := [str(key) for key in change.after if key not in done]:
                    self._skip([change], f"it waits: {first_few(missing)} is still there")
            self._write_all(
                self._check_again([c for c in ready if all(key in done for key in c.after)])
            )
            left = [change for change in left if change not in ready]

    def _removals(self) -> list[Change]:
        return [c for c in self.work.plan.changes if c.action in (Action.PRUNE, Action.ORPHAN)]

    def _still_holds(self, change: Change) -> str:
        """What a Namespace or CRD would take along, looked at again right before it is deleted.

        An object of ours whose own prune waits or failed, or a foreign one since the plan.
        """
        if change.action is not Action.PRUNE or change.key.group_kind not in prune.HOLDERS:
            return ""
        observation = self.work.observation
        members = observation.members
        live = members[change.key][1]
        staying = prune.staying_in(change.key, live, members, self._gone)
        if staying:
            return f"objects that stay: {staying}"
        try:
            discovery = observation.discovery
            if not discovery.complete:
                discovery = self.work.member.discover()
            gone = [c for c in self.work.plan.changes if c.key in self._gone]
            foreign_objects = prune.foreign_objects_in(
                self.work.member,
                change,
                live,
                discovery,
                self._inventory.applyset,
                prune.uids_to_delete(gone),
            )
        except ClusterError as error:
            return f"what cannot be looked at: {error}"
        return f"objects that are not ours: {foreign_objects}" if foreign_objects else ""

    def _write_ahead(self, writing: Sequence[Change]) -> None:
        ahead = dict(self._rows)
        for change in writing:
            ahead.setdefault(change.key, AppliedRecord(api_version=change.api_version))
            kind = GroupVersionKind(change.api_version, change.key.kind)
            resource = self.work.observation.discovery.find(kind)
            if resource:
                self._resources[kind] = resource
        kinds = self._inventory.group_kinds | {key.group_kind for key in ahead}
        self._rows = ahead
        grown = set(ahead) - set(self._inventory.rows)
        if grown or kinds != self._inventory.group_kinds or not self._inventory.exists:
            self._write(ahead, kinds)

    def _write(self, rows: Mapping[ObjectKey, AppliedRecord], kinds: Collection[GroupKind]) -> None:
        used = {key.group_kind for key in rows}
        known = {**self._inventory.resources, **self._resources}
        self._inventory = write_inventory(
            self.work.member,
            self._inventory,
            rows=rows,
            ran=self._ran,
            group_kinds=kinds,
            resources={k: r for k, r in known.items() if k.group_kind in used},
            new_fields=self._fields,
            # Where commits come in waves, the newest one may be that of other clusters only.
            commit=self.work.own_commit or self.commit,
            done=self._done[0],
            stable=self._done[1],
        )

    def _arrives(self) -> bool:
        """Whether all that the cluster's own commit asks for is in place for the first time; where
        there are no waves, whether it has a record of them, which would be outdated."""
        inventory, own = self._inventory, self.work.own_commit
        if not own:
            return bool(inventory.done)
        if own == inventory.done or self.work.behind or not (inventory.exists or self._rows):
            return False
        refused = any(change.action is Action.FAILED for change in self.work.plan.changes)
        return not refused and len(self.outcomes) == sum(
            1 for change in self.work.plan.changes if change.action not in NOT_WRITTEN
        ) == sum(1 for outcome in self.outcomes if outcome.status == "done")

    def _wanted(self) -> set[ObjectKey]:
        """Everything that must stay in the inventory: what is wanted, live, or was not finished."""
        touched = {c.key for c in self.work.plan.changes}
        seen = set(self.work.rows) | set(self.work.observation.members)
        return touched | seen | self.work.unlisted

    def _move_entries(self, changes: Sequence[Change]) -> dict[GroupKind, str]:
        """Before a CustomResourceDefinition drops a version, of which entries would then stop every
        apply: the kinds of which this failed, with the reason."""
        failed: dict[GroupKind, str] = {}
        for change in changes:
            why_not = self.lost or self.stopped() or self.closed(change)
            if reason := why_not or self._move_entry(change):
                failed[change.key.group_kind] = f"{change.key}: {reason}"
        return failed

    def _move_entry(self, change: Change) -> str:
        kind = GroupVersionKind.of(change.live or change.request or {})
        resource = self._served(kind)
        if resource is None:
            return f"the cluster does not serve {kind.kind} in {kind.api_version}"
        return move_entries(self.work.member, resource, change)

    def _check_again(self, wave: Sequence[Change]) -> list[Change]:
        """The wave with what its unchecked changes turn out to be, now that what they need is
        there; without those that are refused, or would be something else than was planned."""
        unverified = {c.key: c for c in wave if not c.verified}
        if not unverified or self.lost or self.stopped():
            return list(wave)
        try:
            verdicts = self._verdicts(unverified)
        except LeaseLost:
            raise
        except ClusterError as error:
            for change in unverified.values():
                self._settle(change, "failed", f"it could not be checked: {error}")
            return [c for c in wave if c.verified]
        ready = []
        for change in wave:
            verdict = verdicts.get(change.key)
            if verdict is None:
                ready.append(change)
            elif refusal := _refusal(change, verdict):
                self._settle(change, "failed", refusal)
            elif verdict.change is None:
                self._settle(change, "done", "is as Git says already")
                if verdict.record is not None:
                    self._remember(change, verdict.record, verdict.fields)
            else:
                self.checked[change.key] = verdict.change
                ready.append(verdict.change)
        return ready

    def _verdicts(self, unverified: Mapping[ObjectKey, Change]) -> Mapping[ObjectKey, Checked]:
        """What the server says now of changes that nobody could check before."""
        # It takes a moment to judge by a definition that was just written.
        written = (self._redefined.get(key.group_kind, 0.0) for key in unverified)
        give_up = max(written, default=0.0) + CRD_SETTLE_SECONDS
        if any(change.after for change in unverified.values()):
            give_up = max(give_up, time.monotonic() + RELEASE_SECONDS)
        while True:
            verdicts = self.work.check_again(unverified.keys(), self._resources)
            stuck = [v.change for v in verdicts.values() if v.change and v.change.old_entry]
            moved = [change for change in stuck if not self._move_entry(change)]
            refused = any(_refusal(unverified[key], verdict) for key, verdict in verdicts.items())
            timed_out = time.monotonic() > give_up and not moved
            if not refused or timed_out or self.lost or self.stopped():
                return verdicts
            time.sleep(CRD_POLL_SECONDS)

    def _write_wave(self, wave: Sequence[Change]) -> list[Outcome]:
        """The recreations last: they delete, so they wait as prunes do where something failed."""
        recreations = [c for c in wave if c.action is Action.RECREATE]
        outcomes = self._write_all([c for c in wave if c.action is not Action.RECREATE])
        for change in recreations:
            if failed := [o for o in self.outcomes if o.status != "done"]:
                reason = f"recreation waits: {failed[0].key} could not be applied first"
                self._skip([change], reason)
                outcomes.append(self.outcomes[-1])
            else:
                outcomes += self._write_all([change])
        return outcomes

    def _write_all(self, changes: Sequence[Change]) -> list[Outcome]:
        def one(change: Change) -> ChangeResult:
            reason = self.lost or self.stopped() or self.closed(change)
            if reason:
                return ChangeResult(self._skipped(change, reason))
            try:
                result = self._write_one(change)
                # One lost connection is enough; a thousand more timeouts would teach nothing.
                self.lost = self.lost or result.lost
                return result
            except LeaseLost as error:
                self.lease_lost = str(error)
                return ChangeResult(self._skipped(change, self.lease_lost))
            except Exception as defect:  # noqa: BLE001  (raised once all that was done is reported)
                self.end_by(defect)
                words = f"{defect_words(defect)}; whether it was carried out is not known"
                name = self.work.member.name
                return ChangeResult(Outcome(name, change.action, change.key, "failed", words))
            finally:
                self.written()

        results = in_parallel(one, changes, CONCURRENT_WRITES)
        for change, result in zip(changes, results, strict=True):
            self.outcomes.append(result.outcome)
            if result.outcome.status != "done":
                continue
            if change.action in (Action.PRUNE, Action.ORPHAN):
                self._gone.add(change.key)
            elif result.record is not None:
                self._remember(change, result.record, result.fields)
        return [result.outcome for result in results]

    def _remember(self, change: Change, record: AppliedRecord, fields: Fields | None) -> None:
        self._rows[change.key] = record
        self._note_run(change)
        if fields is not None:
            self._fields[record.entry] = fields

    def _note_run(self, change: Change) -> None:
        """Remember that a Job which the cluster will delete by itself was given its work."""
        body = change.request
        if body is None or not run_once.runs_once(body):
            return
        if change.collected or run_once.is_collected(body):
            self._ran[change.key] = run_once.content_digest(self._inventory.digester, body)
        elif change.action in (Action.CREATE, Action.RECREATE):
            self._ran.pop(change.key, None)

    def _write_one(self, change: Change) -> ChangeResult:
        resource = self.resource_of(change)
        if resource is None:
            message = f"the cluster does not serve {change.key.kind} in {change.api_version}"
            outcome = Outcome(self.work.member.name, change.action, change.key, "failed", message)
            return ChangeResult(outcome)

        def carry_out(change: Change) -> ChangeResult:
            return apply_change(
                self.work.member,
                resource,
                change,
                lambda live: self._otherwise(change, live),
                self._inventory.digester,
            )

        written = carry_out(change)
        adoption = self._adoption(change) if written.already_exists else None
        if adoption is None:
            return written
        self.checked[change.key] = adoption
        adopted = carry_out(adoption)
        outcome = structs.replace(adopted.outcome, action=change.action)
        if outcome.status == "done":
            words = "somebody else made it since it was planned: adopted, with all that it has"
            outcome = structs.replace(outcome, message=words)
        return structs.replace(adopted, outcome=outcome)

    def _adoption(self, change: Change) -> Change | None:
        """How to adopt what somebody made in place of a creation; None where the rules refuse it,
        or where it would lose or change anything, as nobody agreed to that."""
        try:
            found = self.work.check_again([change.key], self._resources)[change.key].change
        except ClusterError:
            return None
        if found is None or found.action is not Action.ADOPT or not found.verified:
            return None
        return found if all(field.before is ABSENT for field in found.fields) else None

    def _otherwise(self, change: Change, live: Object) -> str:
        """Why an object that was written to since the plan must not go; empty: it may."""
        reason = prune.recheck_prune(change, live, self.work.rules, self._inventory.applyset)
        if not reason and (holds := self._still_holds(change)):
            reason = f"it holds {holds}"
        return reason

    def resource_of(self, change: Change) -> RESTMapping | None:
        """How the member serves the kind of a change; None: not at all."""
        return self._served(GroupVersionKind(change.api_version, change.key.kind))

    def _served(self, kind: GroupVersionKind) -> RESTMapping | None:
        return (
            self._resources.get(kind)
            or self.work.observation.discovery.find(kind)
            or self._inventory.resources.get(kind)
        )

    def _settle(self, change: Change, status: Literal["done", "failed"], message: str) -> None:
        """The outcome of a change for which nothing is written."""
        name = self.work.member.name
        self.outcomes.append(Outcome(name, change.action, change.key, status, message))
        self.written()

    def end_by(self, defect: Exception) -> None:
        """Nothing more is written here after a fault of this program; the rest of it is
        reported."""
        self.defect = self.defect or defect
        self.lost = self.lost or defect_words(defect)

    def _skip(self, changes: Sequence[Change], reason: str) -> None:
        for change in changes:
            self.outcomes.append(self._skipped(change, reason))
            self.written()

    def _skipped(self, change: Change, reason: str) -> Outcome:
        return Outcome(self.work.member.name, change.action, change.key, "skipped", reason)

    def _held_by_hooks(self, number: int, wave: Sequence[Change]) -> dict[ObjectKey, str]:
        """What must wait, as the hooks of its release have not ended well."""
        releases, hooks = self.work.releases, self.work.hooks
        if number < RUNNING or not hooks:
            return {}
        waiting = {key: releases[key] for c in wave if (key := c.key) in releases.keys() - hooks}
        for release in {*waiting.values()} - self._awaited.keys():
            jobs = [key for key in hooks if releases[key] == release]
            self._awaited[release] = self._await_hooks(jobs)
        return {key: why for key, one in waiting.items() if (why := self._awaited[one])}

    def _await_hooks(self, jobs: Sequence[ObjectKey]) -> str:
        """Wait until they have ended; why they have not, or not well."""
        undone = {o.key: o for o in self.outcomes if o.status != "done"}
        give_up = time.monotonic() + HOOK_TIMEOUT_SECONDS
        for key in jobs:
            while True:
                why = f"its hook {key} {undone[key].status}" if key in undone else ""
                why = why or self._state_of_hook(key)
                if why != _RUNNING:
                    break
                if time.monotonic() > give_up or self.lost or self.stopped():
                    return f"its hook {key} has not ended yet; a later run goes on"
                time.sleep(HOOK_POLL_SECONDS)
            if why:
                return why
        return ""

    def _state_of_hook(self, key: ObjectKey) -> str:
        """Empty where it has ended well, or is gone after it ran."""
        kind = next((k for k in self._resources if k.group_kind == key.group_kind), None)
        if kind is None:
            return f"its hook {key} is of a kind that is not served"
        try:
            live = self.work.member.get(self._resources[kind], key)
        except ClusterError as error:
            return f"its hook {key} cannot be looked at: {error}"
        if live is None:
            return ""
        if not has_finished(live):
            return _RUNNING
        failed = object_status(live).status is Status.FAILED
        return f"its hook {key} has failed" if failed else ""

    def _await_crds(self, wave: Sequence[Change], failed: Sequence[Outcome]) -> set[GroupKind]:
        """Wait until the CRDs of this wave are served; the kinds of those that are not."""
        crds = [c for c in wave if c.key.group_kind == CRD and c.request]
        if not crds or wave_of(crds[0].key) != 0:
            return set()
        broken = {o.key for o in failed}
        introduced = {c.key: crds_in([c.request or {}]) for c in crds}
        kinds = {k.group_kind for key in broken for k in introduced.get(key, {})}
        pending = {key: found for key, found in introduced.items() if key not in broken}
        give_up = time.monotonic() + CRD_TIMEOUT_SECONDS
        while pending and time.monotonic() < give_up and not (self.lost or self.stopped()):
            for key, found in list(pending.items()):
                if all(self._is_served(resource) for resource in found.values()):
                    self._resources.update(found)
                    kinds_defined = {kind.group_kind for kind in found}
                    self._redefined |= dict.fromkeys(kinds_defined, time.monotonic())
                    del pending[key]
            if pending:
                time.sleep(CRD_POLL_SECONDS)
        return kinds | {k.group_kind for found in pending.values() for k in found}

    def _is_served(self, resource: RESTMapping) -> bool:
        try:
            self.work.member.list_objects(resource, metadata_only=True)
        except ClusterUnreachable as error:
            # Also when the run's time is over.
            self.lost = self.lost or str(error)
            return False
        except ClusterError:
            return False
        return True


def _kind_behind(change: Change) -> GroupKind:
    """The kind that a definition is about, or the object's own."""
    if change.key.group_kind == CRD and change.request:
        return kind_defined_by(change.request)
    return change.key.group_kind


def _refusal(planned: Change, verdict: Checked) -> str:
    """Why a change that was checked late must not be made; empty: it is what was planned, or
    nothing is to be done any more."""
    found = verdict.change
    if found is None or (found.action is planned.action and found.verified):
        return ""
    if found.action in NOT_WRITTEN:
        return found.error
    if not found.verified:
        return f"it could not be checked: {found.reason}"
    return f"it would be to {found.action} now, which was not planned: {found.reason}; run again"


def _lowers(field: FieldChange) -> bool:
    before, after = field.before, field.after
    counts = isinstance(before, int) and isinstance(after, int)
    return field.path == REPLICAS_FIELD and counts and after < before
