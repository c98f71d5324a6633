"""Nothing is written before what it needs, and removed before what needs it."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given

from reconciler.api.objects import GroupKind, ObjectKey
from reconciler.apply.waves import apply_waves, prune_waves, wave_of
from reconciler.plan.model import NOT_WRITTEN, Action, Change
from tests.strategies import changes_of_kinds

NEEDS = {
    "ConfigMap": ("Namespace",),
    "Secret": ("Namespace",),
    "ServiceAccount": ("Namespace",),
    "Role.rbac.authorization.k8s.io": ("Namespace",),
    "PersistentVolumeClaim": ("Namespace",),
    "RoleBinding.rbac.authorization.k8s.io": (
        "ServiceAccount",
        "Role.rbac.authorization.k8s.io",
        "ClusterRole.rbac.authorization.k8s.io",
    ),
    "ClusterRoleBinding.rbac.authorization.k8s.io": (
        "ServiceAccount",
        "ClusterRole.rbac.authorization.k8s.io",
    ),
    "Deployment.apps": (
        "Namespace",
        "ConfigMap",
        "Secret",
        "ServiceAccount",
        "PersistentVolumeClaim",
        "RoleBinding.rbac.authorization.k8s.io",
        "StorageClass.storage.k8s.io",
        "PriorityClass.scheduling.k8s.io",
        "RuntimeClass.node.k8s.io",
        "ResourceQuota",
        "LimitRange",
        "Service",
    ),
    "StatefulSet.apps": ("Service", "PersistentVolumeClaim"),
    "Job.batch": ("ConfigMap", "ServiceAccount"),
    "Pod": ("ConfigMap", "ServiceAccount"),
    "Shop.example.org": ("CustomResourceDefinition.apiextensions.k8s.io", "Namespace"),
    "Ingress.networking.k8s.io": ("Service", "IngressClass.networking.k8s.io"),
    "Gateway.gateway.networking.k8s.io": ("GatewayClass.gateway.networking.k8s.io",),
    "HorizontalPodAutoscaler.autoscaling": ("Deployment.apps",),
    "PodDisruptionBudget.policy": ("Deployment.apps",),
    "APIService.apiregistration.k8s.io": ("Service", "Deployment.apps"),
    "ValidatingWebhookConfiguration.admissionregistration.k8s.io": ("Service", "Deployment.apps"),
    "MutatingWebhookConfiguration.admissionregistration.k8s.io": ("Service", "Deployment.apps"),
}
"""What an object of a kind may refer to, and is refused or fails without. (A claim merely waits for
its StorageClass.)"""

KINDS = sorted({*NEEDS, *(kind for needed in NEEDS.values() for kind in needed)})


def change(kind: str, name: str = "x", action: Action = Action.CREATE) -> Change:
    return Change(action, ObjectKey(*GroupKind.parse(kind), "shop", name), "v1")


def kinds_in_order(waves: list[tuple[int, list[Change]]]) -> dict[str, int]:
    """Kind -> place of its wave."""
    return {str(one.key.group_kind): place for place, (_, wave) in enumerate(waves) for one in wave}


@given(changes_of_kinds(KINDS))
def test_what_is_needed_is_written_in_an_earlier_wave_and_removed_in_a_later_one(
    changes: list[Change],
) -> None:
    written, removed = (kinds_in_order(f(changes)) for f in (apply_waves, prune_waves))
    for kind, needs in NEEDS.items():
        for needed in needs:
            if kind in written and needed in written:
                assert written[needed] < written[kind]
            if kind in removed and needed in removed:
                assert removed[kind] < removed[needed]


@pytest.mark.parametrize(("kind", "needs"), NEEDS.items(), ids=str)
def test_each_need_by_itself(kind: str, needs: tuple[str, ...]) -> None:
    assert needs
    for needed in needs:
        changes = [change(kind), change(needed)]
        assert [w[0].key.group_kind for _, w in apply_waves(changes)] == [
            GroupKind.parse(needed),
            GroupKind.parse(kind),
        ]


@given(changes_of_kinds(KINDS))
def test_every_change_is_in_one_wave_of_the_right_sort(changes: list[Change]) -> None:
    removing = {Action.PRUNE, Action.ORPHAN}
    written = [c for _, wave in apply_waves(changes) for c in wave]
    removed = [c for _, wave in prune_waves(changes) for c in wave]
    assert sorted(c.key for c in removed) == sorted(c.key for c in changes if c.action in removing)
    assert sorted(c.key for c in written) == sorted(
        c.key for c in changes if c.action not in removing | NOT_WRITTEN
    )
    numbers = [number for number, _ in apply_waves(changes)]
    assert numbers == sorted(set(numbers))
    numbers = [number for number, _ in prune_waves(changes)]
    assert numbers == sorted(set(numbers), reverse=True)


def test_the_order_is_the_same_whatever_comes_first() -> None:
    changes = [change("ConfigMap", "b"), change("Pod"), change("ConfigMap", "a")]
    orders = [apply_waves(list(order)) for order in permutations(changes)]
    assert len(orders) == 6
    assert all(order == orders[0] for order in orders)
    assert [c.key.name for c in orders[0][0][1]] == ["a", "b"]


def test_a_kind_that_nobody_knows_comes_after_workloads_and_before_webhooks() -> None:
    unknown = wave_of(change("Shop.example.org").key)
    assert wave_of(change("Deployment.apps").key) < unknown
    assert unknown < wave_of(change("APIService.apiregistration.k8s.io").key)
    # A namesake in another group is another kind.
    assert wave_of(change("Deployment.example.org").key) == unknown
