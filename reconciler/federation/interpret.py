"""Documents -> ``DesiredState``: the one place where all kinds meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec import Struct
from msgspec.structs import replace

from reconciler.errors import Problem
from reconciler.federation.autoscalers import scale_target, scaled_as
from reconciler.federation.failover_rules import narrowed
from reconciler.federation.faults import Faults, near
from reconciler.federation.known_kinds import API_VERSIONS, CLUSTER_SCOPED, REPLICAS, REPLICATED
from reconciler.federation.kubefed import KubeFed, Surroundings, interpret_kubefed
from reconciler.federation.model import (
    Cluster,
    DesiredState,
    Federation,
    PatchOperation,
    PlacementTarget,
    Workload,
)
from reconciler.federation.placements import (
    Placement,
    check_misfits,
    choose,
    parse_placement,
    with_ignored,
)
from reconciler.federation.rules import parse_federation
from reconciler.federation.sensitive import with_hidden
from reconciler.manifests.document import Document
from reconciler.manifests.marks import ANNOTATIONS, PREFIX, STEERING, faults_in_metadata, faults_of
from reconciler.manifests.schema import OWN_GROUP, schema_name, schema_problems
from reconciler.objects import Object, ObjectKey, api_group, key_of, map_of, maps_of

DNS_GROUP = "multiclusterdns.kubefed.io"


class Interpretation(Struct, frozen=True):
    """``state`` is None when something is wrong; ``problems`` says what.

    ``unknown_kinds`` are federated kinds without an apiVersion, which ``clusters`` may know;
    ``unknown_clusters`` are named somewhere and have no Cluster. ``federation`` is there in any
    case, for those who look after its other rules.
    """

    state: DesiredState | None
    problems: tuple[Problem, ...]
    unknown_kinds: frozenset[str] = frozenset()
    clusters: tuple[Cluster, ...] = ()
    unknown_clusters: frozenset[str] = frozenset()
    federation: Federation | None = None


@dataclass
class _Sorted:
    federations: list[Document]
    clusters: list[Document]
    placements: list[Document]
    kubefed: KubeFed
    dns: list[Document]
    plain: list[Document]


def interpret(
    documents: Sequence[Document], discovered: Mapping[str, str] | None = None
) -> Interpretation:
    """Understand a whole repository. Pure; every problem and warning is collected.

    ``discovered`` gives the apiVersion of kinds that the members serve.
    """
    faults = Faults()
    parts = _sort(documents, faults)
    _check_marks(parts, faults)
    clusters = parse_clusters_of(parts, faults)
    for extra in parts.federations[1:]:
        first = parts.federations[0].position()
        faults.problem(extra, (), "a second Federation", "one per repository", f"first at {first}")
    chosen = parts.federations[0] if parts.federations else None
    federation = parse_federation(chosen, faults, len(clusters))
    if chosen is None and documents:
        faults.warnings.append(
            "the repository has no Federation document: default rules hold, under the name "
            f"{federation.name!r}"
        )
    placements = [parse_placement(d, clusters, federation, faults) for d in parts.placements]
    _check_default_placement(chosen, clusters, faults)
    namespaces = {
        d.body["metadata"]["name"]: d for d in parts.plain if d.body["kind"] == "Namespace"
    }
    kinds = {**(discovered or {}), **_kinds_of_crds(parts.plain)}
    around = Surroundings(clusters, namespaces, federation.kubefed_labels, faults, kinds)
    workloads = interpret_kubefed(parts.kubefed, around)
    plain = [
        d
        for d in parts.plain
        if not (d.body["kind"] == "Namespace" and _name(d) in parts.kubefed.namespaces)
    ]
    workloads += _plain_workloads(plain, placements, federation, faults)
    _check_autoscalers(workloads, plain, faults)
    workloads = with_ignored(workloads, federation, faults)
    workloads = with_hidden(workloads, documents, federation.sensitive)
    _check_collisions(workloads, parts, faults)
    if workloads and not clusters:
        faults.problem(documents[0], (), "the repository has no Cluster", "at least one Cluster")
    if faults.problems:
        return Interpretation(
            None,
            tuple(sorted(set(faults.problems))),
            frozenset(faults.unknown_kinds),
            tuple(clusters.values()),
            frozenset(faults.unknown_clusters),
            federation,
        )
    return Interpretation(
        DesiredState(
            federation,
            tuple(clusters.values()),
            tuple(sorted(workloads, key=lambda w: w.key)),
            dns_manifests=tuple(d.body for d in parts.dns),
            warnings=tuple(sorted(set(faults.warnings))),
        ),
        (),
        federation=federation,
    )


def parse_clusters_of(parts: _Sorted, faults: Faults) -> dict[str, Cluster]:
    """The member clusters by name."""
    from reconciler.federation.members import parse_clusters

    return parse_clusters(parts.clusters, faults)


def _sort(documents: Sequence[Document], faults: Faults) -> _Sorted:
    parts = _Sorted([], [], [], KubeFed(), [], [])
    # Type configurations come first: they tell which other groups hold federated kinds.
    ordered = sorted(documents, key=lambda d: d.body["kind"] != "FederatedTypeConfig")
    for document in ordered:
        group, kind = api_group(document.body["apiVersion"]), document.body["kind"]
        if group == OWN_GROUP:
            {
                "Federation": parts.federations,
                "Cluster": parts.clusters,
                "Placement": parts.placements,
            }[kind].append(document)
        elif kind == "KubeFedCluster":
            parts.clusters.append(document)
        elif group == DNS_GROUP:
            parts.dns.append(document)
        elif not parts.kubefed.take(document):
            parts.plain.append(document)
    unchecked = [d for d in parts.kubefed.federated if schema_name(d.body) is None]
    for document in unchecked:
        if problems := list(schema_problems(document, federated=True)):
            faults.problems += problems
            parts.kubefed.federated.remove(document)
    return parts


def _check_marks(parts: _Sorted, faults: Faults) -> None:
    """Our annotations and labels: all of them on manifests, what KubeFed's templates have no other
    way to say in these, none on documents that never reach a cluster."""
    federated = [*parts.kubefed.federated, *parts.kubefed.namespaces.values()]
    rules = [*parts.federations, *parts.clusters, *parts.placements, *parts.dns]
    rules += [*parts.kubefed.type_configs, *parts.kubefed.preferences]
    in_templates = tuple(name for name in ANNOTATIONS if name not in STEERING)
    for document in parts.plain:
        for path, fault in faults_of(document.body):
            faults.mark(document, path, fault)
    for document in federated + rules:
        for path, fault in faults_in_metadata(document.body):
            faults.mark(document, path, fault)
    for document in federated:
        template = map_of(map_of(document.body.get("spec")).get("template"))
        for path, fault in faults_of(template, in_templates):
            faults.mark(document, ("spec", "template", *path), fault)


def _kinds_of_crds(documents: Sequence[Document]) -> dict[str, str]:
    """The kinds that the repository's own CRDs define, in their first served version."""
    found: dict[str, str] = {}
    for document in documents:
        if document.body["kind"] == "CustomResourceDefinition":
            spec = map_of(document.body.get("spec"))
            served = [v.get("name") for v in maps_of(spec.get("versions")) if v.get("served")]
            if served:
                kind = str(map_of(spec.get("names")).get("kind"))
                found[kind] = f"{spec.get('group')}/{served[0]}"
    return found


