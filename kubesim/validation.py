"""Whether the server accepts an object (422 otherwise): names, enums, schemas, single kinds."""

from __future__ import annotations

import re
from typing import Any

from kubesim.kinds import Resource
from kubesim.naming import check_metadata
from kubesim.objects import Object
from kubesim.requirements import REQUIREMENTS
from kubesim.schema import Shape
from kubesim.statuses import FieldFault, invalid_value, required, unsupported


def validate_object(obj: Object, resource: Resource) -> list[FieldFault]:
    """What is wrong with an object by itself."""
    faults = check_metadata(obj["metadata"], resource)
    if resource.custom:
        body = {k: v for k, v in obj.items() if k not in ("metadata", "apiVersion", "kind")}
        return faults + _against_schema(body, resource.shape, "")
    special = REQUIREMENTS.get(resource.table)
    if special is not None:
        faults += special(obj)
    faults += _enums(obj, resource.shape, "")
    return faults


def _enums(value: Any, shape: Shape, path: str) -> list[FieldFault]:
    faults: list[FieldFault] = []
    if shape.kind == "struct" and isinstance(value, dict):
        for key, child in value.items():
            known = shape.fields.get(key)
            if known is None or key in ("metadata", "status"):
                continue
            where = f"{path}.{key}" if path else key
            if known.enum and child not in known.enum and isinstance(child, str) and child:
                faults.append(unsupported(where, child, known.enum))
            elif isinstance(child, (dict, list)):
                faults += _enums(child, known.shape, where)
    elif shape.kind == "list" and shape.item is not None and isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, (dict, list)):
                faults += _enums(item, shape.item, f"{path}[{index}]")
    return faults


_TYPE_NAMES = {
    "string": ("string", (str,)),
    "int64": ("integer", (int,)),
    "bool": ("boolean", (bool,)),
    "number": ("number", (int, float)),
    "intstr": ("integer,string", (int, str)),
    "list": ("array", (list,)),
    "map": ("object", (dict,)),
    "struct": ("object", (dict,)),
}


def _against_schema(value: Any, shape: Shape, path: str) -> list[FieldFault]:
    if value is None and shape.nullable:
        return []
    expected = _TYPE_NAMES.get(shape.kind)
    if expected is not None and type(value) not in expected[1]:
        shown = _schema_type(value)
        return [
            FieldFault(
                path,
                "FieldValueTypeInvalid",
                f'Invalid value: "{shown}": {path} in body must be of type {expected[0]}:'
                f' "{shown}"',
            )
        ]
    faults: list[FieldFault] = []
    if shape.kind == "struct":
        for name in shape.required:
            if name not in value and name not in ("metadata", "apiVersion", "kind"):
                faults.append(required(f"{path}.{name}" if path else name))
        for name, child in value.items():
            known = shape.fields.get(name)
            if known is not None and not known.shape.name:
                where = f"{path}.{name}" if path else name
                faults += _against_schema(child, known.shape, where)
    elif shape.kind == "map" and shape.item is not None:
        for name, child in value.items():
            faults += _against_schema(child, shape.item, f"{path}.{name}")
    elif shape.kind == "list" and shape.item is not None:
        for index, child in enumerate(value):
            faults += _against_schema(child, shape.item, f"{path}[{index}]")
    return faults + _rules(value, shape.rules, path)


def _rules(value: Any, rules: Object, path: str) -> list[FieldFault]:
    faults: list[FieldFault] = []
    choices = rules.get("enum")
    if choices and value not in choices:
        faults.append(unsupported(path, value, choices))
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and "minimum" in rules and value < rules["minimum"]:
        message = f"{path} in body should be greater than or equal to {rules['minimum']}"
        faults.append(invalid_value(path, value, message))
    if number and "maximum" in rules and value > rules["maximum"]:
        message = f"{path} in body should be less than or equal to {rules['maximum']}"
        faults.append(invalid_value(path, value, message))
    if isinstance(value, str) and "pattern" in rules and not re.search(rules["pattern"], value):
        message = f"{path} in body should match '{rules['pattern']}'"
        faults.append(invalid_value(path, value, message))
    return faults


def _schema_type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    for kind, name in ((str, "string"), (int, "integer"), (float, "number"), (list, "array")):
        if isinstance(value, kind):
            return name
    return "object" if isinstance(value, dict) else "null"
