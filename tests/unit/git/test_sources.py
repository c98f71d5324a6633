"""Directories and Git repositories, and what cannot be read of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.api.errors import SourceError
from reconciler.git.location import redacted_url
from tests.unit.git.opening import open_source
from tests.unit.git.repositories import git


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "fleet").mkdir(parents=True)
    (folder / "fleet" / "a.yaml").write_text("a: 1\n")
    (folder / "README.md").write_text("read me\n")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def contents(checkout) -> dict[str, bytes]:
    return {file.path: file.content for file in checkout.files}


def test_a_directory_is_read_as_it_lies(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.yaml").write_text("a: 1\n")
    (tmp_path / ".hidden.yaml").write_text("b: 1\n")
    checkout = open_source(str(tmp_path))
    assert contents(checkout) == {"sub/a.yaml": b"a: 1\n"}
    assert checkout.commit == ""


def test_a_work_tree_tells_its_commit_and_whether_it_differs(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    checkout = open_source(str(repository), path="fleet")
    assert (checkout.commit, checkout.dirty) == (head, False)
    assert contents(checkout) == {"a.yaml": b"a: 1\n"}
    (repository / "fleet" / "a.yaml").write_text("a: 2\n")
    changed = open_source(str(repository), path="fleet")
    assert (changed.dirty, contents(changed)) == (True, {"a.yaml": b"a: 2\n"})


def test_a_ref_of_a_work_tree_is_read_from_git_not_from_the_files(repository: Path) -> None:
    (repository / "fleet" / "a.yaml").write_text("a: 2\n")
    checkout = open_source(str(repository), ref="main", path="fleet")
    assert contents(checkout) == {"a.yaml": b"a: 1\n"}
    assert checkout.files[0].blob == git(repository, "rev-parse", "HEAD:fleet/a.yaml")


def test_a_remote_is_fetched_again_when_it_moves(repository: Path, tmp_path: Path) -> None:
    url, cache = repository.as_uri(), tmp_path / "cache"
    first = open_source(url, ref="main", path="fleet", cache=cache)
    assert contents(first) == {"a.yaml": b"a: 1\n"}
    (repository / "fleet" / "a.yaml").write_text("a: 2\n")
    git(repository, "commit", "-qam", "second")
    second = open_source(url, ref="main", path="fleet", cache=cache)
    assert contents(second) == {"a.yaml": b"a: 2\n"}
    git(repository, "tag", "v1", "HEAD~1")
    assert contents(open_source(url, ref="v1", path="fleet", cache=cache)) == {"a.yaml": b"a: 1\n"}


def test_a_damaged_clone_is_made_anew(repository: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    open_source(repository.as_uri(), cache=cache)
    (clone,) = [p for p in (cache / "git").iterdir() if p.is_dir()]
    (clone / "HEAD").write_text("nonsense")
    assert open_source(repository.as_uri(), path="fleet", cache=cache).files


def test_symbolic_links_do_not_lead_out(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text("canary: 1\n")
    (repository / "fleet" / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "link")
    for ref in (None, "main"):
        files = open_source(str(repository), ref=ref, path="fleet").files
        (link,) = [file for file in files if file.path == "link.yaml"]
        assert link.error
        assert b"canary" not in link.content


@pytest.mark.parametrize(
    ("place", "ref", "path", "said"),
    [
        ("nowhere", None, "", "there is no directory"),
        ("repository", None, "missing", "has no folder 'missing'"),
        ("repository", None, "../..", "leads out of"),
        ("repository", "nope", "", "has no ref 'nope'"),
        ("repository", "main", "missing", "has no folder 'missing'"),
        (".", "main", "", "is not a Git repository"),
    ],
)
def test_what_is_missing_is_named(
    repository: Path, place: str, ref: str | None, path: str, said: str
) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(str(repository.parent / place), ref=ref, path=path)
    assert said in str(caught.value)


def test_a_remote_without_the_ref_is_an_error(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(repository.as_uri(), ref="nope", cache=tmp_path)
    assert "nope" in str(caught.value)


def test_credentials_in_a_url_are_not_repeated() -> None:
    assert redacted_url("https://me:canary@git.example.com/x") == "https://git.example.com/x"
    with pytest.raises(SourceError) as caught:
        open_source("https://me:canary@localhost:1/x.git", ref="main")
    assert "canary" not in str(caught.value)
