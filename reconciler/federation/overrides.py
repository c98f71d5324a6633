"""Overrides: JSON Patch as it is, and the friendly forms compiled to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from reconciler.federation.faults import Faults
from reconciler.federation.model import Override, PatchOperation
from reconciler.federation.selectors import parse_selector
from reconciler.manifests.document import Document
from reconciler.objects import Object, map_of, maps_of

_FORBIDDEN = (
    ("metadata", "name"),
    ("metadata", "namespace"),
    ("metadata", "generateName"),
    ("kind",),
    ("apiVersion",),
)
_MAPS = (("spec",), ("metadata", "labels"), ("metadata", "annotations"))
_POD_SPECS = (
    ("spec", "template", "spec"),
    ("spec", "jobTemplate", "spec", "template", "spec"),
    ("spec",),
)


def split_pointer(pointer: str) -> tuple[str, ...]:
    """A JSON pointer's steps (RFC 6901): ``/a~1b/0`` -> ``("a/b", "0")``."""
    return tuple(s.replace("~1", "/").replace("~0", "~") for s in pointer.split("/")[1:])


def join_pointer(steps: Sequence[str | int]) -> str:
    """The inverse of ``split_pointer``."""
    return "".join("/" + str(s).replace("~", "~0").replace("/", "~1") for s in steps)


def is_forbidden(pointer: str) -> bool:
    """Whether the path is part of what identifies an object, which no override may touch."""
    steps = split_pointer(pointer)
    return steps in _FORBIDDEN or steps == ("metadata",)


def parse_placement_overrides(
    document: Document, template: Object, faults: Faults, known: Mapping[str, Any]
) -> tuple[Override, ...]:
    """A Placement's overrides for one manifest; faults are at their place in the Placement."""
    found = []
    for number, entry in enumerate(document.body["spec"].get("overrides") or ()):
        path = ("spec", "overrides", number)
        for index, name in enumerate(entry.get("clusters") or ()):
            if name not in known:
                faults.unknown_cluster(document, (*path, "clusters", index), name, known)
        operations = tuple(_operations(document, path, entry, template, faults))
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
    template: Object,
    faults: Faults,
) -> Iterator[PatchOperation]:
    yield from parse_operations(document, (*path, "patch"), entry.get("patch") or (), faults)
    position = document.position(*path)
    if "replicas" in entry:
        yield PatchOperation("add", "/spec/replicas", entry["replicas"], position)
    for part in ("labels", "annotations"):
        for key, value in (entry.get(part) or {}).items():
            pointer = join_pointer(("metadata", part, key))
            yield PatchOperation("add", pointer, value, document.position(*path, part, key))
    for form in ("images", "env", "args"):
        for container, value in (entry.get(form) or {}).items():
            where = (*path, form, container)
            at = _container(template, container)
            if at is None:
                names = ", ".join(_container_names(template)) or "no containers"
                faults.problem(
                    document,
                    where,
                    f"{template['kind']} {template['metadata']['name']} has no container "
                    f"{container!r}",
                    names,
                )
                continue
            place = document.position(*where)
            if form == "images":
                yield PatchOperation("add", join_pointer((*at, "image")), value, place)
            elif form == "args":
                yield PatchOperation("add", join_pointer((*at, "args")), value, place)
            else:
                merged = _merged_env(maps_of(_at(template, at).get("env")), value)
                yield PatchOperation("add", join_pointer((*at, "env")), merged, place)


def parse_operations(
    document: Document,
    path: tuple[str | int, ...],
    entries: Sequence[Mapping[str, Any]],
    faults: Faults,
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
        if split_pointer(pointer) in _MAPS and not isinstance(entry.get("value") or {}, dict):
            faults.problem(document, (*path, number, "value"), f"{pointer} is a map", "a map")
            continue
        yield PatchOperation(op, pointer, entry.get("value"), document.position(*path, number))


def _merged_env(env: list[Object], wanted: Mapping[str, str]) -> list[Object]:
    names = [str(e.get("name")) for e in env]
    kept = [
        {"name": name, "value": wanted[name]} if name in wanted else e
        for name, e in zip(names, env, strict=True)
    ]
    return kept + [{"name": k, "value": v} for k, v in wanted.items() if k not in names]


def _container(template: Object, name: str) -> tuple[str | int, ...] | None:
    for pod_spec in _POD_SPECS:
        for part in ("containers", "initContainers"):
            containers = map_of(_at(template, pod_spec)).get(part)
            for index, container in enumerate(containers if isinstance(containers, list) else ()):
                if map_of(container).get("name") == name:
                    return (*pod_spec, part, index)
    return None


def _container_names(template: Object) -> list[str]:
    return [
        str(c.get("name"))
        for pod_spec in _POD_SPECS
        for c in maps_of(map_of(_at(template, pod_spec)).get("containers"))
    ]


def _at(value: Any, path: Sequence[str | int]) -> Any:
    for step in path:
        if isinstance(step, int):
            value = value[step]
        elif isinstance(value, dict):
            value = value.get(step)
        else:
            return None
    return value
