"""One member's part of a plan, made by hand of changes against a simulated cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.api.errors import Position
from reconciler.api.objects import Object, ObjectKey, key_of
from reconciler.cluster.client import Member
from reconciler.cluster.connect import Connector
from reconciler.cluster.discovery import GroupVersionKind
from reconciler.federation.model import Cluster, PruneRules
from reconciler.inventory.applyset import with_membership
from reconciler.inventory.observe import observe
from reconciler.inventory.store import Inventory, read_inventory
from reconciler.plan.dry_run import Checked
from reconciler.plan.fields import changed_fields
from reconciler.plan.member_plan import MemberWork
from reconciler.plan.model import Action, Change, ClusterPlan
from reconciler.plan.prune import DeletionRules

NAMESPACE = "federation-system"
RULES = DeletionRules(PruneRules(), frozenset({NAMESPACE}))
KINDS = {
    "Namespace": "v1",
    "ConfigMap": "v1",
    "Service": "v1",
    "Deployment": "apps/v1",
    "Shop": "example.org/v1",
    "CustomResourceDefinition": "apiextensions.k8s.io/v1",
}


def connected(kubeconfig: str, context: str) -> Member:
    """A member of its own for a context of the sandbox."""
    connector = Connector.from_file(kubeconfig, NAMESPACE)
    return connector.member(cluster(context))


def cluster(name: str) -> Cluster:
    return Cluster(name, Position("clusters.yaml", 1, 1))


def body(kind: str, name: str, namespace: str = "shop", **more: Any) -> Object:
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return {"apiVersion": KINDS[kind], "kind": kind, "metadata": metadata, **more}


def creation(obj: Object, inventory: Inventory, **more: Any) -> Change:
    key = key_of(obj)
    request = with_membership(obj, key, inventory.applyset)
    return Change(Action.CREATE, key, obj["apiVersion"], request=request, **more)


def seen(live: Object) -> dict[str, Any]:
    metadata = live["metadata"]
    return {
        "uid": metadata["uid"],
        "resource_version": metadata["resourceVersion"],
        "live": live,
    }


def work_of(
    member: Member,
    name: str,
    *,
    create: tuple[Object, ...] = (),
    update: tuple[Object, ...] = (),
    prune: tuple[ObjectKey, ...] = (),
    more: tuple[Change, ...] = (),
    verdicts: Mapping[ObjectKey, Checked] | None = None,
    **extra: Any,
) -> MemberWork:
    """What a plan would carry out that creates, updates and prunes these.

    ``verdicts`` are what the changes that could not be checked turn out to be.
    """
    inventory = read_inventory(member, "shop", NAMESPACE)
    wanted = [GroupVersionKind.of(obj) for obj in (*create, *update)]
    wanted += [GroupVersionKind(change.api_version, change.key.kind) for change in more]
    observation = observe(member, inventory, wanted)
    changes = [creation(obj, inventory, **extra) for obj in create]
    for obj in update:
        key = key_of(obj)
        request = with_membership(obj, key, inventory.applyset)
        live = observation.members[key][1]
        resource = observation.discovery.find(GroupVersionKind.of(obj))
        assert resource is not None
        fields = changed_fields(live, member.apply(resource, key, request, dry_run=True))
        changes.append(
            Change(
                Action.UPDATE, key, obj["apiVersion"], request=request, fields=fields, **seen(live)
            )
        )
    for key in prune:
        kind, live = observation.members[key]
        changes.append(Change(Action.PRUNE, key, kind.api_version, **seen(live)))
    changes += more
    rows = {key: row for key, row in inventory.rows.items() if key in observation.members}
    return MemberWork(
        member=member,
        cluster=cluster(name),
        observation=observation,
        plan=ClusterPlan(name, changes=tuple(changes)),
        resources={},
        rules=RULES,
        rows={k: r for k, r in rows.items() if k not in {c.key for c in changes}},
        check_again=lambda keys, _resources: {
            k: v for k, v in (verdicts or {}).items() if k in keys
        },
    )
