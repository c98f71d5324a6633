"""What leaving takes: a survey of what join made and of what is managed -> Steps. Writes nothing.

Credential and bindings go first, so that no run writes into the member while it is emptied. What
join made is found by its labels, not by its names.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.errors import ClusterError
from reconciler.api.files import SourceFile
from reconciler.api.objects import Object, ObjectKey
from reconciler.api.reasons import Cause, Reason, remark
from reconciler.apply.fleet import apply_to_fleet
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import Discovery, GroupVersionKind, RESTMapping
from reconciler.federation.compile import compile_documents
from reconciler.federation.model import Cluster, Federation
from reconciler.git.owner import Claimant
from reconciler.inventory.observe import Observation, observe
from reconciler.inventory.ownership import Servers, as_ours, cluster_identity_problems
from reconciler.inventory.store import read_inventory
from reconciler.join.cluster_manifest import is_alone
from reconciler.join.member_objects import (
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    NAMESPACE,
    ROLE,
    ROLE_BINDING,
    SECRET,
    SERVICE_ACCOUNT,
)
from reconciler.join.needed_kinds import RepositoryWithCluster
from reconciler.join.steps import MADE_BY, TOOL, Effect, Place, Step, Verb, selector
from reconciler.manifests.document import Document
from reconciler.manifests.load import load
from reconciler.plan import prune
from reconciler.plan.member_plan import MemberWork, deletion_rules
from reconciler.plan.model import Action, Change, ClusterPlan, Plan, UnlistedKind
from reconciler.plan.prune import DeletionRules
from reconciler.state.stores import CONFIG_MAPS, config_map_key

_SHOWN = 200


class LeaveRequest(Struct, frozen=True):
    """``deletion_policy`` of the managed objects; None: it is an error if there are any."""

    name: str
    deletion_policy: DeletionPolicy | None = None
    keep_manifest: bool = False


class LeavePlan(Struct, frozen=True):
    """``managed`` counts the objects that the member runs of ours."""

    steps: tuple[Step, ...]
    emptying: Emptying | None
    warnings: tuple[str, ...] = ()

    @property
    def managed(self) -> int:
        return len(self.emptying.changes) if self.emptying else 0

    @property
    def deletions(self) -> int:
        changes = self.emptying.changes if self.emptying else ()
        return sum(change.action is Action.PRUNE for change in changes)


def plan_leave(
    request: LeaveRequest,
    known: RepositoryWithCluster,
    files: Sequence[SourceFile],
    member: Member | None,
    hosts: Mapping[str, Member],
    folder: Path | None,
    claimant: Claimant,
    servers: Servers,
) -> LeavePlan:
    """The steps in their order. ``member`` None: it is gone; ``hosts`` by seat, or by an empty name
    where there is one, none: nothing is kept. ``servers``: which API server each cluster was.

    Raises ClusterError, BadInput.
    """
    federation = known.state.federation
    labels = selector(request.name, federation.name)
    steps: list[Step] = []
    emptying = None
    # With the last cluster goes what runs remember, wherever that is.
    is_last = len(known.state.joined) == 1
    for seat, host in hosts.items():
        part = _deletions(host, "host", (SECRET,), federation.namespace, labels)
        if is_last:
            part += _memory_step(host, "host", federation)
        steps += [replace(step, seat=seat) for step in part]
    if member is not None:
        cluster = _cluster(known, request.name)
        deletion_policy = request.deletion_policy or "orphan"
        emptying = plan_emptying(member, cluster, federation, deletion_policy, claimant, servers)
        steps += _member_steps(member, federation, labels, emptying, is_last=is_last)
    else:
        steps.append(_left_behind(request.name, federation))
    for seat, host in hosts.items():
        part = _namespace_step(host, "host", federation.namespace)
        steps += [replace(step, seat=seat) for step in part]
    steps += _manifest_steps(request, known, folder)
    warnings = [] if request.keep_manifest else references_to(files, request.name)
    return LeavePlan(tuple(steps), emptying, tuple(warnings))


def _cluster(known: RepositoryWithCluster, name: str) -> Cluster:
    return next(cluster for cluster in known.state.joined if cluster.name == name)


def _member_steps(
    member: Member,
    federation: Federation,
    labels: str,
    emptying: Emptying | None,
    *,
    is_last: bool,
) -> list[Step]:
    namespace = federation.namespace
    bindings = (CLUSTER_ROLE_BINDING, ROLE_BINDING)
    steps = _deletions(member, "member", bindings, namespace, labels)
    steps += _emptying_steps(emptying)
    inventory = read_inventory(member, federation.name, namespace)
    steps += [
        Step("the inventory", "member", Verb.DELETE, Effect.DELETE, _shown(secret), SECRET)
        for _, secret in sorted(
            inventory.secrets.items(), key=lambda item: (item[0] == inventory.parent_name, item[0])
        )
    ]
    rest = (CLUSTER_ROLE, ROLE, SECRET, SERVICE_ACCOUNT)
    steps += _deletions(member, "member", rest, namespace, labels)
    if is_last:
        steps += _memory_step(member, "member", federation)
    return steps + _namespace_step(member, "member", namespace)


def _memory_step(cluster: Member, where: Place, federation: Federation) -> list[Step]:
    live = cluster.get(CONFIG_MAPS, config_map_key(federation.name, federation.namespace))
    if live is None:
        return []
    text = "what runs remember: this is the last cluster"
    return [Step(text, where, Verb.DELETE, Effect.DELETE, _shown(live), CONFIG_MAPS)]


def _emptying_steps(emptying: Emptying | None) -> list[Step]:
    if emptying is None:
        return []
    steps = []
    for action, effect, words in (
        (Action.PRUNE, Effect.DELETE, "managed objects are deleted"),
        (Action.ORPHAN, Effect.RELEASE, "managed objects stay as they are, unmanaged"),
    ):
        keys = [str(change.key) for change in emptying.changes if change.action is action]
        if keys:
            details = tuple(keys[:_SHOWN])
            if effect is Effect.RELEASE:
                details = (*emptying.kept, *details) if emptying.kept else details
            steps.append(
                Step(f"{len(keys)} {words}", "member", Verb.EMPTY, effect, details=details)
            )
    return steps


def _deletions(
    cluster: Member, where: Place, kinds: Sequence[RESTMapping], namespace: str, labels: str
) -> list[Step]:
    steps = []
    for resource in kinds:
        found = cluster.list_objects(
            resource,
            namespace=namespace if resource.namespaced else "",
            label_selector=labels,
            metadata_only=True,
        )
        steps += [
            Step("", where, Verb.DELETE, Effect.DELETE, _shown(obj), resource)
            for obj in sorted(found, key=lambda o: str(o["metadata"]["name"]))
        ]
    return steps


def _shown(obj: Object) -> Object:
    """Identity only: what is deleted needs no more, and a Secret's values must not travel."""
    shown = ("name", "namespace", "uid", "resourceVersion", "labels")
    metadata = {k: v for k, v in obj["metadata"].items() if k in shown}
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata}


