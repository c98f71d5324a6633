"""Label selectors, as Kubernetes reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.federation.model import (
    Cluster,
    ClusterAffinity,
    OverflowStep,
    PlacementTarget,
    Requirement,
    Selector,
)


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
    if target.affinities and not any(affine(one, cluster) for one in target.affinities):
        return False
    if target.required and not any(matches(s, cluster.all_labels) for s in target.required):
        return False
    if target.overflow and not any(is_in_step(one, cluster) for one in target.overflow):
        return False
    if target.clusters is not None:
        return cluster.name in target.clusters
    return target.selector is not None and matches(target.selector, cluster.all_labels)


def is_in_step(step: OverflowStep, cluster: Cluster) -> bool:
    """Whether a cluster is in a step of an overflow."""
    if step.clusters is not None:
        return cluster.name in step.clusters
    return step.selector is None or matches(step.selector, cluster.all_labels)


def affine(affinity: ClusterAffinity, cluster: Cluster) -> bool:
    """Whether Karmada's filter lets a cluster pass.

    Source: the documented meaning of ``clusterAffinity`` (Karmada 1.16). All zones of a cluster
    must be among those of ``In``, and none among those of ``NotIn``.
    """
    if cluster.name in affinity.exclude or (affinity.names and cluster.name not in affinity.names):
        return False
    if affinity.selector is not None and not matches(affinity.selector, cluster.labels):
        return False
    return all(_field_holds(one, cluster) for one in affinity.fields)


def _field_holds(requirement: Requirement, cluster: Cluster) -> bool:
    if requirement.key == "zone":
        values = set(zones_of(cluster))
    else:
        values = {v for v in (getattr(cluster, requirement.key),) if v}
    match requirement.operator:
        case "In":
            return bool(values) and values <= set(requirement.values)
        case "NotIn":
            return not values & set(requirement.values)
        case "Exists":
            return bool(values)
        case "DoesNotExist":
            return not values


def zones_of(cluster: Cluster) -> tuple[str, ...]:
    """All zones of a cluster."""
    return cluster.zones or ((cluster.zone,) if cluster.zone else ())
