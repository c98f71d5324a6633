"""Every desired object of one member: settled at a glance where possible, else by asking.

Comparing is quick and needs no thread; asking waits for the network, so it is done several at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.errors import ApiError
from reconciler.api.kinds import REPLICATED
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import GroupKind, Object, ObjectKey, RedactedRepr, key_of
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import GroupVersionKind, RESTMapping
from reconciler.cluster.parallel import in_parallel
from reconciler.cluster.warnings import warnings_about
from reconciler.federation.karmada_kinds import is_karmadas
from reconciler.inventory.applyset import owner_of
from reconciler.inventory.live_objects import Glance
from reconciler.inventory.managed_fields import BEFORE_FIRST_APPLY, Fields
from reconciler.inventory.observe import KindObjects, Observation
from reconciler.inventory.ownership import former_inventory
from reconciler.inventory.records import AppliedRecord
from reconciler.plan import custom_resources, dry_run
from reconciler.plan.custom_resources import NO_CHANGE, Definition
from reconciler.plan.diff import Comparison, Question, compare
from reconciler.plan.dry_run import ApplyRules, Checked
from reconciler.plan.ignored import owned_ignored_fields
from reconciler.plan.live_state import SoughtObject, find_by_name
from reconciler.plan.model import Addition
from reconciler.plan.prune import CRD, NAMESPACE, deletion_words, is_terminating
from reconciler.plan.replicas import may_be_anothers, with_autoscaled_counts
from reconciler.plan.requests import ApplyTarget, request_for
from reconciler.plan.settled import SettledObjects, kinds_defined_in
from reconciler.plan.targets import Requests
from reconciler.render.run_once import content_digest, may_rerun, runs_once

CONCURRENT_CHECKS = 16
"""A server that always has the next question at hand takes less time for each: with eight at a time
a fifth more of the processor."""

LOOKED_AT_TOGETHER = 1024
"""So many objects are held parsed, with what would be applied, until the server has been asked."""


class MemberContext(Struct, frozen=True):
    """What the objects of one member share. ``crds`` are the kinds that this plan introduces;
    ``take_over``: what this repository has under the Federation's former name is taken over as
    well. ``sampled`` picks the unchanged ones to be verified by a dry run all the same; ``leaving``
    gives the UIDs of what this run prunes. ``settled`` are those that need no other
    look, None in a process that ends with its run; ``requests`` are what other members may
    share."""

    member: Member
    observation: Observation
    crds: Mapping[GroupVersionKind, RESTMapping]
    apply_rules: ApplyRules
    sampled: Callable[[ObjectKey], bool]
    leaving: Callable[[], Collection[str]]
    take_over: bool = False
    settled: SettledObjects | None = None
    requests: Requests = Requests()


class CheckResults(RedactedRepr, frozen=True):
    """A verdict for each target, in their order, and what people should know besides.

    ``left_to_autoscalers`` are workloads whose replicas are left to an autoscaler that is not in
    Git; ``foreign_objects`` are those that are there and not ours. ``observation`` is what was
    looked at, with the kinds besides of which objects could not be looked for.
    """

    checked: Sequence[Checked]
    remarks: tuple[Notice, ...]
    left_to_autoscalers: frozenset[ObjectKey]
    foreign_objects: Mapping[ObjectKey, Object]
    observation: Observation


class _Doubt(RedactedRepr, frozen=True):
    """An object that only the server can settle. ``live`` None: it is to be created."""

    target: ApplyTarget
    body: Object
    live: Object | None = None
    comparison: Comparison | None = None
    record: AppliedRecord | None = None
    adopting: bool = False
    namespace_exists: bool = True
    definition: Definition = NO_CHANGE
    added: tuple[Addition, ...] = ()


class _Known(RedactedRepr, frozen=True):
    """What was found out before the objects are looked at one by one.

    ``going``: Namespaces that are being deleted, as told. ``coming``: the versions in which Git's
    CustomResourceDefinitions serve a kind. ``remarks`` are added to, and so are ``trees``: those of
    our entries, by their digest.
    """

    found: Mapping[ObjectKey, Object]
    absent_namespaces: Collection[str]
    going: Mapping[str, str]
    coming: Mapping[GroupKind, Sequence[str]]
    definitions: Mapping[GroupKind, Definition]
    remarks: list[Notice]
    formers: _Formers
    trees: dict[str, Fields | None]


def diff_all(
    shared: MemberContext, targets: Sequence[ApplyTarget], progress: Callable[[int], None]
) -> CheckResults:
    """What is to happen to each target. Raises ClusterError when the member is lost."""
    listed = _Listed(shared.observation)
    rows, every = shared.observation.inventory.rows, targets
    before = shared.settled
    verdicts = before.among(targets, listed.get, rows, shared.sampled) if before else {}
    targets = [t for t in every if t.key not in verdicts] if verdicts else targets
    unseen = [t for t in targets if not listed.has(t)]
    found, absent_namespaces, failed = _search(shared, unseen)
    if failed:
        failed = {**shared.observation.failed, **failed}
        shared = replace(shared, observation=replace(shared.observation, failed=failed))
    going = {
        t.key.name: f"its Namespace {t.key.name}: {deletion_words(obj)}"
        for t in targets
        if t.key[:2] == NAMESPACE
        and (obj := listed.get(t) or found.get(t.key)) is not None
        and is_terminating(obj)
    }
    if failed or going:
        verdicts = {
            key: verdict
            for key, verdict in verdicts.items()
            if verdict.target.kind not in failed and key.namespace not in going
        }
        targets = [t for t in every if t.key not in verdicts]
    progress(len(verdicts))
    # With its namespace, all that it had done is gone.
    ran = {
        t.key
        for t in unseen
        if t.key not in found and t.key.namespace not in absent_namespaces and _has_run(shared, t)
    }
    scaled = {
        t.key: obj
        for t in targets
        if t.stated is not None
        and may_be_anothers(t, listed.glance(t))
        and (obj := listed.get(t) or found.get(t.key))
    }
    targets, left, remarks = with_autoscaled_counts(shared.member, targets, scaled, shared.leaving)
    coming: dict[GroupKind, list[str]] = {}
    for crd in shared.crds:
        coming.setdefault(crd.group_kind, []).append(crd.api_version)
    known = _Known(found, absent_namespaces, going, coming, {}, remarks, _Formers(shared), {})
    at_a_glance: list[tuple[Object, AppliedRecord | None, Checked]] = []

    def look(target: ApplyTarget) -> Checked | _Doubt:
        record, told = rows.get(target.key), len(remarks)
        if target.key in ran:
            return Checked(target, None, record)
        if verdict := _as_recorded(shared, target, listed.glance(target), known):
            return verdict
        live = listed.get(target)
        seen = _at_a_glance(shared, target, live, known)
        if before is None or live is None or len(remarks) > told:
            return seen
        if isinstance(seen, Checked) and seen.change is None:
            at_a_glance.append((live, record, seen))
        return seen

    def settle(some: Sequence[ApplyTarget]) -> dict[ObjectKey, Checked]:
        found: dict[ObjectKey, Checked] = {}
        for first in range(0, len(some), LOOKED_AT_TOGETHER):
            found |= settle_part(some[first : first + LOOKED_AT_TOGETHER])
        return found

    def settle_part(some: Sequence[ApplyTarget]) -> dict[ObjectKey, Checked]:
        verdicts = [look(target) for target in some]
        progress(sum(isinstance(verdict, Checked) for verdict in verdicts))

        def ask(verdict: Checked | _Doubt) -> Checked:
            if isinstance(verdict, Checked):
                return verdict
            with warnings_about(verdict.target.key):
                answer = _ask(shared, verdict)
            progress(1)
            return (
                replace(answer, added=_that_stay(verdict.added, answer))
                if verdict.added
                else answer
            )

        doubts = [verdict for verdict in verdicts if isinstance(verdict, _Doubt)]
        answers = iter(in_parallel(ask, doubts, CONCURRENT_CHECKS))
        checked = [v if isinstance(v, Checked) else next(answers) for v in verdicts]
        return {one.target.key: one for one in checked}

    # The definitions say what can be asked of the objects that they define.
    definitions = settle([t for t in targets if t.key[:2] == CRD])
    definitions, defined = _judge_definitions(shared, every, definitions, remarks)
    known = replace(known, definitions=defined)
    others = settle([t for t in targets if t.key[:2] != CRD])
    # A table of all that a cluster has is made no more often than need be.
    verdicts = {**verdicts, **definitions, **others} if verdicts or definitions else others
    if before is not None and at_a_glance:
        before.keep(at_a_glance, kinds_defined_in(every))
    foreign_objects = {key: obj for key, obj in found.items() if key.kind in REPLICATED}
    return CheckResults(
        # Of what an autoscaler scales, the verdict has another target.
        [verdicts[t.key] for t in every],
        tuple(remarks),
        left,
        foreign_objects,
        shared.observation,
    )


class _Listed:
    """The objects as the label query showed them; in another version where Git's is yet to come."""

    def __init__(self, observation: Observation) -> None:
        self._observation = observation

    def _objects(self, target: ApplyTarget) -> KindObjects:
        if target.resource is None and target.key in self._observation.members:
            return self._observation.objects
        return self._observation.live.get(target.kind, {})

    def has(self, target: ApplyTarget) -> bool:
        return target.key in self._objects(target)

    def get(self, target: ApplyTarget) -> Object | None:
        return self._objects(target).get(target.key)

    def glance(self, target: ApplyTarget) -> Glance | None:
        if target.resource is None:
            return None
        return self._observation.glance(target.kind, target.key)


