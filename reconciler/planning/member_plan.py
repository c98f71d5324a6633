"""One member's part of the plan: every desired object compared, every leftover decided on.

Reads from the member (what is missing, dry runs) and writes nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from msgspec import Struct, field

from reconciler.cluster.member import Member
from reconciler.cluster.resources import Discovery, Resource, VersionedKind
from reconciler.errors import ApiError
from reconciler.federation.model import Cluster, Federation
from reconciler.federation.selectors import matches
from reconciler.inventory.applyset import is_member
from reconciler.inventory.observation import Observation
from reconciler.inventory.ownership import Fields
from reconciler.inventory.records import Record
from reconciler.objects import GroupKind, Object, ObjectKey
from reconciler.planning import guards, pruning
from reconciler.planning.checking import Terms
from reconciler.planning.deciding import Deciding, decide_all
from reconciler.planning.missing import Sought, find_missing
from reconciler.planning.plan import Action, Change, ClusterPlan
from reconciler.planning.requests import Target, crds_in, target_of
from reconciler.rendering.desired import DesiredObject
from reconciler.scheduling.unplaced import Unplaced

SAMPLE_PERIOD_SECONDS = 900

NAMESPACE = GroupKind("", "Namespace")
CRD = pruning.CRD
PVC = GroupKind("", "PersistentVolumeClaim")


class Settings(Struct, frozen=True):
    """What the command line adds to the rules. ``now`` is Unix time in seconds."""

    force_conflicts: bool = False
    max_deletions: int | None = None
    now: float = 0.0
    checked: Callable[[int], None] = lambda _count: None


class MemberWork(Struct, frozen=True):
    """A member's plan with all that carrying it out needs; never leaves the process.

    ``rows``/``fields`` are the records of the objects that are as wanted; ``stale`` says whether
    some of them differ from what the inventory holds. ``unlisted`` are unwanted objects that the
    inventory must not forget although no LIST showed them. ``invalid`` are refusals of the
    manifests themselves, ``homeless`` those whose kind or namespace is not there.
    """

    member: Member
    cluster: Cluster
    observation: Observation
    plan: ClusterPlan
    resources: Mapping[VersionedKind, Resource]
    rows: Mapping[ObjectKey, Record] = field(default_factory=dict)
    fields: Mapping[str, Fields] = field(default_factory=dict)
    unlisted: frozenset[ObjectKey] = frozenset()
    stale: bool = False
    warnings: tuple[str, ...] = ()
    violations: tuple[str, ...] = ()
    invalid: tuple[Change, ...] = ()
    homeless: tuple[Change, ...] = ()


def plan_member(
    member: Member,
    cluster: Cluster,
    observation: Observation,
    desired: Sequence[DesiredObject],
    unplaced: Unplaced,
    federation: Federation,
    settings: Settings,
) -> MemberWork:
    """Compare, ask, decide. Raises ClusterError when the member stops answering."""
    inventory = observation.inventory
    crds = crds_in([d.body for d in desired])
    targets = [target_of(d, observation.discovery, crds, inventory.applyset) for d in desired]
    terms = Terms(
        inventory.digester,
        federation.adoption,
        settings.force_conflicts or federation.force_conflicts,
        lambda target, live: _forbids_recreation(target, live, federation),
        inventory.fields.get,
    )
    sampled = _sampler(federation.verify_share, settings.now)
    checked = decide_all(
        Deciding(member, observation, crds, terms, sampled), targets, settings.checked
    )
    wanted_here = {target.key for target in targets}
    unlisted = _look_for_unlisted(observation, wanted_here, member)
    prunes, warnings, blocked = _prunes(
        member,
        observation,
        unlisted,
        wanted_here,
        lambda key: unplaced.reason(key, cluster.name),
        federation,
    )
    warnings += unlisted.warnings
    if inventory.damaged:
        warnings.append(f"the inventory was damaged and is made anew ({inventory.damaged})")
    changes = sorted(
        [c.change for c in checked if c.change] + prunes, key=lambda c: (c.key, c.action)
    )
    same = {c.target.key: c for c in checked if c.change is None}
    rows = {key: c.record for key, c in same.items() if c.record}
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
            prune_blocked=blocked,
        ),
        resources={t.kind: t.resource for t in targets if t.resource},
        rows=rows,
        fields={c.record.entry: c.fields for c in same.values() if c.record and c.fields},
        unlisted=unlisted.ours,
        stale=any(inventory.rows.get(key) != row for key, row in rows.items()),
        warnings=tuple(f"{cluster.name}: {warning}" for warning in warnings),
        violations=_violations(
            cluster, observation, targets, changes, unplaced, federation, settings
        ),
        invalid=tuple(c.change for c in checked if c.invalid and c.change),
        homeless=tuple(c.change for c in checked if c.homeless and c.change),
    )


def _forbids_recreation(target: Target, live: Object, federation: Federation) -> str:
    """Why the object must not be deleted and made anew; empty: it may be."""
    if not (federation.recreate or target.desired.recreate):
        return (
            "allow it with the annotation federation.reconciler.dev/recreate: "
            '"true" or spec.defaults.recreate'
        )
    question = pruning.PruneQuestion(target.key, target.kind, live, "recreate")
    verdict = pruning.decide(question, federation.prune, matches, federation.namespace)
    if isinstance(verdict, str):
        return f"but {verdict}"
    if target.key.group_kind in (NAMESPACE, CRD, PVC):
        return f"but recreating a {target.key.kind} would delete what it holds"
    return "" if verdict.action is Action.PRUNE else "but it is marked to be orphaned"


def _prunes(
    member: Member,
    observation: Observation,
    unlisted: _Unlisted,
    wanted_here: Collection[ObjectKey],
    reason: Callable[[ObjectKey], str],
    federation: Federation,
) -> tuple[list[Change], list[str], str]:
    """The prunes and orphanings, warnings about what is kept, and why all prunes must wait."""
    members = observation.members
    questions = list(pruning.candidates(members, wanted_here, reason))
    blocked = ""
    if not observation.complete:
        kind, why = next(iter(sorted(observation.failed.items())))
        blocked = f"{kind.kind} ({kind.api_version}) could not be listed: {why}"
    elif unlisted.contradicted:
        blocked = f"{unlisted.contradicted} is there and ours, but was not in the list of its kind"
    changes: list[Change] = []
    warnings = [f"pruning waits: {blocked}"] if blocked else []
    discovery = observation.discovery
    # Namespaces and CRDs last: whether they may go depends on what stays of their contents.
    ordered = sorted(questions, key=lambda q: q.key.group_kind in (NAMESPACE, CRD))
    for question in ordered if not blocked else ():
        verdict = pruning.decide(question, federation.prune, matches, federation.namespace)
        if isinstance(verdict, Change) and question.key.group_kind in (NAMESPACE, CRD):
            going = {change.key for change in changes if change.action is Action.PRUNE}
            staying = pruning.staying_in(question.key, question.live, members, going)
            if staying:
                verdict = f"it holds objects that stay: {staying}"
            else:
                if not discovery.complete:
                    discovery = member.discover()
                applyset = observation.inventory.applyset
                verdict = _unless_shared(member, question, verdict, discovery, applyset)
        if isinstance(verdict, str):
            warnings.append(f"{question.key} ({question.reason}) is kept: {verdict}")
        else:
            changes.append(verdict)
    return changes, warnings, blocked


def _unless_shared(
    member: Member,
    question: pruning.PruneQuestion,
    prune: Change,
    discovery: Discovery,
    applyset: str,
) -> Change | str:
    """The prune of a Namespace or CRD, or why it is kept. Where that cannot be told now, the prune
    is one that failed: a run that leaves it for later has not done what it was to do."""
    error = ""
    try:
        strangers = pruning.strangers_in(member, prune, question.live, discovery, applyset)
        if discovery.failed_groups:
            error = f"it may hold {strangers}"
    except ApiError as refusal:
        error = f"what it holds cannot be listed: {refusal}"
    if error:
        return replace(prune, action=Action.FAILED, error=error)
    return f"it holds objects that are not ours: {strangers}" if strangers else prune


class _Unlisted(Struct, frozen=True):
    """Objects of the inventory that nobody wants and no LIST showed.

    ``ours`` are those that may still be there and ours; ``contradicted`` is one of them that surely
    is, against what the LIST of its kind said.
    """

    ours: frozenset[ObjectKey]
    contradicted: str = ""
    warnings: tuple[str, ...] = ()


def _look_for_unlisted(
    observation: Observation, wanted_here: Collection[ObjectKey], member: Member
) -> _Unlisted:
    """Only what is known to be gone, or somebody else's by now, may be forgotten."""
    listed = observation.members
    rows = observation.inventory.rows
    unlistable = {kind.group_kind for kind in observation.failed}
    sought, ours = [], set()
    for key in sorted(key for key in rows if key not in listed and key not in wanted_here):
        if key.group_kind in unlistable:
            ours.add(key)
        elif rows[key].confirmed and (resource := _resource_of(observation, key, rows[key])):
            sought.append(Sought(resource, key))
    try:
        found = find_missing(member, sought)
    except ApiError:
        return _Unlisted(frozenset({*ours, *(one.key for one in sought)}))
    applyset = observation.inventory.applyset
    still = sorted(key for key, live in found.items() if is_member(live, applyset))
    warnings = tuple(
        f"{key} is left alone: no longer wanted, but somebody removed its inventory label"
        for key, live in found.items()
        if key not in still and not live["metadata"].get("deletionTimestamp")
    )
    return _Unlisted(frozenset({*ours, *still}), str(still[0]) if still else "", warnings)


def _resource_of(observation: Observation, key: ObjectKey, record: Record) -> Resource | None:
    kind = VersionedKind(record.api_version, key.kind)
    return observation.discovery.find(kind) if kind not in observation.unserved else None


def _violations(
    cluster: Cluster,
    observation: Observation,
    targets: Sequence[Target],
    changes: Sequence[Change],
    unplaced: Unplaced,
    federation: Federation,
    settings: Settings,
) -> tuple[str, ...]:
    members = observation.members
    figures = guards.Deletions(
        cluster.name,
        inventory=len(members),
        inventory_namespaces=sum(key[:2] == NAMESPACE for key in members),
        wanted=len(targets),
        wanted_namespaces=sum(t.key[:2] == NAMESPACE for t in targets),
        deleted=guards.deletions_of(changes),
        unplaced=tuple(
            f"{c.key} ({unplaced.nowhere[c.key]})"
            for c in changes
            if c.action is Action.PRUNE and c.key in unplaced.nowhere
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
