"""One member's part of the plan: every desired object compared, every leftover decided on.

Reads from the member (what is missing, dry runs) and writes nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from msgspec import Struct, field, structs

from reconciler.api.errors import ApiError, Violation
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import GroupKind, Object, ObjectKey, RedactedRepr, first_few
from reconciler.api.reasons import Reason, remark
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import Discovery, GroupVersionKind, RESTMapping
from reconciler.cluster.kubeconfig import own_namespace
from reconciler.cluster.warnings import ServerWarnings, without_quoted_values
from reconciler.federation.model import Cluster, Federation
from reconciler.federation.sensitive import hidden_in
from reconciler.inventory.applyset import is_member
from reconciler.inventory.managed_fields import Fields
from reconciler.inventory.observe import Observation, observe
from reconciler.inventory.records import AppliedRecord, is_recreated_copy
from reconciler.inventory.store import Inventory
from reconciler.plan import exclusive_values, guards, in_use, prune
from reconciler.plan.additions import AdditionFinder
from reconciler.plan.desired import MemberContext, diff_all
from reconciler.plan.dry_run import ApplyRules, Checked
from reconciler.plan.live_state import SoughtObject, find_by_name
from reconciler.plan.model import (
    NOT_WRITTEN,
    Action,
    AddedTo,
    Change,
    ClusterPlan,
    PruneHold,
    UnlistedKind,
)
from reconciler.plan.prune import NAMESPACE, DeletionRules
from reconciler.plan.redact import additions_without_values, without_values
from reconciler.plan.requests import ApplyTarget, target_of
from reconciler.plan.settled import KnownTargets, SettledObjects
from reconciler.plan.targets import Targets, TargetsOfRun
from reconciler.render.render import DesiredObject
from reconciler.scheduler.placement_warnings import Unplaced

if TYPE_CHECKING:
    from reconciler.plan.waiting import Waiting

SAMPLE_PERIOD_SECONDS = 900


class PlanSettings(Struct, frozen=True):
    """What the command line adds to the rules, and what the members of a run share. ``now`` is Unix
    time in seconds."""

    force_conflicts: bool = False
    max_deletions: int | None = None
    take_over: bool = False
    now: float = 0.0
    waiting: Waiting | None = None
    checked: Callable[[int], None] = lambda _count: None
    targets: TargetsOfRun = field(default_factory=TargetsOfRun)


CheckAgain = Callable[
    [Collection[ObjectKey], Mapping[GroupVersionKind, RESTMapping]], Mapping[ObjectKey, Checked]
]
"""Looks at some wanted objects again, of kinds of which some are served as given, and decides."""


class MemberWork(RedactedRepr, frozen=True):
    """A member's plan with all that carrying it out needs; never leaves the process.

    ``rows``/``fields`` are the records of the objects that are as wanted; ``ran`` are Jobs and the
    like that have run. ``stale`` says whether some of that differs from what the inventory holds.
    ``own_commit`` is the one that the cluster is on, ``stable_commit`` that of the fleet, where
    commits reach it in waves; ``of_commit`` is what those two ask for differently, by the keys of
    both, and ``behind`` whether some of it is not to be written now, so that the cluster will not
    have its commit yet. ``unlisted`` are unwanted objects that the inventory must not forget
    although no LIST showed them. ``left_to_autoscalers`` are workloads whose replicas an autoscaler
    sets that is not in Git, ``foreign_objects`` those that are there and not ours.
    ``server_warnings`` is what the API server warned of. ``invalid`` are refusals of the manifests
    themselves, ``unservable`` those whose kind or namespace is not there. ``check_again`` is asked
    right before what could not be checked is written. By ``rules`` every deletion is decided on
    again when its object was written to since. ``releases``: what charts render, with the name of
    the release; ``hooks`` are those Jobs and Pods of it that come first, with helm's weight.
    """

    member: Member
    cluster: Cluster
    observation: Observation
    plan: ClusterPlan
    resources: Mapping[GroupVersionKind, RESTMapping]
    rules: DeletionRules
    rows: Mapping[ObjectKey, AppliedRecord] = field(default_factory=dict)
    fields: Mapping[str, Fields] = field(default_factory=dict)
    unlisted: frozenset[ObjectKey] = frozenset()
    left_to_autoscalers: frozenset[ObjectKey] = frozenset()
    foreign_objects: Mapping[ObjectKey, Object] = field(default_factory=dict)
    ran: Mapping[ObjectKey, str] = field(default_factory=dict)
    stale: bool = False
    own_commit: str = ""
    stable_commit: str = ""
    of_commit: frozenset[ObjectKey] = frozenset()
    behind: bool = False
    notices: tuple[Notice, ...] = ()
    server_warnings: ServerWarnings = frozenset()
    violations: tuple[Violation, ...] = ()
    invalid: tuple[Change, ...] = ()
    unservable: tuple[Change, ...] = ()
    check_again: CheckAgain = lambda _keys, _resources: {}
    releases: Mapping[ObjectKey, str] = field(default_factory=dict)
    hooks: Mapping[ObjectKey, int] = field(default_factory=dict)


def plan_member(
    member: Member,
    cluster: Cluster,
    observation: Observation,
    desired: Sequence[DesiredObject],
    unplaced: Unplaced,
    federation: Federation,
    settings: PlanSettings,
) -> MemberWork:
    """Compare, ask, decide. Raises ClusterError when the member stops answering."""
    inventory = observation.inventory
    known = member.remembered(KnownTargets) or KnownTargets()
    wanted = known.of(desired, observation.discovery, inventory.applyset, settings.targets.of)
    settled = member.remembered(SettledObjects)
    if settled is not None:
        settled.hold_under(inventory.key, federation.drift)
    apply_rules = apply_rules_of(
        member, inventory, federation, force_conflicts=settings.force_conflicts
    )
    sampled = _sampler(federation.verify_share, settings.now)
    wanted_here, hidden = wanted.keys, wanted.hidden

    def shown(change: Change) -> Change:
        return without_values(change, federation.sensitive, hidden.get(change.key, ()))

    def is_hidden(key: ObjectKey) -> bool:
        bodies = [wanted.by_key[key].body] if key in wanted.by_key else []
        lives = [found[1]] if (found := observation.members.get(key)) else []
        return key in hidden or bool(
            hidden_in(key.group_kind, federation.sensitive, *bodies, *lives)
        )

    def leaving() -> frozenset[str]:
        return _leaving(observation, wanted_here, federation)

    verdicts = diff_all(
        MemberContext(
            member,
            observation,
            wanted.crds,
            apply_rules,
            sampled,
            leaving,
            settings.take_over,
            settled,
            settings.targets.requests,
        ),
        wanted.all,
        settings.checked,
    )
    observation = verdicts.observation
    rules = deletion_rules(federation)

    def why_gone(key: ObjectKey) -> Reason:
        return unplaced.reason(key, cluster.name)

    checked, notes = exclusive_values.ordered_by_exclusive_values(
        member,
        verdicts.checked,
        observation.objects,
        lambda key: _prune_of(key, observation, rules, why_gone),
    )
    unlisted = _look_for_unlisted(observation, wanted_here, member)
    checked, refused = _hold_recreations(checked)
    prunes, notices, hold = _prunes(
        member,
        observation,
        unlisted,
        wanted.by_key,
        why_gone,
        rules,
        refused,
    )
    prunes = exclusive_values.with_notes(prunes, notes)
    notices += [*unlisted.notices, *verdicts.remarks]
    if inventory.damaged:
        notices.append(notice(NoticeCause.INVENTORY_DAMAGED, reason=inventory.damaged))
    news = inventory.news
    notices += [news] if news else []
    waiting, shut = settings.waiting, None
    changes = sorted(
        [shown(c.change) for c in checked if c.change] + [shown(prune) for prune in prunes],
        key=lambda c: (c.key, c.action),
    )
    if waiting:
        changes = waiting.marked(cluster.name, changes, observation.members)
        shut = waiting.closed(cluster.name)
    same = {c.target.key: c for c in checked if c.change is None}
    rows = _rows_of(same, inventory.rows)
    ran = wanted.ran(observation, same)
    members = observation.members
    forgotten = any(
        key not in wanted_here and key not in members and key not in unlisted.ours
        for key in inventory.rows
    )
    return MemberWork(
        member,
        cluster,
        observation,
        ClusterPlan(
            cluster.name,
            cluster.provider,
            cluster.region,
            cluster.zone,
            changes=tuple(changes),
            unchanged=len(same),
            prune_hold=hold,
            additions=_additions(checked, federation),
            closed=shut,
        ),
        resources=wanted.resources,
        releases=wanted.releases,
        hooks=wanted.hooks,
        rules=rules,
        rows=rows,
        fields={c.record.entry: c.fields for c in same.values() if c.record and c.fields},
        unlisted=unlisted.ours,
        left_to_autoscalers=verdicts.left_to_autoscalers,
        foreign_objects=verdicts.foreign_objects,
        ran=ran,
        stale=forgotten
        or bool(news)
        or ran != inventory.ran
        or (
            rows is not inventory.rows
            and any(inventory.rows.get(key) != row for key, row in rows.items())
        ),
        notices=tuple(structs.replace(one, cluster=cluster.name) for one in notices),
        server_warnings=without_quoted_values(member.server_warnings, is_hidden),
        violations=_violations(
            cluster, observation, wanted, changes, unplaced, federation, settings
        ),
        invalid=tuple(shown(c.change) for c in checked if c.invalid and c.change),
        unservable=tuple(shown(c.change) for c in checked if c.unservable and c.change),
        check_again=lambda keys, resources: {
            key: structs.replace(one, change=one.change and shown(one.change))
            for key, one in _check_again(
                member,
                inventory,
                [t for t in wanted.all if t.key in keys],
                resources,
                apply_rules,
                leaving,
            ).items()
        },
    )


def _rows_of(
    same: Mapping[ObjectKey, Checked], known: Mapping[ObjectKey, AppliedRecord]
) -> Mapping[ObjectKey, AppliedRecord]:
    """The records of what is as wanted: the known ones where these are all that there are."""
    if len(same) == len(known) and all(
        one.record is not None and one.record is known.get(key) for key, one in same.items()
    ):
        return known
    return {key: one.record for key, one in same.items() if one.record}


def _check_again(
    member: Member,
    inventory: Inventory,
    targets: Sequence[ApplyTarget],
    resources: Mapping[GroupVersionKind, RESTMapping],
    apply_rules: ApplyRules,
    leaving: Callable[[], frozenset[str]],
) -> dict[ObjectKey, Checked]:
    """What is to be done with ``targets`` as their kinds are now. Raises ClusterError."""
    known = structs.replace(inventory, resources={**inventory.resources, **resources})
    now = observe(member, known, {target.kind for target in targets}, whole=False)
    fresh = [target_of(t.desired, now.discovery, {}, inventory.applyset) for t in targets]
    shared = MemberContext(member, now, {}, apply_rules, lambda _key: False, leaving)
    verdicts = diff_all(shared, fresh, lambda _count: None)
    return {verdict.target.key: verdict for verdict in verdicts.checked}


def _additions(checked: Sequence[Checked], federation: Federation) -> tuple[AddedTo, ...]:
    """What people added and what stays; of what is recreated, nothing does."""
    found = []
    for one in checked:
        if one.added and not (one.change and one.change.action is Action.RECREATE):
            target = one.target
            fields = additions_without_values(
                one.added,
                target.key,
                federation.sensitive,
                target.desired.rules.hidden,
                target.body,
            )
            found.append(AddedTo(target.key, target.kind.api_version, fields))
    return tuple(sorted(found, key=lambda one: one.key))


def apply_rules_of(
    member: Member, inventory: Inventory, federation: Federation, *, force_conflicts: bool = False
) -> ApplyRules:
    """What the federation allows to be done to the objects of a member."""
    return ApplyRules(
        inventory.digester,
        federation.adoption,
        force_conflicts or federation.force_conflicts,
        lambda target, live: _recreation(member, target, live, federation, inventory.applyset),
        # To read all of them takes longer than a plan in which nobody asks.
        lambda entry: inventory.fields.get(entry),
        AdditionFinder(federation.drift),
    )


def deletion_rules(federation: Federation) -> DeletionRules:
    """What the federation says of deletions."""
    own = frozenset({federation.namespace, own_namespace() or federation.namespace})
    return DeletionRules(federation.prune, own, federation.data_loss)


def _leaving(
    observation: Observation, wanted_here: Collection[ObjectKey], federation: Federation
) -> frozenset[str]:
    """The UIDs of what this run may prune, by the object's own marks and the rules."""
    rules = deletion_rules(federation)
    verdicts = (
        prune.decide_prune(question, rules)
        for question in prune.candidates(observation.members, wanted_here, lambda _key: remark(""))
        if observation.complete
    )
    return frozenset(
        one.uid for one in verdicts if isinstance(one, Change) and one.action is Action.PRUNE
    )


