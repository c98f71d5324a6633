"""What must hold for any name, password and path."""

from __future__ import annotations

import posixpath
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.api.errors import SourceError
from reconciler.api.files import SourceFile
from reconciler.git.credentials import SourceCredentials, split_url
from reconciler.git.kustomize import kustomizations
from reconciler.git.location import locate
from tests.strategies import PASSWORDS, PRINTABLE_WORDS, TREE_PATHS

# Longer than what redaction leaves alone, and nothing that any message holds anyway.


@given(PRINTABLE_WORDS.filter(lambda name: name and ":" not in name), PASSWORDS)
def test_a_password_survives_its_way_through_a_url_and_shows_nowhere(
    name: str, password: str
) -> None:
    url = f"https://{quote(name, safe='')}:{quote(password, safe='')}@git.example.com:8443/x.git"
    clean, credentials = split_url(url)
    assert clean == "https://git.example.com:8443/x.git"
    assert (credentials.username, credentials.password) == (name, password)
    where = locate(url, ref=None, path="", cache=Path())
    said = where.redact(f"fatal: {url} and {password} and {quote(password, safe='')} {where}")
    assert password not in said
    assert quote(password, safe="") not in said


@given(PASSWORDS, PRINTABLE_WORDS)
def test_a_password_is_in_the_environment_only(password: str, name: str) -> None:
    credentials = SourceCredentials(name, password)
    told = credentials.configuration("https://git.example.com/x")
    assert password not in repr(told)
    assert [key for key, value in credentials.environment().items() if password in value] == [
        "RECONCILER_GIT_PASSWORD"
    ]


@settings(max_examples=200)
@given(st.text(alphabet="ab0-./@{}~^:*[\\ \x01+", min_size=1, max_size=8))
def test_only_what_git_calls_a_ref_is_taken_for_one(ref: str) -> None:
    try:
        locate("https://git.example.com/x", ref=ref, path="", cache=Path())
    except SourceError:
        return
    command = ["git", "check-ref-format", f"refs/heads/{ref}"]
    done = subprocess.run(command, check=False)
    # Git also wants no part to begin with a dot; such a ref is merely not found.
    assert done.returncode == 0 or any(part.startswith(".") for part in ref.split("/"))
    assert not ref.startswith("-")


@given(TREE_PATHS, st.sampled_from(["", "a", "a/b"]))
def test_a_kustomization_refers_to_nothing_outside(entry: str, folder: str) -> None:
    text = f"resources: ['{entry}']\n".encode()
    path = posixpath.join(folder, "kustomization.yaml")
    files = [SourceFile(path, text), SourceFile("a/b/x.yaml"), SourceFile("b/x.yaml")]
    (found,) = kustomizations(files).values()
    real = posixpath.normpath(posixpath.join("/repository", folder, entry))
    if not real.startswith("/repository") or entry.startswith("/"):
        assert found.error
    for part in found.parts:
        assert part in {"", "a", "a/b", "b"}


@pytest.mark.parametrize("location", ["-x", "--upload-pack=x"])
def test_a_location_is_no_option(location: str) -> None:
    with pytest.raises(SourceError, match="neither a directory nor a URL"):
        locate(location, ref="main", path="", cache=Path())
