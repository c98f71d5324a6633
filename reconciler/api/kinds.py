"""Kinds that every cluster serves, with the version to write them in."""

from __future__ import annotations

from reconciler.api.objects import DEFAULT_NAMESPACE, Object, ObjectKey, map_of

_KINDS = {
    "v1": "ConfigMap Endpoints LimitRange Namespace! Node! PersistentVolume! "
    "PersistentVolumeClaim Pod PodTemplate ReplicationController ResourceQuota Secret Service "
    "ServiceAccount",
    "apps/v1": "ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet",
    "batch/v1": "CronJob Job",
    "autoscaling/v2": "HorizontalPodAutoscaler",
    "policy/v1": "PodDisruptionBudget",
    "networking.k8s.io/v1": "Ingress IngressClass! NetworkPolicy",
    "rbac.authorization.k8s.io/v1": "ClusterRole! ClusterRoleBinding! Role RoleBinding",
    "storage.k8s.io/v1": "StorageClass! CSIDriver!",
    "scheduling.k8s.io/v1": "PriorityClass!",
    "apiextensions.k8s.io/v1": "CustomResourceDefinition!",
    "apiregistration.k8s.io/v1": "APIService!",
    "admissionregistration.k8s.io/v1": "MutatingWebhookConfiguration! "
    "ValidatingWebhookConfiguration! ValidatingAdmissionPolicy! ValidatingAdmissionPolicyBinding!",
    "coordination.k8s.io/v1": "Lease",
    "discovery.k8s.io/v1": "EndpointSlice",
    "node.k8s.io/v1": "RuntimeClass!",
}

API_VERSIONS = {
    kind.rstrip("!"): api_version for api_version, kinds in _KINDS.items() for kind in kinds.split()
}
"""Kind -> apiVersion."""

CLUSTER_SCOPED = frozenset(
    kind.rstrip("!") for kinds in _KINDS.values() for kind in kinds.split() if kind.endswith("!")
)

REPLICATED = frozenset({"Deployment", "StatefulSet", "ReplicaSet", "ReplicationController"})
"""Built-in kinds whose spec.replicas says how many pods there are."""

REPLICAS = "/spec/replicas"
"""The JSON pointer to that count."""

RUN_PODS = REPLICATED | {"DaemonSet", "Job", "CronJob", "Pod"}
"""Built-in kinds that run something."""


# -- autoscalers -----------------------------------------------------------------------------------


def has_bounds(key: ObjectKey) -> bool:
    """Whether it is a HorizontalPodAutoscaler, with its minReplicas and maxReplicas."""
    return key.group_kind == ("autoscaling", "HorizontalPodAutoscaler")


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