def server_warnings_since_plan(work: MemberWork) -> ServerWarnings:
    """What the API server has warned of since the plan was made."""
    hidden = {change.key for change in work.plan.changes if change.is_sensitive}
    warned = {subject for subject, _ in work.server_warnings}
    # What a plan could not quote is not new when it is written.
    return frozenset(
        one
        for one in without_quoted_values(work.member.server_warnings, hidden.__contains__)
        - work.server_warnings
        if one[0] not in (hidden & warned)
    )


def failover_part(work: MemberWork, moving: Mapping[str, Collection[ObjectKey]]) -> MemberWork:
    """Only what an outage asks of this member: objects placed here by a failover, and replicas.

    ``moving``: cluster -> what it is to run more of than when all is well. A change that does more
    than that stays with what a guard stops. The inventory keeps what the rest is about.
    """
    from reconciler.plan.waiting import is_failover_move

    keys = moving.get(work.cluster.name, ())
    return _only(work, lambda change: is_failover_move(change, keys) and not change.waits)


def open_part(work: MemberWork) -> MemberWork:
    """Without what waits for a window; the inventory keeps what that is about."""
    if not any(change.waits for change in work.plan.changes):
        return work
    return _only(work, lambda change: not change.waits)


def _only(work: MemberWork, chosen: Callable[[Change], bool]) -> MemberWork:
    kept = tuple(change for change in work.plan.changes if chosen(change))
    rest = [change for change in work.plan.changes if change not in kept]
    return structs.replace(
        work,
        plan=structs.replace(work.plan, changes=kept),
        unlisted=work.unlisted | {change.key for change in rest},
        behind=any(
            change.action is Action.FAILED or change.action not in NOT_WRITTEN
            for change in rest
            if change.key in work.of_commit and not change.is_repair
        ),
    )


