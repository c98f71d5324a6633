"""`reconcile explain`: a field's documentation, straight from the schema that checks it."""

from __future__ import annotations

import difflib
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem
from msgspec import Struct

from reconciler.api.errors import UsageError
from reconciler.cli import schema_files
from reconciler.cli.command_group import GroupedCommand
from reconciler.cli.console import styled
from reconciler.cli.schema_files import Schema
from reconciler.cli.settings import merged, option, run_options

EPILOG = """\b
Examples:
  reconcile explain Placement
  reconcile explain Placement.spec.replicas
  reconcile explain Federation.spec.failover --recursive
"""


class SchemaField(Struct, frozen=True):
    """One place in a schema, with references followed and list items looked into."""

    name: str
    schema: Schema
    file: Path
    required: bool = False

    @property
    def type(self) -> str:
        return type_of(self.schema, self.file)


def _complete(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    above, dot, last = incomplete.rpartition(".")
    try:
        names = (
            [field.name for field in children(find(above))] if dot else sorted(schema_files.kinds())
        )
    except UsageError:
        return []
    return [CompletionItem(f"{above}{dot}{name}") for name in names if name.startswith(last)]


@click.command(cls=GroupedCommand, epilog=EPILOG)
@click.argument("field", metavar="KIND[.FIELD...]", shell_complete=_complete)
@option("--recursive", is_flag=True, heading="Output", help="Show all fields below it as a tree.")
@run_options("terminal")
@click.pass_context
def explain(context: click.Context, /, *, field: str, recursive: bool, **given: Any) -> None:
    """Explain a field, as `kubectl explain` does."""
    settings = merged(context, **given)
    kind, dot, rest = field.partition(".")
    path = schema_files.kind_as_written(kind) + dot + rest
    for line in describe_field(path, find(field), settings.console.width, recursive=recursive):
        settings.console.out(line)


def find(path: str) -> SchemaField:
    """The field at ``Kind.spec.x.y``; list items need no index. Raises UsageError."""
    kind, *names = path.replace("[]", "").split(".")
    file = schema_files.file_of_kind(kind)
    here = _field(kind, {"$ref": file.name}, file, required=False)
    for number, name in enumerate(names):
        below = {child.name: child for child in children(here)}
        if name not in below:
            above = ".".join([kind, *names[:number]])
            close = difflib.get_close_matches(name, below, 1)
            raise UsageError(
                f"{above} has no field {name!r}"
                + (f"; it has {', '.join(below)}" if below else "; it has no fields"),
                hint=f"did you mean {above}.{close[0]}?" if close else "",
            )
        here = below[name]
    return here


def _field(name: str, schema: Schema, file: Path, *, required: bool) -> SchemaField:
    resolved, file = schema_files.resolved(schema, file)
    return SchemaField(name, resolved, file, required)


def children(field: SchemaField) -> list[SchemaField]:
    """The fields of an object, of a list's items, or of any alternative, in the schema's order."""
    found: dict[str, SchemaField] = {}
    for schema, file in _objects(field.schema, field.file):
        required = schema.get("required", [])
        for name, child in schema.get("properties", {}).items():
            if isinstance(child, dict):
                found.setdefault(name, _field(name, child, file, required=name in required))
    return list(found.values())


def _objects(schema: Schema, file: Path) -> Iterator[tuple[Schema, Path]]:
    schema, file = schema_files.resolved(schema, file)
    yield schema, file
    for keyword in ("allOf", "anyOf", "oneOf"):
        for part in schema.get(keyword, []):
            yield from _objects(part, file)
    for keyword in ("items", "additionalProperties"):
        if isinstance(schema.get(keyword), dict):
            yield from _objects(schema[keyword], file)


def type_of(schema: Schema, file: Path) -> str:
    """``string``, ``[]object``, ``map of string``, ``integer or string``."""
    schema, file = schema_files.resolved(schema, file)
    if "const" in schema:
        return json.dumps(schema["const"])
    kind = schema.get("type")
    if kind is None:
        for keyword in ("anyOf", "oneOf"):
            if schema.get(keyword):
                return " or ".join(dict.fromkeys(type_of(part, file) for part in schema[keyword]))
        if "enum" in schema:
            return "string"
        return "object" if "properties" in schema else "any"
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        items = schema.get("items")
        return "[]" + (type_of(items, file) if isinstance(items, dict) else "any")
    values = schema.get("additionalProperties")
    if kind == "object" and "properties" not in schema and isinstance(values, dict):
        return f"map of {type_of(values, file)}"
    return str(kind)


def describe_field(path: str, field: SchemaField, width: int, *, recursive: bool) -> Iterator[str]:
    """Lines of kubectl's shape: the field, its description, what is allowed, its own fields."""

    def heading(text: str) -> str:
        return styled(text, bold=True)

    yield f"{heading('FIELD:')} {path} <{field.type}>{' (required)' if field.required else ''}"
    yield ""
    yield heading("DESCRIPTION:")
    description = field.schema.get("description") or "No description."
    yield from _wrapped(description, width)
    facts = list(_facts(field.schema))
    if facts:
        yield ""
        yield from (f"    {name:<9} {value}" for name, value in facts)
    for example in field.schema.get("examples", [])[:2]:
        yield ""
        yield heading("EXAMPLE:")
        yield from _as_yaml(example)
    below = children(field)
    if below:
        yield ""
        yield heading("FIELDS:")
        yield from _tree(below, 1) if recursive else _list(below, width)


def _facts(schema: Schema) -> Iterator[tuple[str, str]]:
    if "default" in schema:
        yield "default", json.dumps(schema["default"])
    if "enum" in schema:
        yield "one of", ", ".join(str(value) for value in schema["enum"])
    for keyword, name in (("minimum", "at least"), ("maximum", "at most"), ("pattern", "pattern")):
        if keyword in schema:
            yield name, str(schema[keyword])


def _list(fields: list[SchemaField], width: int) -> Iterator[str]:
    for field in fields:
        required = " -required-" if field.required else ""
        yield f"  {styled(field.name, bold=True)} <{field.type}>{required}"
        yield from _wrapped(field.schema.get("description") or "No description.", width)
        for name, value in _facts(field.schema):
            if name != "pattern":
                yield f"    {name}: {value}"
        yield ""


def _tree(fields: list[SchemaField], depth: int) -> Iterator[str]:
    for field in fields:
        yield "  " * depth + f"{field.name} <{field.type}>{' -required-' * field.required}"
        # Schemas may be recursive; no manifest of ours is deeper than this.
        if depth < 8:
            yield from _tree(children(field), depth + 1)


def _wrapped(text: str, width: int) -> Iterator[str]:
    for paragraph in text.split("\n"):
        yield from textwrap.wrap(
            paragraph, width - 4, initial_indent="    ", subsequent_indent="    "
        ) or [""]


def _as_yaml(value: object) -> list[str]:
    import yaml

    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    return textwrap.indent(text.removesuffix("...\n").rstrip(), "    ").splitlines()
