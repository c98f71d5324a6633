"""In which order kinds are written, so that nothing waits for what comes later. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from types import MappingProxyType

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

RUNNING = next(i for i, (_, kinds) in enumerate(_WAVES) if "Deployment.apps" in kinds)
"""The wave of workloads, from which on a release waits for its hooks."""

NO_HOOKS: Mapping[ObjectKey, int] = MappingProxyType({})
DELETING = (Action.PRUNE, Action.ORPHAN)


def wave_of(key: ObjectKey) -> int:
    """The number of the wave in which objects of this kind are applied."""
    return _WAVE_OF.get(key.group_kind, _REST)


def apply_waves(
    changes: Sequence[Change], hooks: Mapping[ObjectKey, int] = NO_HOOKS
) -> list[tuple[int, list[Change]]]:
    """The changes that write, by wave in order; within a wave by key. ``hooks`` are workloads that
    come before the others, in the order of their numbers."""

    def place(change: Change) -> tuple[int, bool, int]:
        early = change.key in hooks
        return wave_of(change.key), not early, hooks.get(change.key, 0)

    writing = [c for c in changes if c.action not in {*DELETING, *NOT_WRITTEN}]
    writing.sort(key=lambda c: (place(c), c.key))
    return [(number[0], list(part)) for number, part in groupby(writing, place)]


def prune_waves(changes: Sequence[Change]) -> list[tuple[int, list[Change]]]:
    """The changes that remove, in reverse: custom resources ("the rest") before their CRDs."""
    removing = [c for c in changes if c.action in DELETING]
    removing.sort(key=lambda c: (-wave_of(c.key), c.key))
    return [(number, list(part)) for number, part in groupby(removing, lambda c: wave_of(c.key))]
