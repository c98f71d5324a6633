"""JSON values -> YAML that kubectl reads as the same values.

PyYAML quotes what YAML 1.1 would take for something else, by its own rules: ``y``, ``1e3`` and
``0o17`` it writes plain, and for kubectl these are a boolean and numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from reconciler.manifests.yaml_scalars import NotJson, resolve_plain

if TYPE_CHECKING:
    import yaml

_TEXT = "tag:yaml.org,2002:str"
_WIDTH = 100
_ODD_BREAKS = frozenset("\r\x85\u2028\u2029\ufeff")


def is_plain_text(text: str) -> bool:
    """Whether kubectl reads it as that text where it stands without quotes."""
    try:
        return resolve_plain(text) == text
    except NotJson:
        return False


def as_yaml(documents: Sequence[Any]) -> str:
    """YAML documents, with their maps in the order that they have."""
    import yaml

    text: str = yaml.dump_all(
        documents, Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=_WIDTH
    )
    return text


def _style(text: str) -> str | None:
    if _ODD_BREAKS & set(text):
        return '"'  # Between other quotes they would become spaces.
    if "\n" in text:
        return "|"
    return None if is_plain_text(text) else "'"


@cache
def _dumper() -> type[yaml.SafeDumper]:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes a value that is there twice twice: an anchor would only puzzle."""

        def ignore_aliases(self, _data: Any) -> bool:
            return True

    def represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        return dumper.represent_scalar(_TEXT, text, style=_style(text))

    Dumper.add_representer(str, represent)
    return Dumper
