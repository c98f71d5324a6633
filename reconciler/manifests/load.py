"""Files -> documents. Bad content raises nothing: every fault of every file is collected."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

import orjson
from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.errors import Position, Problem
from reconciler.api.files import SourceFile
from reconciler.api.manifest import Manifest
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import ObjectKey
from reconciler.manifests.cache import ParseCache
from reconciler.manifests.document import Document, place_in_built, with_origin

if TYPE_CHECKING:
    from yaml import YAMLError

MANIFEST_SUFFIXES = (".yaml", ".yml", ".json")
MAX_FILE_BYTES = 10 * 1024 * 1024
MAX_DOCUMENTS = 10_000
MAX_NESTING = 1000
KEPT_AS_READ_BYTES = 1024 * 1024
"""So much of known files stays as it was read: to compress the few that most repositories have
would save next to nothing."""
MAX_PROBLEMS = 100
"""Of one file. Nobody mends more at a time, and each has to be looked up to be told its place."""
_QUOTED = re.compile(r"""\s*(?:'(?!<)[^']*\w[^']*'|"(?!<)[^"]*\w[^"]*")""")
_BRACKETS = re.compile(r"[\[\]{}]")
_COMPACT_NESTING = re.compile(r"(?:[-?] ){200}|^ {1000}", re.MULTILINE)
_CONFLICT_MARKS = ("<<<<<<< ", ">>>>>>> ")
_SYNTAX_HINTS = (
    ("cannot start any token", "quote a value that begins with @, ` or %"),
    (
        "mapping values are not allowed",
        "quote a value with a colon in it, or mend the indentation",
    ),
    ("unexpected end of stream", "a quote that opens before is not closed"),
    ("undefined alias", "quote a value that begins with *"),
    ("did not find expected key", "look at the indentation and the quotes of this line"),
)
"""What libyaml says of YAML -> what it mostly comes from."""
_REPORT = re.compile(rb'\s*\{\s*"formatVersion"\s*:')
_KUSTOMIZATIONS = frozenset({"kustomization.yaml", "kustomization.yml", "Kustomization"})


class Manifests(Struct, frozen=True):
    """What the files hold, in their order, and everything that is wrong with them.

    ``broken`` are documents with faults, which are not among ``documents``; ``unread`` files of
    which not all could be read: who refers to what may be there is not at fault. ``notices`` are
    of files that are not read as they look, with file and line.
    """

    documents: tuple[Document, ...]
    problems: tuple[Problem, ...]
    broken: tuple[Document, ...] = ()
    unread: tuple[SourceFile, ...] = ()
    notices: tuple[Notice, ...] = ()


def load(files: Iterable[SourceFile], cache: ParseCache | None = None) -> Manifests:
    """Parse and check every manifest. Files that are no manifests by name are passed over.

    ``cache`` gives and takes the documents of files without fault, by their Git blob.
    """
    documents: list[Document] = []
    problems: list[Problem] = []
    broken: list[Document] = []
    unread: list[SourceFile] = []
    notices: list[Notice] = []
    as_read = 0
    for file in sorted(files, key=lambda f: f.path):
        if looks_like_manifest(file.path):
            suffixes, place = ", ".join(MANIFEST_SUFFIXES), f"{file.path}:1"
            notices.append(
                notice(NoticeCause.FILE_NOT_READ, subject=file.path, place=place, suffixes=suffixes)
            )
        if not (file.built_by or is_manifest(file.path)) or is_report(file):
            continue
        remembered = cache.documents(file) if cache else None
        if remembered is not None:
            documents += remembered
            as_read += len(file.content)
            if as_read > KEPT_AS_READ_BYTES:
                file.pack()
            continue
        read = _load_file(file)
        if file.decrypted:
            from reconciler.manifests.sops_scalars import rewritten_scalars

            notices += rewritten_scalars(file)
        if cache and not read.problems:
            cache.remember(file, read.documents)
        documents += read.documents
        problems += read.problems
        broken += read.broken
        unread += [] if read.whole else [file]
    problems += islice(_duplicates(documents), MAX_PROBLEMS)
    if cache:
        cache.save()
    return Manifests(
        tuple(documents),
        tuple(sorted(set(problems))),
        tuple(broken),
        tuple(unread),
        tuple(notices),
    )


def is_report(file: SourceFile) -> bool:
    """Whether it is a plan in JSON that this tool itself wrote beside the manifests."""
    if not file.path.endswith(".json") or not _REPORT.match(file.content):
        return False
    try:
        found = orjson.loads(file.content)
    except orjson.JSONDecodeError:
        return False
    return (
        not {"apiVersion", "kind"} & found.keys() and {"plan", "clusters"} & found.keys() != set()
    )


def is_manifest(path: str) -> bool:
    """Whether a file is read as a manifest, by its name."""
    parts = path.split("/")
    if any(part.startswith(".") for part in parts) or parts[-1] in _KUSTOMIZATIONS:
        return False
    return path.endswith(MANIFEST_SUFFIXES)


class _Read(Struct):
    """What one file holds; ``whole``: nothing of it had to be left unread."""

    documents: list[Document] = []
    problems: list[Problem] = []
    broken: list[Document] = []
    whole: bool = True


def _unread(problem: Problem) -> _Read:
    return _Read(problems=[problem], whole=False)


def looks_like_manifest(path: str) -> bool:
    """Whether a file that is passed over has a name that may be meant for a manifest's: as its
    suffix is written, it is none for kubectl either."""
    return is_manifest(path.lower()) and not is_manifest(path)


def _load_file(file: SourceFile) -> _Read:
    text = text_of(file)
    return _unread(text) if isinstance(text, Problem) else _parse(file, text)


def text_of(file: SourceFile) -> str | Problem:
    """What a file says, or why it cannot be read."""
    start = Position(file.path, 1, 1)
    if file.error:
        return Problem(start, "", file.error, hint=file.hint)
    if len(file.content) > MAX_FILE_BYTES:
        message = f"the file has {len(file.content)} bytes"
        expected = f"at most {MAX_FILE_BYTES}"
        return Problem(start, "", message, expected, "split it, or move it elsewhere")
    return decoded_text(file)


def decoded_text(file: SourceFile) -> str | Problem:
    """What a file of any size says, or why it cannot be read as text."""
    try:
        text = file.content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = file.content.count(b"\n", 0, error.start) + 1
        column = error.start - (file.content.rfind(b"\n", 0, error.start) + 1) + 1
        position = Position(file.path, line, column)
        hint = _encoding_hint(file.content)
        return Problem(position, "", "not UTF-8", "UTF-8 text", hint)
    if _nests_too_deeply(text):
        return Problem(Position(file.path, 1, 1), "", "nested too deeply", "less depth")
    return text


def _encoding_hint(content: bytes) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "this is UTF-16; save the file as UTF-8"
    return "convert it, for example with: iconv -f LATIN1 -t UTF-8"


def _nests_too_deeply(text: str) -> bool:
    """A cheap look before libyaml's binding recurses: it overflows the C stack on hostile input."""
    if _COMPACT_NESTING.search(text):
        return True
    if text.count("[") + text.count("{") <= MAX_NESTING:
        return False
    depth = 0
    for match in _BRACKETS.finditer(text):
        depth += 1 if match[0] in "[{" else -1
        if depth > MAX_NESTING:
            return True
    return False