def _namespace_step(cluster: Member, where: Place, name: str) -> list[Step]:
    live = cluster.get(NAMESPACE, ObjectKey("", "Namespace", "", name))
    if live is None or live["metadata"].get("deletionTimestamp"):
        return []
    step = Step(
        "if nothing else is in it",
        where,
        Verb.DELETE_NAMESPACE,
        Effect.DELETE,
        _shown(live),
        NAMESPACE,
    )
    if (live["metadata"].get("annotations") or {}).get(MADE_BY) == TOOL:
        return [step]
    note = ("join did not make it",)
    return [Step("", where, Verb.NOTHING, Effect.KEEP, _shown(live), NAMESPACE, details=note)]


def contents_of(cluster: Member, namespace: Object, discovery: Discovery) -> str:
    """What is in a namespace that nobody could miss; empty: nothing."""
    name = str(namespace["metadata"]["name"])
    change = Change(Action.PRUNE, ObjectKey("", "Namespace", "", name), "v1")
    return prune.foreign_objects_in(cluster, change, namespace, discovery, applyset="", going=())


def _left_behind(name: str, federation: Federation) -> Step:
    labels = selector(name, federation.name)
    details = (
        "if it comes back:",
        f"kubectl delete clusterrolebinding,clusterrole -l {labels}",
        f"kubectl delete namespace {federation.namespace}",
    )
    text = "the member does not answer: what is in it stays as it is"
    return Step(text, "member", Verb.NOTHING, Effect.KEEP, details=details)


def _manifest_steps(
    request: LeaveRequest, known: RepositoryWithCluster, folder: Path | None
) -> list[Step]:
    document = known.manifest
    if document is None:
        return []
    step = Step("", "repository", Verb.REMOVE_FILE, Effect.DELETE, path=document.file)
    reason = ""
    if request.keep_manifest:
        reason = "as --keep-manifest says"
    elif folder is None:
        reason = "the repository is not on this disk: remove it yourself"
    elif not is_alone(document, folder):
        reason = f"other documents are in that file: remove the one at {document.position()}"
    if reason:
        return [
            Step(
                "",
                "repository",
                Verb.NOTHING,
                Effect.KEEP,
                path=document.file,
                details=(reason,),
            )
        ]
    return [step]


def references_to(files: Sequence[SourceFile], name: str) -> list[str]:
    """Places of the repository that will be wrong once the cluster's manifest is gone."""
    manifests = load(files)
    before = _problems(manifests.documents)
    rest = [d for d in manifests.documents if not _is_manifest_of(d, name)]
    return [text for text in _problems(rest) if text not in before]


def _is_manifest_of(document: Document, name: str) -> bool:
    kinds = ("Cluster", "KubeFedCluster")
    return document.body["kind"] in kinds and document.body["metadata"]["name"] == name


def _problems(documents: Sequence[Document]) -> list[str]:
    return [str(problem) for problem in compile_documents(documents).problems]


# -- what a leaving member runs of ours ------------------------------------------------------------


GONE_POLL_SECONDS = 0.25
REASON = "the cluster leaves the federation"

DeletionPolicy = Literal["prune", "orphan"]


