"""Desired object -> the exact body to apply to one member."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.cluster.resources import Discovery, Resource, VersionedKind
from reconciler.inventory.applyset import with_membership
from reconciler.inventory.ownership import Fields, our_entry, owns
from reconciler.objects import Object, ObjectKey, map_of, maps_of
from reconciler.rendering.desired import DesiredObject

PROTECT = "federation.reconciler.dev/protect"
ORPHAN = "federation.reconciler.dev/orphan"
PROPAGATION = "federation.reconciler.dev/prune-propagation"
DEFAULT_NAMESPACE = "default"


@dataclass(frozen=True, slots=True)
class Target:
    """A desired object with its identity as the member sees it.

    ``resource`` is None where the member does not serve the kind (yet).
    """

    desired: DesiredObject
    key: ObjectKey
    kind: VersionedKind
    resource: Resource | None
    body: Object


def target_of(
    desired: DesiredObject,
    discovery: Discovery,
    crds: Mapping[VersionedKind, Resource],
    applyset: str,
) -> Target:
    """Settle the namespace by the kind's scope, and mark the body as a member of the ApplySet.

    A namespaced object without a namespace goes to ``default``, as with kubectl; a namespace on a
    cluster-scoped one is dropped. ``crds`` are the kinds that this plan itself introduces.
    """
    kind = VersionedKind(desired.body["apiVersion"], desired.key.kind)
    resource = discovery.find(kind)
    scope = resource or crds.get(kind)
    namespace = desired.key.namespace
    if scope is not None:
        namespace = (namespace or DEFAULT_NAMESPACE) if scope.namespaced else ""
    key = desired.key._replace(namespace=namespace)
    metadata = {k: v for k, v in desired.body["metadata"].items() if k != "namespace"}
    if namespace:
        metadata["namespace"] = namespace
    marks = {
        PROTECT: "true" if desired.protect else None,
        ORPHAN: "true" if desired.orphan else None,
        PROPAGATION: desired.prune_propagation,
    }
    wanted = {name: value for name, value in marks.items() if value}
    if wanted:
        # Kept on the object, because its manifest will be gone when it is to be pruned.
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **wanted}
    body = {k: v for k, v in desired.body.items() if k != "status"}
    body["metadata"] = metadata
    return Target(desired, key, kind, resource, with_membership(body, key, applyset))


def crds_in(bodies: list[Object]) -> dict[VersionedKind, Resource]:
    """The kinds that the CustomResourceDefinitions among ``bodies`` introduce."""
    found = {}
    for body in bodies:
        if body.get("kind") != "CustomResourceDefinition":
            continue
        spec = map_of(body.get("spec"))
        names = map_of(spec.get("names"))
        for version in maps_of(spec.get("versions")):
            api_version = f"{spec.get('group')}/{version.get('name')}"
            resource = Resource(
                api_version,
                str(names.get("kind")),
                str(names.get("plural")),
                spec.get("scope") == "Namespaced",
            )
            found[VersionedKind(api_version, resource.kind)] = resource
    return found


def request_body(target: Target, live: Object | None) -> Object:
    """The body with retained fields settled.

    A retained field (an allocated clusterIP, replicas that an autoscaler moves) is sent as written
    only at creation. Later the live value is repeated while our apply still owns the field, since
    leaving it out would reset it; once another manager owns it, it is left out.
    """
    if live is None or not target.desired.retain:
        return target.body
    entry = our_entry(live)
    fields: Fields = (entry or {}).get("fieldsV1") or {}
    body = target.body
    for pointer in target.desired.retain:
        path = tuple(p.replace("~1", "/").replace("~0", "~") for p in pointer.split("/")[1:])
        if _matches(body, path) and _matches(live, path):
            if body is target.body:
                body = copy.deepcopy(body)
            _retain(body, live, path, owned=owns(fields, path) or "*" in path)
    return body


def _matches(value: Any, path: tuple[str, ...]) -> bool:
    if not path:
        return True
    head, rest = path[0], path[1:]
    if isinstance(value, list):
        if head == "*":
            return any(_matches(item, rest) for item in value)
        return head.isdigit() and int(head) < len(value) and _matches(value[int(head)], rest)
    return isinstance(value, dict) and head in value and _matches(value[head], rest)


def _retain(wanted: Any, live: Any, path: tuple[str, ...], *, owned: bool) -> None:
    head, rest = path[0], path[1:]
    if isinstance(wanted, list):
        for item in wanted:
            twin = _twin(item, live)
            if twin is not None and _matches(item, rest) and _matches(twin, rest):
                _retain(item, twin, rest, owned=owned)
    elif rest:
        _retain(wanted[head], live[head], rest, owned=owned)
    elif owned:
        wanted[head] = live[head]
    else:
        del wanted[head]


def _twin(item: Any, live: Any) -> Any:
    """The live port that a wanted one means: same number and protocol (TCP where unsaid)."""
    if not isinstance(item, dict) or not isinstance(live, list):
        return None
    wanted = (item.get("port"), item.get("protocol", "TCP"))
    return next(
        (p for p in live if isinstance(p, dict) and (p.get("port"), p.get("protocol")) == wanted),
        None,
    )
