"""Documents -> ``DesiredState``: the one place where all kinds meet."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.annotations import PREFIX
from reconciler.api.errors import Position, Problem
from reconciler.api.kinds import API_VERSIONS, CLUSTER_SCOPED, REPLICATED
from reconciler.api.notices import NoticeCause, notice
from reconciler.api.objects import ObjectKey, map_of, maps_of
from reconciler.federation.autoscalers import check_autoscalers
from reconciler.federation.failover_rules import narrowed
from reconciler.federation.karmada_kinds import CLUSTER_GROUP, Karmada
from reconciler.federation.kubefed import KubeFed, KubeFedContext, compile_kubefed
from reconciler.federation.lint import (
    lint_counts,
    lint_selectors,
    lint_tolerations,
    lint_variables,
    names_and_selector,
)
from reconciler.federation.model import (
    WITNESS,
    Cluster,
    DesiredState,
    Federation,
    PlacementTarget,
    Selector,
    Workload,
    WorkloadRules,
)
from reconciler.federation.placements import (
    Placement,
    check_misfits,
    choose,
    parse_placement,
    wanted_placement,
    with_ignored,
)
from reconciler.federation.rules import parse_federation
from reconciler.federation.seats import check_seats
from reconciler.federation.sensitive import with_hidden
from reconciler.manifests.document import Document
from reconciler.manifests.metadata import mark_problems
from reconciler.manifests.own_schemas import OWN_GROUP, schema_name, schema_problems
from reconciler.manifests.problems import PossibleDefinitions, ProblemCollector, suggestion

if TYPE_CHECKING:
    from reconciler.federation.charts import Chart, ChartObject
    from reconciler.federation.karmada import KarmadaRules

DNS_GROUP = "multiclusterdns.kubefed.io"
_CONTENT = "what lies in it"


class Compiled(Struct, frozen=True):
    """``state`` is None when something is wrong; ``problems`` says what. ``partial`` is what it
    would be without that, to find what else is wrong.

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
    partial: DesiredState | None = None
    charts: tuple[Chart, ...] = ()


class _Sorted(Struct):
    federations: list[Document]
    clusters: list[Document]
    placements: list[Document]
    kubefed: KubeFed
    karmada: Karmada
    dns: list[Document]
    plain: list[Document]
    charts: list[Document]


