"""A file with manifests of old API versions -> the same file with today's: comments, quotes and
every line that no change touches stay as they are.

ruamel.yaml makes the changes, document by document; what it would write differently of its own is
taken from the file. What comes out is read again: unless it holds what the conversions say and
every comment, the document stays as it is, and that is told. For ``validate --fix`` only.
"""

from __future__ import annotations

import difflib
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import yaml
from msgspec import Struct
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from reconciler.api.errors import Position, Problem
from reconciler.api.files import SourceFile
from reconciler.api.manifest import Manifest
from reconciler.api.objects import Object, RedactedRepr, value_at
from reconciler.manifests.conversions import Conversion, conversion_of
from reconciler.manifests.document import Document
from reconciler.manifests.edits import Edit, make_edit
from reconciler.manifests.load import unfolded
from reconciler.manifests.ruamel_edits import edit_commented
from reconciler.manifests.yaml_nodes import Builder, compose

_MARKER = re.compile(r"^(?:---|\.\.\.)(?=\s|$)", re.MULTILINE)
_NEXT_LINE = r"[^\n]*:[ \t]*(?:#[^\n]*)?\n(?:\s*#[^\n]*\n)*"
_LIST = re.compile(rf"^(?P<key>[ -]*)[^\s#-]{_NEXT_LINE}(?P<dash> *)-(?P<gap> +)\S", re.MULTILINE)
_MAP = re.compile(rf"^(?P<outer> *)[\w\"']{_NEXT_LINE}(?P<inner> *)[\w\"']", re.MULTILINE)
_WIDTHS = (80, 1_000_000)
"""Of lines, as generators and people write them."""
NOT_SHOWN = "# not shown"


class Rewritten(RedactedRepr, frozen=True):
    """``content`` is the whole file, None where nothing could be rewritten. ``diff`` are lines of a
    unified diff; ``refused`` says which documents stayed as they are, and why."""

    path: str
    content: bytes | None = None
    diff: tuple[str, ...] = ()
    refused: tuple[Problem, ...] = ()


class _Refused(Exception):
    """Why one document is left as it is."""


class _Part(Struct):
    """One document's text, with the line (from 1) on which it begins."""

    line: int
    text: str


def rewrite(file: SourceFile, is_hidden: Callable[[Object], bool]) -> Rewritten | None:
    """The file with today's versions. None: it has no old ones that can be converted.

    ``is_hidden`` says whether the diff must not show an object's lines, besides a Secret's.
    """
    try:
        whole = file.content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    returns = whole.count("\r\n")
    text = whole.replace("\r\n", "\n")
    shown: tuple[list[str], list[str]] = ([], [])
    parts, refused, changed = [], [], False
    body = _json_body(file, text)
    for part in _parts(text) if body is None else [_Part(1, text)]:
        documents = _documents(file, part.text.removeprefix("\ufeff"))
        found = [(document, conversion_of(document.body)) for document in documents]
        wanted = [(d, c) for d, c in found if c is not None and c.is_possible]
        result = part.text
        if wanted:
            try:
                if returns not in (0, text.count("\n")):
                    raise _Refused("its lines end in two ways")
                result = _rewritten(file, part.text, wanted)
            except _Refused as reason:
                where = Position(file.path, part.line - 1 + wanted[0][0].line, 1)
                refused.append(Problem(where, "", f"not rewritten: {reason}", hint=_BY_HAND))
        changed = changed or result != part.text
        parts.append(result)
        secret = any(d.is_sensitive or is_hidden(d.body) for d in documents)
        for lines, side in zip(shown, (part.text, result), strict=True):
            lines += [NOT_SHOWN if secret else line for line in side.splitlines()]
    if not changed:
        return Rewritten(file.path, refused=tuple(refused)) if refused else None
    names = (f"a/{file.path}", f"b/{file.path}")
    diff = tuple(difflib.unified_diff(*shown, *names, lineterm=""))
    content = "".join(parts)
    content = content.replace("\n", "\r\n") if returns else content
    return Rewritten(file.path, content.encode(), diff, tuple(refused))


