"""A server's refusal of what must not be quoted, in our own words.

A server, a webhook or a policy may quote any value that it was sent, in any form. So nothing that
it says is passed on: only the HTTP code, fields that are in the object itself, and sentences of
this file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.api.objects import Object

_NAME = r"([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)"
_SAYINGS = (
    (rf'^admission webhook "{_NAME}" denied the request', "the webhook {} denied it"),
    (
        rf'^Internal error occurred: failed calling webhook "{_NAME}"',
        "the webhook {} could not be asked",
    ),
    (
        rf"^[a-z0-9.]+ \"[^\"]*\" is forbidden: ValidatingAdmissionPolicy '{_NAME}' ",
        "the ValidatingAdmissionPolicy {} denied it",
    ),
    (
        r'^[a-z0-9.]+ (?:"[^"]*" )?is forbidden: User "[^"]*" '
        r'cannot ([a-z]+) resource "([a-z0-9/]+)"',
        'the account cannot {} resource "{}"',
    ),
    (
        rf'^[a-z0-9.]+ "[^"]*" is forbidden: exceeded quota: {_NAME}',
        "the quota {} is used up",
    ),
    (r"^[^:]* is forbidden: unable to create new content", "its namespace is being deleted"),
    (rf'^namespaces "{_NAME}" not found', "the namespace {} is not there"),
    (r"the object has been modified", "it was changed meanwhile"),
    (r"^failed to create typed patch object", "a field is unknown or has the wrong type"),
    (r"Too long|larger than max|[Rr]equest (?:is|entity) too large", "it is too large"),
)
"""What API servers say at the beginning of a message, and the names that they put there. The rest
of it is the webhook's or the policy's, which may be anything. Patterns are compiled when a refusal
is looked at, not at every start."""

_ADMISSION = (
    r'^admission webhook "[^"]*" (?:denied the request|attempted to modify)|'
    r"^\S+ (?:\"[^\"]*\" )?is forbidden: (?:Validating|Mutating)AdmissionPolicy '"
)
"""How API servers begin what a webhook or a policy says of an object."""

_TOO_LARGE = (
    r"larger than max|[Rr]equest (?:is|entity) too large|may not be more than 1048576 bytes"
)
TOO_LARGE = (
    "a ConfigMap or Secret takes 1 MiB of values, and etcd 1.5 MiB for an object with its "
    "managedFields, which repeat each key: divide it into several objects, or keep large content "
    "elsewhere"
)
"""The way out for an object that is too large."""

_REASONS = {
    "FieldValueInvalid": "is not valid",
    "FieldValueRequired": "is required",
    "FieldValueDuplicate": "is there twice",
    "FieldValueNotFound": "names what is not there",
    "FieldValueNotSupported": "has a value that is not supported",
    "FieldValueForbidden": "may not be so",
    "FieldValueTooLong": "is too long",
    "FieldValueTooMany": "has too many items",
    "FieldValueTypeInvalid": "has the wrong type",
    "FieldManagerConflict": "is owned by another field manager",
}
_PATH_IN_TEXT = r"(?:^|\s)(\.[^\s:;]+):"
_STEP = r"\[([^\]]*)\]|([^.\[\]]+)"
_TOP = frozenset({"data", "stringData", "type", "immutable", "metadata", "spec"})
_ASKED_OF_SECRETS = frozenset(
    {"tls.crt", "tls.key", ".dockerconfigjson", ".dockercfg", "ssh-privatekey"}
)
"""Keys of Secrets' types, which the server misses where they are not in the object."""
_MOST_FIELDS = 10


def is_by_admission(message: str) -> bool:
    """Whether a webhook or a policy refuses the object, and not the server itself."""
    return bool(re.search(_ADMISSION, message))


def with_size_hint(message: str) -> str:
    """A server's words, and what to do about them where they do not tell."""
    return f"{message} ({TOO_LARGE})" if re.search(_TOO_LARGE, message) else message


def refusal_in_our_words(
    code: int, message: str, causes: Sequence[Mapping[str, Any]], *bodies: Object | None
) -> str:
    """What a refusal is about. ``said`` and ``causes`` are only compared with what is known here;
    ``bodies`` are what was sent and what is there: a field is named as far as it is in one of them.
    """
    facts = dict.fromkeys(_facts(message, causes, [body for body in bodies if body]))
    what = f": {', '.join(list(facts)[:_MOST_FIELDS])}" if facts else ""
    return f"refused with HTTP {code}{what} (the server's own words may quote values: not shown)"


def known_fields(causes: Sequence[Mapping[str, Any]], *bodies: Object | None) -> str:
    """The fields that the causes are about: ``spec.selector, data.pin``; "" where none is known."""
    known = [body for body in bodies if body]
    found = {_known(str(cause.get("field") or ""), known) for cause in causes}
    return ", ".join(sorted(found - {""}))


def _facts(
    message: str, causes: Sequence[Mapping[str, Any]], bodies: Sequence[Object]
) -> Iterator[str]:
    for pattern, words in _SAYINGS:
        if match := re.search(pattern, message):
            yield words.format(*match.groups())
    for cause in causes:
        field = _known(str(cause.get("field") or ""), bodies)
        words = _REASONS.get(str(cause.get("reason")), "")
        if field and words:
            yield f"{field} {words}"
    if not causes:
        for path in re.findall(_PATH_IN_TEXT, message):
            if field := _known(path, bodies):
                yield f"see {field}"


def _known(path: str, bodies: Sequence[Object]) -> str:
    """The path as far as it is in one of the bodies, or is known to be asked for."""
    steps = [one or other for one, other in re.findall(_STEP, path)]
    if len(steps) == 2 and steps[0] == "data" and steps[1] in _ASKED_OF_SECRETS:
        return f"data[{steps[1]}]"
    if not steps:
        return ""
    found = max((_walked(body, steps) for body in bodies), key=len, default="")
    return found or (steps[0] if steps[0] in _TOP else "")


def _walked(value: Any, steps: Sequence[str]) -> str:
    """How far the steps lead, as text. A key with dots may have been taken for several."""
    text = ""
    while steps:
        taken = 1
        if isinstance(value, dict):
            ends = range(len(steps), 0, -1)
            taken = next((end for end in ends if ".".join(steps[:end]) in value), 0)
            step = ".".join(steps[:taken])
            value = value.get(step)
            step = f"[{step}]" if "." in step else f".{step}"
        elif isinstance(value, list) and steps[0].isdecimal() and int(steps[0]) < len(value):
            step, value = f"[{steps[0]}]", value[int(steps[0])]
        else:
            break
        if not taken:
            break
        text, steps = text + step, steps[taken:]
    return text.removeprefix(".")
