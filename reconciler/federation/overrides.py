"""Overrides: JSON Patch as it is; what is by container name stays so until it is rendered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec.structs import replace

from reconciler.api.annotations import IN_TEMPLATES, AnnotationFault, entry_fault
from reconciler.api.json_pointer import join_pointer, split_pointer
from reconciler.api.kinds import REPLICAS
from reconciler.federation.model import (
    ContainerOperation,
    FieldOperation,
    ImageOperation,
    ListOperation,
    MarkOperation,
    Operation,
    Override,
    PatchOperation,
)
from reconciler.federation.selectors import parse_selector
from reconciler.manifests.document import Document
from reconciler.manifests.metadata import syntax_faults
from reconciler.manifests.problems import ProblemCollector

_FORBIDDEN = (
    ("metadata", "name"),
    ("metadata", "namespace"),
    ("metadata", "generateName"),
    ("kind",),
    ("apiVersion",),
)
_METADATA = (("metadata", "labels"), ("metadata", "annotations"))
_MAPS = (("spec",), *_METADATA)
POD_SPECS = (
    ("spec", "template", "spec"),
    ("spec", "jobTemplate", "spec", "template", "spec"),
    ("template", "spec"),
    ("spec",),
)
"""Where workloads, CronJobs, PodTemplates and Pods have their containers."""
CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_CONTAINER_FORMS: Mapping[str, Literal["image", "env", "args"]] = {
    "images": "image",
    "env": "env",
    "args": "args",
}


def pointers_of(operation: Operation) -> list[str]:
    """The JSON pointers of all that an operation may set, ``*`` for any item of a list."""
    match operation:
        case PatchOperation() | FieldOperation():
            return [operation.path]
        case MarkOperation():
            return [join_pointer(("metadata", operation.part, key)) for key in operation.values]
        case ImageOperation() if operation.path:
            return [operation.path]
        case ImageOperation():
            field = "image"
        case ContainerOperation() | ListOperation():
            field = operation.field
    return [join_pointer((*path, part, "*", field)) for path in POD_SPECS for part in CONTAINERS]


def is_forbidden(pointer: str) -> bool:
    """Whether the path is part of what identifies an object, which no override may touch."""
    steps = split_pointer(pointer)
    return steps in _FORBIDDEN or steps == ("metadata",)


def parse_placement_overrides(
    document: Document, faults: ProblemCollector, known: Mapping[str, Any]
) -> tuple[Override, ...]:
    """A Placement's overrides; faults are at their place in the Placement."""
    found = []
    for number, entry in enumerate(document.body["spec"].get("overrides") or ()):
        path = ("spec", "overrides", number)
        for index, name in enumerate(entry.get("clusters") or ()):
            if name not in known:
                faults.unknown_cluster(document, (*path, "clusters", index), name, known)
        operations = tuple(_operations(document, path, entry, faults))
        clusters = entry.get("clusters")
        found.append(
            Override(
                operations,
                clusters=tuple(clusters) if clusters is not None else None,
                selector=None
                if clusters is not None
                else parse_selector(entry.get("clusterSelector")),
            )
        )
    return tuple(found)


def _operations(
    document: Document,
    path: tuple[str | int, ...],
    entry: Mapping[str, Any],
    faults: ProblemCollector,
) -> Iterator[PatchOperation | ContainerOperation]:
    """One entry's operations in the documented order: the patch first, what is by name after it."""
    yield from parse_operations(document, (*path, "patch"), entry.get("patch") or (), faults)
    if "replicas" in entry:
        position = document.position(*path, "replicas")
        yield PatchOperation("add", REPLICAS, entry["replicas"], position)
    for part in ("labels", "annotations"):
        for key, value in (entry.get(part) or {}).items():
            if fault := mark_fault(document, part, key, value):
                faults.mark(document, (*path, part, key), fault)
            pointer = join_pointer(("metadata", part, key))
            yield PatchOperation("add", pointer, value, document.position(*path, part, key))
    for form, name in _CONTAINER_FORMS.items():
        for container, value in (entry.get(form) or {}).items():
            position = document.position(*path, form, container)
            yield ContainerOperation(name, container, value, position)


def parse_operations(
    document: Document,
    path: tuple[str | int, ...],
    entries: Sequence[Mapping[str, Any]],
    faults: ProblemCollector,
) -> Iterator[PatchOperation]:
    """JSON Patch entries; ``op`` defaults to replace, as in KubeFed."""
    for number, entry in enumerate(entries):
        pointer = entry["path"]
        if is_forbidden(pointer):
            faults.problem(
                document,
                (*path, number, "path"),
                f"{pointer} may not be overridden",
                "a path outside of the object's identity",
            )
            continue
        op: Literal["add", "remove", "replace"] = entry.get("op") or "replace"
        if op != "remove" and "value" not in entry:
            faults.problem(document, (*path, number), f"{op} without a value", "value")
            continue
        value = entry.get("value")
        if split_pointer(pointer) in _MAPS and value is not None and not isinstance(value, dict):
            faults.problem(document, (*path, number, "value"), f"{pointer} is a map", "a map")
            continue
        for part, key, entry_value in _marks_in(split_pointer(pointer), value, op):
            if not isinstance(entry_value, str):
                message = f"the value of {key} in the {part} is no text"
                faults.problem(document, (*path, number, "value"), message, "text", "quote it")
            elif fault := mark_fault(document, part, key, entry_value):
                faults.mark(document, (*path, number), replace(fault, at_key=False))
        yield PatchOperation(op, pointer, value, document.position(*path, number))


def mark_fault(document: Document, part: str, key: str, value: Any) -> AnnotationFault | None:
    """What is wrong with a label or annotation that an override sets: by what it means to this
    tool, or to every server."""
    found = entry_fault(part, key, value, IN_TEMPLATES) or next(
        syntax_faults(part, key, value), None
    )
    if found is None or found.at_key or not document.is_sensitive:
        return found
    return replace(found, message=f"not a valid value of {key}")


def _marks_in(steps: Sequence[str], value: Any, op: str) -> Iterator[tuple[str, str, Any]]:
    """The labels and annotations that an operation sets: which of both, key, value."""
    if op == "remove" or (steps[:-1] not in _METADATA and steps not in _METADATA):
        return
    entries = value if steps in _METADATA else {steps[-1]: value}
    for key, one in (entries or {}).items():
        yield steps[1], key, one
