"""What others do to objects of ours: ``spec.drift``, ``spec.ignore``, and the pointers in both.

A pointer is a JSON pointer that means a field and all below it. ``*`` stands for any text of a key,
and for any item of a list; one item is named by its fields, as in
``/spec/template/spec/containers/name=web/image``. A number is a key of a map and no place in a
list, as items move.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson

from reconciler.api.annotations import PART_OF, PREFIX
from reconciler.api.json_pointer import join_pointer, split_pointer
from reconciler.api.kinds import REPLICAS
from reconciler.api.objects import GroupKind
from reconciler.federation.model import AdditionRule, DriftRules, IgnoreRule, Workload
from reconciler.manifests.document import Document
from reconciler.manifests.problems import ProblemCollector

Pointers = Sequence[tuple[str, ...]]
"""Pointers, or what is left of them below some value: each the steps that are still to be taken."""

_KEPT = (
    ("apiVersion",),
    ("kind",),
    ("metadata", "name"),
    ("metadata", "namespace"),
    ("metadata", "labels"),
    ("metadata", "annotations"),
)
"""By these an object is known, and known as ours."""


# -- pointers --------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def pointer_steps(pointers: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """The steps of each pointer."""
    return tuple(split_pointer(pointer) for pointer in pointers)


def is_mark(key: str) -> bool:
    """Whether a label or annotation says that an object is ours, or what we may do with it."""
    return key == PART_OF or key.startswith(PREFIX)


def below(pointers: Pointers, key: str) -> list[tuple[str, ...]]:
    """What is left of those pointers that go through the key of a map; an empty one ends there."""
    if is_mark(key):
        return []
    return [tuple(rest) for first, *rest in pointers if _is_key(first, key)]


def below_item(pointers: Pointers, *items: Any) -> list[tuple[str, ...]]:
    """The same for an item of a list, in any of the states ``items`` that it is known in."""
    return [
        tuple(rest)
        for first, *rest in pointers
        if first == "*" or any(_is_item(first, item) for item in items)
    ]


def _is_key(step: str, key: str) -> bool:
    return step == key or ("*" in step and bool(_pattern(step).fullmatch(key)))


@lru_cache(maxsize=1024)
def _pattern(step: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, step.split("*"))), re.DOTALL)


def _is_item(step: str, item: Any) -> bool:
    if not isinstance(item, dict):
        return step == _text(item)
    wanted = [part.partition("=") for part in step.split(",")]
    return all(sep and _text(item.get(name)) == value for name, sep, value in wanted)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


# -- Federation and Placement ----------------------------------------------------------------------


def parse_drift(body: Mapping[str, Any]) -> DriftRules:
    """``Federation.spec.drift``."""
    default = DriftRules()
    return DriftRules(
        additions=body.get("additions", default.additions),
        managers=tuple(body.get("managers", default.managers)),
        rules=tuple(
            AdditionRule(
                additions=rule["additions"],
                kinds=tuple(GroupKind.parse(kind) for kind in rule.get("kinds") or ()),
                paths=tuple(rule.get("paths") or ()),
                managers=tuple(rule.get("managers") or ()),
            )
            for rule in body.get("rules") or ()
        ),
    )


def parse_ignore(
    document: Document, entries: Sequence[Mapping[str, Any]], faults: ProblemCollector
) -> tuple[IgnoreRule, ...]:
    """``Federation.spec.ignore``."""
    found = []
    for number, entry in enumerate(entries):
        paths = check_ignored(document, ("spec", "ignore", number, "paths"), entry["paths"], faults)
        found.append(IgnoreRule(tuple(entry["select"]), paths))
    return tuple(found)


def check_ignored(
    document: Document, place: Sequence[str | int], paths: Sequence[str], faults: ProblemCollector
) -> tuple[str, ...]:
    """The pointers; those by which an object would no longer be known are problems."""
    for index, pointer in enumerate(paths):
        steps = split_pointer(pointer)
        if any(_covers(steps, kept) for kept in _KEPT):
            faults.problem(
                document,
                (*place, index),
                f"{pointer} cannot be left to others: by it an object is known as ours",
                "a field that is not identity, such as /metadata/labels/team",
            )
    return tuple(paths)


def _covers(steps: Sequence[str], path: Sequence[str]) -> bool:
    return len(steps) <= len(path) and all(map(_is_key, steps, path))


def leads_to_replicas(pointers: Sequence[str]) -> bool:
    """Whether the count of a workload's replicas is left to others."""
    return any(_covers(split_pointer(one), split_pointer(REPLICAS)) for one in pointers)


def misfits(workload: Workload, paths: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Which pointers cannot be left to others in this workload: index, why, what would do."""
    for index, pointer in enumerate(paths):
        steps = split_pointer(pointer)
        if leads_to_replicas([pointer]) and workload.rules.replicas.mode != "Duplicated":
            yield (
                index,
                f"the replicas of {workload.key} are divided, and cannot be left to others",
                "another path, or replicas.mode: Duplicated",
            )
        value: Any = workload.template
        for at, step in enumerate(steps):
            if isinstance(value, list):
                if step != "*" and "=" not in step and any(isinstance(i, dict) for i in value):
                    yield (
                        index,
                        f"{step!r} names no item of {join_pointer(steps[:at])} in {workload.key}",
                        "an item by its fields, such as name=web, or * for all of them",
                    )
                break
            value = value.get(step) if isinstance(value, dict) else None