def _name(document: Document) -> str:
    return str(document.body["metadata"]["name"])


def _check_default_placement(
    document: Document | None, clusters: Mapping[str, Cluster], faults: Faults
) -> None:
    if document is None:
        return
    defaults = (document.body.get("spec") or {}).get("defaults") or {}
    for index, name in enumerate((defaults.get("placement") or {}).get("clusters") or ()):
        if name not in clusters:
            path = ("spec", "defaults", "placement", "clusters", index)
            faults.unknown_cluster(document, path, name, clusters)


def _plain_workloads(
    documents: Sequence[Document],
    placements: list[Placement],
    federation: Federation,
    faults: Faults,
) -> list[Workload]:
    by_name = {placement.name: placement for placement in placements}
    used: set[str] = set()
    found: list[Workload] = []
    unplaced: list[tuple[Document, Workload]] = []
    for document in documents:
        wanted = _annotations(document.body).get(PREFIX + "placement")
        if wanted and wanted not in by_name:
            path = ("metadata", "annotations", PREFIX + "placement")
            expected = ", ".join(sorted(by_name)) or "a Placement"
            faults.problem(
                document, path, f"there is no Placement {wanted!r}", expected, near(wanted, by_name)
            )
            continue
        selected = [by_name[wanted]] if wanted else choose(placements, document.body)
        used |= {placement.name for placement in selected}
        workload = _workload(document, selected, federation, faults)
        found.append(workload)
        if workload.target is None:
            unplaced.append((document, workload))
    for placement in placements:
        if placement.name not in used and placement.spec.get("select"):
            faults.warn(placement.document, f"Placement {placement.name} selects no manifest")
    return _place_namespaces(found, unplaced, faults)


def _place_namespaces(
    workloads: list[Workload], unplaced: list[tuple[Document, Workload]], faults: Faults
) -> list[Workload]:
    """A Namespace that nothing places follows the objects in it; other manifests go nowhere."""
    result = {w.key: w for w in workloads}
    for document, workload in unplaced:
        inside = [w.target for w in workloads if w.key.namespace == workload.key.name and w.target]
        if workload.key.kind == "Namespace" and inside:
            result[workload.key] = replace(workload, target=_union(inside))
        else:
            faults.warn(
                document,
                f"{workload.key} goes nowhere: no Placement selects it; add one, or "
                "spec.defaults.placement to the Federation",
            )
    return list(result.values())


