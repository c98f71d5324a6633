"""What Secrets and ConfigMaps may hold: text, or base64. Servers refuse all else, and quote it.

No value is ever told here, only what it is: Secrets' must not be, and the line says the rest.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from reconciler.api.objects import GroupKind, Object, api_group

_PARTS = {
    GroupKind("", "Secret"): {"data": True, "stringData": False},
    GroupKind("", "ConfigMap"): {"data": False, "binaryData": True},
}
"""Kind -> its maps, and whether their values are base64."""
_FEDERATED = "types.kubefed.io"
QUOTE_IT = "quote it"
_ODD_NUMBER = re.compile(r"[-+]?0[0-9xXbBoO_]|[^_]*_")
"""Octal, hexadecimal and binary ones, and those with underscores."""


class ContentFault(Struct, frozen=True):
    """What is wrong at ``steps`` in an object."""

    steps: tuple[str, ...]
    message: str
    expected: str
    hint: str = ""


def holds_contents(body: Object) -> bool:
    """Whether it is of a kind that is looked at here."""
    return GroupKind(api_group(str(body.get("apiVersion"))), str(body.get("kind"))) in _PARTS


def content_faults(body: Object, *, final: bool = True) -> Iterator[ContentFault]:
    """What no server would take of a Secret or ConfigMap, or of a KubeFed template of one.

    ``final`` False: ``${cluster.name}`` and the like are still to be filled in.
    """
    group, kind = api_group(str(body.get("apiVersion"))), str(body.get("kind"))
    prefix: tuple[str, ...] = ()
    if group == _FEDERATED:
        spec = body.get("spec")
        found = spec.get("template") if isinstance(spec, dict) else None
        if not isinstance(found, dict):
            return
        group, kind, body, prefix = "", kind.removeprefix("Federated"), found, ("spec", "template")
    for part, encoded in _PARTS.get(GroupKind(group, kind), {}).items():
        yield from _part_faults((*prefix, part), body.get(part), encoded, kind, final)
    if kind == "Secret" and not group:
        for name, wanted, expected in (("type", str, "text"), ("immutable", bool, "true or false")):
            value = body.get(name)
            if value is not None and not isinstance(value, wanted):
                yield ContentFault((*prefix, name), f"{name} is {kind_of(value)}", expected)


def _part_faults(
    path: tuple[str, ...], entries: Any, encoded: bool, kind: str, final: bool
) -> Iterator[ContentFault]:
    if entries is None:
        return
    if not isinstance(entries, dict):
        yield ContentFault(path, f"{path[-1]} is {kind_of(entries)}", "a map of names and values")
        return
    plain = "stringData" if kind == "Secret" else "data"
    for key, value in entries.items():
        where = (*path, key)
        if not isinstance(value, str):
            yield ContentFault(where, f"the value is {kind_of(value)}", "text", _hint(value))
        elif encoded and (final or "${cluster." not in value) and not is_base64(value):
            hint = f"plain text belongs into {plain}"
            yield ContentFault(where, "the value is not base64", "base64", hint)


def is_base64(value: str) -> bool:
    """As Go decodes it: line breaks do not count, spaces do."""
    try:
        base64.b64decode(value.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _hint(value: Any) -> str:
    if value is None:
        return 'write "" if it is to be empty'
    return "write it as one text, after |" if isinstance(value, dict | list) else QUOTE_IT


def read_as(value: Any, written: str) -> str:
    """What a plain scalar is, and that YAML reads it so where it does not look like it."""
    kind = kind_of(value)
    if isinstance(value, bool) and written.lower() not in ("true", "false"):
        return f"{written} is a boolean in YAML 1.1"
    if kind.endswith("number") and _ODD_NUMBER.match(written):
        return f"{written} is the number {value} in YAML 1.1"
    return f"{written} is {kind}"


def kind_of(value: Any) -> str:
    """What a JSON value is, for people."""
    for python, word in (
        (bool, "a boolean"),
        (str, "text"),
        (int, "a whole number"),
        (float, "a number"),
        (dict, "a map"),
        (list, "a list"),
    ):
        if isinstance(value, python):
            return word
    return "nothing"