def _parse(file: SourceFile, text: str) -> _Read:
    import yaml

    from reconciler.manifests.yaml_nodes import Builder, compose

    # What charts print has keys twice at times, and helm itself sends the last one.
    builder = Builder(file.path, MAX_PROBLEMS, last_counts=bool(file.built_by))
    read = _Read()
    problems = read.problems
    of_the_text: list[Problem] = []
    try:
        for index, node in enumerate(compose(text)):
            position = Position(file.path, node.start_mark.line + 1, node.start_mark.column + 1)
            if index >= MAX_DOCUMENTS:
                message = f"more than {MAX_DOCUMENTS} documents in one file"
                of_the_text.append(Problem(position, "", message))
                read.whole = False
                break
            value = builder.build(node)
            if value is None:
                continue
            if not isinstance(value, dict):
                of_the_text.append(_no_map(position))
                continue
            whole = Document(
                file.path, index, position.line, Manifest(value), file, column=position.column
            )
            for document in unfolded(whole):
                if isinstance(document, Problem):
                    problems.append(document)
                    continue
                faults = _faults(document, MAX_PROBLEMS + 1 - len(problems))
                problems += faults
                (read.broken if faults else read.documents).append(document)
                if len(problems) > MAX_PROBLEMS:
                    break
            if len(problems) > MAX_PROBLEMS:
                read.whole = False
                break
    except yaml.YAMLError as error:
        of_the_text.append(syntax_problem(file, text, error))
        read.whole = False
    of_the_text += builder.problems
    if file.built_by:
        of_the_text = [_at_what_builds(file, problem) for problem in of_the_text]
    read.problems = _bounded([*of_the_text, *problems])
    return read


