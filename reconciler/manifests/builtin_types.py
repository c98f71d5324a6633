"""Checks manifests of built-in kinds as an API server would, so that the line can be told.

Only what every server refuses: values of the wrong type, and two items of a list with one key
(which a POST lets pass, and server-side apply does not). Fields that the table lacks are left to
the servers, which may be newer. The table has the types of Kubernetes 1.37, as
``tests/sandbox/generate_tables.py`` writes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from msgspec import Struct

from reconciler.errors import Problem
from reconciler.manifests.contents import is_base64, kind_of
from reconciler.manifests.document import Document
from reconciler.manifests.schema import KUBEFED_TYPES, json_path
from reconciler.objects import map_of

Steps = tuple[str | int, ...]

_QUANTITY = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?")
_KEY_DEFAULTS = {"protocol": "TCP"}
"""Keys of list items that the server fills in before it compares them."""

_EXPECTED = {
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


def type_problems(document: Document) -> Iterator[Problem]:
    """What no server takes of a manifest of a built-in kind, or of a KubeFed template of one.

    Nothing for other kinds. ``metadata`` is checked by ``identity_problems``.
    """
    body: Any = document.body
    at: Steps = ()
    api_version, kind = str(body.get("apiVersion")), str(body.get("kind"))
    if api_version == KUBEFED_TYPES and kind.startswith("Federated"):
        at = ("spec", "template")
        body = map_of(map_of(body.get("spec")).get("template"))
        kind = kind.removeprefix("Federated")
        api_version = str(body.get("apiVersion") or _only_version(kind))
    full = api_version if "/" in api_version else f"/{api_version}"
    name = _table()["kinds"].get(f"{full}/{kind}")
    if name is None:
        return
    checking = _Checking(document, secret=(full, kind) == ("/v1", "Secret"))
    for field, spec in _table()["types"][name]["f"].items():
        if field != "metadata" and field in body:
            yield from checking.value(body[field], _shape(spec), (*at, field))


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


class _Checking(Struct, frozen=True):
    """Of one document; ``secret``: values are not shown."""

    document: Document
    secret: bool

    def value(self, value: Any, shape: Any, at: Steps) -> Iterator[Problem]:
        """``shape`` is a scalar's letter, ``#type``, ``{"m": values}`` or ``{"l": items}``."""
        if value is None or shape == "a":
            return
        if isinstance(shape, str) and not shape.startswith("#"):
            yield from self._scalar(value, shape, at)
        elif isinstance(shape, dict) and "l" in shape:
            if not isinstance(value, list):
                yield self._wrong(value, "a list", at)
                return
            for number, item in enumerate(value):
                yield from self.value(item, shape["l"], (*at, number))
            yield from self._doubles(value, shape, at)
        elif not isinstance(value, dict):
            yield self._wrong(value, "a map", at)
        elif isinstance(shape, dict):
            for key, item in value.items():
                yield from self.value(item, shape["m"], (*at, key))
        else:
            fields = _table()["types"][shape.strip("#!")]["f"]
            for key, item in value.items():
                if key in fields:
                    yield from self.value(item, _shape(fields[key]), (*at, key))

    def _scalar(self, value: Any, letter: str, at: Steps) -> Iterator[Problem]:
        if isinstance(value, str) and "${cluster." in value:
            return  # Each cluster has a value of its own for it.
        number = isinstance(value, int | float) and not isinstance(value, bool)
        text = isinstance(value, str)
        if not {
            "b": isinstance(value, bool),
            "i": number and float(value).is_integer(),
            "l": number and float(value).is_integer(),
            "n": number,
            "q": (text and bool(_QUANTITY.fullmatch(value))) or number,
            "x": text or (number and isinstance(value, int)),
            "y": text and is_base64(value),
        }.get(letter, text):
            yield self._wrong(value, _EXPECTED[letter], at)

    def _doubles(self, items: list[Any], shape: Mapping[str, Any], at: Steps) -> Iterator[Problem]:
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
            if other == number:
                continue
            words = ", ".join(f"{k} {v}" for k, v in zip(keys, identity, strict=True))
            where = self.document.position(*at, other)
            yield self._problem(
                f"{words or item} is there twice",
                "each item once: server-side apply refuses two with one key",
                f"the other one is at {where}",
                (*at, number),
            )

    def _wrong(self, value: Any, expected: str, at: Steps) -> Problem:
        written = "" if self.secret else self.document.written(*at)
        scalar = isinstance(value, bool | int | float)
        hint = f'quote it: "{written}"' if written and scalar and "text" in expected else ""
        told = f"{written} is {kind_of(value)}" if written and scalar else kind_of(value)
        if isinstance(value, str):
            told = f"not valid: {written[:60]}" if written else "the text is not valid"
        return self._problem(told, expected, hint, at)

    def _problem(self, message: str, expected: str, hint: str, at: Steps) -> Problem:
        return Problem(self.document.position(*at), json_path(at), message, expected, hint)
