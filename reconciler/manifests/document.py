"""One manifest with the place it came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from reconciler.errors import Position
from reconciler.objects import Object
from reconciler.source.files import SourceFile

if TYPE_CHECKING:
    from yaml.nodes import Node


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest: ``body`` is its JSON, ``line`` its first line, ``index`` its place in the file.

    Positions within it are worked out only when asked for, by parsing the file once more; most
    runs never ask. ``prefix`` leads to an item of a ``kind: List``.
    """

    file: str
    index: int
    line: int
    body: Object = field(hash=False)
    source: SourceFile = field(repr=False, hash=False, compare=False)
    prefix: tuple[str | int, ...] = ()
    column: int = 1

    def position(self, *path: str | int, key: bool = False) -> Position:
        """Where the value at ``path`` begins, or (``key``) the key that names it.

        A path that is not there gives its nearest parent. What was built of a file has no lines
        in it: that file's beginning is the position.
        """
        if self.source.built_by:
            return Position(self.file, 1, 1)
        if not path:
            return Position(self.file, self.line, self.column)
        from reconciler.manifests.nodes import find_node

        roots = _roots(self.source)
        if self.index >= len(roots):
            return Position(self.file, self.line, 1)
        node, key_node = find_node(roots[self.index], self.prefix + path)
        mark = (key_node or node).start_mark if key else node.start_mark
        return Position(self.file, mark.line + 1, mark.column + 1)

    def written(self, *path: str | int) -> str:
        """The scalar at ``path`` as it is written in the file, which YAML may take for no text."""
        from reconciler.manifests.nodes import find_node

        roots = _roots(self.source)
        node = find_node(roots[self.index], self.prefix + path)[0] if roots else None
        return node.value if node is not None and isinstance(node.value, str) else ""

    @property
    def origin(self) -> str:
        """Where to look when the position is only that of a built file; else empty."""
        if not self.source.built_by:
            return ""
        metadata = self.body.get("metadata")
        name = metadata.get("name", "") if isinstance(metadata, dict) else ""
        whose = f"{self.body.get('kind', 'document')} {name}".strip()
        return f"{whose}, from line {self.line} of what `{self.source.built_by}` prints"


@lru_cache(maxsize=64)
def _roots(source: SourceFile) -> tuple[Node, ...]:
    import yaml

    from reconciler.manifests.nodes import compose

    try:
        return tuple(compose(source.content.decode("utf-8-sig")))
    except (yaml.YAMLError, UnicodeDecodeError):
        return ()