class Emptying(Struct, frozen=True):
    """What is to become of every managed object, and why some of them are not deleted."""

    work: MemberWork
    federation: str
    kept: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        return self.work.plan.changes


def plan_emptying(
    member: Member,
    cluster: Cluster,
    federation: Federation,
    deletion_policy: DeletionPolicy,
    claimant: Claimant,
    known: Servers,
) -> Emptying | None:
    """Decide on everything in the inventory; None where there is nothing.

    Raises ClusterError when not every kind could be listed, as nothing may be forgotten unseen, and
    when the inventory is another repository's or another cluster's.
    """
    inventory = read_inventory(member, federation.name, federation.namespace)
    inventory = as_ours(member, inventory, cluster.name, claimant)
    doubts = cluster_identity_problems({cluster.name: inventory}, claimant, known)
    if doubts:
        raise ClusterError(member.name, f"{cluster.name} is {doubts[cluster.name]}")
    observation = observe(member, inventory, ())
    if not observation.complete:
        failed = next(iter(sorted(observation.failed.items())))
        raise ClusterError(member.name, str(UnlistedKind(*failed)))
    if not inventory.rows and not observation.members:
        return None
    changes, kept = _decide(member, observation, federation, deletion_policy)
    plan = ClusterPlan(cluster.name, changes=tuple(sorted(changes, key=lambda c: c.key)))
    work = MemberWork(member, cluster, observation, plan, resources={}, rules=_rules(federation))
    return Emptying(work, federation.name, tuple(kept))


def _rules(federation: Federation) -> DeletionRules:
    """Somebody asks for it in so many words; what is protected stays protected."""
    rules = deletion_rules(federation)
    return replace(rules, prune=replace(rules.prune, enabled=True))


def _decide(
    member: Member,
    observation: Observation,
    federation: Federation,
    deletion_policy: DeletionPolicy,
) -> tuple[list[Change], list[str]]:
    questions = list(prune.candidates(observation.members, (), lambda _key: Reason(Cause.REMOVED)))
    if deletion_policy == "orphan":
        return [_release(question) for question in questions], []
    rules = _rules(federation)
    applyset = observation.inventory.applyset
    discovery = member.discover()
    changes: list[Change] = []
    kept: dict[ObjectKey, str] = {}
    # What holds other objects is decided last, when it is known which of those stay.
    for question in sorted(questions, key=lambda q: (q.key.group_kind in prune.HOLDERS, q.key)):
        verdict = prune.decide_prune(question, rules)
        holds = question.key.group_kind in prune.HOLDERS
        if holds and isinstance(verdict, Change) and verdict.action is Action.PRUNE:
            inside = prune.staying_in(
                question.key, question.live, kept, ()
            ) or prune.foreign_objects_in(
                member, verdict, question.live, discovery, applyset, prune.uids_to_delete(changes)
            )
            verdict = f"it holds {inside}" if inside else verdict
        if isinstance(verdict, Change) and verdict.action is Action.ORPHAN:
            verdict = "it is marked to be orphaned"
        if isinstance(verdict, str):
            kept[question.key] = verdict
            changes.append(_release(question))
        else:
            changes.append(dataclasses.replace(verdict, reasons=(remark(REASON),)))
    return changes, [f"{key} is left: {reason}" for key, reason in sorted(kept.items())]


def _release(question: prune.PruneQuestion) -> Change:
    metadata = question.live["metadata"]
    return Change(
        Action.ORPHAN,
        question.key,
        question.kind.api_version,
        reasons=(remark(REASON),),
        uid=str(metadata.get("uid", "")),
        resource_version=str(metadata.get("resourceVersion", "")),
        live=question.live,
    )


def empty(emptying: Emptying, timeout: float) -> tuple[str, ...]:
    """Carry it out, and wait so many seconds until what was deleted is gone; gives what is not.

    Raises ClusterError when something could not be deleted or released.
    """
    work = emptying.work
    result = apply_to_fleet(Plan(emptying.federation, (work.plan,)), [work], {})
    failed = [f"{o.key}: {o.message}" for o in result.outcomes if o.status != "done"]
    if failed or result.errors:
        words = "; ".join([*map(str, result.errors), *failed[:3]])
        more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
        raise ClusterError(
            work.member.name,
            f"not everything could be removed: {words}{more}",
            hint="run unjoin again, or leave the rest behind with --force",
        ) from result.defect
    return _still_there(work, timeout)


def _still_there(work: MemberWork, timeout: float) -> tuple[str, ...]:
    pending = {c.key: c for c in work.plan.changes if c.action is Action.PRUNE}
    discovery = work.member.discover()
    give_up = time.monotonic() + timeout
    while pending:
        for key, change in list(pending.items()):
            resource = discovery.find(GroupVersionKind(change.api_version, key.kind))
            live: Object | None = work.member.get(resource, key) if resource else None
            if live is None or live["metadata"].get("uid") != change.uid:
                del pending[key]
        if not pending or time.monotonic() > give_up:
            break
        time.sleep(GONE_POLL_SECONDS)
    return tuple(f"{key} is still being deleted" for key in sorted(pending))
