"""``Placement`` documents, and which of them a plain manifest obeys."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from reconciler.federation.drift import check_ignored, misfits
from reconciler.federation.failover_rules import check_narrowed, narrowed
from reconciler.federation.faults import Faults
from reconciler.federation.model import (
    Cluster,
    Federation,
    Override,
    PlacementTarget,
    Preference,
    ReplicaRule,
    ReplicaShare,
    Spread,
    Workload,
)
from reconciler.federation.overrides import parse_placement_overrides
from reconciler.federation.rules import parse_target
from reconciler.federation.selectors import matches, parse_selector, selector_faults
from reconciler.manifests.document import Document
from reconciler.objects import Object


class Placement(Struct, frozen=True):
    """One Placement, parsed."""

    document: Document
    target: PlacementTarget
    replicas: ReplicaRule
    overrides: tuple[Override, ...] = ()

    @property
    def name(self) -> str:
        return str(self.document.body["metadata"]["name"])

    @property
    def spec(self) -> Object:
        return dict(self.document.body["spec"])


def parse_placement(
    document: Document, clusters: Mapping[str, Cluster], federation: Federation, faults: Faults
) -> Placement:
    """Check a Placement against the clusters that there are."""
    spec = document.body["spec"]
    name = document.body["metadata"]["name"]
    for index, cluster in enumerate(spec.get("clusters") or ()):
        if cluster not in clusters:
            faults.unknown_cluster(document, ("spec", "clusters", index), cluster, clusters)
    _check_selectors(document, spec, faults)
    for number, rule in enumerate(spec.get("spread") or ()):
        if rule.get("maxGroups") is not None and rule.get("minGroups", 1) > rule["maxGroups"]:
            faults.problem(
                document,
                ("spec", "spread", number),
                "minGroups is more than maxGroups",
                "min <= max",
            )
    if "failover" in spec:
        own = narrowed(spec["failover"], federation.failover)
        check_narrowed(document, own, federation.failover, faults)
    check_ignored(document, ("spec", "ignore"), spec.get("ignore") or (), faults)
    affinity = spec.get("affinity") or {}
    target = replace(
        parse_target(spec, f"Placement {name}"),
        required=tuple(parse_selector(s) for s in affinity.get("required") or ()),
        preferred=tuple(
            Preference(p["weight"], parse_selector(p["selector"]))
            for p in affinity.get("preferred") or ()
        ),
        spread=tuple(
            Spread(r["by"], r.get("minGroups", 1), r.get("maxGroups"))
            for r in spec.get("spread") or ()
        ),
    )
    return Placement(
        document,
        target,
        _replicas(document, clusters, faults),
        parse_placement_overrides(document, faults, clusters),
    )


def _check_selectors(document: Document, spec: Mapping[str, Any], faults: Faults) -> None:
    places: list[tuple[tuple[str | int, ...], Any]] = [
        (("spec", "clusterSelector"), spec.get("clusterSelector"))
    ]
    for number, entry in enumerate(spec.get("select") or ()):
        places.append((("spec", "select", number, "labels"), entry.get("labels")))
    for number, entry in enumerate(spec.get("overrides") or ()):
        place = ("spec", "overrides", number, "clusterSelector")
        places.append((place, entry.get("clusterSelector")))
    affinity = spec.get("affinity") or {}
    for number, selector in enumerate(affinity.get("required") or ()):
        places.append((("spec", "affinity", "required", number), selector))
    for number, entry in enumerate(affinity.get("preferred") or ()):
        liked = ("spec", "affinity", "preferred", number, "selector")
        places.append((liked, entry["selector"]))
    for path, selector in places:
        for index, message, expected in selector_faults(selector):
            faults.problem(document, (*path, "matchExpressions", index), message, expected)


def _replicas(document: Document, clusters: Mapping[str, Cluster], faults: Faults) -> ReplicaRule:
    body = document.body["spec"].get("replicas") or {}
    shares: dict[str, ReplicaShare] = {}
    for number, entry in enumerate(body.get("clusters") or ()):
        path = ("spec", "replicas", "clusters", number)
        low, high = entry.get("min", 0), entry.get("max")
        if high is not None and low > high:
            faults.problem(document, path, f"min {low} is more than max {high}", "min <= max")
        if "name" in entry and entry["name"] not in clusters:
            faults.unknown_cluster(document, (*path, "name"), entry["name"], clusters)
        selector = parse_selector(entry.get("selector"))
        for name, cluster in clusters.items():
            chosen = name == entry["name"] if "name" in entry else matches(selector, cluster.labels)
            if chosen and name not in shares:
                shares[name] = ReplicaShare(entry.get("weight", cluster.weight), low, high)
    total = body.get("total")
    least = sum(share.minimum for share in shares.values())
    if total is not None and least > total:
        faults.problem(
            document,
            ("spec", "replicas", "total"),
            f"the minima add up to {least}, more than the total {total}",
        )
    for name, cluster in clusters.items():
        shares.setdefault(name, ReplicaShare(cluster.weight))
    return ReplicaRule(
        mode=body.get("mode", "Duplicated"),
        total=total,
        weigh_by=body.get("weighBy", "Static"),
        shares=shares,
    )


def choose(placements: list[Placement], manifest: Object) -> list[Placement]:
    """The Placements that select a manifest, the one that counts first.

    By priority, then how much of the manifest is named (name, namespace, kind, labels), then name.
    """
    scored = []
    for placement in placements:
        scores = [_score(entry, manifest) for entry in placement.spec.get("select") or ()]
        best = max((s for s in scores if s is not None), default=None)
        if best is not None:
            scored.append((-placement.spec.get("priority", 0), -best, placement.name, placement))
    return [item[3] for item in sorted(scored, key=lambda item: item[:3])]


def with_ignored(
    workloads: Sequence[Workload], federation: Federation, faults: Faults
) -> list[Workload]:
    """The workloads, each with what the Federation's ``ignore`` leaves to others of it as well."""
    document, used = federation.document, set()
    if document is None:
        return list(workloads)
    found = []
    for workload in workloads:
        for number, rule in enumerate(federation.ignore):
            if all(_score(entry, workload.template) is None for entry in rule.select):
                continue
            used.add(number)
            place = ("spec", "ignore", number, "paths")
            check_misfits(document, place, workload, rule.paths, faults)
            pointers = dict.fromkeys((*workload.ignore, *rule.paths))
            workload = replace(workload, ignore=tuple(pointers))
        found.append(workload)
    for number in range(len(federation.ignore)):
        if number not in used:
            faults.warn(document, f"spec.ignore[{number}] selects no manifest")
    return found


def check_misfits(
    document: Document,
    place: Sequence[str | int],
    workload: Workload,
    paths: Sequence[str],
    faults: Faults,
) -> None:
    """Report the paths in ``place`` of a document that cannot be left to others in a workload."""
    for index, message, expected in misfits(workload, paths):
        faults.problem(document, (*place, index), message, expected)


def _score(entry: Mapping[str, Any], manifest: Object) -> int | None:
    """How specific a matching selection is; None when it does not match."""
    metadata = manifest["metadata"]
    score = 0
    for name, value, worth in (
        ("name", metadata["name"], 8),
        ("namespace", metadata.get("namespace", ""), 4),
        ("kind", manifest["kind"], 2),
        ("apiVersion", manifest["apiVersion"], 1),
    ):
        if name not in entry:
            continue
        pattern = entry[name]
        if not fnmatch.fnmatchcase(str(value), pattern):
            return None
        score += worth * (1 if "*" in pattern or "?" in pattern else 2)
    if "labels" in entry:
        if not matches(parse_selector(entry["labels"]), metadata.get("labels") or {}):
            return None
        score += 3
    return score