def compile_documents(
    documents: Sequence[Document],
    discovered: Mapping[str, str] | None = None,
    possible_definitions: PossibleDefinitions | None = None,
    listed: Sequence[Cluster] | None = None,
    rendered: Sequence[ChartObject] = (),
) -> Compiled:
    """Understand a whole repository. Pure; every problem and notice is collected.

    ``discovered`` gives the apiVersion of kinds that the members serve; ``possible_definitions`` is
    what else may be in the repository, but for faults that are reported already. ``listed`` are the
    clusters that a host lists, None where none is asked for any. ``rendered`` is what its Charts
    came to.
    """
    possible_definitions = possible_definitions or PossibleDefinitions()
    faults = ProblemCollector(possible_definitions=possible_definitions, listed=listed is not None)
    parts = _sort(documents, faults)
    in_git = joined = parse_clusters_of(parts, faults)
    if listed:
        from reconciler.federation.inventory import with_listed

        joined = with_listed(in_git, listed, parts.clusters, faults)
    clusters = {name: one for name, one in joined.items() if one.role != WITNESS}
    faults.witnesses = joined.keys() - clusters.keys()
    for extra in parts.federations[1:]:
        first = parts.federations[0].position()
        faults.problem(extra, (), "a second Federation", "one per repository", f"first at {first}")
    chosen = parts.federations[0] if parts.federations else None
    all_known = not possible_definitions.of_any("Cluster", "KubeFedCluster")
    federation = parse_federation(chosen, faults, len(clusters) if all_known else None)
    if chosen is None and documents:
        faults.notices.append(notice(NoticeCause.NO_FEDERATION, subject=federation.name))
    policies = [*parts.placements, *parts.kubefed.documents, *parts.karmada.documents]
    for document in [*parts.federations, *policies]:
        lint_selectors(document, faults)
    placements = [parse_placement(d, clusters, federation, faults) for d in parts.placements]
    _check_default_placement(chosen, clusters, faults)
    if chosen is not None and federation.rollout is not None:
        from reconciler.federation.rollout_rules import check_rollout

        check_rollout(chosen, federation.rollout, clusters, faults)
    # A seat is reached by credentials that joining made.
    check_seats(chosen, in_git, parts.clusters, faults)
    charts = _charts(parts.charts, placements, clusters, federation, faults)
    parts.plain += _of_charts(rendered, parts.plain, faults)
    namespaces = {d.key.name: d for d in parts.plain if d.kind == "Namespace"}
    kinds = {**(discovered or {}), **_kinds_of_crds(parts.plain)}
    around = KubeFedContext(clusters, namespaces, federation.kubefed_labels, faults, kinds)
    workloads = [
        one.with_rules(dependencies=federation.dependencies)
        for one in compile_kubefed(parts.kubefed, around)
    ]
    plain = [
        d
        for d in parts.plain
        if not (d.kind == "Namespace" and _name(d) in parts.kubefed.namespaces)
    ]
    karmada = _karmada_rules(parts.karmada, clusters, federation, faults)
    made = {id(one.document): one for one in rendered}
    workloads += _plain_workloads(plain, placements, karmada, clusters, federation, faults, made)
    if any(workload.rules.dependencies == "Follow" for workload in workloads):
        from reconciler.federation.dependencies import with_followers

        workloads = with_followers(workloads, federation.default_placement)
    workloads = _place_namespaces(workloads, plain, faults)
    check_autoscalers(workloads, plain, placements, faults)
    workloads = with_ignored(workloads, federation, faults)
    from_charts = [one.document for one in rendered]
    workloads = with_hidden(workloads, [*documents, *from_charts], federation.sensitive)
    _check_collisions(workloads, parts, faults)
    if workloads and not joined and all_known:
        faults.problem(documents[0], (), "the repository has no Cluster", "at least one Cluster")
    state = DesiredState(
        federation,
        tuple(clusters.values()),
        tuple(sorted(workloads, key=lambda w: w.key)),
        dns_manifests=tuple(d.body for d in parts.dns),
        notices=tuple(sorted(set(faults.notices), key=str)),
        witnesses=tuple(joined[name] for name in sorted(faults.witnesses)),
    )
    if state.has_maintenance:
        from reconciler.federation.maintenance import check_together

        check_together(
            state,
            {d.body["metadata"]["name"]: d for d in parts.clusters},
            {placement.name: placement.document for placement in placements},
            faults,
        )
    return Compiled(
        None if faults.problems else state,
        tuple(sorted(set(faults.problems))),
        frozenset(faults.unknown_kinds),
        tuple(clusters.values()),
        frozenset(faults.unknown_clusters),
        federation,
        state,
        tuple(charts),
    )


def parse_clusters_of(parts: _Sorted, faults: ProblemCollector) -> dict[str, Cluster]:
    """The member clusters and witnesses by name."""
    from reconciler.federation.members import parse_clusters

    return parse_clusters(parts.clusters, faults)


def _sort(documents: Sequence[Document], faults: ProblemCollector) -> _Sorted:
    parts = _Sorted([], [], [], KubeFed(), Karmada(), [], [], [])
    # Type configurations come first: they tell which other groups hold federated kinds.
    ordered = sorted(documents, key=lambda d: d.kind != "FederatedTypeConfig")
    for document in ordered:
        group, kind = document.key.group_kind
        if group == OWN_GROUP:
            {
                "Federation": parts.federations,
                "Cluster": parts.clusters,
                "Placement": parts.placements,
                "Chart": parts.charts,
            }[kind].append(document)
        elif kind == "KubeFedCluster" or (group, kind) == (CLUSTER_GROUP, "Cluster"):
            parts.clusters.append(document)
        elif group == DNS_GROUP:
            parts.dns.append(document)
        elif not (parts.kubefed.take(document) or parts.karmada.take(document)):
            parts.plain.append(document)
    unchecked = [d for d in parts.kubefed.federated if schema_name(d.body) is None]
    for document in unchecked:
        problems = list(schema_problems(document, federated=True))
        if problems := problems or list(mark_problems(document, federated=True)):
            faults.problems += problems
            parts.kubefed.federated.remove(document)
    return parts


