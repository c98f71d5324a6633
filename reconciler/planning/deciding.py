"""Every desired object of one member: settled at a glance where possible, else by asking.

Comparing is quick and needs no thread; asking waits for the network, so it is done several at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from reconciler.cluster.member import Member
from reconciler.cluster.parallel import in_parallel
from reconciler.cluster.resources import Resource, VersionedKind
from reconciler.inventory.applyset import owner_of
from reconciler.inventory.observation import Observation
from reconciler.inventory.ownership import BEFORE_FIRST_APPLY
from reconciler.inventory.records import Record
from reconciler.objects import Object, ObjectKey, Unshown
from reconciler.planning import checking
from reconciler.planning.autoscaling import with_autoscalers
from reconciler.planning.checking import Checked, Terms
from reconciler.planning.comparing import Comparison, Question, compare
from reconciler.planning.missing import Sought, find_missing
from reconciler.planning.once import content_digest, may_rerun, runs_once
from reconciler.planning.pruning import NAMESPACE
from reconciler.planning.requests import Target, request_for

CONCURRENT_CHECKS = 8


class Deciding(Struct, frozen=True):
    """What the objects of one member share. ``crds`` are the kinds that this plan introduces;
    ``sampled`` picks the unchanged ones to be verified by a dry run all the same; ``leaving`` gives
    the UIDs of what this run prunes."""

    member: Member
    observation: Observation
    crds: Mapping[VersionedKind, Resource]
    terms: Terms
    sampled: Callable[[ObjectKey], bool]
    leaving: Callable[[], Collection[str]]


class Verdicts(Struct, frozen=True):
    """A verdict for each target, in their order, and what people should know besides.

    ``left`` are workloads whose replicas are left to an autoscaler that is not in Git.
    """

    checked: Sequence[Checked]
    remarks: tuple[str, ...]
    left: frozenset[ObjectKey]


class _Doubt(Unshown, frozen=True):
    """An object that only the server can settle. ``live`` None: it is to be created."""

    target: Target
    body: Object
    live: Object | None = None
    comparison: Comparison | None = None
    record: Record | None = None
    adopting: bool = False
    namespace_exists: bool = True


def decide_all(
    shared: Deciding, targets: Sequence[Target], progress: Callable[[int], None]
) -> Verdicts:
    """What is to happen to each target. Raises ClusterError when the member is lost."""
    listed = {t.key: shared.observation.find(t.kind, t.key) for t in targets}
    found, absent_namespaces = _search(shared, targets, listed)
    # With its namespace, all that it had done is gone.
    ran = {
        t.key
        for t in targets
        if listed[t.key] is None
        and t.key not in found
        and t.key.namespace not in absent_namespaces
        and _has_run(shared, t)
    }
    live = [listed[target.key] or found.get(target.key) for target in targets]
    targets, left, remarks = with_autoscalers(shared.member, targets, live, shared.leaving)
    verdicts = [
        Checked(target, None, shared.observation.inventory.rows.get(target.key))
        if target.key in ran
        else _at_a_glance(
            shared, target, listed[target.key], found.get(target.key), absent_namespaces, remarks
        )
        for target in targets
    ]
    progress(sum(isinstance(verdict, Checked) for verdict in verdicts))

    def settle(verdict: Checked | _Doubt) -> Checked:
        if isinstance(verdict, Checked):
            return verdict
        answer = _ask(shared, verdict)
        progress(1)
        return answer

    doubts = [verdict for verdict in verdicts if isinstance(verdict, _Doubt)]
    answers = iter(in_parallel(settle, doubts, CONCURRENT_CHECKS))
    checked = [v if isinstance(v, Checked) else next(answers) for v in verdicts]
    return Verdicts(checked, tuple(remarks), left)


def _has_run(shared: Deciding, target: Target) -> bool:
    """Whether it was applied with this content, has done what it was to do, and may be gone."""
    inventory = shared.observation.inventory
    digest = inventory.ran.get(target.key)
    return (
        digest is not None
        and target.resource is not None
        and runs_once(target.body)
        and not may_rerun(target.body)
        and digest == content_digest(inventory.digester, target.body)
    )


def _search(
    shared: Deciding, targets: Sequence[Target], listed: Mapping[ObjectKey, Object | None]
) -> tuple[dict[ObjectKey, Object], set[str]]:
    """What exists although the label query did not show it, and Namespaces that surely do not."""
    failed = shared.observation.failed
    unseen = [
        Sought(t.resource, t.key)
        for t in targets
        if t.resource and listed[t.key] is None and t.kind not in failed
    ]
    namespaces = [item for item in unseen if item.key.group_kind == NAMESPACE]
    found = find_missing(shared.member, namespaces)
    absent = {item.key.name for item in namespaces if item.key not in found}
    others = [
        item
        for item in unseen
        if item.key.group_kind != NAMESPACE and item.key.namespace not in absent
    ]
    return {**found, **find_missing(shared.member, others)}, absent


def _at_a_glance(
    shared: Deciding,
    target: Target,
    listed: Object | None,
    found: Object | None,
    absent_namespaces: set[str],
    remarks: list[str],
) -> Checked | _Doubt:
    record = shared.observation.inventory.rows.get(target.key)
    made_anew = False
    if target.kind in shared.observation.failed:
        # Nobody knows whether it is there: it is neither new nor as it should be.
        return checking.unlisted(target, shared.observation.failed[target.kind])
    if target.resource is None:
        if target.kind in shared.crds:
            return checking.unverified(target)
        kind = target.kind.group_kind
        coming = [crd.api_version for crd in shared.crds if crd.group_kind == kind]
        return checking.unserved(target, coming or shared.observation.discovery.versions(kind))
    live = listed or found
    if live is None:
        exists = target.key.namespace not in absent_namespaces
        return _Doubt(target, target.body, namespace_exists=exists)
    if record and record.uid and record.uid != live["metadata"].get("uid"):
        # What is remembered is of another object, which had this one's name.
        record, made_anew = None, True
    adopting = False
    if listed is None:
        owner = owner_of(live)
        if owner and owner != shared.observation.inventory.applyset:
            return checking.belongs_elsewhere(target, owner)
        # A row that was written ahead of an adoption that never came does not make it ours.
        adopting = record is None or not record.confirmed
        if adopting and shared.terms.adoption.policy == "Never":
            return checking.not_adopted(target, made_anew=made_anew)
    take_over = shared.terms.adoption.take_over if adopting else (BEFORE_FIRST_APPLY,)
    body, told = request_for(target, live, take_over)
    remarks += [f"{target.key}: {text}" for text in told]
    comparison = compare(shared.terms.digester, body, live, record)
    if comparison.question is Question.NONE and listed is not None:
        if not shared.sampled(target.key):
            footprint = comparison.footprint
            fields = footprint.fields if footprint else None
            return Checked(target, None, comparison.record, fields)
        comparison = replace(comparison, question=Question.SAMPLED)
    return _Doubt(target, body, live, comparison, record, adopting)


def _ask(shared: Deciding, doubt: _Doubt) -> Checked:
    if doubt.live is None or doubt.comparison is None:
        return checking.check_new(
            shared.member, doubt.target, namespace_exists=doubt.namespace_exists
        )
    return checking.check_existing(
        shared.member,
        doubt.target,
        doubt.body,
        doubt.live,
        doubt.comparison,
        doubt.record,
        shared.terms,
        adopting=doubt.adopting,
    )
