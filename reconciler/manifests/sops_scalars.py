"""Where sops does not hand out what lies in Git: plain scalars, which it reads as YAML 1.2.

It writes back what it read, so that ``yes`` beside an encrypted value becomes text, and
``2026-01-01`` a time; an unquoted date becomes one when it is encrypted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from reconciler.api.files import SourceFile
from reconciler.api.notices import Notice, NoticeCause, WordedCause, notice
from reconciler.manifests.own_schemas import json_path
from reconciler.manifests.yaml_nodes import compose
from reconciler.manifests.yaml_scalars import NotJson, resolve_plain

Steps = tuple[str | int, ...]
_SEALED, _DATE = "ENC[", ",type:time]"


def rewritten_scalars(file: SourceFile) -> list[Notice]:
    """Notices about a decrypted file, with the lines of the encrypted one; no values."""
    if not file.encrypted or file.path.endswith(".json"):
        return []
    try:
        before = list(compose(file.encrypted.decode("utf-8-sig")))
        after = list(compose(file.content.decode("utf-8-sig")))
    except (yaml.YAMLError, UnicodeDecodeError):
        return []  # Told when it is loaded.
    found = []
    for one, other in zip(before, after, strict=False):
        for node, steps, cause in _changes(one, other, ()):
            place = f"{file.path}:{node.start_mark.line + 1}"
            path = json_path(steps)[2:]
            found.append(notice(cause, subject=file.path, path=path, place=place))
    return found


def _changes(before: Node, after: Node, at: Steps) -> Iterator[tuple[Node, Steps, WordedCause]]:
    if isinstance(before, MappingNode) and isinstance(after, MappingNode):
        kept = {str(key.value): value for key, value in after.value}
        for key, value in before.value:
            if str(key.value) in kept:
                yield from _changes(value, kept[str(key.value)], (*at, str(key.value)))
    elif isinstance(before, SequenceNode) and isinstance(after, SequenceNode):
        for number, (one, other) in enumerate(zip(before.value, after.value, strict=False)):
            yield from _changes(one, other, (*at, number))
    elif isinstance(before, ScalarNode) and isinstance(after, ScalarNode):
        if before.value.startswith(_SEALED):
            if before.value.endswith(_DATE):
                yield before, at, NoticeCause.SOPS_DATE
        elif repr(_read(before)) != repr(_read(after)):
            yield before, at, NoticeCause.SOPS_VALUE


def _read(node: ScalarNode) -> Any:
    if node.style not in (None, ""):
        return node.value
    try:
        return resolve_plain(node.value)
    except NotJson:
        return None
