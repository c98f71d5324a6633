"""KubeFed's kinds, with KubeFed's own semantics (v0.8.1).

Sources: KubeFed's user guide and its sync controller. What differs is said where it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.api.kinds import API_VERSIONS, CLUSTER_SCOPED, REPLICAS
from reconciler.api.manifest import Manifest
from reconciler.api.notices import NoticeCause, notice
from reconciler.api.objects import DEFAULT_NAMESPACE, Object, key_of, map_of
from reconciler.federation.lint import (
    lint_counts,
    lint_federated,
    lint_preference,
    names_and_selector,
)
from reconciler.federation.model import (
    Override,
    PlacementTarget,
    ReplicaRule,
    ReplicaShare,
    Workload,
    WorkloadRules,
)
from reconciler.federation.overrides import parse_operations
from reconciler.federation.selectors import parse_selector
from reconciler.manifests.document import Document
from reconciler.manifests.problems import ProblemCollector

TYPES_GROUP = "types.kubefed.io"
MANAGED = "kubefed.io/managed"
ORPHAN = "kubefed.io/orphan"

RETAINED: Mapping[str, tuple[str, ...]] = {
    "Service": (
        "/spec/clusterIP",
        "/spec/clusterIPs",
        "/spec/healthCheckNodePort",
        "/spec/ports/*/nodePort",
    ),
    "PersistentVolumeClaim": ("/spec/volumeName",),
}
"""Fields that belong to the member once the object exists (KubeFed's RetainClusterFields)."""


class KubeFed(Struct):
    """The KubeFed documents of a repository, sorted by what they are."""

    federated: list[Document] = field(default_factory=list)
    namespaces: dict[str, Document] = field(default_factory=dict)
    type_configs: list[Document] = field(default_factory=list)
    preferences: list[Document] = field(default_factory=list)
    duplicates: list[Document] = field(default_factory=list)

    @property
    def documents(self) -> list[Document]:
        """Those that say where objects go, and how many replicas."""
        return [*self.federated, *self.namespaces.values(), *self.preferences]

    def take(self, document: Document) -> bool:
        """Whether the document is one of KubeFed's, which is then kept."""
        group, kind = document.key.group_kind
        if group == TYPES_GROUP and kind == "FederatedNamespace":
            name = document.key.name
            if self.namespaces.setdefault(name, document) is not document:
                self.duplicates.append(document)
        elif group == TYPES_GROUP or self._is_configured(group, kind):
            self.federated.append(document)
        elif kind == "FederatedTypeConfig":
            self.type_configs.append(document)
        elif kind == "ReplicaSchedulingPreference":
            self.preferences.append(document)
        else:
            return bool(kind == "KubeFedConfig")
        return True

    def _is_configured(self, group: str, kind: str) -> bool:
        return any(
            config.body["spec"]["federatedType"].get("kind") == kind
            and config.body["spec"]["federatedType"].get("group", TYPES_GROUP) == group
            for config in self.type_configs
        )


class KubeFedContext(Struct, frozen=True):
    """What a federated object needs to know of the rest. ``namespaces`` are plain Namespaces,
    ``discovered`` kinds that CRDs of the repository or the members serve, with apiVersion."""

    clusters: Mapping[str, Any]
    namespaces: Mapping[str, Document]
    kubefed_labels: bool
    faults: ProblemCollector
    discovered: Mapping[str, str] = field(default_factory=dict)


def compile_kubefed(kubefed: KubeFed, context: KubeFedContext) -> list[Workload]:
    """The workloads that KubeFed's documents ask for."""
    configs = {}
    for one in kubefed.type_configs:
        kind = one.body["spec"]["federatedType"]["kind"]
        if kind in configs:
            context.faults.problem(
                one, ("spec", "federatedType"), f"a second FederatedTypeConfig of {kind}"
            )
        configs[kind] = one.body["spec"]
    for document in kubefed.duplicates:
        context.faults.problem(
            document, (), f"there are two FederatedNamespaces named {_name(document)}", "one"
        )
    workloads = [_namespace(doc, context) for doc in kubefed.namespaces.values()]
    for space, document in zip(workloads, kubefed.namespaces.values(), strict=True):
        if space.rules.target:
            lint_federated(document, space.rules.target, context.clusters, context.faults)
    targets = {name: _placement(doc, context) for name, doc in kubefed.namespaces.items()}
    preferences = {
        (p.body["spec"]["targetKind"], p.body["metadata"].get("namespace", ""), _name(p)): p
        for p in kubefed.preferences
    }
    for document in kubefed.federated:
        config = configs.get(document.body["kind"])
        if config and config.get("propagation") == "Disabled":
            what = "its FederatedTypeConfig disables propagation: left out"
            context.faults.warn(document, notice(NoticeCause.WITHOUT_EFFECT, what=what))
            continue
        workload = _federated(document, config, context)
        if workload is None:
            continue
        workload = _within_namespace(workload, document, targets, context)
        identity = (document.body["kind"], workload.key.namespace, workload.key.name)
        preference = preferences.pop(identity, None)
        for path, found in names_and_selector(
            (document.body.get("spec") or {}).get("placement") or {}
        ):
            if not preference:  # Else KubeFed itself has written the names.
                context.faults.warn(document, found, ("spec", "placement", *path))
        if preference:
            workload = _scheduled(workload, preference, context)
        if workload.rules.target:
            lint_federated(document, workload.rules.target, context.clusters, context.faults)
        workloads.append(workload)
    for preference in preferences.values():
        kind = preference.body["spec"]["targetKind"]
        context.faults.warn(
            preference,
            notice(
                NoticeCause.NOTHING_TO_SCHEDULE,
                subject=f"ReplicaSchedulingPreference {_name(preference)}",
                kind=kind,
            ),
        )
    return workloads


def _name(document: Document) -> str:
    return str(document.body["metadata"]["name"])


def _namespace(document: Document, context: KubeFedContext) -> Workload:
    """A FederatedNamespace; a plain Namespace of that name is its template."""
    name = _name(document)
    plain = context.namespaces.get(name)
    template: Object = dict(plain.body) if plain else {"apiVersion": "v1", "kind": "Namespace"}
    own = map_of(((document.body.get("spec") or {}).get("template") or {}).get("metadata"))
    given = template.get("metadata") or {}
    metadata: Object = {"name": name}
    for part in ("labels", "annotations"):
        merged = {**(given.get(part) or {}), **map_of(own.get(part))}
        if merged:
            metadata[part] = merged
    template["metadata"] = metadata
    return _workload(document, template, _placement(document, context), context)


def _federated(
    document: Document, config: Mapping[str, Any] | None, context: KubeFedContext
) -> Workload | None:
    """KubeFed names the object after the federated one and ignores the template's own name."""
    spec = document.body.get("spec") or {}
    template: Object = dict(spec.get("template") or {})
    target = (config or {}).get("targetType") or {}
    kind = target.get("kind") or document.body["kind"].removeprefix("Federated")
    group, version = target.get("group", ""), target.get("version")
    configured = (f"{group}/{version}" if group else version) if version else None
    api_version = template.get("apiVersion") or configured or API_VERSIONS.get(kind)
    api_version = api_version or context.discovered.get(kind)
    if api_version is None:
        context.faults.unknown_kinds.add(kind)
        if context.faults.possible_definitions.of_any(
            "FederatedTypeConfig", "CustomResourceDefinition"
        ):
            return None
        context.faults.problem(
            document,
            ("kind",),
            f"the apiVersion of {kind} is not known",
            "spec.template.apiVersion, or a FederatedTypeConfig",
        )
        return None
    if template.get("kind", kind) != kind:
        path = ("spec", "template", "kind")
        message = f"a {document.body['kind']} with a template of another kind"
        context.faults.problem(document, path, message, kind)
    metadata = dict(map_of(template.get("metadata")))
    metadata["name"] = _name(document)
    metadata.pop("namespace", None)
    scoped = target.get("scope") == "Cluster" or kind in CLUSTER_SCOPED
    if document.body["metadata"].get("namespace") and not scoped:
        metadata["namespace"] = document.body["metadata"]["namespace"]
    template |= {"apiVersion": api_version, "kind": kind, "metadata": metadata}
    workload = _workload(document, template, _placement(document, context), context)
    if spec.get("retainReplicas"):
        workload = workload.with_rules(retain=(*workload.rules.retain, REPLICAS))
    return workload


def _workload(
    document: Document, template: Object, target: PlacementTarget, context: KubeFedContext
) -> Workload:
    metadata = template["metadata"]
    if context.kubefed_labels:
        metadata["labels"] = {**(metadata.get("labels") or {}), MANAGED: "true"}
    else:
        labels = {k: v for k, v in (metadata.get("labels") or {}).items() if k != MANAGED}
        metadata.pop("labels", None)
        if labels:
            metadata["labels"] = labels
    annotations = document.body["metadata"].get("annotations") or {}
    return Workload(
        key=key_of(template),
        manifest=Manifest(template),
        position=document.position(),
        rules=WorkloadRules(
            target=target,
            overrides=_overrides(document, context),
            retain=RETAINED.get(template["kind"], ()),
            orphan=annotations.get(ORPHAN) == "true",
            kubefed=True,
        ),
    )


def _placement(document: Document, context: KubeFedContext) -> PlacementTarget:
    """``clusters``, even empty, wins over ``clusterSelector``; neither means nowhere."""
    body = (document.body.get("spec") or {}).get("placement") or {}
    if body.get("clusters") is not None:
        names = [entry["name"] for entry in body["clusters"]]
        for index, name in enumerate(names):
            if name not in context.clusters:
                path = ("spec", "placement", "clusters", index, "name")
                context.faults.unknown_cluster(document, path, name, context.clusters)
        return PlacementTarget(clusters=tuple(names), placed_by="KubeFed placement")
    if body.get("clusterSelector") is not None:
        selector = parse_selector(body["clusterSelector"])
        return PlacementTarget(selector=selector, placed_by="KubeFed placement")
    return PlacementTarget(placed_by="KubeFed placement")


def _overrides(document: Document, context: KubeFedContext) -> tuple[Override, ...]:
    found = []
    for number, entry in enumerate((document.body.get("spec") or {}).get("overrides") or ()):
        path = ("spec", "overrides", number)
        name = entry["clusterName"]
        if name not in context.clusters:
            context.faults.unknown_cluster(document, (*path, "clusterName"), name, context.clusters)
        operations = parse_operations(
            document,
            (*path, "clusterOverrides"),
            entry.get("clusterOverrides") or (),
            context.faults,
        )
        found.append(Override(tuple(operations), clusters=(name,)))
    return tuple(found)


def _within_namespace(
    workload: Workload,
    document: Document,
    targets: Mapping[str, PlacementTarget],
    context: KubeFedContext,
) -> Workload:
    """A namespaced object goes only where its FederatedNamespace goes.

    KubeFed propagates nothing without one. Here a namespace that the repository does not mention
    at all may exist in the members already (``default``), so that is a warning, not a refusal.
    """
    namespace = workload.key.namespace
    if not namespace:
        return workload
    if namespace in targets:
        return workload.with_rules(namespace_placement=targets[namespace])
    if namespace not in context.namespaces and namespace != DEFAULT_NAMESPACE:
        context.faults.warn(
            document,
            notice(NoticeCause.NO_FEDERATED_NAMESPACE, namespace=namespace),
        )
    return workload


def _scheduled(workload: Workload, preference: Document, context: KubeFedContext) -> Workload:
    """A ReplicaSchedulingPreference decides placement and replicas of its target."""
    spec = preference.body["spec"]
    shares: dict[str, ReplicaShare] = {}
    default: ReplicaShare | None = None
    for name, entry in (spec.get("clusters") or {}).items():
        share = ReplicaShare(
            entry.get("weight", 0), entry.get("minReplicas", 0), entry.get("maxReplicas")
        )
        if share.maximum is not None and share.minimum > share.maximum:
            context.faults.problem(
                preference,
                ("spec", "clusters", name),
                f"minReplicas {share.minimum} is more than maxReplicas {share.maximum}",
                "min <= max",
            )
        if name == "*":
            default = share
        elif name in context.clusters:
            shares[name] = share
        else:
            path = ("spec", "clusters", name)
            context.faults.unknown_cluster(preference, path, name, context.clusters)
    if not spec.get("clusters"):
        default = ReplicaShare(1)
    intersect = bool(spec.get("intersectWithClusterSelector"))
    placed_by = f"ReplicaSchedulingPreference {_name(preference)}"
    target = workload.rules.target if intersect else PlacementTarget(selector=parse_selector({}))
    if target:
        lint_preference(preference, target, context.clusters, context.faults)
    scheduled = workload.with_rules(
        target=replace(target, placed_by=placed_by) if target else None,
        replicas=ReplicaRule(
            mode="KubeFed",
            total=spec["totalReplicas"],
            shares=shares,
            default_share=default,
            rebalance=bool(spec.get("rebalance", False)),
            intersect_with_placement=intersect,
        ),
    )
    lint_counts(scheduled, preference, placed_by, context.faults)
    return scheduled
