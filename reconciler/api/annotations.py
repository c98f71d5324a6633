"""Our own annotations and labels: a schema, so that none is ignored for its spelling.

On a live object, where anybody may write, the same words are read by ``plan.prune``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from msgspec import Struct

from reconciler.api.objects import Object, ObjectKey, map_of, value_at
from reconciler.api.spelling import close_matches

PREFIX = "federation.reconciler.dev/"
KUBEFED_ORPHAN = "kubefed.io/orphan"
PART_OF = "applyset.kubernetes.io/part-of"

BOOLEAN = ("true", "false")
ANNOTATIONS: Mapping[str, tuple[str, ...]] = {
    "placement": (),
    "protect": BOOLEAN,
    "orphan": BOOLEAN,
    "recreate": BOOLEAN,
    "force-conflicts": BOOLEAN,
    "prune-propagation": ("Background", "Foreground", "Orphan"),
    "rerun-when-gone": BOOLEAN,
    "sensitive": BOOLEAN,
    "additions": ("Report", "Remove", "Ignore"),
    "substitute": BOOLEAN,
    "dns": (),
    "dns-health-check": (),
}
"""What a manifest may say to us, and with which values; without any, a text of its own kind."""
STEERING = ("placement", "substitute")
"""Read before anything is rendered: they mean nothing in a template of KubeFed or an override."""
_RESERVED = (
    *("object", "inventory", "source", "cluster", "federation", "made-by", "service-account"),
    *("dns-owner", "dns-name", "dns-targets-", "token-"),
)
_SPELLINGS = {
    **dict.fromkeys(("true", "yes", "y", "on", "1", "t"), "true"),
    **dict.fromkeys(("false", "no", "n", "off", "0", "f"), "false"),
}
_JOB = ("spec", "jobTemplate")
_POD_TEMPLATES = (("spec", "template"), _JOB, (*_JOB, "spec", "template"))


IN_TEMPLATES = tuple(name for name in ANNOTATIONS if name not in STEERING)
"""What may be said there."""


class AnnotationFault(Struct, frozen=True):
    """What is wrong with one entry: with its key, or (``at_key`` False) with its value."""

    message: str
    expected: str
    hint: str = ""
    at_key: bool = True


def entry_fault(
    part: str, key: str, value: Any, allowed: Collection[str] = tuple(ANNOTATIONS)
) -> AnnotationFault | None:
    """What is wrong with one of the ``part`` labels or annotations; None: it is right, or not ours.

    ``allowed`` are the annotations that mean something there.
    """
    if key == KUBEFED_ORPHAN and part == "annotations":
        return _value_fault(key, value, BOOLEAN)
    name = key.removeprefix(PREFIX)
    if key == PART_OF or (name != key and name.startswith(_RESERVED)):
        hint = "take it out; an export of a live object carries it along"
        return AnnotationFault(f"only reconcile writes {key}", f"no such {part[:-1]}", hint)
    if name == key:
        return _prefix_fault(key)
    if name not in ANNOTATIONS:
        close = close_matches(name, allowed, 1, 0.5)
        hint = f"did you mean {PREFIX}{close[0]}?" if close else ""
        expected = ", ".join(allowed) or f"nothing that begins with {PREFIX}"
        return AnnotationFault(f"{key} is none of our annotations", expected, hint)
    if part == "labels":
        return AnnotationFault(f"{key} is an annotation, not a label", "it among the annotations")
    if name not in allowed:
        return AnnotationFault(
            f"{key} has no effect here", "it in the metadata of the manifest itself"
        )
    return _value_fault(key, value, ANNOTATIONS[name])


def _prefix_fault(key: str) -> AnnotationFault | None:
    """Of a key whose part before the slash is nearly ours, and whose name is one of ours."""
    prefix, slash, name = key.partition("/")
    if not slash or ("reconcil" not in prefix and "federation" not in prefix):
        return None
    meant = close_matches(name, ANNOTATIONS, 1, 0.8)
    if not meant or not close_matches(prefix + slash, [PREFIX], 1, 0.7):
        return None
    message = f"{key} is none of our annotations, and would have no effect"
    return AnnotationFault(
        message, f"what begins with {PREFIX}", f"did you mean {PREFIX}{meant[0]}?"
    )


def _value_fault(key: str, value: Any, values: tuple[str, ...]) -> AnnotationFault | None:
    text = value if isinstance(value, str) else ""
    if key == PREFIX + "dns" and meant_value(text, BOOLEAN):
        values = BOOLEAN  # A word for yes or no is hardly a name.
    may_be_empty = key.startswith(PREFIX + "dns")  # No names at all.
    if text in values or (not values and (text or (may_be_empty and value == ""))):
        return None
    meant = meant_value(text, values)
    expected = " or ".join(f'"{one}"' for one in values) or "text"
    return AnnotationFault(
        f"{key} is {value!r}", expected, f'write "{meant}"' if meant else "", at_key=False
    )


def meant_value(text: str, values: Collection[str]) -> str:
    """The value that is meant by a word such as ``True``, ``yes`` or ``foreground``; else empty."""
    word = _SPELLINGS.get(text.strip().lower(), "") if "true" in values else ""
    return word or next((one for one in values if one.lower() == text.strip().lower()), "")


def value_hint(key: str, written: str) -> str:
    """How to write a value that YAML does not take for text: as it was written, in quotes."""
    if key.startswith(PREFIX) or key == KUBEFED_ORPHAN:
        name = key.removeprefix(PREFIX)
        values = BOOLEAN if key == KUBEFED_ORPHAN else ANNOTATIONS.get(name, ())
        if meant := meant_value(written, values):
            return f'write "{meant}"'
    return f'quote it: "{written}"' if written else "quote it"


def annotation_faults_of(
    body: Object, allowed: Collection[str] = tuple(ANNOTATIONS), path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], AnnotationFault]]:
    """What is wrong with our marks in the metadata of ``body`` and its Pod templates, by path;
    ``path`` leads to ``body``."""
    yield from faults_in_metadata(body, path, allowed)
    for steps in _POD_TEMPLATES:
        inner = value_at(body, steps)
        if isinstance(inner, dict):
            yield from faults_in_metadata(inner, (*path, *steps))


def faults_in_metadata(
    body: Object, path: tuple[str, ...] = (), allowed: Collection[str] = ()
) -> Iterator[tuple[tuple[str, ...], AnnotationFault]]:
    """The same of the metadata alone; ``path`` leads to ``body``."""
    metadata = map_of(body.get("metadata"))
    for part in ("annotations", "labels"):
        for key, value in map_of(metadata.get(part)).items():
            if fault := entry_fault(part, key, value, allowed):
                yield (*path, "metadata", part, key), fault


def own_metadata(key: ObjectKey, federation: str, found: Object | None = None) -> Object:
    """The metadata of an object in which we keep something of a federation; of one that is to be
    replaced (``found``) everything else stays, its resourceVersion too."""
    metadata = dict(map_of((found or {}).get("metadata")))
    metadata.pop("managedFields", None)
    labels = {
        **map_of(metadata.get("labels")),
        "app.kubernetes.io/managed-by": "federation-reconciler",
        f"{PREFIX}federation": federation,
    }
    return metadata | {"name": key.name, "namespace": key.namespace, "labels": labels}
