"""The schemas as editors and people get them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconciler.cli import schema_files
from reconciler.cli.explain import children, find

from .conftest import Command

OWN = ("Federation", "Cluster", "Placement")


def test_schema_writes_every_schema_and_says_how_to_use_them(
    reconcile: Command, tmp_path: Path
) -> None:
    done = reconcile("schema", "editor", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    written = {path.name for path in (tmp_path / "editor").iterdir()}
    assert written == {path.name for path in schema_files.schema_files()}
    header, _, settings = done.stdout.partition("\n")
    assert header.startswith("# yaml-language-server: $schema=editor/")
    assert (tmp_path / header.partition("=")[2]).is_file()
    for name in json.loads(settings)["yaml.schemas"]:
        assert (tmp_path / name).is_file()


@pytest.mark.parametrize("kind", OWN)
def test_every_own_kind_can_be_explained(reconcile: Command, kind: str) -> None:
    done = reconcile("explain", kind.lower())
    assert done.returncode == 0, done.stderr
    assert "  spec <object>" in done.stdout


def test_a_field_is_explained_with_its_type_and_its_fields(reconcile: Command) -> None:
    done = reconcile("explain", "Placement.spec.replicas")
    assert done.stdout.startswith("FIELD: Placement.spec.replicas <object>\n")
    assert "one of: Duplicated, Divided" in done.stdout
    assert "  weighBy <string>" in done.stdout


def test_list_items_need_no_index(reconcile: Command) -> None:
    done = reconcile("explain", "Placement.spec.replicas.clusters.min")
    assert "<integer>" in done.stdout.splitlines()[0]


def test_a_tree_shows_all_that_is_below(reconcile: Command) -> None:
    done = reconcile("explain", "Federation.spec", "--recursive")
    lines = done.stdout.splitlines()
    assert "  failover <object>" in lines
    assert any(line.startswith("      timeout <string") for line in lines)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("Placment", "did you mean Placement?"),
        ("Placement.spec.replica", "did you mean Placement.spec.replicas?"),
        ("Placement.spec.replicas.mode.x", "has no fields"),
    ],
)
def test_what_does_not_exist_is_a_usage_error(reconcile: Command, path: str, words: str) -> None:
    done = reconcile("explain", path)
    assert done.returncode == 64
    assert words in done.stderr


@pytest.mark.parametrize("kind", OWN)
def test_every_field_of_our_own_has_a_description(kind: str) -> None:
    silent: list[str] = []

    def look(path: str, depth: int = 0) -> None:
        for field in children(find(path)):
            name = f"{path}.{field.name}"
            # What Kubernetes itself defines needs no words of ours.
            if field.name in {"apiVersion", "kind", "metadata"}:
                continue
            if not field.schema.get("description"):
                silent.append(name)
            if depth < 5:
                look(name, depth + 1)

    look(kind)
    assert not silent
