"""Checks custom resources against the schemas of the CRDs that lie beside them.

Only what every server refuses: values of the wrong type, and words that an ``enum`` does not have.
Nulls pass, as servers drop them where they may not be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reconciler.api.errors import Problem
from reconciler.api.objects import Object, map_of, maps_of
from reconciler.manifests.builtin_schemas import (
    EXPECTED,
    Steps,
    TypeFault,
    is_scalar,
    problem_of,
    template_of,
)
from reconciler.manifests.document import Document, with_origin

Schemas = Mapping[tuple[str, str], Object]
"""(apiVersion, kind) -> the OpenAPI schema of a whole object."""

_LETTERS = {"string": "s", "integer": "i", "number": "n", "boolean": "b"}
_IDENTITY = ("apiVersion", "kind", "metadata")


def schemas_in(documents: Iterable[Document]) -> dict[tuple[str, str], Object]:
    """What the CRDs among the documents say of the kinds that they define."""
    found = {}
    for document in documents:
        if document.body["kind"] != "CustomResourceDefinition":
            continue
        spec = map_of(document.body.get("spec"))
        kind = str(map_of(spec.get("names")).get("kind"))
        for version in maps_of(spec.get("versions")):
            schema = map_of(map_of(version.get("schema")).get("openAPIV3Schema"))
            if schema:
                found[f"{spec.get('group')}/{version.get('name')}", kind] = schema
    return found


def custom_problems(document: Document, schemas: Schemas) -> Iterator[Problem]:
    """What no server with those CRDs takes of a manifest, or of a KubeFed template."""
    body, at = template_of(document)
    schema = _schema_of(body, schemas)
    for fault in custom_faults(body, schema) if schema else ():
        yield with_origin(problem_of(fault, document, at), document)


def custom_faults(body: Object, schema: Object) -> Iterator[TypeFault]:
    """The same of an object that some cluster is to have."""
    properties = map_of(schema.get("properties"))
    for key, value in body.items():
        if key not in _IDENTITY and key in properties:
            yield from _value(value, map_of(properties[key]), (key,))


def unknown_custom_fields(
    body: Object, schemas: Schemas
) -> Iterator[tuple[Steps, tuple[str, ...]]]:
    """Fields that the CRD of an object's kind lacks, with those that it has there."""
    if schema := _schema_of(body, schemas):
        own = {key: value for key, value in body.items() if key not in _IDENTITY}
        yield from _unknown(own, schema, ())


def _schema_of(body: Object, schemas: Schemas) -> Object | None:
    api_version, kind = str(body.get("apiVersion") or ""), str(body.get("kind"))
    if api_version:
        return schemas.get((api_version, kind))
    found = [schema for (_, name), schema in schemas.items() if name == kind]
    return found[0] if len(found) == 1 else None


def _value(value: Any, schema: Object, at: Steps) -> Iterator[TypeFault]:
    if value is None:
        return
    kind = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        if not is_scalar(value, "x"):
            yield TypeFault(at, value, EXPECTED["x"])
    elif kind in _LETTERS:
        letter = _LETTERS[kind]
        words = schema.get("enum")
        if not is_scalar(value, letter):
            yield TypeFault(at, value, EXPECTED[letter])
        elif isinstance(words, list) and value not in words and "${cluster." not in str(value):
            yield TypeFault(at, value, "one of " + ", ".join(str(word) for word in words))
    elif kind == "array":
        if not isinstance(value, list):
            yield TypeFault(at, value, "a list")
            return
        for number, item in enumerate(value):
            yield from _value(item, map_of(schema.get("items")), (*at, number))
    elif kind == "object":
        if not isinstance(value, dict):
            yield TypeFault(at, value, "a map")
            return
        properties, others = _fields(schema)
        for key, item in value.items():
            yield from _value(item, map_of(properties.get(key, others)), (*at, key))


def _fields(schema: Object) -> tuple[Object, Object]:
    """The schemas of an object's own fields, and of all others where it is a map."""
    return map_of(schema.get("properties")), map_of(schema.get("additionalProperties"))


def _unknown(value: Any, schema: Object, at: Steps) -> Iterator[tuple[Steps, tuple[str, ...]]]:
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from _unknown(item, map_of(schema.get("items")), (*at, number))
    elif isinstance(value, dict) and schema.get("type") == "object":
        properties, others = _fields(schema)
        embedded = schema.get("x-kubernetes-embedded-resource")
        kept = schema.get("x-kubernetes-preserve-unknown-fields") or embedded
        open_map = "additionalProperties" in schema and schema["additionalProperties"] is not False
        for key, item in value.items():
            if key in properties or open_map:
                yield from _unknown(item, map_of(properties.get(key, others)), (*at, key))
            elif not kept:
                yield (*at, key), tuple(properties)
