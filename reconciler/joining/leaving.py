"""What leaving takes: a survey of what join made and of what is managed -> Steps. Writes nothing.

Credential and bindings go first, so that no run writes into the member while it is emptied. What
join made is found by its labels, not by its names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from reconciler.cluster.member import Member
from reconciler.cluster.resources import Discovery, Resource
from reconciler.federation import interpret
from reconciler.federation.model import Cluster, Federation
from reconciler.inventory.belonging import Servers
from reconciler.inventory.memory_store import CONFIG_MAPS, config_map_key
from reconciler.inventory.store import read_inventory
from reconciler.joining.cluster_manifest import is_alone
from reconciler.joining.emptying import Emptying, Fate, plan_emptying
from reconciler.joining.member_objects import (
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    NAMESPACE,
    ROLE,
    ROLE_BINDING,
    SECRET,
    SERVICE_ACCOUNT,
)
from reconciler.joining.steps import MADE_BY, TOOL, Effect, Place, Step, Verb, selector
from reconciler.joining.understanding import Understanding
from reconciler.manifests import load
from reconciler.manifests.document import Document
from reconciler.objects import Object, ObjectKey
from reconciler.planning import pruning
from reconciler.planning.plan import Action, Change
from reconciler.source import SourceFile
from reconciler.source.owner import Claimant

_SHOWN = 200


class LeaveRequest(Struct, frozen=True):
    """``fate`` of the managed objects; None: it is an error if there are any."""

    name: str
    fate: Fate | None = None
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
    known: Understanding,
    files: Sequence[SourceFile],
    member: Member | None,
    host: Member | None,
    folder: Path | None,
    claimant: Claimant,
    servers: Servers,
) -> LeavePlan:
    """The steps in their order. ``member`` None: it is gone; ``host`` None: it keeps nothing.
    ``servers``: which API server each cluster was.

    Raises ClusterError, BadInput.
    """
    federation = known.state.federation
    labels = selector(request.name, federation.name)
    steps: list[Step] = []
    emptying = None
    if host is not None:
        steps += _deletions(host, "host", (SECRET,), federation.namespace, labels)
    # With the last cluster goes what runs remember, wherever that is.
    is_last = len(known.state.clusters) == 1
    if is_last and host is not None:
        steps += _memory_step(host, "host", federation)
    if member is not None:
        cluster = _cluster(known, request.name)
        fate = request.fate or "orphan"
        emptying = plan_emptying(member, cluster, federation, fate, claimant, servers)
        steps += _member_steps(member, federation, labels, emptying, is_last=is_last)
    else:
        steps.append(_left_behind(request.name, federation))
    if host is not None:
        steps += _namespace_step(host, "host", federation.namespace)
    steps += _manifest_steps(request, known, folder)
    warnings = [] if request.keep_manifest else mentions(files, request.name)
    return LeavePlan(tuple(steps), emptying, tuple(warnings))


def _cluster(known: Understanding, name: str) -> Cluster:
    return next(cluster for cluster in known.state.clusters if cluster.name == name)


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
    cluster: Member, where: Place, kinds: Sequence[Resource], namespace: str, labels: str
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
    return pruning.strangers_in(cluster, change, namespace, discovery, applyset="", going=())


def _left_behind(name: str, federation: Federation) -> Step:
    labels = selector(name, federation.name)
    details = (
        "if it comes back:",
        f"kubectl delete clusterrolebinding,clusterrole -l {labels}",
        f"kubectl delete namespace {federation.namespace}",
    )
    text = "the member does not answer: what is in it stays as it is"
    return Step(text, "member", Verb.NOTHING, Effect.KEEP, details=details)


def _manifest_steps(request: LeaveRequest, known: Understanding, folder: Path | None) -> list[Step]:
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


def mentions(files: Sequence[SourceFile], name: str) -> list[str]:
    """Places of the repository that will be wrong once the cluster's manifest is gone."""
    manifests = load(files)
    before = _problems(manifests.documents)
    rest = [d for d in manifests.documents if not _is_manifest_of(d, name)]
    return [text for text in _problems(rest) if text not in before]


def _is_manifest_of(document: Document, name: str) -> bool:
    kinds = ("Cluster", "KubeFedCluster")
    return document.body["kind"] in kinds and document.body["metadata"]["name"] == name


def _problems(documents: Sequence[Document]) -> list[str]:
    return [str(problem) for problem in interpret(documents).problems]