def _kinds_of_crds(documents: Sequence[Document]) -> dict[str, str]:
    """The kinds that the repository's own CRDs define, in their first served version."""
    found: dict[str, str] = {}
    for document in documents:
        if document.kind == "CustomResourceDefinition":
            spec = map_of(document.body.get("spec"))
            served = [v.get("name") for v in maps_of(spec.get("versions")) if v.get("served")]
            if served:
                kind = str(map_of(spec.get("names")).get("kind"))
                found[kind] = f"{spec.get('group')}/{served[0]}"
    return found


def _name(document: Document) -> str:
    return document.key.name


def _check_default_placement(
    document: Document | None, clusters: Mapping[str, Cluster], faults: ProblemCollector
) -> None:
    if document is None:
        return
    defaults = (document.body.get("spec") or {}).get("defaults") or {}
    body, path = defaults.get("placement") or {}, ("spec", "defaults", "placement")
    for index, name in enumerate(body.get("clusters") or ()):
        if name not in clusters:
            faults.unknown_cluster(document, (*path, "clusters", index), name, clusters)
    lint_tolerations(document, (*path, "tolerations"), body.get("tolerations") or (), faults)
    for inside, found in names_and_selector(body):
        found = replace(found, subject="spec.defaults.placement")
        faults.warn(document, found, (*path, *inside))


def _plain_workloads(
    documents: Sequence[Document],
    placements: list[Placement],
    karmada: KarmadaRules | None,
    clusters: Mapping[str, Cluster],
    federation: Federation,
    faults: ProblemCollector,
    from_charts: Mapping[int, ChartObject],
) -> list[Workload]:
    """``from_charts``: what of it Charts rendered, by the id of the document."""
    by_name = {placement.name: placement for placement in placements}
    used: set[tuple[str, int]] = set()
    known: dict[tuple[bool | int, ...], WorkloadRules] = {}
    found: list[Workload] = []
    elsewhere: list[Workload] = []
    for document in documents:
        made = from_charts.get(id(document))
        chart = made.chart.document if made else None
        wanted = wanted_placement(document) or (wanted_placement(chart) if chart else "")
        if wanted and wanted not in by_name:
            if faults.possible_definitions.of("Placement", wanted):
                continue
            path = ("metadata", "annotations", PREFIX + "placement")
            expected = ", ".join(sorted(by_name)) or "a Placement"
            faults.problem(
                document,
                path,
                f"there is no Placement {wanted!r}",
                expected,
                suggestion(wanted, by_name),
            )
            continue
        also = chart.body if chart else None
        about = document.manifest.about if placements and not wanted else {}
        selected = [by_name[wanted]] if wanted else choose(placements, about, used, also)
        if wanted:
            used.add((wanted, -1))
        workload = _workload(document, selected, federation, faults, known)
        if karmada is not None:
            # A Placement goes before Karmada's policies: it is who knows of both.
            if selected:
                workload = _overruling(workload, karmada.names_for(document.body))
            obeying = None if selected else karmada.placed(workload)
            if obeying is None:
                elsewhere.append(workload)
            workload = obeying or workload
        if made:
            workload = _as_rendered(workload, made)
        if workload.rules.substitute_variables and not faults.possible_definitions.of_any(
            "Cluster", "KubeFedCluster"
        ):
            lint_variables(workload, document, clusters, faults)
        found.append(workload)
    for placement in placements:
        _check_used(placement, used, faults)
    if karmada is not None:
        karmada.check_used(elsewhere)
    return found


def _karmada_rules(
    karmada: Karmada,
    clusters: Mapping[str, Cluster],
    federation: Federation,
    faults: ProblemCollector,
) -> KarmadaRules | None:
    if not karmada.documents:
        return None
    from reconciler.federation.karmada import KarmadaRules

    return KarmadaRules(karmada, clusters, federation, faults)


def _overruling(workload: Workload, policies: Sequence[str]) -> Workload:
    """A workload that its Placement places, and not Karmada's policies, which select it too."""
    if not policies or workload.rules.target is None:
        return workload
    names = (*workload.rules.other_placements, *policies)
    own = workload.rules.target.placed_by.partition(" (before ")[0]
    target = replace(workload.rules.target, placed_by=f"{own} (before {', '.join(names)})")
    return workload.with_rules(target=target, other_placements=names)


