"""Desired object -> the exact body to apply to one member."""

from __future__ import annotations

import base64
import copy
from collections.abc import Mapping
from functools import cache
from typing import Any

from reconciler.cluster.resources import Discovery, Resource, VersionedKind
from reconciler.federation.sensitive import SENSITIVE
from reconciler.inventory.applyset import with_membership
from reconciler.inventory.ownership import Fields, our_entry, owns
from reconciler.objects import Object, ObjectKey, Unshown, map_of, maps_of
from reconciler.rendering.desired import DesiredObject

PROTECT = "federation.reconciler.dev/protect"
ORPHAN = "federation.reconciler.dev/orphan"
PROPAGATION = "federation.reconciler.dev/prune-propagation"
DEFAULT_NAMESPACE = "default"


class Target(Unshown, frozen=True):
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
    key = desired.key
    if namespace != key.namespace:
        key = key._replace(namespace=namespace)
    metadata = dict(desired.body["metadata"])
    metadata.pop("namespace", None)
    if namespace:
        metadata["namespace"] = namespace
    if marks := _marks(desired):
        # Kept on the object, because its manifest will be gone when it is to be pruned.
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **marks}
    body = {**_as_kept(desired.body), "metadata": metadata}
    body.pop("status", None)
    return Target(desired, key, kind, resource, with_membership(body, key, applyset))


def _marks(desired: DesiredObject) -> dict[str, str]:
    marks = {PROTECT: "true"} if desired.protect else {}
    if desired.orphan:
        marks[ORPHAN] = "true"
    if "" in desired.hidden and (desired.key.group, desired.key.kind) != ("", "Secret"):
        marks[SENSITIVE] = "true"
    if desired.prune_propagation:
        marks[PROPAGATION] = desired.prune_propagation
    return marks


def _as_kept(body: Object) -> Object:
    """A Secret with the values of ``stringData`` in ``data``, where the server keeps them.

    Sent as they are, the server would count ``stringData`` as ours and not what it makes of it:
    nobody would see that a value was changed, and one that leaves Git would stay for ever.
    """
    plain = body.get("stringData")
    if (body["apiVersion"], body["kind"]) != ("v1", "Secret") or not isinstance(plain, dict):
        return body
    data = body.get("data") or {}
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in plain.values()):
        return body  # The server will say what is wrong with it.
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
    kept = {key: value for key, value in body.items() if key != "stringData"}
    return {**kept, "data": {**data, **encoded}} if encoded else kept


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
    body = target.body
    for path in map(_steps, target.desired.retain):
        if _matches(body, path) and _matches(live, path):
            if body is target.body:
                body = copy.deepcopy(body)
            fields: Fields = (our_entry(live) or {}).get("fieldsV1") or {}
            _retain(body, live, path, owned=owns(fields, path) or "*" in path)
    return body


@cache
def _steps(pointer: str) -> tuple[str, ...]:
    return tuple(p.replace("~1", "/").replace("~0", "~") for p in pointer.split("/")[1:])


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
