"""What has no effect in a repository, although somebody wrote it: warnings, with file and line.

What cannot be meant is an error, reported where it is parsed. What may be a mistake is reported
here: it may be for a cluster that joins later.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from reconciler.api.json_pointer import split_pointer
from reconciler.api.kinds import REPLICAS
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import Object, first_few, map_of, maps_of
from reconciler.federation.model import (
    PLACE_LABELS,
    Cluster,
    Override,
    PatchOperation,
    PlacementTarget,
    Workload,
)
from reconciler.federation.selectors import matches, parse_selector, selects
from reconciler.manifests.document import Document
from reconciler.manifests.problems import ProblemCollector, suggestion

Path = tuple[str | int, ...]
Clusters = Mapping[str, Cluster]

VARIABLE = re.compile(r"\$\{cluster\.([a-z]+(?:\.[A-Za-z0-9._/-]+)?)\}")
_ALMOST = r"(?i)\$\{\s*cluster\b[^}\n]*\}?"
_OPERATIONS = ("patch", "replicas", "labels", "annotations", "images", "env", "args")


def lint_placement(
    document: Document, target: PlacementTarget, clusters: Clusters, faults: ProblemCollector
) -> None:
    """Parts of a Placement that do nothing for the clusters that there are."""
    spec = document.body["spec"]
    chosen = {name for name, cluster in clusters.items() if selects(target, cluster)}

    def warn(path: Path, found: Notice) -> None:
        subject = f"Placement {document.body['metadata']['name']}"
        faults.warn(document, replace(found, subject=subject), ("spec", *path))

    for path, found in _doubts_of_places(spec, target, clusters, chosen):
        warn(path, found)
    for path, found in _doubts_of_shares(spec.get("replicas") or {}, clusters, chosen):
        warn(("replicas", *path), found)
    for number, entry in enumerate(spec.get("overrides") or ()):
        for path, found in _doubts_of_override(entry, clusters, chosen):
            warn(("overrides", number, *path), found)


def _without_effect(what: str) -> Notice:
    return notice(NoticeCause.WITHOUT_EFFECT, what=what)


def _matches_none(what: str) -> Notice:
    return notice(NoticeCause.MATCHES_NO_CLUSTER, what=what)


def _doubts_of_places(
    spec: Object, target: PlacementTarget, clusters: Clusters, chosen: Collection[str]
) -> Iterator[tuple[Path, Notice]]:
    yield from names_and_selector(spec)
    affinity = spec.get("affinity") or {}
    required = affinity.get("required") or ()
    preferred = affinity.get("preferred") or ()
    for number, selector in enumerate(required if len(required) > 1 else ()):
        if not _matched(selector, clusters):
            yield ("affinity", "required", number), _matches_none("this selector")
    for number, entry in enumerate(preferred):
        if not _matched(entry["selector"], clusters):
            yield ("affinity", "preferred", number), _matches_none("this preference")
    if preferred and not spec.get("spread"):
        what = "preferences have no effect without spread"
        yield ("affinity", "preferred"), _without_effect(what)
    for number, rule in enumerate(target.spread):
        placeless = [n for n in sorted(chosen) if not getattr(clusters[n], rule.by, True)]
        if placeless:
            names = first_few(placeless)
            yield (
                ("spread", number),
                notice(NoticeCause.PLACE_UNKNOWN, clusters=names, part=rule.by),
            )


def names_and_selector(spec: Object) -> Iterator[tuple[Path, Notice]]:
    """Names and a selector where only the names count."""
    if spec.get("clusters") is not None and spec.get("clusterSelector") is not None:
        what = "clusterSelector has no effect beside clusters"
        yield ("clusterSelector",), _without_effect(what)


def _doubts_of_shares(
    body: Object, clusters: Clusters, chosen: Collection[str]
) -> Iterator[tuple[Path, Notice]]:
    divided = body.get("mode") == "Divided"
    if "weighBy" in body and not divided:
        yield ("weighBy",), _without_effect("weighBy has no effect without mode: Divided")
    if body.get("weighBy") == "Capacity" and divided:
        unknown = [name for name in sorted(chosen) if clusters[name].capacity is None]
        if unknown:
            names = first_few(unknown)
            yield ("weighBy",), notice(NoticeCause.CAPACITY_UNKNOWN, clusters=names)
    taken: set[str] = set()
    for number, entry in enumerate(body.get("clusters") or ()):
        path = ("clusters", number)
        if "name" in entry and "selector" in entry:
            yield (*path, "selector"), _without_effect("selector has no effect beside name")
        if "weight" in entry and not divided:
            what = "weight has no effect without mode: Divided"
            yield (*path, "weight"), _without_effect(what)
        if "name" in entry:
            found = {entry["name"]} & clusters.keys()
        else:
            found = _matched(entry.get("selector"), clusters)
            if not found and clusters:
                yield path, _matches_none("this selector")
        yield from ((path, one) for one in _unchosen(found, chosen))
        if found and found <= taken:
            names = first_few(sorted(found))
            yield path, notice(NoticeCause.ALREADY_COUNTED, clusters=names)
        taken |= found


def _doubts_of_override(
    entry: Object, clusters: Clusters, chosen: Collection[str]
) -> Iterator[tuple[Path, Notice]]:
    yield from doubts_of_choice(entry, clusters, chosen)
    if not any(entry.get(name) or (name in entry and name == "replicas") for name in _OPERATIONS):
        what = "this override changes nothing: it has none of " + ", ".join(_OPERATIONS)
        yield (), _without_effect(what)
    for path, text in texts_of(entry):
        if VARIABLE.search(text):
            yield path, _without_effect("variables in overrides are not filled in")


def doubts_of_choice(
    entry: Object, clusters: Clusters, chosen: Collection[str]
) -> Iterator[tuple[Path, Notice]]:
    """Clusters that an override names or selects, for nothing. ``chosen`` are those that what it
    changes may go to."""
    yield from names_and_selector(entry)
    names = entry.get("clusters")
    if names is not None:
        if not names:
            yield ("clusters",), _without_effect("this override has no effect: it names no cluster")
        for name in names:
            yield from (
                (("clusters", names.index(name)), one)
                for one in _unchosen({name} & clusters.keys(), chosen)
            )
    elif entry.get("clusterSelector") is not None and clusters:
        found = _matched(entry["clusterSelector"], clusters)
        if not found:
            yield ("clusterSelector",), _matches_none("this override has no effect: it")
        yield from ((("clusterSelector",), one) for one in _unchosen(found, chosen))


def lint_federated(
    document: Document, target: PlacementTarget, clusters: Clusters, faults: ProblemCollector
) -> None:
    """Parts of a KubeFed document that do nothing for the clusters that there are."""
    spec = document.body.get("spec") or {}
    chosen = {name for name, cluster in clusters.items() if selects(target, cluster)}
    for number, entry in enumerate(spec.get("overrides") or ()):
        path: Path = ("spec", "overrides", number, "clusterName")
        for found in _unchosen({entry["clusterName"]} & clusters.keys(), chosen):
            faults.warn(document, found, path)
    own, at = map_of(spec.get("template")), ("spec", "template")
    for name in ("name", "namespace"):
        given = map_of(own.get("metadata")).get(name)
        outer = document.body["metadata"].get(name)
        if given is not None and given != outer:
            what = f"the template's {name} has no effect: it is that of the federated object"
            faults.warn(document, _without_effect(what), (*at, "metadata", name))


def lint_preference(
    preference: Document, target: PlacementTarget, clusters: Clusters, faults: ProblemCollector
) -> None:
    """Shares of a ReplicaSchedulingPreference for clusters that ``target`` leaves out."""
    chosen = {name for name, cluster in clusters.items() if selects(target, cluster)}
    for name in preference.body["spec"].get("clusters") or {}:
        for found in _unchosen({name} & clusters.keys(), chosen):
            faults.warn(preference, found, ("spec", "clusters", name))


def _unchosen(found: Collection[str], chosen: Collection[str]) -> Iterator[Notice]:
    """Where nothing at all is chosen, that is reported once for the whole rule."""
    if found and chosen and not set(found) & set(chosen):
        yield notice(NoticeCause.NOT_CHOSEN, clusters=first_few(sorted(found)))


def _matched(selector: Any, clusters: Clusters) -> set[str]:
    wanted = parse_selector(selector)
    return {name for name, cluster in clusters.items() if matches(wanted, cluster.all_labels)}


def lint_counts(
    workload: Workload, document: Document, rule: str, faults: ProblemCollector
) -> None:
    """Overrides of replicas that are shared out by ``rule``."""
    instead = "spec.replicas.clusters has weight, min and max"
    if workload.rules.replicas.mode == "KubeFed":
        instead = "its spec.clusters has weight, minReplicas and maxReplicas"
    for operation in overrides_at(REPLICAS, workload.rules.overrides):
        place = operation.position or document.position()
        faults.notices.append(
            notice(
                NoticeCause.OVERRIDES_DIVIDED,
                subject=rule,
                place=f"{place.file}:{place.line}",
                instead=instead,
            )
        )


def overrides_at(pointer: str, overrides: Sequence[Override]) -> Iterator[PatchOperation]:
    """The operations that set the field at a JSON pointer."""
    steps = split_pointer(pointer)
    for operation in (one for override in overrides for one in override.operations):
        if not isinstance(operation, PatchOperation) or operation.op == "remove":
            continue
        own = split_pointer(operation.path) if operation.path else ()
        value = operation.value
        if steps[: len(own)] != own:
            continue
        for step in steps[len(own) :]:
            value = value.get(step) if isinstance(value, dict) else None
        if value is not None:
            yield operation


def lint_variables(
    workload: Workload, document: Document, clusters: Clusters, faults: ProblemCollector
) -> None:
    """Variables that mean nothing, or nothing in a cluster that the manifest may go to."""
    target = workload.rules.target
    placed_in = [c for c in clusters.values() if target is not None and selects(target, c)]
    known = {"name", *PLACE_LABELS}
    for path, text in texts_of(document.body):
        for found in re.finditer(_ALMOST, text):
            match = VARIABLE.fullmatch(found[0])
            name, _, label = match[1].partition(".") if match else ("", "", "")
            if name == "labels" and label:
                lacking = [c.name for c in placed_in if label not in c.all_labels]
                labels = {key for c in placed_in for key in c.all_labels}
                if lacking and len(lacking) == len(placed_in):
                    message = f"{found[0]}: no cluster that this goes to has the label {label}"
                    expected = ", ".join(sorted(labels)) or "labels on the clusters"
                    faults.problem(document, path, message, expected, suggestion(label, labels))
                elif lacking:
                    stays = notice(
                        NoticeCause.VARIABLE_STAYS,
                        variable=found[0],
                        clusters=first_few(lacking),
                        label=label,
                    )
                    faults.warn(document, stays, path)
            elif name in known and not label:
                lacking = [c.name for c in placed_in if not getattr(c, name)]
                if lacking:
                    empty = notice(
                        NoticeCause.VARIABLE_EMPTY,
                        variable=found[0],
                        clusters=first_few(lacking),
                        part=name,
                    )
                    faults.warn(document, empty, path)
            else:
                names = [f"${{cluster.{one}}}" for one in (*sorted(known), "labels.KEY")]
                written = re.sub(r"\s", "", found[0]).lower()
                message = f"{found[0]} is no variable"
                close = suggestion(written, names)
                faults.problem(document, path, message, ", ".join(names), close)


def texts_of(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Each text with ``${`` in it, and where."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from texts_of(one, (*path, key))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from texts_of(one, (*path, number))
    elif isinstance(value, str) and "${" in value:
        yield path, value


def lint_tolerations(
    document: Document,
    path: Path,
    entries: Sequence[Object],
    faults: ProblemCollector,
    *,
    needs_key: bool = True,
) -> None:
    """What Kubernetes refuses of Pods' tolerations as well. Karmada takes one without a key."""
    for number, entry in enumerate(maps_of(entries)):
        at = (*path, number)
        exists = entry.get("operator") == "Exists"
        if exists and entry.get("value"):
            faults.problem(
                document, (*at, "value"), "a value beside operator: Exists", "no value, or Equal"
            )
        if needs_key and not exists and not entry.get("key"):
            faults.problem(document, at, "a toleration without a key", "a key, or operator: Exists")
        if "tolerationSeconds" in entry and entry.get("effect", "NoExecute") != "NoExecute":
            faults.problem(
                document,
                (*at, "tolerationSeconds"),
                f"tolerationSeconds has no effect on {entry['effect']}",
                "effect: NoExecute",
            )


def lint_selectors(document: Document, faults: ProblemCollector) -> None:
    """``matchExpressions`` that cannot be meant, wherever a document of ours has a selector."""
    for path, entries in _expressions(document.body.get("spec"), ("spec",)):
        for number, entry in enumerate(maps_of(entries)):
            needs, values = entry.get("operator") in ("In", "NotIn"), entry.get("values")
            if needs and not values:
                problem, expected = f"{entry['operator']} without values", "at least one value"
            elif not needs and values:
                problem, expected = f"{entry.get('operator')} with values", "no values"
            else:
                continue
            faults.problem(document, (*path, number), problem, expected)


def _expressions(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, list):
        for number, one in enumerate(value):
            yield from _expressions(one, (*path, number))
    elif isinstance(value, dict):
        for key, one in value.items():
            if key == "matchExpressions":
                yield (*path, key), one
            elif key not in ("value", "template"):  # Somebody else's, with their own rules.
                yield from _expressions(one, (*path, key))