def _recreation(
    member: Member, target: ApplyTarget, live: Object, federation: Federation, applyset: str
) -> Change | str:
    """The deletion with which an object is recreated, or why it must not be."""
    if not (federation.recreate or target.desired.rules.recreate) and is_member(live, applyset):
        return (
            "allow it with the annotation federation.reconciler.dev/recreate: "
            '"true" or spec.defaults.recreate'
        )
    rules = deletion_rules(federation)
    question = prune.PruneQuestion(target.key, target.kind, live, remark("recreate"))
    verdict = prune.decide_recreation(question, target.body, rules, applyset)
    named = target.key.group_kind in rules.data_loss
    if isinstance(verdict, Change) and verdict.propagation != "Orphan" and not named:
        claims = prune.owned_claims(member, target.key, live)
        verdict = prune.data_loss(target.key, claims, rules) or verdict
    return f"but {verdict}" if isinstance(verdict, str) else verdict


def _hold_recreations(checked: Sequence[Checked]) -> tuple[list[Checked], str]:
    """A recreation deletes, so it waits as prunes do while something is refused; and for what.

    What it is to run with may be just what was refused.
    """
    undone = (Action.FAILED, Action.TERMINATING)
    refused = [c.target.key for c in checked if c.change and c.change.action in undone]
    if not refused:
        return list(checked), ""
    reason = f"{first_few([str(key) for key in sorted(refused)], 1)} could not be applied first"
    held = [
        structs.replace(c, change=_held(c.change, reason))
        if c.change and c.change.action is Action.RECREATE
        else c
        for c in checked
    ]
    return held, reason


