"""Karmada's ``resourceSelectors``: which manifests a policy is about, and how exactly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Any

from reconciler.api.kinds import API_VERSIONS, CLUSTER_SCOPED
from reconciler.api.objects import DEFAULT_NAMESPACE, Object, map_of
from reconciler.federation.selectors import matches, parse_selector

CLUSTER_WIDE = ("ClusterPropagationPolicy", "ClusterOverridePolicy")


class Match(IntEnum):
    """How a manifest is selected; the larger, the more exactly."""

    NONE = 0
    ALL = 1
    LABELS = 2
    NAME = 3


def namespace_of(obj: Object) -> str:
    """Where a manifest, or a policy, is; without a word, what has a namespace is in ``default``."""
    kind, given = obj["kind"], obj["metadata"].get("namespace") or ""
    if given or kind in CLUSTER_WIDE or kind in CLUSTER_SCOPED:
        return str(given)
    own = kind in API_VERSIONS or kind in ("PropagationPolicy", "OverridePolicy")
    return DEFAULT_NAMESPACE if own else ""


def is_about(policy: Object, manifest: Object) -> bool:
    """Whether a policy may select the manifest at all: one of a namespace, only what is there."""
    if policy["kind"] in CLUSTER_WIDE:
        return True
    here = namespace_of(policy)
    return (namespace_of(manifest) or DEFAULT_NAMESPACE) == here


def entries_about(policy: Object, manifest: Object) -> Iterator[tuple[int, Match]]:
    """The numbers of the selectors that select a manifest, and how."""
    if not is_about(policy, manifest):
        return
    for number, entry in enumerate(map_of(policy.get("spec")).get("resourceSelectors") or ()):
        found = _match(entry, manifest)
        if found:
            yield number, found


def _match(entry: Mapping[str, Any], manifest: Object) -> Match:
    if (entry["apiVersion"], entry["kind"]) != (manifest["apiVersion"], manifest["kind"]):
        return Match.NONE
    if entry.get("namespace") and entry["namespace"] != namespace_of(manifest):
        return Match.NONE
    metadata = manifest["metadata"]
    if entry.get("name"):
        return Match.NAME if entry["name"] == metadata["name"] else Match.NONE
    if entry.get("labelSelector") is None:
        return Match.ALL
    selector = parse_selector(entry["labelSelector"])
    return Match.LABELS if matches(selector, metadata.get("labels") or {}) else Match.NONE
