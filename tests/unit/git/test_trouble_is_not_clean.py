"""Git trouble in a work tree is an error, never a clean tree and never a folder outside Git."""

from __future__ import annotations

import fcntl
import hashlib
import time
from pathlib import Path

import pytest

from reconciler.api.errors import SourceError
from reconciler.git.fetch import with_clone
from reconciler.git.location import SourceLocation
from reconciler.git.work_tree import read_directory
from tests.unit.git.repositories import git


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    git(tree, "init", "--quiet", "--initial-branch=main")
    (tree / "a.yaml").write_text("a: 1\n")
    git(tree, "add", ".")
    git(tree, "commit", "--quiet", "-m", "first")
    return tree


def objects_of(tree: Path) -> list[Path]:
    return [p for p in (tree / ".git" / "objects").glob("??/*") if p.is_file()]


def damage(tree: Path, what: str) -> None:
    inside = tree / ".git"
    if what == "index":
        (inside / "index").write_bytes(b"DIRC, cut")
    elif what == "objects":
        for one in objects_of(tree):
            one.unlink()
    elif what == "HEAD":
        (inside / "HEAD").write_text("0123\n")
    elif what == "branch":
        (inside / "refs" / "heads" / "main").write_text("")
    elif what == "configuration":
        (inside / "config").write_text("[core\n")


@pytest.mark.parametrize("what", ["index", "objects", "HEAD", "branch", "configuration"])
def test_a_damaged_repository_is_an_error(tree: Path, what: str) -> None:
    assert read_directory(str(tree), "").commit == git(tree, "rev-parse", "HEAD")
    damage(tree, what)
    with pytest.raises(SourceError, match="Git cannot tell") as told:
        read_directory(str(tree), "")
    assert f"git -C {tree} status" in (told.value.hint or "")


def test_a_repository_that_git_is_writing_to_is_read_all_the_same(tree: Path) -> None:
    (tree / ".git" / "index.lock").touch()
    assert not read_directory(str(tree), "").dirty


def test_before_the_first_commit_there_is_none(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    checkout = read_directory(str(tmp_path), "")
    assert (checkout.commit, checkout.dirty) == ("", False)


def test_a_clone_that_another_run_keeps_is_waited_for_until_git_timeout(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    where = SourceLocation("https://git.example.org/a.git", None, "", cache, seconds=0.5)
    name = hashlib.sha256(where.location.encode()).hexdigest()[:20]
    with (cache / f"{name}.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        began = time.monotonic()
        with pytest.raises(SourceError, match="another run has used its clone"):
            with_clone(where, lambda folder: folder)
        assert time.monotonic() - began < 10
