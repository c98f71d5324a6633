"""Checks manifests of built-in kinds as an API server would, so that the error names the line.

Only what every server refuses: values of the wrong type, and two items of a list with one key
(which a POST lets pass, and server-side apply does not). Fields that the table lacks are left to
the servers, which may be newer. The table has the types of Kubernetes ``TYPES_OF``, as
``tests/unit/kubesim/generate_tables.py`` writes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from msgspec import Struct

from reconciler.api.errors import Problem
from reconciler.api.objects import Object, map_of
from reconciler.manifests.document import Document
from reconciler.manifests.own_schemas import KUBEFED_TYPES, json_path
from reconciler.manifests.secret_data import QUOTE_IT, is_base64, kind_of, read_as

Steps = tuple[str | int, ...]

TYPES_OF = "1.37"
"""The version whose types the table has."""
_QUANTITY = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?")
_KEY_DEFAULTS = {"protocol": "TCP"}
"""Keys of list items that the server fills in before it compares them."""

EXPECTED = {
    "s": "text",
    "t": "text",
    "u": "text",
    "y": "text in base64",
    "i": "a whole number",
    "l": "a whole number",
    "n": "a number",
    "b": "true or false",
    "q": "a quantity such as 250m or 2Gi",
    "x": "a whole number or text",
}
"""What is expected, by the letter that the table has for a scalar; ``a`` is anything."""


class TypeFault(Struct, frozen=True):
    """A value that no server takes there, or (``twice``) a second item of a list with one key.

    ``other`` is where the first one is.
    """

    steps: Steps
    value: Any
    expected: str
    twice: str = ""
    other: Steps = ()


def type_problems(document: Document) -> Iterator[Problem]:
    """What no server takes of a manifest of a built-in kind, or of a KubeFed template of one.

    Nothing for other kinds but their metadata. Names, labels and annotations are checked by
    ``metadata_problems``.
    """
    body, at = template_of(document)
    for fault in type_faults(body):
        yield problem_of(fault, document, at)


def template_of(document: Document) -> tuple[Object, Steps]:
    """The object that a manifest makes, and where it is: itself, or the template of a KubeFed kind,
    whose apiVersion may be understood."""
    body = document.body
    kind = str(body.get("kind"))
    if body.get("apiVersion") != KUBEFED_TYPES or not kind.startswith("Federated"):
        return body, ()
    template = map_of(map_of(body.get("spec")).get("template"))
    kind = kind.removeprefix("Federated")
    api_version = template.get("apiVersion") or _only_version(kind)
    return {**template, "apiVersion": api_version, "kind": kind}, ("spec", "template")


def type_faults(body: Object) -> Iterator[TypeFault]:
    """What no server takes of an object, by what is known of its kind."""
    name = _type_name(body)
    metadata = map_of(body.get("metadata"))
    for field in ("finalizers", "ownerReferences"):
        if field in metadata:
            shape = _shape(_table()["types"]["meta.v1.ObjectMeta"]["f"][field])
            yield from _value(metadata[field], shape, ("metadata", field))
    for field, spec in _table()["types"][name]["f"].items() if name else ():
        if field != "metadata" and field in body:
            yield from _value(body[field], _shape(spec), (field,))


def unknown_fields(body: Object) -> Iterator[tuple[Steps, tuple[str, ...]]]:
    """Fields of a built-in kind that the table lacks, with those that it has there."""
    if name := _type_name(body):
        yield from _unknown(body, f"#{name}", ())


def _unknown(value: Any, shape: Any, at: Steps) -> Iterator[tuple[Steps, tuple[str, ...]]]:
    if isinstance(shape, dict) and "l" in shape and isinstance(value, list):
        for number, item in enumerate(value):
            yield from _unknown(item, shape["l"], (*at, number))
    elif isinstance(shape, dict) and "m" in shape and isinstance(value, dict):
        for key, item in value.items():
            yield from _unknown(item, shape["m"], (*at, key))
    elif isinstance(shape, str) and shape.startswith("#") and isinstance(value, dict):
        fields = _table()["types"][shape.strip("#!")]["f"]
        for key, item in value.items():
            if key in fields:
                yield from _unknown(item, _shape(fields[key]), (*at, key))
            elif fields:
                yield (*at, key), tuple(fields)


def _type_name(body: Object) -> str | None:
    api_version, kind = str(body.get("apiVersion")), str(body.get("kind"))
    full = api_version if "/" in api_version else f"/{api_version}"
    name = _table()["kinds"].get(f"{full}/{kind}")
    return None if name is None else str(name)


def _only_version(kind: str) -> str:
    """The apiVersion of a built-in kind that has but one; else empty."""
    found = [name.rpartition("/")[0] for name in _table()["kinds"] if name.endswith(f"/{kind}")]
    return found[0] if len(found) == 1 else ""


@cache
def _table() -> Mapping[str, Any]:
    """``kinds``: group/version/Kind -> type name; ``types``: type name -> ``f``: its fields."""
    found = orjson.loads(Path(__file__).with_name("kubernetes_types.json").read_bytes())
    return dict(found)


def _shape(spec: Any) -> Any:
    """A field's type without what else the table says of it."""
    return spec[0] if isinstance(spec, list) else spec