def _charts(
    documents: Sequence[Document],
    placements: list[Placement],
    clusters: Mapping[str, Cluster],
    federation: Federation,
    faults: ProblemCollector,
) -> Sequence[Chart]:
    if not documents:
        return ()
    from reconciler.federation.charts import parse_charts

    return parse_charts(documents, placements, clusters, federation, faults)


def _of_charts(
    rendered: Sequence[ChartObject], plain: Sequence[Document], faults: ProblemCollector
) -> list[Document]:
    """The documents that Charts rendered; one that the repository has besides is a fault."""
    if not rendered:
        return []
    others = {document.key: document for document in plain}
    found: list[Document] = []
    for one in rendered:
        other = others.setdefault(one.key, one.document)
        if other is one.document:
            found.append(one.document)
            continue
        where = f"the other one is at {other.position()}"
        if other.origin:
            where += f": {other.origin}"
        what = f"Chart {one.chart.name} renders {one.key}, which is there already"
        faults.problem(one.document, (), what, "each object once", where)
    return found


def _as_rendered(workload: Workload, made: ChartObject) -> Workload:
    """helm makes a hook anew when it differs (its delete policy before-hook-creation, which is the
    default), and never deletes what its chart wants kept."""
    from reconciler.federation.charts import is_kept

    release = made.chart.release
    return workload.with_rules(
        forms=made.forms,
        only_in=made.clusters,
        random=made.random,
        chart=f"{release.namespace}/{release.name}",
        hook=made.hook,
        remove_record=made.chart.release_record == "Remove",
        recreate=workload.rules.recreate or made.hook,
        orphan=workload.rules.orphan or is_kept(made.document.body),
    )


def _check_used(
    placement: Placement, used: Collection[tuple[str, int]], faults: ProblemCollector
) -> None:
    """Warn of a Placement, or a part of its selection, that no manifest follows."""
    name, document = placement.name, placement.document
    entries = placement.spec.get("select") or ()
    unused = [n for n in range(len(entries)) if (name, n) not in used]
    if len(unused) == len(entries) and (name, -1) not in used:
        cause = NoticeCause.SELECTS_NOTHING if entries else NoticeCause.NOT_ASKED_FOR
        faults.warn(document, notice(cause, subject=f"Placement {name}"))
    elif len(unused) < len(entries):
        for number in unused:
            unused_part = notice(NoticeCause.PART_SELECTS_NOTHING, subject=f"Placement {name}")
            faults.warn(document, unused_part, ("spec", "select", number))


def _place_namespaces(
    workloads: Sequence[Workload], plain: Sequence[Document], faults: ProblemCollector
) -> list[Workload]:
    """A Namespace that nothing places follows what lies in it; other manifests go nowhere."""
    if all(workload.rules.target is not None for workload in workloads):
        return list(workloads)
    documents = {d.key: d for d in plain}
    inside: dict[str, list[Workload]] = {}
    for workload in workloads:
        if workload.rules.target is not None:
            inside.setdefault(workload.key.namespace, []).append(workload)
    found = []
    for workload in workloads:
        there = inside.get(workload.key.name) if workload.key.kind == "Namespace" else None
        if workload.rules.target is None and there:
            workload = _following(workload, there)
        elif workload.rules.target is None and workload.key in documents:
            faults.warn(
                documents[workload.key],
                notice(NoticeCause.PLACED_BY_NOBODY, subject=workload.key),
            )
        found.append(workload)
    return found


def _following(namespace: Workload, inside: Sequence[Workload]) -> Workload:
    """What is in it may all be given up: then the Namespace is as well."""
    targets = [w.rules.target for w in inside if w.rules.target and w.is_given_up]
    if len(targets) == len(inside):
        given_up = next((t for t in targets if t.clusters is None), targets[0])
        return namespace.with_rules(target=replace(given_up, placed_by=_CONTENT))
    target = PlacementTarget(selector=Selector(), placed_by=_CONTENT)
    return namespace.with_rules(target=target, follows=True)


