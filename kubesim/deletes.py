"""Deletion: preconditions, finalizers, propagation, garbage collection, namespaces, kinds."""

from __future__ import annotations

import orjson

from kubesim import statuses
from kubesim.bodies import RequestTarget
from kubesim.kinds import Resource
from kubesim.messages import Request, Response
from kubesim.objects import Object
from kubesim.server import DEFINITIONS, NAMESPACES, ApiServer
from kubesim.store import StoredObject
from kubesim.strategies import RETURNED_WHEN_DELETED
from kubesim.writes import require

_CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
_PROTECTION = ("kubernetes.io/pvc-protection", "kubernetes.io/pv-protection")


def options(request: Request) -> Object:
    """DeleteOptions of the body, completed by the query's. Raises Refusal (400)."""
    found: Object = {}
    if request.body:
        try:
            found = orjson.loads(request.body)
        except ValueError as error:
            raise statuses.bad_request(f"error decoding DeleteOptions: {error}") from error
    if "propagationPolicy" in request.query:
        found["propagationPolicy"] = request.query["propagationPolicy"]
    if request.dry_run:
        found["dryRun"] = ["All"]
    return found


def delete(server: ApiServer, request: Request, target: RequestTarget) -> Response:
    """Answers DELETE of one object. Raises Refusal: 404, or 409 for a failed precondition."""
    record = require(server, target)
    asked = options(request)
    _check_preconditions(record, target.resource, asked.get("preconditions") or {})
    obj = remove_object(
        server,
        target.resource,
        record,
        str(asked.get("propagationPolicy") or _default_policy(target.resource)),
        dry_run="All" in (asked.get("dryRun") or ()),
    )
    if obj is not None:
        return Response.json(obj)
    if target.resource.table in RETURNED_WHEN_DELETED:
        return Response.json(server.in_version(record, target.resource))
    return Response.json(
        statuses.success(target.resource.plural, target.group, record.name, record.uid)
    )


def _default_policy(resource: Resource) -> str:
    """Jobs leave their Pods unless told otherwise; everything else takes its children along."""
    return "Orphan" if resource.table == ("batch", "jobs") else "Background"


def _check_preconditions(record: StoredObject, resource: Resource, wanted: Object) -> None:
    uid, version = wanted.get("uid"), wanted.get("resourceVersion")
    if uid and uid != record.uid:
        why = (
            f"the UID in the precondition ({uid}) does not match the UID in record"
            f" ({record.uid}). The object might have been deleted and then recreated"
        )
        raise statuses.modified(resource.kind, resource.group, record.name, why)
    if version and version != str(record.resource_version):
        why = (
            f"the ResourceVersion in the precondition ({version}) does not match the"
            f" ResourceVersion in record ({record.resource_version}). The object might have been"
            " modified"
        )
        raise statuses.modified(resource.kind, resource.group, record.name, why)


def remove_object(
    server: ApiServer,
    resource: Resource,
    record: StoredObject,
    policy: str,
    *,
    dry_run: bool = False,
) -> Object | None:
    """Deletes one object; the object itself when it has to wait for finalizers, else None."""
    obj = record.obj
    metadata = obj["metadata"]
    finalizers = list(metadata.get("finalizers", ()))
    if policy == "Foreground":
        finalizers.append("foregroundDeletion")
    elif policy == "Orphan":
        finalizers.append("orphan")
    if resource.table == DEFINITIONS and _CLEANUP not in finalizers:
        finalizers.append(_CLEANUP)
    waits = bool(finalizers) or resource.table == NAMESPACES
    if dry_run:
        return obj if waits else None
    if not waits:
        server.store.remove(resource.table, record)
        return None
    if finalizers:
        metadata["finalizers"] = list(dict.fromkeys(finalizers))
    if "deletionTimestamp" not in metadata:
        metadata["deletionTimestamp"] = server.clock.stamp()
        if resource.table not in (NAMESPACES, DEFINITIONS):
            metadata["deletionGracePeriodSeconds"] = 0
            if "generation" in metadata:
                metadata["generation"] += 1
    if resource.table == NAMESPACES:
        obj["status"] = {"phase": "Terminating"}
    server.store.put(resource.table, obj)
    _finish_later(server, resource, record.namespace, record.name)
    return obj


