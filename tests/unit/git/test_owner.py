"""The names by which one repository is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.git.location import locate
from reconciler.git.owner import Claimant, Owner, claimant_of, normalised
from tests.unit.git.repositories import git


@pytest.mark.parametrize(
    "location",
    [
        "https://git.example.com/org/fleet",
        "https://git.example.com/org/fleet.git",
        "https://git.example.com/org/fleet/",
        "https://user:canary@git.example.com/org/fleet.git",
        "https://git.example.com:443/org/fleet.git",
        "https://GIT.example.com/org/fleet.git",
        "ssh://git@git.example.com/org/fleet.git",
        "ssh://git@git.example.com:22/org/fleet.git",
        "git@git.example.com:org/fleet.git",
        "git.example.com:org/fleet.git",
        "git://git.example.com/org/fleet.git",
    ],
)
def test_one_repository_has_one_name_however_it_is_reached(location: str) -> None:
    assert normalised(location) == "git.example.com/org/fleet"


@pytest.mark.parametrize(
    "location",
    [
        "https://git.example.com/org/fleet-blog",
        "https://git.example.com/other/fleet.git",
        "https://git.example.org/org/fleet.git",
        "https://git.example.com:8443/org/fleet.git",
    ],
)
def test_other_repositories_have_other_names(location: str) -> None:
    assert normalised(location) != "git.example.com/org/fleet"


def test_a_clone_has_the_names_of_all_its_remotes(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "remote", "add", "fork", "git@git.example.com:me/fleet.git")
    git(tmp_path, "remote", "add", "origin", "https://git.example.com/org/fleet.git")
    (tmp_path / "prod").mkdir()
    found = claimant(tmp_path, "prod")
    assert found.sources == (
        "git.example.com/org/fleet",
        "git.example.com/me/fleet",
        str(tmp_path),
    )
    assert found.path == "prod"
    assert claimant(tmp_path / "prod").path == "prod"
    assert claimant(tmp_path).path == "."


def test_a_folder_outside_git_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "prod").mkdir()
    assert claimant(tmp_path, "prod").owner == claimant(tmp_path / "prod").owner
    assert not claimant(tmp_path).is_of(claimant(tmp_path / "prod").owner, "")


def test_the_identity_is_kept_when_the_repository_gets_another_address() -> None:
    old = Owner("git.example.com/org/fleet", ".", "made-once")
    here = Claimant(("git.example.org/org/fleet", "git.example.com/org/fleet"))
    assert here.recorded_over(old, "") == old
    assert here.recorded_over(None, "").id
    assert Claimant(("/srv/fleet",)).owner.id != here.owner.id


@pytest.mark.parametrize("commit", ["", "main", "--upload-pack=x", "0" * 40])
def test_a_commit_that_nobody_knows_proves_nothing(tmp_path: Path, commit: str) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    assert not claimant(tmp_path).is_of(Owner("git.example.com/org/fleet"), commit)


def claimant(folder: Path, path: str = ".") -> Claimant:
    return claimant_of(locate(str(folder), ref=None, path=path, cache=folder), "")
