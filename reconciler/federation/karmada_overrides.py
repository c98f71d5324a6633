"""Karmada's override policies: which of them a manifest obeys, and in which order.

Source: Karmada's published API types and user guide (1.16 to 1.19). Those of the whole fleet are
first, then those of the manifest's namespace; of each, who selects it less exactly comes first,
then the smaller name, so that the most exact one has the last word. Within one rule: images,
command, args, labels, annotations, fields, plaintext.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from reconciler.api.json_pointer import split_pointer
from reconciler.api.kinds import REPLICAS
from reconciler.api.notices import NoticeCause, notice
from reconciler.api.objects import Object, first_few
from reconciler.federation.cluster_affinity import checked_affinity
from reconciler.federation.model import (
    Cluster,
    FieldOperation,
    ImageOperation,
    ListOperation,
    MarkOperation,
    Operation,
    Override,
    PatchOperation,
    Workload,
)
from reconciler.federation.overrides import (
    CONTAINERS,
    POD_SPECS,
    is_forbidden,
    mark_fault,
    parse_operations,
)
from reconciler.federation.resource_selectors import (
    CLUSTER_WIDE,
    Match,
    entries_about,
    is_about,
    namespace_of,
)
from reconciler.manifests.document import Document
from reconciler.manifests.problems import ProblemCollector

Path = tuple[str | int, ...]
_LISTS: tuple[tuple[str, Literal["command", "args"]], ...] = (
    ("commandOverrider", "command"),
    ("argsOverrider", "args"),
)
_MARKS: tuple[tuple[str, Literal["labels", "annotations"]], ...] = (
    ("labelsOverrider", "labels"),
    ("annotationsOverrider", "annotations"),
)
_FORMATS: tuple[Literal["json", "yaml"], ...] = ("json", "yaml")


class OverridePolicies:
    """All of them, parsed once: what a manifest has of them is asked for each."""

    def __init__(
        self,
        documents: Sequence[Document],
        clusters: Mapping[str, Cluster],
        faults: ProblemCollector,
    ) -> None:
        self._faults = faults
        self._policies = [(d, tuple(_overrides(d, clusters, faults))) for d in documents]
        self._used: set[int] = set()
        for document in documents:
            _check_selectors(document, faults)

    def of(self, workload: Workload) -> tuple[Override, ...]:
        """The overrides of a manifest, in the order in which they are done."""
        scored = []
        for number, (document, overrides) in enumerate(self._policies):
            how = _how(document, workload.template)
            if how:
                self._used.add(number)
                _check_fit(document, overrides, workload, how, self._faults)
                narrow = document.body["kind"] not in CLUSTER_WIDE
                scored.append(((narrow, how, document.body["metadata"]["name"]), overrides))
        ordered = sorted(scored, key=lambda item: item[0])
        return tuple(override for _, overrides in ordered for override in overrides)

    def check_used(self, elsewhere: Sequence[Workload]) -> None:
        """Warn of policies without effect. ``elsewhere``: manifests that other rules place."""
        for number, (document, _) in enumerate(self._policies):
            kind, name = document.body["kind"], document.body["metadata"]["name"]
            others = [
                str(w.key)
                for w in elsewhere
                if document.body["spec"].get("resourceSelectors") and _how(document, w.template)
            ]
            if others:
                what = (
                    f"no effect on {first_few(sorted(others))}, which none of Karmada's policies "
                    "places"
                )
                found = notice(NoticeCause.WITHOUT_EFFECT, subject=f"{kind} {name}", what=what)
                self._faults.warn(document, found)
            elif number not in self._used:
                subject = f"{kind} {name}"
                self._faults.warn(document, notice(NoticeCause.SELECTS_NOTHING, subject=subject))


def _how(document: Document, manifest: Object) -> Match:
    """A policy without selectors is about all manifests that it may be about."""
    if not document.body["spec"].get("resourceSelectors"):
        return Match.ALL if is_about(document.body, manifest) else Match.NONE
    return max((m for _, m in entries_about(document.body, manifest)), default=Match.NONE)


def _check_selectors(document: Document, faults: ProblemCollector) -> None:
    here = namespace_of(document.body)
    for number, entry in enumerate(document.body["spec"].get("resourceSelectors") or ()):
        other = entry.get("namespace")
        if other and other != here and document.body["kind"] not in CLUSTER_WIDE:
            faults.problem(
                document,
                ("spec", "resourceSelectors", number, "namespace"),
                f"a policy of the namespace {here} cannot select in {other}",
                f"{here}, or nothing; or a ClusterOverridePolicy",
            )


def _overrides(
    document: Document, clusters: Mapping[str, Cluster], faults: ProblemCollector
) -> Iterator[Override]:
    spec = document.body["spec"]
    rules = spec.get("overrideRules") or ()
    places: list[tuple[Path, Object]] = [
        (("spec", "overrideRules", number), rule) for number, rule in enumerate(rules)
    ]
    former = [name for name in ("targetCluster", "overriders") if spec.get(name)]
    if former and places:
        line = document.position("spec", "overrideRules").line
        faults.problem(
            document,
            ("spec", former[0]),
            f"{former[0]} beside overrideRules (line {line})",
            "one of the two forms: overrideRules",
        )
    elif former:
        places = [(("spec",), spec)]
    changes = False
    for path, rule in places:
        body = rule.get("targetCluster")
        affinity = None
        if body is not None:
            inside = (*path, "targetCluster")
            affinity = checked_affinity(document, inside, clusters, body, faults)
        overriders = rule.get("overriders") or {}
        operations = tuple(_operations(document, (*path, "overriders"), overriders, faults))
        changes = changes or bool(operations)
        yield Override(operations, affinity=affinity)
    if not changes:
        what = "this policy changes nothing: it has no overriders"
        faults.warn(document, notice(NoticeCause.WITHOUT_EFFECT, what=what))


def _operations(
    document: Document, path: Path, body: Object, faults: ProblemCollector
) -> Iterator[Operation]:
    for number, entry in enumerate(body.get("imageOverrider") or ()):
        yield from _image(document, (*path, "imageOverrider", number), entry, faults)
    for name, field in _LISTS:
        for number, entry in enumerate(body.get(name) or ()):
            values = tuple(entry.get("value") or ())
            position = document.position(*path, name, number)
            yield ListOperation(field, entry["containerName"], entry["operator"], values, position)
    for name, part in _MARKS:
        for number, entry in enumerate(body.get(name) or ()):
            at = (*path, name, number)
            for key, value in entry["value"].items():
                removed = entry["operator"] == "remove"
                if not removed and (fault := mark_fault(document, part, key, value)):
                    faults.mark(document, (*at, "value", key), fault)
            yield MarkOperation(part, entry["operator"], entry["value"], document.position(*at))
    for number, entry in enumerate(body.get("fieldOverrider") or ()):
        yield from _field(document, (*path, "fieldOverrider", number), entry, faults)
    yield from parse_operations(
        document,
        (*path, "plaintext"),
        [{**entry, "op": entry["operator"]} for entry in body.get("plaintext") or ()],
        faults,
    )


def _image(
    document: Document, path: Path, entry: Object, faults: ProblemCollector
) -> Iterator[ImageOperation]:
    operator, value = entry["operator"], entry.get("value") or ""
    if operator != "remove" and not value:
        faults.problem(document, path, f"{operator} without a value", "value")
        return
    if operator == "remove" and entry["component"] == "Repository":
        message = "an image without its repository is none"
        faults.problem(document, (*path, "operator"), message, "replace, with a value")
        return
    where = (entry.get("predicate") or {}).get("path") or ""
    if where and not _is_pointer(document, (*path, "predicate", "path"), where, faults):
        return
    component = entry["component"]
    yield ImageOperation(component, operator, value, where, document.position(*path))


def _field(
    document: Document, path: Path, entry: Object, faults: ProblemCollector
) -> Iterator[FieldOperation]:
    where = entry["fieldPath"]
    if not _is_pointer(document, (*path, "fieldPath"), where, faults):
        return
    given = [name for name in _FORMATS if entry.get(name)]
    if len(given) != 1:
        problem = "both json and yaml" if given else "neither json nor yaml"
        faults.problem(document, path, f"{problem} for one field", "one of json and yaml")
        return
    (form,) = given
    operations = []
    for number, change in enumerate(entry[form]):
        at = (*path, form, number)
        sub, operator = change["subPath"], change["operator"]
        if not sub.startswith("/"):
            faults.problem(document, (*at, "subPath"), f"{sub!r} is no JSON pointer", "/some/field")
            continue
        if operator != "remove" and "value" not in change:
            faults.problem(document, at, f"{operator} without a value", "value")
            continue
        position = document.position(*at)
        operations.append(PatchOperation(operator, sub, change.get("value"), position))
    yield FieldOperation(where, form, tuple(operations), document.position(*path))


def _is_pointer(document: Document, path: Path, pointer: str, faults: ProblemCollector) -> bool:
    if not pointer.startswith("/"):
        faults.problem(document, path, f"{pointer!r} is no JSON pointer", "/spec/some/field")
        return False
    if is_forbidden(pointer):
        message, expected = f"{pointer} may not be overridden", "a path outside of the identity"
        faults.problem(document, path, message, expected)
        return False
    return True


def _check_fit(
    document: Document,
    overrides: Sequence[Override],
    workload: Workload,
    how: Match,
    faults: ProblemCollector,
) -> None:
    """Counts that are divided, and containers that a manifest which is named does not have."""
    containers = set(containers_of(workload.template))
    for operation in (one for override in overrides for one in override.operations):
        place = operation.position or document.position()
        at = f"{place.file}:{place.line}"
        if (
            isinstance(operation, PatchOperation)
            and workload.rules.replicas.mode != "Duplicated"
            and split_pointer(operation.path) == split_pointer(REPLICAS)
        ):
            steps = _steps_to(document, operation)
            placed_by = workload.rules.target.placed_by if workload.rules.target else ""
            faults.problem(
                document,
                steps,
                f"the replicas of {workload.key} are divided by {placed_by}, and an override of "
                "them would break the sum",
                "weights in the policy, or replicaSchedulingType: Duplicated",
            )
        elif (
            isinstance(operation, ListOperation)
            and how is Match.NAME
            and operation.container not in containers
        ):
            names = first_few(sorted(containers)) or "none"
            what = f"there is no container {operation.container} (but {names}), so nothing changes"
            found = notice(NoticeCause.WITHOUT_EFFECT, subject=workload.key, what=what, place=at)
            faults.notices.append(found)


def containers_of(body: Object) -> Iterator[str]:
    """The names of a manifest's containers."""
    for path in POD_SPECS:
        value: Any = body
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        for part in CONTAINERS if isinstance(value, dict) else ():
            for one in value.get(part) or ():
                if isinstance(one, dict):
                    yield str(one.get("name"))


def _steps_to(document: Document, operation: PatchOperation) -> Path:
    """Where in its policy a plaintext operation is."""
    spec = document.body["spec"]
    rules = spec.get("overrideRules") or ()
    bodies: list[tuple[Path, Object]] = [
        (("spec", "overrideRules", n, "overriders"), rule.get("overriders") or {})
        for n, rule in enumerate(rules)
    ] or [(("spec", "overriders"), spec.get("overriders") or {})]
    for path, body in bodies:
        for number, _ in enumerate(body.get("plaintext") or ()):
            at = (*path, "plaintext", number)
            if document.position(*at) == operation.position:
                return at
    return ()
