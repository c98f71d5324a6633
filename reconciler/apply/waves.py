"""In which order kinds are written, so that nothing waits for what comes later. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from reconciler.api.objects import GroupKind, ObjectKey
from reconciler.plan.model import NOT_WRITTEN, Action, Change

_WAVES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("CRDs and Namespaces", ("CustomResourceDefinition.apiextensions.k8s.io", "Namespace")),
    (
        "classes, access and configuration",
        (
            "ClusterRole.rbac.authorization.k8s.io",
            "StorageClass.storage.k8s.io",
            "IngressClass.networking.k8s.io",
            "PriorityClass.scheduling.k8s.io",
            "RuntimeClass.node.k8s.io",
            "GatewayClass.gateway.networking.k8s.io",
            "ResourceQuota",
            "LimitRange",
            "ServiceAccount",
            "Role.rbac.authorization.k8s.io",
            "ConfigMap",
            "Secret",
            "PersistentVolume",
            "PersistentVolumeClaim",
            "NetworkPolicy.networking.k8s.io",
        ),
    ),
    (
        "role bindings",
        ("ClusterRoleBinding.rbac.authorization.k8s.io", "RoleBinding.rbac.authorization.k8s.io"),
    ),
    ("Services", ("Service",)),
    (
        "workloads",
        (
            "Deployment.apps",
            "StatefulSet.apps",
            "DaemonSet.apps",
            "ReplicaSet.apps",
            "Job.batch",
            "CronJob.batch",
            "Pod",
        ),
    ),
    ("the rest", ()),
    (
        "webhooks and API services",
        (
            "APIService.apiregistration.k8s.io",
            "MutatingWebhookConfiguration.admissionregistration.k8s.io",
            "ValidatingWebhookConfiguration.admissionregistration.k8s.io",
        ),
    ),
)
_REST = next(i for i, (_, kinds) in enumerate(_WAVES) if not kinds)
_WAVE_OF = {GroupKind.parse(kind): i for i, (_, kinds) in enumerate(_WAVES) for kind in kinds}

DELETING = (Action.PRUNE, Action.ORPHAN)


def wave_of(key: ObjectKey) -> int:
    """The number of the wave in which objects of this kind are applied."""
    return _WAVE_OF.get(key.group_kind, _REST)


def apply_waves(changes: Sequence[Change]) -> list[tuple[int, list[Change]]]:
    """The changes that write, by wave in order; within a wave by key."""
    writing = [c for c in changes if c.action not in {*DELETING, *NOT_WRITTEN}]
    writing.sort(key=lambda c: (wave_of(c.key), c.key))
    return [(number, list(part)) for number, part in groupby(writing, lambda c: wave_of(c.key))]


def prune_waves(changes: Sequence[Change]) -> list[tuple[int, list[Change]]]:
    """The changes that remove, in reverse: custom resources ("the rest") before their CRDs."""
    removing = [c for c in changes if c.action in DELETING]
    removing.sort(key=lambda c: (-wave_of(c.key), c.key))
    return [(number, list(part)) for number, part in groupby(removing, lambda c: wave_of(c.key))]
