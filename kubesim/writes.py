"""Create, update, patch and apply: from a request to a stored object."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from kubesim import immutables, ownership, patches, statuses, strategies, validation
from kubesim.bodies import RequestTarget, check_identity, parse_body, parse_yaml
from kubesim.decode import Undecodable, check_applied
from kubesim.fieldsets import SchemaMismatch
from kubesim.kinds import Resource
from kubesim.messages import APPLY, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, Request, Response
from kubesim.objects import Object
from kubesim.ownership import Managers, Writer
from kubesim.server import DEFINITIONS, NAMESPACES, ApiServer
from kubesim.statuses import Refusal
from kubesim.store import StoredObject


@dataclass(frozen=True, slots=True)
class WriteResult:
    """The outcome of a write: the object, and fields that were dropped as unknown."""

    obj: Object
    status: int
    unknown: tuple[str, ...] = ()

    def response(self, request: Request) -> Response:
        response = Response.json(self.obj, self.status)
        if self.unknown and request.query.get("fieldValidation", "Warn") == "Warn":
            response.headers["Warning"] = ", ".join(
                f'299 - "unknown field \\"{path}\\""' for path in self.unknown
            )
        return response


def writer(server: ApiServer, request: Request, target: RequestTarget) -> Writer:
    """Who this request writes as: its fieldManager, else the first part of its User-Agent."""
    agent = request.headers.get("user-agent", "unknown").partition("/")[0]
    name = request.query.get("fieldManager") or agent
    if len(name) > 128:
        shown = statuses.FieldFault(
            "fieldManager", "FieldValueTooLong", "Too long: may not be more than 128 bytes"
        )
        raise statuses.invalid("PatchOptions", "meta.k8s.io", "", [shown])
    return as_writer(server, target, name)


def as_writer(server: ApiServer, target: RequestTarget, name: str) -> Writer:
    """A writer by that name, with the paths that the target's endpoint resets."""
    resource = target.resource
    ignored: ownership.Paths = ()
    only: ownership.Paths = ()
    if target.subresource == "status":
        ignored = (("f:spec",),)
        if resource.table == ("apps", "deployments"):
            ignored += (("f:metadata", "f:labels"),)
        if resource.custom:
            only = (("f:status",),)
    elif target.subresource == "scale":
        only = (("f:spec", "f:replicas"),)
    elif strategies.has_status(resource):
        ignored = (("f:status",),)
    return Writer(
        name, resource.api_version, target.subresource, server.clock.stamp(), ignored, only
    )


def decode_body(
    server: ApiServer, obj: Object, resource: Resource, request: Request
) -> tuple[Object, tuple[str, ...]]:
    """Typed and defaulted. Raises Refusal (400) for wrong types, and unknown fields if strict."""
    try:
        decoded, unknown = server.decode(obj, resource)
    except Undecodable as error:
        raise statuses.bad_request(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a'
            f" {resource.kind}: {error}"
        ) from error
    if unknown and request.query.get("fieldValidation") == "Strict":
        listed = ", ".join(f'unknown field "{path}"' for path in unknown)
        raise statuses.bad_request(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a'
            f" {resource.kind}: strict decoding error: {listed}"
        )
    return decoded, tuple(unknown)


def create(server: ApiServer, request: Request, target: RequestTarget) -> Response:
    """Answers POST. Raises Refusal."""
    obj = parse_body(request, target.resource)
    check_identity(obj, target)
    metadata = obj["metadata"]
    if metadata.get("resourceVersion"):
        raise statuses.bad_request("resourceVersion should not be set on objects to be created")
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = metadata["generateName"] + server.new_uid()[:5]
    decoded, unknown = decode_body(server, obj, target.resource, request)
    by = writer(server, request, target)
    sent = ownership.current({}, decoded)
    decoded["metadata"].pop("managedFields", None)
    empty = server.empty(target.resource)
    managers = ownership.updated(empty, decoded, target.resource.shape, sent, by)
    stored = insert(server, decoded, target, managers, dry_run=request.dry_run)
    return WriteResult(stored, 201, unknown).response(request)


def insert(
    server: ApiServer, obj: Object, target: RequestTarget, managers: Managers, *, dry_run: bool
) -> Object:
    """A decoded object on its way in for the first time."""
    resource = target.resource
    name = obj["metadata"].get("name") or ""
    if resource.namespaced:
        require_namespace(server, resource, target.namespace, name)
    metadata = obj["metadata"]
    metadata.pop("resourceVersion", None)
    metadata.pop("deletionTimestamp", None)
    metadata["uid"] = server.new_uid()
    metadata["creationTimestamp"] = server.clock.stamp()
    metadata["managedFields"] = ownership.write_entries(managers)
    obj = _mutate(server, obj, None, resource)
    faults = strategies.prepare_create(obj, resource, server.allocators)
    faults += validation.validate_object(obj, resource)
    if faults:
        raise statuses.invalid(resource.kind, resource.group, name, faults)
    existing = server.record(resource, obj["metadata"].get("namespace", ""), name)
    if existing is not None:
        going = bool(existing.obj["metadata"].get("deletionTimestamp"))
        raise statuses.already_exists(resource.plural, resource.group, name, going=going)
    if not obj["metadata"]["managedFields"]:
        del obj["metadata"]["managedFields"]
    if not dry_run:
        server.store.put(resource.table, obj)
    return obj


