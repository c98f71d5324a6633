"""What Git is asked of a work tree before the answers are needed: few processes, none stale."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from reconciler.api.files import Checkout
from reconciler.api.options import RunOptions
from reconciler.git.ahead import ask_git_ahead, git_asked_ahead
from reconciler.git.local import AskedAhead, git_environment
from reconciler.git.location import locate
from reconciler.git.processes import _RUNNING, BegunProgram
from reconciler.git.uncommitted import uncommitted_files
from reconciler.git.work_tree import read_directory
from reconciler.run.repository import Repository, read_current
from tests.unit.git.repositories import git

FLEET = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws-eu}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: default}
"""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tree = tmp_path / "tree"
    tree.mkdir()
    git(tree, "init", "--quiet", "--initial-branch=main")
    git(tree, "config", "remote.origin.url", "https://git.example.com/fleet.git")
    (tree / "fleet.yaml").write_text(FLEET)
    git(tree, "add", ".")
    git(tree, "commit", "--quiet", "-m", "first")
    return tree


@pytest.fixture
def asked_of_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a line for each git that runs from now on."""
    said, programs = tmp_path / "said", tmp_path / "bin"
    programs.mkdir()
    shim = programs / "git"
    shim.write_text(f'#!/bin/sh\necho "$@" >> "{said}"\nexec "{shutil.which("git")}" "$@"\n')
    shim.chmod(0o755)
    said.touch()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return said


def read_ahead(tree: Path) -> Repository:
    options = RunOptions(repo=str(tree))
    ahead = ask_git_ahead(options)
    assert ahead is not None
    return read_current(replace(options, ahead=ahead))


def test_a_clean_work_tree_costs_three_processes(tree: Path, asked_of_git: Path) -> None:
    repository = read_ahead(tree)
    assert repository.commit() == git(tree, "rev-parse", "HEAD")
    assert repository.claimant().sources[0] == "git.example.com/fleet"
    asked = asked_of_git.read_text().splitlines()
    verbs = [line.split()[2] for line in asked if "rev-parse" not in line]
    assert sorted(verbs) == ["config", "ls-tree", "status"]


def test_with_answers_asked_ahead_all_is_as_without(tree: Path) -> None:
    (tree / "more.yaml").write_text("a: 1\n")
    (tree / "fleet.yaml").write_text(FLEET + "# changed\n")
    for step in ("nothing", "add", "commit", "checkout"):
        if step == "add":
            git(tree, "add", ".")
        elif step == "commit":
            git(tree, "commit", "--quiet", "-m", "second")
        elif step == "checkout":
            git(tree, "checkout", "--quiet", "--detach", "HEAD~1")
        ahead = ask_git_ahead(RunOptions(repo=str(tree)))
        found, plain = read_directory(str(tree), "", ahead), read_directory(str(tree), "")
        assert found == plain
        assert plain.commit == git(tree, "rev-parse", "HEAD")
        assert plain.dirty == bool(git(tree, "status", "--porcelain"))


@pytest.mark.parametrize("change", ["changed", "added", "gone"])
def test_a_file_that_changes_once_git_has_answered_is_not_of_the_commit(
    tree: Path, change: str
) -> None:
    ahead = ask_git_ahead(RunOptions(repo=str(tree)))
    assert ahead is not None
    wait_for(ahead)
    if change == "changed":
        (tree / "fleet.yaml").write_text(FLEET.replace("settings", "others"))
    elif change == "added":
        (tree / "more.yaml").write_text(FLEET)
    else:
        (tree / "fleet.yaml").unlink()
    checkout = read_directory(str(tree), "", ahead)
    assert not checkout.dirty  # As Git said before.
    assert differing(tree, checkout, ahead) == ["more.yaml" if change == "added" else "fleet.yaml"]


def test_a_commit_once_git_has_answered_is_not_taken_for_the_old_one(tree: Path) -> None:
    ahead = ask_git_ahead(RunOptions(repo=str(tree)))
    assert ahead is not None
    wait_for(ahead)
    (tree / "fleet.yaml").write_text(FLEET.replace("settings", "others"))
    git(tree, "commit", "--quiet", "--all", "-m", "second")
    checkout = read_directory(str(tree), "", ahead)
    assert differing(tree, checkout, ahead) == ["fleet.yaml"]


def test_an_answer_is_given_once(tree: Path) -> None:
    ahead = AskedAhead()
    ahead.ask(tree, "rev-parse", "HEAD")
    first = ahead.answer(tree, "rev-parse", "HEAD").stdout
    git(tree, "commit", "--quiet", "--allow-empty", "-m", "second")
    assert ahead.answer(tree, "rev-parse", "HEAD").stdout != first


def test_what_is_forgotten_is_asked_anew(tree: Path) -> None:
    ahead = AskedAhead()
    ahead.ask(tree, "rev-parse", "HEAD")
    git(tree, "commit", "--quiet", "--allow-empty", "-m", "second")
    ahead.forget()
    now = ahead.answer(tree, "rev-parse", "HEAD").stdout.decode().strip()
    assert now == git(tree, "rev-parse", "HEAD")


@pytest.mark.parametrize(
    "options",
    [
        RunOptions(repo="https://git.example.com/fleet.git"),
        RunOptions(ref="main"),
        RunOptions(repo="/there/is/none"),
        RunOptions(path="../elsewhere"),
        RunOptions(require_signature="gpg"),
    ],
)
def test_nothing_is_asked_where_no_work_tree_is_read_as_it_lies(
    options: RunOptions, asked_of_git: Path
) -> None:
    assert ask_git_ahead(options) is None
    assert not asked_of_git.read_text()


def test_a_program_that_hangs_ends_with_its_time_or_when_nobody_wants_it() -> None:
    began = time.monotonic()
    assert BegunProgram(["sleep", "60"], git_environment(), seconds=0.1).finish().timed_out
    BegunProgram(["sleep", "60"], git_environment(), seconds=60).end()
    assert time.monotonic() - began < 10


def test_what_nobody_wanted_to_know_ends_with_the_run(tree: Path) -> None:
    with git_asked_ahead(RunOptions(repo=str(tree))) as options:
        running = [begun._process for begun in options.ahead._begun.values()]
        assert len(running) == 2
    assert all(process.returncode is not None for process in running)
    assert not set(running) & _RUNNING
    assert all(process.stdout is None or process.stdout.closed for process in running)


def wait_for(ahead: AskedAhead) -> None:
    """Until Git has answered, without taking the answers."""
    for begun in ahead._begun.values():
        os.waitid(os.P_PID, begun._process.pid, os.WEXITED | os.WNOWAIT)


def differing(tree: Path, checkout: Checkout, ahead: AskedAhead) -> list[str]:
    where = locate(str(tree), ref=None, path=".", cache=tree)
    found = uncommitted_files(where, checkout, lambda path: path.endswith(".yaml"), ahead)
    return [file.path for file in found]
