"""From a path and a method to the function that answers."""

from __future__ import annotations

from kubesim import deletes, discovery, reads, statuses, subresources, writes
from kubesim.bodies import RequestTarget, parse_body
from kubesim.messages import Request, Response
from kubesim.server import DEFINITIONS, ApiServer
from kubesim.statuses import Refusal

_REVIEWS = frozenset({"authentication.k8s.io", "authorization.k8s.io"})
_HEALTH = frozenset({"/readyz", "/livez", "/healthz"})


def handle_request(server: ApiServer, request: Request) -> Response:
    """The answer to one request, after authentication; a Refusal becomes its Status."""
    try:
        server.catch_up()
        response = _route(server, request)
        server.catch_up()
        return response
    except Refusal as refusal:
        return Response.refusal(refusal)


def authenticate(server: ApiServer, request: Request) -> None:
    """Raises Refusal (401) unless the bearer token is one of the cluster's.

    No token at all passes as long as tokens have not been revoked: kubectl keeps its token to
    itself on a connection without TLS.
    """
    if request.path in _HEALTH or request.path == "/version":
        return
    given = request.headers.get("authorization", "")
    if not given and server.anonymous:
        return
    scheme, _, token = given.partition(" ")
    if scheme.lower() != "bearer" or token not in server.tokens:
        raise statuses.unauthorized()


def _route(server: ApiServer, request: Request) -> Response:
    path = request.path.rstrip("/") or "/"
    parts = path[1:].split("/")
    if parts[0] == "api" and len(parts) >= 3:
        return _resource(server, request, "", parts[1], parts[2:])
    if parts[0] == "apis" and len(parts) >= 4:
        return _resource(server, request, parts[1], parts[2], parts[3:])
    if request.method not in ("GET", "HEAD"):
        raise statuses.method_not_allowed()
    if path in _HEALTH or path.startswith(("/readyz/", "/livez/", "/healthz/")):
        return _health(request)
    if path == "/version":
        return _version(server)
    return _discovery(server, request, parts)


def _health(request: Request) -> Response:
    if "verbose" in request.query:
        name = request.path.strip("/").partition("/")[0]
        return Response.text(f"[+]ping ok\n[+]etcd ok\n{name} check passed\n")
    return Response.text("ok")


def _version(server: ApiServer) -> Response:
    version = server.settings.version
    major, minor = version.lstrip("v").split(".")[:2]
    return Response.json(
        {
            "major": major,
            "minor": minor,
            "gitVersion": version,
            "gitCommit": "",
            "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z",
            "goVersion": "go1.26",
            "compiler": "gc",
            "platform": "linux/amd64",
        }
    )