def require_namespace(server: ApiServer, resource: Resource, namespace: str, name: str) -> None:
    """Raises Refusal: 404 without the namespace, 403 while it is being deleted."""
    found = server.store.get(NAMESPACES, "", namespace)
    if found is None:
        raise statuses.not_found("namespaces", "", namespace)
    if found.obj["metadata"].get("deletionTimestamp"):
        why = (
            f"unable to create new content in namespace {namespace} because it is being terminated"
        )
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {namespace} is being terminated",
            "field": "metadata.namespace",
        }
        raise statuses.forbidden(resource.plural, resource.group, name, why, causes=[cause])


def _mutate(server: ApiServer, obj: Object, old: Object | None, resource: Resource) -> Object:
    for mutation in server.mutations:
        changed = mutation(orjson.loads(orjson.dumps(obj)), old)
        if changed is not None:
            managed = obj["metadata"].get("managedFields")
            obj, _ = server.decode(changed, resource)
            if managed is not None:
                obj["metadata"]["managedFields"] = managed
    return obj


def require(server: ApiServer, target: RequestTarget) -> StoredObject:
    """The target's record. Raises Refusal (404)."""
    record = server.record(target.resource, target.namespace, target.name)
    if record is None:
        raise statuses.not_found(target.resource.plural, target.group, target.name)
    return record


def replace(server: ApiServer, request: Request, target: RequestTarget) -> Response:
    """Answers PUT. Raises Refusal."""
    creates = target.resource.table in strategies.CREATED_BY_UPDATE and not target.subresource
    if creates and server.record(target.resource, target.namespace, target.name) is None:
        return create(server, request, target)
    record = require(server, target)
    obj = parse_body(request, target.resource)
    check_identity(obj, target)
    if strategies.needs_version(target.resource) and not obj["metadata"].get("resourceVersion"):
        fault = statuses.invalid_value(
            "metadata.resourceVersion", 0, "must be specified for an update"
        )
        raise statuses.invalid(target.resource.plural, target.group, record.name, [fault])
    decoded, unknown = decode_body(server, obj, target.resource, request)
    by = writer(server, request, target)
    stored = change(server, target, record, decoded, by, dry_run=request.dry_run)
    return WriteResult(stored, 200, unknown).response(request)


def change(
    server: ApiServer,
    target: RequestTarget,
    record: StoredObject,
    new: Object,
    by: Writer,
    *,
    dry_run: bool,
    managers: Managers | None = None,
) -> Object:
    """An update of any kind. ``managers`` is given by an apply, else worked out here."""
    resource = target.resource
    live = server.in_version(record, resource)
    metadata = new["metadata"]
    version = metadata.get("resourceVersion")
    if version and version != live["metadata"]["resourceVersion"]:
        raise statuses.modified(resource.plural, resource.group, record.name)
    for key in ("uid", "creationTimestamp"):
        if not metadata.get(key):
            metadata[key] = live["metadata"][key]
    metadata["resourceVersion"] = live["metadata"]["resourceVersion"]
    if managers is None:
        entries = ownership.current(live, new, custom=resource.custom)
        managers = ownership.updated(live, new, resource.shape, entries, by)
    metadata["managedFields"] = ownership.write_entries(managers)
    new = _mutate(server, new, live, resource)
    faults = strategies.prepare_update(live, new, resource, target.subresource, server.allocators)
    if target.subresource != "status":
        faults += validation.validate_object(new, resource)
        faults += immutables.validate_update(live, new, resource)
    if faults:
        raise statuses.invalid(resource.kind, resource.group, record.name, faults)
    if not new["metadata"]["managedFields"]:
        del new["metadata"]["managedFields"]
    _keep_times(live, new)
    if new == live:
        return live
    if dry_run:
        return new
    if new["metadata"].get("deletionTimestamp") and not _held(new, resource):
        server.store.remove(resource.table, record)
        return new
    server.store.put(resource.table, new)
    return new


def _held(obj: Object, resource: Resource) -> bool:
    """Whether an object under deletion must stay for its finalizers."""
    if obj["metadata"].get("finalizers"):
        return True
    return resource.table == NAMESPACES and bool(obj.get("spec", {}).get("finalizers"))


def _keep_times(live: Object, new: Object) -> None:
    """A write that changes nothing but the times of managedFields changes nothing at all."""
    before = live["metadata"].get("managedFields") or []
    after = new["metadata"].get("managedFields") or []
    if len(before) != len(after):
        return
    old_times = [entry.get("time") for entry in before]
    if [{**entry, "time": None} for entry in before] != [
        {**entry, "time": None} for entry in after
    ]:
        return
    rest_of_old = {**live, "metadata": {**live["metadata"], "managedFields": None}}
    rest_of_new = {**new, "metadata": {**new["metadata"], "managedFields": None}}
    if rest_of_old != rest_of_new:
        return
    for entry, moment in zip(after, old_times, strict=True):
        if moment is None:
            entry.pop("time", None)
        else:
            entry["time"] = moment
    if "managedFields" not in live["metadata"]:
        new["metadata"].pop("managedFields", None)


