"""Which workload an autoscaler scales: any object whose ``spec.scaleTargetRef`` names one.

So it is with a HorizontalPodAutoscaler, with KEDA's ScaledObject, and with those made after them.
"""

from __future__ import annotations

from reconciler.objects import DEFAULT_NAMESPACE, Object, ObjectKey, map_of

ScaleTarget = tuple[str, str, str]
"""Namespace, kind and name of a workload. Without its group: too much is left to an autoscaler
rather than too little."""


def scale_target(body: Object) -> ScaleTarget | None:
    """The workload that the object scales; None: it is no autoscaler."""
    spec = body.get("spec")
    if not isinstance(spec, dict) or "scaleTargetRef" not in spec:
        return None
    reference = map_of(spec["scaleTargetRef"])
    name = reference.get("name")
    if not isinstance(name, str) or not name:
        return None
    # KEDA takes a Deployment where it is not said.
    kind = str(reference.get("kind") or "Deployment")
    return str(body["metadata"].get("namespace") or DEFAULT_NAMESPACE), kind, name


def scaled_as(key: ObjectKey) -> ScaleTarget:
    """A workload as ``scale_target`` would name it."""
    return key.namespace or DEFAULT_NAMESPACE, key.kind, key.name