def _workload(
    document: Document,
    selected: list[Placement],
    federation: Federation,
    faults: ProblemCollector,
    known: dict[tuple[bool | int, ...], WorkloadRules],
) -> Workload:
    """``known``: the rules that were made, by all that they are made of."""
    substitutes = document.manifest.annotations.get(PREFIX + "substitute") == "true"
    made_of = (substitutes, *map(id, selected))
    rules = known.get(made_of)
    if rules is None:
        rules = known[made_of] = _rules(selected, federation, substitutes=substitutes)
    workload = Workload(document.key, document.manifest, document.position(), rules)
    if selected:
        _check_placed(workload, document, selected, faults)
    return workload


def _rules(
    selected: Sequence[Placement], federation: Federation, *, substitutes: bool
) -> WorkloadRules:
    rules = WorkloadRules(
        target=federation.default_placement,
        substitute_variables=substitutes,
        dependencies=federation.dependencies,
    )
    if not selected:
        return rules
    placement, spec = selected[0], selected[0].spec
    overruled = [p.name for p in selected[1:]]
    prune = spec.get("prune") or {}
    return replace(
        rules,
        # Who shares a Placement shares its target, so that clusters are chosen once for all.
        target=replace(placement.target, placed_by=_winner(placement.name, overruled))
        if overruled
        else placement.target,
        replicas=placement.replicas,
        overrides=placement.overrides,
        force_conflicts=spec.get("forceConflicts", False),
        recreate=spec.get("recreate", False),
        protect=prune.get("protect", False),
        prune_propagation=prune.get("propagation"),
        failover=narrowed(spec["failover"], federation.failover) if "failover" in spec else None,
        other_placements=tuple(overruled),
        additions=(spec.get("drift") or {}).get("additions"),
        ignore=tuple(spec.get("ignore") or ()),
        rollout=placement.rollout,
        maintenance=placement.maintenance,
        dependencies=spec.get("dependencies", federation.dependencies),
    )


def _check_placed(
    workload: Workload,
    document: Document,
    selected: Sequence[Placement],
    faults: ProblemCollector,
) -> None:
    placement, spec = selected[0], selected[0].spec
    equals = [p for p in selected[1:] if p.spec.get("priority", 0) == spec.get("priority", 0)]
    if equals:
        faults.warn(
            document,
            notice(
                NoticeCause.PLACEMENTS_TIE,
                subject=workload.key,
                winner=placement.name,
                others=", ".join(p.name for p in equals),
            ),
        )
    if placement.replicas.mode == "Divided":
        kind = workload.key.kind
        default = 1 if kind in REPLICATED else None
        replicas = map_of(document.body.get("spec")).get("replicas", default)
        if replicas is None:
            faults.problem(
                placement.document,
                ("spec", "replicas", "mode"),
                f"{kind} {_name(document)} has no spec.replicas to divide",
                "Duplicated, or a selection of workloads only",
            )
    check_misfits(placement.document, ("spec", "ignore"), workload, workload.rules.ignore, faults)
    if placement.replicas.mode == "Divided":
        lint_counts(workload, placement.document, f"Placement {placement.name}", faults)


def _winner(name: str, overruled: Sequence[str]) -> str:
    return f"Placement {name}" + (f" (before {', '.join(overruled)})" if overruled else "")


def _check_collisions(
    workloads: Sequence[Workload], parts: _Sorted, faults: ProblemCollector
) -> None:
    seen: dict[ObjectKey, Workload] = {}
    documents: dict[Position, Document] = {}
    for workload in workloads:
        key = workload.key
        if not key.namespace and key.kind in API_VERSIONS and key.kind not in CLUSTER_SCOPED:
            key = key.with_namespace
        other = seen.setdefault(key, workload)
        if other is workload:
            continue
        if not documents:
            # Most repositories have nothing of the kind.
            documents = {d.position(): d for d in [*parts.plain, *parts.kubefed.federated]}
        here, there = documents.get(workload.position), documents.get(other.position)
        if here is None or there is None:
            continue
        # One document twice was told when they were read. (All that was built has one position.)
        plain = not (workload.rules.kubefed or other.rules.kubefed)
        if not (plain and workload.key == other.key) and (here is there or here.key != there.key):
            plainly = (
                "plainly and federated"
                if workload.rules.kubefed != other.rules.kubefed
                else "in default"
            )
            how = (
                "by two federated objects"
                if workload.rules.kubefed and other.rules.kubefed
                else plainly
            )
            faults.problem(
                here,
                (),
                f"{key} is defined twice, {how}",
                "each object once",
                f"the other one is at {other.position}",
            )
