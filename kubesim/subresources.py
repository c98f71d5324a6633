"""Scale, token requests, and the reviews by which a client asks who it is and what it may."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import orjson

from kubesim import statuses
from kubesim.bodies import RequestTarget, parse_body
from kubesim.messages import APPLY, JSON_PATCH, MERGE_PATCH, Request, Response
from kubesim.objects import Object
from kubesim.patches import json_patch, merge_patch
from kubesim.server import ApiServer
from kubesim.writes import change, decode_body, require, writer


def _at(obj: Any, path: str) -> Any:
    for part in path.strip(".").split("."):
        obj = obj.get(part) if isinstance(obj, dict) else None
    return obj


def _scale_of(target: RequestTarget, obj: Object) -> Object:
    paths = target.resource.scale or {}
    metadata = obj["metadata"]
    selector = obj.get("spec", {}).get("selector") or {}
    labels = selector.get("matchLabels") or {}
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status: Object = {
        "replicas": _at(obj, paths.get("statusReplicasPath", ".status.replicas")) or 0
    }
    if labels:
        status["selector"] = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    replicas = _at(obj, paths.get("specReplicasPath", ".spec.replicas"))
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def scale(server: ApiServer, request: Request, target: RequestTarget) -> Response:
    """Reads or sets the count of replicas through the Scale kind."""
    record = require(server, target)
    obj = server.in_version(record, target.resource)
    shown = _scale_of(target, obj)
    if request.method == "GET":
        return Response.json(shown)
    if request.method == "PUT":
        wanted = parse_body(request, target.resource)
    elif request.method == "PATCH" and request.content_type == JSON_PATCH:
        wanted = json_patch(shown, orjson.loads(request.body))
    elif request.method == "PATCH" and request.content_type in (MERGE_PATCH, APPLY):
        wanted = merge_patch(shown, orjson.loads(request.body))
    else:
        raise statuses.unsupported_media_type()
    version = (wanted.get("metadata") or {}).get("resourceVersion")
    if version and version != obj["metadata"]["resourceVersion"]:
        raise statuses.modified(target.resource.plural, target.group, target.name)
    replicas = (wanted.get("spec") or {}).get("replicas", 0)
    if not isinstance(replicas, int) or replicas < 0:
        message = "must be greater than or equal to 0"
        fault = statuses.invalid_value("spec.replicas", replicas, message)
        raise statuses.invalid("Scale", "autoscaling", target.name, [fault])
    path = (target.resource.scale or {}).get("specReplicasPath", ".spec.replicas")
    node = obj
    *parents, last = path.strip(".").split(".")
    for part in parents:
        node = node.setdefault(part, {})
    node[last] = replicas
    new, _ = decode_body(server, obj, target.resource, request)
    by = writer(server, request, target)
    stored = change(server, target, record, new, by, dry_run=request.dry_run)
    return Response.json(_scale_of(target, stored))


def token(server: ApiServer, request: Request, target: RequestTarget) -> Response:
    """TokenRequest: a token that this cluster then accepts; unsigned, so of no use elsewhere."""
    record = require(server, target)
    body = parse_body(request, target.resource)
    seconds = int((body.get("spec") or {}).get("expirationSeconds") or 3600)
    expires = int(server.clock.now()) + seconds
    claims = {
        "exp": expires,
        "iat": int(server.clock.now()),
        "jti": server.new_uid(),
        "sub": f"system:serviceaccount:{record.namespace}:{record.name}",
        "kubernetes.io": {
            "namespace": record.namespace,
            "serviceaccount": {"name": record.name, "uid": record.uid},
        },
    }
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    text = ".".join(
        base64.urlsafe_b64encode(orjson.dumps(part)).decode().rstrip("=") for part in parts
    )
    issued = f"{text}.sandbox"
    server.tokens.add(issued)
    moment = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    body["kind"], body["apiVersion"] = "TokenRequest", "authentication.k8s.io/v1"
    body["metadata"] = {
        "name": record.name,
        "namespace": record.namespace,
        "creationTimestamp": server.clock.stamp(),
    }
    body.setdefault("spec", {})["expirationSeconds"] = seconds
    body["status"] = {"token": issued, "expirationTimestamp": moment}
    return Response.json(body, 201)


def review(server: ApiServer, request: Request, target: RequestTarget) -> Response:
    """SelfSubjectReview and the access reviews: everything is allowed in the sandbox."""
    body = parse_body(request, target.resource)
    kind = target.resource.kind
    body["kind"], body["apiVersion"] = kind, target.resource.api_version
    body.setdefault("metadata", {})
    if kind == "SelfSubjectReview":
        groups = ["system:masters", "system:authenticated"]
        body["status"] = {"userInfo": {"username": "sandbox-admin", "groups": groups}}
    elif kind == "SelfSubjectRulesReview":
        everything = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
        body["status"] = {
            "resourceRules": everything,
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            "incomplete": False,
        }
    elif kind == "TokenReview":
        known = (body.get("spec") or {}).get("token") in server.tokens
        body["status"] = {"authenticated": known}
    else:
        body["status"] = {"allowed": True}
    return Response.json(body, 201)
