"""One manifest with the place it came from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.api.errors import Position, Problem
from reconciler.api.files import SourceFile
from reconciler.api.manifest import Manifest
from reconciler.api.objects import Object, ObjectKey

if TYPE_CHECKING:
    from yaml.nodes import Node

_TEMPLATE = re.compile(rb"^# Source: ([^\s\x00-\x1f\x7f-\xff]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest, its first ``line`` and its place (``index``) in the file.

    Positions within it are worked out only when asked for, by parsing the file once more; most
    runs never ask. ``prefix`` leads to an item of a ``kind: List``.
    """

    file: str
    index: int
    line: int
    manifest: Manifest = field(hash=False, repr=False)
    source: SourceFile = field(repr=False, hash=False, compare=False)
    prefix: tuple[str | int, ...] = ()
    column: int = 1

    @property
    def body(self) -> Object:
        """All of it, parsed. To ask for what ``manifest`` knows is cheaper."""
        return self.manifest.object

    @property
    def key(self) -> ObjectKey:
        """Raises KeyError where a document that was not checked has none."""
        return self.manifest.key

    @property
    def kind(self) -> str:
        return self.manifest.kind

    def position(self, *path: str | int, key: bool = False) -> Position:
        """Where the value at ``path`` begins, or (``key``) the key that names it.

        A path that is not there gives its nearest parent. What was built of a file has no lines
        in it: where it is asked for is the position.
        """
        if self.source.built_by:
            return Position(self.file, self.source.built_line, 1)
        if not path:
            return Position(self.file, self.line, self.column)
        from reconciler.manifests.yaml_nodes import find_node

        roots = _roots(self.source)
        if self.index >= len(roots):
            return Position(self.file, self.line, 1)
        node, key_node = find_node(roots[self.index], self.prefix + path)
        mark = (key_node or node).start_mark if key else node.start_mark
        return Position(self.file, mark.line + 1, mark.column + 1)

    def written(self, *path: str | int) -> str:
        """The scalar at ``path`` as the file has it (``1.10``, ``0777``, ``yes``), unquoted.

        Empty where there is none, or the file was built.
        """
        from reconciler.manifests.yaml_nodes import find_node

        roots = () if self.source.built_by else _roots(self.source)
        if self.index >= len(roots):
            return ""
        node, _ = find_node(roots[self.index], self.prefix + path)
        return node.value if isinstance(node.value, str) else ""

    @property
    def is_sensitive(self) -> bool:
        """Whether no value of it may be quoted: of a Secret, or of anything that was encrypted."""
        return self.source.decrypted or "Secret" in str(self.body.get("kind"))

    @property
    def origin(self) -> str:
        """Where to look when the position is only that of a built file; else empty."""
        if not self.source.built_by:
            return ""
        metadata = self.body.get("metadata")
        name = metadata.get("name", "") if isinstance(metadata, dict) else ""
        whose = f"{self.body.get('kind', 'document')} {name}".strip()
        return f"{whose}, {place_in_built(self.source, self.line)}"


def with_origin(problem: Problem, document: Document) -> Problem:
    """The same with where to look, where its position is only that of a built file."""
    if not document.origin:
        return problem
    return replace(problem, hint="; ".join(filter(None, [problem.hint, document.origin])))


def place_in_built(source: SourceFile, line: int) -> str:
    """Where to look for what is wrong in that line of a built file: helm writes above each document
    which template it is of."""
    before = b"\n".join(source.content.split(b"\n")[:line])
    templates = _TEMPLATE.findall(before)
    template = f" ({templates[-1].decode(errors='replace')})" if templates else ""
    return f"from line {line} of what `{source.built_by}` prints{template}"


@lru_cache(maxsize=64)
def _roots(source: SourceFile) -> tuple[Node, ...]:
    import yaml

    from reconciler.manifests.yaml_nodes import compose

    try:
        return tuple(compose(source.content.decode("utf-8-sig")))
    except (yaml.YAMLError, UnicodeDecodeError):
        return ()