_BY_HAND = "change it by hand, as the problems say"


def _parts(text: str) -> Iterator[_Part]:
    """The documents, each with the marker before it."""
    starts = [0, *(match.start() for match in _MARKER.finditer(text) if match.start())]
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        yield _Part(text.count("\n", 0, start) + 1, text[start:end])


def _documents(file: SourceFile, text: str) -> list[Document]:
    """What one part holds; nothing where it cannot be read, which is told elsewhere."""
    builder = Builder(file.path)
    found: list[Document] = []
    try:
        for index, node in enumerate(compose(text)):
            value = builder.build(node)
            if isinstance(value, dict):
                line = node.start_mark.line + 1
                whole = Document(file.path, index, line, Manifest(value), file)
                found += [one for one in unfolded(whole) if isinstance(one, Document)]
    except yaml.YAMLError:
        return []
    return [] if builder.problems else found


def _rewritten(file: SourceFile, text: str, wanted: Sequence[tuple[Document, Conversion]]) -> str:
    """One document's text, rewritten. Raises _Refused."""
    if "{{" in text:
        raise _Refused("it looks like a template; what renders it has to be changed")
    edits = [(document.prefix, edit) for document, one in wanted for edit in one.edits]
    body = _json_body(file, text)
    if body is not None:
        result = _in_json(body, text, edits)
    elif file.path.endswith(".json") and text.lstrip("\ufeff \t\n").startswith("{"):
        raise _Refused(_OTHER_LAYOUT)  # With a comma too many, say: ruamel would write one line.
    else:
        result = _in_yaml(text, edits)
    converted = {document.prefix: one.body for document, one in wanted}
    before, after = (_documents(file, side.removeprefix("\ufeff")) for side in (text, result))
    if [converted.get(d.prefix, d.body) for d in before] != [d.body for d in after]:
        raise _Refused("it would not say the same in another form")
    if _comments(text) - _comments(result):
        raise _Refused("a comment would be lost")
    return result


_OTHER_LAYOUT = "it is laid out in a way that would change"
_Edits = Sequence[tuple[tuple[str | int, ...], Edit]]


def _json_body(file: SourceFile, text: str) -> Any:
    """What a file of JSON says; None for one that only YAML can read, whatever its name."""
    if not file.path.endswith(".json"):
        return None
    try:
        return json.loads(text.removeprefix("\ufeff"))
    except ValueError:
        return None


def _in_json(body: Any, text: str, edits: _Edits) -> str:
    start = "\ufeff" if text.startswith("\ufeff") else ""
    indented = re.search(r"\n( +|\t+)\S", text)
    layout: dict[str, Any] = {"indent": indented[1] if indented else None, "ensure_ascii": False}
    ending = text[len(text.rstrip()) :]
    if start + json.dumps(body, **layout) + ending != text:
        raise _Refused(_OTHER_LAYOUT)
    for prefix, edit in edits:
        make_edit(value_at(body, prefix), edit)
    return start + json.dumps(body, **layout) + ending


def _in_yaml(text: str, edits: _Edits) -> str:
    marker = _MARKER.match(text)
    head = text[: text.find("\n") + 1] if marker else ""
    if marker and head[3:].strip() and not head[3:].strip().startswith("#"):
        raise _Refused(f"it begins on the line of its {head[:3]}")
    original = text[len(head) :]
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(original)):
        raise _Refused("it has aliases, which say one thing in several places")
    try:
        layout, plain = _closest_layout(original)
        loaded = layout.load(original)
        for prefix, edit in edits:
            edit_commented(value_at(loaded, prefix), edit)
        edited = _dumped(layout, loaded)
    except YAMLError as error:
        reason = str(getattr(error, "problem", None) or "not valid YAML").splitlines()[0]
        raise _Refused(f"ruamel.yaml does not take it: {reason}") from error
    return head + _merged(original, plain, edited)


