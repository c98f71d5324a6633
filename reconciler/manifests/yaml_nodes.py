"""YAML bytes -> nodes with marks (libyaml) -> plain values.

The values are built here rather than by PyYAML's constructors: twice as fast, kubectl's scalar
rules, no tags, duplicate keys found, aliases bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.cyaml import CParser  # type: ignore[attr-defined]
from yaml.error import MarkedYAMLError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from reconciler.api.errors import Position, Problem
from reconciler.manifests.yaml_scalars import NotJson, resolve_plain

MAX_DEPTH = 100
MAX_VALUES = 500_000
"""Values in one file, aliases expanded: real manifests have thousands, "billion laughs" more. The
file itself may have as many, its keys counted."""
MAX_TEXT = 20 * 1024 * 1024
"""Characters in one file, aliases expanded; without them no file that is read has as many."""

_OURS = "federation.reconciler.dev/"
_OUR_WORD = "on"
"""A field of our own kinds that YAML 1.1 takes for true. They are read by nobody but this tool, so
it is a word there, as in YAML 1.2; in other manifests it would be "true" for kubectl."""
_JSON_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_ESCAPE = re.compile(r"\\(?:u([dD][89abAB]..)\\u([dD][c-fC-F]..)|.)")
"""A surrogate pair, or any other escape, so that none begins in the middle of another."""
_MARKED = re.compile(r"^(---[^\n]*\n)\ufeff", re.MULTILINE)
"""A byte order mark at the start of a document: of files that were put together."""
_IMPLICIT = "implicit"
_MERGE = "<<"


class _Composer(CParser):
    """libyaml's composer, with tag resolution left out: it is done once a value is wanted.

    Every node of the file passes ``descend_resolver``, so that is where they are counted: millions
    of empty lists fit into a file, and their nodes would take gigabytes.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._nodes = 0

    def resolve(self, _kind: type[Node], _value: Any, _implicit: Any) -> str:
        return _IMPLICIT

    def descend_resolver(self, parent: Node | None, _index: Any) -> None:
        self._nodes += 1
        if self._nodes > MAX_VALUES:
            mark = parent.start_mark if parent else None
            problem = f"more than {MAX_VALUES} values and keys in one file"
            raise MarkedYAMLError(problem=problem, problem_mark=mark)

    def ascend_resolver(self) -> None:
        pass


def compose(text: str) -> Iterator[Node]:
    """The root nodes of the documents. Raises yaml.YAMLError at the first fault."""
    if "\ufeff" in text:
        text = _MARKED.sub(r"\1", text)
    parser = _Composer(_with_wide_escapes(text))
    try:
        while parser.check_node():
            node = parser.get_node()
            if node is not None:
                yield node
    except (UnboundLocalError, RecursionError):
        # What the binding raises when libyaml refuses to nest any deeper.
        raise yaml.YAMLError("nested too deeply") from None
    finally:
        parser.dispose()


def _with_wide_escapes(text: str) -> str:
    """JSON whose surrogate pairs (``\\ud83d\\ude00``, as json.dumps writes them) are what YAML has
    for one character. Spaces behind each text make up for it, so that all keeps its place."""
    if "\\ud" not in text and "\\uD" not in text:
        return text
    import orjson

    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return text  # kubectl refuses them in YAML as well.

    def wide(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0]
        high, low = int(match[1], 16), int(match[2], 16)
        return f"\\U{0x10000 + ((high & 0x3FF) << 10) + (low & 0x3FF):08x}"

    return _JSON_TEXT.sub(lambda one: _ESCAPE.sub(wide, one[0]).ljust(len(one[0])), text)