def _held(recreation: Change, reason: str) -> Change:
    return Change(
        Action.FAILED,
        recreation.key,
        recreation.api_version,
        error=f"{recreation.reason}; recreation waits: {reason}",
        origin=recreation.origin,
    )


def _prunes(
    member: Member,
    observation: Observation,
    unlisted: _Unlisted,
    targets: Mapping[ObjectKey, ApplyTarget],
    reason: Callable[[ObjectKey], Reason],
    rules: DeletionRules,
    refused: str,
) -> tuple[list[Change], list[Notice], PruneHold]:
    """The prunes and orphanings, notices about what is kept, and why prunes must wait.

    Those of a kind that could not be listed, and of what its objects may use; all of them where
    Git wants objects of such a kind, as nobody knows whether those are as they should be, and where
    something is ``refused``: what of this cluster's changes will not be made.
    """
    members = observation.members
    # What cannot be seen may use what is about to go, and a Namespace would take it along.
    unseen = {kind.group_kind for kind in observation.failed}
    held: Collection[GroupKind] = prune.USED_BY_OTHERS if unseen else ()
    all_wait = bool(unseen) and any(key.group_kind in unseen for key in targets)
    if unseen:
        failed = tuple(UnlistedKind(*one) for one in sorted(observation.failed.items()))
        hold = PruneHold(failed, only_related=not all_wait)
    else:
        all_wait = bool(unlisted.contradicted)
        hold = PruneHold(contradicted=unlisted.contradicted)
    changes: list[Change] = []
    notices = []
    if hold != PruneHold():
        notices.append(notice(NoticeCause.PRUNES_WAIT, reason=hold))

    @cache
    def discovery() -> Discovery:
        known = observation.discovery
        return known if known.complete else member.discover()

    def take(question: prune.PruneQuestion, verdict: Change | str) -> None:
        if isinstance(verdict, str):
            key, why = question.key, question.reason
            notices.append(notice(NoticeCause.KEPT, subject=key, why=why, reason=verdict))
        else:
            changes.append(verdict)

    asked = [
        question
        for question in prune.candidates(members, targets.keys(), reason)
        if prune.is_terminating(question.live) or not (all_wait or question.key.group_kind in held)
    ]
    holders = [q for q in asked if q.key.group_kind in prune.HOLDERS]
    for question in asked:
        if question.key.group_kind not in prune.HOLDERS:
            take(question, prune.decide_prune(question, rules))
    if not refused:
        changes = _unless_in_use(member, changes, observation.objects, targets)
    # Whether these may go depends on what stays of their contents.
    for question in holders:
        verdict = prune.decide_prune(question, rules)
        # What is released, or going already, takes nothing along.
        if isinstance(verdict, Change) and verdict.action is Action.PRUNE:
            pruned = {change.key for change in changes if change.action is Action.PRUNE}
            staying = prune.staying_in(question.key, question.live, members, pruned)
            if staying:
                verdict = f"it holds objects that stay: {staying}"
            else:
                applyset = observation.inventory.applyset
                uids = prune.uids_to_delete(changes)
                verdict = _unless_shared(member, question, verdict, discovery(), applyset, uids)
        take(question, verdict)
    waiting = [str(c.key) for c in changes if c.action not in NOT_WRITTEN]
    if refused and waiting:
        hold = structs.replace(hold, refused=refused)
        cause, objects = NoticeCause.PRUNES_WAIT_FOR_CHANGES, first_few(waiting)
        notices.append(notice(cause, reason=refused, objects=objects))
        changes = [c for c in changes if c.action in NOT_WRITTEN]
    return changes, notices, hold


