"""YAML that this tool writes says to kubectl what was to be said."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given

from reconciler.manifests.yaml_nodes import Builder, compose
from reconciler.manifests.yaml_text import as_yaml
from tests.strategies import VALUES_FOR_YAML


def read(text: str) -> list[object]:
    builder = Builder("a.yaml")
    found = [builder.build(node) for node in compose(text)]
    assert not builder.problems
    return found


@given(VALUES_FOR_YAML)
def test_what_is_written_is_read_as_the_same(value: object) -> None:
    document = {"value": value, "again": [value]}
    assert read(as_yaml([document, document])) == [document, document]


@pytest.mark.parametrize("text", ["y", "N", "1e3", "12e5", "0o17", ".5e3"])
def test_text_that_kubectl_would_take_for_something_else_is_quoted(text: str) -> None:
    written = as_yaml([{"data": {text: text}}])
    assert read(written) == [{"data": {text: text}}] == [yaml.safe_load(written)]


def test_lines_stay_lines_and_nothing_is_an_anchor() -> None:
    shared = ["a"]
    assert as_yaml([{"a": shared, "b": shared, "c": "x\ny\n"}]) == (
        "a:\n- a\nb:\n- a\nc: |\n  x\n  y\n"
    )