def _at_what_builds(file: SourceFile, problem: Problem) -> Problem:
    """The same of a built file, of which nobody can open a line."""
    place = place_in_built(file, problem.position.line)
    hint = "; ".join(filter(None, [problem.hint, place]))
    return replace(problem, position=Position(file.path, file.built_line, 1), hint=hint)


def _no_map(position: Position, what: str = "the document") -> Problem:
    return Problem(
        position,
        "$",
        f"{what} is not a map",
        "a manifest with apiVersion, kind and metadata",
        "keep other YAML files out of the chosen --path",
    )


def _faults(document: Document, most: int) -> list[Problem]:
    """What is wrong with a document, ``most`` of it; one without fault is cleaned of what servers
    add."""
    # What is in the cache was judged before.
    from reconciler.manifests.metadata import (
        identity_problems,
        metadata_problems,
        without_server_fields,
    )

    found = list(islice(identity_problems(document), most))
    if not found:
        # All at once: who mends a label must not find only then that a port is no number.
        checks = (metadata_problems(document), *_checks_of_its_kind(document))
        found = list(islice(_each_place_by_one(checks, most), most))
    if not found:
        without_server_fields(document.body)
    return [with_origin(fault, document) for fault in found]


def _checks_of_its_kind(document: Document) -> Iterator[Iterable[Problem]]:
    """What is known of the kind. One of a version that is gone is told only what it takes to have
    today's, as the rest is judged by that."""
    from reconciler.manifests.builtin_schemas import type_problems
    from reconciler.manifests.metadata import mark_problems
    from reconciler.manifests.own_schemas import schema_problems

    if old := list(_of_old_version(document)):
        yield old
    else:
        yield from (schema_problems(document), mark_problems(document), type_problems(document))


def _each_place_by_one(checks: Iterable[Iterable[Problem]], most: int) -> Iterator[Problem]:
    """The problems of all checks, ``most`` of each. Where one has said something of a field, those
    after it would say the same in other words."""
    told: set[tuple[Position, str]] = set()
    for check in checks:
        found = list(islice((p for p in check if (p.position, p.path) not in told), most))
        told |= {(p.position, p.path) for p in found}
        yield from found


def _of_old_version(document: Document) -> Iterator[Problem]:
    from reconciler.manifests.old_versions import is_old

    if is_old(document.body):
        # Most repositories have nothing of the kind.
        from reconciler.manifests.conversions import old_version_problems

        yield from old_version_problems(document)


def _bounded(problems: list[Problem]) -> list[Problem]:
    """The first of them, and that there are more."""
    ordered = sorted(set(problems))
    if len(ordered) <= MAX_PROBLEMS:
        return ordered
    position = ordered[MAX_PROBLEMS].position
    more = Problem(position, "", "there are more problems in this file; mend the others first")
    return [*ordered[:MAX_PROBLEMS], more]