def _judge_definitions(
    shared: MemberContext,
    targets: Sequence[ApplyTarget],
    verdicts: dict[ObjectKey, Checked],
    remarks: list[Notice],
) -> tuple[dict[ObjectKey, Checked], dict[GroupKind, Definition]]:
    """The verdicts on definitions, and what they mean for the objects that these define.

    One that drops a version of which others keep entries in objects that Git wants is refused: none
    of these could be applied any more. Those in objects of others are told of.
    """
    changes = {key: v.change for key, v in verdicts.items() if v.change is not None}
    if not changes:
        return verdicts, {}
    wanted = {t.key for t in targets}
    found = custom_resources.definitions(targets, changes)
    verdicts = dict(verdicts)
    for key, verdict in verdicts.items():
        kind = custom_resources.kind_defined_by(verdict.target.body)
        definition = found.get(kind, NO_CHANGE)
        if not definition.dropped:
            continue
        versions = ", ".join(sorted(definition.dropped))
        drops = f"it drops {versions}"
        try:
            left = custom_resources.find_stale_entries(
                shared.member, shared.observation.discovery, kind, definition
            )
        except ApiError as error:
            why = f"{drops}, and the objects that were written in it cannot be listed: {error}"
            verdicts[key] = dry_run.refused(verdict.target, why)
            del found[kind]
            continue
        named = custom_resources.manager_names(one for one in left if key_of(one[0]) in wanted)
        if named:
            live = next(obj for obj, one in left if one.others and key_of(obj) in wanted)
            command = custom_resources.entry_migration_command(live, definition)
            verdicts[key] = dry_run.refused(
                verdict.target,
                f"{drops}, which managedFields of objects in Git still name: {named}; no apply of "
                "these would pass any more; let these managers write in another version, or move "
                f"their entries on: {command}",
            )
            del found[kind]
        members = shared.observation.members
        foreign = [one for one in left if key_of(one[0]) not in {*wanted, *members}]
        if theirs := custom_resources.manager_names(foreign):
            cause = NoticeCause.VERSION_STILL_USED
            remarks.append(notice(cause, subject=key, versions=versions, managers=theirs))
    return verdicts, found


