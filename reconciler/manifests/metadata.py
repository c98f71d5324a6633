"""What every manifest must have, whatever its kind: identity, well-formed names and labels.

The rules are Kubernetes' own (RFC 1123 names, label syntax); the cluster would refuse the same, but
only after others had been written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

from reconciler.api.annotations import (
    IN_TEMPLATES,
    PREFIX,
    AnnotationFault,
    annotation_faults_of,
    faults_in_metadata,
    value_hint,
)
from reconciler.api.errors import Problem
from reconciler.api.objects import Object, map_of
from reconciler.api.spelling import close_matches
from reconciler.manifests.document import Document
from reconciler.manifests.own_schemas import KUBEFED_TYPES, json_path, schema_name
from reconciler.manifests.secret_data import kind_of, read_as

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_VARIABLE = re.compile(r"\$\{cluster\.[^}]*\}")
_KIND = re.compile(r"[A-Z][A-Za-z0-9]*")
_API_VERSION = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?v[0-9]+((alpha|beta)[0-9]+)?")

_ANY_SEGMENT = frozenset({"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"})
"""Kinds whose names need only be a path segment: RBAC uses colons and capitals."""

_DNS_LABEL_NAMES = frozenset({"Service", "Namespace"})

_SERVER_SIDE = (
    "managedFields",
    "resourceVersion",
    "uid",
    "creationTimestamp",
    "generation",
    "selfLink",
)
_METADATA = (
    *("name", "namespace", "labels", "annotations", "finalizers", "ownerReferences"),
    *("generateName", "deletionTimestamp", "deletionGracePeriodSeconds", *_SERVER_SIDE),
)
"""What the metadata of any object may have: server-side apply refuses all else."""
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def without_server_fields(body: Object) -> Object:
    """The manifest without what an export from a live cluster leaves in it."""
    metadata = body.get("metadata")
    if not isinstance(metadata, dict):
        return body
    for name in _SERVER_SIDE:
        metadata.pop(name, None)
    annotations = metadata.get("annotations")
    if isinstance(annotations, dict) and annotations.pop(_LAST_APPLIED, None) and not annotations:
        del metadata["annotations"]
    for part in ("labels", "annotations"):
        if part in metadata and metadata[part] is None:
            del metadata[part]
    return body


def identity_problems(document: Document) -> Iterator[Problem]:
    """Why a document is no manifest at all, or cannot be distinguished from others."""
    body = document.body
    for name, pattern, example in (
        ("apiVersion", _API_VERSION, "apps/v1"),
        ("kind", _KIND, "Deployment"),
    ):
        value = body.get(name)
        if not isinstance(value, str) or not value:
            hint = "every manifest starts with apiVersion and kind"
            if name not in body:
                other = _in_other_letters(body, name)
                hint = f"it is there as {other}" if other else hint
                place = (other,) if other else ()
                missing = f"{name} is missing"
                yield _problem(document, place, missing, f"such as {example}", hint, at_key=True)
            else:
                yield _problem(document, (name,), f"{name} is not text", f"such as {example}")
        elif not pattern.fullmatch(value):
            yield _problem(
                document, (name,), f"not a valid {name}: {value!r}", f"such as {example}"
            )
    if not isinstance(body.get("spec") or {}, dict):
        yield _problem(document, ("spec",), "spec is no map", "names and values")
    metadata = body.get("metadata")
    if not isinstance(metadata, dict):
        other = "metadata" if "metadata" in body else _in_other_letters(body, "metadata")
        hint = f"it is there as {other}" if other not in ("", "metadata") else ""
        if any(key.startswith("\xa0") for key in body):
            hint = "YAML is indented with spaces, never with no-break spaces"
        place = (other,) if other else ()
        yield _problem(document, place, "metadata is missing", "a map with a name", hint)


def _in_other_letters(body: Object, name: str) -> str:
    """The key that differs only in small and large letters."""
    return next((key for key in body if key.lower() == name.lower()), "")


def metadata_problems(document: Document) -> Iterator[Problem]:
    """What is wrong with the names, labels and annotations of a document that is a manifest."""
    metadata = document.body["metadata"]
    if not metadata.get("name") and metadata.get("generateName"):
        yield _problem(
            document,
            ("metadata", "generateName"),
            "generateName makes a new object each time",
            "metadata.name",
            "give it a name, so that the next run finds it again",
        )
    else:
        yield from _name_problems(document, metadata)
    namespace = metadata.get("namespace")
    if namespace is not None and not (
        isinstance(namespace, str) and len(namespace) <= 63 and _LABEL_NAME.fullmatch(namespace)
    ):
        yield _problem(
            document,
            ("metadata", "namespace"),
            f"not a valid namespace: {namespace!r}",
            _name_rule("Namespace"),
            _ending_hint(namespace) if isinstance(namespace, str) else "",
        )
    for key in metadata:
        if key not in _METADATA:
            close = close_matches(key, _METADATA, 1)
            yield _problem(
                document,
                ("metadata", key),
                f"unknown key {key!r}",
                "one of " + ", ".join(_METADATA[:6]),
                f"did you mean {close[0]}?" if close else "",
                at_key=True,
            )
    yield from _map_problems(document, metadata)


def _name_problems(document: Document, metadata: Object) -> Iterator[Problem]:
    kind = str(document.body.get("kind"))
    name = metadata.get("name")
    written = "" if isinstance(name, str) else document.written("metadata", "name")
    if name is None or name == "":
        yield _problem(document, ("metadata",), "metadata.name is missing", "a name")
    elif not isinstance(name, str):
        yield _problem(
            document,
            ("metadata", "name"),
            read_as(name, written) if written else f"metadata.name is {kind_of(name)}",
            "text",
            value_hint("name", written),
        )
    elif not _is_name(name, kind):
        yield _problem(
            document,
            ("metadata", "name"),
            f"not a valid name: {name!r}",
            _name_rule(kind),
            _ending_hint(name) or _lower_hint(name, kind),
        )


def mark_problems(document: Document, *, federated: bool = False) -> Iterator[Problem]:
    """Our annotations and labels: all of them on manifests, what KubeFed's templates have no other
    way to say in these, none on documents that never reach a cluster.

    ``federated``: a FederatedTypeConfig makes it a federated kind, whatever its group.
    """
    body = document.body
    if not federated and schema_name(body) is None:
        found = annotation_faults_of(body)
    else:
        found = faults_in_metadata(body)
        if federated or body["apiVersion"] == KUBEFED_TYPES:
            template = map_of(map_of(body.get("spec")).get("template"))
            inside = annotation_faults_of(template, IN_TEMPLATES, ("spec", "template"))
            found = chain(found, inside)
    for path, fault in found:
        # KubeFed's clusters have no other way to say whose they are.
        if not (body["kind"] == "KubeFedCluster" and path[-1] == PREFIX + "provider"):
            yield _problem(
                document, path, fault.message, fault.expected, fault.hint, at_key=fault.at_key
            )


def _is_name(name: str, kind: str) -> bool:
    if kind in _ANY_SEGMENT:
        return name not in (".", "..") and "/" not in name and "%" not in name
    if kind in _DNS_LABEL_NAMES:
        return len(name) <= 63 and bool(_LABEL_NAME.fullmatch(name))
    return len(name) <= 253 and bool(_SUBDOMAIN.fullmatch(name))


def _name_rule(kind: str) -> str:
    if kind in _ANY_SEGMENT:
        return "a name without '/' and '%'"
    if kind in _DNS_LABEL_NAMES:
        return "at most 63 lower case letters, digits and '-', with no '-' at either end"
    letters = "lower case letters, digits, '-' and '.'"
    return f"at most 253 {letters}, with no '-' or '.' at either end"


def _lower_hint(name: str, kind: str) -> str:
    if kind in _ANY_SEGMENT:
        return ""
    others = r"[^a-z0-9-]+" if kind in _DNS_LABEL_NAMES else r"[^a-z0-9.-]+"
    better = re.sub(others, "-", name.lower()).strip("-.")
    return f"such as {better!r}" if better and better != name and _is_name(better, kind) else ""


def _map_problems(document: Document, metadata: Object) -> Iterator[Problem]:
    annotations = map_of(metadata.get("annotations"))
    entries_are_filled_in = annotations.get(PREFIX + "substitute") == "true"
    for part in ("labels", "annotations"):
        entries = metadata.get(part)
        if entries is None:
            continue
        if not isinstance(entries, dict):
            yield _problem(document, ("metadata", part), f"{part} is no map", "names and values")
            continue
        for key, value in entries.items():
            where = ("metadata", part, key)
            if not isinstance(value, str) and document.is_sensitive:
                yield _problem(
                    document, where, f"the value is {kind_of(value)}", "text", "quote it"
                )
            elif not isinstance(value, str):
                hint = value_hint(key, document.written(*where))
                yield _problem(document, where, f"the value is {_shown(value)}", "text", hint)
            if entries_are_filled_in and isinstance(value, str):
                value = _VARIABLE.sub("x", value)  # Another text in each cluster, and a valid one.
            for fault in syntax_faults(part, key, value):
                hidden = document.is_sensitive and not fault.at_key
                message = "not a valid label value" if hidden else fault.message
                yield _problem(
                    document, where, message, fault.expected, fault.hint, at_key=fault.at_key
                )


def syntax_faults(part: str, key: str, value: Any) -> Iterator[AnnotationFault]:
    """What every server has against one of the ``part`` labels or annotations, by its letters. One
    that is no text is judged elsewhere."""
    is_value = part == "labels" and isinstance(value, str) and value != ""
    if is_value and (len(value) > 63 or not _QUALIFIED.fullmatch(value)):
        message = f"not a valid label value: {value[:80]!r}"
        expected = "at most 63 letters, digits, '-', '_' and '.'"
        yield AnnotationFault(message, expected, _ending_hint(value), at_key=False)
    # Of annotations, servers compare the letters only.
    prefix, slash, name = (key if part == "labels" else key.lower()).rpartition("/")
    long = len(name) > 63 or len(prefix) > 253
    if long or not _QUALIFIED.fullmatch(name) or (slash and not _SUBDOMAIN.fullmatch(prefix)):
        expected = "name or domain/name, the name at most 63 letters, digits, '-', '_' and '.'"
        yield AnnotationFault(f"not a valid key: {key[:80]!r}", expected)


def _ending_hint(text: str) -> str:
    """For what | or > made of one word."""
    if not text.endswith("\n") or "\n" in text[:-1]:
        return ""
    return "it ends with a line break: write it on the line of its key, without | or >"


def _shown(value: Any) -> str:
    return (
        {True: "true", False: "false", None: "null"}.get(value, type(value).__name__)
        if (value is None or isinstance(value, bool))
        else f"{value!r}, not text"
    )


def _problem(
    document: Document,
    path: tuple[str, ...],
    message: str,
    expected: str = "",
    hint: str = "",
    *,
    at_key: bool = False,
) -> Problem:
    return Problem(
        document.position(*path, key=at_key),
        json_path(path),
        message,
        expected,
        hint,
    )
