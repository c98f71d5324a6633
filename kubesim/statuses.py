"""The refusals of an API server, as ``Status`` objects in the server's own words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from kubesim.objects import Object


class Refusal(Exception):
    """A request that ends in an error; ``body`` is the Status object to answer with."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Object | None = None,
        headers: dict[str, str] | None = None,
        metadata: Object | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.headers = headers or {}
        self.body: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": metadata or {},
            "status": "Failure",
            "message": message,
        }
        if reason:
            self.body["reason"] = reason
        if details is not None:
            self.body["details"] = details
        self.body["code"] = code


@dataclass(frozen=True, slots=True)
class FieldFault:
    """One thing that is wrong with a field of an object: the makings of a cause."""

    field: str
    reason: str
    message: str


def invalid_value(field: str, value: Any, message: str) -> FieldFault:
    """A value that is not allowed."""
    return FieldFault(field, "FieldValueInvalid", f"Invalid value: {_shown(value)}: {message}")


def required(field: str, message: str = "") -> FieldFault:
    """A value that is missing."""
    return FieldFault(
        field, "FieldValueRequired", "Required value" + (f": {message}" if message else "")
    )


def forbidden_field(field: str, message: str) -> FieldFault:
    """A field that may not be there, or not change."""
    return FieldFault(field, "FieldValueForbidden", f"Forbidden: {message}")


def unsupported(field: str, value: Any, supported: Sequence[str]) -> FieldFault:
    """A value that is not one of a list."""
    known = ", ".join(_shown(choice) for choice in sorted(supported))
    text = f"Unsupported value: {_shown(value)}: supported values: {known}"
    return FieldFault(field, "FieldValueNotSupported", text)


def duplicate(field: str, value: Any) -> FieldFault:
    """A value that is there already."""
    return FieldFault(field, "FieldValueDuplicate", f"Duplicate value: {_shown(value)}")


def _shown(value: Any) -> str:
    return orjson.dumps(value).decode()


def qualified(resource: str, group: str) -> str:
    """``deployments.apps``, ``configmaps``."""
    return f"{resource}.{group}" if group else resource


def _details(name: str, group: str, kind: str) -> Object:
    details: Object = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    details["kind"] = kind
    return details


def not_found(plural: str, group: str, name: str) -> Refusal:
    """404 for an object."""
    message = f'{qualified(plural, group)} "{name}" not found'
    return Refusal(404, "NotFound", message, details=_details(name, group, plural))


def no_such_resource() -> Refusal:
    """404 for a path."""
    message = "the server could not find the requested resource"
    return Refusal(404, "NotFound", message, details={})


def method_not_allowed() -> Refusal:
    """405."""
    message = "the server does not allow this method on the requested resource"
    return Refusal(405, "MethodNotAllowed", message, details={})


def already_exists(plural: str, group: str, name: str, *, going: bool = False) -> Refusal:
    """409 for a create; ``going``: the one that exists is being deleted."""
    prefix = "object is being deleted: " if going else ""
    message = prefix + f'{qualified(plural, group)} "{name}" already exists'
    return Refusal(409, "AlreadyExists", message, details=_details(name, group, plural))


def modified(plural: str, group: str, name: str, why: str = "") -> Refusal:
    """409 for an outdated version or a failed precondition."""
    why = why or (
        "the object has been modified; please apply your changes to the latest version and try"
        " again"
    )
    message = f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": {why}'
    return Refusal(409, "Conflict", message, details=_details(name, group, plural))


def apply_conflict(conflicts: Sequence[tuple[str, str]]) -> Refusal:
    """``conflicts``: (manager as shown, field path), sorted."""
    if len(conflicts) == 1:
        manager, path = conflicts[0]
        message = f"Apply failed with 1 conflict: conflict with {manager}: {path}"
    else:
        lines: list[str] = []
        for manager in dict.fromkeys(manager for manager, _ in conflicts):
            lines.append(f"conflicts with {manager}:")
            lines += [f"- {path}" for owner, path in conflicts if owner == manager]
        message = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": path}
        for manager, path in conflicts
    ]
    return Refusal(409, "Conflict", message, details={"causes": causes})


def invalid(kind: str, group: str, name: str, faults: Sequence[FieldFault]) -> Refusal:
    """422 with a cause for each fault."""
    shown = [f"{fault.field}: {fault.message}" for fault in faults]
    text = shown[0] if len(shown) == 1 else "[" + ", ".join(shown) + "]"
    message = f'{qualified(kind, group)} "{name}" is invalid: {text}'
    details = _details(name, group, kind)
    details["causes"] = [
        {"reason": fault.reason, "message": fault.message, "field": fault.field} for fault in faults
    ]
    return Refusal(422, "Invalid", message, details=details)


def bad_request(message: str) -> Refusal:
    """400."""
    return Refusal(400, "BadRequest", message)


def unauthorized() -> Refusal:
    """401."""
    return Refusal(401, "Unauthorized", "Unauthorized")


def unsupported_media_type() -> Refusal:
    """415."""
    message = "415: Unsupported Media Type"
    return Refusal(415, "UnsupportedMediaType", message, details={})


def unprocessable() -> Refusal:
    """422 for a patch that cannot be carried out."""
    message = "the server rejected our request due to an error in our request"
    return Refusal(422, "Invalid", message, details={})


def forbidden(
    plural: str, group: str, name: str, why: str, *, causes: Sequence[Object] = ()
) -> Refusal:
    """403 from admission."""
    message = f'{qualified(plural, group)} "{name}" is forbidden: {why}'
    details = _details(name, group, plural)
    if causes:
        details["causes"] = list(causes)
    return Refusal(403, "Forbidden", message, details=details)


def too_many_requests(retry_after: float) -> Refusal:
    """429; Retry-After in whole seconds, at least one."""
    seconds = max(1, round(retry_after))
    message = "Too many requests, please try again later."
    return Refusal(
        429,
        "TooManyRequests",
        message,
        details={"retryAfterSeconds": seconds},
        headers={"Retry-After": str(seconds)},
    )


def expired(message: str) -> Refusal:
    """410 for a version that is too old."""
    return Refusal(410, "Expired", message)


def expired_page(token: str = "") -> Refusal:
    """410 for the continue token of a state that is forgotten; ``token`` goes on without it."""
    message = (
        "The provided continue parameter is too old to display a consistent list result. You can"
        " start a new list without the continue parameter, or use the continue token in this"
        " response to retrieve the remainder of the results. Continuing with the provided token"
        " results in an inconsistent list - objects that were created, modified, or deleted between"
        " the time the first chunk was returned and now may show up in the list."
    )
    return Refusal(410, "Expired", message, metadata={"continue": token} if token else {})


def success(plural: str, group: str, name: str, uid: str) -> Object:
    """The Status that a deletion answers with."""
    details = _details(name, group, plural)
    details["uid"] = uid
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    }