def _has_run(shared: MemberContext, target: ApplyTarget) -> bool:
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
    shared: MemberContext, targets: Sequence[ApplyTarget]
) -> tuple[dict[ObjectKey, Object], set[str], dict[GroupVersionKind, str]]:
    """What exists of ``targets``, which the label query did not show, Namespaces that surely do
    not, and the kinds that nobody could look for, with the reason."""
    failed = shared.observation.failed
    discovery = shared.observation.discovery
    unseen = [
        SoughtObject(resource, t.key)
        for t in targets
        if t.kind not in failed
        and (resource := t.resource or discovery.preferred(t.kind.group_kind))
    ]
    namespaces = [item for item in unseen if item.key.group_kind == NAMESPACE]
    found, failed = find_by_name(shared.member, namespaces)
    absent = {item.key.name for item in namespaces if item.key not in found and not failed}
    others = [
        item
        for item in unseen
        if item.key.group_kind != NAMESPACE and item.key.namespace not in absent
    ]
    more = find_by_name(shared.member, others)
    return {**found, **more.found}, absent, {**failed, **more.failed}


class _Formers:
    """Inventories that other objects belong to, each looked up once."""

    def __init__(self, shared: MemberContext) -> None:
        self._shared = shared
        self._names: dict[str, str] = {}

    def named(self, applyset: str) -> str:
        """As ``former_inventory``."""
        if applyset not in self._names:
            ours = self._shared.observation.inventory
            self._names[applyset] = former_inventory(self._shared.member, ours, applyset)
        return self._names[applyset]


def _as_recorded(
    shared: MemberContext, target: ApplyTarget, glance: Glance | None, known: _Known
) -> Checked | None:
    """That an object is surely unchanged, by its record and what was seen of it; None: it must be
    looked at itself."""
    if glance is None or not glance.as_recorded or glance.terminating:
        return None
    record, desired = shared.observation.inventory.rows.get(target.key), target.desired
    if (
        record is None
        # What is sent depends on what is there.
        or desired.rules.retain
        or desired.rules.ignore
        or (glance.wanted is not None and target.stated is None)
        or target.kind in shared.observation.failed
        or target.key.namespace in known.going
        or (known.definitions and target.kind.group_kind in known.definitions)
        or (
            known.coming
            and target.kind.group_kind in known.coming
            and target.kind not in shared.crds
        )
        or shared.apply_rules.addition_finder.may_find(glance.managers)
        or shared.sampled(target.key)
        or target.kind.api_version != record.api_version
        or shared.apply_rules.digester.of_bytes(shared.requests.of(target)) != record.request
    ):
        return None
    if record.entry not in known.trees:
        known.trees[record.entry] = shared.observation.fields(target.kind, record.entry)
    return Checked(target, None, record, known.trees[record.entry])


