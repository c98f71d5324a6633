"""What can become of the clone that is kept between runs: it is read whole, recreated, or told of;
never read in part."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.api.errors import SourceError
from tests.unit.git.opening import open_source
from tests.unit.git.repositories import commit, config_map, git, new_repository
from tests.unit.git.servers import HttpServer
from tests.unit.git.test_http import fetched


def clone_in(cache: Path) -> Path:
    (clone,) = [p for p in (cache / "git").iterdir() if p.is_dir() and not p.suffix]
    return clone


def packs(clone: Path, ending: str) -> list[Path]:
    return sorted((clone / "objects" / "pack").glob(f"*{ending}"))


def cut(ending: str, share: float) -> Callable[[Path], None]:
    """A file of each pack as after a crash of the machine, before its content was on the disk."""

    def act(clone: Path) -> None:
        for file in packs(clone, ending):
            file.chmod(0o600)
            file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])

    return act


def loose(clone: Path) -> list[Path]:
    return [f for f in (clone / "objects").rglob("*") if f.is_file() and len(f.parent.name) == 2]


def unpacked(clone: Path) -> None:
    """As small fetches leave it: a file for each object."""
    content = [pack.read_bytes() for pack in packs(clone, ".pack")]
    for other in packs(clone, ""):
        other.unlink()
    for pack in content:
        subprocess.run(["git", "-C", clone, "unpack-objects", "-q"], input=pack, check=True)


def without_kind(kind: str) -> Callable[[Path], None]:
    def act(clone: Path) -> None:
        unpacked(clone)
        for file in loose(clone):
            if git(clone, "cat-file", "-t", _id(file)) == kind:
                file.unlink()

    return act


def emptied_loose(clone: Path) -> None:
    unpacked(clone)
    for file in loose(clone):
        file.chmod(0o600)
        file.write_bytes(b"")


def replaced_tree(clone: Path) -> None:
    tree = git(clone, "rev-parse", "refs/reconcile/" + _own(clone) + "^{tree}")
    git(clone, "update-ref", f"refs/replace/{tree}", git(clone, "rev-parse", f"{tree}:shop"))


def _own(clone: Path) -> str:
    return next((clone / "refs" / "reconcile").iterdir()).name


def written(name: str, content: str = "") -> Callable[[Path], None]:
    def act(clone: Path) -> None:
        for ref in [f for f in (clone / "refs").rglob("*") if f.is_file()]:
            path = clone / name.replace("REF", str(ref.relative_to(clone)))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    return act


def removed(name: str) -> Callable[[Path], None]:
    def act(clone: Path) -> None:
        for path in clone.glob(name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return act


def as_file(name: str) -> Callable[[Path], None]:
    def act(clone: Path) -> None:
        removed(name)(clone)
        (clone / name).write_text("")

    return act


def of_another(clone: Path) -> None:
    other = new_repository(clone.parent.parent / "other", {"shop/z.yaml": config_map("z")})
    shutil.rmtree(clone)
    git(other, "clone", "-q", "--bare", "--depth=1", other.as_uri(), str(clone))
    own = git(clone, "rev-parse", "HEAD")
    git(clone, "update-ref", "refs/reconcile/applied", own)


def a_work_tree(clone: Path) -> None:
    other = new_repository(clone.parent.parent / "other", {"shop/z.yaml": config_map("z")})
    shutil.rmtree(clone)
    shutil.move(other, clone)


def swapped(kind: str) -> Callable[[Path], None]:
    """The file of one object holds another one: nothing that Git notices when it reads."""

    def act(clone: Path) -> None:
        unpacked(clone)
        found = [f for f in loose(clone) if git(clone, "cat-file", "-t", _id(f)) == kind]
        found.sort(key=lambda file: len(git(clone, "cat-file", "-p", _id(file))))
        for file in found[1:]:
            file.chmod(0o600)
            file.write_bytes(found[0].read_bytes())

    return act


def _id(file: Path) -> str:
    return file.parent.name + file.name


DAMAGE = {
    **{f"cut-{e}-{s}": cut(e, s) for e in (".pack", ".idx") for s in (0, 0.5, 0.9)},
    "no-idx": removed("objects/pack/*.idx"),
    "no-pack": removed("objects/pack/*.pack"),
    "no-pack-folder": removed("objects/pack"),
    "no-objects": removed("objects"),
    "no-refs": removed("refs"),
    "no-commit": without_kind("commit"),
    "no-tree": without_kind("tree"),
    "no-blob": without_kind("blob"),
    "empty-objects": emptied_loose,
    "other-trees": swapped("tree"),
    "other-blobs": swapped("blob"),
    "empty-ref": written("REF"),
    "ref-of-nothing": written("REF", "1" * 40 + "\n"),
    "ref-is-nonsense": written("REF", "nonsense"),
    "locked-ref": written("REF.lock"),
    "locked-shallow": written("shallow.lock"),
    "locked-packed-refs": written("packed-refs.lock"),
    "locked-index": written("index.lock"),
    "locked-config": written("config.lock"),
    "locked-head": written("HEAD.lock"),
    "locked-folder": written("refs/reconcile.lock"),
    "empty-shallow": written("shallow"),
    "shallow-nonsense": written("shallow", "nonsense\n"),
    "shallow-of-nothing": written("shallow", "1" * 40 + "\n"),
    "no-shallow": removed("shallow"),
    "empty-config": written("config"),
    "config-nonsense": written("config", "[nonsense"),
    "config-newer": written("config", "[core]\n\trepositoryformatversion = 9\n\tbare = true\n"),
    "config-elsewhere": written("config", "[core]\n\tbare = true\n\tworktree = /nowhere\n"),
    "packed-refs-nonsense": written("packed-refs", "nonsense\n"),
    "alternates-gone": written("objects/info/alternates", "/nowhere/objects\n"),
    "empty-head": written("HEAD"),
    "another-repository": of_another,
    "a-work-tree": a_work_tree,
    "pack-is-a-file": as_file("objects/pack"),
    "refs-is-a-file": as_file("refs"),
    "gc-left-over": written("gc.pid", "1 nowhere"),
    "gc-complained": written("gc.log", "fatal: trouble"),
    "tmp-pack": written("objects/pack/tmp_pack_abc", "PACK"),
    "tmp-object": written("objects/12/tmp_obj_abc", "x"),
    "keep": written("objects/pack/pack-1.keep", ""),
    "replaced-trees": replaced_tree,
    "multi-pack-index": written("objects/pack/multi-pack-index", "x"),
    "commit-graph": written("objects/info/commit-graph", "x"),
}


@pytest.mark.parametrize("moved", [False, True], ids=["same", "moved"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_whatever_became_of_the_clone_the_commit_is_read_whole(
    origin: Path, cache: Path, http: HttpServer, secret: Path, damage: str, moved: bool
) -> None:
    commit(origin, {"shop/b.yaml": config_map("b", key="two"), "shop/c/d.yaml": config_map("d")})
    url = http.url("fleet")
    whole = fetched(url, cache, secret)
    DAMAGE[damage](clone_in(cache))
    if moved:
        commit(origin, {"shop/b.yaml": config_map("b", key="three")})
    again = fetched(url, cache, secret)
    assert again.commit == git(origin, "rev-parse", "HEAD")
    assert {f.path for f in again.files} == {f.path for f in whole.files}
    assert (again.files == whole.files) is not moved
    for file in again.files:
        assert file.content == (origin / file.path).read_bytes()
    # What was left over is gone, and the next run needs no more than any other.
    assert not list(clone_in(cache).rglob("*.lock"))
    assert not list(clone_in(cache).rglob("tmp_pack*"))
    before = http.sent
    assert fetched(url, cache, secret).files == again.files
    assert http.sent - before < 2000


def test_a_folder_of_the_chosen_path_is_looked_at_as_closely(origin: Path, cache: Path) -> None:
    commit(origin, {"shop/b.yaml": config_map("b"), "shop/c/d.yaml": config_map("d")})
    whole = open_source(origin.as_uri(), ref="main", path="shop", cache=cache)
    swapped("tree")(clone_in(cache))
    assert open_source(origin.as_uri(), ref="main", path="shop", cache=cache).files == whole.files


def test_an_older_commit_in_the_place_of_a_newer_one_is_not_read(origin: Path, cache: Path) -> None:
    open_source(origin.as_uri(), ref="main", cache=cache)
    commit(origin, {"shop/b.yaml": config_map("b")})
    whole = open_source(origin.as_uri(), ref="main", cache=cache)
    clone = clone_in(cache)
    unpacked(clone)
    old, new = (
        clone / "objects" / name[:2] / name[2:]
        for name in (git(origin, "rev-parse", "HEAD~1"), git(origin, "rev-parse", "HEAD"))
    )
    new.chmod(0o600)
    new.write_bytes(old.read_bytes())
    assert open_source(origin.as_uri(), ref="main", cache=cache).files == whole.files


@pytest.mark.parametrize(
    "said",
    [
        "fatal: write error: No space left on device",
        "fatal: unable to write new index file: Disk quota exceeded",
        "error: unable to create temporary file: Read-only file system",
        "error: could not lock config file: Permission denied",
        "fatal: cannot mkdir: No space left on device",
    ],
)
def test_a_full_disk_is_told_with_the_way_out(
    origin: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """Not as the server's trouble. A clone that fills the disk itself makes room."""
    for number in range(20):
        commit(origin, {"shop/big.txt": os.urandom(5000).hex() + str(number)})
        open_source(origin.as_uri(), ref="main", cache=cache)
    (clone,) = [p for p in (cache / "git").iterdir() if p.is_dir()]
    command = "init" if "mkdir" in said else "fetch"
    if command == "init":
        shutil.rmtree(clone)
    spy = tmp_path / "bin" / "git"
    spy.parent.mkdir()
    real = git(tmp_path, "--exec-path") + "/git"
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", f"{spy.parent}:{path}")
    full = f'case "$*" in *{command}*) echo "{said}" >&2; exit 128;; esac'
    spy.write_text(f'#!/bin/sh\n{full}\nexec {real} "$@"\n')
    spy.chmod(0o755)
    with pytest.raises(SourceError) as caught:
        open_source(origin.as_uri(), ref="main", cache=cache)
    assert "clone" in str(caught.value)
    assert "XDG_CACHE_HOME" in caught.value.hint
    if command == "fetch":
        room = f"[ $(du -s {clone} | cut -f1) -lt 300 ] || {{ {full}; }}"
        spy.write_text(f'#!/bin/sh\n{room}\nexec {real} "$@"\n')
        assert open_source(origin.as_uri(), ref="main", cache=cache).files


@pytest.mark.parametrize("what", ["folder", "clone", "lock", "system"])
def test_what_stands_in_the_way_of_a_clone_is_named(origin: Path, cache: Path, what: str) -> None:
    open_source(origin.as_uri(), ref="main", cache=cache)
    clone = clone_in(cache)
    place = {"folder": cache / "git", "clone": clone, "lock": clone.with_suffix(".lock")}
    if what == "system":
        cache = Path("/proc/nowhere")
    else:
        shutil.rmtree(place[what]) if place[what].is_dir() else place[what].unlink()
        place[what].mkdir() if what == "lock" else place[what].write_text("")
    if what == "clone":
        assert open_source(origin.as_uri(), ref="main", cache=cache).files
        return
    with pytest.raises(SourceError, match=r"no clone can be kept in .*: ") as caught:
        open_source(origin.as_uri(), ref="main", cache=cache)
    assert str(cache) in str(caught.value)
    assert "XDG_CACHE_HOME" in caught.value.hint
