"""An earlier commit, of which most is at hand already: the same files as if all were read."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from reconciler.api.errors import NoSuchFolder
from reconciler.api.files import SourceFile
from reconciler.git.commits import read_commit, read_commit_reusing
from reconciler.git.location import SourceLocation, locate
from reconciler.git.work_tree import blob_id
from tests.unit.git.repositories import commit, git

BEFORE = {
    "fleet/federation.yaml": "kind: Federation\n",
    "fleet/deep/er/a.yaml": "a: 1\n",
    "fleet/deep/er/same-as-a.yaml": "a: 1\n",
    'fleet/grüße und "mehr".yaml': "b: 1\n",
    "fleet/empty.yaml": "",
    "fleet/no-newline.yaml": "c: 1",
    "fleet/.hidden/secret.yaml": "d: 1\n",
    "fleet/.hidden/.helmignore": "h\n",
    "fleet/.helmignore": "h\n",
    "fleet/.dot.yaml": "e: 1\n",
    "other/f.yaml": "f: 1\n",
}
NOW = {
    "fleet/federation.yaml": "kind: Federation\n# changed\n",
    "fleet/deep/er/a.yaml": "a: 2\n",
    "fleet/new.yaml": "g: 1\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    return tmp_path


def both(
    folder: Path, path: str, earlier: str, beside: Mapping[str, str]
) -> tuple[tuple[SourceFile, ...], tuple[SourceFile, ...]]:
    where: SourceLocation = locate(str(folder), ref="HEAD", path=path, cache=folder / "cache")
    known = [SourceFile(n, c.encode(), blob_id(c.encode())) for n, c in beside.items()]
    git_dir = folder / ".git"
    return (
        read_commit(where, git_dir, earlier).files,
        read_commit_reusing(where, git_dir, earlier, known),
    )


@pytest.mark.parametrize("path", ["", "fleet", "fleet/deep/", "other"])
@pytest.mark.parametrize("beside", [{}, NOW, BEFORE], ids=["nothing", "changed", "everything"])
def test_the_same_files_whatever_is_known(
    folder: Path, path: str, beside: Mapping[str, str]
) -> None:
    earlier = commit(folder, BEFORE)
    commit(folder, NOW)
    whole, found = both(folder, path, earlier, beside)
    assert whole
    assert found == whole


def test_links_and_submodules_are_read_as_ever(folder: Path) -> None:
    (folder / "fleet").mkdir()
    (folder / "fleet" / "link.yaml").symlink_to("federation.yaml")
    (folder / "fleet" / "astray.yaml").symlink_to("nowhere.yaml")
    git(folder, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},fleet/module")
    earlier = commit(folder, BEFORE)
    whole, found = both(folder, "fleet", earlier, NOW)
    assert found == whole
    (linked,) = (file for file in found if file.path == "link.yaml")
    assert linked.content == b"kind: Federation\n"


def test_a_folder_that_was_not_there_is_an_error(folder: Path) -> None:
    earlier = commit(folder, BEFORE)
    with pytest.raises(NoSuchFolder):
        both(folder, "later", earlier, NOW)


def test_git_is_asked_twice_however_many_files_changed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = commit(folder, {f"{n}.yaml": f"n: {n}\n" for n in range(50)})
    started: list[list[str]] = []
    popen = subprocess.Popen

    def counted(command: list[str], **options: object) -> object:
        started.append(command)
        return popen(command, **options)  # type: ignore[call-overload]

    where = locate(str(folder), ref="HEAD", path="", cache=folder / "cache")
    monkeypatch.setattr(subprocess, "Popen", counted)
    assert len(read_commit_reusing(where, folder / ".git", earlier, ())) == 50
    verbs = [command[3] for command in started]
    assert [verb for verb in verbs if verb != "rev-parse"] == ["ls-tree", "cat-file"]
