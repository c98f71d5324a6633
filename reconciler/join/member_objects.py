"""The objects that a member gets when it joins. Pure.

The names follow KubeFed's: ServiceAccount ``<cluster>-<host cluster>``, roles named after it, one
more role for the health check.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from reconciler.api.objects import Object
from reconciler.cluster.discovery import RESTMapping
from reconciler.join.rbac import RBAC_GROUP, Rule
from reconciler.join.steps import MADE_BY, TOOL

NAMESPACE = RESTMapping("v1", "Namespace", "namespaces", namespaced=False)
SERVICE_ACCOUNT = RESTMapping("v1", "ServiceAccount", "serviceaccounts", namespaced=True)
SECRET = RESTMapping("v1", "Secret", "secrets", namespaced=True)
NODE = RESTMapping("v1", "Node", "nodes", namespaced=False)
_RBAC = f"{RBAC_GROUP}/v1"
CLUSTER_ROLE = RESTMapping(_RBAC, "ClusterRole", "clusterroles", namespaced=False)
CLUSTER_ROLE_BINDING = RESTMapping(
    _RBAC, "ClusterRoleBinding", "clusterrolebindings", namespaced=False
)
ROLE = RESTMapping(_RBAC, "Role", "roles", namespaced=True)
ROLE_BINDING = RESTMapping(_RBAC, "RoleBinding", "rolebindings", namespaced=True)

RESOURCES = {
    r.kind: r
    for r in (
        NAMESPACE,
        SERVICE_ACCOUNT,
        SECRET,
        CLUSTER_ROLE,
        CLUSTER_ROLE_BINDING,
        ROLE,
        ROLE_BINDING,
    )
}

TOKEN_SECRET_TYPE = "kubernetes.io/service-account-token"  # noqa: S105  (a type's name)
ACCOUNT_ANNOTATION = "kubernetes.io/service-account.name"

_MAX_NAME = 253
_NOT_IN_NAMES = re.compile(r"[^a-z0-9.-]+")


class Subject(Struct, frozen=True):
    """Who may use the rights: a ServiceAccount of ours, or the user or group that a cloud's
    credential plugin makes of somebody."""

    kind: Literal["ServiceAccount", "User", "Group"]
    name: str


class Membership(Struct, frozen=True):
    """All that the member's objects are made of. There is no role for rules that are none."""

    namespace: str
    labels: Mapping[str, str]
    account: str
    subject: Subject
    workload_rules: Sequence[Rule]
    health_rules: Sequence[Rule]
    inventory_rules: Sequence[Rule]


def account_name(cluster: str, host: str) -> str:
    """``<cluster>-<host>``, with what no object name may hold (an ARN's colons) made a dash."""
    plain = _NOT_IN_NAMES.sub("-", f"{cluster}-{host}".lower())
    return plain[:_MAX_NAME].strip("-.")


def namespace_object(name: str) -> Object:
    """The namespace, for where there is none: its mark says that unjoin may remove it."""
    metadata = {"name": name, "annotations": {MADE_BY: TOOL}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def member_objects(wanted: Membership) -> tuple[Object, ...]:
    """Everything but the namespace, in the order in which it is to be written."""
    name = f"{TOOL}:{wanted.account}"
    health = f"{TOOL}:healthcheck-{wanted.account}"
    objects: list[Object] = []
    if wanted.subject.kind == "ServiceAccount":
        account = _object(wanted, "v1", "ServiceAccount", wanted.account, wanted.namespace)
        # Its token is asked for; no pod is to run as it.
        objects.append({**account, "automountServiceAccountToken": False})
    for role, rules in ((name, wanted.workload_rules), (health, wanted.health_rules)):
        if not rules:
            continue
        objects.append({**_object(wanted, _RBAC, "ClusterRole", role), "rules": list(rules)})
        objects.append(_binding(wanted, "ClusterRoleBinding", "ClusterRole", role))
    role_object = _object(wanted, _RBAC, "Role", name, wanted.namespace)
    objects.append({**role_object, "rules": list(wanted.inventory_rules)})
    objects.append(_binding(wanted, "RoleBinding", "Role", name, wanted.namespace))
    return tuple(objects)


def token_secret(wanted: Membership) -> Object:
    """The Secret into which the member's token controller writes a token that never expires."""
    body = _object(wanted, "v1", "Secret", f"{wanted.account}-token", wanted.namespace)
    metadata = {**body["metadata"], "annotations": {ACCOUNT_ANNOTATION: wanted.account}}
    return {**body, "metadata": metadata, "type": TOKEN_SECRET_TYPE}


def _object(
    wanted: Membership, api_version: str, kind: str, name: str, namespace: str = ""
) -> Object:
    metadata: Object = {"name": name, "labels": dict(wanted.labels)}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def _binding(
    wanted: Membership, kind: str, role_kind: str, role: str, namespace: str = ""
) -> Object:
    subject: Object = {"kind": wanted.subject.kind, "name": wanted.subject.name}
    if wanted.subject.kind == "ServiceAccount":
        subject["namespace"] = wanted.namespace
    else:
        subject["apiGroup"] = RBAC_GROUP
    return {
        **_object(wanted, _RBAC, kind, role, namespace),
        "roleRef": {"apiGroup": RBAC_GROUP, "kind": role_kind, "name": role},
        "subjects": [subject],
    }