def _finish_later(server: ApiServer, resource: Resource, namespace: str, name: str) -> None:
    def finish() -> None:
        record = server.store.get(resource.table, namespace, name)
        if record is None or not record.obj["metadata"].get("deletionTimestamp"):
            return
        if resource.table == NAMESPACES:
            finish_namespace(server, record)
        else:
            _finish_finalizers(server, resource, record)

    server.after(server.settings.established_after, finish)


def _finish_finalizers(server: ApiServer, resource: Resource, record: StoredObject) -> None:
    """Does what the built-in finalizers stand for; foreign ones stay."""
    obj = record.obj
    finalizers = [
        name for name in obj["metadata"].get("finalizers") or () if name not in _PROTECTION
    ]
    if "foregroundDeletion" in finalizers:
        for table, child in server.store.owned_by(record.uid):
            remove_object(server, server.kinds.of_table(table), child, "Foreground")
        if not server.store.owned_by(record.uid):
            finalizers.remove("foregroundDeletion")
    if "orphan" in finalizers:
        for table, child in server.store.owned_by(record.uid):
            _disown(server, table, child, record.uid)
        finalizers.remove("orphan")
    if _CLEANUP in finalizers:
        from kubesim.kinds import custom_resources

        instances = [
            (found, child)
            for found in custom_resources(obj)[:1]
            for child in server.store.records(found.table)
        ]
        for found, child in list(instances):
            remove_object(server, found, child, "Background")
        if not any(server.store.records(found.table) for found in custom_resources(obj)[:1]):
            finalizers.remove(_CLEANUP)
            server.kinds.forget(obj)
    current = server.store.get(resource.table, record.namespace, record.name)
    if current is None:
        return
    if finalizers:
        if finalizers != current.obj["metadata"].get("finalizers"):
            obj["metadata"]["finalizers"] = finalizers
            server.store.put(resource.table, obj)
        if "foregroundDeletion" in finalizers or _CLEANUP in finalizers:
            _finish_later(server, resource, record.namespace, record.name)
        return
    server.store.remove(resource.table, current)


def _disown(server: ApiServer, table: tuple[str, str], child: StoredObject, uid: str) -> None:
    obj = child.obj
    left = [owner for owner in obj["metadata"]["ownerReferences"] if owner["uid"] != uid]
    if left:
        obj["metadata"]["ownerReferences"] = left
    else:
        del obj["metadata"]["ownerReferences"]
    server.store.put(table, obj)


def collect(server: ApiServer, uid: str) -> None:
    """The garbage collector: removes what only the gone owner held."""
    for table, child in server.store.owned_by(uid):
        others = [owner for owner in child.owners if owner != uid]
        if any(server.store.has_uid(owner) for owner in others):
            _disown(server, table, child, uid)
        else:
            remove_object(server, server.kinds.of_table(table), child, "Background")


def finish_namespace(server: ApiServer, record: StoredObject) -> None:
    """The namespace controller: empties a terminating namespace, then removes it."""
    for table in server.store.tables():
        for child in server.store.records(table, record.name):
            if not child.obj["metadata"].get("deletionTimestamp"):
                remove_object(server, server.kinds.of_table(table), child, "Background")
    left = [
        (table, child)
        for table in server.store.tables()
        for child in server.store.records(table, record.name)
    ]
    if not left:
        current = server.store.get(NAMESPACES, "", record.name)
        if current is not None and not current.obj["metadata"].get("finalizers"):
            server.store.remove(NAMESPACES, current)
        return
    names = {f"{child.namespace}/{child.name}" for _, child in left}
    obj = record.obj
    obj["status"] = {
        "phase": "Terminating",
        "conditions": [
            {
                "type": "NamespaceFinalizersRemaining",
                "status": "True",
                "lastTransitionTime": obj["metadata"]["deletionTimestamp"],
                "reason": "SomeFinalizersRemain",
                "message": f"Some content in the namespace has finalizers remaining: {len(names)}",
            }
        ],
    }
    if record.obj.get("status") != obj["status"]:
        server.store.put(NAMESPACES, obj)
    server.after(0.1, lambda: _again(server, record.name))


def _again(server: ApiServer, name: str) -> None:
    record = server.store.get(NAMESPACES, "", name)
    if record is not None and record.obj["metadata"].get("deletionTimestamp"):
        finish_namespace(server, record)
