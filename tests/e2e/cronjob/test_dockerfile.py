"""The image: linted by hadolint, and carried out line by line, as there is no engine here."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler import __version__
from tests.unit.git.programs import HELM, SOPS, needed

from .building import Image, build
from .containers import ROOT, USER
from .dockerfile import DOCKERFILE, stages

HADOLINT = Path(sys.executable).with_name("hadolint")


def lint(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HADOLINT, "--failure-threshold", "style", "--no-color", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_linter_finds_nothing() -> None:
    done = lint(DOCKERFILE.read_text())
    assert done.returncode == 0, done.stdout
    assert not done.stdout


def test_the_linter_would_find_something() -> None:
    done = lint(DOCKERFILE.read_text().replace("--no-install-recommends ", ""))
    assert done.returncode == 1
    assert "DL3015" in done.stdout


def test_what_is_built_by_default_is_the_slim_image() -> None:
    found = list(stages().values())
    assert found[-1].base == "slim"
    assert not found[-1].instructions
    assert stages()["with-programs"].base == "slim"


def test_the_programs_are_those_that_the_tests_use() -> None:
    text = stages()["programs"].only("RUN")
    for module, version in (SOPS, HELM):
        assert f"{module}@{version}" in text


def test_the_programs_are_old_enough_for_the_go_that_builds_them(tmp_path: Path) -> None:
    """Go's own image takes no newer tool chain than its own."""
    go = needed("go", "golang-go")
    stage = stages()["programs"]
    has = re.search(r":(\d+)\.(\d+)", stage.base)
    assert has
    for package, version in re.findall(r"(\S+)@(v\S+)", stage.only("RUN")):
        module = re.sub(r"/cmd/\w+$", "", package)
        done = subprocess.run(
            [go, "list", "-m", "-json", f"{module}@{version}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        needs = json.loads(done.stdout)["GoVersion"].split(".")
        assert tuple(map(int, needs[:2])) <= tuple(map(int, has.groups())), module


def test_every_package_that_is_installed_is_checked_by_its_hash() -> None:
    commands = [
        command
        for instruction in stages()["build"].of("RUN")
        for command in instruction.text.split("&&")
        if "pip install" in command
    ]
    assert commands
    for command in commands:
        assert "--require-hashes" in command or "--no-index" in command, command


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build("slim", tmp_path_factory.mktemp("image"))


@pytest.fixture
def home(tmp_path: Path) -> Callable[..., Path]:
    """Directories that the image's user may write, as an emptyDir is."""

    def make(name: str = "cache") -> Path:
        place = tmp_path / name
        place.mkdir()
        os.chown(place, 0, USER)
        place.chmod(0o2777)
        return place

    return make


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_what_was_installed_works_without_the_source(
    image: Image, home: Callable[..., Path]
) -> None:
    said = image.run("--version", volumes={"/cache": home("one")})
    assert said.stdout == f"reconcile {__version__}\n", said.stderr
    repository = home("repository")
    shutil.copytree(ROOT / "sample-repo", repository, dirs_exist_ok=True)
    volumes = {"/cache": home("two"), "/tmp/sample-repo": repository}
    checked = image.run("validate", "--repo", "/tmp/sample-repo", volumes=volumes)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    planned = image.run(
        "--plan",
        "--sandbox",
        "--repo",
        "/tmp/sample-repo",
        volumes=volumes,
        XDG_CACHE_HOME="/cache",
    )
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert "to create over 3 clusters" in planned.stdout
    assert {file.name for file in repository.iterdir()} == {
        file.name for file in (ROOT / "sample-repo").iterdir()
    }
    with_git = image.run("--plan", "--repo", "https://127.0.0.1:9/x.git", volumes=volumes)
    assert "127.0.0.1" in with_git.stderr
    assert "is not installed" not in with_git.stderr


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_image_has_nothing_that_only_a_build_needs(image: Image) -> None:
    packages = next((image.added / "opt/reconcile/lib").glob("python*/site-packages"))
    assert (packages / "reconciler/_schemas/federation.json").is_file()
    assert not (packages / "pip").exists()
    assert not (packages / "hatchling").exists()
    assert not (packages / "tests").exists()
    assert not [file for file in packages.glob("*.pth") if str(ROOT) in file.read_text()]
    # Compiled beforehand: the root cannot be written later.
    assert list((packages / "reconciler/cli/__pycache__").glob("*.pyc"))
    assert not (image.added / "src").exists()
    assert not (image.added / "wheels").exists()
    lists = image.added / "var/lib/apt/lists"
    assert not [file for file in lists.rglob("*") if file.is_file()]
    account = (image.added / "etc/passwd").read_text().splitlines()[-1]
    assert account.startswith(f"nonroot:x:{USER}:{USER}:")
    assert (image.added / "cache").stat().st_uid == USER
