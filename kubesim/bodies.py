"""Where a request points, and the object in its body: parsed, and the one that the path names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from kubesim import statuses
from kubesim.kinds import Resource
from kubesim.messages import Request
from kubesim.objects import Object


@dataclass(frozen=True, slots=True)
class RequestTarget:
    """Where a request points: ``namespace`` and ``name`` are "" where the path has none."""

    resource: Resource
    namespace: str
    name: str
    subresource: str = ""

    @property
    def group(self) -> str:
        return self.resource.group


def parse_body(request: Request, resource: Resource) -> Object:
    """A JSON or YAML body. Raises Refusal (400)."""
    if "yaml" in request.content_type:
        return parse_yaml(request.body)
    if "protobuf" in request.content_type:
        accepted = "application/json, application/yaml"
        raise statuses.Refusal(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include:"
            f" {accepted}",
        )
    try:
        body = orjson.loads(request.body)
    except ValueError as error:
        text = request.body.decode(errors="replace")[:200]
        raise statuses.bad_request(
            f"the object provided is unrecognized (must be of type {resource.kind}): couldn't get"
            f" version/kind; json parse error: {error} ({text})"
        ) from error
    if not isinstance(body, dict):
        raise statuses.bad_request(
            f"the object provided is unrecognized (must be of type {resource.kind}): couldn't get"
            " version/kind; json parse error: cannot unmarshal into Go value of type struct"
        )
    return body


def parse_yaml(body: bytes) -> Object:
    """A YAML (or JSON) object. Raises Refusal (400)."""
    if body[:1] == b"{":
        try:
            parsed: Any = orjson.loads(body)
        except ValueError:
            parsed = None
        if isinstance(parsed, dict):
            return parsed
    import yaml

    try:
        found = yaml.load(body, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
        # Through JSON, as the server does: YAML dates become strings.
        found = orjson.loads(orjson.dumps(found, default=str))
    except (yaml.YAMLError, TypeError) as error:
        message = f"error decoding YAML: error converting YAML to JSON: yaml: {error}"
        raise statuses.bad_request(message) from error
    if not isinstance(found, dict):
        raise statuses.bad_request("error decoding YAML: the body must be one object")
    return found


def check_identity(obj: Object, target: RequestTarget, *, applying: bool = False) -> None:
    """The object in the body must be the one of the path. Fills in its namespace."""
    resource = target.resource
    version, kind = obj.get("apiVersion"), obj.get("kind")
    given = applying or version or kind
    if given and (version, kind) != (resource.api_version, resource.kind):
        if applying:
            raise statuses.bad_request(f"invalid object type: {version}, Kind={kind}")
        raise statuses.bad_request(
            f'{kind} in version "{version}" cannot be handled as a {resource.kind}: no kind'
            f' "{kind}" is registered for version "{version}"'
        )
    metadata = obj.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        raise statuses.bad_request(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a'
            f" {resource.kind}: json: cannot unmarshal into Go struct field .metadata of type"
            " v1.ObjectMeta"
        )
    name = metadata.get("name")
    if target.name and name and name != target.name:
        raise statuses.bad_request(
            f"the name of the object ({name}) does not match the name on the URL ({target.name})"
        )
    namespace = metadata.get("namespace")
    if resource.namespaced:
        if namespace and namespace != target.namespace:
            raise statuses.bad_request(
                "the namespace of the provided object does not match the namespace sent on the"
                " request"
            )
        metadata["namespace"] = target.namespace
    elif namespace:
        metadata.pop("namespace")
