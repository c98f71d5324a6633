"""Karmada's policies, with Karmada's own semantics (1.16 to 1.19): which one a manifest obeys.

Sources: Karmada's published API types and user guide. What differs is in ``docs/karmada.md``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.kinds import REPLICAS
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import Object, key_of, map_of
from reconciler.federation.cluster_affinity import checked_affinity
from reconciler.federation.karmada_failover import check_failover_of_policy, failover_of
from reconciler.federation.karmada_kinds import Karmada
from reconciler.federation.karmada_overrides import OverridePolicies
from reconciler.federation.lint import lint_tolerations
from reconciler.federation.model import (
    Cluster,
    ClusterAffinity,
    Federation,
    PlacementTarget,
    ReplicaRule,
    Requirement,
    Selector,
    Spread,
    Toleration,
    Workload,
)
from reconciler.federation.resource_selectors import (
    CLUSTER_WIDE,
    Match,
    entries_about,
    namespace_of,
)
from reconciler.manifests.document import Document
from reconciler.manifests.problems import ProblemCollector, suggestion

RETAIN_REPLICAS = "resourcetemplate.karmada.io/retain-replicas"
_RESERVED = ("karmada-system", "karmada-cluster")
_PLACEMENT = ("spec", "placement")
_DIVIDED_BY_OTHER_FIELDS = {"Job": "spec.parallelism", "Pod": "whole Pods"}
"""Kinds that Karmada divides as well, and by what."""


class Policy(Struct, frozen=True):
    """One PropagationPolicy or ClusterPropagationPolicy, parsed. ``template`` is a workload with
    all that it says, but for whose it is."""

    document: Document
    target: PlacementTarget
    replicas: ReplicaRule

    @property
    def spec(self) -> Object:
        return dict(self.document.body["spec"])

    @property
    def name(self) -> str:
        """``PropagationPolicy shop/web``."""
        return policy_name(self.document)


def policy_name(document: Document) -> str:
    """``PropagationPolicy shop/web``, ``ClusterOverridePolicy images``."""
    body = document.body
    namespace = "" if body["kind"] in CLUSTER_WIDE else f"{namespace_of(body)}/"
    return f"{body['kind']} {namespace}{body['metadata']['name']}"


class KarmadaRules:
    """All policies of a repository: they place manifests one by one, and then tell what none of
    them obeyed."""

    def __init__(
        self,
        karmada: Karmada,
        clusters: Mapping[str, Cluster],
        federation: Federation,
        faults: ProblemCollector,
    ) -> None:
        self._federation, self._faults, self._clusters = federation, faults, clusters
        self._policies = [_policy(d, clusters, faults) for d in karmada.policies]
        self._overrides = OverridePolicies(karmada.overrides, clusters, faults)
        self._used: set[tuple[int, int]] = set()
        _check_twice(karmada.documents, faults)
        for policy in self._policies:
            _check_dependent_overrides(policy, karmada.overrides, faults)

    def names_for(self, manifest: Object) -> list[str]:
        """The policies that select a manifest, the one that counts first."""
        return [policy.name for policy in self._chosen(manifest)]

    def placed(self, workload: Workload) -> Workload | None:
        """A manifest as its policy and the override policies have it; None: no policy selects it.

        Of a namespace's own policies and those of the whole fleet, the former count; among each
        the highest ``priority``, then who selects most exactly, then the smaller name.
        """
        chosen = self._chosen(workload.template)
        if not chosen:
            return None
        policy, spec = chosen[0], chosen[0].spec
        overruled = tuple(other.name for other in chosen[1:])
        overwrites = spec.get("conflictResolution") == "Overwrite"
        before = f" (before {', '.join(overruled)})" if overruled else ""
        found = workload.with_rules(
            target=replace(policy.target, placed_by=policy.name + before)
            if overruled
            else policy.target,
            replicas=self._replicas(policy, workload),
            other_placements=overruled,
            dependencies="Follow" if spec.get("propagateDeps") else workload.rules.dependencies,
            orphan=bool(spec.get("preserveResourcesOnDeletion")),
            abort_on_conflict=not overwrites,
            force_conflicts=overwrites,
            **self._suspension(policy),
        )
        if (workload.template["metadata"].get("labels") or {}).get(RETAIN_REPLICAS) == "true":
            found = found.with_rules(retain=(*found.rules.retain, REPLICAS))
        found = found.with_rules(
            failover=failover_of(policy.document, found, self._federation, self._faults)
        )
        return found.with_rules(overrides=self._overrides.of(found))

    def check_used(self, elsewhere: Sequence[Workload]) -> None:
        """Warn of what no manifest obeys. ``elsewhere``: manifests that another rule places."""
        for number, policy in enumerate(self._policies):
            entries = policy.spec["resourceSelectors"]
            unused = [n for n in range(len(entries)) if (number, n) not in self._used]
            if len(unused) == len(entries):
                nothing = notice(NoticeCause.SELECTS_NOTHING, subject=policy.name)
                self._faults.warn(policy.document, nothing)
                continue
            for entry in unused:
                part = notice(NoticeCause.PART_SELECTS_NOTHING, subject=policy.name)
                self._faults.warn(policy.document, part, ("spec", "resourceSelectors", entry))
        self._overrides.check_used(elsewhere)

    def _chosen(self, manifest: Object) -> list[Policy]:
        scored = []
        for number, policy in enumerate(self._policies):
            wide = policy.document.body["kind"] in CLUSTER_WIDE
            if wide and is_reserved(namespace_of(manifest)):
                continue
            entries = dict(entries_about(policy.document.body, manifest))
            if entries:
                self._used |= {(number, entry) for entry in entries}
                best = max(entries.values(), default=Match.NONE)
                rank = (wide, -policy.spec.get("priority", 0), -best, policy.name)
                scored.append((rank, policy))
        return [policy for _, policy in sorted(scored, key=lambda item: item[0])]

    def _replicas(self, policy: Policy, workload: Workload) -> ReplicaRule:
        """A policy that divides does so with what has replicas; the rest is in every cluster."""
        kind, spec = workload.key.kind, map_of(workload.template.get("spec"))
        if policy.replicas.mode == "Duplicated":
            return policy.replicas
        if kind in _DIVIDED_BY_OTHER_FIELDS and workload.key.group in ("", "batch"):
            self._faults.problem(
                policy.document,
                (*_PLACEMENT, "replicaScheduling", "replicaSchedulingType"),
                f"{workload.key}: Karmada would divide {_DIVIDED_BY_OTHER_FIELDS[kind]}, and only "
                "spec.replicas can be divided here",
                "Duplicated",
                "let a policy of its own place it",
            )
        divided = kind in ("Deployment", "StatefulSet") or "replicas" in spec
        return policy.replicas if divided else ReplicaRule()

    def _suspension(self, policy: Policy) -> dict[str, Any]:
        body = map_of(policy.spec.get("suspension"))
        names = map_of(body.get("dispatchingOnClusters")).get("clusterNames") or ()
        return {"suspended": tuple(names), "suspended_everywhere": bool(body.get("dispatching"))}


def is_reserved(namespace: str) -> bool:
    """Whether Karmada keeps a namespace for itself."""
    return namespace in _RESERVED or namespace.startswith("karmada-es-")


def _check_twice(documents: Collection[Document], faults: ProblemCollector) -> None:
    seen: dict[str, Document] = {}
    for document in documents:
        name = policy_name(document)
        other = seen.setdefault(name, document)
        if other is not document and key_of(other.body) != key_of(document.body):
            hint = f"the other one is at {other.position()}"
            faults.problem(document, (), f"there are two of {name}", "one", hint)


def _check_dependent_overrides(
    policy: Policy, overrides: Sequence[Document], faults: ProblemCollector
) -> None:
    """Karmada waits for them; a repository has them or it does not. They are of the policy's own
    scope: of its namespace, or of the whole fleet."""
    here, wide = namespace_of(policy.document.body), policy.document.body["kind"] in CLUSTER_WIDE
    known = {
        str(d.body["metadata"]["name"])
        for d in overrides
        if (d.body["kind"] in CLUSTER_WIDE) == wide and namespace_of(d.body) == here
    }
    one = "ClusterOverridePolicy" if wide else "OverridePolicy"
    for index, name in enumerate(policy.spec.get("dependentOverrides") or ()):
        broken = faults.possible_definitions.of(one, name)
        if name not in known and not broken:
            faults.problem(
                policy.document,
                ("spec", "dependentOverrides", index),
                f"there is no {one} {name!r}",
                ", ".join(sorted(known)) or f"{one} {name}{'' if wide else ' of its namespace'}",
                suggestion(name, known),
            )


# -- one policy ------------------------------------------------------------------------------------


def _policy(
    document: Document,
    clusters: Mapping[str, Cluster],
    faults: ProblemCollector,
) -> Policy:
    spec = document.body["spec"]
    placement = map_of(spec.get("placement"))
    _check_unsupported(document, spec, faults)
    _check_suspension(document, clusters, faults)
    if document.body["kind"] not in CLUSTER_WIDE:
        _check_namespaces(document, faults)
    tolerations = placement.get("clusterTolerations") or ()
    inside = (*_PLACEMENT, "clusterTolerations")
    lint_tolerations(document, inside, tolerations, faults, needs_key=False)
    check_failover_of_policy(document, faults)
    replicas = _replica_rule(document, clusters, faults)
    spread = _spread(document, faults)
    affinities = _affinities(document, clusters, faults)
    if replicas.strategy == "StaticWeight" and replicas.mode == "Karmada":
        affinities, spread = _beside_weights(document, spread, affinities, faults), ()
    target = PlacementTarget(
        selector=Selector(),
        spread=spread,
        tolerations=tuple(
            Toleration(
                key=t.get("key", ""),
                operator=t.get("operator", "Equal"),
                value=t.get("value", ""),
                effect=t.get("effect", ""),
                toleration_seconds=max(0.0, float(t["tolerationSeconds"]))
                if "tolerationSeconds" in t
                else None,
            )
            for t in tolerations
        ),
        placed_by=policy_name(document),
        karmada=True,
        affinities=affinities,
    )
    return Policy(document, target, replicas)


def _affinities(
    document: Document, clusters: Mapping[str, Cluster], faults: ProblemCollector
) -> tuple[ClusterAffinity, ...]:
    placement = map_of(document.body["spec"].get("placement"))
    one, several = placement.get("clusterAffinity"), placement.get("clusterAffinities")
    if one is not None and several is not None:
        line = document.position(*_PLACEMENT, "clusterAffinity").line
        faults.problem(
            document,
            (*_PLACEMENT, "clusterAffinities"),
            f"clusterAffinities beside clusterAffinity (line {line})",
            "one of the two",
        )
    found = []
    names: dict[str, int] = {}
    for number, body in enumerate(several or ()):
        path = (*_PLACEMENT, "clusterAffinities", number)
        earlier = names.setdefault(body["affinityName"], number)
        if earlier != number:
            line = document.position(*_PLACEMENT, "clusterAffinities", earlier).line
            message = f"a second group {body['affinityName']!r} (the first is in line {line})"
            faults.problem(document, (*path, "affinityName"), message, "a name of its own")
        found.append(checked_affinity(document, path, clusters, body, faults))
    if one is not None:
        inside = (*_PLACEMENT, "clusterAffinity")
        found.append(checked_affinity(document, inside, clusters, one, faults))
    return tuple(found)


def _spread(document: Document, faults: ProblemCollector) -> tuple[Spread, ...]:
    placement = map_of(document.body["spec"].get("placement"))
    found: dict[str, Spread] = {}
    for number, body in enumerate(placement.get("spreadConstraints") or ()):
        path = (*_PLACEMENT, "spreadConstraints", number)
        if body.get("spreadByLabel"):
            faults.problem(
                document,
                (*path, "spreadByLabel"),
                "groups by a label are not supported (nor does Karmada's scheduler know them)",
                "spreadByField: cluster, region, zone or provider",
            )
            continue
        by: Literal["cluster", "region", "zone", "provider"] = (
            body.get("spreadByField") or "cluster"
        )
        least, most = body.get("minGroups") or 1, body.get("maxGroups") or None
        if most is not None and least > most:
            message = f"minGroups {least} is more than maxGroups {most}"
            faults.problem(document, path, message, "min <= max")
        if by in found:
            faults.problem(document, path, f"a second rule for {by}", "one for each field")
        found[by] = Spread(by, least, most)
    order = ("provider", "region", "zone", "cluster")
    return tuple(found[by] for by in order if by in found)


def _beside_weights(
    document: Document,
    spread: Sequence[Spread],
    affinities: Sequence[ClusterAffinity],
    faults: ProblemCollector,
) -> tuple[ClusterAffinity, ...]:
    """Beside static weights nothing is spread, as in Karmada; but clusters that are nowhere of what
    would be spread over are left out all the same."""
    if not spread:
        return tuple(affinities)
    places = [rule.by for rule in spread if rule.by != "cluster"]
    without = f", but clusters without a {' or '.join(places)} are left out" if places else ""
    what = f"spreadConstraints have no effect beside static weights, as in Karmada{without}"
    faults.warn(document, _without_effect(document, what), (*_PLACEMENT, "spreadConstraints"))
    if not places:
        return tuple(affinities)
    fields = tuple(Requirement(place, "Exists") for place in places)
    return tuple(
        replace(one, fields=(*one.fields, *fields)) for one in affinities or (ClusterAffinity(),)
    )


def _replica_rule(
    document: Document, clusters: Mapping[str, Cluster], faults: ProblemCollector
) -> ReplicaRule:
    body = map_of(document.body["spec"].get("placement")).get("replicaScheduling")
    path = (*_PLACEMENT, "replicaScheduling")
    if body is None:
        return ReplicaRule()
    preference, weights = body.get("replicaDivisionPreference"), body.get("weightPreference")
    if body.get("replicaSchedulingType", "Divided") == "Duplicated":
        for name in ("replicaDivisionPreference", "weightPreference"):
            if name in body:
                what = f"{name} has no effect with replicaSchedulingType: Duplicated"
                faults.warn(document, _without_effect(document, what), (*path, name))
        return ReplicaRule()
    static = (weights or {}).get("staticWeightList") or ()
    found = tuple(
        (
            checked_affinity(
                document,
                (*path, "weightPreference", "staticWeightList", number, "targetCluster"),
                clusters,
                entry["targetCluster"],
                faults,
            ),
            int(entry["weight"]),
        )
        for number, entry in enumerate(static)
    )
    if preference == "Aggregated":
        if weights is not None:
            what = "weightPreference has no effect with Aggregated"
            faults.warn(document, _without_effect(document, what), (*path, "weightPreference"))
        return ReplicaRule(mode="Karmada", strategy="Aggregated")
    if (weights or {}).get("dynamicWeight"):
        if static:
            what = "staticWeightList has no effect beside dynamicWeight"
            inside = (*path, "weightPreference", "staticWeightList")
            faults.warn(document, _without_effect(document, what), inside)
        return ReplicaRule(mode="Karmada", strategy="DynamicWeight")
    return ReplicaRule(mode="Karmada", strategy="StaticWeight", weights=found)


def _without_effect(document: Document, what: str) -> Notice:
    return notice(NoticeCause.WITHOUT_EFFECT, subject=policy_name(document), what=what)


def _check_unsupported(document: Document, spec: Object, faults: ProblemCollector) -> None:
    """What cannot be honoured, each with what would do instead."""
    suspension = map_of(spec.get("suspension"))
    placement = map_of(spec.get("placement"))
    scheduler = spec.get("schedulerName") or "default-scheduler"
    for found, path, message, expected in (
        (
            scheduler != "default-scheduler",
            ("schedulerName",),
            f"there is no scheduler {scheduler!r}",
            "default-scheduler, or nothing",
        ),
        (
            spec.get("activationPreference") == "Lazy",
            ("activationPreference",),
            "Lazy cannot be honoured: what a policy says holds for all that it selects at once",
            "nothing; Federation.spec.rollout lets a change reach a few clusters first",
        ),
        (
            "schedulePriority" in spec,
            ("schedulePriority",),
            "an order of scheduling cannot be honoured",
            "nothing; capacity goes to duplicated workloads first, then by name",
        ),
        (
            bool(suspension.get("scheduling")),
            ("suspension", "scheduling"),
            "scheduling cannot be suspended: where a manifest goes is worked out in each run",
            "dispatching: true, which writes nothing",
        ),
        (
            "workloadAffinity" in placement,
            ("placement", "workloadAffinity"),
            "workloads that go together or apart cannot be honoured",
            "clusterAffinity, which names the clusters",
        ),
    ):
        if found:
            faults.problem(document, ("spec", *path), message, expected)
    if spec.get("association"):
        what = "association: it is propagateDeps by which what a workload names follows it"
        faults.warn(document, _without_effect(document, what), ("spec", "association"))


def _check_suspension(
    document: Document, clusters: Mapping[str, Cluster], faults: ProblemCollector
) -> None:
    body = map_of(document.body["spec"].get("suspension"))
    path = ("spec", "suspension")
    if body.get("dispatching") and "dispatchingOnClusters" in body:
        line = document.position(*path, "dispatching").line
        faults.problem(
            document,
            (*path, "dispatchingOnClusters"),
            f"dispatchingOnClusters beside dispatching: true (line {line})",
            "one of the two",
        )
    names = map_of(body.get("dispatchingOnClusters")).get("clusterNames") or ()
    for index, name in enumerate(names):
        if name not in clusters:
            inside = (*path, "dispatchingOnClusters", "clusterNames", index)
            faults.unknown_cluster(document, inside, name, clusters)


def _check_namespaces(document: Document, faults: ProblemCollector) -> None:
    """A policy of a namespace that selects in another one."""
    here = namespace_of(document.body)
    for number, entry in enumerate(document.body["spec"].get("resourceSelectors") or ()):
        other = entry.get("namespace")
        if other and other != here:
            faults.problem(
                document,
                ("spec", "resourceSelectors", number, "namespace"),
                f"a policy of the namespace {here} cannot select in {other}",
                f"{here}, or nothing; or a Cluster{document.body['kind']}",
            )
