"""Turns what a client sent into what the server keeps: typed, without zero values, defaulted.

The server reads JSON into Go structs and writes them out again; that drops unknown fields and
most zero values, and writes some that nobody gave (``strategy: {}``). Both are in the schema.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from kubesim import fieldsets
from kubesim.fieldsets import SchemaMismatch
from kubesim.objects import Object
from kubesim.quantities import BadQuantity, canonical
from kubesim.schema import Field, Shape

Defaults = dict[str, Callable[[Object], None]]

_GO_TYPES = {
    "string": "string",
    "int32": "int32",
    "int64": "int64",
    "bool": "bool",
    "number": "float64",
    "bytes": "[]uint8",
    "quantity": "resource.Quantity",
    "time": "v1.Time",
    "microtime": "v1.MicroTime",
    "intstr": "intstr.IntOrString",
}
_ZEROS: dict[str, Any] = {
    "string": "", "int32": 0, "int64": 0, "bool": False, "number": 0, "quantity": "0",
    "intstr": 0,
}  # fmt: skip
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_MICRO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")
_FRACTION = re.compile(r"\.\d+(?=(Z|[+-]\d\d:\d\d)$)")


class Undecodable(ValueError):
    """A value of the wrong JSON type; the message is that of the server's JSON decoder."""


class Decoder:
    """One pass over one object; ``unknown`` collects the paths of fields the kind lacks."""

    def __init__(self, defaults: Defaults | None = None) -> None:
        self._defaults = defaults or {}
        self.unknown: list[str] = []

    def decode(self, obj: Any, shape: Shape) -> Object:
        """A new object; ``obj`` is not changed. Raises Undecodable."""
        decoded: Object = self._struct(obj, shape, "", "")
        return decoded

    def _struct(self, value: Any, shape: Shape, path: str, go_path: str) -> Object:
        given = {key: child for key, child in value.items() if child is not None}
        if shape.preserve_unknown or not shape.name:
            return self._custom(value, shape, path, go_path)
        fields = shape.fields
        for key, child in given.items():
            known = fields.get(key)
            if known is None:
                self.unknown.append(_join(path, key))
            elif known.shape.kind in _ANY:
                continue
            elif isinstance(child, (dict, list)) != (known.shape.kind in _CONTAINERS):
                self._mismatch(child, known.shape, shape, _join(go_path, key))
        default = self._defaults.get(shape.name)
        if default is not None:
            default(given)
        decoded: Object = {}
        for key, known in fields.items():
            child = given.get(key)
            if child is None:
                if known.default is not None:
                    decoded[key] = known.default
                elif known.zero == "write":
                    decoded[key] = self._zero(known, path, key, go_path)
                continue
            result = self._value(child, known.shape, shape, _join(path, key), _join(go_path, key))
            if known.zero == "drop" and _is_zero(result):
                if known.default is not None:
                    decoded[key] = known.default
                continue
            decoded[key] = result
        return decoded

    def _zero(self, known: Field, path: str, key: str, go_path: str) -> Any:
        if known.shape.kind == "struct":
            return self._struct({}, known.shape, _join(path, key), _join(go_path, key))
        return _ZEROS.get(known.shape.kind)

    def _custom(self, value: Any, shape: Shape, path: str, go_path: str) -> Object:
        """Custom resources keep zero values and nulls; unknown fields go unless preserved."""
        decoded: Object = {}
        for key, child in value.items():
            known = shape.fields.get(key)
            if known is None:
                if shape.preserve_unknown:
                    decoded[key] = child
                else:
                    self.unknown.append(_join(path, key))
            elif child is None:
                if known.default is None or known.shape.nullable:
                    decoded[key] = None
            else:
                decoded[key] = self._value(
                    child, known.shape, shape, _join(path, key), _join(go_path, key)
                )
        for key, known in shape.fields.items():
            if key not in decoded and known.default is not None:
                decoded[key] = self._value(
                    known.default, known.shape, shape, _join(path, key), _join(go_path, key)
                )
        return decoded

    def _value(self, value: Any, shape: Shape, owner: Shape, path: str, go_path: str) -> Any:
        kind = shape.kind
        if kind == "string":
            if type(value) is not str and owner.name:
                self._mismatch(value, shape, owner, go_path)
            return value
        if kind == "struct":
            if not isinstance(value, dict):
                return self._mismatch(value, shape, owner, go_path)
            return self._struct(value, shape, path, go_path)
        if kind == "list":
            if not isinstance(value, list):
                return self._mismatch(value, shape, owner, go_path)
            return self._list(value, shape, owner, path, go_path)
        if kind == "map":
            if not isinstance(value, dict):
                return self._mismatch(value, shape, owner, go_path)
            return self._map(value, shape, owner, path, go_path)
        if kind in _ANY:
            return value
        return self._scalar(value, shape, owner, go_path)

    def _list(
        self, value: list[Any], shape: Shape, owner: Shape, path: str, go_path: str
    ) -> list[Any]:
        item_shape = shape.of
        return [
            self._value(
                {} if item is None and item_shape.kind == "struct" else item,
                item_shape,
                owner,
                f"{path}[{index}]",
                go_path,
            )
            for index, item in enumerate(value)
        ]

    def _map(self, value: Object, shape: Shape, owner: Shape, path: str, go_path: str) -> Object:
        zero = _ZEROS.get(shape.of.kind)
        decoded: Object = {}
        for key, child in value.items():
            if child is None and owner.name:
                decoded[key] = zero
            else:
                decoded[key] = self._value(child, shape.of, owner, f"{path}.{key}", go_path)
        return decoded

    def _scalar(self, value: Any, shape: Shape, owner: Shape, go_path: str) -> Any:
        kind, given = shape.kind, type(value)
        if not owner.name and kind != "quantity":
            return value  # a custom resource: its own schema judges later
        if kind == "quantity" and given in (str, int, float):
            try:
                return canonical(value)
            except BadQuantity as error:
                raise Undecodable(str(error)) from error
        fits = {
            "int32": given is int and -(2**31) <= value < 2**31,
            "int64": given is int,
            "bool": given is bool,
            "number": given in (int, float),
            "intstr": given in (int, str),
            "bytes": given is str,
            "time": given is str,
            "microtime": given is str,
        }[kind]
        if not fits:
            self._mismatch(value, shape, owner, go_path)
        if kind == "time":
            return _time(value)
        if kind == "microtime":
            return _micro_time(value)
        return value

    def _mismatch(self, value: Any, shape: Shape, owner: Shape, go_path: str) -> Any:
        name = owner.name.rpartition(".")[2]
        shown = _json_kind(value)
        if shown == "number" and shape.kind in ("int32", "int64"):
            shown = f"number {value}"
        # A map's error names the type of its values.
        inner = shape.of if shape.kind == "map" and isinstance(value, dict) else shape
        expected = _go_type(inner or shape)
        raise Undecodable(
            f"json: cannot unmarshal {shown} into Go struct field {name}.{go_path}"
            f" of type {expected}"
        )


