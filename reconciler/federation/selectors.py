"""Label selectors, as Kubernetes reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.federation.model import Cluster, PlacementTarget, Requirement, Selector


def parse_selector(body: Mapping[str, Any] | None) -> Selector:
    """matchLabels/matchExpressions -> Selector; None and {} select everything."""
    body = body or {}
    return Selector(
        labels=dict(body.get("matchLabels") or {}),
        expressions=tuple(
            Requirement(e["key"], e["operator"], tuple(e.get("values") or ()))
            for e in body.get("matchExpressions") or ()
        ),
    )


def matches(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Whether all requirements hold. As in Kubernetes, NotIn holds where the label is missing."""
    return all(labels.get(k) == v for k, v in selector.labels.items()) and all(
        _holds(requirement, labels) for requirement in selector.expressions
    )


def _holds(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value is not None and value in requirement.values
        case "NotIn":
            return value is None or value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None


def selects(target: PlacementTarget, cluster: Cluster) -> bool:
    """Whether a cluster may be used at all, but for its taints."""
    if target.required and not any(matches(s, cluster.all_labels) for s in target.required):
        return False
    if target.clusters is not None:
        return cluster.name in target.clusters
    return target.selector is not None and matches(target.selector, cluster.all_labels)
