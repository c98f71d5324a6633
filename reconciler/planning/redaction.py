"""Keeps the values of Secrets out of plans, reports and errors."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from reconciler.objects import Object, ObjectKey
from reconciler.planning.plan import ABSENT, FieldChange, Staying

BEFORE, AFTER = "*** (before)", "*** (after)"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def is_secret(key: ObjectKey) -> bool:
    """Whether the object's values must never be shown."""
    return key.group == "" and key.kind == "Secret"


def redact_fields(key: ObjectKey, fields: Iterable[FieldChange]) -> tuple[FieldChange, ...]:
    """Masks data and stringData of Secrets, and the annotation in which kubectl repeats them.

    Whether a value changes can still be seen; what it is, or how long, cannot.
    """
    if not is_secret(key):
        return tuple(fields)
    return tuple(_mask(field) if _is_sensitive(field.path) else field for field in fields)


def redact_staying(key: ObjectKey, fields: Iterable[Staying]) -> tuple[Staying, ...]:
    """Masks the same values where they stay as they are."""
    if not is_secret(key):
        return tuple(fields)
    return tuple(replace(f, value="***") if _is_sensitive(f.path) else f for f in fields)


def redact_message(key: ObjectKey, message: str, *bodies: Object | None) -> str:
    """A server's words about a Secret, without any of the values that were sent or are live.

    API servers quote what they refuse; so does a hostile one.
    """
    if not is_secret(key):
        return message
    values = sorted({v for body in bodies if body for v in _values(body)}, key=len, reverse=True)
    for value in values:
        message = message.replace(value, "***")
    return re.sub(r'(Invalid value: )(?:"(?:[^"\\]|\\.)*"|\S+)', r"\1***", message)


def _is_sensitive(path: str) -> bool:
    return path.startswith(("data", "stringData")) or _LAST_APPLIED in path


def _mask(field: FieldChange) -> FieldChange:
    return replace(
        field,
        before=ABSENT if field.before is ABSENT else BEFORE,
        after=ABSENT if field.after is ABSENT else AFTER,
    )


def _values(body: Object) -> Iterator[str]:
    for part in ("data", "stringData"):
        for value in (body.get(part) or {}).values():
            if not isinstance(value, str) or len(value) < 3:
                continue
            yield value
            try:
                yield base64.b64decode(value, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                yield base64.b64encode(value.encode()).decode()
