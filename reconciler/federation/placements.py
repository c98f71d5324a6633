"""``Placement`` documents, and which of them a plain manifest obeys."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.annotations import PREFIX
from reconciler.api.notices import NoticeCause, notice
from reconciler.api.objects import Object, first_few
from reconciler.federation.drift import check_ignored, misfits
from reconciler.federation.failover_rules import check_narrowed, narrowed
from reconciler.federation.lint import lint_placement, lint_tolerations
from reconciler.federation.model import (
    Cluster,
    Federation,
    OverflowStep,
    Override,
    PlacementTarget,
    Preference,
    ReplicaRule,
    ReplicaShare,
    Spread,
    StricterRollout,
    Window,
    Workload,
)
from reconciler.federation.overrides import parse_placement_overrides
from reconciler.federation.rules import parse_target, windows_of
from reconciler.federation.selectors import is_in_step, matches, parse_selector, selects
from reconciler.manifests.document import Document
from reconciler.manifests.problems import ProblemCollector


class Placement(Struct, frozen=True):
    """One Placement, parsed."""

    document: Document
    target: PlacementTarget
    replicas: ReplicaRule
    overrides: tuple[Override, ...] = ()
    rollout: StricterRollout | None = None
    maintenance: tuple[Window, ...] = ()

    @property
    def name(self) -> str:
        return str(self.document.body["metadata"]["name"])

    @property
    def spec(self) -> Object:
        return dict(self.document.body["spec"])


def parse_placement(
    document: Document,
    clusters: Mapping[str, Cluster],
    federation: Federation,
    faults: ProblemCollector,
) -> Placement:
    """Check a Placement against the clusters that there are."""
    spec = document.body["spec"]
    name = document.body["metadata"]["name"]
    for index, cluster in enumerate(spec.get("clusters") or ()):
        if cluster not in clusters:
            faults.unknown_cluster(document, ("spec", "clusters", index), cluster, clusters)
    lint_tolerations(document, ("spec", "tolerations"), spec.get("tolerations") or (), faults)
    for number, rule in enumerate(spec.get("spread") or ()):
        if rule.get("maxGroups") is not None and rule.get("minGroups", 1) > rule["maxGroups"]:
            faults.problem(
                document,
                ("spec", "spread", number),
                "minGroups is more than maxGroups",
                "min <= max",
            )
    if "failover" in spec and not faults.possible_definitions.of_any("Federation"):
        own = narrowed(spec["failover"], federation.failover)
        check_narrowed(document, own, federation.failover, faults)
    rollout = None
    if "rollout" in spec:
        from reconciler.federation.rollout_rules import check_stricter, parse_stricter

        rollout = parse_stricter(spec["rollout"])
        if not faults.possible_definitions.of_any("Federation"):
            check_stricter(document, rollout, federation, clusters, faults)
    check_ignored(document, ("spec", "ignore"), spec.get("ignore") or (), faults)
    affinity = spec.get("affinity") or {}
    target = replace(
        parse_target(spec, f"Placement {name}"),
        overflow=_overflow(document, clusters, faults),
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
    lint_placement(document, target, clusters, faults)
    return Placement(
        document,
        target,
        _replicas(document, target, clusters, faults),
        parse_placement_overrides(document, faults, clusters),
        rollout,
        windows_of(document, faults),
    )


def _overflow(
    document: Document, clusters: Mapping[str, Cluster], faults: ProblemCollector
) -> tuple[OverflowStep, ...]:
    spec = document.body["spec"]
    path = ("spec", "overflow")
    entries = spec.get("overflow") or ()
    for name in ("clusters", "clusterSelector") if entries else ():
        if spec.get(name) is not None:
            line = document.position("spec", name).line
            faults.problem(
                document,
                path,
                f"overflow beside {name} (line {line})",
                "one of the two: each step of overflow has its own clusters",
            )
    if entries and (spec.get("replicas") or {}).get("mode") != "Divided":
        faults.problem(
            document, path, "overflow of replicas that are not divided", "replicas.mode: Divided"
        )
    found: list[OverflowStep] = []
    for number, entry in enumerate(entries):
        names = entry.get("clusters")
        for index, name in enumerate(names or ()):
            if name not in clusters:
                inside = (*path, number, "clusters", index)
                faults.unknown_cluster(document, inside, name, clusters)
        step = OverflowStep(
            tuple(names) if names is not None else None,
            parse_selector(entry["clusterSelector"]) if "clusterSelector" in entry else None,
        )
        here = {name for name, one in clusters.items() if is_in_step(step, one)}
        earlier = {n for n, one in clusters.items() if any(is_in_step(s, one) for s in found)}
        subject = f"Placement {document.body['metadata']['name']}"
        if clusters and not here and all(name in clusters for name in names or ()):
            nothing = notice(NoticeCause.MATCHES_NO_CLUSTER, subject=subject, what="this step")
            faults.warn(document, nothing, (*path, number))
        elif twice := here & earlier:
            known = first_few(sorted(twice))
            again = notice(NoticeCause.ALREADY_COUNTED, subject=subject, clusters=known)
            faults.warn(document, again, (*path, number))
        found.append(step)
    return tuple(found)


def _replicas(
    document: Document,
    target: PlacementTarget,
    clusters: Mapping[str, Cluster],
    faults: ProblemCollector,
) -> ReplicaRule:
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
            named = name == entry["name"] if "name" in entry else None
            chosen = matches(selector, cluster.all_labels) if named is None else named
            if chosen and name not in shares:
                shares[name] = ReplicaShare(entry.get("weight", cluster.weight), low, high)
    total = body.get("total")
    least = sum(share.minimum for name, share in shares.items() if selects(target, clusters[name]))
    # Of clusters that a spread chooses from, only those count that are chosen.
    spread_thin = any(rule.max_groups is not None for rule in target.spread)
    if total is not None and least > total and not spread_thin and body.get("mode") == "Divided":
        faults.problem(
            document,
            ("spec", "replicas", "total"),
            f"the minima add up to {least}, more than the total {total}",
        )
    if body.get("autoscalers") == "Divided" and body.get("mode") != "Divided":
        faults.problem(
            document,
            ("spec", "replicas", "autoscalers"),
            "autoscalers are divided where replicas are not",
            "autoscalers: Duplicated, or mode: Divided beside it",
        )
    for name, cluster in clusters.items():
        shares.setdefault(name, ReplicaShare(cluster.weight))
    return ReplicaRule(
        mode=body.get("mode", "Duplicated"),
        total=total,
        weigh_by=body.get("weighBy", "Static"),
        shares=shares,
        autoscalers=body.get("autoscalers", "Duplicated"),
    )


def wanted_placement(document: Document) -> str:
    """The Placement that a manifest asks for by its annotation; empty: none."""
    annotations = document.manifest.annotations
    return str(annotations.get(PREFIX + "placement") or "")


def choose(
    placements: list[Placement],
    manifest: Object,
    used: set[tuple[str, int]] | None = None,
    also: Object | None = None,
) -> list[Placement]:
    """The Placements that select a manifest, the one that counts first.

    By priority, then how much of the manifest is named (name, namespace, kind, labels), then name.
    ``used`` gets each Placement's name with the numbers of its entries that select it. ``also`` is
    the Chart that the manifest is of: who selects that, selects it.
    """
    scored = []
    for placement in placements:
        entries = placement.spec.get("select") or ()
        scores = [_score(entry, manifest) for entry in entries]
        if also is not None:
            whole = [_score(entry, also) for entry in entries]
            scores = [
                max((s for s in both if s is not None), default=None)
                for both in zip(scores, whole, strict=True)
            ]
        best = max((s for s in scores if s is not None), default=None)
        if used is not None:
            used |= {(placement.name, n) for n, s in enumerate(scores) if s is not None}
        if best is not None:
            scored.append((-placement.spec.get("priority", 0), -best, placement.name, placement))
    return [item[3] for item in sorted(scored, key=lambda item: item[:3])]


def with_ignored(
    workloads: Sequence[Workload], federation: Federation, faults: ProblemCollector
) -> list[Workload]:
    """The workloads, each with what the Federation's ``ignore`` leaves to others of it as well."""
    document, used = federation.document, set()
    if document is None:
        return list(workloads)
    found = []
    for workload in workloads:
        about = workload.manifest.about if federation.ignore else {}
        for number, rule in enumerate(federation.ignore):
            if all(_score(entry, about) is None for entry in rule.select):
                continue
            used.add(number)
            place = ("spec", "ignore", number, "paths")
            check_misfits(document, place, workload, rule.paths, faults)
            pointers = dict.fromkeys((*workload.rules.ignore, *rule.paths))
            workload = workload.with_rules(ignore=tuple(pointers))
        found.append(workload)
    for number in range(len(federation.ignore)):
        if number not in used:
            part = f"spec.ignore[{number}]"
            faults.warn(document, notice(NoticeCause.SELECTS_NOTHING, subject=part))
    return found


def check_misfits(
    document: Document,
    place: Sequence[str | int],
    workload: Workload,
    paths: Sequence[str],
    faults: ProblemCollector,
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