def patch(server: ApiServer, request: Request, target: RequestTarget) -> Response:
    """Answers PATCH of any kind. Raises Refusal."""
    kind = request.content_type
    if kind == APPLY:
        return apply(server, request, target)
    if kind not in (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH):
        raise statuses.unsupported_media_type()
    if kind == STRATEGIC_PATCH and target.resource.custom:
        accepted = f"{JSON_PATCH}, {MERGE_PATCH}, {APPLY}"
        raise Refusal(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include:"
            f" {accepted}",
        )
    if request.query.get("force"):
        fault = statuses.forbidden_field("force", "may not be specified for non-apply patch")
        raise statuses.invalid("PatchOptions", "meta.k8s.io", "", [fault])
    record = require(server, target)
    try:
        body = orjson.loads(request.body)
    except ValueError as error:
        raise statuses.bad_request(f"error decoding patch: {error}") from error
    live = server.in_version(record, target.resource)
    if kind == JSON_PATCH:
        patched = patches.json_patch(live, body)
    elif kind == MERGE_PATCH:
        patched = patches.merge_patch(live, body)
    else:
        patched = patches.strategic_patch(live, body, target.resource.shape)
    if not isinstance(patched, dict):
        raise statuses.bad_request("the patch does not result in an object")
    metadata = patched.get("metadata") or {}
    if metadata.get("name") != record.name:
        fault = statuses.invalid_value("metadata.name", metadata.get("name"), "field is immutable")
        raise statuses.invalid(target.resource.kind, target.group, record.name, [fault])
    check_identity(patched, target)
    wiped = metadata.get("managedFields")
    decoded, unknown = decode_body(server, patched, target.resource, request)
    if ownership.is_reset(wiped, custom=target.resource.custom):
        decoded["metadata"]["managedFields"] = wiped
    by = writer(server, request, target)
    stored = change(server, target, record, decoded, by, dry_run=request.dry_run)
    return WriteResult(stored, 200, unknown).response(request)


def apply(server: ApiServer, request: Request, target: RequestTarget) -> Response:
    """Answers a server-side apply. Raises Refusal."""
    resource = target.resource
    if not request.query.get("fieldManager"):
        fault = statuses.required("fieldManager", "is required for apply patch")
        raise statuses.invalid("PatchOptions", "meta.k8s.io", "", [fault])
    config = parse_yaml(request.body)
    record = server.record(resource, target.namespace, target.name)
    given_namespace = (config.get("metadata") or {}).get("namespace", "")
    check_identity(config, target, applying=True)
    if config["metadata"].get("managedFields") is not None:
        raise statuses.bad_request("metadata.managedFields must be nil")
    config["metadata"].setdefault("name", target.name)
    _check_typed(config, resource, given_namespace)
    by = writer(server, request, target)
    empty = server.empty(resource)
    if record is None and config["metadata"].get("uid"):
        raise statuses.modified(resource.plural, resource.group, target.name)
    live = empty if record is None else server.in_version(record, resource)
    managers = ownership.read_entries(live["metadata"].get("managedFields"))
    _check_versions(server, resource, managers)
    bare = dict(live)
    bare["metadata"] = {k: v for k, v in live["metadata"].items() if k != "managedFields"}
    merged, managers = ownership.applied(
        bare, config, resource.shape, managers, by, force=request.flag("force"), empty=empty
    )
    decoded, unknown = decode_body(server, merged, resource, request)
    if record is None:
        stored = insert(server, decoded, target, managers, dry_run=request.dry_run)
        return WriteResult(stored, 201, unknown).response(request)
    stored = change(server, target, record, decoded, by, dry_run=request.dry_run, managers=managers)
    return WriteResult(stored, 200, unknown).response(request)


def _check_versions(server: ApiServer, resource: Resource, managers: ownership.Managers) -> None:
    """Refuses to convert to a version that the definition no longer lists."""
    definition = server.store.get(DEFINITIONS, "", f"{resource.plural}.{resource.group}")
    if definition is None:
        return
    listed = {f"{resource.group}/{v['name']}" for v in definition.obj["spec"]["versions"]}
    for entry in managers.values():
        if entry.api_version not in listed:
            message = f"request to convert CR to an invalid group/version: {entry.api_version}"
            raise Refusal(500, "", message)


def _check_typed(config: Object, resource: Resource, namespace: str) -> None:
    try:
        check_applied(config, resource.shape)
    except SchemaMismatch as error:
        name = config["metadata"]["name"]
        where = resource.api_version if resource.group else f"/{resource.version}"
        raise Refusal(
            500,
            "",
            f"failed to create typed patch object ({namespace}/{name}; {where},"
            f" Kind={resource.kind}): {error}",
        ) from error