def _unless_in_use(
    member: Member,
    changes: Sequence[Change],
    live: Mapping[ObjectKey, Object],
    targets: Mapping[ObjectKey, ApplyTarget],
) -> list[Change]:
    """The changes, of which prunes wait that would take what an old revision still needs."""
    prunes = [change for change in changes if change.action is Action.PRUNE]
    if not prunes:
        return list(changes)
    users = in_use.Users(live, targets, {change.key for change in prunes})
    held = in_use.waiting(member, prunes, users)
    return [
        replace(c, action=Action.WAITING, reasons=(*c.reasons, remark(f"it stays {held[c.key]}")))
        if c.key in held
        else c
        for c in changes
    ]


def _unless_shared(
    member: Member,
    question: prune.PruneQuestion,
    change: Change,
    discovery: Discovery,
    applyset: str,
    going: Collection[str],
) -> Change | str:
    """The prune of a Namespace or CRD, or why it is kept. Where that cannot be told now, the prune
    is one that failed: a run that leaves it for later has not done what it was to do."""
    error = ""
    try:
        foreign_objects = prune.foreign_objects_in(
            member, change, question.live, discovery, applyset, going
        )
        if prune.groups_down(change.key, question.live, discovery):
            error = f"it may hold {foreign_objects}"
    except ApiError as refusal:
        error = f"what it holds cannot be listed: {refusal}"
    if error:
        return replace(change, action=Action.FAILED, error=error)
    return f"it holds objects that are not ours: {foreign_objects}" if foreign_objects else change