def _value(value: Any, shape: Any, at: Steps) -> Iterator[TypeFault]:
    """``shape`` is a scalar's letter, ``#type``, ``{"m": values}`` or ``{"l": items}``."""
    if value is None or shape == "a":
        return
    if isinstance(shape, str) and not shape.startswith("#"):
        if not is_scalar(value, shape):
            yield TypeFault(at, value, EXPECTED[shape])
    elif isinstance(shape, dict) and "l" in shape:
        if not isinstance(value, list):
            yield TypeFault(at, value, "a list")
            return
        for number, item in enumerate(value):
            yield from _value(item, shape["l"], (*at, number))
        yield from _doubles(value, shape, at)
    elif not isinstance(value, dict):
        yield TypeFault(at, value, "a map")
    elif isinstance(shape, dict):
        for key, item in value.items():
            yield from _value(item, shape["m"], (*at, key))
    else:
        fields = _table()["types"][shape.strip("#!")]["f"]
        for key, item in value.items():
            if key in fields:
                yield from _value(item, _shape(fields[key]), (*at, key))


def is_scalar(value: Any, letter: str) -> bool:
    """Whether a value is of the type that the table has that letter for."""
    if isinstance(value, str) and "${cluster." in value:
        return True  # Each cluster has a value of its own for it.
    number = isinstance(value, int | float) and not isinstance(value, bool)
    text = isinstance(value, str)
    return {
        "b": isinstance(value, bool),
        "i": number and float(value).is_integer(),
        "l": number and float(value).is_integer(),
        "n": number,
        "q": (text and bool(_QUANTITY.fullmatch(value))) or number,
        "x": text or (number and isinstance(value, int)),
        "y": text and is_base64(value),
    }.get(letter, text)


def _doubles(items: list[Any], shape: Mapping[str, Any], at: Steps) -> Iterator[TypeFault]:
    keys = shape.get("k", ())
    first: dict[tuple[Any, ...], int] = {}
    for number, item in enumerate(items):
        if keys and isinstance(item, dict):
            identity = tuple(item.get(key, _KEY_DEFAULTS.get(key)) for key in keys)
        elif "s" in shape and isinstance(item, str):
            identity = (item,)
        else:
            continue
        if None in identity or any(isinstance(part, dict | list) for part in identity):
            continue
        other = first.setdefault(identity, number)
        if other != number:
            words = ", ".join(f"{k} {v}" for k, v in zip(keys, identity, strict=True))
            expected = "each item once: server-side apply refuses two with one key"
            twice = f"{words or item} is there twice"
            yield TypeFault((*at, number), item, expected, twice, (*at, other))


def problem_of(fault: TypeFault, document: Document, at: Steps = ()) -> Problem:
    """A fault in words, with its place; ``at`` leads to the object in its document."""
    steps = (*at, *fault.steps)
    position, path = document.position(*steps), json_path(steps)
    if fault.twice:
        where = document.position(*at, *fault.other)
        hint = f"the other one is at {where}"
        return Problem(position, path, fault.twice, fault.expected, hint)
    written = "" if document.is_sensitive else document.written(*steps)
    scalar = isinstance(fault.value, bool | int | float)
    hint = ""
    if not written:
        shown = "the text is not valid" if isinstance(fault.value, str) else kind_of(fault.value)
        hint = QUOTE_IT if scalar and "text" in fault.expected else ""
    elif scalar:
        shown = read_as(fault.value, written)
        hint = f'quote it: "{written}"' if "text" in fault.expected else ""
    elif isinstance(fault.value, str):
        shown = f"not valid: {written[:60]}"
        wanted = {"a whole number": int, "a number": float, "true or false": bool}
        if meant := wanted.get(fault.expected):
            plain = _plain(written)
            fits = isinstance(plain, meant) and (meant is bool or not isinstance(plain, bool))
            shown = f'"{written[:60]}" is text'
            hint = f"write it without quotes: {written}" if fits else ""
    else:
        shown = kind_of(fault.value)
    return Problem(position, path, shown, fault.expected, hint)


def _plain(written: str) -> Any:
    from reconciler.manifests.yaml_scalars import NotJson, resolve_plain

    try:
        return resolve_plain(written)
    except NotJson:
        return None
