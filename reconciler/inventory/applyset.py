"""ApplySet membership (KEP-3659), so that kubectl understands what belongs to the federation.

The parent is a Secret: the records beside it hold keyed digests of Secret values, and the key.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from reconciler import __version__
from reconciler.api.annotations import PART_OF
from reconciler.api.objects import GroupKind, Object, ObjectKey, key_of, map_of

ID = "applyset.kubernetes.io/id"
TOOLING = "applyset.kubernetes.io/tooling"
GROUP_KINDS = "applyset.kubernetes.io/contains-group-kinds"
NAMESPACES = "applyset.kubernetes.io/additional-namespaces"

IDENTITY = "federation.reconciler.dev/object"
"""Annotation that repeats an object's own identity. Some controllers copy labels to what they
make (a Service's to its EndpointSlices); a copy does not carry its own identity and is not ours."""

TOOL = "federation-reconciler"


def applyset_id(name: str, namespace: str, group_kind: GroupKind) -> str:
    """The ID that KEP-3659 derives from the parent's own identity."""
    text = f"{name}.{namespace}.{group_kind.kind}.{group_kind.group}"
    digest = hashlib.sha256(text.encode()).digest()
    return f"applyset-{base64.urlsafe_b64encode(digest).decode().rstrip('=')}-v1"


def identity_of(key: ObjectKey) -> str:
    """``apps/Deployment/shop/web``; empty parts stay empty: ``/Namespace//shop``."""
    return "/".join(key)


def with_membership(body: Object, key: ObjectKey, applyset: str) -> Object:
    """A copy of ``body`` (shallow where untouched) that says whose it is."""
    metadata = dict(body["metadata"])
    metadata["labels"] = {**(metadata.get("labels") or {}), PART_OF: applyset}
    metadata["annotations"] = {
        **(metadata.get("annotations") or {}),
        IDENTITY: identity_of(key),
    }
    return {**body, "metadata": metadata}


def owner_of(live: Object) -> str:
    """The ApplySet ID that the object's label names, or empty."""
    labels = live["metadata"].get("labels")
    return str(labels.get(PART_OF, "")) if isinstance(labels, dict) else ""


def is_member(live: Object, applyset: str, key: ObjectKey | None = None) -> bool:
    """Whether the object carries our label and its own identity, not a copied one.

    ``key`` is that identity, where the caller knows it.
    """
    metadata = live["metadata"]
    labels, annotations = map_of(metadata.get("labels")), map_of(metadata.get("annotations"))
    return is_marked(labels, annotations, applyset, key or key_of(live))


def is_marked(
    labels: Mapping[str, Any], annotations: Mapping[str, Any], applyset: str, key: ObjectKey
) -> bool:
    """The same of an object of which only these have been read."""
    return labels.get(PART_OF) == applyset and annotations.get(IDENTITY) == identity_of(key)


def tool_annotation() -> str:
    """The parent's annotation that says which tool owns it: ``NAME/VERSION``."""
    return f"{TOOL}/v{__version__}"


def is_our_tooling(annotation: str) -> bool:
    """Another tool's parent must not be touched, as KEP-3659 says; our other versions' may."""
    return annotation.partition("/")[0] == TOOL


def format_group_kinds(kinds: Iterable[GroupKind]) -> str:
    """``ConfigMap,Deployment.apps``: sorted, so that equal sets are equal text."""
    return ",".join(sorted(str(kind) for kind in kinds))


def parse_group_kinds(annotation: str) -> frozenset[GroupKind]:
    """The inverse of ``format_group_kinds``."""
    return frozenset(GroupKind.parse(part) for part in annotation.split(",") if part)