def _discovery(server: ApiServer, request: Request, parts: list[str]) -> Response:
    accept = request.headers.get("accept", "")
    wants_all = "as=APIGroupDiscoveryList" in accept and "v=v2" in accept
    failing = server.failing_groups
    if parts in (["api"], ["apis"]):
        core = parts == ["api"]
        if wants_all:
            found = discovery.aggregated(server.kinds, core=core, failing=failing)
            response = Response.json(found)
            response.content_type = discovery.AGGREGATED
            return response
        if core:
            return Response.json(
                {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
            )
        return Response.json(discovery.group_list(server.kinds, failing))
    found_list = None
    if parts[:2] == ["openapi", "v3"]:
        found_list = discovery.openapi(server.kinds, "/".join(parts[2:]))
    elif parts[0] == "api" and len(parts) == 2:
        found_list = discovery.resource_list(server.kinds, "", parts[1])
    elif parts[0] == "apis" and len(parts) >= 2:
        _refuse_failing(server, "/".join(parts[1:3]))
        if len(parts) == 2:
            found_list = discovery.group(server.kinds, parts[1])
        elif len(parts) == 3:
            found_list = discovery.resource_list(server.kinds, parts[1], parts[2])
    if found_list is None:
        return Response.text("404 page not found\n", 404)
    return Response.json(found_list)


def _refuse_failing(server: ApiServer, group_version: str) -> None:
    """An aggregated API whose own server is away answers 503 to everything."""
    group = group_version.partition("/")[0]
    for failing in server.failing_groups:
        if failing.partition("/")[0] == group:
            raise Refusal(
                503,
                "ServiceUnavailable",
                "the server is currently unable to handle the request",
                details={},
            )


def _resource(
    server: ApiServer, request: Request, group: str, version: str, rest: list[str]
) -> Response:
    _refuse_failing(server, f"{group}/{version}")
    target = _target(server, group, version, rest)
    if target is None:
        if group and not server.kinds.has_version(group, version):
            return Response.text("404 page not found\n", 404)
        raise statuses.no_such_resource()
    if target.subresource and target.subresource != "status":
        return _subresource(server, request, target)
    if group in _REVIEWS:
        if request.method != "POST":
            raise statuses.method_not_allowed()
        return subresources.review(server, request, target)
    response = _verb(server, request, target)
    if target.resource.table == DEFINITIONS and request.method != "GET":
        from kubesim.controllers import definition_changed

        definition_changed(server, target.name)
    return response


def _target(server: ApiServer, group: str, version: str, rest: list[str]) -> RequestTarget | None:
    namespace = ""
    # /namespaces/NAME/status is the namespace's own; anything else below is inside of it.
    if (
        rest[0] == "namespaces"
        and len(rest) >= 3
        and not group
        and rest[2] in ("status", "finalize")
    ):
        pass
    elif rest[0] == "namespaces" and len(rest) >= 3:
        namespace, rest = rest[1], rest[2:]
    resource = server.kinds.get(group, version, rest[0])
    if resource is None or len(rest) > 3:
        return None
    if namespace and not resource.namespaced:
        return None
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    if subresource and subresource not in resource.subresources:
        return None
    if name and resource.namespaced and not namespace:
        return None
    return RequestTarget(resource, namespace, name, subresource)


def _verb(server: ApiServer, request: Request, target: RequestTarget) -> Response:
    method = request.method
    if not target.name:
        if method == "GET":
            if request.flag("watch"):
                return reads.watch(server, request, target)
            return reads.list_objects(server, request, target)
        if method == "POST" and (target.namespace or not target.resource.namespaced):
            return writes.create(server, request, target)
        if method == "DELETE":
            return _delete_collection(server, request, target)
        raise statuses.method_not_allowed()
    if method in ("GET", "HEAD"):
        if request.flag("watch"):
            return reads.watch(server, request, target)
        return reads.get(server, request, target)
    if method == "PATCH":
        return writes.patch(server, request, target)
    if method == "PUT":
        return writes.replace(server, request, target)
    if method == "DELETE" and not target.subresource:
        return deletes.delete(server, request, target)
    raise statuses.method_not_allowed()


def _delete_collection(server: ApiServer, request: Request, target: RequestTarget) -> Response:
    answer = reads.list_objects(server, request, target)
    wanted = reads.selection(request, target.resource)
    asked = deletes.options(request)
    for record in list(server.store.records(target.resource.table, target.namespace)):
        if wanted is None or wanted(record):
            deletes.remove_object(
                server,
                target.resource,
                record,
                str(asked.get("propagationPolicy") or "Background"),
                dry_run=request.dry_run,
            )
    return answer


def _subresource(server: ApiServer, request: Request, target: RequestTarget) -> Response:
    if target.subresource == "scale":
        return subresources.scale(server, request, target)
    if target.subresource == "token" and request.method == "POST":
        return subresources.token(server, request, target)
    if target.subresource == "finalize" and request.method == "PUT":
        return _finalize(server, request, target)
    raise statuses.method_not_allowed()


def _finalize(server: ApiServer, request: Request, target: RequestTarget) -> Response:
    """Sets a namespace's spec.finalizers; without any, a terminating one is gone."""
    record = writes.require(server, target)
    obj = record.obj
    wanted = parse_body(request, target.resource)
    obj["spec"] = {"finalizers": (wanted.get("spec") or {}).get("finalizers") or []}
    if obj["metadata"].get("deletionTimestamp") and not obj["spec"]["finalizers"]:
        server.store.remove(target.resource.table, record)
    else:
        server.store.put(target.resource.table, obj)
    return Response.json(obj)
