"""Where the JSON Schemas lie, in a wheel and in a checkout, and which file describes which kind."""

from __future__ import annotations

import difflib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from reconciler.api.errors import ReconcileError, UsageError
from reconciler.api.json_pointer import split_pointer

Schema = dict[str, Any]

_PACKAGE = Path(__file__).resolve().parent.parent
_PLACES = (_PACKAGE / "_schemas", _PACKAGE.parent / "schemas")


@cache
def schema_files() -> tuple[Path, ...]:
    """Every schema file, sorted by name."""
    for place in _PLACES:
        files = tuple(sorted(place.glob("*.json")))
        if files:
            return files
    raise ReconcileError("this installation has no schemas: it is damaged")


@cache
def _loaded(path: Path) -> Schema:
    schema: Schema = json.loads(path.read_text(encoding="utf-8"))
    return schema


@cache
def kinds() -> dict[str, Path]:
    """Kind -> the file whose schema says that ``kind`` is exactly this. What another group calls as
    we do goes by its schema's title: ``KarmadaCluster``."""
    found: dict[str, Path] = {}
    for path in schema_files():
        kind = _loaded(path).get("properties", {}).get("kind", {})
        for name in [kind["const"]] if "const" in kind else kind.get("enum", []):
            found[name if name not in found else _loaded(path)["title"]] = path
    return found


@cache
def _patterns() -> dict[str, Path]:
    """Regular expression -> the file for kinds like it: ``^Federated[A-Z]`` of KubeFed."""
    found: dict[str, Path] = {}
    for path in schema_files():
        kind = _loaded(path).get("properties", {}).get("kind", {})
        if "pattern" in kind:
            found[kind["pattern"]] = path
    return found


def file_of_kind(kind: str) -> Path:
    """The schema file of a kind, however its letters are cased. Raises UsageError."""
    names = {name.lower(): name for name in kinds()}
    if kind.lower() in names:
        return kinds()[names[kind.lower()]]
    for pattern, file in _patterns().items():
        if re.search(pattern, kind):
            return file
    close = difflib.get_close_matches(kind.lower(), names, 1)
    raise UsageError(
        f"there is no schema of a kind {kind!r}; known are {', '.join(sorted(kinds()))}",
        hint=f"did you mean {names[close[0]]}?" if close else "",
    )


def kind_as_written(kind: str) -> str:
    """The kind with the capitals that it has in a manifest, if it is a known one."""
    return next((name for name in kinds() if name.lower() == kind.lower()), kind)


def resolved(schema: Schema, file: Path) -> tuple[Schema, Path]:
    """``schema`` with its ``$ref`` followed, and the file in which the result stands.

    What stands beside a ``$ref`` (a description, say) wins over what it refers to.
    """
    while "$ref" in schema:
        name, _, pointer = str(schema["$ref"]).partition("#")
        if name:
            file = file.parent / name.rpartition("/")[2]
        target: Any = _loaded(file)
        for part in split_pointer(pointer):
            target = target[part]
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**target, **beside}
    return schema, file
