"""What the API server knows about the shape of an object: types, merge keys, atomic parts.

Built-in kinds come from a table that is made of a real server's OpenAPI and the Go types
(``tests/unit/kubesim/generate_tables.py``); custom resources from their own structural schema.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import orjson

from kubesim.objects import Object

ShapeKind = Literal[
    "string", "int32", "int64", "number", "bool", "quantity", "intstr", "time", "microtime",
    "bytes", "raw", "deduced", "struct", "list", "map",
]  # fmt: skip

_SCALARS: dict[str, ShapeKind] = {
    "s": "string", "i": "int32", "l": "int64", "n": "number", "b": "bool", "q": "quantity",
    "x": "intstr", "t": "time", "u": "microtime", "y": "bytes", "a": "raw",
}  # fmt: skip

# Keys of associative lists that the server fills in before it looks an item up.
KEY_DEFAULTS: dict[str, Any] = {"protocol": "TCP"}


@dataclass(slots=True)
class Field:
    """One field of a struct. ``zero``: what happens to its zero value.

    ``drop``: not written; ``write``: always written; ``keep``: written when it was given.
    """

    shape: Shape
    zero: Literal["drop", "write", "keep"] = "keep"
    enum: tuple[str, ...] = ()
    default: Any = None
    retain_keys: bool = False


@dataclass(slots=True)
class Shape:
    """A node of the schema.

    ``atomic`` lists, maps and structs have one owner as a whole. A list that is not atomic is a
    map by ``keys``, or, without keys, a set. ``patch_key`` is the merge key of strategic merge
    patches: None replaces the list, ``""`` merges it as a set.
    """

    kind: ShapeKind
    name: str = ""
    atomic: bool = False
    item: Shape | None = None
    keys: tuple[str, ...] = ()
    patch_key: str | None = None
    preserve_unknown: bool = False
    embedded: bool = False
    nullable: bool = False
    required: tuple[str, ...] = ()
    rules: dict[str, Any] = field(default_factory=dict)
    _fields: dict[str, Field] | None = None

    @property
    def fields(self) -> dict[str, Field]:
        """The fields of a struct; those of a built-in type are made when first asked for."""
        if self._fields is None:
            self._fields = _fields_of(self)
        return self._fields

    @property
    def of(self) -> Shape:
        """What the items of a list, or the values of a map, are."""
        return self.item or DEDUCED


_TABLES = Path(__file__).with_name("kubernetes_types.json")

DEDUCED = Shape("deduced")
DEDUCED_LIST = Shape("list", atomic=True, item=DEDUCED)
RAW = Shape("raw", atomic=True)
STRING = Shape("string")


@cache
def tables() -> dict[str, Any]:
    """``kinds``: group/version/Kind -> type name; ``types``: type name -> its fields."""
    found: dict[str, Any] = orjson.loads(_TABLES.read_bytes())
    return found


def builtin_shape(group: str, version: str, kind: str) -> Shape | None:
    """The shape of a built-in kind; None for any other."""
    name = tables()["kinds"].get(f"{group}/{version}/{kind}")
    return named_shape(name) if name else None


@cache
def named_shape(name: str) -> Shape:
    """The shape of a built-in type such as ``core.v1.PodSpec``; a final ``!`` makes it atomic."""
    plain = name.removesuffix("!")
    required = tuple(tables()["types"][plain].get("r", ()))
    return Shape("struct", name=plain, atomic=name.endswith("!"), required=required)


def _fields_of(shape: Shape) -> dict[str, Field]:
    if not shape.name:
        return {}
    found: dict[str, Field] = {}
    for name, spec in tables()["types"][shape.name]["f"].items():
        if isinstance(spec, list):
            flags, more = spec[1], spec[2] if len(spec) > 2 else {}
            found[name] = Field(
                _parse(spec[0]),
                {"z": "drop", "e": "write"}.get(flags, "keep"),  # type: ignore[arg-type]
                tuple(more.get("e", ())),
                more.get("d"),
                bool(more.get("r")),
            )
        else:
            found[name] = Field(_parse(spec))
    return found


def _parse(spec: Any) -> Shape:
    if isinstance(spec, str):
        if spec.startswith("#"):
            return named_shape(spec[1:])
        return _scalar(_SCALARS[spec])
    if "m" in spec:
        return Shape("map", atomic="a" in spec, item=_parse(spec["m"]))
    keys = tuple(spec.get("k", ()))
    return Shape(
        "list",
        atomic=not keys and "s" not in spec,
        item=_parse(spec["l"]),
        keys=keys,
        patch_key=spec.get("p"),
    )


@cache
def _scalar(kind: ShapeKind) -> Shape:
    return RAW if kind == "raw" else Shape(kind)


def custom_shape(schema: Object | None) -> Shape:
    """The shape of a custom resource; without a schema every field is accepted."""
    if schema is None:
        shape = Shape("struct", preserve_unknown=True, _fields={})
    else:
        shape = _structural(schema)
        if shape.kind != "struct":
            shape = Shape("struct", preserve_unknown=True, _fields={})
    fields = {
        **shape.fields,
        "apiVersion": Field(STRING),
        "kind": Field(STRING),
        "metadata": Field(named_shape("meta.v1.ObjectMeta"), "write"),
    }
    return Shape(
        "struct",
        preserve_unknown=shape.preserve_unknown,
        required=shape.required,
        rules=shape.rules,
        _fields=fields,
    )


def _structural(schema: Object) -> Shape:
    """https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources: structural schemas."""
    rules: dict[str, Any] = {
        key: schema[key]
        for key in ("enum", "minimum", "maximum", "pattern", "minLength", "maxLength")
        if key in schema
    }
    nullable = bool(schema.get("nullable"))
    preserve = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    if schema.get("x-kubernetes-int-or-string"):
        return Shape("intstr", rules=rules, nullable=nullable)
    kind = schema.get("type")
    atomic = schema.get("x-kubernetes-map-type") == "atomic"
    if kind == "object":
        more = schema.get("additionalProperties")
        if isinstance(more, dict):
            return Shape("map", atomic=atomic, item=_structural(more), nullable=nullable)
        fields = {
            name: Field(_structural(of), default=of.get("default"))
            for name, of in schema.get("properties", {}).items()
        }
        if not fields and (preserve or more is True):
            return Shape("deduced", atomic=atomic, nullable=nullable)
        if schema.get("x-kubernetes-embedded-resource"):
            fields.setdefault("apiVersion", Field(STRING))
            fields.setdefault("kind", Field(STRING))
            fields.setdefault("metadata", Field(named_shape("meta.v1.ObjectMeta")))
        return Shape(
            "struct",
            atomic=atomic,
            preserve_unknown=preserve,
            required=tuple(schema.get("required", ())),
            nullable=nullable,
            _fields=fields,
        )
    if kind == "array":
        topology = schema.get("x-kubernetes-list-type", "atomic")
        return Shape(
            "list",
            atomic=topology == "atomic",
            item=_structural(schema.get("items") or {}),
            keys=tuple(schema.get("x-kubernetes-list-map-keys", ())),
            nullable=nullable,
        )
    if kind == "integer":
        return Shape("int64", rules=rules, nullable=nullable)
    if kind == "string":
        return Shape("string", rules=rules, nullable=nullable)
    if kind in ("boolean", "number"):
        return Shape("bool" if kind == "boolean" else "number", rules=rules, nullable=nullable)
    return Shape("deduced", nullable=nullable)