def _prune_of(
    key: ObjectKey,
    observation: Observation,
    rules: DeletionRules,
    reason: Callable[[ObjectKey], Reason],
) -> Change | None:
    """The prune of an object that is not wanted, if nothing forbids it."""
    kind, live = observation.members[key]
    verdict = prune.decide_prune(prune.PruneQuestion(key, kind, live, reason(key)), rules)
    return verdict if isinstance(verdict, Change) and observation.complete else None


class _Unlisted(Struct, frozen=True):
    """Objects of the inventory that nobody wants and no LIST showed.

    ``ours`` are those that may still be there and ours; ``contradicted`` is one of them that surely
    is, against what the LIST of its kind said.
    """

    ours: frozenset[ObjectKey]
    contradicted: str = ""
    notices: tuple[Notice, ...] = ()


def _look_for_unlisted(
    observation: Observation, wanted_here: Collection[ObjectKey], member: Member
) -> _Unlisted:
    """Only what is known to be gone, or somebody else's by now, may be forgotten."""
    listed = observation.members
    rows = observation.inventory.rows
    unlistable = {kind.group_kind for kind in observation.failed}
    sought, ours = [], set()
    for key in sorted(key for key in rows if key not in wanted_here and key not in listed):
        if key.group_kind in unlistable:
            ours.add(key)
        elif rows[key].confirmed and (resource := _resource_of(observation, key, rows[key])):
            sought.append(SoughtObject(resource, key))
    found, failed = find_by_name(member, sought)
    failed_kinds = {kind.group_kind for kind in failed}
    ours |= {one.key for one in sought if one.key.group_kind in failed_kinds}
    applyset = observation.inventory.applyset
    marked = {key for key, live in found.items() if is_member(live, applyset)}
    still = sorted(key for key in marked if not is_recreated_copy(found[key], rows[key]))
    anew, unmarked = "deleted and recreated it", "removed its inventory label"
    notices = tuple(
        notice(NoticeCause.LEFT_ALONE, subject=key, what=anew if key in marked else unmarked)
        for key, live in found.items()
        if key not in still and not live["metadata"].get("deletionTimestamp")
    )
    return _Unlisted(frozenset({*ours, *still}), str(still[0]) if still else "", notices)


def _resource_of(
    observation: Observation, key: ObjectKey, record: AppliedRecord
) -> RESTMapping | None:
    kind = GroupVersionKind(record.api_version, key.kind)
    return observation.discovery.find(kind) if kind not in observation.unserved else None


def _violations(
    cluster: Cluster,
    observation: Observation,
    targets: Targets,
    changes: Sequence[Change],
    unplaced: Unplaced,
    federation: Federation,
    settings: PlanSettings,
) -> tuple[Violation, ...]:
    members = observation.members
    figures = guards.Deletions(
        cluster.name,
        inventory=len(members),
        inventory_namespaces=members.count(NAMESPACE),
        wanted=len(targets.all),
        wanted_namespaces=targets.namespaces,
        deleted=guards.deletions_of(changes),
        unplaced=tuple(
            f"{c.key} ({unplaced.nowhere[c.key]})"
            for c in changes
            if c.action is Action.PRUNE and unplaced.is_nowhere(c.key, cluster.name) and not c.waits
        ),
    )
    found = guards.violations(figures, federation.guards, max_deletions=settings.max_deletions)
    return tuple(found)


def _sampler(share: float, now: float) -> Callable[[ObjectKey], bool]:
    """Picks a share (0..1) of the objects, another part in each quarter of an hour."""
    if share <= 0:
        return lambda _key: False
    parts = max(1, round(1 / share))
    turn = int(now // SAMPLE_PERIOD_SECONDS) % parts
    return lambda key: zlib.crc32("/".join(key).encode()) % parts == turn