def _at_a_glance(
    shared: MemberContext,
    target: ApplyTarget,
    listed: Object | None,
    known: _Known,
) -> Checked | _Doubt:
    record = shared.observation.inventory.rows.get(target.key)
    kind = target.kind.group_kind
    definition = known.definitions.get(kind, NO_CHANGE)
    is_recreated_copy = False
    if target.kind in shared.observation.failed:
        # Nobody knows whether it is there: it is neither new nor as it should be.
        return dry_run.unlisted(target, shared.observation.failed[target.kind])
    live = listed or known.found.get(target.key)
    if live is not None and is_terminating(live):
        return dry_run.terminating(target, deletion_words(live), live)
    if going := known.going.get(target.key.namespace) or definition.going:
        return dry_run.terminating(target, going, live)
    coming = known.coming.get(kind, ())
    if target.kind not in shared.crds and (coming or target.resource is None):
        return dry_run.unserved(target, coming or shared.observation.discovery.versions(kind))
    if live is None:
        if target.resource is None or definition.changes:
            return dry_run.unverified(target)
        exists = target.key.namespace not in known.absent_namespaces
        return _Doubt(target, target.body, namespace_exists=exists)
    if record and record.uid and record.uid != live["metadata"].get("uid"):
        # What is remembered is of another object, which had this one's name.
        record, is_recreated_copy = None, True
    adopting = False
    if listed is None:
        owner = owner_of(live)
        if owner and owner != shared.observation.inventory.applyset:
            former = known.formers.named(owner)
            if not (former and shared.take_over):
                return dry_run.owned_by_another(target, owner, former)
        # A row that was written ahead of an adoption that never came does not make it ours.
        adopting = record is None or not record.confirmed
        if adopting and target.desired.rules.abort_on_conflict and not is_karmadas(live):
            return dry_run.not_overwritten(target)
        if adopting and shared.apply_rules.adoption.policy == "Never":
            return dry_run.not_adopted(target, is_recreated_copy=is_recreated_copy)
    own_rules = shared.apply_rules.of(target)
    take_over = own_rules.adoption.take_over if adopting else (BEFORE_FIRST_APPLY,)
    body, remarks = request_for(target, live, take_over)
    known.remarks.extend(remarks)
    if target.resource is None:
        return dry_run.unchecked(target, body, live, definition, adopting=adopting)
    comparison = compare(shared.apply_rules.digester, body, live, record)
    theirs = shared.apply_rules.addition_finder.find(live, target.desired)
    # What is there when an object is adopted, that plan tells field by field.
    added = () if adopting else theirs.reported
    if comparison.question is Question.NONE and theirs.removed:
        comparison = replace(comparison, question=Question.ADDED)
    if target.desired.rules.ignore and comparison.question is Question.NONE:
        handing = owned_ignored_fields(live, target.desired.rules.ignore)
        comparison = replace(comparison, question=Question.EDITED) if handing else comparison
    if comparison.question is Question.NONE and listed is not None:
        if not shared.sampled(target.key):
            footprint = comparison.footprint
            fields = footprint.fields if footprint else None
            return Checked(target, None, comparison.record, fields, added=added)
        comparison = replace(comparison, question=Question.SAMPLED)
    return _Doubt(
        target, body, live, comparison, record, adopting, definition=definition, added=added
    )


def _that_stay(added: Sequence[Addition], checked: Checked) -> tuple[Addition, ...]:
    """Those that the apply does not change: who changes what Git says owns it alone then, so it
    looks like what he added."""
    fields = checked.change.fields if checked.change else ()
    changed = [field.path.steps for field in fields]
    return tuple(
        one
        for one in added
        if not any(one.path.steps[:end] in changed for end in range(1, len(one.path.steps) + 1))
    )


def _ask(shared: MemberContext, doubt: _Doubt) -> Checked:
    if doubt.live is None or doubt.comparison is None:
        return dry_run.check_new(
            shared.member, doubt.target, namespace_exists=doubt.namespace_exists
        )
    return dry_run.check_existing(
        shared.member,
        doubt.target,
        doubt.body,
        doubt.live,
        doubt.comparison,
        doubt.record,
        shared.apply_rules.of(doubt.target),
        doubt.definition,
        adopting=doubt.adopting,
    )