def _union(targets: Sequence[PlacementTarget]) -> PlacementTarget:
    if all(t.clusters is not None for t in targets):
        names = sorted({name for t in targets for name in t.clusters or ()})
        return PlacementTarget(clusters=tuple(names), placed_by="the objects in it")
    return PlacementTarget(selector=next(t.selector for t in targets if t.clusters is None))


def _annotations(body: Object) -> dict[str, str]:
    return dict(body["metadata"].get("annotations") or {})


def _workload(
    document: Document,
    selected: list[Placement],
    federation: Federation,
    faults: Faults,
) -> Workload:
    body, annotations = document.body, _annotations(document.body)
    workload = Workload(
        key=key_of(body),
        template=body,
        position=document.position(),
        target=federation.default_placement,
        substitute_variables=annotations.get(PREFIX + "substitute") == "true",
    )
    if not selected:
        return workload
    placement, spec = selected[0], selected[0].spec
    beaten = [p.name for p in selected[1:]]
    rivals = [p for p in selected[1:] if p.spec.get("priority", 0) == spec.get("priority", 0)]
    if rivals:
        faults.warn(
            document,
            f"{workload.key}: Placement {placement.name} wins over "
            f"{', '.join(p.name for p in rivals)} by being more specific or first by name; "
            "spec.priority would say which is meant",
        )
    if placement.replicas.mode == "Divided":
        default = 1 if body["kind"] in REPLICATED else None
        replicas = map_of(body.get("spec")).get("replicas", default)
        if replicas is None:
            faults.problem(
                placement.document,
                ("spec", "replicas", "mode"),
                f"{body['kind']} {_name(document)} has no spec.replicas to divide",
                "Duplicated, or a selection of workloads only",
            )
    if placement.replicas.mode == "Divided":
        _warn_of_counts(placement, faults)
    prune = spec.get("prune") or {}
    ignored = tuple(spec.get("ignore") or ())
    ruled = replace(workload, replicas=placement.replicas)
    check_misfits(placement.document, ("spec", "ignore"), ruled, ignored, faults)
    return replace(
        workload,
        # Who shares a Placement shares its target, so that clusters are chosen once for all.
        target=replace(placement.target, placed_by=_winner(placement.name, beaten))
        if beaten
        else placement.target,
        replicas=placement.replicas,
        overrides=placement.overrides,
        force_conflicts=spec.get("forceConflicts", False),
        recreate=spec.get("recreate", False),
        protect=prune.get("protect", False),
        prune_propagation=prune.get("propagation"),
        failover=narrowed(spec["failover"], federation.failover) if "failover" in spec else None,
        other_placements=tuple(beaten),
        additions=(spec.get("drift") or {}).get("additions"),
        ignore=ignored,
    )


def _warn_of_counts(placement: Placement, faults: Faults) -> None:
    for operation in (one for override in placement.overrides for one in override.operations):
        if isinstance(operation, PatchOperation) and operation.path == REPLICAS:
            place = operation.position or placement.document.position()
            faults.warnings.append(
                f"{place.file}:{place.line}: Placement {placement.name} divides the replicas: this "
                "override of them has no effect; spec.replicas.clusters has weight, min and max"
            )


def _winner(name: str, beaten: Sequence[str]) -> str:
    return f"Placement {name}" + (f" (before {', '.join(beaten)})" if beaten else "")


def _check_autoscalers(
    workloads: Sequence[Workload], plain: Sequence[Document], faults: Faults
) -> None:
    """Warn of replicas that are divided where an autoscaler of the repository sets them."""
    scalers = {target: w.key for w in workloads if (target := scale_target(w.template))}
    places: Mapping[ObjectKey, Document] = {key_of(d.body): d for d in plain if scalers}
    for workload in workloads if scalers else ():
        scaler = scalers.get(scaled_as(workload.key))
        if scaler and workload.replicas.mode != "Duplicated" and workload.key in places:
            faults.warn(
                places[workload.key],
                f"{workload.key}: its replicas are divided, and {scaler.kind} {scaler.name} scales "
                "it too: the division says where it starts and stops, the autoscaler how many run",
            )


def _check_collisions(workloads: Sequence[Workload], parts: _Sorted, faults: Faults) -> None:
    seen: dict[ObjectKey, Workload] = {}
    documents = {d.position(): d for d in [*parts.plain, *parts.kubefed.federated]}
    for workload in workloads:
        key = workload.key
        if not key.namespace and key.kind in API_VERSIONS and key.kind not in CLUSTER_SCOPED:
            key = key.with_namespace
        other = seen.setdefault(key, workload)
        if other is not workload and workload.position in documents:
            how = "plainly and federated" if workload.kubefed != other.kubefed else "in default"
            faults.problem(
                documents[workload.position],
                (),
                f"{key} is defined twice, {how}",
                "each object once",
                f"the other one is at {other.position}",
            )
