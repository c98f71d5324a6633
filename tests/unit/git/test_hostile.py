"""Repositories that somebody made to do harm."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from reconciler.api import files
from reconciler.api.errors import SourceError
from reconciler.api.files import Checkout
from reconciler.git import commits, fetch
from tests.unit.git import repositories as made
from tests.unit.git.opening import open_source
from tests.unit.git.repositories import config_map

PLAIN, LINK, FOLDER, SUBMODULE = "100644", "120000", "040000", "160000"


def object_of(folder: Path, kind: str, content: bytes) -> str:
    """Writes an object without git's own checks."""
    done = subprocess.run(
        ["git", "-C", folder, "hash-object", "-t", kind, "-w", "--stdin", "--literally"],
        input=content,
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().strip()


def tree(folder: Path, *entries: tuple[str, str, str]) -> str:
    """A tree of (mode, name, id), whatever the names are."""
    rows = [
        mode.lstrip("0").encode() + b" " + name.encode() + b"\0" + bytes.fromhex(found)
        for mode, name, found in entries
    ]
    return object_of(folder, "tree", b"".join(rows))


def point_head_at(folder: Path, root: str) -> None:
    commit = made.git(folder, "commit-tree", root, "-m", "hostile")
    made.git(folder, "update-ref", "refs/heads/main", commit)


def read_both_ways(folder: Path, cache: Path) -> list[Checkout | SourceError]:
    """As a remote, where the fetch checks, and as a local repository, where nothing did."""
    found: list[Checkout | SourceError] = []
    for location in (folder.as_uri(), str(folder)):
        try:
            found.append(open_source(location, ref="main", cache=cache))
        except SourceError as error:
            found.append(error)
    return found


@pytest.mark.parametrize("name", ["..", "a\nb.yaml", "\x1b[31mred.yaml"])
def test_names_that_lead_out_or_paint_the_terminal_are_refused(
    origin: Path, cache: Path, name: str
) -> None:
    blob = object_of(origin, "blob", config_map("a").encode())
    inner = tree(origin, (PLAIN, "a.yaml", blob))
    entry = (FOLDER, name, inner) if name == ".." else (PLAIN, name, blob)
    point_head_at(origin, tree(origin, entry))
    for error in read_both_ways(origin, cache):
        assert isinstance(error, SourceError)
        assert "\x1b" not in str(error)
        assert "\n" not in str(error)


@pytest.mark.parametrize("name", [".git", ".GIT", "git~1"])
def test_a_git_folder_within_is_refused(origin: Path, cache: Path, name: str) -> None:
    blob = object_of(origin, "blob", b"[core]\n  sshCommand = touch pwned\n")
    point_head_at(origin, tree(origin, (FOLDER, name, tree(origin, (PLAIN, "config", blob)))))
    remote, local = read_both_ways(origin, cache)
    assert "must not have" in str(remote)
    assert isinstance(local, SourceError)


def test_a_tree_that_repeats_itself_without_end_is_cut_off(origin: Path, cache: Path) -> None:
    """Ten levels of ten equal folders: ten thousand million files, in eleven objects."""
    level = tree(origin, (PLAIN, "a.yaml", object_of(origin, "blob", b"a: 1\n")))
    for _ in range(10):
        level = tree(origin, *[(FOLDER, f"f{n}", level) for n in range(10)])
    point_head_at(origin, level)
    for error in read_both_ways(origin, cache):
        assert "more than" in str(error)


def test_a_huge_file_is_refused_and_the_rest_read(
    origin: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "MAX_FILE_BYTES", 1000)
    made.commit(origin, {"huge.yaml": "x" * 1001})
    for found in read_both_ways(origin, cache):
        assert isinstance(found, Checkout)
        errors = {file.path: file.error for file in found.files}
        assert "1001 bytes" in errors["huge.yaml"]
        assert not errors["shop/a.yaml"]


def test_all_files_together_have_a_limit(
    origin: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "MAX_TOTAL_BYTES", 1000)
    made.commit(origin, {f"{n}.yaml": f"a: {n}\n" + "#" * 200 for n in range(6)})
    for error in read_both_ways(origin, cache):
        assert "more than 1000 bytes" in str(error)


def test_a_pack_that_would_fill_the_disk_is_cut_off(
    origin: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "MAX_PACK_BYTES", 1_000_000)
    # Beyond what is unpacked into single objects, so that it stays a pack.
    made.commit(origin, {f"{n}.bin": os.urandom(20_000).hex() for n in range(120)})
    with pytest.raises(SourceError, match="larger than may be fetched"):
        open_source(origin.as_uri(), ref="main", cache=cache)


def test_links_are_followed_within_the_repository_only(origin: Path, cache: Path) -> None:
    out, up = b"/etc/passwd", b"../../../../etc/passwd"
    targets = {"in.yaml": b"a.yaml", "out.yaml": out, "up.yaml": up, "loop.yaml": b"loop.yaml"}
    plain = object_of(origin, "blob", b"a: 1\n")
    links = [(LINK, name, object_of(origin, "blob", to)) for name, to in targets.items()]
    entries = sorted([(PLAIN, "a.yaml", plain), *links], key=lambda entry: entry[1])
    point_head_at(origin, tree(origin, *entries))
    for found in read_both_ways(origin, cache):
        assert isinstance(found, Checkout)
        contents = {file.path: (file.content, bool(file.error)) for file in found.files}
        assert contents == {
            "a.yaml": (b"a: 1\n", False),
            "in.yaml": (b"a: 1\n", False),
            "out.yaml": (b"", True),
            "up.yaml": (b"", True),
            "loop.yaml": (b"", True),
        }


def test_submodules_are_not_fetched_and_that_is_told(origin: Path, cache: Path) -> None:
    head = made.git(origin, "rev-parse", "HEAD")
    point_head_at(origin, tree(origin, (SUBMODULE, "vendor", head)))
    for found in read_both_ways(origin, cache):
        assert isinstance(found, Checkout)
        assert found.submodules == ("vendor",)


def test_hooks_and_filters_of_the_repository_do_not_run(
    origin: Path, cache: Path, tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    made.commit(origin, {".gitattributes": "*.yaml filter=evil\n"})
    for name in ("post-checkout", "pre-upload", "post-merge", "reference-transaction"):
        hook = origin / ".git" / "hooks" / name
        hook.write_text(f"#!/bin/sh\ntouch {trap}\n")
        hook.chmod(0o755)
    made.git(origin, "config", "filter.evil.smudge", f"touch {trap}")
    made.git(origin, "config", "core.fsmonitor", f"touch {trap}")
    made.git(origin, "config", "core.sshCommand", f"touch {trap}")
    for found in read_both_ways(origin, cache):
        assert isinstance(found, Checkout)
        assert found.files
    assert open_source(str(origin)).commit
    assert not trap.exists()


@pytest.mark.parametrize("location", ["ext::touch pwned", "fd::17", "git://127.0.0.1:1/x"])
def test_other_transports_are_refused(cache: Path, location: str) -> None:
    with pytest.raises(SourceError, match="only https, http, ssh and file"):
        open_source(location, ref="main", cache=cache)


@pytest.mark.parametrize("path", ["../..", "shop/../../x", "/../.."])
def test_a_path_that_leads_out_is_refused(origin: Path, cache: Path, path: str) -> None:
    for location, ref in ((origin.as_uri(), "main"), (str(origin), "main"), (str(origin), None)):
        with pytest.raises(SourceError, match=r"leads out of|no folder"):
            open_source(location, ref=ref, path=path, cache=cache)


def test_limits_are_those_that_the_documentation_names() -> None:
    assert (files.MAX_FILES, files.MAX_FILE_BYTES) == (20_000, 10 * 1024**2)
    assert (files.MAX_TOTAL_BYTES, fetch.MAX_PACK_BYTES) == (512 * 1024**2, 2 * 1024**3)


def test_a_directory_with_a_pipe_in_it_does_not_hold_the_run(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (file,) = open_source(str(tmp_path)).files
    assert file.error == "no plain file"


def test_names_in_a_directory_do_not_paint_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "\x1b[31mred.yaml").write_text("a: 1\n")
    with pytest.raises(SourceError) as caught:
        open_source(str(tmp_path))
    assert "\x1b" not in str(caught.value)
