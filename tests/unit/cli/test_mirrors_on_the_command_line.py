"""--repo and --git-credentials, once and several times, by options and by variables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from reconciler.api.options import RunOptions
from reconciler.cli.reconcile import reconcile
from reconciler.cli.settings import merged
from tests.unit.cli.conftest import Command

ONE, TWO = "https://git.example.com/fleet.git", "git@mirror.example.org:fleet.git"


def options(
    words: str, monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str] | None = None
) -> RunOptions:
    for name, value in (variables or {}).items():
        monkeypatch.setenv(name, value)
    context = reconcile.make_context("reconcile", words.split())
    return merged(context, **{k: v for k, v in context.params.items() if k != "plan"}).options


@pytest.mark.parametrize(
    ("words", "variables", "expected"),
    [
        ("", {}, (".", ())),
        (f"--repo {ONE}", {}, (ONE, ())),
        (f"--repo {ONE} --repo {TWO}", {}, (ONE, (TWO,))),
        ("", {"RECONCILE_REPO": ONE}, (ONE, ())),
        ("", {"RECONCILE_REPO": f"{ONE} {TWO}"}, (ONE, (TWO,))),
        (f"--repo {TWO}", {"RECONCILE_REPO": f"{ONE} {TWO}"}, (TWO, ())),
    ],
)
def test_the_first_is_the_repository_and_the_rest_are_mirrors(
    words: str,
    variables: Mapping[str, str],
    expected: tuple[str, tuple[str, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = options(words, monkeypatch, variables)
    assert (found.repo, found.mirrors) == expected


def test_a_directory_in_a_variable_may_have_spaces_in_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my fleet"
    folder.mkdir()
    found = options(
        "",
        monkeypatch,
        {"RECONCILE_REPO": str(folder), "RECONCILE_GIT_CREDENTIALS": str(folder)},
    )
    assert (found.repo, found.mirrors) == (str(folder), ())
    assert (found.git_credentials, found.mirror_credentials) == (str(folder), ())


def test_credentials_are_in_the_order_of_the_repositories(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"RECONCILE_GIT_CREDENTIALS": "/one - /three"}
    found = options("", monkeypatch, variables)
    assert (found.git_credentials, found.mirror_credentials) == ("/one", ("-", "/three"))


def test_what_a_subcommand_is_given_replaces_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = options(f"--repo {ONE} --repo {TWO}", monkeypatch)
    context = reconcile.make_context("reconcile", ["--repo", ONE, "--repo", TWO])
    context.obj = merged(context, repo=(before.repo, *before.mirrors))
    found = merged(context, repo=(TWO,)).options
    assert (found.repo, found.mirrors) == (TWO, ())


def test_a_directory_beside_a_url_is_told(reconcile: Command, tmp_path: Path) -> None:
    done = reconcile("validate", "--repo", ".", "--repo", ONE)
    assert done.returncode == 64
    assert "--repo . is a directory, and only Git URLs have mirrors" in done.stderr


def test_the_same_address_twice_is_told(reconcile: Command) -> None:
    done = reconcile("validate", "--repo", ONE, "--repo", ONE)
    assert done.returncode == 64
    assert f"--repo {ONE} is given twice" in done.stderr


def test_a_credential_for_another_host_is_not_used(reconcile: Command, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("c4nary")
    done = reconcile("validate", "--repo", ONE, "--repo", TWO, "--git-credentials", tmp_path)
    assert done.returncode == 64
    assert "--git-credentials is given 1 times for 2 times --repo" in done.stderr
    assert "- where none is needed" in done.stderr