@dataclass
class Builder:
    """Turns nodes of one file into values; what is wrong goes to ``problems``, one more than
    ``most`` of it. ``last_counts``: of two equal keys the last one, which is no fault then."""

    file: str
    most: int = 100
    problems: list[Problem] = field(default_factory=list)
    values: int = 0
    text: int = 0
    ours: bool = False
    last_counts: bool = False

    def build(self, node: Node, depth: int = 0) -> Any:
        """The JSON value of a node; parts that are wrong become None after being reported."""
        self.values += 1
        if self.values > MAX_VALUES:
            if self.values == MAX_VALUES + 1:
                self._explodes(node, f"{MAX_VALUES} values")
            return None
        if node.tag != _IMPLICIT:
            self._report(
                node,
                f"{_tag_words(node.tag)} is not allowed",
                expected="a plain value",
                hint="remove the tag; quote the value to make it a string",
            )
        if depth > MAX_DEPTH:
            self._report(node, f"nested more than {MAX_DEPTH} levels deep", expected="less depth")
            return None
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if isinstance(node, SequenceNode):
            return [self.build(item, depth + 1) for item in node.value]
        return self._mapping(node, depth) if isinstance(node, MappingNode) else None

    def _explodes(self, node: Node, what: str) -> None:
        self._report(
            node,
            f"the file unfolds into more than {what}",
            expected="aliases that do not multiply",
            hint="anchors that refer to anchors explode; write the values out",
        )

    def _scalar(self, node: ScalarNode) -> Any:
        # One long text, referred to a thousand times, is a thousand texts once it is sent.
        before, self.text = self.text, self.text + len(node.value)
        if self.text > MAX_TEXT:
            if before <= MAX_TEXT:
                self._explodes(node, f"{MAX_TEXT} characters")
            return None
        if node.style in (None, ""):
            try:
                return resolve_plain(node.value)
            except NotJson:
                self._report(node, "this is not a JSON number", expected="a finite number")
                return None
        return node.value

    def _mapping(self, node: MappingNode, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        seen: dict[str, Node] = {}
        merged: list[Node] = []
        if depth == 0:
            self.ours = any(
                key.value == "apiVersion" and str(value.value).startswith(_OURS)
                for key, value in node.value
            )
        for key_node, value_node in node.value:
            key = self._key(key_node)
            if key is None:
                continue
            if key == _MERGE and key_node.style in (None, ""):
                merged.append(value_node)
                continue
            if key in seen and not self.last_counts:
                first = seen[key].start_mark
                self._report(
                    key_node,
                    f"the key {key!r} is there twice",
                    expected="each key once",
                    hint=f"first at line {first.line + 1}, column {first.column + 1}",
                )
            seen[key] = key_node
            result[key] = self.build(value_node, depth + 1)
        for value_node in merged:
            for source in self._merge_sources(value_node, depth):
                for key, value in source.items():
                    result.setdefault(key, value)
        return result

    def _merge_sources(self, node: Node, depth: int) -> list[dict[str, Any]]:
        parts = node.value if isinstance(node, SequenceNode) else [node]
        built = [self.build(part, depth + 1) for part in parts]
        if not all(isinstance(part, dict) for part in built):
            self._report(node, "<< merges something that is not a map", expected="a map or maps")
        return [part for part in built if isinstance(part, dict)]

    def _key(self, node: Node) -> str | None:
        if not isinstance(node, ScalarNode):
            self._report(
                node,
                "a map's key is itself a map or a list",
                expected="a string",
                hint="if this is a template, render it first",
            )
            return None
        if node.style not in (None, "") or node.value == _MERGE:
            return str(node.value)
        try:
            value = resolve_plain(node.value)
        except NotJson:
            value = None
        if (value is None or isinstance(value, bool)) and not (
            self.ours and node.value == _OUR_WORD
        ):
            self._report(
                node,
                f"the key {node.value or 'null'} is read as {_json_word(value)}, not as text",
                expected="a string",
                hint=f'quote it: "{node.value}"',
            )
            return str(node.value)
        return str(node.value)

    def _report(self, node: Node, message: str, *, expected: str = "", hint: str = "") -> None:
        if len(self.problems) > self.most:
            return
        mark = node.start_mark
        position = Position(self.file, mark.line + 1, mark.column + 1)
        self.problems.append(Problem(position, "", message, expected, hint))


def _json_word(value: bool | None) -> str:
    return {True: "true", False: "false", None: "null"}[value]


_TAGS = ("binary", "bool", "float", "int", "map", "merge", "null", "omap", "pairs", "seq", "set",
         "str", "timestamp")  # fmt: skip


def _tag_words(tag: str) -> str:
    """Which tag it is where YAML knows it; any other may be a password that begins with ``!``."""
    name = tag.removeprefix("tag:yaml.org,2002:")
    return f"the YAML tag !!{name}" if name in _TAGS else "what begins with ! is a YAML tag, which"


def find_node(root: Node, path: tuple[str | int, ...]) -> tuple[Node, Node | None]:
    """The node at ``path`` (its nearest existing parent) and the key node that names it, if any.
    What comes by a merge key is where it is merged from."""
    node: Node = root
    key: Node | None = None
    for step in path:
        found: tuple[Node | None, Node] | None = None
        if isinstance(node, MappingNode):
            found = _entry(node, str(step))
        elif isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
            found = (None, node.value[step])
        if found is None:
            break
        key, node = found
    return node, key


def _entry(node: MappingNode, name: str) -> tuple[Node, Node] | None:
    """The key and value of that name in a map, or else in what it merges, the first one first."""
    waiting, seen = [node], set[int]()
    while waiting:
        here = waiting.pop()
        if id(here) in seen:
            continue
        seen.add(id(here))
        merged: list[Node] = []
        for key, value in here.value:
            if str(key.value) == name:
                return key, value
            if key.value == _MERGE and key.style in (None, ""):
                merged += value.value if isinstance(value, SequenceNode) else [value]
        waiting += [one for one in reversed(merged) if isinstance(one, MappingNode)]
    return None