_CONTAINERS = frozenset({"struct", "list", "map"})
_ANY = frozenset({"raw", "deduced"})


def _time(text: str) -> str:
    """Whole seconds; a fraction is accepted and dropped."""
    if not _RFC3339.fullmatch(text):
        raise Undecodable(
            f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse "{text}"'
        )
    return _FRACTION.sub("", text)


def _micro_time(text: str) -> str:
    """Exactly six digits of a second's fraction, nothing else is read."""
    if not _MICRO.fullmatch(text):
        raise Undecodable(
            f'parsing time "{text}" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "{text}"'
        )
    return text


def _is_zero(value: Any) -> bool:
    return value is None or value in ("", 0, False, [], {})


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _json_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list):
        return "array"
    return "string" if isinstance(value, str) else "number"


def _go_type(shape: Shape) -> str:
    if shape.kind == "struct":
        package, _, name = shape.name.rpartition(".")
        return f"{package.rpartition('.')[2]}.{name}"
    if shape.kind == "list" and shape.item is not None:
        return f"[]{_go_type(shape.of)}"
    if shape.kind == "map" and shape.item is not None:
        return f"map[string]{_go_type(shape.of)}"
    return _GO_TYPES.get(shape.kind, "interface {}")


def check_applied(value: Any, shape: Shape, path: tuple[str, ...] = ()) -> None:
    """Raises SchemaMismatch as server-side apply does for a configuration that cannot be typed."""
    if value is None or shape.kind in _ANY:
        return
    where = fieldsets.dotted(path)
    if shape.kind in ("struct", "map"):
        if not isinstance(value, dict):
            raise SchemaMismatch(where, f"expected map, got {_typed(value)}")
        for key, child in value.items():
            below = fieldsets.child_shape(shape, key)
            if below is None:
                raise SchemaMismatch(f"{where}.{key}", "field not declared in schema")
            check_applied(child, below, (*path, f"f:{key}"))
    elif shape.kind == "list":
        if not isinstance(value, list):
            raise SchemaMismatch(where, f"expected list, got {_typed(value)}")
        _check_items(value, shape, path, where)
    else:
        wanted = _EXPECTED.get(shape.kind)
        if wanted is not None and type(value) not in wanted[1]:
            raise SchemaMismatch(where, f"expected {wanted[0]}, got {_typed(value)}")


def _check_items(value: list[Any], shape: Shape, path: tuple[str, ...], where: str) -> None:
    seen: set[str] = set()
    for index, item in enumerate(value):
        if shape.atomic:
            check_applied(item, shape.of, (*path, f"i:{index}"))
            continue
        try:
            element = fieldsets.item_element(shape, item)
        except SchemaMismatch as error:
            raise SchemaMismatch(where, f"element {index}: {str(error)[2:]}") from error
        if element in seen:
            shown = fieldsets.dotted((element,))
            raise SchemaMismatch(where, f"duplicate entries for key {shown}")
        seen.add(element)
        check_applied(item, shape.of, (*path, element))


_NUMERIC: tuple[str, tuple[type, ...]] = ("numeric (int or float)", (int, float))
_EXPECTED: dict[str, tuple[str, tuple[type, ...]]] = {
    "string": ("string", (str,)),
    "bytes": ("string", (str,)),
    "time": ("string", (str,)),
    "microtime": ("string", (str,)),
    "bool": ("boolean", (bool,)),
    "int32": _NUMERIC,
    "int64": _NUMERIC,
    "number": _NUMERIC,
}


def _typed(value: Any) -> str:
    """How the server's merge library shows a value of the wrong type."""
    if isinstance(value, str):
        return "string"
    shown = {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
    return f"&value.valueUnstructured{{Value:{shown}}}"
