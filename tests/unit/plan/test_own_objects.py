"""What runs keep in a cluster, and get their rights by, is never pruned, wherever it comes from."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.api.annotations import PART_OF
from reconciler.api.errors import Position
from reconciler.api.objects import key_of
from reconciler.api.reasons import Cause, Reason
from reconciler.cluster.discovery import GroupVersionKind
from reconciler.federation.model import Federation, PruneRules
from reconciler.inventory.applyset import IDENTITY, identity_of
from reconciler.plan.member_plan import deletion_rules
from reconciler.plan.model import Change
from reconciler.plan.prune import PruneQuestion, decide_prune, decide_recreation

RBAC = "rbac.authorization.k8s.io/v1"
OURS = {"app.kubernetes.io/managed-by": "federation-reconciler"}


def verdict(
    api: str,
    kind: str,
    namespace: str,
    name: str,
    labels: dict[str, str] | None = None,
    own: str = "federation-system",
    *,
    again: bool = False,
) -> Change | str:
    live: dict[str, Any] = {
        "apiVersion": api,
        "kind": kind,
        "metadata": {"name": name, "uid": "u", "resourceVersion": "1", "labels": labels or {}},
    }
    if namespace:
        live["metadata"]["namespace"] = namespace
    key = key_of(live)
    live["metadata"]["labels"][PART_OF] = "set"
    live["metadata"]["annotations"] = {IDENTITY: identity_of(key)}
    rules = deletion_rules(
        Federation("shop", Position("f", 1, 1), namespace=own, prune=PruneRules())
    )
    question = PruneQuestion(key, GroupVersionKind(api, kind), live, Reason(Cause.REMOVED))
    return (
        decide_recreation(question, live, rules, "set") if again else decide_prune(question, rules)
    )


@pytest.mark.parametrize("own", ["federation-system", "ops"])
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(
    ("api", "kind"),
    [
        ("v1", "Secret"),
        ("v1", "ConfigMap"),
        ("v1", "ServiceAccount"),
        ("coordination.k8s.io/v1", "Lease"),
        (RBAC, "Role"),
        (RBAC, "RoleBinding"),
    ],
)
def test_what_reconcile_itself_needs_is_never_pruned(
    api: str, kind: str, own: str, again: bool
) -> None:
    assert "reconcile itself needs it" in str(verdict(api, kind, own, "any", own=own, again=again))
    assert isinstance(verdict(api, kind, "shop", "any", own=own, again=again), Change)


@pytest.mark.parametrize("own", ["federation-system", "ops"])
@pytest.mark.parametrize("again", [False, True])
def test_nor_is_its_namespace(own: str, again: bool) -> None:
    assert "reconcile itself" in str(verdict("v1", "Namespace", "", own, own=own, again=again))


@pytest.mark.parametrize("kind", ["ClusterRole", "ClusterRoleBinding"])
def test_nor_are_its_rights_in_the_whole_cluster(kind: str) -> None:
    assert "reconcile itself" in str(verdict(RBAC, kind, "", "federation-reconciler", OURS))
    assert isinstance(verdict(RBAC, kind, "", "another"), Change)