def unfolded(document: Document) -> Iterator[Document | Problem]:
    """The items of a ``kind: List`` (or any ``*List`` with items), or the document itself.

    A problem for an item that is no manifest.
    """
    body = document.body
    items = body.get("items")
    is_list = body.get("kind") == "List" and body.get("apiVersion") == "v1"
    if is_list and not isinstance(items, list):
        # Nothing is what Go prints of an empty list; but where the key is missing, it may be there
        # under another name.
        if items is not None or "items" not in body:
            where = document.position(*(("items",) if "items" in body else ()))
            message, hint = "a List without items", "write items: [] if it is to be empty"
            yield with_origin(Problem(where, "$", message, "a list in items", hint), document)
        return
    if not str(body.get("kind", "")).endswith("List") or not isinstance(items, list):
        yield document
        return
    for number, item in enumerate(items):
        if not isinstance(item, dict):
            problem = _no_map(document.position("items", number), "an item of the list")
            yield with_origin(problem, document)
            continue
        kind = str(body["kind"]).removesuffix("List")
        if kind:
            item.setdefault("kind", kind)
            item.setdefault("apiVersion", body.get("apiVersion"))
        prefix = (*document.prefix, "items", number)
        start = document.position("items", number)
        inner = Document(
            document.file,
            document.index,
            start.line,
            Manifest(item),
            document.source,
            prefix,
            start.column,
        )
        yield from unfolded(inner)


def syntax_problem(file: SourceFile, text: str, error: YAMLError) -> Problem:
    """Where and why a text is no YAML, in words that quote none of it."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line, column = (mark.line + 1, mark.column + 1) if mark else _place_of_character(text, error)
    # A word in quotes is the file's own: an anchor, or a password that begins with * or &.
    problem = _QUOTED.sub("", getattr(error, "problem", None) or str(error).splitlines()[0])
    return Problem(
        Position(file.path, line, column),
        "",
        f"not valid YAML: {problem}",
        hint=_syntax_hint(text, line, problem),
    )


def _place_of_character(text: str, error: YAMLError) -> tuple[int, int]:
    """Line and column of what may not be in any YAML; the first ones where that is not it."""
    offset = getattr(error, "position", None)
    if not isinstance(offset, int):
        return 1, 1
    before = text.encode()[:offset].decode(errors="replace")
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def _syntax_hint(text: str, line: int, problem: str) -> str:
    lines = text.splitlines()
    here = lines[line - 1] if 0 < line <= len(lines) else ""
    is_json = text.lstrip()[:1] in ("{", "[")
    if "Unicode character escape" in problem:
        return "write the character itself instead of its escapes"
    if is_json and "<document start>" in problem:
        return "put a line with --- between two documents, also of JSON"
    if not is_json and "\t" in here[: len(here) - len(here.lstrip())]:
        return "YAML is indented with spaces, never with tabs"
    if "{{" in here or "{{" in "".join(lines[max(0, line - 2) : line]):
        return "this looks like a template; render it first"
    if "\x00" in here:
        return "the file holds NUL bytes; is it binary?"
    if "control characters" in problem:
        return "take it out, or write it as \\x and its code in double quotes"
    if "\ufeff" in text:
        return "take the byte order mark out that is within the file"
    if any(one.startswith(_CONFLICT_MARKS) for one in lines):
        return "the file holds the marks of a merge that somebody has to settle"
    return "" if is_json else next((say for what, say in _SYNTAX_HINTS if what in problem), "")


def _duplicates(documents: list[Document]) -> Iterator[Problem]:
    first: dict[ObjectKey, Document] = {}
    for document in documents:
        key = document.key
        other = first.setdefault(key, document)
        if other is not document:
            yield Problem(
                document.position(),
                "$",
                f"{key} is defined twice",
                "each object once",
                "; ".join(
                    filter(None, [f"the other one is at {other.position()}", document.origin])
                ),
            )