def _closest_layout(text: str) -> tuple[YAML, str]:
    """The layout in which most lines are written as they are, and what it writes."""
    lines = Counter(text.splitlines())
    loaded = None
    best: tuple[int, YAML, str] | None = None
    for (sequence, dash), mapping, width in product(_lists(text), _maps(text), _WIDTHS):
        layout = YAML()
        layout.preserve_quotes = True
        layout.width = width
        layout.indent(mapping=mapping, sequence=sequence, offset=dash)
        loaded = layout.load(text) if loaded is None else loaded
        written = _dumped(layout, loaded)
        if written == text:
            return layout, written
        different = (lines - Counter(written.splitlines())).total()
        if best is None or different < best[0]:
            best = different, layout, written
    if best is None:
        raise _Refused("no layout fits")
    return best[1], best[2]


def _lists(text: str) -> list[tuple[int, int]]:
    """How the lists are indented, the most frequent ways first: how far the items, and how far the
    dashes."""
    found: Counter[tuple[int, int]] = Counter()
    for match in _LIST.finditer(text):
        key, dash = match["key"], match["dash"]
        inner = len(re.match(r"(?:- +)*", key.lstrip(" "))[0])  # type: ignore[index]
        offset = len(dash) - (len(key) - len(key.lstrip(" ")) + inner)
        if offset >= 0:
            found[offset + 1 + len(match["gap"]), offset] += 1
    return [one for one, _ in found.most_common(2)] or [(2, 0)]


def _maps(text: str) -> list[int]:
    """How far maps are indented, the most frequent way first."""
    found: Counter[int] = Counter()
    for match in _MAP.finditer(text):
        step = len(match["inner"]) - len(match["outer"])
        if step > 0:
            found[step] += 1
    return [step for step, _ in found.most_common(1)] or [2]


def _dumped(layout: YAML, value: Any) -> str:
    target = io.StringIO()
    layout.dump(value, target)
    return target.getvalue()


def _merged(original: str, plain: str, edited: str) -> str:
    """``edited`` with the lines of ``original`` wherever it is like ``plain``, which is the
    original in ruamel's form."""
    if original == plain:
        return edited
    old, same, new = (text.splitlines(keepends=True) for text in (original, plain, edited))
    source: dict[int, tuple[int, int, int, int]] = {}
    for tag, i1, i2, j1, j2 in _matched(same, old):
        for i in range(i1, i2):
            one = (i, i + 1, i - i1 + j1, i - i1 + j1 + 1)
            source[i] = one if tag == "equal" else (i1, i2, j1, j2)
    added = {i1: (j1, j2) for tag, i1, i2, j1, j2 in _matched(same, old) if tag == "insert"}
    result: list[str] = []
    for tag, i1, i2, j1, j2 in _matched(same, new):
        if tag != "equal":
            result += new[j1:j2]
            continue
        place = i1
        while place < i2:
            if place in added:
                result += old[slice(*added[place])]
            start, end, first, last = source[place]
            if start >= i1 and end <= i2:
                result += old[first:last]
                place = end
            else:
                result.append(same[place])
                place += 1
        if i2 == len(same) and i2 in added:
            result += old[slice(*added[i2])]
    return "".join(result)


def _matched(one: list[str], other: list[str]) -> Sequence[tuple[str, int, int, int, int]]:
    return difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes()


def _comments(text: str) -> Counter[str]:
    """What stands behind a # outside of values, by how often."""
    found: Counter[str] = Counter()
    if "#" not in text:
        return found
    values = [
        (event.start_mark.index, event.end_mark.index)
        for event in yaml.parse(text, Loader=yaml.SafeLoader)
        if isinstance(event, yaml.ScalarEvent) and event.start_mark and event.end_mark
    ]
    bare, last = "", 0
    for start, end in values:
        bare, last = bare + text[last:start] + "x" * bool(end > start), end
    bare += text[last:]
    for line in bare.splitlines():
        if match := re.search(r"(?:^|\s)#.*", line):
            found[match[0].strip()] += 1
    return found
